"""Sums, means, extrema and what else takes axes away, or runs along one. Signatures and dtypes are those of jax.numpy.

Functions here shadow builtins (sum, max, any ...): inside this module these names mean ours.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import jax.numpy as jnp
import numpy as np

from minijvp.core.types import Array, x64_enabled
from minijvp.errors import ArgumentError
from minijvp.numpy.makers import surface
from minijvp.numpy.promotion import (
    array,
    as_dtype,
    letter_of,
    normalize_axes,
    normalize_axis,
    refuse,
    result_kind,
    scalar_like,
)
from minijvp.numpy.reducing import (
    BOOL,
    PLAIN,
    flat,
    in_dtype,
    index_dtype,
    kept_axes,
    masked,
    size_of,
    strong,
    wide_dtype,
    with_initial,
)
from minijvp.operations import cumulative
from minijvp.operations import reduction as ops
from minijvp.operations.elementwise import max_, min_, mul, ne, sub
from minijvp.operations.families import add, reduce_sum

__all__ = [
    "all",
    "amax",
    "amin",
    "any",
    "argmax",
    "argmin",
    "count_nonzero",
    "cumprod",
    "cumsum",
    "max",
    "min",
    "prod",
    "ptp",
    "sum",
]

# Sums and products


@surface(jnp.sum)
def sum(
    a: Array,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
    promote_integers: bool = True,
) -> Array:
    """The sum over `axis` (None: all axes); `where` chooses the elements, `initial` is added."""
    return _total(_SUM, a, axis, dtype, out, keepdims, initial, where, promote_integers)


@surface(jnp.prod)
def prod(
    a: Array,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
    promote_integers: bool = True,
) -> Array:
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
    a: Array,
    axis: Any,
    dtype: Any,
    out: Any,
    keepdims: bool,
    initial: Any,
    where: Any,
    promote_integers: bool,
) -> Array:
    x = array(a, kind.name)
    axes = normalize_axes(axis, x.ndim, kind.name)
    if dtype is initial is where is out is None and x.dtype in PLAIN and not x.weak_type:
        total = kind.reduce(x, axes=axes)
        return kept_axes(total, axes) if keepdims else total
    refuse(kind.name, "out", out)
    result = _total_dtype(kind.original, x.dtype, promote_integers, x64_enabled()) if dtype is None else as_dtype(dtype)
    x = in_dtype(x, wide_dtype(result))
    if where is not None:
        x = masked(kind.name, x, where, kind.neutral)
    if result == BOOL:
        total = kind.reduce_bool(x, axes=axes)
    else:
        total = kind.reduce(x, axes=axes)
        if initial is not None:
            total = with_initial(kind.name, kind.combine, total, initial)
    total = in_dtype(total, result)
    return kept_axes(total, axes) if keepdims else total


@lru_cache(maxsize=256)
def _total_dtype(original: Callable[..., Any], dtype: Any, promote_integers: bool, x64: bool) -> Any:
    return result_kind(partial(original, promote_integers=promote_integers), (dtype, False))[0]


@surface(jnp.cumsum)
def cumsum(a: Array, axis: int | None = None, dtype: Any = None, out: None = None) -> Array:
    """The sums of the elements so far along `axis` (None: of the flattened array)."""
    return _cumulative(jnp.cumsum, cumulative.cumsum, a, axis, dtype, out)


@surface(jnp.cumprod)
def cumprod(a: Array, axis: int | None = None, dtype: Any = None, out: None = None) -> Array:
    """The products of the elements so far along `axis` (None: of the flattened array)."""
    return _cumulative(jnp.cumprod, cumulative.cumprod, a, axis, dtype, out)


def _cumulative(original: Callable[..., Any], primitive: Any, a: Array, axis: Any, dtype: Any, out: Any) -> Array:
    name = original.__name__
    refuse(name, "out", out)
    x = array(a, name)
    if axis is None:
        x, axis = flat(x), 0
    else:
        axis = normalize_axis(axis, x.ndim, name)
    result = _cumulative_dtype(original, x.dtype, x64_enabled()) if dtype is None else as_dtype(dtype)
    return primitive(in_dtype(x, result), axis=axis, reverse=False)


@lru_cache(maxsize=256)
def _cumulative_dtype(original: Callable[..., Any], dtype: Any, x64: bool) -> Any:
    return result_kind(original, (dtype, False))[0]


@surface(jnp.count_nonzero)
def count_nonzero(a: Array, axis: Any = None, keepdims: bool = False) -> Array:
    """The number of elements along `axis` that are not zero."""
    x = array(a, "count_nonzero")
    x = x if x.dtype == BOOL else ne(x, scalar_like(0, x.dtype))
    return sum(x, axis, dtype=index_dtype(), keepdims=keepdims)


# Extrema


@surface(jnp.max)
def max(
    a: Array, axis: Any = None, out: None = None, keepdims: bool = False, initial: Any = None, where: Any = None
) -> Array:
    """The largest element over `axis` (None: all axes), and not less than `initial`."""
    return extremum(MAX, a, axis, out, keepdims, initial, where)


@surface(jnp.min)
def min(
    a: Array, axis: Any = None, out: None = None, keepdims: bool = False, initial: Any = None, where: Any = None
) -> Array:
    """The smallest element over `axis` (None: all axes), and not more than `initial`."""
    return extremum(MIN, a, axis, out, keepdims, initial, where)


amax, amin = surface(jnp.amax)(max), surface(jnp.amin)(min)


class Extremum:
    """What sets max and min apart: the reduction, the operation of two, the sign of infinity that never wins."""

    def __init__(self, name: str, reduce: Any, combine: Any, loser: float):
        self.name, self.reduce, self.combine, self.loser = name, reduce, combine, loser


MAX = Extremum("max", ops.reduce_max, max_, float("-inf"))
MIN = Extremum("min", ops.reduce_min, min_, float("inf"))


def extremum(kind: Extremum, a: Array, axis: Any, out: Any, keepdims: bool, initial: Any, where: Any) -> Array:
    """The largest or the smallest element over `axis`."""
    refuse(kind.name, "out", out)
    x = strong(array(a, kind.name))
    axes = normalize_axes(axis, x.ndim, kind.name)
    if initial is None and (where is not None or size_of(x, axes) == 0):
        raise ArgumentError(
            f"minijvp.numpy.{kind.name} received an array of shape {x.shape} and axis={axis!r}"
            + (" and where, but no initial." if where is not None else "."),
            "Of no elements there is no extremum.",
            "Pass initial, the result for no elements.",
        )
    if where is not None:
        x = masked(kind.name, x, where, _loser(kind, x.dtype))
    found = kind.reduce(x, axes=axes)
    if initial is not None:
        found = with_initial(kind.name, kind.combine, found, initial)
    return kept_axes(found, axes) if keepdims else found


def _loser(kind: Extremum, dtype: Any) -> Array:
    """The element of the dtype that every other one beats."""
    letter = letter_of(dtype)
    if letter == "b":
        return kind.loser > 0
    if letter in "iu":
        limits = np.iinfo(dtype)
        return int(limits.max if kind.loser > 0 else limits.min)
    return kind.loser


@surface(jnp.ptp)
def ptp(a: Array, axis: Any = None, out: None = None, keepdims: bool = False) -> Array:
    """The distance from the smallest to the largest element over `axis`."""
    refuse("ptp", "out", out)
    x = array(a, "ptp")
    if x.dtype == BOOL:
        raise ArgumentError("minijvp.numpy.ptp of booleans.", "They cannot be subtracted.", "Convert them to integers.")
    return sub(max(x, axis, keepdims=keepdims), min(x, axis, keepdims=keepdims))


@surface(jnp.argmax)
def argmax(a: Array, axis: int | None = None, out: None = None, keepdims: bool | None = None) -> Array:
    """The index of the first largest element along `axis` (None: in the flattened array)."""
    return _arg_extremum("argmax", ops.argmax, a, axis, out, keepdims)


@surface(jnp.argmin)
def argmin(a: Array, axis: int | None = None, out: None = None, keepdims: bool | None = None) -> Array:
    """The index of the first smallest element along `axis` (None: in the flattened array)."""
    return _arg_extremum("argmin", ops.argmin, a, axis, out, keepdims)


def _arg_extremum(name: str, primitive: Any, a: Array, axis: Any, out: Any, keepdims: bool | None) -> Array:
    refuse(name, "out", out)
    x = array(a, name)
    axes = normalize_axes(None, x.ndim, name) if axis is None else (normalize_axis(axis, x.ndim, name),)
    if size_of(x, axes) == 0 or letter_of(x.dtype) == "c":
        raise ArgumentError(
            f"minijvp.numpy.{name} received {x.dtype.name} numbers of shape {x.shape} with axis={axis!r}.",
            "Among no elements, and among complex numbers, none is the largest or smallest.",
        )
    along = 0 if axis is None else axes[0]
    found = primitive(flat(x) if axis is None else x, axes=(along,), index_dtype=index_dtype())
    return kept_axes(found, axes) if keepdims else found


# Truth


@surface(jnp.any)
def any(a: Array, axis: Any = None, out: None = None, keepdims: bool = False, *, where: Any = None) -> Array:
    """Whether an element over `axis` is true."""
    return _truth("any", ops.reduce_or, False, a, axis, out, keepdims, where)


@surface(jnp.all)
def all(a: Array, axis: Any = None, out: None = None, keepdims: bool = False, *, where: Any = None) -> Array:
    """Whether all elements over `axis` are true."""
    return _truth("all", ops.reduce_and, True, a, axis, out, keepdims, where)


def _truth(
    name: str, primitive: Any, neutral: bool, a: Array, axis: Any, out: Any, keepdims: bool, where: Any
) -> Array:
    refuse(name, "out", out)
    x = in_dtype(array(a, name), BOOL)
    axes = normalize_axes(axis, x.ndim, name)
    if where is not None:
        x = masked(name, x, where, neutral)
    found = primitive(x, axes=axes)
    return kept_axes(found, axes) if keepdims else found
