"""gather and the scatters: slices of an array at computed places, read and written. Each transposes into the other."""

from __future__ import annotations

from typing import Any

import numpy as np
from jax import lax

from minijvp.core.primitive import Axis, Primitive
from minijvp.core.types import Array, ArrayType, Axes, type_of
from minijvp.errors import ArgumentError
from minijvp.operations.elementwise import div, eq, neg, select_n
from minijvp.operations.families import (
    LinearPrimitive,
    add,
    add_tangents,
    instantiate,
    is_linear,
    leading_axis,
    reshape,
    shifted,
    zeros_like,
)
from minijvp.operations.reduction import shares, winners
from minijvp.operations.shape import iota

FILL = lax.GatherScatterMode.FILL_OR_DROP


class Gather(LinearPrimitive):
    """Slices of `slice_sizes` of the operand, at the places that the last axis of the integer `indices` holds.

    `dimension_numbers` and `mode` (what happens out of bounds) are those of jax.lax.gather. Linear in the operand.
    """

    recomputable = "moderate"

    def impl(
        self, x: Array, indices: Array, *, dimension_numbers: Any, slice_sizes: tuple[int, ...], **params: Any
    ) -> Array:
        return lax.gather(x, indices, dimension_numbers, slice_sizes, **params)

    def type_rule(
        self, x: ArrayType, indices: ArrayType, *, dimension_numbers: Any, slice_sizes: tuple[int, ...], **params: Any
    ) -> ArrayType:
        d = dimension_numbers
        dropped = (*d.collapsed_slice_dims, *d.operand_batching_dims)
        if (
            not is_index(indices, d.start_index_map)
            or not len(slice_sizes) == len(d.offset_dims) + len(dropped) == x.ndim
            or (indices.size and any(not 0 <= m <= n for m, n in zip(slice_sizes, x.shape)))
            or any(slice_sizes[i] > 1 for i in dropped)
        ):
            raise ArgumentError(
                f"{self.name} of slices of {slice_sizes} of {x!r} at indices {indices!r}, with {d}.",
                "indices holds integers, one for each axis of start_index_map along its last axis; slice_sizes has an "
                "entry for each axis of the operand, no larger than it, and 1 for axes that collapse or are batched.",
                "Indexing, x[i], finds the dimension numbers itself.",
            )
        window = iter([n for i, n in enumerate(slice_sizes) if i not in dropped])
        rows = iter(indices.shape[:-1])
        rank = len(d.offset_dims) + indices.ndim - 1
        shape = tuple([next(window) if i in d.offset_dims else next(rows) for i in range(rank)])
        return ArrayType(shape, x.dtype, x.weak_type)

    def jvp(self, primals: tuple, tangents: tuple, **params: Any) -> tuple[Any, Any]:
        out = self(*primals, **params)
        if tangents[0] is None:
            return out, None
        # What is filled in out of bounds is constant.
        return out, self(tangents[0], primals[1], **{**params, "fill_value": 0 if params["mode"] == FILL else None})

    def transpose(
        self, ct: Array, x: ArrayType, indices: Array, *, dimension_numbers: Any, mode: Any, **params: Any
    ) -> Any:
        flags = {k: params[k] for k in ("indices_are_sorted", "unique_indices")}
        numbers = scatter_numbers(dimension_numbers)
        return scatter_add(zeros_like(x), indices, ct, dimension_numbers=numbers, mode=mode, **flags), None

    def batch(
        self,
        axis: Axis,
        args: tuple,
        batched: tuple[bool, ...],
        *,
        dimension_numbers: Any,
        slice_sizes: tuple[int, ...],
        **params: Any,
    ) -> tuple[Any, Any]:
        d = dimension_numbers
        x_batched, indices_batched = batched
        one_more = shifted if x_batched else tuple
        numbers = lax.GatherDimensionNumbers(
            offset_dims=((0,) if not indices_batched else ()) + shifted(d.offset_dims),
            collapsed_slice_dims=one_more(d.collapsed_slice_dims),
            start_index_map=one_more(d.start_index_map),
            operand_batching_dims=((0,) if all(batched) else ()) + one_more(d.operand_batching_dims),
            start_indices_batching_dims=((0,) if all(batched) else ())
            + (shifted if indices_batched else tuple)(d.start_indices_batching_dims),
        )
        lead = () if not x_batched else (min(1, axis.size),) if indices_batched else (axis.size,)
        params = {**params, "indices_are_sorted": params["indices_are_sorted"] and not indices_batched}
        if indices_batched and not x_batched:
            params["unique_indices"] = False
        return self(*args, dimension_numbers=numbers, slice_sizes=lead + slice_sizes, **params), True


def is_index(indices: ArrayType, axes: Axes) -> bool:
    """Whether these are integers, along the last axis one for each of `axes`."""
    return indices.dtype.kind in "iu" and indices.ndim > 0 and indices.shape[-1] == len(axes)


def scatter_numbers(d: Any) -> Any:
    """The dimension numbers of the scatter that undoes a gather."""
    return lax.ScatterDimensionNumbers(
        update_window_dims=d.offset_dims,
        inserted_window_dims=d.collapsed_slice_dims,
        scatter_dims_to_operand_dims=d.start_index_map,
        operand_batching_dims=d.operand_batching_dims,
        scatter_indices_batching_dims=d.start_indices_batching_dims,
    )


gather = Gather("gather")


def take_along_axis(x: Array, indices: Array, axis: int) -> Array:
    """`x[..., indices[..., i, ...], ...]` along one axis; all other axes of x and indices agree.

    Indices are in bounds.
    """
    shape = type_of(indices).shape
    if not type_of(x).size:
        return reshape(x, new_sizes=shape)
    others = tuple(d for d in range(len(shape)) if d != axis)
    numbers = lax.GatherDimensionNumbers(
        offset_dims=(),
        collapsed_slice_dims=(axis,),
        start_index_map=(axis,),
        operand_batching_dims=others,
        start_indices_batching_dims=others,
    )
    return gather(
        x,
        reshape(indices, new_sizes=(*shape, 1)),
        dimension_numbers=numbers,
        slice_sizes=(1,) * len(shape),
        indices_are_sorted=False,
        unique_indices=False,
        mode=lax.GatherScatterMode.PROMISE_IN_BOUNDS,
        fill_value=None,
    )


class Scatter(Primitive):
    """The operand with `updates` written to, added to, ... its slices at `indices`; parameters of jax.lax.scatter."""

    recomputable = "moderate"

    def __init__(self, name: str, function: Any):
        super().__init__(name, f"Scatter: see jax.lax.{name.replace('-', '_')}.")
        self.function = function

    def impl(self, x: Array, indices: Array, updates: Array, *, dimension_numbers: Any, **params: Any) -> Array:
        return self.function(x, indices, updates, dimension_numbers, **params)

    def type_rule(
        self, x: ArrayType, indices: ArrayType, updates: ArrayType, *, dimension_numbers: Any, **params: Any
    ) -> ArrayType:
        d = dimension_numbers
        window = d.update_window_dims
        dropped = (*d.inserted_window_dims, *d.operand_batching_dims)
        kept = [n for i, n in enumerate(x.shape) if i not in dropped]
        rows = tuple([n for i, n in enumerate(updates.shape) if i not in window])
        if (
            x.dtype != updates.dtype
            or not is_index(indices, d.scatter_dims_to_operand_dims)
            or rows != indices.shape[:-1]
            or not len(window) == len(kept) == updates.ndim - len(rows) == x.ndim - len(dropped)
            or any(updates.shape[i] > n for i, n in zip(window, kept))
        ):
            raise ArgumentError(
                f"{self.name} of {updates!r} into {x!r} at indices {indices!r}, with {d}.",
                "Operand and updates share a dtype; indices holds integers, one for each axis of "
                "scatter_dims_to_operand_dims along its last axis; updates has the other axes of indices and, at "
                "update_window_dims, the axes of the operand that are neither inserted nor batched, or parts of them.",
                "Indexing, x.at[i].set(v), finds the dimension numbers itself.",
            )
        return x

    def batch(
        self, axis: Axis, args: tuple, batched: tuple[bool, ...], *, dimension_numbers: Any, **params: Any
    ) -> tuple[Any, Any]:
        x, indices, updates = args
        x, updates = leading_axis(axis, x, batched[0]), leading_axis(axis, updates, batched[2])
        numbers = batched_numbers(dimension_numbers, batched[1])
        params = {**params, "indices_are_sorted": params["indices_are_sorted"] and not batched[1]}
        return self(x, indices, updates, dimension_numbers=numbers, **params), True


def batched_numbers(d: Any, indices_batched: bool) -> Any:
    """The dimension numbers of a scatter where operand and updates have a leading batch axis, and maybe the indices."""
    lead = (0,) if indices_batched else ()
    rows = shifted if indices_batched else tuple
    return lax.ScatterDimensionNumbers(
        update_window_dims=(() if indices_batched else (0,)) + shifted(d.update_window_dims),
        inserted_window_dims=shifted(d.inserted_window_dims),
        scatter_dims_to_operand_dims=shifted(d.scatter_dims_to_operand_dims),
        operand_batching_dims=lead + shifted(d.operand_batching_dims),
        scatter_indices_batching_dims=lead + rows(d.scatter_indices_batching_dims),
    )


def read_back(x: Array, indices: Array, updates: Any, *, dimension_numbers: Any, mode: Any, **flags: Any) -> Array:
    """What stands in x where a scatter with these numbers would write; zeros for what it would drop."""
    d = dimension_numbers
    dropped = (*d.inserted_window_dims, *d.operand_batching_dims)
    update_shape = type_of_argument(updates).shape
    window = iter([update_shape[i] for i in d.update_window_dims])
    sizes = tuple([min(1, n) if i in dropped else next(window) for i, n in enumerate(type_of_argument(x).shape)])
    numbers = lax.GatherDimensionNumbers(
        offset_dims=d.update_window_dims,
        collapsed_slice_dims=d.inserted_window_dims,
        start_index_map=d.scatter_dims_to_operand_dims,
        operand_batching_dims=d.operand_batching_dims,
        start_indices_batching_dims=d.scatter_indices_batching_dims,
    )
    fill = 0 if mode == FILL else None
    return gather(x, indices, dimension_numbers=numbers, slice_sizes=sizes, mode=mode, fill_value=fill, **flags)


def type_of_argument(x: Any) -> ArrayType:
    """The type of an argument of a transpose rule, known or linear."""
    return x if isinstance(x, ArrayType) else type_of(x)


class ScatterAdd(Scatter):
    """Adds; updates at the same place add up. Linear in operand and updates together."""

    def jvp(self, primals: tuple, tangents: tuple, **params: Any) -> tuple[Any, Any]:
        x, indices, _ = primals
        t_x, _, t_updates = tangents
        out = self(*primals, **params)
        if t_updates is None:
            return out, t_x
        return out, self(instantiate(t_x, x), indices, t_updates, **params)

    def transpose(self, ct: Array, x: Any, indices: Array, updates: Any, **params: Any) -> Any:
        ct_updates = read_back(ct, indices, updates, **params) if is_linear(updates) else None
        return (ct if is_linear(x) else None), None, ct_updates


class ScatterSub(ScatterAdd):
    """Subtracts; updates at the same place add up."""

    def transpose(self, ct: Array, x: Any, indices: Array, updates: Any, **params: Any) -> Any:
        ct_x, _, ct_updates = super().transpose(ct, x, indices, updates, **params)
        return ct_x, None, None if ct_updates is None else neg(ct_updates)


class ScatterReplace(Scatter):
    """Replaces; of several updates at the same place one wins, and the tangent is the winner's."""

    def jvp(self, primals: tuple, tangents: tuple, **params: Any) -> tuple[Any, Any]:
        x, indices, updates = primals
        t_x, _, t_updates = tangents
        out = self(*primals, **params)
        if t_x is None and t_updates is None:
            return out, None
        if params["unique_indices"]:
            return out, self(instantiate(t_x, x), indices, instantiate(t_updates, updates), **params)
        tangent = None if t_x is None else self(t_x, indices, zeros_like(updates), **params)
        if t_updates is None:
            return out, tangent
        # Scatter the number of each update and read back: the winners see their own.
        shape = type_of(updates).shape
        numbers = add(number_elements(shape), 1)
        board = self(zeros_like(ArrayType(type_of(x).shape, np.dtype(np.int32))), indices, numbers, **params)
        won = eq(read_back(board, indices, updates, **params), numbers)
        kept = select_n(won, zeros_like(t_updates), t_updates)
        return out, add_tangents(tangent, scatter_add(zeros_like(x), indices, kept, **params))

    def transpose(self, ct: Array, x: Any, indices: Array, updates: Any, **params: Any) -> Any:
        if is_linear(updates) and not params["unique_indices"]:
            raise self.missing("transpose")
        ct_x = self(ct, indices, zeros_like(updates), **params) if is_linear(x) else None
        return ct_x, None, read_back(ct, indices, updates, **params) if is_linear(updates) else None


class ScatterExtremum(Scatter):
    """Keeps the larger or smaller of what is there and the updates; all that tie share the tangent."""

    own_derivative = True

    def jvp(self, primals: tuple, tangents: tuple, **params: Any) -> tuple[Any, Any]:
        x, indices, updates = primals
        t_x, _, t_updates = tangents
        out = self(*primals, **params)
        if t_x is None and t_updates is None:
            return out, None
        x_won, update_won = winners(x, out), winners(updates, read_back(out, indices, updates, **params))
        count = scatter_add(shares(x, x_won), indices, shares(updates, update_won), **params)
        kept = zeros_like(x) if t_x is None else select_n(x_won, zeros_like(t_x), t_x)
        if t_updates is not None:
            kept_updates = select_n(update_won, zeros_like(t_updates), t_updates)
            kept = scatter_add(kept, indices, kept_updates, **params)
        return out, div(kept, count)


def number_elements(shape: tuple[int, ...]) -> Array:
    """0, 1, 2, ... in an array of this shape."""
    n = int(np.prod(shape))
    return reshape(iota(dtype=np.dtype(np.int32), shape=(n,), dimension=0), new_sizes=shape)


scatter = ScatterReplace("scatter", lax.scatter)
scatter_add = ScatterAdd("scatter-add", lax.scatter_add)
scatter_sub = ScatterSub("scatter-sub", lax.scatter_sub)
scatter_min = ScatterExtremum("scatter-min", lax.scatter_min)
scatter_max = ScatterExtremum("scatter-max", lax.scatter_max)
