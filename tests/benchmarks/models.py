"""The programs that are timed, each written once for a library: transformations, and functions in its `numpy`."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import jax.numpy as jnp
import numpy as np


def normal(rng: np.random.Generator, *shape: int, scale: float = 1.0) -> Any:
    return jnp.asarray(scale * rng.standard_normal(shape), np.float32)


def mlp_data(layers: int, width: int, batch: int) -> tuple[Any, Any]:
    """Parameters, a list of (W, b), and an input."""
    rng = np.random.default_rng(0)
    scale = 1 / math.sqrt(width)
    params = [(normal(rng, width, width, scale=scale), normal(rng, width, scale=0.1)) for _ in range(layers)]
    return params, normal(rng, batch, width)


def mlp_loss(library: Any) -> Callable[[Any, Any], Any]:
    xp = library.numpy

    def loss(params: Any, x: Any) -> Any:
        for W, b in params:
            x = xp.tanh(x @ W + b)
        return xp.mean(x**2)

    return loss


WIDTH, HEADS, LENGTH, BATCH, VOCABULARY, BLOCKS = 64, 4, 32, 2, 128, 6


def transformer_block_data(rng: np.random.Generator, width: int) -> dict[str, Any]:
    """Parameters of a block."""
    scale = 1 / math.sqrt(width)
    return {
        "norm1": norm_data(rng, width),
        "qkv": [normal(rng, width, width, scale=scale) for _ in range(3)],
        "out": normal(rng, width, width, scale=scale),
        "norm2": norm_data(rng, width),
        "up": (normal(rng, width, 4 * width, scale=scale), normal(rng, 4 * width, scale=0.1)),
        "down": (normal(rng, 4 * width, width, scale=scale / 2), normal(rng, width, scale=0.1)),
    }


def norm_data(rng: np.random.Generator, width: int) -> tuple[Any, Any]:
    """Gain and bias of a layer norm."""
    return 1 + normal(rng, width, scale=0.1), normal(rng, width, scale=0.1)


def transformer_data(blocks: int = BLOCKS) -> tuple[Any, Any]:
    """Parameters and a pair of tokens and targets."""
    rng = np.random.default_rng(0)
    params = {
        "embedding": normal(rng, VOCABULARY, WIDTH),
        "position": normal(rng, LENGTH, WIDTH, scale=0.1),
        "blocks": [transformer_block_data(rng, WIDTH) for _ in range(blocks)],
        "norm": norm_data(rng, WIDTH),
        "logits": normal(rng, WIDTH, VOCABULARY, scale=1 / math.sqrt(WIDTH)),
    }
    tokens = rng.integers(0, VOCABULARY, (BATCH, LENGTH + 1))
    return params, (jnp.asarray(tokens[:, :-1], np.int32), jnp.asarray(tokens[:, 1:], np.int32))


def layer_norm_of(library: Any) -> Callable[[Any, Any], Any]:
    xp = library.numpy

    def layer_norm(params: Any, x: Any) -> Any:
        gain, bias = params
        centered = x - xp.mean(x, axis=-1, keepdims=True)
        variance = xp.mean(centered**2, axis=-1, keepdims=True)
        return gain * centered / xp.sqrt(variance + 1e-5) + bias

    return layer_norm


def transformer_block(library: Any) -> Callable[[Any, Any, Any], Any]:
    """Attention and a network of two layers, each behind a layer norm and beside an identity: (params, x, mask)."""
    xp, layer_norm = library.numpy, layer_norm_of(library)

    def softmax(x: Any) -> Any:
        exps = xp.exp(x - xp.max(x, axis=-1, keepdims=True))
        return exps / xp.sum(exps, axis=-1, keepdims=True)

    def gelu(x: Any) -> Any:
        return 0.5 * x * (1 + xp.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))

    def heads(x: Any) -> Any:
        batch, length, width = x.shape
        return xp.transpose(xp.reshape(x, (batch, length, HEADS, width // HEADS)), (0, 2, 1, 3))

    def attention(params: Any, x: Any, mask: Any) -> Any:
        q, k, v = (heads(x @ W) for W in params["qkv"])
        scores = q @ xp.swapaxes(k, -1, -2) / math.sqrt(q.shape[-1])
        mixed = softmax(xp.where(mask, scores, -1e9)) @ v
        return xp.reshape(xp.transpose(mixed, (0, 2, 1, 3)), x.shape) @ params["out"]

    def feed_forward(params: Any, x: Any) -> Any:
        (up, up_bias), (down, down_bias) = params["up"], params["down"]
        return gelu(x @ up + up_bias) @ down + down_bias

    def block(params: Any, x: Any, mask: Any) -> Any:
        x = x + attention(params, layer_norm(params["norm1"], x), mask)
        return x + feed_forward(params, layer_norm(params["norm2"], x))

    return block


def transformer_loss(library: Any) -> Callable[[Any, Any], Any]:
    """The cross entropy of a small language model."""
    xp, layer_norm, block = library.numpy, layer_norm_of(library), transformer_block(library)

    def log_softmax(x: Any) -> Any:
        x = x - xp.max(x, axis=-1, keepdims=True)
        return x - xp.log(xp.sum(xp.exp(x), axis=-1, keepdims=True))

    def loss(params: Any, data: Any) -> Any:
        tokens, targets = data
        mask = xp.tril(xp.ones((LENGTH, LENGTH), bool))
        x = params["embedding"][tokens] + params["position"]
        for p in params["blocks"]:
            x = block(p, x, mask)
        scores = log_softmax(layer_norm(params["norm"], x) @ params["logits"])
        return -xp.mean(xp.take_along_axis(scores, targets[..., None], axis=-1))

    return loss


def chain(library: Any) -> Callable[[Any, Any], Any]:
    xp = library.numpy

    def chain(params: Any, x: Any) -> Any:
        for W, _ in params:
            x = xp.tanh(x @ W)
        return x

    return chain


def conv_data(images: int = 16, size: int = 32, channels: int = 16, layers: int = 3) -> tuple[Any, Any]:
    """Filters of each layer and a matrix for the classes; images and their labels."""
    rng = np.random.default_rng(0)
    depths = [3, *[channels] * layers]
    filters = [
        (normal(rng, 3, 3, i, o, scale=1 / math.sqrt(9 * i)), normal(rng, o, scale=0.1)) for i, o in pairwise(depths)
    ]
    params = filters, normal(rng, channels, 10, scale=1 / math.sqrt(channels))
    return params, (normal(rng, images, size, size, 3), jnp.asarray(rng.integers(0, 10, images), np.int32))


def conv_loss(library: Any) -> Callable[[Any, Any], Any]:
    """Cross entropy of a network of convolutions, each followed by max(0, x), and the mean over each image."""
    xp, conv = library.numpy, library.lax.conv_general_dilated

    def loss(params: Any, data: Any) -> Any:
        (filters, out), (x, labels) = params, data
        for i, (W, b) in enumerate(filters):
            stride = (2, 2) if i else (1, 1)
            x = conv(x, W, stride, "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")) + b
            x = xp.maximum(x, 0)
        scores = xp.mean(x, axis=(1, 2)) @ out
        scores = scores - xp.max(scores, axis=-1, keepdims=True)
        scores = scores - xp.log(xp.sum(xp.exp(scores), axis=-1, keepdims=True))
        return -xp.mean(xp.take_along_axis(scores, labels[:, None], axis=-1))

    return loss


def resnet_data(images: int = 8, size: int = 16, channels: int = 16, layers: int = 4) -> tuple[Any, Any]:
    """Two filters of each layer, stacked; images."""
    rng = np.random.default_rng(0)
    filters = [normal(rng, layers, 3, 3, channels, channels, scale=1 / math.sqrt(9 * channels)) for _ in range(2)]
    return filters, normal(rng, images, size, size, channels)


def resnet_loss(library: Any) -> Callable[[Any, Any], Any]:
    """The mean square of a residual network (He et al., 2016), by scan over its layers of two convolutions each."""
    xp, conv = library.numpy, library.lax.conv_general_dilated
    layout = {"dimension_numbers": ("NHWC", "HWIO", "NHWC")}

    def loss(params: Any, x: Any) -> Any:
        def layer(x: Any, filters: Any) -> Any:
            first, second = filters
            y = xp.maximum(conv(x, first, (1, 1), "SAME", **layout), 0)
            return x + conv(y, second, (1, 1), "SAME", **layout), None

        return xp.mean(library.lax.scan(layer, x, params)[0] ** 2)

    return loss


def lstm_data(steps: int = 500, sequences: int = 16, inputs: int = 32, hidden: int = 64) -> tuple[Any, Any]:
    """Parameters, and inputs of all steps."""
    rng = np.random.default_rng(0)
    scale = 1 / math.sqrt(inputs + hidden)
    weights = {"w": normal(rng, inputs + hidden, 4 * hidden, scale=scale), "b": normal(rng, 4 * hidden, scale=0.1)}
    return weights, normal(rng, steps, sequences, inputs)


def lstm_loss(library: Any, **options: Any) -> Callable[[Any, Any], Any]:
    """The mean square of an LSTM's outputs (Hochreiter and Schmidhuber, 1997), by scan with these options."""
    xp = library.numpy

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

        start = xp.zeros((xs.shape[1], params["b"].size // 4), xs.dtype)
        _, hs = library.lax.scan(step, (start, start), xs, **options)
        return xp.mean(hs**2)

    return loss


def penalized_loss(library: Any) -> Callable[[Any, Any], Any]:
    """The square of the norm of the gradient of the MLP's loss for its input: its gradient is one of a gradient."""
    xp, loss = library.numpy, mlp_loss(library)

    def penalty(params: Any, x: Any) -> Any:
        return xp.sum(library.grad(lambda x: loss(params, x))(x) ** 2)

    return penalty


ITERATIONS = 4000


def iterate_data() -> tuple[Any, ...]:
    rng = np.random.default_rng(0)
    return normal(rng, 64, 64, scale=1 / 8), normal(rng, 64, 16), np.int32(ITERATIONS)


def iterate(library: Any) -> Callable[..., Any]:
    """As many steps of a small network as its last argument says."""
    xp = library.numpy

    def fun(w: Any, x: Any, n: Any) -> Any:
        step = lambda c: (c[0] + 1, xp.tanh(w @ c[1]))
        return library.lax.while_loop(lambda c: c[0] < n, step, (np.int32(0), x))[1]

    return fun


def parameters(*values: float) -> tuple[Any]:
    return (np.array(values, np.float32),)


def particle(inner: str) -> Callable[[Any], Callable[[Any], Any]]:
    """The derivative of where a charged particle lands, whose force is a derivative inside of a while loop.

    `inner` is the transformation for the force. Source: B. A. Pearlmutter and J. M. Siskind, Reverse-mode AD in a
    functional framework, TOPLAS 30(2), 2008, example "particle".
    """

    def make(library: Any) -> Callable[[Any], Any]:
        xp = library.numpy

        def landing(w: Any) -> Any:
            charges = xp.stack([xp.stack([0 * w[0] + 10, 10 - w[0]]), xp.array([10.0, 0.0], w.dtype)])
            potential = lambda x: xp.sum(1 / xp.sqrt(xp.sum((x - charges) ** 2, axis=1)))
            force = getattr(library, inner)(potential)
            start = xp.array([0.0, 8.0], w.dtype), xp.array([0.75, 0.0], w.dtype)
            falling = lambda c: (c[0] + 0.1 * c[1])[1] > 0
            x, v = library.lax.while_loop(falling, lambda c: (c[0] + 0.1 * c[1], c[1] - 0.1 * force(c[0])), start)
            return (x - x[1] / v[1] * v)[0] ** 2

        return library.jacfwd(landing)

    return make


def chain_of_rates(library: Any) -> Callable[[Any], Any]:
    """The gradient of the last of many concentrations, each of which is made from the one before, after 10 steps."""
    xp = library.numpy

    def last(rates: Any) -> Any:
        slope = lambda y: rates * xp.concatenate([xp.ones(1, y.dtype), y[:-1]])

        def step(_: Any, y: Any) -> Any:
            k1 = slope(y)
            k2 = slope(y + 0.05 * k1)
            k3 = slope(y + 0.05 * k2)
            return y + (0.1 / 6) * (k1 + 2 * k2 + 2 * k3 + slope(y + 0.1 * k3))

        return xp.sum(library.lax.fori_loop(0, 10, step, xp.zeros_like(rates)))

    return library.grad(last)


def oscillation_loss(library: Any) -> Callable[[Any], Any]:
    """The mean square of 300 steps of an oscillator, in 6 parameters."""
    xp = library.numpy

    def loss(p: Any) -> Any:
        def step(carry: Any, t: Any) -> Any:
            x, v = carry
            v = v + 0.01 * (p[2] * xp.cos(p[3] * t) - p[0] * x / xp.sqrt(1 + x**2) - p[1] * v)
            return (x + 0.01 * v, v), x

        _, xs = library.lax.scan(step, (p[4], p[5]), xp.linspace(0, 3, 300, dtype=p.dtype))
        return xp.mean(xs**2)

    return loss


@dataclass(frozen=True)
class Program:
    """A program to compile, written for a library, and what makes its arguments."""

    make: Callable[[Any], Callable[..., Any]]
    data: Callable[[], tuple]


def gradient(loss: Callable[[Any], Any]) -> Callable[[Any], Callable[..., Any]]:
    return lambda library: library.value_and_grad(loss(library))


PROGRAMS: dict[str, Program] = {
    "50-layer MLP": Program(gradient(mlp_loss), partial(mlp_data, 50, 64, 32)),
    "6-block transformer": Program(gradient(transformer_loss), transformer_data),
    "conv net": Program(gradient(conv_loss), conv_data),
    "LSTM by scan": Program(gradient(lstm_loss), lstm_data),
    "hessian of an MLP": Program(lambda library: library.hessian(mlp_loss(library)), partial(mlp_data, 3, 16, 64)),
    "grad of grad of an MLP": Program(gradient(penalized_loss), partial(mlp_data, 8, 128, 64)),
}
"""Derivatives that are traced, lowered, compiled and run."""
DERIVATIVES_OF_LOOPS: dict[str, Program] = {
    "particle, forward over forward": Program(particle("jacfwd"), partial(parameters, 0.1)),
    "particle, forward over reverse": Program(particle("grad"), partial(parameters, 0.1)),
    "gradient of an ODE of 1000 rates": Program(chain_of_rates, partial(parameters, *np.linspace(0.5, 1.5, 1000))),
    "hessian of a scan of 300 steps": Program(
        lambda library: library.hessian(oscillation_loss(library)), partial(parameters, 1.0, 0.1, 0.3, 0.2, 1.5, 0.9)
    ),
}
"""Derivatives of derivatives in loops of next to no work a step, and of a loop in many parameters."""
