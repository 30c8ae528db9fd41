"""What the rules of primitives with programs share: groups of values, types, and programs made from programs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from minijvp import trees
from minijvp.core.jaxpr import Atom, Equation, Jaxpr, Var
from minijvp.core.primitive import Axis, Primitive
from minijvp.core.tracing import computes, state
from minijvp.core.types import Array, ArrayType, Params, ScalarType, is_inexact, type_of
from minijvp.errors import JaxprError
from minijvp.operations.casting import convert_element_type
from minijvp.operations.families import add, broadcast_in_dim, instantiate, zeros, zeros_of
from minijvp.transforms.vmap import vmap_jaxpr

Flags = tuple[bool, ...]

DEEPEST = 8
"""Where programs are called inside of one another, those that call deeper ones become part of what calls them."""


def groups(values: Sequence[Any], *sizes: int) -> list[list[Any]]:
    """The values in groups of these sizes, and the rest."""
    found, start = [], 0
    for n in sizes:
        found.append(list(values[start : start + n]))
        start += n
    return [*found, list(values[start:])]


def chosen(values: Iterable[Any], flags: Iterable[bool]) -> list[Any]:
    """The values at the places that are true."""
    return [v for v, flag in zip(values, flags, strict=True) if flag]


def present(tangents: Sequence[Any]) -> list[Any]:
    """The tangents (or cotangents) that are not zero."""
    return [t for t in tangents if t is not None]


def flat(series: Iterable[Sequence[Any] | None]) -> list[Any]:
    """The coefficients of all series that are there."""
    return [c for s in series if s is not None for c in s]


def in_series(coefficients: Sequence[Any], flags: Iterable[bool], order: int) -> list[list[Any] | None]:
    """Coefficients by the series that they belong to, of which these are there."""
    rest = iter(coefficients)
    return [[next(rest) for _ in range(order)] if flag else None for flag in flags]


def filled(series: Sequence[Any], primals: Sequence[Any], flags: Sequence[bool], order: int) -> list[list[Any] | None]:
    """The series at the places that are true, with zeros for the coefficients that are None."""
    places = zip(series, primals, flags, strict=True)
    return [[instantiate(c, x) for c in s or (None,) * order] if flag else None for s, x, flag in places]


def either(x: Iterable[bool], y: Iterable[bool]) -> Flags:
    """Place by place, whether one of the two is true."""
    return tuple([a or b for a, b in zip(x, y, strict=True)])


def both(x: Iterable[bool], y: Iterable[bool]) -> Flags:
    """Place by place, whether both are true."""
    return tuple([a and b for a, b in zip(x, y, strict=True)])


def is_too_deep(jaxpr: Jaxpr) -> bool:
    """Whether the equations of a program are to stand where it would be called, in another that is recorded.

    Each transformation of a call is one of the call inside, and so on: that takes thirty calls of Python for each.
    """
    if computes(state.trace):
        return False
    programs: Iterable[Jaxpr] = (jaxpr,)
    for _ in range(DEEPEST - 1):
        programs = {id(p): p for outer in programs for e in outer for p in e.programs}.values()
    return bool(programs)


class Extension:
    """A program that grows: equations after its own. `finish` names the inputs and outputs of the result.

    Nothing is evaluated again, so that a rule costs what it adds and not the length of the program.
    """

    def __init__(self, *jaxprs: Jaxpr):
        self.name = jaxprs[0].name
        self.equations = [e for jaxpr in jaxprs for e in jaxpr.equations]

    def bind(self, primitive: Primitive, *atoms: Atom, **params: Any) -> Var:
        """The result of an equation more."""
        out = Var(primitive.result_types([v.type for v in atoms], params)[0])
        self.equations.append(Equation(primitive, atoms, params, (out,), None))
        return out

    def zeros(self, t: ArrayType) -> Var:
        return self.bind(zeros, **zeros_of(t))

    def sum(self, x: Atom, y: Atom) -> Var:
        return self.bind(add, x, y)

    def repeated(self, size: int, x: Atom) -> Var:
        """`x` with a leading axis of this size."""
        shape = x.type.shape
        dimensions = tuple(range(1, len(shape) + 1))
        return self.bind(broadcast_in_dim, x, shape=(size, *shape), broadcast_dimensions=dimensions)

    def finish(self, inputs: Iterable[Var], outputs: Iterable[Atom]) -> Jaxpr:
        return Jaxpr((), tuple(inputs), tuple(self.equations), tuple(outputs), self.name)


def instantiated(body: Extension, atoms: Sequence[Any], types: Sequence[ArrayType], flags: Sequence[bool]) -> list[Any]:
    """The atoms at the places that are true, zeros for those that are None."""
    places = zip(atoms, types, flags)
    return [body.zeros(t) if v is None else v for v, t, flag in places if flag]


def one_equation(primitive: Primitive, args: Sequence[Any], params: Params) -> Jaxpr:
    """The jaxpr that applies one primitive to arguments of the types of `args`."""
    inputs = tuple([Var(type_of(x)) for x in args])
    outputs = tuple(map(Var, primitive.result_types([v.type for v in inputs], params)))
    return Jaxpr((), inputs, (Equation(primitive, inputs, params, outputs, None),), outputs, primitive.name)


def typed(x: Array, t: ArrayType) -> Array:
    """An argument, while a primitive is lowered, exactly of the type that its program expects, weak or not."""
    kind = type_of(x)
    if type(kind) is ArrayType and kind.weak_type == t.weak_type and hasattr(x, "aval"):
        return x
    return convert_element_type.impl(x, new_dtype=t.dtype, weak_type=t.weak_type)


def array_types(types: Iterable[ArrayType]) -> list[ArrayType]:
    """The types that results have: a Python scalar that a program returns becomes a weakly typed array."""
    return [ArrayType(t.shape, t.dtype, t.weak_type, t.placement) if type(t) is ScalarType else t for t in types]


def fits(x: ArrayType, y: ArrayType) -> bool:
    """Whether two types are equal up to weakness."""
    return x.shape == y.shape and x.dtype == y.dtype


def require_types(what: str, found: Sequence[ArrayType], wanted: Sequence[ArrayType]) -> None:
    """Raise JaxprError unless the types are equal up to weakness."""
    if len(found) != len(wanted) or not all([x is y or fits(x, y) for x, y in zip(found, wanted)]):
        raise JaxprError(f"{what} should be of types {list(wanted)}, and {'are' if found else 'is'} {list(found)}.")


def vmap_all(jaxpr: Jaxpr, axis: Axis, batched: tuple[bool, ...]) -> Jaxpr:
    """The batched program of an open jaxpr, every output of which is batched."""
    return vmap_jaxpr(jaxpr, axis, batched, (True,) * len(jaxpr.outputs))[0]


def as_arrays(outs: Sequence[Any], types: Sequence[ArrayType]) -> tuple[Any, ...]:
    """The outputs of a program as arrays that are no weaker than `types`."""
    return tuple([as_array(x, kind) for x, kind in zip(outs, types, strict=True)])


def as_array(x: Array, kind: ArrayType) -> Array:
    """An output of a program, maybe a literal, as an array that is no weaker than `kind`."""
    if trees.needs_conversion(x) or (not kind.weak_type and type_of(x).weak_type):
        return convert_element_type(x, new_dtype=kind.dtype, weak_type=kind.weak_type)
    return x


def are_inexact(types: Sequence[ArrayType]) -> tuple[bool, ...]:
    """Which of these types have tangents."""
    return tuple([is_inexact(t.dtype) for t in types])


def tangent_types(types: Sequence[ArrayType]) -> tuple[ArrayType, ...]:
    """The types of the tangents of those that have one."""
    return tuple([t.strong() for t in types if is_inexact(t.dtype)])


def instantiate_inexact(ts: Sequence[Any], types: Any) -> list[Any]:
    """The tangents of values of these types that have one, zeros for None."""
    return [instantiate(t, kind) for t, kind in zip(ts, types, strict=True) if is_inexact(kind.dtype)]
