"""Programs whose gradients keep much for their backward pass, in the way of models.py."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from examples.quaternion import layer_of
from tests.benchmarks.models import layer_norm_of, normal, transformer_block, transformer_block_data


def quaternion_data(batch: int, hidden: int = 1024, layers: int = 8) -> tuple[Any, Any]:
    """The blocks r, i, j, k of each layer, and an input."""
    rng = np.random.default_rng(0)
    part, scale = hidden // 4, 1 / math.sqrt(hidden)
    params = [tuple(normal(rng, part, part, scale=scale) for _ in range(4)) for _ in range(layers)]
    return params, normal(rng, batch, hidden)


def quaternion_loss(library: Any, way: str = "plain") -> Callable[[Any, Any], Any]:
    """The network of examples/quaternion.py, layer after layer, each differentiated in one of the ways there."""
    xp, layer = library.numpy, layer_of(way, library, library.numpy)

    def loss(params: Any, x: Any) -> Any:
        for blocks in params:
            x = xp.tanh(layer(blocks, x))
        return xp.mean(x**2)

    return loss


def deep_transformer_data(blocks: int = 12, width: int = 256, length: int = 256, batch: int = 8) -> tuple[Any, Any]:
    """Parameters of each block, and an input."""
    rng = np.random.default_rng(0)
    return [transformer_block_data(rng, width) for _ in range(blocks)], normal(rng, batch, length, width)


def stacked_transformer_data(*sizes: int) -> tuple[Any, Any]:
    """The same, with the parameters of all blocks in arrays that a scan runs over."""
    params, x = deep_transformer_data(*sizes)
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *params), x


def deep_transformer_loss(library: Any) -> Callable[[Any, Any], Any]:
    """The mean square of what the blocks make of x, one after another."""
    xp, block = library.numpy, transformer_block(library)

    def loss(params: Any, x: Any) -> Any:
        mask = xp.tril(xp.ones((x.shape[1], x.shape[1]), bool))
        for p in params:
            x = block(p, x, mask)
        return xp.mean(x**2)

    return loss


def scanned_transformer_loss(library: Any) -> Callable[[Any, Any], Any]:
    """The same by a scan over the blocks."""
    xp, block = library.numpy, transformer_block(library)

    def loss(params: Any, x: Any) -> Any:
        mask = xp.tril(xp.ones((x.shape[1], x.shape[1]), bool))
        x, _ = library.lax.scan(lambda x, p: (block(p, x, mask), None), x, params)
        return xp.mean(x**2)

    return loss


def numbers(n: int = 4_000_000) -> tuple[Any]:
    return (normal(np.random.default_rng(0), n),)


def mixed_chain_loss(library: Any, rounds: int = 8) -> Callable[[Any], Any]:
    """Eight operations a round, cheap ones and expensive ones: steps along a field that dies away."""
    xp = library.numpy

    def loss(x: Any) -> Any:
        for _ in range(rounds):
            x = x + 0.5 * xp.tanh(xp.sin(x) * xp.exp(-(x**2)))
        return xp.mean(x)

    return loss


def dear_chain_loss(library: Any, rounds: int = 32) -> Callable[[Any], Any]:
    """Two operations a round, both expensive: nothing is there to hide computing them again behind."""
    xp = library.numpy

    def loss(x: Any) -> Any:
        for _ in range(rounds):
            x = xp.tanh(xp.sin(x))
        return xp.mean(x)

    return loss


def deep_conv_data(images: int = 32, size: int = 32, channels: int = 16, layers: int = 6) -> tuple[Any, Any]:
    """Filters, bias, gain and shift of each layer; images."""
    rng = np.random.default_rng(0)
    params = []
    for i in range(layers):
        inputs = channels if i else 3
        filters = normal(rng, 3, 3, inputs, channels, scale=1 / math.sqrt(9 * inputs))
        bias, gain, shift = (normal(rng, channels, scale=0.1) for _ in range(3))
        params.append((filters, bias, (1 + gain, shift)))
    return params, normal(rng, images, size, size, 3)


def deep_conv_loss(library: Any) -> Callable[[Any, Any], Any]:
    """Convolutions, each followed by a norm over the channels and x / (1 + exp(-x)); the mean square over each image.

    The second half works on images of half the size.
    """
    xp, conv, layer_norm = library.numpy, library.lax.conv_general_dilated, layer_norm_of(library)

    def loss(params: Any, x: Any) -> Any:
        for i, (filters, bias, norm) in enumerate(params):
            stride = (2, 2) if i == len(params) // 2 else (1, 1)
            x = conv(x, filters, stride, "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")) + bias
            x = layer_norm(norm, x)
            x = x / (1 + xp.exp(-x))
        return xp.mean(xp.mean(x, axis=(1, 2)) ** 2)

    return loss
