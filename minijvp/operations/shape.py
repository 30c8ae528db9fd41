"""Operations that move elements without computing: iota, transpose, squeeze, concatenate, rev."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jax import lax

from minijvp.core.primitive import Axis, Primitive
from minijvp.core.types import Array, ArrayType, Axes, type_of
from minijvp.dimensions import is_symbolic
from minijvp.errors import ArgumentError
from minijvp.operations.casting import convert_element_type
from minijvp.operations.families import (
    LinearPrimitive,
    broadcast_in_dim,
    instantiate,
    is_linear,
    leading_axis,
    reshape,
    shifted,
)
from minijvp.operations.slicing import slice as static_slice


class Iota(Primitive):
    """0, 1, 2, ... along one axis of an array of a given shape."""

    recomputable = "free"

    def impl(self, *, dtype: Any, shape: tuple[int, ...], dimension: int) -> Array:
        return lax.broadcasted_iota(dtype, shape, dimension)

    def type_rule(self, *, dtype: Any, shape: tuple[int, ...], dimension: int) -> ArrayType:
        return ArrayType(shape, dtype)


class DimensionAsValue(Primitive):
    """A size that is symbolic, as a number: known when the exported program is called."""

    recomputable = "free"

    def impl(self, *, dim: Any) -> Array:
        return dim.__jax_array__()


class Transpose(LinearPrimitive):
    """The axes in another order: axis i of the result is axis `permutation[i]` of the operand."""

    recomputable = "free"

    def impl(self, x: Array, *, permutation: Axes) -> Array:
        return lax.transpose(x, permutation)

    def type_rule(self, x: ArrayType, *, permutation: Axes) -> ArrayType:
        if sorted(permutation) != list(range(x.ndim)):
            raise ArgumentError(
                f"transpose of {x!r} by {permutation}.",
                f"That is no permutation of the {x.ndim} axes.",
                "Name every axis once, counted from 0.",
            )
        return ArrayType(tuple([x.shape[d] for d in permutation]), x.dtype, x.weak_type)

    def transpose(self, ct: Array, x: ArrayType, *, permutation: Axes) -> Array:
        return self(ct, permutation=tuple(sorted(range(len(permutation)), key=permutation.__getitem__)))

    def batch(self, axis: Axis, args: tuple, batched: Any, *, permutation: Axes) -> tuple[Any, Any]:
        return self(*args, permutation=(0, *shifted(permutation))), True


class Squeeze(LinearPrimitive):
    """The operand without some axes of size 1."""

    recomputable = "free"

    def impl(self, x: Array, *, dimensions: Axes) -> Array:
        return lax.squeeze(x, dimensions)

    def type_rule(self, x: ArrayType, *, dimensions: Axes) -> ArrayType:
        if any(not 0 <= d < x.ndim or x.shape[d] != 1 for d in dimensions):
            raise ArgumentError(
                f"squeeze of {x!r} along axes {dimensions}.",
                "It removes axes of size 1, counted from 0.",
                "Name axes of size 1; reshape changes sizes, reduce_sum and other reductions remove larger axes.",
            )
        return ArrayType(tuple([n for d, n in enumerate(x.shape) if d not in dimensions]), x.dtype, x.weak_type)

    def transpose(self, ct: Array, x: ArrayType, *, dimensions: Axes) -> Array:
        return reshape(ct, new_sizes=x.shape)

    def batch(self, axis: Axis, args: tuple, batched: Any, *, dimensions: Axes) -> tuple[Any, Any]:
        return self(*args, dimensions=shifted(dimensions)), True


class Concatenate(LinearPrimitive):
    """The operands one after the other along one axis."""

    linear_arguments = None

    def impl(self, *xs: Array, dimension: int) -> Array:
        return lax.concatenate(xs, dimension)

    def type_rule(self, *types: ArrayType, dimension: int) -> ArrayType:
        total = 0
        for t in types:
            before, after = t.shape[:dimension], t.shape[dimension + 1 :]
            like = types[0].shape[:dimension], types[0].shape[dimension + 1 :]
            if not 0 <= dimension < t.ndim or (before, after) != like or t.dtype != types[0].dtype:
                raise ArgumentError(
                    f"concatenate of {', '.join(map(repr, types))} along axis {dimension}.",
                    "The operands must have that axis, and agree in dtype and in all other axes.",
                    "The functions in minijvp.numpy promote, and count axes from the end too.",
                )
            total += t.shape[dimension]
        shape = (*types[0].shape[:dimension], total, *types[0].shape[dimension + 1 :])
        return ArrayType(shape, types[0].dtype, all(t.weak_type for t in types))

    def transpose(self, ct: Array, *xs: Any, dimension: int) -> Any:
        cts, start, shape = [], 0, type_of(ct).shape
        for x in xs:
            n = type_of(x).shape[dimension] if not is_linear(x) else x.shape[dimension]
            starts = tuple([start if d == dimension else 0 for d in range(len(shape))])
            limits = tuple([start + n if d == dimension else m for d, m in enumerate(shape)])
            cts.append(
                static_slice(ct, start_indices=starts, limit_indices=limits, strides=None) if is_linear(x) else None
            )
            start += n
        return tuple(cts)

    def batch(self, axis: Axis, args: tuple, batched: tuple[bool, ...], *, dimension: int) -> tuple[Any, Any]:
        rows = [leading_axis(axis, x, b) for x, b in zip(args, batched, strict=True)]
        return self(*rows, dimension=dimension + 1), True


class Split(LinearPrimitive):
    """Consecutive pieces of the operand along one axis, of these sizes."""

    recomputable = "free"

    def impl(self, x: Array, *, sizes: tuple[int, ...], axis: int) -> Any:
        return tuple(lax.split(x, sizes, axis))

    def type_rule(self, x: ArrayType, *, sizes: tuple[int, ...], axis: int) -> tuple[ArrayType, ...]:
        if not 0 <= axis < x.ndim or sum(sizes) != x.shape[axis] or min(sizes, default=0) < 0:
            raise ArgumentError(
                f"split of {x!r} along axis {axis} into pieces of sizes {sizes}.",
                "There must be such an axis, counted from 0, and the sizes must add up to its own.",
            )
        return tuple([x.with_shape((*x.shape[:axis], n, *x.shape[axis + 1 :])) for n in sizes])

    def transpose(self, ct: tuple, x: ArrayType, *, sizes: tuple[int, ...], axis: int) -> Array:
        spec = x.placement.spec if x.placement else ()
        types = [x.strong().placed(t.shape, spec) for t in self.type_rule(x.strong(), sizes=sizes, axis=axis)]
        return concatenate(*map(instantiate, ct, types), dimension=axis)

    def batch(self, axis_of_batch: Axis, args: tuple, batched: Any, *, sizes: Any, axis: int) -> tuple[Any, Any]:
        return self(*args, sizes=sizes, axis=axis + 1), (True,) * len(sizes)


class Rev(LinearPrimitive):
    """The operand with some axes in reverse order."""

    def impl(self, x: Array, *, dimensions: Axes) -> Array:
        return lax.rev(x, dimensions)

    def type_rule(self, x: ArrayType, *, dimensions: Axes) -> ArrayType:
        if len(set(dimensions).intersection(range(x.ndim))) != len(dimensions):
            raise ArgumentError(
                f"rev of {x!r} along axes {dimensions}.", "It reverses different axes of the operand, counted from 0."
            )
        return x

    def transpose(self, ct: Array, x: ArrayType, *, dimensions: Axes) -> Array:
        return self(ct, dimensions=dimensions)

    def batch(self, axis: Axis, args: tuple, batched: Any, *, dimensions: Axes) -> tuple[Any, Any]:
        return self(*args, dimensions=shifted(dimensions)), True


iota = Iota("iota")
dim_as_value = DimensionAsValue("dim_as_value")
transpose = Transpose("transpose")
squeeze = Squeeze("squeeze")
concatenate = Concatenate("concatenate")
split = Split("split")
rev = Rev("rev")


def size_beside(n: Any, x: Array) -> Any:
    """A size as an operand beside `x`: a number, or where it is symbolic, an array of the shape and dtype of `x`."""
    if not is_symbolic(n):
        return n
    number = convert_element_type(dim_as_value(dim=n), new_dtype=type_of(x).dtype)
    return broadcast_in_dim(number, shape=type_of(x).shape, broadcast_dimensions=())


def expand_dims(x: Array, dimensions: Sequence[int]) -> Array:
    """The operand with axes of size 1 at these places of the result."""
    shape = type_of(x).shape
    n = len(shape) + len(dimensions)
    new = {d % n for d in dimensions}
    rest = iter(shape)
    return reshape(x, new_sizes=tuple([1 if d in new else next(rest) for d in range(n)]))


def move_axis(x: Array, source: int, destination: int) -> Array:
    """The operand with one axis in another place."""
    n = len(type_of(x).shape)
    source, destination = source % n, destination % n
    if source == destination:
        return x
    order = [d for d in range(n) if d != source]
    order.insert(destination, source)
    return transpose(x, permutation=tuple(order))
