"""The functions of jax.lax that read and write parts of arrays: slices, gathers and scatters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from jax import lax

from minijvp.control_flow.scatter_apply import apply_at, as_program
from minijvp.core.types import Array, type_of
from minijvp.dimensions import decided, is_symbolic
from minijvp.errors import ArgumentError
from minijvp.lax.shapes import expand_dims, integers, squeeze
from minijvp.numpy.makers import surface
from minijvp.numpy.promotion import array, as_dtype, cast, normalize_axis
from minijvp.operations import dynamic_slicing, elementwise, slicing
from minijvp.operations import gather as gathering
from minijvp.operations import scatter_mul as scatter_products

__all__ = [
    "dynamic_index_in_dim",
    "dynamic_slice",
    "dynamic_slice_in_dim",
    "dynamic_update_index_in_dim",
    "dynamic_update_slice",
    "dynamic_update_slice_in_dim",
    "gather",
    "scatter",
    "scatter_add",
    "scatter_apply",
    "scatter_max",
    "scatter_min",
    "scatter_mul",
    "scatter_sub",
    "slice",
    "slice_in_dim",
]

PROMISE = lax.GatherScatterMode.PROMISE_IN_BOUNDS


@surface(lax.slice)
def slice(operand: Array, start_indices: Any, limit_indices: Any, strides: Any = None) -> Array:
    """The elements from `start_indices` to before `limit_indices`, in steps of `strides`."""
    return slicing.slice(
        array(operand, "slice"),
        start_indices=integers(start_indices),
        limit_indices=integers(limit_indices),
        strides=None if strides is None else integers(strides),
    )


@surface(lax.slice_in_dim)
def slice_in_dim(
    operand: Array, start_index: int | None, limit_index: int | None, stride: int = 1, axis: int = 0
) -> Array:
    """The elements from `start_index` to before `limit_index` along one axis."""
    shape = type_of(operand).shape
    axis = normalize_axis(axis, len(shape), "slice_in_dim")
    n = shape[axis]
    start, limit = (0 if start_index is None else start_index), (n if limit_index is None else limit_index)
    starts, limits, strides = [0] * len(shape), list(shape), [1] * len(shape)
    starts[axis], limits[axis], strides[axis] = counted(start, n), counted(limit, n), stride
    return slice(operand, starts, limits, strides)


def counted(i: Any, n: Any) -> Any:
    """An index along an axis of size n that counts from its end where it is negative, counted from its start."""
    return i + n if decided(lambda: i < 0) else i


def starts_of(x: Array, indices: Any, negative: Any, function: str) -> tuple[list[Any], bool]:
    """The starts of a dynamic slice, and whether the primitive counts negative ones from the end.

    `negative` says that of all axes, or of each. Starts that Python knows are within the axis afterwards.
    """
    shape = type_of(x).shape
    if not isinstance(indices, (tuple, list)):
        indices = list(indices)
    flags = tuple(negative) if isinstance(negative, (tuple, list)) else (negative,) * len(shape)
    starts: list[Any] = [start_at(i, n, wraps, function) for i, n, wraps in zip(indices, shape, flags, strict=True)]
    traced = [d for d, i in enumerate(starts) if type(i) is not int]
    if len({starts[d].dtype for d in traced}) > 1:
        starts = [i if type(i) is int else cast(i, (as_dtype(int), False)) for i in starts]
    wrapping = [d for d in traced if flags[d]]
    for d in traced:
        if wrapping and not flags[d]:
            starts[d] = elementwise.max_(starts[d], 0)  # which the primitive leaves as it is
    return starts, bool(wrapping)


def start_at(i: Any, n: Any, wraps: bool, function: str) -> Any:
    """A start along an axis of size n: an integer if Python knows it."""
    known = (type(i) is int or isinstance(i, np.integer)) and not is_symbolic(n)
    return known_start(i, n, wraps, function) if known else array(i, function)


def known_start(i: Any, n: int, wraps: bool, function: str) -> int:
    """A start along an axis of size n that Python knows, clamped. Raises ArgumentError if it must not be negative."""
    if i < 0 and not wraps:
        raise ArgumentError(
            f"minijvp.lax.{function} received the index {i} and allow_negative_indices=False.",
            "Then no index counts from the end.",
            "Omit allow_negative_indices, or pass an index that is not negative.",
        )
    return min(max(int(i) + n * int(i < 0), 0), n)


@surface(lax.dynamic_slice)
def dynamic_slice(operand: Array, start_indices: Any, slice_sizes: Any, *, allow_negative_indices: Any = True) -> Array:
    """The part of a given size that begins at computed starts, which are clamped into bounds."""
    x = array(operand, "dynamic_slice")
    starts, wraps = starts_of(x, start_indices, allow_negative_indices, "dynamic_slice")
    sizes = integers(slice_sizes)
    return dynamic_slicing.dynamic_slice(x, *starts, slice_sizes=sizes, allow_negative_indices=wraps)


@surface(lax.dynamic_update_slice)
def dynamic_update_slice(
    operand: Array, update: Array, start_indices: Any, *, allow_negative_indices: Any = True
) -> Array:
    """The operand with `update` over the part that begins at computed starts, which are clamped into bounds."""
    x, y = array(operand, "dynamic_update_slice"), array(update, "dynamic_update_slice")
    starts, wraps = starts_of(x, start_indices, allow_negative_indices, "dynamic_update_slice")
    return dynamic_slicing.dynamic_update_slice(x, y, *starts, allow_negative_indices=wraps)


@surface(lax.dynamic_slice_in_dim)
def dynamic_slice_in_dim(
    operand: Array, start_index: Array, slice_size: int, axis: int = 0, *, allow_negative_indices: bool = True
) -> Array:
    """`slice_size` elements along one axis, from a computed start."""
    shape = type_of(operand).shape
    axis = normalize_axis(axis, len(shape), "dynamic_slice_in_dim")
    starts: list[Any] = [0] * len(shape)
    starts[axis] = start_index
    sizes = (*shape[:axis], slice_size, *shape[axis + 1 :])
    return dynamic_slice(operand, starts, sizes, allow_negative_indices=allow_negative_indices)


@surface(lax.dynamic_index_in_dim)
def dynamic_index_in_dim(
    operand: Array, index: Array, axis: int = 0, keepdims: bool = True, *, allow_negative_indices: bool = True
) -> Array:
    """The element at a computed place along one axis."""
    out = dynamic_slice_in_dim(operand, index, 1, axis, allow_negative_indices=allow_negative_indices)
    return out if keepdims else squeeze(out, (axis,))


@surface(lax.dynamic_update_slice_in_dim)
def dynamic_update_slice_in_dim(
    operand: Array, update: Array, start_index: Array, axis: int, *, allow_negative_indices: bool = True
) -> Array:
    """The operand with `update` over the part that begins at a computed place along one axis."""
    ndim = len(type_of(operand).shape)
    starts: list[Any] = [0] * ndim
    starts[normalize_axis(axis, ndim, "dynamic_update_slice_in_dim")] = start_index
    return dynamic_update_slice(operand, update, starts, allow_negative_indices=allow_negative_indices)


@surface(lax.dynamic_update_index_in_dim)
def dynamic_update_index_in_dim(
    operand: Array, update: Array, index: Array, axis: int, *, allow_negative_indices: bool = True
) -> Array:
    """The operand with `update` at a computed place along one axis."""
    x, y = array(operand, "dynamic_update_index_in_dim"), array(update, "dynamic_update_index_in_dim")
    ndim = len(type_of(x).shape)
    axis = normalize_axis(axis, ndim, "dynamic_update_index_in_dim")
    y = y if len(type_of(y).shape) == ndim else expand_dims(y, (axis,))
    return dynamic_update_slice_in_dim(x, y, index, axis, allow_negative_indices=allow_negative_indices)


@surface(lax.gather)
def gather(
    operand: Array,
    start_indices: Array,
    dimension_numbers: lax.GatherDimensionNumbers,
    slice_sizes: Any,
    *,
    unique_indices: bool = False,
    indices_are_sorted: bool = False,
    mode: Any = None,
    fill_value: Any = None,
) -> Array:
    """Slices of the operand at computed places; without a `mode`, these are promised to be in bounds."""
    return gathering.gather(
        array(operand, "gather"),
        array(start_indices, "gather"),
        dimension_numbers=dimension_numbers,
        slice_sizes=integers(slice_sizes),
        unique_indices=unique_indices,
        indices_are_sorted=indices_are_sorted,
        mode=PROMISE if mode is None else lax.GatherScatterMode.from_any(mode),
        fill_value=fill_value,
    )


def scattering(original: Any, primitive: Any) -> Any:
    """A scatter with the signature of jax.lax."""

    def traced(
        operand: Array,
        scatter_indices: Array,
        updates: Array,
        dimension_numbers: lax.ScatterDimensionNumbers,
        *,
        indices_are_sorted: bool = False,
        unique_indices: bool = False,
        mode: Any = None,
    ) -> Array:
        return primitive(
            *[array(v, original.__name__) for v in (operand, scatter_indices, updates)],
            dimension_numbers=dimension_numbers,
            indices_are_sorted=indices_are_sorted,
            unique_indices=unique_indices,
            mode=lax.GatherScatterMode.from_any(mode),
        )

    return surface(original)(traced)


scatter = scattering(lax.scatter, gathering.scatter)
scatter_add = scattering(lax.scatter_add, gathering.scatter_add)
scatter_sub = scattering(lax.scatter_sub, gathering.scatter_sub)
scatter_mul = scattering(lax.scatter_mul, scatter_products.scatter_mul)
scatter_min = scattering(lax.scatter_min, gathering.scatter_min)
scatter_max = scattering(lax.scatter_max, gathering.scatter_max)


@surface(lax.scatter_apply)
def scatter_apply(
    operand: Array,
    scatter_indices: Array,
    func: Callable[[Any], Any],
    dimension_numbers: lax.ScatterDimensionNumbers,
    *,
    update_shape: Any = (),
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
    mode: Any = None,
) -> Array:
    """The operand with a function of one number applied at computed places, once for each time that one is named.

    It is differentiated too. Raises ArgumentError if `func` does not return one number of the dtype of the operand.
    """
    x, indices = array(operand, "scatter_apply"), array(scatter_indices, "scatter_apply")
    return apply_at(
        x,
        indices,
        *as_program(func, type_of(x)),
        dimension_numbers=dimension_numbers,
        update_shape=integers(update_shape),
        indices_are_sorted=indices_are_sorted,
        unique_indices=unique_indices,
        mode=lax.GatherScatterMode.from_any(mode),
    )
