"""Functions of jax.scipy.special that minijvp differentiates otherwise than JAX."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest

import minijvp
from minijvp.scipy import special
from tests.side_by_side import same


@pytest.mark.parametrize("name", ["erfcx", "log_ndtr"])
def test_higher_derivatives_of_arrays(name: str) -> None:
    """JAX 0.12 has those of erfcx for numbers only."""
    x = jnp.array([-3.0, -1.0, 0.3, 2.0, 8.0])
    ours, theirs = getattr(special, name), getattr(jax.scipy.special, name)
    for _ in range(3):
        ours = (lambda f: lambda x: minijvp.jvp(f, (x,), (jnp.ones_like(x),))[1])(ours)
        theirs = jax.grad(theirs)
        same(minijvp.jit(ours)(x), jnp.stack([theirs(v) for v in x]), 1e-9)
