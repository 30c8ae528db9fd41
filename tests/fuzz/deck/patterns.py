"""Operations written as text with blanks: `lax.cumsum({R:1+}, axis={axis}, reverse={flag})`.

A blank is a choice, `{a|b|c}`, or an operand: a letter for its domain (see building.DOMAINS; C complex, Q complex near
1.5, B bool, I small integers, D distinct positive numbers, S a symmetric positive definite matrix, K a random key),
and then

- `:2`, `:1+`, `:1-2`, `:s`, `:(2, 3)`: its rank, its least rank, both bounds, a square matrix, its shape;
- `=`: of the shape and the dtype of the first operand; `&`: of one that broadcasts with it;
- `@`: with the shape only.

or it is about the first operand: `axis`, `axes` (maybe None), `axis0` (not negative), `shape`, `n` (the length of the
last axis), `size`, `rank`; or `flag`, `k` (-1, 0 or 1), `m` (1, 2 or 3).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from tests.fuzz.deck.operation import Operation
from tests.fuzz.operands import DOMAINS, Builder

BLANK = re.compile(r"\{([^{}]*)\}")
LETTERS = {*DOMAINS, "C", "Q", "B", "I", "D", "S", "K"}


def operation(name: str, pattern: str, **properties: Any) -> Operation:
    """The operation that a pattern writes."""
    return Operation(name, lambda b: BLANK.sub(lambda m: filled(b, m[1]), pattern), **properties)


def filled(b: Builder, blank: str) -> str:
    """The text for a blank."""
    if "|" in blank:
        return str(b.choose(blank.split("|")))
    if blank in CHOICES:
        return str(CHOICES[blank](b))
    letter, how = blank[0], blank[1:]
    if letter not in LETTERS:
        raise KeyError(blank)
    if letter == "K":
        return f"random.key({int(b.rng.integers(100))})"
    if letter == "S":
        return positive_definite(b, how)
    if how == "=":
        return b.like(b.needed(), letter if letter in DOMAINS else "R")
    if how == "&":
        return b.like(b.needed(), letter, broadcast=True)
    return operand(b, letter, **wishes(b, how))


def wishes(b: Builder, how: str) -> dict[str, Any]:
    """What is asked of the shape of an operand."""
    if how == "@":
        return {"shape": b.needed().shape}
    if not how:
        return {}
    text = how.removeprefix(":")
    if text == "s":
        n = b.choose([1, 2, 2, 3])
        return {"shape": (n, n)}
    if text.startswith("("):
        return {"shape": tuple(eval(text, {"n": b.first.shape[-1] if b.first is not None and b.first.ndim else 1}))}
    if text.endswith("+"):
        return {"rank": (int(text[:-1]), 3)}
    low, _, high = text.partition("-")
    return {"rank": (int(low), int(high or low))}


def operand(b: Builder, letter: str, **wish: Any) -> str:
    if letter == "C":
        return b.complex(**wish)
    if letter == "Q":
        return b.complex(near="1.5", **wish)
    if letter == "D":
        return b.distinct(**wish)
    if letter == "B":
        return b.boolean(**wish)
    if letter == "I":
        return b.integer(4, **wish)
    return b.real(letter, scalars=not wish and b.flag(0.3), **wish)


def positive_definite(b: Builder, how: str) -> str:
    x = b.real("E", **(wishes(b, how) or wishes(b, ":s")))
    y = x if x.isidentifier() else "a"
    text = f"{y} @ {y}.mT + 2 * jnp.eye({x.shape[-1]}, dtype={x.dtype})"
    return f"({text})" if y == x else f"(lambda a: {text})({x})"


CHOICES: dict[str, Callable[[Builder], Any]] = {
    "axis": lambda b: b.axis(),
    "axis0": lambda b: b.axis() % b.needed().ndim,
    "axes": lambda b: b.axes(),
    "shape": lambda b: b.needed().shape,
    "dtype": lambda b: b.needed().dtype,
    "n": lambda b: b.needed().shape[-1],
    "size": lambda b: b.needed().type.size,
    "rank": lambda b: b.needed().ndim,
    "flag": lambda b: b.flag(),
    "k": lambda b: b.choose([-1, 0, 1]),
    "m": lambda b: b.choose([1, 2, 3]),
}
