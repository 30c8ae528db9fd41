"""Every primitive of control flow under every word of up to three transformations, checkpoint among them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import pytest

import minijvp
from tests.lax.test_control_flow import LETTERS, X, jit, transformed, while_loop
from tests.side_by_side import SIDES, same, under_words
from tests.xla import QUICKLY_COMPILED


def checkpoint(side: Any, fun: Callable[..., Any]) -> Callable[..., Any]:
    return side[0].checkpoint(fun)


WORDS = [word for k in (1, 2, 3) for word in product((*LETTERS, checkpoint), repeat=k)]


def choice(side: Any) -> Callable[..., Any]:
    api, np = side
    return lambda x, n: api.lax.cond(n > 0, lambda x: np.sin(x) * x[0], lambda x: np.sqrt(x * x + n), x)


def scan(side: Any) -> Callable[..., Any]:
    api, np = side
    return lambda x, n: api.lax.scan(lambda c, row: (np.sin(c) * x[0] + row * n, c * row), x.sum(), x)


def loop(side: Any) -> Callable[..., Any]:
    def fun(x: Any, n: Any) -> Any:
        return while_loop(side, lambda c: c[0] < n + 1, lambda c: (c[0] + 1, side[1].sin(c[1]) * x), (0, x))[1]

    return fun


PROGRAMS = [choice, scan, loop]


@cache
def expected(program: Callable[..., Any], word: tuple) -> Any:
    """JAX's answer, without what changes no values."""
    return jax.jit(transformed(SIDES[1], program, word), **QUICKLY_COMPILED)(X, jnp.int32(1))


CASES = [
    (program, word)
    for program in PROGRAMS
    for word in WORDS
    # Without checkpoint, test_control_flow has a program of choices and scans under all words.
    if checkpoint in word or program is loop
]


@pytest.mark.parametrize(("program", "word"), under_words(CASES))
def test_word(program: Callable[..., Any], word: tuple) -> None:
    fun = transformed(SIDES[0], program, word)
    # What the words are made of is on trial here, not the optimizations of XLA.
    # Eagerly each operation is a program of its own, and there are many: short words only.
    found = (fun if len(word) == 1 else minijvp.jit(fun, **QUICKLY_COMPILED))(X, jnp.int32(1))
    same(found, expected(program, tuple(letter for letter in word if letter not in (jit, checkpoint))), 1e-9)
