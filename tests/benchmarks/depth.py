"""Deep programs that Python writes out layer by layer: each phase, in seconds of the processor, and the memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

import minijvp
from tests.benchmarks.benchmark import Benchmark
from tests.benchmarks.contenders import BOTH, plain, renewed
from tests.benchmarks.deep import deep_conv_data, deep_conv_loss, deep_transformer_data, deep_transformer_loss
from tests.benchmarks.models import Program, gradient, mlp_data, mlp_loss, normal, resnet_data
from tests.benchmarks.report import (
    DEPTH_COMPILE,
    DEPTH_FIRST,
    DEPTH_LOWER,
    DEPTH_MEMORY,
    DEPTH_RUN,
    OURS,
    Row,
    row,
)
from tests.benchmarks.timing import Call, Settings, check_same, in_rounds, waiting


def unrolled_lstm_data(steps: int) -> tuple[Any, Any]:
    """Weights, and a sequence of inputs."""
    rng = np.random.default_rng(0)
    weights = {"x": normal(rng, 32, 256, scale=0.2), "h": normal(rng, 64, 256, scale=0.1), "b": normal(rng, 256)}
    return weights, normal(rng, steps, 16, 32)


def unrolled_lstm_loss(library: Any) -> Callable[[Any, Any], Any]:
    """The mean square of the last state, by a Python loop over the steps."""
    xp = library.numpy

    def sigmoid(x: Any) -> Any:
        return 1 / (1 + xp.exp(-x))

    def loss(weights: Any, xs: Any) -> Any:
        h = c = xp.zeros((16, 64), np.float32)
        for t in range(len(xs)):
            i, f, g, o = xp.split(xs[t] @ weights["x"] + h @ weights["h"] + weights["b"], 4, -1)
            c = sigmoid(f) * c + sigmoid(i) * xp.tanh(g)
            h = sigmoid(o) * xp.tanh(c)
        return xp.mean(h**2)

    return loss


def pendulum_data() -> tuple[Any, Any]:
    """Three constants, and initial states."""
    rng = np.random.default_rng(0)
    return normal(rng, 3), normal(rng, 64, 2)


def pendulum_loss(library: Any, steps: int) -> Callable[[Any, Any], Any]:
    """Steps of the Runge-Kutta method of order 4, by a Python loop."""
    xp = library.numpy

    def rate(p: Any, y: Any) -> Any:
        a, b = y[..., 0], y[..., 1]
        return xp.stack([p[0] * b - xp.sin(a) * p[1], p[2] * xp.cos(a * b) - b * p[0] + xp.tanh(a)], -1)

    def loss(p: Any, y: Any) -> Any:
        for _ in range(steps):
            k1 = rate(p, y)
            k2 = rate(p, y + 0.05 * k1)
            k3 = rate(p, y + 0.05 * k2)
            k4 = rate(p, y + 0.1 * k3)
            y = y + (k1 + 2 * k2 + 2 * k3 + k4) / 60
        return xp.mean(y**2)

    return loss


def residual_blocks_loss(library: Any) -> Callable[[Any, Any], Any]:
    """The mean square of what blocks of two convolutions, one after another, make of images."""
    xp, conv = library.numpy, partial(library.lax.conv_general_dilated, window_strides=(1, 1), padding="SAME")
    layout = {"dimension_numbers": ("NHWC", "HWIO", "NHWC")}

    def loss(params: Any, x: Any) -> Any:
        for first, second in zip(*params):
            y = conv(xp.maximum(x, 0), first, **layout)
            x = x + conv(xp.maximum(y, 0), second, **layout)
        return xp.mean(x**2)

    return loss


class FlaxTransformer(nn.Module):
    """Blocks of flax: attention and a network of two layers, each behind a layer norm and beside an identity."""

    layers: int
    width: int

    @nn.compact
    def __call__(self, x: Any) -> Any:
        mask = nn.make_causal_mask(x[..., 0])
        for _ in range(self.layers):
            # Without bias: that of the keys has no derivative, but for rounding.
            attention = nn.MultiHeadDotProductAttention(num_heads=4, use_bias=False)
            x = x + attention(nn.LayerNorm()(x), mask=mask)
            x = x + nn.Dense(self.width)(nn.gelu(nn.Dense(4 * self.width)(nn.LayerNorm()(x))))
        return x


def flax_transformer_data(model: nn.Module, width: int, length: int) -> tuple[Any, Any]:
    """Parameters of the model, and an input."""
    x = normal(np.random.default_rng(0), 8, length, width)
    return model.init(jax.random.key(0), x), x


def flax_transformer_loss(library: Any, model: nn.Module) -> Callable[[Any, Any], Any]:
    """The mean square of what the model gives: for minijvp, by from_jax."""
    loss = lambda params, x: jnp.mean(model.apply(params, x) ** 2)  # type: ignore[operator]
    return loss if library is BOTH["JAX"] else minijvp.from_jax(loss)


def flax_transformer(layers: int, width: int, length: int) -> Program:
    """The gradient of such a model for 8 sequences of a length."""
    model = FlaxTransformer(layers, width)
    loss = partial(flax_transformer_loss, model=model)
    return Program(gradient(loss), partial(flax_transformer_data, model, width, length))


def transformer(*sizes: int) -> Program:
    """The gradient of so many layers of a width, for 8 sequences of a length."""
    return Program(gradient(deep_transformer_loss), partial(deep_transformer_data, *sizes))


DEEP: dict[str, Program] = {
    "transformer, 4 layers of 64": transformer(4, 64, 32),
    "transformer, 12 layers of 64": transformer(12, 64, 32),
    "transformer, 24 layers of 64": transformer(24, 64, 32),
    "transformer, 48 layers of 64": transformer(48, 64, 32),
    "transformer, 6 layers of 256": transformer(6, 256, 128),
    "transformer, 12 layers of 256": transformer(12, 256, 256),
    "transformer of flax, 12 layers of 64": flax_transformer(12, 64, 32),
    **{f"MLP, {n} layers": Program(gradient(mlp_loss), partial(mlp_data, n, 64, 32)) for n in (50, 200)},
    **{f"LSTM, {n} steps": Program(gradient(unrolled_lstm_loss), partial(unrolled_lstm_data, n)) for n in (12, 24, 50)},
    **{f"RK4, {n} steps": Program(gradient(partial(pendulum_loss, steps=n)), pendulum_data) for n in (4, 12, 30)},
    "ResNet, 8 blocks": Program(gradient(residual_blocks_loss), partial(resnet_data, 8, 32, 16, 8)),
    "conv net": Program(gradient(deep_conv_loss), partial(deep_conv_data, 32, 16)),
}
ALONE = ("RK4, 12 steps", "RK4, 30 steps")
"""What JAX does not compile in a minute."""
QUICK = ("transformer, 4 layers of 64",)


def seconds(fun: Callable[..., Any], *args: Any) -> tuple[float, Any]:
    start = time.process_time()
    out = fun(*args)
    return time.process_time() - start, out


def deep(model: str, name: str, settings: Settings) -> list[Row]:
    """The phases once each, since JAX takes a minute for some; the runs in turn."""
    program = DEEP[model]
    args = program.data()
    found: dict[str, dict[str, list[float]]] = {what: {} for what in ("lower", "compile", "first", "memory")}
    made: dict[str, Call] = {}
    for side, library in ({OURS: BOTH[OURS]} if model in ALONE else BOTH).items():
        lower, lowered = seconds(renewed(program.make, library).lower, *args)
        compiling, compiled = seconds(lowered.compile)
        running, _ = seconds(waiting(compiled), *args)
        space = float(compiled.memory_analysis().temp_size_in_bytes)
        for what, value in zip(found, (lower, compiling, lower + compiling + running, max(1.0, space)), strict=True):
            found[what][side] = [value]
        made[side] = Call(waiting(compiled), args)
    check_same(plain(made[OURS]()), plain(made[side]()))
    runs = in_rounds(lambda: {side: seconds(call)[0] for side, call in made.items()}, settings)
    return [
        row(model, DEPTH_LOWER, found["lower"]),
        row(model, DEPTH_COMPILE, found["compile"]),
        row(model, DEPTH_FIRST, found["first"]),
        row(model, DEPTH_RUN, runs),
        row(model, DEPTH_MEMORY, found["memory"], unit="B"),
    ]


GROUPS = (DEPTH_LOWER, DEPTH_COMPILE, DEPTH_FIRST, DEPTH_RUN, DEPTH_MEMORY)
BENCHMARKS = [Benchmark(f"depth: {m}", GROUPS, partial(deep, m), m not in QUICK) for m in DEEP]
