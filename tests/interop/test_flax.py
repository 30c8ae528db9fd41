"""flax: training with running statistics and dropout, keys of both kinds, and other layers."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen
from jax.tree_util import tree_map

import minijvp
from tests.interop.models import CNN, as_doubles, cnn_loss, digits, normal
from tests.side_by_side import same


def training(api: Any, bridge: Any) -> Any:
    """Losses, gradients and running statistics of three steps of gradient descent."""
    images, labels = digits(4)
    key = jax.random.key(0)
    variables = as_doubles(CNN().init({"params": key, "dropout": key}, images))
    params, stats = variables["params"], variables["batch_stats"]

    @api.jit
    def step(params: Any, stats: Any, key: Any) -> Any:
        find = api.value_and_grad(bridge(cnn_loss), has_aux=True)
        (loss, stats), gradients = find(params, stats, images, labels, key)
        return bridge(lambda p, g: tree_map(lambda p, g: p - 0.5 * g, p, g))(params, gradients), stats, loss

    losses = []
    for i in range(6):
        params, stats, loss = step(params, stats, jax.random.fold_in(key, i))
        losses.append(loss)
    return params, stats, losses


def test_training_with_batch_norm_and_dropout() -> None:
    found = training(minijvp, minijvp.from_jax)
    same(found, training(jax, lambda fun: fun), 1e-9)
    assert found[2][-1] < found[2][0]


@pytest.mark.parametrize("make_key", [jax.random.key, jax.random.PRNGKey], ids=lambda f: f.__name__)
def test_keys_are_batched(make_key: Any) -> None:
    """A gradient for each of several masks, by keys with and without a type of their own."""

    def noisy(w: Any, key: Any) -> Any:
        x = linen.Dropout(0.4, deterministic=False).apply({}, jnp.outer(w, w), rngs={"dropout": key})
        return (x * jax.random.normal(jax.random.fold_in(key, 1), x.shape)).sum()

    w, keys = normal(0, 3), jax.random.split(make_key(0), 3)
    found = minijvp.vmap(minijvp.grad(minijvp.from_jax(noisy)), (None, 0))(w, keys)
    same(found, jax.vmap(jax.grad(noisy), (None, 0))(w, keys), 1e-10)
    assert len(np.unique(np.asarray(found)[:, 0])) == 3
    same(minijvp.jit(minijvp.grad(minijvp.from_jax(noisy)))(w, keys[0]), found[0], 1e-10)


class Layers(linen.Module):
    """Layers that are in no other test."""

    @linen.compact
    def __call__(self, x: Any, tokens: Any) -> Any:
        x = x + linen.Embed(5, 4)(tokens)
        x = linen.RNN(linen.OptimizedLSTMCell(4, param_dtype=jnp.float64))(x)
        x = linen.GroupNorm(num_groups=2)(x) + linen.RMSNorm()(x)
        x = linen.ConvTranspose(2, (3,), strides=(2,))(x)
        x = linen.avg_pool(x, (2,), (2,))
        x = linen.WeightNorm(linen.Dense(3))(x)
        return linen.PReLU()(x) + linen.softplus(linen.DenseGeneral((3,), axis=-1)(x))


def test_recurrent_and_normalizing_layers() -> None:
    x, tokens = normal(0, 2, 3, 4), jnp.array([[0, 4, 1], [2, 2, 3]])
    params = as_doubles(Layers().init(jax.random.key(0), x, tokens))

    def loss(params: Any, x: Any) -> Any:
        out: Any = Layers().apply(params, x, tokens)
        return (out**2).mean()

    found = minijvp.jit(minijvp.grad(minijvp.from_jax(loss), (0, 1)))(params, x)
    same(found, jax.jit(jax.grad(loss, (0, 1)))(params, x), 1e-10)
