"""Chapter 4: forward mode.

Beside each value goes its derivative by one input, from the inputs to the result. Another input takes another pass.
"""

from __future__ import annotations

import kinds
from notes import BLUE, RUST, Notes, panels, run, seconds

import minijvp


def f(x1, x2, x3):
    x4 = x2**2
    x5 = x4 * x3
    x6 = x1 + x5
    return 6 * x6


POINT = (1.0, 2.0, 3.0)
UNITS = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


def one_pass(show: Notes) -> None:
    show.heading("A value and a derivative at each node")
    show.text(
        "The function is f(x₁, x₂, x₃) = 6(x₁ + x₂²·x₃), at (1, 2, 3). To differentiate by x₂, its tangent begins as 1 "
        "and the others as 0; each operation makes the tangent of its result from those of its operands."
    )
    show.show_table(minijvp.forward_trace(f, POINT, UNITS[1]).table)
    value, tangent = minijvp.jvp(f, POINT, UNITS[1])
    show.text(f"So f = {value:g}, and df/dx₂ = 2·x₂·x₃·6 = {tangent:g}, in one pass.")


def three_passes(show: Notes) -> None:
    show.heading("A pass for each input")
    calls = 0

    def counted(*xs):
        nonlocal calls
        calls += 1
        return f(*xs)

    gradient = [minijvp.jvp(counted, POINT, unit)[1] for unit in UNITS]
    passes = [minijvp.forward_trace(f, POINT, unit).nodes for unit in UNITS]
    show.table(
        "Three passes: the tangent of each node by each input",
        ("node", "operation", "value", "by x₁", "by x₂", "by x₃"),
        [(n[0].name, n[0].operation, n[0].value, *(node.derivative for node in n)) for n in zip(*passes, strict=True)],
    )
    show.text(
        f"The gradient is ({', '.join(f'{g:g}' for g in gradient)}). For its 3 entries the function was run {calls} "
        "times: the values are the same each time, and computed again. One pass gives the derivative along one "
        "direction, which may be any: along (1, 1, 1) it is the sum of the three, "
        f"{minijvp.jvp(f, POINT, (1.0, 1.0, 1.0))[1]:g}."
    )


def cost(show: Notes) -> None:
    show.heading("What n inputs cost")
    sizes = (1, 10, 40, 200, 1000)
    rows = kinds.measured("automatic, forward mode", sizes)
    show.table(
        "The gradient of a product of n numbers by forward mode",
        ("n", "passes", "time", "per pass"),
        [(r.n, r.evaluations, seconds(r.time), seconds(r.time / r.n)) for r in rows],
    )
    show.text(
        "The time grows with n, because a pass costs as much as the function and there are n. That is right for "
        "functions of few inputs and many results, and too much for the parameters of a network."
    )
    figure, (axes,) = panels("time of the gradient of a product of n numbers, by forward mode", height=3.2)
    axes.loglog([r.n for r in rows], [1e3 * r.time for r in rows], "o-", color=BLUE, label="n passes")
    axes.loglog([r.n for r in rows], [1e3 * r.time / r.n for r in rows], "o--", color=RUST, label="one pass")
    axes.set(xlabel="n", ylabel="ms")
    axes.legend(frameon=False)
    show.picture(
        "cost_of_forward_mode",
        figure,
        "One pass costs as much as a few runs of the function; n passes cost n times that.",
    )


def chapter(show: Notes) -> None:
    one_pass(show)
    three_passes(show)
    cost(show)


if __name__ == "__main__":
    run(chapter)
