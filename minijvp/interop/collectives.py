"""The collectives of JAX, over named axes, as operations of ours."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from minijvp.core import placements
from minijvp.core.primitive import Primitive, registry
from minijvp.core.types import type_of
from minijvp.interop.first_order import refuse_option, static
from minijvp.interop.reading import TABLE, translates
from minijvp.operations import collectives, families, varying
from minijvp.operations import shape as shapes


def over_axes(primitive: Primitive, reduction: Primitive) -> Callable[..., Any]:
    """The translation of a reduction over named axes, one after the other, of each operand.

    jax.vmap inside the program makes some of the names positions, over which `reduction` goes.
    """

    def translation(*xs: Any, axes: Any, axis_index_groups: Any = None) -> list[Any]:
        refuse_option(primitive.name, "axis_index_groups", axis_index_groups)
        positions = tuple([a for a in axes if isinstance(a, int)])
        outs = [reduction(x, axes=positions) for x in xs] if positions else list(xs)
        for name in collectives.together([name for name in axes if name not in positions]):
            outs = [primitive(x, axis_name=name) for x in outs]
        return outs

    return translation


for _name, _reduction in (("psum", "reduce_sum"), ("pmax", "reduce_max"), ("pmin", "reduce_min")):
    TABLE[_name] = over_axes(registry[_name], registry[_reduction])
TABLE["psum_invariant"] = TABLE["psum"]


@translates("pvary")
def vary(*xs: Any, axes: Any) -> list[Any]:
    """The values, as such that may differ along axes of a mesh. Ours may already, where JAX's did not."""
    lacking = [tuple([a for a in axes if a not in placements.varying(type_of(x).placement)]) for x in xs]
    return [varying.vary(x, axis_name=names) if names else x for x, names in zip(xs, lacking, strict=True)]


def single_name(primitive: str, axis_name: Any, axis_index_groups: Any = None) -> Any:
    """The name of the one axis that a collective speaks along."""
    refuse_option(primitive, "axis_index_groups", axis_index_groups)
    if not isinstance(axis_name, tuple) or (len(axis_name) > 1 and collectives.is_of_mesh(axis_name)):
        return axis_name
    refuse_option(primitive, "axis_name", axis_name if len(axis_name) != 1 else None)
    return next(iter(axis_name))


@translates("axis_index")
def axis_index(*, axis_name: Any) -> Any:
    """The number of the lane."""
    return collectives.lane_number(single_name("axis_index", axis_name))


@translates("ppermute")
def ppermute(*xs: Any, axis_name: Any, perm: Any) -> list[Any]:
    """The values that other lanes send here."""
    name = single_name("ppermute", axis_name)
    return [collectives.ppermute(x, axis_name=name, perm=static(perm)) for x in xs]


def gathering(is_alike: bool) -> Callable[..., Any]:
    """The translation of all_gather: the values of all lanes along a new axis, or, tiled, joined along an old one.

    Where types do not say what varies, that it `is_alike` everywhere says nothing, as in JAX from 0.11 on.
    """

    def translation(
        *xs: Any, all_gather_dimension: int, axis_name: Any, axis_size: int, tiled: bool, axis_index_groups: Any = None
    ) -> list[Any]:
        name = single_name("all_gather", axis_name, axis_index_groups)
        outs = []
        for x in xs:
            out = varying.gathered(x, name, axis_size, is_alike)
            out = shapes.move_axis(out, 0, all_gather_dimension)
            outs.append(merged(out, all_gather_dimension) if tiled else out)
        return outs

    return translation


TABLE["all_gather"] = gathering(False)
TABLE["all_gather_invariant"] = gathering(True)


@translates("reduce_scatter")
def reduce_scatter(
    x: Any,
    *,
    axis_name: Any,
    scatter_dimension: int,
    axis_size: int,
    tiled: bool,
    axis_index_groups: Any = None,
) -> Any:
    """The sum over all lanes, of which each gets its part."""
    name = single_name("reduce_scatter", axis_name, axis_index_groups)
    x = divided(x, scatter_dimension, axis_size) if tiled else x
    x = shapes.move_axis(x, scatter_dimension, 0)
    return collectives.reduce_scatter(x, axis_name=name, axis_size=axis_size)


@translates("all_to_all")
def all_to_all(
    x: Any, *, split_axis: int, concat_axis: int, axis_name: Any, axis_index_groups: Any = None, tiled: bool = False
) -> Any:
    """The parts of an axis, each sent to one lane and joined there with what the other lanes send.

    That is so whether `tiled` or not: without it, JAX gives the operand an axis of size 1 to join along.
    """
    refuse_option("all_to_all", "axis_index_groups", axis_index_groups)
    names = collectives.together(axis_name if isinstance(axis_name, tuple) else (axis_name,))
    sizes = [collectives.axis_size(name) for name in names]
    x = shapes.move_axis(divided(x, split_axis, math.prod(sizes)), split_axis, 0)
    if len(names) == 1:
        x = collectives.all_to_all(x, axis_name=names[0], axis_size=sizes[0])
    else:
        x = exchanged_along_several(x, names, sizes)
    return merged(shapes.move_axis(x, 0, concat_axis), concat_axis)


def exchanged_along_several(x: Any, names: Sequence[Any], sizes: Sequence[int]) -> Any:
    """The parts, rows of x, that lanes along several axes send to each other.

    Lanes are numbered with the last axis fastest, so the parts are a block, with an axis for each.
    """
    n, *rest = type_of(x).shape
    x = families.reshape(x, new_sizes=(*sizes, *rest))
    for d, (name, size) in enumerate(zip(names, sizes, strict=True)):
        x = shapes.move_axis(x, d, 0)
        x = shapes.move_axis(collectives.all_to_all(x, axis_name=name, axis_size=size), 0, d)
    return families.reshape(x, new_sizes=(n, *rest))


@translates("pbroadcast")
def pbroadcast(x: Any, *, axis_name: Any, source: int) -> Any:
    """The value of one lane, in every lane."""
    return collectives.pbroadcast(x, axis_name=single_name("pbroadcast", axis_name), source=source)


def divided(x: Any, axis: int, n: int) -> Any:
    """The operand with one axis as two, the first of which has size n."""
    shape = type_of(x).shape
    return families.reshape(x, new_sizes=(*shape[:axis], n, shape[axis] // n, *shape[axis + 1 :]))


def merged(x: Any, axis: int) -> Any:
    """The operand with an axis and the next as one."""
    shape = type_of(x).shape
    return families.reshape(x, new_sizes=(*shape[:axis], shape[axis] * shape[axis + 1], *shape[axis + 2 :]))
