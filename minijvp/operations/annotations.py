"""Operations that change nothing about a value, but say something about it."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import lax

from minijvp.core.primitive import Axis, Nondifferentiable
from minijvp.core.types import ArrayType
from minijvp.operations.families import LinearPrimitive, is_linear


class StopGradient(Nondifferentiable):
    """The operand, as a constant to every derivative."""

    recomputable = "free"

    def impl(self, x: Any) -> Any:
        return jnp.asarray(x)

    def type_rule(self, x: ArrayType) -> ArrayType:
        return x

    def batch(self, axis: Axis, args: tuple, batched: Any) -> tuple[Any, Any]:
        return self(*args), True


class OptimizationBarrier(LinearPrimitive):
    """The operands; the compiler moves no computation across."""

    returns_tuple = True
    recomputable = "free"
    linear_arguments = None

    def impl(self, *xs: Any) -> Any:
        return tuple(lax.optimization_barrier(xs))

    def type_rule(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        return types

    def jvp(self, primals: tuple, tangents: tuple) -> tuple[Any, Any]:
        return self(*primals), self.nonzero(tangents)

    def nonzero(self, ts: tuple) -> tuple:
        """The tangents or cotangents that are not None, held together."""
        if all(t is None for t in ts):
            return ts
        held = iter(self(*[t for t in ts if t is not None]))
        return tuple([None if t is None else next(held) for t in ts])

    def transpose(self, ct: tuple, *xs: Any) -> Any:
        return self.nonzero(tuple([c if is_linear(x) else None for c, x in zip(ct, xs, strict=True)]))

    def batch(self, axis: Axis, args: tuple, batched: tuple[bool, ...]) -> tuple[Any, Any]:
        return self(*args), batched


stop_gradient = StopGradient("stop_gradient")
optimization_barrier = OptimizationBarrier("optimization_barrier")
