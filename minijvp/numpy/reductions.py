"""Sums, means, extrema and what else takes axes away, or runs along one. Signatures and dtypes are those of jax.numpy.

Functions here shadow builtins (sum, max, any ...): inside this module these names mean ours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from math import prod as product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from minijvp.core.tracing import as_constant
from minijvp.core.types import PYTHON_SCALARS, x64_enabled
from minijvp.errors import ArgumentError
from minijvp.numpy.promotion import (
    array,
    as_dtype,
    broadcast,
    cast,
    common_shape,
    fits,
    inexact_kind,
    letter_of,
    normalize_axes,
    normalize_axis,
    operand,
    promote,
    refuse,
    result_kind,
    same_shape,
    scalar_like,
    surface,
)
from minijvp.operations import cumulative, slicing
from minijvp.operations import reduction as ops
from minijvp.operations.bitwise import bitwise_not
from minijvp.operations.casting import convert_element_type
from minijvp.operations.elementwise import (
    conj,
    div,
    full_like,
    gt,
    max_,
    min_,
    mul,
    ne,
    real,
    select_n,
    sqrt,
    square,
    sub,
)
from minijvp.operations.families import add, broadcast_in_dim, reduce_sum, reshape
from minijvp.operations.shape import transpose
from minijvp.operations.sorting import sort

Axes = tuple[int, ...]

PLAIN = frozenset(map(np.dtype, ("float32", "float64", "complex64", "complex128")))
"""Dtypes whose sums have the same dtype and are accumulated in it."""

BOOL = np.dtype(bool)


# Sums and products


@surface(jnp.sum)
def sum(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
    promote_integers: bool = True,
) -> Any:
    """The sum over `axis` (None: all axes); `where` chooses the elements, `initial` is added."""
    return _total(_SUM, a, axis, dtype, out, keepdims, initial, where, promote_integers)


@surface(jnp.prod)
def prod(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
    promote_integers: bool = True,
) -> Any:
    """The product over `axis` (None: all axes); `where` chooses the elements, `initial` is a factor."""
    return _total(_PROD, a, axis, dtype, out, keepdims, initial, where, promote_integers)


class _Total:
    """What sets sums and products apart: the reduction, that of booleans, the operation of two, the neutral element."""

    def __init__(self, original: Any, reduce: Any, reduce_bool: Any, combine: Any, neutral: int):
        self.name = original.__name__
        self.original, self.reduce, self.reduce_bool = original, reduce, reduce_bool
        self.combine, self.neutral = combine, neutral


_SUM = _Total(jnp.sum, reduce_sum, ops.reduce_or, add, 0)
_PROD = _Total(jnp.prod, ops.reduce_prod, ops.reduce_and, mul, 1)


def _total(
    kind: _Total,
    a: Any,
    axis: Any,
    dtype: Any,
    out: Any,
    keepdims: bool,
    initial: Any,
    where: Any,
    promote_integers: bool,
) -> Any:
    x = array(a, kind.name)
    axes = normalize_axes(axis, x.ndim, kind.name)
    if dtype is initial is where is out is None and x.dtype in PLAIN and not x.weak_type:
        total = kind.reduce(x, axes=axes)
        return _keep(total, axes) if keepdims else total
    refuse(kind.name, "out", out)
    result = _total_dtype(kind.original, x.dtype, promote_integers, x64_enabled()) if dtype is None else as_dtype(dtype)
    x = _in_dtype(x, _wide(result))
    if where is not None:
        x = _masked(kind.name, x, where, kind.neutral)
    if result == BOOL:
        total = kind.reduce_bool(x, axes=axes)
    else:
        total = kind.reduce(x, axes=axes)
        if initial is not None:
            total = _with_initial(kind.name, kind.combine, total, initial)
    total = _in_dtype(total, result)
    return _keep(total, axes) if keepdims else total


@lru_cache(maxsize=256)
def _total_dtype(original: Callable[..., Any], dtype: Any, promote_integers: bool, x64: bool) -> Any:
    return result_kind(partial(original, promote_integers=promote_integers), (dtype, False))[0]


@surface(jnp.cumsum)
def cumsum(a: Any, axis: int | None = None, dtype: Any = None, out: None = None) -> Any:
    """The sums of the elements so far along `axis` (None: of the flattened array)."""
    return _cumulative(jnp.cumsum, cumulative.cumsum, a, axis, dtype, out)


@surface(jnp.cumprod)
def cumprod(a: Any, axis: int | None = None, dtype: Any = None, out: None = None) -> Any:
    """The products of the elements so far along `axis` (None: of the flattened array)."""
    return _cumulative(jnp.cumprod, cumulative.cumprod, a, axis, dtype, out)


def _cumulative(original: Callable[..., Any], primitive: Any, a: Any, axis: Any, dtype: Any, out: Any) -> Any:
    name = original.__name__
    refuse(name, "out", out)
    x = array(a, name)
    if axis is None:
        x, axis = _flat(x), 0
    else:
        axis = normalize_axis(axis, x.ndim, name)
    result = _cumulative_dtype(original, x.dtype, x64_enabled()) if dtype is None else as_dtype(dtype)
    return primitive(_in_dtype(x, result), axis=axis, reverse=False)


@lru_cache(maxsize=256)
def _cumulative_dtype(original: Callable[..., Any], dtype: Any, x64: bool) -> Any:
    return result_kind(original, (dtype, False))[0]


@surface(jnp.count_nonzero)
def count_nonzero(a: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The number of elements along `axis` that are not zero."""
    x = array(a, "count_nonzero")
    x = x if x.dtype == BOOL else ne(x, scalar_like(0, x.dtype))
    return sum(x, axis, dtype=_index_dtype(), keepdims=keepdims)


# Means and what is made of them


@surface(jnp.mean)
def mean(
    a: Any, axis: Any = None, dtype: Any = None, out: None = None, keepdims: bool = False, *, where: Any = None
) -> Any:
    """The mean over `axis` (None: all axes) of the elements that `where` chooses."""
    refuse("mean", "out", out)
    x = array(a, "mean")
    axes = normalize_axes(axis, x.ndim, "mean")
    result = inexact_kind((x.dtype, False))[0] if dtype is None else as_dtype(dtype)
    found = _in_dtype(_mean("mean", _in_dtype(x, _wide(result)), axes, where), result)
    return _keep(found, axes) if keepdims else found


def _mean(function: str, x: Any, axes: Axes, where: Any) -> Any:
    if where is None:
        return div(reduce_sum(x, axes=axes), scalar_like(_size(x, axes), x.dtype))
    x = _masked(function, x, where, 0)
    return div(reduce_sum(x, axes=axes), _count(function, x, where, axes, x.dtype))


def _count(function: str, x: Any, where: Any, axes: Axes, dtype: Any) -> Any:
    """How many elements of x `where` chooses, for each element of the result."""
    chosen = broadcast(array(where, function), x.shape)
    return reduce_sum(_in_dtype(chosen, dtype), axes=axes)


@surface(jnp.var)
def var(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    ddof: int = 0,
    keepdims: bool = False,
    *,
    where: Any = None,
    mean: Any = None,
    correction: Any = None,
) -> Any:
    """The mean squared distance from the mean over `axis`, divided by the count less `ddof` (or `correction`)."""
    return _variance("var", a, axis, dtype, out, ddof, keepdims, where, mean, correction)


@surface(jnp.std)
def std(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    ddof: int = 0,
    keepdims: bool = False,
    *,
    where: Any = None,
    mean: Any = None,
    correction: Any = None,
) -> Any:
    """The square root of the variance over `axis`: see `var`."""
    return sqrt(_variance("std", a, axis, dtype, out, ddof, keepdims, where, mean, correction))


def _variance(
    function: str,
    a: Any,
    axis: Any,
    dtype: Any,
    out: Any,
    ddof: Any,
    keepdims: bool,
    where: Any,
    given: Any,
    correction: Any,
) -> Any:
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
        centre = reshape(_mean(function, x, axes, where), new_sizes=shape)
    else:
        centre = _in_dtype(array(given, function), x.dtype)
    distance = sub(*same_shape(function, x, centre))
    if letter_of(x.dtype) == "c":
        squares = real(mul(distance, conj(distance, input_dtype=x.dtype)))
    else:
        squares = square(distance)
    found = _in_dtype(_mean_square(function, squares, axes, where, correction), result)
    return _keep(found, axes) if keepdims else found


def _variance_operand(function: str, x: Any, dtype: Any) -> tuple[Any, Any]:
    """The operand in the dtype that its variance is computed in, and the dtype of the result."""
    if dtype is None:
        kept = inexact_kind((x.dtype, False))[0]
        return _in_dtype(x, _wide(kept)), np.finfo(kept).dtype if letter_of(kept) == "c" else kept
    result = as_dtype(dtype)
    if letter_of(result) not in "fc" or (letter_of(x.dtype) == "c" and letter_of(result) != "c"):
        raise ArgumentError(
            f"minijvp.numpy.{function} of an array of dtype {x.dtype.name} received dtype={dtype!r}.",
            "A variance is computed in floats, and that of complex numbers in complex ones.",
            "Leave dtype away, or convert the result.",
        )
    return _in_dtype(x, _wide(result)), result


def _mean_square(function: str, squares: Any, axes: Axes, where: Any, correction: Any) -> Any:
    """The sum of the squares by their count less the correction, or nan where that is not positive."""
    dtype = squares.dtype
    if where is None and isinstance(correction, (int, float, np.number)):
        total = reduce_sum(squares, axes=axes)
        count = _size(squares, axes) - float(correction)
        return div(total, count) if count > 0 else full_like(total, float("nan"))
    if where is not None:
        squares = _masked(function, squares, where, 0)
    total = reduce_sum(squares, axes=axes)
    count = full_like(total, _size(squares, axes)) if where is None else _count(function, squares, where, axes, dtype)
    correction = _in_dtype(array(correction, function), dtype)
    divisor = sub(count, broadcast(correction, count.shape))
    return select_n(gt(divisor, 0.0), full_like(total, float("nan")), div(total, divisor))


@surface(jnp.average)
def average(a: Any, axis: Any = None, weights: Any = None, returned: bool = False, keepdims: bool = False) -> Any:
    """The mean over `axis`, weighted by `weights`; with `returned`, a pair of it and the sum of the weights."""
    if weights is None:
        x = array(a, "average")
        axes = normalize_axes(axis, x.ndim, "average")
        found = mean(x, axes, keepdims=keepdims)
        return (found, full_like(found, _size(x, axes))) if returned else found
    x, w = promote("average", array(a, "average"), array(weights, "average"), inexact=True)
    axes = normalize_axes(axis, x.ndim, "average")
    w = _spread_weights(x, w, axis, axes)
    total = sum(w, axes, keepdims=keepdims)
    found = div(sum(mul(x, w), axes, keepdims=keepdims), total)
    return (found, total) if returned else found


def _spread_weights(x: Any, w: Any, axis: Any, axes: Axes) -> Any:
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
def median(a: Any, axis: Any = None, out: None = None, overwrite_input: bool = False, keepdims: bool = False) -> Any:
    """The middle element over `axis` in sorted order, or the mean of the two in the middle; nan if there is a nan."""
    refuse("median", "out", out)
    x = array(a, "median")
    axes = normalize_axes(axis, x.ndim, "median")
    n = _size(x, axes)
    if overwrite_input or letter_of(x.dtype) == "c" or not n:
        raise ArgumentError(
            f"minijvp.numpy.median received {x.dtype.name} numbers, {n} along axis={axis!r}, and "
            f"overwrite_input={overwrite_input!r}.",
            "It sorts real numbers, at least one, and leaves the operand as it is.",
        )
    x = ops.joined(_in_dtype(x, inexact_kind((x.dtype, False))[0]), axes)
    last = x.ndim - 1
    (x,) = sort(x, dimension=last, is_stable=True, num_keys=1)
    # Sorting puts nans last: one look finds any.
    low, high, end = (_element(x, i) for i in ((n - 1) // 2, n // 2, n - 1))
    found = select_n(ne(end, end), mul(add(low, high), 0.5), full_like(low, float("nan")))
    return _keep(found, axes) if keepdims else found


def _element(x: Any, i: int) -> Any:
    """The elements number i along the last axis."""
    rest = x.shape[:-1]
    taken = slicing.slice(x, start_indices=(0,) * len(rest) + (i,), limit_indices=(*rest, i + 1), strides=None)
    return reshape(taken, new_sizes=rest)


# Extrema


@surface(jnp.max)
def max(
    a: Any, axis: Any = None, out: None = None, keepdims: bool = False, initial: Any = None, where: Any = None
) -> Any:
    """The largest element over `axis` (None: all axes), and not less than `initial`."""
    return _extremum(_MAX, a, axis, out, keepdims, initial, where)


@surface(jnp.min)
def min(
    a: Any, axis: Any = None, out: None = None, keepdims: bool = False, initial: Any = None, where: Any = None
) -> Any:
    """The smallest element over `axis` (None: all axes), and not more than `initial`."""
    return _extremum(_MIN, a, axis, out, keepdims, initial, where)


amax, amin = surface(jnp.amax)(max), surface(jnp.amin)(min)


class _Extremum:
    """What sets max and min apart: the reduction, the operation of two, the sign of infinity that never wins."""

    def __init__(self, name: str, reduce: Any, combine: Any, loser: float):
        self.name, self.reduce, self.combine, self.loser = name, reduce, combine, loser


_MAX = _Extremum("max", ops.reduce_max, max_, float("-inf"))
_MIN = _Extremum("min", ops.reduce_min, min_, float("inf"))


def _extremum(kind: _Extremum, a: Any, axis: Any, out: Any, keepdims: bool, initial: Any, where: Any) -> Any:
    refuse(kind.name, "out", out)
    x = _strong(array(a, kind.name))
    axes = normalize_axes(axis, x.ndim, kind.name)
    if initial is None and (where is not None or _size(x, axes) == 0):
        raise ArgumentError(
            f"minijvp.numpy.{kind.name} received an array of shape {x.shape} and axis={axis!r}"
            + (" and where, but no initial." if where is not None else "."),
            "Of no elements there is no extremum.",
            "Pass initial, the result for no elements.",
        )
    if where is not None:
        x = _masked(kind.name, x, where, _loser(kind, x.dtype))
    found = kind.reduce(x, axes=axes)
    if initial is not None:
        found = _with_initial(kind.name, kind.combine, found, initial)
    return _keep(found, axes) if keepdims else found


def _loser(kind: _Extremum, dtype: Any) -> Any:
    """The element of the dtype that every other one beats."""
    letter = letter_of(dtype)
    if letter == "b":
        return kind.loser > 0
    if letter in "iu":
        limits = np.iinfo(dtype)
        return int(limits.max if kind.loser > 0 else limits.min)
    return kind.loser


@surface(jnp.ptp)
def ptp(a: Any, axis: Any = None, out: None = None, keepdims: bool = False) -> Any:
    """The distance from the smallest to the largest element over `axis`."""
    refuse("ptp", "out", out)
    x = array(a, "ptp")
    if x.dtype == BOOL:
        raise ArgumentError("minijvp.numpy.ptp of booleans.", "They cannot be subtracted.", "Convert them to integers.")
    return sub(max(x, axis, keepdims=keepdims), min(x, axis, keepdims=keepdims))


@surface(jnp.argmax)
def argmax(a: Any, axis: int | None = None, out: None = None, keepdims: bool | None = None) -> Any:
    """The index of the first largest element along `axis` (None: in the flattened array)."""
    return _arg_extremum("argmax", ops.argmax, a, axis, out, keepdims)


@surface(jnp.argmin)
def argmin(a: Any, axis: int | None = None, out: None = None, keepdims: bool | None = None) -> Any:
    """The index of the first smallest element along `axis` (None: in the flattened array)."""
    return _arg_extremum("argmin", ops.argmin, a, axis, out, keepdims)


def _arg_extremum(name: str, primitive: Any, a: Any, axis: Any, out: Any, keepdims: bool | None) -> Any:
    refuse(name, "out", out)
    x = array(a, name)
    axes = normalize_axes(None, x.ndim, name) if axis is None else (normalize_axis(axis, x.ndim, name),)
    if _size(x, axes) == 0 or letter_of(x.dtype) == "c":
        raise ArgumentError(
            f"minijvp.numpy.{name} received {x.dtype.name} numbers of shape {x.shape} with axis={axis!r}.",
            "Among no elements, and among complex numbers, none is the largest or smallest.",
        )
    along = 0 if axis is None else axes[0]
    found = primitive(_flat(x) if axis is None else x, axes=(along,), index_dtype=_index_dtype())
    return _keep(found, axes) if keepdims else found


# Truth


@surface(jnp.any)
def any(a: Any, axis: Any = None, out: None = None, keepdims: bool = False, *, where: Any = None) -> Any:
    """Whether an element over `axis` is true."""
    return _truth("any", ops.reduce_or, False, a, axis, out, keepdims, where)


@surface(jnp.all)
def all(a: Any, axis: Any = None, out: None = None, keepdims: bool = False, *, where: Any = None) -> Any:
    """Whether all elements over `axis` are true."""
    return _truth("all", ops.reduce_and, True, a, axis, out, keepdims, where)


def _truth(name: str, primitive: Any, neutral: bool, a: Any, axis: Any, out: Any, keepdims: bool, where: Any) -> Any:
    refuse(name, "out", out)
    x = _in_dtype(array(a, name), BOOL)
    axes = normalize_axes(axis, x.ndim, name)
    if where is not None:
        x = _masked(name, x, where, neutral)
    found = primitive(x, axes=axes)
    return _keep(found, axes) if keepdims else found


# Reductions that leave nans out


@surface(jnp.nansum)
def nansum(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
) -> Any:
    """The sum over `axis` of the elements that are not nan."""
    return sum(_without_nans(array(a, "nansum"), 0.0), axis, dtype, out, keepdims, initial, where)


@surface(jnp.nanmean)
def nanmean(
    a: Any, axis: Any = None, dtype: Any = None, out: None = None, keepdims: bool = False, where: Any = None
) -> Any:
    """The mean over `axis` of the elements that are not nan."""
    refuse("nanmean", "out", out)
    x = array(a, "nanmean")
    if letter_of(x.dtype) not in "fc":
        return mean(x, axis, dtype, out, keepdims, where=where)
    result = x.dtype if dtype is None else as_dtype(dtype)
    wide = _wide(result)
    numbers = bitwise_not(ne(x, x))
    total = sum(_without_nans(x, 0.0), axis, wide, None, keepdims, None, where)
    count = sum(numbers, axis, wide, None, keepdims, None, where)
    return _in_dtype(div(total, count), result)


@surface(jnp.nanmax)
def nanmax(
    a: Any, axis: Any = None, out: None = None, keepdims: bool = False, initial: Any = None, where: Any = None
) -> Any:
    """The largest element over `axis` that is not nan; nan if there is none."""
    return _nan_extremum(_MAX, a, axis, out, keepdims, initial, where)


@surface(jnp.nanmin)
def nanmin(
    a: Any, axis: Any = None, out: None = None, keepdims: bool = False, initial: Any = None, where: Any = None
) -> Any:
    """The smallest element over `axis` that is not nan; nan if there is none."""
    return _nan_extremum(_MIN, a, axis, out, keepdims, initial, where)


def _nan_extremum(kind: _Extremum, a: Any, axis: Any, out: Any, keepdims: bool, initial: Any, where: Any) -> Any:
    x = _strong(array(a, f"nan{kind.name}"))
    if letter_of(x.dtype) not in "fc":
        return _extremum(kind, x, axis, out, keepdims, initial, where)
    found = _extremum(kind, _without_nans(x, kind.loser), axis, out, keepdims, initial, where)
    if initial is not None:
        return found
    nothing = all(ne(x, x), axis, keepdims=keepdims)
    return select_n(nothing, found, full_like(found, float("nan")))


def _without_nans(x: Any, replacement: float) -> Any:
    return select_n(ne(x, x), x, full_like(x, replacement)) if letter_of(x.dtype) in "fc" else x


# Parts


def _index_dtype() -> Any:
    return jax.dtypes.canonicalize_dtype(int)


def _wide(dtype: Any) -> Any:
    """The dtype in which values of `dtype` are added up: 32 bits at least for floats."""
    return np.dtype(np.float32) if dtype not in PLAIN and letter_of(dtype) == "f" else dtype


def _in_dtype(x: Any, dtype: Any) -> Any:
    """`x` in a dtype, which is not weak."""
    if x.dtype == dtype and not x.weak_type:
        return x
    return convert_element_type(x, new_dtype=dtype, weak_type=False)


def _strong(x: Any) -> Any:
    return _in_dtype(x, x.dtype)


def _size(x: Any, axes: Sequence[int]) -> int:
    """The number of elements of x along some axes."""
    return product([x.shape[d] for d in axes])


def _flat(x: Any) -> Any:
    return x if x.ndim == 1 else reshape(x, new_sizes=(product(x.shape),))


def _keep(x: Any, axes: Sequence[int]) -> Any:
    """A reduced array with axes of size 1 where it was reduced."""
    rest = iter(x.shape)
    return reshape(x, new_sizes=tuple([1 if d in axes else next(rest) for d in range(x.ndim + len(axes))]))


def _masked(function: str, x: Any, where: Any, neutral: Any) -> Any:
    """The elements that `where` chooses; in the place of others the neutral one. Both are broadcast."""
    chosen = array(where, function)
    if chosen.dtype != BOOL:
        raise ArgumentError(
            f"minijvp.numpy.{function} received where of dtype {chosen.dtype.name}.",
            "It says of every element whether it counts.",
            "Compare (where=x > 0), or convert to bool.",
        )
    shape = common_shape(function, chosen.shape, x.shape)
    x = broadcast(x, shape)
    return select_n(broadcast(chosen, shape), full_like(x, neutral), x)


def _with_initial(function: str, combine: Any, x: Any, initial: Any) -> Any:
    """`x` combined with the user's initial value, in x's dtype."""
    initial = operand(initial, function)
    if type(initial) in PYTHON_SCALARS:
        if fits(initial, letter_of(x.dtype)):
            return combine(x, cast(initial, (x.dtype, False)))
        initial = as_constant(initial)
    if initial.shape != ():
        raise ArgumentError(f"minijvp.numpy.{function} received initial of shape {initial.shape}.", "It is one number.")
    return combine(broadcast(_in_dtype(initial, x.dtype), x.shape), x)
