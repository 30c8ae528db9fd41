"""Primitives that carry programs, or rules of their users."""

from __future__ import annotations

from typing import Any

from minijvp.core.jaxpr import inner_jaxprs, without_rules
from minijvp.core.primitive import Primitive
from minijvp.core.tracing import traced_by_jax
from minijvp.transforms.in_jax import has_own_derivatives


class Carrier(Primitive):
    """A primitive that carries programs. Called where JAX traces, it hands JAX the derivatives of their rules too."""

    returns_tuple = True
    has_steps = False

    def evaluate(self, args: tuple, params: dict[str, Any]) -> Any:
        if traced_by_jax() and any(map(has_own_derivatives, inner_jaxprs(params))):
            return self.evaluate_in_jax(args, params)
        return super().evaluate(args, params)

    def for_evaluation(self, params: dict[str, Any]) -> dict[str, Any]:
        return without_rules(params)

    def uses_axis(self, name: Any, params: dict[str, Any]) -> bool:
        return any(e.primitive.uses_axis(name, e.params) for jaxpr in inner_jaxprs(params) for e in jaxpr)
