"""Rematerialisation against jax.checkpoint: values, residuals, and what is computed again."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from jax.tree_util import tree_leaves, tree_map

import minijvp
import minijvp.numpy as mnp
from minijvp.calls.checkpoint import checkpoint
from minijvp.transforms.staging import argument_type, stage
from tests.custom_rules.test_custom_vjp import clipping, clipping_by_jax
from tests.side_by_side import same
from tests.test_compositions import JAX, OURS, WORDS, Side, assert_same, jit, point, transformed

X, V = jnp.array([0.3, -1.2, 2.0]), jnp.array([1.0, 0.5, -2.0])


def remat(fun: Callable[..., Any], prevent_cse: bool = True, policy: Any = None) -> Callable[..., Any]:
    """`fun` of arrays, of one result, under the primitive."""

    def call(*xs: Any) -> Any:
        closed = stage(lambda *xs: [fun(*xs)], tuple(map(argument_type, xs)), "fun")
        jaxpr, constants = closed.hoist_constants()
        return checkpoint(*constants, *xs, jaxpr=jaxpr, prevent_cse=prevent_cse, policy=policy)[0]

    return call


def rematerialised(side: Side) -> Callable[..., Any]:
    """One checkpoint inside another; they close over what is traced."""
    xp = side.xp
    save = remat if side is OURS else jax.checkpoint

    def fun(x: Any, n: Any) -> Any:
        inner = save(lambda y: xp.sin(y * x) * n)
        return save(lambda y: inner(xp.exp(y)) * y)(x * x) * x

    return fun


@cache
def expected(word: tuple) -> Any:
    return jax.jit(transformed(JAX, rematerialised, word))(*point(rematerialised))


@pytest.mark.parametrize("word", WORDS, ids=lambda word: "-".join(letter.__name__ for letter in word))
def test_word(word: tuple) -> None:
    found = transformed(OURS, rematerialised, word)(*point(rematerialised))
    tree_map(assert_same, found, expected(tuple(letter for letter in word if letter is not jit)))


def deep(x: Any) -> Any:
    for _ in range(5):
        x = mnp.sin(x) * mnp.cos(x)
    return x


def test_only_the_inputs_are_residuals() -> None:
    for fun in (remat(deep), minijvp.jit(remat(deep)), remat(minijvp.jit(deep)), remat(remat(deep))):
        out, pullback = minijvp.vjp(fun, X)
        assert len(tree_leaves(pullback)) == 1
        wanted, wanted_pullback = minijvp.vjp(deep, X)
        assert len(tree_leaves(wanted_pullback)) > 5
        same((out, pullback(V)), (wanted, wanted_pullback(V)))
        same(minijvp.linearize(fun, X)[1](V), wanted_pullback(V)[0])
    saving = remat(deep, policy=jax.checkpoint_policies.everything_saveable)
    assert len(tree_leaves(minijvp.vjp(saving, X)[1])) > 5
    same(minijvp.grad(lambda x: saving(x).sum())(X), minijvp.grad(lambda x: deep(x).sum())(X))


def count(text: str, word: str) -> int:
    return text.count(f" {word} ")


def test_it_is_computed_again_in_the_backward_pass_only() -> None:
    text = lambda fun: str(minijvp.make_jaxpr(minijvp.value_and_grad(lambda x: fun(x).sum()))(X))
    assert (count(text(deep), "sin"), count(text(remat(deep)), "sin")) == (10, 15)
    assert count(str(minijvp.make_jaxpr(remat(deep))(X)), "sin") == 5
    # A derivative of which nothing is used computes nothing again.
    assert count(str(minijvp.make_jaxpr(lambda x: minijvp.vjp(remat(deep), x)[0])(X)), "sin") == 5


def test_the_compiler_may_not_merge_it() -> None:
    for prevent_cse in (True, False):
        fun = remat(deep, prevent_cse)
        text = minijvp.jit(minijvp.grad(lambda x, fun=fun: fun(x).sum())).lower(X).as_text()
        assert ("optimization_barrier" in text) == prevent_cse


def test_higher_orders() -> None:
    fun = remat(lambda x: mnp.exp(mnp.sin(x)))
    judge = lambda x: jnp.exp(jnp.sin(x))
    for order in (["grad"] * 3, ["jacfwd"] * 3, ["grad", "jacfwd", "grad"], ["jacfwd", "grad", "jacfwd"]):
        f, g = fun, judge
        for derivative in order:
            f, g = getattr(minijvp, derivative)(f), getattr(jax, derivative)(g)
        same(f(0.7), g(0.7))
        same(minijvp.vmap(minijvp.jit(f))(X), jax.vmap(g)(X))


def test_rules_that_are_not_linear() -> None:
    ours, theirs = remat(clipping()), jax.checkpoint(clipping_by_jax())
    loss = lambda np, fun: lambda x: (np.sin(fun(x)) * x).sum()
    same(minijvp.grad(loss(mnp, ours))(X), jax.grad(loss(jnp, theirs))(X))


def test_named_axis_and_linear_functions() -> None:
    fun = remat(lambda x: x * minijvp.lax.psum(x, "i"))
    same(minijvp.grad(lambda x: minijvp.vmap(fun, axis_name="i")(x).sum())(X), jnp.full(3, 2 * X.sum()))
    same(minijvp.linear_transpose(remat(lambda x: 2.0 * x), X)(V)[0], 2 * V)
