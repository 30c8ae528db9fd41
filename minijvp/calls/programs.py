"""What the rules of scan, cond and while share: programs made from programs, and which carries a property reaches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from minijvp.calls.carrier import Carrier
from minijvp.core.jaxpr import Atom, Equation, Jaxpr, Var
from minijvp.core.primitive import Axis, Primitive
from minijvp.core.tracing import as_constant
from minijvp.core.types import PYTHON_SCALARS, ArrayType, ScalarType, type_of
from minijvp.errors import JaxprError
from minijvp.operations.casting import convert_element_type
from minijvp.operations.families import add, broadcast_in_dim, leading_axis, zeros

Flags = tuple[bool, ...]


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


def either(x: Iterable[bool], y: Iterable[bool]) -> Flags:
    """Place by place, whether one of the two is true."""
    return tuple([a or b for a, b in zip(x, y, strict=True)])


TURNS = 10
"""For so many turns a loop is taken of which nobody knows how often it runs."""


class ControlFlow(Carrier):
    """A primitive that decides which programs run, and how often."""

    recomputable = "dear"

    repeats = True
    """Whether it is a loop."""

    may_not_end = False
    """Whether it is one that may run forever."""

    def turns(self, params: dict[str, Any]) -> int:
        return TURNS if self.repeats else 1


class Extension:
    """A program that grows: equations after its own. `finish` names the inputs and outputs of the result.

    Nothing is evaluated again, so that a rule costs what it adds and not the length of the program.
    """

    def __init__(self, *jaxprs: Jaxpr):
        self.name = jaxprs[0].name
        self.equations = [e for jaxpr in jaxprs for e in jaxpr.equations]

    def bind(self, primitive: Primitive, *atoms: Atom, **params: Any) -> Var:
        """The result of an equation more."""
        out = Var(primitive.type_rule(*[v.type for v in atoms], **params))
        self.equations.append(Equation(primitive, atoms, params, (out,), None))
        return out

    def zeros(self, t: ArrayType) -> Var:
        return self.bind(zeros, shape=t.shape, dtype=t.dtype)

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


def typed(x: Any, t: ArrayType) -> Any:
    """An argument, while a primitive is lowered, exactly of the type that its program expects, weak or not."""
    kind = type_of(x)
    if type(kind) is ArrayType and kind.weak_type == t.weak_type and hasattr(x, "aval"):
        return x
    return convert_element_type.impl(x, new_dtype=t.dtype, weak_type=t.weak_type)


def array_types(types: Iterable[ArrayType]) -> list[ArrayType]:
    """The types that results have: a Python scalar that a program returns becomes a weakly typed array."""
    return [ArrayType(t.shape, t.dtype, t.weak_type) if type(t) is ScalarType else t for t in types]


def fits(x: ArrayType, y: ArrayType) -> bool:
    """Whether two types are equal up to weakness."""
    return x.shape == y.shape and x.dtype == y.dtype


def require_types(what: str, found: Sequence[ArrayType], wanted: Sequence[ArrayType]) -> None:
    """Raise JaxprError unless the types are equal up to weakness."""
    if len(found) != len(wanted) or not all([x is y or fits(x, y) for x, y in zip(found, wanted)]):
        raise JaxprError(f"{what} should be of types {list(wanted)}, and {'are' if found else 'is'} {list(found)}.")


def batched_carry(axis: Axis, init: Sequence[Any], batched: Iterable[bool], wanted: Iterable[bool]) -> list[Any]:
    """The first carries, with the batch axis where it is `wanted`."""
    arrays = [as_constant(x) if type(x) in PYTHON_SCALARS else x for x in init]
    return [leading_axis(axis, x, b or not w) for x, b, w in zip(arrays, batched, wanted, strict=True)]


# Which carries of a loop have a tangent, a cotangent, a batch axis? Such a property spreads from the arguments through
# the body, and around the loop. A guess from the dependencies in the body spares running a transformation twice.


def reaching(jaxpr: Jaxpr, outputs: Sequence[bool]) -> Flags:
    """Which inputs one of these outputs depends on."""
    known = set(chosen(jaxpr.outputs, outputs))
    for e in reversed(jaxpr.equations):
        if not known.isdisjoint(e.outputs):
            known.update(e.inputs)
    return tuple([v in known for v in jaxpr.inputs])


def spread_around(step: Callable[[Flags], Sequence[bool]], carry: Flags) -> Flags:
    """The carries that a property reaches from `carry`; `step` says which it reaches in one turn of the loop."""
    while (found := either(carry, step(carry))) != carry:
        carry = found
    return carry


def settle(turn: Callable[[Flags], Any], carry: Flags, guess: Flags) -> Any:
    """What `turn` gives for the carries that have a property, by its own account; the first of it is that account.

    `carry` has the property from the start; the loop begins with `guess`.
    """
    while True:
        result = turn(guess)
        found = either(carry, result[0])
        if found == guess:
            return result
        # Where the guess was too large it shrinks, else it grows.
        guess = found if either(found, guess) == guess else either(found, guess)
