"""Solutions of differential equations and their derivatives in both modes, against closed forms and JAX's solver."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import pytest
from jax.experimental.ode import odeint as odeint_by_jax

import minijvp
import minijvp.numpy as mnp
from minijvp import ArgumentError
from minijvp.experimental.ode import odeint
from tests.side_by_side import same


def oscillation(y0: Any, k: Any, t: Any) -> Any:
    """The closed form of `oscillator`."""
    w = jnp.sqrt(k)
    x = y0["x"] * jnp.cos(w * t) + y0["v"] / w * jnp.sin(w * t)
    return {"x": x, "v": -w * y0["x"] * jnp.sin(w * t) + y0["v"] * jnp.cos(w * t)}


def weighed(out: Any) -> Any:
    return (out["x"] * jnp.arange(1.0, 4.0)).sum() + (out["v"] ** 2).sum()


POINT = {"x": jnp.asarray(1.0), "v": jnp.asarray(0.5)}, jnp.asarray(2.0), jnp.array([0.0, 0.4, 1.5])


def solution(y0: Any, k: Any, t: Any) -> Any:
    """A pendulum of small swings; the rate closes over its constant, and takes another one as an argument."""
    return odeint(lambda y, _, scale: {"x": y["v"] * scale, "v": -k * y["x"]}, y0, t, mnp.asarray(1.0))


def test_solution_and_derivatives_of_a_closed_form() -> None:
    wanted = jax.value_and_grad(lambda *args: weighed(oscillation(*args)), (0, 1, 2))(*POINT)
    found = minijvp.jit(minijvp.value_and_grad(lambda *args: weighed(solution(*args)), (0, 1, 2)))(*POINT)
    # The closed form begins at time 0, so the derivative by the first time is left to the next test.
    wanted[1][2].at[0].set(0.0)
    same(found[:1] + found[1][:2], wanted[:1] + wanted[1][:2], 1e-6)
    same(found[1][2][1:], wanted[1][2][1:], 1e-6)
    forward = minijvp.jit(minijvp.jacfwd(lambda *args: weighed(solution(*args)), (0, 1, 2)))(*POINT)
    same(forward, found[1], 1e-9)


def test_batches_and_second_derivatives() -> None:
    """Each lane has steps of its own. Decay has the closed form exp(-k t)."""
    times = jnp.array([0.0, 1.0])
    decay = lambda k: odeint(lambda y, t: -k * y, 1.0, times, rtol=1e-10, atol=1e-10)[-1]
    ks = jnp.array([0.5, 20.0])
    same(minijvp.jit(minijvp.vmap(minijvp.value_and_grad(decay)))(ks), (jnp.exp(-ks), -jnp.exp(-ks)), 1e-8)
    second = minijvp.jit(minijvp.jacfwd(minijvp.grad(decay)))(0.5)
    same(second, jnp.exp(-0.5), 1e-7)


@pytest.mark.parametrize("dtype", ["float32", "complex128"])
def test_beside_jax(dtype: str) -> None:
    """A rate that depends on time, and the derivative by the first time, in reverse mode as JAX has it."""
    y0 = jnp.array([1.0, 0.5], dtype)
    times = jnp.array([0.3, 0.7, 1.0], jnp.float32 if dtype == "float32" else float)

    def loss(solver: Any, np: Any) -> Any:
        rate = lambda y, t, p: np.stack([y[1] * np.cos(t), -p * y[0]]) * (1 if dtype == "float32" else 1 + 0.5j)
        tolerance = {"rtol": 1e-5, "atol": 1e-5} if dtype == "float32" else {}
        return lambda y, t, p: (np.abs(solver(rate, y, t, p, **tolerance)) ** 2).sum()

    p = jnp.asarray(1.5, times.dtype)
    found = minijvp.jit(minijvp.value_and_grad(loss(odeint, mnp), (0, 1, 2)))(y0, times, p)
    wanted = jax.jit(jax.value_and_grad(loss(odeint_by_jax, jnp), (0, 1, 2)))(y0, times, p)
    same(found, wanted, 2e-4 if dtype == "float32" else 1e-6)


def test_limits_and_errors() -> None:
    times = jnp.array([0.0, 1.0])
    wide = odeint(lambda y, t: y, 1.0, times, hmax=0.01)[-1]
    same(wide, jnp.exp(1.0), 1e-7)
    stopped = odeint(lambda y, t: y, 1.0, times, mxstep=2)[-1]
    assert abs(float(stopped) - float(jnp.exp(1.0))) > 1e-6
    for call, word in (
        (lambda: odeint(lambda y, t: y, 1.0, 1.0), "t of odeint"),
        (lambda: odeint(lambda y, t: y, 1.0, jnp.arange(3)), "t of odeint"),
        (lambda: odeint(lambda y, t: y, 1, times), "first state"),
        (lambda: odeint(lambda y, t: (y, y), 1.0, times), "rate of odeint"),
        (lambda: odeint(lambda y, t: jnp.ones(2), 1.0, times), "rate of odeint"),
    ):
        with pytest.raises(ArgumentError, match=word):
            call()
