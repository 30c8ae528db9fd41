"""Programs as expressions: equal to their functions at the samples of every primitive, and errors that name lines."""

from __future__ import annotations

import sys
from typing import Any

import jax
import numpy as np
import pytest
import sympy as sp
from numpy.testing import assert_allclose

import minijvp
import minijvp.numpy as mnp
from minijvp import lax, nn, symbolic
from minijvp.core.types import type_of
from minijvp.operations.families import BilinearPrimitive, Elementwise, LinearPrimitive
from minijvp.symbolic.arrays import ARRAYS, LINEAR_IN
from minijvp.symbolic.elements import kind_of
from tests.samples import Sample, all_samples

WITHOUT_FORMULA = {
    # On the bits of numbers
    *("shift_left", "shift_right_arithmetic", "shift_right_logical", "population_count", "clz", "mulhi", "nextafter"),
    # Derivatives of incomplete functions
    *("igamma_grad_a", "igamma_ratio", "random_gamma_grad"),
    # The largest of a window
    "select_and_gather_add",
    "select_and_scatter_add",
}
"""Elementwise and linear primitives that are no expressions."""

REAL_NUMBERS_ONLY = ("infinite", "large", "total-order", "edges")
"""Labels of samples with infinities and nan, or with exponentials that overflow."""


def first_samples() -> list[Sample]:
    """Two samples of every primitive that is elementwise or linear, or has a rule of its own."""
    found: dict[str, list[Sample]] = {}
    for s in all_samples():
        p = s.primitive
        covered = isinstance(p, (Elementwise, LinearPrimitive, BilinearPrimitive)) or p.name in {*ARRAYS, *LINEAR_IN}
        kinds = {kind_of(type_of(x)) for x in s.args}
        complex_order = "c" in kinds and p.name in ("max", "min", "atan2", "fft")
        bits = "i" in kinds and p.name in ("and", "or", "xor", "not", "reduce_and", "reduce_or", "reduce_xor")
        chosen = found.setdefault(p.name, [])
        if covered and p.name not in WITHOUT_FORMULA and s.label not in REAL_NUMBERS_ONLY and len(chosen) < 2:
            chosen += [] if complex_order or bits else [s]
    return [s for samples in found.values() for s in samples]


def of_arrays(sample: Sample) -> tuple[Any, list[Any]]:
    """The call of a sample as a function of its floating arrays (of all, if none is floating), and these."""
    arrays = [i for i, x in enumerate(sample.args) if hasattr(x, "dtype")]
    varied = [i for i in arrays if kind_of(type_of(sample.args[i])) in "fc"] or arrays

    def call(*xs: Any) -> Any:
        args = list(sample.args)
        for i, x in zip(varied, xs, strict=True):
            args[i] = x
        return sample.primitive(*args, **sample.params)

    return call, [sample.args[i] for i in varied]


@pytest.mark.parametrize("sample", first_samples(), ids=str)
def test_a_primitive_is_its_expression(sample: Sample) -> None:
    call, args = of_arrays(sample)
    found = symbolic.to_sympy(call, *args)(*args)
    expected = sample.oracle(*sample.args)
    for x, y in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        y = np.asarray(y)
        tolerance = 1e-2 if y.dtype.itemsize == 2 or sample.primitive.name == "reduce_precision" else 1e-5
        assert np.shape(x) == y.shape
        assert_allclose(x, y.astype(complex if y.dtype.kind == "c" else float), rtol=tolerance, atol=tolerance)


def test_every_primitive_that_has_no_formula_says_so() -> None:
    for s in all_samples():
        if s.primitive.name in WITHOUT_FORMULA:
            call, args = of_arrays(s)
            with pytest.raises(minijvp.MissingRuleError, match="no closed form"):
                symbolic.to_sympy(call, *args)


# Functions


def test_numbers_are_exact_where_they_look_so() -> None:
    x = sp.Symbol("x", real=True)
    outputs = symbolic.to_sympy(lambda x: (x**2.5 / 4, 0.1 * x, 3 * x + 0.375, x - np.float32(0.1)), 1.0).outputs
    assert outputs == (x ** sp.Rational(5, 2) / 4, 0.1 * x, 3 * x + sp.Rational(3, 8), x - 0.1)
    assert symbolic.to_sympy(lambda x: mnp.maximum(x, -mnp.inf), 1.0).outputs == x


def test_trees_and_names() -> None:
    def f(p: dict, *more: Any) -> dict:
        return {"sum": p["w"].sum() * more[0], "product": p["w"] @ p["b"]}

    p = {"w": np.arange(4.0).reshape(2, 2), "b": np.ones(2)}
    e = symbolic.to_sympy(f, p, 3.0)
    assert str(e.symbols[0]["w"].tolist()) == "[[p_w_0_0, p_w_0_1], [p_w_1_0, p_w_1_1]]"
    assert str(e.outputs["product"][1]) == "p_b_0*p_w_1_0 + p_b_1*p_w_1_1"
    found, expected = e(p, 3.0), f(p, 3.0)
    assert_allclose(found["product"], expected["product"])
    assert found["sum"] == expected["sum"]
    assert_allclose(symbolic.evaluate(e.outputs, p=p, x1=3.0)["product"], expected["product"])
    named = symbolic.to_sympy(f, p, 3.0, names=("q", "s")).outputs["sum"]
    assert str(named) == "s*(q_w_0_0 + q_w_0_1 + q_w_1_0 + q_w_1_1)"
    assert "f(x)[0] = sin(x)" in str(symbolic.to_sympy(lambda x: [mnp.sin(x)], 1.0))


def test_evaluation_at_many_points() -> None:
    x = np.linspace(-2.0, 2.0, 9)
    e = symbolic.to_sympy(lambda x: (mnp.where(x > 0, mnp.log(x), -x), mnp.stack([x, x * x])), 1.0)
    first, second = symbolic.evaluate(e.outputs, x=x)
    with np.errstate(all="ignore"):
        assert_allclose(first, np.where(x > 0, np.log(x), -x))
    assert_allclose(second, [x, x * x])


def test_functions_inside_are_written_out() -> None:
    @minijvp.custom_jvp
    def square(x: Any) -> Any:
        return x * x

    square.defjvps(lambda t, out, x: 7 * t)

    def f(x: Any) -> Any:
        y = minijvp.jit(mnp.sin)(x) + minijvp.checkpoint(mnp.exp)(x) + square(x)
        return minijvp.tap(y, "y") + minijvp.from_jax(jax.numpy.tanh)(x) + minijvp.vmap(mnp.cos)(x[None])[0]

    x = sp.Symbol("x", real=True)
    e = symbolic.to_sympy(f, mnp.float64(0.5)).outputs
    assert e == sp.sin(x) + sp.exp(x) + x**2 + sp.tanh(x) + sp.cos(x)


def test_a_constant_part_is_one() -> None:
    key = minijvp.random.key(0)

    def f(x: Any) -> Any:
        return (
            x * minijvp.random.normal(key, (2,)) + mnp.sort(mnp.array([2.0, 1.0])) + mnp.linalg.inv(2 * mnp.eye(2))[0]
        )

    x = np.array([0.5, 0.25])
    assert_allclose(symbolic.to_sympy(f, x)(x), f(x), rtol=1e-6)


FUNCTIONS = [nn.softmax, nn.log_softmax, nn.logsumexp, nn.gelu, nn.silu, mnp.cumprod, lambda x: mnp.outer(x, x)[::2]]
FUNCTIONS += [minijvp.grad(nn.logsumexp), lambda x: minijvp.grad(lambda x: nn.log_softmax(x)[0])(x)]


@pytest.mark.parametrize("f", FUNCTIONS)
def test_functions_of_the_surfaces(f: Any) -> None:
    x = np.array([0.3, -0.8, 0.5])
    assert_allclose(symbolic.to_sympy(f, x)(x), f(x), rtol=1e-5)


def test_the_gradient_of_reverse_mode_is_an_expression_too() -> None:
    """Automatic and symbolic differentiation give the same function, and not only the same numbers."""

    def f(x: Any) -> Any:
        return mnp.exp(mnp.sin(x) * x) / (1 + x**2)

    automatic = symbolic.to_sympy(minijvp.grad(f), 1.0).outputs
    assert sp.simplify(automatic - symbolic.derivative(f, 1.0)) == 0


# Bad input


def message(f: Any, *args: Any, error: type = minijvp.MissingRuleError, **kwargs: Any) -> str:
    with pytest.raises(error) as caught:
        symbolic.to_sympy(f, *args, **kwargs)
    return str(caught.value)


def loop(x: Any) -> Any:
    return lax.while_loop(lambda x: x < 10, lambda x: 2 * x, x)


def counted(x: Any) -> Any:
    return lax.fori_loop(0, 3, lambda i, y: y * x, x)


def branch(x: Any) -> Any:
    return lax.cond(x > 0, mnp.sin, mnp.cos, x)


@pytest.mark.parametrize(
    ("f", "name", "advice"), [(loop, "while", "loop"), (counted, "scan", "unrolled"), (branch, "cond", "Piecewise")]
)
def test_what_has_no_closed_form_is_named_with_its_line(f: Any, name: str, advice: str) -> None:
    text = message(f, 1.0)
    line = f.__code__.co_firstlineno + 1
    assert f"equation of {name} at {__file__}:{line} ({f.__name__})" in text
    assert "`return lax." in text and advice in text and "minijvp.grad" in text
    assert "has no closed form" in message(lambda x: minijvp.jit(f)(x) + 1, 1.0)


def test_a_branch_of_python_is_refused() -> None:
    text = message(lambda x: x if x > 0 else -x, 1.0, error=minijvp.ConcretizationError)
    assert "test_expressions.py" in text and "Piecewise" in text


def test_indices_have_to_be_known() -> None:
    text = message(lambda x, i: x[i], mnp.ones(3), 1)
    assert "operand that depends on the arguments" in text
    assert "SymPy refuses" in message(lambda x: mnp.maximum(mnp.sqrt(-1 - x * x), 0.0), 1.0)
    assert "function of Python" in message(lambda x: jax_callback(x), 1.0)


def jax_callback(x: Any) -> Any:
    return minijvp.from_jax(lambda x: jax.pure_callback(np.sin, jax.ShapeDtypeStruct((), x.dtype), x))(x)


def test_arguments_that_are_refused() -> None:
    refused = minijvp.ArgumentError
    assert "500 elements" in message(mnp.sum, mnp.ones(500), error=refused)
    assert "equation of broadcast_in_dim" in message(lambda x: mnp.broadcast_to(x, (30, 30)), 1.0, error=refused)
    assert "random key" in message(lambda k: minijvp.random.normal(k), minijvp.random.key(0), error=refused)
    assert "random key" in message(lambda x: minijvp.random.key(0), 1.0, error=refused)
    assert "symbol x_0" in message(lambda x, x_0: x * x_0, mnp.ones(2), 1.0, error=refused)
    for names in ("x", ("x", "y"), ("1x",), ("if",)):
        assert "identifier" in message(mnp.sin, 1.0, names=names, error=refused)
    assert "cannot be called" in message(3.0, error=refused)
    assert "not an array" in message(mnp.sin, "x", error=refused)
    e = symbolic.to_sympy(lambda x: x.sum(), mnp.ones(2))
    with pytest.raises(refused, match="no value for x_0, x_1"):
        symbolic.evaluate(e.outputs, y=1.0)
    with pytest.raises(refused, match="shape"):
        e(mnp.ones(3))
    with pytest.raises(refused, match="structure"):
        e(mnp.ones(2), 1.0)


def test_without_sympy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [m for m in sys.modules if m.partition(".")[0] == "sympy"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sympy", None)  # importing it fails
    for call in (symbolic.to_sympy, symbolic.derivative, lambda f, x: symbolic.expression_swell(f, 2)):
        with pytest.raises(minijvp.MissingPackageError, match=r"minijvp\[symbolic\]"):
            call(mnp.sin, 1.0)
