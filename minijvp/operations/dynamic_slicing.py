"""Slices at computed places: dynamic_slice reads one, dynamic_update_slice writes one. Starts are clamped into bounds."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import lax

from minijvp.core.primitive import Axis, Primitive
from minijvp.core.types import ArrayType, type_of
from minijvp.errors import ArgumentError
from minijvp.operations.families import LinearPrimitive, instantiate, is_linear, leading_axis, reshape, zeros_like
from minijvp.operations.gather import gather, scatter
from minijvp.operations.shape import concatenate

CLIP = lax.GatherScatterMode.CLIP


class DynamicSlice(LinearPrimitive):
    """The part of `slice_sizes` that begins at `starts`, integers without axes, one for each axis of the operand."""

    recomputable = "free"

    def impl(self, x: Any, *starts: Any, slice_sizes: tuple[int, ...]) -> Any:
        return lax.dynamic_slice(x, starts, slice_sizes)

    def type_rule(self, x: ArrayType, *starts: ArrayType, slice_sizes: tuple[int, ...]) -> ArrayType:
        require_starts(self.name, x, starts, slice_sizes)
        return ArrayType(slice_sizes, x.dtype, x.weak_type)

    def transpose(self, ct: Any, x: ArrayType, *starts: Any, slice_sizes: tuple[int, ...]) -> Any:
        return dynamic_update_slice(zeros_like(x), ct, *starts)

    def batch(
        self, axis: Axis, args: tuple, batched: tuple[bool, ...], *, slice_sizes: tuple[int, ...]
    ) -> tuple[Any, Any]:
        x, *starts = args
        if not any(batched[1:]):
            starts = (origin_like(starts), *starts)
            return self(x, *starts, slice_sizes=(axis.size, *slice_sizes)), True
        indices = stacked_starts(axis, starts, batched[1:])
        numbers = lax.GatherDimensionNumbers(
            offset_dims=tuple(range(len(slice_sizes))),
            collapsed_slice_dims=(),
            start_index_map=tuple(range(len(slice_sizes))),
        )
        params = {"indices_are_sorted": True, "unique_indices": True, "mode": CLIP, "fill_value": None}
        return gather.batch(
            axis, (x, indices), (batched[0], True), dimension_numbers=numbers, slice_sizes=slice_sizes, **params
        )


class DynamicUpdateSlice(Primitive):
    """The operand with `update` written over the part that begins at `starts`."""

    def impl(self, x: Any, update: Any, *starts: Any) -> Any:
        return lax.dynamic_update_slice(x, update, starts)

    def type_rule(self, x: ArrayType, update: ArrayType, *starts: ArrayType) -> ArrayType:
        require_starts(self.name, x, starts, update.shape)
        if x.dtype != update.dtype:
            raise ArgumentError(f"{self.name} of {update!r} into {x!r}.", "The dtypes must agree.")
        return ArrayType(x.shape, x.dtype, x.weak_type and update.weak_type)

    def jvp(self, primals: tuple, tangents: tuple) -> tuple[Any, Any]:
        x, update, *starts = primals
        out = self(*primals)
        if tangents[0] is None and tangents[1] is None:
            return out, None
        return out, self(instantiate(tangents[0], x), instantiate(tangents[1], update), *starts)

    def transpose(self, ct: Any, x: Any, update: Any, *starts: Any) -> Any:
        ct_x = self(ct, zeros_like(update), *starts) if is_linear(x) else None
        ct_update = dynamic_slice(ct, *starts, slice_sizes=update.shape) if is_linear(update) else None
        return (ct_x, ct_update, *(None,) * len(starts))

    def batch(self, axis: Axis, args: tuple, batched: tuple[bool, ...]) -> tuple[Any, Any]:
        x, update, *starts = args
        if not any(batched[2:]):
            x, update = leading_axis(axis, x, batched[0]), leading_axis(axis, update, batched[1])
            return self(x, update, origin_like(starts), *starts), True
        indices = stacked_starts(axis, starts, batched[2:])
        dimensions = tuple(range(len(starts)))
        numbers = lax.ScatterDimensionNumbers(
            update_window_dims=dimensions, inserted_window_dims=(), scatter_dims_to_operand_dims=dimensions
        )
        params = {"indices_are_sorted": True, "unique_indices": True, "mode": CLIP}
        return scatter.batch(
            axis, (x, indices, update), (batched[0], True, batched[1]), dimension_numbers=numbers, **params
        )


def require_starts(name: str, x: ArrayType, starts: tuple[ArrayType, ...], sizes: tuple[int, ...]) -> None:
    """Raise ArgumentError unless there is a start for each axis, an integer, and the part fits."""
    fits = len(starts) == len(sizes) == x.ndim and all(m <= n for m, n in zip(sizes, x.shape, strict=True))
    if not fits or any(s.shape or not jnp.issubdtype(s.dtype, jnp.integer) for s in starts):
        raise ArgumentError(
            f"{name} of a part of shape {sizes} of {x!r} at {', '.join(map(repr, starts)) or 'no starts'}.",
            "It needs an integer start for each axis, and a part that is no larger than the operand.",
        )


def origin_like(starts: Any) -> Any:
    """The start 0, of the dtype that the other starts have."""
    return type_of(starts[0]).dtype.type(0) if starts else 0


def stacked_starts(axis: Axis, starts: Any, batched: tuple[bool, ...]) -> Any:
    """The starts of all rows, as an array of shape (rows, axes of the operand)."""
    rows = [leading_axis(axis, jnp.asarray(s) if isinstance(s, int) else s, b) for s, b in zip(starts, batched, strict=True)]
    return concatenate(*[reshape(s, new_sizes=(axis.size, 1)) for s in rows], dimension=1)


dynamic_slice = DynamicSlice("dynamic_slice")
dynamic_update_slice = DynamicUpdateSlice("dynamic_update_slice")
