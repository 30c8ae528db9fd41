"""What an index says: it is read into places, in the order of the result.

A place is None (a new axis), a Span (a slice of one axis) or a Point (an integer, an array of integers, or a part of a
mask).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import lax
from jax.core import max_dim, min_dim

from minijvp.core.tracer import Tracer
from minijvp.core.tracing import as_constant
from minijvp.core.types import Array, type_of
from minijvp.dimensions import as_size, decided, is_symbolic
from minijvp.errors import ArgumentError, ConcretizationError, NonConcreteBooleanIndexError
from minijvp.numpy.promotion import known_values

Mode = lax.GatherScatterMode
PROMISE, FILL, CLIP = Mode.PROMISE_IN_BOUNDS, Mode.FILL_OR_DROP, Mode.CLIP
MODES = {"promise_in_bounds": PROMISE, "fill": FILL, "drop": FILL, "clip": CLIP, "wrap": PROMISE}


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
            "Choose one of them, or omit it.",
        )
    return Bounds(MODES[mode], wrap, mode == "wrap")


class UnfitIndexError(ArgumentError, IndexError):
    """An index does not fit the axes of an array."""


def no_place(what: str, why: str) -> UnfitIndexError:
    """The error for an index that does not fit."""
    return UnfitIndexError(what, why, "Correct the index, or reshape the array (x[None] adds an axis).")


def out_of_bounds(what: str, axis: int, n: int) -> UnfitIndexError:
    """The error for an index that names no element."""
    return no_place(f"{what} is out of bounds for axis {axis} with size {n}.", "There is no such element.")


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
        raise no_place(
            "an index can only have a single ellipsis ('...').", "It stands for all axes that are not named."
        )
    if taken > len(shape):
        raise no_place(
            f"too many indices: the array has {len(shape)} axes, and {taken} were indexed.",
            "Each axis takes one index.",
        )
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
            places.append(Point(axis, resolved(e, axis, shape[axis], rules), k))
            axis += 1
        elif not e.ndim:
            places.append(Point(NO_AXIS, np.zeros(int(e), np.int64), k))
        else:
            if e.shape != shape[axis : axis + e.ndim]:
                what = f"a boolean index of shape {e.shape} for axes of shape {shape[axis : axis + e.ndim]}."
                raise no_place(what, "It says for each element whether it is taken.")
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
        return as_size(e)
    except TypeError:
        raise not_an_index(f"{e!r:.100} of type {type(e).__name__}") from None


def is_static(index: Any) -> bool:
    """Whether it is one integer that is no array: of Python, or symbolic."""
    return type(index) is int or is_symbolic(index)


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


def concrete_mask(mask: Array) -> np.ndarray:
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
        given = [b if b is None else as_size(b) for b in (s.start, s.stop, s.step)]
    except ConcretizationError:
        raise ConcretizationError(
            f"x[a:b] received a traced bound, for axis {axis}.",
            "The size of the result would depend on values, and shapes must be known while tracing.",
            "Use lax.dynamic_slice (lax.dynamic_slice_in_dim(x, a, size, axis)), whose start may be traced.",
        ) from None
    if any(map(is_symbolic, (n, *given))):
        start, size, step = symbolic_range(given[0], given[1], given[2], n)
    else:
        start, stop, step = slice(*given).indices(n)
        size = len(range(start, stop, step))
    if decided(lambda: size <= 1):
        return Span(axis, start if size else 0, size, 1, False)
    return Span(axis, start if step > 0 else start + (size - 1) * step, size, abs(step), step < 0)


def symbolic_range(start: Any, stop: Any, step: Any, n: Any) -> tuple[Any, Any, Any]:
    """Where a slice of an axis of n elements begins, how many it has, and its step; some of it is symbolic."""
    step = 1 if step is None else step
    low, high = (0, n) if step > 0 else (-1, n - 1)

    def clamped(bound: Any) -> Any:
        return min_dim(max_dim(bound + n if decided(lambda: bound < 0) else bound, low), high)

    first = (low if step > 0 else high) if start is None else clamped(start)
    last = (high if step > 0 else low) if stop is None else clamped(stop)
    distance = last - first if step > 0 else first - last
    return first, max_dim((distance + abs(step) - 1) // abs(step), 0), step


def indices_are_checked() -> bool:
    """Whether JAX is told to hold integers of Python in an index to the bounds."""
    return jax.config.jax_check_static_indices  # type: ignore[attr-defined]


def resolved(index: Any, axis: int, n: int, rules: Bounds) -> Any:
    """The index, if Python or NumPy knows it: counted from 0, and clamped where a single integer may be."""
    if is_static(index):
        if n == 0:
            raise out_of_bounds("an index", axis, n)
        if rules.modulo:
            return index % n
        given = index
        if decided(lambda: index < 0) and rules.wrap:
            index += n
        if is_symbolic(index) or is_symbolic(n):
            return min_dim(max_dim(index, 0), n - 1) if rules.mode in (PROMISE, CLIP) else index
        if not 0 <= index < n and rules.checked and rules.mode == PROMISE and indices_are_checked():
            raise out_of_bounds(f"index {given}", axis, n)
        return min(max(index, 0), n - 1) if rules.mode in (PROMISE, CLIP) else index
    if not isinstance(index, np.ndarray):
        return index
    if is_symbolic(n):
        return as_constant(index)  # to be counted from 0 when the program runs
    index = index.astype(np.int64)
    if rules.modulo:
        return index % max(n, 1)
    if rules.wrap:
        index = np.where(index < 0, index + n, index)
    # Far outside is as good as just outside, and fits into 32 bits.
    return np.clip(index, -1, n)
