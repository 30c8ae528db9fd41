"""Samples of minijvp.operations.decompositions."""

import jax
import numpy as np
from jax.lax import linalg

from minijvp.operations import decompositions as ops
from tests.samples import Sample, random
from tests.samples.linear_algebra import hermitian

F32, C64, C128 = np.float32, np.complex64, np.complex128
PHASES = dict(finite_differences=False, why="LAPACK chooses the phases of the vectors, and no tangent says how")


def eigh(label, x, *, lower=True, **options):
    params = dict(lower=lower, sort_eigenvalues=True, subset_by_index=None, algorithm=None)
    return Sample(
        ops.eigh, (x,), lambda x: linalg.eigh(hermitian(x, lower), lower=lower), params, label=label, **options
    )


def eig(label, x, *, left=False, right=False, **options):
    params = dict(
        compute_left_eigenvectors=left,
        compute_right_eigenvectors=right,
        enable_eigvec_derivs=True,
        implementation=None,
    )
    return Sample(ops.eig, (x,), jax.jit(lambda x: linalg.eig(x, **params)), params, label=label, **options)


def svd(label, x, *, full_matrices=False, compute_uv=True, **options):
    params = dict(full_matrices=full_matrices, compute_uv=compute_uv, subset_by_index=None, algorithm=None)

    @jax.jit
    def oracle(x):
        if not compute_uv:
            return linalg.svd(x, **params)
        u, s, vt = linalg.svd(x, **params)
        return s, u, vt

    return Sample(ops.svd, (x,), oracle, params, label=label, **options)


def refused(label, primitive, x, **params):
    why = "no derivative is known"
    function = getattr(linalg, primitive.name)
    return Sample(primitive, (x,), lambda x: function(x, **params), params, label=label, differentiable=False, why=why)


def schur(label, x, vectors=True):
    params = dict(compute_schur_vectors=vectors, sort_eig_vals=False, select_callable=None)
    return refused(label, ops.schur, x, **params)


SAMPLES = [
    eigh("float32", random(3, 3), tolerance=1e-4),
    eigh("upper-batch", random(2, 3, 3, dtype=float), lower=False),
    eigh("complex128", random(3, 3, dtype=C128), **PHASES),
    eigh("1x1", random(1, 1, dtype=float)),
    eigh("empty", np.zeros((0, 0))),
    eig("float32", random(3, 3), right=True, tolerance=1e-4),
    eig("both", random(1, 3, 3, dtype=float), left=True, right=True),
    eig("left-complex128", random(3, 3, dtype=C128), left=True),
    eig("complex64", random(2, 2, dtype=C64), tolerance=1e-4),
    eig("empty", np.zeros((0, 0)), right=True, jax_derivative=False, why="JAX looks for the largest of no component"),
    svd("values-float32", random(3, 3), compute_uv=False, tolerance=1e-4),
    svd("tall", random(4, 2, dtype=float)),
    svd("values-batch", random(2, 3, 2, dtype=float), full_matrices=True, compute_uv=False),
    svd("square-full-complex64", random(2, 2, dtype=C64), full_matrices=True, tolerance=1e-4, **PHASES),
    svd("wide-complex128", random(2, 3, dtype=C128), **PHASES),
    svd("1x1", random(1, 1, dtype=float)),
    svd("empty", np.zeros((2, 0))),
    svd(
        "tall-full",
        random(4, 2, dtype=float),
        full_matrices=True,
        jax_derivative=False,
        finite_differences=False,
        why="JAX refuses; LAPACK turns the vectors that complete u as it likes",
    ),
    svd(
        "wide-full",
        random(1, 2, 3, dtype=C128),
        full_matrices=True,
        jax_derivative=False,
        finite_differences=False,
        why="JAX refuses; LAPACK turns the vectors that complete vt as it likes",
    ),
    schur("complex128", random(2, 3, 3, dtype=C128)),
    schur("values", random(3, 3, dtype=float), vectors=False),
    schur("empty", np.zeros((0, 0))),
    refused("float32", ops.hessenberg, random(3, 3)),
    refused("complex128", ops.hessenberg, random(2, 3, 3, dtype=C128)),
    refused("float32", ops.tridiagonal, random(3, 3), lower=True),
    refused("complex128", ops.tridiagonal, random(2, 3, 3, dtype=C128), lower=False),
]
