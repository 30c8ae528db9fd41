"""Placement of arrays on several devices."""

from __future__ import annotations

from typing import Any

from jax import lax
from jax.sharding import NamedSharding, PartitionSpec, SingleDeviceSharding

from minijvp.core.primitive import Axis
from minijvp.core.types import ArrayType
from minijvp.operations.families import LinearPrimitive


class ShardingConstraint(LinearPrimitive):
    """The operand, held to a `jax.sharding.Sharding`. Its tangents and cotangents are held to the same."""

    recomputable = "free"

    def impl(self, x: Any, *, sharding: Any) -> Any:
        return lax.with_sharding_constraint(x, sharding)

    def type_rule(self, x: ArrayType, *, sharding: Any) -> ArrayType:
        return x

    def transpose(self, ct: Any, x: ArrayType, *, sharding: Any) -> Any:
        return self(ct, sharding=sharding)

    def batch(self, axis: Axis, args: tuple, batched: tuple[bool, ...], *, sharding: Any) -> tuple[Any, bool]:
        if isinstance(sharding, NamedSharding):
            # The compiler places the batch axis as it likes.
            spec = PartitionSpec(PartitionSpec.UNCONSTRAINED, *sharding.spec)
            sharding = NamedSharding(sharding.mesh, spec, memory_kind=sharding.memory_kind)
        elif not isinstance(sharding, SingleDeviceSharding):
            return args[0], True  # Nobody can say what it means with one axis more.
        return self(*args, sharding=sharding), True


sharding_constraint = ShardingConstraint("sharding_constraint")
