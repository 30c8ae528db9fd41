"""Special functions: the error, gamma, zeta, beta and Bessel functions.

Derivatives as in elementwise.py, by the same handbook: chapters 6, 7, 9, 23 and 26.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import lax

from minijvp.core.types import PYTHON_SCALARS, Array
from minijvp.errors import MissingRuleError
from minijvp.operations import accurate, incomplete_gamma
from minijvp.operations.bitwise import bitwise_and, bitwise_or
from minijvp.operations.elementwise import (
    abs_,
    div,
    eq,
    exp,
    full_like,
    ge,
    log,
    log1p,
    lt,
    mul,
    neg,
    round_,
    select_n,
    sin,
    square,
    sub,
)
from minijvp.operations.families import Elementwise, add, differ_in_jax


class SpecialFunction(Elementwise):
    """An elementwise primitive computed by a series or an iteration."""

    recomputable = "moderate"


def _no_derivative(name: str, argument: str) -> Callable[..., Any]:
    def tangent(*args: Any) -> Any:
        raise MissingRuleError(
            f"the derivative of {name} in its argument {argument} is not known to minijvp.",
            "It is no combination of the functions that there are.",
            f"Differentiate around it: stop_gradient({argument}).",
        )

    return tangent


# Error functions

gaussian = SpecialFunction("gaussian", accurate.gaussian, lambda t, out, x: mul(t, mul(mul(x, out), -2.0)))
erf = SpecialFunction("erf", lax.erf, lambda t, out, x: mul(t, mul(gaussian(x), 2 / math.sqrt(math.pi))))
erfc = SpecialFunction("erfc", lax.erfc, lambda t, out, x: mul(t, mul(gaussian(x), -2 / math.sqrt(math.pi))))
erf_inv = SpecialFunction(
    "erf_inv", lax.erf_inv, lambda t, out, x: mul(t, mul(exp(square(out)), math.sqrt(math.pi) / 2))
)

# Gamma and zeta functions


def _raised(x: Array, by: float) -> Array:
    return x + by if type(x) in PYTHON_SCALARS else add(x, by)


def _trigamma(x: Array) -> Array:
    """The derivative of digamma: zeta(2, x), reflected at 1/2 where x < 0 (6.4.7)."""
    left = lt(x, 0.0)
    right = zeta(2.0, select_n(left, x, sub(1.0, x)))
    distance = sub(x, round_(x, rounding_method=lax.RoundingMethod.TO_NEAREST_EVEN))  # to the nearest pole: exact
    reflected = div(math.pi, sin(mul(select_n(left, full_like(x, 0.5), distance), math.pi)))
    return select_n(left, right, sub(square(reflected), right))


lgamma = SpecialFunction("lgamma", lax.lgamma, lambda t, out, x: mul(t, digamma(x)))
digamma = SpecialFunction("digamma", lax.digamma, lambda t, out, x: mul(t, _trigamma(x)))
polygamma = SpecialFunction(
    "polygamma",
    lax.polygamma,
    _no_derivative("polygamma", "m"),
    lambda t, out, m, x: mul(t, polygamma(_raised(m, 1.0), x)),
)
zeta = SpecialFunction(
    "zeta",
    lax.zeta,
    _no_derivative("zeta", "x"),
    lambda t, out, x, q: neg(mul(t, mul(x, zeta(_raised(x, 1.0), q)))),
)


def _times(n: Array, logarithm: Any, x: Array, pole: float) -> Array:
    """n times a logarithm that is infinite at the pole: zero for n = 0 there too, as x**0 is 1 for x = 0."""
    return mul(n, logarithm(select_n(bitwise_and(eq(n, 0.0), eq(x, pole)), x, full_like(x, 1.0))))


def _gamma_density(out: Array, a: Array, x: Array) -> Array:
    """The derivative of igamma in x: x**(a-1) exp(-x) / gamma(a)."""
    a, x = full_like(out, a), full_like(out, x)
    return exp(sub(sub(_times(sub(a, 1.0), log, x, 0.0), x), lgamma(a)))


def _log_excess(out: Array, a: Array, x: Array) -> Array:
    """log x - digamma(a): the derivative of log(x**(a-1) / gamma(a)) in a."""
    return sub(log(full_like(out, x)), digamma(full_like(out, a)))


igamma = SpecialFunction(
    "igamma",
    lax.igamma,
    lambda t, out, a, x: mul(t, igamma_grad_a(a, x)),
    lambda t, out, a, x: mul(t, _gamma_density(out, a, x)),
)
igammac = SpecialFunction(
    "igammac",
    lax.igammac,
    lambda t, out, a, x: neg(mul(t, igamma_grad_a(a, x))),
    lambda t, out, a, x: neg(mul(t, _gamma_density(out, a, x))),
)


def _between_ends(out: Array, x: Array, slope: Callable[[Any], Any]) -> Array:
    """A derivative of what does not change at the ends of x, 0 and infinity: there it is zero."""
    x = full_like(out, x)
    at_end = bitwise_or(eq(x, 0.0), eq(x, math.inf))
    return select_n(at_end, slope(select_n(at_end, x, full_like(x, 1.0))), full_like(x, 0.0))


igamma_grad_a = SpecialFunction(
    "igamma_grad_a",
    lax.igamma_grad_a,
    lambda t, out, a, x: mul(
        t, _between_ends(out, x, lambda x: mul(_gamma_density(out, a, x), igamma_ratio(full_like(out, a), x, order=2)))
    ),
    lambda t, out, a, x: mul(t, mul(_gamma_density(out, a, x), _log_excess(out, a, x))),
)


def _density_slope(out: Array, a: Array, x: Array) -> Array:
    """The derivative of the logarithm of the density in x: (a - 1) / x - 1."""
    return sub(div(sub(full_like(out, a), 1.0), full_like(out, x)), 1.0)


def _derivative_of_density(out: Array, a: Array, x: Array, order: int) -> Array:
    """The derivative of the density in a, of an order, over the density, by those of its logarithm."""
    logs = [_log_excess(out, a, x), *[neg(polygamma(float(k), full_like(out, a))) for k in range(1, order)]]
    found = [full_like(out, 1.0)]
    for n in range(order):
        terms = [mul(mul(found[n - k], logs[k]), float(math.comb(n, k))) for k in range(n + 1)]
        found.append(functools.reduce(add, terms))
    return found[order]


def _ratio_in_a(out: Array, a: Array, x: Array, order: int) -> Array:
    """The derivative of igamma_ratio(a, x, order) = `out` in a."""
    further = lambda x: sub(igamma_ratio(full_like(out, a), x, order=order + 1), mul(out, _log_excess(out, a, x)))
    return _between_ends(out, x, further)


def _ratio_in_x(out: Array, a: Array, x: Array, order: int) -> Array:
    """The derivative of igamma_ratio(a, x, order) = `out` in x."""
    slope = lambda x: sub(_derivative_of_density(out, a, x, order), mul(out, _density_slope(out, a, x)))
    return _between_ends(out, x, slope)


igamma_ratio = SpecialFunction(
    "igamma_ratio",
    incomplete_gamma.igamma_ratio,
    lambda t, out, a, x, order: mul(t, _ratio_in_a(out, a, x, order)),
    lambda t, out, a, x, order: mul(t, _ratio_in_x(out, a, x, order)),
    doc="The derivative of igamma in a, of an order, over that in x: see minijvp.operations.incomplete_gamma.",
)
# It is the ratio of order 1 with the other sign.
random_gamma_grad = SpecialFunction(
    "random_gamma_grad",
    lax.random_gamma_grad,
    lambda t, out, a, x: neg(mul(t, _ratio_in_a(neg(out), a, x, 1))),
    lambda t, out, a, x: neg(mul(t, _ratio_in_x(neg(out), a, x, 1))),
)


def _beta_density(t: Array, out: Array, a: Array, b: Array, x: Array) -> Array:
    a, b = full_like(out, a), full_like(out, b)
    log_beta = sub(add(lgamma(a), lgamma(b)), lgamma(add(a, b)))
    powers = add(_times(sub(a, 1.0), log, x, 0.0), _times(sub(b, 1.0), log1p, neg(x), -1.0))
    return mul(t, exp(sub(powers, log_beta)))


regularized_incomplete_beta = SpecialFunction(
    "regularized_incomplete_beta",
    lax.betainc,
    _no_derivative("regularized_incomplete_beta", "a"),
    _no_derivative("regularized_incomplete_beta", "b"),
    _beta_density,
)

# Modified Bessel functions, times exp(-|x|): 9.6.26 to 9.6.28


def _outward(t: Array, x: Array) -> Array:
    """t where x > 0, -t where x < 0. At 0 it is t, as for abs: so exp(|x|) times i0e, which is i0, has derivative 0."""
    return select_n(ge(x, 0.0), neg(t), t)


def _bessel_ratio(i1e: Array, x: Array) -> Array:
    """i1e / x, which close to 0 is (1 - |x|) / 2."""
    tiny = lt(abs_(x), float(jnp.finfo(x.dtype).eps))
    return select_n(tiny, div(i1e, select_n(tiny, x, full_like(x, 1.0))), mul(sub(1.0, abs_(x)), 0.5))


bessel_difference = SpecialFunction(
    "bessel_difference",
    accurate.bessel_difference,
    lambda t, out, x: mul(t, _outward(sub(_bessel_ratio(bessel_i1e(x), x), mul(out, 2.0)), x)),
)
bessel_i0e = SpecialFunction(
    "bessel_i0e", lax.bessel_i0e, lambda t, out, x: mul(t, _outward(neg(bessel_difference(x)), x))
)
bessel_i1e = SpecialFunction(
    "bessel_i1e", lax.bessel_i1e, lambda t, out, x: mul(t, sub(bessel_difference(x), _bessel_ratio(out, x)))
)

differ_in_jax(gaussian, digamma, zeta, igamma, igammac, igamma_grad_a, igamma_ratio, random_gamma_grad)
differ_in_jax(regularized_incomplete_beta, bessel_difference, bessel_i0e, bessel_i1e)
