"""Least squares and polynomials that fit, where JAX's derivatives are lost: singular values that are equal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import tree_leaves

import minijvp
import minijvp.numpy as mnp
from minijvp import ArgumentError, numerical
from tests.side_by_side import same

HADAMARD = np.array([[1.0, 1.0], [1.0, -1.0]])
ORTHOGONAL = {"identity": 2 * np.eye(3), "square": HADAMARD, "tall": np.vstack([HADAMARD, np.zeros((1, 2))])}


def normal(*shape: int, seed: int = 0) -> Any:
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape))


@pytest.mark.parametrize("name", ORTHOGONAL)
def test_equal_singular_values(name: str) -> None:
    a = jnp.asarray(ORTHOGONAL[name])
    b = jnp.arange(1.0, len(a) + 1)

    def loss(np_like: Any) -> Callable[[Any], Any]:
        return lambda a: (np_like.sin(np_like.linalg.lstsq(a, b)[0]) + np_like.linalg.lstsq(a, b)[1]).sum()

    wanted = numerical.gradient(loss(jnp), a)
    gradient = minijvp.grad(loss(mnp))
    for found in (gradient(a), minijvp.jit(gradient)(a), minijvp.jacfwd(loss(mnp))(a)):
        np.testing.assert_allclose(found, wanted, 1e-7, 1e-7)
    np.testing.assert_allclose(jax.grad(minijvp.to_jax(loss(mnp)))(a), wanted, 1e-7, 1e-7)
    curvature = numerical.gradient(lambda a: gradient(a)[0, 1], a)
    np.testing.assert_allclose(minijvp.hessian(loss(mnp))(a)[0, 1], curvature, 1e-5, 1e-6)
    np.testing.assert_allclose(minijvp.vmap(gradient)(jnp.stack([a, a])), np.stack([wanted, wanted]), 1e-7, 1e-7)


SYSTEMS = {
    "tall": (normal(5, 3), normal(5, seed=1)),
    "wide": (normal(3, 5), normal(3, 2, seed=1)),
    "deficient": (normal(5, 2) @ normal(2, 3, seed=2), normal(5, 2, seed=1)),
    "complex": (normal(4, 3) + 1j * normal(4, 3, seed=2), normal(4, 2, seed=1) + 0.5j),
    "mixed": (normal(4, 2).astype("float32"), jnp.arange(4)),
    "no rows": (jnp.zeros((0, 3)), jnp.zeros((0, 2))),
    "no columns": (jnp.zeros((3, 0)), jnp.ones(3)),
}


@pytest.mark.parametrize("name", SYSTEMS)
@pytest.mark.parametrize("rcond", [None, -1.0, 0.3])
def test_like_jax(name: str, rcond: float | None) -> None:
    a, b = SYSTEMS[name]
    near = 1e-4 if name == "mixed" else 1e-9
    solve = lambda np_like: lambda a, b: np_like.linalg.lstsq(a, b, rcond)
    wanted = solve(jnp)(a, b)
    same(minijvp.jit(solve(mnp))(a, b), wanted, near)
    if name == "no rows" and rcond is None:  # where JAX's residuals, squares of norms that are 0, have no derivative
        assert not np.any(minijvp.grad(lambda a: sum(x.sum() for x in solve(mnp)(a, b)))(a))
        return

    def loss(np_like: Any) -> Callable[..., Any]:
        def total(a: Any, b: Any) -> Any:
            x, rest, _, s = solve(np_like)(a, b)
            return (np_like.sin(np_like.abs(x)) ** 2).sum() + (np_like.sin(rest)).sum() + (s**2).sum()

        return total

    numbers = (0, 1) if b.dtype.kind in "fc" else (0,)
    same(minijvp.grad(loss(mnp), numbers)(a, b), jax.grad(loss(jnp), numbers)(a, b), near)
    with_b = minijvp.jvp(lambda b: loss(mnp)(a, b), (b * 1.0,), (b * 0.5,))
    same(with_b, jax.jvp(lambda b: loss(jnp)(a, b), (b * 1.0,), (b * 0.5,)), near)


def test_residuals_as_in_numpy_and_bad_arguments() -> None:
    a, b = SYSTEMS["tall"]
    rest = lambda np_like: lambda a, b: np_like.linalg.lstsq(a, b, numpy_resid=True)[1].sum()
    same(minijvp.grad(rest(mnp))(a, b), jax.grad(rest(jnp))(a, b), 1e-9)
    assert not np.any(minijvp.grad(rest(mnp))(a.T, b[:3]))  # there are none
    for wrong in ((a, b[:2]), (a[0], b), (a[None], b), (a, b[None, None])):
        with pytest.raises(ArgumentError, match="lstsq received arrays of shapes"):
            minijvp.jit(mnp.linalg.lstsq)(*wrong)


X, Y, W = jnp.array([-1.0, -0.4, 0.1, 0.5, 1.2]), jnp.array([1.0, 2.0, 0.0, 3.0, 5.0]), jnp.array([1.0, 2, 1, 0.5, 1])
OPTIONS = [{}, {"full": True}, {"cov": True}, {"cov": "unscaled"}, {"rcond": 0.3, "full": True}]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("weights", [None, W], ids=["plain", "weighted"])
@pytest.mark.parametrize("deg", [0, 2])
def test_polynomials_like_jax(options: Any, weights: Any, deg: int) -> None:
    for y in (Y, jnp.stack([Y, Y**2], 1)):
        fit = lambda np_like: lambda x, y: np_like.polyfit(x, y, deg, w=weights, **options)
        total = lambda np_like: (
            lambda x, y: sum(np_like.sin(z).sum() for z in tree_leaves(fit(np_like)(x, y)) if z.dtype.kind == "f")
        )
        both = lambda x, y: (
            (minijvp.to_jax(fit(mnp))(x, y), minijvp.to_jax(minijvp.grad(total(mnp), (0, 1)))(x, y)),
            (fit(jnp)(x, y), jax.grad(total(jnp), (0, 1))(x, y)),
        )
        same(*jax.jit(both)(X, y), 1e-8)


def test_polynomials_at_points_on_both_sides_of_zero() -> None:
    """Their columns are orthogonal, and all of one length."""
    x = jnp.linspace(-1.0, 1.0, 5)
    loss = lambda np_like: lambda x: np_like.sin(np_like.polyfit(x, Y, 1)).sum()
    np.testing.assert_allclose(minijvp.grad(loss(mnp))(x), numerical.gradient(loss(jnp), x), 1e-7, 1e-7)


def test_bad_arguments_of_polyfit() -> None:
    wrong = [(X, Y[:2], 1), (X, Y, -1), (X[:, None], Y, 1), (X[:0], Y[:0], 1), (X, Y, 1, None, False, W[:2])]
    for x, y, *rest in wrong:
        with pytest.raises(ArgumentError, match="polyfit received"):
            minijvp.jit(lambda x, y, rest=rest: mnp.polyfit(x, y, *rest))(x, y)
    with pytest.raises(ArgumentError, match="2 points for 2 coefficients"):
        minijvp.jit(lambda x, y: mnp.polyfit(x, y, 1, cov=True))(X[:2], Y[:2])
