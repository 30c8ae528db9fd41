"""Placements: how a value lies on the devices of a mesh, where that is part of its type in JAX.

It is on the axes of a mesh that are explicit, where a type names the axes along which each axis of an array is split;
and on axes that are manual, inside of shard_map, where a type names those along which a value varies. What lies whole
on every device, and all values elsewhere, have no placement.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.core import ShapedArray
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from minijvp.errors import ArgumentError

Axes = frozenset[Any]

PLAIN = ShapedArray((), np.dtype(bool))

NO_MESH = PLAIN.sharding.mesh
"""The mesh of arrays that lie on none: one object."""

NOT_VARYING = PLAIN.manual_axis_type
"""The manual axes of a value that is the same everywhere."""


class Placement(NamedTuple):
    """A sharding over an abstract mesh, whose spec has an entry for each axis of the array, and the manual axes."""

    sharding: NamedSharding
    manual: Any

    @property
    def varying(self) -> Axes:
        """The axes of devices along which the value may differ."""
        return self.manual.varying

    @property
    def spec(self) -> tuple[Any, ...]:
        """What each axis of the array is split along."""
        return tuple(self.sharding.spec)

    @property
    def is_split(self) -> bool:
        """Whether explicit axes of the mesh split the value."""
        return any([entry is not None for entry in self.sharding.spec])

    def give(self, x: Any) -> Any:
        """A value of JAX with this placement: it varies along more axes of devices, or is split otherwise, or both."""
        lacking = tuple(self.varying - jax.typeof(x).manual_axis_type.varying)
        if lacking:
            x = jax.lax.pcast(x, lacking, to="varying")
        found = jax.typeof(x).sharding
        if found.spec == self.sharding.spec and (found.mesh.empty or found.mesh == self.sharding.mesh):
            return x
        return jax.sharding.reshard(x, self.sharding)

    def with_spec(self, spec: tuple[Any, ...]) -> Placement | None:
        """The same with other entries for axes."""
        return of(NamedSharding(self.sharding.mesh, PartitionSpec(*spec)), self.manual)

    def with_varying(self, axes: Axes) -> Placement | None:
        """The same for a value that varies along these axes."""
        return of(self.sharding, self.manual.update(varying=axes))

    def __repr__(self) -> str:
        varying = f", varying along {sorted(self.varying)}" if self.varying else ""
        return f"{self.sharding.spec}{varying}"


met: dict[Placement, Placement] = {}
"""All placements that there were, each as the one object that stands for it. Empty: nothing needs to be asked."""


def of(sharding: Any, manual: Any) -> Placement | None:
    """The placement with this sharding and these manual axes, or None if it says nothing."""
    if manual == NOT_VARYING and all([entry is None for entry in sharding.spec]):
        return None
    found = Placement(sharding, manual)
    return met.setdefault(found, found)


def inside(make: Callable[[], Any], mesh: Any, manual: Axes, check_vma: bool = True) -> Any:
    """What a function returns where JAX traces with these axes of a mesh manual, as it does inside of shard_map."""
    found = []

    def body() -> tuple[()]:
        found.append(make())
        return ()

    how = {"mesh": mesh, "axis_names": manual, "check_vma": check_vma}
    jax.eval_shape(jax.shard_map(body, in_specs=(), out_specs=(), **how))
    return found[0]


def where_manual(mesh: Any, make: Callable[[], Any]) -> Any:
    """The same with those axes manual that are so in an abstract mesh."""
    whole = mesh.update_axis_types(dict.fromkeys(mesh.manual_axes, AxisType.Auto))
    return inside(make, whole, frozenset(mesh.manual_axes))


def lane_in_jax(axes: Any) -> Any:
    """The type, in JAX, of the number of a device along manual axes. It varies along these, unless check_vma=False."""
    found: list[Any] = []

    def body() -> tuple[()]:
        found.append(jax.typeof(jax.lax.axis_index(axes)))
        return ()

    jax.eval_shape(body)
    return found[0]


def refuse_conflict(error: Exception, what: str, types: Iterable[object]) -> None:
    """Raise ArgumentError where an error of JAX says that the operation `what` cannot place its result."""
    if type(error).__name__ != "ShardingTypeError":  # which is not public
        return
    raise ArgumentError(
        f"{what} of {', '.join(map(repr, types))}, over the explicit axes of a mesh.",
        f"It is not clear how the result is to be split: {error}".rstrip(".") + ".",
        "Say it by out_sharding=PartitionSpec(...), where the function takes that, or first split an operand as you "
        "want it: minijvp.reshard(x, PartitionSpec(...)).",
    ) from None


def varying(placement: Placement | None) -> Axes:
    """The axes of devices along which a value varies."""
    return frozenset() if placement is None else placement.manual.varying


def entry_of(names: Any, allowed: Iterable[Any]) -> Any:
    """What splits an axis along these axes of a mesh, or a tuple of them: those that are allowed, or None."""
    given = names if isinstance(names, tuple) else (names,)
    kept = tuple([name for name in given if name in allowed])
    return names if kept == given else kept or None


def entry_on(mesh: Any, names: Any) -> Any:
    """Those of these axes that are explicit."""
    return entry_of(names, mesh.explicit_axes)
