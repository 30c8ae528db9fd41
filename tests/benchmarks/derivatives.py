"""Derivatives of derivatives: the time to trace the n-th derivative of tanh, and how it grows with n."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

import minijvp
import minijvp.numpy as mnp
from tests.benchmarks.timing import Call, Row, Settings, check_same, interleave, paired

LEVELS = 5


def derivative(transforms: Any, xp: Any, n: int) -> Any:
    fun = lambda x: xp.tanh(x)  # a new function each time: nothing is cached for it
    for _ in range(n):
        fun = transforms.grad(fun)
    return fun


def tracing(transforms: Any, xp: Any, n: int) -> Any:
    return lambda x: transforms.make_jaxpr(derivative(transforms, xp, n))(x)


def tanh(name: str, settings: Settings) -> list[Row]:
    levels = range(1, LEVELS + 1)
    x = jnp.asarray(0.5)
    calls: list[Call] = []
    for n in levels:
        check_same(derivative(minijvp, mnp, n)(x), derivative(jax, jnp, n)(x))
        calls += [(tracing(minijvp, mnp, n), (x,)), (tracing(jax, jnp, n), (x,))]
    samples = interleave(calls, settings)
    ours, theirs = samples[::2], samples[1::2]
    rows = [paired(f"{name}, n = {n}", a, b, None) for n, a, b in zip(levels, ours, theirs)]
    for n in levels[1:]:
        series = growth(ours[n - 2], ours[n - 1], 1), growth(theirs[n - 2], theirs[n - 1], 1)
        rows.append(paired(f"{name}, growth from {n - 1} to {n}", *series, None, unit="x"))
    series = growth(ours[0], ours[-1], LEVELS - 1), growth(theirs[0], theirs[-1], LEVELS - 1)
    return [*rows, paired(f"{name}, mean growth per level", *series, 1.0, unit="x")]


def growth(low: list[float], high: list[float], levels: int) -> list[float]:
    """The factor per level, in each round."""
    return [(b / a) ** (1 / levels) for a, b in zip(low, high, strict=True)]


BENCHMARKS = {"tracing: derivative of tanh": tanh}
