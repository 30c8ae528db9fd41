"""Jacobians and Hessians in chunks, by the mode that is cheaper, and with values: against those of JAX at once."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import minijvp
import minijvp.numpy as mnp
from minijvp import ArgumentError
from minijvp.derivatives.chunks import AUTOMATIC_BYTES, automatic_size
from tests.side_by_side import same

X, V = jnp.array([0.3, -1.2, 2.0]), jnp.array([1.0, 0.5, -2.0])
P = {"w": jnp.arange(6.0).reshape(2, 3) / 3, "b": jnp.array(0.5), "none": None}
CHUNKS = [None, 1, 2, 3, 4, 100, "auto", np.int32(2)]
MODES = ["auto", "fwd", "rev"]


def of_trees(np: Any) -> Any:
    def fun(p: Any, q: Any) -> Any:
        return {"u": np.tanh(p["w"] @ q), "v": (np.sin(p["b"]) * q.sum(), None), "w": np.ones(2)}

    return fun


def of_vectors(np: Any) -> Any:
    return lambda x: np.stack([np.sin(x) * x.sum(), x[::-1] ** 2])


def loss(np: Any) -> Any:
    return lambda x: (np.sin(x) * x[::-1] ** 2).sum() * x.prod()


def looping(api: Any, np: Any) -> Any:
    """Of a scan with a choice in it."""

    def step(x: Any, y: Any) -> Any:
        x = api.lax.cond(y > 0, lambda x: np.sin(x) * y, lambda x: x * x, x)
        return x, x.sum()

    return lambda x: api.lax.scan(step, x, V)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("chunk_size", CHUNKS)
def test_of_trees(mode: str, chunk_size: Any) -> None:
    for argnums in (0, (0, 1), (1,)):
        wanted = jax.jacrev(of_trees(jnp), argnums)(P, X)
        found = minijvp.jacobian(of_trees(mnp), argnums, mode=mode, chunk_size=chunk_size)(P, X)
        same(found, wanted)


@pytest.mark.parametrize("name", ["jacfwd", "jacrev", "hessian"])
@pytest.mark.parametrize("chunk_size", CHUNKS)
def test_named_modes_take_chunks(name: str, chunk_size: Any) -> None:
    fun = getattr(minijvp, name)
    same(fun(of_vectors(mnp), chunk_size=chunk_size)(X), getattr(jax, name)(of_vectors(jnp))(X))
    same(
        fun(lambda x: (of_vectors(mnp)(x), {"x": x}), has_aux=True, chunk_size=chunk_size)(X),
        getattr(jax, name)(lambda x: (of_vectors(jnp)(x), {"x": x}), has_aux=True)(X),
    )


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("chunk_size", [2, "auto"])
def test_under_other_transformations(mode: str, chunk_size: Any) -> None:
    found = minijvp.jacobian(of_vectors(mnp), mode=mode, chunk_size=chunk_size)
    wanted = jax.jacrev(of_vectors(jnp))
    xs = jnp.stack([X, V])
    same(minijvp.jit(found)(X), wanted(X))
    same(minijvp.vmap(found)(xs), jax.vmap(wanted)(xs))
    same(minijvp.jit(minijvp.vmap(minijvp.jit(found)))(xs), jax.vmap(wanted)(xs))
    same(minijvp.grad(lambda x: (found(x) ** 2).sum())(X), jax.grad(lambda x: (wanted(x) ** 2).sum())(X))
    same(minijvp.jit(minijvp.jacfwd(found))(X), jax.jacfwd(wanted)(X))
    nested = minijvp.jacobian(found, mode=mode, chunk_size=chunk_size)
    same(nested(X), jax.jacrev(wanted)(X))
    f = lambda p: minijvp.jacobian(lambda x: mnp.sin(x * p), mode=mode, chunk_size=chunk_size)(X)  # p is closed over
    same(minijvp.jvp(f, (2.0,), (1.0,)), jax.jvp(lambda p: jax.jacrev(lambda x: jnp.sin(x * p))(X), (2.0,), (1.0,)))


@pytest.mark.parametrize("mode", MODES)
def test_through_loops_and_rules(mode: str) -> None:
    found = minijvp.jacobian(looping(minijvp, mnp), mode=mode, chunk_size=2)
    same(found(X), jax.jacrev(looping(jax, jnp))(X))
    same(minijvp.jit(found)(X), jax.jacrev(looping(jax, jnp))(X))

    @minijvp.custom_vjp
    def rule(x: Any) -> Any:
        return mnp.sin(x)

    rule.defvjp(lambda x: (rule(x), x), lambda x, ct: (3.0 * ct * x,))
    same(minijvp.jacobian(rule, mode=mode, chunk_size=2)(X), jnp.diag(3.0 * X))


def test_of_complex_arguments_and_results() -> None:
    z = jnp.array([1 + 2j, -0.5 + 0.1j, 0.3j])
    for mode in MODES:
        f = minijvp.jacobian(lambda z: mnp.exp(z) * z[::-1], holomorphic=True, mode=mode, chunk_size=2)
        same(f(z), jax.jacrev(lambda z: jnp.exp(z) * z[::-1], holomorphic=True)(z))
    real = lambda np: lambda z: np.abs(z) * np.real(z).sum()
    for mode in ("auto", "rev"):
        same(minijvp.jacobian(real(mnp), mode=mode, chunk_size=2)(z), jax.jacrev(real(jnp))(z))
    complex_results = lambda np: lambda x: np.exp(1j * x)
    same(minijvp.jacfwd(complex_results(mnp), chunk_size=2)(X), jax.jacfwd(complex_results(jnp))(X))


def test_of_integers_and_nothing() -> None:
    n = jnp.arange(3)
    wanted = jnp.diag(1.0 * n), np.zeros((3, 3), jax.dtypes.float0)
    for mode in ("auto", "rev"):
        f = minijvp.jacobian(lambda x, n: x * n, (0, 1), allow_int=True, mode=mode, chunk_size=2)
        same(f(X, n), wanted)
    same(minijvp.jacfwd(lambda x: (x * 2, n), chunk_size=2)(X), jax.jacfwd(lambda x: (x * 2, n))(X))
    for mode in MODES:
        empty = minijvp.jacobian(lambda x: (mnp.ones((2,)), x[:0], x[0]), mode=mode, chunk_size=2)
        same(empty(X), jax.jacrev(lambda x: (jnp.ones((2,)), x[:0], x[0]))(X))
        same(minijvp.jacobian(mnp.sin, mode=mode, chunk_size=2)(X[:0]), jax.jacrev(jnp.sin)(X[:0]))
        same(minijvp.jacobian(mnp.sin, mode=mode, chunk_size=1)(2.0), jax.jacrev(jnp.sin)(2.0))
        half = X.astype(jnp.bfloat16)
        same(minijvp.jacobian(mnp.sin, mode=mode, chunk_size=2)(half), jax.jacrev(jnp.sin)(half))


@pytest.mark.parametrize("chunk_size", [None, 2, "auto"])
def test_values_beside_jacobians(chunk_size: Any) -> None:
    for mode in MODES:
        how = {"mode": mode, "chunk_size": chunk_size}
        value, found = minijvp.value_and_jacobian(of_vectors(mnp), **how)(X)
        same((value, found), (of_vectors(jnp)(X), jax.jacrev(of_vectors(jnp))(X)))
        fun = minijvp.value_and_jacobian(lambda x: (mnp.sin(x), {"n": 3, "x": x}), has_aux=True, **how)
        (value, aux), found = fun(X)
        same((value, found, aux["x"]), (jnp.sin(X), jnp.diag(jnp.cos(X)), X))
        assert aux["n"] == 3


@pytest.mark.parametrize("chunk_size", [None, 2, "auto"])
def test_value_gradient_and_hessian(chunk_size: Any) -> None:
    f = loss(jnp)
    wanted = (f(X), jax.grad(f)(X), jax.hessian(f)(X))
    found = minijvp.value_grad_and_hessian(loss(mnp), chunk_size=chunk_size)
    same(found(X), wanted)
    same(minijvp.jit(found)(X), wanted)
    xs = jnp.stack([X, V])
    same(minijvp.vmap(found)(xs), jax.vmap(lambda x: (f(x), jax.grad(f)(x), jax.hessian(f)(x)))(xs))
    g = lambda np: lambda p, x: (of_trees(np)(p, x)["u"] ** 2).sum() * np.exp(p["b"])
    trees = minijvp.value_grad_and_hessian(g(mnp), (0, 1), chunk_size=chunk_size)(P, X)
    same(trees, (g(jnp)(P, X), jax.grad(g(jnp), (0, 1))(P, X), jax.hessian(g(jnp), (0, 1))(P, X)))
    with_aux = minijvp.value_grad_and_hessian(lambda x: (loss(mnp)(x), x * 2), has_aux=True, chunk_size=chunk_size)
    same(with_aux(X), ((wanted[0], X * 2), *wanted[1:]))


def test_a_function_runs_once() -> None:
    runs = []

    def fun(x: Any) -> Any:
        runs.append(1)
        return mnp.sin(x)

    for mode in MODES:
        for chunk_size in (None, 1, "auto"):
            minijvp.value_and_jacobian(fun, mode=mode, chunk_size=chunk_size)(X)
            assert runs.pop() and not runs
    minijvp.value_grad_and_hessian(lambda x: fun(x).sum(), chunk_size=1)(X)
    assert runs.pop() and not runs


def temporary(fun: Any, *args: Any) -> int:
    return fun.lower(*args).compile().memory_analysis().temp_size_in_bytes


def test_memory_grows_with_the_result_alone() -> None:
    w = jnp.ones((4000, 40)) / 40
    x = jnp.ones(40)
    result = 4000 * 40 * 8
    fun = lambda np: lambda x, w: np.tanh(w @ x) * np.sin(w @ x)
    at_once = temporary(jax.jit(jax.jacrev(fun(jnp))), x, w)
    assert at_once > 90 * result
    for how in ({}, {"chunk_size": 10}, {"mode": "rev", "chunk_size": 10}, {"mode": "rev", "chunk_size": "auto"}):
        f = minijvp.jit(minijvp.jacobian(fun(mnp), **how))
        bound = 2 * result if how.get("chunk_size") != "auto" else 2 * result + AUTOMATIC_BYTES
        assert temporary(f, x, w) <= bound, how
        np.testing.assert_allclose(f(x, w), jax.jacfwd(fun(jnp))(x, w), rtol=1e-12, atol=1e-12)


def test_the_automatic_size_is_that_of_what_is_alive() -> None:
    chain = minijvp.make_jaxpr(lambda x: mnp.sin(mnp.sin(x)))(jnp.ones(1000))
    assert automatic_size(chain, 0, 0) == AUTOMATIC_BYTES // 16000  # an operand and a result at a time
    together = minijvp.make_jaxpr(lambda x: [-x, x * 2, x * 3])(jnp.ones(1000))
    assert automatic_size(together, 0, 0) == AUTOMATIC_BYTES // 32000
    residual = minijvp.make_jaxpr(lambda r, x: (r * 2) * x)(jnp.ones(1000), jnp.ones(1000))
    assert automatic_size(residual, 1, 32_000_000) == 2000  # what depends on no tangent is there once
    assert automatic_size(minijvp.make_jaxpr(lambda x: -x)(jnp.ones(4_000_000)), 0, 0) == 1


@pytest.mark.parametrize("chunk_size", [0, -1, True, False, 2.0, "all", (1,), np.float64(2), jnp.array([2])])
def test_wrong_chunk_sizes(chunk_size: Any) -> None:
    for name in ("jacobian", "jacfwd", "jacrev", "hessian", "value_and_jacobian", "value_grad_and_hessian"):
        with pytest.raises(ArgumentError, match=rf"{name} received chunk_size="):
            getattr(minijvp, name)(mnp.sin, chunk_size=chunk_size)


@pytest.mark.parametrize("mode", ["forward", None, 1, "", ["fwd"]])
def test_wrong_modes(mode: Any) -> None:
    for name in ("jacobian", "value_and_jacobian"):
        with pytest.raises(ArgumentError, match=rf"{name} received mode=.*\n.*\nPass 'fwd'"):
            getattr(minijvp, name)(mnp.sin, mode=mode)


def test_wrong_arguments_and_results() -> None:
    for chunk_size in (None, 2):
        for mode in MODES:
            f = lambda fun, mode=mode, chunk_size=chunk_size: minijvp.jacobian(fun, mode=mode, chunk_size=chunk_size)
            with pytest.raises(ArgumentError, match="Integers and booleans have no derivative"):
                f(mnp.sin)(jnp.arange(3))
            with pytest.raises(ArgumentError, match="bool"):
                f(lambda x: x > 0)(X)
        for mode in ("auto", "rev"):
            with pytest.raises(ArgumentError, match="jacobian with holomorphic=False cannot use the result"):
                minijvp.jacobian(lambda x: mnp.exp(1j * x), mode=mode, chunk_size=chunk_size)(X)
            with pytest.raises(ArgumentError, match="jacobian with holomorphic=False cannot use the result"):
                minijvp.jacobian(lambda x: mnp.round(x).astype(int), mode=mode, chunk_size=chunk_size)(X)
        with pytest.raises(ArgumentError, match="one number as its result"):
            minijvp.value_grad_and_hessian(mnp.sin, chunk_size=chunk_size)(X)
        with pytest.raises(ArgumentError, match="two derivatives"):
            minijvp.jacobian(mnp.sin, mode="fwd", chunk_size=chunk_size)(X + 1j)
        with pytest.raises(ArgumentError, match="two derivatives"):
            minijvp.hessian(lambda z: mnp.abs(z).sum(), chunk_size=chunk_size)(X + 1j)
    for fun in (minijvp.jacobian, minijvp.value_and_jacobian, minijvp.value_grad_and_hessian):
        with pytest.raises(ArgumentError, match="cannot be called"):
            fun(3.0)


@minijvp.custom_vjp
def clipped(x: Any) -> Any:
    return mnp.sin(x)


clipped.defvjp(lambda x: (mnp.sin(x), x), lambda x, ct: (mnp.clip(ct * mnp.cos(x), -0.5, 0.5),))


@jax.custom_vjp
def clipped_by_jax(x: Any) -> Any:
    return jnp.sin(x)


clipped_by_jax.defvjp(lambda x: (jnp.sin(x), x), lambda x, ct: (jnp.clip(ct * jnp.cos(x), -0.5, 0.5),))
BACKWARD_ONLY: dict[str, Any] = {
    "custom_vjp": clipped,
    "from_jax": minijvp.from_jax(clipped_by_jax),
    "jit": minijvp.jit(clipped),
    "checkpoint": minijvp.checkpoint(clipped),
    "scan": lambda x: minijvp.lax.scan(lambda c, _: (clipped(c), None), x, None, length=2)[0],
    "while": lambda x: minijvp.lax.while_loop(lambda c: c[0] < 2, lambda c: (c[0] + 1, clipped(c[1])), (0, x))[1],
    "cond": lambda x: minijvp.lax.cond(x[0] > 5, clipped, lambda x: clipped(x) * x, x),
}


@pytest.mark.parametrize("name", BACKWARD_ONLY)
def test_by_themselves_rules_without_forward_mode_are_run_backward(name: str) -> None:
    f, x = BACKWARD_ONLY[name], jnp.linspace(0.0, 2.0, 3)
    wanted = minijvp.jacrev(f)(x)
    for chunk_size in (None, 2):
        jacobian = minijvp.jacobian(f, chunk_size=chunk_size)
        np.testing.assert_array_equal(jacobian(x), wanted)
        np.testing.assert_allclose(minijvp.jit(jacobian)(x), wanted, rtol=1e-12)
        np.testing.assert_array_equal(minijvp.value_and_jacobian(f, chunk_size=chunk_size)(x)[1], wanted)
    np.testing.assert_allclose(minijvp.sparse_jacobian(f)(x).todense(), wanted, rtol=1e-12)
    np.testing.assert_allclose(minijvp.jit(minijvp.sparse_jacobian(f))(x).todense(), wanted, rtol=1e-12)
    with pytest.raises(minijvp.MissingRuleError):
        minijvp.jacobian(f, mode="fwd")(x)


def test_rules_on_the_host_are_called_once_for_each_vector() -> None:
    calls: list[None] = []

    def pull(primals: Any, ct: Any) -> Any:
        calls.append(None)
        return (np.cos(primals[0]) * ct,)

    def push(primals: Any, tangents: Any) -> Any:
        calls.append(None)
        return np.cos(primals[0]) * tangents[0]

    x = np.linspace(0.0, 1.0, 6)
    for rules in ({"vjp": pull}, {"jvp": push}, {"vjp": pull, "jvp": push}):
        f = minijvp.external(np.sin, lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), **rules)
        for fun in (f, minijvp.jit(f), lambda x: f(x[::-1])[::-1]):
            calls.clear()
            np.testing.assert_allclose(minijvp.jacobian(fun)(x), np.diag(np.cos(x)), rtol=1e-12)
            assert len(calls) == 6, rules
        np.testing.assert_allclose(minijvp.sparse_jacobian(f)(x).todense(), np.diag(np.cos(x)), rtol=1e-12)
