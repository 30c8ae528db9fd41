"""Products of updates at computed places, where several may meet.

The derivative by one of several factors is the product of the others. It is found without a division, which zeros would
not allow: updates are sorted by their places, and the product of those before and of those behind at the same place
comes by doubling, as in cumulative.py.
"""

from __future__ import annotations

import math
from typing import Any

from jax import lax

from minijvp.core.types import Array, ArrayType, Axes, type_of
from minijvp.operations.elementwise import eq, mul, ne, select_n
from minijvp.operations.families import add, add_tangents, broadcast_in_dim, is_linear, reshape, zeros_like
from minijvp.operations.gather import (
    FILL,
    Scatter,
    gather,
    number_elements,
    read_back,
    scatter,
    scatter_add,
)
from minijvp.operations.shape import transpose
from minijvp.operations.slicing import pad
from minijvp.operations.slicing import slice as static_slice
from minijvp.operations.sorting import sort


class ScatterMul(Scatter):
    """Multiplies; updates at the same place multiply."""

    own_derivative = True  # JAX has none where indices may repeat

    def jvp(self, primals: tuple, tangents: tuple, **params: Any) -> tuple[Any, Any]:
        x, indices, updates = primals
        t_x, _, t_updates = tangents
        out = self(*primals, **params)
        tangent = None if t_x is None else self(t_x, indices, updates, **params)
        if t_updates is None or not type_of(x).size or not type_of(updates).size:
            return out, tangent
        factors = read_back(x, indices, updates, **params)
        if not params["unique_indices"]:
            factors = mul(factors, products_of_others(x, indices, updates, **params))
        return out, add_tangents(tangent, scatter_add(zeros_like(x), indices, mul(t_updates, factors), **params))

    def transpose(self, ct: Array, x: Any, indices: Array, updates: Any, **params: Any) -> Any:
        if is_linear(updates):
            raise self.missing("transpose")
        return self(ct, indices, updates, **params), None, None


def products_of_others(
    x: Array, indices: Array, updates: Array, *, mode: Any, dimension_numbers: Any, **flags: Any
) -> Array:
    """For each update the product of the other updates at its place in x. What is dropped counts as 1."""
    how = {"mode": mode, "dimension_numbers": dimension_numbers, **flags}
    numbers = add(number_elements(type_of(x).shape), 1)
    places = read_back(numbers, indices, updates, **how)  # 0 for what is dropped
    if mode == FILL:
        updates = select_n(ne(places, 0), ones_like(updates), updates)
    window, rows = dimension_numbers.update_window_dims, windows_of(x, updates, dimension_numbers)
    places, table = (as_table(v, window, rows) for v in (places, updates))
    keys, order = sort(first_column(places), number_elements((rows,)), dimension=0, is_stable=True, num_keys=1)
    ordered = rows_at(table, order)
    found = mul(product_before(keys, ordered, 1), product_before(keys, ordered, -1))
    return from_table(put_rows(found, order), type_of(updates).shape, window)


def windows_of(x: Array, updates: Array, dimension_numbers: Any) -> int:
    """Into how many rows the updates are cut that are at the same place in all columns, or at other ones in each.

    Slices along whole axes are such rows. Others may overlap in part: then each update is one.
    """
    shape, kept = type_of(updates).shape, kept_axes(type_of(x), dimension_numbers)
    window = [shape[d] for d in dimension_numbers.update_window_dims]
    return math.prod(shape) // (math.prod(window) if window == kept else 1)


def kept_axes(x: ArrayType, dimension_numbers: Any) -> list[int]:
    """The sizes of the axes of a slice."""
    dropped = (*dimension_numbers.inserted_window_dims, *dimension_numbers.operand_batching_dims)
    return [n for d, n in enumerate(x.shape) if d not in dropped]


def table_order(ndim: int, window: Axes) -> Axes:
    """The axes of updates, those of the slices last."""
    return (*[d for d in range(ndim) if d not in window], *window)


def as_table(x: Array, window: Axes, rows: int) -> Array:
    """Updates as a table with so many rows."""
    t = type_of(x)
    x = transpose(x, permutation=table_order(t.ndim, window))
    return reshape(x, new_sizes=(rows, t.size // rows))


def from_table(x: Array, shape: tuple[int, ...], window: Axes) -> Array:
    """The inverse, for updates of this shape."""
    order = table_order(len(shape), window)
    x = reshape(x, new_sizes=tuple([shape[d] for d in order]))
    return transpose(x, permutation=tuple([order.index(d) for d in range(len(shape))]))


def first_column(x: Array) -> Array:
    """The first column of a table, as a vector."""
    rows = type_of(x).shape[0]
    column = static_slice(x, start_indices=(0, 0), limit_indices=(rows, 1), strides=None)
    return reshape(column, new_sizes=(rows,))


def product_before(keys: Array, rows: Array, direction: int) -> Array:
    """For each row the product of the rows before it (behind it, if `direction` is -1) that have its key.

    The keys are in order, and not negative. Product k of the doubling is that of the 2**k rows before; where a key is
    another one 2**k rows before, it is complete.
    """
    n = type_of(rows).shape[0]
    found = shifted_rows(keys, rows, direction)
    step = 1
    while step < n:
        found = mul(found, shifted_rows(keys, found, step * direction))
        step *= 2
    return found


def shifted_rows(keys: Array, rows: Array, by: int) -> Array:
    """In place of each row, the one that lies so many rows before it, if that has the same key; else ones."""
    rest = ((0, 0, 0),) * (type_of(rows).ndim - 1)
    same = eq(pad(keys, -1, padding_config=((by, -by, 0),)), keys)
    same = broadcast_in_dim(same, shape=type_of(rows).shape, broadcast_dimensions=(0,))
    return select_n(same, ones_like(rows), pad(rows, 1.0, padding_config=((by, -by, 0), *rest)))


def ones_like(x: Array) -> Array:
    """Ones of the shape and dtype of x."""
    t = type_of(x)
    return broadcast_in_dim(t.dtype.type(1), shape=t.shape, broadcast_dimensions=())


def rows_at(x: Array, order: Array) -> Array:
    """The rows of a table in an order that names each once."""
    rows, columns = type_of(x).shape
    numbers = lax.GatherDimensionNumbers(offset_dims=(1,), collapsed_slice_dims=(0,), start_index_map=(0,))
    return gather(
        x,
        reshape(order, new_sizes=(rows, 1)),
        dimension_numbers=numbers,
        slice_sizes=(1, columns),
        indices_are_sorted=False,
        unique_indices=True,
        mode=lax.GatherScatterMode.PROMISE_IN_BOUNDS,
        fill_value=None,
    )


def put_rows(x: Array, order: Array) -> Array:
    """The table of which `rows_at` gives x."""
    numbers = lax.ScatterDimensionNumbers(
        update_window_dims=(1,), inserted_window_dims=(0,), scatter_dims_to_operand_dims=(0,)
    )
    return scatter(
        zeros_like(x),
        reshape(order, new_sizes=(type_of(x).shape[0], 1)),
        x,
        dimension_numbers=numbers,
        indices_are_sorted=False,
        unique_indices=True,
        mode=lax.GatherScatterMode.PROMISE_IN_BOUNDS,
    )


scatter_mul = ScatterMul("scatter-mul", lax.scatter_mul)
