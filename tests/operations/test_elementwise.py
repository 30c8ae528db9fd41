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


EXTREMA: dict[str, Any] = {
    "max": lambda x: mnp.max(x, 1),
    "min": lambda x: -mnp.min(-x, 1),
    "ptp": lambda x: mnp.ptp(x, 1),
    "cummax": lambda x: minijvp.lax.cummax(x, 1)[:, -1],
    "scatter": lambda x: mnp.asarray(x[:, 2]).at[jnp.array([[0, 0], [1, 1]])].max(x[:, :2]),
    "pmax": lambda x: minijvp.vmap(lambda x: minijvp.lax.pmax(x, "i"), 1, axis_name="i")(x)[0],
}


@pytest.mark.parametrize("name", EXTREMA)
def test_a_nan_shows_in_both_modes_of_extrema_of_many(name: str) -> None:
    # A cotangent was divided by no winners, and then given to none.
    f, x = EXTREMA[name], jnp.array([[1.0, jnp.nan, 2.0], [1.0, 3.0, 2.0]])
    forward, backward = minijvp.jacfwd(f)(x), minijvp.jacrev(f)(x)
    assert jnp.isnan(forward[0, 0]).any() and jnp.isnan(backward[0, 0]).any()
    for found in (forward[1, 1], backward[1, 1]):
        same(found, jnp.array([0.0, 1.0, 0.0]) - (name == "ptp") * jnp.array([1.0, 0.0, 0.0]))
    if name in ("max", "ptp"):
        same(backward, jax.jacrev(lambda x: getattr(jnp, name)(x, 1))(x))


def divides_tangents(jaxpr: Any, active: list[bool]) -> bool:
    """Whether an equation of a program divides what depends on the inputs that are active."""
    known = {v for v, flag in zip(jaxpr.inputs, active, strict=True) if flag}
    divides = False
    for e in jaxpr:
        if not known.isdisjoint(e.inputs):
            divides |= e.primitive.name == "div"
            known.update(e.outputs)
    return divides


@pytest.mark.parametrize("fun", [lambda x: 1 / x, lambda x: 3.0 / mnp.sqrt(x), lambda x: mnp.sqrt(1 / x)])
def test_slopes_are_divided_and_not_tangents(fun: Any) -> None:
    # Of many directions each costs multiplications, for derivatives of derivatives too.
    tangents = {0: fun, 1: lambda x: minijvp.grad(fun)(x), 2: lambda x: minijvp.jvp(fun, (x,), (1.0,))[1]}
    for nested in tangents.values():
        jaxpr = minijvp.make_jaxpr(lambda x, t, nested=nested: minijvp.jvp(nested, (x,), (t,)))(2.0, 1.0)
        assert not divides_tangents(jaxpr, [False, True]), jaxpr


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_slopes_of_quotients_of_extreme_numbers(dtype: str) -> None:
    # The inverse of y alone leaves the range of the dtype only where the slope does.
    big = float(jnp.finfo(dtype).max) ** 0.5
    x, y = (jnp.array(v, dtype) for v in ([1.0, big, 1 / big, 1.0, -big], [big / 2, big, 3 / big, 1 / 8, big * 4]))
    found = minijvp.vmap(minijvp.grad(lambda y, x: x / y))(y, x)
    same(found, -(x / y) / y, 1e-6 if dtype == "float32" else 1e-14)
