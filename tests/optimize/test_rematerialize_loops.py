"""Automatic rematerialisation in loops and choices: the same gradients, fewer bytes for each step and branch."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import minijvp
import minijvp.numpy as mnp
from minijvp import ArgumentError, lax
from minijvp.budgets import Share
from minijvp.control_flow import cond as choices
from minijvp.core.jaxpr import Jaxpr
from minijvp.core.types import ArrayType
from minijvp.transforms.staging import stage

W = 0.4 * np.random.default_rng(0).standard_normal((4, 4))
X = np.random.default_rng(1).standard_normal((3, 4))


def layer(xp: Any, w: Any, x: Any) -> Any:
    y = xp.tanh(x @ w) * xp.cos(x)
    e = xp.exp(y - xp.max(y, axis=1, keepdims=True))
    return x + xp.sin(e / xp.sum(e, axis=1, keepdims=True)) * y


def walked(xp: Any, api: Any, w: Any, x: Any) -> Any:
    """Four steps of a loop that ends by itself."""
    if api is not jax:
        state = (0, x)
        return api.lax.while_loop(lambda c: c[0] < 4, lambda c: (c[0] + 1, layer(xp, w, c[1])), state)[1]
    for _ in range(4):
        x = layer(xp, w, x)
    return x


def bounded(xp: Any, api: Any, w: Any, x: Any) -> Any:
    if api is jax:
        return walked(xp, api, w, x)
    state = (0, x)
    return lax.while_loop(lambda c: c[0] < 4, lambda c: (c[0] + 1, layer(xp, w, c[1])), state, max_steps=6)[1]


def counted(xp: Any, api: Any, w: Any, x: Any) -> Any:
    return api.lax.fori_loop(0, 4, lambda i, c: layer(xp, w * i, c), x)


def chosen(xp: Any, api: Any, w: Any, x: Any) -> Any:
    """Choices of three in a scan, of which one has a loop."""
    branches = [
        lambda c: layer(xp, w, c),
        lambda c: xp.exp(-(c**2)) * xp.sin(c @ w),
        lambda c: walked(xp, api, w, c),
    ]
    return api.lax.scan(lambda c, k: (api.lax.switch(k, branches, c), None), x, jnp.array([0, 1, 2, 0]))[0]


def mapped(xp: Any, api: Any, w: Any, x: Any) -> Any:
    """Rows by themselves, then all together."""
    rows = api.lax.map(lambda row: layer(xp, w, row[None])[0], x)
    return api.lax.associative_scan(lambda a, b: xp.sin(a * b) + a, rows)


TRANSFORMED: dict[str, Callable[[Any, Any], Any]] = {
    "value_and_grad": lambda api, f: api.jit(api.value_and_grad(f, (0, 1))),
    "grad of jit": lambda api, f: api.grad(api.jit(f)),
    "jvp of grad": lambda api, f: api.jit(lambda w, x: api.jvp(lambda x: api.grad(f)(w, x), (x,), (x,))),
    "vmap of grad": lambda api, f: api.jit(api.vmap(api.grad(f), (None, 0))),
}


@pytest.mark.usefixtures("forced")
@pytest.mark.parametrize("fun", [walked, bounded, counted, chosen, mapped])
def test_planned_gradients_are_those_of_jax(fun: Callable[..., Any]) -> None:
    for name, transformed in TRANSFORMED.items():
        args = (W, np.stack([X, -X]) if name == "vmap of grad" else X)
        wanted = transformed(jax, lambda w, x: jnp.sum(fun(jnp, jax, w, x) ** 2))(*args)
        for budget in ("auto", Share(0.2)) if name == "jvp of grad" else ("auto",):
            with minijvp.config(memory_budget=budget):
                found = transformed(minijvp, lambda w, x: mnp.sum(fun(mnp, minijvp, w, x) ** 2))(*args)
            jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, 1e-11, 1e-12, err_msg=name), found, wanted)


@pytest.mark.usefixtures("forced")
def test_no_steps() -> None:
    def f(w: Any, x: Any) -> Any:
        return mnp.sum(lax.scan(lambda c, w: (layer(mnp, w, c), None), x, w)[0] ** 2)

    for budget in ("auto", Share(0.5), 1000):
        with minijvp.config(memory_budget=budget):
            w, x = minijvp.jit(minijvp.grad(f, (0, 1)))(np.zeros((0, 4, 4)), X)
        assert w.shape == (0, 4, 4)
        np.testing.assert_allclose(x, 2 * X, rtol=1e-15)


# Memory, after the compiler

ROWS, WIDTH, TURNS = 128, 32, 24
BLOCK = {k: jnp.asarray(0.2 * np.random.default_rng(i).standard_normal((WIDTH, WIDTH))) for i, k in enumerate("qkvo")}
BLOCK |= {"up": jnp.tile(BLOCK["q"], (1, 4)), "down": jnp.tile(BLOCK["k"], (4, 1))}
START = jnp.asarray(np.random.default_rng(9).standard_normal((ROWS, WIDTH)))
LONGER = jnp.tile(START, (3, 1))
STACK = jax.tree.map(lambda w: jnp.stack([w * 1.01**k for k in range(TURNS)]), BLOCK)


def norm(x: Any) -> Any:
    y = x - mnp.mean(x, axis=1, keepdims=True)
    return y / mnp.sqrt(mnp.mean(y**2, axis=1, keepdims=True) + 1e-5)


def block(p: Any, x: Any) -> Any:
    """A layer of a transformer with one head."""
    q, k, v = (norm(x) @ p[name] for name in "qkv")
    e = q @ k.T / 6
    e = mnp.exp(e - mnp.max(e, axis=1, keepdims=True))
    x = x + (e / mnp.sum(e, axis=1, keepdims=True)) @ v @ p["o"]
    h = norm(x) @ p["up"]
    return x + 0.5 * h * (1 + mnp.tanh(0.8 * (h + 0.04 * h**3))) @ p["down"]


def blocks(p: Any, x: Any, n: int) -> Any:
    for _ in range(n):
        x = block(p, x)
    return x


def layers(p: Any, x: Any, unroll: bool | int = 1) -> Any:
    return mnp.mean(lax.scan(lambda c, w: (block(w, c), None), x, p, unroll=unroll)[0] ** 2)


def steps(n: int, depth: int = 1) -> Callable[..., Any]:
    def fun(p: Any, x: Any) -> Any:
        _, last = lax.while_loop(lambda c: c[0] < n, lambda c: (c[0] + 1, blocks(p, c[1], depth)), (0, x))
        return mnp.mean(last**2)

    return fun


def compiled(fun: Callable[..., Any], *args: Any, **options: Any) -> Any:
    return minijvp.jit(minijvp.grad(fun, **options)).lower(*args).compile()


def temporary(fun: Callable[..., Any], *args: Any, **options: Any) -> int:
    return compiled(fun, *args, **options).memory_analysis().temp_size_in_bytes


def test_a_budget_leaves_the_carries_of_a_scan() -> None:
    off, auto, small = (compiled(layers, STACK, START, memory_budget=b) for b in ("off", "auto", 0.3))
    wanted, *found = (c(STACK, START) for c in (off, auto, small))
    for gradient in found:
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, 1e-12, 1e-12), gradient, wanted)
    sizes = [c.memory_analysis().temp_size_in_bytes for c in (off, auto, small)]
    assert sizes[1] < 0.4 * sizes[0]
    assert sizes[2] < 0.1 * sizes[0]
    stacks = minijvp.linearize(layers, STACK, START, memory_budget=0.025)[1]
    assert held(stacks) < 1.3 * START.nbytes * TURNS + held(STACK)


def held(x: Any) -> int:
    """The bytes of all arrays that are reached from here."""
    return sum([v.nbytes for v in jax.tree.leaves(x)])


def test_unrolled_steps_are_computed_again_too() -> None:
    """Though the compiler sees both passes as one sequence, in which it would merge what is equal."""
    some = jax.tree.map(lambda w: w[:4], STACK)
    for unroll, part in ((2, 0.6), (True, 0.75)):
        fun = partial(layers, unroll=unroll)
        off, auto = (temporary(fun, some, LONGER, memory_budget=b) for b in ("off", "auto"))
        assert auto < part * off


def test_a_budget_that_a_scan_cannot_keep_names_its_stacks() -> None:
    with pytest.raises(ArgumentError) as caught:
        compiled(layers, STACK, START, memory_budget=2**18)
    text = str(caught.value)
    assert f"f64[{TURNS},{ROWS},{WIDTH}], {TURNS * START.nbytes:,} bytes of" in text
    (minimum,) = [int(n.replace(",", "")) for n in re.findall(r"cannot do with less than ([\d,]+\d)", text)]
    assert TURNS * START.nbytes < minimum < 1.3 * TURNS * START.nbytes
    compiled(layers, STACK, START, memory_budget=minimum)
    # Also where the loop is the only thing that is staged.
    with minijvp.config(memory_budget=2**18), pytest.raises(ArgumentError, match=f"{TURNS * START.nbytes:,} bytes"):
        minijvp.grad(layers)(STACK, START)


def test_choices_and_steps_aim_at_a_part() -> None:
    """They do what they can: cosines of sums are kept."""

    def f(x: Any) -> Any:
        y = lax.cond(x[0] > 0, lambda x: mnp.sin(mnp.cumsum(x)), mnp.cos, x)
        return mnp.sum(lax.while_loop(lambda y: mnp.sum(y) > 1, lambda y: mnp.sin(mnp.cumsum(y)) / 9, y))

    plain = minijvp.grad(f)(START[0])
    with minijvp.config(memory_budget=0.01):
        np.testing.assert_allclose(minijvp.grad(f)(START[0]), plain, rtol=1e-12)


def test_a_loop_that_ends_by_itself_keeps_carries_and_plans_its_step() -> None:
    """Nothing is kept for each step; and of one step, what is worth it. The budget in force goes with the body."""
    short, long = (held(minijvp.linearize(steps(n), BLOCK, START)[1]) for n in (3, 300))
    assert short == long < held(BLOCK) + 2.1 * START.nbytes
    one = temporary(steps(3), BLOCK, LONGER, memory_budget="off")
    assert one == temporary(steps(300), BLOCK, LONGER, memory_budget="off")
    off, auto = (compiled(steps(3, 4), BLOCK, LONGER, memory_budget=b) for b in ("off", "auto"))
    with minijvp.config(memory_budget=Share(0.15)):
        low = compiled(steps(3, 4), BLOCK, LONGER)
    sizes = [c.memory_analysis().temp_size_in_bytes - one for c in (off, auto, low)]
    assert sizes[1] < 0.6 * sizes[0]
    assert sizes[2] < 0.3 * sizes[0]
    wanted, *found = (c(BLOCK, LONGER) for c in (off, auto, low))
    for gradient in found:
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, 1e-11, 1e-12), gradient, wanted)


def test_the_budget_in_force_goes_with_the_body() -> None:
    """Its reverse pass may be computed when the scope of the budget is left."""
    texts = []
    for budget in ("off", "auto", Share(0.3)):
        with minijvp.config(memory_budget=budget):
            texts.append(str(minijvp.make_jaxpr(minijvp.grad(steps(3)))(BLOCK, START)))
    assert "everything_saveable" in texts[0]
    assert "policy" not in texts[1]
    assert "Within(budget=0.3)" in texts[2]


def some(n: int) -> Callable[..., Any]:
    """Blocks of which each may be left out."""

    def fun(p: Any, x: Any) -> Any:
        for k in range(n):
            x = lax.cond(mnp.sum(x) > k, lambda x: block(p, x), lambda x: mnp.tanh(x), x)
        return mnp.mean(x**2)

    return fun


def all_or_none(p: Any, x: Any) -> Any:
    return mnp.mean(lax.cond(mnp.sum(x) > 0, lambda x: blocks(p, x, 4), mnp.tanh, x) ** 2)


def at_most(n: int) -> Callable[..., Any]:
    def fun(p: Any, x: Any) -> Any:
        return mnp.mean(
            lax.while_loop(lambda c: c[0] < 6, lambda c: (c[0] + 1, block(p, c[1])), (0, x), max_steps=n)[1]
        )

    return fun


@pytest.mark.parametrize(
    ("fun", "part", "less"), [(some(3), 0.5, 0.9), (all_or_none, 0.2, 1.01), (at_most(8), 0.45, 0.9)]
)
def test_choices_keep_less(fun: Callable[..., Any], part: float, less: float) -> None:
    off, auto, low = (compiled(fun, BLOCK, LONGER, memory_budget=b) for b in ("off", "auto", 0.2))
    sizes = [c.memory_analysis().temp_size_in_bytes for c in (off, auto, low)]
    assert sizes[1] < part * sizes[0]
    assert sizes[2] < less * sizes[1]
    wanted, *found = (c(BLOCK, LONGER) for c in (off, auto, low))
    for gradient in found:
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, 1e-11, 1e-12), gradient, wanted)


SQUARE = ArrayType((40, 40), np.dtype(float))


def branch(fun: Callable[..., Any]) -> Jaxpr:
    return stage(lambda x: [fun(x)], [SQUARE])


def powers(x: Any) -> Any:
    for _ in range(7):
        x = x @ x
    return x


def test_a_plan_of_a_branch_that_frees_no_slot_is_not_followed() -> None:
    """Factors are made again from the operand; but not where products, which are not, need as many slots."""
    factors = branch(lambda x: (1 - x) * (2 + x) * (3 - x) * (4 + x))
    alone, beside = (choices.linearize_branches((factors, b), (True,)) for b in (factors, branch(powers)))
    with minijvp.config(memory_budget="off"):
        plain = choices.linearize_branches((factors, branch(powers)), (True,))
    assert (alone.shared, len(alone.known[0].outputs)) == ((0,), 1)
    assert len(plain.known[0].outputs) == 1 + 6
    assert list(map(str, (*beside.known, *beside.linear))) == list(map(str, (*plain.known, *plain.linear)))


def test_turns_in_which_nothing_takes_long_are_left_as_they_are() -> None:
    """To compute sin and exp again would take longer than to read what they gave."""

    def loss(w: Any, xs: Any) -> Any:
        step = lambda h, x: (h + 0.1 * mnp.sin(h * w) * mnp.exp(-(x**2)), None)
        return mnp.mean(lax.scan(step, w, xs)[0] ** 2)

    def made(budget: str) -> str:
        with minijvp.config(memory_budget=budget):
            return str(
                minijvp.make_jaxpr(minijvp.grad(loss))(np.ones(256, np.float32), np.ones((10_000, 256), np.float32))
            )

    assert made("auto") == made("off")


def test_a_budget_of_a_part_of_a_program_holds_inside_of_jit() -> None:
    def fun(budget: Any) -> Callable[..., Any]:
        some = minijvp.checkpoint(lambda p, x: blocks(p, x, 4), memory_budget=budget)
        return lambda p, x: mnp.mean(mnp.sin(some(p, x)))

    assert temporary(fun(0.3), BLOCK, START) < 0.8 * temporary(fun("auto"), BLOCK, START)
    with pytest.raises(ArgumentError, match="too small"):
        compiled(fun(0.01), BLOCK, START)
