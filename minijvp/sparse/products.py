"""The sets of operations that compute: elementwise ones, products, sums and windows.

What is known to be zero makes no dependence: a factor of a product, an entry of a matrix, a tap of a kernel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from minijvp.core.jaxpr import Equation
from minijvp.core.primitive import Primitive
from minijvp.operations.convolution import Convolution
from minijvp.operations.families import Elementwise
from minijvp.operations.windows import window_count
from minijvp.sparse.sets import Sets, everything, merge, numbers, pairs, product, spread, take, union, union_of
from minijvp.sparse.values import Value

FEW = 10_000_000
"""How many pairs of elements the zeros of a known factor may be looked at in; a product of more is taken for full."""

FACTORS = {"mul", "absorbing_mul", "safe_mul"}
QUOTIENTS = {"div", "safe_div"}


def elementwise(e: Equation, values: Sequence[Value]) -> list[Sets]:
    """The sets of the operands by which there is a derivative."""
    primitive, n = e.primitive, e.outputs[0].type.size
    found = None
    for i, v in enumerate(values):
        if v.sets is None or is_constant(primitive, i):
            continue
        sets = spread(v.sets, n)
        if len(values) == 2 and (primitive.name in FACTORS or (primitive.name in QUOTIENTS and i == 1)):
            sets = where_nonzero(sets, values[1 - i], n)
        elif primitive.name in EXTREMA:
            sets = where_chosen(sets, v, values[1 - i], n, EXTREMA[primitive.name])
        found = union(found, sets)
    return [found]


def is_constant(primitive: Primitive, i: int) -> bool:
    """Whether an elementwise operation has no derivative by an operand: none is given, where its jvp is of these."""
    if not isinstance(primitive, Elementwise) or type(primitive).jvp is not Elementwise.jvp:
        return False
    derivatives = primitive.derivatives
    return derivatives[i] is None if i < len(derivatives) else not primitive.made_outside


def where_nonzero(sets: Sets, factor: Value, n: int) -> Sets:
    """The sets where a factor is not known to be zero."""
    nonzero = factor.nonzero
    return sets if nonzero is None else take(sets, np.where(np.broadcast_to(nonzero, n), np.arange(n), -1))


EXTREMA: dict[str, Callable[[Any, Any], Any]] = {"max": np.greater_equal, "min": np.less_equal}


def where_chosen(sets: Sets, v: Value, other: Value, n: int, chosen: Callable[[Any, Any], Any]) -> Sets:
    """The sets where an operand is known to be the larger, or smaller."""
    if v.known is None or other.known is None:
        return sets
    flags = chosen(v.known.array.reshape(-1), other.known.array.reshape(-1))
    return take(sets, np.where(np.broadcast_to(flags, n), np.arange(n), -1))


def reduction(e: Equation, values: Sequence[Value]) -> list[Sets]:
    """Each result depends on what is reduced to it."""
    out = []
    for v in values[: len(e.outputs)]:
        kept = [1 if d in e.params["axes"] else n for d, n in enumerate(v.type.shape)]
        labels = np.broadcast_to(numbers(kept), v.type.shape)
        sets = merge(v.sets, labels, e.outputs[0].type.size)
        if e.primitive.name in REDUCED and v.known is not None and v.sets is not None:
            chosen = v.known.array == REDUCED[e.primitive.name](v.known.array, e.params["axes"], keepdims=True)
            sets = merge(v.sets, np.where(chosen, labels, -1), e.outputs[0].type.size)
        out.append(sets)
    return [union_of(out)] * len(e.outputs)


REDUCED: dict[str, Callable[..., Any]] = {"reduce_max": np.max, "reduce_min": np.min}


def along(axes: Callable[[Equation, Value], Sequence[int]]) -> Callable[..., list[Sets]]:
    """The rule of an operation each of whose results depends on all elements that lie along axes with it.

    Of several results each depends on its own operand.
    """

    def rule(e: Equation, values: Sequence[Value]) -> list[Sets]:
        if len(e.outputs) == len(values):
            return [of_lines(v, axes(e, v), w.type.shape) for v, w in zip(values, e.outputs)]
        return [union_of([of_lines(v, axes(e, v), e.outputs[0].type.shape) for v in values])]

    return rule


def of_lines(v: Value, axes: Sequence[int], shape: Sequence[int]) -> Sets:
    """The sets of a result of this shape, each the union of the sets along axes."""
    kept = [1 if d in axes else n for d, n in enumerate(v.type.shape)]
    whole = merge(v.sets, np.broadcast_to(numbers(kept), v.type.shape), math.prod(kept))
    return take(whole, np.broadcast_to(numbers(kept), shape))


def cumulative(e: Equation, values: Sequence[Value]) -> list[Sets]:
    """Each result depends on what stands before it along an axis, or behind it."""
    (v,) = values
    if v.sets is None:
        return [None]
    axis, n = e.params["axis"], v.type.shape[e.params["axis"]]
    later, earlier = np.tril_indices(n)
    if e.params["reverse"]:
        later, earlier = earlier, later
    rows = np.moveaxis(numbers(v.type.shape), axis, 0).reshape(n, -1)
    return [product(pairs(rows[later].reshape(-1), rows[earlier].reshape(-1), v.sets.shape[:1] * 2), v.sets)]


def dot_general(e: Equation, values: Sequence[Value]) -> list[Sets]:
    """Each result depends on the rows of the operands that it is a product of."""
    x, y = values
    (summed, kept) = e.params["dimension_numbers"]
    rows = [matrices(v, c, b) for v, c, b in zip(values, summed, kept, strict=True)]
    return [union(contracted(x, y, *rows), turned(contracted(y, x, *rows[::-1]), rows))]


def matrices(v: Value, summed: Sequence[int], kept: Sequence[int]) -> np.ndarray:
    """The numbers of the elements of an operand of a product, as (kept axes, free axes, summed axes)."""
    shape = v.type.shape
    free = [d for d in range(len(shape)) if d not in (*summed, *kept)]
    sizes = [math.prod([shape[d] for d in axes]) for axes in (kept, free, summed)]
    return numbers(shape).transpose([*kept, *free, *summed]).reshape(sizes)


def contracted(x: Value, y: Value, x_rows: np.ndarray, y_rows: np.ndarray) -> Sets:
    """The sets that a product, of the shape (kept, free of x, free of y), has from x."""
    if x.sets is None:
        return None
    (batch, i, _), j = x_rows.shape, y_rows.shape[1]
    nonzero = y.nonzero
    if nonzero is not None and i * np.count_nonzero(nonzero) <= FEW:
        b, column, inner = np.nonzero(nonzero[y_rows])
        row = np.arange(i)[:, None]
        outs, ins = (b * i + row) * j + column, x_rows[b, row, inner]
        return product(pairs(outs.reshape(-1), ins.reshape(-1), (batch * i * j, x.type.size)), x.sets)
    labels = np.empty(x.type.size, int)
    labels[x_rows] = np.arange(batch * i).reshape(batch, i, 1)
    return take(merge(x.sets, labels, batch * i), np.repeat(np.arange(batch * i), j))


def turned(sets: Sets, rows: Sequence[np.ndarray]) -> Sets:
    """Sets of a product of the shape (kept, free of y, free of x), in the order (kept, free of x, free of y)."""
    (batch, i, _), j = rows[0].shape, rows[1].shape[1]
    return take(sets, numbers((batch, j, i)).transpose(0, 2, 1))


def windows(spatial: Sequence[tuple]) -> list[np.ndarray]:
    """For each axis the elements that windows see, as (window, tap); -1 lies outside, or between."""
    found = []
    for n, size, stride, padding, base, dilation in spatial:
        count = window_count(n, size, stride, padding, base, dilation)
        places = np.arange(count)[:, None] * stride + np.arange(size) * dilation - padding[0]
        inside = (places >= 0) & (places % base == 0) & (places // base < n)
        found.append(np.where(inside, places // base, -1))
    return found


def crossed(tables: Sequence[np.ndarray], sizes: Sequence[int]) -> np.ndarray:
    """Tables of several axes as one, as (all windows, all taps), of numbers in an array of these sizes."""
    found = np.zeros((1, 1), int)
    for table, n in zip(tables, sizes, strict=True):
        both = found[:, None, :, None] * n + table[None, :, None, :]
        outside = (found[:, None, :, None] < 0) | (table[None, :, None, :] < 0)
        found = np.where(outside, -1, both).reshape(len(found) * len(table), found.shape[1] * table.shape[1])
    return found


def reduce_window(e: Equation, values: Sequence[Value]) -> list[Sets]:
    """Each result depends on the elements in its window."""
    (v,) = values[:1]
    p, ones = e.params, (1,) * len(v.type.shape)
    names = "window_dimensions", "window_strides", "padding"
    lists = [p[name] for name in names] + [p.get(name) or ones for name in ("base_dilation", "window_dilation")]
    seen = crossed(windows(list(zip(v.type.shape, *lists, strict=True))), v.type.shape)
    rows = np.broadcast_to(np.arange(len(seen))[:, None], seen.shape)
    hit = seen >= 0
    if v.sets is None:
        return [None]
    return [product(pairs(rows[hit], seen[hit], (len(seen), v.type.size)), v.sets)]


def convolution(e: Equation, values: Sequence[Value]) -> list[Sets]:
    """Each result depends on the elements and on the taps that are multiplied for it."""
    x, y = values
    p = Convolution(**{f.name: e.params[f.name] for f in fields(Convolution) if f.name in e.params})
    x_axes, y_axes, out_axes = p.dimension_numbers
    x_numbers, y_numbers = numbers(x.type.shape).transpose(x_axes), numbers(y.type.shape).transpose(y_axes)
    batch, features = x_numbers.shape[:2]
    kernels, inner = y_numbers.shape[:2]
    tables = windows(p.spatial(x.type, y.type))
    seen = crossed(tables, x_numbers.shape[2:])  # (windows, taps)
    kernel, part = np.arange(kernels), np.arange(batch // p.batch_group_count)
    group = kernel // (kernels // p.groups)
    channels = (group * inner if p.feature_group_count > 1 else group * 0)[:, None] + np.arange(inner)
    images = part[:, None] + (group * len(part) if p.batch_group_count > 1 else group * 0)
    if math.prod([len(part), kernels, *seen.shape, inner]) > FEW:
        return anything(e, values)
    # All products, as (image, kernel, window, channel, tap).
    flat_x, flat_y = x_numbers.reshape(batch, features, -1), y_numbers.reshape(kernels, inner, -1)
    taken = flat_x[images[:, :, None, None, None], channels[None, :, None, :, None], np.maximum(seen, 0)[:, None, :]]
    shape = taken.shape
    taps = np.broadcast_to(flat_y[None, :, None], shape)
    out_shape = [e.outputs[0].type.shape[d] for d in out_axes]
    outs = numbers(e.outputs[0].type.shape).transpose(out_axes).reshape(*out_shape[:2], -1)
    outs = np.broadcast_to(outs[..., None, None], shape)
    real = np.broadcast_to((seen >= 0)[:, None, :], shape)
    found, n = None, e.outputs[0].type.size
    for v, other, places, factors in ((x, y, taken, taps), (y, x, taps, taken)):
        if v.sets is not None:
            keep = real if other.nonzero is None else real & other.nonzero[factors]
            found = union(found, product(pairs(outs[keep], places[keep], (n, v.type.size)), v.sets))
    return [found]


def of_matrices(e: Equation, values: Sequence[Value]) -> list[Sets]:
    """Each result depends on all of its own matrices, and on nothing of others in a batch."""
    ranks = e.primitive.ranks  # type: ignore[attr-defined]
    batch = math.prod(values[0].type.shape[: len(values[0].type.shape) - ranks[0]])
    whole = union_of([merge(v.sets, np.repeat(np.arange(batch), v.type.size // max(batch, 1)), batch) for v in values])
    return [take(whole, np.repeat(np.arange(batch), v.type.size // max(batch, 1))) for v in e.outputs]


def anything(e: Equation, values: Sequence[Value]) -> list[Sets]:
    """Each result depends on all that the operands depend on: of what nothing more is known."""
    return [everything([v.sets for v in values], v.type.size) for v in e.outputs]


RULES: dict[str, Callable[..., list[Sets]]] = {
    "center": along(lambda e, v: e.params["axes"]),
    "conv_general_dilated": convolution,
    "dot_general": dot_general,
    "fft": along(lambda e, v: range(len(v.type.shape) - len(e.params["fft_lengths"]), len(v.type.shape))),
    "safe_conv_general_dilated": convolution,
    "safe_dot_general": dot_general,
    "safe_mul": elementwise,
    "safe_div": elementwise,
    "sort": along(lambda e, v: [e.params["dimension"]]),
}
RULES |= dict.fromkeys(["cumsum", "cumprod", "cummax", "cummin", "cumlogsumexp"], cumulative)
RULES |= dict.fromkeys(["log_softmax", "softmax", "tied_softmax"], along(lambda e, v: e.params["axes"]))
RULES |= dict.fromkeys(["logsumexp", "reduce_max", "reduce_min", "reduce_prod", "reduce_sum"], reduction)
RULES |= dict.fromkeys(["reduce_window_max", "reduce_window_min", "reduce_window_sum"], reduce_window)
