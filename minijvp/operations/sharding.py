"""Placement of arrays on several devices."""

from __future__ import annotations

from typing import Any

from jax import lax
from jax.sharding import NamedSharding, PartitionSpec, SingleDeviceSharding

from minijvp.core.primitive import Axis
from minijvp.core.types import Array, ArrayType
from minijvp.errors import ArgumentError
from minijvp.operations.families import LinearPrimitive


class ShardingConstraint(LinearPrimitive):
    """The operand, held to a `jax.sharding.Sharding`. Its tangents and cotangents are held to the same."""

    recomputable = "free"

    def impl(self, x: Array, *, sharding: Any) -> Array:
        return lax.with_sharding_constraint(x, sharding)

    def type_rule(self, x: ArrayType, *, sharding: Any) -> ArrayType:
        return x

    def transpose(self, ct: Array, x: ArrayType, *, sharding: Any) -> Array:
        return self(ct, sharding=sharding)

    def batch(self, axis: Axis, args: tuple, batched: tuple[bool, ...], *, sharding: Any) -> tuple[Any, bool]:
        if isinstance(sharding, NamedSharding):
            require_free(axis, sharding)
            spec = PartitionSpec(axis.mesh_axes or PartitionSpec.UNCONSTRAINED, *sharding.spec)
            sharding = NamedSharding(sharding.mesh, spec, memory_kind=sharding.memory_kind)
        elif not isinstance(sharding, SingleDeviceSharding):
            return args[0], True  # What it means with one axis more is not defined.
        return self(*args, sharding=sharding), True


def require_free(axis: Axis, sharding: NamedSharding) -> None:
    """Raise ArgumentError if the axes of the mesh that are for the batch are not there, or are used already."""
    used = {name for entry in sharding.spec for name in (entry if isinstance(entry, tuple) else (entry,))}
    missing = [name for name in axis.mesh_axes or () if name in used or name not in sharding.mesh.axis_names]
    if missing:
        raise ArgumentError(
            f"vmap with spmd_axis_name={axis.mesh_axes!r} met the sharding {sharding!r}.",
            f"The mapped axis is to lie along {missing[0]!r}, which the sharding uses itself, or which its mesh lacks.",
            "Name another axis of the mesh, or omit spmd_axis_name: then the compiler places the mapped axis.",
        )


sharding_constraint = ShardingConstraint("sharding_constraint")
