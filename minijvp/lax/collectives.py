"""Communication along the named axis of a vmap. Trees of arrays are handled leaf by leaf."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from minijvp.core.types import PYTHON_SCALARS, Array, is_inexact, type_of
from minijvp.errors import ArgumentError
from minijvp.numpy.promotion import (
    array,
    cast,
    converted,
    inexact_kind,
    kind_of,
    normalize_axes,
    normalize_axis,
    refuse,
)
from minijvp.operations import collectives as ops
from minijvp.operations import elementwise, varying
from minijvp.operations.families import reduce_sum, reshape
from minijvp.operations.reduction import reduce_max, reduce_min
from minijvp.operations.shape import move_axis
from minijvp.tracebacks import border

__all__ = ["all_gather", "axis_index", "axis_size", "pmax", "pmean", "pmin", "ppermute", "pshuffle", "psum"]


def names_of(axis_name: Any) -> tuple:
    """One axis name, or several."""
    names = as_names(axis_name)
    for name in names:
        ops.axis_size(name)
    return names


def as_names(axis_name: Any) -> tuple:
    """One axis name, or several, that are not known to be bound."""
    return tuple(axis_name) if isinstance(axis_name, (tuple, list)) else (axis_name,)


def single_name(axis_name: Any, function: str) -> Any:
    """The one axis name; ArgumentError for several."""
    names = names_of(axis_name)
    if len(names) != 1:
        raise ArgumentError(
            f"{function} received the axis names {axis_name!r}.", "It works along one.", "Nest two calls."
        )
    return names[0]


def one_axis(axis_name: Any, function: str) -> Any:
    """The one axis name, or a tuple of those of a mesh, which are as one; ArgumentError for others."""
    names = ops.together(names_of(axis_name))
    return names[0] if len(names) == 1 else single_name(axis_name, function)


def refuse_groups(function: str, axis_index_groups: Any) -> None:
    """Raise ArgumentError for groups of lanes, which a vmap does not have in JAX either."""
    refuse(function, "axis_index_groups", axis_index_groups, module="lax")


def along(
    primitive: Callable[..., Any], reduction: Callable[..., Any], x: Any, axis_name: Any, axis_index_groups: Any
) -> Any:
    """A reduction along one axis after the other, for every leaf. The results are strongly typed.

    As in JAX, an integer that is the name of no axis is an axis that the leaf has, and goes away.
    """
    function = primitive.__name__
    refuse_groups(function, axis_index_groups)
    given = as_names(axis_name)
    positions = [a for a in given if type(a) is int and not ops.is_bound(a)]
    names = names_of([a for a in given if a not in positions])

    def leaf(v: Array) -> Array:
        v = array(v, function)
        v = converted(v, np.dtype(np.int32) if function == "psum" and v.dtype == np.bool_ else v.dtype)
        if positions:
            v = reduction(v, axes=normalize_axes(positions, len(type_of(v).shape), function))
        for name in ops.together(names):
            v = primitive(v, axis_name=name)
        return v

    return jax.tree_util.tree_map(leaf, x)


@border
def axis_size(axis_name: Any) -> int:
    """The number of lanes of the surrounding vmap with this axis name; of several names, the product.

    Raises ArgumentError if no such axis is bound.
    """
    size = 1
    for name in names_of(axis_name):
        size *= ops.axis_size(name)
    return size


@border
def psum(x: Any, axis_name: Any, *, axis_index_groups: None = None) -> Any:
    """The sum over all lanes of the named axis, the same in every lane; of a Python scalar, a Python scalar.

    Raises ArgumentError if no such axis is bound, and for `axis_index_groups`, which only devices have, and Python
    scalars, of which only the number counts.

    >>> import minijvp, minijvp.numpy as mnp
    >>> minijvp.vmap(lambda x: x / minijvp.lax.psum(x, 'i'), axis_name='i')(mnp.array([1.0, 3.0])).tolist()
    [0.25, 0.75]
    """

    def leaf(v: Array) -> Array:
        if type(v) in PYTHON_SCALARS:
            return v * (
                axis_size(axis_name)
                if axis_index_groups is None
                else group_size(axis_index_groups, axis_size(axis_name))
            )
        return along(ops.psum, reduce_sum, v, axis_name, axis_index_groups)

    return jax.tree_util.tree_map(leaf, x)


def group_size(axis_index_groups: Any, n: int) -> int:
    """How many of n lanes each group has; ArgumentError if they differ, or do not have each lane once."""
    sizes = {len(group) for group in axis_index_groups}
    if len(sizes) != 1 or sorted([i for group in axis_index_groups for i in group]) != list(range(n)):
        raise ArgumentError(
            f"psum of a Python number along {n} lanes received axis_index_groups={axis_index_groups!r}.",
            "It is a Python number again, the same in all lanes, and each lane is in one group.",
            "Make groups of one size, of all lanes.",
        )
    return sizes.pop()


@border
def pmean(x: Any, axis_name: Any, *, axis_index_groups: None = None) -> Any:
    """The mean over all lanes of the named axis. Raises ArgumentError as psum does."""
    refuse_groups("pmean", axis_index_groups)
    n = axis_size(axis_name)

    def leaf(v: Array) -> Array:
        v = array(psum(v, axis_name), "pmean")
        return elementwise.div(v if is_inexact(v.dtype) else cast(v, inexact_kind(kind_of(v))), float(n))

    return jax.tree_util.tree_map(leaf, x)


@border
def pmax(x: Any, axis_name: Any, *, axis_index_groups: None = None) -> Any:
    """The largest value over all lanes of the named axis. Raises ArgumentError as psum does."""
    return along(ops.pmax, reduce_max, x, axis_name, axis_index_groups)


@border
def pmin(x: Any, axis_name: Any, *, axis_index_groups: None = None) -> Any:
    """The smallest value over all lanes of the named axis. Raises ArgumentError as psum does."""
    return along(ops.pmin, reduce_min, x, axis_name, axis_index_groups)


@border
def all_gather(
    x: Any, axis_name: Any, *, axis_index_groups: None = None, axis: int = 0, tiled: bool = False, to: str = "varying"
) -> Any:
    """The values of all lanes, along a new axis, or one after the other along an axis they have (`tiled`).

    In shard_map, where types say what varies between devices, the result does, or not, with `to="invarying"`. Its
    cotangent is then known to be the same everywhere, and each device takes its part, where else they send and add.

    Raises ArgumentError if no such axis is bound, for `axis_index_groups`, and for another `to`.
    """
    refuse_groups("all_gather", axis_index_groups)
    if to not in ("varying", "invarying"):
        raise ArgumentError(
            f"all_gather received to={to!r}.",
            "Its result varies between devices, or does not: 'varying', or 'invarying'.",
            "Pass one of these; with 'varying', the cotangents of all devices are added, as those of 'reduced' are.",
        )
    name = one_axis(axis_name, "all_gather")
    n = ops.axis_size(name)

    def leaf(v: Array) -> Array:
        v = array(v, "all_gather")
        gathered = varying.gathered(v, name, n, to == "invarying")
        place = normalize_axis(axis, len(type_of(gathered).shape) - tiled, "all_gather")
        gathered = move_axis(gathered, 0, place)
        if not tiled:
            return gathered
        shape = type_of(v).shape
        return reshape(gathered, new_sizes=(*shape[:place], n * shape[place], *shape[place + 1 :]))

    return jax.tree_util.tree_map(leaf, x)


@border
def axis_index(axis_name: Any) -> Array:
    """The number of the lane along the named axis (int32); of several names, counted with the last one fastest.

    Raises ArgumentError if no such axis is bound.
    """
    out = None
    for name in names_of(axis_name):
        number = ops.lane_number(name)
        out = number if out is None else out * ops.axis_size(name) + number
    return out


@border
def ppermute(x: Any, axis_name: Any, perm: Sequence[tuple[int, int]]) -> Any:
    """The value of the lane that `perm`, pairs of source and destination, sends here; zeros where none does.

    Raises ArgumentError if no such axis is bound, or a lane is named twice.
    """
    name = one_axis(axis_name, "ppermute")
    pairs = tuple((int(source), int(destination)) for source, destination in perm)
    sources, destinations = {s for s, _ in pairs}, {d for _, d in pairs}
    n = ops.axis_size(name)
    if (
        len(sources) != len(pairs)
        or len(destinations) != len(pairs)
        or any(not 0 <= i < n for i in sources | destinations)
    ):
        raise ArgumentError(
            f"ppermute along {axis_name!r} of size {n} received perm={pairs}.",
            "Every lane sends to one lane at most and receives from one at most, and lanes count from 0.",
            "Name each source and each destination once.",
        )
    return jax.tree_util.tree_map(lambda v: ops.ppermute(array(v, "ppermute"), axis_name=name, perm=pairs), x)


@border
def pshuffle(x: Any, axis_name: Any, perm: Sequence[int]) -> Any:
    """The value of lane `perm[i]` in lane i. Raises ArgumentError as ppermute does."""
    return ppermute(x, axis_name, [(source, i) for i, source in enumerate(perm)])
