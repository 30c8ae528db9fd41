"""Values brought to a placement: what rules compute lies as that of the value lies to which it belongs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jax.sharding import NamedSharding, PartitionSpec

from minijvp.core import placements
from minijvp.core.placements import Placement
from minijvp.core.primitive import Axis
from minijvp.core.types import Array, ArrayType, type_of
from minijvp.operations.collectives import psum
from minijvp.operations.families import LinearPrimitive


class Place(LinearPrimitive):
    """The same value with a placement: varying, as far as types are concerned, along more axes, or split otherwise."""

    recomputable = "free"
    knows_placements = True

    def impl(self, x: Array, *, placement: Placement) -> Array:
        return placement.give(x)

    def type_rule(self, x: ArrayType, *, placement: Placement) -> ArrayType:
        return ArrayType(x.shape, x.dtype, x.weak_type, placements.of(*placement))

    def transpose(self, ct: Array, x: ArrayType, *, placement: Placement) -> Array:
        return brought(ct, x)

    def batch(self, axis: Axis, args: tuple, batched: tuple[bool, ...], *, placement: Placement) -> tuple[Any, bool]:
        spec = PartitionSpec(axis.split.spec[0] if axis.split else axis.mesh_axes, *placement.spec)
        return self(*args, placement=Placement(NamedSharding(placement.sharding.mesh, spec), placement.manual)), True


place = Place("place")


def brought(x: Array, to: ArrayType) -> Array:
    """A tangent or cotangent with the placement of a type. Along the axes where that does not vary, it is the sum.

    That is the derivative of what makes a value, which is the same on all devices, vary along an axis as others do.
    """
    p, q = type_of(x).placement, to.placement
    if p is q:
        return x
    surplus = placements.varying(p) - placements.varying(q)
    if surplus:
        x = psum(x, axis_name=tuple(sorted(surplus, key=str)))
        p = type_of(x).placement
    if p is q:
        return x
    if q is None:
        assert p is not None
        q = Placement(NamedSharding(p.sharding.mesh, PartitionSpec(*[None] * len(to.shape))), placements.NOT_VARYING)
    return place(x, placement=q)


def split_alike(axis: Axis, args: Sequence[Any], batched: Sequence[bool]) -> tuple[Axis, list[Any]]:
    """The axis with the explicit axes of a mesh along which a leading one is split; and the arguments, all split so."""
    ps = [type_of(x).placement for x, b in zip(args, batched, strict=True) if b]
    split = next((p.with_spec(p.spec[:1]) for p in ps if p is not None and p.spec[0] is not None), None)
    if split is None:
        return axis, list(args)
    axis = Axis(axis.size, axis.name, axis.mesh_axes, split.with_varying(frozenset()))
    return axis, [
        brought(x, type_of(x).row().stacked(axis.size, axis.split)) if b else x
        for x, b in zip(args, batched, strict=True)
    ]
