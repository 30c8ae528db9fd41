"""Slices at computed places: dynamic_slice reads one, dynamic_update_slice writes one.

Starts are clamped so that the slice lies within the operand; before that, with `allow_negative_indices`, negative ones
count from the end: the size is added to them once.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from minijvp.core.primitive import Axis, Primitive
from minijvp.core.types import Array, ArrayType, type_of
from minijvp.errors import ArgumentError
from minijvp.operations.casting import convert_element_type
from minijvp.operations.elementwise import lt, select_n
from minijvp.operations.families import (
    LinearPrimitive,
    add,
    broadcast_in_dim,
    instantiate,
    is_linear,
    leading_axis,
    reshape,
    zeros_like,
)
from minijvp.operations.gather import gather, scatter
from minijvp.operations.shape import concatenate

CLIP = lax.GatherScatterMode.CLIP


class DynamicSlice(LinearPrimitive):
    """The part of `slice_sizes` that begins at `starts`, integers without axes, one for each axis of the operand."""

    recomputable = "free"

    def impl(
        self, x: Array, *starts: Array, slice_sizes: tuple[int, ...], allow_negative_indices: bool = True
    ) -> Array:
        return lax.dynamic_slice(x, same_dtype(starts), slice_sizes, allow_negative_indices=allow_negative_indices)

    def type_rule(self, x: ArrayType, *starts: ArrayType, slice_sizes: tuple[int, ...], **params: bool) -> ArrayType:
        require_starts(self.name, x, starts, slice_sizes)
        return ArrayType(slice_sizes, x.dtype, x.weak_type)

    def transpose(self, ct: Array, x: ArrayType, *starts: Array, slice_sizes: tuple[int, ...], **params: bool) -> Array:
        return dynamic_update_slice(zeros_like(x), ct, *starts, **params)

    def batch(
        self, axis: Axis, args: tuple, batched: tuple[bool, ...], *, slice_sizes: tuple[int, ...], **params: bool
    ) -> tuple[Any, Any]:
        x, *starts = args
        if not any(batched[1:]):
            return self(x, 0, *starts, slice_sizes=(axis.size, *slice_sizes), **params), True
        indices = stacked_starts(axis, starts, batched[1:], type_of(x).shape[batched[0] :], **params)
        numbers = lax.GatherDimensionNumbers(
            offset_dims=tuple(range(len(slice_sizes))),
            collapsed_slice_dims=(),
            start_index_map=tuple(range(len(slice_sizes))),
        )
        how = {"indices_are_sorted": True, "unique_indices": True, "mode": CLIP, "fill_value": None}
        return gather.batch(
            axis, (x, indices), (batched[0], True), dimension_numbers=numbers, slice_sizes=slice_sizes, **how
        )


class DynamicUpdateSlice(Primitive):
    """The operand with `update` written over the part that begins at `starts`."""

    def impl(self, x: Array, update: Array, *starts: Array, allow_negative_indices: bool = True) -> Array:
        return lax.dynamic_update_slice(x, update, same_dtype(starts), allow_negative_indices=allow_negative_indices)

    def type_rule(self, x: ArrayType, update: ArrayType, *starts: ArrayType, **params: bool) -> ArrayType:
        require_starts(self.name, x, starts, update.shape)
        if x.dtype != update.dtype:
            raise ArgumentError(
                f"{self.name} of {update!r} into {x!r}.",
                "The dtypes must agree.",
                "Convert one: update.astype(x.dtype).",
            )
        return x.strong() if x.shape or not update.weak_type else x

    def jvp(self, primals: tuple, tangents: tuple, **params: bool) -> tuple[Any, Any]:
        x, update, *starts = primals
        out = self(*primals, **params)
        if tangents[0] is None and tangents[1] is None:
            return out, None
        return out, self(instantiate(tangents[0], x), instantiate(tangents[1], update), *starts, **params)

    def transpose(self, ct: Array, x: Any, update: Any, *starts: Array, **params: bool) -> Any:
        ct_x = self(ct, zeros_like(update), *starts, **params) if is_linear(x) else None
        ct_update = dynamic_slice(ct, *starts, slice_sizes=update.shape, **params) if is_linear(update) else None
        return (ct_x, ct_update, *(None,) * len(starts))

    def batch(self, axis: Axis, args: tuple, batched: tuple[bool, ...], **params: bool) -> tuple[Any, Any]:
        x, update, *starts = args
        if not any(batched[2:]):
            x, update = leading_axis(axis, x, batched[0]), leading_axis(axis, update, batched[1])
            return self(x, update, 0, *starts, **params), True
        indices = stacked_starts(axis, starts, batched[2:], type_of(x).shape[batched[0] :], **params)
        dimensions = tuple(range(len(starts)))
        numbers = lax.ScatterDimensionNumbers(
            update_window_dims=dimensions, inserted_window_dims=(), scatter_dims_to_operand_dims=dimensions
        )
        how = {"indices_are_sorted": True, "unique_indices": True, "mode": CLIP}
        return scatter.batch(
            axis, (x, indices, update), (batched[0], True, batched[1]), dimension_numbers=numbers, **how
        )


def require_starts(name: str, x: ArrayType, starts: tuple[ArrayType, ...], sizes: tuple[int, ...]) -> None:
    """Raise ArgumentError unless there is a start for each axis, an integer, and the part fits."""
    fits = len(starts) == len(sizes) == x.ndim and all(0 <= m <= n for m, n in zip(sizes, x.shape))
    dtypes = {s.dtype for s in starts if not s.weak_type}
    if not fits or len(dtypes) > 1 or any(s.shape or s.dtype.kind not in "iu" for s in starts):
        raise ArgumentError(
            f"{name} of a part of shape {sizes} of {x!r} at {', '.join(map(repr, starts)) or 'no starts'}.",
            "It needs for each axis a start without axes, all of one integer dtype, "
            "and a part no larger than the operand.",
        )


def same_dtype(starts: Any) -> Any:
    """The starts in one dtype; Python scalars arrive with a weak one in compiled code."""
    return [lax.convert_element_type(s, wide_enough(jnp.result_type(*starts))) for s in starts]


def wide_enough(dtype: Any) -> Any:
    """A dtype in which an index plus the size of an axis does not overflow: int8 and int16 become int32."""
    return jnp.promote_types(dtype, np.int32) if dtype.itemsize < 4 else dtype


def stacked_starts(
    axis: Axis, starts: Any, batched: tuple[bool, ...], shape: tuple[int, ...], allow_negative_indices: bool = True
) -> Array:
    """The starts of all rows in an operand of this shape as an array of shape (rows, axes), counted from 0."""
    wide = wide_enough(next(type_of(s).dtype for s, b in zip(starts, batched) if b))
    columns = []
    for s, b in zip(starts, batched, strict=True):
        s = leading_axis(axis, np.asarray(s).astype(wide) if type(s) is int else s, b)
        columns.append(reshape(convert_element_type(s, new_dtype=wide), new_sizes=(axis.size, 1)))
    places = concatenate(*columns, dimension=1)
    if wide.kind == "u" or not allow_negative_indices:
        return places
    sizes = broadcast_in_dim(np.asarray(shape, wide), shape=(axis.size, len(shape)), broadcast_dimensions=(1,))
    return select_n(lt(places, 0), places, add(places, sizes))


dynamic_slice = DynamicSlice("dynamic_slice")
dynamic_update_slice = DynamicUpdateSlice("dynamic_update_slice")
