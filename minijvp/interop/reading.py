"""Reading: a program of JAX becomes one of ours, equation by equation, through one table.

The table has for each primitive of JAX a function `(*inputs, **params) -> outputs` that calls our primitives. A program
is read by staging those calls, so that our own rules type it; each result is held against the type that JAX gave it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import eval_context
from jax.extend.core import ClosedJaxpr, JaxprEqn, Literal
from jax.extend.core import Primitive as JaxPrimitive
from jax.sharding import get_abstract_mesh, use_abstract_mesh

from minijvp.calls.region import region
from minijvp.core import placements, source
from minijvp.core.caching import cached
from minijvp.core.jaxpr import Jaxpr, Var
from minijvp.core.primitive import Primitive
from minijvp.core.tracing import as_constant, attributed_to, state
from minijvp.core.types import PYTHON_SCALARS, ArrayType, short_dtype, type_of
from minijvp.errors import ArgumentError, JaxprError
from minijvp.operations.casting import convert_element_type
from minijvp.operations.placing import resharded, split_like
from minijvp.transforms.staging import stage

Translation = Callable[..., Any]

FLOAT0, BOOL = jax.dtypes.float0, np.dtype(bool)

TABLE: dict[str, Translation] = {}
"""How each primitive of JAX is said with ours."""

EVERY_OTHER = ""
"""In place of a name: all primitives that the table does not have."""

INLINED = 24
"""A function of JAX with at most so many equations becomes part of the program that calls it."""

CONTEXTUAL: set[str] = set()
"""Those whose translation needs the equation itself: `translation(equation, *inputs)`."""


WITH_REFERENCES: dict[str, Translation] = {}
"""The same where operands are references: `translation(equation, *inputs)`."""


class Reference:
    """An array that equations change: what stands for a reference of JAX while a program is read."""

    __slots__ = ("value",)

    def __init__(self, value: Any):
        self.value = value


def translates(*primitives: Any, contextual: bool = False) -> Callable[[Translation], Translation]:
    """Decorator: enter a translation in the table for these primitives of JAX, which are given themselves or by name.

    A translation takes the inputs of an equation and its parameters, `(*inputs, **params)`, and gives what that
    computes, by functions and primitives of minijvp: one result, or a sequence of several. With `contextual` it takes
    the equation of JAX itself, `(equation, *inputs)`. `minijvp.from_jax` reads with it what is transformed from then
    on; without one, the rules that JAX has for the primitive are used. A later translation replaces an earlier one.

    Raises ArgumentError for what is neither a primitive of JAX nor a name, and JaxprError where a result has another
    shape or dtype than in JAX.

    >>> import jax.extend.core, jax.numpy as jnp, minijvp, minijvp.numpy as mnp
    >>> from minijvp.extend import translates
    >>> halve = jax.extend.core.Primitive('halve')
    >>> _ = halve.def_impl(lambda x: x / 2), halve.def_abstract_eval(lambda x: x)
    >>> @translates(halve)
    ... def rule(x):
    ...     return mnp.divide(x, 2)
    >>> float(minijvp.grad(minijvp.from_jax(lambda x: halve.bind(x) * 3))(1.0))
    1.5
    """
    names = [p if isinstance(p, str) else p.name for p in primitives if isinstance(p, (str, JaxPrimitive))]
    if not names or len(names) < len(primitives):
        raise ArgumentError(
            f"translates received {primitives!r:.200}.",
            "It enters a translation for primitives of JAX (jax.extend.core.Primitive), known by their names.",
            "Write @translates(primitive), or @translates('its name').",
        )

    def enter(translation: Translation) -> Translation:
        for name in names:
            if is_our_own(TABLE.get(name)) and not is_our_own(translation):
                raise ArgumentError(
                    f"translates received {name!r}, which minijvp translates itself.",
                    "A function of JAX would have one value and the derivative of another.",
                    "Give the function a rule (minijvp.custom_jvp), or the primitive another name.",
                )
        read_before.cache_clear()  # programs that were read without it
        TABLE.update(dict.fromkeys(names, translation))
        if contextual:
            CONTEXTUAL.update(names)
        return translation

    return enter


def is_our_own(translation: Any) -> bool:
    """Whether a translation is one of minijvp's table."""
    if isinstance(translation, Primitive):
        return not translation.made_outside
    return (getattr(translation, "__module__", None) or "").partition(".")[0] == "minijvp"


def type_of_aval(aval: Any) -> ArrayType:
    """The type that JAX gave a value, as ours. Of float0, which has no numbers, an array is one of booleans here."""
    dtype = BOOL if aval.dtype == FLOAT0 else aval.dtype
    sharding = getattr(aval, "sharding", None)
    placement = None if sharding is None else placements.of(sharding, aval.manual_axis_type)
    return ArrayType(tuple(aval.shape), dtype, bool(getattr(aval, "weak_type", False)), placement)


def read(closed: ClosedJaxpr, name: str = "") -> tuple[Jaxpr, tuple[Any, ...]]:
    """The program of JAX as an open one of ours, with its constants as leading inputs, and those constants.

    Inputs and outputs keep their types. A constant is not looked at, since it may be a tracer of JAX.
    """
    jaxpr, constants = closed.jaxpr, tuple(map(constant, closed.consts))
    n = len(constants)
    types = [*map(type_of, constants), *[type_of_aval(v.aval) for v in jaxpr.invars]]
    with eval_context():
        program = stage(lambda *args: interpret(jaxpr, args[:n], args[n:]), types, name)
    opened, made = program.hoist_constants()
    return opened, (*made, *constants)


read_before = cached(maxsize=1024)(read)


def read_open(closed: ClosedJaxpr, name: str = "") -> tuple[Jaxpr, tuple[Any, ...]]:
    """The same for a program of JAX that may have been read before: calls of one function share a program.

    Not where lines matter: what is inside of a function of JAX has the line of the call that it was read for.
    """
    return read_before(closed, name) if state.substitutes is None else read(closed, name)


def read_together(*programs: ClosedJaxpr) -> tuple[list[Jaxpr], tuple[Any, ...]]:
    """Programs over the same inputs, all with the constants of all of them as leading inputs, and those constants."""
    read_ones = [read(closed) for closed in programs]
    shared = tuple(value for _, constants in read_ones for value in constants)
    opened, start = [], 0
    for jaxpr, constants in read_ones:
        leading, n = [Var(type_of(value)) for value in shared], len(constants)
        leading[start : start + n] = jaxpr.inputs[:n]
        start += n
        opened.append(Jaxpr((), (*leading, *jaxpr.inputs[n:]), jaxpr.equations, jaxpr.outputs, jaxpr.name))
    return opened, shared


def interpret(jaxpr: Any, constants: Sequence[Any], args: Sequence[Any]) -> list[Any]:
    """The outputs of an open jaxpr of JAX, by our primitives under the current trace."""
    values: dict[Any, Any] = dict(zip(jaxpr.constvars, map(constant, constants), strict=True))
    values.update(zip(jaxpr.invars, args, strict=True))
    outer = state.source
    with attributed_to(outer):
        for elsewhere, equations in runs(jaxpr):
            state.source = source_of(equations[0]) or outer
            if elsewhere:
                values.update(in_region(jaxpr, equations, values))
                continue
            (equation,) = equations
            inputs = [literal(v) if isinstance(v, Literal) else values[v] for v in equation.invars]
            outs = moved(jaxpr, equation, *inputs) if isinstance(jaxpr, Part) else translate(equation, inputs)
            require_types(equation, outs)
            if placements.met:
                outs = [split_as_read(x, v) for x, v in zip(outs, equation.outvars, strict=True)]
            values.update(zip(equation.outvars, outs, strict=True))
    outs = [literal(v) if isinstance(v, Literal) else values[v] for v in jaxpr.outvars]
    return [in_type(x, type_of_aval(v.aval)) for x, v in zip(outs, jaxpr.outvars, strict=True)]


def split_as_read(x: Any, v: Any) -> Any:
    """A result, split as JAX splits it."""
    return x if isinstance(x, Reference) else split_like(x, type_of_aval(v.aval))


def mesh_of(equation: JaxprEqn) -> Any:
    """The mesh on which an equation was traced; None for one that says nothing."""
    mesh = equation.ctx.cur_abstract_mesh
    return None if mesh is None or mesh.empty else mesh


def runs(jaxpr: Any) -> list[tuple[bool, list[JaxprEqn]]]:
    """The equations one by one, but those of a region together, with those that bring its results back.

    A region is what was traced on another mesh than the one in force, with the same manual axes.
    """
    found: list[tuple[bool, list[JaxprEqn]]] = []
    away: set[Any] = set()
    here, around = get_abstract_mesh(), jaxpr.around if isinstance(jaxpr, Part) else None
    inside = False
    for e in jaxpr.eqns:
        mesh = mesh_of(e)
        elsewhere = mesh not in (None, here, around) and set(mesh.manual_axes) == set(here.manual_axes)
        leaves = e.primitive.name == "reshard" and not isinstance(e.invars[0], Literal) and e.invars[0] in away
        if inside and (elsewhere or leaves):
            found[-1][1].append(e)
        else:
            found.append((elsewhere, [e]))
            inside = elsewhere
        if elsewhere:
            away.update(e.outvars)
    return found


def in_region(jaxpr: Any, equations: Sequence[JaxprEqn], values: dict[Any, Any]) -> list[tuple[Any, Any]]:
    """The variables that equations of another mesh leave behind, with what they are, as results of one operation."""
    made = {v for e in equations for v in e.outvars}
    taken = list(dict.fromkeys(v for e in equations for v in e.invars if not isinstance(v, Literal) and v not in made))
    apart = set(map(id, equations))
    used = {v for e in jaxpr.eqns if id(e) not in apart for v in e.invars if not isinstance(v, Literal)}
    used |= {v for v in jaxpr.outvars if not isinstance(v, Literal)}
    left = [v for e in equations for v in e.outvars if v in used]
    operands = [in_type(values[v], type_of_aval(v.aval)) for v in taken]
    mesh, outer = mesh_of(equations[0]), get_abstract_mesh()
    part = Part(taken, equations, left, outer)
    with use_abstract_mesh(mesh):
        program = stage(lambda *xs: interpret(part, (), xs), [type_of(x) for x in operands])
    return list(zip(left, region.call(program, *operands, mesh=mesh, outer=outer), strict=True))


def moved(part: Part, equation: JaxprEqn, *inputs: Any) -> Sequence[Any]:
    """The results of one equation of a region, which may bring a value there or back."""
    if equation.primitive.name != "reshard":
        return translate(equation, inputs)
    (x,), aval = inputs, equation.invars[0].aval
    found = aval.sharding.mesh  # type: ignore[attr-defined]
    return (resharded(x, equation.params["dst_sharding"], part.around if found.empty else found),)


class Part(NamedTuple):
    """Some equations of a program of JAX, as a program; `around` is the mesh to which its results are brought back."""

    invars: Sequence[Any]
    eqns: Sequence[JaxprEqn]
    outvars: Sequence[Any]
    around: Any
    constvars: Sequence[Any] = ()


def translate(equation: JaxprEqn, inputs: Sequence[Any]) -> Sequence[Any]:
    """The results of one equation."""
    name = equation.primitive.name
    if any([isinstance(x, Reference) for x in inputs]):
        out = WITH_REFERENCES.get(name, WITH_REFERENCES[EVERY_OTHER])(equation, *inputs)
    else:
        name = name if name in TABLE else EVERY_OTHER
        out = TABLE[name](equation, *inputs) if name in CONTEXTUAL else TABLE[name](*inputs, **equation.params)
    return out if isinstance(out, (tuple, list)) else (out,)


def literal(atom: Any) -> Any:
    """The value of a literal: a NumPy scalar, or an array."""
    value = constant(atom.val)
    if jnp.ndim(value):
        return value
    return np.asarray(value, type_of_aval(atom.aval).dtype)[()]


def constant(value: Any) -> Any:
    """A constant of a program of JAX as one of ours. Raises ArgumentError for a reference, which is none."""
    if isinstance(value, jax.Ref):
        raise ArgumentError(
            f"from_jax met a {type_of_aval(value.aval)!r} in a reference (jax.new_ref) that the function did not make.",
            "minijvp reads references as arrays that are handed on, so that what is written there would not be seen.",
            "Make the reference inside of the function, and return what others need.",
        )
    if isinstance(value, np.ndarray) and value.dtype == FLOAT0:
        return np.zeros(value.shape, BOOL)
    return value


def require_types(equation: JaxprEqn, outs: Sequence[Any]) -> None:
    """Raise JaxprError if a result of ours has another shape or dtype than JAX's."""
    for x, v in zip(outs, equation.outvars, strict=True):
        if isinstance(x, Reference):
            continue
        found, wanted = type_of(x), type_of_aval(v.aval)
        if found.shape != wanted.shape or found.dtype != wanted.dtype:
            raise JaxprError(
                f"from_jax read {equation.primitive.name} as giving {found!r}, but in JAX it gives {wanted!r}.",
                "That is a fault in minijvp's table of JAX's primitives.",
                f"Report it with the equation: {equation!s:.500}",
            )


def in_type(x: Any, wanted: ArrayType) -> Any:
    """The value as an array or a tracer, as weakly typed as JAX has it."""
    if isinstance(x, Reference):
        return x
    if type(x) in PYTHON_SCALARS or isinstance(x, (np.generic, np.ndarray)):
        x = as_constant(x, wanted.dtype)  # a program is kept for longer than a jax.jit around
    x = split_like(x, wanted) if placements.met else x
    if type_of(x).weak_type == wanted.weak_type:
        return x
    return convert_element_type(x, new_dtype=wanted.dtype, weak_type=wanted.weak_type)


def in_types(xs: Iterable[Any], variables: Iterable[Any]) -> list[Any]:
    """The operands as arrays of exactly the types of the variables of JAX that receive them."""
    return [in_type(x, type_of_aval(v.aval)) for x, v in zip(xs, variables, strict=True)]


def source_of(equation: JaxprEqn) -> source.Source | None:
    """The line of user code that made an equation of JAX."""
    traceback = getattr(equation.source_info, "traceback", None)
    line = None if traceback is None else source.innermost(*traceback.raw_frames())
    names = equation.source_info.name_stack  # with the transformations of JAX that made it
    return source.within(line, names) if names.stack else line


def describe(aval: Any) -> str:
    """A type of JAX in short."""
    return f"{short_dtype(aval.dtype)}[{','.join(map(str, aval.shape))}]"
