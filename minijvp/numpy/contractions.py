"""Products of arrays summed over axes: matmul, dot, tensordot, einsum and their relatives, by `contract` on labels.

A label stands for an axis; axes that are multiplied together have the same label.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import lru_cache
from math import prod
from operator import index
from typing import Any

import jax.numpy as jnp
import numpy as np

from minijvp.errors import ArgumentError
from minijvp.numpy import reductions
from minijvp.numpy.promotion import (
    array,
    as_dtype,
    broadcast,
    common_shape,
    normalize_axis,
    promote,
    refuse,
    surface,
)
from minijvp.operations import slicing
from minijvp.operations.bitwise import bitwise_and
from minijvp.operations.casting import convert_element_type
from minijvp.operations.contraction import contract, dot_general
from minijvp.operations.elementwise import conj, full_like, mul, sub
from minijvp.operations.families import broadcast_in_dim, reduce_sum, reshape
from minijvp.operations.reduction import reduce_or
from minijvp.operations.shape import concatenate, expand_dims, move_axis, transpose

Labels = tuple[Hashable, ...]

PLAIN_MATMUL = {
    (2, 2): (((1,), (0,)), ((), ())),
    (1, 2): (((0,), (0,)), ((), ())),
    (2, 1): (((1,), (0,)), ((), ())),
    (1, 1): (((0,), (0,)), ((), ())),
}
"""Dimension numbers of products of matrices and vectors, by their numbers of axes."""


# Products of two arrays


@surface(jnp.matmul)
def matmul(a: Any, b: Any, *, precision: Any = None, preferred_element_type: Any = None) -> Any:
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
    a_leading, b_leading = _leading(a.ndim - 2), _leading(b.ndim - 2)
    leading = max(a_leading, b_leading, key=len)
    return _pair(
        "matmul",
        a,
        (*a_leading, *rows, summed),
        b,
        (*b_leading, summed, *columns),
        (*leading, *rows, *columns),
        precision,
        preferred_element_type,
    )


def _leading(n: int) -> Labels:
    """Labels for n axes that are broadcast, counted from the end: equal axes of two operands get equal ones."""
    return tuple(range(-n, 0))


@surface(jnp.dot)
def dot(a: Any, b: Any, *, precision: Any = None, preferred_element_type: Any = None) -> Any:
    """The product summed over the last axis of `a` and the last but one (or only one) of `b`."""
    a, b = array(a, "dot"), array(b, "dot")
    a_labels, b_labels = _separate(a, b)
    if a.ndim and b.ndim:
        place = max(b.ndim - 2, 0)
        b_labels = (*b_labels[:place], a_labels[-1], *b_labels[place + 1 :])
    return _free_product("dot", a, a_labels, b, b_labels, precision, preferred_element_type)


@surface(jnp.vdot)
def vdot(a: Any, b: Any, *, precision: Any = None, preferred_element_type: Any = None) -> Any:
    """The sum of the products of all elements, those of `a` conjugated."""
    a, b = _flat(_conjugate(array(a, "vdot"))), _flat(array(b, "vdot"))
    return _pair("vdot", a, (0,), b, (0,), (), precision, preferred_element_type)


@surface(jnp.vecdot)
def vecdot(x1: Any, x2: Any, /, *, axis: int = -1, precision: Any = None, preferred_element_type: Any = None) -> Any:
    """The product summed along `axis` of both, the first conjugated; the other axes are broadcast."""
    a, b = array(x1, "vecdot"), array(x2, "vecdot")
    a_labels, b_labels = (_vector_labels(x, normalize_axis(axis, x.ndim, "vecdot")) for x in (a, b))
    out_labels = _leading(max(a.ndim, b.ndim) - 1)
    return _pair("vecdot", _conjugate(a), a_labels, b, b_labels, out_labels, precision, preferred_element_type)


def _vector_labels(x: Any, axis: int) -> Labels:
    rest = list(_leading(x.ndim - 1))
    rest.insert(axis, "summed")
    return tuple(rest)


@surface(jnp.inner)
def inner(a: Any, b: Any, *, precision: Any = None, preferred_element_type: Any = None) -> Any:
    """The product summed over the last axes of both, or with a number."""
    a, b = array(a, "inner"), array(b, "inner")
    a_labels, b_labels = _separate(a, b)
    if a.ndim and b.ndim:
        b_labels = (*b_labels[:-1], a_labels[-1])
    return _free_product("inner", a, a_labels, b, b_labels, precision, preferred_element_type)


@surface(jnp.outer)
def outer(a: Any, b: Any, out: None = None) -> Any:
    """The products of all elements of `a` (the rows) with all of `b` (the columns)."""
    refuse("outer", "out", out)
    a, b = promote("outer", array(a, "outer"), array(b, "outer"))
    a, b = _flat(a), _flat(b)
    shape = (a.shape[0], b.shape[0])
    rows = broadcast_in_dim(a, shape=shape, broadcast_dimensions=(0,))
    columns = broadcast_in_dim(b, shape=shape, broadcast_dimensions=(1,))
    return bitwise_and(rows, columns) if a.dtype == np.bool_ else mul(rows, columns)


@surface(jnp.tensordot)
def tensordot(
    a: Any,
    b: Any,
    axes: Any = 2,
    *,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Any:
    """The product summed over the last `axes` of `a` and the first of `b`, or over those that a pair names."""
    a, b = array(a, "tensordot"), array(b, "tensordot")
    a_axes, b_axes = _tensordot_axes(a, b, axes)
    a_labels, b_labels = _separate(a, b)
    partners = dict(zip(b_axes, a_axes, strict=True))
    b_labels = tuple([a_labels[partners[d]] if d in partners else label for d, label in enumerate(b_labels)])
    return _free_product("tensordot", a, a_labels, b, b_labels, precision, preferred_element_type)


def _tensordot_axes(a: Any, b: Any, axes: Any) -> tuple[list[int], list[int]]:
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


def _wrong_axes(a: Any, b: Any, axes: Any, why: str) -> ArgumentError:
    return ArgumentError(
        f"minijvp.numpy.tensordot received arrays of shapes {a.shape} and {b.shape} with axes={axes!r}.",
        why,
        "Pass a number n (the last n axes of the first with the first n of the second), or (axes of a, axes of b).",
    )


@surface(jnp.kron)
def kron(a: Any, b: Any) -> Any:
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
def cross(a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None) -> Any:
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

    def minor(p: Any, q: Any, r: Any, s: Any) -> Any:
        return sub(mul(p, q), mul(r, s))

    last = minor(a0, b1, a1, b0)
    if flat:
        return last
    parts = [minor(a1, b2, a2, b1), minor(a2, b0, a0, b2), last]
    out = concatenate(*[expand_dims(p, (len(shape),)) for p in parts], dimension=len(shape))
    out = move_axis(out, len(shape), normalize_axis(axisc, len(shape) + 1, "cross"))
    return convert_element_type(out, new_dtype=out.dtype, weak_type=False) if out.weak_type else out


def _components(x: Any) -> list[Any]:
    """The elements along the last axis, the third one 0 if there are two."""
    rest, n = x.shape[:-1], x.shape[-1]
    parts = []
    for i in range(n):
        start, limit = (0,) * len(rest) + (i,), (*rest, i + 1)
        parts.append(reshape(slicing.slice(x, start_indices=start, limit_indices=limit, strides=None), new_sizes=rest))
    return parts if n == 3 else [*parts, full_like(parts[0], 0)]


# Diagonals


@surface(jnp.trace)
def trace(a: Any, offset: Any = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: None = None) -> Any:
    """The sum along the diagonal of two axes, `offset` above the main one."""
    refuse("trace", "out", out)
    x = array(a, "trace")
    first, second = (normalize_axis(d, x.ndim, "trace") for d in (axis1, axis2))
    if first == second:
        raise ArgumentError(f"minijvp.numpy.trace received axis1={axis1} and axis2={axis2}, which are one axis.")
    return reductions.sum(_diagonal(x, first, second, index(offset)), -1, dtype)


def _diagonal(x: Any, first: int, second: int, offset: int = 0) -> Any:
    """The diagonal of two axes, as the last axis: every n+1-th element of the flattened rows."""
    rest = tuple([d for d in range(x.ndim) if d not in (first, second)])
    n, m = x.shape[first], x.shape[second]
    shape = tuple([x.shape[d] for d in rest])
    length = max(min(n, m - offset) if offset >= 0 else min(n + offset, m), 0)
    start = (offset if offset >= 0 else -offset * m) if length else 0
    if (*rest, first, second) != tuple(range(x.ndim)):
        x = transpose(x, permutation=(*rest, first, second))
    x = reshape(x, new_sizes=(*shape, n * m))
    zeros = (0,) * len(rest)
    limit = start + (length - 1) * (m + 1) + 1 if length else 0
    steps = (*[1 for _ in rest], m + 1)
    return slicing.slice(x, start_indices=(*zeros, start), limit_indices=(*shape, limit), strides=steps)


# Any number of operands


@surface(jnp.einsum)
def einsum(
    subscripts: Any,
    /,
    *operands: Any,
    out: None = None,
    optimize: Any = "auto",
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Any:
    """The sum of products that the subscripts name: 'ij,jk->ik', or einsum(x, [0, 1], y, [1, 2], [0, 2])."""
    refuse("einsum", "out", out)
    terms, result, xs = _parse(subscripts, operands)
    xs = [array(x, "einsum") for x in xs]
    labels, out_labels = _resolve(terms, result, tuple([len(x.shape) for x in xs]))
    if len({x.dtype for x in xs}) > 1:
        xs = promote("einsum", *xs)
    preferred = as_dtype(preferred_element_type)
    if preferred is not None and len(xs) == 1:
        xs = [_in_dtype(xs[0], preferred)]
    xs, labels = _fit(xs, labels)
    params = {"precision": precision, "preferred_element_type": preferred}
    labels = list(labels)
    for step in _path(tuple(labels), tuple([tuple(x.shape) for x in xs]), out_labels, optimize):
        chosen = [(xs.pop(i), labels.pop(i)) for i in sorted(step, reverse=True)][::-1]
        x, x_labels = chosen[0]
        for count, (y, y_labels) in enumerate(chosen[1:], 2):
            later = [*labels, *[name for _, name in chosen[count:]]]
            wanted = out_labels if not later else _needed((x_labels, y_labels), (out_labels, *later))
            x, x_labels = _contract(x, x_labels, y, y_labels, wanted, params), wanted
        xs.append(x)
        labels.append(x_labels)
    (x,), (x_labels,) = xs, labels
    x, x_labels = _sum_lone(x, x_labels, (out_labels,))
    if x_labels != out_labels:
        x = transpose(x, permutation=tuple(map(x_labels.index, out_labels)))
    return x if preferred is None else _in_dtype(x, preferred)


def _parse(subscripts: Any, operands: tuple) -> tuple[tuple[Labels, ...], Labels | None, list[Any]]:
    """The labels of each operand, those of the result (None: not given), and the operands. Ellipses stay."""
    if isinstance(subscripts, str):
        left, arrow, right = subscripts.replace(" ", "").partition("->")
        terms = tuple([_parse_term(term, subscripts) for term in left.split(",")])
        result = _parse_term(right, subscripts) if arrow else None
        xs = list(operands)
    else:
        given = [subscripts, *operands]
        result = tuple(given.pop()) if len(given) % 2 else None
        terms, xs = tuple(map(tuple, given[1::2])), given[::2]
    if len(terms) != len(xs):
        raise ArgumentError(
            f"minijvp.numpy.einsum received {len(xs)} operands and subscripts for {len(terms)}: {subscripts!r:.200}.",
            "Commas separate the subscripts of the operands.",
            "Pass one operand for each.",
        )
    return terms, result, xs


def _parse_term(term: str, subscripts: str) -> Labels:
    before, dots, after = term.partition("...")
    for letter in before + after:
        if not letter.isalpha():
            raise ArgumentError(
                f"minijvp.numpy.einsum received the subscripts {subscripts!r}, with {letter!r}.",
                "Subscripts are letters, '...', ',' and one '->'.",
                "Correct them.",
            )
    return (*before, *([...] if dots else []), *after)


@lru_cache(maxsize=1024)
def _resolve(
    terms: tuple[Labels, ...], result: Labels | None, ndims: tuple[int, ...]
) -> tuple[tuple[Labels, ...], Labels]:
    """The labels of the operands and of the result, with labels for what ellipses hide."""
    labels, broadcast = [], 0
    for i, (term, ndim) in enumerate(zip(terms, ndims, strict=True)):
        hidden = ndim - len(term) + 1 if ... in term else 0
        if term.count(...) > 1 or hidden < 0 or len(term) - (... in term) + hidden != ndim:
            raise ArgumentError(
                f"minijvp.numpy.einsum received {_text(term)!r} for operand {i}, which has {ndim} axes.",
                "Every axis has one label; '...' (once) stands for any number of them.",
                "Correct the subscripts.",
            )
        broadcast = max(broadcast, hidden)
        labels.append(_without_dots(term, hidden))
    if result is None:
        every = [name for term in terms for name in term if name is not ...]
        lone = sorted([name for name in every if every.count(name) == 1])  # type: ignore[type-var]
        return tuple(labels), (*_dots(broadcast), *lone)
    out_labels = _without_dots(result, broadcast)
    known = {name for term in labels for name in term}
    for name in out_labels:
        if name not in known or out_labels.count(name) > 1:
            raise ArgumentError(
                f"minijvp.numpy.einsum received {_text(result)!r} for the result of {','.join(map(_text, terms))!r}.",
                f"The label {name!r} must be that of an operand, and appear once in the result.",
                "Correct the subscripts.",
            )
    return tuple(labels), out_labels


def _dots(n: int) -> Labels:
    """Labels for n axes that an ellipsis hides, counted from its end."""
    return tuple([("...", place) for place in range(n, 0, -1)])


def _without_dots(term: Labels, hidden: int) -> Labels:
    if ... not in term:
        return term
    place = term.index(...)
    return (*term[:place], *_dots(hidden), *term[place + 1 :])


def _text(term: Labels) -> str:
    return "".join("..." if name is ... else str(name) for name in term)


def _fit(xs: Sequence[Any], labels: Sequence[Labels]) -> tuple[list[Any], list[Labels]]:
    """The operands with repeated labels replaced by diagonals, and without axes of size 1 that meet a larger one."""
    xs, labels = list(xs), list(labels)
    for i, names in enumerate(labels):
        x, seen = xs[i], list(names)
        for name in set(names):
            while seen.count(name) > 1:
                first = seen.index(name)
                second = seen.index(name, first + 1)
                if x.shape[first] != x.shape[second]:
                    raise _unequal("einsum", name, x.shape[first], x.shape[second])
                x = _diagonal(x, first, second)
                seen = [*seen[:first], *seen[first + 1 : second], *seen[second + 1 :], name]
        xs[i], labels[i] = x, tuple(seen)
    sizes: dict[Hashable, int] = {}
    for x, names in zip(xs, labels, strict=True):
        for name, n in zip(names, x.shape, strict=True):
            if sizes.setdefault(name, n) == 1:
                sizes[name] = n
            elif n not in (1, sizes[name]):
                raise _unequal("einsum", name, sizes[name], n)
    for i, (x, names) in enumerate(zip(xs, labels, strict=True)):
        xs[i], labels[i] = _squeezed(x, names, sizes)
    return xs, labels


def _squeezed(x: Any, labels: Labels, sizes: dict[Hashable, int]) -> tuple[Any, Labels]:
    """`x` without its axes of size 1 whose label has another size."""
    kept = tuple([name for name, n in zip(labels, x.shape, strict=True) if n == sizes[name]])
    if kept == labels:
        return x, labels
    return reshape(x, new_sizes=tuple([sizes[name] for name in kept])), kept


def _path(labels: tuple[Labels, ...], shapes: tuple, out_labels: Labels, optimize: Any) -> Sequence[tuple[int, ...]]:
    """Which operands to contract, step by step: the last ones of the list are results of earlier steps."""
    if len(labels) == 1:
        return ()
    if len(labels) == 2:
        return ((0, 1),)
    if isinstance(optimize, (list, tuple)):
        return optimize
    return _found_path(labels, shapes, out_labels, "optimal" if optimize in ("auto", True) else optimize)


@lru_cache(maxsize=1024)
def _found_path(
    labels: tuple[Labels, ...], shapes: tuple, out_labels: Labels, optimize: Any
) -> Sequence[tuple[int, ...]]:
    symbols: dict[Hashable, str] = {}

    def text(term: Labels) -> str:
        return "".join([symbols.setdefault(name, chr(0x3B1 + len(symbols))) for name in term])

    subscripts = f"{','.join(map(text, labels))}->{text(out_labels)}"
    operands = [np.broadcast_to(np.float32(0), shape) for shape in shapes]
    return jnp.einsum_path(subscripts, *operands, optimize=optimize)[0]  # type: ignore[arg-type]


# Parts


def _pair(
    function: str,
    a: Any,
    a_labels: Labels,
    b: Any,
    b_labels: Labels,
    out_labels: Labels,
    precision: Any = None,
    preferred: Any = None,
) -> Any:
    """The contraction of two arrays of any dtypes. Axes of size 1 are broadcast if they are in the result."""
    if a.dtype != b.dtype:
        a, b = promote(function, a, b)
    sizes = dict(zip(a_labels, a.shape, strict=True))
    for name, n in zip(b_labels, b.shape, strict=True):
        known = sizes.setdefault(name, n)
        if known != n:
            if name not in out_labels or 1 not in (known, n):
                raise _unequal(function, name, known, n, a.shape, b.shape)
            sizes[name] = n if known == 1 else known
    a, a_labels = _squeezed(a, a_labels, sizes)
    b, b_labels = _squeezed(b, b_labels, sizes)
    preferred = as_dtype(preferred)
    out = contract(a, a_labels, b, b_labels, out_labels, precision=precision, preferred_element_type=preferred)  # type: ignore[arg-type]
    return out if preferred is None else _in_dtype(out, preferred)


def _free_product(function: str, a: Any, a_labels: Labels, b: Any, b_labels: Labels, *params: Any) -> Any:
    """The contraction over all common labels."""
    free = [name for name in a_labels if name not in b_labels] + [name for name in b_labels if name not in a_labels]
    return _pair(function, a, a_labels, b, b_labels, tuple(free), *params)


def _separate(a: Any, b: Any) -> tuple[Labels, Labels]:
    """Labels for the axes of both, none in common."""
    return tuple(range(a.ndim)), tuple(range(a.ndim, a.ndim + b.ndim))


def _contract(x: Any, x_labels: Labels, y: Any, y_labels: Labels, out_labels: Labels, params: dict[str, Any]) -> Any:
    """The contraction of two operands after each is summed over the labels that nobody else has."""
    x, x_labels = _sum_lone(x, x_labels, (y_labels, out_labels))
    y, y_labels = _sum_lone(y, y_labels, (x_labels, out_labels))
    return contract(x, x_labels, y, y_labels, out_labels, **params)  # type: ignore[arg-type]


def _sum_lone(x: Any, labels: Labels, others: Sequence[Labels]) -> tuple[Any, Labels]:
    """`x` summed over the labels that are in none of the others."""
    kept = _needed((labels,), others)
    if len(kept) == len(labels):
        return x, labels
    axes = tuple([d for d, name in enumerate(labels) if name not in kept])
    return (reduce_or if x.dtype == np.bool_ else reduce_sum)(x, axes=axes), kept


def _needed(terms: Sequence[Labels], others: Sequence[Labels]) -> Labels:
    """The labels of the terms that others have too: common ones first, as a contraction gives them."""
    wanted = {name for term in others for name in term}
    common = [name for name in terms[0] if name in wanted and name in terms[-1]]
    free = [name for term in terms for name in term if name in wanted and name not in common]
    return (*common, *free)


def _unequal(function: str, name: Hashable, n: int, m: int, *shapes: Any) -> ArgumentError:
    return ArgumentError(
        f"minijvp.numpy.{function} received axes of sizes {n} and {m} to multiply"
        + (f", of operands of shapes {shapes[0]} and {shapes[1]}." if shapes else f" (label {name!r})."),
        "Axes that are multiplied together have equal sizes.",
        "Correct the operands, their order, or the axes.",
    )


def _conjugate(x: Any) -> Any:
    return conj(x, input_dtype=x.dtype) if x.dtype.kind == "c" else x


def _flat(x: Any) -> Any:
    return x if x.ndim == 1 else reshape(x, new_sizes=(prod(x.shape),))


def _in_dtype(x: Any, dtype: Any) -> Any:
    """`x` in a dtype, which is not weak."""
    return x if x.dtype == dtype and not x.weak_type else convert_element_type(x, new_dtype=dtype, weak_type=False)
