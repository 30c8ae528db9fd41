"""Functions with a rule for cotangents: against jax.custom_vjp in reverse mode, and jax.custom_jvp in both."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import tree_map

import minijvp
import minijvp.numpy as mnp
from minijvp import MissingRuleError
from minijvp.core.types import is_inexact
from minijvp.custom_rules.custom_vjp import custom_vjp_call
from minijvp.custom_rules.deferred import Deferred
from minijvp.transforms.staging import argument_type, stage
from tests.custom_rules.test_custom_jvp import custom
from tests.side_by_side import same
from tests.test_compositions import JAX, OURS, WORDS, Side, assert_same, jit, point, transformed

X, V = jnp.array([0.3, -1.2, 2.0]), jnp.array([1.0, 0.5, -2.0])


class CustomVJP:
    """What jax.custom_vjp makes, of functions of flat arguments: `fun(*xs) -> list`, `fwd(*xs) -> (list, list)`.

    `bwd(residuals, cts) -> list` has cotangents of the inexact results, and gives those of the inexact arguments.
    """

    def __init__(self, fun: Any, fwd: Any, bwd: Any, deferred: bool = True, name: str = "fun"):
        self.fun, self.fwd, self.bwd, self.deferred, self.name = fun, fwd, bwd, deferred, name
        self.params = cache(self.params)

    def params(self, types: tuple) -> dict[str, Any]:
        n = 0

        def fwd(*xs: Any) -> list[Any]:
            nonlocal n
            outs, residuals = self.fwd(*xs)
            n = len(outs)
            return [*outs, *residuals]

        def make_bwd() -> Any:
            types = made_fwd().out_types
            residuals, cts = types[n:], [t.strong() for t in types[:n] if is_inexact(t.dtype)]
            k = len(residuals)
            return stage(lambda *xs: self.bwd(xs[:k], xs[k:]), [*residuals, *cts], "bwd")

        made_fwd, made_bwd = Deferred(lambda: stage(fwd, types, "fwd")), Deferred(make_bwd)
        rules = dict(fwd=made_fwd, bwd=made_bwd) if self.deferred else dict(fwd=made_fwd(), bwd=made_bwd())
        return dict(rules, jaxpr=stage(self.fun, types, "fun"), name=self.name)

    def __call__(self, *xs: Any) -> tuple[Any, ...]:
        return custom_vjp_call(*xs, **self.params(tuple(map(argument_type, xs))))


# Programs for the words of transformations. The slopes are wrong by a factor, so that it is seen that they are used.


def scaled_sine(side: Side) -> Callable[..., Any]:
    """Two results, one of them an integer; arguments that are the same in every lane."""
    xp = side.xp

    def fun(x: Any, y: Any, n: Any) -> Any:
        return [xp.sin(x) * y * n, n + 1]

    if side is OURS:
        call = CustomVJP(
            fun,
            lambda x, y, n: (fun(x, y, n), [x, y, n]),
            lambda r, cts: [3.0 * xp.cos(r[0]) * cts[0] * r[1] * r[2], cts[0] * xp.sin(r[0]) * r[0]],
        )
    else:

        def rule(primals: Any, ts: Any) -> Any:
            (x, y, n), (t_x, t_y) = primals, ts
            return fun(x, y, n), [3.0 * xp.cos(x) * t_x * y * n + t_y * xp.sin(x) * x]

        call = custom(side, fun, rule)

    def program(x: Any, n: Any) -> Any:
        out, m = call(x, x[0] * x, n + 1)
        return call(x, xp.array([2.0, 3.0]), n)[0] + out * m

    return program


def own_function_in_rule(side: Side) -> Callable[..., Any]:
    """exp, whose rules call it."""
    if side is OURS:
        expo = CustomVJP(lambda x: [mnp.exp(x)], lambda x: (expo(x), [x]), lambda r, cts: [2.0 * expo(*r)[0] * cts[0]])
    else:
        expo = custom(side, lambda x: [jnp.exp(x)], lambda xs, ts: (expo(*xs), [2.0 * expo(*xs)[0] * ts[0]]))
    return lambda x, n: expo(x)[0] * n


def both_programs(side: Side) -> Callable[..., Any]:
    first, second = scaled_sine(side), own_function_in_rule(side)
    return lambda x, n: (first(x, n), second(x, n))


@cache
def expected(word: tuple) -> Any:
    return jax.jit(transformed(JAX, both_programs, word))(*point(both_programs))


@pytest.mark.parametrize("word", WORDS, ids=lambda word: "-".join(letter.__name__ for letter in word))
def test_word(word: tuple) -> None:
    found = transformed(OURS, both_programs, word)(*point(both_programs))
    tree_map(assert_same, found, expected(tuple(letter for letter in word if letter is not jit)))


def sine(deferred: bool = False) -> Callable[..., Any]:
    made = CustomVJP(
        lambda x: [mnp.sin(x)], lambda x: ([mnp.sin(x)], [mnp.cos(x)]), lambda r, cts: [r[0] * cts[0]], deferred
    )
    return lambda x: made(x)[0]


def test_one_rule_serves_both_modes() -> None:
    fun = sine()
    same(minijvp.jvp(fun, (1.0,), (1.0,)), (jnp.sin(1.0), jnp.cos(1.0)))
    same(minijvp.linearize(fun, X)[1](V), jnp.cos(X) * V)
    same(minijvp.vjp(fun, X)[1](V)[0], jnp.cos(X) * V)
    for outer in (minijvp.jacfwd, minijvp.jacrev):
        for inner in (minijvp.jacfwd, minijvp.jacrev):
            same(outer(inner(fun))(1.0), -jnp.sin(jnp.asarray(1.0)))
            same(minijvp.vmap(minijvp.jit(outer(inner(fun))))(X), -jnp.sin(X))
    same(minijvp.jacfwd(fun)(X), jnp.diag(jnp.cos(X)))
    same(minijvp.jacrev(minijvp.jit(fun))(X), jnp.diag(jnp.cos(X)))


def test_higher_orders_by_a_rule_that_calls_its_function() -> None:
    for derivative in (minijvp.grad, minijvp.jacfwd):
        fun = lambda x: own_function_in_rule(OURS)(x, 1.0)
        for order in range(1, 4):
            fun = derivative(fun)
            wanted = 2.0**order * jnp.exp(X)
            for found in (minijvp.vmap(fun)(X), minijvp.vmap(minijvp.jit(fun))(X), minijvp.jit(minijvp.vmap(fun))(X)):
                same(found, wanted)


def test_the_linear_map_is_transposed_twice() -> None:
    push = minijvp.linearize(sine(), X)[1]
    transpose = minijvp.linear_transpose(push, X)
    same(transpose(V)[0], jnp.cos(X) * V)
    same(minijvp.linear_transpose(lambda ct: transpose(ct)[0], X)(V)[0], jnp.cos(X) * V)


# Rules that are not linear


def clipping(name: str = "clipping") -> Callable[..., Any]:
    made = CustomVJP(
        lambda x: [x * 2.0],
        lambda x: ([x * 2.0], []),
        lambda r, cts: [mnp.clip(cts[0] * 2.0, -1.0, 1.0) * cts[0]],
        name=name,
    )
    return lambda x: made(x)[0]


def clipping_by_jax() -> Callable[..., Any]:
    fun = jax.custom_vjp(lambda x: x * 2.0)
    fun.defvjp(lambda x: (x * 2.0, ()), lambda r, ct: (jnp.clip(ct * 2.0, -1.0, 1.0) * ct,))
    return fun


def test_reverse_mode_takes_rules_that_are_not_linear() -> None:
    ours, theirs = clipping(), clipping_by_jax()

    def loss(np: Any, fun: Any) -> Any:
        return lambda x: (np.sin(fun(x)) * x).sum()

    for word in (["grad"], ["jit", "grad"], ["grad", "jit"], ["vmap", "grad"], ["jacrev", "grad"], ["jacfwd", "grad"]):
        f, g = loss(mnp, ours), loss(jnp, theirs)
        for letter in reversed(word):
            f, g = getattr(minijvp, letter)(f), getattr(jax, letter)(g)
        same(f(X), g(X))
    batch = lambda api, fun: api.grad(lambda x: (api.vmap(fun)(x) * X).sum())(X)
    same(batch(minijvp, ours), batch(jax, theirs))


@pytest.mark.parametrize("push", [lambda f: f, minijvp.jit, minijvp.vmap])
def test_forward_mode_refuses_rules_that_are_not_linear(push: Any) -> None:
    fun = clipping("squash")
    for differentiate in (
        lambda: push(lambda x: minijvp.jvp(fun, (x,), (x,))[1])(X),
        lambda: minijvp.jvp(push(fun), (X,), (V,)),
        lambda: push(minijvp.jacfwd(fun))(X),
        lambda: minijvp.linearize(push(fun), X)[1](V),
    ):
        with pytest.raises(MissingRuleError, match=r"squash(.|\n)*test_custom_vjp.py(.|\n)*jvp rule as well") as raised:
            differentiate()
        assert "mnp.clip(cts[0]" in str(raised.value)


def test_a_rule_that_compares_is_not_linear() -> None:
    made = CustomVJP(lambda x: [x], lambda x: ([x], []), lambda r, cts: [mnp.where(cts[0] > 0, cts[0], 0.0)])
    same(minijvp.vjp(lambda x: made(x)[0], X)[1](V)[0], jnp.maximum(V, 0))
    with pytest.raises(MissingRuleError, match="'gt'"):
        minijvp.jvp(lambda x: made(x)[0], (X,), (V,))


# Batching


def test_cotangents_of_shared_arguments_are_summed() -> None:
    product = CustomVJP(
        lambda x, w: [x * w], lambda x, w: ([x * w], [x, w]), lambda r, cts: [cts[0] * r[1], 2.0 * cts[0] * r[0]]
    )
    w = jnp.array([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]])
    judge = custom(JAX, lambda x, w: [x * w], lambda xs, ts: ([xs[0] * xs[1]], [ts[0] * xs[1] + 2.0 * ts[1] * xs[0]]))

    def total(api: Any, fun: Any, axes: Any) -> Any:
        return lambda x, w: (api.vmap(lambda x, w: fun(x, w)[0], axes)(x, w) ** 2).sum()

    for axes, args in (((0, None), (w, X)), ((None, 0), (X, w)), ((0, 0), (w, 2 * w)), ((None, 1), (w[:, 0], w))):
        ours, theirs = total(minijvp, product, axes), total(jax, judge, axes)
        both = (0, 1)
        wanted = jax.grad(theirs, both)(*args)
        same(minijvp.grad(ours, both)(*args), wanted)
        same(minijvp.jit(minijvp.grad(minijvp.jit(ours), both))(*args), wanted)
        same(minijvp.jvp(ours, args, args), jax.jvp(theirs, args, args))
        push = lambda api, fun, args=args: api.jvp(lambda *xs: api.grad(fun, (0, 1))(*xs), args, args)
        same(push(minijvp, ours), push(jax, theirs))


def test_tangents_batched_alone_and_residuals_batched_alone() -> None:
    fun, basis = sine(), jnp.eye(3)
    for jitted in (fun, minijvp.jit(fun)):
        push = minijvp.linearize(jitted, X)[1]
        same(minijvp.vmap(push)(basis), jnp.diag(jnp.cos(X)))
        same(minijvp.jacfwd(minijvp.jit(push))(V), jnp.diag(jnp.cos(X)))
        fixed = lambda x, jitted=jitted: minijvp.jvp(jitted, (x,), (2.0,))[1]
        same(minijvp.vmap(fixed)(X), 2 * jnp.cos(X))
        same(minijvp.grad(lambda x, fixed=fixed: minijvp.vmap(fixed)(x).sum())(X), -2 * jnp.sin(X))


def test_named_axis() -> None:
    made = CustomVJP(
        lambda x: [x - minijvp.lax.pmean(x, "i")],
        lambda x: ([x - minijvp.lax.pmean(x, "i")], []),
        lambda r, cts: [5.0 * minijvp.lax.psum(cts[0], "i")],
    )
    mapped = minijvp.vmap(lambda x: made(x)[0], axis_name="i")
    same(mapped(X), X - X.mean())
    same(minijvp.vjp(mapped, X)[1](V)[0], jnp.full(3, 5 * V.sum()))
    same(minijvp.jvp(mapped, (X,), (V,))[1], jnp.full(3, 5 * V.sum()))


# Zeros, constants, integers


def test_zeros_and_constants() -> None:
    """Results without cotangent get zeros; cotangents may be literals; residuals may be none, or integers."""
    made = CustomVJP(
        lambda x, y, n: [x * y, y, n],
        lambda x, y, n: ([x * y, y, n], [n]),
        lambda r, cts: [cts[0] + cts[1] * r[0], 0.0],
    )
    fun = lambda x, y: made(x, y, np.int32(3))[0] * 2.0
    same(minijvp.grad(fun, (0, 1))(1.5, 2.5), (jnp.asarray(2.0), jnp.asarray(0.0)))
    same(minijvp.grad(lambda y: fun(1.0, y))(jnp.float32(2)), jnp.float32(0))
    same(minijvp.jvp(fun, (1.5, 2.5), (1.0, 1.0))[1], jnp.asarray(2.0))
    same(minijvp.grad(lambda y: minijvp.vmap(fun, (0, None))(X, y).sum())(1.0), jnp.asarray(0.0))


def test_equal_programs_are_compiled_once() -> None:
    runs = []

    def fun(x: Any) -> Any:
        runs.append(1)
        return [x]

    made = CustomVJP(fun, lambda x: (fun(x), []), lambda r, cts: [cts[0] * 4.0])
    for _ in range(3):
        same(minijvp.grad(lambda x: minijvp.vmap(made)(x)[0].sum())(X), jnp.full(3, 4.0))
    assert len(runs) == 2
