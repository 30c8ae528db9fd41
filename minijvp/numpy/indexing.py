"""Reading: x[...], take and take_along_axis, with every index that NumPy knows.

Spans and integers alone are a slice; integers that are traced make it a dynamic_slice; with arrays it is one gather.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import max_dim

from minijvp.core.types import Array, type_of
from minijvp.dimensions import decided, is_symbolic
from minijvp.errors import ArgumentError
from minijvp.interop.from_jax import from_jax
from minijvp.numpy.index_layout import Layout, counted_from_zero, index_dtype
from minijvp.numpy.makers import surface
from minijvp.numpy.places import (
    CLIP,
    FILL,
    NO_AXIS,
    PROMISE,
    Bounds,
    Place,
    Point,
    Span,
    bounds,
    is_static,
    out_of_bounds,
    places_of,
)
from minijvp.numpy.promotion import array, as_dtype, normalize_axis, operand, refuse
from minijvp.operations.casting import convert_element_type
from minijvp.operations.dynamic_slicing import dynamic_slice
from minijvp.operations.families import reshape, zeros
from minijvp.operations.gather import gather
from minijvp.operations.shape import rev, squeeze
from minijvp.operations.slicing import slice as static_slice

__all__ = ["take", "take_along_axis"]

# Spans and single integers


def is_simple(places: Sequence[Place], shape: tuple[int, ...], rules: Bounds) -> bool:
    """Whether a slice at a static or a traced place is enough: no arrays, and nothing out of bounds to be filled in."""
    for p in places:
        if not isinstance(p, Point):
            continue
        if p.axis == NO_AXIS:
            return False
        if is_static(p.index):
            if not decided(lambda p=p: 0 <= p.index < shape[p.axis], rules.mode in (PROMISE, CLIP)):
                return False
        elif p.index.shape or shape[p.axis] == 0 or rules.modulo or rules.mode not in (PROMISE, CLIP):
            return False
    return True


def read_simple(x: Array, places: Sequence[Place], wrap: bool) -> Array:
    """The elements at spans and single integers; an integer may be traced, and negative with `wrap`."""
    shape = x.shape
    parts: list[Any] = [None] * len(shape)
    traced: dict[int, Any] = {}
    dropped, result = [], []
    for p in places:
        if p is None:
            result.append(1)
        elif isinstance(p, Span):
            parts[p.axis] = p
            result.append(p.size)
        else:
            if not is_static(p.index):
                traced[p.axis] = p.index
            parts[p.axis] = Span(p.axis, 0 if p.axis in traced else p.index, 1, 1, False)
            dropped.append(p.axis)
    extents = tuple([extent_of(p.size, p.stride) for p in parts])
    starts = tuple([p.start for p in parts])
    if traced:
        how = {} if wrap else {"allow_negative_indices": False}
        x = dynamic_slice(x, *starts_of(starts, traced), slice_sizes=extents, **how)
        starts = (0,) * len(shape)
    strides = tuple([p.stride for p in parts])
    if extents != x.shape or any(s != 1 for s in strides):
        limits = tuple([a + n for a, n in zip(starts, extents)])
        steps = None if all(s == 1 for s in strides) else strides
        x = static_slice(x, start_indices=starts, limit_indices=limits, strides=steps)
    backwards = tuple([p.axis for p in parts if p.reverse])
    if backwards:
        x = rev(x, dimensions=backwards)
    if x.shape == tuple(result):
        return x
    if len(result) == len(shape) - len(dropped):
        return squeeze(x, dimensions=tuple(dropped))
    return reshape(x, new_sizes=tuple(result))


def extent_of(size: Any, stride: int) -> Any:
    """How many elements lie from the first to the last of some that are `stride` apart."""
    if stride == 1:
        return size
    return max_dim((size - 1) * stride + 1, 0) if is_symbolic(size) else (size - 1) * stride + 1 if size else 0


def starts_of(starts: Sequence[int], traced: dict[int, Any]) -> list[Any]:
    """The starts with the traced ones in place, all of these in one dtype."""
    if len({i.dtype for i in traced.values()}) > 1:
        dtype = as_dtype(int)
        traced = {d: i if i.dtype == dtype else convert_element_type(i, new_dtype=dtype) for d, i in traced.items()}
    return [traced.get(d, a) for d, a in enumerate(starts)]


# Reading


GETITEM = Bounds(PROMISE, True, False, True)


def getitem(x: Array, index: Any) -> Array:
    """`x[index]` for any index of NumPy; arrays in it may be traced, masks may not. Out of bounds, indices are clamped.

    Raises IndexError for an index that does not fit the axes, and, where JAX's setting jax_check_static_indices is set,
    for an integer of Python that is out of bounds; ArgumentError for what is no index,
    ConcretizationError for traced masks and traced bounds of slices.
    """
    return read(x, index, GETITEM)


def read(
    x: Array,
    index: Any,
    rules: Bounds,
    fill_value: Any = None,
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
) -> Array:
    """`x[index]` by these rules; fill_value is what FILL reads out of bounds."""
    x = array(x, "getitem")
    places = places_of(index, x.shape, rules)
    if is_simple(places, x.shape, rules):
        return read_simple(x, places, rules.wrap)
    layout = Layout(places, x.shape)
    if 0 in layout.shape:
        return with_weakness(zeros(shape=layout.shape, dtype=x.dtype), type_of(x).weak_type)
    for axis in layout.columns:
        if x.shape[axis] == 0:
            raise out_of_bounds("an index", axis, 0)
    table, in_order, unique = layout.table(rules)
    out = gather(
        x,
        table,
        dimension_numbers=layout.numbers,
        slice_sizes=layout.sizes,
        indices_are_sorted=bool(indices_are_sorted or in_order),
        unique_indices=bool(unique_indices or unique),
        mode=rules.mode,
        fill_value=static_fill(fill_value, x.dtype) if rules.mode == FILL else None,
    )
    if layout.backwards:
        out = rev(out, dimensions=layout.backwards)
    return out if layout.shape == layout.inner else reshape(out, new_sizes=layout.shape)


def with_weakness(x: Array, weak: bool) -> Array:
    """`x` with a dtype that is weak, or is not."""
    return x if type_of(x).weak_type == weak else convert_element_type(x, new_dtype=x.dtype, weak_type=weak)


def static_fill(value: Any, dtype: Any) -> Any:
    """A fill value as a parameter: a Python scalar, always the same nan."""
    if value is None:
        return None
    number = np.asarray(value).astype(dtype).item()
    return np.nan if number != number and type(number) is float else number


# take


def integer_indices(indices: Array, function: str) -> Array:
    """Indices that a function received. Raises ArgumentError unless they are integers."""
    indices = operand(indices, function)
    if type_of(indices).dtype.kind not in "iu":
        raise ArgumentError(
            f"minijvp.numpy.{function} received indices of type {type_of(indices)!r}.",
            "Indices are integers.",
            "Convert them: indices.astype(int).",
        )
    return indices


@surface(jnp.take)
def take(
    a: Array,
    indices: Array,
    axis: int | None = None,
    out: None = None,
    mode: str | None = None,
    unique_indices: bool = False,
    indices_are_sorted: bool = False,
    fill_value: Any = None,
) -> Array:
    """The elements of `a` at `indices` along `axis`, or of the flattened `a`.

    Out of bounds, mode "fill" (the default) gives `fill_value` (nan, or the smallest integer), "clip" the nearest
    element, "wrap" counts modulo the size. Negative indices count from the end, except for "clip".

    Raises ArgumentError for indices that are not integers and for unknown modes, IndexError for an empty axis.
    """
    refuse("take", "out", out)
    a, indices = array(a, "take"), operand(indices, "take")
    if type_of(indices).dtype.kind == "b":
        indices = convert_element_type(array(indices, "take"), new_dtype=np.dtype(np.int32))
    indices = integer_indices(indices, "take")
    if mode not in (None, "fill", "clip", "wrap"):
        raise ArgumentError(
            f"minijvp.numpy.take received mode={mode!r}.",
            "Its modes are 'fill', 'clip' and 'wrap'; an error at run time is not possible.",
            "Choose one of them, or omit it.",
        )
    if axis is None:
        a, axis = reshape(a, new_sizes=(type_of(a).size,)), 0
    axis = normalize_axis(axis, a.ndim, "take")
    rules = bounds(mode, FILL, wrap=mode != "clip")
    return read(a, (slice(None),) * axis + (indices,), rules, fill_value, indices_are_sorted, unique_indices)


WRAPS = inspect.signature(jnp.take_along_axis).parameters["wrap_negative_indices"].default
"""Whether negative indices of take_along_axis count from the end: None, in JAX 0.10, for all modes but one."""
bridged_take_along_axis = from_jax(jnp.take_along_axis)


@surface(jnp.take_along_axis)
def take_along_axis(
    arr: Array,
    indices: Array,
    axis: int | None = -1,
    mode: Any = None,
    fill_value: Any = None,
    *,
    wrap_negative_indices: bool | None = WRAPS,
) -> Array:
    """`arr[..., indices[..., i, ...], ...]` along one axis (None: of the flattened array); other axes broadcast.

    Out of bounds, mode "fill" (the default) gives `fill_value` (nan, or the smallest integer), "clip" the nearest
    element; "one_hot" multiplies by a matrix of ones and zeros. Negative indices count from the end with
    `wrap_negative_indices`. Of an empty axis, all results are 0.

    Raises ArgumentError for indices that are not integers or whose shape does not fit.
    """
    wrap = mode != "promise_in_bounds" if wrap_negative_indices is None else wrap_negative_indices
    if isinstance(mode, str) and mode == "one_hot":
        return bridged_take_along_axis(arr, indices, axis, mode, wrap_negative_indices=wrap)
    arr = array(arr, "take_along_axis")
    indices = integer_indices(indices, "take_along_axis")
    shape = type_of(indices).shape
    if axis is None:
        arr, axis = reshape(arr, new_sizes=(type_of(arr).size,)), 0
    if len(shape) != arr.ndim:
        raise ArgumentError(
            f"minijvp.numpy.take_along_axis received indices of shape {shape} for an array of shape {arr.shape}.",
            "Both need the same number of axes; without an axis, indices have one.",
            "Add axes of size 1 to the indices.",
        )
    axis = normalize_axis(axis, arr.ndim, "take_along_axis")
    others = [(n, m) for d, (n, m) in enumerate(zip(arr.shape, shape)) if d != axis]
    if any(n != m and 1 not in (n, m) for n, m in others):
        raise ArgumentError(
            f"minijvp.numpy.take_along_axis received indices of shape {shape} for an array of shape {arr.shape}.",
            f"All axes but axis {axis} must agree, or one of them be 1.",
            "Correct the shape of the indices.",
        )
    rules = bounds(mode, FILL, wrap)
    result = tuple([m if d == axis or n == 1 else n for d, (n, m) in enumerate(zip(arr.shape, shape))])
    if 0 in result or arr.shape[axis] == 0:
        return with_weakness(zeros(shape=result, dtype=arr.dtype), type_of(arr).weak_type)
    i = array(indices, "take_along_axis")
    i = counted_from_zero(i, arr.shape[axis], index_dtype(arr.shape), rules)
    # Axes that only the array has are windows; those that only the indices have are rows; the common ones are batches.
    windows = [d for d, (n, m) in enumerate(zip(arr.shape, shape)) if d != axis and m == 1 and n != 1]
    alone = [d for d, (n, m) in enumerate(zip(arr.shape, shape)) if d != axis and n == 1 and m != 1]
    kept = [d for d in range(arr.ndim) if d not in alone]
    rows = [d for d in range(arr.ndim) if d not in windows]
    common = [d for d in kept if d in rows and d != axis]
    if alone:
        arr = squeeze(arr, dimensions=tuple(alone))
    numbers = lax.GatherDimensionNumbers(
        offset_dims=tuple(windows),
        collapsed_slice_dims=(kept.index(axis),),
        start_index_map=(kept.index(axis),),
        operand_batching_dims=tuple([kept.index(d) for d in common]),
        start_indices_batching_dims=tuple([rows.index(d) for d in common]),
    )
    return gather(
        arr,
        reshape(i, new_sizes=(*[shape[d] for d in rows], 1)),
        dimension_numbers=numbers,
        slice_sizes=tuple([result[d] if d in windows else 1 for d in kept]),
        indices_are_sorted=False,
        unique_indices=False,
        mode=rules.mode,
        fill_value=static_fill(fill_value, arr.dtype) if rules.mode == FILL else None,
    )
