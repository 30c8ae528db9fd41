"""Linear algebra: products and solutions of linear systems, and the decompositions that need nothing else.

Matrices are the last two axes; axes before them are a batch. A triangular or Hermitian operand is read from one
triangle, and so are its tangents. Sources: I. Murray, Differentiation of the Cholesky decomposition (2016), for
cholesky and cholesky_update; F. R. de Hoog, R. S. Anderssen and M. A. Lukas, Differentiation of matrix functionals
using triangular factorization (2011), for lu.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

from jax import lax

from minijvp.core.primitive import Axis, Nondifferentiable
from minijvp.core.types import Array
from minijvp.operations.elementwise import eq, full_like, is_complex, mul, neg, select_n, solution, sub
from minijvp.operations.families import (
    add,
    add_tangents,
    is_linear,
    reshape,
    zeros_like,
)
from minijvp.operations.matrices import (
    PRECISIONS,
    MatrixPrimitive,
    along_columns,
    along_rows,
    band,
    block,
    conjugate,
    hermitian,
    lower_half,
    lower_triangle,
    matmul,
    matrix_transpose,
    permuted,
    stacked_blocks,
    upper_triangle,
)
from minijvp.operations.shape import move_axis
from minijvp.operations.slicing import pad, zero

# Products and linear systems


class SymmetricProduct(MatrixPrimitive):
    """alpha * x @ x.T + beta * y for real x and symmetric y. Some devices compute the lower triangle only."""

    own_derivative = True
    ranks = (2, 2)
    takes = "a matrix and a square one with as many rows"
    dtypes = frozenset({"float32", "float64"})

    def fits(self, *shapes: tuple[int, ...], **params: Any) -> bool:
        x, y = shapes
        return x[0] == y[0] == y[1]

    def impl(self, x: Array, y: Array, *, alpha: float, beta: float) -> Array:
        return lax.linalg.symmetric_product(x, y, alpha=alpha, beta=beta)

    def jvp(self, primals: tuple, tangents: tuple, *, alpha: float, beta: float) -> tuple[Any, Any]:
        (x, y), (t_x, t_y) = primals, tangents
        tangent = None
        if t_x is not None:
            half = mul(matmul(t_x, matrix_transpose(x)), float(alpha))
            tangent = add(half, matrix_transpose(half))
        if t_y is not None and beta:
            tangent = add_tangents(tangent, mul(t_y, float(beta)))
        return self(x, y, alpha=alpha, beta=beta), tangent


class TriangularSolve(MatrixPrimitive):
    """The solution x of op(a) x = b, or of x op(a) = b unless `left_side`, for a triangular matrix a.

    The triangle is `lower` or upper, and nothing else is read, nor the diagonal if it is `unit_diagonal`. op(a) is a,
    transposed if `transpose_a` and conjugate if `conjugate_a`. Linear in b.
    """

    ranks = (2, 2)
    takes = "a square matrix a, and a matrix b with as many rows (columns, if not left_side)"
    dtypes = PRECISIONS | {"bfloat16", "float16"}

    def fits(self, *shapes: tuple[int, ...], **params: Any) -> bool:
        a, b = shapes
        return a[0] == a[1] == b[0 if params["left_side"] else 1]

    def impl(self, a: Array, b: Array, **params: Any) -> Array:
        return lax.linalg.triangular_solve(a, b, **params)

    def jvp(self, primals: tuple, tangents: tuple, **params: Any) -> tuple[Any, Any]:
        (a, b), (t_a, t_b) = primals, tangents
        out = self(a, b, **params)
        change = t_b if t_a is None else add_tangents(neg(self.product(t_a, out, **params)), t_b)
        return out, None if change is None else self(a, change, **params)

    def product(self, a: Array, x: Array, *, left_side: bool, lower: bool, unit_diagonal: bool, **params: Any) -> Array:
        """op(a) x, or x op(a) unless `left_side`, where only what is read of `a` is not zero."""
        offset = 1 if unit_diagonal else 0
        a = lower_triangle(a, -offset) if lower else upper_triangle(a, offset)
        a = matrix_transpose(a) if params["transpose_a"] else a
        a = conjugate(a) if params["conjugate_a"] else a
        return matmul(a, x) if left_side else matmul(x, a)

    def taylor(self, primals: tuple, series: tuple, **params: Any) -> Any:
        a, b = series
        product = lambda j, x: None if a is None or a[j] is None else self.product(a[j], x, **params)
        return solution(self(*primals, **params), b, product, lambda change: self(primals[0], change, **params))

    def transpose(self, ct: Array, a: Any, b: Any, *, transpose_a: bool, **params: Any) -> Any:
        if is_linear(a):
            raise self.missing("transpose")
        return None, self(a, ct, transpose_a=not transpose_a, **params)

    def batch(self, axis: Axis, args: tuple, batched: tuple[bool, ...], **params: Any) -> tuple[Any, Any]:
        if batched[0]:
            return super().batch(axis, args, batched, **params)
        return solve_side_by_side(axis, args[-1], lambda b: self(args[0], b, **params), params["left_side"]), True


class TridiagonalSolve(MatrixPrimitive):
    """The solution x of the tridiagonal system with the given diagonals and the right sides b [..., n, k].

    All diagonals have n elements: the first of `lower` and the last of `upper` are not read. A singular system gets a
    finite answer if `perturb_singular`. Linear in b.
    """

    ranks = (1, 1, 1, 2)
    takes = "three diagonals of one length n, and a matrix with n rows"

    def fits(self, *shapes: tuple[int, ...], **params: Any) -> bool:
        return all(shape[0] == shapes[-1][0] for shape in shapes)

    def impl(self, lower: Array, middle: Array, upper: Array, b: Array, *, perturb_singular: bool) -> Array:
        return lax.linalg.tridiagonal_solve(lower, middle, upper, b, perturb_singular=perturb_singular)

    def jvp(self, primals: tuple, tangents: tuple, **params: Any) -> tuple[Any, Any]:
        out = self(*primals, **params)
        product = self.product(tangents[:3], out)
        change = tangents[3] if product is None else add_tangents(neg(product), tangents[3])
        return out, None if change is None else self(*primals[:3], change, **params)

    def product(self, diagonals: Sequence[Any], x: Array) -> Any:
        """The product of a matrix with the vectors x, None if all of its diagonals are."""
        found = None
        for d, rows in zip(diagonals, (shifted_rows(x, 1), x, shifted_rows(x, -1)), strict=True):
            if d is not None:
                found = add_tangents(found, mul(along_rows(d, rows), rows))
        return found

    def taylor(self, primals: tuple, series: tuple, **params: Any) -> Any:
        product = lambda j, x: self.product([s and s[j] for s in series[:3]], x)
        solve = lambda change: self(*primals[:3], change, **params)
        return solution(self(*primals, **params), series[3], product, solve)

    def transpose(self, ct: Array, lower: Any, middle: Any, upper: Any, b: Any, **params: Any) -> Any:
        if any(map(is_linear, (lower, middle, upper))):
            raise self.missing("transpose")
        return None, None, None, self(shifted_vector(upper, 1), middle, shifted_vector(lower, -1), ct, **params)

    def batch(self, axis: Axis, args: tuple, batched: tuple[bool, ...], **params: Any) -> tuple[Any, Any]:
        if any(batched[:3]):
            return super().batch(axis, args, batched, **params)
        return solve_side_by_side(axis, args[-1], lambda b: self(*args[:3], b, **params), True), True


def solve_side_by_side(axis: Axis, b: Array, solve: Callable[[Any], Any], left_side: bool) -> Array:
    """The solutions for a batch of right sides: as the columns (rows, if not `left_side`) of one matrix."""
    n = b.ndim
    place = n - 2 if left_side else n - 3
    moved = move_axis(b, 0, place)
    *batch, rows, columns = b.shape[1:]
    joined = (rows, axis.size * columns) if left_side else (axis.size * rows, columns)
    out = solve(reshape(moved, new_sizes=(*batch, *joined)))
    return move_axis(reshape(out, new_sizes=tuple(moved.shape)), place, 0)


def shifted_rows(x: Array, by: int) -> Array:
    """Matrices with row i in the place of row i + by; zeros come in."""
    return pad(x, zero(x), padding_config=((0, 0, 0),) * (x.ndim - 2) + ((by, -by, 0), (0, 0, 0)))


def shifted_vector(x: Array, by: int) -> Array:
    """Vectors with element i in the place of element i + by; zeros come in."""
    return pad(x, zero(x), padding_config=((0, 0, 0),) * (x.ndim - 1) + ((by, -by, 0),))


symmetric_product = SymmetricProduct("symmetric_product")
triangular_solve = TriangularSolve("triangular_solve")
tridiagonal_solve = TridiagonalSolve("tridiagonal_solve")


def solve_triangle(a: Array, b: Array, *, right: bool = False, **params: bool) -> Array:
    """The solution of a x = b, or of x a = b, for an upper triangular a unless `params` say otherwise."""
    usual = dict(lower=False, transpose_a=False, conjugate_a=False, unit_diagonal=False)
    return triangular_solve(a, b, left_side=not right, **{**usual, **params})


def solve(a: Array, b: Array) -> Array:
    """The solution of a x = b for a square matrix a."""
    packed, _, permutation = lu(a)
    b = solve_triangle(packed, permuted(b, permutation, -2), lower=True, unit_diagonal=True)
    return solve_triangle(packed, b)


# Triangular decompositions


class Cholesky(MatrixPrimitive):
    """The lower triangular l with l @ adjoint(l) = x, for a Hermitian positive definite x, else nan.

    Only the lower triangle of x is read.
    """

    own_derivative = True  # JAX's reads both triangles
    takes = "a square matrix, of which it reads the lower triangle"

    def impl(self, x: Array) -> Array:
        return lax.linalg.cholesky(x, symmetrize_input=False)

    def jvp(self, primals: tuple, tangents: tuple) -> tuple[Any, Any]:
        out = self(*primals)
        (t,) = tangents
        if t is None:
            return out, None
        left = solve_triangle(out, hermitian(t), lower=True)
        both = solve_triangle(out, left, right=True, lower=True, transpose_a=True, conjugate_a=is_complex(out))
        return out, matmul(out, lower_half(both))


class CholeskyUpdate(MatrixPrimitive):
    """The upper triangular s with s.T @ s = r.T @ r + outer(w, w), for a real upper triangular r and a vector w."""

    own_derivative = True
    ranks = (2, 1)
    takes = "a square upper triangular matrix and a vector of its size"
    dtypes = frozenset({"float32", "float64"})

    def fits(self, *shapes: tuple[int, ...], **params: Any) -> bool:
        r, w = shapes
        return r[0] == r[1] == w[0]

    def impl(self, r: Array, w: Array) -> Array:
        if r.ndim == 2:
            return lax.linalg.cholesky_update(r, w)
        count, n = prod(r.shape[:-2]), r.shape[-1]  # JAX's own has no batches
        rows = r.reshape(count, n, n), w.reshape(count, n)
        out = lax.map(lambda row: lax.linalg.cholesky_update(*row), rows)
        return out.reshape(r.shape)

    def jvp(self, primals: tuple, tangents: tuple) -> tuple[Any, Any]:
        (r, w), (t_r, t_w) = primals, tangents
        out = self(r, w)
        half = None if t_r is None else matmul(matrix_transpose(r), upper_triangle(t_r))
        if t_w is not None:
            half = add_tangents(half, mul(along_rows(w, out), along_columns(t_w, out)))
        if half is None:
            return out, None
        left = solve_triangle(out, add(half, matrix_transpose(half)), transpose_a=True)
        both = solve_triangle(out, left, right=True)
        return out, matmul(matrix_transpose(lower_half(both)), out)


class LU(MatrixPrimitive):
    """(lu, pivots, permutation): x[permutation] = l @ u, with both triangles in one matrix; l has a unit diagonal.

    Row i was exchanged with row pivots[i], one after the other, which makes the permutation.
    """

    own_derivative = True
    takes = "a matrix"

    def fits(self, *shapes: tuple[int, ...], **params: Any) -> bool:
        return True

    def impl(self, x: Array) -> Any:
        return tuple(lax.linalg.lu(x))

    def jvp(self, primals: tuple, tangents: tuple) -> tuple[Any, Any]:
        packed, pivots, permutation = self(*primals)
        (t,) = tangents
        tangent = None if t is None else lu_tangent(packed, permuted(t, permutation, -2))
        return (packed, pivots, permutation), (tangent, None, None)


def lu_tangent(packed: Array, t: Array) -> Array:
    """The tangents of l and u, in one matrix, where t is the tangent of l @ u.

    A pivot that is 0 counts as 1. For the last one of a square matrix this is exact: below it there is nothing.
    """
    m, n = packed.shape[-2:]
    k = min(m, n)
    top, first = (0, k), (0, k)
    square = block(packed, top, first)
    square = add(square, band(select_n(eq(square, 0.0), zeros_like(square), full_like(square, 1)), eq))
    left = solve_triangle(square, block(t, top, (0, n)), lower=True, unit_diagonal=True)
    both = solve_triangle(square, block(left, top, first), right=True)
    t_l = lower_triangle(both, -1)
    t_u = matmul(upper_triangle(both), upper_triangle(square))
    out = add(add(t_l, matmul(lower_triangle(square, -1), t_l)), t_u)
    if n > k:
        beside = sub(block(left, top, (k, n)), matmul(t_l, block(packed, top, (k, n))))
        return stacked_blocks(out, beside, -1)
    if m > k:
        rest = sub(block(t, (k, m), first), matmul(block(packed, (k, m), first), t_u))
        return stacked_blocks(out, solve_triangle(square, rest, right=True), -2)
    return out


class PivotsToPermutation(MatrixPrimitive, Nondifferentiable):
    """The permutation of `permutation_size` rows that the exchanges `pivots` of lu make."""

    recomputable = "moderate"
    ranks = (1,)
    takes = "a vector of pivots, no longer than permutation_size"
    dtypes = frozenset({"int32"})

    def fits(self, *shapes: tuple[int, ...], **params: Any) -> bool:
        return shapes[0][0] <= params["permutation_size"]

    def impl(self, pivots: Array, *, permutation_size: int) -> Array:
        return lax.linalg.lu_pivots_to_permutation(pivots, permutation_size)


cholesky = Cholesky("cholesky")
cholesky_update = CholeskyUpdate("cholesky_update")
lu = LU("lu")
lu_pivots_to_permutation = PivotsToPermutation("lu_pivots_to_permutation")
