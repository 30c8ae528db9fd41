"""Chapter 3: symbolic differentiation.

The rules of the derivative tables, applied to expressions by SymPy: exact, as long as there is an expression, and as
long as it does not swell.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from notes import Notes, magnitude, run

import minijvp
import minijvp.numpy as mnp
from minijvp import symbolic

ANYWHERE, POSITIVE, INSIDE = (-2.3, -0.4, 0.7, 1.9), (0.2, 0.7, 1.9, 3.0), (-0.9, -0.4, 0.3, 0.8)
OUTSIDE, ABOVE_ONE, UNIT = (-3.0, -1.2, 1.4, 2.5), (1.1, 1.4, 2.5, 3.0), (0.1, 0.4, 0.6, 0.9)
Table = dict[str, tuple[Callable, tuple[float, ...]]]
TABLES: dict[str, Table] = {
    "Basic rules": {
        "5 + 0·x": (lambda x: 5 + 0 * x, ANYWHERE),
        "3·sin x": (lambda x: 3 * mnp.sin(x), ANYWHERE),
        "x⁵": (lambda x: x**5, ANYWHERE),
        "x² + sin x": (lambda x: x**2 + mnp.sin(x), ANYWHERE),
        "x² − sin x": (lambda x: x**2 - mnp.sin(x), ANYWHERE),
        "x²·sin x": (lambda x: x**2 * mnp.sin(x), ANYWHERE),
        "sin x / x²": (lambda x: mnp.sin(x) / x**2, ANYWHERE),
        "cos(x²)": (lambda x: mnp.cos(x**2), ANYWHERE),
    },
    "Exponentials and logarithms": {
        "eˣ": (mnp.exp, ANYWHERE),
        "2ˣ": (lambda x: 2.0**x, ANYWHERE),
        "e^sin x": (lambda x: mnp.exp(mnp.sin(x)), ANYWHERE),
        "2^sin x": (lambda x: 2.0 ** mnp.sin(x), ANYWHERE),
        "ln x": (mnp.log, POSITIVE),
        "ln(x² + 1)": (lambda x: mnp.log(x**2 + 1), ANYWHERE),
        "log₂ x": (lambda x: mnp.log(x) / np.log(2), POSITIVE),
        "log₂(x² + 1)": (lambda x: mnp.log(x**2 + 1) / np.log(2), ANYWHERE),
    },
    "Circular functions and their inverses": {
        "sin x": (mnp.sin, ANYWHERE),
        "cos x": (mnp.cos, ANYWHERE),
        "tan x": (mnp.tan, ANYWHERE),
        "csc x": (lambda x: 1 / mnp.sin(x), ANYWHERE),
        "sec x": (lambda x: 1 / mnp.cos(x), ANYWHERE),
        "cot x": (lambda x: 1 / mnp.tan(x), ANYWHERE),
        "arcsin x": (mnp.arcsin, INSIDE),
        "arccos x": (mnp.arccos, INSIDE),
        "arctan x": (mnp.arctan, ANYWHERE),
        "arccot x": (lambda x: np.pi / 2 - mnp.arctan(x), ANYWHERE),
        "arcsec x": (lambda x: mnp.arccos(1 / x), OUTSIDE),
        "arccsc x": (lambda x: mnp.arcsin(1 / x), OUTSIDE),
    },
    "Hyperbolic functions and their inverses": {
        "sinh x": (mnp.sinh, ANYWHERE),
        "cosh x": (mnp.cosh, ANYWHERE),
        "tanh x": (mnp.tanh, ANYWHERE),
        "csch x": (lambda x: 1 / mnp.sinh(x), ANYWHERE),
        "sech x": (lambda x: 1 / mnp.cosh(x), ANYWHERE),
        "coth x": (lambda x: 1 / mnp.tanh(x), ANYWHERE),
        "arsinh x": (mnp.arcsinh, ANYWHERE),
        "arcosh x": (mnp.arccosh, ABOVE_ONE),
        "artanh x": (mnp.arctanh, INSIDE),
        "arcsch x": (lambda x: mnp.arcsinh(1 / x), ANYWHERE),
        "arsech x": (lambda x: mnp.arccosh(1 / x), UNIT),
        "arcoth x": (lambda x: mnp.arctanh(1 / x), OUTSIDE),
    },
}
CORRECTED = {
    "arcsec x": ("1/(x·√(x² − 1))", lambda x: 1 / (x * np.sqrt(x**2 - 1)), "1/(|x|·√(x² − 1))", -2.0),
    "arccsc x": ("−1/(x·√(x² − 1))", lambda x: -1 / (x * np.sqrt(x**2 - 1)), "−1/(|x|·√(x² − 1))", -2.0),
    "arcsch x": ("−1/(|x|·√(1 − x²))", lambda x: -1 / (abs(x) * np.sqrt(1 - x**2)), "−1/(|x|·√(1 + x²))", 0.5),
    "coth x": ("−csch x", lambda x: -1 / np.sinh(x), "−csch² x", 0.5),
}


def the_tables(show: Notes) -> None:
    show.heading("The tables of derivatives")
    show.text(
        "`symbolic.derivative` traces a function, writes its program as an expression of SymPy, and applies the rules. "
        "The last column holds the expression's values against `minijvp.grad`, at points of the whole domain."
    )
    for title, table in TABLES.items():
        show.table(title, ("function", "derivative", "at x =", "difference"), rows_of(table))


def rows_of(table: Table) -> list[tuple[str, ...]]:
    """The rows of one table. All its gradients are compiled together."""
    functions, points = zip(*table.values(), strict=True)
    gradients = lambda *xs: [minijvp.vmap(minijvp.grad(g))(x) for g, x in zip(functions, xs, strict=True)]
    automatic = minijvp.jit(gradients)(*map(np.array, points))
    rows = []
    for name, function, xs, slopes in zip(table, functions, points, automatic, strict=True):
        expression = symbolic.derivative(function, 1.0, names=("x",))
        difference = abs(symbolic.evaluate(expression, x=np.array(xs)) - np.asarray(slopes)).max()
        rows.append((name, str(expression), ", ".join(f"{x:g}" for x in xs), magnitude(difference)))
    return rows


def corrected_rows(show: Notes) -> None:
    show.heading("Four rows of the slides")
    rows = []
    every = {name: row for table in TABLES.values() for name, row in table.items()}
    for name, (wrong, formula, right, x) in CORRECTED.items():
        function, _ = every[name]
        rows.append((name, f"{x:g}", wrong, formula(x), minijvp.grad(function)(x), right))
        show.correction(f"The derivative of {name} is {right}; the slide has {wrong}.")
    show.table(
        "The slides' formulas at a point where they are wrong",
        ("function", "x", "slide", "its value", "minijvp.grad", "right formula"),
        rows,
    )
    show.text(
        "arcsec rises on both branches and arccsc falls on both, so that their derivatives keep their sign; those of "
        "the slides change it with x. Under the root of arcsch stands a sum: the function does not end at 1."
    )


def the_swell(show: Notes) -> None:
    show.heading("Expression swell")
    show.text(
        "The product rule writes each factor twice: the derivative of h = f·g has two products, and if f = u·v it has "
        "three. A function that is nested, here the logistic map 4x(1 − x), swells faster:"
    )
    swell = symbolic.expression_swell(logistic_map, 6)
    show.show_table(swell.table)
    show.text(
        f"Applied six times, the map has {swell.function[-1]} operations and its derivative {swell.raw[-1]:,}, while "
        f"minijvp's gradient has {swell.equations[-1]} equations: as many for each repetition. An expression has no "
        f"names for what occurs twice. With names, there are {swell.shared[-1]} operations: the swell is one of "
        "expressions, not of derivatives."
    )
    show.picture("expression_swell", swell.figure(), "Operations of the derivative; the axis is logarithmic.")


def logistic_map(x):
    return 4 * x * (1 - x)


def newton(a):
    return minijvp.lax.while_loop(lambda x: abs(x * x - a) > 1e-12 * a, lambda x: (x + a / x) / 2, a)


def no_closed_form(show: Notes) -> None:
    show.heading("No closed form")
    show.text("A square root by Newton's method is a loop that ends when it is accurate. No expression says that:")
    try:
        symbolic.derivative(newton, 2.0)
    except minijvp.MinijvpError as error:
        show.error(error)
    show.text(
        f"Automatic differentiation follows the loop: `minijvp.grad(newton)(2.0)` is {minijvp.grad(newton)(2.0):.6f}, "
        f"and 1/(2√2) = {0.5 / 2**0.5:.6f}."
    )


def chapter(show: Notes) -> None:
    the_tables(show)
    corrected_rows(show)
    the_swell(show)
    no_closed_form(show)


if __name__ == "__main__":
    run(chapter)
