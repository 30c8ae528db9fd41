"""The programs that are timed, each written once for a namespace `xp`: minijvp.numpy or jax.numpy."""

from __future__ import annotations

import math
from collections.abc import Callable
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


def mlp_loss(xp: Any) -> Callable[[Any, Any], Any]:
    def loss(params: Any, x: Any) -> Any:
        for W, b in params:
            x = xp.tanh(x @ W + b)
        return xp.mean(x**2)

    return loss


WIDTH, HEADS, LENGTH, BATCH, VOCABULARY, BLOCKS = 64, 4, 32, 2, 128, 6


def transformer_data() -> tuple[Any, Any]:
    """Parameters and a pair of tokens and targets."""
    rng = np.random.default_rng(0)
    scale = 1 / math.sqrt(WIDTH)

    def norm() -> Any:
        return 1 + normal(rng, WIDTH, scale=0.1), normal(rng, WIDTH, scale=0.1)

    def block() -> Any:
        return {
            "norm1": norm(),
            "qkv": [normal(rng, WIDTH, WIDTH, scale=scale) for _ in range(3)],
            "out": normal(rng, WIDTH, WIDTH, scale=scale),
            "norm2": norm(),
            "up": (normal(rng, WIDTH, 4 * WIDTH, scale=scale), normal(rng, 4 * WIDTH, scale=0.1)),
            "down": (normal(rng, 4 * WIDTH, WIDTH, scale=scale / 2), normal(rng, WIDTH, scale=0.1)),
        }

    params = {
        "embedding": normal(rng, VOCABULARY, WIDTH),
        "position": normal(rng, LENGTH, WIDTH, scale=0.1),
        "blocks": [block() for _ in range(BLOCKS)],
        "norm": norm(),
        "logits": normal(rng, WIDTH, VOCABULARY, scale=scale),
    }
    tokens = rng.integers(0, VOCABULARY, (BATCH, LENGTH + 1))
    return params, (jnp.asarray(tokens[:, :-1], np.int32), jnp.asarray(tokens[:, 1:], np.int32))


def transformer_loss(xp: Any) -> Callable[[Any, Any], Any]:
    def layer_norm(params: Any, x: Any) -> Any:
        gain, bias = params
        centered = x - xp.mean(x, axis=-1, keepdims=True)
        variance = xp.mean(centered**2, axis=-1, keepdims=True)
        return gain * centered / xp.sqrt(variance + 1e-5) + bias

    def softmax(x: Any) -> Any:
        exps = xp.exp(x - xp.max(x, axis=-1, keepdims=True))
        return exps / xp.sum(exps, axis=-1, keepdims=True)

    def log_softmax(x: Any) -> Any:
        x = x - xp.max(x, axis=-1, keepdims=True)
        return x - xp.log(xp.sum(xp.exp(x), axis=-1, keepdims=True))

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

    def loss(params: Any, data: Any) -> Any:
        tokens, targets = data
        mask = xp.tril(xp.ones((LENGTH, LENGTH), bool))
        x = params["embedding"][tokens] + params["position"]
        for block in params["blocks"]:
            x = x + attention(block, layer_norm(block["norm1"], x), mask)
            x = x + feed_forward(block, layer_norm(block["norm2"], x))
        scores = log_softmax(layer_norm(params["norm"], x) @ params["logits"])
        return -xp.mean(xp.take_along_axis(scores, targets[..., None], axis=-1))

    return loss


def chain(xp: Any) -> Callable[[Any, Any], Any]:
    def chain(params: Any, x: Any) -> Any:
        for W, _ in params:
            x = xp.tanh(x @ W)
        return x

    return chain
