"""Samples of minijvp.custom_rules.linear_solve.

The solvers have the matrix of the sample written into them, so that arguments can vary one at a time.
"""

import jax.numpy as jnp
import numpy as np

from minijvp.core.types import type_of
from minijvp.custom_rules.linear_solve import PROGRAMS, custom_linear_solve
from minijvp.operations import contraction
from minijvp.operations import elementwise as ops
from minijvp.operations.families import add
from minijvp.operations.shape import concatenate
from minijvp.operations.slicing import slice as static_slice
from minijvp.transforms.staging import stage
from tests.samples import Sample, random


def solve(label, matvec, solver, transpose_solver, oracle, *args, n_vectors, n_aux=0):
    """`matvec` is a function of its constants and the vectors, the solvers are functions of the vectors."""
    types = [type_of(jnp.asarray(x)) for x in args]
    vectors = types[-n_vectors:]
    programs = stage(matvec, types), None, stage(solver, vectors), stage(transpose_solver, vectors)
    params = dict(zip(PROGRAMS, programs, strict=True))
    lengths = len(args) - n_vectors, 0, 0, 0
    return Sample(custom_linear_solve, args, oracle, dict(params, const_lengths=lengths, n_aux=n_aux), label=label)


MATRIX = np.array([[2.0, 1.0], [0.5, 3.0]])
PRODUCT = {"dimension_numbers": (((1,), (0,)), ((), ())), "precision": None, "preferred_element_type": None}


def by_minors(x, y, z, w):
    """The solver for the matrix [[x, y], [z, w]] of Python numbers."""
    determinant = x * w - y * z

    def solver(b):
        first, second = (static_slice(b, start_indices=(i,), limit_indices=(i + 1,), strides=None) for i in (0, 1))
        upper = add(ops.mul(first, w / determinant), ops.mul(second, -y / determinant))
        lower = add(ops.mul(second, x / determinant), ops.mul(first, -z / determinant))
        return [concatenate(upper, lower, dimension=0)]

    return solver


def matrix(dtype):
    return solve(
        f"matrix-{np.dtype(dtype)}",
        lambda a, x: [contraction.dot_general(a, x, **PRODUCT)],
        by_minors(2.0, 1.0, 0.5, 3.0),
        by_minors(2.0, 0.5, 1.0, 3.0),
        lambda a, b: (jnp.linalg.solve(a, b),),
        *(MATRIX.astype(dtype), random(2, dtype=dtype)),
        n_vectors=1,
    )


def product(a, x, y):
    """The matrix [[a, 1], [0, a]], where every entry is diagonal itself."""
    return [add(ops.mul(a, x), y), ops.mul(a, y)]


def solver(x, y):
    y = ops.mul(y, 0.5)
    return [ops.mul(ops.sub(x, y), 0.5), y, ops.gt(x, 0.5)]


def transpose_solver(x, y):
    x = ops.mul(x, 0.5)
    return [x, ops.mul(ops.sub(y, x), 0.5), ops.gt(y, 0.5)]


SAMPLES = [
    *map(matrix, (np.float32, np.float64, np.complex128)),
    solve(
        "two-vectors",
        product,
        solver,
        transpose_solver,
        lambda a, x, y: ((x - y / a) / a, y / a, x > 0.5),
        np.full(3, 2.0),
        *(random(3, dtype=float, seed=i) for i in range(2)),
        n_vectors=2,
        n_aux=1,
    ),
]
