"""Automatic rematerialisation: the cheapest choice, the same gradients, and less memory after the compiler."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain, combinations
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minijvp
import minijvp.numpy as mnp
from minijvp import lax
from minijvp.core.jaxpr import Equation, Var
from minijvp.core.types import ArrayType
from minijvp.operations.elementwise import add
from minijvp.optimize import planner
from minijvp.optimize.rematerialize.cut import Numbered, minimum_cut
from minijvp.optimize.rematerialize.forward import Forward


@st.composite
def programs(draw: Any) -> tuple[list[Equation], dict[int, float | None], list[Var], set[Var]]:
    """Equations, their prices, what is needed, and what is at hand."""
    variables = [Var(ArrayType((draw(st.integers(1, 5)),), np.dtype("float32"))) for _ in range(2)]
    inputs, equations, prices = set(variables), [], {}
    for _ in range(draw(st.integers(1, 7))):
        operands = tuple(draw(st.lists(st.sampled_from(variables), min_size=1, max_size=2)))
        out = Var(ArrayType((draw(st.integers(1, 9)),), np.dtype("float32")))
        e = Equation(add, operands, {}, (out,), None)
        prices[id(e)] = draw(st.sampled_from([None, 0.0, 1.0, 3.0, 10.0]))
        equations.append(e)
        variables.append(out)
    made = [v for v in variables if v not in inputs]
    return equations, prices, draw(st.lists(st.sampled_from(made), min_size=1, max_size=4)), inputs


def cost(saved: set[Var], equations: Any, prices: Any, needed: Any, inputs: Any) -> float:
    """The bytes that are saved and the prices of what is computed again from them; infinite if it cannot be."""
    producer = {v: e for e in equations for v in e.outputs}
    again: dict[int, float] = {}
    pending = list(needed)
    while pending:
        v = pending.pop()
        if v in saved or v in inputs or id(producer[v]) in again:
            continue
        price = prices[id(producer[v])]
        if price is None:
            return float("inf")
        again[id(producer[v])] = price
        pending += producer[v].inputs
    return sum(v.type.bytes for v in saved) + sum(again.values())


@settings(deadline=None, max_examples=150)
@given(programs())
def test_the_cut_is_the_cheapest_choice(program: Any) -> None:
    equations, prices, needed, inputs = program
    saved = minimum_cut(Numbered(equations), needed, inputs.__contains__, [prices[id(e)] for e in equations])
    made = [v for e in equations for v in e.outputs]
    choices = chain.from_iterable(combinations(made, n) for n in range(len(made) + 1))
    best = min(cost(set(c), equations, prices, needed, inputs) for c in choices)
    assert cost(saved, equations, prices, needed, inputs) == pytest.approx(best)


W = np.random.default_rng(0).standard_normal((4, 4))
X = np.random.default_rng(1).standard_normal((3, 4))


def network(p: Any, x: Any, xp: Any = mnp) -> Any:
    for w in p:
        joined = xp.concatenate([xp.concatenate([w, -w], 0), xp.concatenate([w, w], 0)], 1)
        y = xp.concatenate([x, xp.sin(x)], 1) @ joined
        y = y - xp.max(y, axis=1, keepdims=True)
        e = xp.exp(y)
        x = x + xp.tanh((e / xp.sum(e, axis=1, keepdims=True)) @ joined.T)[:, :4] ** 3
    return xp.sum(x**2)


P = [0.3 * W, 0.2 * W.T, 0.1 * W]


def loop(p: Any, x: Any, xp: Any = mnp, scan: Any = lax.scan) -> Any:
    def body(c: Any, w: Any) -> Any:
        y = xp.tanh(c @ w) * xp.cos(c)
        return c + y * xp.exp(-(y**2)), xp.sum(y)

    last, sums = scan(body, x, xp.stack(p))
    return xp.sum(last**2) + xp.sum(xp.sin(sums))


TRANSFORMED: dict[str, Callable[[Any, Any], Any]] = {
    "grad": lambda m, f: m.jit(m.grad(f)),
    "value_and_grad, both arguments": lambda m, f: m.jit(m.value_and_grad(f, (0, 1))),
    "grad of jit": lambda m, f: m.grad(m.jit(f)),
    "vjp": lambda m, f: m.jit(lambda p, x: m.vjp(f, p, x)[1](jnp.ones(()))),
    "jvp of grad": lambda m, f: m.jit(lambda p, x: m.jvp(lambda x: m.grad(f)(p, x), (x,), (x,))),
    "grad of grad": lambda m, f: m.jit(m.grad(lambda p, x: (m.grad(f, 1)(p, x) ** 2).sum())),
    "vmap of grad": lambda m, f: (
        m.jit(m.vmap(m.grad(f), in_axes=(None, 0))) if m is minijvp else m.vmap(m.grad(f), in_axes=(None, 0))
    ),
    "hessian": lambda m, f: m.jit(m.hessian(lambda x: f(P, x))),
}


@pytest.mark.usefixtures("forced")
@pytest.mark.parametrize("name", TRANSFORMED)
@pytest.mark.parametrize("fun", [network, loop])
def test_planned_gradients_are_those_of_jax(name: str, fun: Callable[..., Any]) -> None:
    args: tuple = (X,) if name == "hessian" else (P, np.stack([X, -X])) if name == "vmap of grad" else (P, X)
    other = {"xp": jnp} if fun is network else {"xp": jnp, "scan": jax.lax.scan}
    found = TRANSFORMED[name](minijvp, fun)(*args)
    wanted = TRANSFORMED[name](jax, lambda p, x: fun(p, x, **other))(*args)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-12), found, wanted)


@pytest.mark.usefixtures("forced")
def test_the_program_changes_only_where_it_is_planned() -> None:
    planned = minijvp.make_jaxpr(minijvp.grad(network))(P, X)
    with minijvp.config(memory_budget="off"):
        plain = minijvp.make_jaxpr(minijvp.grad(network))(P, X)
    assert any(e.primitive.name == "kept_call" for e in planned)
    assert not any(e.primitive.name == "kept_call" for e in plain)


@pytest.mark.usefixtures("forced")
def test_rules_that_close_over_values() -> None:
    def f(x: Any) -> Any:
        scale = mnp.cos(x)

        @minijvp.custom_vjp
        def scaled(y: Any) -> Any:
            return mnp.sin(y) * 3

        scaled.defvjp(lambda y: (scaled(y), mnp.cos(y)), lambda cos, ct: (3 * cos * ct,))
        return mnp.sum(mnp.exp(scaled(mnp.tanh(x) * scale)) ** 2)

    with minijvp.config(memory_budget="off"):
        wanted = minijvp.grad(f)(X)
    np.testing.assert_allclose(minijvp.jit(minijvp.grad(f))(X), wanted, rtol=1e-10)


def temporary(fun: Callable[..., Any], budget: str, *args: Any) -> int:
    with minijvp.config(memory_budget=budget):
        return minijvp.jit(minijvp.grad(fun)).lower(*args).compile().memory_analysis().temp_size_in_bytes


def test_compiled_memory() -> None:
    """The compiler does not merge what is computed again with the first time."""

    def assembled(ws: Any, x: Any) -> Any:
        for w in ws:
            x = mnp.tanh(x @ mnp.concatenate([mnp.concatenate([w, -w], 0), mnp.concatenate([w, w], 0)], 1))
        return mnp.sum(x**2)

    ws = [jnp.ones((256, 256), jnp.float32)] * 12
    x = jnp.ones((8, 512), jnp.float32)
    assert temporary(assembled, "auto", ws, x) < 0.6 * temporary(assembled, "off", ws, x)

    def stacked(ws: Any, x: Any) -> Any:
        def step(c: Any, w: Any) -> Any:
            y = mnp.tanh(c @ w)
            return y * mnp.exp(-(y**2)) * mnp.cos(y), None

        return mnp.sum(lax.scan(step, x, ws)[0])

    ws, x = jnp.ones((50, 32, 32), jnp.float32), jnp.ones((256, 32), jnp.float32)
    assert temporary(stacked, "auto", ws, x) < 0.6 * temporary(stacked, "off", ws, x)


def test_off_is_the_plain_transpose(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of a linear program that has values of its own to compute."""
    monkeypatch.setattr(planner, "SMALL", 0)

    def linear(t: Any) -> Any:
        return mnp.sum(t * mnp.exp(mnp.sin(mnp.ones(3) * 2)))

    fun = minijvp.jit(lambda x: minijvp.jit(linear)(x))
    jaxpr = minijvp.make_jaxpr(minijvp.grad(fun))(X[0, :3])
    assert "kept_call" not in str(jaxpr)


def test_small_programs_are_left_alone() -> None:
    with minijvp.config(memory_budget="auto"):
        planned = minijvp.make_jaxpr(minijvp.grad(network))(P, X)
    assert str(planned) == str(minijvp.make_jaxpr(minijvp.grad(network))(P, X))


def test_products_of_matrices_and_random_numbers_are_not_computed_again() -> None:
    jaxpr = minijvp.make_jaxpr(lambda x: minijvp.random.bits(minijvp.random.key(0), (3,)) * (x @ x > 0).all())(W)
    priced = Forward.of_program(jaxpr, len(jaxpr.outputs)).prices(0.05, expensive=False)
    for e in jaxpr:
        assert (priced[id(e)] is None) == (e.primitive.recomputable == "expensive")
    assert {"dot_general", "random_bits"} <= {e.primitive.name for e in jaxpr if priced[id(e)] is None}
    expensive = Forward.of_program(jaxpr, len(jaxpr.outputs)).prices(1.0, expensive=True)
    assert None not in expensive.values()
