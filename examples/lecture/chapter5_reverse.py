"""Chapter 5: reverse mode.

Forward the values, then backward the adjoints: how much the result changes with each node. All inputs in two passes.
"""

from __future__ import annotations

import kinds
import numpy as np
from chapter4_forward import POINT, f
from notes import Notes, run

import minijvp
import minijvp.numpy as mnp


def softmax(x):
    e = mnp.exp(x)
    return e / mnp.sum(e)


def two_passes(show: Notes) -> None:
    show.heading("An adjoint at each node")
    show.text(
        "The same function, 6(x₁ + x₂²·x₃) at (1, 2, 3). First a pass forward, which computes the values and keeps "
        "what the way back needs. Then a pass backward, from the result, whose adjoint is 1: each operation turns the "
        "adjoint of its result into those of its operands."
    )
    show.show_table(minijvp.reverse_trace(f, *POINT).table)
    calls = 0

    def counted(*xs):
        nonlocal calls
        calls += 1
        return f(*xs)

    value, pullback = minijvp.vjp(counted, *POINT)
    gradient = pullback(1.0)
    show.text(
        f"f = {value:g}, and the gradient is ({', '.join(f'{g:g}' for g in gradient)}): all three derivatives, where "
        f"forward mode needed three passes. The function was run {calls} time, counted, and "
        "its transpose once."
    )
    show.table(
        "The chain rule along the paths from the result, with x₄ = x₂², x₅ = x₄·x₃, x₆ = x₁ + x₅, x₇ = 6·x₆",
        ("derivative", "factors", "product"),
        (
            ("df/dx₁", "dx₇/dx₆ · dx₆/dx₁ = 6 · 1", gradient[0]),
            ("df/dx₂", "dx₇/dx₆ · dx₆/dx₅ · dx₅/dx₄ · dx₄/dx₂ = 6 · 1 · 3 · 4", gradient[1]),
            ("df/dx₃", "dx₇/dx₆ · dx₆/dx₅ · dx₅/dx₃ = 6 · 1 · 4", gradient[2]),
        ),
    )
    show.text(
        "These are two programs, forward on the left and backward on the right; dashed edges carry what is kept for "
        "the way back."
    )
    show.picture("reverse_mode", minijvp.draw(f, *POINT, backward=True), "The function and its gradient.")


def primitives(show: Notes) -> None:
    show.heading("Primitives and the chain rule")
    x = mnp.array([1.0, 2.0, 3.0])
    p = np.asarray(softmax(x))
    jacobian = np.asarray(minijvp.jacrev(softmax)(x))
    show.text(
        "Nobody wrote a derivative of softmax, exp(x) / Σ exp(x): it follows from those of `exp`, `sum` and `div`. Its "
        "Jacobian, a row for each result, is diag(p) − p·pᵀ."
    )
    show.table(
        "minijvp.jacrev(softmax) at (1, 2, 3)",
        ("", "by x₁", "by x₂", "by x₃"),
        [(f"p{i} = {p[i - 1]:.6f}", *row) for i, row in enumerate(jacobian, 1)],
    )
    show.text(
        f"The largest difference from the formula is {abs(jacobian - np.diag(p) + np.outer(p, p)).max():.0e}, "
        f"and from forward mode {abs(jacobian - np.asarray(minijvp.jacfwd(softmax)(x))).max():.0e}. Rows and columns "
        "add up to zero, because the probabilities add up to one."
    )
    show.text("For y = cos(x²), with u = x², the chain rule gives dy/dx = dy/du · du/dx = −sin(u) · 2x = −2x·sin(x²).")
    slope = minijvp.grad(lambda x: mnp.cos(x**2))
    show.table(
        "The derivative of cos(x²)",
        ("x", "minijvp.grad", "−2x·sin(x²)"),
        [(x, slope(x), -2 * x * np.sin(x**2)) for x in (-2.0, 0.0, 0.5, 1.0, 3.0)],
    )
    show.correction("−sin(u) is dy/du. The first slide on cos(x²) calls it dy/dx.")


def four_kinds(show: Notes) -> None:
    show.heading("The four kinds side by side")
    kinds.compare(show)


def chapter(show: Notes) -> None:
    two_passes(show)
    primitives(show)
    four_kinds(show)


if __name__ == "__main__":
    run(chapter)
