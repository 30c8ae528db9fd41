"""Functions that bring their own way to be batched.

A batched call is the program that the rule gives, and is differentiated as that. A call that is differentiated before
it is batched stays a function with a rule: its jvp, which for batches is the jvp of what the rule gives. Reverse mode
transposes the tangents of that, which are computed from the arguments again: a batch has residuals of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jax.custom_batching import custom_vmap

from minijvp.calls.call import ProgramCall
from minijvp.calls.programs import Flags, either, filled, flat, groups, in_series, present
from minijvp.calls.taylor import pushed
from minijvp.core.jaxpr import Jaxpr, evaluate, lower
from minijvp.core.primitive import Axis
from minijvp.core.tracing import traced_by_jax
from minijvp.core.types import Array, ArrayType, Params
from minijvp.operations.families import all_batched, instantiate, is_linear, nonzero, spread
from minijvp.transforms.jvp import jvp_jaxpr
from minijvp.transforms.staging import stage
from minijvp.transforms.transpose import transpose_jaxpr


class BatchRule:
    """The program for batches of some arguments, which `make` gives; all its results are batched. Known by identity."""

    __slots__ = ("made", "make")

    def __init__(self, make: Callable[[Axis, Flags], Jaxpr]):
        self.make = make
        self.made: dict[tuple[Axis, Flags], Jaxpr] = {}

    def __call__(self, axis: Axis, batched: Flags) -> Jaxpr:
        found = self.made.get((axis, batched))
        if found is None:
            found = self.made[axis, batched] = self.make(axis, batched)
        return found

    def __repr__(self) -> str:
        return "<rule>"


class CustomVmapCall(ProgramCall):
    """The outputs of an open jaxpr; those of a batch are by `rule`."""

    rules = ("rule",)
    is_call = True
    recomputable = "never"
    own_derivative = True

    def for_evaluation(self, params: Params) -> dict[str, Any]:
        # JAX may batch what it traces; what is computed is not batched any more.
        return params if traced_by_jax() else super().for_evaluation(params)

    def impl(self, *args: Array, jaxpr: Jaxpr, rule: BatchRule | None) -> tuple[Any, ...]:
        if rule is None:
            return tuple(lower(jaxpr, *args))
        function = custom_vmap(lambda *xs: list(lower(jaxpr, *xs)))

        @function.def_vmap
        def batch(size: int, batched: Sequence[bool], *xs: Array) -> tuple[list[Any], list[bool]]:
            return list(lower(rule(Axis(size), tuple(batched)), *xs)), [True] * len(jaxpr.outputs)

        return tuple(function(*args))

    def jvp(self, primals: tuple, tangents: tuple, *, jaxpr: Jaxpr, rule: BatchRule) -> tuple[Any, Any]:
        flags = nonzero(tangents)
        pushed, out_nonzero = jvp_jaxpr(jaxpr, flags)
        outs = self(*primals, *present(tangents), jaxpr=pushed, rule=duals(rule, flags, out_nonzero))
        outs, ts = groups(outs, len(jaxpr.outputs))
        return tuple(outs), spread(ts, out_nonzero)

    def taylor_to(self, order: int, primals: tuple, series: tuple, *, jaxpr: Jaxpr, rule: BatchRule) -> tuple[Any, Any]:
        flags = nonzero(series)
        program, out_nonzero = pushed(jaxpr, flags, order)
        given = flat(filled(series, primals, flags, order))
        outs = self(*primals, *given, jaxpr=program, rule=duals(rule, flags, out_nonzero, order))
        outs, coefficients = groups(outs, len(jaxpr.outputs))
        return tuple(outs), in_series(coefficients, out_nonzero, order)

    def linearize(self, primals: tuple, tangents: tuple, *, jaxpr: Jaxpr, rule: BatchRule) -> tuple[Any, Any]:
        flags, n = nonzero(tangents), len(jaxpr.outputs)
        pushed, out_nonzero = jvp_jaxpr(jaxpr, flags)
        wanted = (False,) * n + (True,) * sum(out_nonzero)
        outs = self(*primals, jaxpr=jaxpr, rule=rule)
        only = lambda made: made.without_dead_code(wanted)
        tangents_rule = BatchRule(lambda axis, batched: only(duals(rule, flags, out_nonzero)(axis, batched)))
        ts = self(*primals, *present(tangents), jaxpr=only(pushed), rule=tangents_rule)
        return outs, spread(ts, out_nonzero)

    def transpose(self, ct: tuple, *args: Any, jaxpr: Jaxpr, rule: BatchRule) -> tuple[Any, ...]:
        linear, flags = tuple(map(is_linear, args)), nonzero(ct)
        pulled, found = transpose_jaxpr(jaxpr, linear, flags)
        known = [x for x in args if not is_linear(x)]
        cts = self(*known, *present(ct), jaxpr=pulled, rule=cotangents(rule, linear, flags, found))
        return spread(spread(cts, found), linear)

    def batch(
        self, axis: Axis, args: tuple, batched: tuple[bool, ...], *, jaxpr: Jaxpr, rule: BatchRule
    ) -> tuple[Any, Any]:
        outs = evaluate(rule(axis, batched), *args)
        return tuple(outs), (True,) * len(outs)


custom_vmap_call = CustomVmapCall("custom_vmap_call")


def duals(rule: BatchRule, flags: Flags, out_nonzero: Flags, order: int | None = None) -> BatchRule:
    """The rule of the jvp, where these arguments and results have tangents: batched, if what they belong to is.

    For an order, tangents are so many Taylor coefficients, one of which may be batched.
    """
    n = order or 1

    def make(axis: Axis, batched: Flags) -> Jaxpr:
        of_primals, of_tangents = batched[: len(flags)], batched[len(flags) :]
        wanted = either(of_primals, [any(own or ()) for own in in_series(of_tangents, flags, n)])
        program, own = pushed(rule(axis, wanted), flags, order)
        inputs = wanted + tuple([w for w, flag in zip(wanted, flags, strict=True) if flag for _ in range(n)])

        def fun(*args: Array) -> list[Any]:
            outs, ts = groups(evaluate(program, *with_axis(axis, args, batched, inputs)), len(own))
            return [*outs, *flat(filled(in_series(ts, own, n), outs, out_nonzero, n))]

        return stage(fun, unbatched(axis, program.in_types, batched, inputs), program.name)

    return BatchRule(make)


def cotangents(rule: BatchRule, linear: Flags, flags: Flags, found: Flags) -> BatchRule:
    """The rule of the transpose in the arguments that are `linear`, of each of which every lane has its own."""

    def make(axis: Axis, batched: Flags) -> Jaxpr:
        known = iter(batched)
        wanted = tuple([flag or next(known) for flag in linear])
        of_known = tuple([w for w, flag in zip(wanted, linear, strict=True) if not flag])
        program, own = transpose_jaxpr(rule(axis, wanted), linear, flags)
        types = [t for t, flag in zip(rule(axis, wanted).in_types, linear, strict=True) if flag]
        inputs = of_known + (True,) * sum(flags)

        def fun(*args: Array) -> list[Any]:
            cts = spread(evaluate(program, *with_axis(axis, args, batched, inputs)), own)
            return [instantiate(ct, t) for ct, t, flag in zip(cts, types, found, strict=True) if flag]

        return stage(fun, unbatched(axis, program.in_types, batched, inputs), program.name)

    return BatchRule(make)


def with_axis(axis: Axis, args: Sequence[Any], batched: Flags, wanted: Flags) -> list[Any]:
    """The arguments, with the batch axis where it is wanted."""
    return all_batched(axis, args, [b or not w for b, w in zip(batched, wanted, strict=True)])


def unbatched(axis: Axis, types: Sequence[ArrayType], batched: Flags, wanted: Flags) -> list[ArrayType]:
    """The types of arguments before they got the batch axis where it is wanted."""
    return [t.with_shape(t.shape[1:]) if w and not b else t for t, b, w in zip(types, batched, wanted, strict=True)]
