"""Derivatives with nothing compiled."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

import minijvp
import minijvp.numpy as mnp
from tests.benchmarks.models import mlp_data, mlp_loss
from tests.benchmarks.timing import Row, Settings, check_same, compare


def small(name: str, settings: Settings) -> list[Row]:
    def fun(xp: Any) -> Any:
        return lambda x: (xp.sin(x) * x).sum()

    args = (jnp.arange(4, dtype=jnp.float32),)
    ours, theirs = minijvp.grad(fun(mnp)), jax.grad(fun(jnp))
    check_same(ours(*args), theirs(*args))
    return compare(name, (ours, args), (theirs, args), 1 / 8, settings)


def mlp(name: str, settings: Settings) -> list[Row]:
    args = mlp_data(layers=50, width=64, batch=32)
    ours, theirs = minijvp.value_and_grad(mlp_loss(mnp)), jax.value_and_grad(mlp_loss(jnp))
    check_same(ours(*args), theirs(*args))
    return compare(name, (ours, args), (theirs, args), 1 / 6, settings)


BENCHMARKS = {"eager: grad, 4 floats": small, "eager: value_and_grad, 50-layer MLP": mlp}
