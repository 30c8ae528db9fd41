"""Reductions that ignore nans. Signatures and dtypes are those of jax.numpy."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from minijvp.core.types import Array
from minijvp.numpy.makers import surface
from minijvp.numpy.promotion import array, as_dtype, letter_of, refuse
from minijvp.numpy.reducing import in_dtype, strong, wide_dtype
from minijvp.numpy.reductions import MAX, MIN, Extremum, all, extremum, sum
from minijvp.numpy.statistics import mean
from minijvp.operations.bitwise import bitwise_not
from minijvp.operations.elementwise import div, full_like, ne, select_n

__all__ = ["nanmax", "nanmean", "nanmin", "nansum"]


@surface(jnp.nansum)
def nansum(
    a: Array,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
) -> Array:
    """The sum over `axis` of the elements that are not nan."""
    return sum(_without_nans(array(a, "nansum"), 0.0), axis, dtype, out, keepdims, initial, where)


@surface(jnp.nanmean)
def nanmean(
    a: Array, axis: Any = None, dtype: Any = None, out: None = None, keepdims: bool = False, where: Any = None
) -> Array:
    """The mean over `axis` of the elements that are not nan."""
    refuse("nanmean", "out", out)
    x = array(a, "nanmean")
    if letter_of(x.dtype) not in "fc":
        return mean(x, axis, dtype, out, keepdims, where=where)
    result = x.dtype if dtype is None else as_dtype(dtype)
    wide = wide_dtype(result)
    numbers = bitwise_not(ne(x, x))
    total = sum(_without_nans(x, 0.0), axis, wide, None, keepdims, None, where)
    count = sum(numbers, axis, wide, None, keepdims, None, where)
    return in_dtype(div(total, count), result)


@surface(jnp.nanmax)
def nanmax(
    a: Array, axis: Any = None, out: None = None, keepdims: bool = False, initial: Any = None, where: Any = None
) -> Array:
    """The largest element over `axis` that is not nan; nan if there is none."""
    return _nan_extremum(MAX, a, axis, out, keepdims, initial, where)


@surface(jnp.nanmin)
def nanmin(
    a: Array, axis: Any = None, out: None = None, keepdims: bool = False, initial: Any = None, where: Any = None
) -> Array:
    """The smallest element over `axis` that is not nan; nan if there is none."""
    return _nan_extremum(MIN, a, axis, out, keepdims, initial, where)


def _nan_extremum(kind: Extremum, a: Array, axis: Any, out: Any, keepdims: bool, initial: Any, where: Any) -> Array:
    x = strong(array(a, f"nan{kind.name}"))
    if letter_of(x.dtype) not in "fc":
        return extremum(kind, x, axis, out, keepdims, initial, where)
    found = extremum(kind, _without_nans(x, kind.loser), axis, out, keepdims, initial, where)
    if initial is not None:
        return found
    nothing = all(ne(x, x), axis, keepdims=keepdims)
    return select_n(nothing, found, full_like(found, float("nan")))


def _without_nans(x: Array, replacement: float) -> Array:
    return select_n(ne(x, x), x, full_like(x, replacement)) if letter_of(x.dtype) in "fc" else x
