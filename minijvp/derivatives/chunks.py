"""Unit vectors through a linear function: all at once by vmap, or chunks of them inside of one scan.

over_basis : (a -o b) -> [b]
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minijvp import trees
from minijvp.api.names import VMAP, transforming
from minijvp.control_flow.scan import scan
from minijvp.core.jaxpr import Jaxpr, Var
from minijvp.core.primitive import Axis
from minijvp.core.tracing import state
from minijvp.core.types import ArrayType, is_inexact, type_of
from minijvp.dimensions import is_symbolic
from minijvp.errors import ArgumentError
from minijvp.operations.casting import convert_element_type
from minijvp.operations.elementwise import eq
from minijvp.operations.families import add, broadcast_in_dim, leading_axis, reshape
from minijvp.operations.shape import iota, size_beside
from minijvp.operations.slicing import slice as slice_primitive
from minijvp.transforms.staging import stage
from minijvp.transforms.vmap import vmap_flat

ChunkSize = int | str | None
"""How many unit vectors go through a linear function at once: a number, "auto", or None for all."""

AUTOMATIC_BYTES = 2**24
"""What the values of a chunk may take, by "auto", where the result takes less."""

INT32 = np.dtype(np.int32)


def checked_chunk_size(value: Any, who: str) -> ChunkSize:
    """The chunk size that `who` received; ArgumentError for one that cannot be."""
    if value is None or (isinstance(value, str) and value == "auto"):
        return value
    size = trees.as_index(value)
    if size is None or size < 1:
        raise ArgumentError(
            f"{who} received chunk_size={value!r:.200}.",
            "It is the number of unit vectors that go through the linear program at once.",
            "Pass a positive integer, 'auto' for one by the sizes of what is computed, or None for all at once.",
        )
    return size


def automatic_size(linear: Jaxpr, n_constants: int, result_bytes: int) -> int:
    """How many tangents of a linear program have values that take no more than the result, or a few megabytes."""
    return max(1, int(max(result_bytes, AUTOMATIC_BYTES) // max(1, peak_bytes(linear, n_constants))))


def peak_bytes(linear: Jaxpr, n_constants: int) -> int:
    """The most bytes that the values of one tangent take at a time, when a linear program runs as it is written."""
    last_use: dict[Any, int] = {v: i for i, e in enumerate(linear.equations) for v in e.inputs if isinstance(v, Var)}
    last_use.update({v: len(linear.equations) for v in linear.outputs if isinstance(v, Var)})
    alive = set(linear.inputs[n_constants:])
    most = now = sum([v.type.bytes for v in alive])
    for i, e in enumerate(linear.equations):
        if alive.isdisjoint(e.inputs):
            continue
        alive.update(e.outputs)
        now += sum([v.type.bytes for v in e.outputs])
        most = max(most, now)
        ended = {v for v in (*e.inputs, *e.outputs) if v in alive and last_use.get(v, i) <= i}
        alive -= ended
        now -= sum([v.type.bytes for v in ended])
    return most


def over_basis(fun: Callable[..., list[Any]], leaves: Sequence[Any], chunk_size: int | None = None) -> Sequence[Any]:
    """The results of `fun` for all unit vectors of the space of `leaves`, along a leading axis.

    `chunk_size` vectors go through it at once; all of them if that is None.
    """
    types = [type_of(x) for x in leaves]
    spaces = tuple([(t.shape, t.size, t.dtype) for t in types if is_inexact(t.dtype)])
    total = sum([size for _, size, _ in spaces])
    differentiated = [is_inexact(t.dtype) for t in types]

    def batch(vectors: Sequence[Any], size: Any) -> list[Any]:
        rest, axis = iter(vectors), Axis(size)
        basis = [next(rest) if d else None for d in differentiated]
        with transforming(VMAP):
            outs, batched = vmap_flat(fun, axis, basis, differentiated)
        return [leading_axis(axis, x, b) for x, b in zip(outs, batched, strict=True)]

    if chunk_size is None or is_symbolic(total) or chunk_size >= total:
        return batch(state.trace.above(unit_vectors)(spaces), total)
    return in_chunks(lambda start, size: batch(units_from(start, size, spaces), size), total, chunk_size)


def in_chunks(fun: Callable[[Any, int], list[Any]], total: int, chunk_size: int) -> list[Any]:
    """The rows 0 to `total` of results: `fun` gives so many from row `start` on, and the scan of it all of them.

    Chunks are of equal size, at most `chunk_size`; what the last one gives beyond `total` is dropped.
    """
    length = -(-total // chunk_size)
    size = -(-total // length)
    body, constants = stage(lambda start: fun(start, size), [ArrayType((), INT32)]).hoist_constants()
    starts = np.arange(0, length * size, size, dtype=INT32)
    how = {"n_constants": len(constants), "n_carry": 0, "length": length, "reverse": False, "unroll": 1}
    return [first_rows(x, total) for x in scan(*constants, starts, jaxpr=body, **how)]


def first_rows(x: Any, total: int) -> Any:
    """The rows of chunks, one after another, up to number `total`."""
    n, size, *shape = type_of(x).shape
    rows = reshape(x, new_sizes=(n * size, *shape))
    if n * size == total:
        return rows
    return slice_primitive(rows, start_indices=(0,) * (1 + len(shape)), limit_indices=(total, *shape), strides=None)


Spaces = tuple[tuple[tuple[int, ...], int, Any], ...]
"""Shapes, sizes and dtypes of spaces that are summed."""


def unit_vectors(spaces: Spaces, xp: Any = np) -> list[Any]:
    """The unit vectors of a sum of spaces: for each space their parts in it."""
    total = sum([size for _, size, _ in spaces])
    if is_symbolic(total):
        return units_from(None, total, spaces)
    parts, start = [], 0
    for shape, size, dtype in spaces:
        parts.append(xp.eye(total, size, -start, dtype=dtype).reshape(total, *shape))
        start += size
    return parts


def units_from(start: Any, number: Any, spaces: Spaces) -> list[Any]:
    """So many of these unit vectors, from number `start` on (None for 0), which is not known; zeros after the last."""
    parts, offset = [], 0
    for shape, size, dtype in spaces:
        rows, columns = (iota(dtype=INT32, shape=(number, size), dimension=d) for d in (0, 1))
        if start is not None:
            rows = add(rows, broadcast_in_dim(start, shape=(number, size), broadcast_dimensions=()))
        ones = eq(rows, add(columns, size_beside(offset, columns)))
        parts.append(reshape(convert_element_type(ones, new_dtype=dtype), new_sizes=(number, *shape)))
        offset += size
    return parts
