"""How a word is run: the ways through minijvp."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

import minijvp
from tests.fuzz.building import Program
from tests.fuzz.sides import JAX, OURS
from tests.fuzz.words import Word, transformed
from tests.plans import forced_plans


def eager(program: Program, word: Word) -> list[Any]:
    return [transformed(OURS, OURS.function(program.source), word)(*program.arguments)]


def jit(program: Program, word: Word) -> list[Any]:
    return [minijvp.jit(transformed(OURS, OURS.function(program.source), word))(*program.arguments)]


def staged(program: Program, word: Word) -> list[Any]:
    """As a part of a program of JAX."""
    return [jax.jit(minijvp.to_jax(transformed(OURS, OURS.function(program.source), word)))(*program.arguments)]


def recurring(program: Program, word: Word) -> list[Any]:
    """Three times, as in a loop of training."""
    with minijvp.config(compile_gradients_after=1):
        fun = transformed(OURS, OURS.function(program.source), word)
        return [fun(*program.arguments) for _ in range(3)]


def from_jax(program: Program, word: Word) -> list[Any]:
    return [transformed(OURS, minijvp.from_jax(JAX.function(program.source)), word)(*program.arguments)]


def to_jax(program: Program, word: Word) -> list[Any]:
    return [jax.jit(transformed(JAX, minijvp.to_jax(OURS.function(program.source)), word))(*program.arguments)]


def budgets(program: Program, word: Word) -> list[Any]:
    """With plans for all that is staged, and then with less memory than they need."""
    with forced_plans():
        found = jit(program, word)
        try:
            with minijvp.config(memory_budget=0.3):
                found += jit(program, word)
        except minijvp.ArgumentError as error:
            if "memory_budget" not in str(error):
                raise
    return found


MODES: dict[str, Callable[[Program, Word], list[Any]]] = {
    "eager": eager,
    "jit": jit,
    "recurring": recurring,
    "from_jax": from_jax,
    "to_jax": to_jax,
    "budgets": budgets,
    "staged": staged,
}
"""From a program and a word to what the word gives there, maybe by several ways."""
