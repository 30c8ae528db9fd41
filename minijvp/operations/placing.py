"""Values brought to a placement: what rules compute lies as that of the value lies to which it belongs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jax import lax
from jax.sharding import NamedSharding, PartitionSpec

from minijvp.core import placements
from minijvp.core.placements import Placement
from minijvp.core.primitive import Axis
from minijvp.core.types import Array, ArrayType, type_of
from minijvp.operations.families import LinearPrimitive, add


class Place(LinearPrimitive):
    """The same value with a placement: varying, as far as types are concerned, along more axes, or split otherwise.

    `origin` is the mesh of the operand, where the placement is on one whose axes have other types.
    """

    recomputable = "free"
    knows_placements = True

    def impl(self, x: Array, *, placement: Placement, origin: Any = None) -> Array:
        return placement.give(x)

    def type_rule(self, x: ArrayType, *, placement: Placement, origin: Any = None) -> ArrayType:
        return ArrayType(x.shape, x.dtype, x.weak_type, placements.of(*placement))

    def transpose(self, ct: Array, x: ArrayType, *, placement: Placement, origin: Any = None) -> Array:
        if origin is None:
            return brought(ct, x)
        back = x.placement or whole(x, origin)
        return self(ct, placement=back, origin=placement.sharding.mesh)

    def batch(
        self, axis: Axis, args: tuple, batched: tuple[bool, ...], *, placement: Placement, origin: Any = None
    ) -> tuple[Any, bool]:
        mesh = placement.sharding.mesh
        along = placements.entry_on(mesh, axis.split.spec[0]) if axis.split else axis.mesh_axes
        sharding = NamedSharding(mesh, PartitionSpec(along, *placement.spec))
        how = {} if origin is None else {"origin": origin}
        return self(*args, placement=Placement(sharding, placement.manual), **how), True


class SumOverDevices(LinearPrimitive):
    """The sum of a value that varies over the devices along axes of a mesh, the same on all of them."""

    recomputable = "never"

    def impl(self, x: Array, *, axes: tuple[Any, ...]) -> Array:
        return lax.psum(x, axes)

    def type_rule(self, x: ArrayType, *, axes: tuple[Any, ...]) -> ArrayType:
        return x

    def transpose(self, ct: Array, x: ArrayType, *, axes: tuple[Any, ...]) -> Array:
        return ct  # the same for all

    def batch(self, axis: Axis, args: tuple, batched: tuple[bool, ...], *, axes: tuple[Any, ...]) -> tuple[Any, bool]:
        return self(*args, axes=axes), True


place = Place("place")
sum_over_devices = SumOverDevices("sum_over_devices")


def whole(t: ArrayType, mesh: Any) -> Placement:
    """The placement of a value that no axis of a mesh splits."""
    return Placement(NamedSharding(mesh, PartitionSpec(*[None] * t.ndim)), placements.NOT_VARYING)


def resharded(x: Array, sharding: NamedSharding, origin: Any = None) -> Array:
    """The value, split over the axes of a mesh as a sharding says; `origin` is the mesh of x, if it is another one."""
    t = type_of(x)
    spec = (*sharding.spec, *[None] * (t.ndim - len(sharding.spec)))
    manual = t.placement.manual if t.placement else placements.NOT_VARYING
    wanted = Placement(NamedSharding(sharding.mesh.abstract_mesh, PartitionSpec(*spec)), manual)
    if origin is not None and origin != wanted.sharding.mesh:
        return place(x, placement=wanted, origin=origin)
    return x if t.placement is placements.of(*wanted) else place(x, placement=wanted)


def split_like(x: Array, t: ArrayType) -> Array:
    """The value, split over explicit axes as a type says."""
    found, wanted = type_of(x).placement, t.placement
    if found is wanted:
        return x
    if wanted is None:
        assert found is not None
        wanted = whole(t, found.sharding.mesh)
    return x if found is not None and found.spec == wanted.spec else resharded(x, wanted.sharding)


def brought(x: Array, to: ArrayType) -> Array:
    """A tangent or cotangent with the placement of a type. Along the axes where that does not vary, it is the sum.

    That is the derivative of what makes a value, which is the same on all devices, vary along an axis as others do.
    """
    p, q = type_of(x).placement, to.placement
    if p is q:
        return x
    surplus = placements.varying(p) - placements.varying(q)
    if surplus:
        x = sum_over_devices(x, axes=tuple(sorted(surplus, key=str)))
        p = type_of(x).placement
    if p is q:
        return x
    if q is None:
        assert p is not None
        q = whole(to, p.sharding.mesh)
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


def sum_of(x: Array, y: Array, of: ArrayType) -> Array:
    """The sum of two cotangents of a value of a type, which may lie on devices otherwise than that."""
    if placements.met and type_of(x).placement is not type_of(y).placement:
        x, y = brought(x, of), brought(y, of)
    return add(x, y)


def arrived(ct: Any, result: Any, e: Any) -> Any:
    """The cotangent of a result of an equation, as its transpose rule takes it. None is zero.

    What is to be summed over devices waits for the cotangents of smaller operands, as of what is broadcast, if the
    operation does the same on all of them.
    """
    of = result.type
    if ct is None or type_of(ct).placement is of.placement:
        return ct
    mine = placements.varying(of.placement)
    waits = sum([v.type.size for v in e.inputs]) < of.size and all(
        [placements.varying(v.type.placement) == mine for v in e.inputs]
    )
    split = of.placement is not None and of.placement.is_split
    return ct if waits and not split and not e.programs else brought(ct, of)
