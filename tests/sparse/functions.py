"""Functions whose derivatives are sparse, as they come up: written once, for minijvp and for JAX."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class Case:
    """A function of the library `api` and its NumPy, the argument, and how many entries its pattern has.

    `colours` is how many are to be enough.
    """

    name: str
    make: Callable[[Any, Any], Callable[[Any], Any]]
    x: Any
    entries: int
    colours: int

    def __str__(self) -> str:
        return self.name


def spaced(*shape: int) -> np.ndarray:
    n = int(np.prod(shape))
    return (0.3 + 1.1 * np.linspace(0, 1, n) + 0.1 * np.sin(np.arange(n))).reshape(shape).astype(np.float32)


def burgers(api: Any, np_: Any) -> Callable[[Any], Any]:
    def residual(u: Any) -> Any:
        left, right = np_.concatenate([np_.zeros(1), u[:-1]]), np_.concatenate([u[1:], np_.zeros(1)])
        return u * (right - left) / 2 - 0.1 * (right - 2 * u + left)

    return residual


def poisson(api: Any, np_: Any) -> Callable[[Any], Any]:
    def residual(u: Any) -> Any:
        p = np_.pad(u, 1)
        return p[2:, 1:-1] + p[:-2, 1:-1] + p[1:-1, 2:] + p[1:-1, :-2] - 4 * u + np_.exp(u)

    return residual


def by_convolution(api: Any, np_: Any) -> Callable[[Any], Any]:
    stencil = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]], np.float32)

    def residual(u: Any) -> Any:
        return api.lax.conv(u[None, None], np_.asarray(stencil)[None, None], (1, 1), "SAME")[0, 0] + u**2

    return residual


def bundle_adjustment(api: Any, np_: Any) -> Callable[[Any], Any]:
    """Points seen by cameras: of each camera three angles and a shift, of each point three coordinates."""
    cameras, points = 3, 7
    seen = np.array([(c, p) for c in range(cameras) for p in range(points) if (c + p) % 2])

    def residual(params: Any) -> Any:
        angles, shifts, x = params["angles"][seen[:, 0]], params["shifts"][seen[:, 0]], params["points"][seen[:, 1]]
        theta = np_.sqrt(np_.sum(angles**2, -1, keepdims=True) + 1e-6)
        axis = angles / theta
        along = np_.sum(axis * x, -1, keepdims=True)
        turned = x * np_.cos(theta) + np_.cross(axis, x) * np_.sin(theta) + axis * along * (1 - np_.cos(theta)) + shifts
        return turned[:, :2] / (turned[:, 2:] + 4.0)

    return residual


BUNDLE = {"angles": spaced(3, 3), "shifts": spaced(3, 3) / 2, "points": spaced(7, 3)}


def rollout(api: Any, np_: Any) -> Callable[[Any], Any]:
    """The defects of a pendulum in model predictive control, by multiple shooting."""

    def residual(z: Any) -> Any:
        states, controls = z["states"], z["controls"]
        angle, speed = states[:-1, 0], states[:-1, 1]
        after = np_.stack([angle + 0.1 * speed, speed + 0.1 * (controls - np_.sin(angle))], 1)
        return states[1:] - after

    return residual


MPC = {"states": spaced(9, 2), "controls": spaced(8)}


def by_scan(api: Any, np_: Any) -> Callable[[Any], Any]:
    """States after each step, by a loop: each depends on all controls before."""

    def states(controls: Any) -> Any:
        step = lambda x, u: (np_.tanh(x) + u, x * u)
        return api.lax.scan(step, np_.float32(0.5), controls)[1]

    return states


def by_long_scan(api: Any, np_: Any) -> Callable[[Any], Any]:
    """A loop of many steps that carries a counter and nothing that depends on its rows."""

    def rows(x: Any) -> Any:
        step = lambda i, row: (i + 1, row[0] * np_.sin(row[1]))
        return api.lax.scan(step, 0, np_.concatenate([x] * 1000).reshape(-1, 2))[1].reshape(1000, -1)[0]

    return rows


def by_while(api: Any, np_: Any) -> Callable[[Any], Any]:
    def diffused(x: Any) -> Any:
        step = lambda c: (c[0] + 1, c[1].at[1:3].add(c[1][0:2] ** 2))
        return api.lax.while_loop(lambda c: c[0] < 2, step, (0, x))[1]

    return diffused


def by_map(api: Any, np_: Any) -> Callable[[Any], Any]:
    return lambda x: api.vmap(lambda row: np_.outer(row[:2], row[2:]))(x.reshape(-1, 4))


def custom(api: Any, np_: Any) -> Callable[[Any], Any]:
    """Rounding with the derivative of the identity: what the rule says counts."""

    @api.custom_jvp
    def through(x: Any) -> Any:
        return np_.round(x)

    through.defjvp(lambda primals, tangents: (through(*primals), tangents[0] * 3.0))
    return lambda x: through(x[:-1]) * x[1:]


def custom_backwards(api: Any, np_: Any) -> Callable[[Any], Any]:
    @api.custom_vjp
    def through(x: Any) -> Any:
        return np_.round(x)

    through.defvjp(lambda x: (through(x), x), lambda x, ct: (ct[::-1] * x,))
    return lambda x: through(x) + x[0]


def chosen(api: Any, np_: Any) -> Callable[[Any], Any]:
    def f(x: Any) -> Any:
        return api.lax.cond(x[0] > 0, lambda x: x[1:] * x[0], lambda x: x[:-1] ** 2, x)

    return f


def assembled(api: Any, np_: Any) -> Callable[[Any], Any]:
    """Finite elements: what each element gives is added at its nodes."""
    nodes = np.array([[i, i + 1] for i in range(7)])

    def residual(u: Any) -> Any:
        a, b = u[nodes[:, 0]], u[nodes[:, 1]]
        flux = (b - a) * (1 + a * b)
        return np_.zeros(8).at[nodes[:, 0]].add(-flux).at[nodes[:, 1]].add(flux)

    return residual


def matrix_product(api: Any, np_: Any) -> Callable[[Any], Any]:
    a = np.diag(np.ones(6)) + np.diag(np.ones(5), 1)
    return lambda x: np_.asarray(a, np.float32) @ np_.sin(x)


def gaussian_process(api: Any, np_: Any) -> Callable[[Any], Any]:
    """The stationarity of a Gaussian process with a kernel of compact support, of which the values are unknown."""
    distance = np.abs(np.subtract.outer(np.arange(9.0), np.arange(9.0)))
    kernel = (np.maximum(1 - distance / 3, 0) ** 2 * (1 + distance)).astype(np.float32)
    return lambda f: np_.asarray(kernel) @ np_.tanh(f) + f


JACOBIANS = [
    Case("burgers", burgers, spaced(12), 34, 3),
    Case("poisson", poisson, spaced(5, 6), 128, 8),
    Case("poisson by convolution", by_convolution, spaced(5, 6), 128, 8),
    Case("bundle adjustment", bundle_adjustment, BUNDLE, 160, 8),
    Case("pendulum by multiple shooting", rollout, MPC, 56, 5),
    Case("states by a scan", by_scan, spaced(5), 15, 5),
    Case("rows by a long scan", by_long_scan, spaced(6), 6, 2),
    Case("while", by_while, spaced(5), 8, 3),
    Case("rows by vmap", by_map, spaced(12), 24, 2),
    Case("custom_jvp", custom, spaced(6), 10, 2),
    Case("custom_vjp", custom_backwards, spaced(6), 11, 3),
    Case("cond", chosen, spaced(6), 14, 4),
    Case("finite elements", assembled, spaced(8), 22, 3),
    Case("product with a banded matrix", matrix_product, spaced(6), 11, 2),
    Case("gaussian process", gaussian_process, spaced(9), 39, 5),
    Case("diagonal", lambda api, np_: lambda x: np_.exp(x) / (1 + x), spaced(7), 7, 1),
    Case(
        "arrowhead", lambda api, np_: lambda x: np_.concatenate([np_.sum(x**2)[None], x[1:] * x[0]]), spaced(9), 25, 3
    ),
    Case("gather", lambda api, np_: lambda x: x[np.array([3, 0, 0, 5])] ** 2, spaced(6), 4, 1),
    Case("scatter", lambda api, np_: lambda x: (x**2).at[np.array([1, 4])].set(x[:2] * x[2]), spaced(6), 8, 2),
    Case("cumulative", lambda api, np_: lambda x: np_.cumsum(x**2), spaced(5), 15, 5),
    Case("sort in rows", lambda api, np_: lambda x: np_.sort(x.reshape(2, 3), 1), spaced(6), 18, 3),
    Case("softmax in rows", lambda api, np_: lambda x: api.nn.softmax(x.reshape(3, 2), 1), spaced(6), 12, 2),
    Case("fourier in rows", lambda api, np_: lambda x: np_.fft.rfft(x.reshape(2, 4)).real, spaced(8), 24, 4),
    Case(
        "cholesky of blocks",
        lambda api, np_: lambda x: np_.linalg.cholesky(np_.eye(2) * x[:, None, None]),
        spaced(3),
        9,
        1,
    ),
    Case("pooling", lambda api, np_: lambda x: x.reshape(4, 2).max(1) * x[::2], spaced(8), 8, 2),
    Case("nothing", lambda api, np_: lambda x: np_.floor(x) + api.lax.stop_gradient(x), spaced(4), 0, 0),
    Case("several leaves", lambda api, np_: lambda p: (p[0] * p[1][0], p[1] ** 2), (spaced(4), spaced(3)), 11, 2),
]


def rosenbrock(api: Any, np_: Any) -> Callable[[Any], Any]:
    return lambda x: np_.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def tracking(api: Any, np_: Any) -> Callable[[Any], Any]:
    """The Lagrangian of a model predictive control problem: costs, and defects times multipliers."""
    defects = rollout(api, np_)

    def lagrangian(z: Any) -> Any:
        costs = np_.sum((z["states"] - 1) ** 2) + 0.1 * np_.sum(z["controls"] ** 2)
        return costs + np_.sum(defects(z) * z["multipliers"])

    return lagrangian


def log_likelihood(api: Any, np_: Any) -> Callable[[Any], Any]:
    """Of the values of a Gaussian process, whose precision is banded, with counts as observations."""
    n = 10
    precision = (2.5 * np.eye(n) - np.diag(np.ones(n - 1), 1) - np.diag(np.ones(n - 1), -1)).astype(np.float32)
    return lambda f: np_.sum(np_.exp(f) - f) + f @ (np_.asarray(precision) @ f) / 2


def least_squares(api: Any, np_: Any) -> Callable[[Any], Any]:
    residual = bundle_adjustment(api, np_)
    return lambda params: np_.sum(residual(params) ** 2)


def potential(api: Any, np_: Any) -> Callable[[Any], Any]:
    """Springs between neighbours on a grid, by differences along both axes."""
    return lambda u: np_.sum(np_.log(1 + np_.diff(u, axis=0) ** 2)) + np_.sum(np_.cosh(np_.diff(u, axis=1)))


def scanned(api: Any, np_: Any) -> Callable[[Any], Any]:
    """A sum that a loop makes of neighbours."""

    def total(x: Any) -> Any:
        step = lambda c, i: (c + np_.sin(x[i] * x[i + 1]), None)
        return api.lax.scan(step, np_.float32(0), np.arange(5))[0]

    return total


HESSIANS = [
    Case("rosenbrock", rosenbrock, spaced(10), 28, 3),
    Case("model predictive control", tracking, {**MPC, "multipliers": spaced(8, 2)}, 138, 6),
    Case("gaussian process", log_likelihood, spaced(10), 28, 3),
    Case("bundle adjustment", least_squares, BUNDLE, 525, 18),
    Case("springs", potential, spaced(4, 5), 82, 6),
    Case("a sum by a loop", scanned, spaced(6), 16, 3),
    Case("arrowhead", lambda api, np_: lambda x: np_.sum(np_.sin(x[0] * x[1:])), spaced(9), 25, 2),
    Case("linear", lambda api, np_: lambda x: np_.sum(x * 3) + x[0], spaced(5), 0, 0),
    Case("bilinear", lambda api, np_: lambda x: x[:3] @ x[3:], spaced(6), 6, 2),
    Case("separable", lambda api, np_: lambda x: np_.sum(np_.exp(x) * x), spaced(6), 6, 1),
    Case(
        "logsumexp of pairs",
        lambda api, np_: lambda x: np_.sum(api.nn.logsumexp(x.reshape(-1, 2), 1)),
        spaced(8),
        16,
        2,
    ),
    Case("products", lambda api, np_: lambda x: np_.prod(x[:3]) + np_.sum(x[3:] ** 2), spaced(6), 9, 3),
]
