"""From values that differ between the devices of a mesh to such that do not, and back, as far as types are concerned.

Types tell it inside of a shard_map, with check_vma=True: only there are these operations met.
"""

from __future__ import annotations

from typing import Any

from jax import lax

from minijvp.core import placements
from minijvp.core.primitive import Axis
from minijvp.core.types import Array, ArrayType, type_of
from minijvp.operations.collectives import (
    Collective,
    all_gather,
    lane_number,
    names_in,
    swap_leading,
    types_tell,
)
from minijvp.operations.dynamic_slicing import dynamic_slice
from minijvp.operations.families import LinearPrimitive
from minijvp.operations.shape import squeeze


class Vary(Collective, LinearPrimitive):
    """The same value, as one that may differ along an axis of a mesh, as far as types are concerned."""

    function = staticmethod(lambda x, name: lax.pcast(x, name, to="varying"))
    recomputable = "free"

    def type_rule(self, x: ArrayType, *, axis_name: Any) -> ArrayType:
        return super().type_rule(x, axis_name=axis_name)

    def transpose(self, ct: Array, x: ArrayType, *, axis_name: Any) -> Array:
        return ct  # summed where it is brought to the operand's type

    def batch(self, axis: Axis, args: tuple, batched: tuple[bool, ...], *, axis_name: Any) -> tuple[Any, bool]:
        return self(*args, axis_name=axis_name), True


class GatherAlike(Collective, LinearPrimitive):
    """all_gather, whose result is known not to differ between the devices: each gives its own part to the cotangent."""

    function = staticmethod(
        lambda x, name, axis_size: lax.all_gather(lax.expand_dims(x, (0,)), name, tiled=True, to="invarying")
    )
    recomputable = "never"

    def type_rule(self, x: ArrayType, *, axis_name: Any, axis_size: int) -> ArrayType:
        return super().type_rule(x, axis_name=axis_name, axis_size=axis_size)

    def transpose(self, ct: Array, x: ArrayType, *, axis_name: Any, axis_size: int) -> Array:
        starts = (lane_number(axis_name), *[0] * x.ndim)
        return squeeze(dynamic_slice(ct, *starts, slice_sizes=(1, *x.shape)), dimensions=(0,))

    def batch(
        self, axis: Axis, args: tuple, batched: tuple[bool, ...], *, axis_name: Any, axis_size: int
    ) -> tuple[Any, bool]:
        return swap_leading(self(*args, axis_name=axis_name, axis_size=axis_size)), True


vary = Vary("vary")
gather_alike = GatherAlike("all_gather_invariant")


def gathered(x: Array, axis_name: Any, axis_size: int, alike: bool) -> Array:
    """all_gather, whose result has a type that does not vary if it is to be `alike` everywhere, and types tell."""
    if not (alike and types_tell(axis_name)):
        return all_gather(x, axis_name=axis_name, axis_size=axis_size)
    lacking = tuple([name for name in names_in(axis_name) if name not in placements.varying(type_of(x).placement)])
    x = vary(x, axis_name=lacking) if lacking else x
    return gather_alike(x, axis_name=axis_name, axis_size=axis_size)
