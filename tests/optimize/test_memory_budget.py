"""Memory budgets: how they are given, what they reach, and how they are refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import minijvp
import minijvp.numpy as mnp
from minijvp import lax
from minijvp.errors import ArgumentError
from minijvp.optimize.rematerialize import linearization, planning
from minijvp.optimize.rematerialize.planning import Plan, PlanningProblem
from tests.benchmarks.deep import (
    deep_conv_data,
    deep_conv_loss,
    deep_transformer_data,
    deep_transformer_loss,
    mixed_chain_loss,
)
from tests.benchmarks.deep import numbers as deep_numbers

LAYERS, WIDTH = 8, 64
KEYS = np.random.default_rng(0)
WS = [jnp.asarray(KEYS.standard_normal((WIDTH, WIDTH)) / 8) for _ in range(LAYERS)]
X = jnp.asarray(KEYS.standard_normal((256, WIDTH)))


def network(ws: Any, x: Any) -> Any:
    for w in ws:
        y = mnp.exp(x @ w - mnp.max(x @ w, axis=1, keepdims=True))
        x = x + mnp.tanh(y / mnp.sum(y, axis=1, keepdims=True) @ w.T) * mnp.sin(x)
    return mnp.mean(x**2)


def close(found: Any, wanted: Any, tolerance: float = 1e-12) -> None:
    def check(x: Any, y: Any) -> None:
        np.testing.assert_allclose(x, y, rtol=0, atol=tolerance * float(jnp.max(jnp.abs(y))))

    jax.tree.map(check, found, wanted)


@pytest.mark.parametrize("budget", ["auto", 0.5, 0.3, 3_500_000])
def test_every_transformation_takes_one(budget: Any) -> None:
    wanted = minijvp.value_and_grad(network)(WS, X)
    value, gradient = minijvp.value_and_grad(network, memory_budget=budget)(WS, X)
    close((value, gradient), wanted)
    close(minijvp.jit(minijvp.grad(network, memory_budget=budget))(WS, X), wanted[1])
    close(minijvp.grad(minijvp.checkpoint(network, memory_budget=budget))(WS, X), wanted[1])
    out, pullback = minijvp.vjp(network, WS, X, memory_budget=budget)
    close((out, pullback(jnp.ones(()))[0]), wanted)
    out, pushforward = minijvp.linearize(network, WS, X, memory_budget=budget)
    tangents = jax.tree.map(jnp.cos, WS), jnp.sin(X)
    close((out, pushforward(*tangents)), minijvp.jvp(network, (WS, X), tangents))
    with minijvp.config(memory_budget=budget):
        close(minijvp.jit(minijvp.value_and_grad(network))(WS, X), wanted)


def test_closures_keep_what_the_budget_allows() -> None:
    size = lambda budget: sum(
        {id(x): x.nbytes for x in jax.tree.leaves(minijvp.vjp(network, WS, X, memory_budget=budget)[1])}.values()
    )
    assert size(0.3) < 0.4 * size("off")  # the arguments are among what is held


def test_budgets_in_bytes_and_parts_agree() -> None:
    whole = sum(r.bytes for r in minijvp.residual_report(network, WS, X).residuals if r.place == "value")
    program = lambda budget: str(minijvp.make_jaxpr(minijvp.grad(network, (0, 1), memory_budget=budget))(WS, X))
    assert program(0.5) == program(whole // 2)


@pytest.mark.parametrize("budget", [1, 1e-6])
def test_a_budget_that_cannot_be_kept_names_the_least_and_the_largest(budget: Any) -> None:
    with pytest.raises(ArgumentError) as caught:
        minijvp.jit(minijvp.grad(network, (0, 1), memory_budget=budget))(WS, X)
    whole = sum(r.bytes for r in minijvp.residual_report(network, WS, X).residuals if r.place == "value")
    assert f"keeps {whole:,} bytes" in caught.value.what
    assert "f64[256,64], 131,072 bytes of" in caught.value.why
    assert "x = x + mnp.tanh(" in caught.value.why
    least = int(caught.value.do.split("at least ")[1].split(" (")[0].replace(",", ""))
    minijvp.jit(minijvp.grad(network, (0, 1), memory_budget=least))(WS, X)
    with pytest.raises(ArgumentError):
        minijvp.jit(minijvp.grad(network, (0, 1), memory_budget=least - 1))(WS, X)
    with minijvp.config(memory_budget=budget), pytest.raises(ArgumentError):
        minijvp.jit(minijvp.grad(network))(WS, X)
    assert minijvp.jit(minijvp.grad(network))(WS, X)[0].shape == (WIDTH, WIDTH)  # the next call works


@pytest.mark.parametrize("budget", [0, -1, True, 1.5, 0.0, float("nan"), "much", None.__class__])
def test_what_is_no_budget(budget: Any) -> None:
    for use in (
        lambda: minijvp.grad(network, memory_budget=budget),
        lambda: minijvp.value_and_grad(network, memory_budget=budget),
        lambda: minijvp.vjp(network, WS, X, memory_budget=budget),
        lambda: minijvp.linearize(network, WS, X, memory_budget=budget),
        lambda: minijvp.checkpoint(network, memory_budget=budget),
    ):
        with pytest.raises(ArgumentError, match="memory_budget"):
            use()


def test_what_does_not_go_with_a_budget() -> None:
    with pytest.raises(ArgumentError, match="taps"):
        minijvp.grad(network, taps=True, memory_budget=0.5)
    with pytest.raises(ArgumentError, match="policy"):
        minijvp.checkpoint(network, policy=minijvp.checkpoint_policies.dots_saveable, memory_budget=0.5)


def test_a_budget_stages_the_function() -> None:
    """As jit does: with one, a gradient cannot look at its argument; without one, it can."""
    fun = lambda x: mnp.sum(x**2) if x[0] > 0 else mnp.sum(x)
    assert minijvp.grad(fun)(jnp.ones(3))[0] == 2
    with pytest.raises(minijvp.errors.ConcretizationError):
        minijvp.grad(fun, memory_budget=0.5)(jnp.ones(3))


@pytest.mark.parametrize("budget", ["auto", 1.0])
def test_the_default_budget_stages_nothing(budget: Any) -> None:
    fun = lambda x: mnp.sum(x**2) if x[0] > 0 else mnp.sum(x)
    x = jnp.ones(3)
    assert minijvp.grad(fun, memory_budget=budget)(x)[0] == 2
    assert minijvp.value_and_grad(fun, memory_budget=budget)(x)[1][0] == 2
    assert minijvp.vjp(fun, x, memory_budget=budget)[1](1.0)[0][0] == 2
    assert minijvp.linearize(fun, x, memory_budget=budget)[1](x) == 6
    assert minijvp.grad(lambda x: mnp.sum(minijvp.tap(x**2, "y")), taps=True, memory_budget=budget)(x)[1]["y"][0] == 1
    with minijvp.config(memory_budget=0.5), pytest.raises(minijvp.errors.ConcretizationError):
        minijvp.jit(minijvp.grad(fun, memory_budget=budget))(x)


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> list[Plan]:
    """The automatic plans that were followed."""
    found: list[Plan] = []
    original = PlanningProblem.automatic_plan

    def automatic_plan(self: PlanningProblem, copies: int = 1) -> Plan | None:
        plan = original(self, copies)
        found.extend([plan] if plan else [])
        return plan

    monkeypatch.setattr(PlanningProblem, "automatic_plan", automatic_plan)
    linearization._linearize_jaxpr_planned.cache_clear()
    return found


WHERE: dict[str, Callable[[], Any]] = {
    "gradients that are mapped": lambda: minijvp.jit(minijvp.vmap(minijvp.grad(network), (None, 0)))(
        WS, X.reshape(8, 32, WIDTH)
    ),
    "forward over reverse": lambda: minijvp.jit(
        lambda x: minijvp.jvp(lambda x: minijvp.grad(network, 1)(WS, x), (x,), (x,))
    )(X),
    "a call of jit": lambda: minijvp.grad(minijvp.jit(network))(WS, X),
    "calls of jit inside": lambda: minijvp.jit(
        minijvp.grad(lambda ws, x: mnp.sum(minijvp.jit(network)(ws[:4], x) * minijvp.jit(network)(ws[4:], x)))
    )(WS, X),
    "a Jacobian": lambda: minijvp.jit(minijvp.jacrev(lambda s: network([s * w for w in WS], X)))(jnp.ones(())),
    "a body of scan": lambda: minijvp.jit(
        minijvp.grad(lambda ws: lax.scan(lambda x, w: (x + network([w], x) * x, None), X, ws)[0].sum())
    )(jnp.stack(WS)),
}


@pytest.mark.parametrize("name", WHERE)
def test_where_plans_are_followed(name: str, plans: list[Plan]) -> None:
    found = WHERE[name]()
    assert plans
    with minijvp.config(memory_budget="off"):
        plans.clear()
        close(found, WHERE[name]())
    assert not plans


def test_a_transformer_and_convolutions() -> None:
    """In float32, and beside JAX: less memory by default, and no more by a budget."""
    cases: Any = [
        (deep_transformer_loss, deep_transformer_data(4, 64, 64, 16), 0.3, 0.25, 1.01),
        (deep_conv_loss, deep_conv_data(32, 16), 0.6, 0.3, 1.01),
    ]
    for loss, args, default, budget, tighter in cases:
        theirs = jax.jit(jax.value_and_grad(loss(jax))).lower(*args).compile()
        wanted = theirs(*args)
        size = theirs.memory_analysis().temp_size_in_bytes
        for memory_budget, part in (("auto", default), (budget, tighter)):
            fun = minijvp.value_and_grad(loss(minijvp), memory_budget=memory_budget)
            compiled = minijvp.jit(fun).lower(*args).compile()
            close(compiled(*args), wanted, 2e-5)
            with minijvp.config(memory_budget="off"):
                close(compiled(*args), minijvp.jit(minijvp.value_and_grad(loss(minijvp)))(*args), 1e-6)
            found = compiled.memory_analysis().temp_size_in_bytes
            assert found < part * size
            size = min(size, found)


def test_elementwise_chains_are_left_as_they_are_written() -> None:
    """Without a plan, a compiler knows best which side of an operation to keep of what it fuses whole."""
    loss, args = mixed_chain_loss(minijvp, rounds=2), deep_numbers(1_000_000)
    program = lambda: str(minijvp.make_jaxpr(minijvp.grad(loss))(*args))
    auto = program()
    with minijvp.config(memory_budget="off"):
        assert auto == program()


@pytest.mark.parametrize("batch", [(), (1,)])
def test_what_would_be_computed_for_each_number_of_an_outer_product_is_kept(batch: tuple[int, ...]) -> None:
    """The gradient of a row times a matrix, with and without an axis for the row."""

    def loss(w: Any, xs: Any) -> Any:
        def step(h: Any, x: Any) -> Any:
            h = mnp.tanh(h @ w + x)
            return h, mnp.sum(mnp.sin(h) * h)

        return mnp.mean(lax.scan(step, mnp.zeros_like(xs[0]), xs)[1])

    program = lambda: minijvp.jit(minijvp.grad(loss)).lower(np.eye(256, dtype="f"), np.ones((10_000, *batch, 256), "f"))
    auto = program().compile().memory_analysis().temp_size_in_bytes
    with minijvp.config(memory_budget="off"):
        assert auto == program().compile().memory_analysis().temp_size_in_bytes


def test_a_budget_that_calls_of_layers_are_too_large_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is written, a program may do with less: what a layer computes again is there at one time."""
    loss = deep_transformer_loss(minijvp)

    def lowered(outline: str, sequences: int) -> str:
        f = minijvp.jit(minijvp.value_and_grad(loss, memory_budget=0.3))
        with minijvp.config(outline=outline):
            return f.lower(*deep_transformer_data(3, 64, 64, sequences)).as_text()

    assert len(lowered("auto", 16)) < 0.9 * len(lowered("off", 16))
    monkeypatch.setattr(planning, "bytes_again", lambda *args: 1 << 40)
    assert lowered("auto", 15) == lowered("off", 15)
    for outline in ("auto", "off"):
        with minijvp.config(outline=outline), pytest.raises(ArgumentError, match=r"too small .* less than 8,2"):
            minijvp.jit(minijvp.grad(loss, memory_budget=0.01)).lower(*deep_transformer_data(3, 64, 64, 15))
