"""Decompositions into reflections: qr, its parts, and what multiplies by them.

Sources of the derivatives: J. Townsend, Differentiating the QR decomposition (2018), and J. Roberts and A. Roberts,
QR and LQ decomposition matrix backpropagation algorithms for square, wide, and deep matrices (2020), for q and r.
G. Ballard et al., Reconstructing Householder vectors from tall-skinny QR (2014), for the reflections: their product is
I - v T adjoint(v) with v unit lower triangular and T upper triangular, so that I - q has the factors of lu. The columns
that complete q to a square matrix follow from v.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import lax

from minijvp.core.types import Array, ArrayType
from minijvp.operations.contraction import cast_like
from minijvp.operations.elementwise import eq, is_complex, mul, neg, real, sub
from minijvp.operations.families import add, add_tangents, is_linear, zeros
from minijvp.operations.linear_algebra import lu_tangent, solve_triangle
from minijvp.operations.matrices import (
    MatrixPrimitive,
    adjoint,
    along_rows,
    band,
    block,
    conjugate,
    diagonal,
    identity,
    lower_triangle,
    matmul,
    permuted,
    stacked_blocks,
    upper_triangle,
)


class QR(MatrixPrimitive):
    """(q, r): x = q @ r with orthonormal columns q and r upper triangular; q is square if `full_matrices`.

    With `pivoting` (q, r, permutation): x[:, permutation] = q @ r, and the diagonal of r decreases.
    """

    own_derivative = True
    takes = "a matrix"

    def fits(self, *shapes: tuple[int, ...], **params: Any) -> bool:
        return True

    def impl(self, x: Array, *, pivoting: bool, full_matrices: bool, use_magma: bool | None = None) -> Any:
        return tuple(lax.linalg.qr(x, pivoting=pivoting, full_matrices=full_matrices, use_magma=use_magma))

    def jvp(self, primals: tuple, tangents: tuple, **params: Any) -> tuple[Any, Any]:
        (x,), (t,) = primals, tangents
        out = self(x, **params)
        if t is None:
            return out, (None,) * len(out)
        q, r, *permutation = out
        if permutation:
            x, t = (permuted(a, permutation[0], -1) for a in (x, t))
        m, n = t.shape[-2:]
        if not params["full_matrices"] or m <= n:
            t_q, t_r = qr_tangents(q, r, t)
        else:
            t_thin, t_r = qr_tangents(block(q, (0, m), (0, n)), block(r, (0, n), (0, n)), t)
            t_q = stacked_blocks(t_thin, _completing_tangent(geqrf(x)[0], q, t_thin), -1)
            t_r = stacked_blocks(t_r, zeros(shape=(*t.shape[:-2], m - n, n), dtype=t.dtype), -2)
        return out, (t_q, t_r, *(None for _ in permutation))


def qr_tangents(q: Array, r: Array, t: Array) -> tuple[Any, Any]:
    """The tangents of q, without columns that complete it, and of r, where t is the tangent of q @ r."""
    m, n = t.shape[-2:]
    k = min(m, n)
    square = block(r, (0, k), (0, k))
    moved = solve_triangle(square, block(t, (0, m), (0, k)), right=True)
    inside = matmul(adjoint(q), moved)
    below = lower_triangle(inside, -1)
    turn = sub(below, adjoint(below))
    if is_complex(q):
        turn = add(turn, sub(band(inside, eq), cast_like(real(band(inside, eq)), inside)))
    t_q = matmul(q, turn) if m == k else add(moved, matmul(q, sub(turn, inside)))
    t_r = matmul(sub(inside, turn), square)
    if n > k:
        rest = matmul(adjoint(q), block(t, (0, m), (k, n)))
        t_r = stacked_blocks(t_r, sub(rest, matmul(turn, block(r, (0, k), (k, n)))), -1)
    return t_q, t_r


def _completing_tangent(packed: Array, q: Array, t_thin: Array) -> Array:
    """The tangent of the columns that complete q: they are I + (q_thin - I) adjoint(z), z = v_bottom / v_top."""
    m, n = t_thin.shape[-2:]
    v = reflectors(packed, n)
    top, bottom = block(v, (0, n), (0, n)), block(v, (n, m), (0, n))
    z = solve_triangle(top, bottom, right=True, lower=True, unit_diagonal=True)
    t_top, t_bottom = block(t_thin, (0, n), (0, n)), block(t_thin, (n, m), (0, n))
    fixed = add(block(q, (0, m), (0, n)), matmul(block(q, (0, m), (n, m)), z))
    return sub(matmul(t_thin, adjoint(z)), matmul(fixed, adjoint(sub(t_bottom, matmul(z, t_top)))))


class Reflections(MatrixPrimitive):
    """(packed, taus): the qr decomposition with q as the reflections that make it.

    r is the upper triangle of `packed`, and q the product of I - tau v adjoint(v) for the columns v of the lower one,
    with ones on the diagonal.
    """

    own_derivative = True
    takes = "a matrix"

    def fits(self, *shapes: tuple[int, ...], **params: Any) -> bool:
        return True

    def impl(self, x: Array) -> Any:
        packed, taus = jnp.linalg.qr(x, mode="raw")
        return jnp.swapaxes(packed, -1, -2), taus

    def jvp(self, primals: tuple, tangents: tuple) -> tuple[Any, Any]:
        packed, taus = self(*primals)
        (t,) = tangents
        return (packed, taus), (None, None) if t is None else _reflections_tangents(packed, taus, t)


class PivotedReflections(MatrixPrimitive):
    """(packed, pivots, taus): as geqrf, of the columns in the order of the pivots, which count from 1.

    The argument `free` is a vector of zeros, one for each column: all of them may change places.
    """

    own_derivative = True
    ranks = (2, 1)
    takes = "a matrix, and an integer for each of its columns"

    def fits(self, *shapes: tuple[int, ...], **params: Any) -> bool:
        return shapes[0][1] == shapes[1][0]

    def type_rule(self, x: ArrayType, free: ArrayType, **params: Any) -> Any:
        return super().type_rule(x, ArrayType(free.shape, x.dtype), **params)

    def impl(self, x: Array, free: Array, *, use_magma: bool | None = None) -> Any:
        *_, permutation = lax.linalg.qr(x, pivoting=True, full_matrices=False, use_magma=use_magma)
        packed, taus = geqrf.impl(jnp.take_along_axis(x, permutation[..., None, :], axis=-1))
        return packed, permutation + 1, taus

    def jvp(self, primals: tuple, tangents: tuple, **params: Any) -> tuple[Any, Any]:
        packed, pivots, taus = self(*primals, **params)
        t_packed = t_taus = None
        if tangents[0] is not None:
            t = permuted(tangents[0], sub(pivots, 1), -1)
            t_packed, t_taus = _reflections_tangents(packed, taus, t)
        return (packed, pivots, taus), (t_packed, None, t_taus)


def reflectors(packed: Array, k: int) -> Array:
    """The first k columns below the diagonal, with ones on it."""
    v = block(packed, (0, packed.shape[-2]), (0, k))
    return add(lower_triangle(v, -1), identity(v))


def _reflections_tangents(packed: Array, taus: Array, t: Array) -> tuple[Any, Any]:
    """The tangents of the reflections, where t is the tangent of q @ r.

    I - q is v u for the unit lower triangular reflectors v and an upper triangular u with diagonal taus.
    """
    m, n = t.shape[-2:]
    k = min(m, n)
    q = householder_product(block(packed, (0, m), (0, k)), taus)
    t_q, t_r = qr_tangents(q, upper_triangle(block(packed, (0, k), (0, n))), t)
    v = reflectors(packed, k)
    u = _weights(_gram(v), taus, adjoint(block(v, (0, k), (0, k))))
    t_factors = lu_tangent(_with_rows_below(upper_triangle(u), lower_triangle(v, -1)), neg(t_q))
    t_v = lower_triangle(t_factors, -1)
    if n > k:
        t_v = stacked_blocks(t_v, zeros(shape=(*t.shape[:-2], m, n - k), dtype=t.dtype), -1)
    return _with_rows_below(t_r, t_v), diagonal(block(t_factors, (0, k), (0, k)))


def _with_rows_below(x: Array, y: Array) -> Array:
    """x + y, where x has maybe fewer rows: zeros follow."""
    missing = y.shape[-2] - x.shape[-2]
    if missing:
        x = stacked_blocks(x, zeros(shape=(*x.shape[:-2], missing, x.shape[-1]), dtype=x.dtype), -2)
    return add(x, y)


def _weights(s: Array, taus: Array, x: Array, lower: bool = False) -> Array:
    """T x for the product of reflections I - v T adjoint(v): the solution w of (I + taus * s) w = taus * x.

    s is the part of adjoint(v) v above the diagonal. Its adjoint, which is lower, and conj(taus) give adjoint(T) x.
    """
    d = along_rows(taus, s)
    return solve_triangle(mul(d, s), mul(along_rows(taus, x), x), lower=lower, unit_diagonal=True)


def _gram(v: Array) -> Array:
    """The part of adjoint(v) v above the diagonal."""
    return upper_triangle(matmul(adjoint(v), v), 1)


def _product_tangent(
    v: Array, taus: Array, x: Array, t_v: Any, t_taus: Any, t_x: Any, transpose: bool = False
) -> Array:
    """The tangent of the product of reflections, or its adjoint, times a constant c: x is adjoint(v) c."""
    s, t_s = _gram(v), None
    if t_v is not None:
        half = matmul(adjoint(v), t_v)
        t_s = upper_triangle(add(half, adjoint(half)), 1)
    if transpose:
        s, t_s = adjoint(s), None if t_s is None else adjoint(t_s)
        taus, t_taus = conjugate(taus), None if t_taus is None else conjugate(t_taus)
    w = _weights(s, taus, x, transpose)
    source = None
    if t_taus is not None:
        source = mul(along_rows(t_taus, x), sub(x, matmul(s, w)))
    if t_v is not None:
        source = add_tangents(source, mul(along_rows(taus, x), sub(t_x, matmul(t_s, w))))
    system = mul(along_rows(taus, s), s)
    tangent = matmul(v, solve_triangle(system, source, lower=transpose, unit_diagonal=True))
    return neg(tangent if t_v is None else add(tangent, matmul(t_v, w)))


class HouseholderProduct(MatrixPrimitive):
    """The first columns of the product of reflections (x, taus) as geqrf gives them: the q of its decomposition."""

    own_derivative = True
    ranks = (2, 1)
    takes = "a matrix with no more columns than rows, and a vector no longer than those"

    def fits(self, *shapes: tuple[int, ...], **params: Any) -> bool:
        (m, n), (k,) = shapes
        return m >= n >= k

    def impl(self, x: Array, taus: Array) -> Array:
        return lax.linalg.householder_product(x, taus)

    def jvp(self, primals: tuple, tangents: tuple) -> tuple[Any, Any]:
        (x, taus), (t, t_taus) = primals, tangents
        out = self(x, taus)
        if t is None and t_taus is None:
            return out, None
        k, n = taus.shape[-1], x.shape[-1]
        v = reflectors(x, k)
        t_v = None if t is None else lower_triangle(block(t, (0, x.shape[-2]), (0, k)), -1)
        first, t_first = (None if a is None else adjoint(block(a, (0, n), (0, k))) for a in (v, t_v))
        return out, _product_tangent(v, taus, first, t_v, t_taus, t_first)


class MultiplyByReflections(MatrixPrimitive):
    """q @ c, or c @ q unless `left`, for the reflections (x, taus) that geqrf gives; adjoint(q) if `transpose`.

    Here q is square, and is never made. Linear in c.
    """

    own_derivative = True
    ranks = (2, 1, 2)
    takes = "a matrix with m rows, a vector no longer than its sides, and a matrix with m rows (columns, if not left)"

    def fits(self, *shapes: tuple[int, ...], **params: Any) -> bool:
        x, taus, c = shapes
        return c[0 if params["left"] else 1] == x[0] and taus[0] <= min(x)

    def impl(self, x: Array, taus: Array, c: Array, *, left: bool, transpose: bool) -> Array:
        return lax.linalg.ormqr(x, taus, c, left=left, transpose=transpose)

    def jvp(self, primals: tuple, tangents: tuple, *, left: bool, transpose: bool) -> tuple[Any, Any]:
        (x, taus, c), (t, t_taus, t_c) = primals, tangents
        out = self(x, taus, c, left=left, transpose=transpose)
        tangent = None if t_c is None else self(x, taus, t_c, left=left, transpose=transpose)
        if t is None and t_taus is None:
            return out, tangent
        if not left:
            c, transpose = adjoint(c), not transpose
        k = taus.shape[-1]
        v = reflectors(x, k)
        t_v = None if t is None else lower_triangle(block(t, (0, x.shape[-2]), (0, k)), -1)
        x, t_x = (None if a is None else matmul(adjoint(a), c) for a in (v, t_v))
        turned = _product_tangent(v, taus, x, t_v, t_taus, t_x, transpose)
        return out, add_tangents(tangent, turned if left else adjoint(turned))

    def transpose(self, ct: Array, x: Any, taus: Any, c: Any, *, left: bool, transpose: bool) -> Any:
        if is_linear(x) or is_linear(taus):
            raise self.missing("transpose")
        return None, None, conjugate(self(x, taus, conjugate(ct), left=left, transpose=not transpose))


qr = QR("qr")
geqrf = Reflections("geqrf")
geqp3 = PivotedReflections("geqp3")
householder_product = HouseholderProduct("householder_product")
ormqr = MultiplyByReflections("ormqr")
