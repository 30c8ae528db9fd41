"""Calls of functions with rules: linear functions that are their own rules, and traced static arguments."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import minijvp
import minijvp.numpy as mnp
from minijvp import MissingRuleError
from tests.side_by_side import both, same

ZEROTH = (np.int64(0),)
X = jnp.array([0.3, -1.2, 2.0])
A = jnp.array([[0.2, -0.1, 0.4], [0.3, 0.5, -0.2], [0.0, 0.1, 0.6]])


def derivatives(api: Any, fun: Callable[[Any], Any]) -> list[Any]:
    """First and second derivatives in several ways, alone and in a loop."""
    total = lambda x: fun(x).sum()
    looped = lambda x: api.lax.scan(lambda c, _: (fun(c), None), x, None, length=2)[0].sum()
    return [
        api.jvp(fun, (X,), (X + 1,)),
        api.grad(total)(X),
        api.jit(api.grad(total))(X),
        api.hessian(total)(X),
        api.vmap(api.grad(total))(jnp.stack([X, X + 1])),
        api.linear_transpose(api.linearize(fun, X)[1], X)(X),
        api.grad(looped)(X),
        api.grad(api.checkpoint(total, policy=api.checkpoint_policies.dots_saveable))(X),
    ]


def doubled(api: Any, np: Any) -> Callable[[Any], Any]:
    """A linear function whose tangent is itself."""
    double = api.custom_jvp(lambda x: 2.0 * x)
    double.defjvp(lambda p, t: (double(*p), double(*t)))
    return lambda x: np.sin(double(x))


def multiplied(api: Any, np: Any) -> Callable[[Any], Any]:
    """One that is linear in each argument."""
    times = api.custom_jvp(lambda a, x: a @ x)
    times.defjvp(lambda p, t: (times(*p), times(p[0], t[1]) + times(t[0], p[1])))
    return lambda x: np.sin(times(times(A, jnp.diag(jnp.ones(3)) * x), x))


def paired(api: Any, np: Any) -> Callable[[Any], Any]:
    """One of two results, of which the tangent of one argument is only in the second."""
    pair = api.custom_jvp(lambda x, y: (np.sin(x), np.cos(x) * y))
    pair.defjvp(lambda p, t: (pair(*p), (pair(p[0], t[0])[1], pair(p[0], t[1])[1] - np.sin(p[0]) * p[1] * t[0])))
    return lambda x: sum(pair(x, x))


def inside(api: Any, np: Any) -> Callable[[Any], Any]:
    """One in the rule of another function."""
    double = api.custom_jvp(lambda x: 2.0 * x)
    double.defjvp(lambda p, t: (double(*p), double(*t)))
    fun = api.custom_jvp(np.sin)
    fun.defjvp(lambda p, t: (fun(*p), double(t[0]) * np.cos(p[0])))
    return fun


def closed(api: Any, np: Any) -> Callable[[Any], Any]:
    """One that closes over a traced value. (By that alone JAX does not differentiate.)"""

    def fun(x: Any) -> Any:
        factor = api.lax.stop_gradient(x)
        scale = api.custom_jvp(lambda y: factor * y)
        scale.defjvp(lambda p, t: (scale(*p), scale(*t)))
        return scale(np.sin(x))

    return fun


@pytest.mark.parametrize("make", [doubled, multiplied, paired, inside])
def test_linear_functions_that_are_their_own_rule(make: Any) -> None:
    both(lambda api, np: derivatives(api, make(api, np)))


def test_a_linear_function_that_closes_over_a_traced_value() -> None:
    fun = closed(minijvp, mnp)
    gradient = minijvp.grad(lambda x: fun(x).sum())
    for found in (gradient(X), minijvp.jit(gradient)(X), minijvp.vmap(minijvp.grad(fun))(X)):
        same(found, X * jnp.cos(X))


NOT_LINEAR = [(lambda x: x + 1, "operands of add"), (mnp.sin, "'sin' has no transpose")]


@pytest.mark.parametrize(("function", "words"), NOT_LINEAR)
def test_functions_that_are_not_linear_and_their_own_rule(function: Any, words: str) -> None:
    fun = minijvp.custom_jvp(lambda x: function(x))
    fun.defjvp(lambda p, t: (fun(*p), fun(*t)))
    with pytest.raises(MissingRuleError, match=f"not linear in its tangents: .*{words}"):
        minijvp.grad(fun)(1.0)


def test_traced_values_among_static_arguments() -> None:
    """Of vmap and jit, itself or in what a function closes over."""

    def case(api: Any, np: Any) -> Any:
        scaled = partial(api.custom_jvp, nondiff_argnums=ZEROTH)(lambda n, x: n * np.sin(x))
        scaled.defjvp(lambda n, p, t: (scaled(n, *p), 2.0 * n * np.cos(p[0]) * t[0]))
        applied = partial(api.custom_jvp, nondiff_argnums=(0,))(lambda f, x: f(x))
        applied.defjvp(lambda f, p, t: (applied(f, *p), 2.0 * api.jvp(f, p, t)[1]))
        closing = lambda n, x: applied(lambda x: n * np.sin(x), x)
        return [
            [
                api.vmap(fun, (0, None))(X, 1.0),
                api.vmap(api.grad(fun, 1))(X, X),
                api.jit(api.grad(fun, 1))(2.0, 1.0),
                api.grad(lambda x: api.vmap(lambda n: fun(n, x))(X).sum())(1.0),
            ]
            for fun in (scaled, closing)
        ]

    both(case)


def test_traced_static_arguments_are_like_values_that_the_function_closes_over() -> None:
    """The rule says nothing about them. In JAX their derivative is lost, or an error tells of an escaped tracer."""
    scaled = partial(minijvp.custom_vjp, nondiff_argnums=(0,))(lambda n, x: n * mnp.sin(x))
    scaled.defvjp(lambda n, x: (scaled(n, x), x), lambda n, x, ct: (3.0 * n * mnp.cos(x) * ct,))
    for way in (lambda f: f, minijvp.jit):
        same(way(minijvp.grad(scaled, (0, 1)))(2.0, 1.0), (jnp.sin(1.0), 6.0 * jnp.cos(1.0)))
    same(minijvp.vmap(minijvp.grad(scaled, 1), (0, None))(X, 1.0), 3.0 * X * jnp.cos(1.0))
