"""The functions of jax.lax that reduce, accumulate and sort, along axes or in windows."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from minijvp.core.tracer import is_traced
from minijvp.core.types import Array, type_of
from minijvp.errors import ArgumentError
from minijvp.interop.surface import bridge
from minijvp.lax import elementwise as named
from minijvp.lax.products import require_padding
from minijvp.lax.shapes import axes_of, integers
from minijvp.numpy import arithmetic, logic
from minijvp.numpy.makers import surface
from minijvp.numpy.promotion import array, as_dtype, cast
from minijvp.operations import casting, cumulative, families, reduction, sorting, windows

__all__ = [
    "argmax",
    "argmin",
    "cumlogsumexp",
    "cummax",
    "cummin",
    "cumprod",
    "cumsum",
    "reduce",
    "reduce_and",
    "reduce_max",
    "reduce_min",
    "reduce_or",
    "reduce_prod",
    "reduce_sum",
    "reduce_window",
    "reduce_xor",
    "sort",
    "sort_key_val",
    "top_k",
]

F = TypeVar("F", bound=Callable[..., Any])

# Reductions, cumulative operations, order


def numeric(operand: Array, function: str) -> Array:
    """The operand as an array. Raises ArgumentError for booleans, which are no numbers to jax.lax."""
    x = array(operand, function)
    if x.dtype == np.bool_:
        raise ArgumentError(
            f"minijvp.lax.{function} received {type_of(x)!r}.",
            "It works with numbers, and promotes nothing.",
            "Convert it (x.astype(int)), or use the function of minijvp.numpy.",
        )
    return x


def reducing(original: Any, primitive: Any, read: Any = array) -> Any:
    """A reduction over axes."""

    def traced(operand: Array, axes: Sequence[int]) -> Array:
        x = read(operand, original.__name__)
        return primitive(x, axes=axes_of(x, axes, original.__name__))

    return surface(original)(traced)


reduce_sum = reducing(lax.reduce_sum, families.reduce_sum, numeric)
reduce_max = reducing(lax.reduce_max, reduction.reduce_max)
reduce_min = reducing(lax.reduce_min, reduction.reduce_min)
reduce_prod = reducing(lax.reduce_prod, reduction.reduce_prod, numeric)
reduce_and = reducing(lax.reduce_and, reduction.reduce_and)
reduce_or = reducing(lax.reduce_or, reduction.reduce_or)
reduce_xor = reducing(lax.reduce_xor, reduction.reduce_xor)


def finding(original: Any, primitive: Any) -> Any:
    """The index of an extremum along one axis."""

    def traced(operand: Array, axis: int, index_dtype: Any) -> Array:
        x = array(operand, original.__name__)
        return primitive(x, axes=axes_of(x, (axis,), original.__name__), index_dtype=as_dtype(index_dtype))

    return surface(original)(traced)


argmax = finding(lax.argmax, reduction.argmax)
argmin = finding(lax.argmin, reduction.argmin)


def accumulating(original: Any, primitive: Any, doc: str | None = None) -> Any:
    """A cumulative operation along one axis."""

    def traced(operand: Array, axis: int = 0, reverse: bool = False) -> Array:
        x = numeric(operand, original.__name__)
        return primitive(x, axis=axes_of(x, (axis,), original.__name__)[0], reverse=reverse)

    traced.__doc__ = doc
    return surface(original)(traced)


cumsum = accumulating(lax.cumsum, cumulative.cumsum)
cumprod = accumulating(lax.cumprod, cumulative.cumprod)
EXTREMA = "The {} element so far along an axis. Elements that tie for it share its derivative equally, in both modes."
cummax = accumulating(lax.cummax, cumulative.cummax, EXTREMA.format("largest"))
cummin = accumulating(lax.cummin, cumulative.cummin, EXTREMA.format("smallest"))
cumlogsumexp = accumulating(lax.cumlogsumexp, cumulative.cumlogsumexp)


@surface(lax.sort)
def sort(operand: Any, dimension: int = -1, is_stable: bool = True, num_keys: int = 1) -> Any:
    """The operand, or several together, in order along an axis."""
    several = isinstance(operand, (tuple, list))
    xs = [array(x, "sort") for x in (operand if several else (operand,))]
    (axis,) = axes_of(xs[0], (dimension,), "sort")
    outs = sorting.sort(*xs, dimension=axis, is_stable=is_stable, num_keys=num_keys)
    return outs if several else outs[0]


@surface(lax.sort_key_val)
def sort_key_val(keys: Array, values: Array, dimension: int = -1, is_stable: bool = True) -> tuple[Any, Any]:
    """Keys in order, and the values in the order of their keys."""
    return sort((keys, values), dimension, is_stable)


@surface(lax.top_k)
def top_k(operand: Array, k: int, *, axis: int = -1, is_stable: bool = True) -> tuple[Any, Any]:
    """The k largest elements along an axis, the largest first, and their indices: of equal ones, always the first."""
    x = array(operand, "top_k")
    return sorting.top_k(x, k=operator.index(k), axis=axes_of(x, (axis,), "top_k")[0])


# Windows

COMPUTATIONS = {
    function: name
    for name, functions in {
        "add": (lax.add, jnp.add, arithmetic.add),
        "mul": (lax.mul, jnp.multiply, arithmetic.multiply),
        "max": (lax.max, jnp.maximum, arithmetic.maximum),
        "min": (lax.min, jnp.minimum, arithmetic.minimum),
        "and": (lax.bitwise_and, jnp.bitwise_and, logic.bitwise_and),
        "or": (lax.bitwise_or, jnp.bitwise_or, logic.bitwise_or),
        "xor": (lax.bitwise_xor, jnp.bitwise_xor, logic.bitwise_xor),
    }.items()
    for function in functions
}
"""The functions, themselves and none of the same name, for which windows are reduced without their programs."""

SPECIAL = {
    "add": windows.reduce_window_sum,
    "max": windows.reduce_window_max,
    "min": windows.reduce_window_min,
}


def by_computations(function: F) -> F:
    """Decorator: a computation of minijvp.lax is handed on as the one of jax.lax, which is the one that JAX knows."""

    def known(x: Any) -> Any:
        name = getattr(x, "__name__", "") if callable(x) else ""
        return getattr(lax, name) if name and getattr(named, name, None) is x else x

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return function(*map(known, args), **{key: known(x) for key, x in kwargs.items()})

    return call  # type: ignore[return-value]


reduce_by_program = bridge(lax.reduce, lax, "reduce")
MONOIDS = {
    lax.add: ("add", reduce_sum),
    lax.mul: ("mul", reduce_prod),
    lax.max: ("max", reduce_max),
    lax.min: ("min", reduce_min),
    lax.bitwise_and: ("and", reduce_and),
    lax.bitwise_or: ("or", reduce_or),
    lax.bitwise_xor: ("xor", reduce_xor),
}


@by_computations
@wraps(reduce_by_program)
def reduce(operands: Any, init_values: Any, computation: Any, dimensions: Any, **options: Any) -> Any:
    """As jax.lax: the sum, product ... itself, where that is what is asked for; by a program of JAX otherwise."""
    first, *_ = jax.tree_util.tree_leaves(operands) or [operands]
    axes = axes_of(first, dimensions, "reduce")
    if is_traced(operands) and computation in MONOIDS and not options:
        name, reduction = MONOIDS[computation]
        x = type_of(operands)
        if is_neutral(init_values, name) and len(set(axes)) == len(axes):
            out = reduction(operands, axes)
            weak = x.weak_type and type_of(init_values).weak_type
            return casting.convert_element_type(out, new_dtype=x.dtype, weak_type=weak) if weak != x.weak_type else out
    return reduce_by_program(operands, init_values, computation, axes, **options)


def is_neutral(value: Any, name: str) -> bool:
    """Whether a value is known, and a number from which a reduction in its own dtype starts, which is what JAX asks."""
    if is_traced(value) or np.shape(value) != ():
        return False
    dtype = type_of(value).dtype
    return (name not in ("and", "or", "xor") or dtype.kind in "iub") and is_start(value, name, dtype)


windows_by_program = bridge(lax.reduce_window, lax, "reduce_window")


@by_computations
@surface(lax.reduce_window)
def reduce_window(
    operand: Any,
    init_value: Any,
    computation: Any,
    window_dimensions: Any,
    window_strides: Any = None,
    padding: Any = "VALID",
    base_dilation: Any = None,
    window_dilation: Any = None,
) -> Any:
    """Windows of the operand, each reduced by a function of two numbers; or of several, by one of two tuples.

    The function is associative, and the initial values are neutral for it, as jax.lax wants it. Differentiated, a
    function other than add, max and min costs an operation for each place in a window.
    """
    name = COMPUTATIONS.get(computation)
    if name is None or isinstance(operand, (tuple, list, dict)):
        more = (window_dimensions, window_strides, padding, base_dilation, window_dilation)
        return windows_by_program(operand, init_value, computation, *more)
    x = array(operand, "reduce_window")
    ones = (1,) * len(type_of(x).shape)
    size = integers(window_dimensions)
    strides = ones if window_strides is None else integers(window_strides)
    base = ones if base_dilation is None else integers(base_dilation)
    dilation = ones if window_dilation is None else integers(window_dilation)
    if isinstance(padding, str):
        require_padding(padding, "reduce_window")
        sizes = [windows.dilated(n, d) for n, d in zip(type_of(x).shape, base, strict=True)]
        extents = [windows.dilated(n, d) for n, d in zip(size, dilation, strict=True)]
        padding = lax.padtype_to_pads(sizes, extents, strides, padding)
    params = {
        "window_dimensions": size,
        "window_strides": strides,
        "padding": tuple(map(integers, padding)),
        "base_dilation": base,
        "window_dilation": dilation,
    }
    dtype = type_of(x).dtype
    if name in SPECIAL and is_start(init_value, name, dtype):
        return SPECIAL[name](x, **params)
    start = cast(array(init_value, "reduce_window"), (dtype, False))
    return windows.reduce_window(x, start, computation=name, **params)


def is_start(value: Any, name: str, dtype: Any) -> bool:
    """Whether a known value is the one from which a reduction starts."""
    if is_traced(value):
        return False
    return bool(np.asarray(value) == windows.start_of(name, dtype))
