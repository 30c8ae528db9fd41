"""How places with arrays of integers are one gather or one scatter: its axes, and its table of indices."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial
from itertools import pairwise
from typing import Any

import jax
import numpy as np
from jax import lax

from minijvp.core.tracer import Tracer
from minijvp.core.tracing import evaluating
from minijvp.core.types import Array
from minijvp.dimensions import broadcast_shapes, decided, is_symbolic
from minijvp.errors import ArgumentError
from minijvp.numpy.places import CLIP, NO_AXIS, Bounds, Place, Point, Span
from minijvp.operations.casting import convert_element_type
from minijvp.operations.elementwise import lt, max_, min_, mul, rem, select_n
from minijvp.operations.families import add, broadcast_in_dim
from minijvp.operations.shape import concatenate, dim_as_value, iota, size_beside

SMALL = 1 << 16
"""Constant index tables with up to so many rows are examined for order and repetition."""


def index_dtype(shape: tuple[int, ...]) -> np.dtype:
    """The dtype of index tables: 32 bits, unless an axis is longer."""
    return np.dtype(np.int64 if any(decided(lambda n=n: n >= 2**31) for n in shape) else np.int32)


class Layout:
    """How a gather reads the places of an index, or a scatter writes them.

    `shape` is that of the result, `inner` without its new axes. The axes of `inner` are windows (spans of stride 1),
    and rows, which the table of indices has too: the broadcast axes of the points, and spans of other strides.
    """

    def __init__(self, places: Sequence[Place], operand_shape: tuple[int, ...]):
        points = [p for p in places if isinstance(p, Point)]
        points_shape = broadcast_points(points)
        # Points that nothing separates stay in their place, others come first; NumPy counts an empty ellipsis too.
        adjacent = all(q.entry - p.entry <= 1 for p, q in pairwise(points))
        turn = points[0] if points else None
        order = [p for p in places if not isinstance(p, Point) or (p is turn and adjacent)]
        if turn and not adjacent:
            order.insert(0, turn)
        sizes = [1] * len(operand_shape)
        shape: list[int] = []
        inner: list[int] = []
        rows: list[int] = []
        windows, collapsed, backwards = [], [p.axis for p in points if p.axis != NO_AXIS], []
        columns: dict[int, tuple[Any, tuple[int, ...]]] = {}
        first_row = 0
        for p in order:
            if p is None:
                shape.append(1)
                continue
            extent = points_shape if isinstance(p, Point) else (p.size,)
            if isinstance(p, Point):
                first_row = len(rows)
                rows += extent
            elif p.stride != 1:
                columns[p.axis] = evenly_spaced(p), (len(rows),)
                collapsed.append(p.axis)
                rows += extent
            else:
                windows.append(len(inner))
                sizes[p.axis] = p.size
                if p.size != operand_shape[p.axis]:
                    columns[p.axis] = p.start, ()
            if isinstance(p, Span) and p.reverse:
                backwards.append(len(inner))
            shape += extent
            inner += extent
        end = first_row + len(points_shape)
        for p in points:
            if p.axis != NO_AXIS:
                columns[p.axis] = p.index, tuple(range(end - len(np.shape(p.index)), end))
        self.operand_shape = operand_shape
        self.shape, self.inner, self.rows = tuple(shape), tuple(inner), tuple(rows)
        self.windows, self.backwards, self.sizes = tuple(windows), tuple(backwards), tuple(sizes)
        self.collapsed = tuple(sorted(collapsed))
        columns = {d: (dim_as_value(dim=i) if is_symbolic(i) else i, dims) for d, (i, dims) in columns.items()}
        self.columns = dict(sorted(columns.items()))
        self.one_point = all(np.ndim(p.index) == 0 or p.axis == NO_AXIS for p in points)
        self.known = all(isinstance(i, (int, np.ndarray)) for i, _ in columns.values())

    @property
    def numbers(self) -> Any:
        return lax.GatherDimensionNumbers(
            offset_dims=self.windows, collapsed_slice_dims=self.collapsed, start_index_map=tuple(self.columns)
        )

    def table(self, rules: Bounds) -> tuple[Any, bool | None, bool | None]:
        """The indices, whether they are sorted, and whether they are unique; None if that is not known."""
        dtype = index_dtype(self.operand_shape)
        if self.known:
            return self.known_table(dtype)
        values, specs = [], []
        for axis, (i, dims) in self.columns.items():
            traced = not isinstance(i, (int, np.ndarray))
            values.append(i if traced else np.asarray(i, dtype)[()])
            specs.append((self.operand_shape[axis] if traced else 0, dims, rules))
        traced = any(isinstance(i, Tracer) for i in values) or any(map(is_symbolic, (*self.rows, *self.operand_shape)))
        build = _table if traced else _table_at_once
        one = True if self.one_point else None
        return build(tuple(values), tuple(specs), self.rows, dtype), one, one

    def known_table(self, dtype: np.dtype) -> tuple[Any, bool | None, bool | None]:
        rows = self.rows
        table = np.empty((*rows, len(self.columns)), dtype)
        for k, (i, dims) in enumerate(self.columns.values()):
            i = np.asarray(i)
            sizes = dict(zip(dims, i.shape))
            table[..., k] = i.reshape([sizes.get(d, 1) for d in range(len(rows))])
        in_order: bool | None = None
        unique: bool | None = None
        if self.one_point:
            in_order = unique = True
        elif table.size <= SMALL and not any([is_symbolic(self.operand_shape[d]) for d in self.columns]):
            # Clamped, as all modes do that do not drop: indices out of bounds may repeat others then.
            extents = [self.operand_shape[d] for d in self.columns]
            limits = np.asarray(extents, dtype) - 1
            inside = np.clip(table, 0, limits)
            numbers = np.ravel_multi_index([c.ravel() for c in np.moveaxis(inside, -1, 0)], extents)
            steps = np.diff(numbers)
            in_order = bool(np.all(steps >= 0) and np.array_equal(inside, table))
            unique = bool(np.all(steps > 0)) or len(np.unique(numbers)) == numbers.size
        return shared_constant(table), in_order, unique


def evenly_spaced(p: Span) -> Any:
    """The indices of a span, as a NumPy array if its sizes are numbers."""
    if not is_symbolic(p.start) and not is_symbolic(p.size):
        return p.start + p.stride * np.arange(p.size)
    i = mul(iota(dtype=np.dtype(np.int32), shape=(p.size,), dimension=0), p.stride)
    return add(i, size_beside(p.start, i))


def broadcast_points(points: Sequence[Point]) -> tuple[int, ...]:
    """The shape to which the indices of all points broadcast."""
    try:
        return broadcast_shapes(*[np.shape(p.index) for p in points if not is_symbolic(p.index)])
    except ValueError:
        listed = ", ".join([str(np.shape(p.index)) for p in points])
        raise ArgumentError(
            f"indexing received index arrays of shapes {listed}, which do not broadcast.",
            "Index arrays are broadcast against each other: together they name elements.",
            "For a grid of rows and columns, give them axes of their own: x[rows[:, None], columns].",
        ) from None


def _table(values: tuple, specs: tuple, rows: tuple[int, ...], dtype: Any) -> Array:
    """The table of indices: the values broadcast to the rows and side by side, with traced ones counted from 0."""
    columns = []
    for i, (size, dims, rules) in zip(values, specs):
        i = counted_from_zero(i, size, dtype, rules) if size else i
        columns.append(broadcast_in_dim(i, shape=(*rows, 1), broadcast_dimensions=dims))
    return columns[0] if len(columns) == 1 else concatenate(*columns, dimension=len(rows))


@partial(jax.jit, static_argnums=(1, 2, 3))
def _table_at_once(values: tuple, specs: tuple, rows: tuple[int, ...], dtype: Any) -> Array:
    """The same for concrete arrays, in one compiled step."""
    with evaluating():
        return _table(values, specs, rows, dtype)


def counted_from_zero(i: Array, n: int, dtype: Any, rules: Bounds) -> Array:
    """Traced indices of an axis of size n in the given dtype, without negative ones that count from the end."""
    signed = i.dtype.kind == "i"
    if i.dtype.itemsize < dtype.itemsize or (signed and i.dtype.itemsize == dtype.itemsize):
        i = in_dtype(i, dtype)  # before the size of the axis is added, which a small dtype has no room for
    if rules.modulo:
        i = rem(i, size_beside(n, i))
    if signed and (rules.wrap or rules.modulo):
        i = select_n(lt(i, 0), i, add(i, size_beside(n, i)))
    if rules.mode == CLIP and i.dtype != dtype:
        i = min_(i, size_beside(n - 1, i))  # a large one would be another number in fewer bits
        i = max_(i, 0) if signed else i
    return in_dtype(i, dtype)


def in_dtype(x: Array, dtype: Any) -> Array:
    """`x` in a dtype, weak or not."""
    return x if x.dtype == dtype else convert_element_type(x, new_dtype=dtype)


def shared_constant(table: np.ndarray) -> np.ndarray:
    """The same array for equal small tables: programs with one and the same constant are the same program."""
    if table.size > 4096:
        return table
    return _constant(table.tobytes(), table.shape, table.dtype)


@lru_cache(maxsize=1024)
def _constant(data: bytes, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    return np.frombuffer(data, dtype).reshape(shape)
