"""jvp against jax.jvp: trees, auxiliary results, integers, complex numbers, zeros, and higher orders."""

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
from tests.side_by_side import both, same

FLOAT0 = jax.dtypes.float0
X, V = jnp.array([0.3, -1.2, 2.0]), jnp.array([1.0, 0.5, -2.0])


def zeros(*shape: int) -> Any:
    return np.zeros(shape, FLOAT0)


def test_trees_with_none() -> None:
    def fun(p: Any, q: Any) -> Any:
        return {"a": p["x"] * q[0], "b": (None, p["y"][0] + 1.0), "c": q[0]}

    primals = {"x": X, "y": [2.0, None]}, (X * X, None)
    tangents = {"x": V, "y": [0.5, None]}, (V + 1, None)
    both(lambda api, np: api.jvp(fun, primals, tangents))


def test_lists_of_arguments() -> None:
    both(lambda api, np: api.jvp(np.arctan2, [X, V], [V, X]))


def test_has_aux() -> None:
    def case(api: Any, np: Any) -> Any:
        return api.jvp(lambda x: (np.sin(x), {"square": x * x, "none": None}), (X,), (V,), has_aux=True)

    both(case)


def test_aux_of_nested_transformations() -> None:
    def case(api: Any, np: Any) -> Any:
        def inner(x: Any) -> Any:
            _, tangent, aux = api.jvp(lambda y: (y * x, y + x), (x * x,), (x,), has_aux=True)
            return tangent * aux

        return api.jvp(inner, (X,), (V,))

    both(case)


def test_integers_have_float0() -> None:
    def case(api: Any, np: Any) -> Any:
        n, b = jnp.arange(3), jnp.array([True, False, True])
        return api.jvp(
            lambda x, n, b: (x * n, n + 1, np.where(b, x, 0.0), b, x > 0), (X, n, b), (V, zeros(3), zeros(3))
        )

    both(case)


def test_python_scalars() -> None:
    both(lambda api, np: api.jvp(lambda x, y: x * y + 1, (2.0, 3.0), (1.0, 0.5)))
    both(lambda api, np: api.jvp(lambda n, x: n * x, (2, 3.0), (zeros(), 0.5)))


def test_constant_results_have_zero_tangents() -> None:
    both(lambda api, np: api.jvp(lambda x: (np.ones(2), 3.0, x.astype(int), x), (X,), (V,)))


def test_stop_gradient() -> None:
    out, tangent = minijvp.jvp(lambda x: x * minijvp.stop_gradient(x), (X,), (V,))
    same((out, tangent), jax.jvp(lambda x: x * jax.lax.stop_gradient(x), (X,), (V,)))


@pytest.mark.parametrize("name", ["exp", "abs", "real", "imag", "conj", "square", "sqrt", "angle"])
def test_complex(name: str) -> None:
    z, t = jnp.array([1 + 2j, -0.5 + 0.1j]), jnp.array([0.3 - 1j, 2j])
    both(lambda api, np: api.jvp(getattr(np, name), (z,), (t,)))


def test_real_to_complex() -> None:
    both(lambda api, np: api.jvp(lambda x: np.exp(1j * x) * x, (X,), (V,)))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "complex64"])
def test_narrow_types(dtype: str) -> None:
    x = jnp.ones(3, dtype)
    _, tangent = minijvp.jvp(lambda x: x * 2 + x.sum(), (x,), (x,))
    assert tangent.dtype == x.dtype
    assert tangent.tolist() == [5, 5, 5]


def test_weak_types() -> None:
    for fun in (lambda x: x * 2, lambda x: x + jnp.float32(1)):
        ours, theirs = minijvp.jvp(fun, (3.0,), (1.0,)), jax.jvp(fun, (3.0,), (1.0,))
        assert [x.dtype for x in ours] == [x.dtype for x in theirs]
        assert ours[0].weak_type == theirs[0].weak_type


def test_higher_orders() -> None:
    """The n-th derivative of tanh by n nested jvps."""

    def derivative(api: Any, fun: Any) -> Any:
        return lambda x: api.jvp(fun, (x,), (jnp.ones(3),))[1]

    ours, theirs = mnp.tanh, jnp.tanh
    for _ in range(5):
        ours, theirs = derivative(minijvp, ours), derivative(jax, theirs)
        np.testing.assert_allclose(ours(X), jax.jit(theirs)(X), rtol=1e-10, atol=1e-10)


def test_concrete_values_steer_python() -> None:
    def fun(x: Any) -> Any:
        return x * x if x > 1.0 else x + int(x)

    for x in (0.5, 2.0):
        same(minijvp.jvp(fun, (x,), (1.0,)), jax.jvp(fun, (x,), (1.0,)))


vectors = st.lists(st.floats(-2, 2, allow_subnormal=False), min_size=4, max_size=4).map(np.array)


@settings(derandomize=True, deadline=None, max_examples=25)
@given(vectors, vectors, vectors, st.floats(-3, 3))
def test_tangents_are_linear(x: Any, t: Any, u: Any, k: float) -> None:
    def push(t: Any) -> Any:
        return minijvp.jvp(lambda x: mnp.sin(x) * x[::-1] + mnp.cumsum(x * x), (x,), (t,))[1]

    np.testing.assert_allclose(push(k * t + u), k * push(t) + push(u), rtol=1e-9, atol=1e-9)
