"""Functions that work element by element: arithmetic, elementary functions, comparisons, logic, choice."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from minijvp.core.types import ARRAY_CLASSES, PYTHON_SCALARS, ArrayType, is_inexact, type_of, x64_enabled
from minijvp.errors import ArgumentError
from minijvp.numpy.promotion import (
    Kind,
    array,
    as_dtype,
    broadcast,
    cast,
    common_shape,
    converted,
    inexact_kind,
    join,
    kind_of,
    letter_of,
    operand,
    promote,
    promote_pair,
    refuse,
    same_shape,
    surface,
)
from minijvp.operations import bitwise, elementwise
from minijvp.operations import families as linear
from minijvp.operations.families import broadcast_in_dim, zeros


def unary(original: Callable[..., Any], primitive: Callable[..., Any]) -> Callable[..., Any]:
    """A function of one array of any dtype."""
    name = original.__name__

    def traced(x: Any, /) -> Any:
        return primitive(array(x, name))

    return surface(original)(traced)


def unary_inexact(
    original: Callable[..., Any], primitive: Callable[..., Any], exact: bool = False
) -> Callable[..., Any]:
    """A function of one array that turns integers into floating numbers first."""
    name = original.__name__

    def traced(x: Any, /) -> Any:
        if type(x) not in ARRAY_CLASSES:
            x = array(x, name)
        return primitive(x if is_inexact(x.dtype) else cast(x, inexact_kind(kind_of(x))))

    return surface(original)(of_its_kind(original, traced) if exact else traced)


def unary_of_fractions(original: Callable[..., Any], function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of one array that returns integers as they are."""
    name = original.__name__

    def traced(x: Any, /) -> Any:
        x = array(x, name)
        return function(x) if is_inexact(x.dtype) else x

    return surface(original)(traced)


def binary(
    original: Callable[..., Any], function: Callable[..., Any], inexact: bool = False, exact: bool = False
) -> Callable[..., Any]:
    """A function of two arrays of a common dtype and shape; with `inexact`, a floating dtype."""
    name = original.__name__

    def traced(x: Any, y: Any, /) -> Any:
        return function(*promote_pair(name, x, y, inexact))

    return surface(original)(of_its_kind(original, traced) if exact else traced)


def of_its_kind(original: Callable[..., Any], function: Callable[..., Any]) -> Callable[..., Any]:
    """A traced function whose result is as weakly typed as that of jax.numpy, where that follows no rule."""

    def exactly(*xs: Any) -> Any:
        out = function(*xs)
        _, weak = kind_of_result(original, x64_enabled(), *map(type_of, xs))
        return converted(out, out.dtype, weak)

    return exactly


@lru_cache(maxsize=4096)
def kind_of_result(original: Callable[..., Any], x64: bool, *types: ArrayType) -> Kind:
    """The kind of the result of a function of jax.numpy, where that follows no rule."""
    arguments = [jax.ShapeDtypeStruct(t.shape, t.dtype, weak_type=t.weak_type) for t in types]
    out = jax.eval_shape(original, *arguments)
    return out.dtype, bool(out.weak_type)


def for_booleans(boolean: Callable[..., Any], number: Callable[..., Any]) -> Callable[..., Any]:
    """One function for booleans, another for numbers."""

    def function(x: Any, y: Any) -> Any:
        kind = x.dtype if type(x) in ARRAY_CLASSES else y.dtype
        return boolean(x, y) if kind == np.bool_ else number(x, y)

    return function


def constant(value: Any, like: Any) -> Any:
    """`value` in every place of an array of the shape and dtype of `like`."""
    t = type_of(like)
    return broadcast_in_dim(literal(value, (t.dtype, t.weak_type)), shape=t.shape, broadcast_dimensions=())


def pick(condition: Any, x: Any, y: Any) -> Any:
    """Element by element, x where the condition holds and y elsewhere; one of the two may be a Python scalar."""
    x = constant(x, y) if type(x) in PYTHON_SCALARS else x
    y = constant(y, x) if type(y) in PYTHON_SCALARS else y
    return elementwise.select_n(condition, y, x)


def truth(x: Any) -> Any:
    """Where x is not zero."""
    if type(x) in PYTHON_SCALARS:
        return bool(x)
    return x if x.dtype == np.bool_ else elementwise.ne(x, zero_of(x))


def zero_of(x: Any) -> Any:
    """The Python scalar 0 of the sort of x."""
    return {"f": 0.0, "c": 0.0, "b": False}.get(letter_of(x.dtype), 0)


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


def require_real(x: Any, function: str) -> Any:
    """`x` itself. Raises ArgumentError for complex numbers."""
    if type(x) in ARRAY_CLASSES and elementwise.is_complex(x):
        raise ArgumentError(
            f"minijvp.numpy.{function} received {type_of(x)!r}.",
            "It is not defined for complex numbers.",
            "Apply it to mnp.real(x), mnp.imag(x) or mnp.abs(x).",
        )
    return x


def magnitude(x: Any) -> Any:
    """The absolute value of numbers of every sort."""
    return x if letter_of(x.dtype) in "ub" else elementwise.abs_(x)


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


def both_arrays(x: Any, y: Any) -> tuple[Any, Any]:
    """Two operands, of which one may be a Python scalar, as arrays."""
    return (constant(x, y) if type(x) in PYTHON_SCALARS else x), (constant(y, x) if type(y) in PYTHON_SCALARS else y)


def with_booleans_as_integers(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` of two arrays, for which booleans count as int32."""

    def of_integers(x: Any, y: Any) -> Any:
        x, y = both_arrays(x, y)
        return function(as_integer(x), as_integer(y))

    return of_integers


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


def as_integer(x: Any) -> Any:
    """`x`, with booleans as int32."""
    return cast(x, (np.dtype(np.int32), False)) if type_of(x).dtype == np.bool_ else x


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

# Comparisons, logic and bits


def _lexicographic(compare: Callable[..., Any], strictly: Callable[..., Any]) -> Callable[..., Any]:
    """An order of numbers; complex ones are ordered by real parts, equal ones of these by imaginary parts."""

    def function(x: Any, y: Any) -> Any:
        if letter_of((x if type(x) in ARRAY_CLASSES else y).dtype) != "c":
            return compare(x, y)
        x, y = both_arrays(x, y)
        first, second = (elementwise.real(x), elementwise.real(y)), (elementwise.imag(x), elementwise.imag(y))
        return pick(elementwise.eq(*first), compare(*second), strictly(*first))

    return function


equal = binary(jnp.equal, elementwise.eq)
not_equal = binary(jnp.not_equal, elementwise.ne)
less = binary(jnp.less, _lexicographic(elementwise.lt, elementwise.lt))
less_equal = binary(jnp.less_equal, _lexicographic(elementwise.le, elementwise.lt))
greater = binary(jnp.greater, _lexicographic(elementwise.gt, elementwise.gt))
greater_equal = binary(jnp.greater_equal, _lexicographic(elementwise.ge, elementwise.gt))


def _nan_aside(beats: Callable[..., Any]) -> Callable[..., Any]:
    """The first operand where it beats the second one, or that is nan; elsewhere, at ties too, the second one."""

    def function(x: Any, y: Any) -> Any:
        x, y = both_arrays(x, y)
        return pick(bitwise.bitwise_or(beats(x, y), elementwise.ne(y, y)), x, y)

    return function


fmax = binary(jnp.fmax, _nan_aside(_lexicographic(elementwise.gt, elementwise.gt)))
fmin = binary(jnp.fmin, _nan_aside(_lexicographic(elementwise.lt, elementwise.lt)))


def logical(original: Callable[..., Any], primitive: Callable[..., Any]) -> Callable[..., Any]:
    """A function of truth values."""
    name = original.__name__

    def traced(*xs: Any) -> Any:
        return primitive(*same_shape(name, *[truth(array(x, name)) for x in xs]))

    return surface(original)(traced)


logical_and = logical(jnp.logical_and, bitwise.bitwise_and)
logical_or = logical(jnp.logical_or, bitwise.bitwise_or)
logical_xor = logical(jnp.logical_xor, bitwise.bitwise_xor)
logical_not = logical(jnp.logical_not, bitwise.bitwise_not)
bitwise_and = binary(jnp.bitwise_and, bitwise.bitwise_and)
bitwise_or = binary(jnp.bitwise_or, bitwise.bitwise_or)
bitwise_xor = binary(jnp.bitwise_xor, bitwise.bitwise_xor)
bitwise_not = unary(jnp.bitwise_not, bitwise.bitwise_not)
invert = bitwise_not
left_shift = binary(jnp.left_shift, with_booleans_as_integers(bitwise.shift_left))


def _right_shift(x: Any, y: Any) -> Any:
    unsigned = letter_of(x.dtype) == "u"
    return (bitwise.shift_right_logical if unsigned else bitwise.shift_right_arithmetic)(x, y)


right_shift = binary(jnp.right_shift, with_booleans_as_integers(_right_shift))


def _test(test: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A test that no integer passes."""

    def function(x: Any) -> Any:
        return test(x) if is_inexact(x.dtype) else zeros(shape=type_of(x).shape, dtype=np.dtype(bool))

    return function


def _is_infinite(x: Any) -> Any:
    if elementwise.is_complex(x):
        return bitwise.bitwise_or(_is_infinite(elementwise.real(x)), _is_infinite(elementwise.imag(x)))
    return elementwise.eq(elementwise.abs_(x), math.inf)


def _is_finite(x: Any) -> Any:
    if elementwise.is_complex(x):
        return bitwise.bitwise_and(_is_finite(elementwise.real(x)), _is_finite(elementwise.imag(x)))
    return elementwise.is_finite(x) if is_inexact(x.dtype) else constant(True, truth(x))


isnan = unary(jnp.isnan, _test(lambda x: elementwise.ne(x, x)))
isinf = unary(jnp.isinf, _test(_is_infinite))
isfinite = unary(jnp.isfinite, _is_finite)


@surface(jnp.isclose)
def isclose(a: Any, b: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Any:
    """Where |a - b| <= atol + rtol |b|, or both are the same infinity (or nan, with `equal_nan`)."""
    x, y = promote_pair("isclose", array(a, "isclose"), array(b, "isclose"))
    if not is_inexact(x.dtype):
        x, y = promote_pair("isclose", x, y, inexact=True)
    bound = linear.add(elementwise.mul(elementwise.abs_(y), rtol), atol)
    near = elementwise.le(elementwise.abs_(elementwise.sub(x, y)), bound)
    finite = bitwise.bitwise_and(_is_finite(x), _is_finite(y))
    out = pick(finite, near, elementwise.eq(x, y))
    both = bitwise.bitwise_and(elementwise.ne(x, x), elementwise.ne(y, y))
    return bitwise.bitwise_or(out, both) if equal_nan else out


# Choice


def where(condition: Any, x: Any, y: Any) -> Any:
    """Element by element, x where the condition holds and y elsewhere."""
    condition = truth(array(condition, "where"))
    x, y = operand(x, "where"), operand(y, "where")
    if type(x) in PYTHON_SCALARS and type(y) in PYTHON_SCALARS:
        x, y = promote("where", x, y)
    elif type(x) in PYTHON_SCALARS or type(y) in PYTHON_SCALARS:
        kind = join((kind_of(x), kind_of(y)))
        x, y = (literal(v, kind) if type(v) in PYTHON_SCALARS else cast(v, kind) for v in (x, y))
    else:
        x, y = promote("where", x, y)
    shape = common_shape("where", type_of(condition).shape, type_of(x).shape, type_of(y).shape)
    x, y = broadcast(x, shape), broadcast(y, shape)
    condition = condition if type_of(condition).shape == () else broadcast(condition, shape)
    return elementwise.select_n(condition, y, x)


def literal(x: Any, kind: Kind) -> Any:
    """A Python scalar as a literal of exactly this dtype: a weak one stays a Python scalar."""
    dtype, weak = kind
    x = complex(x) if weak and letter_of(dtype) == "c" else cast(x, kind)
    return x if weak and type_of(x).dtype == dtype else np.asarray(x).astype(dtype)[()]


@surface(jnp.select)
def select(condlist: Sequence[Any], choicelist: Sequence[Any], default: Any = 0) -> Any:
    """Element by element, the first choice whose condition holds, or the default."""
    if len(condlist) != len(choicelist) or not len(condlist):
        raise ArgumentError(
            f"minijvp.numpy.select received {len(condlist)} conditions and {len(choicelist)} choices.",
            "Every choice has a condition.",
            "Pass as many of one as of the other, and one at least.",
        )
    *choices, out = promote("select", *[array(c, "select") for c in choicelist], array(default, "select"))
    for condition, choice in reversed(list(zip(condlist, choices, strict=True))):
        out = where(condition, choice, out)
    return out


@surface(jnp.clip)
def clip(arr: Any, /, min: Any = None, max: Any = None) -> Any:
    """The elements, not below `min` and not above `max`."""
    out = array(arr, "clip")
    for x in (out, min, max):
        require_real(x, "clip")
    out = out if min is None else maximum(min, out)
    return out if max is None else minimum(max, out)


@surface(jnp.nan_to_num)
def nan_to_num(x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Any:
    """The elements, with nan and the infinities replaced (infinities by the largest finite numbers)."""
    x = array(x, "nan_to_num")
    if not is_inexact(x.dtype):
        return x
    x = converted(x, x.dtype)
    if elementwise.is_complex(x):
        parts = (nan_to_num(p, copy, nan, posinf, neginf) for p in (elementwise.real(x), elementwise.imag(x)))
        return elementwise.complex_(*parts)
    limits = jnp.finfo(x.dtype)
    out = where(elementwise.ne(x, x), nan, x)
    out = where(elementwise.eq(out, math.inf), float(limits.max) if posinf is None else posinf, out)
    return where(elementwise.eq(out, -math.inf), float(limits.min) if neginf is None else neginf, out)


asin, acos, atan, asinh, acosh, atanh, atan2 = arcsin, arccos, arctan, arcsinh, arccosh, arctanh, arctan2
bitwise_invert, bitwise_left_shift, bitwise_right_shift = invert, left_shift, right_shift
