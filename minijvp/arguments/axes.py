"""The axes over which vmap maps: of arguments, and of results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jax.tree_util import tree_flatten

from minijvp import trees
from minijvp.core.primitive import Axis
from minijvp.core.types import ARRAY_CLASSES, is_arraylike, type_of
from minijvp.errors import ArgumentError
from minijvp.operations.families import broadcast_in_dim, leading_axis
from minijvp.operations.shape import move_axis


def repeat(axis: Axis, x: Any) -> Any:
    """A value, maybe a Python scalar, once for every lane."""
    shape = type_of(x).shape
    return broadcast_in_dim(x, shape=(axis.size, *shape), broadcast_dimensions=tuple(range(1, len(shape) + 1)))


def as_mesh_axes(spmd_axis_name: Any) -> tuple[Any, ...] | None:
    """The names of axes of a mesh as a tuple; ArgumentError for what cannot be a name."""
    if spmd_axis_name is None:
        return None
    names = tuple(spmd_axis_name) if isinstance(spmd_axis_name, (tuple, list)) else (spmd_axis_name,)
    require_axis(names, None, "spmd_axis_name")
    return names


def require_axis(name: Any, size: Any, what: str = "axis_name") -> None:
    """Raise ArgumentError for an axis_name or axis_size that is none."""
    try:
        hash(name)
    except TypeError:
        raise ArgumentError(
            f"vmap received {what}={name!r}, which cannot be hashed.",
            "An axis is looked up by its name.",
            "Pass a string.",
        ) from None
    is_size = size is None or (isinstance(size, (int, np.integer)) and type(size) is not bool and size >= 0)
    if not is_size:
        raise ArgumentError(
            f"vmap received axis_size={size!r}.",
            "It is the number of elements along the mapped axis.",
            "Pass an integer that is not negative, or omit it where an argument is mapped.",
        )


def flatten_mapped(
    fun: Callable[..., Any], in_axes: Any, args: tuple, kwargs: dict[str, Any]
) -> tuple[list[Any], Any, list[int | None], list[int]]:
    """The leaves of the arguments, their tree, the mapped axis of each (not negative) or None, and which stand in.

    Those are booleans in the place of mapped arrays of float0, which have axes and no numbers.
    """
    if isinstance(in_axes, tuple) and len(in_axes) != len(args):
        raise ArgumentError(
            f"in_axes={in_axes} has {len(in_axes)} entr{'ies' if len(in_axes) != 1 else 'y'}, but "
            f"{trees.function_name(fun)} was called with {len(args)} positional argument{'s' * (len(args) != 1)}.",
            "A tuple of in_axes has one entry for each positional argument.",
            "Add None for each argument that is not mapped, or correct the call.",
        )
    leaves, tree = tree_flatten((args, kwargs))
    where = trees.call_namer(fun, args, kwargs)
    axes = trees.flatten_prefix(in_axes, args, "in_axes")
    n = len(axes)
    axes += [0] * (len(leaves) - n)
    numberless = [i for i, x in enumerate(leaves) if axes[i] is not None and trees.is_float0(x)]
    if numberless:
        leaves = trees.replaced(leaves, numberless, [np.zeros(leaves[i].shape, bool) for i in numberless])
    leaves = mapped_leaves(leaves, axes, where)
    for i, (x, a) in enumerate(zip(leaves, axes, strict=True)):
        if a is None:
            continue
        ndim = type_of(x).ndim
        if type(a) is bool or not isinstance(a, (int, np.integer)) or not -ndim <= a < ndim:
            raise ArgumentError(
                f"vmap of {trees.function_name(fun)} cannot map axis {a!r} of {where(i)}, which is {type_of(x)!r}.",
                f"It has {ndim} ax{'e' if ndim != 1 else 'i'}s, counted from 0 (or from the end by negative numbers); "
                "in_axes takes integers and None.",
                "Correct in_axes, or say None for an argument that is the same for all."
                + (" Keyword arguments are always mapped over axis 0: pass this one by position." if i >= n else ""),
            )
        axes[i] = a % ndim
    return leaves, tree, axes, numberless


def mapped_leaves(leaves: Sequence[Any], axes: Sequence[Any], where: Callable[[int], str]) -> list[Any]:
    """The leaves as arrays; what is no array passes as it is where nothing is mapped over it."""
    others = [
        i
        for i, (x, a) in enumerate(zip(leaves, axes, strict=True))
        if a is None and type(x) not in ARRAY_CLASSES and not is_arraylike(x)
    ]
    if not others:
        return trees.as_arrays(leaves, where)
    kept = [i for i in range(len(leaves)) if i not in others]
    return trees.replaced(leaves, kept, trees.as_arrays([leaves[i] for i in kept], lambda i: where(kept[i])))


def common_size(
    fun: Callable[..., Any],
    leaves: Sequence[Any],
    axes: Sequence[int | None],
    given: int | None,
    where: Callable[[int], str],
) -> int:
    """The size of the mapped axis, which all mapped leaves must share."""
    sizes = {i: type_of(x).shape[a] for i, (x, a) in enumerate(zip(leaves, axes, strict=True)) if a is not None}
    found = set(sizes.values()) | (set() if given is None else {given})
    if len(found) == 1:
        return found.pop()
    if not found:
        raise ArgumentError(
            f"vmap of {trees.function_name(fun)} has nothing to map over: no argument has a mapped axis.",
            "The size of the mapped axis cannot be known.",
            "Give an argument an axis in in_axes, or pass axis_size.",
        )
    listed = "; ".join(f"{where(i)}: {type_of(leaves[i])!r} has {n} along axis {axes[i]}" for i, n in sizes.items())
    raise ArgumentError(
        f"vmap of {trees.function_name(fun)} got mapped axes of different sizes: {listed}"
        + (f"; axis_size={given}" if given is not None else "")
        + ".",
        "All mapped axes run together.",
        "Correct in_axes (None for an argument that is the same for all), or the arguments.",
    )


def place_axis(fun: Callable[..., Any], axis: Axis, x: Any, batched: bool, destination: Any) -> Any:
    """A result with its batch axis where out_axes wants it."""
    if destination is None:
        if batched:
            raise ArgumentError(
                f"out_axes is None for a result of {trees.function_name(fun)} that depends on mapped arguments.",
                "It has a different value for every element of the mapped axis.",
                "Give it an axis in out_axes, or reduce it with a collective (psum, pmax ...).",
            )
        return x
    ndim = type_of(x).ndim + (not batched)
    is_integer = isinstance(destination, (int, np.integer)) and type(destination) is not bool
    if not is_integer or not -ndim <= destination < ndim:
        raise ArgumentError(
            f"out_axes={destination!r} is out of range for a result of {trees.function_name(fun)} that has {ndim} "
            f"ax{'e' if ndim != 1 else 'i'}s with the mapped one.",
            "Axes are integers, counted from 0, or from the end by negative numbers.",
            "Correct out_axes.",
        )
    return move_axis(leading_axis(axis, x, batched), 0, int(destination) % ndim)
