"""Chapter 2: numerical differentiation.

A derivative from values alone, by Newton's quotient: simple, for any function, inexact, and slow for many parameters.
"""

from __future__ import annotations

import numpy as np
from chapter1_gradient import bowl, f
from notes import Notes, run

import minijvp.numpy as mnp
from minijvp import numerical


def the_quotient(show: Notes) -> None:
    show.heading("Newton's quotient")
    show.text(
        "The derivative by x is nearly (f(x + ε, y) − f(x, y))/ε, for a small ε. For f(x, y) = 2x² + 3y² at (4, 5) it "
        "should be 16:"
    )
    rows = []
    for exponent in (0, -2, -4, -6, -8, -10, -12, -14, -16):
        epsilon = 10.0**exponent
        quotient = (bowl((4 + epsilon, 5.0)) - bowl((4.0, 5.0))) / epsilon
        rows.append((f"1e{exponent}", f"{quotient:.10f}", f"{abs(quotient - 16):.0e}"))
    show.table("The quotient in double precision", ("ε", "quotient", "error"), rows)
    show.text(
        "If ε is large, the curve has turned on the way: the error is 2ε, the term that the quotient cuts off. If it "
        "is small, both values begin with the same digits, which their difference loses. For ε = 1e-16 the sum 4 + ε "
        "is 4, and nothing is left."
    )
    slope = numerical.derivative(f, 2.0)
    show.text(
        f"`numerical.derivative` chooses ε by itself. For 2x³ − 6x² + x + 1 at x = 2 it finds {slope:.10f}, by central "
        "differences."
    )


def the_error(show: Notes) -> None:
    show.heading("The error against ε")
    curve = numerical.error_curve(mnp.sin, 1.0)
    show.text(
        "For the sine at 1 with steps from the last digit to 1: rounding falls as 1/ε, truncation rises as ε, or as "
        "ε² for central differences, and the best ε lies where they meet."
    )
    show.picture("error_of_differences", curve.figure(), "The error of four methods; both axes are logarithmic.")
    show.show_table(curve.table)
    single = numerical.error_curve(mnp.sin, np.float32(1.0), ("forward", "central"))
    best = {c: [digits(curves.curves[c].best_error) for curves in (curve, single)] for c in ("forward", "central")}
    show.text(
        f"Newton's quotient has at best {best['forward'][0]} digits in double precision, and {best['forward'][1]} in "
        f"single, where the best ε is {single.curves['forward'].best:.0e}; central differences have "
        f"{best['central'][0]} and {best['central'][1]}. Complex steps subtract nothing, and have no left side; "
        "extrapolation (Richardson) searches for its step."
    )


def digits(error: float) -> str:
    return f"{-np.log10(error):.0f}"


def the_cost(show: Notes) -> None:
    show.heading("n + 1 evaluations")
    methods = ("forward", "central", "complex-step", "richardson")
    rows = []
    for n in (1, 10, 100, 1000):
        counts = []
        for method in methods:
            with numerical.count_evaluations() as evaluations:
                numerical.gradient(lambda x: mnp.sum(mnp.sin(x)), np.ones(n), method)
            counts.append(evaluations.total)
        rows.append((n, *counts))
    show.table("Evaluations of a function of n parameters for its gradient, counted", ("n", *methods), rows)
    show.text(
        "Each parameter takes a step of its own: n + 1 evaluations by Newton's quotient, 2n by central differences. A "
        "network of a million parameters would run a million times for one step of training. Chapter 5 has the times."
    )


def chapter(show: Notes) -> None:
    the_quotient(show)
    the_error(show)
    the_cost(show)


if __name__ == "__main__":
    run(chapter)
