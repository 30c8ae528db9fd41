"""Communication along the named axis of a vmap. Trees of arrays are handled leaf by leaf."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from minijvp.core.types import PYTHON_SCALARS, is_inexact, type_of
from minijvp.errors import ArgumentError
from minijvp.numpy.promotion import array, cast, converted, inexact_kind, kind_of, normalize_axis
from minijvp.operations import collectives as ops
from minijvp.operations import elementwise
from minijvp.operations.families import reshape
from minijvp.operations.shape import move_axis


def names_of(axis_name: Any) -> tuple:
    """One axis name, or several."""
    names = tuple(axis_name) if isinstance(axis_name, (tuple, list)) else (axis_name,)
    for name in names:
        ops.axis_size(name)
    return names


def along(primitive: Callable[..., Any], x: Any, axis_name: Any, function: str) -> Any:
    """A primitive along one axis after the other, for every leaf. The results are strongly typed."""
    names = names_of(axis_name)

    def leaf(v: Any) -> Any:
        v = array(v, function)
        v = converted(v, np.dtype(np.int32) if function == "psum" and v.dtype == np.bool_ else v.dtype)
        for name in names:
            v = primitive(v, axis_name=name)
        return v

    return jax.tree_util.tree_map(leaf, x)


def axis_size(axis_name: Any) -> int:
    """The number of lanes of the surrounding vmap with this axis name; of several names, the product.

    Raises ArgumentError if no such axis is bound.
    """
    size = 1
    for name in names_of(axis_name):
        size *= ops.axis_size(name)
    return size


def psum(x: Any, axis_name: Any) -> Any:
    """The sum over all lanes of the named axis, the same in every lane; of a Python scalar, a Python scalar.

    Raises ArgumentError if no such axis is bound.

    >>> import minijvp, minijvp.numpy as mnp
    >>> minijvp.vmap(lambda x: x / minijvp.lax.psum(x, 'i'), axis_name='i')(mnp.array([1.0, 3.0])).tolist()
    [0.25, 0.75]
    """
    if type(x) in PYTHON_SCALARS:
        return x * axis_size(axis_name)
    return along(ops.psum, x, axis_name, "psum")


def pmean(x: Any, axis_name: Any) -> Any:
    """The mean over all lanes of the named axis. Raises ArgumentError if no such axis is bound."""
    n = axis_size(axis_name)

    def leaf(v: Any) -> Any:
        v = array(psum(v, axis_name), "pmean")
        return elementwise.div(v if is_inexact(v.dtype) else cast(v, inexact_kind(kind_of(v))), float(n))

    return jax.tree_util.tree_map(leaf, x)


def pmax(x: Any, axis_name: Any) -> Any:
    """The largest value over all lanes of the named axis. Raises ArgumentError if no such axis is bound."""
    return along(ops.pmax, x, axis_name, "pmax")


def pmin(x: Any, axis_name: Any) -> Any:
    """The smallest value over all lanes of the named axis. Raises ArgumentError if no such axis is bound."""
    return along(ops.pmin, x, axis_name, "pmin")


def all_gather(x: Any, axis_name: Any, *, axis: int = 0, tiled: bool = False) -> Any:
    """The values of all lanes, along a new axis, or one after the other along an axis they have (`tiled`).

    Raises ArgumentError if no such axis is bound.
    """
    if len(names_of(axis_name)) != 1:
        raise ArgumentError(
            f"all_gather received the axis names {axis_name!r}.", "It works along one.", "Nest two calls."
        )
    (name,) = names_of(axis_name)
    n = ops.axis_size(name)

    def leaf(v: Any) -> Any:
        v = array(v, "all_gather")
        gathered = ops.all_gather(v, axis_name=name, axis_size=n)
        place = normalize_axis(axis, len(type_of(gathered).shape) - tiled, "all_gather")
        gathered = move_axis(gathered, 0, place)
        if not tiled:
            return gathered
        shape = type_of(v).shape
        return reshape(gathered, new_sizes=(*shape[:place], n * shape[place], *shape[place + 1 :]))

    return jax.tree_util.tree_map(leaf, x)


def axis_index(axis_name: Any) -> Any:
    """The number of the lane along the named axis (int32); of several names, counted with the last one fastest.

    Raises ArgumentError if no such axis is bound.
    """
    out = None
    for name in names_of(axis_name):
        number = ops.axis_index(axis_name=name)
        out = number if out is None else out * ops.axis_size(name) + number
    return out


def ppermute(x: Any, axis_name: Any, perm: Sequence[tuple[int, int]]) -> Any:
    """The value of the lane that `perm`, pairs of source and destination, sends here; zeros where none does.

    Raises ArgumentError if no such axis is bound, or a lane is named twice.
    """
    (name,) = names_of(axis_name)
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


def pshuffle(x: Any, axis_name: Any, perm: Sequence[int]) -> Any:
    """The value of lane `perm[i]` in lane i. Raises ArgumentError as ppermute does."""
    return ppermute(x, axis_name, [(source, i) for i, source in enumerate(perm)])
