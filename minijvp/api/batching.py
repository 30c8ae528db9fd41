"""Batches, as users call them: pytrees mapped along axes of their choice.

vmap : (a -> b) -> [a] -> [b]
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.tree_util import tree_flatten, tree_unflatten

from minijvp import trees
from minijvp.api.names import VMAP, transforming
from minijvp.arguments.axes import as_mesh_axes, common_size, flatten_mapped, place_axis, require_axis
from minijvp.core import placements
from minijvp.core.hooks import hooks, other_plans
from minijvp.core.primitive import Axis
from minijvp.core.types import type_of
from minijvp.operations.placing import split_alike
from minijvp.operations.shape import move_axis
from minijvp.transforms.vmap import vmap_flat


@trees.border
def vmap(
    fun: Callable[..., Any],
    in_axes: Any = 0,
    out_axes: Any = 0,
    axis_name: Any = None,
    axis_size: int | None = None,
    spmd_axis_name: Any = None,
) -> Callable[..., Any]:
    """A function that maps `fun` over an axis of its arguments, as one batched program and not a loop.

    vmap : (a -> b) -> [a] -> [b]

    Args:
        fun: takes and returns pytrees of arrays.
        in_axes: the mapped axis of each positional argument: an integer (negative counts from the end), None for an
            argument that is the same for all (which may be anything: a function, a string), or a tuple of those and
            of pytrees of them that are prefixes of the arguments. Keyword arguments are mapped over axis 0.
        out_axes: where the mapped axis goes in the results, likewise; None for a result that is the same for all.
        axis_name: a name by which collectives inside (minijvp.lax.psum, all_gather, axis_index ...) find the axis.
        axis_size: its size; needed only if no argument is mapped.
        spmd_axis_name: an axis of a mesh, or several, over whose devices a sharding inside is to spread the mapped
            axis; without it, the compiler places that as it likes. Where no sharding is, nothing is placed by it.

    Raises ArgumentError if mapped axes have different sizes or do not exist, in_axes does not fit the arguments, or a
    sharding inside uses the axis that spmd_axis_name keeps for the mapped one, or lies on a mesh without it.

    >>> import minijvp, minijvp.numpy as mnp
    >>> minijvp.vmap(mnp.dot, in_axes=(0, None))(mnp.ones((3, 2)), mnp.array([1.0, 2.0])).tolist()
    [3.0, 3.0, 3.0]
    """
    making = vmap, {**locals()}
    trees.require_callable(fun, "vmap")
    require_axis(axis_name, axis_size)
    mesh_axes = as_mesh_axes(spmd_axis_name)
    in_axes = tuple(in_axes) if isinstance(in_axes, list) else in_axes

    @trees.wraps(fun, making)
    def mapped(*args: Any, **kwargs: Any) -> Any:
        leaves, tree, axes, numberless = flatten_mapped(fun, in_axes, args, kwargs)
        size = common_size(fun, leaves, axes, axis_size, trees.call_namer(fun, args, kwargs))
        batched = [a is not None for a in axes]
        moved = [x if a is None else move_axis(x, a, 0) for x, a in zip(leaves, axes, strict=True)]
        axis = Axis(size, axis_name, mesh_axes)
        if placements.met:
            axis, moved = split_alike(axis, moved, batched)
        out_tree = result = None
        without_numbers: list[bool] = []

        def flat_fun(*xs: Any) -> list[Any]:
            nonlocal out_tree, result
            empty = [np.zeros(type_of(xs[i]).shape, jax.dtypes.float0) for i in numberless]
            inner_args, inner_kwargs = tree_unflatten(tree, trees.replaced(xs, numberless, empty) if empty else xs)
            result = fun(*inner_args, **inner_kwargs)
            outs, out_tree = tree_flatten(result)
            without_numbers.extend(map(trees.is_float0, outs))
            outs = [np.zeros(x.shape, bool) if none else x for x, none in zip(outs, without_numbers, strict=True)]
            return trees.as_arrays(outs, trees.result_namer(result, trees.function_name(fun)))

        with transforming(VMAP):
            outs, out_batched = vmap_flat(flat_fun, axis, moved, batched)
        destinations = trees.flatten_prefix(out_axes, result, "out_axes")
        placed = [place_axis(fun, axis, x, b, d) for x, b, d in zip(outs, out_batched, destinations, strict=True)]
        for i in np.flatnonzero(without_numbers):
            placed[i] = np.zeros(placed[i].shape, jax.dtypes.float0)
        whole = tree_unflatten(out_tree, placed)
        if other_plans:
            hooks.check(whole, mapped, args, kwargs)
        return whole

    return mapped
