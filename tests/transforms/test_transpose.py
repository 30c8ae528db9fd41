"""linear_transpose against jax.linear_transpose, and transposition of programs."""

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
from minijvp import ArgumentError, MissingRuleError
from minijvp.core.jaxpr import evaluate
from minijvp.transforms.transpose import transpose_flat, transpose_jaxpr
from tests.side_by_side import both, same

X, V = jnp.array([0.3, -1.2, 2.0]), jnp.array([1.0, 0.5, -2.0])
M = jnp.arange(6.0).reshape(2, 3) - 2


LINEAR = {
    "scaling": lambda np: lambda x: 3.0 * x / 2.0 - x,
    "product": lambda np: lambda x: np.asarray(M) @ x,
    "indexing": lambda np: lambda x: x[jnp.array([0, 2, 0])] + x[::-1],
    "update": lambda np: lambda x: np.zeros(5).at[1:4].add(2.0 * x),
    "sums": lambda np: lambda x: np.cumsum(x) + x.sum(),
    "shapes": lambda np: lambda x: np.stack([x, 2.0 * x]).T.reshape(2, 3),
    "masks": lambda np: lambda x: np.where(np.arange(3) > 0, x, 0.0) * np.sin(3.0),
    "identity": lambda np: lambda x: x,
}


@pytest.mark.parametrize("name", LINEAR)
def test_linear_functions(name: str) -> None:
    fun = LINEAR[name]
    out = fun(jnp)(X)
    ct = jnp.arange(1.0, 1 + out.size).reshape(out.shape)
    both(lambda api, np: api.linear_transpose(fun(np), X)(ct))


@pytest.mark.parametrize("name", LINEAR)
def test_twice_is_the_function(name: str) -> None:
    fun = LINEAR[name](mnp)
    out = fun(X)
    once = minijvp.linear_transpose(fun, X)
    same(minijvp.linear_transpose(lambda ct: once(ct)[0], out)(X), (out,))


def test_trees_and_several_arguments() -> None:
    def fun(p: Any, q: Any) -> Any:
        return {"a": p["x"] * 2.0 + q, "b": (None, p["y"] - q.sum())}

    def case(api: Any, np: Any) -> Any:
        return api.linear_transpose(fun, {"x": X, "y": 1.0}, V)({"a": X, "b": (None, 2.0)})

    both(case)


def test_shapes_suffice() -> None:
    x = jax.ShapeDtypeStruct((3,), "float32")
    (ct,) = minijvp.linear_transpose(lambda x: M.astype("float32") @ x, x)(jnp.ones(2, "float32"))
    assert (ct.shape, ct.dtype, ct.tolist()) == ((3,), "float32", [-1.0, 1.0, 3.0])


def test_unused_arguments_have_zero_cotangents() -> None:
    both(lambda api, np: api.linear_transpose(lambda x, y: 2.0 * x, X, V)(X))


def test_complex() -> None:
    z = jnp.array([1 + 2j, 0.5j])
    both(lambda api, np: api.linear_transpose(lambda z: (2 - 1j) * z[::-1], z)(z))
    both(lambda api, np: api.linear_transpose(lambda z: np.real(z), z)(jnp.ones(2)))


def test_under_other_transformations() -> None:
    pull = lambda api, np: api.linear_transpose(lambda x: np.asarray(M) @ x, X)
    both(lambda api, np: api.jit(pull(api, np))(M[:, 0]))
    both(lambda api, np: api.vmap(pull(api, np))(M.T))
    both(lambda api, np: api.jvp(pull(api, np), (M[:, 0],), (M[:, 1],)))
    both(lambda api, np: api.linear_transpose(api.jit(lambda x: x[::-1] * 2.0), X)(V))
    both(lambda api, np: api.linear_transpose(api.vmap(lambda x: np.cumsum(x)), M)(M))
    both(lambda api, np: api.grad(lambda k: api.linear_transpose(lambda x: k * x, X)(V)[0].sum())(2.0))


@pytest.mark.parametrize("fun", [lambda x: x * x, lambda x: mnp.sin(x), lambda x: 1.0 / x, lambda x: mnp.abs(x)])
def test_functions_that_are_not_linear(fun: Any) -> None:
    with pytest.raises(MissingRuleError):
        minijvp.linear_transpose(fun, X)(V)


def test_cotangents_must_fit() -> None:
    transposed = minijvp.linear_transpose(lambda x: 2.0 * x, X)
    for wrong in ((V,), V[:2], V.astype("float32"), 1.0):
        with pytest.raises(ArgumentError):
            transposed(wrong)


# Programs


def test_several_uses_add_up() -> None:
    jaxpr = minijvp.make_jaxpr(lambda x: (x + x, x, 3.0 * x))(X)
    assert transpose_flat(jaxpr, [True], [None], [X, None, X])[0].tolist() == (X + X + 3 * X).tolist()


def test_zero_cotangents_stay_zero() -> None:
    jaxpr = minijvp.make_jaxpr(lambda x, y: (2.0 * x, 2.0 * y))(X, V)
    found = transpose_flat(jaxpr, [True, True], [None, None], [None, X])
    assert found[0] is None
    assert found[1].tolist() == (2 * X).tolist()
    assert transpose_flat(jaxpr, [True, True], [None, None], [None, None]) == [None, None]


def test_equations_without_a_linear_input_are_evaluated() -> None:
    jaxpr = minijvp.make_jaxpr(lambda k, x: mnp.sin(k) * x)(2.0, X)
    assert transpose_flat(jaxpr, [False, True], [2.0, None], [V])[0].tolist() == (jnp.sin(2.0) * V).tolist()


def test_transposed_program() -> None:
    jaxpr = minijvp.make_jaxpr(lambda k, x, y: (mnp.sin(k) * x, y))(2.0, X, V)
    transposed, nonzero = transpose_jaxpr(jaxpr, (False, True, True), (True, False))
    transposed.check()
    assert nonzero == (True, False)
    assert [t.shape for t in transposed.in_types] == [(), (3,)]
    same(evaluate(transposed, jnp.asarray(2.0), V), [jnp.sin(2.0) * V])


numbers = st.lists(st.floats(-2, 2, allow_subnormal=False), min_size=12, max_size=12)
matrices = numbers.map(lambda x: np.reshape(x, (3, 4)))


@settings(derandomize=True, deadline=None, max_examples=25)
@given(matrices, st.integers(0, 2), st.integers(0, 3))
def test_dot_products(m: Any, i: int, j: int) -> None:
    """The transpose of a matrix, from the function that multiplies by it."""
    (row,) = minijvp.linear_transpose(lambda x: mnp.asarray(m) @ x, np.zeros(4))(np.eye(3)[i])
    column = mnp.asarray(m) @ np.eye(4)[j]
    assert row[j] == column[i] == m[i, j]


def stepped(api: Any, np: Any, x: Any) -> Any:
    """A loop."""
    return api.lax.scan(lambda c, y: (np.sin(c) * y, c), x[0], x)[0]


def counted(api: Any, np: Any, x: Any) -> Any:
    """A loop that counts."""
    return api.lax.fori_loop(0, 3, lambda i, c: np.sin(c) * x[1] + i, x[0])


def chosen(api: Any, np: Any, x: Any) -> Any:
    """A choice."""
    return api.lax.cond(x[0] > 0, lambda x: (np.sin(x) * x).sum(), lambda x: x[0] ** 2, x)


def called(api: Any, np: Any, x: Any) -> Any:
    """A call of jit."""
    return api.jit(lambda x: (np.sin(x) * x).sum())(x)


def rematerialised(api: Any, np: Any, x: Any) -> Any:
    """A checkpoint, whose pullback holds values and cotangents together."""
    return api.checkpoint(lambda x: (np.sin(x) * x).sum())(x)


@pytest.mark.parametrize("function", [stepped, counted, chosen, called, rematerialised])
def test_values_that_are_computed_with_tangents(function: Any) -> None:
    """A derivative of a derivative as one operation gives values and tangents; only the latter are linear."""

    def case(api: Any, np: Any) -> Any:
        fun = lambda x: function(api, np, x)
        product = lambda t: api.jvp(api.grad(fun), (X,), (t,))[1]
        return [
            api.linear_transpose(product, X)(V),
            api.jit(api.linear_transpose(product, X))(V),
            api.linear_transpose(api.jit(product), X)(V),
            api.linear_transpose(api.vjp(fun, X)[1], jnp.ones(()))((V,)),
        ]

    both(case)
