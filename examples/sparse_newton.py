"""Newton's method for 100,000 unknowns, with a sparse Hessian that nobody wrote down.

The energy of a membrane on a square, sum(|grad u|^2 / 2 + u^4 / 4 - f u), is least where -laplace(u) + u^3 = f. minijvp
finds where its Hessian has entries, colours them, and computes them by a few Hessian-vector products; SciPy factorizes
the matrix. Where the dense matrix fits, it is computed too, and takes its time.

Run it as `python examples/sparse_newton.py`, or with the number of points along a side. It saves a picture of the
colouring for a small grid to examples/output/sparse_newton.svg.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
import scipy.linalg
import scipy.sparse
from scipy.sparse.linalg import splu

import minijvp
import minijvp.numpy as mnp

jax.config.update("jax_enable_x64", True)

STEPS, TOLERANCE = 20, 1e-12
DENSE = 32
"""Points along the side of a grid for which the dense Hessian is computed too."""


def wanted(points: int) -> np.ndarray:
    """The solution sin(pi x) sin(pi y), inside of the square."""
    line = np.sin(np.pi * np.arange(1, points + 1) / (points + 1))
    return np.outer(line, line)


def energy_of(points: int) -> Any:
    """The energy of a membrane that is held at 0 all around, as a function of its heights at the points inside."""
    h, u = 1 / (points + 1), wanted(points)
    force = 2 * np.pi**2 * u + u**3

    def energy(u: Any) -> Any:
        held = mnp.pad(u.reshape(points, points), 1)
        slopes = mnp.sum(mnp.diff(held, axis=0) ** 2) + mnp.sum(mnp.diff(held, axis=1) ** 2)
        return slopes / 2 + h**2 * mnp.sum(u**4 / 4 - force.reshape(-1) * u)

    return energy


def newton(energy: Any, hessian: Any, solve: Any, u: Any, show: bool) -> tuple[Any, float]:
    """Where the gradient vanishes, and how many seconds it took from the second step on: the first compiles."""
    gradient, start = minijvp.jit(minijvp.grad(energy)), time.perf_counter()
    for step in range(STEPS):
        slope = np.asarray(gradient(u))
        size = np.abs(slope).max()
        if size < TOLERANCE:
            break
        begin = time.perf_counter()
        matrix = jax.block_until_ready(hessian(u))
        middle = time.perf_counter()
        u = u - solve(matrix, slope)
        if show:
            end = time.perf_counter()
            print(f"step {step}   gradient {size:.1e}   Hessian {middle - begin:6.3f} s   solve {end - middle:6.3f} s")
        if step == 0:
            start = time.perf_counter()
    return u, time.perf_counter() - start


def by_scipy(matrix: Any, slope: np.ndarray) -> np.ndarray:
    """The solution of the sparse equations."""
    rows, columns = np.asarray(matrix.indices).T
    sparse = scipy.sparse.csc_array((np.asarray(matrix.data), (rows, columns)), shape=matrix.shape)
    return splu(sparse, permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True}).solve(slope)


def by_lapack(matrix: Any, slope: np.ndarray) -> np.ndarray:
    """The solution of the dense equations."""
    return scipy.linalg.solve(np.asarray(matrix), slope, assume_a="pos")


def main() -> None:
    points = int(sys.argv[1]) if len(sys.argv) > 1 else 317
    n, energy = points**2, energy_of(points)
    start = time.perf_counter()
    pattern = minijvp.sparsity(energy, order=2)(np.zeros(n))
    middle = time.perf_counter()
    colouring = pattern.colouring("symmetric")
    print(f"{n} unknowns: {pattern.nnz} entries, found in {middle - start:.2f} s")
    print(f"{colouring.n} Hessian-vector products, coloured in {time.perf_counter() - middle:.2f} s")

    sparse = minijvp.jit(minijvp.sparse_hessian(energy))
    u, _ = newton(energy, sparse, by_scipy, np.zeros(n), True)
    print(f"distance to the closed solution {np.abs(u - wanted(points).reshape(-1)).max():.1e}")

    small, n = energy_of(DENSE), DENSE**2
    u, seconds = newton(small, minijvp.jit(minijvp.sparse_hessian(small)), by_scipy, np.zeros(n), False)
    v, dense_seconds = newton(small, minijvp.jit(minijvp.hessian(small)), by_lapack, np.zeros(n), False)
    print(f"{n} unknowns: dense / sparse {dense_seconds / seconds:.0f} x, difference {np.abs(u - v).max():.0e}")

    picture = Path(__file__).parent / "output" / "sparse_newton.svg"
    picture.parent.mkdir(exist_ok=True)
    minijvp.sparsity(energy_of(6), order=2)(np.zeros(36)).colouring("symmetric").draw().save(picture)
    print(f"the colouring for 36 unknowns: {picture}")


if __name__ == "__main__":
    main()
