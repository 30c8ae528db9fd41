"""Primitives that carry programs, or rules of their users."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minijvp.calls.in_jax import has_own_derivatives
from minijvp.core.jaxpr import Jaxpr, inner_jaxprs, without_rules
from minijvp.core.primitive import Nondifferentiable, Primitive
from minijvp.core.tracing import traced_by_jax
from minijvp.core.types import is_inexact
from minijvp.operations.families import Elementwise


class Carrier(Primitive):
    """A primitive that carries programs. Called where JAX traces, it hands JAX the derivatives of their rules too."""

    has_steps = False

    def evaluate(self, args: tuple, params: dict[str, Any]) -> Any:
        if traced_by_jax() and any(map(has_own_derivatives, inner_jaxprs(params))):
            return self.evaluate_in_jax(args, params)
        return super().evaluate(args, params)

    def for_evaluation(self, params: dict[str, Any]) -> dict[str, Any]:
        return without_rules(params)

    def uses_axis(self, name: Any, params: dict[str, Any]) -> bool:
        return any(e.primitive.uses_axis(name, e.params) for jaxpr in inner_jaxprs(params) for e in jaxpr)


def reached(jaxpr: Jaxpr, inputs: Sequence[bool], differentiable: bool = False) -> tuple[bool, ...]:
    """Which outputs depend on one of these inputs; with `differentiable`, so that they can have a tangent."""
    known = {v for v, flag in zip(jaxpr.inputs, inputs, strict=True) if flag}
    for e in jaxpr.equations:
        if known.isdisjoint(e.inputs) or (differentiable and is_flat(e.primitive)):
            continue
        outputs: Sequence[Any] = e.outputs
        if len(outputs) > 1:
            flags = e.primitive.reached(e, tuple([v in known for v in e.inputs]), differentiable)
            outputs = [v for v, flag in zip(outputs, flags, strict=True) if flag]
        known.update([v for v in outputs if not differentiable or is_inexact(v.type.dtype)])
    return tuple([v in known for v in jaxpr.outputs])


def is_flat(primitive: Primitive) -> bool:
    """Whether the derivative of a primitive is zero."""
    if isinstance(primitive, Elementwise):
        return not any(primitive.derivatives)
    return isinstance(primitive, Nondifferentiable)
