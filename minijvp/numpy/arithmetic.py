"""Arithmetic of two arrays, element by element."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from minijvp.core.types import PYTHON_SCALARS, Array, is_inexact, type_of
from minijvp.errors import ArgumentError
from minijvp.numpy.makers import (
    as_integer,
    binary,
    both_arrays,
    constant,
    for_booleans,
    of_its_kind,
    pick,
    require_real,
    surface,
    with_booleans_as_integers,
    zero_of,
)
from minijvp.numpy.promotion import array, cast, join, kind_of, letter_of, operand, promote_pair, same_shape
from minijvp.numpy.ufuncs import round_to_even
from minijvp.operations import bitwise, elementwise
from minijvp.operations import families as linear
from minijvp.operations.families import zeros

__all__ = [
    "add",
    "arctan2",
    "atan2",
    "copysign",
    "divide",
    "divmod",
    "float_power",
    "floor_divide",
    "fmod",
    "heaviside",
    "hypot",
    "logaddexp",
    "logaddexp2",
    "maximum",
    "minimum",
    "mod",
    "multiply",
    "nextafter",
    "pow",
    "power",
    "remainder",
    "subtract",
    "true_divide",
]

add = binary(jnp.add, for_booleans(bitwise.bitwise_or, linear.add))
subtract = binary(jnp.subtract, elementwise.sub)
multiply = binary(jnp.multiply, for_booleans(bitwise.bitwise_and, elementwise.mul))
divide = binary(jnp.divide, elementwise.div, inexact=True)
true_divide = divide
arctan2 = atan2 = binary(jnp.arctan2, elementwise.atan2, inexact=True)
nextafter = binary(jnp.nextafter, elementwise.nextafter, inexact=True, exact=True)


def _guarded(function: Callable[..., Any]) -> Callable[..., Any]:
    """A remainder of integers that is 0 where the divisor is."""

    def guarded(x: Array, y: Array) -> Array:
        return function(x, y if is_inexact(y.dtype) else pick(elementwise.eq(y, 0), 1, y))

    return guarded


def _floor_divide(x: Array, y: Array) -> Array:
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
    return round_to_even(pick(elementwise.eq(y, 0.0), elementwise.div(x, y), quotient))


def _remainder(x: Array, y: Array) -> Array:
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
def divmod(x: Array, y: Array, /) -> tuple[Any, Any]:
    """The rounded-down quotients, and the remainders."""
    return floor_divide(x, y), remainder(x, y)


@surface(jnp.power)
def power(x: Array, y: Array, /) -> Array:
    """x to the power y. An integer exponent that Python knows is a product of factors."""
    if isinstance(y, int):
        return _static_power(array(x, "power"), int(y))
    return _general_power(operand(x, "power"), operand(y, "power"))


def _power(x: Array, y: Array) -> Array:
    if type(x) not in PYTHON_SCALARS and is_inexact(x.dtype) and letter_of(type_of(y).dtype) in "iu":
        kind = join((kind_of(x), kind_of(y)))
        return elementwise.pow_(*same_shape("power", cast(x, kind), y))
    x, y = promote_pair("power", x, y)
    letter = letter_of((x if type(y) in PYTHON_SCALARS else y).dtype)
    return elementwise.pow_(x, y) if letter in "fc" else _integer_power(*map(as_integer, both_arrays(x, y)))


_general_power = of_its_kind(jnp.power, _power)


def _static_power(x: Array, n: int) -> Array:
    x = as_integer(x)
    letter = letter_of(x.dtype)
    if letter in "iu" and n < 0:
        raise ArgumentError(
            f"minijvp.numpy.power received {type_of(x)!r} and the exponent {n}.",
            "Integers to negative powers are no integers.",
            "Convert to float first: x.astype(float).",
        )
    return elementwise.square(x) if n == 2 else x if n == 1 else elementwise.integer_pow(x, y=n)


def _integer_power(x: Array, y: Array) -> Array:
    """By squaring, a bit of the exponent at a time."""
    out = constant(1, x)
    for _ in range(x.dtype.itemsize * 8):
        odd = elementwise.ne(bitwise.bitwise_and(y, 1), 0)
        out = pick(odd, elementwise.mul(out, x), out)
        x, y = elementwise.mul(x, x), bitwise.shift_right_logical(y, 1)
    return out


pow = power


@surface(jnp.float_power)
def float_power(x: Array, y: Array, /) -> Array:
    """x to the power y, in floating point."""
    return elementwise.pow_(*promote_pair("float_power", x, y, inexact=True))


def _logaddexp(x: Array, y: Array) -> Array:
    x, y = both_arrays(x, y)
    if elementwise.is_complex(x):
        return _logaddexp_complex(x, y)
    return elementwise.logaddexp(x, y)


def _logaddexp_complex(x: Array, y: Array) -> Array:
    shift = elementwise.max_(elementwise.real(x), elementwise.real(y))
    shift = pick(elementwise.is_finite(shift), shift, 0.0)
    shift = elementwise.complex_(shift, zeros(shape=shift.shape, dtype=shift.dtype))
    total = linear.add(elementwise.exp(elementwise.sub(x, shift)), elementwise.exp(elementwise.sub(y, shift)))
    return linear.add(elementwise.log(total), shift)


def _logaddexp2(x: Array, y: Array) -> Array:
    x, y = both_arrays(x, y)
    scale = math.log(2)
    return elementwise.div(_logaddexp(elementwise.mul(x, scale), elementwise.mul(y, scale)), scale)


def _hypot(x: Array, y: Array) -> Array:
    return elementwise.hypot(*[require_real(v, "hypot") for v in both_arrays(x, y)])


def _copysign(x: Array, y: Array) -> Array:
    x, y = both_arrays(x, y)
    # 1/-0 is negative, as -0 itself is not.
    sign_of_zero = elementwise.lt(elementwise.div(1.0, y), 0.0)
    below = pick(elementwise.eq(y, 0.0), sign_of_zero, elementwise.lt(y, 0.0))
    size = elementwise.abs_(x)
    return pick(below, elementwise.neg(size), size)


def _heaviside(x: Array, y: Array) -> Array:
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
