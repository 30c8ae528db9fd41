"""Means, variances, averages and medians. Signatures and dtypes are those of jax.numpy."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from minijvp.core.types import Array, Axes
from minijvp.dimensions import is_symbolic
from minijvp.errors import ArgumentError
from minijvp.numpy.makers import surface
from minijvp.numpy.promotion import (
    array,
    as_dtype,
    broadcast,
    inexact_kind,
    letter_of,
    normalize_axes,
    promote,
    refuse,
    same_shape,
)
from minijvp.numpy.reducing import count_like, in_dtype, kept_axes, masked, size_of, wide_dtype
from minijvp.numpy.reductions import sum
from minijvp.operations import reduction as ops
from minijvp.operations import slicing
from minijvp.operations.elementwise import conj, div, full_like, gt, mul, ne, real, select_n, sqrt, square, sub
from minijvp.operations.families import add, broadcast_in_dim, reduce_sum, reshape
from minijvp.operations.shape import size_beside, transpose
from minijvp.operations.sorting import sort

__all__ = ["average", "mean", "median", "std", "var"]


@surface(jnp.mean)
def mean(
    a: Array, axis: Any = None, dtype: Any = None, out: None = None, keepdims: bool = False, *, where: Any = None
) -> Array:
    """The mean over `axis` (None: all axes) of the elements that `where` chooses."""
    refuse("mean", "out", out)
    x = array(a, "mean")
    axes = normalize_axes(axis, x.ndim, "mean")
    result = inexact_kind((x.dtype, False))[0] if dtype is None else as_dtype(dtype)
    found = in_dtype(mean_of("mean", in_dtype(x, wide_dtype(result)), axes, where), result)
    return kept_axes(found, axes) if keepdims else found


def mean_of(function: str, x: Array, axes: Axes, where: Any) -> Array:
    """The mean over axes of the elements that `where` chooses, in the dtype of `x`."""
    if where is None:
        total = reduce_sum(x, axes=axes)
        return div(total, count_like(total, size_of(x, axes)))
    x = masked(function, x, where, 0)
    return div(reduce_sum(x, axes=axes), _count(function, x, where, axes, x.dtype))


def _count(function: str, x: Array, where: Any, axes: Axes, dtype: Any) -> Array:
    """How many elements of x `where` chooses, for each element of the result."""
    chosen = broadcast(array(where, function), x.shape)
    return reduce_sum(in_dtype(chosen, dtype), axes=axes)


@surface(jnp.var)
def var(
    a: Array,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    ddof: int = 0,
    keepdims: bool = False,
    *,
    where: Any = None,
    mean: Any = None,
    correction: Any = None,
) -> Array:
    """The mean squared distance from the mean over `axis`, divided by the count less `ddof` (or `correction`)."""
    return _variance("var", a, axis, dtype, out, ddof, keepdims, where, mean, correction)


@surface(jnp.std)
def std(
    a: Array,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    ddof: int = 0,
    keepdims: bool = False,
    *,
    where: Any = None,
    mean: Any = None,
    correction: Any = None,
) -> Array:
    """The square root of the variance over `axis`: see `var`."""
    return sqrt(_variance("std", a, axis, dtype, out, ddof, keepdims, where, mean, correction))


def _variance(
    function: str,
    a: Array,
    axis: Any,
    dtype: Any,
    out: Any,
    ddof: Any,
    keepdims: bool,
    where: Any,
    given: Any,
    correction: Any,
) -> Array:
    refuse(function, "out", out)
    x = array(a, function)
    axes = normalize_axes(axis, x.ndim, function)
    if correction is None:
        correction = ddof
    elif type(ddof) is not int or ddof != 0:
        raise ArgumentError(
            f"minijvp.numpy.{function} received ddof={ddof!r} and correction={correction!r}.",
            "They are two names of one thing.",
            "Pass one of them.",
        )
    x, result = _variance_operand(function, x, dtype)
    if given is None:
        shape = tuple([1 if d in axes else n for d, n in enumerate(x.shape)])
        centre = reshape(mean_of(function, x, axes, where), new_sizes=shape)
    else:
        centre = in_dtype(array(given, function), x.dtype)
    distance = sub(*same_shape(function, x, centre))
    if letter_of(x.dtype) == "c":
        squares = real(mul(distance, conj(distance, input_dtype=x.dtype)))
    else:
        squares = square(distance)
    found = in_dtype(_mean_square(function, squares, axes, where, correction), result)
    return kept_axes(found, axes) if keepdims else found


def _variance_operand(function: str, x: Array, dtype: Any) -> tuple[Any, Any]:
    """The operand in the dtype that its variance is computed in, and the dtype of the result."""
    if dtype is None:
        kept = inexact_kind((x.dtype, False))[0]
        return in_dtype(x, wide_dtype(kept)), np.finfo(kept).dtype if letter_of(kept) == "c" else kept
    result = as_dtype(dtype)
    if letter_of(result) not in "fc" or (letter_of(x.dtype) == "c" and letter_of(result) != "c"):
        raise ArgumentError(
            f"minijvp.numpy.{function} of an array of dtype {x.dtype.name} received dtype={dtype!r}.",
            "A variance is computed in floats, and that of complex numbers in complex ones.",
            "Omit dtype, or convert the result.",
        )
    return in_dtype(x, wide_dtype(result)), result


def _mean_square(function: str, squares: Array, axes: Axes, where: Any, correction: Any) -> Array:
    """The sum of the squares by their count less the correction, or nan where that is not positive."""
    dtype = squares.dtype
    n = size_of(squares, axes)
    if where is None and isinstance(correction, (int, float, np.number)) and not is_symbolic(n):
        total = reduce_sum(squares, axes=axes)
        count = n - float(correction)
        return div(total, count) if count > 0 else full_like(total, float("nan"))
    if where is not None:
        squares = masked(function, squares, where, 0)
    total = reduce_sum(squares, axes=axes)
    count = full_of(total, n) if where is None else _count(function, squares, where, axes, dtype)
    correction = in_dtype(array(correction, function), dtype)
    divisor = sub(count, broadcast(correction, count.shape))
    return select_n(gt(divisor, 0.0), full_like(total, float("nan")), div(total, divisor))


@surface(jnp.average)
def average(a: Array, axis: Any = None, weights: Any = None, returned: bool = False, keepdims: bool = False) -> Any:
    """The mean over `axis`, weighted by `weights`; with `returned`, a pair of it and the sum of the weights."""
    if weights is None:
        x = array(a, "average")
        axes = normalize_axes(axis, x.ndim, "average")
        found = mean(x, axes, keepdims=keepdims)
        return (found, full_of(found, size_of(x, axes))) if returned else found
    x, w = promote("average", array(a, "average"), array(weights, "average"), inexact=True)
    axes = normalize_axes(axis, x.ndim, "average")
    w = _spread_weights(x, w, axis, axes)
    total = sum(w, axes, keepdims=keepdims)
    found = div(sum(mul(x, w), axes, keepdims=keepdims), total)
    return (found, total) if returned else found


def full_of(x: Array, n: Any) -> Array:
    """An array like x of a number of elements, which may be symbolic."""
    return size_beside(n, x) if is_symbolic(n) else full_like(x, n)


def _spread_weights(x: Array, w: Array, axis: Any, axes: Axes) -> Array:
    """The weights in the shape of x, from weights of that shape or along `axes` only."""
    if w.shape == x.shape:
        return w
    wanted = tuple([x.shape[d] for d in axes])
    if axis is None or w.shape != wanted:
        raise ArgumentError(
            f"minijvp.numpy.average received weights of shape {w.shape} for shape {x.shape} and axis={axis!r}.",
            "Weights have the shape of the array, or its sizes along `axis`.",
            "Correct the weights, or name the axis that they belong to.",
        )
    order = tuple(sorted(range(len(axes)), key=axes.__getitem__))
    if order != tuple(range(len(axes))):
        w = transpose(w, permutation=order)
    return broadcast_in_dim(w, shape=x.shape, broadcast_dimensions=tuple(sorted(axes)))


@surface(jnp.median)
def median(
    a: Array, axis: Any = None, out: None = None, overwrite_input: bool = False, keepdims: bool = False
) -> Array:
    """The middle element over `axis` in sorted order, or the mean of the two in the middle; nan if there is a nan."""
    refuse("median", "out", out)
    x = array(a, "median")
    axes = normalize_axes(axis, x.ndim, "median")
    n = size_of(x, axes)
    if overwrite_input or letter_of(x.dtype) == "c" or not n:
        raise ArgumentError(
            f"minijvp.numpy.median received {x.dtype.name} numbers, {n} along axis={axis!r}, and "
            f"overwrite_input={overwrite_input!r}.",
            "It sorts real numbers, at least one, and leaves the operand as it is.",
        )
    x = ops.joined(in_dtype(x, inexact_kind((x.dtype, False))[0]), axes)
    last = x.ndim - 1
    (x,) = sort(x, dimension=last, is_stable=True, num_keys=1)
    # Sorting puts nans last: one look finds any.
    low, high, end = (_element(x, i) for i in ((n - 1) // 2, n // 2, n - 1))
    found = select_n(ne(end, end), mul(add(low, high), 0.5), full_like(low, float("nan")))
    return kept_axes(found, axes) if keepdims else found


def _element(x: Array, i: int) -> Array:
    """The elements number i along the last axis."""
    rest = x.shape[:-1]
    taken = slicing.slice(x, start_indices=(0,) * len(rest) + (i,), limit_indices=(*rest, i + 1), strides=None)
    return reshape(taken, new_sizes=rest)
