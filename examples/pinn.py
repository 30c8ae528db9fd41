"""Solve differential equations by networks: a membrane through `laplacian`, a beam through `taylor`.

A network stands for the solution, times a polynomial that is zero where the solution has to be; its parameters are
those for which the equation holds best at some points (M. Raissi, P. Perdikaris and G. E. Karniadakis, Physics-informed
neural networks, Journal of Computational Physics 378, 2019). The loss has derivatives of the network in its inputs, the
training those of the loss in the parameters: reverse mode over forward modes of higher order. Run it as
`python examples/pinn.py [ITERATIONS]`. It holds both against the closed solution, and saves a picture to
examples/output/pinn.png.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import jax
import matplotlib
import numpy as np
from scipy.optimize import minimize

import minijvp
import minijvp.numpy as mnp
from minijvp.flatten_util import ravel_pytree

matplotlib.use("Agg")
import matplotlib.pyplot as plt

jax.config.update("jax_enable_x64", True)

WIDTH = 24
ITERATIONS = 600


def network(sizes, seed: int):
    """Weights and biases of a network with these numbers of neurons."""
    rng = np.random.default_rng(seed)
    return [(rng.normal(0, 1 / math.sqrt(a), (a, b)), np.zeros(b)) for a, b in pairwise(sizes)]


def apply(params, x):
    """What a network makes of one point."""
    *hidden, (w, b) = params
    for v, c in hidden:
        x = mnp.tanh(x @ v + c)
    return (x @ w + b)[0]


# A membrane that is held at the border of a square: -(u_xx + u_yy) = f, and u = sin(pi x) sin(pi y).


def membrane(params, p):
    """The height at a point of the unit square."""
    x, y = p
    return 16 * x * (1 - x) * y * (1 - y) * apply(params, p)


def load_on_membrane(p):
    return 2 * math.pi**2 * mnp.sin(math.pi * p[0]) * mnp.sin(math.pi * p[1])


def tension(params, p):
    """What is left of the equation at a point. The Laplacian takes one pass forward, and no Hessian."""
    return minijvp.laplacian(lambda q: membrane(params, q))(p) + load_on_membrane(p)


# A beam that is held at both ends, where it may turn: u'''' = f, u = u'' = 0 at the ends, and u = sin(pi x).


def beam(params, x):
    """The deflection at a place between 0 and 1."""
    return 4 * x * (1 - x) * apply(params, mnp.stack([x]))


def derivative(params, x, order: int):
    """A derivative of the deflection, by all Taylor coefficients up to it."""
    return minijvp.taylor(lambda s: beam(params, s), x, mnp.ones_like(x), order)[order] * math.factorial(order)


def stiffness(params, x):
    """What is left of the equation at a place, relative to the largest load."""
    return derivative(params, x, 4) / math.pi**4 - mnp.sin(math.pi * x)


def moments(params):
    """The second derivative at both ends, which is to be zero."""
    ends = minijvp.vmap(lambda x: derivative(params, x, 2))(mnp.array([0.0, 1.0]))
    return ends / math.pi**2


def fit(name: str, loss: Callable[[Any], Any], params: Any, iterations: int) -> Any:
    """The parameters of the least loss, by L-BFGS; prints progress."""
    flat, unflatten = ravel_pytree(params)
    value_and_gradient = minijvp.jit(minijvp.value_and_grad(lambda w: loss(unflatten(w))))
    values: list[float] = []
    start = time.perf_counter()

    def objective(w):
        value, gradient = value_and_gradient(w)
        values.append(float(value))
        return values[-1], np.asarray(gradient)

    def show(_):
        if sys.stdout.isatty():
            print(f"\r{name}: evaluation {len(values)}, loss {values[-1]:.2e}", end="", flush=True)

    found = minimize(
        objective, np.asarray(flat), jac=True, method="L-BFGS-B", callback=show, options={"maxiter": iterations}
    )
    seconds = time.perf_counter() - start
    print(f"\r{name}: loss from {values[0]:.2e} to {found.fun:.2e} in {len(values)} evaluations, {seconds:.1f} s")
    return unflatten(mnp.asarray(found.x))


def solve_membrane(iterations: int) -> tuple[np.ndarray, np.ndarray]:
    """Heights of the network and of the closed solution, on a grid that was not trained on."""
    inner = (np.arange(16) + 0.5) / 16
    points = np.stack(np.meshgrid(inner, inner, indexing="ij"), -1).reshape(-1, 2)
    loss = lambda params: mnp.mean(minijvp.vmap(lambda p: tension(params, p))(points) ** 2)
    params = fit("membrane", loss, network((2, WIDTH, WIDTH, 1), 0), iterations)
    places = np.linspace(0, 1, 41)
    grid = np.stack(np.meshgrid(places, places, indexing="ij"), -1)
    heights = minijvp.vmap(minijvp.vmap(lambda p: membrane(params, p)))(grid)
    return np.asarray(heights), np.sin(np.pi * grid[..., 0]) * np.sin(np.pi * grid[..., 1])


def solve_beam(iterations: int) -> tuple[np.ndarray, np.ndarray]:
    """Deflections of the network and of the closed solution, at places that were not trained on."""
    inner = (np.arange(32) + 0.5) / 32
    loss = lambda params: (
        mnp.mean(minijvp.vmap(lambda x: stiffness(params, x))(inner) ** 2) + mnp.mean(moments(params) ** 2)
    )
    params = fit("beam", loss, network((1, WIDTH, WIDTH, 1), 1), iterations)
    places = np.linspace(0, 1, 101)
    return np.asarray(minijvp.vmap(lambda x: beam(params, x))(places)), np.sin(np.pi * places)


def draw(u, exact, deflection, exact_deflection, path: Path) -> None:
    """Both solutions, and how far they are from the closed ones."""
    figure, axes = plt.subplots(2, 2, figsize=(9, 7), layout="constrained")
    for ax, values, title, colours in (
        (axes[0, 0], u, "membrane: height by the network", "viridis"),
        (axes[0, 1], u - exact, "its error", "RdBu"),
    ):
        limit = abs(values).max() if colours == "RdBu" else None
        image = ax.imshow(
            values.T, origin="lower", extent=(0, 1, 0, 1), cmap=colours, vmin=limit and -limit, vmax=limit
        )
        ax.set(title=title, xlabel="x", ylabel="y")
        figure.colorbar(image, ax=ax)
    x = np.linspace(0, 1, len(deflection))
    axes[1, 0].plot(x, exact_deflection, lw=4, alpha=0.4, label="closed solution")
    axes[1, 0].plot(x, deflection, "k--", lw=1, label="network")
    axes[1, 0].set(title="beam: deflection", xlabel="x")
    axes[1, 0].legend()
    axes[1, 1].plot(x, deflection - exact_deflection, "k", lw=1)
    axes[1, 1].axhline(0, lw=0.5, color="gray")
    axes[1, 1].set(title="its error", xlabel="x")
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=120)


def main() -> None:
    iterations = int(sys.argv[1]) if len(sys.argv) > 1 else ITERATIONS
    u, exact = solve_membrane(iterations)
    print(f"membrane: largest error against the closed solution {abs(u - exact).max():.1e}")
    deflection, exact_deflection = solve_beam(iterations)
    print(f"beam: largest error against the closed solution {abs(deflection - exact_deflection).max():.1e}")
    path = Path(__file__).parent / "output" / "pinn.png"
    draw(u, exact, deflection, exact_deflection, path)
    print(f"saved {path}")


if __name__ == "__main__":
    main()
