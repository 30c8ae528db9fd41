"""The sets of operations that move elements and compute nothing: from which element of an operand each comes.

A rule gets the equation and what is known of its operands, and gives the sets of each result. What is moved is the
numbers of the elements. Where indices are not known, an element depends on all to which they could lead: along the
axes that they index, and no others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minijvp.core.jaxpr import Equation
from minijvp.core.tracing import detached
from minijvp.core.types import Params
from minijvp.operations.gather import FILL, gather, read_back
from minijvp.sparse.sets import Sets, merge, numbers, spread, take, union, union_of
from minijvp.sparse.values import Value, broadcast_to


def same(e: Equation, values: Sequence[Value]) -> list[Sets]:
    """Each result is the operand at its place."""
    return [v.sets for v, _ in zip(values, e.outputs)]


def moved(function: Callable[[np.ndarray, Params], np.ndarray]) -> Callable[..., list[Sets]]:
    """The rule of an operation that does with an array what the function does with the numbers of its elements."""

    def rule(e: Equation, values: Sequence[Value]) -> list[Sets]:
        (v,) = values
        return [take(v.sets, function(numbers(v.type.shape), e.params))]

    return rule


def sliced(x: np.ndarray, p: Params) -> np.ndarray:
    """slice."""
    strides = p["strides"] or (1,) * x.ndim
    return x[tuple([slice(*bounds) for bounds in zip(p["start_indices"], p["limit_indices"], strides, strict=True)])]


def concatenated(e: Equation, values: Sequence[Value]) -> list[Sets]:
    """concatenate: each operand at its place."""
    return [placed(values, lambda parts: np.concatenate(parts, e.params["dimension"]))]


def placed(values: Sequence[Value], function: Callable[[list[np.ndarray]], np.ndarray]) -> Sets:
    """The sets of a result that has elements of several operands."""
    found = None
    for i, v in enumerate(values):
        parts = [numbers(w.type.shape) if k == i else np.full(w.type.shape, -1) for k, w in enumerate(values)]
        found = union(found, take(v.sets, function(parts)) if v.sets is not None else None)
    return found


def padded(e: Equation, values: Sequence[Value]) -> list[Sets]:
    """pad, by amounts that may be negative."""

    def pad(parts: list[np.ndarray]) -> np.ndarray:
        x, value = parts
        for d, (low, high, between) in enumerate(e.params["padding_config"]):
            n = x.shape[d]
            places = low + np.arange(n) * (between + 1)
            size = low + high + max((n - 1) * (between + 1) + 1, 0)
            inside = (places >= 0) & (places < size)
            shape = (*x.shape[:d], size, *x.shape[d + 1 :])
            out = np.full(shape, value.reshape(-1)[0] if value.size else -1)
            np.moveaxis(out, d, 0)[places[inside]] = np.moveaxis(x, d, 0)[inside]
            x = out
        return x

    return [placed(values, pad)]


def split(e: Equation, values: Sequence[Value]) -> list[Sets]:
    """split: the pieces."""
    (v,) = values
    cuts = np.cumsum(e.params["sizes"])[:-1]
    return [take(v.sets, part) for part in np.split(numbers(v.type.shape), cuts, e.params["axis"])]


def selected(e: Equation, values: Sequence[Value]) -> list[Sets]:
    """select_n: of the case that is known to be chosen, or of all."""
    which, *cases = values
    n = e.outputs[0].type.size
    found = None
    for k, case in enumerate(cases):
        if case.sets is not None and which.known is not None:
            chosen = np.broadcast_to(which.known.array.astype(int), case.type.shape).reshape(-1) == k
            found = union(found, take(case.sets, np.where(chosen, np.arange(n), -1)))
        else:
            found = union(found, case.sets)
    return [found]


def start_of(shape: Sequence[int], sizes: Sequence[int], starts: Sequence[Value], p: Params) -> list[int] | None:
    """Where a dynamic slice begins, if it is known."""
    if any(s.known is None for s in starts):
        return None
    wrapped = p.get("allow_negative_indices", True)
    flags = wrapped if isinstance(wrapped, (tuple, list)) else [wrapped] * len(shape)
    found = [int(s.known.array) for s in starts if s.known is not None]
    found = [k + n if flag and k < 0 else k for k, n, flag in zip(found, shape, flags, strict=True)]
    return [min(max(k, 0), n - m) for k, n, m in zip(found, shape, sizes, strict=True)]


def classes(shape: Sequence[int], sizes: Sequence[int], axes: Sequence[int]) -> tuple[np.ndarray, int]:
    """Numbers for the elements of an array, and how many: the same for those that a slice moved along axes may hit."""
    kept = [1 if d in axes and m < n else n for d, (n, m) in enumerate(zip(shape, sizes, strict=True))]
    return np.broadcast_to(numbers(kept), shape), math.prod(kept)


def dynamic_slice(e: Equation, values: Sequence[Value]) -> list[Sets]:
    """dynamic_slice."""
    x, *starts = values
    shape, sizes = x.type.shape, e.params["slice_sizes"]
    start = start_of(shape, sizes, starts, e.params)
    labels, count = classes(shape, sizes, range(len(shape))) if start is None else (numbers(shape), 0)
    sets = merge(x.sets, labels, count) if start is None else x.sets
    return [take(sets, labels[window(start or [0] * len(shape), sizes)])]


def window(start: Sequence[int], sizes: Sequence[int]) -> tuple[slice, ...]:
    """The part of these sizes that begins at `start`."""
    return tuple([slice(k, k + m) for k, m in zip(start, sizes, strict=True)])


def dynamic_update_slice(e: Equation, values: Sequence[Value]) -> list[Sets]:
    """dynamic_update_slice."""
    x, update, *starts = values
    shape, sizes = x.type.shape, update.type.shape
    start = start_of(shape, sizes, starts, e.params)
    if start is None:
        labels, count = classes(shape, sizes, range(len(shape)))
        hit = labels[window([0] * len(shape), sizes)]
        return [union(x.sets, take(merge(update.sets, hit, count), labels))]

    def write(parts: list[np.ndarray]) -> np.ndarray:
        old, new = parts
        out = old.copy()
        out[window(start, sizes)] = new
        return out

    return [placed([x, update], write)]


def gathered(e: Equation, values: Sequence[Value]) -> list[Sets]:
    """gather."""
    x, indices = values
    if x.sets is None:
        return [None]
    p = dict(e.params)
    if indices.known is not None:
        places = by_impl(x.type.shape, indices.known.value, {**p, "fill_value": -1 if p["mode"] == FILL else None})
        return [take(x.sets, places)]
    labels, count = classes(x.type.shape, p["slice_sizes"], p["dimension_numbers"].start_index_map)
    start = np.zeros(indices.type.shape, indices.type.dtype)
    places = by_impl(x.type.shape, start, p | {"fill_value": None})
    return [take(merge(x.sets, labels, count), labels.reshape(-1)[places])]


def by_impl(shape: Sequence[int], indices: Any, params: Params) -> np.ndarray:
    """The numbers of the elements that a gather takes."""
    with detached():
        return np.asarray(gather(numbers(shape).astype(np.int32), indices, **params))


def scattered(e: Equation, values: Sequence[Value]) -> list[Sets]:
    """The scatters: the operand where nothing replaces it, and what is written."""
    x, indices, updates = values
    shape, params = x.type.shape, dict(e.params)
    known = indices.known is not None
    d = params["dimension_numbers"]
    with detached():
        start = indices.known.value if indices.known else np.zeros(indices.type.shape, indices.type.dtype)
        board, blank = (numbers(shape) + 1).astype(np.int32), np.zeros(updates.type.shape, np.int32)
        hit = np.asarray(read_back(board, start, blank, **params)) - 1
    if not known:
        dropped = (*d.inserted_window_dims, *d.operand_batching_dims)
        sizes = iter([updates.type.shape[i] for i in d.update_window_dims])
        labels, count = classes(
            shape,
            [1 if i in dropped else next(sizes) for i in range(len(shape))],
            d.scatter_dims_to_operand_dims,
        )
        return [union(x.sets, take(merge(updates.sets, labels.reshape(-1)[hit], count), labels))]
    kept = x.sets
    if e.primitive.name == "scatter":
        rows = np.arange(x.type.size)
        rows[hit[hit >= 0]] = -1
        kept = take(x.sets, rows)
    return [union(kept, merge(updates.sets, hit, x.type.size))]


def kept_where(e: Equation, values: Sequence[Value]) -> list[Sets]:
    """or_constant: of the operand that has a derivative, where it may be chosen."""
    which, x, _ = values
    return selected(e, [which, Value(x.type), x])


def together(e: Equation, values: Sequence[Value]) -> list[Sets]:
    """Of all operands, element by element; one without axes stands beside each element."""
    n = e.outputs[0].type.size
    return [union_of([spread(v.sets, n) for v in values])]


def broadcasted(e: Equation, values: Sequence[Value]) -> list[Sets]:
    """broadcast_in_dim."""
    (v,) = values
    n = e.outputs[0].type.size
    if v.type.size in (1, n):
        return [spread(v.sets, n)]
    rows = broadcast_to(numbers(v.type.shape), e.params["shape"], e.params["broadcast_dimensions"])
    return [take(v.sets, rows)]


RULES: dict[str, Callable[..., list[Sets]]] = {
    "broadcast_in_dim": broadcasted,
    "add_zero": together,
    "clamp": together,
    "concatenate": concatenated,
    "dynamic_slice": dynamic_slice,
    "dynamic_update_slice": dynamic_update_slice,
    "gather": gathered,
    "or_constant": kept_where,
    "pad": padded,
    "rev": moved(lambda x, p: np.flip(x, p["dimensions"])),
    "scatter": scattered,
    "scatter-add": scattered,
    "scatter-max": scattered,
    "scatter-min": scattered,
    "scatter-mul": scattered,
    "scatter-sub": scattered,
    "select_n": selected,
    "slice": moved(sliced),
    "split": split,
    "transpose": moved(lambda x, p: x.transpose(p["permutation"])),
}
SAME = (
    "convert_element_type",
    "name",
    "optimization_barrier",
    "place",
    "reshape",
    "sharding_constraint",
    "squeeze",
    "vary",
)
RULES |= dict.fromkeys(SAME, same)
