"""Traces show the numbers of the slides, and those of jvp and grad, for programs of every kind."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minijvp
import minijvp.numpy as mnp
from minijvp import lax
from minijvp.views.traces import forward_trace, reverse_trace


def f(x1, x2, x3):
    squared = x2**2
    return 6 * (x1 + squared * x3)


POINT = 1.0, 2.0, 3.0
NODES = ["x1", "x2", "x3", "squared", "e", "f", "g"]
"""Three inputs; x2 squared, times x3, plus x1, times 6."""
VALUES = [1, 2, 3, 4, 12, 13, 78]
TANGENTS = [[1, 0, 0, 0, 0, 1, 6], [0, 1, 0, 4, 12, 12, 72], [0, 0, 1, 0, 4, 4, 24]]
ADJOINTS = [6, 72, 24, 18, 6, 6, 1]


@pytest.mark.parametrize("i", range(3))
def test_forward_mode_as_on_the_slides(i: int) -> None:
    trace = forward_trace(f, POINT, tuple(float(i == j) for j in range(3)))
    assert [n.name for n in trace.nodes] == NODES
    assert [float(n.value) for n in trace.nodes] == VALUES
    assert [float(n.derivative) for n in trace.nodes] == TANGENTS[i]
    assert (float(trace.result), float(trace.derivative)) == (78, [6, 72, 24][i])


def test_reverse_mode_as_on_the_slides() -> None:
    trace = reverse_trace(f, *POINT)
    assert [float(n.value) for n in trace.nodes] == VALUES
    assert [float(n.derivative) for n in trace.nodes] == ADJOINTS
    assert [float(x) for x in trace.derivative] == [6, 72, 24]
    assert [n.operation for n in trace.nodes[3:]] == ["x2**2", "squared * x3", "x1 + e", "6.0 * f"]
    line = trace["squared"].source
    assert line is not None
    assert line.text == "squared = x2**2"


def test_a_trace_is_text_markdown_and_html() -> None:
    trace = reverse_trace(f, *POINT)
    line = f.__code__.co_firstlineno + 1
    assert str(trace).splitlines()[5].split()[:6] == [
        "squared",
        "x2**2",
        "4",
        "18",
        f"test_traces.py:{line}:",
        "squared",
    ]
    assert f"| g | 6.0 * f | 78 | 1 | test_traces.py:{line + 1}: return 6 * (x1 + squared * x3) |" in trace.markdown()
    assert "<td>squared * x3</td><td>12</td><td>6</td>" in trace.html() and trace.html() in trace._repr_html_()


def rnn(params, xs):
    def step(h, x):
        h = mnp.tanh(params["w"] @ h + x * params["s"])
        return h, h.sum()

    h, ys = lax.scan(step, mnp.zeros(3), xs, reverse=True)
    return (h * h).sum() + (ys * mnp.arange(len(xs))).sum()


def root(a):
    return lax.while_loop(lambda x: abs(x * x - a) > 1e-9 * a, lambda x: (x + a / x) / 2, a)


@minijvp.custom_vjp
def tenfold(x):
    return mnp.sin(x) * x


tenfold.defvjp(lambda x: (tenfold(x), x), lambda x, ct: (10 * ct,))


@minijvp.jit
def layer(x):
    return mnp.sin(x) * 2


def mixed(x):
    y = minijvp.checkpoint(lambda x: mnp.cos(x) * x)(x)
    z = lax.cond(y.sum() > 0, lambda x: x * x, lambda x: mnp.exp(x), layer(x))
    index = mnp.argmax(x)
    return tenfold(z).sum() * x[index] + mnp.where(x > 0, y, 0.0).sum()


rng = np.random.default_rng(0)
PARAMS = {"w": jnp.asarray(rng.normal(size=(3, 3))), "s": jnp.asarray(0.5)}
PROGRAMS: dict[str, Any] = {
    "scan": (rnn, PARAMS, jnp.asarray(rng.normal(size=(4, 3)))),
    "while": (root, jnp.asarray(2.0)),
    "mixed": (mixed, jnp.asarray(rng.normal(size=4))),
    "many turns": (lambda x: lax.fori_loop(0, 20, lambda i, x: mnp.sin(x) * 1.1, x), jnp.asarray(0.7)),
    "too many turns": (lambda x: lax.fori_loop(0, 100, lambda i, x: mnp.sin(x) * 1.1, x), jnp.asarray(0.7)),
    "while, too many": (lambda x: lax.while_loop(lambda x: x < 200.0, lambda x: x + 1.0, x), jnp.asarray(0.5)),
    "linear solve": (lambda a: mnp.linalg.solve(a @ a.T + mnp.eye(3), a[0]).sum(), PARAMS["w"]),
}


@pytest.mark.parametrize("unfold", [False, True])
@pytest.mark.parametrize("name", PROGRAMS)
def test_traces_agree_with_the_transformations(name: str, unfold: bool) -> None:
    fun, *args = PROGRAMS[name]
    backward = reverse_trace(fun, *args, unfold=unfold)
    expected = minijvp.grad(fun, tuple(range(len(args))))(*args)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-9), backward.derivative, expected)
    if name != "mixed":  # whose rule is for reverse mode, and not linear
        directions = jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape)), tuple(args))
        forward = forward_trace(fun, tuple(args), directions, unfold=unfold)
        out, tangent = minijvp.jvp(fun, tuple(args), directions)
        np.testing.assert_allclose([forward.result, forward.derivative], [out, tangent], rtol=1e-9)
        assert [n.name for n in forward.nodes] == [n.name for n in backward.nodes]


def test_inner_nodes_get_adjoints() -> None:
    trace = reverse_trace(lambda x: mnp.exp(layer(x)), 0.5, unfold=True)
    inner = [n for n in trace.nodes if n.depth]
    assert [n.operation for n in inner] == ["sin(x)", "b.b * 2.0"]
    out = np.exp(2 * np.sin(0.5))
    np.testing.assert_allclose([n.derivative for n in inner], [2 * out, out], rtol=1e-12)


def test_nodes_of_loops_have_the_number_of_their_turn() -> None:
    trace = reverse_trace(PROGRAMS["many turns"][0], 0.7, unfold=True)
    turns = [n.name for n in trace.nodes if n.depth]
    assert turns[:2] == ["b[0].b", "b[0].c"]
    assert [n.operation for n in trace.nodes if n.name == "..."] == ["12 more turns"]
    assert turns[-1] == "b[19].c"
    np.testing.assert_allclose(trace["b[19].c"].value, trace["b"].value)
    assert "more than 64" in reverse_trace(PROGRAMS["too many turns"][0], 0.7, unfold=True)["b"].operation
    assert "more than 64" in reverse_trace(PROGRAMS["while, too many"][0], 0.5, unfold=True)["b"].operation
    taken = [n for n in reverse_trace(PROGRAMS["while"][0], 2.0, unfold=True).nodes if n.depth]
    assert len(taken) == 3 * 4
    np.testing.assert_allclose(taken[-1].value, 2**0.5)


def test_inside_of_a_rule_there_are_values_and_no_adjoints() -> None:
    trace = reverse_trace(lambda x: tenfold(x) * 1.0, 2.0, unfold=True)
    inside = [n for n in trace.nodes if n.depth]
    np.testing.assert_allclose([n.value for n in inside], [np.sin(2.0), np.sin(2.0) * 2.0])
    assert all(n.derivative is None for n in inside)
    assert float(trace["x"].derivative) == 10
    assert "by its rule" in trace["b"].operation


def test_integers_have_no_derivative_and_what_is_not_used_has_zero() -> None:
    trace = reverse_trace(lambda x, n, unused: x[n] * 2.0, jnp.arange(3.0), 1, 7.0)
    assert trace["n"].derivative is None
    assert float(trace["unused"].derivative) == 0
    assert trace.derivative[1].dtype == jax.dtypes.float0
    np.testing.assert_array_equal(trace.derivative[0], [0, 2, 0])


def test_large_arrays_are_abbreviated_and_nan_is_shown() -> None:
    large = jnp.arange(100.0).reshape(10, 10)
    text = str(forward_trace(lambda x: (mnp.log(x - 1.0), x > 3), (large,), (large,)))
    assert "f64[10,10] min 0 max 99 norm 573" in text
    assert "min nan" in text
    assert "bool[10,10] 96 of 100 true" in text
    assert "[1, inf]" in str(forward_trace(lambda x: x, (jnp.array([1, np.inf]),), (jnp.ones(2),)))
    assert "0.3333333333" in str(reverse_trace(lambda x: x / 3, 1.0))


@settings(max_examples=10, deadline=None)
@given(st.lists(st.floats(-2, 2), min_size=3, max_size=3), st.lists(st.floats(-2, 2), min_size=3, max_size=3))
def test_both_modes_give_one_number(point: list[float], direction: list[float]) -> None:
    tangent = forward_trace(f, point, direction).derivative
    gradient = reverse_trace(f, *point).derivative
    np.testing.assert_allclose(tangent, np.dot(np.array(gradient), direction), rtol=1e-12, atol=1e-12)


def test_what_is_refused() -> None:
    with pytest.raises(minijvp.ArgumentError, match=r"f64\[3\](.|\n)*cotangent="):
        reverse_trace(mnp.sin, jnp.ones(3))
    np.testing.assert_allclose(reverse_trace(mnp.sin, jnp.ones(3), cotangent=jnp.ones(3)).derivative[0], np.cos(1.0))
    with pytest.raises(minijvp.ArgumentError, match=r"cotangent.* f64\[2\](.|\n)*Pass f64\[3\]"):
        reverse_trace(mnp.sin, jnp.ones(3), cotangent=jnp.ones(2))
    with pytest.raises(minijvp.ArgumentError, match="tree of tangents"):
        forward_trace(f, POINT, (1.0, 0.0))
    with pytest.raises(minijvp.ArgumentError, match=r"Write forward_trace\(f, \(x, y\), \(t_x, t_y\)\)"):
        forward_trace(mnp.sin, 1.0, 1.0)
    with pytest.raises(minijvp.ArgumentError, match="received 3"):
        reverse_trace(3, 1.0)
    with pytest.raises(minijvp.ArgumentError, match="not an array"):
        reverse_trace(f, "a", 1.0, 1.0)
    with pytest.raises(minijvp.ArgumentError, match="inside of another transformation"):
        minijvp.grad(lambda x: reverse_trace(mnp.sin, x).result)(1.0)
    with pytest.raises(KeyError, match="no node is named 'q'"):
        reverse_trace(f, *POINT)["q"]
