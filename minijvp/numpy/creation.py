"""Functions that make arrays. Under a trace they are part of the program, and not constants of it."""

from __future__ import annotations

from functools import cache
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from minijvp.core.tracer import Tracer, is_convertible, is_known
from minijvp.core.tracing import as_constant, state
from minijvp.core.types import (
    PYTHON_SCALARS,
    Array,
    abstract_type,
    is_arraylike,
    is_inexact,
    type_of,
    wrapped,
    x64_enabled,
)
from minijvp.dimensions import as_size, decided
from minijvp.errors import ArgumentError
from minijvp.numpy.makers import surface
from minijvp.numpy.promotion import array as as_operand
from minijvp.numpy.promotion import (
    as_dtype,
    broadcast,
    cast,
    converted,
    join,
    kind_of,
    normalize_axis,
    refuse,
    scalar_like,
    shape_values,
)
from minijvp.operations import elementwise
from minijvp.operations.families import add, broadcast_in_dim, reshape
from minijvp.operations.families import zeros as zeros_primitive
from minijvp.operations.shape import concatenate, iota

__all__ = [
    "arange",
    "array",
    "asarray",
    "astype",
    "copy",
    "empty",
    "empty_like",
    "eye",
    "full",
    "full_like",
    "identity",
    "meshgrid",
    "ndim",
    "ones",
    "ones_like",
    "result_type",
    "shape",
    "size",
    "tri",
    "zeros",
    "zeros_like",
]


def as_shape(shape: Any, function: str) -> tuple[int, ...]:
    """A shape as the user gave it (an integer, or a sequence of them), as a tuple of integers."""
    given = shape if isinstance(shape, (tuple, list)) else np.atleast_1d(shape) if is_known(shape) else (shape,)
    try:
        sizes = tuple([as_size(n) for n in given])
    except TypeError:
        sizes = (-1,)
    if any(decided(lambda n=n: n < 0) for n in sizes):
        raise ArgumentError(
            f"minijvp.numpy.{function} received the shape {shape!r}.",
            "A shape is a sequence of integers that are not negative.",
            "Shapes are static: take them from x.shape, or from arguments in static_argnums of jit.",
        )
    return sizes


def filled(value: Array, shape: tuple[int, ...], dtype: Any, weak: bool = False) -> Array:
    """An array with the same value everywhere."""
    value = scalar_like(value, dtype) if weak else wrapped(value, dtype)
    return converted(broadcast_in_dim(value, shape=shape, broadcast_dimensions=()), dtype, weak)


@surface(jnp.zeros)
def zeros(shape: Any, dtype: Any = None, *, device: Any = None) -> Array:
    """An array of zeros."""
    return zeros_primitive(shape=as_shape(shape, "zeros"), dtype=as_dtype(float if dtype is None else dtype))


@surface(jnp.ones)
def ones(shape: Any, dtype: Any = None, *, device: Any = None) -> Array:
    """An array of ones."""
    return filled(1, as_shape(shape, "ones"), as_dtype(float if dtype is None else dtype))


@surface(jnp.empty)
def empty(shape: Any, dtype: Any = None, *, device: Any = None) -> Array:
    """An array of zeros: there is no memory without values."""
    return zeros(shape, dtype)


@surface(jnp.full)
def full(shape: Any, fill_value: Array, dtype: Any = None, *, device: Any = None) -> Array:
    """An array of one value, or of an array that is broadcast to the shape. Of a Python scalar, it is weakly typed."""
    sizes = as_shape(shape, "full")
    if type(fill_value) in PYTHON_SCALARS:
        t = type_of(fill_value)
        return filled(fill_value, sizes, *((t.dtype, t.weak_type) if dtype is None else (as_dtype(dtype), False)))
    return broadcast(asarray(fill_value, dtype), sizes)


def _like(a: Array, dtype: Any, shape: Any, function: str) -> tuple[tuple[int, ...], Any, bool]:
    """The shape and dtype of the result, and whether it is weakly typed: as `a` is, if no dtype is given."""
    t = type_of(as_operand(a, function)) if is_convertible(a) else abstract_type(a)
    sizes = t.shape if shape is None else as_shape(shape, function)
    return (sizes, t.dtype, t.weak_type) if dtype is None else (sizes, as_dtype(dtype), False)


@surface(jnp.zeros_like)
def zeros_like(a: Array, dtype: Any = None, shape: Any = None, *, device: Any = None) -> Array:
    """Zeros of the shape and dtype of an array."""
    sizes, dtype, weak = _like(a, dtype, shape, "zeros_like")
    return filled(0, sizes, dtype, weak) if weak else zeros_primitive(shape=sizes, dtype=dtype)


@surface(jnp.ones_like)
def ones_like(a: Array, dtype: Any = None, shape: Any = None, *, device: Any = None) -> Array:
    """Ones of the shape and dtype of an array."""
    return filled(1, *_like(a, dtype, shape, "ones_like"))


@surface(jnp.empty_like)
def empty_like(prototype: Array, dtype: Any = None, shape: Any = None, *, device: Any = None) -> Array:
    """Zeros of the shape and dtype of an array."""
    return zeros_like(prototype, dtype, shape)


@surface(jnp.full_like)
def full_like(a: Array, fill_value: Array, dtype: Any = None, shape: Any = None, *, device: Any = None) -> Array:
    """One value in the shape and dtype of an array."""
    sizes, dtype, weak = _like(a, dtype, shape, "full_like")
    if type(fill_value) in PYTHON_SCALARS:
        return filled(fill_value, sizes, dtype, weak)
    value = as_operand(fill_value, "full_like")
    return broadcast(converted(value, dtype, weak and not type_of(value).shape), sizes)


@surface(jnp.asarray)
def asarray(
    a: Any, dtype: Any = None, order: str | None = None, *, copy: bool | None = None, device: Any = None
) -> Array:
    """`a` as an array: nested lists too, of numbers, arrays and tracers. An array is copied only with `copy`."""
    require_order(order, "asarray")
    if isinstance(a, (list, tuple)):
        return _stacked(a, dtype)
    if is_host_value(a):
        return state.trace.lift(as_constant(a, as_dtype(dtype), copy))
    if is_convertible(a):
        a = as_operand(a, "asarray")
    if not isinstance(a, Tracer):
        return state.trace.lift(jnp.asarray(a, as_dtype(dtype), copy=copy))  # type: ignore[arg-type]
    dtype = as_dtype(dtype)
    out = a if dtype is None else converted(a, dtype)
    return elementwise.copy(out) if copy and out is a else out


def require_order(order: str | None, function: str) -> None:
    """Raise ArgumentError for an order of the elements in memory."""
    if order not in (None, "K"):
        raise ArgumentError(
            f"minijvp.numpy.{function} received order={order!r}.",
            "Where the elements of an array lie in memory, the compiler decides.",
            "Omit order.",
        )


def _stacked(values: Any, dtype: Any) -> Array:
    """Nested lists as an array."""
    leaves = [as_operand(x, "asarray") if is_convertible(x) else x for x in jax.tree_util.tree_leaves(values)]
    if all(map(is_host_value, leaves)):
        return state.trace.lift(as_constant(values, as_dtype(dtype)))
    if not any(isinstance(x, Tracer) for x in leaves):
        return state.trace.lift(jnp.asarray(values, as_dtype(dtype)))
    if dtype is None:
        dtype, _ = join([kind_of(as_operand(x, "asarray")) for x in leaves])
    rows = [asarray(v, dtype) if isinstance(v, (list, tuple)) else as_row(v, as_dtype(dtype)) for v in values]
    shapes = {type_of(x).shape for x in rows}
    if len(shapes) > 1:
        raise ArgumentError(
            f"minijvp.numpy.asarray received a list whose entries have shapes {sorted(shapes)}.",
            "The rows of an array have one shape.",
            "Make the shapes equal.",
        )
    return concatenate(*[reshape(x, new_sizes=(1, *type_of(x).shape)) for x in rows], dimension=0)


def as_row(x: Array, dtype: Any) -> Array:
    """An entry of a list in its dtype, strongly typed: a list is, whatever is in it."""
    x = as_operand(x, "asarray")
    return as_constant(x, dtype) if type(x) in PYTHON_SCALARS else converted(x, dtype)


def is_host_value(x: Any) -> bool:
    """Whether a value is a Python scalar or NumPy's, which is a constant in every program."""
    return type(x) in PYTHON_SCALARS or isinstance(x, (np.ndarray, np.generic))


@surface(jnp.array)
def array(object: Any, dtype: Any = None, *, copy: bool = True, order: str | None = "K", ndmin: int = 0) -> Array:
    """`object` as an array, with `ndmin` axes at least: nested lists too, of numbers, arrays and tracers.

    An array is copied, unless `copy` is false: the result is another tracer, with the same derivative.
    """
    require_order(order, "array")
    out = asarray(object, dtype, copy=copy)
    shape = type_of(out).shape
    return out if len(shape) >= ndmin else reshape(out, new_sizes=(1,) * (ndmin - len(shape)) + shape)


@surface(jnp.arange)
def arange(start: Any, stop: Any = None, step: Any = None, dtype: Any = None, *, device: Any = None) -> Array:
    """Evenly spaced numbers from `start` to before `stop`, which may be traced where their values are known.

    How many there are depends on the values; the derivatives by `start` and `step` are those of start + i * step, where
    JAX has zeros. Raises ConcretizationError where values are not known.
    """
    if type(start) is int and stop is None and step is None and dtype is None:
        return iota(dtype=as_dtype(int), shape=(max(start, 0),), dimension=0)
    do = "Use Python numbers, or arguments in static_argnums of jit."
    known = [shape_values(x, "arange", do) if isinstance(x, Tracer) else x for x in (start, stop, step)]
    out = state.trace.lift(jnp.arange(known[0], known[1], known[2], dtype))
    if stop is not None and is_inexact(out.dtype):
        moving: list[Any] = [(start, known[0], 1), (step, known[2], np.arange(out.size))]
        for x, value, factor in moving:
            if x is not value and is_inexact(type_of(x).dtype):
                out = out + ((x - value) * factor).astype(out.dtype)  # adds nothing but the derivative
    return out


@surface(jnp.eye)
def eye(N: int, M: int | None = None, k: int = 0, dtype: Any = None, *, device: Any = None) -> Array:
    """A matrix with ones on a diagonal."""
    n, m = as_shape((N, N if M is None else M), "eye")
    index = np.dtype(np.int32)
    rows = add(iota(dtype=index, shape=(n, m), dimension=0), k)
    on = elementwise.eq(rows, iota(dtype=index, shape=(n, m), dimension=1))
    return cast(on, (as_dtype(float if dtype is None else dtype), False))


@surface(jnp.identity)
def identity(n: int, dtype: Any = None) -> Array:
    """The identity matrix."""
    return eye(n, dtype=dtype)


@surface(jnp.tri)
def tri(N: int, M: int | None = None, k: int = 0, dtype: Any = None) -> Array:
    """A matrix with ones at and below a diagonal."""
    n, m = as_shape((N, N if M is None else M), "tri")
    return cast(lower_triangle(n, m, k), (default_of_tri(x64_enabled()) if dtype is None else as_dtype(dtype), False))


@cache
def default_of_tri(x64: bool) -> Any:
    """The dtype of jnp.tri, which is float32 in some versions, and the default float in others."""
    return jax.eval_shape(lambda: jnp.tri(1)).dtype


def lower_triangle(n: int, m: int, k: int = 0) -> Array:
    """The places of an (n, m) matrix at and below its k-th diagonal."""
    index = np.dtype(np.int32)
    rows = add(iota(dtype=index, shape=(n, m), dimension=0), k)
    return elementwise.ge(rows, iota(dtype=index, shape=(n, m), dimension=1))


@surface(jnp.meshgrid)
def meshgrid(*xi: Array, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> list[Any]:
    """The coordinates of a grid, an array for each axis."""
    refuse("meshgrid", "copy", copy, True)
    if indexing not in ("xy", "ij"):
        raise ArgumentError(
            f"minijvp.numpy.meshgrid received indexing={indexing!r}.",
            "The first array runs along the second axis ('xy') or along the first ('ij').",
            "Pass one of these.",
        )
    xs = [as_operand(x, "meshgrid") for x in xi]
    order = list(range(len(xs)))
    if indexing == "xy" and len(xs) >= 2:
        order[0], order[1] = 1, 0
    sizes = [type_of(x).size for x in xs]
    shape = tuple([sizes[i] for i in order])
    grid = []
    for i, x in enumerate(xs):
        spread = [1] * len(xs)
        spread[order[i]] = sizes[i]
        x = reshape(x, new_sizes=tuple(spread))
        grid.append(x if sparse else broadcast(x, shape))
    return grid


@surface(jnp.copy)
def copy(a: Array, order: str | None = None) -> Array:
    """A copy of `a`: the same values, as another array or tracer."""
    require_order(order, "copy")
    return asarray(a, copy=True)


@surface(jnp.astype)
def astype(x: Array, dtype: Any, /, *, copy: bool = False, device: Any = None) -> Array:
    """`x` in another dtype. Of complex numbers, reals keep the real part."""
    x, dtype = as_operand(x, "astype"), as_dtype(float if dtype is None else dtype)
    if elementwise.is_complex(x) and dtype.kind != "c":
        x = elementwise.real(x) if dtype != np.bool_ else elementwise.ne(x, 0.0)
    if dtype == np.bool_ and x.dtype != np.bool_:
        return elementwise.ne(x, 0.0 if x.dtype.kind not in "iu" else 0)
    out = converted(x, dtype)
    return elementwise.copy(out) if copy and out is x else out


def shape(a: Any) -> tuple[int, ...]:
    """The sizes of the axes of an array, a tracer or a nested list."""
    if is_convertible(a):
        a = a.__jax_array__()
    return np.shape(a) if isinstance(a, (list, tuple)) else type_of(a).shape


def ndim(a: Any) -> int:
    """The number of axes of an array, a tracer or a nested list."""
    return len(shape(a))


def size(a: Any, axis: int | None = None) -> int:
    """The number of elements, or the size of one axis."""
    sizes = shape(a)
    return prod(sizes) if axis is None else sizes[normalize_axis(axis, len(sizes), "size")]


def result_type(*args: Any) -> Any:
    """The dtype in which arrays, tracers, scalars and dtypes meet."""
    if not any(isinstance(x, Tracer) for x in args):
        return jnp.result_type(*args)
    kinds = [
        kind_of(x) if is_arraylike(x) else (np.dtype(as_dtype(x)), False)  # a dtype stands for an array of it
        for x in args
    ]
    return np.dtype(join(kinds)[0])
