"""Other shapes of the same elements; joining and splitting. Signatures are those of jax.numpy."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from math import prod
from typing import Any

import jax.numpy as jnp
import numpy as np

from minijvp.core.types import Array, type_of
from minijvp.dimensions import as_size
from minijvp.errors import ArgumentError
from minijvp.numpy.creation import as_shape
from minijvp.numpy.makers import surface
from minijvp.numpy.promotion import (
    array,
    as_dtype,
    broadcast,
    converted,
    normalize_axes,
    normalize_axis,
    promote,
    refuse,
    same_shape,
    sequence,
    shape_values,
)
from minijvp.operations import shape as ops
from minijvp.operations import slicing
from minijvp.operations.families import reshape as reshape_primitive

__all__ = [
    "append",
    "array_split",
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "broadcast_arrays",
    "broadcast_to",
    "column_stack",
    "concat",
    "concatenate",
    "dstack",
    "expand_dims",
    "hsplit",
    "hstack",
    "matrix_transpose",
    "moveaxis",
    "permute_dims",
    "ravel",
    "reshape",
    "rollaxis",
    "split",
    "squeeze",
    "stack",
    "swapaxes",
    "transpose",
    "unstack",
    "vsplit",
    "vstack",
]


@surface(jnp.reshape)
def reshape(a: Array, shape: Any, order: str = "C", *, copy: bool | None = None) -> Array:
    """The elements in another shape; one size may be -1. Whether they are copied, the compiler decides, as in JAX."""
    x = array(a, "reshape")
    given = x.shape
    sizes = sequence(shape)
    if order == "F":
        return transpose(reshape(transpose(x), tuple(reversed(complete(sizes, given)))))
    if order != "C":
        raise ArgumentError(
            f"minijvp.numpy.reshape received order={order!r}.",
            "The elements are read by rows ('C') or by columns ('F').",
            "Pass one of these.",
        )
    sizes = complete(sizes, given)
    return x if sizes == given else reshape_primitive(x, new_sizes=sizes)


def complete(sizes: tuple, given: tuple[int, ...]) -> tuple[int, ...]:
    """A shape with its -1 filled in."""
    total = prod(given)
    try:
        sizes = tuple([as_size(n) for n in sizes])
    except TypeError:
        as_shape(sizes, "reshape")
    rest = prod(n for n in sizes if n != -1)
    if sizes.count(-1) == 1 and rest and total % rest == 0:
        return tuple([total // rest if n == -1 else n for n in sizes])
    if -1 in sizes or rest != total:
        raise ArgumentError(
            f"minijvp.numpy.reshape received an array of shape {given} and the shape {sizes}.",
            f"The array has {total} elements; the shape must hold as many, with at most one -1 for a size to be found.",
            "Correct the shape.",
        )
    return sizes


@surface(jnp.ravel)
def ravel(a: Array, order: str = "C") -> Array:
    """The elements along one axis."""
    return reshape(a, (-1,), order)


@surface(jnp.transpose)
def transpose(a: Array, axes: Any = None) -> Array:
    """The axes in another order, by default reversed."""
    x = array(a, "transpose")
    ndim = len(x.shape)
    order = tuple(reversed(range(ndim))) if axes is None else normalize_axes(tuple(axes), ndim, "transpose")
    return x if order == tuple(range(ndim)) else ops.transpose(x, permutation=order)


@surface(jnp.permute_dims)
def permute_dims(a: Array, /, axes: Any) -> Array:
    """The axes in another order."""
    return transpose(a, axes)


@surface(jnp.matrix_transpose)
def matrix_transpose(x: Array, /) -> Array:
    """The last two axes exchanged."""
    return swapaxes(x, -1, -2)


@surface(jnp.swapaxes)
def swapaxes(a: Array, axis1: int, axis2: int) -> Array:
    """Two axes exchanged."""
    x = array(a, "swapaxes")
    order = list(range(len(x.shape)))
    i, j = (normalize_axis(k, len(order), "swapaxes") for k in (axis1, axis2))
    order[i], order[j] = order[j], order[i]
    return transpose(x, order)


@surface(jnp.moveaxis)
def moveaxis(a: Array, source: Any, destination: Any) -> Array:
    """Some axes in other places; the rest stay in order."""
    x = array(a, "moveaxis")
    ndim = len(x.shape)
    from_, to = (normalize_axes(k, ndim, "moveaxis") for k in (source, destination))
    if len(from_) != len(to):
        raise ArgumentError(
            f"minijvp.numpy.moveaxis received {len(from_)} axes and {len(to)} places.",
            "Every axis goes to a place.",
            "Pass as many of one as of the other.",
        )
    order = [d for d in range(ndim) if d not in from_]
    for place, axis in sorted(zip(to, from_, strict=True)):
        order.insert(place, axis)
    return transpose(x, order)


@surface(jnp.rollaxis)
def rollaxis(a: Array, axis: int, start: int = 0) -> Array:
    """One axis moved to before another."""
    x = array(a, "rollaxis")
    ndim = len(x.shape)
    axis = normalize_axis(axis, ndim, "rollaxis")
    start = start + ndim if start < 0 else start
    return moveaxis(x, axis, start - 1 if axis < start else start)


@surface(jnp.expand_dims)
def expand_dims(a: Array, axis: Any) -> Array:
    """New axes of size 1 at these places of the result."""
    x = array(a, "expand_dims")
    count = len(sequence(axis))
    return ops.expand_dims(x, normalize_axes(axis, len(x.shape) + count, "expand_dims"))


@surface(jnp.squeeze)
def squeeze(a: Array, axis: Any = None) -> Array:
    """Without axes of size 1: all, or those named."""
    x = array(a, "squeeze")
    shape = x.shape
    axes = (
        tuple(d for d, n in enumerate(shape) if n == 1) if axis is None else normalize_axes(axis, len(shape), "squeeze")
    )
    return ops.squeeze(x, dimensions=axes) if axes else x


@surface(jnp.broadcast_to)
def broadcast_to(array: Array, shape: Any) -> Array:
    """The array repeated along new leading axes and axes of size 1."""
    x = as_array(array, "broadcast_to")
    wanted = as_shape(shape, "broadcast_to")
    given = type_of(x).shape
    if len(given) > len(wanted) or any(n not in (1, m) for n, m in zip(given[::-1], wanted[::-1], strict=False)):
        raise ArgumentError(
            f"minijvp.numpy.broadcast_to cannot repeat {type_of(x)!r} to the shape {wanted}.",
            "Only axes of size 1 are repeated, and new ones come in front.",
            "Reshape it first.",
        )
    return broadcast(x, wanted)


as_array = array


@surface(jnp.broadcast_arrays)
def broadcast_arrays(*args: Array) -> list[Any]:
    """All arrays in their common shape."""
    return list(same_shape("broadcast_arrays", *[array(x, "broadcast_arrays") for x in args]))


def atleast(n: int, x: Array) -> Array:
    """NumPy's way to at least n axes: in front for one and two; (1, n, 1), (m, n, 1) for three."""
    shape = type_of(x).shape
    if len(shape) >= n:
        return x
    new = (1,) * (n - len(shape)) + shape if n < 3 else {0: (1, 1, 1), 1: (1, *shape, 1), 2: (*shape, 1)}[len(shape)]
    return reshape(x, new)


@surface(jnp.atleast_1d)
def atleast_1d(*arys: Array) -> Any:
    """Arrays with one axis at least."""
    out = [atleast(1, array(x, "atleast_1d")) for x in arys]
    return out[0] if len(out) == 1 else out


@surface(jnp.atleast_2d)
def atleast_2d(*arys: Array) -> Any:
    """Arrays with two axes at least."""
    out = [atleast(2, array(x, "atleast_2d")) for x in arys]
    return out[0] if len(out) == 1 else out


@surface(jnp.atleast_3d)
def atleast_3d(*arys: Array) -> Any:
    """Arrays with three axes at least."""
    out = [atleast(3, array(x, "atleast_3d")) for x in arys]
    return out[0] if len(out) == 1 else out


# Joining and splitting


def sequence_of(arrays: Any, function: str) -> list[Any]:
    """The arrays of a sequence; an array stands for its rows."""
    if not isinstance(arrays, (tuple, list)):
        arrays = list(array(arrays, function))
    if not arrays:
        raise ArgumentError(
            f"minijvp.numpy.{function} received no arrays.",
            "There is no shape or dtype to go by.",
            "Pass one at least.",
        )
    return [array(x, function) for x in arrays]


@surface(jnp.concatenate)
def concatenate(arrays: Any, axis: int | None = 0, dtype: Any = None) -> Array:
    """The arrays one after the other along an axis."""
    xs = sequence_of(arrays, "concatenate")
    if axis is None:
        xs, axis = [ravel(x) for x in xs], 0
    xs = promote("concatenate", *xs) if dtype is None else [converted(x, as_dtype(dtype)) for x in xs]
    axis = normalize_axis(axis, len(type_of(xs[0]).shape), "concatenate")
    return xs[0] if len(xs) == 1 else ops.concatenate(*xs, dimension=axis)


@surface(jnp.concat)
def concat(arrays: Any, /, *, axis: int | None = 0) -> Array:
    """The arrays one after the other along an axis."""
    return concatenate(arrays, axis)


@surface(jnp.stack)
def stack(arrays: Any, axis: int = 0, out: None = None, dtype: Any = None) -> Array:
    """The arrays along a new axis."""
    refuse("stack", "out", out)
    xs = sequence_of(arrays, "stack")
    shapes = {type_of(x).shape for x in xs}
    if len(shapes) > 1:
        raise ArgumentError(
            f"minijvp.numpy.stack received arrays of shapes {sorted(shapes)}.",
            "What lies along a new axis has one shape.",
            "Use concatenate along an axis that they have, or make the shapes equal (broadcast_to, pad).",
        )
    axis = normalize_axis(axis, len(type_of(xs[0]).shape) + 1, "stack")
    return concatenate([ops.expand_dims(x, (axis,)) for x in xs], axis, dtype)


@surface(jnp.vstack)
def vstack(tup: Any, dtype: Any = None) -> Array:
    """The arrays as rows below each other."""
    return concatenate([atleast(2, x) for x in sequence_of(tup, "vstack")], 0, dtype)


@surface(jnp.hstack)
def hstack(tup: Any, dtype: Any = None) -> Array:
    """The arrays side by side."""
    xs = [atleast(1, x) for x in sequence_of(tup, "hstack")]
    return concatenate(xs, 0 if len(type_of(xs[0]).shape) == 1 else 1, dtype)


@surface(jnp.dstack)
def dstack(tup: Any, dtype: Any = None) -> Array:
    """The arrays along the third axis."""
    return concatenate([atleast(3, x) for x in sequence_of(tup, "dstack")], 2, dtype)


@surface(jnp.column_stack)
def column_stack(tup: Any) -> Array:
    """Arrays of one axis as columns."""
    xs = sequence_of(tup, "column_stack")
    return concatenate([x if len(type_of(x).shape) > 1 else reshape(x, (-1, 1)) for x in xs], 1)


@surface(jnp.append)
def append(arr: Array, values: Array, axis: int | None = None) -> Array:
    """The values after the array."""
    return concatenate([array(arr, "append"), array(values, "append")], axis)


def cut(x: Array, places: Sequence[int], axis: int) -> list[Any]:
    """`x` cut at places along an axis."""
    shape = type_of(x).shape
    pieces, ends = [], [min(max(p, 0), shape[axis]) for p in (*places, shape[axis])]
    if ends == sorted(ends):
        sizes = tuple([end - start for start, end in zip((0, *ends), ends, strict=False)])
        return list(ops.split(x, sizes=sizes, axis=axis))
    start = 0
    for end in ends:
        begin = min(start, end)
        starts = tuple([begin if d == axis else 0 for d in range(len(shape))])
        limits = tuple([end if d == axis else n for d, n in enumerate(shape)])
        pieces.append(slicing.slice(x, start_indices=starts, limit_indices=limits, strides=None))
        start = end
    return pieces


def split_evenly(function: str, x: Array, sections: Any, axis: int, exactly: bool) -> list[Any]:
    """`x` cut into so many parts, or at places."""
    x = array(x, function)
    axis = normalize_axis(axis, len(type_of(x).shape), function)
    n = type_of(x).shape[axis]
    if np.ndim(sections) and not isinstance(sections, (tuple, list)):
        sections = shape_values(sections, function, "Pass them as Python numbers.")
    if isinstance(sections, (tuple, list, np.ndarray)):
        return cut(x, [p if p >= 0 else p + n for p in map(int, sections)], axis)
    sections = operator.index(sections)
    if sections <= 0 or (exactly and n % sections):
        raise ArgumentError(
            f"minijvp.numpy.{function} cannot cut an axis of size {n} into {sections} equal parts.",
            "The number of parts must divide the size.",
            "Use array_split, or pass the places to cut at.",
        )
    each, extra = n // sections, n % sections
    return cut(x, [each * i + min(i, extra) for i in range(1, sections)], axis)


@surface(jnp.split)
def split(ary: Array, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    """The array cut into equal parts, or at places."""
    return split_evenly("split", ary, indices_or_sections, axis, True)


@surface(jnp.array_split)
def array_split(ary: Array, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    """The array cut into parts that are as equal as can be, or at places."""
    return split_evenly("array_split", ary, indices_or_sections, axis, False)


@surface(jnp.vsplit)
def vsplit(ary: Array, indices_or_sections: Any) -> list[Any]:
    """The array cut along its first axis."""
    return split_evenly("vsplit", ary, indices_or_sections, 0, True)


@surface(jnp.hsplit)
def hsplit(ary: Array, indices_or_sections: Any) -> list[Any]:
    """The array cut along its second axis, or its only one."""
    axis = 0 if len(type_of(ary).shape) == 1 else 1
    return split_evenly("hsplit", ary, indices_or_sections, axis, True)


@surface(jnp.unstack)
def unstack(x: Array, /, *, axis: int = 0) -> tuple[Any, ...]:
    """The rows along an axis."""
    x = array(x, "unstack")
    axis = normalize_axis(axis, len(type_of(x).shape), "unstack")
    if not type_of(x).shape[axis]:
        return ()
    return tuple([ops.squeeze(p, dimensions=(axis,)) for p in cut(x, range(1, type_of(x).shape[axis]), axis)])
