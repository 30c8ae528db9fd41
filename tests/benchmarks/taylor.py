"""Derivatives of high order: Taylor mode beside nested jax.grad and JAX's jet, from a function to its first result."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.jet import jet

import minijvp
import minijvp.numpy as mnp
from tests.benchmarks.benchmark import Benchmark
from tests.benchmarks.contenders import BOTH, nth_derivative, plain
from tests.benchmarks.depth import seconds
from tests.benchmarks.models import normal
from tests.benchmarks.report import OURS, REFERENCE, TAYLOR, Row, row
from tests.benchmarks.timing import Settings, check_same, in_rounds, waiting

ORDER, WIDTH = 8, 16
AT = np.float32(0.3)


def network(xp: Any, layers: int) -> Callable[[Any], Any]:
    """A function of one number: tanh of products, again and again, and the sum."""
    rng = np.random.default_rng(0)
    first, *weights = normal(rng, WIDTH), *[normal(rng, WIDTH, WIDTH, scale=0.25) for _ in range(layers)]

    def fun(x: Any) -> Any:
        h = xp.tanh(first * x)
        for w in weights:
            h = xp.tanh(xp.dot(w, h))
        return xp.sum(h)

    return fun


def by_taylor(layers: int) -> Callable[[Any], Any]:
    fun = network(mnp, layers)
    return minijvp.jit(lambda x: minijvp.taylor(fun, x, np.float32(1), ORDER)[ORDER] * math.factorial(ORDER))


def by_jet(layers: int) -> Callable[[Any], Any]:
    fun, series = network(jnp, layers), [jnp.float32(1), *[jnp.float32(0)] * (ORDER - 1)]
    return jax.jit(lambda x: jet(fun, (x,), (series,))[1][ORDER - 1])


def by_nesting(layers: int) -> Callable[[Any], Any]:
    return jax.jit(nth_derivative(lambda library: network(library.numpy, layers), ORDER)(BOTH[REFERENCE]))


def beside(
    other: Callable[[int], Any], what: str, layers: int, most: int, goal: float, name: str, settings: Settings
) -> list[Row]:
    """Seconds of the processor, from a new function to its first result; at most so many rounds."""
    makes = {OURS: by_taylor, REFERENCE: other}
    check_same(plain(by_taylor(layers)(AT)), plain(by_jet(layers)(AT)), 1e-3)
    one_round = lambda: {side: seconds(lambda make=make: waiting(make(layers))(AT))[0] for side, make in makes.items()}
    series = in_rounds(one_round, Settings(0.0, min(most, settings.rounds)))
    return [row(f"derivative of order {ORDER}, {layers + 1} layers / {what}", TAYLOR, series, goal)]


BENCHMARKS = [
    Benchmark("taylor: beside jax.experimental.jet", (TAYLOR,), partial(beside, by_jet, "jet", 3, 5, 0.7)),
    Benchmark(
        "taylor: beside nested jax.grad", (TAYLOR,), partial(beside, by_nesting, "nested grad", 1, 1, 0.05), True
    ),
]
