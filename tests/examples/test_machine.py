"""docs/machine.md: the machine that it builds runs, prints what it says, and has JAX's numbers under every word."""

from __future__ import annotations

from contextlib import redirect_stdout
from io import StringIO
from itertools import product
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest

from tests.examples.documents import blocks, run_block
from tests.examples.test_examples import MACHINE, ROOT
from tests.side_by_side import same


@pytest.fixture(scope="module")
def machine() -> SimpleNamespace:
    names: dict = {}
    with redirect_stdout(StringIO()) as printed, jax.enable_x64(False):
        for code in blocks(MACHINE):
            run_block(code, names)
    return SimpleNamespace(**names, printed=printed.getvalue())


def test_what_is_printed_is_what_the_text_says(machine: SimpleNamespace) -> None:
    texts = blocks(MACHINE, "text")
    assert len(texts) == 2
    for text in texts:
        assert text in machine.printed


def test_files_that_the_text_names_are_there() -> None:
    words = {word for line in MACHINE.read_text().splitlines() for word in line.split("`") if word.endswith(".py")}
    assert len(words) > 10
    assert [word for word in sorted(words) if not (ROOT / "minijvp" / word).exists()] == []


def test_it_is_one_page_of_seven_hundred_lines() -> None:
    lines = MACHINE.read_text().splitlines()
    assert len(lines) <= 700
    assert max(map(len, lines)) <= 120


def test_a_loss(machine: SimpleNamespace) -> None:
    def loss(params, x, y):
        for w, b in params:
            x = 1 / (1 + jnp.exp(-(x @ w + b)))
        return ((x - y) ** 2).sum()

    params, x, y = machine.params, machine.x, machine.y
    near = lambda found, wanted: same(found, wanted, 1e-5)
    near(machine.value, loss(params, x, y))
    near(machine.gradient, jax.grad(loss)(params, x, y))
    near(machine.per_row, jax.vmap(jax.grad(loss), (None, 0, 0))(params, x[:, None], y[:, None]))
    near(machine.hessian_vector, jax.jvp(jax.grad(lambda p: loss(p, x, y)), (params,), (params,))[1])


def cosine(m):
    return jnp.cos if m is jax else m.cos


LETTERS = {
    "jvp": lambda m: lambda f: lambda x: m.jvp(f, (x,), (cosine(m)(x),))[1],
    "linearize": lambda m: lambda f: lambda x: m.linearize(f, x)[1](cosine(m)(x)),
    "vjp": lambda m: lambda f: lambda x: m.vjp(f, x)[1](f(x))[0],
    "vmap": lambda m: lambda f: lambda x: m.vmap(f)(x),
    "jit": lambda m: lambda f: m.jit(f),
}


WORDS = [*product(LETTERS, repeat=2), ("jit", "vjp", "vjp"), ("vjp", "jit", "vjp"), ("vjp", "linearize", "vjp")]
WORDS += [
    ("vmap", "vjp", "jit"),
    ("jit", "vmap", "vjp"),
    ("jit", "linearize", "vjp"),
    ("linearize", "jit", "linearize"),
]


@pytest.mark.parametrize("word", WORDS, ids="-".join)
def test_words(machine: SimpleNamespace, word: tuple[str, ...]) -> None:
    def base(m, sin, exp):
        return lambda x: sin(x) * exp(x) + x / (1.5 + x * x)

    x = jnp.arange(1.0, 7.0, dtype="float32").reshape(2, 3) / 4
    ours, theirs = base(machine, machine.sin, machine.exp), base(jax, jnp.sin, jnp.exp)
    for letter in reversed(word):
        ours, theirs = LETTERS[letter](machine)(ours), LETTERS[letter](jax)(theirs)
    same(ours(x), theirs(x), 2e-5)
