"""Batches in which lanes go different ways: what the others see of what only some lanes compute.

In the lanes that did not choose a branch, or whose loop is done, a program may compute anything, and 0 * inf in
its derivative would be a NaN in a gradient. There its operands are constants; and for a program of which one lane may
cost much, or not end, they are those of a lane that wants it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minijvp.core.primitive import Axis
from minijvp.core.types import Array, type_of
from minijvp.operations.annotations import or_constant
from minijvp.operations.dynamic_slicing import dynamic_slice
from minijvp.operations.elementwise import select_n
from minijvp.operations.families import broadcast_in_dim, leading_axis, reshape, zeros_like
from minijvp.operations.reduction import reduce_max
from minijvp.operations.shape import iota


def across(lanes: Array, x: Array) -> Array:
    """A value for each lane, repeated to the shape of `x`."""
    shape = type_of(x).shape
    return broadcast_in_dim(lanes, shape=shape, broadcast_dimensions=(0,)) if len(shape) > 1 else lanes


def constant_where(lanes: Array, x: Array) -> Array:
    """`x`, of which every lane has its own, as a constant in the lanes that are false."""
    return or_constant(across(lanes, x), x, x)


def chosen_operands(axis: Axis, lanes: Array, operands: Sequence[Any], flags: Sequence[bool]) -> list[Any]:
    """The operands; those whose flag is true have, in lanes that are false, the value of one that is true."""
    if not any(flags) or not axis.size:
        return list(operands)
    numbers = iota(dtype=np.dtype(np.int32), shape=(axis.size,), dimension=0)
    lane = reduce_max(select_n(lanes, zeros_like(numbers), numbers), axes=(0,))

    def replaced(x: Array) -> Array:
        shape = type_of(x).shape
        row = dynamic_slice(x, lane, *[np.int32(0)] * (len(shape) - 1), slice_sizes=(1, *shape[1:]))
        row = leading_axis(axis, reshape(row, new_sizes=shape[1:]), False)
        return or_constant(across(lanes, x), x, row)

    return [replaced(x) if flag else x for x, flag in zip(operands, flags, strict=True)]
