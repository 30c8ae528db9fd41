"""Derivatives of elementwise functions beyond the samples of tests/samples."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import pytest
from jax.scipy.stats import beta

import minijvp
import minijvp.numpy as mnp
from minijvp.scipy import stats
from tests.side_by_side import same


def test_extrema_of_values_that_a_compiler_computes_twice() -> None:
    # The compiler rounds operands of max in one place otherwise than in another, where the result was compared with
    # them before: then neither was the larger one, and both had the whole tangent.
    density = lambda module: lambda x, y: module.logpdf(0.5 + 0.2 * y, 2.1 + 0.45 * y, 2.1 + 0.45 * x)
    args = jnp.array(1.2583691300277047), jnp.array(-1.7065526902933863)
    ours, judge = minijvp.grad(density(stats.beta), (0, 1)), jax.grad(density(beta), (0, 1))
    for run in (ours, minijvp.jit(ours), jax.jit(minijvp.to_jax(ours))):
        same(run(*args), judge(*args), 1e-10)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["maximum", "minimum"])
def test_ties_nan_and_infinities_of_extrema(name: str, dtype: str) -> None:
    x, y = (jnp.array(v, dtype) for v in ([1, 2, 3, jnp.nan, 5, 0.0, jnp.inf], [1, 3, 2, 4, jnp.nan, -0.0, jnp.inf]))
    ts: Any = jnp.linspace(1, 2, 7).astype(dtype), jnp.linspace(3, 4, 7).astype(dtype)
    known = ~(jnp.isnan(x) | jnp.isnan(y))  # where JAX has no tangent, ours shows what comes from a nan
    found = minijvp.jvp(getattr(mnp, name), (x, y), ts)
    wanted = jax.jvp(getattr(jnp, name), (x, y), ts)
    same(found[0], wanted[0])
    same(found[1][known], wanted[1][known])
    same(found[1][~known], (ts[0] + ts[1])[~known])
