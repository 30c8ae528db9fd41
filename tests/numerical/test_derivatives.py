"""Differences against closed forms and JAX: trees, dtypes, complex numbers, counts, errors and what is refused."""

from __future__ import annotations

import cmath
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minijvp
import minijvp.numpy as mnp
from minijvp import numerical
from minijvp.numerical import derivatives, steps

METHODS = steps.METHODS
TOLERANCES = {  # relative, in float32 and float64
    "forward": (3e-3, 3e-7),
    "central": (3e-4, 1e-9),
    "complex-step": (2e-6, 1e-14),
    "richardson": (1e-4, 1e-10),
}
SECOND_TOLERANCES = {"forward": 1e-3, "central": 1e-5, "complex-step": 1e-7, "richardson": 1e-7}


def assert_trees_close(found, wanted, rtol, atol=None):
    assert jax.tree.structure(found) == jax.tree.structure(wanted)
    for x, y in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        assert np.shape(x) == np.shape(y)
        assert x.dtype == y.dtype
        np.testing.assert_allclose(x, y, rtol, rtol if atol is None else atol)


def tree(dtype):
    return {"w": jnp.asarray([[0.5, -1.2], [2.0, 0.3]], dtype), "b": (jnp.asarray(1.5, dtype),)}


def loss(p):
    return mnp.sum(mnp.tanh(p["w"]) * p["b"][0]) + mnp.exp(-p["b"][0] * p["w"][0, 1])


def results(p):
    return {"y": mnp.sin(p["w"]) * p["b"][0], "z": [p["b"][0] ** 3, p["w"][1] @ p["w"]]}


@pytest.mark.parametrize("method", METHODS)
def test_trees_and_dtypes(method):
    for dtype, rtol in zip((jnp.float32, jnp.float64), TOLERANCES[method], strict=True):
        p = tree(dtype)
        assert_trees_close(numerical.gradient(loss, p, method), minijvp.grad(loss)(p), 3 * rtol)
        assert_trees_close(
            numerical.jacobian(results, p, method), jax.tree.map(jnp.asarray, minijvp.jacfwd(results)(p)), 3 * rtol
        )
    p = tree(jnp.float64)
    assert_trees_close(numerical.hessian(loss, p, method), minijvp.hessian(loss)(p), SECOND_TOLERANCES[method])


def test_hessian_of_a_tree_of_results():
    p = tree(jnp.float64)
    assert_trees_close(numerical.hessian(results, p, "richardson"), minijvp.hessian(results)(p), 1e-8)


def test_half_precision():
    x = jnp.asarray([1.0, 2.0], jnp.bfloat16)
    for method, rtol in {"forward": 0.2, "central": 0.1, "complex-step": 0.01, "richardson": 0.1}.items():
        found = numerical.gradient(lambda x: jnp.sum(x**3), x, method)
        assert found.dtype == jnp.bfloat16
        np.testing.assert_allclose(np.asarray(found, float), [3.0, 12.0], rtol)


def from_python(x):
    return math.sin(x) * x if x > 0 else -x


FUNCTIONS = {
    "minijvp": lambda x: mnp.sin(x) * x,
    "jax": lambda x: jnp.sin(x) * x,
    "jax.jit": jax.jit(lambda x: jnp.sin(x) * x),
    "numpy": lambda x: np.sin(x) * x,
    "steered by its value": lambda x: mnp.sin(x) * x if x > 0 else -x,
    "python": from_python,
    "cmath": lambda x: cmath.sin(x) * x if isinstance(x, complex) else math.sin(x) * x,
}


@pytest.mark.parametrize("kind", FUNCTIONS)
def test_every_kind_of_function(kind):
    x = 1.3
    for method in METHODS:
        if (kind, method) in (("python", "complex-step"), ("steered by its value", "complex-step")):
            continue  # refused, which test_bad_input sees
        found, error = numerical.derivative(FUNCTIONS[kind], x, method, error=True)
        assert abs(found - (math.cos(x) * x + math.sin(x))) <= error <= 1e-6
        assert isinstance(found, jax.Array) == (kind not in ("numpy", "python", "cmath"))


def test_functions_that_are_called_point_by_point_give_what_batches_give():
    x = np.random.default_rng(0).normal(size=(3, 2))
    for method in METHODS:
        with numerical.count_evaluations() as batched:
            together = numerical.gradient(lambda x: mnp.sum(mnp.cos(x) ** 2 / (9 + x @ mnp.ones((2, 2)))), x, method)
        with numerical.count_evaluations() as looped:
            alone = numerical.gradient(lambda x: np.sum(np.cos(x) ** 2 / (9 + x @ np.ones((2, 2)))), x, method)
        np.testing.assert_allclose(together, alone, 1e-6, 1e-7 if method == "forward" else 1e-9)
        assert looped.total - batched.total == {"forward": 0, "complex-step": 2}.get(method, 1)


def test_evaluations_are_counted():
    square = lambda x: mnp.sum(x**2)
    for n in (1, 4, 7):
        wanted = {"forward": n + 1, "central": 2 * n, "complex-step": 5 * n, "richardson": 20 * n}
        for method, count in wanted.items():
            with numerical.count_evaluations() as outer, numerical.count_evaluations() as inner:
                numerical.gradient(square, mnp.ones(n), method)
            assert outer.total == int(inner) == count
        with numerical.count_evaluations() as evaluations:
            numerical.hessian(square, mnp.ones(n), "forward")
        assert evaluations.total == 1 + n + n * (n + 1) // 2
    calls = []
    with numerical.count_evaluations() as evaluations:
        numerical.gradient(
            lambda x: calls.append(isinstance(x, np.ndarray)) or np.sum(np.sin(x)), np.ones(5), "forward"
        )
    assert evaluations.total == calls.count(True) == 6


def test_large_arguments_are_taken_in_blocks(monkeypatch):
    x = np.linspace(0.5, 2, 12)
    f = lambda x: mnp.sum(mnp.log(x) * x)
    whole = [numerical.gradient(f, x, m, error=True) for m in METHODS] + [numerical.hessian(f, x, "forward")]
    monkeypatch.setattr(derivatives, "BATCH_NUMBERS", 100)
    with numerical.count_evaluations() as evaluations:
        numerical.gradient(f, x, "forward")
    assert evaluations.total == 13
    again = [numerical.gradient(f, x, m, error=True) for m in METHODS] + [numerical.hessian(f, x, "forward")]
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(again), strict=True):
        np.testing.assert_allclose(a, b, 1e-6, 1e-6)


SMOOTH = {
    "sin": (mnp.sin, math.cos),
    "exp": (mnp.exp, math.exp),
    "log": (mnp.log, lambda x: 1 / x),
    "sqrt": (mnp.sqrt, lambda x: 0.5 / math.sqrt(x)),
    "inverse": (lambda x: 1 / x, lambda x: -1 / x**2),
    "tanh": (mnp.tanh, lambda x: 1 - math.tanh(x) ** 2),
    "polynomial": (lambda x: 2 * x**3 - 6 * x**2 + x + 1, lambda x: 6 * x**2 - 12 * x + 1),
    "cos(x²)": (lambda x: mnp.cos(x**2), lambda x: -2 * x * math.sin(x**2)),
}


def test_error_estimates_are_honest():
    hits, shares = {}, {}
    for f, derivative in SMOOTH.values():
        for x in (0.12, 0.7, 1.3, 2.0, 3.1):
            for dtype in (np.float32, np.float64):
                at = dtype(x)
                for method in METHODS:
                    found, error = numerical.derivative(f, at, method, error=True)
                    exact = derivative(float(at))
                    rounding = np.finfo(dtype).eps * abs(exact) / 2  # of the result itself
                    hits.setdefault(method, []).append(abs(float(found) - exact) <= float(error) + rounding)
                    shares.setdefault((method, dtype), []).append(float(error) / abs(exact))
    assert min(np.mean(h) for h in hits.values()) >= 0.97
    bounds = {
        "forward": (2e-2, 1e-6),
        "central": (2e-3, 2e-9),
        "complex-step": (1e-5, 1e-13),
        "richardson": (1e-3, 1e-11),
    }
    for method, limits in bounds.items():
        for dtype, limit in zip((np.float32, np.float64), limits, strict=True):
            assert np.median(shares[method, dtype]) < limit
    value, error = numerical.hessian(loss, tree(jnp.float64), "central", error=True)
    for a, b, e in zip(*map(jax.tree.leaves, (value, minijvp.hessian(loss)(tree(jnp.float64)), error)), strict=True):
        assert np.all(np.abs(a - b) <= e)
        assert np.max(e) < 1e-3


@pytest.mark.parametrize(("f", "x", "slope"), [
    (lambda x: mnp.sin(1000 * x), 1.0, 1000 * math.cos(1000)),  # looks smooth at steps of 1/32, 1/64, 1/128
    (mnp.log, 1e-5, 1e5),
    (lambda x: mnp.exp(x) + 1e4, 0.0, 1.0),
    (math.log, 1e-3, 1e3),
])  # fmt: skip
def test_extrapolation_finds_its_step(f, x, slope):
    found, error = numerical.derivative(f, x, "richardson", error=True)
    assert abs(found - slope) <= error <= 1e-6 * abs(slope)


def test_complex_arguments():
    z = np.array([1 + 2j, -0.5j])
    for method in ("forward", "central", "richardson"):
        real = lambda z: mnp.sum(mnp.abs(z) ** 2 * mnp.real(z))
        np.testing.assert_allclose(numerical.gradient(real, z, method), minijvp.grad(real)(z), 1e-6, 1e-6)
        assert (
            abs(
                numerical.derivative(lambda z: z**3 + mnp.exp(z), 1 + 2j, method)
                - (3 * (1 + 2j) ** 2 + cmath.exp(1 + 2j))
            )
            < 1e-5
        )
    mixed = {"z": jnp.asarray(1 + 1j), "x": jnp.asarray(2.0)}
    found = numerical.jacobian(lambda p: p["z"] ** 2 * p["x"], mixed)
    assert found["x"].dtype == found["z"].dtype == jnp.complex128
    np.testing.assert_allclose([found["z"], found["x"]], [4 + 4j, 2j], 1e-8, 1e-8)
    parts = numerical.derivative(lambda x: mnp.exp(1j * x), 0.5)
    assert abs(parts - 1j * cmath.exp(0.5j)) < 1e-9
    for f in (mnp.conj, lambda z: z * mnp.abs(z), lambda z: np.conj(z)):
        with pytest.raises(minijvp.ArgumentError, match="is not holomorphic at"):
            numerical.derivative(f, 1 + 2j)


def test_complex_steps_are_taken_of_analytic_functions_only():
    for f in (mnp.abs, jnp.abs, np.abs, lambda x: mnp.real(x) ** 2, lambda x: jnp.linalg.norm(jnp.stack([x, 2 * x]))):
        with pytest.raises(minijvp.ArgumentError, match=r"the complex step gives .*, and central differences"):
            numerical.derivative(f, -1.5, "complex-step")
    with pytest.raises(minijvp.ArgumentError, match=r"by x\[1\], and central"):
        numerical.gradient(lambda x: mnp.sum(x) + 1e-2 * mnp.abs(x[1]), mnp.ones(3), "complex-step")
    with pytest.raises(minijvp.ArgumentError, match="complex step gives"):
        numerical.hessian(lambda x: mnp.abs(x[0]) ** 3 * x[1], mnp.ones(2), "complex-step")
    assert (
        abs(numerical.derivative(lambda x: mnp.maximum(x, 0.0) ** 2, 1.5, "complex-step") - 3) < 1e-14
    )  # no kink near


@given(st.lists(st.integers(0, 3), max_size=2), st.lists(st.integers(0, 2), max_size=2), st.sampled_from(METHODS))
@settings(max_examples=8, deadline=None, derandomize=True)
def test_shapes_are_those_of_minijvp(shape, other, method):
    x = {"a": np.linspace(1, 2, int(np.prod(shape))).reshape(shape), "b": np.full(other, 0.5)}
    f = lambda x: [mnp.sin(x["a"]) * mnp.sum(x["b"] ** 2), x["b"] * mnp.sum(x["a"])]
    found, error = numerical.jacobian(f, x, method, error=True)
    assert_trees_close(found, minijvp.jacfwd(f)(x), 1e-6)
    assert jax.tree.map(np.shape, error) == jax.tree.map(np.shape, found)


def test_steps():
    x = {"a": np.array([1.0, 100.0]), "b": 2.0}
    f = lambda x: np.sum(x["a"] ** 2) + x["b"] ** 2  # the forward difference is 2x + h
    for step, wanted in (
        (0.5, (2.5, 200.5, 4.5)),
        ({"a": 0.25, "b": 1.0}, (2.25, 200.25, 5.0)),
        ({"a": np.array([0.5, 0.25]), "b": 2.0}, (2.5, 200.25, 6.0)),
    ):
        found = numerical.gradient(f, x, "forward", step=step)
        np.testing.assert_allclose([*found["a"], found["b"]], wanted)
    # A step that the dtype cannot hold is as long as the argument moves, and the quotient of a line is exact.
    assert abs(numerical.derivative(lambda x: 3 * x, np.float32(1000.0), "forward", step=1e-3) - 3) < 1e-4


def test_inside_of_transformations_values_stay_values():
    slope = lambda: numerical.derivative(mnp.sin, 0.0)
    for transform in (minijvp.grad, minijvp.jit, jax.jit, lambda f: minijvp.vmap(f)):
        found = transform(lambda y: y * slope())(jnp.ones(2) if transform not in (minijvp.grad,) else 1.0)
        np.testing.assert_allclose(found, 1.0, 1e-9)
    for transform in (minijvp.grad, minijvp.jit, jax.jit):
        with pytest.raises(minijvp.ArgumentError, match=r"traced value for x.*\n.*\n.*external"):
            transform(lambda x: numerical.derivative(mnp.sin, x))(1.0)


def sometimes(x):
    return x if x.sum() > 3 else x.sum()


BAD = {
    "vector": (lambda: numerical.derivative(mnp.sin, mnp.ones(3)), r"received f64\[3\] for x[\s\S]*numerical.gradient"),
    "no number": (lambda: numerical.gradient(mnp.sin, mnp.ones(3)), r"shape \(3,\)[\s\S]*jacobian"),
    "complex result": (lambda: numerical.gradient(lambda x: 1j * x, 1.0), "one real number"),
    "not finite": (lambda: numerical.gradient(mnp.sum, np.array([1, np.inf])), "numbers that are not finite"),
    "integer": (lambda: numerical.derivative(mnp.sin, 1), r"an int64 for x[\s\S]*1\.0 for 1"),
    "integer result": (lambda: numerical.derivative(lambda x: mnp.argmax(x), 1.0), "returned an int64"),
    "integer of Python": (lambda: numerical.derivative(lambda x: int(x), 1.0), "returned an int64"),
    "method": (lambda: numerical.hessian(mnp.sum, mnp.ones(2), "newton"), "'central', 'complex-step', 'richardson'"),
    "zero step": (lambda: numerical.derivative(mnp.sin, 1.0, step=0), r"step 0 for x[\s\S]*would be 6.1e-06"),
    "negative step": (lambda: numerical.derivative(mnp.sin, 1.0, step=-1e-3), "positive finite number"),
    "nan step": (lambda: numerical.derivative(mnp.sin, 1.0, step=np.nan), "positive finite number"),
    "word step": (lambda: numerical.derivative(mnp.sin, 1.0, step="small"), "positive finite number"),
    "step of another shape": (lambda: numerical.gradient(mnp.sum, mnp.ones(3), step=np.ones(2)), r"of shape \(3,\)"),
    "step of another tree": (lambda: numerical.gradient(mnp.sum, mnp.ones(3), step={"a": 1.0}), "does not fit"),
    "small step": (lambda: numerical.derivative(mnp.sin, 1e6, step=1e-12), "does not change x = 1000000"),
    "domain": (lambda: numerical.gradient(lambda x: mnp.sum(mnp.log(x)), np.array([1, 1e-9])), r"at x\[1\] = -"),
    "domain of math": (lambda: numerical.derivative(math.log, 1e-9), r"moved it \(.*\)"),
    "outside": (lambda: numerical.derivative(mnp.log, -1.0, "richardson"), "log is not finite at x = -0.99"),
    "at the point": (lambda: numerical.derivative(mnp.log, 0.0, "forward"), "not finite at the point itself"),
    "result of words": (lambda: numerical.derivative(lambda x: "a", 1.0), "result of <lambda> is 'a'"),
    "changing result": (lambda: numerical.jacobian(sometimes, np.ones(3)), "at one point and"),
    "no function": (lambda: numerical.derivative(1.0, 1.0), "cannot be called"),
    "complex step of math": (lambda: numerical.derivative(from_python, 1.0, "complex-step"), "computed with complex"),
    "complex step of floor": (lambda: numerical.derivative(mnp.floor, 1.5, "complex-step"), "computed with complex"),
    "complex step of complex": (lambda: numerical.derivative(mnp.sin, 1j, "complex-step"), "with complex numbers"),
    "complex Hessian": (lambda: numerical.hessian(lambda z: z**2, 1j), "received complex arguments"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case):
    call, message = BAD[case]
    with pytest.raises(minijvp.ArgumentError, match=message) as caught:
        call()
    error = caught.value
    assert error.what
    assert error.why
    assert error.do


def test_the_errors_of_the_function_are_its_own():
    with pytest.raises(ZeroDivisionError):
        numerical.derivative(lambda x: 1 // 0 * x, 1.0)
    with pytest.raises(KeyError), numerical.count_evaluations() as evaluations:
        numerical.derivative(lambda x: {}["a"], 1.0)
    assert evaluations.total == 1
