"""Elements repeated, turned, padded, taken from diagonals or sorted. Signatures are those of jax.numpy."""

from __future__ import annotations

import operator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from minijvp.core.tracer import Tracer
from minijvp.core.types import PYTHON_SCALARS, Array, type_of
from minijvp.errors import ArgumentError
from minijvp.interop.from_jax import from_jax
from minijvp.numpy import indexing
from minijvp.numpy.creation import as_shape, lower_triangle
from minijvp.numpy.logic import where
from minijvp.numpy.makers import constant, literal, surface
from minijvp.numpy.manipulation import as_array, cut, moveaxis, ravel, reshape, swapaxes
from minijvp.numpy.promotion import (
    array,
    as_dtype,
    broadcast,
    converted,
    kind_of,
    normalize_axes,
    normalize_axis,
    operand,
    shape_values,
)
from minijvp.operations import families, slicing, sorting
from minijvp.operations import shape as ops
from minijvp.operations.families import broadcast_in_dim
from minijvp.operations.splitting import split_in_pairs

__all__ = [
    "argsort",
    "diag",
    "diagonal",
    "flip",
    "fliplr",
    "flipud",
    "pad",
    "repeat",
    "roll",
    "rot90",
    "sort",
    "tile",
    "tril",
    "triu",
]


def in_line(a: Array, axis: int | None, function: str) -> tuple[Any, int]:
    """The array and the axis from the front; without one, the array in one axis."""
    x = array(a, function)
    return (ravel(x), 0) if axis is None else (x, normalize_axis(axis, len(x.shape), function))


# Repeating and turning


@surface(jnp.flip)
def flip(m: Array, axis: Any = None) -> Array:
    """The elements in reverse order along axes, by default all."""
    x = array(m, "flip")
    return ops.rev(x, dimensions=normalize_axes(axis, len(x.shape), "flip"))


@surface(jnp.fliplr)
def fliplr(m: Array) -> Array:
    """The columns in reverse order."""
    return flip(m, 1)


@surface(jnp.flipud)
def flipud(m: Array) -> Array:
    """The rows in reverse order."""
    return flip(m, 0)


@surface(jnp.rot90)
def rot90(m: Array, k: int = 1, axes: tuple[int, int] = (0, 1)) -> Array:
    """The array turned by 90 degrees, k times, in the plane of two axes."""
    x = array(m, "rot90")
    first, second = normalize_axes(axes, len(x.shape), "rot90")
    turns = {
        0: lambda: x,
        1: lambda: flip(swapaxes(x, first, second), first),
        2: lambda: flip(x, (first, second)),
        3: lambda: flip(swapaxes(x, first, second), second),
    }
    return turns[k % 4]()


bridged_roll = from_jax(jnp.roll)


@surface(jnp.roll)
def roll(a: Array, shift: Any, axis: Any = None) -> Array:
    """The elements moved along axes; what leaves at the end enters at the front."""
    x = array(a, "roll")
    if isinstance(shift, (Tracer, jax.Array, np.ndarray)):
        return bridged_roll(x, shift, axis)
    if axis is None:
        return reshape(roll(ravel(x), shift, 0), x.shape)
    axes = normalize_axes(axis, len(x.shape), "roll")
    shifts = tuple(shift) if isinstance(shift, (tuple, list)) else (shift,) * len(axes)
    for d, s in zip(axes, shifts, strict=True):
        n = type_of(x).shape[d]
        place = -operator.index(s) % n if n else 0
        if place:
            x = ops.concatenate(*reversed(cut(x, [place], d)), dimension=d)
    return x


@surface(jnp.tile)
def tile(A: Array, reps: Any) -> Array:
    """The array repeated as a whole along each axis."""
    x = array(A, "tile")
    counts = as_shape(reps, "tile")
    shape = (1,) * (len(counts) - len(x.shape)) + x.shape
    counts = (1,) * (len(shape) - len(counts)) + counts
    x = reshape(x, tuple(v for n in shape for v in (1, n)))
    x = broadcast(x, tuple(v for c, n in zip(counts, shape, strict=True) for v in (c, n)))
    sizes = tuple(c * n for c, n in zip(counts, shape, strict=True))
    return x if x.shape == sizes else families.reshape(x, new_sizes=sizes, **split_in_pairs(x, sizes))


bridged_repeat = from_jax(jnp.repeat)


@surface(jnp.repeat)
def repeat(a: Array, repeats: Any, axis: int | None = None, *, total_repeat_length: int | None = None) -> Array:
    """Each element repeated, along an axis; `repeats` is a number, or one for each element.

    With `total_repeat_length`, the size of the axis of the result, `repeats` may be traced. Raises ConcretizationError
    if it is, and its values are not known, without.
    """
    if total_repeat_length is not None:
        return bridged_repeat(a, repeats, axis, total_repeat_length=total_repeat_length)
    x, axis = in_line(a, axis, "repeat")
    n = x.shape[axis]
    counts = shape_values(repeats, "repeat", "Pass total_repeat_length, the size of the axis of the result.").ravel()
    if counts.size == 1:
        x = ops.expand_dims(x, (axis + 1,))
        shape = list(x.shape)
        shape[axis + 1] = int(counts[0])
        x = broadcast(x, tuple(shape))
        return reshape(x, (*shape[:axis], n * shape[axis + 1], *shape[axis + 2 :]))
    return indexing.take(x, np.repeat(np.arange(n), counts), axis)


bridged_pad = from_jax(jnp.pad)


@surface(jnp.pad)
def pad(array: Array, pad_width: Any, mode: Any = "constant", **kwargs: Any) -> Array:
    """The array with elements added around it: constants, its edge, itself mirrored or repeated, or what a mode makes.

    Modes and their options are those of jax.numpy.pad. Raises ArgumentError for a negative width.
    """
    x = as_array(array, "pad")
    value = kwargs.get("constant_values", 0)
    nested = isinstance(value, (tuple, list)) or np.ndim(value)  # one for each side, or for each side of each axis
    one_value = mode == "constant" and kwargs.keys() <= {"constant_values"} and not nested
    copies = isinstance(mode, str) and mode in ("edge", "reflect", "symmetric", "wrap") and not kwargs
    if isinstance(pad_width, dict) or not (one_value or copies):
        return bridged_pad(x, pad_width, mode, **kwargs)
    widths = np.broadcast_to(np.asarray(pad_width, int), (len(x.shape), 2))
    if np.any(widths < 0):
        raise ArgumentError(
            f"minijvp.numpy.pad received pad_width={pad_width!r}.",
            "Widths are numbers of elements that are added.",
            "Take elements away by a slice: x[1:-1].",
        )
    if one_value:
        value, kind = operand(value, "pad"), kind_of(x)
        value = literal(value, kind) if type(value) in PYTHON_SCALARS else converted(value, *kind)
        return slicing.pad(x, value, padding_config=tuple((int(a), int(b), 0) for a, b in widths))
    for d, (before, after) in enumerate(widths):
        if before or after:
            # NumPy says which element goes where.
            order = np.pad(np.arange(x.shape[d]), (before, after), mode)  # type: ignore[call-overload]
            x = indexing.take(x, order, d)
    return x


# Diagonals and triangles


def require_matrix(x: Array, function: str) -> Array:
    """`x` itself. Raises ArgumentError unless it has two axes at least."""
    if len(x.shape) < 2:
        raise ArgumentError(
            f"minijvp.numpy.{function} received {type_of(x)!r}.",
            "It works on the matrices of the last two axes.",
            "Pass an array with two axes at least.",
        )
    return x


@surface(jnp.tril)
def tril(m: Array, k: int = 0) -> Array:
    """The matrices with zeros above the k-th diagonal."""
    x = require_matrix(array(m, "tril"), "tril")
    below = lower_triangle(x.shape[-2], x.shape[-1], k)
    return where(below, x, constant(0, x))


@surface(jnp.triu)
def triu(m: Array, k: int = 0) -> Array:
    """The matrices with zeros below the k-th diagonal."""
    x = require_matrix(array(m, "triu"), "triu")
    return where(lower_triangle(x.shape[-2], x.shape[-1], k - 1), constant(0, x), x)


@surface(jnp.diagonal)
def diagonal(a: Array, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Array:
    """The elements on a diagonal of two axes, along a last axis."""
    x = array(a, "diagonal")
    x = moveaxis(converted(x, x.dtype), (axis1, axis2), (-2, -1))
    n, m = x.shape[-2:]
    count = max(min(n + min(offset, 0), m - max(offset, 0)), 0)
    numbers = np.arange(count)
    return indexing.getitem(x, (..., numbers - min(offset, 0), numbers + max(offset, 0)))


@surface(jnp.diag)
def diag(v: Array, k: int = 0) -> Array:
    """The matrix with a given diagonal, or the diagonal of a matrix."""
    x = array(v, "diag")
    if len(x.shape) == 2:
        return diagonal(x, k)
    if len(x.shape) != 1:
        raise ArgumentError(
            f"minijvp.numpy.diag received {type_of(x)!r}.",
            "It takes a vector or a matrix.",
            "Use diagonal for more axes.",
        )
    n = x.shape[0] + abs(k)
    rows = slicing.pad(x, literal(0, kind_of(x)), padding_config=((max(k, 0), max(-k, 0), 0),))
    spread = broadcast_in_dim(rows, shape=(n, n), broadcast_dimensions=(1,))
    index = np.dtype(np.int32)
    columns = ops.iota(dtype=index, shape=(n, n), dimension=1)
    shifted = ops.iota(dtype=index, shape=(n, n), dimension=0) + k
    return where(shifted == columns, spread, constant(0, spread))


# Order


@surface(jnp.sort)
def sort(a: Array, axis: int | None = -1, *, stable: bool = True, descending: bool = False) -> Array:
    """The elements in order along an axis."""
    x, axis = in_line(a, axis, "sort")
    (out,) = sorting.sort(x, dimension=axis, is_stable=stable, num_keys=1)
    return ops.rev(out, dimensions=(axis,)) if descending else out


@surface(jnp.argsort)
def argsort(
    a: Array, axis: int | None = -1, *, stable: bool = True, descending: bool = False, dtype: Any = None
) -> Array:
    """The indices that put the elements in order along an axis, in `dtype` or that of integers."""
    x, axis = in_line(a, axis, "argsort")
    if descending:
        # Equal elements keep their order: reverse before, and count from the end after.
        x = ops.rev(x, dimensions=(axis,)) if stable else x
    wide = np.dtype(np.int64) if x.shape[axis] >= 2**31 else as_dtype(int)
    numbers = ops.iota(dtype=wide if dtype is None else as_dtype(dtype), shape=x.shape, dimension=axis)
    _, out = sorting.sort(x, numbers, dimension=axis, is_stable=stable, num_keys=1)
    if not descending:
        return out
    out = ops.rev(out, dimensions=(axis,))
    return constant(x.shape[axis] - 1, out) - out if stable else out
