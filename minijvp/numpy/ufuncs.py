"""Functions that work element by element: elementary functions, parts of numbers, rounding, arithmetic."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import lax

from minijvp.core.types import PYTHON_SCALARS, is_inexact, type_of, x64_enabled
from minijvp.errors import ArgumentError
from minijvp.numpy.makers import (
    as_integer,
    binary,
    both_arrays,
    constant,
    for_booleans,
    kind_of_result,
    magnitude,
    of_its_kind,
    pick,
    require_real,
    unary,
    unary_inexact,
    unary_of_fractions,
    with_booleans_as_integers,
    zero_of,
)
from minijvp.numpy.promotion import (
    array,
    as_dtype,
    cast,
    converted,
    join,
    kind_of,
    letter_of,
    operand,
    promote_pair,
    refuse,
    same_shape,
    surface,
)
from minijvp.operations import bitwise, elementwise
from minijvp.operations import families as linear
from minijvp.operations.families import zeros

__all__ = [
    "abs",
    "absolute",
    "acos",
    "acosh",
    "add",
    "angle",
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctan2",
    "arctanh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "cbrt",
    "ceil",
    "conj",
    "conjugate",
    "copysign",
    "cos",
    "cosh",
    "deg2rad",
    "degrees",
    "divide",
    "divmod",
    "exp",
    "exp2",
    "expm1",
    "fabs",
    "float_power",
    "floor",
    "floor_divide",
    "fmod",
    "heaviside",
    "hypot",
    "imag",
    "log",
    "log1p",
    "log2",
    "log10",
    "logaddexp",
    "logaddexp2",
    "maximum",
    "minimum",
    "mod",
    "multiply",
    "negative",
    "nextafter",
    "positive",
    "pow",
    "power",
    "rad2deg",
    "radians",
    "real",
    "reciprocal",
    "remainder",
    "rint",
    "round",
    "sign",
    "sin",
    "sinc",
    "sinh",
    "sqrt",
    "square",
    "subtract",
    "tan",
    "tanh",
    "true_divide",
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


def _sinc(x: Any) -> Any:
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


def _imag(x: Any) -> Any:
    return elementwise.imag(x) if elementwise.is_complex(x) else constant(0, x)


def _real(x: Any) -> Any:
    return elementwise.real(x) if elementwise.is_complex(x) else x


def _round_to_even(x: Any) -> Any:
    if not elementwise.is_complex(x):
        return elementwise.round_(x, rounding_method=lax.RoundingMethod.TO_NEAREST_EVEN)
    return elementwise.complex_(_round_to_even(elementwise.real(x)), _round_to_even(elementwise.imag(x)))


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
def rint(x: Any, /) -> Any:
    """The nearest integers as floating numbers, halves to even."""
    x = array(x, "rint")
    return _round_to_even(x if is_inexact(x.dtype) else cast(x, (as_dtype(float), False)))


@surface(jnp.round)
def round(a: Any, decimals: int = 0, out: None = None) -> Any:
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
        return _round_to_even(x)
    factor = float(10**decimals)
    return elementwise.div(_round_to_even(elementwise.mul(converted(x, x.dtype), factor)), factor)


@surface(jnp.angle)
def angle(z: Any, deg: bool = False) -> Any:
    """The angle of complex numbers in radians, or in degrees."""
    z = array(z, "angle")
    dtype, weak = kind_of_result(jnp.angle, x64_enabled(), type_of(z))
    z = z if is_inexact(z.dtype) else converted(z, as_dtype(float))
    out = elementwise.atan2(_imag(z), _real(z))
    return converted(elementwise.mul(out, 180 / math.pi) if deg else out, dtype, weak and not deg)


# Arithmetic

add = binary(jnp.add, for_booleans(bitwise.bitwise_or, linear.add))
subtract = binary(jnp.subtract, elementwise.sub)
multiply = binary(jnp.multiply, for_booleans(bitwise.bitwise_and, elementwise.mul))
divide = binary(jnp.divide, elementwise.div, inexact=True)
true_divide = divide
arctan2 = binary(jnp.arctan2, elementwise.atan2, inexact=True)
nextafter = binary(jnp.nextafter, elementwise.nextafter, inexact=True, exact=True)


def _guarded(function: Callable[..., Any]) -> Callable[..., Any]:
    """A remainder of integers that is 0 where the divisor is."""

    def guarded(x: Any, y: Any) -> Any:
        return function(x, y if is_inexact(y.dtype) else pick(elementwise.eq(y, 0), 1, y))

    return guarded


def _floor_divide(x: Any, y: Any) -> Any:
    letter = letter_of(x.dtype)
    if letter == "u":
        return elementwise.div(x, y)
    remainder = elementwise.rem(x, y)
    down = bitwise.bitwise_and(
        elementwise.ne(remainder, zero_of(x)), elementwise.ne(elementwise.sign(remainder), elementwise.sign(y))
    )
    if letter == "i":
        quotient = elementwise.div(x, y)
        return pick(down, elementwise.sub(quotient, 1), quotient)
    quotient = elementwise.div(elementwise.sub(x, remainder), y)
    quotient = pick(down, elementwise.sub(quotient, 1.0), quotient)
    return _round_to_even(pick(elementwise.eq(y, 0.0), elementwise.div(x, y), quotient))


def _remainder(x: Any, y: Any) -> Any:
    remainder = elementwise.rem(x, y)
    if letter_of(x.dtype) == "u":
        return remainder
    zero = zero_of(x)
    opposite = elementwise.ne(elementwise.lt(remainder, zero), elementwise.lt(y, zero))
    up = bitwise.bitwise_and(opposite, elementwise.ne(remainder, zero))
    return pick(up, linear.add(remainder, y), remainder)


floor_divide = binary(jnp.floor_divide, with_booleans_as_integers(_floor_divide))
remainder = binary(jnp.remainder, with_booleans_as_integers(_guarded(_remainder)))
mod = remainder
fmod = binary(jnp.fmod, with_booleans_as_integers(_guarded(elementwise.rem)))


@surface(jnp.divmod)
def divmod(x: Any, y: Any, /) -> tuple[Any, Any]:
    """The rounded-down quotients, and the remainders."""
    return floor_divide(x, y), remainder(x, y)


@surface(jnp.power)
def power(x: Any, y: Any, /) -> Any:
    """x to the power y. An integer exponent that Python knows is a product of factors."""
    if isinstance(y, int):
        return _static_power(array(x, "power"), int(y))
    return _general_power(operand(x, "power"), operand(y, "power"))


def _power(x: Any, y: Any) -> Any:
    if type(x) not in PYTHON_SCALARS and is_inexact(x.dtype) and letter_of(type_of(y).dtype) in "iu":
        kind = join((kind_of(x), kind_of(y)))
        return elementwise.pow_(*same_shape("power", cast(x, kind), y))
    x, y = promote_pair("power", x, y)
    letter = letter_of((x if type(y) in PYTHON_SCALARS else y).dtype)
    return elementwise.pow_(x, y) if letter in "fc" else _integer_power(*map(as_integer, both_arrays(x, y)))


_general_power = of_its_kind(jnp.power, _power)


def _static_power(x: Any, n: int) -> Any:
    x = as_integer(x)
    letter = letter_of(x.dtype)
    if letter in "iu" and n < 0:
        raise ArgumentError(
            f"minijvp.numpy.power received {type_of(x)!r} and the exponent {n}.",
            "Integers to negative powers are no integers.",
            "Convert to float first: x.astype(float).",
        )
    return elementwise.square(x) if n == 2 else x if n == 1 else elementwise.integer_pow(x, y=n)


def _integer_power(x: Any, y: Any) -> Any:
    """By squaring, a bit of the exponent at a time."""
    out = constant(1, x)
    for _ in range(x.dtype.itemsize * 8):
        odd = elementwise.ne(bitwise.bitwise_and(y, 1), 0)
        out = pick(odd, elementwise.mul(out, x), out)
        x, y = elementwise.mul(x, x), bitwise.shift_right_logical(y, 1)
    return out


pow = power


@surface(jnp.float_power)
def float_power(x: Any, y: Any, /) -> Any:
    """x to the power y, in floating point."""
    return elementwise.pow_(*promote_pair("float_power", x, y, inexact=True))


def _logaddexp(x: Any, y: Any) -> Any:
    x, y = both_arrays(x, y)
    if elementwise.is_complex(x):
        return _logaddexp_complex(x, y)
    return elementwise.logaddexp(x, y)


def _logaddexp_complex(x: Any, y: Any) -> Any:
    shift = elementwise.max_(elementwise.real(x), elementwise.real(y))
    shift = pick(elementwise.is_finite(shift), shift, 0.0)
    shift = elementwise.complex_(shift, zeros(shape=shift.shape, dtype=shift.dtype))
    total = linear.add(elementwise.exp(elementwise.sub(x, shift)), elementwise.exp(elementwise.sub(y, shift)))
    return linear.add(elementwise.log(total), shift)


def _logaddexp2(x: Any, y: Any) -> Any:
    x, y = both_arrays(x, y)
    scale = math.log(2)
    return elementwise.div(_logaddexp(elementwise.mul(x, scale), elementwise.mul(y, scale)), scale)


def _hypot(x: Any, y: Any) -> Any:
    return elementwise.hypot(*[require_real(v, "hypot") for v in both_arrays(x, y)])


def _copysign(x: Any, y: Any) -> Any:
    x, y = both_arrays(x, y)
    # 1/-0 is negative, as -0 itself is not.
    sign_of_zero = elementwise.lt(elementwise.div(1.0, y), 0.0)
    below = pick(elementwise.eq(y, 0.0), sign_of_zero, elementwise.lt(y, 0.0))
    size = elementwise.abs_(x)
    return pick(below, elementwise.neg(size), size)


def _heaviside(x: Any, y: Any) -> Any:
    x, y = both_arrays(x, y)
    step = pick(elementwise.lt(x, 0.0), 0.0, constant(1, x))
    out = pick(elementwise.eq(x, 0.0), y, step)
    return pick(elementwise.ne(x, x), x, out)


logaddexp = binary(jnp.logaddexp, _logaddexp, inexact=True, exact=True)
logaddexp2 = binary(jnp.logaddexp2, _logaddexp2, inexact=True, exact=True)
hypot = binary(jnp.hypot, _hypot, inexact=True, exact=True)
copysign = binary(jnp.copysign, _copysign, inexact=True, exact=True)
heaviside = binary(jnp.heaviside, _heaviside, inexact=True, exact=True)
maximum = binary(jnp.maximum, elementwise.max_)
minimum = binary(jnp.minimum, elementwise.min_)

asin, acos, atan, asinh, acosh, atanh, atan2 = arcsin, arccos, arctan, arcsinh, arccosh, arctanh, arctan2
