"""Operations that minijvp has no word for: those that libraries define, and the rarer ones of JAX.

Each stays an operation of JAX, which evaluates and compiles it. Its derivative, its transpose and its batches are by
the rules that came with it, which JAX is asked for, as it is for those of functions with rules of their own (`rules`):
jax.jvp, jax.linear_transpose and jax.vmap of this one operation, traced and read. What has no rule for one of them can
still be put into a function with a rule, and whatever else is done to it works.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import ShapedArray, eval_jaxpr
from jax.extend.core import JaxprEqn

from minijvp.arguments.linearity import zero_outputs
from minijvp.calls.dependence import reached
from minijvp.calls.programs import Flags, are_inexact, chosen, present, typed
from minijvp.core.caching import cached
from minijvp.core.jaxpr import Jaxpr, evaluate
from minijvp.core.primitive import Axis, Primitive
from minijvp.core.tracing import state
from minijvp.core.types import ArrayType, Params, is_inexact, placing_in_jax
from minijvp.custom_rules.custom_jvp import linear_in_tangents, split
from minijvp.errors import MissingRuleError
from minijvp.interop.reading import EVERY_OTHER, in_types, translates
from minijvp.interop.rules import OneEquation
from minijvp.operations.families import is_linear, nonzero, spread


class ForeignEquation(OneEquation):
    """An equation of JAX, known by its primitive, its parameters and the types of its operands."""

    def __init__(self, equation: JaxprEqn):
        super().__init__(equation, equation.primitive.name)
        self.effects = equation.effects
        self.key = self.described(equation)

    def described(self, equation: JaxprEqn) -> Hashable:
        """What equal equations have in common; where a parameter has no hash, no two are equal."""
        avals = tuple([v.aval for v in (*equation.invars, *equation.outvars)])
        key = equation.primitive, avals, tuple(sorted(equation.params.items(), key=lambda item: item[0]))
        try:
            hash(key)
        except TypeError:
            return id(self)
        return key

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, ForeignEquation) and self.key == other.key)

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        return self.name

    def asked(self, fun: Callable[..., Any], types: Sequence[ArrayType], rule: str) -> Jaxpr:
        """A function of JAX that uses a rule of the operation, read. Raises MissingRuleError if there is none."""
        try:
            return self.trace(fun, types)
        except (NotImplementedError, AssertionError) as error:  # the latter by a rule that JAX left to be written
            line = f", at {state.source}: {state.source.text}" if state.source else ""
            raise MissingRuleError(
                f"the operation {self.name!r} of JAX or of a library has no rule for {rule}{line}.",
                f"minijvp does not know it and asks JAX, which says: {repr(error).splitlines()[0]}",
                "Put the call into a function with a rule of its own (jax.custom_jvp, jax.custom_vjp or "
                "jax.custom_batching.custom_vmap), or use another function.",
            ) from error


@cached(maxsize=4096)
def pushed(equation: ForeignEquation, flags: Flags) -> tuple[Jaxpr, Flags]:
    """The program from operands and their tangents, where those are not zero, to results and tangents.

    With it, which results have a tangent.
    """
    n, places = len(flags), equation.differentiated(flags)
    inexact = chosen(range(len(equation.out_types)), are_inexact(equation.out_types))

    def rule(*args: Any) -> list[Any]:
        operands, ts = args[:n], args[n:]
        outs, out_ts = jax.jvp(equation.of_some(operands, places), [operands[i] for i in places], list(ts))
        return [*outs, *[out_ts[i] for i in inexact]]

    program = equation.asked(rule, [*equation.types, *[equation.types[i].strong() for i in places]], "tangents")
    program, moved = without_zeros(program, len(equation.out_types))
    given = iter(moved)
    return program, tuple([is_inexact(t.dtype) and next(given) for t in equation.out_types])


@cached(maxsize=4096)
def pulled(equation: ForeignEquation, linear: Flags, flags: Flags) -> tuple[Jaxpr, Flags]:
    """The program from known operands, and cotangents that are not zero, to cotangents of the operands that are linear.

    With it, which of those have one.
    """
    known = [t for t, flag in zip(equation.types, linear, strict=True) if not flag]
    types = chosen(equation.types, linear)
    places, used = chosen(range(len(linear)), linear), chosen(range(len(flags)), flags)

    def rule(*args: Any) -> list[Any]:
        operands = spread_known(args[: len(known)], linear)
        some = equation.of_some(operands, places)
        fun = lambda *ts: [some(*ts)[i] for i in used]
        avals = [ShapedArray(t.shape, t.dtype, weak_type=t.weak_type, **placing_in_jax(t)) for t in types]
        return list(jax.linear_transpose(fun, *avals)(list(args[len(known) :])))

    out_types = [equation.out_types[i].strong() for i in used]
    return without_zeros(equation.asked(rule, [*known, *out_types], "cotangents"), 0)


@cached(maxsize=4096)
def batch(equation: ForeignEquation, axis: Axis, batched: Flags) -> tuple[Jaxpr, Flags]:
    """The program for batches of some operands, and which results are batched."""
    flags: list[bool] = []

    def lane(along: Any, *xs: Any) -> list[Any]:
        outs = equation.of_some(xs, range(len(xs)))(*xs)
        flags[:] = [type(y) is type(along) for y in outs]
        return outs

    def rule(out_axes: Any) -> Callable[..., list[Any]]:
        in_axes = (0, *[0 if b else None for b in batched])
        fun = jax.vmap(lane, in_axes, out_axes, axis_size=axis.size, axis_name=axis.name)
        return lambda *args: fun(jnp.zeros(axis.size), *args)

    places = zip(equation.types, batched, strict=True)
    types = [t.stacked(axis.size, axis.split) if b else t for t, b in places]
    program = equation.asked(rule(0), types, "batches")
    if not all(flags):
        program = equation.asked(rule([0 if b else None for b in flags]), types, "batches")
    return program.without_dead_code(), tuple(flags)


def spread_known(values: Sequence[Any], linear: Flags) -> list[Any]:
    """The values at the places that are not linear, None at the others."""
    return list(spread(values, [not flag for flag in linear]))


def without_zeros(program: Jaxpr, n: int) -> tuple[Jaxpr, Flags]:
    """The program without outputs from number `n` on that are zero, whatever goes in; and which of those are not."""
    moved = tuple([not flag for flag in zero_outputs(program)[n:]])
    if not all(moved):
        program = program.without_dead_code((True,) * n + moved)
    return program, moved


class Foreign(Primitive):
    """The results of an operation of JAX that minijvp does not know, by rules that JAX has for it."""

    recomputable = "expensive"

    def impl(self, *args: Any, equation: ForeignEquation) -> tuple[Any, ...]:
        exact = [typed(x, t) for x, t in zip(args, equation.types, strict=True)]
        return tuple(eval_jaxpr(equation.jaxpr, (), *exact))

    def type_rule(self, *types: ArrayType, equation: ForeignEquation) -> tuple[ArrayType, ...]:
        return tuple(equation.out_types)

    def has_effects(self, params: Params) -> bool:
        return bool(params["equation"].effects)

    def uses_axis(self, name: Any, params: Params) -> bool:
        return any(getattr(effect, "name", None) == name for effect in params["equation"].effects)

    def jvp(self, primals: tuple, tangents: tuple, *, equation: ForeignEquation) -> tuple[Any, Any]:
        program, moved = pushed(equation, nonzero(tangents))
        outs = evaluate(program, *primals, *present(tangents))
        return split(outs, outs[len(moved) :], equation.out_types, moved)

    def linearize(self, primals: tuple, tangents: tuple, *, equation: ForeignEquation) -> tuple[Any, Any]:
        program, moved = pushed(equation, nonzero(tangents))
        n, ts = len(moved), present(tangents)
        if any(reached(program, (False,) * len(primals) + (True,) * len(ts))[:n]):
            # One operation gives results and tangents. Those can be had alone, and then the rest is linear.
            only = program.without_dead_code((False,) * n + (True,) * sum(moved))
            outs, found = self(*primals, equation=equation), evaluate(only, *primals, *ts)
        else:
            outs, found = linear_in_tangents(program, primals, ts, n)
        return split(outs, found, equation.out_types, moved)

    def transpose(self, ct: tuple, *args: Any, equation: ForeignEquation) -> tuple[Any, ...]:
        linear = tuple(map(is_linear, args))
        program, found = pulled(equation, linear, nonzero(ct))
        known = [x for x in args if not is_linear(x)]
        return spread(spread(evaluate(program, *known, *present(ct)), found), linear)

    def batch(self, axis: Axis, args: tuple, batched: Flags, *, equation: ForeignEquation) -> tuple[Any, Any]:
        program, out_batched = batch(equation, axis, batched)
        return tuple(evaluate(program, *args)), out_batched


foreign = Foreign("foreign")


@translates(EVERY_OTHER, contextual=True)
def every_other(equation: JaxprEqn, *inputs: Any) -> Any:
    """An operation of JAX that the table does not have."""
    refuse_what_is_no_array(equation)
    return foreign(*in_types(inputs, equation.invars), equation=ForeignEquation(equation))


def refuse_what_is_no_array(equation: JaxprEqn) -> None:
    """Raise MissingRuleError for an operation that takes or gives something else than arrays."""
    for v in (*equation.invars, *equation.outvars):
        if not isinstance(v.aval, ShapedArray):
            line = f", at {state.source}: {state.source.text}" if state.source else ""
            raise MissingRuleError(
                f"from_jax met the operation {equation.primitive.name!r} of JAX {jax.__version__}{line}.",
                f"It takes or gives {v.aval}, which is no array: minijvp has nothing that stands for it.",
                "Write this part with other functions, or keep it out of what minijvp transforms (jit it with JAX and "
                "pass its result in).",
            )
