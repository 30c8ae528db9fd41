"""The functions of jax.scipy.special, for every transformation of minijvp."""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Any

import jax.scipy.special

import minijvp.numpy as mnp
from minijvp.higher_order.custom_rules import custom_jvp
from minijvp.interop.from_jax import from_jax
from minijvp.interop.surface import bridge_all
from minijvp.lax.elementwise import bessel_i0e, bessel_i1e
from minijvp.nn.functions import logsumexp as logsumexp
from minijvp.nn.functions import normal_density
from minijvp.numpy.promotion import promote_pair
from minijvp.numpy.restated import restated, with_derivative
from minijvp.numpy.ufuncs import both_arrays
from minijvp.operations.elementwise import absorbing_mul

# Number by number, since in JAX 0.12 its rule for second derivatives takes no arrays.
erfcx = restated(jax.scipy.special, "erfcx")(from_jax(jax.numpy.vectorize(jax.scipy.special.erfcx)))


def _absorbing(name: str, logarithm: Any, slope: Any, pole: float) -> Any:
    """A function x f(y) for a logarithm f: where x is 0, it is flat in y, also at the pole."""
    ruled = custom_jvp(from_jax(getattr(jax.scipy.special, name)))

    def in_y(t: Any, out: Any, x: Any, y: Any) -> Any:
        return absorbing_mul(t, slope(x, mnp.where((x == 0) & (y == pole), 1, y)))

    ruled.defjvps(lambda t, out, x, y: absorbing_mul(t, logarithm(y)), in_y)
    return restated(jax.scipy.special, name)(lambda x, y: ruled(*both_arrays(*promote_pair(name, x, y, inexact=True))))


xlogy = _absorbing("xlogy", mnp.log, lambda x, y: x / y, 0)
xlog1py = _absorbing("xlog1py", mnp.log1p, lambda x, y: x / (1 + y), -1)


def _spence_slope(x: Any) -> Any:
    largest = float(mnp.finfo(x.dtype).max)
    at_one = 1 - x
    series = -1 - at_one * (0.5 + at_one / 3)
    return mnp.where(x == 1, series, mnp.log(mnp.minimum(x, largest)) / mnp.where(x == 1, 1, at_one))


def _inverse_mills_ratio(x: Any) -> Any:
    """The density of the normal distribution over its distribution function: A&S 26.2.1, 26.2.2."""
    is_left = x < 0
    left = math.sqrt(2 / math.pi) / erfcx(mnp.where(is_left, x, 0) * -math.sqrt(0.5))
    right = mnp.where(is_left, 0, x)
    return mnp.where(is_left, left, normal_density(right) / ndtr(right))


def _i1_slope(x: Any) -> Any:
    tiny = mnp.abs(x) < float(mnp.finfo(x.dtype).eps)
    ratio = mnp.where(tiny, (1 - mnp.abs(x)) / 2, bessel_i1e(x) / mnp.where(tiny, 1, x))
    return mnp.exp(mnp.abs(x)) * (bessel_i0e(x) - ratio)


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
def log_ndtr(x: Any, series_order: int = 3) -> Any:
    """The logarithm of the distribution function of the normal distribution."""
    return _log_ndtr(series_order)(x)


__all__ = bridge_all(globals(), jax.scipy.special)

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...
