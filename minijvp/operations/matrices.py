"""Parts and products of matrices, which are the last two axes, and what primitives on them share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from jax import lax

from minijvp.core.primitive import Axis, Primitive
from minijvp.core.types import Array, ArrayType
from minijvp.errors import ArgumentError
from minijvp.operations.contraction import cast_like, dot_general
from minijvp.operations.elementwise import conj, eq, full_like, ge, is_complex, le, mul, real, select_n
from minijvp.operations.families import (
    add,
    all_batched,
    broadcast_in_dim,
    reduce_sum,
    reshape,
    zeros_like,
)
from minijvp.operations.gather import gather
from minijvp.operations.shape import concatenate, iota, transpose
from minijvp.operations.slicing import slice as static_slice

INDEX = np.dtype(np.int32)
PRECISIONS = frozenset({"float32", "float64", "complex64", "complex128"})
Span = tuple[int, int]


def matmul(x: Array, y: Array) -> Array:
    """The product of matrices, in full precision on every device."""
    n = x.ndim
    kept = tuple(range(n - 2))
    numbers = (((n - 1,), (n - 2,)), (kept, kept))
    return dot_general(x, y, dimension_numbers=numbers, precision=lax.Precision.HIGHEST)


def matrix_transpose(x: Array) -> Array:
    """The matrices with rows and columns exchanged."""
    n = x.ndim
    return transpose(x, permutation=(*range(n - 2), n - 1, n - 2))


def conjugate(x: Array) -> Array:
    """The complex conjugate; a real operand is returned as it is."""
    return conj(x, input_dtype=x.dtype) if is_complex(x) else x


def adjoint(x: Array) -> Array:
    """The conjugate transpose of the matrices."""
    return conjugate(matrix_transpose(x))


def block(x: Array, rows: Span, columns: Span) -> Array:
    """The rows and columns from the first number to before the second."""
    batch = x.shape[:-2]
    if (rows, columns) == ((0, x.shape[-2]), (0, x.shape[-1])):
        return x
    starts, limits = zip(rows, columns, strict=True)
    return static_slice(x, start_indices=(0,) * len(batch) + starts, limit_indices=batch + limits, strides=None)


def stacked_blocks(x: Array, y: Array, axis: int) -> Array:
    """Two blocks, beside each other (axis -1) or one below the other (axis -2)."""
    return concatenate(x, y, dimension=x.ndim + axis)


def band(x: Array, compare: Callable[..., Any], offset: int = 0) -> Array:
    """The elements for which the column number compares so with the row number plus `offset`; zeros elsewhere."""
    rows, columns = (iota(dtype=INDEX, shape=tuple(x.shape), dimension=x.ndim + d) for d in (-2, -1))
    return select_n(compare(columns, add(rows, offset) if offset else rows), zeros_like(x), x)


def lower_triangle(x: Array, offset: int = 0) -> Array:
    """The elements up to the diagonal that lies `offset` to the right of the main one."""
    return band(x, le, offset)


def upper_triangle(x: Array, offset: int = 0) -> Array:
    """The elements from the diagonal that lies `offset` to the right of the main one."""
    return band(x, ge, offset)


def diagonal(x: Array) -> Array:
    """The diagonals of square matrices, as vectors."""
    return reduce_sum(band(x, eq), axes=(x.ndim - 1,))


def identity(x: Array) -> Array:
    """Ones on the diagonal of matrices of the shape and dtype of x, zeros elsewhere."""
    return band(full_like(x, 1), eq)


def along_rows(x: Array, like: Array) -> Array:
    """Vectors as matrices of the shape of `like`: element i fills row i."""
    n = like.ndim
    return broadcast_in_dim(x, shape=tuple(like.shape), broadcast_dimensions=tuple(range(n - 1)))


def along_columns(x: Array, like: Array) -> Array:
    """Vectors as matrices of the shape of `like`: element i fills column i."""
    n = like.ndim
    return broadcast_in_dim(x, shape=tuple(like.shape), broadcast_dimensions=(*range(n - 2), n - 1))


def hermitian(x: Array, lower: bool = True) -> Array:
    """The Hermitian matrices that one triangle of x stands for."""
    half = lower_triangle(x, -1) if lower else upper_triangle(x, 1)
    middle = band(x, eq)
    return add(add(half, adjoint(half)), cast_like(real(middle), x) if is_complex(x) else middle)


def lower_half(x: Array) -> Array:
    """The lower triangle with half the diagonal: of a Hermitian matrix h the part l with l + adjoint(l) = h."""
    return add(lower_triangle(x, -1), mul(band(x, eq), 0.5))


def permuted(x: Array, permutation: Array, axis: int) -> Array:
    """The rows (axis -2) or columns (axis -1) of matrices in the order of `permutation`, which has the same batch."""
    n = x.ndim
    if 0 in x.shape:
        return x
    batch, axis, other = tuple(range(n - 2)), n + axis, n - 3 - axis
    numbers = lax.GatherDimensionNumbers(
        offset_dims=(other,),
        collapsed_slice_dims=(axis,),
        start_index_map=(axis,),
        operand_batching_dims=batch,
        start_indices_batching_dims=batch,
    )
    return gather(
        x,
        reshape(permutation, new_sizes=(*permutation.shape, 1)),
        dimension_numbers=numbers,
        slice_sizes=tuple([x.shape[d] if d == other else 1 for d in range(n)]),
        indices_are_sorted=False,
        unique_indices=True,
        mode=lax.GatherScatterMode.PROMISE_IN_BOUNDS,
        fill_value=None,
    )


class MatrixPrimitive(Primitive):
    """A primitive on matrices and vectors, the last axes of its operands; the axes before them are a common batch."""

    recomputable = "expensive"

    ranks: tuple[int, ...] = (2,)
    """How many axes of each operand are no batch."""

    takes = "a square matrix"
    """What `fits` wants, in the words of an error."""

    dtypes = PRECISIONS

    def fits(self, *shapes: tuple[int, ...], **params: Any) -> bool:
        """Whether matrices and vectors of these shapes, which have no batch axes, belong together."""
        return all(shape[0] == shape[-1] for shape in shapes)

    def type_rule(self, *types: ArrayType, **params: Any) -> Any:
        deep = all(t.ndim >= rank for t, rank in zip(types, self.ranks, strict=True))
        batches = {t.shape[: t.ndim - rank] for t, rank in zip(types, self.ranks, strict=True)}
        shapes = [t.shape[t.ndim - rank :] for t, rank in zip(types, self.ranks, strict=True)]
        if not deep or len(batches) > 1 or not self.fits(*shapes, **params):
            settings = ", ".join(f"{k}={v!r}" for k, v in params.items())
            raise ArgumentError(
                f"{self.name} received {', '.join(map(repr, types))}{' with ' + settings if params else ''}.",
                f"It takes {self.takes}; more axes may lead, the same for every operand.",
                "Correct the shapes; the functions in minijvp.numpy and minijvp.scipy broadcast.",
            )
        if len({t.dtype for t in types}) > 1 or types[0].dtype.name not in self.dtypes:
            raise ArgumentError(
                f"{self.name} received {', '.join(map(repr, types))}.",
                f"Its operands have one dtype among {', '.join(sorted(self.dtypes))}.",
                "Convert them, as in x.astype(jnp.float32).",
            )
        return super().type_rule(*types, **params)

    def batch(self, axis: Axis, args: tuple, batched: tuple[bool, ...], **params: Any) -> tuple[Any, Any]:
        out = self(*all_batched(axis, args, batched), **params)
        return out, (True,) * len(out) if type(out) is tuple else True
