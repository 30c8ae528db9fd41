"""Derivatives of the incomplete gamma function in its first argument, of any order.

Each of them is a coefficient of the function at a + e, as a power series in e: the series and the continued fraction by
which it is computed are those of M. Abramowitz and I. A. Stegun, Handbook of Mathematical Functions, 6.5.29 and 6.5.31
(of which every second fraction is taken), with such power series in place of numbers. Series are lists of arrays, cut
off behind the same power.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jax import lax

from minijvp.core.types import Array

STEPS = 2000
"""Terms, or fractions, after which a sum that has not converged is left as it is; as in JAX."""


def igamma_ratio(a: Array, x: Array, order: int) -> Array:
    """The derivative of igamma(a, x) in `a` of an order, over the derivative in x: x**(a-1) exp(-x) / gamma(a).

    It has the shape and dtype of the operands; nan where a <= 0 or x < 0.
    """
    dtype = a.dtype
    if jnp.finfo(dtype).bits < 32:
        a, x = a.astype(jnp.float32), x.astype(jnp.float32)
    valid = (a > 0) & (x >= 0)
    safe_a = jnp.where(valid & (a < jnp.inf), a, 1.0)
    border = safe_a + 3 * jnp.sqrt(safe_a) + 3  # where both are right to the same number of digits
    by_fraction = x > border
    # Where the other way is taken, and where there is no number, it computes with harmless ones.
    low = jnp.where(valid & ~by_fraction & (x > 0), x, safe_a / 2)
    high = jnp.where(valid & by_fraction & (x < jnp.inf), x, 2 * border)
    found = jnp.where(by_fraction, -above(safe_a, high, order), below(safe_a, low, order))
    found = jnp.where((x > 0) & (x < jnp.inf), found, jnp.where(x > 0, -jnp.inf, 0.0))
    return jnp.where(valid & (a < jnp.inf), found, jnp.nan).astype(dtype)


def below(a: Array, x: Array, order: int) -> Array:
    """The ratio by the series: x**a exp(-x) / gamma(a+1) times the sum of x**m / ((a+1) ... (a+m))."""
    n = order + 1
    first = [jnp.ones_like(x), *[jnp.zeros_like(x)] * order]

    def step(state: Any) -> Any:
        m, term, total, _ = state
        divisor, following = a + m, []
        for k in range(n):  # (a + m + e) * following = x * term
            following.append((x * term[k] - (following[k - 1] if k else 0.0)) / divisor)
        summed = [s + t for s, t in zip(total, following, strict=True)]
        return m + 1, following, summed, is_small(following, summed)

    running = lambda state: (state[0] <= STEPS) & ~jnp.all(state[3])
    _, _, total, _ = lax.while_loop(running, step, (jnp.ones((), x.dtype), first, first, jnp.zeros(x.shape, bool)))
    return x / a * coefficient(product(total, power(a + 1, x, order)), order)


def above(a: Array, x: Array, order: int) -> Array:
    """The same of 1 - igamma by the continued fraction: its numerators and denominators by their recurrence."""
    zeros = [jnp.zeros_like(x)] * order
    tiny = 1 / jnp.finfo(x.dtype).max ** 0.25

    def following(c: Array, y: Array, z: Array, last: list[Any], before: list[Any]) -> list[Any]:
        """last * (z - e) - before * c * (y - e)."""
        shift = lambda s, k: s[k - 1] if k else 0.0
        return [last[k] * z - shift(last, k) - c * (before[k] * y - shift(before, k)) for k in range(len(last))]

    def step(state: Any) -> Any:
        c, (p, p_before), (q, q_before), value, _ = state
        y, z = c - a, x + 1 - a + 2 * c
        p, p_before = following(c, y, z, p, p_before), p
        q, q_before = following(c, y, z, q, q_before), q
        ratio = quotient(p, q)
        small = is_small([r - v for r, v in zip(ratio, value, strict=True)], ratio)
        scale = jnp.where(abs(q[0]) > 1 / tiny, tiny, 1.0)
        p, p_before, q, q_before = ([s * scale for s in series] for series in (p, p_before, q, q_before))
        return c + 1, (p, p_before), (q, q_before), ratio, small

    one = jnp.ones_like(x)
    # The fraction 1 / (x+1-a- 1 (1-a) / (x+3-a- 2 (2-a) / (x+5-a- ...))).
    p, p_before = [one, *zeros], [0 * one, *zeros]
    q, q_before = [x + 1 - a, -one, *zeros[1:]], [one, *zeros]
    start = jnp.ones((), x.dtype), (p, p_before), (q, q_before), quotient(p, q), jnp.zeros(x.shape, bool)
    running = lambda state: (state[0] <= STEPS) & ~jnp.all(state[4])
    ratio = lax.while_loop(running, step, start)[3]
    return x * coefficient(product(ratio, power(a, x, order)), order)


def power(a: Array, x: Array, order: int) -> list[Any]:
    """x**e gamma(a) / gamma(a + e), by the derivatives of its logarithm."""
    logs = [jnp.log(x) - lax.digamma(a)]
    logs += [-lax.polygamma(jnp.full_like(a, k), a) / math.factorial(k + 1) for k in range(1, order)]
    found = [jnp.ones_like(x)]
    for k in range(1, order + 1):
        terms = [j * logs[j - 1] * found[k - j] for j in range(1, k + 1)]
        found.append(functools.reduce(lax.add, terms) / k)
    return found


def product(x: list[Any], y: list[Any]) -> list[Any]:
    """The product of two series."""
    return [sum(x[j] * y[k - j] for j in range(k + 1)) for k in range(len(x))]


def quotient(x: list[Any], y: list[Any]) -> list[Any]:
    """The quotient of two series."""
    found = [x[0] / y[0]]
    for k in range(1, len(x)):
        terms = [y[k - j] * found[j] for j in range(k)]
        found.append((x[k] - functools.reduce(lax.add, terms)) / y[0])
    return found


def coefficient(series: list[Any], order: int) -> Array:
    """The derivative that a series has at 0."""
    return math.factorial(order) * series[order]


def is_small(change: Sequence[Any], total: Sequence[Any]) -> Array:
    """Where what was added last does not count any more."""
    eps = jnp.finfo(total[0].dtype).eps
    small = True
    for t, s in zip(change, total, strict=True):
        small &= abs(t) <= eps * abs(s) / 2
    return small
