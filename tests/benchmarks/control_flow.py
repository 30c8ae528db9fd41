"""Loops: an LSTM by scan, and while loops whose number of steps is an argument; time and temporary memory."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import minijvp
import minijvp.numpy as mnp
from tests.benchmarks.models import normal
from tests.benchmarks.timing import Row, Settings, check_same, compare

LENGTH, BATCH, INPUTS, HIDDEN = 500, 16, 32, 64
STEPS = 4000
OURS, THEIRS = (minijvp, mnp), (jax, jnp)


def lstm_data() -> tuple[Any, Any]:
    """Parameters, and inputs of all steps."""
    rng = np.random.default_rng(0)
    scale = 1 / math.sqrt(INPUTS + HIDDEN)
    weights = {"w": normal(rng, INPUTS + HIDDEN, 4 * HIDDEN, scale=scale), "b": normal(rng, 4 * HIDDEN, scale=0.1)}
    return weights, normal(rng, LENGTH, BATCH, INPUTS)


def lstm_gradient(api: Any, xp: Any, **options: Any) -> Callable[[Any, Any], Any]:
    """A new compiled gradient of the mean square of an LSTM's outputs (Hochreiter and Schmidhuber, 1997)."""

    def sigmoid(x: Any) -> Any:
        return 1 / (1 + xp.exp(-x))

    def loss(params: Any, xs: Any) -> Any:
        def step(carry: Any, x: Any) -> Any:
            h, c = carry
            gates = xp.concatenate([x, h], axis=1) @ params["w"] + params["b"]
            i, f, g, o = xp.split(gates, 4, axis=1)
            c = sigmoid(f) * c + sigmoid(i) * xp.tanh(g)
            h = sigmoid(o) * xp.tanh(c)
            return (h, c), h

        start = xp.zeros((BATCH, HIDDEN))
        _, hs = api.lax.scan(step, (start, start), xs, **options)
        return xp.mean(hs**2)

    return api.jit(api.grad(loss))


def run_lstm(name: str, settings: Settings) -> list[Row]:
    args = lstm_data()
    ours, theirs = lstm_gradient(*OURS), lstm_gradient(*THEIRS)
    check_same(ours(*args), theirs(*args))
    return compare(name, (waiting(ours), args), (waiting(theirs), args), 1.03, settings)


def stage_lstm(name: str, settings: Settings) -> list[Row]:
    def lowering(side: Any) -> Any:
        return lambda *args: lstm_gradient(*side).lower(*args)

    args = lstm_data()
    return compare(name, (lowering(OURS), args), (lowering(THEIRS), args), 0.7, settings)


def iterate(api: Any, xp: Any) -> Callable[..., Any]:
    """As many steps of a small network as its last argument says."""

    def fun(w: Any, x: Any, n: Any) -> Any:
        step = lambda c: (c[0] + 1, xp.tanh(w @ c[1]))
        return api.lax.while_loop(lambda c: c[0] < n, step, (xp.int32(0), x))[1]

    return fun


def run_while(name: str, settings: Settings) -> list[Row]:
    rng = np.random.default_rng(0)
    args = normal(rng, 64, 64, scale=1 / 8), normal(rng, 64, 16), np.int32(STEPS)
    ours, theirs = minijvp.jit(iterate(*OURS)), jax.jit(iterate(*THEIRS))
    check_same(ours(*args), theirs(*args))
    return compare(name, (waiting(ours), args), (waiting(theirs), args), 1.03, settings)


def repeated_sines(x: Any, n: Any) -> Any:
    """x = sin(x) x, `n` times, in a loop that does not know how often."""
    return minijvp.lax.while_loop(lambda c: c[0] < n, lambda c: (c[0] + 1, mnp.sin(c[1]) * c[1]), (0, x))[1].sum()


def run_while_gradient(size: int, name: str, settings: Settings) -> list[Row]:
    """Beside JAX's gradient of the scan of so many steps: while_loop has none there."""

    def scanned(x: Any) -> Any:
        return jax.lax.scan(lambda x, _: (jnp.sin(x) * x, None), x, length=STEPS)[0].sum()

    x = jnp.linspace(1.6, 2.0, size)
    ours, theirs = minijvp.jit(minijvp.grad(repeated_sines)), jax.jit(jax.grad(scanned))
    check_same(ours(x, STEPS), theirs(x))
    return compare(name, (waiting(ours), (x, STEPS)), (waiting(theirs), (x,)), 1.0, settings)


def waiting(fun: Any) -> Any:
    """Each call waits for its result, so that calls do not overlap."""
    return lambda *args: jax.block_until_ready(fun(*args))


def temporary(fun: Any, *args: Any) -> float:
    """The bytes that a compiled program allocates besides its arguments and results."""
    return float(fun.lower(*args).compile().memory_analysis().temp_size_in_bytes)


def memory(name: str, settings: Settings) -> list[Row]:
    args = lstm_data()
    ours, saving, theirs = lstm_gradient(*OURS), lstm_gradient(*OURS, checkpoint="auto"), lstm_gradient(*THEIRS)
    check_same(saving(*args), theirs(*args))
    kept, saved, wanted = (temporary(f, *args) for f in (ours, saving, theirs))
    rows = [("LSTM by scan", kept, wanted, 1.03), ('LSTM by scan, checkpoint="auto"', saved, wanted, 1 / 5)]
    x = jnp.ones(1000)
    # Static numbers of steps, so that each is a program of its own.
    few, many = (temporary(minijvp.jit(minijvp.grad(partial(repeated_sines, n=n))), x) for n in (100, 10_000))
    rows.append(("while gradient, 10,000 steps beside 100 of ours", many, few, 2.0))
    return [Row(f"{name}, {what}", a, b, a / b, goal, unit="B") for what, a, b, goal in rows]


BENCHMARKS = {
    "loops: run jit(grad), LSTM of 500 steps by scan": run_lstm,
    "loops: staging jit(grad), LSTM by scan": stage_lstm,
    "loops: run jit(while), 4000 steps": run_while,
    "loops: grad of while, 4000 steps of a number, beside scan": partial(run_while_gradient, 1),
    "loops: grad of while, 4000 steps of 1000 numbers, beside scan": partial(run_while_gradient, 1000),
    "loops: temporary memory": memory,
}
