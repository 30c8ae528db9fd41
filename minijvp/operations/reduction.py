"""Reductions: a binary operation applied along axes, which disappear from the shape. The sum is in `families`."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from minijvp.core.primitive import Axis, Nondifferentiable, Primitive
from minijvp.core.types import Array, ArrayType, Axes, type_of
from minijvp.errors import ArgumentError
from minijvp.operations.bitwise import bitwise_not
from minijvp.operations.casting import convert_element_type
from minijvp.operations.elementwise import bitwise_or, div, eq, full_like, gt, is_complex, lt, mul, ne, select_n
from minijvp.operations.families import add_tangents, broadcast_in_dim, reduce_sum, reshape, shifted, zeros_like
from minijvp.operations.shape import transpose
from minijvp.operations.slicing import pad
from minijvp.operations.slicing import slice as strided_slice


class Reduction(Primitive):
    """A reduction over `axes`, by the function of jax.lax of the same name."""

    recomputable = "moderate"

    def __init__(self, name: str, function: Callable[..., Any]):
        super().__init__(name, f"Reduction: see jax.lax.{name}.")
        self.function = function

    def impl(self, x: Array, *, axes: Axes) -> Array:
        return self.function(x, axes)

    def type_rule(self, x: ArrayType, *, axes: Axes) -> ArrayType:
        require_axes(self.name, x, axes)
        return x.with_shape(tuple([n for d, n in enumerate(x.shape) if d not in axes]))

    def batch(self, axis: Axis, args: tuple, batched: tuple[bool, ...], *, axes: Axes) -> tuple[Any, Any]:
        return self(*args, axes=shifted(axes)), True


def require_axes(name: str, x: ArrayType, axes: Axes) -> None:
    """Raise ArgumentError unless `axes` are distinct axes of an `x`."""
    if len(set(axes)) != len(axes) or any(not 0 <= d < x.ndim for d in axes):
        raise ArgumentError(
            f"{name} of {x!r} over axes {axes}.",
            f"It has {x.ndim} axes, and each can be reduced once.",
            "Name each axis once, from 0.",
        )


class ReduceExtremum(Reduction):
    """The largest or smallest element; elements that tie share the tangent. `beats` compares two elements."""

    def __init__(self, name: str, function: Callable[..., Any], beats: Primitive):
        super().__init__(name, function)
        self.beats = beats

    def jvp(self, primals: tuple, tangents: tuple, *, axes: Axes) -> tuple[Any, Any]:
        (x,), (t,) = primals, tangents
        out = self(x, axes=axes)
        if t is None:
            return out, None
        shape = type_of(x).shape
        kept = tuple(d for d in range(len(shape)) if d not in axes)
        best = broadcast_in_dim(out, shape=shape, broadcast_dimensions=kept)
        # Of both masks it takes one comparison: so the way back keeps, or computes again, as little as can be.
        beaten = bitwise_not(winners(x, best)) if is_complex(out) else self.beats(best, x)
        count = reduce_sum(shares(x, bitwise_not(beaten)), axes=axes)
        return out, div(reduce_sum(select_n(beaten, t, zeros_like(t)), axes=axes), count)


def winners(x: Array, out: Array) -> Array:
    """Which elements are the extremum: all of them, where that is nan."""
    return bitwise_or(eq(x, out), ne(out, out))


def shares(x: Array, won: Array) -> Array:
    """1 for those that tie, 0 for others: their sum divides the tangent. It is nan where the extremum is."""
    ones = convert_element_type(won, new_dtype=type_of(x).dtype, weak_type=False)
    return select_n(ne(x, x), ones, full_like(ones, np.nan))


class ReduceProd(Reduction):
    """The product. Its tangent multiplies duals in a balanced tree, so that zeros among the factors do no harm."""

    def jvp(self, primals: tuple, tangents: tuple, *, axes: Axes) -> tuple[Any, Any]:
        (x,), (t,) = primals, tangents
        out = self(x, axes=axes)
        if t is None:
            return out, None
        x, t = (joined(v, axes) for v in (x, t))
        axis = len(x.shape) - 1
        if x.shape[axis] == 0:
            return out, None
        while x.shape[axis] > 1:
            x_halves, t_halves = halves(x, axis, 1), halves(t, axis, 0)
            t = add_tangents(mul(t_halves[0], x_halves[1]), mul(x_halves[0], t_halves[1]))
            x = mul(*x_halves)
        return out, reshape(t, new_sizes=type_of(out).shape)


def joined(x: Array, axes: Axes) -> Array:
    """`x` with `axes` made one, the last."""
    shape = type_of(x).shape
    kept = tuple(d for d in range(len(shape)) if d not in axes)
    x = transpose(x, permutation=(*kept, *axes)) if (*kept, *axes) != tuple(range(len(shape))) else x
    sizes = (*(shape[d] for d in kept), prod(shape[d] for d in axes))
    return x if sizes == shape else reshape(x, new_sizes=sizes)


def halves(x: Array, axis: int, fill: int) -> tuple[Any, Any]:
    """The first and the second half of x along its last axis; an odd length is filled up."""
    shape, dtype = type_of(x).shape, type_of(x).dtype
    half = -(-shape[axis] // 2)
    if shape[axis] % 2:
        x = pad(x, dtype.type(fill), padding_config=((0, 0, 0),) * axis + ((0, 1, 0),))
    start, middle = (0,) * len(shape), (*shape[:axis], half)
    first = strided_slice(x, start_indices=start, limit_indices=middle, strides=None)
    second = strided_slice(
        x, start_indices=(*start[:axis], half), limit_indices=(*shape[:axis], 2 * half), strides=None
    )
    return first, second


class ReduceBits(Reduction, Nondifferentiable):
    """A bitwise reduction of integers or booleans. It has no tangent."""


class ArgExtremum(Nondifferentiable):
    """The index of the first largest or smallest element along one axis."""

    recomputable = "moderate"

    def __init__(self, name: str, function: Callable[..., Any]):
        super().__init__(name, f"Index of an extremum: see jax.lax.{name}.")
        self.function = function

    def impl(self, x: Array, *, axes: Axes, index_dtype: Any) -> Array:
        return self.function(x, axes[0], index_dtype)

    def type_rule(self, x: ArrayType, *, axes: Axes, index_dtype: Any) -> ArrayType:
        require_axes(self.name, x, axes)
        if len(axes) != 1 or not jnp.issubdtype(index_dtype, np.integer) or not x.shape[axes[0]]:
            raise ArgumentError(
                f"{self.name} of {x!r} along axes {axes} with indices of dtype {index_dtype}.",
                "It works along one axis, which must not be empty, and its result is an integer.",
            )
        return ArrayType(tuple([n for d, n in enumerate(x.shape) if d not in axes]), np.dtype(index_dtype))

    def batch(
        self, axis: Axis, args: tuple, batched: tuple[bool, ...], *, axes: Axes, index_dtype: Any
    ) -> tuple[Any, Any]:
        return self(*args, axes=shifted(axes), index_dtype=index_dtype), True


reduce_max = ReduceExtremum("reduce_max", lax.reduce_max, gt)
reduce_min = ReduceExtremum("reduce_min", lax.reduce_min, lt)
reduce_prod = ReduceProd("reduce_prod", lax.reduce_prod)
reduce_and = ReduceBits("reduce_and", lax.reduce_and)
reduce_or = ReduceBits("reduce_or", lax.reduce_or)
reduce_xor = ReduceBits("reduce_xor", lax.reduce_xor)
argmax = ArgExtremum("argmax", lax.argmax)
argmin = ArgExtremum("argmin", lax.argmin)
