"""Operations that change nothing about a value, but say something about it."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import lax
from jax.ad_checkpoint import checkpoint_name

from minijvp.core.primitive import Axis, Nondifferentiable, Primitive
from minijvp.core.types import Array, ArrayType
from minijvp.operations.elementwise import select_n
from minijvp.operations.families import LinearPrimitive, all_batched, is_linear, zeros_like


class StopGradient(Nondifferentiable):
    """The operand, as a constant to every derivative."""

    recomputable = "free"

    def impl(self, x: Array) -> Array:
        return lax.stop_gradient(jnp.asarray(x))

    def type_rule(self, x: ArrayType) -> ArrayType:
        return x

    def batch(self, axis: Axis, args: tuple, batched: Any) -> tuple[Any, Any]:
        return self(*args), True


class OrConstant(Primitive):
    """`x` where a condition holds, and elsewhere `y`, as a constant to every derivative, and to a transpose.

    The condition has the shape of both.
    """

    def impl(self, which: Array, x: Array, y: Array) -> Array:
        return lax.select(which, x, lax.stop_gradient(y))

    def type_rule(self, which: ArrayType, x: ArrayType, y: ArrayType) -> ArrayType:
        return select_n.type_rule(which, y, x)

    def jvp(self, primals: tuple, tangents: tuple) -> tuple[Any, Any]:
        t = tangents[1]
        return self(*primals), None if t is None else select_n(primals[0], zeros_like(t), t)

    def transpose(self, ct: Array, which: Array, x: Any, y: Any) -> Any:
        return None, select_n(which, zeros_like(ct), ct) if is_linear(x) else None, None

    def batch(self, axis: Axis, args: tuple, batched: tuple[bool, ...]) -> tuple[Any, Any]:
        return self(*all_batched(axis, args, batched)), True


class OptimizationBarrier(LinearPrimitive):
    """The operands; the compiler moves no computation across."""

    recomputable = "free"
    linear_arguments = None

    def impl(self, *xs: Array) -> Any:
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

    def reached(self, equation: Any, inputs: tuple[bool, ...], differentiable: bool) -> tuple[bool, ...]:
        return inputs

    def batch(self, axis: Axis, args: tuple, batched: tuple[bool, ...]) -> tuple[Any, Any]:
        return self(*args), batched


class Name(LinearPrimitive):
    """The operand, under a name by which policies of rematerialisation know it. Tangents and cotangents have none."""

    recomputable = "free"

    def impl(self, x: Array, *, name: str) -> Array:
        return checkpoint_name(x, name)

    def type_rule(self, x: ArrayType, *, name: str) -> ArrayType:
        return x

    def jvp(self, primals: tuple, tangents: tuple, *, name: str) -> tuple[Any, Any]:
        return self(*primals, name=name), tangents[0]

    def transpose(self, ct: Array, x: ArrayType, *, name: str) -> Array:
        return ct

    def batch(self, axis: Axis, args: tuple, batched: Any, *, name: str) -> tuple[Any, Any]:
        return self(*args, name=name), True


stop_gradient = StopGradient("stop_gradient")
or_constant = OrConstant("or_constant")
optimization_barrier = OptimizationBarrier("optimization_barrier")
name = Name("name")
