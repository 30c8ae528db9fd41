"""Iterations that solve A x = b by products with A alone, for vectors; A and the preconditioner M are functions.

Source: Y. Saad, Iterative Methods for Sparse Linear Systems, 2nd edition, SIAM 2003.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from jax.lax import Precision

import minijvp.lax as lax
import minijvp.numpy as mnp
from minijvp.core.types import Array
from minijvp.numpy.linalg import qr

Operator = Callable[[Any], Any]

vdot = partial(mnp.vdot, precision=Precision.HIGHEST)
matmul = partial(mnp.matmul, precision=Precision.HIGHEST)


def squared(x: Array) -> Array:
    """The square of the length of a vector, a real number."""
    return mnp.real(vdot(x, x))


def norm(x: Array) -> Array:
    """The length of a vector, a real number."""
    return mnp.sqrt(squared(x))


def nan_if_nan(x: Array, r: Array) -> Array:
    """`x`, or NaN if its residual is: an iteration that met NaN ended, and its x may look like a solution."""
    return mnp.where(mnp.isnan(norm(r)), mnp.nan, x).astype(x.dtype)


def bound(b: Array, tol: Any, atol: Any) -> Array:
    """How long the residual of a solution may be."""
    return mnp.maximum(tol * norm(b), atol).astype(norm(b).dtype)


# Short recurrences


class Conjugate(NamedTuple):
    """The state of conjugate gradients: solution, residual, direction, and <residual, M residual>."""

    x: Any
    r: Any
    p: Any
    rz: Any
    k: Any


def conjugate_gradients(A: Operator, b: Array, x: Array, tol: Any, atol: Any, maxiter: Any, M: Operator) -> Array:
    """The solution for a Hermitian, positive definite A: Saad, algorithm 9.1 (of M. Hestenes and E. Stiefel, 1952)."""
    limit = bound(b, tol, atol) ** 2

    def step(s: Conjugate) -> Conjugate:
        Ap = A(s.p)
        alpha = s.rz / mnp.real(vdot(s.p, Ap))
        x, r = s.x + alpha * s.p, s.r - alpha * Ap
        z = M(r)
        rz = mnp.real(vdot(r, z))
        return Conjugate(x, r, z + rz / s.rz * s.p, rz, s.k + 1)

    r = b - A(x)
    z = M(r)
    start = Conjugate(x, r, z, mnp.real(vdot(r, z)), 0)
    last = lax.while_loop(lambda s: (squared(s.r) > limit) & (s.k < maxiter), step, start)
    return nan_if_nan(last.x, last.r)


class Stabilized(NamedTuple):
    """The state of BiCGSTAB, in the letters of the paper; it has broken down when `k` is negative."""

    x: Any
    r: Any
    p: Any
    v: Any
    rho: Any
    alpha: Any
    omega: Any
    k: Any


def bicgstab(A: Operator, b: Array, x: Array, tol: Any, atol: Any, maxiter: Any, M: Operator) -> Array:
    """The solution for any A: H. van der Vorst, Bi-CGSTAB, SIAM J. Sci. Stat. Comput. 13(2), 1992."""
    limit = bound(b, tol, atol) ** 2
    r = b - A(x)
    shadow = r

    def step(s: Stabilized) -> Stabilized:
        rho = vdot(shadow, s.r)
        p = s.r + rho / s.rho * s.alpha / s.omega * (s.p - s.omega * s.v)
        y = M(p)
        v = A(y)
        alpha = rho / vdot(shadow, v)
        half = s.r - alpha * v
        z = M(half)
        t = A(z)
        omega = vdot(t, half) / vdot(t, t)
        # After half a step the residual may be zero, and omega 0 / 0.
        done = squared(half) < limit
        x = s.x + alpha * y + mnp.where(done, 0, omega * z)
        r = half - mnp.where(done, 0, omega * t)
        broken = (rho == 0) | (alpha == 0) | (omega == 0)
        return Stabilized(x, r, p, v, rho, alpha, omega, mnp.where(broken, -1, s.k + 1))

    one = mnp.ones((), r.dtype)
    start = Stabilized(x, r, r, r, one, one, one, 0)
    last = lax.while_loop(lambda s: (squared(s.r) > limit) & (s.k < maxiter) & (s.k >= 0), step, start)
    return nan_if_nan(last.x, last.r)


# GMRES


class Arnoldi(NamedTuple):
    """The state within a restart.

    `basis` has orthonormal rows v, `hessenberg` a row of coefficients for each product: M A v_k = sum_i h_ki v_i. Both
    are full size from the start. `rhs` and `rotations` are for the triangular form of the least-squares problem.
    """

    basis: Any
    hessenberg: Any
    rhs: Any
    rotations: Any
    error: Any
    k: Any


def gmres(
    A: Operator, b: Array, x: Array, tol: Any, atol: Any, maxiter: Any, M: Operator, restart: int, incremental: bool
) -> Array:
    """The solution for any A: Saad, algorithm 6.11, preconditioned from the left.

    With `incremental` the least-squares problem is brought to triangular form as it grows, so that a restart ends as
    soon as it is solved; without, it is factorized once, when the basis is full.
    """
    limit = bound(b, tol, atol)
    solve = triangular if incremental else least_squares

    def step(state: tuple) -> tuple:
        x, r, k = state
        z = M(r)
        # What a restart sees is M r. It has to shrink by the factor by which r is too long, and a little more.
        arnoldi = krylov_space(A, M, z, restart, norm(z) * (0.9 * limit / norm(r)), incremental)
        x = x + matmul(solve(arnoldi), arnoldi.basis[:-1])
        return x, b - A(x), k + 1

    x, r, _ = lax.while_loop(lambda s: (norm(s[1]) > limit) & (s[2] < maxiter), step, (x, b - A(x), 0))
    return nan_if_nan(x, r)


def krylov_space(A: Operator, M: Operator, z: Array, restart: int, limit: Any, incremental: bool) -> Arnoldi:
    """The state after as many steps as `restart`, or when the space holds the solution."""

    def step(s: Arnoldi) -> Arnoldi:
        w = M(A(s.basis[s.k]))
        v, h, length = orthonormalized(w, s.basis)
        row = mnp.where(mnp.arange(restart + 1) == s.k + 1, length, h).astype(h.dtype)
        basis = s.basis.at[s.k + 1].set(v)
        if not incremental:
            # A product that lies in the space ends it: the solution does too.
            return Arnoldi(basis, s.hessenberg.at[s.k].set(row), s.rhs, s.rotations, length, s.k + 1)
        row, rotations, rhs = triangularized(row, s)
        error = mnp.abs(rhs[s.k + 1])
        return Arnoldi(basis, s.hessenberg.at[s.k].set(row), rhs, rotations, error, s.k + 1)

    error = norm(z)
    start = Arnoldi(
        mnp.zeros((restart + 1, *z.shape), z.dtype).at[0].set(z / mnp.where(error > 0, error, 1)),
        mnp.eye(restart, restart + 1, dtype=z.dtype),  # what is never reached must not be singular
        mnp.zeros(restart + 1, z.dtype).at[0].set(error.astype(z.dtype)),
        mnp.zeros((restart, 2), z.dtype),
        error,
        0,
    )
    limit = limit if incremental else mnp.zeros_like(limit)
    return lax.while_loop(lambda s: (s.error > limit) & (s.k < restart), step, start)


def orthonormalized(w: Array, basis: Array) -> tuple[Any, Any, Any]:
    """`w` without its components along the basis, of length 1; these components; and the length that was left.

    Gram-Schmidt, twice, is orthogonal to rounding (L. Giraud et al., Numer. Math. 101, 2005). What is no longer than
    rounding is zero.
    """
    before, h = norm(w), mnp.zeros(basis.shape[0], basis.dtype)
    for _ in range(2):
        part = matmul(mnp.conj(basis), w)
        w, h = w - matmul(part, basis), h + part
    after = norm(w)
    left = after > mnp.finfo(basis.dtype).eps * before
    return mnp.where(left, w / mnp.where(left, after, 1), 0), h, mnp.where(left, after, 0)


def least_squares(arnoldi: Arnoldi) -> Array:
    """The coefficients for which the residual is shortest, in a basis that is complete."""
    q, r = qr(arnoldi.hessenberg.T)
    return back_substituted(r, matmul(mnp.conj(q.T), arnoldi.rhs))


def triangular(arnoldi: Arnoldi) -> Array:
    """The same, where rotations have made the problem triangular, in a basis that may have ended early."""
    # What is left on the right after the last row that was reached is the residual, and no coefficient.
    reached = mnp.arange(arnoldi.rhs.shape[0] - 1) < arnoldi.k
    return back_substituted(arnoldi.hessenberg[:, :-1].T, mnp.where(reached, arnoldi.rhs[:-1], 0))


def back_substituted(r: Array, y: Array) -> Array:
    """The solution for an upper triangular matrix."""
    return lax.linalg.triangular_solve(r, y[:, None], left_side=True)[:, 0]


def triangularized(row: Array, s: Arnoldi) -> tuple[Any, Any, Any]:
    """A new row of coefficients after all rotations, with one more that makes its last entry zero: Saad, section 6.5.3.

    The second and third result are the rotations, pairs of cosine and sine, and the rotated right-hand side.
    """

    def rotated(x: Array, i: Array, cosine: Array, sine: Array) -> Array:
        top = mnp.conj(cosine) * x[i] + mnp.conj(sine) * x[i + 1]
        return x.at[i + 1].set(cosine * x[i + 1] - sine * x[i]).at[i].set(top)

    row = lax.fori_loop(0, s.k, lambda i, row: rotated(row, i, s.rotations[i, 0], s.rotations[i, 1]), row)
    a, b = row[s.k], row[s.k + 1]
    length = mnp.hypot(mnp.abs(a), mnp.abs(b)).astype(a.dtype)
    safe = mnp.where(length == 0, 1, length)
    pair = mnp.where(length == 0, 1, a / safe), mnp.where(length == 0, 0, b / safe)
    return rotated(row, s.k, *pair), s.rotations.at[s.k].set(mnp.stack(pair)), rotated(s.rhs, s.k, *pair)
