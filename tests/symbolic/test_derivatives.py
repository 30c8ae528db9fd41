"""Symbolic derivatives against those of minijvp: trees, orders, kinks and jumps, special functions; and bad input."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import minijvp
import minijvp.numpy as mnp
from minijvp import nn, symbolic
from minijvp.operations import elementwise, special
from minijvp.operations.families import Elementwise
from tests.symbolic.test_expressions import first_samples

X = np.array([0.7, -0.4, 1.3])


def close(found: Any, expected: Any, tolerance: float = 1e-12) -> None:
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for x, y in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert np.shape(x) == np.shape(y)
        assert_allclose(x, y, rtol=tolerance, atol=tolerance)


def test_the_functions_of_the_lecture() -> None:
    x, y = sp.symbols("x y", real=True)
    slope = symbolic.derivative(lambda x: 2 * x**3 - 6 * x**2 + x + 1, 2.0)
    assert slope == 6 * x**2 - 12 * x + 1 and symbolic.evaluate(slope, x=2.0) == 1
    gradient = symbolic.derivative(lambda x, y: 2 * x**2 + 3 * y**2, 1.0, 1.0, argnums=(0, 1))
    assert gradient == (4 * x, 6 * y) and symbolic.evaluate(gradient, x=4.0, y=5.0) == (16, 30)
    assert symbolic.derivative(lambda x: mnp.cos(x**2), 1.0) == -2 * x * sp.sin(x**2)
    node = symbolic.derivative(lambda x: 6 * (x[0] + x[1] ** 2 * x[2]), mnp.ones(3))
    assert str(node.tolist()) == "[6, 12*x_1*x_2, 6*x_1**2]"
    assert symbolic.evaluate(node, x=[1.0, 2.0, 3.0]).tolist() == [6, 72, 24]
    close(symbolic.evaluate(symbolic.derivative(nn.softmax, X), x=X), minijvp.jacobian(nn.softmax)(X))


def model(p: Any, x: Any) -> Any:
    return {"y": mnp.tanh(p["w"] @ x + p["b"]), "n": [mnp.sum(x * x) * p["b"][0]]}


def test_trees_are_those_of_jacobian_and_hessian() -> None:
    p, x = {"w": np.array([[0.3, -0.2], [0.1, 0.7]]), "b": np.array([0.2, -0.1])}, X[:2]
    for argnums in (0, -1, (0, 1)):
        found = symbolic.evaluate(symbolic.derivative(model, p, x, argnums=argnums), p=p, x=x)
        close(found, minijvp.jacrev(model, argnums=argnums)(p, x))
    second = symbolic.derivative(model, p, x, argnums=(0, 1), order=2)
    close(symbolic.evaluate(second, p=p, x=x), minijvp.hessian(model, argnums=(0, 1))(p, x))


def unary_samples() -> list[Any]:
    """A sample of each elementwise primitive from floats to floats of one argument."""
    unary = [s for s in first_samples() if isinstance(s.primitive, Elementwise) and len(s.args) == 1]
    floating = [s for s in unary if np.asarray(s.args[0]).dtype.kind == np.asarray(s.oracle(*s.args)).dtype.kind == "f"]
    return list({s.primitive: s for s in floating}.values())


@pytest.mark.parametrize("sample", unary_samples(), ids=lambda s: s.primitive.name)
def test_the_derivative_of_a_primitive(sample: Any) -> None:
    x = np.asarray(sample.args[0], np.float64).ravel()

    def f(x: Any) -> Any:
        return sample.primitive(x, **sample.params)

    found = np.broadcast_to(symbolic.evaluate(symbolic.derivative(f, 1.0), x=x), x.shape)
    assert_allclose(found, minijvp.grad(lambda x: f(x).sum())(x), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("f", "argnum"),
    [
        (special.igamma, 1),
        (special.igammac, 1),
        (special.polygamma, 1),
        (special.zeta, 1),
        (elementwise.pow_, 0),
        (elementwise.pow_, 1),
        (elementwise.atan2, 0),
        (elementwise.atan2, 1),
        (elementwise.logaddexp, 1),
        (elementwise.rem, 1),
        (mnp.hypot, 0),
        (mnp.mod, 1),
    ],
)
def test_functions_of_two_numbers(f: Any, argnum: int) -> None:
    for x, y in ((3.0, 1.4), (2.0, 0.3)):
        slope = symbolic.derivative(lambda x, y: f(x, y), x, y, argnums=argnum)
        assert_allclose(symbolic.evaluate(slope, x=x, y=y), minijvp.grad(f, argnums=argnum)(x, y), rtol=1e-6)


def test_kinks_and_jumps_are_those_of_minijvp() -> None:
    def f(x: Any) -> Any:
        rounded = mnp.floor(x) * x + mnp.ceil(2 * x) * x**2 + mnp.round(x) + mnp.sign(x) * x
        return rounded + mnp.maximum(x, 0.5) * mnp.abs(mnp.log(mnp.abs(x))) + mnp.clip(x, -1, 1) ** 3

    for x in (-1.7, 0.2, 2.4):
        for order, transformed in ((1, minijvp.grad(f)), (2, minijvp.grad(minijvp.grad(f)))):
            assert_allclose(symbolic.evaluate(symbolic.derivative(f, x, order=order), x=x), transformed(x), rtol=1e-12)
    tie = symbolic.derivative(lambda x: mnp.maximum(x, 2.0), 2.0)
    assert symbolic.evaluate(tie, x=2.0) == 0.5 == minijvp.grad(lambda x: mnp.maximum(x, 2.0))(2.0)


def test_what_is_stopped_is_a_constant() -> None:
    def f(x: Any) -> Any:
        return x * minijvp.stop_gradient(mnp.sin(x)) ** 2

    slope = symbolic.derivative(f, 1.0)
    assert str(slope) == "stop_gradient(sin(x))**2"
    assert_allclose(symbolic.evaluate(slope, x=0.3), minijvp.grad(f)(0.3), rtol=1e-14)
    assert symbolic.derivative(f, 1.0, order=2) == 0


UNITS = (mnp.sin, mnp.exp, mnp.tanh, lambda x: x * x, lambda x: 1 / (2 + x * x), mnp.logaddexp, mnp.arctan2)


@settings(max_examples=12, deadline=None, derandomize=True)
@given(st.lists(st.integers(0, len(UNITS) - 1), min_size=1, max_size=4), st.integers(1, 3))
def test_compositions_to_any_order(word: list[int], order: int) -> None:
    def f(x: Any) -> Any:
        y = x
        for i in word:
            y = UNITS[i](y, x - 2.0) if i > 4 else UNITS[i](y)
        return y

    expected = f
    for _ in range(order):
        expected = minijvp.grad(expected)
    found = symbolic.evaluate(symbolic.derivative(f, 0.4, order=order), x=0.4)
    assert_allclose(found, expected(0.4), rtol=1e-8, atol=1e-10)


def test_bad_input() -> None:
    refused = minijvp.ArgumentError

    def says(text: str, *args: Any, error: type = refused, **kwargs: Any) -> None:
        with pytest.raises(error, match=text):
            symbolic.derivative(*args, **kwargs)

    for order in (0, -1, 1.5, True, "2"):
        says("order=", mnp.sin, 1.0, order=order)
    says("out of range", mnp.sin, 1.0, argnums=1)
    says("twice", mnp.multiply, 1.0, 2.0, argnums=(0, -2))
    says("positions of arguments, which are integers", mnp.sin, 1.0, argnums="x")
    says("real functions of real numbers", mnp.sin, 1)
    says("c128", lambda x: mnp.real(x * x), 1j)
    says(r"bool\[\] in the result of f", lambda x: x > 0, 1.0)
    says(
        "does not know Derivative",
        lambda a: special.regularized_incomplete_beta(a, 2.0, 0.5),
        1.0,
        error=minijvp.MissingRuleError,
    )
    says(
        "no closed form",
        lambda x: minijvp.lax.fori_loop(0, 3, lambda i, y: y * x, x),
        1.0,
        error=minijvp.MissingRuleError,
    )
