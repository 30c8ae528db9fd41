"""The tables of derivatives, each row in four ways: forward, reverse, symbolic and numerical, beside the formula.

csc, sec, cot and their hyperbolic relatives are quotients; arccsc x = arcsin(1/x), arcsec x = arccos(1/x), and likewise
for the hyperbolic ones. arccot x is pi/2 - arctan x, which is smooth at 0; arctan(1/x) has the same derivative.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.testing import assert_allclose

import minijvp
import minijvp.numpy as mnp
from minijvp import numerical, symbolic

REAL = (-2.3, -1.1, -0.4, 0.3, 1.2, 2.6)
POSITIVE = (0.2, 0.9, 2.5)
INSIDE = (-0.8, -0.3, 0.1, 0.7)
OUTSIDE = (-3.2, -1.4, 1.3, 2.7)
A = 1.7


class Row(NamedTuple):
    """A function, its derivative by the corrected table (in NumPy), and points of the whole domain."""

    name: str
    f: Callable[[Any], Any]
    formula: Callable[[Any], Any]
    points: tuple[float, ...] = REAL


def u(x: Any) -> Any:
    return mnp.sin(x) + 2.0


def v(x: Any) -> Any:
    return mnp.exp(x / 3)


U, DU = lambda x: np.sin(x) + 2, np.cos
V, DV = lambda x: np.exp(x / 3), lambda x: np.exp(x / 3) / 3

RULES = [
    Row("constant", lambda x: 0 * x + A, lambda x: 0 * x),
    Row("multiple", lambda x: A * u(x), lambda x: A * DU(x)),
    Row("power 3", lambda x: x**3, lambda x: 3 * x**2),
    Row("power -2", lambda x: x**-2, lambda x: -2 * x**-3.0),
    Row("power a", lambda x: x**A, lambda x: A * x ** (A - 1), POSITIVE),
    Row("sum", lambda x: u(x) + v(x), lambda x: DU(x) + DV(x)),
    Row("difference", lambda x: u(x) - v(x), lambda x: DU(x) - DV(x)),
    Row("product", lambda x: u(x) * v(x), lambda x: U(x) * DV(x) + V(x) * DU(x)),
    Row("quotient", lambda x: v(x) / u(x), lambda x: (U(x) * DV(x) - V(x) * DU(x)) / U(x) ** 2),
    Row("chain", lambda x: u(v(x)), lambda x: DU(V(x)) * DV(x)),
]
EXPONENTIALS = [
    Row("e^x", mnp.exp, np.exp),
    Row("a^x", lambda x: A**x, lambda x: A**x * np.log(A)),
    Row("e^g", lambda x: mnp.exp(u(x)), lambda x: np.exp(U(x)) * DU(x)),
    Row("a^g", lambda x: A ** u(x), lambda x: np.log(A) * A ** U(x) * DU(x)),
    Row("ln x", mnp.log, lambda x: 1 / x, POSITIVE),
    Row("ln g", lambda x: mnp.log(u(x)), lambda x: DU(x) / U(x)),
    Row("log_a x", lambda x: mnp.log(x) / mnp.log(A), lambda x: 1 / (x * np.log(A)), POSITIVE),
    Row("log_a g", lambda x: mnp.log(u(x)) / mnp.log(A), lambda x: DU(x) / (U(x) * np.log(A))),
    Row("log_10 x", mnp.log10, lambda x: 1 / (x * np.log(10)), POSITIVE),
]
TRIGONOMETRIC = [
    Row("sin", mnp.sin, np.cos),
    Row("cos", mnp.cos, lambda x: -np.sin(x)),
    Row("tan", mnp.tan, lambda x: 1 / np.cos(x) ** 2),
    Row("csc", lambda x: 1 / mnp.sin(x), lambda x: -1 / np.sin(x) / np.tan(x)),
    Row("sec", lambda x: 1 / mnp.cos(x), lambda x: 1 / np.cos(x) * np.tan(x)),
    Row("cot", lambda x: 1 / mnp.tan(x), lambda x: -1 / np.sin(x) ** 2),
    Row("arcsin", mnp.arcsin, lambda x: 1 / np.sqrt(1 - x**2), INSIDE),
    Row("arccos", mnp.arccos, lambda x: -1 / np.sqrt(1 - x**2), INSIDE),
    Row("arctan", mnp.arctan, lambda x: 1 / (1 + x**2)),
    Row("arccsc", lambda x: mnp.arcsin(1 / x), lambda x: -1 / (abs(x) * np.sqrt(x**2 - 1)), OUTSIDE),
    Row("arcsec", lambda x: mnp.arccos(1 / x), lambda x: 1 / (abs(x) * np.sqrt(x**2 - 1)), OUTSIDE),
    Row("arccot", lambda x: mnp.pi / 2 - mnp.arctan(x), lambda x: -1 / (1 + x**2)),
    Row("arccot, by arctan(1/x)", lambda x: mnp.arctan(1 / x), lambda x: -1 / (1 + x**2)),
]
HYPERBOLIC = [
    Row("sinh", mnp.sinh, np.cosh),
    Row("cosh", mnp.cosh, np.sinh),
    Row("tanh", mnp.tanh, lambda x: 1 / np.cosh(x) ** 2),
    Row("csch", lambda x: 1 / mnp.sinh(x), lambda x: -1 / np.sinh(x) / np.tanh(x)),
    Row("sech", lambda x: 1 / mnp.cosh(x), lambda x: -1 / np.cosh(x) * np.tanh(x)),
    Row("coth", lambda x: 1 / mnp.tanh(x), lambda x: -1 / np.sinh(x) ** 2),
    Row("arsinh", mnp.arcsinh, lambda x: 1 / np.sqrt(1 + x**2)),
    Row("arcosh", mnp.arccosh, lambda x: 1 / np.sqrt(x**2 - 1), (1.2, 1.9, 3.5)),
    Row("artanh", mnp.arctanh, lambda x: 1 / (1 - x**2), INSIDE),
    Row("arcsch", lambda x: mnp.arcsinh(1 / x), lambda x: -1 / (abs(x) * np.sqrt(1 + x**2))),
    Row("arsech", lambda x: mnp.arccosh(1 / x), lambda x: -1 / (x * np.sqrt(1 - x**2)), (0.15, 0.5, 0.85)),
    Row("arcoth", lambda x: mnp.arctanh(1 / x), lambda x: 1 / (1 - x**2), OUTSIDE),
]


@pytest.mark.parametrize("row", RULES + EXPONENTIALS + TRIGONOMETRIC + HYPERBOLIC, ids=lambda row: row.name)
def test_a_row_of_the_tables_in_four_ways(row: Row) -> None:
    x = np.array(row.points)
    expected = row.formula(x)
    _, forward = minijvp.jvp(row.f, (x,), (np.ones_like(x),))
    reverse = minijvp.grad(lambda x: row.f(x).sum())(x)
    expression = symbolic.derivative(row.f, 1.0, names=("x",))
    numeric = numerical.gradient(lambda x: row.f(x).sum(), x, "richardson")
    for found, tolerance in (
        (forward, 1e-13),
        (reverse, 1e-13),
        (symbolic.evaluate(expression, x=x), 1e-13),
        (numeric, 1e-8),
    ):
        assert_allclose(np.broadcast_to(found, x.shape), expected, rtol=tolerance, atol=tolerance)
