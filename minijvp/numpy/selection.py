"""Functions the shape of whose result depends on values: those that select elements.

Where the values are known, as under grad with nothing staged, they are looked at, and the elements are taken by their
indices. Otherwise JAX's own ways remain: `size`, or an error that says that values are missing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import jax.numpy as jnp
import numpy as np

from minijvp.core.tracing import EVALUATION, state
from minijvp.core.types import Array
from minijvp.errors import ArgumentError, ConcretizationError
from minijvp.interop.docstrings import RESTATED, docstring
from minijvp.interop.from_jax import from_jax
from minijvp.interop.rules import NeedsValueError
from minijvp.numpy.indexing import getitem, take
from minijvp.numpy.logic import where as where_both
from minijvp.numpy.manipulation import atleast_1d, concatenate, ravel
from minijvp.numpy.promotion import array, known_values, refuse

__all__ = [
    "argwhere",
    "compress",
    "extract",
    "flatnonzero",
    "intersect1d",
    "nonzero",
    "roots",
    "setdiff1d",
    "setxor1d",
    "trim_zeros",
    "union1d",
    "unique",
    "unique_all",
    "unique_counts",
    "unique_inverse",
    "unique_values",
    "where",
]


class NotKnownError(Exception):
    """A value is not known while the program is traced."""


def known(x: Any) -> Any:
    """The values of an array or of what a tracer stands for, as a NumPy array. Raises NotKnownError without them."""
    found = known_values(x)
    if found is None:
        raise NotKnownError
    return found


def unknown_shape(function: str) -> ConcretizationError:
    """The error for a selection by values that are not known."""
    return ConcretizationError(
        f"minijvp.numpy.{function} received a traced array whose values select the elements of the result.",
        "How many those are is not known while a program is traced.",
        "Pass size=, the number of elements to make room for, where the function has it"
        + (", or both alternatives: mnp.where(condition, x, y)." if function == "where" else "."),
    )


def selecting(original: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorator of a definition by known values: without them, or with `size`, the function of JAX is bridged.

    A `fill_value` is for what `size` leaves free, and means nothing to the definition.
    """

    def decorate(by_values: Callable[..., Any]) -> Callable[..., Any]:
        bridged = from_jax(original)

        @wraps(original)
        def function(*args: Any, **kwargs: Any) -> Any:
            if state.trace is EVALUATION:
                return original(*args, **kwargs)
            if kwargs.get("size") is not None:
                return bridged(*args, **kwargs)
            try:
                return by_values(*args, **{k: v for k, v in kwargs.items() if k not in ("size", "fill_value")})
            except NotKnownError:
                pass
            try:
                return bridged(*args, **kwargs)
            except NeedsValueError as error:
                raise unknown_shape(original.__name__) from error

        function.__doc__ = docstring(original, f"jax.numpy.{original.__name__}", RESTATED, by_values.__doc__ or "")
        return function

    return decorate


@selecting(jnp.argwhere)
def argwhere(a: Array) -> Array:
    """The indices of the elements that are not zero, a row for each."""
    return jnp.argwhere(known(a))


@selecting(jnp.nonzero)
def nonzero(a: Array) -> Any:
    """The indices of the elements that are not zero, an array for each axis."""
    return jnp.nonzero(known(a))


@selecting(jnp.flatnonzero)
def flatnonzero(a: Array) -> Array:
    """The indices of the elements that are not zero, in the flattened array."""
    return jnp.flatnonzero(known(a))


@selecting(jnp.where)
def where(condition: Array, x: Any = None, y: Any = None, /) -> Any:
    """Element by element, x where the condition holds and y elsewhere; without both, the indices where it holds."""
    if (x is None) != (y is None):
        raise ArgumentError(
            "minijvp.numpy.where received one of x and y.",
            "It chooses between two; with neither, it finds where the condition holds.",
            "Pass both: mnp.where(condition, x, y).",
        )
    return jnp.nonzero(known(condition)) if x is None else where_both(condition, x, y)


@selecting(jnp.extract)
def extract(condition: Array, arr: Array) -> Array:
    """The elements for which the condition holds."""
    return getitem(ravel(array(arr, "extract")), np.flatnonzero(known(condition)))


@selecting(jnp.compress)
def compress(condition: Array, a: Array, axis: int | None = None, *, out: None = None) -> Array:
    """The slices along an axis for which the condition holds."""
    refuse("compress", "out", out)
    return take(array(a, "compress"), np.flatnonzero(known(condition)), axis)


@selecting(jnp.unique)
def unique(
    ar: Array,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    *,
    equal_nan: bool = True,
    sorted: bool = True,
) -> Any:
    """The distinct values, in order, and what else is asked for: their first indices, where each went, their counts."""
    x = array(ar, "unique")
    options = {"equal_nan": equal_nan, "sorted": sorted}
    _, index, inverse, counts = jnp.unique(known(x), True, True, True, axis, **options)  # type: ignore[arg-type]
    values = getitem(ravel(x), index) if axis is None else take(x, index, axis)
    wanted = zip((return_index, return_inverse, return_counts), (index, inverse, counts), strict=True)
    more = [result for is_wanted, result in wanted if is_wanted]
    return (values, *more) if more else values


def with_values(original: Callable[..., Any]) -> Callable[..., Any]:
    """One of the functions that return distinct values in a named tuple."""

    @selecting(original)
    def function(x: Array, /) -> Any:
        return original(known(x))._replace(values=unique(x))

    return function


unique_all, unique_counts, unique_inverse = map(with_values, (jnp.unique_all, jnp.unique_counts, jnp.unique_inverse))


@selecting(jnp.unique_values)
def unique_values(x: Array, /) -> Array:
    """The distinct values, in order."""
    return unique(x)


@selecting(jnp.union1d)
def union1d(ar1: Array, ar2: Array) -> Array:
    """The distinct values of two arrays together, in order."""
    return unique(concatenate([ravel(ar1), ravel(ar2)]))


@selecting(jnp.intersect1d)
def intersect1d(ar1: Array, ar2: Array, assume_unique: bool = False, return_indices: bool = False) -> Any:
    """The distinct values that are in both arrays, in order, and on request their first indices."""
    _, index1, index2 = jnp.intersect1d(known(ar1), known(ar2), assume_unique, True)
    values = getitem(ravel(ar1), index1)
    return (values, index1, index2) if return_indices else values


@selecting(jnp.setdiff1d)
def setdiff1d(ar1: Array, ar2: Array, assume_unique: bool = False) -> Array:
    """The distinct values of the first array that are not in the second, in order."""
    x = ravel(ar1) if assume_unique else unique(ar1)
    return getitem(x, np.flatnonzero(~np.isin(known(x), known(ar2))))


@selecting(jnp.setxor1d)
def setxor1d(ar1: Array, ar2: Array, assume_unique: bool = False) -> Array:
    """The distinct values that are in one of two arrays only, in order."""
    x = concatenate([ravel(v) if assume_unique else unique(v) for v in (ar1, ar2)])
    _, index, counts = np.unique(known(x), return_index=True, return_counts=True)
    return getitem(x, index[counts == 1])


@selecting(jnp.trim_zeros)
def trim_zeros(filt: Array, trim: str = "fb", axis: Any = None) -> Array:
    """The elements of a flat array without the zeros at its front ("f") and its back ("b")."""
    if axis is not None:
        raise NotKnownError
    places, n = np.flatnonzero(known(filt)), len(filt)
    if not len(places):
        return filt[:0]
    first = places[0] if "f" in trim.lower() else 0
    return filt[first : places[-1] + 1 if "b" in trim.lower() else n]


bridged_roots = from_jax(jnp.roots)


@selecting(jnp.roots)
def roots(p: Array, *, strip_zeros: bool = True) -> Array:
    """The roots of the polynomial with these coefficients, the highest first."""
    if not strip_zeros:
        raise NotKnownError
    p = atleast_1d(p)
    places = np.flatnonzero(known(p))
    if not len(places):
        return jnp.roots(known(p))
    found = bridged_roots(array(p, "roots")[places[0] : places[-1] + 1], strip_zeros=False)
    at_zero = len(p) - 1 - places[-1]
    return concatenate([found, jnp.zeros(at_zero, found.dtype)]) if at_zero else found
