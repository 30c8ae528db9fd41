"""Words of JAX around functions of minijvp: JAX differentiates them by minijvp's rules, to any order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import minijvp
import minijvp.numpy as mnp
from minijvp import lax, nn
from tests.side_by_side import same

Function = Callable[[Any], Any]


@minijvp.custom_jvp
def straight_through(x: Any) -> Any:
    return mnp.round(x) * 2


straight_through.defjvp(lambda primals, ts: (straight_through(*primals), 3 * primals[0] * ts[0]))


@minijvp.custom_vjp
def clipped(x: Any) -> Any:
    return mnp.sin(x)


clipped.defvjp(lambda x: (clipped(x), x), lambda x, ct: (mnp.clip(ct, -0.1, 0.1) * x,))


@minijvp.custom_vjp
def by_cotangents(x: Any) -> Any:
    return mnp.sin(x)


by_cotangents.defvjp(lambda x: (by_cotangents(x), x), lambda x, ct: (ct * x**3,))


def newton(a: Any) -> Any:
    return lax.while_loop(lambda x: abs(x * x - a) > 1e-12 * a, lambda x: (x + a / x) / 2, a)


def budget(x: Any) -> Any:
    """A gradient by regions: what it computes again is an operation of its own."""
    return minijvp.grad(lambda x: mnp.sum(mnp.exp(mnp.sin(x * mnp.arange(1.0, 4.0)))) ** 2, memory_budget=0.5)(x)


@minijvp.from_jax
def on_the_host(x: Any) -> Any:
    return jax.pure_callback(np.sin, jax.ShapeDtypeStruct(x.shape, x.dtype), x, vmap_method="expand_dims")


host_sine = minijvp.custom_jvp(on_the_host)
host_sine.defjvp(lambda primals, ts: (host_sine(*primals), mnp.cos(primals[0]) * ts[0]))

FUNCTIONS: dict[str, Function] = {
    "stop_gradient": lambda x: minijvp.stop_gradient(x) * x**2,
    "custom_jvp": straight_through,
    "custom_vjp": by_cotangents,
    "custom_vjp that is not linear": clipped,
    "relu": lambda x: nn.relu(x * x - x) * x,
    "softplus": nn.softplus,
    "log_sigmoid": nn.log_sigmoid,
    "while": newton,
    "root": lambda p: minijvp.root(lambda y: y * y * y - p, 1.0),
    "fixed_point": lambda e: minijvp.fixed_point(lambda x: 1.0 + 0.3 * e * mnp.sin(x), 1.0),
    "linear_solve": lambda x: lax.custom_linear_solve(
        lambda v: v * (x * x + 1), mnp.ones(2) * x, lambda _, b: b / (x * x + 1), symmetric=True
    ).sum(),
    "cg": lambda x: minijvp.scipy.sparse.linalg.cg(lambda v: v * (x * x + 1), mnp.ones(2) * x)[0].sum(),
    "checkpoint": minijvp.checkpoint(lambda x: mnp.sin(mnp.exp(x))),
    "tap": lambda x: minijvp.tap(x * x, "square") * x,
    "tap with an edit": lambda x: minijvp.tap(x * x, bwd=lambda ct: mnp.clip(ct, -0.1, 0.1)) * x,
    "budget": budget,
    "scan": lambda x: lax.scan(lambda c, _: (0.1 * straight_through(c) * x, c), x, None, length=3)[0],
    "cond": lambda x: lax.cond(x > 0, straight_through, by_cotangents, x) * x,
    "jit": lambda x: minijvp.jit(straight_through)(x) * x,
    "vmap": lambda x: minijvp.vmap(by_cotangents)(mnp.arange(1.0, 4.0) * x).sum(),
    "grad": minijvp.grad(lambda x: by_cotangents(x) * x),
    "callback": lambda x: host_sine(x) * x,
}


# The same words on both sides


def jvp(api: Any, f: Function) -> Function:
    return lambda x: api.jvp(f, (x,), (1.7 * x,))[1]


def linearize(api: Any, f: Function) -> Function:
    return lambda x: api.linearize(f, x)[1](1.7 * x)


def vmap(api: Any, f: Function) -> Function:
    return lambda x: (api.vmap(f)(x * SCALES) * SCALES).sum()


def called(name: str) -> Callable[[Any, Function], Function]:
    return lambda api, f: getattr(api, name)(f)


SCALES = jnp.array([1.0, 1.25])
LETTERS = {name: called(name) for name in ("grad", "jit", "hessian", "checkpoint")}
LETTERS |= {"jvp": jvp, "linearize": linearize, "vmap": vmap}
X = jnp.array(0.7)
FORMS: dict[str, Callable[[Function], Function]] = {
    "plain": lambda f: f,
    "to_jax": minijvp.to_jax,
    "jit": minijvp.jit,
}


def transformed(api: Any, word: Sequence[str], f: Function) -> Function:
    for letter in reversed(word):
        f = LETTERS[letter](api, f)
    return f


def words(longest: int) -> list[tuple[str, ...]]:
    return [word for n in range(1, longest + 1) for word in product(LETTERS, repeat=n)]


def close(found: Any, right: Any) -> bool:
    return np.allclose(found, right, 1e-9, 1e-9)


REVERSE_ONLY = {"custom_vjp that is not linear", "tap with an edit"}
"""Functions whose derivative only reverse mode knows. Words of others refuse some of them, each side its own."""


def answers(api: Any, f: Function, name: str, longest: int = 2) -> dict[tuple[str, ...], float]:
    """What each word gives, by one compilation; by one each, without those it refuses, where it may refuse some."""
    if name not in REVERSE_ONLY:
        found = api.jit(lambda x: [transformed(api, word, f)(x) for word in words(longest)])(X)
        return dict(zip(words(longest), map(float, found), strict=True))
    found = {}
    for word in words(longest):
        with suppress(minijvp.MissingRuleError):
            found[word] = float(api.jit(transformed(api, word, f))(X))
    return found


@cache
def wanted(name: str) -> dict[tuple[str, ...], float]:
    return answers(minijvp, FUNCTIONS[name], name)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_words(name: str, form: str) -> None:
    """JAX's derivative of a function is minijvp's own."""
    found = answers(jax, FORMS[form](FUNCTIONS[name]), name, 2 if form == "to_jax" else 1)
    assert ("grad",) in found
    right = wanted(name)
    faults = {word: (x, right[word]) for word, x in found.items() if word in right and not close(x, right[word])}
    assert not faults


@pytest.mark.parametrize("name", ["custom_vjp that is not linear", "tap with an edit"])
def test_reverse_mode_is_never_refused(name: str) -> None:
    for word in (("grad",), ("grad", "jit"), ("vmap", "grad"), ("grad", "vmap"), ("grad", "checkpoint")):
        found = transformed(jax, word, minijvp.to_jax(FUNCTIONS[name]))(X)
        assert close(found, wanted(name)[word])


def test_logistic_regression_begins_with_a_gradient() -> None:
    x, y = jnp.array([[1.0, 2.0], [-1.0, 0.5], [0.3, -2.0]]), jnp.array([1.0, 0.0, 1.0])

    def loss(api: Any) -> Function:
        return lambda w: -(api.nn.log_sigmoid((2 * y - 1) * (x @ w))).sum()

    same(jax.grad(minijvp.to_jax(loss(minijvp)))(jnp.zeros(2)), jax.grad(loss(jax))(jnp.zeros(2)), 1e-12)


@pytest.mark.parametrize("first", ["outside", "inside"])
def test_a_jitted_function_has_its_rules_wherever_it_is_called_first(first: str) -> None:
    f = minijvp.jit(lambda x, k: straight_through(x) if k else mnp.sin(x), static_argnums=1)
    calls = {"outside": lambda k: f(X, k), "inside": lambda k: jax.grad(f)(X, k)}
    order = [first, *[name for name in calls if name != first]]
    for k in (0, 1, 0):
        for name in order:
            calls[name](k)
    same([jax.grad(f)(X, k) for k in (0, 1)], [jnp.cos(X), 3 * X], 1e-12)


def test_a_rule_that_closes_over_a_value_that_jax_traces() -> None:
    def f(a: Any, x: Any) -> Any:
        g = minijvp.custom_jvp(lambda x: x * 2)
        g.defjvp(lambda primals, ts: (g(*primals), ts[0] * a))
        return g(x) * mnp.sin(x)

    def by_jax(a: Any, x: Any) -> Any:
        return (2 * x + a * (x - jax.lax.stop_gradient(x)) - 2 * (x - jax.lax.stop_gradient(x))) * jnp.sin(x)

    a = jnp.array(5.0)
    for api in (lambda f: f, jax.jit):
        same(api(jax.grad(f, argnums=1))(a, X), api(jax.grad(by_jax, argnums=1))(a, X), 1e-12)
        rows = [api(jax.vmap(jax.grad(g, argnums=1), (0, None)))(jnp.array([5.0, 6.0]), X) for g in (f, by_jax)]
        same(*rows, 1e-12)
