"""Writing: x.at[...], with every index that NumPy knows. With arrays an update is one scatter."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp

from minijvp.control_flow.scatter_apply import apply_at, as_program
from minijvp.core.types import PYTHON_SCALARS, Array, is_key, type_of, wrapped
from minijvp.errors import ArgumentError
from minijvp.numpy.arithmetic import divide, power
from minijvp.numpy.index_layout import Layout
from minijvp.numpy.indexing import is_simple, read, with_weakness
from minijvp.numpy.places import FILL, PROMISE, Place, Span, bounds, places_of
from minijvp.numpy.promotion import array, broadcast, cast, join, kind_of, operand, refuse, scalar_like
from minijvp.numpy.split_results import is_split, read_at, split_result, write_at
from minijvp.operations.dynamic_slicing import dynamic_update_slice
from minijvp.operations.families import broadcast_in_dim, reshape
from minijvp.operations.gather import scatter, scatter_add, scatter_max, scatter_min, scatter_numbers, scatter_sub
from minijvp.operations.scatter_mul import scatter_mul
from minijvp.operations.shape import rev


class At:
    """`x.at`: indexing it gives an IndexUpdate, whose methods return changed copies of x."""

    __slots__ = ("array",)

    def __init__(self, array: Array):
        self.array = array

    def __getitem__(self, index: Any) -> IndexUpdate:
        return IndexUpdate(self.array, index)

    def __repr__(self) -> str:
        return f"At({self.array!r})"


def at(x: Array) -> At:
    """`x.at`, for an array or a tracer."""
    return At(x)


class IndexUpdate:
    """`x.at[index]`. Values are broadcast to the shape of x[index] and cast to the dtype of x.

    All methods take the options

    - mode: what happens to indices out of bounds. "drop" or "fill" (the default of updates; reading gives
      `fill_value`), "clip" to the last element, "wrap" around, or "promise_in_bounds" (the default of `get`).
    - indices_are_sorted, unique_indices: promises that may make it faster, and for `multiply` differentiable.
    - wrap_negative_indices: whether negative indices count from the end.
    """

    __slots__ = ("array", "index")

    def __init__(self, array: Array, index: Any):
        self.array = array
        self.index = index

    def __repr__(self) -> str:
        return f"IndexUpdate({self.array!r}, {self.index!r})"

    def get(
        self,
        *,
        indices_are_sorted: bool = False,
        unique_indices: bool = False,
        mode: Any = None,
        fill_value: Any = None,
        out_sharding: Any = None,
        wrap_negative_indices: bool = True,
        strategy: str = "auto",
    ) -> Array:
        """x[index], with a choice of what is read out of bounds; "fill" gives nan, or the smallest integer."""
        refuse("ndarray.at", "strategy", strategy, "auto")
        if out_sharding is not None:
            options = chosen_options(indices_are_sorted, unique_indices, mode, wrap_negative_indices)
            how = {"fill_value": fill_value, "out_sharding": out_sharding, **options}
            return split_result(read_at, "ndarray.at", self.array, self.index, **how)
        rules = bounds(mode, PROMISE, wrap_negative_indices)._replace(checked=True)
        return read(self.array, self.index, rules, fill_value, indices_are_sorted, unique_indices)

    def set(self, values: Any, **options: Any) -> Array:
        """x with the values at the index."""
        return write(scatter, self.array, self.index, values, **options)

    def add(self, values: Any, **options: Any) -> Array:
        """x with the values added at the index; those of repeated indices add up."""
        return write(scatter_add, self.array, self.index, values, **options)

    def subtract(self, values: Any, **options: Any) -> Array:
        """x with the values subtracted at the index, repeatedly at repeated indices."""
        return write(scatter_sub, self.array, self.index, values, **options)

    def multiply(self, values: Any, **options: Any) -> Array:
        """x multiplied by the values at the index, repeatedly at repeated indices."""
        return write(scatter_mul, self.array, self.index, values, **options)

    mul = multiply

    def divide(self, values: Any, **options: Any) -> Array:
        """x divided by the values at the index, repeatedly at repeated indices."""
        return divide(self.array, self._factors(values, options))

    def power(self, values: Any, **options: Any) -> Array:
        """x to the power of the values at the index, repeatedly at repeated indices."""
        return power(self.array, self._factors(values, options))

    def min(self, values: Any, **options: Any) -> Array:
        """The smaller of x and the values at the index."""
        return write(scatter_min, self.array, self.index, values, **options)

    def max(self, values: Any, **options: Any) -> Array:
        """The larger of x and the values at the index."""
        return write(scatter_max, self.array, self.index, values, **options)

    def apply(
        self,
        func: Callable[[Any], Any],
        *,
        indices_are_sorted: bool = False,
        unique_indices: bool = False,
        mode: Any = None,
        wrap_negative_indices: bool = True,
    ) -> Array:
        """x with a function of one number applied to each element at the index, repeatedly at repeated indices.

        Raises ArgumentError if `func` does not return one number of the dtype of x.
        """
        x = array(self.array, "ndarray.at")
        rules = bounds(mode, FILL, wrap_negative_indices)
        layout = Layout(places_of(self.index, x.shape, rules), x.shape)
        program, constants = as_program(func, type_of(x))
        if 0 in layout.shape or 0 in x.shape:
            return x
        table, in_order, unique = layout.table(rules)
        return apply_at(
            x,
            table,
            program,
            constants,
            dimension_numbers=scatter_numbers(layout.numbers),
            update_shape=layout.inner,
            indices_are_sorted=bool(indices_are_sorted or in_order),
            unique_indices=bool(unique_indices or unique),
            mode=rules.mode,
        )

    def _factors(self, values: Any, options: dict[str, Any]) -> Array:
        """The values at the index, and 1 elsewhere."""
        t = type_of(self.array)
        ones = broadcast_in_dim(t.dtype.type(1), shape=t.shape, broadcast_dimensions=())
        return write(scatter_mul, with_weakness(ones, t.weak_type), self.index, values, **options)


def write(
    operation: Any,
    x: Array,
    index: Any,
    values: Any,
    *,
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
    mode: Any = None,
    out_sharding: Any = None,
    wrap_negative_indices: bool = True,
) -> Array:
    """`x` with an operation of scatter between what stands at the index and the values."""
    x = array(x, "ndarray.at")
    if out_sharding is not None or is_split(type_of(x)):  # what JAX does then depends on how all operands are split
        how = chosen_options(indices_are_sorted, unique_indices, mode, wrap_negative_indices)
        how.update(method=METHODS[operation], out_sharding=out_sharding)
        return split_result(write_at, "ndarray.at", x, index, values, **how)
    kind = kind_of(x)
    rules = bounds(mode, FILL, wrap_negative_indices)
    places = places_of(index, x.shape, rules)
    layout = Layout(places, x.shape)
    y = values if type(values) in PYTHON_SCALARS else operand(listed(values), "ndarray.at")
    require_fit(type_of(y).shape, layout.shape)
    if 0 in layout.shape or 0 in x.shape:
        return x
    x, y = in_one_dtype(operation, x, y)
    y = arranged(y, layout)
    # No rows, and nothing out of bounds: a block at a place that is known.
    if operation is scatter and layout.known and not layout.rows and is_simple(places, x.shape, rules):
        out = write_block(x, y, places, layout)
    else:
        table, in_order, unique = layout.table(rules)
        out = operation(
            x,
            table,
            y,
            dimension_numbers=scatter_numbers(layout.numbers),
            indices_are_sorted=bool(indices_are_sorted or in_order),
            unique_indices=bool(unique_indices or unique),
            mode=rules.mode,
        )
    return with_weakness(cast(out, kind), kind[1])


METHODS = {
    scatter: "set",
    scatter_add: "add",
    scatter_sub: "subtract",
    scatter_mul: "multiply",
    scatter_min: "min",
    scatter_max: "max",
}
"""What the operations are called as methods of `x.at[index]`."""


def chosen_options(
    indices_are_sorted: bool, unique_indices: bool, mode: Any, wrap_negative_indices: bool
) -> dict[str, Any]:
    """The options of reading and writing that are not the default ones."""
    given = dict(indices_are_sorted=indices_are_sorted, unique_indices=unique_indices, mode=mode)
    given = {name: value for name, value in given.items() if value}
    return given if wrap_negative_indices else {**given, "wrap_negative_indices": False}


def listed(values: Any) -> Array:
    """Values as the user gave them, a list of numbers as an array."""
    return jnp.asarray(values) if isinstance(values, (list, tuple)) else values


def require_fit(given: tuple[int, ...], shape: tuple[int, ...]) -> None:
    """Raise ArgumentError unless values of one shape broadcast to the other."""
    if len(given) <= len(shape) and all(m in (1, n) for m, n in zip(reversed(given), reversed(shape))):
        return
    raise ArgumentError(
        f"x.at[index] received values of shape {given} for x[index] of shape {shape}.",
        "Values are broadcast to the shape of what they replace.",
        "Correct the values or the index; v[:, None] adds an axis.",
    )


def in_one_dtype(operation: Any, x: Array, y: Array) -> tuple[Any, Any]:
    """Operand and values in the dtype in which they meet: that of x, unless the values do not fit into it."""
    if is_key(x.dtype) and type_of(y).dtype == x.dtype:
        return x, y
    joint = join([kind_of(x), kind_of(y)])
    if joint[0] != x.dtype:
        warnings.warn(
            f"x.at[index] received values of {type_of(y).dtype.name}, which do not fit into an array of {x.dtype.name}:"
            " the result is cast back. JAX will make this an error; convert the values or the array.",
            FutureWarning,
            stacklevel=4,
        )
    x = cast(x, joint)
    if x.dtype.kind == "b" and operation in (scatter_add, scatter_sub, scatter_mul):
        raise ArgumentError(
            f"x.at[index] received booleans for {operation.name}.",
            "Booleans have no arithmetic.",
            "Convert x to integers, or use max (or) and min (and).",
        )
    if type(y) in PYTHON_SCALARS:
        return x, wrapped(scalar_like(y, x.dtype), x.dtype)
    return x, cast(y, (x.dtype, False))


def arranged(y: Array, layout: Layout) -> Array:
    """Values as a scatter takes them: all axes but the new ones, in the operand's direction."""
    if not type_of(y).shape:
        return broadcast_in_dim(y, shape=layout.inner, broadcast_dimensions=())
    y = broadcast(y, layout.shape)
    if layout.shape != layout.inner:
        y = reshape(y, new_sizes=layout.inner)
    return rev(y, dimensions=layout.backwards) if layout.backwards else y


def write_block(x: Array, y: Array, places: Sequence[Place], layout: Layout) -> Array:
    """`x` with a contiguous block at a static place replaced."""
    if layout.sizes == x.shape:
        return y if y.shape == x.shape else reshape(y, new_sizes=x.shape)
    starts = [0] * len(x.shape)
    for p in places:
        if isinstance(p, Span):
            starts[p.axis] = p.start
        elif p is not None:
            starts[p.axis] = p.index
    return dynamic_update_slice(x, y if y.shape == layout.sizes else reshape(y, new_sizes=layout.sizes), *starts)
