"""Every composition of up to three transformations, on programs with closures, against the same program in JAX."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import product
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import tree_leaves, tree_map

import minijvp
import minijvp.numpy as mnp
from tests.side_by_side import under_words
from tests.xla import QUICKLY_COMPILED


class Side(NamedTuple):
    """An implementation: its array functions and its transformations."""

    xp: Any
    api: Any


OURS, JAX = Side(mnp, minijvp), Side(jnp, jax)
FLOAT0 = jax.dtypes.float0
SCALES, SWAPS = np.array([1.0, 0.9, 1.1]), np.array([[0], [1], [0]], "int32")


def total(tree: Any) -> Any:
    return sum(leaf.sum() for leaf in tree_leaves(tree))


# Transformations of a function (x, n) -> tree; x is a tree of floats, n an array of the integers 0 and 1.


def jvp(side: Side, fun: Callable[..., Any]) -> Callable[..., Any]:
    def pushed(x: Any, n: Any) -> Any:
        tangents = tree_map(side.xp.ones_like, x), np.zeros(n.shape, FLOAT0)
        return side.api.jvp(fun, (x, n), tangents)[1]

    return pushed


def grad(side: Side, fun: Callable[..., Any]) -> Callable[..., Any]:
    return side.api.grad(lambda x, n: total(fun(x, n)))


def vmap(side: Side, fun: Callable[..., Any]) -> Callable[..., Any]:
    def mapped(x: Any, n: Any) -> Any:
        xs = tree_map(lambda leaf: leaf * SCALES.reshape(3, *[1] * leaf.ndim), x)
        return tree_map(lambda leaf: leaf.sum(0), side.api.vmap(fun)(xs, n ^ SWAPS))

    return mapped


def jit(side: Side, fun: Callable[..., Any]) -> Callable[..., Any]:
    return side.api.jit(fun)


LETTERS = (jvp, grad, vmap, jit)
WORDS = [word for length in (0, 1, 2, 3) for word in product(LETTERS, repeat=length)]


# Programs: of a side, a function (x, n) -> tree. They close over traced values wherever they can.


def captured_tracer(side: Side) -> Callable[..., Any]:
    def fun(x: Any, n: Any) -> Any:
        def g(y: Any) -> Any:
            return (side.xp.sin(x) * y**2).sum()

        return x * side.api.grad(g)(x * x)

    return fun


def captured_arrays(side: Side) -> Callable[..., Any]:
    w, b = side.xp.asarray([[0.3, -1.2], [0.7, 0.4]]), np.array([0.1, 0.2])
    return lambda x, n: {"out": side.xp.exp(w @ x) * b, "in": (2.0 - b) / (x * x + np.float64(1.5))}


def python_branches(side: Side) -> Callable[..., Any]:
    def fun(x: Any, n: Any) -> Any:
        out = x
        while out[0] < 5.0:
            out = out * x + 1.0
        if n[0] == 1 and (x.sum() > 0.0 or bool(x[1] < -10.0)):
            return out * side.xp.sin(x)
        return -out

    return fun


def nested_derivatives(side: Side) -> Callable[..., Any]:
    """Perturbations that must not be confused: each derivative sees the variables of those around it as constants."""
    api = side.api

    def fun(x: Any, n: Any) -> Any:
        x = x[0]
        first = api.grad(lambda x: x * api.grad(lambda y: x + y)(1.0))(x)
        second = api.grad(lambda x: api.jvp(lambda y: x * y**2, (x,), (1.0,))[1])(x)
        third = api.jvp(lambda x: x * api.grad(lambda y: x**2 * y**3)(x), (x,), (x,))[1]
        pullback = api.vjp(lambda y: x * side.xp.sin(y), x)[1]
        return first * x + second, third * pullback(x)[0]

    return fun


def inner_jit(side: Side) -> Callable[..., Any]:
    """A jitted function that closes over a traced value, and calls another one that does."""
    xp, api = side

    def fun(x: Any, n: Any) -> Any:
        g = api.jit(lambda y: y * xp.cos(x) + n)
        return api.jit(lambda y: g(y) * x)(x * x)

    return fun


def mlp(side: Side) -> Callable[..., Any]:
    inputs = side.xp.linspace(-1.0, 1.0, 6).reshape(3, 2)
    return lambda params, n: side.xp.tanh(inputs @ params["w"] + params["b"]) @ side.xp.ones(2)


def indexed(side: Side) -> Callable[..., Any]:
    def fun(x: Any, n: Any) -> Any:
        y = x.at[n].add(x * x[::-1])
        return y.at[n[0]].set(y[-1]) * x[n]

    return fun


def masked_nan(side: Side) -> Callable[..., Any]:
    xp = side.xp

    def fun(x: Any, n: Any) -> Any:
        shifted = x - 0.6
        safe = xp.where(shifted > 0, shifted, 1.0)
        return xp.where(shifted > 0, xp.log(safe), shifted**3) + xp.where(n < 0, xp.nan, x**2)

    return fun


def integers(side: Side) -> Callable[..., Any]:
    """Integers beside the floats, in arithmetic, and in results."""
    xp = side.xp

    def fun(x: Any, n: Any) -> Any:
        counted = xp.cumsum(n) + 1
        return [x ** (n + 2) / counted, (x * n).astype("int32") + x]

    return fun


PROGRAMS = [
    captured_tracer,
    captured_arrays,
    python_branches,
    nested_derivatives,
    inner_jit,
    mlp,
    indexed,
    masked_nan,
    integers,
]
PARAMS = {"w": np.array([[0.5, -0.3], [0.2, 0.9]]), "b": np.array([0.1, -0.2])}


def point(program: Callable[..., Any]) -> tuple[Any, Any]:
    x = PARAMS if program is mlp else np.array([1.3, 0.4])
    return tree_map(jnp.asarray, x), jnp.array([1, 0], "int32")


def transformed(side: Side, program: Callable[..., Any], word: tuple) -> Callable[..., Any]:
    fun = program(side)
    for letter in reversed(word):
        fun = letter(side, fun)
    return fun


@cache
def answers(program: Callable[..., Any]) -> dict[tuple, Any]:
    """JAX's answers to all words without jit. Its own is not on trial: it runs once, around all of them."""
    words = [word for word in WORDS if jit not in word and possible(program, word)]
    every = lambda *args: [transformed(JAX, program, word)(*args) for word in words]
    run = every if program is python_branches else jax.jit(every, **QUICKLY_COMPILED)
    return dict(zip(words, run(*point(program)), strict=True))


def possible(program: Callable[..., Any], word: tuple) -> bool:
    return program is not python_branches or not {vmap, jit} & set(word)


CASES = [(program, word) for program in PROGRAMS for word in WORDS[1:] if possible(program, word)]


@pytest.mark.parametrize(("program", "word"), under_words(CASES))
def test_word(program: Callable[..., Any], word: tuple) -> None:
    found = transformed(OURS, program, word)(*point(program))
    wanted = answers(program)[tuple(letter for letter in word if letter is not jit)]
    tree_map(assert_same, found, wanted)


def assert_same(found: Any, wanted: Any) -> None:
    assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)
    if wanted.dtype != FLOAT0:
        np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-10)
