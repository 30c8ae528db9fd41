"""Functions that derivatives are made of, right to a few units in the last place over their whole domain.

Written as a formula of the result of a function, or as the formula of a textbook, they would cancel or overflow. They
are functions of jax.lax; the primitives of elementwise.py and special.py that they implement have their derivatives.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from minijvp.core.types import Array


def share(x: Array, y: Array) -> Array:
    """exp(x) / (exp(x) + exp(y)): a half where the two tie, be it at infinity.

    It is logistic(x - y), corrected for the rounding of x - y (D. E. Knuth, TAOCP 2, 4.2.2, theorem B).
    """
    x, y = jnp.broadcast_arrays(x, y)
    one, zero = like(x, 1), lax.full_like(x, 0)
    difference = lax.select(lax.eq(x, y), zero, lax.sub(x, y))
    change = lax.sub(difference, x)
    rounding = lax.sub(lax.sub(x, lax.sub(difference, change)), lax.add(y, change))
    rounding = lax.select(lax.is_finite(rounding), rounding, zero)
    out = lax.logistic(difference)
    return lax.mul(out, lax.add(one, lax.mul(rounding, lax.sub(one, out))))


def like(x: Array, value: Any) -> Array:
    """A number of the dtype of `x`, as weakly typed as that."""
    return lax.full_like(x, value, shape=()) if x.weak_type else x.dtype.type(value)


def is_left(x: Array) -> Array:
    """Where the real parts of complex numbers are negative."""
    return lax.lt(lax.real(x), like(lax.real(x), 0))


def logistic_slope(x: Array, y: Array) -> Array:
    """The derivative of y = logistic(x): y logistic(-x), for complex x from the side where exp does not overflow."""
    if x.dtype.kind != "c":
        return lax.mul(y, lax.logistic(lax.neg(x)))
    x, y = lax.select(is_left(x), lax.neg(x), x), lax.select(is_left(x), lax.sub(like(y, 1), y), y)
    return lax.square(lax.mul(lax.exp(lax.mul(x, like(x, -0.5))), y))


def tanh_slope(x: Array, y: Array) -> Array:
    """The derivative of y = tanh(x): (2 / (exp(x) + exp(-x)))**2, for complex x from where exp does not overflow."""
    if x.dtype.kind != "c":
        e = lax.exp(x)
        return lax.square(lax.div(like(y, 2), lax.add(e, lax.div(like(x, 1), e))))
    x, y = lax.select(is_left(x), lax.neg(x), x), lax.select(is_left(x), lax.neg(y), y)
    return lax.square(lax.mul(lax.exp(lax.neg(x)), lax.add(y, like(y, 1))))


def asinh_slope(x: Array) -> Array:
    """1 / sqrt(1 + x*x), of real x also where x*x overflows."""
    one = like(x, 1)
    if x.dtype.kind == "c":
        return lax.rsqrt(lax.add(one, lax.square(x)))
    larger, smaller = lax.max(lax.abs(x), one), lax.min(lax.abs(x), one)
    return lax.div(lax.rsqrt(lax.add(one, lax.square(lax.div(smaller, larger)))), larger)


def atan2_slope(x: Array, y: Array) -> Array:
    """x / (x*x + y*y), by R. L. Smith's way to divide (CACM 5(8), 1962): nothing on the way overflows."""
    x, y = jnp.broadcast_arrays(x, y)
    one, is_larger = lax.full_like(x, 1), lax.ge(lax.abs(x), lax.abs(y))
    larger, smaller = lax.select(is_larger, x, y), lax.select(is_larger, y, x)
    size = lax.abs(smaller)
    ratio = lax.select(lax.eq(size, like(size, np.inf)), one, lax.div(smaller, larger))
    return lax.div(lax.select(is_larger, one, ratio), lax.add(larger, lax.mul(smaller, ratio)))


def hypot(x: Array, y: Array) -> Array:
    """sqrt(x*x + y*y), also where the squares overflow; infinite if x or y is, whatever the other one is."""
    larger, root, _ = scaled_root(x, y)
    infinite = lax.full_like(larger, np.inf)
    any_is = lax.bitwise_or(lax.eq(lax.abs(x), infinite), lax.eq(lax.abs(y), infinite))
    return lax.select(any_is, infinite, lax.mul(larger, root))


def hypot_slope(x: Array, y: Array) -> Array:
    """x / hypot(x, y), also where that overflows. At 0 it is 0; infinities count as equal."""
    x, y = jnp.broadcast_arrays(x, y)
    larger, root, divisor = scaled_root(x, y)
    return lax.div(lax.select(lax.eq(lax.abs(x), larger), lax.sign(x), lax.div(x, divisor)), root)


def scaled_root(x: Array, y: Array) -> tuple[Any, Any, Any]:
    """The larger of |x| and |y|, what hypot(x, y) is of that, and that itself to divide by, with 1 for 0."""
    x, y = lax.abs(x), lax.abs(y)
    larger, smaller = lax.max(x, y), lax.min(x, y)
    one, number = lax.full_like(larger, 1), partial(like, larger)
    divisor = lax.select(lax.eq(larger, number(0)), one, larger)
    ratio = lax.select(lax.eq(smaller, number(np.inf)), one, lax.div(smaller, divisor))
    return larger, lax.sqrt(lax.add(lax.square(ratio), number(1))), divisor


def gaussian(x: Array) -> Array:
    """exp(-x*x) as exp(-a*a - r), with a the leading half of the digits of x, so that its square is exact."""
    dtype = x.dtype
    x = lax.convert_element_type(x, np.float32) if dtype.itemsize < 4 else x
    number, limits = partial(like, x), jnp.finfo(x.dtype)
    x = lax.clamp(number(-32), x, number(32))
    a = lax.reduce_precision(x, int(limits.nexp), (int(limits.nmant) - 1) // 2)
    r = lax.mul(lax.sub(x, a), lax.add(x, a))
    series = lax.full_like(x, 1)  # for exp(-r): XLA would make one exponential of the product of two
    for n in (3, 2, 1):
        series = lax.sub(number(1), lax.mul(lax.mul(r, number(1 / n)), series))
    return lax.convert_element_type(lax.mul(lax.exp(lax.neg(lax.square(a))), series), dtype)


BESSEL_DIFFERENCE = """
    0.841136195896913 -0.3750535940448886 0.08028095209223919 0.07795756030476494 -0.11191755996849949
    0.07803500882318859 -0.032605527707710476 0.00454709095305593 0.004220853667560253 -0.0033720714837394143
    0.0010383932345695624 -2.7278811840040383e-06 -8.407433202550116e-05 -9.311550186966994e-06 2.5967933183263177e-05
    -6.9178642628754615e-06 -1.1898676533391837e-06 4.856949831735075e-08 7.667588808256818e-07 -2.6835442679952166e-07
    -2.1646554698352118e-08 -1.4388076080749394e-08 3.4318551883080397e-08 -8.801257547227013e-09
    -4.366927589228016e-10 -2.104756497695442e-09 1.6622969755272586e-09 -1.9875253171287237e-10 8.666680371180942e-11
    -1.8661901896772383e-10 6.178107076252674e-11 -5.780423563152356e-12 1.7306384159376995e-11 -1.066035284383162e-11
    1.3329243480084662e-12 -1.507184231143725e-12 1.5100475586004866e-12 -3.064156649965047e-13 1.350774808386781e-13
    -1.979501774447586e-13 5.818660418178108e-14 -1.3377781898145043e-14 2.536652875110513e-14 -9.863954710223097e-15
    1.4936412736251185e-15 -3.2713253822266935e-15 1.5765028657854808e-15 -1.7943588684187414e-16 4.317113607010875e-16
    -2.450240332191052e-16 2.1240552124683093e-17 -5.89448049007405e-17 3.766512349060051e-17
"""
"""Chebyshev coefficients of (1 + 2x)**1.5 (i0e(x) - i1e(x)), x >= 0, in 1 - 12 / (x + 6), interpolated by mpmath."""

IN_SINGLE_PRECISION = 24
"""So many of them suffice there."""


def bessel_difference(x: Array) -> Array:
    """bessel_i0e(x) - bessel_i1e(|x|), by C. W. Clenshaw's recurrence (MTAC 9, 1955)."""
    number, x = partial(like, x), lax.abs(x)
    coefficients = [number(float(c)) for c in BESSEL_DIFFERENCE.split()]
    first, *others = coefficients if x.dtype == np.float64 else coefficients[:IN_SINGLE_PRECISION]
    argument = lax.sub(number(1), lax.div(number(12), lax.add(x, number(6))))
    out = later = lax.full_like(x, 0)
    for c in reversed(others):
        out, later = lax.add(lax.sub(lax.mul(lax.mul(argument, number(2)), out), later), c), out
    scale = lax.add(lax.mul(x, number(2)), number(1))
    return lax.div(lax.add(lax.sub(lax.mul(argument, out), later), first), lax.mul(scale, lax.sqrt(scale)))
