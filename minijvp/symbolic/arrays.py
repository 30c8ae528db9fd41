"""Primitives on arrays of expressions: what is linear by its matrix, the others by what they do along axes.

`Elements` are NumPy arrays of SymPy's expressions, without axes for a scalar. Random keys stay what they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from minijvp.api.batching import vmap
from minijvp.core.jaxpr import Equation
from minijvp.core.types import ArrayType, is_key, type_of
from minijvp.operations.families import BilinearPrimitive, LinearPrimitive
from minijvp.symbolic.elements import convert, kind_of, number, sympy

Elements = Any

LINEAR_IN = {"scatter": (0, 2), "scatter-add": (0, 2), "scatter-sub": (0, 2), "dynamic_update_slice": (0, 1)}
"""Primitives that are linear in these arguments together, while the others (indices) are known."""


class UnknownOperand(Exception):
    """A primitive with a formula needs the value of an operand, which depends on the arguments."""


def elements(x: Any) -> Elements:
    """A value as an array of expressions."""
    if isinstance(x, np.ndarray) and x.dtype == object:
        return x
    if is_key(type_of(x).dtype):
        return x
    x = np.asarray(x)
    return filled(x.shape, map(number, x.ravel()))


def filled(shape: tuple[int, ...], values: Any) -> Elements:
    """An array of these values in row-major order."""
    out = np.empty(shape, object)
    for i, value in enumerate(values):
        out.flat[i] = value
    return out


def is_known(x: Elements) -> bool:
    """Whether no element depends on a symbol."""
    return not isinstance(x, np.ndarray) or not any(e.free_symbols for e in x.flat)


def known(x: Elements, t: ArrayType) -> Any:
    """An array of numbers; UnknownOperand if it depends on symbols."""
    if not is_known(x):
        raise UnknownOperand
    if not isinstance(x, np.ndarray):
        return x
    python = {"c": complex, "f": float, "i": int, "b": bool}[kind_of(t)]
    return x.astype(python).astype(t.dtype)


def each(function: Callable[..., Any], *xs: Elements) -> Elements:
    """The function of each element; scalars fit every array."""
    return np.asarray(np.frompyfunc(function, len(xs), 1)(*xs), object)


# Linear primitives


def linear(e: Equation, xs: Sequence[Elements]) -> tuple[Elements, ...] | None:
    """The results of a primitive that is linear or bilinear, or None if it is neither."""
    primitive = e.primitive
    if isinstance(primitive, BilinearPrimitive):
        return bilinear(e, xs)
    positions = LINEAR_IN.get(primitive.name, ())
    if isinstance(primitive, LinearPrimitive):
        positions = primitive.linear_arguments
        positions = range(len(xs)) if positions is None else positions
    types = [v.type for v in e.inputs]
    if not positions or (any(kind_of(types[i]) == "c" for i in positions) and kind_of(e.outputs[0].type) != "c"):
        return None  # what makes real numbers of complex ones is linear in their parts only
    # Beside one operand the others are zero, for the primitive is linear in all of them together.
    fixed = [np.zeros(t.shape, t.dtype) if i in positions else known(x, t) for i, (x, t) in enumerate(zip(xs, types))]
    parts = [weights(e, fixed, i) for i in positions]
    operands = [1, *(x for i in positions for x in xs[i].flat)]
    tables = [np.concatenate([rows[0][:1], *(part[1:] for part in rows)]) for rows in zip(*parts, strict=True)]
    return tuple([combined(table, operands, v.type) for table, v in zip(tables, e.outputs, strict=True)])


def bilinear(e: Equation, xs: Sequence[Elements]) -> tuple[Elements, ...]:
    """The result of a primitive that is linear in each of two operands."""
    x, y = xs
    (x_type, y_type), (out,) = [v.type for v in e.inputs], e.outputs
    units = np.eye(x.size, dtype=x_type.dtype).reshape(x.size, *x_type.shape)
    fixed = np.zeros(y_type.shape, y_type.dtype)
    terms: list[list[Any]] = [[] for _ in range(out.type.size)]
    for a, unit in zip(x.flat, units, strict=True):
        table = weights(e, [unit, fixed], 1)[0][1:].reshape(y.size, out.type.size)
        for j, k in zip(*map(np.ndarray.tolist, np.nonzero(table)), strict=True):
            terms[k].append(weighted(table[j, k], a * y.flat[j]))
    return (filled(out.type.shape, [total(t, out.type) for t in terms]),)


def weights(e: Equation, fixed: Sequence[np.ndarray], position: int) -> list[np.ndarray]:
    """For each result, what is constant in it, and the weight of each element of the operand at `position`.

    A result is constant where it is a filling: of a gather out of bounds.
    """
    t = e.inputs[position].type
    size = prod(t.shape)
    units = np.eye(size + 1, size, -1, dtype=t.dtype).reshape(size + 1, *t.shape)  # zeros, then the unit vectors
    before, after = fixed[:position], fixed[position + 1 :]
    outs = vmap(lambda unit: e.primitive(*before, unit, *after, **e.params))(units)
    tables = []
    for out in outs if isinstance(outs, tuple) else (outs,):
        out = np.array(out)
        same = (out == out[0]) | ((out != out) & (out[0] != out[0]))
        out[1:] = np.where(same, 0, out if out.dtype == bool else out - np.where(np.isfinite(out[0]), out[0], 0))[1:]
        tables.append(out)
    return tables


def combined(table: np.ndarray, operands: Sequence[Any], t: ArrayType) -> Elements:
    """The sums of operands with the weights in each column of a table."""
    columns = table.reshape(len(operands), prod(t.shape)).T
    sums = [[weighted(c[i], operands[i]) for i in np.flatnonzero(c).tolist()] for c in columns]
    return filled(t.shape, [total(terms, t) for terms in sums])


def weighted(weight: Any, x: Any) -> Any:
    """A weight times an element; once a boolean is itself."""
    return x if weight == 1 else number(weight) * x


def total(terms: Sequence[Any], t: ArrayType) -> Any:
    """The sum of terms; of one it is that, which may be a boolean."""
    return terms[0] if len(terms) == 1 else sympy().Add(*terms) if terms else number(t.dtype.type(0))


# Choices


def _select(e: Equation, which: Elements, *cases: Elements) -> Elements:
    sp = sympy()
    kind, boolean = kind_of(e.inputs[0].type), kind_of(e.outputs[0].type) == "b"

    def choose(which: Any, *cases: Any) -> Any:
        conditions = [sp.Not(which), which] if kind == "b" else [sp.Eq(which, i) for i in range(len(cases))]
        if boolean:
            return sp.Or(*[sp.And(c, x) for c, x in zip(conditions, cases, strict=True)])
        pairs = list(zip(cases, conditions, strict=True))[::-1]
        return sp.Piecewise(*pairs[:-1], (pairs[-1][0], True))

    return each(choose, which, *cases)


def _clamp(e: Equation, lower: Elements, x: Elements, upper: Elements) -> Elements:
    sp = sympy()
    return each(lambda lower, x, upper: sp.Min(sp.Max(lower, x), upper), lower, x, upper)


def _convert(e: Equation, x: Elements) -> Elements:
    old, new = kind_of(e.inputs[0].type), kind_of(e.outputs[0].type)
    return each(lambda x: convert(x, old, new), x)


def _extremum_index(e: Equation, x: Elements) -> Elements:
    """The index of the first element that none exceeds."""
    sp = sympy()
    holds = sp.Ge if e.primitive.name == "argmax" else sp.Le

    def index(row: Sequence[Any]) -> Any:
        first = [(i, sp.And(*[holds(x, y) for y in row])) for i, x in enumerate(row[:-1])]
        return sp.Piecewise(*first, (len(row) - 1, True))

    return along(x, e.params["axes"], index)


# Reductions


def along(x: Elements, axes: tuple[int, ...], function: Callable[[Sequence[Any]], Any]) -> Elements:
    """The function of the elements along axes, which disappear."""
    kept = [d for d in range(x.ndim) if d not in axes]
    shape = tuple([x.shape[d] for d in kept])
    rows = x.transpose(*kept, *axes).reshape(prod(shape), prod(x.shape[d] for d in axes))
    return filled(shape, map(function, map(list, rows)))


def _reduction(name: str) -> Callable[..., Elements]:
    return lambda e, x: along(x, e.params["axes"], lambda row: getattr(sympy(), name)(*row))


def _logical(name: str) -> Callable[..., Elements | None]:
    reduced = _reduction(name)
    return lambda e, x: reduced(e, x) if kind_of(e.inputs[0].type) == "b" else None


def _cumulative(function: Callable[[Any, Any, Any], Any]) -> Callable[..., Elements]:
    def rule(e: Equation, x: Elements) -> Elements:
        axis, sp = e.params["axis"], sympy()
        x = np.flip(x, axis) if e.params["reverse"] else x
        out = np.frompyfunc(lambda x, y: function(sp, x, y), 2, 1).accumulate(x, axis, dtype=object)
        return np.flip(out, axis) if e.params["reverse"] else out

    return rule


def _logsumexp(e: Equation, x: Elements) -> Elements:
    sp = sympy()
    return along(x, e.params["axes"], lambda row: sp.log(sp.Add(*map(sp.exp, row))))


def _sums(e: Equation, x: Elements) -> Elements:
    """Sums along axes, which stay."""
    axes = e.params["axes"]
    return np.expand_dims(along(x, axes, lambda row: sympy().Add(*row)), axes) + np.zeros(x.shape, int)


def _softmax(e: Equation, x: Elements) -> Elements:
    terms = each(sympy().exp, x)
    return each(lambda term, total: term / total, terms, _sums(e, terms))


def _log_softmax(e: Equation, x: Elements) -> Elements:
    return each(lambda x, total: x - sympy().log(total), x, _sums(e, each(sympy().exp, x)))


def _center(e: Equation, t: Elements, y: Elements) -> Elements:
    return t - y * _sums(e, t) if e.params["adjoint"] else t - _sums(e, t * y)


ARRAYS: dict[str, Callable[..., Elements | None]] = {
    "select_n": _select,
    "clamp": _clamp,
    "convert_element_type": _convert,
    "argmax": _extremum_index,
    "argmin": _extremum_index,
    "reduce_max": _reduction("Max"),
    "reduce_min": _reduction("Min"),
    "reduce_prod": _reduction("Mul"),
    "reduce_and": _logical("And"),
    "reduce_or": _logical("Or"),
    "reduce_xor": _logical("Xor"),
    "logsumexp": _logsumexp,
    "softmax": _softmax,
    "tied_softmax": _softmax,
    "log_softmax": _log_softmax,
    "center": _center,
    "cumprod": _cumulative(lambda sp, x, y: x * y),
    "cummax": _cumulative(lambda sp, x, y: sp.Max(x, y)),
    "cummin": _cumulative(lambda sp, x, y: sp.Min(x, y)),
    "cumlogsumexp": _cumulative(lambda sp, x, y: sp.log(sp.exp(x) + sp.exp(y))),
}
"""Rules (equation, *operands) -> result, or None, of primitives that are neither elementwise nor linear."""
