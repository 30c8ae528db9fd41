"""Samples of minijvp.operations.linear_algebra. Oracles are compiled: JAX takes many steps for their derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.lax import linalg

from minijvp.operations import linear_algebra as ops
from tests.samples import Sample, random

F32, C64, C128 = np.float32, np.complex64, np.complex128


def of(label, primitive, *args, function=None, **options):
    params = options.pop("params", {})
    function = function or getattr(linalg, primitive.name)
    return Sample(primitive, args, jax.jit(lambda *xs: function(*xs, **params)), params, label=label, **options)


def hermitian(x, lower=True):
    """What a function that reads one triangle of x takes x for."""
    half = jnp.tril(x, -1) if lower else jnp.triu(x, 1)
    diagonal = jnp.eye(x.shape[-1], dtype=x.dtype) * jnp.real(x)
    return half + jnp.conj(jnp.swapaxes(half, -1, -2)) + diagonal.astype(x.dtype)


def positive(*shape, dtype=float):
    """Positive definite matrices."""
    x = random(*shape, dtype=dtype, low=-1, high=1)
    return (x @ np.conj(np.swapaxes(x, -1, -2)) + 2 * np.eye(shape[-1])).astype(dtype)


def cholesky(label, x, **options):
    return of(label, ops.cholesky, x, function=lambda x: linalg.cholesky(hermitian(x)), **options)


ROLLED = dict(batch=False, why="what the rows of a batch would be is not positive definite")


def update(label, r, w, **options):
    options = dict(jax_derivative=False, why="JAX has no rule") | options
    return of(label, ops.cholesky_update, r, w, function=lambda r, w: updated(jnp.triu(r), w), **options)


def updated(r, w):
    """The update of a matrix, or of each matrix of a batch."""
    if r.ndim == 2:
        return linalg.cholesky_update(r, w)
    return jnp.stack([linalg.cholesky_update(*one) for one in zip(r, w, strict=True)])


def solve(label, a, b, *, dtype=float, left_side=True, **options):
    """A triangular system. All elements of a are far from 0, so that every rolled matrix is regular."""
    flags = {k: options.pop(k, False) for k in ("lower", "transpose_a", "conjugate_a", "unit_diagonal")}
    a, b = random(*a, dtype=dtype, low=0.5, high=1.5), random(*b, dtype=dtype)
    return of(label, ops.triangular_solve, a, b, params=dict(left_side=left_side, **flags), **options)


def tridiagonal(label, n, b, *, batch=(), dtype=float, perturb_singular=False, **options):
    diagonals = [random(*batch, n, dtype=dtype, low=low, high=low + 1, seed=low + 1) for low in (-1, 3, 0)]
    params = dict(perturb_singular=perturb_singular)
    return of(label, ops.tridiagonal_solve, *diagonals, random(*batch, *b, dtype=dtype), params=params, **options)


def product(label, x, y, *, alpha=1.0, beta=0.0, **options):
    """Of a matrix that is not symmetric; JAX's own function has no derivative."""

    def function(x, y, alpha, beta):
        return alpha * jnp.matmul(x, jnp.swapaxes(x, -1, -2), precision="highest") + beta * y

    return of(label, ops.symmetric_product, x, y, function=function, params=dict(alpha=alpha, beta=beta), **options)


def lu(label, x, **options):
    return of(label, ops.lu, x, **options)


pair = np.array([[1.0, 2.0], [2.0, 5.0]])  # positive definite however it is rolled
SAMPLES = [
    cholesky("float32", pair.astype(F32)),
    cholesky("float64", pair),
    cholesky("complex64", positive(2, 2, dtype=C64), **ROLLED),
    cholesky("batch-complex128", positive(2, 3, 3, dtype=C128), **ROLLED),
    cholesky("1x1", np.array([[4.0]])),
    cholesky("empty", np.zeros((0, 0))),
    update("float32", np.triu(positive(2, 2, dtype=F32)), random(2)),
    update(
        "batch",
        np.triu(positive(2, 3, 3)),
        random(2, 3, dtype=float),
        batch=False,
        why="JAX has no rule; rolled it is no triangle",
    ),
    update("empty", np.zeros((0, 0)), np.zeros(0)),
    solve("float32", (3, 3), (3, 2), dtype=F32, lower=True),
    solve("right-batch", (2, 3, 3), (2, 1, 3), left_side=False, lower=True, transpose_a=True),
    solve("unit-diagonal", (3, 3), (3, 4), lower=True, unit_diagonal=True),
    solve("adjoint", (3, 3), (3, 2), dtype=C128, lower=True, transpose_a=True, conjugate_a=True),
    solve("conjugate", (2, 2), (3, 2), dtype=C128, left_side=False, conjugate_a=True, unit_diagonal=True),
    solve("complex64-1x1", (1, 1), (1, 2), dtype=C64, transpose_a=True),
    solve("empty", (0, 0), (0, 2)),
    tridiagonal("float32", 3, (3, 2), dtype=F32),
    tridiagonal("batch-complex128", 3, (3, 2), batch=(2,), dtype=C128),
    tridiagonal("1x1", 1, (1, 2)),
    tridiagonal("perturbed", 3, (3, 1), perturb_singular=True),
    product("float32", random(3, 2), random(3, 3)),
    product("batch", random(2, 3, 1, dtype=float), random(2, 3, 3, dtype=float), alpha=2.0, beta=-0.5),
    lu("float32", random(3, 3)),
    lu("tall", random(4, 2, dtype=float)),
    lu("wide-batch", random(2, 2, 3, dtype=float)),
    lu("complex128", random(2, 2, dtype=C128)),
    lu("1x1", random(1, 1, dtype=float)),
    lu("empty", np.zeros((0, 0))),
    lu(
        "singular",
        np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [2.0, 4.0, 6.0]]),
        jax_derivative=False,
        batch=False,
        why="JAX is nan: it divides by the last pivot, which is 0; other pivots would be if it were rolled",
    ),
    of(
        "int32",
        ops.lu_pivots_to_permutation,
        np.array([2, 2, 2], np.int32),
        params=dict(permutation_size=4),
    ),
    of("batch", ops.lu_pivots_to_permutation, np.array([[1], [0]], np.int32), params=dict(permutation_size=2)),
]
