"""Folded programs are shorter, and compute what the programs compute."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import minijvp
import minijvp.numpy as mnp
from minijvp.core.jaxpr import Equation, Jaxpr, run
from minijvp.views.folding import folded, repeated
from minijvp.views.printing import parts

W = [jnp.full((6, 6), 0.1 + 0.01 * i, jnp.float32) for i in range(12)]
X = jnp.linspace(0.0, 1.0, 18, dtype=jnp.float32).reshape(3, 6)


def ran(jaxpr: Jaxpr, args: Any) -> list[Any]:
    """The outputs of a folded program: `repeated` runs its program so many times, as it says that it does."""

    def apply(e: Equation, values: list[Any]) -> Any:
        if e.primitive is not repeated:
            return e.primitive(*values, **e.params)
        slots, body = e.params["slots"], e.params["jaxpr"]
        columns = list(parts(values, slots.operands))
        found: list[Any] = []
        for i in range(e.params["length"]):
            of_call = [
                found[-1][k] if k is not None and i else column[0 if len(column) == 1 else i]
                for column, k in zip(columns, slots.carried, strict=True)
            ]
            found.append(ran(body, of_call))
        given = zip(*found, strict=True)
        # Which of several results are read elsewhere is the last of them, or all.
        return tuple([x for column, n in zip(given, slots.results, strict=True) for x in column[len(column) - n :]])

    return run(jaxpr, args, apply)


def plain(weights: Any, x: Any) -> Any:
    for w in weights:
        x = mnp.tanh(x @ w) + x
    return mnp.sum(x**2)


def normalized(weights: Any, x: Any) -> Any:
    for w in weights:
        centred = x - x.mean(-1, keepdims=True)
        x = x + mnp.tanh((centred / mnp.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)) @ w)
    return mnp.sum(x**2)


def with_numbers(weights: Any, x: Any) -> Any:
    for i, w in enumerate(weights):
        x = mnp.tanh(x @ w) * (0.5 + i) + mnp.cos(x)
    return mnp.sum(x)


def jitted(weights: Any, x: Any) -> Any:
    layer = minijvp.jit(lambda w, x: mnp.tanh(mnp.sin(mnp.cos(x @ w)) + x))
    for w in weights:
        x = layer(w, x)
    return mnp.sum(x)


def with_all_results(weights: Any, x: Any) -> Any:
    found = []
    for w in weights:
        x = mnp.tanh(mnp.sin(x @ w))
        found.append(x)
    return found


def of_two_before(weights: Any, x: Any) -> Any:
    before = x
    for w in weights:
        before, x = x, mnp.tanh(x @ w) + before
    return mnp.sum(x)


PROGRAMS = (plain, normalized, with_numbers, jitted, with_all_results)


@pytest.mark.parametrize("gradient", [False, True])
@pytest.mark.parametrize("fun", PROGRAMS, ids=lambda fun: fun.__name__)
def test_folded_programs_compute_the_same(fun: Any, gradient: bool) -> None:
    if gradient:
        inner = fun
        fun = minijvp.value_and_grad(lambda ws, x: mnp.sum(mnp.stack(minijvp.tree.leaves(inner(ws, x)))))
    jaxpr = minijvp.make_jaxpr(fun)(W, X)
    short = folded(jaxpr)
    assert any([e.primitive is repeated for e in short])
    assert len(short.equations) < len(jaxpr.equations) / 2
    args = [*W, X]
    for out, wanted in zip(ran(short, args), jaxpr(*args), strict=True):
        np.testing.assert_allclose(out, wanted, rtol=1e-5, atol=1e-6)


def test_what_does_not_repeat_at_length_stays() -> None:
    for fun, n in ((plain, 3), (lambda ws, x: mnp.sin(mnp.cos(x)), 1), (with_all_results, 9)):
        jaxpr = minijvp.make_jaxpr(fun)(W[:n], X)
        assert folded(jaxpr) is jaxpr and str(jaxpr) == jaxpr.text(fold=False)


def test_layers_that_read_others_do_not_fold() -> None:
    def dense(weights: Any, x: Any) -> Any:
        first = None
        for w in weights:
            x = mnp.tanh(mnp.sin(x @ w)) + (x if first is None else first)
            first = x if first is None else first
        return mnp.sum(x)

    for fun in (dense, of_two_before):
        jaxpr = minijvp.make_jaxpr(fun)(W, X)
        np.testing.assert_allclose(ran(folded(jaxpr), [*W, X])[0], jaxpr(*W, X)[0], rtol=1e-6)


def test_effects_are_not_folded() -> None:
    def talkative(x: Any) -> Any:
        for _ in range(12):
            minijvp.debug.print("x = {}", x)
            x = mnp.sin(mnp.cos(mnp.tanh(x)))
        return x

    assert not any([e.primitive is repeated for e in folded(minijvp.make_jaxpr(talkative)(1.0))])
