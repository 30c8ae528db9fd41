"""optax: steps of training whose gradients come from minijvp, losses, schedules."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax
import pytest

import minijvp
import minijvp.numpy as mnp
from tests.interop.models import normal
from tests.side_by_side import SIDES, same

OPTIMIZERS = {
    "adamw": optax.adamw(optax.warmup_cosine_decay_schedule(0.0, 0.1, 2, 8), weight_decay=1e-3),
    "chain": optax.chain(optax.clip_by_global_norm(0.5), optax.lion(optax.exponential_decay(0.05, 2, 0.9))),
}


def training(api: Any, xp: Any, bridge: Any, optimizer: optax.GradientTransformation) -> Any:
    """The state after some steps of a small regression, and its losses."""
    x, y = normal(0, 5, 3), normal(1, 5)
    params = {"w": normal(2, 3, 4), "v": normal(3, 4), "b": jnp.zeros(4)}

    def loss(params: Any) -> Any:
        return ((xp.tanh(x @ params["w"] + params["b"]) @ params["v"] - y) ** 2).mean()

    @api.jit
    def step(params: Any, state: Any) -> Any:
        value, gradients = api.value_and_grad(loss)(params)
        updates, state = bridge(optimizer.update)(gradients, state, params)
        return bridge(optax.apply_updates)(params, updates), state, value

    state, losses = optimizer.init(params), []
    for _ in range(6):
        params, state, value = step(params, state)
        losses.append(value)
    return params, state, losses


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training(name: str) -> None:
    found = training(minijvp, mnp, minijvp.from_jax, OPTIMIZERS[name])
    same(found, training(jax, jnp, lambda fun: fun, OPTIMIZERS[name]), 1e-9)
    assert found[2][-1] < found[2][0]


def test_training_is_differentiated_in_its_hyperparameters() -> None:
    """The derivative of the last loss in the learning rate, through three steps of adam."""

    def last_loss(api: Any, bridge: Any) -> Any:
        def fun(rate: Any, x: Any) -> Any:
            optimizer = optax.adam(1.0)
            update, apply = bridge(optimizer.update), bridge(lambda x, u, rate: optax.apply_updates(x, rate * u))
            state = optimizer.init(x)
            loss = lambda x: ((x - 1.0) ** 4).sum()
            for _ in range(3):
                updates, state = update(api.grad(loss)(x), state)
                x = apply(x, updates, rate)
            return loss(x)

        return fun

    args = 0.1, normal(0, 3)
    found = minijvp.jit(minijvp.grad(last_loss(minijvp, minijvp.from_jax), (0, 1)))(*args)
    same(found, jax.jit(jax.grad(last_loss(jax, lambda fun: fun), (0, 1)))(*args), 1e-9)
    pushed = minijvp.jit(minijvp.jacfwd(last_loss(minijvp, minijvp.from_jax)))(*args)
    same(pushed, found[0], 1e-9)


def losses(x: Any, labels: Any) -> Any:
    targets = jax.nn.one_hot(labels, x.shape[-1])
    parts = [
        optax.softmax_cross_entropy_with_integer_labels(x, labels),
        optax.softmax_cross_entropy(x, optax.smooth_labels(targets, 0.1)),
        optax.sigmoid_binary_cross_entropy(x, targets),
        optax.sigmoid_focal_loss(x, targets),
        optax.huber_loss(x, targets, delta=0.3),
        optax.log_cosh(x, targets),
        optax.cosine_distance(x, targets + 0.1),
        optax.kl_divergence(jax.nn.log_softmax(x), jax.nn.softmax(x[::-1])),
        optax.hinge_loss(x, 2 * targets - 1),
        optax.ctc_loss(x[None], jnp.zeros((1, 3)), jnp.array([[1, 2]]), jnp.array([[0.0, 0.0]])),
        optax.squared_error(optax.tree.norm(x)),
    ]
    return sum(jnp.mean(part) for part in parts)


def test_losses() -> None:
    x, labels = normal(0, 3, 4), jnp.array([0, 3, 1])
    found = minijvp.jit(minijvp.grad(minijvp.from_jax(losses)))(x, labels)
    same(found, jax.jit(jax.grad(losses))(x, labels), 1e-10)


def test_schedules_have_slopes() -> None:
    schedules = [
        optax.cosine_decay_schedule(0.1, 10),
        optax.join_schedules([optax.linear_schedule(0.0, 1.0, 4), optax.exponential_decay(1.0, 3, 0.5)], [4]),
        optax.piecewise_constant_schedule(1.0, {3: 0.1, 6: 0.5}),
        optax.polynomial_schedule(1.0, 0.1, 2, 8),
    ]
    at = jnp.array([1.5, 3.25, 6.5])
    slopes = []
    for api, _ in SIDES:
        funs = [api.from_jax(s) if api is minijvp else s for s in schedules]
        slopes.append([api.vmap(api.grad(f))(at) for f in funs] + [api.jit(f)(3) for f in funs])
    same(*slopes, 1e-12)
