"""Products of arrays summed over axes: matmul, dot, tensordot and their relatives."""

from __future__ import annotations

from operator import index
from typing import Any

import jax.numpy as jnp
import numpy as np

from minijvp.core.types import Array
from minijvp.errors import ArgumentError
from minijvp.numpy import reductions
from minijvp.numpy.labels import (
    Labels,
    conjugated,
    diagonal_of,
    free_product,
    leading_labels,
    product_of_pair,
    separate_labels,
)
from minijvp.numpy.makers import surface
from minijvp.numpy.promotion import array, broadcast, common_shape, normalize_axis, promote, refuse
from minijvp.numpy.reducing import flat
from minijvp.operations import slicing
from minijvp.operations.bitwise import bitwise_and
from minijvp.operations.casting import convert_element_type
from minijvp.operations.contraction import dot_general
from minijvp.operations.elementwise import full_like, mul, sub
from minijvp.operations.families import broadcast_in_dim, reshape
from minijvp.operations.shape import concatenate, expand_dims, move_axis

__all__ = ["cross", "dot", "inner", "kron", "matmul", "outer", "tensordot", "trace", "vdot", "vecdot"]

PLAIN_MATMUL = {
    (2, 2): (((1,), (0,)), ((), ())),
    (1, 2): (((0,), (0,)), ((), ())),
    (2, 1): (((1,), (0,)), ((), ())),
    (1, 1): (((0,), (0,)), ((), ())),
}
"""Dimension numbers of products of matrices and vectors, by their numbers of axes."""


# Products of two arrays


@surface(jnp.matmul)
def matmul(a: Array, b: Array, *, precision: Any = None, preferred_element_type: Any = None) -> Array:
    """The matrix product over the last two axes; leading ones are broadcast, vectors are rows or columns."""
    a, b = array(a, "matmul"), array(b, "matmul")
    plain = PLAIN_MATMUL.get((len(a.shape), len(b.shape)))
    if plain is not None and a.dtype == b.dtype and a.shape[-1] == b.shape[0] and preferred_element_type is None:
        return dot_general(a, b, dimension_numbers=plain, precision=precision, preferred_element_type=None)
    for x in (a, b):
        if not x.shape:
            raise ArgumentError(
                "minijvp.numpy.matmul received an operand without axes.",
                "Its operands are matrices and vectors, and stacks of matrices.",
                "Multiply by a number with *.",
            )
    summed, row, column = "summed", "row", "column"
    rows: Labels = (row,) if a.ndim > 1 else ()
    columns: Labels = (column,) if b.ndim > 1 else ()
    a_leading, b_leading = leading_labels(a.ndim - 2), leading_labels(b.ndim - 2)
    leading = max(a_leading, b_leading, key=len)
    return product_of_pair(
        "matmul",
        a,
        (*a_leading, *rows, summed),
        b,
        (*b_leading, summed, *columns),
        (*leading, *rows, *columns),
        precision,
        preferred_element_type,
    )


@surface(jnp.dot)
def dot(a: Array, b: Array, *, precision: Any = None, preferred_element_type: Any = None) -> Array:
    """The product summed over the last axis of `a` and the last but one (or only one) of `b`."""
    a, b = array(a, "dot"), array(b, "dot")
    a_labels, b_labels = separate_labels(a, b)
    if a.ndim and b.ndim:
        place = max(b.ndim - 2, 0)
        b_labels = (*b_labels[:place], a_labels[-1], *b_labels[place + 1 :])
    return free_product("dot", a, a_labels, b, b_labels, precision, preferred_element_type)


@surface(jnp.vdot)
def vdot(a: Array, b: Array, *, precision: Any = None, preferred_element_type: Any = None) -> Array:
    """The sum of the products of all elements, those of `a` conjugated."""
    a, b = flat(conjugated(array(a, "vdot"))), flat(array(b, "vdot"))
    return product_of_pair("vdot", a, (0,), b, (0,), (), precision, preferred_element_type)


@surface(jnp.vecdot)
def vecdot(
    x1: Array, x2: Array, /, *, axis: int = -1, precision: Any = None, preferred_element_type: Any = None
) -> Array:
    """The product summed along `axis` of both, the first conjugated; the other axes are broadcast."""
    a, b = array(x1, "vecdot"), array(x2, "vecdot")
    a_labels, b_labels = (_vector_labels(x, normalize_axis(axis, x.ndim, "vecdot")) for x in (a, b))
    out_labels = leading_labels(max(a.ndim, b.ndim) - 1)
    return product_of_pair(
        "vecdot", conjugated(a), a_labels, b, b_labels, out_labels, precision, preferred_element_type
    )


def _vector_labels(x: Array, axis: int) -> Labels:
    rest = list(leading_labels(x.ndim - 1))
    rest.insert(axis, "summed")
    return tuple(rest)


@surface(jnp.inner)
def inner(a: Array, b: Array, *, precision: Any = None, preferred_element_type: Any = None) -> Array:
    """The product summed over the last axes of both, or with a number."""
    a, b = array(a, "inner"), array(b, "inner")
    a_labels, b_labels = separate_labels(a, b)
    if a.ndim and b.ndim:
        b_labels = (*b_labels[:-1], a_labels[-1])
    return free_product("inner", a, a_labels, b, b_labels, precision, preferred_element_type)


@surface(jnp.outer)
def outer(a: Array, b: Array, out: None = None) -> Array:
    """The products of all elements of `a` (the rows) with all of `b` (the columns)."""
    refuse("outer", "out", out)
    a, b = promote("outer", array(a, "outer"), array(b, "outer"))
    a, b = flat(a), flat(b)
    shape = (a.shape[0], b.shape[0])
    rows = broadcast_in_dim(a, shape=shape, broadcast_dimensions=(0,))
    columns = broadcast_in_dim(b, shape=shape, broadcast_dimensions=(1,))
    return bitwise_and(rows, columns) if a.dtype == np.bool_ else mul(rows, columns)


@surface(jnp.tensordot)
def tensordot(a: Array, b: Array, axes: Any = 2, *, precision: Any = None, preferred_element_type: Any = None) -> Array:
    """The product summed over the last `axes` of `a` and the first of `b`, or over those that a pair names."""
    a, b = array(a, "tensordot"), array(b, "tensordot")
    a_axes, b_axes = _tensordot_axes(a, b, axes)
    a_labels, b_labels = separate_labels(a, b)
    partners = dict(zip(b_axes, a_axes, strict=True))
    b_labels = tuple([a_labels[partners[d]] if d in partners else label for d, label in enumerate(b_labels)])
    return free_product("tensordot", a, a_labels, b, b_labels, precision, preferred_element_type)


def _tensordot_axes(a: Array, b: Array, axes: Any) -> tuple[list[int], list[int]]:
    """The axes of a and of b to sum over."""
    number = _as_int(axes)
    if number is not None:
        if number > min(a.ndim, b.ndim):
            raise _wrong_axes(a, b, axes, "One of them has fewer axes.")
        number = max(number, 0)
        return list(range(a.ndim - number, a.ndim)), list(range(number))
    if not isinstance(axes, (tuple, list)) or len(axes) != 2:
        raise _wrong_axes(a, b, axes, "That is neither a number of axes nor a pair.")
    found = []
    for x, given in zip((a, b), axes, strict=True):
        one = _as_int(given)
        if one is None and not isinstance(given, (tuple, list)):
            raise _wrong_axes(a, b, axes, "A pair consists of two axes or of two sequences of axes.")
        found.append([normalize_axis(d, x.ndim, "tensordot") for d in (given if one is None else (one,))])
    if len(found[0]) != len(found[1]) or (_as_int(axes[0]) is None) != (_as_int(axes[1]) is None):
        raise _wrong_axes(a, b, axes, "Axes are summed over in pairs.")
    if len(set(found[0])) != len(found[0]) or len(set(found[1])) != len(found[1]):
        raise _wrong_axes(a, b, axes, "An axis can be summed over once.")
    return found[0], found[1]


def _as_int(x: Any) -> int | None:
    try:
        return index(x)
    except TypeError:
        return None


def _wrong_axes(a: Array, b: Array, axes: Any, why: str) -> ArgumentError:
    return ArgumentError(
        f"minijvp.numpy.tensordot received arrays of shapes {a.shape} and {b.shape} with axes={axes!r}.",
        why,
        "Pass a number n (the last n axes of the first with the first n of the second), or (axes of a, axes of b).",
    )


@surface(jnp.kron)
def kron(a: Array, b: Array) -> Array:
    """The Kronecker product: every element of `a` times all of `b`, as blocks."""
    a, b = promote("kron", array(a, "kron"), array(b, "kron"))
    ndim = max(a.ndim, b.ndim)
    a_shape, b_shape = ((1,) * (ndim - x.ndim) + tuple(x.shape) for x in (a, b))
    shape = tuple([n for pair in zip(a_shape, b_shape, strict=True) for n in pair])
    evens, odds = tuple(range(2 * (ndim - a.ndim), 2 * ndim, 2)), tuple(range(2 * (ndim - b.ndim) + 1, 2 * ndim, 2))
    copies = broadcast_in_dim(a, shape=shape, broadcast_dimensions=evens)
    blocks = mul(copies, broadcast_in_dim(b, shape=shape, broadcast_dimensions=odds))
    return reshape(blocks, new_sizes=tuple([n * m for n, m in zip(a_shape, b_shape, strict=True)]))


@surface(jnp.cross)
def cross(a: Array, b: Array, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None) -> Array:
    """The cross product of vectors along `axis` of 3 elements, or 2 (then of two in the plane: a number)."""
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = promote("cross", array(a, "cross"), array(b, "cross"))
    a, b = (move_axis(x, normalize_axis(d, x.ndim, "cross"), x.ndim - 1) for x, d in ((a, axisa), (b, axisb)))
    if a.shape[-1] not in (2, 3) or b.shape[-1] not in (2, 3):
        raise ArgumentError(
            f"minijvp.numpy.cross received vectors of {a.shape[-1]} and {b.shape[-1]} elements.",
            "The product exists in space and in the plane.",
            "Name the axis with 2 or 3 elements (axisa, axisb, axis).",
        )
    flat = a.shape[-1] == b.shape[-1] == 2
    shape = common_shape("cross", a.shape[:-1], b.shape[:-1])
    (a0, a1, a2), (b0, b1, b2) = ([broadcast(c, shape) for c in _components(x)] for x in (a, b))

    def minor(p: Array, q: Array, r: Array, s: Array) -> Array:
        return sub(mul(p, q), mul(r, s))

    last = minor(a0, b1, a1, b0)
    if flat:
        return last
    parts = [minor(a1, b2, a2, b1), minor(a2, b0, a0, b2), last]
    out = concatenate(*[expand_dims(p, (len(shape),)) for p in parts], dimension=len(shape))
    out = move_axis(out, len(shape), normalize_axis(axisc, len(shape) + 1, "cross"))
    return convert_element_type(out, new_dtype=out.dtype, weak_type=False) if out.weak_type else out


def _components(x: Array) -> list[Any]:
    """The elements along the last axis, the third one 0 if there are two."""
    rest, n = x.shape[:-1], x.shape[-1]
    parts = []
    for i in range(n):
        start, limit = (0,) * len(rest) + (i,), (*rest, i + 1)
        parts.append(reshape(slicing.slice(x, start_indices=start, limit_indices=limit, strides=None), new_sizes=rest))
    return parts if n == 3 else [*parts, full_like(parts[0], 0)]


# Diagonals


@surface(jnp.trace)
def trace(a: Array, offset: Any = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: None = None) -> Array:
    """The sum along the diagonal of two axes, `offset` above the main one."""
    refuse("trace", "out", out)
    x = array(a, "trace")
    first, second = (normalize_axis(d, x.ndim, "trace") for d in (axis1, axis2))
    if first == second:
        raise ArgumentError(f"minijvp.numpy.trace received axis1={axis1} and axis2={axis2}, which are one axis.")
    return reductions.sum(diagonal_of(x, first, second, index(offset)), -1, dtype)
