"""backward_graph: the chain of the lecture, gradients against JAX's, and graphs that are made anew at every call."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minijvp
import minijvp.numpy as mnp
from minijvp import ArgumentError, lax
from minijvp.views.backward_graph import backward_graph

W = jnp.linspace(0.0, 2.0 * math.pi, 25, dtype=jnp.float32)


def out(w: Any, b: Any) -> Any:
    pre_act = w * 3 + b
    return mnp.sin(pre_act)


def test_the_chain_of_the_lecture() -> None:
    sin = backward_graph(out, W, W)
    assert str(sin.next_functions) == "((<add>, 0),)"
    add = sin.next_functions[0][0]
    assert str(add.next_functions) == "((<mul>, 0), (<b>, 0))"
    mul = add.next_functions[0][0]
    assert str(mul.next_functions) == "((<w>, 0), (None, 0))"
    assert mul.next_functions[0][0].next_functions == () == mul.next_functions[0][0](W)
    printed = [3.0, 1.5, -1.5, -3.0, -1.5, 1.5] * 4 + [3.0]
    gradients = sin.pull_back(jnp.ones(25, jnp.float32))
    np.testing.assert_allclose(gradients["w"], printed, atol=1e-4)
    np.testing.assert_allclose(gradients["b"], jnp.cos(W * 3 + W), atol=1e-5)
    # One step at a time, as the graph is walked by hand.
    (ct,) = sin(jnp.ones(25, jnp.float32))
    np.testing.assert_allclose(ct, jnp.cos(4 * W), atol=1e-5)
    assert add(ct)[0] is ct and mul(ct)[1] is None
    np.testing.assert_allclose(mul(ct)[0], printed, atol=1e-4)
    np.testing.assert_allclose(sin.residuals[0], jnp.cos(4 * W), atol=1e-5)
    assert mul.residuals == (3.0,) and (sin.bytes, mul.bytes) == (100, 0)
    assert sin.source.text == "return mnp.sin(pre_act)" and mul.source.text == "pre_act = w * 3 + b"
    lines = str(sin).split("\n")
    assert [line.split()[1] for line in lines[2:]] == ["sin", "add", "mul", "b", "w"]
    assert lines[0] == "backward graph of sin: 5 nodes, 100 bytes kept"
    assert "4 sin            3 add       f32[25]    100 bytes  test_backward_graph.py:" in lines[2]
    assert "3 add (pre_act)  2 mul, 1 b" in lines[3] and "pre_act, keeps nothing" in sin.draw().svg
    assert "<table>" in sin._repr_html_() and "keeps 100 bytes" in sin.draw().svg


def test_values_on_a_mesh_with_explicit_axes() -> None:
    mesh = jax.make_mesh((1,), ("d",), axis_types=(jax.sharding.AxisType.Explicit,))
    w = jax.device_put(W, jax.NamedSharding(mesh, jax.P("d")))
    gradients = backward_graph(out, w, w).pull_back(jnp.cos(w))
    np.testing.assert_allclose(gradients["w"], 3 * jnp.cos(4 * W) * jnp.cos(W), atol=1e-4)
    assert gradients["w"].sharding == w.sharding == gradients["b"].sharding


def test_graphs_are_made_anew_and_compiled_programs_are_not() -> None:
    runs = []

    def f(x: Any) -> Any:
        runs.append(None)
        return mnp.sin(x) if x > 0 else mnp.exp(2 * x)  # the values are known

    first, second, third = backward_graph(f, 1.0), backward_graph(f, 1.0), backward_graph(f, -1.0)
    assert len(runs) == 3 and not set(first.walk()) & set(second.walk())
    names = [[node.name for node in graph.walk()] for graph in (first, second, third)]
    assert names == [["sin", "x"], ["sin", "x"], ["exp", "mul", "x"]]
    assert float(third.pull_back()["x"]) == pytest.approx(2 * math.exp(-2))
    gradient = minijvp.jit(minijvp.grad(lambda x: (runs.append(None), mnp.sin(x))[1]))
    for x in (1.0, 2.0, 3.0):
        gradient(x)
    assert len(runs) == 4


@minijvp.custom_jvp
def by_tangents(x: Any) -> Any:
    return mnp.sin(x)


by_tangents.defjvps(lambda t, out, x: mnp.cos(x) * t)


@minijvp.custom_vjp
def by_cotangents(x: Any) -> Any:
    return mnp.exp(x)


by_cotangents.defvjp(lambda x: (mnp.exp(x), mnp.exp(x)), lambda y, ct: (ct * y,))

# Each step in our operations, and in JAX's.
STEPS = [
    (mnp.sin, jnp.sin),
    (lambda x: x * x + x, lambda x: x * x + x),
    (lambda x: minijvp.jit(mnp.tanh)(x), jnp.tanh),
    (by_tangents, jnp.sin),
    (lambda x: by_cotangents(mnp.sin(x)), lambda x: jnp.exp(jnp.sin(x))),
    (lambda x: mnp.concatenate(mnp.split(x, 2)[::-1]), lambda x: jnp.concatenate(jnp.split(x, 2)[::-1])),
    (
        lambda x: lax.scan(lambda c, a: (mnp.sin(c) * a, c), x, x)[0],
        lambda x: jax.lax.scan(lambda c, a: (jnp.sin(c) * a, c), x, x)[0],
    ),
    (
        lambda x: lax.cond(x.sum() > 1, mnp.cos, lambda x: x * 3, x),
        lambda x: jax.lax.cond(x.sum() > 1, jnp.cos, lambda x: x * 3, x),
    ),
    (lambda x: minijvp.checkpoint(lambda y: mnp.cos(y) * y)(x), lambda x: jnp.cos(x) * x),
]


@given(st.lists(st.integers(0, len(STEPS) - 1), min_size=1, max_size=4))
@settings(max_examples=12, deadline=None)
def test_gradients_are_those_of_jax(steps: list[int]) -> None:
    def f(steps: Any, last: Any) -> Any:
        def fun(p: Any) -> Any:
            x = p["x"]
            for step in steps:
                x = step(x) + p["y"][0] * x
            return last(x)

        return fun

    p = {"x": jnp.array([0.3, -1.2, 2.0, 0.7]), "y": (jnp.array(0.5), 3)}
    graph = backward_graph(f([STEPS[i][0] for i in steps], mnp.sum), p)
    wanted = jax.grad(f([STEPS[i][1] for i in steps], jnp.sum), allow_int=True)(p)
    found = graph.pull_back()
    assert list(found) == ["p['x']", "p['y'][0]"]
    np.testing.assert_allclose(found["p['x']"], wanted["x"], rtol=1e-9)
    np.testing.assert_allclose(found["p['y'][0]"], wanted["y"][0], rtol=1e-9)
    for node in graph.walk():
        assert all(target is None or target.number < node.number for target, _ in node.next_functions)


def test_results_are_a_tree_and_some_have_no_gradient() -> None:
    def f(x: Any, *, y: Any) -> Any:
        low, high = lax.split(x, (1, 2))
        return {"product": low * y, "high": high, "floor": mnp.floor(x), "number": 3.0, "y": y}

    graph = backward_graph(f, jnp.arange(3.0), y=jnp.ones(1))
    assert graph["floor"] is graph["number"] is None
    assert graph["y"].name == "y" and graph["y"].next_functions == () and repr(graph["product"]) == "<mul>"
    split, place = graph["product"].next_functions[0]
    assert (split.name, place) == ("split", 0) and split is graph["high"]
    np.testing.assert_array_equal(split.pull_back(None, jnp.array([5.0, 6.0]))["x"], [0.0, 5.0, 6.0])
    np.testing.assert_array_equal(graph["y"].pull_back(jnp.array([2.0]))["y"], [2.0])


def test_long_chains_and_other_transformations() -> None:
    def chain(x: Any) -> Any:
        for _ in range(1500):
            x = x * 1.001
        return x

    graph = backward_graph(chain, 1.0)
    assert len(graph.walk()) == 1501 and float(graph.pull_back()["x"]) == pytest.approx(1.001**1500)
    assert len(str(graph).split("\n")) == 1503
    slope = lambda x: backward_graph(mnp.sin, x).pull_back()["x"]
    assert float(minijvp.grad(slope)(1.0)) == pytest.approx(-math.sin(1.0))
    np.testing.assert_allclose(minijvp.jit(minijvp.vmap(slope))(W), jnp.cos(W), atol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: backward_graph(3.0), "cannot be called"),
        (lambda: backward_graph(mnp.sin, "x"), "x is 'x' of type str"),
        (lambda: backward_graph(lambda x: "a", 1.0), "not an array"),
        (lambda: backward_graph(lambda i: i + 1, 1), "no result has a gradient"),
        (lambda: backward_graph(out, W, W).pull_back(), "received 0 cotangents"),
        (lambda: backward_graph(out, W, W)(1.0), r"cotangent at result 0 of sin is f\d+\[\]"),
        (lambda: backward_graph(out, W, W)(W, W), "received 2 cotangents"),
    ],
)
def test_bad_input(call: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        call()
