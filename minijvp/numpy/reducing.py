"""The parts that reductions are made of: dtypes, masks, initial values and kept axes."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod as product
from typing import Any

import jax
import numpy as np

from minijvp.core.tracing import as_constant
from minijvp.core.types import PYTHON_SCALARS, Array
from minijvp.dimensions import is_symbolic
from minijvp.errors import ArgumentError
from minijvp.numpy.promotion import array, broadcast, cast, common_shape, fits, letter_of, operand, scalar_like
from minijvp.operations.casting import convert_element_type
from minijvp.operations.elementwise import full_like, select_n
from minijvp.operations.families import reshape
from minijvp.operations.shape import size_beside

PLAIN = frozenset(map(np.dtype, ("float32", "float64", "complex64", "complex128")))
"""Dtypes whose sums have the same dtype and are accumulated in it."""

BOOL = np.dtype(bool)


def index_dtype() -> Any:
    """The dtype of the results of argmax and argmin."""
    return jax.dtypes.canonicalize_dtype(int)


def wide_dtype(dtype: Any) -> Any:
    """The dtype in which values of `dtype` are added up: 32 bits at least for floats."""
    return np.dtype(np.float32) if dtype not in PLAIN and letter_of(dtype) == "f" else dtype


def in_dtype(x: Array, dtype: Any) -> Array:
    """`x` in a dtype, which is not weak."""
    if x.dtype == dtype and not x.weak_type:
        return x
    return convert_element_type(x, new_dtype=dtype, weak_type=False)


def strong(x: Array) -> Array:
    """`x` with a dtype that is not weak."""
    return in_dtype(x, x.dtype)


def size_of(x: Array, axes: Sequence[int]) -> int:
    """The number of elements of x along some axes."""
    return product([x.shape[d] for d in axes])


def count_like(total: Array, n: Any) -> Array:
    """A number of elements, which may be symbolic, as an operand beside `total`."""
    return size_beside(n, total) if is_symbolic(n) else scalar_like(n, total.dtype)


def flat(x: Array) -> Array:
    """`x` with one axis."""
    return x if x.ndim == 1 else reshape(x, new_sizes=(product(x.shape),))


def kept_axes(x: Array, axes: Sequence[int]) -> Array:
    """A reduced array with axes of size 1 where it was reduced."""
    rest = iter(x.shape)
    return reshape(x, new_sizes=tuple([1 if d in axes else next(rest) for d in range(x.ndim + len(axes))]))


def masked(function: str, x: Array, where: Any, neutral: Any) -> Array:
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


def with_initial(function: str, combine: Any, x: Array, initial: Any) -> Array:
    """`x` combined with the user's initial value, in x's dtype."""
    initial = operand(initial, function)
    if type(initial) in PYTHON_SCALARS:
        if fits(initial, letter_of(x.dtype)):
            return combine(x, cast(initial, (x.dtype, False)))
        initial = as_constant(initial)
    if initial.shape != ():
        raise ArgumentError(f"minijvp.numpy.{function} received initial of shape {initial.shape}.", "It is one number.")
    return combine(broadcast(in_dtype(initial, x.dtype), x.shape), x)
