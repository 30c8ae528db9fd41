"""Products of updates at repeated indices, whose derivatives JAX refuses: closed forms judge."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import minijvp
import minijvp.numpy as mnp

X = jnp.array([2.0, 0.5, -1.5])
PLACES = jnp.array([0, 2, 0, 0, 2, 5])
FACTORS = jnp.array([0.0, 1.5, 3.0, -2.0, 0.0, 7.0])  # one zero meets others in 0, and one in 2; 5 is out of bounds


def product(x: Any, u: Any) -> Any:
    return x.at[PLACES].multiply(u)


def written_out(x: Any, u: Any) -> Any:
    """The same product, each factor in its place."""
    return jnp.stack([x[0] * u[0] * u[2] * u[3], x[1], x[2] * u[1] * u[4]])


def loss(fun: Any) -> Any:
    return lambda x, u: jnp.vdot(jnp.array([1.0, -2.0, 0.7]), fun(x, u) ** 2 + 3 * fun(x, u))


def ours(x: Any, u: Any) -> Any:
    out = product(mnp.asarray(x), u)
    return mnp.vdot(jnp.array([1.0, -2.0, 0.7]), out**2 + 3 * out)


def agree(found: Any, wanted: Any) -> None:
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("name", ["hessian", "jacfwd"])
def test_derivatives_of_both_orders_and_modes(name: str) -> None:
    wanted = [jax.jit(getattr(jax, name)(loss(written_out), (0, 1)))(X + k, FACTORS + k) for k in (0, 1)]
    derivative = getattr(minijvp, name)(ours, (0, 1))
    agree(minijvp.jit(derivative)(X, FACTORS), wanted[0])
    batches = jnp.stack([X, X + 1]), jnp.stack([FACTORS, FACTORS + 1])
    agree(minijvp.jit(minijvp.vmap(derivative))(*batches), jax.tree.map(lambda *x: jnp.stack(x), *wanted))


def test_an_eager_gradient() -> None:
    agree(minijvp.grad(ours, (0, 1))(X, FACTORS), jax.grad(loss(written_out), (0, 1))(X, FACTORS))


def test_segment_prod_of_rows() -> None:
    x = jnp.array([[1.0, 0.0], [2.0, 3.0], [0.5, 0.0], [4.0, -1.0]])
    ids = jnp.array([1, 0, 1, 1])
    weights = jnp.array([[1.0, 2.0], [-1.0, 0.5]])
    segments = minijvp.from_jax(lambda x: jax.ops.segment_prod(x, ids, num_segments=2))
    found = minijvp.grad(lambda x: mnp.vdot(weights, segments(x)))(x)
    by_hand = lambda x: jnp.vdot(weights, jnp.stack([x[1], x[0] * x[2] * x[3]]))
    np.testing.assert_allclose(found, jax.grad(by_hand)(x), rtol=1e-6)


def test_the_derivative_holds_inside_of_jax() -> None:
    found = jax.grad(lambda u: minijvp.jit(ours)(X, u))(FACTORS)
    np.testing.assert_allclose(found, jax.grad(loss(written_out), 1)(X, FACTORS), rtol=1e-5)


def test_division_by_repeated_factors() -> None:
    def quotient(u: Any) -> Any:
        return mnp.sum(mnp.array([2.0, 3.0]).at[jnp.array([1, 1, 0])].divide(u))

    u = jnp.array([2.0, 4.0, 5.0])
    np.testing.assert_allclose(minijvp.grad(quotient)(u), [-3 / (4 * 4), -3 / (2 * 16), -2 / 25], rtol=1e-6)


def test_the_program_grows_with_the_logarithm() -> None:
    def operations(n: int) -> int:
        x, ids = jnp.ones(4), jnp.zeros(n, int)
        push = lambda u: minijvp.jvp(lambda u: mnp.asarray(x).at[ids].multiply(u), (u,), (u,))[1]
        return len(minijvp.make_jaxpr(push)(jnp.ones(n)).equations)

    small, large = operations(2**6), operations(2**12)
    assert 0 < large - small < 20 * (math.log2(2**12) - math.log2(2**6))
    assert operations(2**12) == operations(2**12 - 5)
