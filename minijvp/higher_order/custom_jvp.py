"""Functions that bring their own derivative, as a rule for tangents."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from minijvp import trees
from minijvp.core.jaxpr import Jaxpr, evaluate, lower
from minijvp.core.primitive import Axis, Primitive
from minijvp.core.types import ArrayType, is_inexact, type_of
from minijvp.higher_order.deferred import Deferred
from minijvp.higher_order.jit import spread
from minijvp.operations.casting import convert_element_type
from minijvp.operations.families import instantiate
from minijvp.transforms.vmap import vmap_jaxpr

Rule = Jaxpr | Deferred
"""An open jaxpr, at once or, for a rule that calls its own function, when it is needed."""


class CustomJVPCall(Primitive):
    """The outputs of an open jaxpr, whose derivative is `rule`: another one, of arguments and tangents.

    `rule` takes the arguments and then a tangent for each that is inexact, and gives the outputs and then a tangent for
    each that is inexact. It is differentiated in turn for derivatives of higher order.
    """

    returns_tuple = True
    recomputable = "never"
    has_steps = False

    def impl(self, *args: Any, jaxpr: Jaxpr, rule: Rule, name: str) -> tuple[Any, ...]:
        return tuple(lower(jaxpr, *args))

    def type_rule(self, *types: ArrayType, jaxpr: Jaxpr, rule: Rule, name: str) -> tuple[ArrayType, ...]:
        return jaxpr.out_types

    def jvp(self, primals: tuple, tangents: tuple, *, jaxpr: Jaxpr, rule: Rule, name: str) -> tuple[Any, Any]:
        ts = instantiate_inexact(tangents, map(type_of, primals))
        types = (*jaxpr.out_types, *tangent_types(jaxpr.out_types))
        outs = evaluate_as(types, program(rule), *primals, *ts)
        n = len(jaxpr.outputs)
        return outs[:n], spread(outs[n:], are_inexact(jaxpr.out_types))

    def batch(
        self, axis: Axis, args: tuple, batched: tuple[bool, ...], *, jaxpr: Jaxpr, rule: Rule, name: str
    ) -> tuple[Any, Any]:
        # Which outputs the rule makes batched is not known before it is needed, so here and there all are.
        ts = tuple([b for b, i in zip(batched, are_inexact(jaxpr.in_types), strict=True) if i])
        rule = batched_rule(rule, axis, batched + ts)
        outs = self(*args, jaxpr=vmap_all(jaxpr, axis, batched), rule=rule, name=name)
        return outs, (True,) * len(outs)

    def uses_axis(self, name: Any, params: dict[str, Any]) -> bool:
        return any(e.primitive.uses_axis(name, e.params) for e in params["jaxpr"])


def program(rule: Rule) -> Jaxpr:
    """The rule as a jaxpr."""
    return rule() if isinstance(rule, Deferred) else rule


def vmap_all(jaxpr: Jaxpr, axis: Axis, batched: tuple[bool, ...]) -> Jaxpr:
    """The batched program of an open jaxpr, every output of which is batched."""
    return vmap_jaxpr(jaxpr, axis, batched, (True,) * len(jaxpr.outputs))[0]


@lru_cache(maxsize=4096)
def batched_rule(rule: Rule, axis: Axis, batched: tuple[bool, ...]) -> Deferred:
    """The batched rule, every output of which is batched."""
    return Deferred(lambda: vmap_all(program(rule), axis, batched))


def evaluate_as(types: Sequence[ArrayType], jaxpr: Jaxpr, *args: Any) -> tuple[Any, ...]:
    """The outputs of a program, computed by the current trace, as arrays that are no weaker than `types`."""
    outs = []
    for x, kind in zip(evaluate(jaxpr, *args), types, strict=True):
        if trees.needs_conversion(x) or (not kind.weak_type and type_of(x).weak_type):
            x = convert_element_type(x, new_dtype=kind.dtype, weak_type=kind.weak_type)
        outs.append(x)
    return tuple(outs)


def are_inexact(types: Sequence[ArrayType]) -> tuple[bool, ...]:
    """Which of these types have tangents."""
    return tuple([is_inexact(t.dtype) for t in types])


def tangent_types(types: Sequence[ArrayType]) -> tuple[ArrayType, ...]:
    """The types of the tangents of those that have one."""
    return tuple([t.strong() for t in types if is_inexact(t.dtype)])


def instantiate_inexact(ts: Sequence[Any], types: Any) -> list[Any]:
    """The tangents of values of these types that have one, zeros for None."""
    return [instantiate(t, kind) for t, kind in zip(ts, types, strict=True) if is_inexact(kind.dtype)]


custom_jvp_call = CustomJVPCall("custom_jvp_call")
