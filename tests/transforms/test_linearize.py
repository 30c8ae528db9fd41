"""linearize against jax.linearize: one run, many tangents; trees, integers, auxiliary data; it is a pytree."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.tree_util import tree_leaves, tree_map

import minijvp
import minijvp.numpy as mnp
from minijvp import ArgumentError
from tests.side_by_side import same

FLOAT0 = jax.dtypes.float0
X, V = jnp.array([0.3, -1.2, 2.0]), jnp.array([1.0, 0.5, -2.0])


def test_one_run_serves_many_tangents() -> None:
    runs = []

    def fun(x: Any) -> Any:
        runs.append(x)
        return mnp.sin(x) * x

    out, push = minijvp.linearize(fun, X)
    expected, expected_push = jax.linearize(lambda x: jnp.sin(x) * x, X)
    same(out, expected)
    for t in (V, X, jnp.zeros(3)):
        same(push(t), expected_push(t))
    assert len(runs) == 1


def test_linearized_twice() -> None:
    """The pushforward is itself a function that can be linearized: it is its own derivative."""
    _, push = minijvp.linearize(lambda x: mnp.exp(x) * x, X)
    out, again = minijvp.linearize(push, V)
    same(out, push(V))
    same(again(X), push(X))


def test_linearize_of_linearize() -> None:
    def case(api: Any, np: Any) -> Any:
        def inner(x: Any) -> Any:
            return api.linearize(lambda y: np.sin(y) * x, x * x)[1](x)

        out, push = api.linearize(inner, X)
        return out, push(V)

    same(case(minijvp, mnp), case(jax, jnp))


def test_trees_and_several_arguments() -> None:
    def fun(p: Any, q: Any) -> Any:
        return {"a": p["x"] * q, "b": [None, p["y"]]}

    primals = {"x": X, "y": 2.0}, V
    tangents = {"x": V, "y": 0.5}, X
    (out, push), (expected, expected_push) = minijvp.linearize(fun, *primals), jax.linearize(fun, *primals)
    same((out, push(*tangents)), (expected, expected_push(*tangents)))


def test_integers() -> None:
    n, zeros = jnp.arange(3), np.zeros(3, FLOAT0)
    out, push = minijvp.linearize(lambda x, n: (x**n, n + 1, x > 0), X, n)
    expected = jax.jvp(lambda x, n: (x**n, n + 1, x > 0), (X, n), (V, zeros))
    same((out, push(V, zeros)), expected)


def test_has_aux() -> None:
    out, push, aux = minijvp.linearize(lambda x: (mnp.sin(x), {"x": x}), X, has_aux=True)
    same((out, push(V), aux), (jnp.sin(X), jnp.cos(X) * V, {"x": X}))


def test_complex() -> None:
    z, t = jnp.array([1 + 2j, -0.5j]), jnp.array([1j, 2.0 + 0j])
    for name in ("exp", "abs", "conj"):
        push, expected = minijvp.linearize(getattr(mnp, name), z)[1], jax.linearize(getattr(jnp, name), z)[1]
        same(push(t), expected(t))


def test_pushforward_is_a_pytree() -> None:
    _, push = minijvp.linearize(lambda x: mnp.sin(x) * x, X)
    assert all(isinstance(leaf, jax.Array) for leaf in tree_leaves(push))
    _, at_v = minijvp.linearize(lambda x: mnp.sin(x) * x, V)
    same(tree_map(lambda _, residual: residual, push, at_v)(X), at_v(X))


def test_pushforward_through_jit() -> None:
    @minijvp.jit
    def at(x: Any) -> Any:
        return minijvp.linearize(lambda y: mnp.sin(y) * x, x * x)[1]

    apply = minijvp.jit(lambda push, t: push(t))
    expected = jax.jit(lambda x, t: jax.linearize(lambda y: jnp.sin(y) * x, x * x)[1](t))(X, V)
    same(apply(at(X), V), expected)
    same(at(X)(V), expected)


def test_pushforward_under_vmap() -> None:
    _, push = minijvp.linearize(lambda x: mnp.sin(x) * x.sum(), X)
    _, expected = jax.linearize(lambda x: jnp.sin(x) * x.sum(), X)
    same(minijvp.vmap(push)(jnp.eye(3)), jax.vmap(expected)(jnp.eye(3)))


def test_linear_functions_have_no_residuals() -> None:
    _, push = minijvp.linearize(lambda x: 2.0 * x[::-1] + x, X)
    assert tree_leaves(push) == []


def test_tangents_must_fit() -> None:
    _, push = minijvp.linearize(mnp.sin, X)
    for wrong in ((), (V, V), (V[:2],), (V.astype("float32"),), ({"x": V},)):
        with pytest.raises(ArgumentError):
            push(*wrong)


vectors = st.lists(st.floats(-2, 2, allow_subnormal=False), min_size=4, max_size=4).map(np.array)


def curve(x: Any) -> Any:
    return mnp.sin(x) * x[::-1] + mnp.cumsum(x * x)


@settings(derandomize=True, deadline=None, max_examples=25)
@given(vectors, vectors, vectors, st.floats(-3, 3))
def test_pushforward_is_linear_and_agrees_with_jvp(x: Any, t: Any, u: Any, k: float) -> None:
    out, push = minijvp.linearize(curve, x)
    np.testing.assert_allclose(push(k * t + u), k * push(t) + push(u), rtol=1e-9, atol=1e-9)
    same((out, push(t)), minijvp.jvp(curve, (x,), (t,)))


@settings(derandomize=True, deadline=None, max_examples=25)
@given(vectors, vectors, vectors)
def test_pullback_is_the_transpose_of_pushforward(x: Any, t: Any, ct: Any) -> None:
    push, pull = minijvp.linearize(curve, x)[1], minijvp.vjp(curve, x)[1]
    np.testing.assert_allclose(np.vdot(ct, push(t)), np.vdot(pull(ct)[0], t), rtol=1e-9, atol=1e-9)
