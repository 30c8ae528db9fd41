"""Placement of arrays on several devices.

Over how many devices the arrays of a program are spread is in the types that JAX has for its arguments. How each of
them lies there is not, but where it is held to a sharding: that is the choice of the compiler.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import Any

import jax
from jax import lax
from jax.sharding import AxisType, NamedSharding, PartitionSpec, SingleDeviceSharding

from minijvp.core.primitive import Axis
from minijvp.core.tracer import Tracer
from minijvp.core.types import Array, ArrayType
from minijvp.errors import ArgumentError
from minijvp.operations.families import LinearPrimitive


class spread_over:
    """Context manager: inside, a program is staged that is for so many devices."""

    __slots__ = ("before", "n")

    def __init__(self, n: int):
        self.n = n

    def __enter__(self) -> None:
        self.before = spread.get()
        spread.set(self)

    def __exit__(self, *exception: object) -> None:
        spread.set(self.before)

    def __del__(self) -> None:
        if spread is not None and spread.get() is self:
            spread.set(self.before)  # an interrupt came while it was entered or left


spread: ContextVar[spread_over | None] = ContextVar("minijvp.devices", default=None)


def number_of_devices() -> int:
    """Over how many devices the arrays of the program are spread that is staged here; 1 where that is not known."""
    found = spread.get()
    return 1 if found is None else found.n


def devices_of(values: Iterable[Any]) -> int:
    """The size of the largest mesh among those of arrays and shardings, without axes that jax.shard_map maps over."""
    found = 1
    for x in values:
        if isinstance(x, Tracer):
            continue
        mesh = getattr(jax.typeof(x).sharding if isinstance(x, jax.Array) else x, "mesh", None)
        if mesh is not None and not mesh.empty:
            kinds = zip(mesh.axis_sizes, mesh.axis_types, strict=True)
            found = max(found, math.prod([n for n, kind in kinds if kind is not AxisType.Manual]))
    return found


def spread_like(values: Iterable[Any]) -> AbstractContextManager[None]:
    """Context manager: inside, a program is staged that is for the devices of these arrays and shardings at least."""
    return spread_over(max(number_of_devices(), devices_of(values)))


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
