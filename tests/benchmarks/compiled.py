"""Calls of compiled functions: what a call costs, and how long the programs run."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

import minijvp
import minijvp.numpy as mnp
from tests.benchmarks.models import chain, mlp_data, mlp_loss
from tests.benchmarks.timing import Row, Settings, check_same, compare


def overhead(n: int, name: str, settings: Settings) -> list[Row]:
    """A program of next to no work, of n arguments that it all reads."""

    def add(*xs: Any) -> Any:
        return sum(xs, 1.0)

    args = tuple(jnp.full(4, float(i)) for i in range(n))
    ours, theirs = minijvp.jit(add), jax.jit(lambda *xs: add(*xs))
    check_same(ours(*args), theirs(*args))
    return compare(name, (ours, args), (theirs, args), 1.1, settings)


def run(ours: Any, theirs: Any, args: Any, name: str, settings: Settings) -> list[Row]:
    check_same(ours(*args), theirs(*args))
    return compare(name, (waiting(ours), args), (waiting(theirs), args), 1.03, settings)


def waiting(fun: Any) -> Any:
    """Each call waits for its result, so that calls do not overlap."""
    return lambda *args: jax.block_until_ready(fun(*args))


def run_chain(layers: int, width: int, batch: int, name: str, settings: Settings) -> list[Row]:
    args = mlp_data(layers, width, batch)
    return run(minijvp.jit(chain(mnp)), jax.jit(chain(jnp)), args, name, settings)


def run_steps(layers: int, width: int, batch: int, name: str, settings: Settings) -> list[Row]:
    def step(grad: Any, params: Any, x: Any) -> Any:
        return jax.tree.map(lambda p, g: p - 0.1 * g, params, grad(params, x))

    ours = minijvp.jit(partial(step, minijvp.grad(mlp_loss(mnp))))
    theirs = jax.jit(partial(step, jax.grad(mlp_loss(jnp))))
    return run(ours, theirs, mlp_data(layers, width, batch), name, settings)


BENCHMARKS = {
    "call: 1 argument": partial(overhead, 1),
    "call: 100 arguments": partial(overhead, 100),
    "run: matmul chain, about 1 ms": partial(run_chain, 8, 256, 64),
    "run: MLP gradient step, about 20 ms": partial(run_steps, 8, 512, 128),
    "run: MLP gradient step, about 200 ms": partial(run_steps, 16, 1024, 128),
}
