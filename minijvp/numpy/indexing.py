"""Indexing: x[...], x.at[...], take and take_along_axis, with every index that NumPy knows.

An index is read into places, in the order of the result: None (a new axis), a Span (a slice of one axis) or a
Point (an integer, an array of integers, or a part of a mask). Spans and integers alone are a slice; integers that
are traced make it a dynamic_slice; with arrays it is one gather, and an update is one scatter.
"""

from __future__ import annotations

import inspect
import operator
import warnings
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from minijvp.control_flow.scatter_apply import apply_at, as_program
from minijvp.core.tracing import Tracer, evaluating
from minijvp.core.types import PYTHON_SCALARS, is_key, type_of, wrapped
from minijvp.errors import ArgumentError, ConcretizationError, NonConcreteBooleanIndexError
from minijvp.interop.from_jax import from_jax
from minijvp.numpy.promotion import (
    array,
    as_dtype,
    broadcast,
    cast,
    join,
    kind_of,
    known_values,
    normalize_axis,
    operand,
    refuse,
    scalar_like,
    surface,
)
from minijvp.numpy.ufuncs import divide, power
from minijvp.operations.casting import convert_element_type
from minijvp.operations.dynamic_slicing import dynamic_slice, dynamic_update_slice
from minijvp.operations.elementwise import lt, max_, min_, rem, select_n
from minijvp.operations.families import add, broadcast_in_dim, reshape, zeros
from minijvp.operations.gather import (
    gather,
    scatter,
    scatter_add,
    scatter_max,
    scatter_min,
    scatter_numbers,
    scatter_sub,
)
from minijvp.operations.scatter_mul import scatter_mul
from minijvp.operations.shape import concatenate, rev, squeeze
from minijvp.operations.slicing import slice as static_slice

Mode = lax.GatherScatterMode
PROMISE, FILL, CLIP = Mode.PROMISE_IN_BOUNDS, Mode.FILL_OR_DROP, Mode.CLIP
MODES = {"promise_in_bounds": PROMISE, "fill": FILL, "drop": FILL, "clip": CLIP, "wrap": PROMISE}

SMALL = 1 << 16
"""Constant index tables with up to so many rows are examined for order and repetition."""


class Span(NamedTuple):
    """`size` elements of an axis, `stride` apart, the first at `start`; then reversed if `reverse`."""

    axis: int
    start: int
    size: int
    stride: int
    reverse: bool


class Point(NamedTuple):
    """Integers along an axis: an int, a NumPy array, or an array or tracer. A scalar boolean has no axis: NO_AXIS.

    `entry` is the position in the index as it was written.
    """

    axis: int
    index: Any
    entry: int


NO_AXIS = -1
Place = Span | Point | None


class Bounds(NamedTuple):
    """What happens to indices out of bounds: the mode of gather and scatter, and what is done before to indices."""

    mode: Any
    wrap: bool
    """Negative indices count from the end."""
    modulo: bool
    """Indices are taken modulo the size of their axis."""
    checked: bool = False
    """Integers of Python that are promised to be in bounds are held to it where jax_check_static_indices is set."""


def bounds(mode: Any, default: Any, wrap: bool = True) -> Bounds:
    """The meaning of a `mode` argument. Raises ArgumentError for one that is unknown."""
    if mode is None:
        return Bounds(default, wrap, False)
    if isinstance(mode, Mode):
        return Bounds(mode, wrap, False)
    if not isinstance(mode, str) or mode not in MODES:
        raise ArgumentError(
            f"indexing received mode={mode!r}.",
            f"The modes are {', '.join(map(repr, MODES))}.",
            "Choose one of them, or leave it out.",
        )
    return Bounds(MODES[mode], wrap, mode == "wrap")


# Reading an index


def places_of(index: Any, shape: tuple[int, ...], rules: Bounds) -> list[Place]:
    """The places that an index of an array of this shape names. Static integers are counted from 0 afterwards."""
    if isinstance(index, tuple):
        # A sequence in a tuple is an array, as in NumPy; alone it is refused, as in JAX.
        entries = [entry_of(as_index_array(e) if isinstance(e, (list, tuple)) else e) for e in index]
    else:
        entries = [entry_of(index)]
    ellipses = sum([e is Ellipsis for e in entries])
    taken = sum([0 if e is None or e is Ellipsis else e.ndim if is_mask(e) else 1 for e in entries])
    if ellipses > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")
    if taken > len(shape):
        raise IndexError(f"too many indices: the array has {len(shape)} axes, and {taken} were indexed")
    if not ellipses:
        entries.append(Ellipsis)
    places: list[Place] = []
    axis = 0
    for k, e in enumerate(entries):
        if e is None:
            places.append(None)
        elif e is Ellipsis:
            for _ in range(len(shape) - taken):
                places.append(Span(axis, 0, shape[axis], 1, False))
                axis += 1
        elif isinstance(e, slice):
            places.append(span_of(e, axis, shape[axis]))
            axis += 1
        elif not is_mask(e):
            places.append(Point(axis, settled(e, axis, shape[axis], rules), k))
            axis += 1
        elif not e.ndim:
            places.append(Point(NO_AXIS, np.zeros(int(e), np.int64), k))
        else:
            if e.shape != shape[axis : axis + e.ndim]:
                raise IndexError(f"a boolean index of shape {e.shape} for axes of shape {shape[axis : axis + e.ndim]}")
            for part in np.nonzero(e):
                places.append(Point(axis, part, k))
                axis += 1
    return places


def as_index_array(e: Sequence[Any]) -> np.ndarray:
    """A sequence of integers or booleans as an array; the empty one holds integers."""
    return np.asarray(e) if len(e) else np.zeros(0, np.int64)


def entry_of(e: Any) -> Any:
    """One entry of an index: None, Ellipsis, a slice, an int, a concrete mask, or an array of integers."""
    if e is None or e is Ellipsis or isinstance(e, slice):
        return e
    if isinstance(e, (bool, np.bool_)):
        return np.asarray(e)
    if isinstance(e, (int, np.integer)):
        return int(e)
    if isinstance(e, (np.ndarray, jax.Array, Tracer)):
        kind = e.dtype.kind
        if kind == "b":
            return concrete_mask(e)
        if kind not in "iu":
            raise not_an_index(f"an array of {e.dtype.name}")
        return int(e) if isinstance(e, np.ndarray) and not e.ndim else e
    if isinstance(e, Sequence):
        raise not_an_index(f"the {type(e).__name__} {e!r:.100}")
    try:
        return operator.index(e)
    except TypeError:
        raise not_an_index(f"{e!r:.100} of type {type(e).__name__}") from None


def not_an_index(what: str) -> ArgumentError:
    """The error for an entry that is no index."""
    return ArgumentError(
        f"indexing received {what} as an index.",
        "An index has integers, slices, None, Ellipsis, and arrays of integers or booleans.",
        "Convert a list: x[mnp.asarray(indices)]; for several axes, use a tuple.",
    )


def is_mask(e: Any) -> bool:
    """Whether an entry of an index is a boolean array, or a boolean."""
    return isinstance(e, np.ndarray) and e.dtype.kind == "b"


def concrete_mask(mask: Any) -> np.ndarray:
    """A boolean index as a NumPy array. Raises NonConcreteBooleanIndexError if its value is not known."""
    found = known_values(mask)
    if found is None:
        raise NonConcreteBooleanIndexError(
            f"x[mask] received a traced mask, {type_of(mask)!r}.",
            "How many elements it chooses depends on values, and shapes must be known while tracing.",
            "Use mnp.where(mask, x, other) to pick element by element, mnp.sum(x, where=mask) and the like to "
            "reduce, and mnp.where(mask, new, x) for x.at[mask].set(new).",
        )
    return found


def span_of(s: slice, axis: int, n: int) -> Span:
    """The part of an axis of size n that a slice names."""
    try:
        given = [b if b is None else operator.index(b) for b in (s.start, s.stop, s.step)]
    except ConcretizationError:
        raise ConcretizationError(
            f"x[a:b] received a traced bound, for axis {axis}.",
            "The size of the result would depend on values, and shapes must be known while tracing.",
            "Use lax.dynamic_slice (lax.dynamic_slice_in_dim(x, a, size, axis)), whose start may be traced.",
        ) from None
    start, stop, step = slice(*given).indices(n)
    size = len(range(start, stop, step))
    if size <= 1:
        return Span(axis, start if size else 0, size, 1, False)
    return Span(axis, start if step > 0 else start + (size - 1) * step, size, abs(step), step < 0)


def indices_are_checked() -> bool:
    """Whether JAX is told to hold integers of Python in an index to the bounds."""
    return jax.config.jax_check_static_indices  # type: ignore[attr-defined]


def settled(index: Any, axis: int, n: int, rules: Bounds) -> Any:
    """The index, if Python or NumPy knows it: counted from 0, and clamped where a single integer may be."""
    if type(index) is int:
        if n == 0:
            raise IndexError(f"an index is out of bounds for axis {axis} with size 0")
        if rules.modulo:
            return index % n
        given = index
        if index < 0 and rules.wrap:
            index += n
        if not 0 <= index < n and rules.checked and rules.mode == PROMISE and indices_are_checked():
            raise IndexError(f"index {given} is out of bounds for axis {axis} with size {n}")
        return min(max(index, 0), n - 1) if rules.mode in (PROMISE, CLIP) else index
    if not isinstance(index, np.ndarray):
        return index
    index = index.astype(np.int64)
    if rules.modulo:
        return index % max(n, 1)
    if rules.wrap:
        index = np.where(index < 0, index + n, index)
    # Far outside is as good as just outside, and fits into 32 bits.
    return np.clip(index, -1, n)


# Spans and single integers


def is_simple(places: Sequence[Place], shape: tuple[int, ...], rules: Bounds) -> bool:
    """Whether a slice at a static or a traced place is enough: no arrays, and nothing out of bounds to be filled in."""
    for p in places:
        if not isinstance(p, Point):
            continue
        if p.axis == NO_AXIS:
            return False
        if type(p.index) is int:
            if not 0 <= p.index < shape[p.axis]:
                return False
        elif p.index.shape or shape[p.axis] == 0 or rules.modulo or rules.mode not in (PROMISE, CLIP):
            return False
    return True


def read_simple(x: Any, places: Sequence[Place], wrap: bool) -> Any:
    """The elements at spans and single integers; an integer may be traced, and negative with `wrap`."""
    shape = x.shape
    parts: list[Any] = [None] * len(shape)
    traced: dict[int, Any] = {}
    dropped, result = [], []
    for p in places:
        if p is None:
            result.append(1)
        elif isinstance(p, Span):
            parts[p.axis] = p
            result.append(p.size)
        else:
            if type(p.index) is not int:
                traced[p.axis] = p.index
            parts[p.axis] = Span(p.axis, 0 if p.axis in traced else p.index, 1, 1, False)
            dropped.append(p.axis)
    extents = tuple([(p.size - 1) * p.stride + 1 if p.size else 0 for p in parts])
    starts = tuple([p.start for p in parts])
    if traced:
        how = {} if wrap else {"allow_negative_indices": False}
        x = dynamic_slice(x, *starts_of(starts, traced), slice_sizes=extents, **how)
        starts = (0,) * len(shape)
    strides = tuple([p.stride for p in parts])
    if extents != x.shape or any(s != 1 for s in strides):
        limits = tuple([a + n for a, n in zip(starts, extents)])
        steps = None if all(s == 1 for s in strides) else strides
        x = static_slice(x, start_indices=starts, limit_indices=limits, strides=steps)
    backwards = tuple([p.axis for p in parts if p.reverse])
    if backwards:
        x = rev(x, dimensions=backwards)
    if x.shape == tuple(result):
        return x
    if len(result) == len(shape) - len(dropped):
        return squeeze(x, dimensions=tuple(dropped))
    return reshape(x, new_sizes=tuple(result))


def starts_of(starts: Sequence[int], traced: dict[int, Any]) -> list[Any]:
    """The starts with the traced ones in place, all of these in one dtype."""
    if len({i.dtype for i in traced.values()}) > 1:
        dtype = as_dtype(int)
        traced = {d: i if i.dtype == dtype else convert_element_type(i, new_dtype=dtype) for d, i in traced.items()}
    return [traced.get(d, a) for d, a in enumerate(starts)]


def index_dtype(shape: tuple[int, ...]) -> np.dtype:
    """The dtype of index tables: 32 bits, unless an axis is longer."""
    return np.dtype(np.int64 if max(shape, default=0) >= 2**31 else np.int32)


# Arrays of integers


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
                columns[p.axis] = p.start + p.stride * np.arange(p.size), (len(rows),)
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
        build = _table if any(isinstance(i, Tracer) for i in values) else _table_at_once
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
        elif table.size <= SMALL:
            # Clamped, as all modes do that do not drop: indices out of bounds may repeat others then.
            extents = [self.operand_shape[d] for d in self.columns]
            limits = np.asarray(extents, dtype) - 1
            inside = np.clip(table, 0, limits)
            numbers = np.ravel_multi_index([c.ravel() for c in np.moveaxis(inside, -1, 0)], extents)
            steps = np.diff(numbers)
            in_order = bool(np.all(steps >= 0) and np.array_equal(inside, table))
            unique = bool(np.all(steps > 0)) or len(np.unique(numbers)) == numbers.size
        return shared_constant(table), in_order, unique


def broadcast_points(points: Sequence[Point]) -> tuple[int, ...]:
    """The shape to which the indices of all points broadcast."""
    try:
        return np.broadcast_shapes(*[np.shape(p.index) for p in points])
    except ValueError:
        listed = ", ".join([str(np.shape(p.index)) for p in points])
        raise ArgumentError(
            f"indexing received index arrays of shapes {listed}, which do not broadcast.",
            "Index arrays are broadcast against each other: together they name elements.",
            "For a grid of rows and columns, give them axes of their own: x[rows[:, None], columns].",
        ) from None


def _table(values: tuple, specs: tuple, rows: tuple[int, ...], dtype: Any) -> Any:
    """The table of indices: the values broadcast to the rows and side by side, with traced ones counted from 0."""
    columns = []
    for i, (size, dims, rules) in zip(values, specs):
        i = counted_from_zero(i, size, dtype, rules) if size else i
        columns.append(broadcast_in_dim(i, shape=(*rows, 1), broadcast_dimensions=dims))
    return columns[0] if len(columns) == 1 else concatenate(*columns, dimension=len(rows))


@partial(jax.jit, static_argnums=(1, 2, 3))
def _table_at_once(values: tuple, specs: tuple, rows: tuple[int, ...], dtype: Any) -> Any:
    """The same for concrete arrays, in one compiled step."""
    with evaluating():
        return _table(values, specs, rows, dtype)


def counted_from_zero(i: Any, n: int, dtype: Any, rules: Bounds) -> Any:
    """Traced indices of an axis of size n in the given dtype, without negative ones that count from the end."""
    signed = i.dtype.kind == "i"
    if i.dtype.itemsize < dtype.itemsize or (signed and i.dtype.itemsize == dtype.itemsize):
        i = in_dtype(i, dtype)  # before the size of the axis is added, which a small dtype has no room for
    if rules.modulo:
        i = rem(i, n)
    if signed and (rules.wrap or rules.modulo):
        i = select_n(lt(i, 0), i, add(i, n))
    if rules.mode == CLIP and i.dtype != dtype:
        i = min_(i, n - 1)  # a large one would be another number in fewer bits
        i = max_(i, 0) if signed else i
    return in_dtype(i, dtype)


def in_dtype(x: Any, dtype: Any) -> Any:
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


# Reading


GETITEM = Bounds(PROMISE, True, False, True)


def getitem(x: Any, index: Any) -> Any:
    """`x[index]` for any index of NumPy; arrays in it may be traced, masks may not. Out of bounds, indices are clamped.

    Raises IndexError for an index that does not fit the axes, and, where JAX's setting jax_check_static_indices is set,
    for an integer of Python that is out of bounds; ArgumentError for what is no index,
    ConcretizationError for traced masks and traced bounds of slices.
    """
    return read(x, index, GETITEM)


def read(
    x: Any,
    index: Any,
    rules: Bounds,
    fill_value: Any = None,
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
) -> Any:
    """`x[index]` by these rules; fill_value is what FILL reads out of bounds."""
    x = array(x, "getitem")
    places = places_of(index, x.shape, rules)
    if is_simple(places, x.shape, rules):
        return read_simple(x, places, rules.wrap)
    layout = Layout(places, x.shape)
    if 0 in layout.shape:
        return with_weakness(zeros(shape=layout.shape, dtype=x.dtype), type_of(x).weak_type)
    for axis in layout.columns:
        if x.shape[axis] == 0:
            raise IndexError(f"an index is out of bounds for axis {axis} with size 0")
    table, in_order, unique = layout.table(rules)
    out = gather(
        x,
        table,
        dimension_numbers=layout.numbers,
        slice_sizes=layout.sizes,
        indices_are_sorted=bool(indices_are_sorted or in_order),
        unique_indices=bool(unique_indices or unique),
        mode=rules.mode,
        fill_value=static_fill(fill_value, x.dtype) if rules.mode == FILL else None,
    )
    if layout.backwards:
        out = rev(out, dimensions=layout.backwards)
    return out if layout.shape == layout.inner else reshape(out, new_sizes=layout.shape)


def static_fill(value: Any, dtype: Any) -> Any:
    """A fill value as a parameter: a Python scalar, always the same nan."""
    if value is None:
        return None
    number = np.asarray(value).astype(dtype).item()
    return np.nan if number != number and type(number) is float else number


# Writing


class At:
    """`x.at`: indexing it gives an IndexUpdate, whose methods return changed copies of x."""

    __slots__ = ("array",)

    def __init__(self, array: Any):
        self.array = array

    def __getitem__(self, index: Any) -> IndexUpdate:
        return IndexUpdate(self.array, index)

    def __repr__(self) -> str:
        return f"At({self.array!r})"


def at(x: Any) -> At:
    """`x.at`, for an array or a tracer."""
    return At(x)


class IndexUpdate:
    """`x.at[index]`. Values are broadcast to the shape of x[index] and cast to the dtype of x.

    All methods take the options

    - mode: what happens to indices out of bounds. "drop" or "fill" (the default of updates; reading gives
      `fill_value`), "clip" to the last element, "wrap" around, or "promise_in_bounds" (the default of `get`).
    - indices_are_sorted, unique_indices: promises that may make it faster, and for `multiply` differentiable.
    - wrap_negative_indices: whether negative indices count from the end.
    """

    __slots__ = ("array", "index")

    def __init__(self, array: Any, index: Any):
        self.array = array
        self.index = index

    def __repr__(self) -> str:
        return f"IndexUpdate({self.array!r}, {self.index!r})"

    def get(
        self,
        *,
        indices_are_sorted: bool = False,
        unique_indices: bool = False,
        mode: Any = None,
        fill_value: Any = None,
        out_sharding: Any = None,
        wrap_negative_indices: bool = True,
        strategy: str = "auto",
    ) -> Any:
        """x[index], with a choice of what is read out of bounds; "fill" gives nan, or the smallest integer."""
        refuse("ndarray.at", "out_sharding", out_sharding)
        refuse("ndarray.at", "strategy", strategy, "auto")
        rules = bounds(mode, PROMISE, wrap_negative_indices)._replace(checked=True)
        return read(self.array, self.index, rules, fill_value, indices_are_sorted, unique_indices)

    def set(self, values: Any, **options: Any) -> Any:
        """x with the values at the index."""
        return write(scatter, self.array, self.index, values, **options)

    def add(self, values: Any, **options: Any) -> Any:
        """x with the values added at the index; those of repeated indices add up."""
        return write(scatter_add, self.array, self.index, values, **options)

    def subtract(self, values: Any, **options: Any) -> Any:
        """x with the values subtracted at the index, repeatedly at repeated indices."""
        return write(scatter_sub, self.array, self.index, values, **options)

    def multiply(self, values: Any, **options: Any) -> Any:
        """x multiplied by the values at the index, repeatedly at repeated indices."""
        return write(scatter_mul, self.array, self.index, values, **options)

    mul = multiply

    def divide(self, values: Any, **options: Any) -> Any:
        """x divided by the values at the index, repeatedly at repeated indices."""
        return divide(self.array, self._factors(values, options))

    def power(self, values: Any, **options: Any) -> Any:
        """x to the power of the values at the index, repeatedly at repeated indices."""
        return power(self.array, self._factors(values, options))

    def min(self, values: Any, **options: Any) -> Any:
        """The smaller of x and the values at the index."""
        return write(scatter_min, self.array, self.index, values, **options)

    def max(self, values: Any, **options: Any) -> Any:
        """The larger of x and the values at the index."""
        return write(scatter_max, self.array, self.index, values, **options)

    def apply(
        self,
        func: Callable[[Any], Any],
        *,
        indices_are_sorted: bool = False,
        unique_indices: bool = False,
        mode: Any = None,
        wrap_negative_indices: bool = True,
    ) -> Any:
        """x with a function of one number applied to each element at the index, repeatedly at repeated indices.

        Raises ArgumentError if `func` does not return one number of the dtype of x.
        """
        x = array(self.array, "ndarray.at")
        rules = bounds(mode, FILL, wrap_negative_indices)
        layout = Layout(places_of(self.index, x.shape, rules), x.shape)
        program, constants = as_program(func, type_of(x))
        if 0 in layout.shape or 0 in x.shape:
            return x
        table, in_order, unique = layout.table(rules)
        return apply_at(
            x,
            table,
            program,
            constants,
            dimension_numbers=scatter_numbers(layout.numbers),
            update_shape=layout.inner,
            indices_are_sorted=bool(indices_are_sorted or in_order),
            unique_indices=bool(unique_indices or unique),
            mode=rules.mode,
        )

    def _factors(self, values: Any, options: dict[str, Any]) -> Any:
        """The values at the index, and 1 elsewhere."""
        t = type_of(self.array)
        ones = broadcast_in_dim(t.dtype.type(1), shape=t.shape, broadcast_dimensions=())
        return write(scatter_mul, with_weakness(ones, t.weak_type), self.index, values, **options)


def write(
    operation: Any,
    x: Any,
    index: Any,
    values: Any,
    *,
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
    mode: Any = None,
    out_sharding: Any = None,
    wrap_negative_indices: bool = True,
) -> Any:
    """`x` with an operation of scatter between what stands at the index and the values."""
    refuse("ndarray.at", "out_sharding", out_sharding)
    x = array(x, "ndarray.at")
    kind = kind_of(x)
    rules = bounds(mode, FILL, wrap_negative_indices)
    places = places_of(index, x.shape, rules)
    layout = Layout(places, x.shape)
    y = values if type(values) in PYTHON_SCALARS else operand(listed(values), "ndarray.at")
    require_fit(type_of(y).shape, layout.shape)
    if 0 in layout.shape or 0 in x.shape:
        return x
    x, y = in_one_dtype(operation, x, y)
    y = arranged(y, layout)
    # No rows, and nothing out of bounds: a block at a place that is known.
    if operation is scatter and layout.known and not layout.rows and is_simple(places, x.shape, rules):
        out = write_block(x, y, places, layout)
    else:
        table, in_order, unique = layout.table(rules)
        out = operation(
            x,
            table,
            y,
            dimension_numbers=scatter_numbers(layout.numbers),
            indices_are_sorted=bool(indices_are_sorted or in_order),
            unique_indices=bool(unique_indices or unique),
            mode=rules.mode,
        )
    return with_weakness(cast(out, kind), kind[1])


def listed(values: Any) -> Any:
    """Values as the user gave them, a list of numbers as an array."""
    return jnp.asarray(values) if isinstance(values, (list, tuple)) else values


def require_fit(given: tuple[int, ...], shape: tuple[int, ...]) -> None:
    """Raise ArgumentError unless values of one shape broadcast to the other."""
    if len(given) <= len(shape) and all(m in (1, n) for m, n in zip(reversed(given), reversed(shape))):
        return
    raise ArgumentError(
        f"x.at[index] received values of shape {given} for x[index] of shape {shape}.",
        "Values are broadcast to the shape of what they replace.",
        "Correct the values or the index; v[:, None] adds an axis.",
    )


def in_one_dtype(operation: Any, x: Any, y: Any) -> tuple[Any, Any]:
    """Operand and values in the dtype in which they meet: that of x, unless the values do not fit into it."""
    if is_key(x.dtype) and type_of(y).dtype == x.dtype:
        return x, y
    joint = join([kind_of(x), kind_of(y)])
    if joint[0] != x.dtype:
        warnings.warn(
            f"x.at[index] received values of {type_of(y).dtype.name}, which do not fit into an array of {x.dtype.name}:"
            " the result is cast back. JAX will make this an error; convert the values or the array.",
            FutureWarning,
            stacklevel=4,
        )
    x = cast(x, joint)
    if x.dtype.kind == "b" and operation in (scatter_add, scatter_sub, scatter_mul):
        raise ArgumentError(
            f"x.at[index] received booleans for {operation.name}.",
            "Booleans have no arithmetic.",
            "Convert x to integers, or use max (or) and min (and).",
        )
    if type(y) in PYTHON_SCALARS:
        return x, wrapped(scalar_like(y, x.dtype), x.dtype)
    return x, cast(y, (x.dtype, False))


def arranged(y: Any, layout: Layout) -> Any:
    """Values as a scatter takes them: all axes but the new ones, in the operand's direction."""
    if not type_of(y).shape:
        return broadcast_in_dim(y, shape=layout.inner, broadcast_dimensions=())
    y = broadcast(y, layout.shape)
    if layout.shape != layout.inner:
        y = reshape(y, new_sizes=layout.inner)
    return rev(y, dimensions=layout.backwards) if layout.backwards else y


def write_block(x: Any, y: Any, places: Sequence[Place], layout: Layout) -> Any:
    """`x` with a contiguous block at a static place replaced."""
    if layout.sizes == x.shape:
        return y if y.shape == x.shape else reshape(y, new_sizes=x.shape)
    starts = [0] * len(x.shape)
    for p in places:
        if isinstance(p, Span):
            starts[p.axis] = p.start
        elif p is not None:
            starts[p.axis] = p.index
    return dynamic_update_slice(x, y if y.shape == layout.sizes else reshape(y, new_sizes=layout.sizes), *starts)


def with_weakness(x: Any, weak: bool) -> Any:
    """`x` with a dtype that is weak, or is not."""
    return x if type_of(x).weak_type == weak else convert_element_type(x, new_dtype=x.dtype, weak_type=weak)


# take


def integer_indices(indices: Any, function: str) -> Any:
    """Indices that a function received. Raises ArgumentError unless they are integers."""
    indices = operand(indices, function)
    if type_of(indices).dtype.kind not in "iu":
        raise ArgumentError(
            f"minijvp.numpy.{function} received indices of type {type_of(indices)!r}.",
            "Indices are integers.",
            "Convert them: indices.astype(int).",
        )
    return indices


@surface(jnp.take)
def take(
    a: Any,
    indices: Any,
    axis: int | None = None,
    out: None = None,
    mode: str | None = None,
    unique_indices: bool = False,
    indices_are_sorted: bool = False,
    fill_value: Any = None,
) -> Any:
    """The elements of `a` at `indices` along `axis`, or of the flattened `a`.

    Out of bounds, mode "fill" (the default) gives `fill_value` (nan, or the smallest integer), "clip" the nearest
    element, "wrap" counts modulo the size. Negative indices count from the end, except for "clip".

    Raises ArgumentError for indices that are not integers and for unknown modes, IndexError for an empty axis.
    """
    refuse("take", "out", out)
    a, indices = array(a, "take"), operand(indices, "take")
    if type_of(indices).dtype.kind == "b":
        indices = convert_element_type(array(indices, "take"), new_dtype=np.dtype(np.int32))
    indices = integer_indices(indices, "take")
    if mode not in (None, "fill", "clip", "wrap"):
        raise ArgumentError(
            f"minijvp.numpy.take received mode={mode!r}.",
            "Its modes are 'fill', 'clip' and 'wrap'; an error at run time is not possible.",
            "Choose one of them, or leave it out.",
        )
    if axis is None:
        a, axis = reshape(a, new_sizes=(type_of(a).size,)), 0
    axis = normalize_axis(axis, a.ndim, "take")
    rules = bounds(mode, FILL, wrap=mode != "clip")
    return read(a, (slice(None),) * axis + (indices,), rules, fill_value, indices_are_sorted, unique_indices)


WRAPS = inspect.signature(jnp.take_along_axis).parameters["wrap_negative_indices"].default
"""Whether negative indices of take_along_axis count from the end: None, in JAX 0.10, for all modes but one."""
bridged_take_along_axis = from_jax(jnp.take_along_axis)


@surface(jnp.take_along_axis)
def take_along_axis(
    arr: Any,
    indices: Any,
    axis: int | None = -1,
    mode: Any = None,
    fill_value: Any = None,
    *,
    wrap_negative_indices: bool | None = WRAPS,
) -> Any:
    """`arr[..., indices[..., i, ...], ...]` along one axis (None: of the flattened array); other axes broadcast.

    Out of bounds, mode "fill" (the default) gives `fill_value` (nan, or the smallest integer), "clip" the nearest
    element; "one_hot" multiplies by a matrix of ones and zeros. Negative indices count from the end with
    `wrap_negative_indices`. Of an empty axis, all results are 0.

    Raises ArgumentError for indices that are not integers or whose shape does not fit.
    """
    wrap = mode != "promise_in_bounds" if wrap_negative_indices is None else wrap_negative_indices
    if isinstance(mode, str) and mode == "one_hot":
        return bridged_take_along_axis(arr, indices, axis, mode, wrap_negative_indices=wrap)
    arr = array(arr, "take_along_axis")
    indices = integer_indices(indices, "take_along_axis")
    shape = type_of(indices).shape
    if axis is None:
        arr, axis = reshape(arr, new_sizes=(type_of(arr).size,)), 0
    if len(shape) != arr.ndim:
        raise ArgumentError(
            f"minijvp.numpy.take_along_axis received indices of shape {shape} for an array of shape {arr.shape}.",
            "Both need the same number of axes; without an axis, indices have one.",
            "Add axes of size 1 to the indices.",
        )
    axis = normalize_axis(axis, arr.ndim, "take_along_axis")
    others = [(n, m) for d, (n, m) in enumerate(zip(arr.shape, shape)) if d != axis]
    if any(n != m and 1 not in (n, m) for n, m in others):
        raise ArgumentError(
            f"minijvp.numpy.take_along_axis received indices of shape {shape} for an array of shape {arr.shape}.",
            f"All axes but axis {axis} must agree, or one of them be 1.",
            "Correct the shape of the indices.",
        )
    rules = bounds(mode, FILL, wrap)
    result = tuple([m if d == axis or n == 1 else n for d, (n, m) in enumerate(zip(arr.shape, shape))])
    if 0 in result or arr.shape[axis] == 0:
        return with_weakness(zeros(shape=result, dtype=arr.dtype), type_of(arr).weak_type)
    i = array(indices, "take_along_axis")
    i = counted_from_zero(i, arr.shape[axis], index_dtype(arr.shape), rules)
    # Axes that only the array has are windows; those that only the indices have are rows; the common ones are batches.
    windows = [d for d, (n, m) in enumerate(zip(arr.shape, shape)) if d != axis and m == 1 and n > 1]
    alone = [d for d, (n, m) in enumerate(zip(arr.shape, shape)) if d != axis and n == 1 and m > 1]
    kept = [d for d in range(arr.ndim) if d not in alone]
    rows = [d for d in range(arr.ndim) if d not in windows]
    common = [d for d in kept if d in rows and d != axis]
    if alone:
        arr = squeeze(arr, dimensions=tuple(alone))
    numbers = lax.GatherDimensionNumbers(
        offset_dims=tuple(windows),
        collapsed_slice_dims=(kept.index(axis),),
        start_index_map=(kept.index(axis),),
        operand_batching_dims=tuple([kept.index(d) for d in common]),
        start_indices_batching_dims=tuple([rows.index(d) for d in common]),
    )
    return gather(
        arr,
        reshape(i, new_sizes=(*[shape[d] for d in rows], 1)),
        dimension_numbers=numbers,
        slice_sizes=tuple([result[d] if d in windows else 1 for d in kept]),
        indices_are_sorted=False,
        unique_indices=False,
        mode=rules.mode,
        fill_value=static_fill(fill_value, arr.dtype) if rules.mode == FILL else None,
    )
