"""Loops beyond JAX: gradients of while loops whose number of steps is an argument, and memory saved by checkpoints."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

import minijvp
import minijvp.numpy as mnp
from tests.benchmarks.benchmark import Benchmark
from tests.benchmarks.compiled import temporary
from tests.benchmarks.contenders import JAX, MINIJVP, compiled, plain
from tests.benchmarks.models import gradient, lstm_data, lstm_loss
from tests.benchmarks.report import LOOPS, Row, row
from tests.benchmarks.timing import Call, Settings, check_same, interleave, waiting

STEPS = 4000


def repeated_sines(x: Any, n: Any) -> Any:
    """x = sin(x) x, `n` times, in a loop that does not know how often."""
    return minijvp.lax.while_loop(lambda c: c[0] < n, lambda c: (c[0] + 1, mnp.sin(c[1]) * c[1]), (0, x))[1].sum()


def run_gradient(size: int, name: str, settings: Settings) -> list[Row]:
    """Beside JAX's gradient of the scan of so many steps: while_loop has none there."""

    def scanned(x: Any) -> Any:
        return jax.lax.scan(lambda x, _: (jnp.sin(x) * x, None), x, length=STEPS)[0].sum()

    x = jnp.linspace(1.6, 2.0, size, dtype=jnp.float32)
    ours, theirs = minijvp.jit(minijvp.grad(repeated_sines)), jax.jit(jax.grad(scanned))
    check_same(plain(ours(x, STEPS)), plain(theirs(x)))
    series = interleave({"minijvp": Call(waiting(ours), (x, STEPS)), "JAX": Call(waiting(theirs), (x,))}, settings)
    return [row(f"grad of while beside JAX's of scan, size {size}", LOOPS, series, 1.0)]


def saving(name: str, settings: Settings) -> list[Row]:
    """Temporary memory where a loop keeps what it needs by checkpoint="auto"."""
    args = lstm_data()
    loss = partial(lstm_loss, checkpoint="auto")
    ours, theirs = compiled(gradient(loss))(MINIJVP), compiled(gradient(lstm_loss))(JAX)
    check_same(plain(ours(*args)), plain(theirs(*args)))
    bytes_of = {"minijvp": [temporary(ours, *args)], "JAX": [temporary(theirs, *args)]}
    return [row('memory, LSTM by scan, checkpoint="auto"', LOOPS, bytes_of, 1 / 5, "B")]


def growing(name: str, settings: Settings) -> list[Row]:
    """By which factor the temporary memory of a while loop's gradient grows with a hundred times the steps."""
    x = jnp.ones(1000, jnp.float32)
    # Static numbers of steps, so that each is a program of its own.
    few, many = (temporary(minijvp.jit(minijvp.grad(partial(repeated_sines, n=n))), x) for n in (100, 10_000))
    factor = {"minijvp": [many / few]}
    return [row("memory, grad of a while loop, 10,000 steps / 100", LOOPS, factor, 2.0, "x", of_value=True)]


BENCHMARKS = [
    *[Benchmark(f"loops: grad of while, size {n}", (LOOPS,), partial(run_gradient, n), n == 1) for n in (1, 1000)],
    Benchmark("loops: temporary memory, LSTM", (LOOPS,), saving, True),
    Benchmark("loops: growth of temporary memory", (LOOPS,), growing),
]
