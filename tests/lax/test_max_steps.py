"""While loops of a bounded number of steps, which reverse mode keeps."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import minijvp
import minijvp.numpy as mnp
from minijvp import ArgumentError, ConcretizationError
from tests.side_by_side import same

lax = minijvp.lax
X, N = jnp.array([0.3, -1.2, 2.0]), jnp.array([0, 3, 7])


def steps(n: Any, w: Any, x: Any, max_steps: Any) -> Any:
    """A counter, what moves, and what the body hands on."""
    step = lambda c: (c[0] + 1, mnp.sin(c[1]) * w + c[2], c[2])
    return lax.while_loop(lambda c: c[0] < n, step, (0, x, w * 0.1), max_steps=max_steps)


TRANSFORMED = [
    lambda f: f,
    lambda f: minijvp.grad(f, (1, 2)),
    lambda f: minijvp.grad(minijvp.grad(f, 1), 2),
    lambda f: lambda n, w, x: minijvp.jvp(lambda w, x: f(n, w, x), (w, x), (1.0, x))[1],
    lambda f: lambda n, w, x: minijvp.vmap(minijvp.grad(f, (1, 2)), (0, None, None))(N, w, x),
    lambda f: lambda n, w, x: minijvp.vmap(f, (None, 0, None))(n, mnp.array([w, 1.2]), x),
]


@pytest.mark.parametrize("transformed", TRANSFORMED)
@pytest.mark.parametrize("compiled", [False, True])
def test_the_same_as_without(transformed: Any, compiled: bool) -> None:
    for n in (0, 7):
        found, wanted = (transformed(lambda n, w, x, k=k: steps(n, w, x, k)[1].sum()) for k in (7, None))
        found = minijvp.jit(found) if compiled else found
        same(found(n, 1.1, X), minijvp.jit(wanted)(n, 1.1, X), 1e-11)


def test_all_carries() -> None:
    same(steps(3, 1.1, X, 9), steps(3, 1.1, X, None))
    same(lax.while_loop(lambda c: c < 5, lambda c: c + 1, 0, max_steps=5), jnp.asarray(5))
    same(lax.while_loop(lambda c: False, lambda c: c, (), max_steps=np.int32(0)), ())
    same(lax.while_loop(lambda c: False, lambda c: c, (None, X), max_steps=3), (None, X))


def test_reverse_mode_is_a_scan() -> None:
    text = str(minijvp.make_jaxpr(minijvp.grad(lambda x, n: steps(n, 1.1, x, 7)[1].sum()))(X, 3))
    assert "while" not in text
    assert "scan[" in text


def test_singular_steps_after_the_end_do_nothing() -> None:
    def fun(x: Any, n: Any) -> Any:
        return lax.while_loop(lambda c: c[0] < n, lambda c: (c[0] + 1, mnp.sqrt(c[1] - 1.0)), (0, x), max_steps=4)[1]

    same(minijvp.grad(fun)(2.0, 1), jnp.asarray(0.5))
    same(minijvp.vmap(minijvp.grad(fun))(jnp.array([2.0, 1.0, 5.0]), jnp.array([1, 0, 2])), jnp.array([0.5, 1, 0.125]))


def test_too_few_steps() -> None:
    for wrong in (
        lambda: steps(8, 1.1, X, 7),
        lambda: minijvp.grad(lambda x: steps(8, 1.1, x, 7)[1].sum())(X),
        lambda: steps(1, 1.1, X, 0),
        lambda: lax.fori_loop(0, 3, lambda i, c: c, X, max_steps=2),
    ):
        with pytest.raises(ArgumentError, match="not at its end after max_steps="):
            wrong()
    n, moved, kept = minijvp.jit(lambda n: steps(n, 1.1, X, 7))(8)
    assert n == 7
    assert np.isnan(moved).all() and np.isnan(kept).all()
    gradient = minijvp.grad(lambda x, n: steps(n, 1.1, x, 7)[1].sum())
    assert np.isnan(minijvp.jit(gradient)(X, 8)).all()
    lanes = minijvp.vmap(gradient, (None, 0))(X, jnp.array([7, 8, 9, 0]))
    assert np.isnan(lanes).any(1).tolist() == [False, True, True, False]
    value = minijvp.jit(lambda z: lax.while_loop(lambda z: abs(z) < 9, lambda z: 2 * z, z, max_steps=2))(1j)
    assert np.isnan(value)


def test_fori_loop() -> None:
    def fun(x: Any, n: Any, k: Any) -> Any:
        return lax.fori_loop(0, n, lambda i, c: mnp.sin(c) + i, x, max_steps=k).sum()

    gradient = minijvp.jit(minijvp.grad(fun), static_argnums=2)
    for n in (0, 5):
        same(gradient(X, n, 5), minijvp.grad(fun)(X, n, None))
    assert np.isnan(gradient(X, 6, 5)).all()
    same(fun(X, 5, 5), fun(X, 5, None))


@pytest.mark.parametrize("max_steps", [-1, 2.0, True, "a", X, np.float64(3)])
def test_bounds_that_are_none(max_steps: Any) -> None:
    with pytest.raises(ArgumentError, match="max_steps of while_loop is"):
        steps(1, 1.1, X, max_steps)
    with pytest.raises(ArgumentError, match="max_steps of fori_loop is"):
        lax.fori_loop(0, 1, lambda i, c: c, X, max_steps=max_steps)


def test_traced_bounds_are_refused() -> None:
    with pytest.raises(ConcretizationError, match="max_steps of while_loop is a traced"):
        minijvp.jit(lambda k: steps(1, 1.1, X, k))(3)
