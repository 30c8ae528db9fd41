"""Programs that were written for JAX, under every transformation of minijvp, against JAX's own."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.tree_util import tree_flatten, tree_leaves, tree_map, tree_unflatten

import minijvp
from tests.interop import models
from tests.interop.models import Program, normal

# Words: what minijvp makes of a function of one tree, at a point and in a direction. Under `jit` where it saves time.


def value(fun: Any, x: Any, v: Any) -> Any:
    return minijvp.jit(fun)(x)


def grad(fun: Any, x: Any, v: Any) -> Any:
    return minijvp.grad(fun)(x)


def tangent(fun: Any, x: Any, v: Any) -> Any:
    return minijvp.jit(lambda x, v: minijvp.jvp(fun, (x,), (v,))[1])(x, v)


def vmap_of_grad(fun: Any, x: Any, v: Any) -> Any:
    return minijvp.jit(minijvp.vmap(minijvp.grad(fun)))(tree_map(lambda *rows: jnp.stack(rows), x, smaller(x)))


def hessian_times_direction(fun: Any, x: Any, v: Any) -> Any:
    """Forward over reverse."""
    return minijvp.jit(lambda x, v: minijvp.jvp(minijvp.grad(fun), (x,), (v,))[1])(x, v)


def jit_of_grad(fun: Any, x: Any, v: Any) -> Any:
    return minijvp.jit(minijvp.grad(fun))(x)


def grad_of_jit(fun: Any, x: Any, v: Any) -> Any:
    return minijvp.grad(minijvp.jit(fun))(x)


WORDS = value, tangent, grad, vmap_of_grad, hessian_times_direction, jit_of_grad, grad_of_jit


def smaller(x: Any) -> Any:
    return tree_map(lambda leaf: leaf * 0.9, x)


def direction(x: Any) -> Any:
    """A tangent of the tree."""
    leaves, tree = tree_flatten(x)
    return tree_unflatten(tree, [normal(99 - i, *leaf.shape).astype(leaf.dtype) for i, leaf in enumerate(leaves)])


class Answers(NamedTuple):
    """What JAX computes: one program of it for all words."""

    value: Any
    grad: Any
    tangent: Any
    hessian_times_direction: Any
    vmap_of_grad: Any

    @property
    def jit_of_grad(self) -> Any:
        return self.grad

    grad_of_jit = jit_of_grad


@cache
def bridged(build: Callable[[], Program]) -> tuple[Callable[..., Any], Program]:
    """The program as a function of its first argument, for minijvp; and itself."""
    program = build()
    fun = minijvp.from_jax(program.fun)
    return lambda x: fun(x, *program.rest), program


@cache
def expected(build: Callable[[], Program]) -> Answers:
    _, program = bridged(build)
    x, v, rest = program.x, direction(program.x), program.rest

    @jax.jit
    def second_order(x: Any, v: Any) -> Any:
        return jax.jvp(jax.value_and_grad(lambda x: program.fun(x, *rest)), (x,), (v,))

    (out, gradient), (t, product) = second_order(x, v)
    other = second_order(smaller(x), v)[0][1]
    if build is models.custom_cotangent:
        t = sum(jnp.vdot(a, b) for a, b in zip(tree_leaves(gradient), tree_leaves(v), strict=True))
    return Answers(out, gradient, t, product, tree_map(lambda *rows: jnp.stack(rows), gradient, other))


def assert_same(found: Any, wanted: Any, tolerance: float, least: float = 1e-3) -> None:
    """Equal trees, shapes and dtypes; and values, relative to the largest of each array, which counts as `least`."""
    (found, found_tree), (wanted, wanted_tree) = tree_flatten(found), tree_flatten(wanted)
    assert found_tree == wanted_tree
    for a, b in zip(found, wanted, strict=True):
        assert (jnp.shape(a), jnp.result_type(a)) == (jnp.shape(b), jnp.result_type(b))
        scale = max(float(np.max(np.abs(b), initial=0)), least)
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * scale)


CASES = [
    pytest.param(build, word, id=f"{build.__name__}-{word.__name__}")
    for build in models.PROGRAMS
    for word in WORDS
    if not (build is models.nonlinear_cotangent and word is tangent)
]


@pytest.mark.parametrize(("build", "word"), CASES)
def test_word(build: Callable[[], Program], word: Callable[..., Any]) -> None:
    fun, program = bridged(build)
    found = word(fun, program.x, direction(program.x))
    assert_same(found, getattr(expected(build), word.__name__), program.tolerance)


def as_singles(tree: Any) -> Any:
    """The tree with float32 for float64."""
    return tree_map(lambda leaf: leaf.astype("float32") if leaf.dtype == "float64" else leaf, tree)


@pytest.mark.parametrize("build", [models.flax_cnn, models.flax_transformer, models.equinox_gru])
def test_gradients_in_single_precision(build: Callable[[], Program]) -> None:
    _, program = bridged(build)
    x, rest = as_singles(program.x), as_singles(program.rest)
    found = minijvp.jit(minijvp.grad(minijvp.from_jax(program.fun)))(x, *rest)
    # Attention has biases whose gradients are zero but for rounding.
    assert_same(found, jax.jit(jax.grad(program.fun))(x, *rest), 1e-5, least=0.1)


# Forward mode through loops without a known length, which have no other.


def jvp(api: Any, fun: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x: api.jvp(fun, (x,), (direction(x),))[1]


def vmap(api: Any, fun: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x: api.vmap(fun)(tree_map(lambda leaf: leaf * np.array([1.0, 0.9]), x))


def jit(api: Any, fun: Callable[..., Any]) -> Callable[..., Any]:
    return api.jit(fun)


@pytest.mark.parametrize(
    "word",
    [(jvp,), (jvp, jvp), (vmap, jvp), (jvp, vmap), (jit, jvp), (jvp, jit)],
    ids=lambda word: "-".join([letter.__name__ for letter in word]),
)
def test_forward_mode_of_a_while_loop(word: tuple[Callable[..., Any], ...]) -> None:
    fun, program = bridged(models.newton)
    found, wanted = fun, lambda x: program.fun(x, *program.rest)
    for letter in reversed(word):
        found, wanted = letter(minijvp, found), letter(jax, wanted)
    assert_same(found(program.x), jax.jit(wanted)(program.x), 1e-10)


def test_a_rule_for_cotangents_without_a_transpose_refuses_forward_mode() -> None:
    fun, program = bridged(models.nonlinear_cotangent)
    with pytest.raises(minijvp.MissingRuleError, match=r"the rule for cotangents .* of clipped is not linear"):
        minijvp.jvp(fun, (program.x,), (program.x,))
    found = minijvp.grad(fun)(program.x)
    assert_same(found, expected(models.nonlinear_cotangent).grad, 1e-10)


@pytest.mark.skipif(not hasattr(lax, "polynomial"), reason="new in JAX 0.12")
def test_polynomials_have_their_lowest_coefficient_first() -> None:
    fun = lambda x, c: lax.polynomial(x, [c, 2.0, c**2]).sum()
    x, c = normal(0, 3), jnp.array(1.5)
    for word in (minijvp.grad, lambda f, n: minijvp.jit(minijvp.grad(f, n))):
        assert_same(word(minijvp.from_jax(fun), (0, 1))(x, c), jax.grad(fun, (0, 1))(x, c), 1e-12)
