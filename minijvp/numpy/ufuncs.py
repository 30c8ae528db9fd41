"""Functions of one array, element by element: elementary functions, parts of numbers, rounding."""

from __future__ import annotations

import math
import operator

import jax.numpy as jnp
from jax import lax

from minijvp.core.types import Array, is_inexact, type_of, x64_enabled
from minijvp.errors import ArgumentError
from minijvp.numpy.makers import (
    as_integer,
    constant,
    kind_of_result,
    magnitude,
    pick,
    require_real,
    surface,
    unary,
    unary_inexact,
    unary_of_fractions,
)
from minijvp.numpy.promotion import array, as_dtype, cast, converted, refuse
from minijvp.operations import elementwise
from minijvp.operations import families as linear

__all__ = [
    "abs",
    "absolute",
    "acos",
    "acosh",
    "angle",
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctanh",
    "asin",
    "asinh",
    "atan",
    "atanh",
    "cbrt",
    "ceil",
    "conj",
    "conjugate",
    "cos",
    "cosh",
    "deg2rad",
    "degrees",
    "exp",
    "exp2",
    "expm1",
    "fabs",
    "floor",
    "imag",
    "log",
    "log1p",
    "log2",
    "log10",
    "negative",
    "positive",
    "rad2deg",
    "radians",
    "real",
    "reciprocal",
    "rint",
    "round",
    "sign",
    "sin",
    "sinc",
    "sinh",
    "sqrt",
    "square",
    "tan",
    "tanh",
    "trunc",
]

# Elementary functions

sin = unary_inexact(jnp.sin, elementwise.sin)
cos = unary_inexact(jnp.cos, elementwise.cos)
tan = unary_inexact(jnp.tan, elementwise.tan)
arcsin = unary_inexact(jnp.arcsin, elementwise.asin)
arccos = unary_inexact(jnp.arccos, elementwise.acos)
arctan = unary_inexact(jnp.arctan, elementwise.atan)
sinh = unary_inexact(jnp.sinh, elementwise.sinh)
cosh = unary_inexact(jnp.cosh, elementwise.cosh)
tanh = unary_inexact(jnp.tanh, elementwise.tanh)
arcsinh = unary_inexact(jnp.arcsinh, elementwise.asinh)
arccosh = unary_inexact(jnp.arccosh, elementwise.acosh)
arctanh = unary_inexact(jnp.arctanh, elementwise.atanh)
exp = unary_inexact(jnp.exp, elementwise.exp)
exp2 = unary_inexact(jnp.exp2, elementwise.exp2)
expm1 = unary_inexact(jnp.expm1, elementwise.expm1)
log = unary_inexact(jnp.log, elementwise.log)
log1p = unary_inexact(jnp.log1p, elementwise.log1p)
log2 = unary_inexact(jnp.log2, lambda x: elementwise.mul(elementwise.log(x), 1 / math.log(2)), exact=True)
log10 = unary_inexact(jnp.log10, lambda x: elementwise.mul(elementwise.log(x), 1 / math.log(10)), exact=True)
sqrt = unary_inexact(jnp.sqrt, elementwise.sqrt)
cbrt = unary_inexact(jnp.cbrt, elementwise.cbrt)
reciprocal = unary_inexact(jnp.reciprocal, lambda x: elementwise.div(1.0, x))
deg2rad = radians = unary_inexact(jnp.deg2rad, lambda x: elementwise.mul(x, math.pi / 180), exact=True)
rad2deg = degrees = unary_inexact(jnp.rad2deg, lambda x: elementwise.mul(x, 180 / math.pi), exact=True)


SINC = [(-1) ** n / math.factorial(2 * n + 1) for n in range(13)]
"""Coefficients of sin(x) / x in x**2: so many give it, and its derivatives, for |x| < 2 in double precision."""


def _sinc(x: Array) -> Array:
    # The quotient cancels in its derivative: cos(x) / x - sin(x) / x**2. The series is right in every order.
    scaled = elementwise.mul(x, math.pi)
    small = elementwise.lt(magnitude(scaled), 2.0)
    squared = elementwise.square(pick(small, scaled, 0.0))
    series = constant(SINC[-1], x)
    for c in reversed(SINC[:-1]):
        series = linear.add(elementwise.mul(series, squared), c)
    safe = pick(small, 1.0, scaled)
    return pick(small, series, elementwise.div(elementwise.sin(safe), safe))


sinc = unary_inexact(jnp.sinc, _sinc, exact=True)

# Parts, signs and rounding


def _imag(x: Array) -> Array:
    return elementwise.imag(x) if elementwise.is_complex(x) else constant(0, x)


def _real(x: Array) -> Array:
    return elementwise.real(x) if elementwise.is_complex(x) else x


def round_to_even(x: Array) -> Array:
    """The nearest integers, halves to even; of complex numbers, of both parts."""
    if not elementwise.is_complex(x):
        return elementwise.round_(x, rounding_method=lax.RoundingMethod.TO_NEAREST_EVEN)
    return elementwise.complex_(round_to_even(elementwise.real(x)), round_to_even(elementwise.imag(x)))


negative = unary(jnp.negative, elementwise.neg)
positive = unary(jnp.positive, lambda x: x)
absolute = unary(jnp.abs, magnitude)
abs = absolute
fabs = unary_inexact(jnp.fabs, lambda x: elementwise.abs_(require_real(x, "fabs")))
sign = unary(jnp.sign, elementwise.sign)
square = unary(
    jnp.square,
    lambda x: elementwise.square(as_integer(x)),
)
real = unary(jnp.real, _real)
imag = unary(jnp.imag, _imag)
conjugate = unary(jnp.conjugate, lambda x: elementwise.conj(x, input_dtype=x.dtype) if elementwise.is_complex(x) else x)
conj = conjugate
floor = unary_of_fractions(jnp.floor, elementwise.floor)
ceil = unary_of_fractions(jnp.ceil, elementwise.ceil)
trunc = unary_of_fractions(
    jnp.trunc, lambda x: elementwise.select_n(elementwise.lt(x, 0.0), elementwise.floor(x), elementwise.ceil(x))
)


@surface(jnp.rint)
def rint(x: Array, /) -> Array:
    """The nearest integers as floating numbers, halves to even."""
    x = array(x, "rint")
    return round_to_even(x if is_inexact(x.dtype) else cast(x, (as_dtype(float), False)))


@surface(jnp.round)
def round(a: Array, decimals: int = 0, out: None = None) -> Array:
    """The elements rounded to so many decimals, halves to even."""
    refuse("round", "out", out)
    x = array(a, "round")
    if not is_inexact(x.dtype):
        if decimals < 0:
            raise ArgumentError(
                "minijvp.numpy.round received integers and decimals < 0.", "", "Convert to float first."
            )
        return x
    decimals = operator.index(decimals)
    if decimals == 0:
        return round_to_even(x)
    factor = float(10**decimals)
    return elementwise.div(round_to_even(elementwise.mul(converted(x, x.dtype), factor)), factor)


@surface(jnp.angle)
def angle(z: Array, deg: bool = False) -> Array:
    """The angle of complex numbers in radians, or in degrees."""
    z = array(z, "angle")
    dtype, weak = kind_of_result(jnp.angle, x64_enabled(), type_of(z))
    z = z if is_inexact(z.dtype) else converted(z, as_dtype(float))
    out = elementwise.atan2(_imag(z), _real(z))
    return converted(elementwise.mul(out, 180 / math.pi) if deg else out, dtype, weak and not deg)


asin, acos, atan, asinh, acosh, atanh = arcsin, arccos, arctan, arcsinh, arccosh, arctanh
