"""Decompositions by eigenvalues and by singular values.

Sources of the derivatives: M. Giles, Collected matrix derivative results (2008), for eigh and eig; J. Townsend,
Differentiating the singular value decomposition (2016), and Z.-Q. Wan and S.-X. Zhang, Automatic differentiation for
complex valued SVD (2019), for svd, here with the Hermitian part of the change and the rest apart: only what the first
part does is undefined for equal singular values.

Vectors of equal values may turn into each other: they jump, and have no derivative. What asks for one, by a cotangent
of these vectors or by a change of the matrix that turns them, gets infinities and nan. All else is finite: values, sums
over equal ones, and vectors of values that differ from all others.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import lax

from minijvp.core.types import Array, ArrayType
from minijvp.errors import MissingRuleError
from minijvp.operations.contraction import cast_like
from minijvp.operations.elementwise import (
    abs_,
    absorbing_mul,
    complex_,
    div,
    eq,
    imag,
    is_complex,
    le,
    mul,
    ne,
    neg,
    real,
    select_n,
    sub,
)
from minijvp.operations.families import add, broadcast_in_dim, reduce_sum, zeros, zeros_like
from minijvp.operations.linear_algebra import solve
from minijvp.operations.matrices import (
    INDEX,
    MatrixPrimitive,
    adjoint,
    along_columns,
    along_rows,
    band,
    block,
    conjugate,
    diagonal,
    hermitian,
    matmul,
    matrix_transpose,
    stacked_blocks,
)
from minijvp.operations.reduction import argmax, reduce_max
from minijvp.operations.shape import iota

ROUNDING = 16
"""How many units in the last place of the largest one values may differ by and count as equal: computed ones do."""


def real_part(x: Array) -> Array:
    """The real part; a real operand is returned as it is."""
    return real(x) if is_complex(x) else x


def divided(y: Array, x: Array, size: Array) -> Array:
    """y / x, real x, where an x no larger than the rounding error of `size`, a vector, counts as 0; 0 / 0 is 0."""
    unit = ROUNDING * float(jnp.finfo(x.dtype).eps)
    largest = mul(reduce_max(abs_(size), axes=(size.ndim - 1,)), unit)
    kept = tuple(range(size.ndim - 1))
    bound = broadcast_in_dim(largest, shape=tuple(x.shape), broadcast_dimensions=kept)
    factor = div(1.0, select_n(le(abs_(x), bound), x, zeros_like(x)))
    return absorbing_mul(y, cast_like(factor, y))


def off_diagonal(x: Array) -> Array:
    """Square matrices without their diagonals."""
    return band(x, ne)


def differences(x: Array, like: Array) -> Array:
    """Matrices of the shape of `like` with x[j] - x[i] in row i and column j."""
    shape = ArrayType(tuple(like.shape), x.dtype)
    return sub(along_columns(x, shape), along_rows(x, shape))


class Eigh(MatrixPrimitive):
    """(v, w): orthonormal eigenvectors, the columns of v, and real eigenvalues w of a Hermitian x.

    Only one triangle of x is read, the `lower` or the upper. The eigenvalues ascend if `sort_eigenvalues`; with
    `subset_by_index` there are only those from the first number to before the second.
    """

    own_derivative = True  # JAX's reads both triangles, and has other results beside it
    takes = "a square matrix, of which it reads one triangle"

    def impl(self, x: Array, *, algorithm: Any = None, **params: Any) -> Any:
        return tuple(lax.linalg.eigh(x, symmetrize_input=False, implementation=algorithm, **params))

    def jvp(self, primals: tuple, tangents: tuple, **params: Any) -> tuple[Any, Any]:
        (x,), (t,) = primals, tangents
        if t is not None and params["subset_by_index"] not in (None, (0, x.shape[-1])):
            raise MissingRuleError(
                f"the derivative of {self.name} with subset_by_index={params['subset_by_index']}.",
                "An eigenvector turns towards all others, which this omits.",
                "Compute all of them, and slice the results.",
            )
        v, w = self(x, **params)
        if t is None or not x.size:
            return (v, w), (None, None)
        inside = matmul(adjoint(v), matmul(hermitian(t, params["lower"]), v))
        turn = divided(off_diagonal(inside), differences(w, inside), w)
        return (v, w), (matmul(v, turn), real_part(diagonal(inside)))


class Eig(MatrixPrimitive):
    """(w, left, right): complex eigenvalues of any square matrix, and the eigenvectors that are asked for, as columns.

    Eigenvectors have length 1 and a real largest component, and are differentiated if `enable_eigvec_derivs`.
    """

    own_derivative = True

    def impl(
        self,
        x: Array,
        *,
        compute_left_eigenvectors: bool,
        compute_right_eigenvectors: bool,
        enable_eigvec_derivs: bool = False,
        implementation: Any = None,
    ) -> Any:
        return tuple(
            lax.linalg.eig(
                x,
                compute_left_eigenvectors=compute_left_eigenvectors,
                compute_right_eigenvectors=compute_right_eigenvectors,
                implementation=implementation,
            )
        )

    def jvp(self, primals: tuple, tangents: tuple, **params: Any) -> tuple[Any, Any]:
        (x,), (t,) = primals, tangents
        left, right = params["compute_left_eigenvectors"], params["compute_right_eigenvectors"]
        if t is None or not x.size:
            out = self(x, **params)
            return out, (None,) * len(out)
        if (left or right) and not params.get("enable_eigvec_derivs"):
            raise MissingRuleError(
                "the derivative of eigenvectors of a general matrix, by eig.",
                "They have one only where all eigenvalues differ and no two components tie for the largest.",
                "Compute eigenvalues alone, use eigh for Hermitian matrices, or pass enable_eigvec_derivs=True.",
            )
        # Second derivatives of eigenvalues are well-defined too: they take no notice of how long the vectors are.
        w, *vectors = self(x, **{**params, "compute_right_eigenvectors": True, "enable_eigvec_derivs": True})
        t = cast_like(t, w)
        v = vectors[-1]
        if not left and not right:
            return (w,), (reduce_sum(mul(solve(v, t), matrix_transpose(v)), axes=(v.ndim - 1,)),)
        t_w, t_v = _eigenvector_tangents(w, v, t)
        outs, out_tangents = [w], [t_w]
        if left:
            outs.append(vectors[0])
            out_tangents.append(_eigenvector_tangents(conjugate(w), vectors[0], adjoint(t))[1])
        if right:
            outs.append(v)
            out_tangents.append(t_v)
        return tuple(outs), tuple(out_tangents)


def _eigenvector_tangents(w: Array, v: Array, t: Array) -> tuple[Any, Any]:
    """The tangents of eigenvalues w and of eigenvectors v, which keep length 1 and a real largest component."""
    inside = matmul(solve(v, t), v)
    out = matmul(v, divided(off_diagonal(inside), differences(w, inside), w))
    rows = v.ndim - 2
    largest = argmax(abs_(v), axes=(rows,), index_dtype=INDEX)
    numbers = iota(dtype=INDEX, shape=tuple(v.shape), dimension=rows)
    chosen = eq(numbers, along_columns(largest, numbers))
    component, t_component = (reduce_sum(select_n(chosen, zeros_like(a), a), axes=(rows,)) for a in (v, out))
    length = real(reduce_sum(mul(conjugate(v), out), axes=(rows,)))
    factor = complex_(neg(length), neg(div(imag(t_component), real(component))))
    return diagonal(inside), add(out, mul(v, along_columns(factor, v)))


class SVD(MatrixPrimitive):
    """(s, u, vt): x = u @ diag(s) @ vt, with orthonormal columns of u and rows of vt, and s >= 0 that descend.

    u and vt are square if `full_matrices`; (s,) alone unless `compute_uv`. With `subset_by_index` there are only the
    singular values from the first number to before the second.
    """

    own_derivative = True
    takes = "a matrix"

    def fits(self, *shapes: tuple[int, ...], **params: Any) -> bool:
        return True

    def impl(self, x: Array, *, compute_uv: bool, **params: Any) -> Any:
        if not compute_uv:
            return (lax.linalg.svd(x, compute_uv=False, **params),)
        u, s, vt = lax.linalg.svd(x, compute_uv=True, **params)
        return s, u, vt

    def jvp(self, primals: tuple, tangents: tuple, **params: Any) -> tuple[Any, Any]:
        (x,), (t,) = primals, tangents
        if t is None or not x.size:
            out = self(x, **params)
            return out, (None,) * len(out)
        if not params["compute_uv"]:
            s, u, vt = self(x, **{**params, "compute_uv": True, "full_matrices": False})
            inside = mul(conjugate(u), matmul(t, adjoint(vt)))
            return (s,), (real_part(reduce_sum(inside, axes=(u.ndim - 2,))),)
        if params["subset_by_index"] not in (None, (0, min(x.shape[-2:]))):
            raise MissingRuleError(
                f"the derivative of {self.name} with subset_by_index={params['subset_by_index']}.",
                "A singular vector turns towards all others, which this omits.",
                "Compute all of them and slice the results, or compute singular values alone.",
            )
        s, u, vt = self(x, **params)
        v = adjoint(vt)
        t_s, t_u, t_v = _svd_tangents(s, u, v, t)
        return (s, u, vt), (t_s, t_u, adjoint(t_v))


def _svd_tangents(s: Array, u: Array, v: Array, t: Array) -> tuple[Any, Any, Any]:
    """The tangents of s, u and v, where u and v are both thin or both square."""
    k = s.shape[-1]
    right = matmul(t, v)
    inside = matmul(adjoint(u), right)
    square = block(inside, (0, k), (0, k))
    gaps = differences(s, square)
    sums = add(along_rows(s, gaps), along_columns(s, gaps))
    together = divided(off_diagonal(mul(add(square, adjoint(square)), 0.5)), gaps, s)
    apart = divided(mul(sub(square, adjoint(square)), 0.5), sums, s)
    turn_u, turn_v = add(together, apart), sub(together, apart)
    if is_complex(square):  # where LAPACK leaves the phases is not known: as in JAX, those of v stay
        turn_u, turn_v = (add(turn, band(apart, eq)) for turn in (turn_u, turn_v))
    left = matmul(adjoint(t), u) if v.shape[-2] > k else None
    t_u = _turned(u, turn_u, inside, block(right, (0, u.shape[-2]), (0, k)), s)
    t_v = _turned(v, turn_v, adjoint(inside), left, s)
    return real_part(diagonal(square)), t_u, t_v


def _turned(u: Array, turn: Array, inside: Array, moved: Array, s: Array) -> Array:
    """The tangent of the singular vectors u: `turn` among the first k, and out of their span what `moved` has.

    `inside` is the part of `moved` along u. Columns of u after the first k complete it, and turn back.
    """
    m, columns = u.shape[-2:]
    k = turn.shape[-1]
    if columns > k:
        out = block(inside, (k, columns), (0, k))
        out = divided(out, along_columns(s, ArrayType(tuple(out.shape), s.dtype)), s)
        corner = zeros(shape=(*u.shape[:-2], columns - k, columns - k), dtype=u.dtype)
        turn = stacked_blocks(stacked_blocks(turn, neg(adjoint(out)), -1), stacked_blocks(out, corner, -1), -2)
        return matmul(u, turn)
    if m == k:
        return matmul(u, turn)
    out = sub(moved, matmul(u, inside))
    return add(matmul(u, turn), divided(out, along_columns(s, ArrayType(tuple(out.shape), s.dtype)), s))


class Undifferentiated(MatrixPrimitive):
    """A decomposition by a long row of steps of which no derivative is known to minijvp."""

    advice = ""

    def jvp(self, primals: tuple, tangents: tuple, **params: Any) -> tuple[Any, Any]:
        if all(t is None for t in tangents):
            out = self(*primals, **params)
            return out, (None,) * len(out)
        raise MissingRuleError(
            f"the derivative of the decomposition {self.name} is not known to minijvp.",
            "Its result depends on a long row of steps, one after the other.",
            self.advice,
        )


class Schur(Undifferentiated):
    """(t, z): x = z @ t @ adjoint(z), z unitary and t upper triangular; blocks of 2 by 2 on it if x is real.

    (t,) alone unless `compute_schur_vectors`.
    """

    advice = "Use eig or eigh for eigenvalues, expm or solve for functions of matrices, or stop_gradient around it."

    def impl(self, x: Array, **params: Any) -> Any:
        return tuple(lax.linalg.schur(x, **params))


class Hessenberg(Undifferentiated):
    """(packed, taus): x = q @ h @ adjoint(q) with h zero below the first subdiagonal.

    The part of `packed` from there up is h; below it, and in taus, are the reflections that make q.
    """

    takes = "a square matrix that is not empty"
    advice = "Use eig for eigenvalues, solve for linear systems, or stop_gradient around it."

    def fits(self, *shapes: tuple[int, ...], **params: Any) -> bool:
        return shapes[0][0] == shapes[0][1] > 0

    def impl(self, x: Array) -> Any:
        return tuple(lax.linalg.hessenberg(x))


class Tridiagonal(Undifferentiated):
    """(packed, d, e, taus): the Hermitian x as q @ h @ adjoint(q) with h tridiagonal, of diagonals d and e.

    `packed` and taus have the reflections that make q. One triangle of x is read, the `lower` or the upper.
    """

    takes = "a square matrix that is not empty"
    advice = "Use eigh, which has a derivative, or stop_gradient around it."
    fits = Hessenberg.fits

    def impl(self, x: Array, *, lower: bool) -> Any:
        return tuple(lax.linalg.tridiagonal(x, lower=lower))


eigh = Eigh("eigh")
eig = Eig("eig")
svd = SVD("svd")
schur = Schur("schur")
hessenberg = Hessenberg("hessenberg")
tridiagonal = Tridiagonal("tridiagonal")
