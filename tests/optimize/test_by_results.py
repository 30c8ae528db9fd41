"""Derivatives of tanh and the logistic function: from arguments where these are there, from results where not."""

from __future__ import annotations

from collections import Counter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import minijvp
import minijvp.numpy as mnp
from minijvp import nn
from minijvp.lax import scan
from tests.benchmarks.compiled import temporary
from tests.benchmarks.contenders import JAX, MINIJVP
from tests.benchmarks.models import mlp_data, mlp_loss

W, X = jnp.eye(32, dtype=np.float32) / 2, jnp.ones((40, 32), np.float32)
SLOPE = 4 * np.exp(-40.0)
"""Of tanh at 20."""


def counts(fun: Any, *args: Any) -> Counter:
    """How often each primitive is in the program of a gradient."""
    jaxpr = minijvp.make_jaxpr(minijvp.grad(fun))(*args)
    return Counter(e.primitive.name for e in jaxpr)


@pytest.mark.parametrize(
    ("fun", "exact"),
    [
        (lambda w: mnp.tanh(X @ w), False),  # the product would be kept for the derivative alone
        (lambda w: mnp.tanh(mnp.sin(X @ w)), False),
        (lambda w: mnp.tanh(w), True),  # an input
        (lambda w: mnp.tanh(2 * w + 1), True),  # made from it on the way
        (lambda w: mnp.tanh(mnp.sin(w)), True),
        (lambda w: mnp.tanh(w[:2] @ w), True),  # small
        (lambda w: (lambda y: y * mnp.tanh(y))(X @ w), True),  # what the product needs
        (lambda w: nn.gelu(X @ w), False),
        (lambda w: nn.gelu(w), True),
    ],
)
def test_what_is_kept(fun: Any, exact: bool) -> None:
    found = counts(lambda w: fun(w).sum(), W)
    assert (found["tanh_slope"], found["one_minus_square"]) == (exact, not exact)
    with minijvp.config(memory_budget="off"):
        assert counts(lambda w: fun(w).sum(), W)["tanh_slope"] == 1


def test_values() -> None:
    found = minijvp.jit(minijvp.grad(lambda w: mnp.tanh(X @ w).sum()))(W)
    np.testing.assert_allclose(found, jax.grad(lambda w: jnp.tanh(X @ w).sum())(W), rtol=1e-5)


def test_the_logistic_function_too() -> None:
    found = counts(lambda w: nn.sigmoid(X @ w).sum(), W)
    assert (found["logistic_slope"], found["times_one_minus"]) == (0, 1)
    assert counts(lambda w: nn.silu(X @ w).sum(), W)["logistic_slope"] == 1
    assert counts(lambda w: nn.sigmoid(w).sum(), W)["logistic_slope"] == 1


@pytest.mark.parametrize("of", [lambda f: f, minijvp.jit, lambda f: minijvp.jit(minijvp.vmap(f))])
def test_tails_of_inputs(of: Any) -> None:
    x = jnp.full(4, 10.0)
    fun = (lambda x: mnp.tanh(2 * x)) if of is not minijvp.jit else (lambda x: mnp.tanh(2 * x).sum())
    single = of in (minijvp.jit,)
    gradient = minijvp.grad(fun if single else lambda x: mnp.sum(fun(x)))
    np.testing.assert_allclose(of(gradient)(x), np.full(4, 2 * SLOPE), rtol=1e-6)


def test_derivatives_of_what_is_taken_from_results() -> None:
    v = jnp.cos(jnp.arange(32.0 * 32, dtype=np.float32)).reshape(32, 32)

    def forward_over_reverse(transforms: Any, tanh: Any) -> Any:
        gradient = transforms.grad(lambda w: tanh(X @ w).sum())
        return lambda w: transforms.jvp(gradient, (w,), (v,))[1]

    def reverse_over_reverse(transforms: Any, tanh: Any) -> Any:
        gradient = transforms.grad(lambda w: tanh(X @ w).sum())
        return transforms.grad(lambda w: (gradient(w) * v).sum())

    for second in (forward_over_reverse, reverse_over_reverse):
        found = minijvp.jit(second(minijvp, mnp.tanh))(W)
        np.testing.assert_allclose(found, second(jax, jnp.tanh)(W), rtol=1e-4, atol=1e-5)


def test_in_loops() -> None:
    def loss(w: Any) -> Any:
        return scan(lambda c, _: (mnp.tanh(c @ w), None), X, None, length=3)[0].sum()

    def primitives(jaxpr: Any) -> Counter:
        found: Counter = Counter()
        for e in jaxpr:
            found[e.primitive.name] += 1
            for value in e.params.values():
                if hasattr(value, "equations"):
                    found += primitives(value)
        return found

    found = primitives(minijvp.make_jaxpr(minijvp.grad(loss))(W))
    assert (found["tanh_slope"], found["one_minus_square"] > 0) == (0, True)


def test_networks_need_no_more_memory_than_by_jax() -> None:
    args = mlp_data(4, 64, 64)
    ours, theirs = (
        temporary(library.jit(library.value_and_grad(mlp_loss(library))), *args) for library in (MINIJVP, JAX)
    )
    assert ours <= theirs
