"""Fit predators and prey: gradients in reverse mode through an ODE solver that chooses its own steps.

The solver is the method of Dormand and Prince inside a `minijvp.lax.while_loop`: how many steps it takes depends on
the parameters. The memory of its gradient does not depend on that number. Run it as
`python examples/lotka_volterra.py`. It compares a gradient with finite differences, prints its progress, and saves a
picture to examples/output/lotka_volterra.png.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import jax
import matplotlib
import numpy as np

import minijvp
import minijvp.numpy as mnp

matplotlib.use("Agg")
import matplotlib.pyplot as plt

jax.config.update("jax_enable_x64", True)

# J. R. Dormand and P. J. Prince, A family of embedded Runge-Kutta formulae, 1980: stages, and the error estimate.
STAGES = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
ERROR = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)
TOLERANCE = 1e-9

NAMES = ("prey grow", "prey are eaten", "predators die", "predators grow", "prey at first", "predators at first")
TRUE = np.array([1.1, 0.4, 0.4, 0.1, 10.0, 5.0])
GUESS = np.array([0.9, 0.5, 0.5, 0.13, 8.0, 6.0])
TIMES, NOISE = np.linspace(0.0, 24.0, 49), 0.1
STEPS, RATE = 1000, 0.02


def slope(rates, y):
    """The change of both populations in a unit of time (Lotka, 1925; Volterra, 1926)."""
    prey, predators = y
    grow, eaten, die, feed = rates
    return mnp.stack([(grow - eaten * predators) * prey, (feed * prey - die) * predators])


def step(rates, y, h):
    """The populations after a step of length `h`, and the error relative to what is tolerated."""
    slopes = [slope(rates, y)]
    for row in STAGES:
        new = y + h * sum(a * k for a, k in zip(row, slopes, strict=True))
        slopes.append(slope(rates, new))
    error = h * sum(e * k for e, k in zip(ERROR, slopes, strict=True))
    scale = TOLERANCE * (1.0 + mnp.maximum(abs(y), abs(new)))
    return new, mnp.sqrt(mnp.mean((error / scale) ** 2) + 1e-20)


def advance(rates, y, h, start, end):
    """The populations at the time `end`, the length that the next step may have, and the number of steps."""

    def try_step(state):
        t, y, h, n = state
        taken = mnp.minimum(h, end - t)
        new, error = step(rates, y, taken)
        factor = mnp.clip(0.9 * error**-0.2, 0.2, 5.0)
        accepted = error <= 1.0
        # The last step is cut off at `end`, which says nothing about how long the next one may be.
        h = mnp.where(accepted & (taken < h), mnp.maximum(h, factor * taken), factor * taken)
        # Of a sum that is rounded nobody knows that it reaches the end.
        t = mnp.where(accepted, mnp.where(taken < end - t, t + taken, end), t)
        return t, mnp.where(accepted, new, y), h, n + 1

    _, y, h, n = minijvp.lax.while_loop(lambda state: state[0] < end, try_step, (start, y, h, 0))
    return y, h, n


def solve(params, times):
    """The populations at all times, (times, 2), and how many steps were tried."""
    rates, first = params[:4], params[4:]

    def to_next(carry, interval):
        y, h, n = carry
        y, h, tried = advance(rates, y, h, *interval)
        return (y, h, n + tried), y

    (_, _, n), ys = minijvp.lax.scan(to_next, (first, times[1] - times[0], 0), (times[:-1], times[1:]))
    return mnp.concatenate([first[None], ys]), n


def loss(logs, data):
    """The mean square of the relative errors; `logs` are the logarithms of the parameters, which are positive."""
    ys, _ = solve(mnp.exp(logs), mnp.asarray(TIMES))
    return mnp.mean((mnp.log(ys) - mnp.log(data)) ** 2)


value_and_gradient = minijvp.jit(minijvp.value_and_grad(loss))


def compare_with_differences(logs, data) -> float:
    """The largest difference between the gradient and central differences, relative to its largest entry."""
    _, gradient = value_and_gradient(logs, data)
    value = minijvp.jit(loss)
    steps = 1e-5 * np.eye(len(logs))
    quotients = np.array([(value(logs + e, data) - value(logs - e, data)) / 2e-5 for e in steps])
    return float(abs(gradient - quotients).max() / abs(quotients).max())


def train(logs, data, steps: int):
    """The parameters after some steps of Adam (Kingma and Ba, 2015), and all losses; prints a progress line."""
    mean, square = np.zeros(len(logs)), np.zeros(len(logs))
    losses: list[float] = []
    start = time.perf_counter()
    for i in range(1, steps + 1):
        value, gradient = value_and_gradient(logs, data)
        gradient = np.asarray(gradient)
        losses.append(float(value))
        mean, square = 0.9 * mean + 0.1 * gradient, 0.99 * square + 0.01 * gradient**2
        logs = logs - RATE * (mean / (1 - 0.9**i)) / (np.sqrt(square / (1 - 0.99**i)) + 1e-8)
        line = f"step {i:4}/{steps}  loss {losses[-1]:.5f}  {time.perf_counter() - start:5.1f} s"
        # One line that rewrites itself on a terminal; every hundredth one in a log.
        if sys.stdout.isatty():
            print(f"\r{line}", end="\n" if i == steps else "", flush=True)
        elif i % 100 == 0 or i == steps:
            print(line, flush=True)
    return logs, losses


def draw(data, fitted, losses: list[float], path: Path) -> None:
    """The data with the curves that made them and those that were found, the same in the plane, and the loss."""
    fine = mnp.linspace(TIMES[0], TIMES[-1], 400)
    curves = [np.asarray(minijvp.jit(solve)(params, fine)[0]) for params in (TRUE, fitted, GUESS)]
    figure, (over_time, plane, fall) = plt.subplots(
        1, 3, figsize=(13.5, 4.2), layout="constrained", width_ratios=(2, 1.1, 1)
    )
    colors = ("#1d6fa5", "#b3541e")
    for k, (name, color) in enumerate(zip(("prey", "predators"), colors, strict=True)):
        true, found, guess = (curve[:, k] for curve in curves)
        over_time.plot(fine, guess, ":", color=color, linewidth=1.0, alpha=0.7, label=f"{name}, first guess")
        over_time.plot(fine, true, color=color, linewidth=5, alpha=0.25, label=f"{name}, true")
        over_time.plot(fine, found, color=color, linewidth=1.6, label=f"{name}, fitted")
        over_time.plot(TIMES, data[:, k], ".", color=color, markersize=5, label=f"{name}, noisy data")
    over_time.set(xlabel="time", ylabel="population", title="Predators and prey", ylim=(0, 1.9 * data.max()))
    over_time.legend(frameon=False, fontsize=8, ncols=2, loc="upper center")
    true, found, guess = curves
    plane.plot(*guess.T, ":", color="#777777", linewidth=1.0, label="first guess")
    plane.plot(*true.T, color="#444444", linewidth=5, alpha=0.25, label="true")
    plane.plot(*found.T, color="#222222", linewidth=1.4, label="fitted")
    plane.plot(*data.T, ".", color="#888888", markersize=4, label="noisy data")
    plane.set(xlabel="prey", ylabel="predators", title="One against the other")
    plane.legend(frameon=False, fontsize=8)
    fall.semilogy(losses, color="#1d4e79")
    fall.axhline(NOISE**2, color="#999999", linestyle="--", linewidth=1)
    fall.text(
        len(losses), NOISE**2 * 1.06, "variance of the noise", ha="right", va="bottom", color="#777777", fontsize=8
    )
    fall.set(xlabel="step", ylabel="mean square of relative errors", title="Loss")
    for axes in (over_time, plane, fall):
        axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def main(steps: int = STEPS) -> None:
    """Make noisy data, fit, report and draw."""
    ys, n = minijvp.jit(solve)(TRUE, mnp.asarray(TIMES))
    data = np.asarray(ys) * np.exp(NOISE * np.random.default_rng(0).standard_normal(ys.shape))
    print(f"the solver tries {int(n)} steps from 0 to {TIMES[-1]:.0f}")
    logs = np.log(GUESS)
    print(
        f"gradient against finite differences: largest relative difference {compare_with_differences(logs, data):.1e}"
    )
    logs, losses = train(logs, data, steps)
    for name, guess, found, true in zip(NAMES, GUESS, np.exp(logs), TRUE, strict=True):
        print(f"{name:20} guess {guess:6.3f}  fitted {found:6.3f}  true {true:6.3f}")
    path = Path(__file__).parent / "output" / "lotka_volterra.png"
    draw(data, np.exp(logs), losses, path)
    print(f"picture: {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
