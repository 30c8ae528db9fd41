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
from tests.benchmarks.timing import Row, Settings, check_same, compare, interleave


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
    check_same(ours(*args), theirs(*args))
    return compare(name, (ours, args), (theirs, args), 1 / 2, settings)


def staging(name: str, settings: Settings) -> list[Row]:
    loss, args = problem(10, 64, 32)

    def ours(*args: Any) -> Any:
        new = lambda *xs: loss(*xs)
        return minijvp.jit(minijvp.grad(minijvp.from_jax(new))).lower(*args)

    def theirs(*args: Any) -> Any:
        new = lambda *xs: loss(*xs)
        return jax.jit(jax.grad(new)).lower(*args)

    return compare(name, (ours, args), (theirs, args), 1.0, settings)


def compiled(name: str, settings: Settings) -> list[Row]:
    loss, args = problem(4, 512, 256)
    ours, theirs = minijvp.jit(minijvp.grad(minijvp.from_jax(loss))), jax.jit(jax.grad(loss))
    check_same(ours(*args), theirs(*args))
    return compare(name, (ours, args), (theirs, args), 1.03, settings)


class Nothing(Trace):
    """Computes nothing, so that what is left of a call is the bridge."""

    __slots__ = ()

    def process(self, primitive: Any, args: tuple, params: dict[str, Any]) -> Any:
        return args[0]


def overhead(name: str, settings: Settings) -> list[Row]:
    """Per call, and per equation, in seconds; the goals are in the second column."""

    def chain(n: int, x: Any) -> Any:
        for _ in range(n):
            x = jnp.sin(x)
        return x

    x = jnp.ones(3)
    calls = [(bridged_under_nothing(partial(chain, n)), (x,)) for n in (1, 101)]
    short, long = (min(samples) for samples in interleave(calls, settings))
    each = (long - short) / 100
    found = {"a call": (short - each, 15e-6), "an equation": (each, 3e-6)}
    return [Row(f"{name}, {what}", ours, goal, ours / goal, 1.0) for what, (ours, goal) in found.items()]


def bridged_under_nothing(fun: Any) -> Any:
    bridged = minijvp.from_jax(fun)

    def call(x: Any) -> Any:
        with current(Nothing()):
            return bridged(x)

    return call


BENCHMARKS = {
    "bridge: eager grad, 4-layer flax MLP": eager,
    "bridge: staging jit(grad), 10-layer flax MLP": staging,
    "bridge: run jit(grad), 4-layer flax MLP": compiled,
    "bridge: overhead beside the goal": overhead,
}
