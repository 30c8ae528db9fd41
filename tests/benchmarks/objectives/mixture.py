"""Gaussian mixture with a Wishart prior of its precisions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.special import multigammaln

from tests.benchmarks.objectives.objective import Objective, Program, gradient_of, log_sum_exp


def log_posterior(xp: Any) -> Program:
    """The function (parameters, points[n, d], prior) -> log p(points | parameters) + log p(precisions).

    The parameters are those of C. M. Bishop, Pattern Recognition and Machine Learning, Springer 2006, section 9.2,
    made free of constraints: with weights w = softmax(alphas) and precisions S_k = Q_k^T Q_k, where Q_k is lower
    triangular with the diagonal exp(log_diagonals[k]) and the entries lower[k] below it, row by row,

        log p(points | ...) = sum_i log sum_k w_k det(Q_k) (2 pi)^(-d/2) exp(-|Q_k (x_i - mean_k)|^2 / 2).

    S_k has the Wishart distribution of scale I / gamma^2 with d + m + 1 degrees of freedom (ibid., appendix B):

        log p(S_k) = m log det(Q_k) - gamma^2 |Q_k|^2 / 2 + C.

    Source: F. Srajer, Z. Kukelova and A. Fitzgibbon, A benchmark of selected algorithmic differentiation tools on some
    problems in computer vision and machine learning, Optim. Methods Softw. 33(4-6), 2018.
    """

    def fun(parameters: Any, points: Any, prior: Any) -> Any:
        alphas, means = parameters["alphas"], parameters["means"]
        logs, lower = parameters["log_diagonals"], parameters["lower"]
        n, d = points.shape
        k = len(alphas)
        positions, below = triangle(d)
        diagonals = xp.exp(logs)
        log_determinants = xp.sum(logs, axis=1)
        centered = points[:, None, :] - means
        scaled = diagonals * centered + xp.einsum("kij,nkj->nki", lower[:, positions] * below, centered)
        exponents = alphas + log_determinants - 0.5 * xp.sum(scaled**2, axis=2)
        likelihood = xp.sum(log_sum_exp(xp, exponents)) - n * xp.sum(log_sum_exp(xp, alphas))
        norms = xp.sum(diagonals**2) + xp.sum(lower**2)
        wishart = prior["m"] * xp.sum(log_determinants) - 0.5 * prior["gamma"] ** 2 * norms
        return likelihood - n * d / 2 * math.log(2 * math.pi) + wishart + k * prior["log_normalizer"]

    return fun


def triangle(d: int) -> tuple[np.ndarray, np.ndarray]:
    """Where the entries of a matrix [d, d] below the diagonal stand in a vector, row by row; and which these are."""
    below = np.tri(d, k=-1, dtype=bool)
    positions = np.zeros((d, d), np.int32)
    positions[below] = np.arange(d * (d - 1) // 2)
    return positions, below


def wishart_prior(d: int, gamma: float, m: float) -> dict[str, np.ndarray]:
    """The prior of `log_posterior`, with the logarithm C of its normalizer."""
    freedom = d + m + 1
    log_normalizer = freedom * d * (math.log(gamma) - math.log(2) / 2) - multigammaln(freedom / 2, d)
    return {"gamma": np.array(gamma), "m": np.array(float(m)), "log_normalizer": np.array(log_normalizer)}


def data(points: int, dimensions: int, components: int) -> tuple[Any, ...]:
    """Points around as many centers, and parameters near the truth."""
    rng = np.random.default_rng(0)
    centers = 3 * rng.standard_normal((components, dimensions))
    shape = points, dimensions
    sample = centers[rng.integers(components, size=points)] + rng.standard_normal(shape)
    parameters = {
        "alphas": 0.3 * rng.standard_normal(components),
        "means": centers + 0.3 * rng.standard_normal(centers.shape),
        "log_diagonals": 0.2 * rng.standard_normal(centers.shape),
        "lower": 0.2 * rng.standard_normal((components, dimensions * (dimensions - 1) // 2)),
    }
    return parameters, sample, wishart_prior(dimensions, 1.3, 2)


def make(library: Any) -> Program:
    """The log posterior in this library."""
    return log_posterior(library.numpy)


MIXTURE = Objective(
    name="Gaussian mixture",
    wanted="gradient",
    make=make,
    derivative=gradient_of(make),
    generate=data,
    sizes={
        "test": dict(points=30, dimensions=3, components=4),
        "quick": dict(points=1000, dimensions=10, components=5),
        "full": dict(points=1000, dimensions=32, components=25),
    },
    needs=("grad",),
)
