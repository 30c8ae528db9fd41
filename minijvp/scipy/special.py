"""The functions of jax.scipy.special, for every transformation of minijvp."""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Any

import jax.scipy.special

import minijvp.numpy as mnp
from minijvp.core.types import Array
from minijvp.custom_rules.decorators import custom_jvp
from minijvp.interop.from_jax import from_jax
from minijvp.interop.surface import bridge_all
from minijvp.lax.elementwise import bessel_i0e, bessel_i1e
from minijvp.nn.functions import logsumexp as logsumexp
from minijvp.nn.functions import normal_density
from minijvp.numpy.makers import both_arrays
from minijvp.numpy.promotion import promote_pair
from minijvp.numpy.restated import restated, with_derivative
from minijvp.operations.elementwise import absorbing_mul

# Number by number, since in JAX 0.12 its rule for second derivatives takes no arrays.
erfcx = restated(jax.scipy.special, "erfcx")(from_jax(jax.numpy.vectorize(jax.scipy.special.erfcx)))


def _absorbing(name: str, logarithm: Any, slope: Any, pole: float) -> Any:
    """A function x f(y) for a logarithm f: where x is 0, it is flat in y, also at the pole."""
    ruled = custom_jvp(from_jax(getattr(jax.scipy.special, name)))

    def in_y(t: Array, out: Array, x: Array, y: Array) -> Array:
        return absorbing_mul(t, slope(x, mnp.where((x == 0) & (y == pole), 1, y)))

    ruled.defjvps(lambda t, out, x, y: absorbing_mul(t, logarithm(y)), in_y)
    return restated(jax.scipy.special, name)(lambda x, y: ruled(*both_arrays(*promote_pair(name, x, y, inexact=True))))


xlogy = _absorbing("xlogy", mnp.log, lambda x, y: x / y, 0)
xlog1py = _absorbing("xlog1py", mnp.log1p, lambda x, y: x / (1 + y), -1)


_SPENCE_SERIES = [-1 / (k + 1) for k in range(18)]
"""The coefficients of log(x) / (1 - x) in powers of 1 - x; the next term is less than 1e-17 where that is 1/8."""


def _spence_slope(x: Array) -> Array:
    largest, at_one = float(mnp.finfo(x.dtype).max), 1 - x
    small = mnp.abs(at_one) < 0.125
    series = mnp.polyval(mnp.asarray(_SPENCE_SERIES[::-1], x.dtype), mnp.where(small, at_one, 0))
    far = mnp.where(small, 2, mnp.minimum(x, largest))
    return mnp.where(small, series, mnp.log(far) / (1 - far))


def _inverse_mills_ratio(x: Array) -> Array:
    """The density of the normal distribution over its distribution function: A&S 26.2.1, 26.2.2."""
    is_left = x < 0
    left = math.sqrt(2 / math.pi) / erfcx(mnp.where(is_left, x, 0) * -math.sqrt(0.5))
    right = mnp.where(is_left, 0, x)
    return mnp.where(is_left, left, normal_density(right) / ndtr(right))


_I1_SERIES = [1 / (2 * math.factorial(k) * math.factorial(k + 1)) for k in range(9)]
"""The coefficients of I1(x) / x in powers of x**2 / 4 (A&S 9.6.10); the next is less than 1e-17 below 1."""


def _i1_slope(x: Array) -> Array:
    """I0(x) - I1(x) / x (A&S 9.6.27), near 0 by the series, which is smooth there."""
    small = mnp.abs(x) < 1
    near, far = mnp.where(small, x, 0), mnp.where(small, 1, x)
    series = mnp.polyval(mnp.asarray(_I1_SERIES[::-1], x.dtype), near * near / 4)
    scaled = bessel_i0e(far) - bessel_i1e(far) / far
    return mnp.where(small, i0(near) - series, mnp.exp(mnp.abs(far)) * scaled)


spence = with_derivative(jax.scipy.special, "spence", _spence_slope)
ndtr = with_derivative(jax.scipy.special, "ndtr", normal_density)
exp1 = with_derivative(jax.scipy.special, "exp1", lambda x: -mnp.exp(-x) / x)
i1 = with_derivative(jax.scipy.special, "i1", _i1_slope)
i0 = with_derivative(jax.scipy.special, "i0", i1)


@cache
def _log_ndtr(series_order: int) -> Any:
    ruled = custom_jvp(from_jax(lambda x: jax.scipy.special.log_ndtr(x, series_order)))
    ruled.defjvps(lambda t, out, x: t * _inverse_mills_ratio(x))
    return ruled


@restated(jax.scipy.special, "log_ndtr")
def log_ndtr(x: Array, series_order: int = 3) -> Array:
    """The logarithm of the distribution function of the normal distribution."""
    return _log_ndtr(series_order)(x)


__all__ = bridge_all(globals(), jax.scipy.special)

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...
