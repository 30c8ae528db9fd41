"""The four kinds of differentiation side by side: manual, numerical, symbolic, automatic.

Each finds the gradient of the product of n numbers. Measured are the largest relative error of an entry, how often the
function is evaluated, and the time of a gradient against n. Run it alone: `python examples/lecture/kinds.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from math import prod
from typing import Any

import jax
import numpy as np
import sympy
from notes import BLUE, GREEN, PALE, RUST, Notes, magnitude, panels, run, seconds

import minijvp
import minijvp.numpy as mnp
from minijvp import numerical, symbolic

SIZES, COMPARED = (1, 10, 40, 1000), 40
Gradient = Callable[[Any], Any]


def f(x):
    return mnp.prod(x)


def manual(n: int) -> tuple[Gradient, int]:
    return minijvp.jit(lambda x: f(x) / x), 1


def by_differences(method: str) -> Callable[[int], tuple[Gradient, int]]:
    def make(n: int) -> tuple[Gradient, int]:
        gradient = lambda x: numerical.gradient(f, x, method)
        with numerical.count_evaluations() as evaluations:
            gradient(np.ones(n))
        return gradient, evaluations.total

    return make


def by_sympy(n: int) -> tuple[Gradient, int]:
    symbols = symbolic.to_sympy(f, np.ones(n)).symbols[0]
    function = sympy.lambdify(list(symbols), list(symbolic.derivative(f, np.ones(n))), "numpy", cse=True)
    return lambda x: function(*x), 0


def forward_mode(n: int) -> tuple[Gradient, int]:
    one_pass = minijvp.jit(lambda x, unit: minijvp.jvp(f, (x,), (unit,))[1])
    units = list(np.eye(n))
    return lambda x: [one_pass(x, unit) for unit in units], len(units)


def reverse_mode(n: int) -> tuple[Gradient, int]:
    return minijvp.jit(minijvp.grad(f)), 1


@dataclass(frozen=True)
class Kind:
    """A way to find gradients. `make` prepares it for n numbers, and says how often it evaluates f."""

    make: Callable[[int], tuple[Gradient, int]]
    line: str
    color: str
    largest: int = 1000


KINDS = {
    "manual: f(x)/x": Kind(manual, "o-", GREEN),
    "numerical, forward": Kind(by_differences("forward"), "o-", PALE),
    "numerical, central": Kind(by_differences("central"), "o--", PALE),
    "symbolic": Kind(by_sympy, "s-", "#7b5ea7", largest=COMPARED),
    "automatic, forward mode": Kind(forward_mode, "o--", BLUE),
    "automatic, reverse mode": Kind(reverse_mode, "o-", RUST),
}


@dataclass(frozen=True)
class Measured:
    """One kind at one n: its error, evaluations of f, and seconds to make it and for one gradient."""

    kind: str
    n: int
    evaluations: int
    error: float
    making: float
    time: float


def point(n: int) -> np.ndarray:
    """n numbers around 1, whose product is nearly 1."""
    logs = 0.3 * np.random.default_rng(0).normal(size=n)
    return np.exp(logs - logs.mean()) if n > 1 else np.array([0.7])


def exact(x: np.ndarray) -> np.ndarray:
    """The gradient, computed with 50 digits: the product without each of its factors."""
    with localcontext() as context:
        context.prec = 50
        numbers = [Decimal(float(v)) for v in x]
        whole = prod(numbers)
        return np.array([float(whole / v) for v in numbers])


def measure(name: str, n: int) -> Measured:
    x = point(n)
    start = time.perf_counter()
    gradient, evaluations = KINDS[name].make(n)
    found = np.array(gradient(x))
    making = time.perf_counter() - start
    times: list[float] = []
    while len(times) < 5 or sum(times) < 0.03:
        start = time.perf_counter()
        jax.block_until_ready(gradient(x))
        times.append(time.perf_counter() - start)
    return Measured(name, n, evaluations, abs(found / exact(x) - 1).max(), making, min(times))


def measured(name: str, sizes: Sequence[int] = SIZES) -> list[Measured]:
    """The kind of this name, measured for all n that it can do in seconds."""
    return [measure(name, n) for n in sizes if n <= KINDS[name].largest]


def compare(show: Notes) -> None:
    """A table and a picture of all kinds."""
    show.text(
        "Each kind finds the gradient of the product of n numbers around 1, in double precision; the error is the "
        "largest relative one of an entry, against 50 digits. Making is what comes once: to derive, trace and compile."
    )
    rows = {name: measured(name) for name in KINDS}
    sizes = (1, COMPARED, 1000)
    table = []
    for name, found in rows.items():
        by_n = {r.n: r for r in found}
        times = [seconds(by_n[n].time) if n in by_n else "–" for n in sizes]
        at = by_n[COMPARED]
        table.append((name, found[-1].evaluations, magnitude(at.error), seconds(at.making), *times))
    show.table(
        f"Evaluations of f for n = {sizes[-1]}, error and making for n = {COMPARED}, and the time of one gradient",
        ("kind", "evaluations", "error", "making", *[f"n = {n}" for n in sizes]),
        table,
    )
    *_, ten, forty = rows["symbolic"]
    swell = ten, measure("symbolic", 2 * ten.n), forty
    show.text(
        "Differences cost evaluations in proportion to n, and digits. The symbolic derivative is exact, and evaluates "
        "expressions of its own; but it has n of them with n − 1 factors each, and making them takes "
        f"{', '.join(f'{seconds(r.making)} for n = {r.n}' for r in swell)}, so that it stops there. Forward mode is "
        "exact in n passes; reverse mode in one pass and its transpose, whatever n is. A formula by hand is as fast, "
        "where somebody finds it (and no factor is zero)."
    )
    figure, (speed, accuracy) = panels("time of one gradient (ms)", f"largest relative error, n = {COMPARED}", height=4)
    for name, found in rows.items():
        kind = KINDS[name]
        speed.loglog(
            [r.n for r in found], [1e3 * r.time for r in found], kind.line, color=kind.color, markersize=4, label=name
        )
    speed.set(xlabel="n")
    speed.legend(frameon=False, fontsize=8.5)
    errors = [max(next(r.error for r in found if r.n == COMPARED), 1e-17) for found in rows.values()]
    accuracy.barh(list(rows), errors, 0.6, left=1e-18, color=[k.color for k in KINDS.values()])
    accuracy.set(xscale="log", xlim=(1e-17, 1e-5))
    accuracy.invert_yaxis()
    show.picture("four_kinds", figure, "The gradient of a product of n numbers by the four kinds of differentiation.")


if __name__ == "__main__":
    run(compare)
