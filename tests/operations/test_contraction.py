"""Products by algorithms that not every platform has."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import minijvp
import minijvp.numpy as mnp
from minijvp import lax

Q = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, 2, 4)), jnp.float16)


def attention(api: Any, np: Any) -> Any:
    return lambda q: np.sum(api.nn.dot_product_attention(q, np.cos(q), q) ** 2)


def test_attention_of_halves() -> None:
    """JAX catches the error of its algorithm, and takes another; compiled, it cannot."""
    value, gradient = attention(jax, jnp)(Q), jax.grad(attention(jax, jnp))(Q)
    for words in (lambda f: f, minijvp.jit):
        for found, wanted in zip(words(minijvp.value_and_grad(attention(minijvp, mnp)))(Q), (value, gradient)):
            assert found.dtype == wanted.dtype
            np.testing.assert_allclose(found, wanted, rtol=2e-2, atol=2e-2)
    rows = minijvp.jit(minijvp.vmap(lambda q: minijvp.grad(attention(minijvp, mnp))(q[None])[0]))(Q)
    np.testing.assert_allclose(rows, gradient, rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("dtype", [None, np.float32, np.float16])
def test_sums_of_halves_are_floats(dtype: Any) -> None:
    x = jnp.full((2, 4096), 1.0, jnp.float16)
    how = {"precision": jax.lax.DotAlgorithmPreset.F16_F16_F32, "preferred_element_type": dtype}
    found = minijvp.jit(lambda x: lax.dot(x, x.T, **how))(x)
    assert found.dtype == jax.eval_shape(lambda x: jax.lax.dot(x, x.T, **how), x).dtype
    assert (found == 4096).all()  # a sum of halves would end at 2048
