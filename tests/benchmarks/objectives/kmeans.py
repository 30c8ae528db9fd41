"""k-means, with what a step of Newton's method needs."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.benchmarks.objectives.objective import Objective, Program


def distortion(xp: Any) -> Program:
    """The function (centers[k, d], points[n, d]) -> sum_i min_j |points_i - centers_j|^2.

    Source: S. P. Lloyd, Least squares quantization in PCM, IEEE Trans. Inf. Theory 28(2), 1982.
    """

    def fun(centers: Any, points: Any) -> Any:
        squares = xp.sum((points[:, None, :] - centers) ** 2, axis=2)
        return xp.sum(xp.min(squares, axis=1))

    return fun


def make(library: Any) -> Program:
    """The distortion in this library."""
    return distortion(library.numpy)


def gradient_and_curvature(library: Any) -> Program:
    """The gradient[k, d] and the diagonal of the Hessian[k, d], in one pass of forward mode over reverse mode.

    The Hessian is diagonal, so that its product with ones is its diagonal. Minus their quotient is the step of Newton's
    method, which moves each center to the mean of the points next to it: the iteration of Lloyd.

    Source: L. Bottou and Y. Bengio, Convergence properties of the k-means algorithms, NIPS 7, 1994.
    """
    gradient = library.grad(make(library))

    def fun(centers: Any, points: Any) -> tuple[Any, Any]:
        ones = library.numpy.ones_like(centers)
        return library.jvp(lambda c: gradient(c, points), (centers,), (ones,))

    return fun


def data(points: int, clusters: int, dimensions: int) -> tuple[Any, ...]:
    """Points around as many centers, and some of them to start from."""
    rng = np.random.default_rng(0)
    middles = 3 * rng.standard_normal((clusters, dimensions))
    sample = middles[rng.integers(clusters, size=points)] + rng.standard_normal((points, dimensions))
    return sample[:clusters] + 0.1 * rng.standard_normal(middles.shape), sample


KMEANS = Objective(
    name="k-means",
    wanted="gradient and diagonal of the Hessian, jvp of grad",
    make=make,
    derivative=gradient_and_curvature,
    generate=data,
    sizes={
        "test": dict(points=30, clusters=4, dimensions=3),
        "quick": dict(points=1000, clusters=10, dimensions=8),
        "full": dict(points=10_000, clusters=64, dimensions=32),
    },
    needs=("grad", "jvp"),
)
