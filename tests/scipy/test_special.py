"""Functions of jax.scipy.special that minijvp differentiates otherwise than JAX."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
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


def derivative_of_bessel(order: int, x: float, n: int) -> float:
    """The nth derivative of a modified Bessel function: Abramowitz and Stegun 9.6.29."""
    terms = [math.comb(n, j) * mpmath.besseli(abs(order - n + 2 * j), x) for j in range(n + 1)]
    return float(sum(terms) / 2**n)


@pytest.mark.parametrize("x", [0.0, 1e-9, -0.7, 0.999, 1.0, 2.5, -8.0])
def test_higher_derivatives_of_bessel_functions(x: float) -> None:
    for order, fun in enumerate((special.i0, special.i1)):
        for n in range(5):
            np.testing.assert_allclose(fun(x), derivative_of_bessel(order, x, n), 1e-12, 1e-12, err_msg=f"{order} {n}")
            fun = minijvp.grad(fun)


def test_higher_derivatives_of_spence_at_one() -> None:
    """It is the sum of (1 - x)**k / k**2."""
    fun = special.spence
    for n in range(6):
        wanted = (-1) ** n * math.factorial(n) / n**2 if n else 0.0
        np.testing.assert_allclose(fun(1.0), wanted, 1e-12)
        fun = minijvp.grad(fun)
