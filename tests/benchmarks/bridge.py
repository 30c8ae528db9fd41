"""Programs written for JAX: under minijvp by from_jax, and under JAX itself."""

from __future__ import annotations

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

import minijvp
from minijvp.core.tracing import Trace, current
from tests.benchmarks.benchmark import Benchmark
from tests.benchmarks.eager import cold
from tests.benchmarks.report import BRIDGE, Row, row
from tests.benchmarks.timing import Call, Settings, check_same, interleave, waiting


class MLP(nn.Module):
    """Layers of equal width, with normalization between them."""

    layers: int
    width: int

    @nn.compact
    def __call__(self, x: Any) -> Any:
        for _ in range(self.layers):
            x = nn.gelu(nn.LayerNorm()(nn.Dense(self.width)(x)))
        return nn.Dense(10)(x)


def problem(layers: int, width: int, batch: int) -> tuple[Any, tuple]:
    """The loss of a model of flax, and its arguments: parameters, inputs, labels."""
    model = MLP(layers, width)
    generator = np.random.default_rng(0)
    x = jnp.asarray(generator.standard_normal((batch, width)), jnp.float32)
    labels = jnp.asarray(generator.integers(0, 10, batch))

    def loss(params: Any, x: Any, labels: Any) -> Any:
        logits = jax.nn.log_softmax(model.apply(params, x))
        return -jnp.take_along_axis(logits, labels[:, None], axis=1).mean()

    return loss, (model.init(jax.random.key(0), x), x, labels)


def eager(name: str, settings: Settings) -> list[Row]:
    loss, args = problem(4, 64, 32)
    ours, theirs = minijvp.grad(minijvp.from_jax(loss)), jax.grad(loss)
    found = {"minijvp": cold(Call(ours, args)), "JAX": Call(theirs, args)}
    check_same(found["minijvp"](), found["JAX"]())
    return [row("eager grad, 4-layer flax MLP", BRIDGE, interleave(found, settings), 1 / 2)]


def staging(name: str, settings: Settings) -> list[Row]:
    loss, args = problem(10, 64, 32)

    def ours(*args: Any) -> Any:
        new = lambda *xs: loss(*xs)
        return minijvp.jit(minijvp.grad(minijvp.from_jax(new))).lower(*args)

    def theirs(*args: Any) -> Any:
        new = lambda *xs: loss(*xs)
        return jax.jit(jax.grad(new)).lower(*args)

    series = interleave({"minijvp": Call(ours, args), "JAX": Call(theirs, args)}, settings)
    return [row("trace + lower, 10-layer flax MLP", BRIDGE, series, 1.0)]


def compiled(name: str, settings: Settings) -> list[Row]:
    loss, args = problem(4, 512, 256)
    ours, theirs = minijvp.jit(minijvp.grad(minijvp.from_jax(loss))), jax.jit(jax.grad(loss))
    check_same(ours(*args), theirs(*args))
    series = interleave({"minijvp": Call(waiting(ours), args), "JAX": Call(waiting(theirs), args)}, settings)
    return [row("run, 4-layer flax MLP", BRIDGE, series, 1.03)]


class Nothing(Trace):
    """Computes nothing, so that what is left of a call is the bridge."""

    __slots__ = ()

    def process(self, primitive: Any, args: tuple, params: dict[str, Any]) -> Any:
        return args[0]


def overhead(name: str, settings: Settings) -> list[Row]:
    """Per call, and per equation: goals in seconds, since JAX has nothing beside it."""

    def chain(n: int, x: Any) -> Any:
        for _ in range(n):
            x = jnp.sin(x)
        return x

    x = jnp.ones(3)
    series = interleave({n: Call(bridged_under_nothing(partial(chain, n)), (x,)) for n in (1, 101)}, settings)
    short, long = (min(series[n]) for n in (1, 101))
    each = (long - short) / 100
    found = {"a call": (short - each, 15e-6), "an equation": (each, 3e-6)}
    return [
        row(f"overhead of {what}", BRIDGE, {"minijvp": [s]}, goal, of_value=True) for what, (s, goal) in found.items()
    ]


def bridged_under_nothing(fun: Any) -> Any:
    bridged = minijvp.from_jax(fun)

    def call(x: Any) -> Any:
        with current(Nothing()):
            return bridged(x)

    return call


BENCHMARKS = [
    Benchmark("bridge: eager grad", (BRIDGE,), eager, True),
    Benchmark("bridge: trace + lower jit(grad)", (BRIDGE,), staging, True),
    Benchmark("bridge: run jit(grad)", (BRIDGE,), compiled, True),
    Benchmark("bridge: overhead", (BRIDGE,), overhead),
]
