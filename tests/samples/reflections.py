"""Samples of minijvp.operations.reflections."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.lax import linalg

from minijvp.operations import reflections as ops
from tests.samples import Sample, random

F32, C64, C128 = np.float32, np.complex64, np.complex128


def qr(label, x, *, pivoting=False, full_matrices=False, **options):
    params = dict(pivoting=pivoting, full_matrices=full_matrices, use_magma=None)
    return Sample(ops.qr, (x,), jax.jit(lambda x: linalg.qr(x, **params)), params, label=label, **options)


def raw(x):
    packed, taus = jnp.linalg.qr(x, mode="raw")
    return jnp.swapaxes(packed, -1, -2), taus


def pivoted(x, free):
    permutation = linalg.qr(x, pivoting=True)[2]
    packed, taus = raw(jnp.take_along_axis(x, permutation[..., None, :], -1))
    return packed, permutation + 1, taus


NO_RULE = dict(jax_derivative=False, why="JAX has no rule")


def geqrf(label, x, **options):
    return Sample(ops.geqrf, (x,), jax.jit(raw), label=label, **NO_RULE, **options)


def geqp3(label, x, **options):
    free = np.zeros((*x.shape[:-2], x.shape[-1]), np.int32)
    return Sample(ops.geqp3, (x, free), jax.jit(pivoted), dict(use_magma=None), label=label, **NO_RULE, **options)


def product(label, x, k, *, dtype=float, **options):
    args = random(*x, dtype=dtype), random(*x[:-2], k, dtype=dtype, low=0.2, high=1.2)
    return Sample(ops.householder_product, args, jax.jit(linalg.householder_product), label=label, **NO_RULE, **options)


def ormqr(label, x, k, c, *, left=True, transpose=False, dtype=float, **options):
    args = random(*x, dtype=dtype), random(*x[:-2], k, dtype=dtype, low=0.2, high=1.2), random(*c, dtype=dtype)
    params = dict(left=left, transpose=transpose)
    return Sample(
        ops.ormqr, args, jax.jit(lambda *xs: linalg.ormqr(*xs, **params)), params, label=label, **NO_RULE, **options
    )


SAMPLES = [
    qr("float32", random(3, 3), tolerance=1e-4),
    qr("tall", random(4, 2, dtype=float)),
    qr("full-complex128", random(3, 2, dtype=C128), full_matrices=True),
    qr("wide-complex64", random(2, 3, dtype=C64), tolerance=1e-4),
    qr("pivoting", random(4, 3, dtype=float), pivoting=True),
    qr(
        "pivoting-full-batch",
        random(2, 3, 2, dtype=float),
        pivoting=True,
        full_matrices=True,
        jax_derivative=False,
        why="JAX stops at the permutations of a batch",
    ),
    qr("1x1", random(1, 1, dtype=float)),
    qr("empty", np.zeros((0, 0))),
    qr(
        "already-triangular",
        np.array([[2.0, 1.0], [0.0, 3.0], [0.0, 0.0]]),
        full_matrices=True,
        jax_derivative=False,
        finite_differences=False,
        batch=False,
        why="JAX is nan; LAPACK reflects nothing here, and again when something is not 0; rolled it has no rank",
    ),
    geqrf("float32", random(3, 3)),
    geqrf("wide-batch", random(2, 2, 3, dtype=float)),
    geqrf("tall-complex128", random(3, 2, dtype=C128)),
    geqp3("float64", random(3, 2, dtype=float)),
    product("batch", (2, 4, 3), 2),
    product("complex128", (2, 2), 2, dtype=C128),
    product("empty", (0, 0), 0),
    ormqr("float32", (3, 2), 2, (3, 1), dtype=F32),
    ormqr("transpose-batch", (2, 3, 2), 2, (2, 3, 2), transpose=True),
    ormqr("right-complex128", (3, 2), 2, (1, 3), dtype=C128, left=False),
]
