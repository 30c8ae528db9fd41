"""Static slices and padding: each the transpose of the other."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from minijvp.core.primitive import Axis
from minijvp.core.types import Array, ArrayType, ScalarType, type_of
from minijvp.errors import ArgumentError
from minijvp.operations.elementwise import select_n, sub
from minijvp.operations.families import (
    LinearPrimitive,
    broadcast_in_dim,
    instantiate,
    is_linear,
    leading_axis,
    reduce_sum,
)

Indices = tuple[int, ...]


class Slice(LinearPrimitive):
    """The elements from `start_indices` to before `limit_indices`, in steps of `strides` (None: 1)."""

    recomputable = "free"

    def impl(self, x: Array, *, start_indices: Indices, limit_indices: Indices, strides: Indices | None) -> Array:
        return lax.slice(x, start_indices, limit_indices, strides)

    def type_rule(
        self, x: ArrayType, *, start_indices: Indices, limit_indices: Indices, strides: Indices | None
    ) -> ArrayType:
        steps = strides or (1,) * x.ndim
        if not len(start_indices) == len(limit_indices) == len(steps) == x.ndim or any(
            not (0 <= a <= b <= n and s > 0) for a, b, n, s in zip(start_indices, limit_indices, x.shape, steps)
        ):
            raise ArgumentError(
                f"slice of {x!r} from {start_indices} to {limit_indices} in steps of {strides}.",
                "Each axis needs 0 <= start <= limit <= size, and a step of at least 1.",
                "Indexing, x[a:b:s], understands negative and excessive bounds; dynamic_slice takes computed starts.",
            )
        shape = tuple([-(-(b - a) // s) for a, b, s in zip(start_indices, limit_indices, steps)])
        return ArrayType(shape, x.dtype, x.weak_type)

    def transpose(
        self, ct: Array, x: ArrayType, *, start_indices: Indices, limit_indices: Indices, strides: Indices | None
    ) -> Array:
        config = []
        for a, s, n, m in zip(start_indices, strides or (1,) * x.ndim, x.shape, ct.shape, strict=True):
            covered = (m - 1) * s + 1 if m else 0
            config.append((a, n - a - covered, s - 1))
        return pad(ct, zero(ct), padding_config=tuple(config))

    def batch(
        self,
        axis: Axis,
        args: tuple,
        batched: Any,
        *,
        start_indices: Indices,
        limit_indices: Indices,
        strides: Indices | None,
    ) -> tuple[Any, Any]:
        steps = None if strides is None else (1, *strides)
        starts, limits = (0, *start_indices), (axis.size, *limit_indices)
        return self(*args, start_indices=starts, limit_indices=limits, strides=steps), True


class Pad(LinearPrimitive):
    """The operand with `padding_value` added before, after and between: (low, high, interior) for each axis."""

    linear_arguments = (0, 1)

    def impl(self, x: Array, value: Array, *, padding_config: tuple) -> Array:
        value = value if jnp.result_type(value) == x.dtype else lax.convert_element_type(value, x.dtype)
        return lax.pad(x, value, padding_config)

    def type_rule(self, x: ArrayType, value: ArrayType, *, padding_config: tuple) -> ArrayType:
        shape = tuple([low + high + n + max(n - 1, 0) * gap for n, (low, high, gap) in zip(x.shape, padding_config)])
        fits = type(value) is ScalarType or (value.dtype == x.dtype and not value.shape)
        if not fits or len(padding_config) != x.ndim or any(n < 0 for n in (*shape, *(c[2] for c in padding_config))):
            raise ArgumentError(
                f"pad of {x!r} with {value!r} by {padding_config}.",
                "It takes a value without axes of the operand's dtype, and (low, high, interior) for each axis, "
                "where interior is not negative and no more is taken away than there is.",
            )
        return ArrayType(shape, x.dtype, x.weak_type and value.weak_type and value.dtype == x.dtype)

    def jvp(self, primals: tuple, tangents: tuple, *, padding_config: tuple) -> tuple[Any, Any]:
        out = self(*primals, padding_config=padding_config)
        if tangents[0] is None and tangents[1] is None:
            return out, None
        t = instantiate(tangents[0], primals[0])
        t_value = zero(t) if tangents[1] is None else tangents[1]
        return out, self(t, t_value, padding_config=padding_config)

    def transpose(self, ct: Array, x: Any, value: Any, *, padding_config: tuple) -> Any:
        inner = unpad(ct, padding_config) if is_linear(x) or is_linear(value) else None
        ct_value = None
        if is_linear(value):
            total = reduce_sum(ct, axes=tuple(range(len(padding_config))))
            mine = reduce_sum(inner, axes=tuple(range(len(padding_config))))
            ct_value = sub(total, mine)
        return (inner if is_linear(x) else None), ct_value

    def batch(self, axis: Axis, args: tuple, batched: tuple[bool, ...], *, padding_config: tuple) -> tuple[Any, Any]:
        x, value = args
        if batched[1]:
            # Every row has its own padding value: pad a mask too, and choose.
            x = leading_axis(axis, x, batched[0])
            rows = self(x, zero(x), padding_config=((0, 0, 0), *padding_config))
            ones = broadcast_in_dim(np.True_, shape=x.shape, broadcast_dimensions=())
            inside = self(ones, np.False_, padding_config=((0, 0, 0), *padding_config))
            values = broadcast_in_dim(value, shape=rows.shape, broadcast_dimensions=(0,))
            return select_n(inside, values, rows), True
        return self(x, value, padding_config=((0, 0, 0), *padding_config)), True


def zero(x: Array) -> Array:
    """The number 0 of the dtype of x, as a literal."""
    return type_of(x).dtype.type(0)


def unpad(ct: Array, padding_config: tuple) -> Array:
    """The part of a padded array that came from the operand."""
    kept = tuple((-low, -high, 0) for low, high, _ in padding_config)
    inner = pad(ct, zero(ct), padding_config=kept)
    shape = type_of(inner).shape
    strides = tuple(interior + 1 for _, _, interior in padding_config)
    if all([s == 1 for s in strides]):
        return inner
    return slice(inner, start_indices=(0,) * len(shape), limit_indices=shape, strides=strides)


slice = Slice("slice")
pad = Pad("pad")
