"""How results are split over the explicit axes of a mesh: the parameter `out_sharding`, absent where nothing is."""

from __future__ import annotations

from typing import Any

from jax.sharding import NamedSharding, PartitionSpec

from minijvp.core import placements
from minijvp.core.primitive import Axis
from minijvp.core.types import Array, ArrayType, Params, type_of


def split_as(t: ArrayType, *others: Any) -> Params:
    """The parameter `out_sharding` for a result that is split as a type says, where explicit axes of a mesh split it.

    The `others`, operands, tell whether there is a mesh, if nothing splits the result.
    """
    if not placements.met:
        return {}
    for p in (t.placement, *[type_of(x).placement for x in others]):
        if p is not None and p.is_split:
            spec = t.placement.spec if t.placement else (None,) * len(t.shape)
            return {"out_sharding": NamedSharding(p.sharding.mesh, PartitionSpec(*spec))}
    return {}


def split_in_pairs(x: Array, shape: tuple[int, ...]) -> Params:
    """The parameter `out_sharding` for a reshape that makes one axis of each pair, split as the second is."""
    if not placements.met or (p := type_of(x).placement) is None or any(p.spec[::2]):
        return {}
    return split_as(type_of(x).placed(shape, p.spec[1::2]))


def split_batches(axis: Axis, out_sharding: Any) -> Params:
    """The parameter `out_sharding` for a batch of results."""
    if out_sharding is None:
        return {}
    along = placements.entry_on(out_sharding.mesh, axis.split.spec[0]) if axis.split else axis.mesh_axes
    return {"out_sharding": NamedSharding(out_sharding.mesh, PartitionSpec(along, *out_sharding.spec))}
