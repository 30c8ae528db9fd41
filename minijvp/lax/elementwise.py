"""The elementwise functions of jax.lax. Operands have one shape and one dtype; Python scalars fit every array."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

from jax import lax

from minijvp.core.types import ARRAY_CLASSES, PYTHON_SCALARS, Array, is_inexact, type_of
from minijvp.errors import ArgumentError
from minijvp.numpy.makers import surface
from minijvp.numpy.promotion import array, as_dtype, converted, letter_of, of_one_dtype, operand, same_shape
from minijvp.operations import bitwise, special
from minijvp.operations import elementwise as ops
from minijvp.operations import families as linear

__all__ = [
    "abs",
    "acos",
    "acosh",
    "add",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "bessel_i0e",
    "bessel_i1e",
    "betainc",
    "bitwise_and",
    "bitwise_not",
    "bitwise_or",
    "bitwise_xor",
    "cbrt",
    "ceil",
    "clamp",
    "clz",
    "complex",
    "conj",
    "cos",
    "cosh",
    "digamma",
    "div",
    "eq",
    "erf",
    "erf_inv",
    "erfc",
    "exp",
    "exp2",
    "expm1",
    "floor",
    "ge",
    "gt",
    "igamma",
    "igamma_grad_a",
    "igammac",
    "imag",
    "integer_pow",
    "is_finite",
    "le",
    "lgamma",
    "log",
    "log1p",
    "logistic",
    "lt",
    "max",
    "min",
    "mul",
    "mulhi",
    "ne",
    "neg",
    "nextafter",
    "polygamma",
    "population_count",
    "pow",
    "random_gamma_grad",
    "real",
    "reciprocal",
    "reduce_precision",
    "rem",
    "round",
    "rsqrt",
    "shift_left",
    "shift_right_arithmetic",
    "shift_right_logical",
    "sign",
    "sin",
    "sinh",
    "sqrt",
    "square",
    "sub",
    "tan",
    "tanh",
    "zeta",
]


def elementwise(original: Callable[..., Any], primitive: Callable[..., Any]) -> Callable[..., Any]:
    """A function of jax.lax by one of our primitives."""
    name = original.__name__

    def traced(*xs: Array) -> Array:
        return primitive(*operands(xs, name))

    return surface(original)(traced)


def approximated(original: Callable[..., Any], primitive: Callable[..., Any]) -> Callable[..., Any]:
    """The same for a function that may be computed with another accuracy (jax.lax.Tolerance, jax.lax.AccuracyMode)."""
    name = original.__name__

    def traced(x: Array, *, accuracy: Any = None) -> Array:
        return primitive(*operands((x,), name), **({} if accuracy is None else {"accuracy": accuracy}))

    return surface(original)(traced)


def operands(xs: tuple[Any, ...], function: str) -> Sequence[Any]:
    """The operands of a primitive: of one dtype, broadcast along axes of size 1 and from arrays without axes."""
    if all([type(x) in ARRAY_CLASSES for x in xs]):
        shape = xs[0].shape
        if all([x.shape == shape for x in xs[1:]]):
            return xs  # the primitive compares dtypes
    elif all([type(x) in PYTHON_SCALARS for x in xs]):
        xs = tuple([array(x, function) for x in xs])
    if function == "pow" and letter_of(type_of(xs[1]).dtype) in "iu":
        xs = operand(xs[0], function), operand(xs[1], function)  # its exponent may be an integer
    else:
        xs = of_one_dtype(function, *xs)
    ranks = {len(x.shape) for x in xs if type(x) not in PYTHON_SCALARS and x.shape}
    return xs if len(ranks) > 1 else same_shape(function, *xs)  # other ranks, the primitive refuses


abs = elementwise(lax.abs, ops.abs_)
acos = elementwise(lax.acos, ops.acos)
acosh = elementwise(lax.acosh, ops.acosh)
add = elementwise(lax.add, linear.add)
asin = elementwise(lax.asin, ops.asin)
asinh = elementwise(lax.asinh, ops.asinh)
atan = elementwise(lax.atan, ops.atan)
atan2 = elementwise(lax.atan2, ops.atan2)
atanh = elementwise(lax.atanh, ops.atanh)
cbrt = approximated(lax.cbrt, ops.cbrt)
ceil = elementwise(lax.ceil, ops.ceil)
complex = elementwise(lax.complex, ops.complex_)
cos = approximated(lax.cos, ops.cos)
cosh = elementwise(lax.cosh, ops.cosh)
div = elementwise(lax.div, ops.div)
eq = elementwise(lax.eq, ops.eq)
exp = approximated(lax.exp, ops.exp)
exp2 = approximated(lax.exp2, ops.exp2)
expm1 = approximated(lax.expm1, ops.expm1)
floor = elementwise(lax.floor, ops.floor)
ge = elementwise(lax.ge, ops.ge)
gt = elementwise(lax.gt, ops.gt)
imag = elementwise(lax.imag, ops.imag)
is_finite = elementwise(lax.is_finite, ops.is_finite)
le = elementwise(lax.le, ops.le)
log = approximated(lax.log, ops.log)
log1p = approximated(lax.log1p, ops.log1p)
logistic = approximated(lax.logistic, ops.logistic)
lt = elementwise(lax.lt, ops.lt)
max = elementwise(lax.max, ops.max_)
min = elementwise(lax.min, ops.min_)
ne = elementwise(lax.ne, ops.ne)
neg = elementwise(lax.neg, ops.neg)
nextafter = elementwise(lax.nextafter, ops.nextafter)
pow = elementwise(lax.pow, ops.pow_)
real = elementwise(lax.real, ops.real)
rem = elementwise(lax.rem, ops.rem)
rsqrt = approximated(lax.rsqrt, ops.rsqrt)
sign = elementwise(lax.sign, ops.sign)
sin = approximated(lax.sin, ops.sin)
sinh = elementwise(lax.sinh, ops.sinh)
sqrt = approximated(lax.sqrt, ops.sqrt)
square = elementwise(lax.square, ops.square)
sub = elementwise(lax.sub, ops.sub)
tan = approximated(lax.tan, ops.tan)
tanh = approximated(lax.tanh, ops.tanh)

bitwise_and = elementwise(lax.bitwise_and, bitwise.bitwise_and)
bitwise_not = elementwise(lax.bitwise_not, bitwise.bitwise_not)
bitwise_or = elementwise(lax.bitwise_or, bitwise.bitwise_or)
bitwise_xor = elementwise(lax.bitwise_xor, bitwise.bitwise_xor)
clz = elementwise(lax.clz, bitwise.clz)
mulhi = elementwise(lax.mulhi, bitwise.mulhi)
population_count = elementwise(lax.population_count, bitwise.population_count)
shift_left = elementwise(lax.shift_left, bitwise.shift_left)
shift_right_arithmetic = elementwise(lax.shift_right_arithmetic, bitwise.shift_right_arithmetic)
shift_right_logical = elementwise(lax.shift_right_logical, bitwise.shift_right_logical)

bessel_i0e = elementwise(lax.bessel_i0e, special.bessel_i0e)
bessel_i1e = elementwise(lax.bessel_i1e, special.bessel_i1e)
digamma = elementwise(lax.digamma, special.digamma)
erf = elementwise(lax.erf, special.erf)
erf_inv = elementwise(lax.erf_inv, special.erf_inv)
erfc = approximated(lax.erfc, special.erfc)
igamma = elementwise(lax.igamma, special.igamma)
igamma_grad_a = elementwise(lax.igamma_grad_a, special.igamma_grad_a)
igammac = elementwise(lax.igammac, special.igammac)
lgamma = elementwise(lax.lgamma, special.lgamma)
polygamma = elementwise(lax.polygamma, special.polygamma)
random_gamma_grad = elementwise(lax.random_gamma_grad, special.random_gamma_grad)
zeta = elementwise(lax.zeta, special.zeta)


@surface(lax.clamp)
def clamp(min: Array, x: Array, max: Array) -> Array:
    """x, or the bound that it is beyond."""
    return ops.clamp(*operands((min, array(x, "clamp"), max), "clamp"))


@surface(lax.conj)
def conj(x: Array) -> Array:
    """The conjugate of complex numbers, and of real ones as complex numbers."""
    x = array(x, "conj")
    return ops.conj(x, input_dtype=x.dtype)


@surface(lax.integer_pow)
def integer_pow(x: Array, y: int) -> Array:
    """x to a power that is a Python integer."""
    return ops.integer_pow(array(x, "integer_pow"), y=operator.index(y))


@surface(lax.mul)
def mul(x: Array, y: Array, *, out_dtype: Any = None) -> Array:
    """x * y, computed in `out_dtype` if that is given."""
    x, y = operands((x, y), "mul")
    if out_dtype is not None:
        x, y = converted(x, as_dtype(out_dtype)), converted(y, as_dtype(out_dtype))
    return ops.mul(x, y)


@surface(lax.reciprocal)
def reciprocal(x: Array) -> Array:
    """1 / x."""
    x = array(x, "reciprocal")
    if not is_inexact(x.dtype):
        raise ArgumentError(
            f"minijvp.lax.reciprocal received {type_of(x)!r}.",
            "Integers to negative powers are no integers.",
            "Convert it (x.astype(float)), or use minijvp.numpy.reciprocal.",
        )
    return ops.div(1.0, x)


@surface(lax.round)
def round(x: Array, rounding_method: Any = lax.RoundingMethod.AWAY_FROM_ZERO) -> Array:
    """The nearest integers, halves away from zero or to even."""
    return ops.round_(array(x, "round"), rounding_method=lax.RoundingMethod(rounding_method))


@surface(lax.betainc)
def betainc(a: Array, b: Array, x: Array) -> Array:
    """The regularized incomplete beta function."""
    return special.regularized_incomplete_beta(*operands((a, b, x), "betainc"))


@surface(lax.reduce_precision)
def reduce_precision(operand: Array, exponent_bits: int, mantissa_bits: int) -> Array:
    """The operand, rounded to fewer bits of exponent and mantissa."""
    x = array(operand, "reduce_precision")
    return ops.reduce_precision(
        x, exponent_bits=operator.index(exponent_bits), mantissa_bits=operator.index(mantissa_bits)
    )
