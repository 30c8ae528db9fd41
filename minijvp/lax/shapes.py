"""The functions of jax.lax that move elements, choose, convert or annotate them, and make arrays of one number."""

from __future__ import annotations

import operator
from typing import Any, TypeVar

import jax
from jax import lax

from minijvp.core.tracing import as_constant
from minijvp.core.types import PYTHON_SCALARS, Array, Axes, abstract_type, type_of, wrapped
from minijvp.dimensions import as_size
from minijvp.errors import ArgumentError
from minijvp.numpy.makers import placed, surface
from minijvp.numpy.promotion import array, as_dtype, converted, normalize_axis, of_one_dtype
from minijvp.operations import annotations, casting, elementwise, families, slicing
from minijvp.operations import shape as shapes

__all__ = [
    "bitcast_convert_type",
    "broadcast",
    "broadcast_in_dim",
    "broadcasted_iota",
    "concatenate",
    "convert_element_type",
    "expand_dims",
    "full",
    "full_like",
    "iota",
    "optimization_barrier",
    "pad",
    "reshape",
    "rev",
    "select",
    "select_n",
    "squeeze",
    "stop_gradient",
    "transpose",
]

Tree = TypeVar("Tree")


def integers(numbers: Any) -> tuple[int, ...]:
    """Static integers as a tuple."""
    return tuple([as_size(n) for n in numbers])


def stop_gradient(x: Tree) -> Tree:
    """`x` (a pytree), as a constant to every derivative.

    >>> import minijvp
    >>> float(minijvp.grad(lambda x: x * minijvp.stop_gradient(x))(3.0))
    3.0
    """

    def leaf(v: Array) -> Array:
        return v if type(v) in PYTHON_SCALARS else annotations.stop_gradient(array(v, "stop_gradient"))

    return jax.tree_util.tree_map(leaf, x)


def optimization_barrier(operand: Tree, /) -> Tree:
    """The operand (a pytree); the compiler moves no computation across."""
    leaves, tree = jax.tree_util.tree_flatten(operand)
    held = annotations.optimization_barrier(*[array(v, "optimization_barrier") for v in leaves])
    return jax.tree_util.tree_unflatten(tree, held)


# Shapes


@surface(lax.broadcast_in_dim)
def broadcast_in_dim(operand: Array, shape: Any, broadcast_dimensions: Any) -> Array:
    """The operand repeated to a shape, its axis i at axis `broadcast_dimensions[i]`."""
    x = array(operand, "broadcast_in_dim")
    return families.broadcast_in_dim(x, shape=integers(shape), broadcast_dimensions=integers(broadcast_dimensions))


@surface(lax.broadcast)
def broadcast(operand: Array, sizes: Any) -> Array:
    """The operand repeated along new leading axes."""
    x = array(operand, "broadcast")
    n, shape = len(sizes), type_of(x).shape
    return broadcast_in_dim(x, (*sizes, *shape), range(n, n + len(shape)))


@surface(lax.reshape)
def reshape(operand: Array, new_sizes: Any, dimensions: Any = None) -> Array:
    """The elements in another shape."""
    x = array(operand, "reshape")
    x = x if dimensions is None else transpose(x, dimensions)
    return families.reshape(x, new_sizes=integers(new_sizes))


@surface(lax.transpose)
def transpose(operand: Array, permutation: Any) -> Array:
    """The axes in another order."""
    return shapes.transpose(array(operand, "transpose"), permutation=integers(permutation))


def axes_of(x: Array, dimensions: Any, function: str) -> Axes:
    """Non-negative axes of x."""
    return tuple([normalize_axis(d, len(type_of(x).shape), function) for d in dimensions])


@surface(lax.squeeze)
def squeeze(array: Array, dimensions: Any) -> Array:
    """The operand without some axes of size 1."""
    return shapes.squeeze(array, dimensions=axes_of(array, dimensions, "squeeze"))


@surface(lax.expand_dims)
def expand_dims(array: Array, dimensions: Any) -> Array:
    """The operand with new axes of size 1 at these places of the result."""
    return shapes.expand_dims(array, integers(dimensions))


@surface(lax.rev)
def rev(operand: Array, dimensions: Any) -> Array:
    """The operand with some axes in reverse order."""
    return shapes.rev(array(operand, "rev"), dimensions=axes_of(operand, dimensions, "rev"))


@surface(lax.concatenate)
def concatenate(operands: Any, dimension: int) -> Array:
    """The operands one after the other along an axis."""
    xs = [array(x, "concatenate") for x in operands]
    return shapes.concatenate(*xs, dimension=operator.index(dimension))


@surface(lax.pad)
def pad(operand: Array, padding_value: Array, padding_config: Any) -> Array:
    """The operand with a value before, after and between its elements: (low, high, interior) for each axis."""
    x = array(operand, "pad")
    x, value = of_one_dtype("pad", x, padding_value)
    return slicing.pad(x, value, padding_config=tuple(map(integers, padding_config)))


@surface(lax.iota)
def iota(dtype: Any, size: int) -> Array:
    """0, 1, 2, ... up to before `size`."""
    return shapes.iota(dtype=as_dtype(dtype), shape=(as_size(size),), dimension=0)


@surface(lax.broadcasted_iota)
def broadcasted_iota(dtype: Any, shape: Any, dimension: int) -> Array:
    """0, 1, 2, ... along one axis of an array."""
    return shapes.iota(dtype=as_dtype(dtype), shape=integers(shape), dimension=operator.index(dimension))


@surface(lax.full)
def full(shape: Any, fill_value: Array, dtype: Any = None) -> Array:
    """An array of one value."""
    if dtype is None:
        value = array(fill_value, "full")
    elif type(fill_value) in PYTHON_SCALARS:
        value = wrapped(fill_value, as_dtype(dtype))
    else:
        value = converted(array(fill_value, "full"), as_dtype(dtype))
    return families.broadcast_in_dim(value, shape=integers(shape), broadcast_dimensions=())


@surface(lax.full_like)
def full_like(x: Array, fill_value: Array, dtype: Any = None, shape: Any = None, sharding: Any = None) -> Array:
    """An array of one value, of the shape and dtype of another."""
    t = abstract_type(x)
    out = full(t.shape if shape is None else shape, fill_value, t.dtype if dtype is None else dtype)
    out = converted(out, t.dtype, t.weak_type) if dtype is None else out
    return placed(out, sharding)


@surface(lax.convert_element_type)
def convert_element_type(operand: Array, new_dtype: Any) -> Array:
    """The operand in another dtype."""
    dtype = as_dtype(new_dtype)
    if type(operand) in PYTHON_SCALARS:
        return as_constant(wrapped(operand, dtype))
    return converted(array(operand, "convert_element_type"), dtype)


@surface(lax.bitcast_convert_type)
def bitcast_convert_type(operand: Array, new_dtype: Any) -> Array:
    """The bits of the operand, read as another dtype."""
    return casting.bitcast_convert_type(array(operand, "bitcast_convert_type"), new_dtype=as_dtype(new_dtype))


# Choice


@surface(lax.select)
def select(pred: Array, on_true: Array, on_false: Array) -> Array:
    """Element by element, one or the other."""
    return select_n(pred, on_false, on_true)


@surface(lax.select_n)
def select_n(which: Array, *cases: Array) -> Array:
    """Element by element, the case that `which` names."""
    which, *cases = [array(x, "select_n") for x in (which, *cases)]  # type: ignore[assignment]
    if len({x.shape for x in cases}) > 1:
        raise ArgumentError(
            f"select_n received cases of shapes {', '.join(str(x.shape) for x in cases)}.",
            "One of them is taken element by element, so that they have one shape.",
            "Give them one shape; minijvp.numpy.where broadcasts.",
        )
    shape = next((s for x in (*cases, which) if (s := x.shape)), ())
    return elementwise.select_n(which, *[x if x.shape else filled(x, shape) for x in cases])


def filled(x: Array, shape: tuple[int, ...]) -> Array:
    """A value without axes, repeated to a shape."""
    return families.broadcast_in_dim(x, shape=shape, broadcast_dimensions=()) if shape else x
