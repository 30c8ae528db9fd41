"""The elementwise primitives, a table: name, function of jax.lax, and the tangent for each argument.

A derivative is a function (t, out, *args) -> tangent; None is zero. The formulas are those of M. Abramowitz and
I. A. Stegun, Handbook of Mathematical Functions, chapters 4 to 7 and 9, unless a line says otherwise.
"""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from minijvp.core.primitive import Axis, Primitive
from minijvp.core.types import PYTHON_SCALARS, ArrayType, type_of
from minijvp.errors import ArgumentError
from minijvp.operations.casting import convert_element_type
from minijvp.operations.families import (
    Elementwise,
    LinearElementwise,
    LinearPrimitive,
    add,
    all_batched,
    broadcast_in_dim,
    instantiate,
    is_linear,
    zeros_like,
)


def is_complex(x: Any) -> bool:
    return type_of(x).dtype.kind == "c" if not isinstance(x, ArrayType) else x.dtype.kind == "c"


# Arithmetic


class Multiply(Elementwise):
    """The product. Bilinear."""

    def transpose(self, ct: Any, x: Any, y: Any) -> Any:
        return (mul(ct, y), None) if is_linear(x) else (None, mul(x, ct))


class Divide(Elementwise):
    """The quotient. Linear in the first argument."""

    def transpose(self, ct: Any, x: Any, y: Any) -> Any:
        return div(ct, y), None


mul = Multiply("mul", lax.mul, lambda t, out, x, y: mul(t, y), lambda t, out, x, y: mul(x, t))
div = Divide("div", lax.div, lambda t, out, x, y: div(t, y), lambda t, out, x, y: neg(mul(t, div(out, y))))
neg = LinearElementwise("neg", lax.neg, derivatives=[lambda t, out, x: neg(t)], transposes=[lambda ct, x: neg(ct)])
sub = LinearElementwise(
    "sub",
    lax.sub,
    derivatives=[lambda t, out, x, y: t, lambda t, out, x, y: neg(t)],
    transposes=[lambda ct, x, y: ct, lambda ct, x, y: neg(ct)],
)


# Parts and signs of numbers

real = LinearElementwise(
    "real", lax.real, derivatives=[lambda t, out, x: real(t)], transposes=[lambda ct, x: complex_(ct, zeros_like(ct))]
)
imag = LinearElementwise(
    "imag",
    lax.imag,
    derivatives=[lambda t, out, x: imag(t)],
    transposes=[lambda ct, x: complex_(zeros_like(ct), neg(ct))],
)
complex_ = LinearElementwise(
    "complex",
    lax.complex,
    derivatives=[lambda t, out, x, y: complex_(t, zeros_like(t)), lambda t, out, x, y: complex_(zeros_like(t), t)],
    transposes=[lambda ct, x, y: real(ct), lambda ct, x, y: imag(neg(ct))],
)
conj = LinearElementwise(
    "conj",
    lambda x, *, input_dtype: lax.conj(x),
    derivatives=[lambda t, out, x, *, input_dtype: conj(t, input_dtype=input_dtype)],
    transposes=[
        lambda ct, x, *, input_dtype: (
            conj(ct, input_dtype=ct.dtype) if is_complex(x) else real(conj(ct, input_dtype=ct.dtype))
        )
    ],
)


def _sign_tangent(t: Any, out: Any, x: Any) -> Any:
    """Zero on the real line; on the complex plane, sign turns with the part of the tangent across x (x / |x|)."""
    if not is_complex(x):
        return None
    size = abs_(x)
    size = select_n(eq(size, 0.0), size, broadcast_in_dim(size.dtype.type(1), shape=size.shape, broadcast_dimensions=()))
    along = real(mul(conj(out, input_dtype=out.dtype), t))
    return div(sub(t, mul(complex_(along, zeros_like(along)), out)), complex_(size, zeros_like(size)))


abs_ = Elementwise(
    "abs",
    lax.abs,
    lambda t, out, x: real(mul(t, conj(sign(x), input_dtype=x.dtype))) if is_complex(x) else mul(t, sign(x)),
)
sign = Elementwise("sign", lax.sign, _sign_tangent)

# Powers

square = Elementwise("square", lax.square, lambda t, out, x: mul(t, mul(x, 2.0)))
sqrt = Elementwise("sqrt", lax.sqrt, lambda t, out, x: div(mul(t, 0.5), out))
rsqrt = Elementwise("rsqrt", lax.rsqrt, lambda t, out, x: mul(t, mul(div(out, x), -0.5)))
cbrt = Elementwise("cbrt", lax.cbrt, lambda t, out, x: mul(t, div(out, mul(x, 3.0))))
integer_pow = Elementwise(
    "integer_pow",
    lambda x, *, y: lax.integer_pow(x, y),
    lambda t, out, x, *, y: None if y == 0 else mul(t, mul(integer_pow(x, y=y - 1), float(y))),
)


def _pow_base(t: Any, out: Any, x: Any, y: Any) -> Any:
    if type_of(y).dtype.kind in "iu":
        zero = eq(y, 0)
        y_float = convert_element_type(y, new_dtype=out.dtype, weak_type=False) if type(y) is not int else float(y)
        lower = pow_(x, select_n(zero, sub(y, 1), zeros_like(y))) if type(y) is not int else pow_(x, y - 1)
        return mul(t, mul(y_float, lower))
    if type(y) in PYTHON_SCALARS:
        return None if y == 0 else mul(t, mul(pow_(x, y - 1), y))
    zero = eq(y, 0.0)
    ones = broadcast_in_dim(y.dtype.type(1), shape=y.shape, broadcast_dimensions=())
    return mul(t, select_n(zero, mul(y, pow_(x, select_n(zero, sub(y, 1.0), ones))), zeros_like(out)))


def _pow_exponent(t: Any, out: Any, x: Any, y: Any) -> Any:
    # x**y for x = 0 is flat in y > 0: log 0 must not make it nan.
    zero = eq(x, 0.0)
    logarithm = log(select_n(zero, x, broadcast_in_dim(x.dtype.type(1), shape=x.shape, broadcast_dimensions=())))
    return mul(t, mul(logarithm, out))


pow_ = Elementwise("pow", lax.pow, _pow_base, _pow_exponent)

# Exponentials and logarithms

exp = Elementwise("exp", lax.exp, lambda t, out, x: mul(t, out))
exp2 = Elementwise("exp2", lax.exp2, lambda t, out, x: mul(t, mul(out, math.log(2))))
expm1 = Elementwise("expm1", lax.expm1, lambda t, out, x: mul(t, add(out, 1.0)))
log = Elementwise("log", lax.log, lambda t, out, x: div(t, x))
log1p = Elementwise("log1p", lax.log1p, lambda t, out, x: div(t, add(x, 1.0)))
logistic = Elementwise("logistic", lax.logistic, lambda t, out, x: mul(t, mul(out, sub(1.0, out))))

# Circular and hyperbolic functions, and their inverses

sin = Elementwise("sin", lax.sin, lambda t, out, x: mul(t, cos(x)))
cos = Elementwise("cos", lax.cos, lambda t, out, x: neg(mul(t, sin(x))))
tan = Elementwise("tan", lax.tan, lambda t, out, x: mul(t, add(square(out), 1.0)))
asin = Elementwise("asin", lax.asin, lambda t, out, x: mul(t, rsqrt(sub(1.0, square(x)))))
acos = Elementwise("acos", lax.acos, lambda t, out, x: neg(mul(t, rsqrt(sub(1.0, square(x))))))
atan = Elementwise("atan", lax.atan, lambda t, out, x: div(t, add(square(x), 1.0)))
sinh = Elementwise("sinh", lax.sinh, lambda t, out, x: mul(t, cosh(x)))
cosh = Elementwise("cosh", lax.cosh, lambda t, out, x: mul(t, sinh(x)))
tanh = Elementwise("tanh", lax.tanh, lambda t, out, x: mul(t, sub(1.0, square(out))))
asinh = Elementwise("asinh", lax.asinh, lambda t, out, x: mul(t, rsqrt(add(square(x), 1.0))))
acosh = Elementwise("acosh", lax.acosh, lambda t, out, x: mul(t, mul(rsqrt(sub(x, 1.0)), rsqrt(add(x, 1.0)))))
atanh = Elementwise("atanh", lax.atanh, lambda t, out, x: div(t, sub(1.0, square(x))))
atan2 = Elementwise(
    "atan2",
    lax.atan2,
    lambda t, out, x, y: mul(t, div(y, add(square(x), square(y)))),
    lambda t, out, x, y: mul(t, div(neg(x), add(square(x), square(y)))),
)

# Comparisons, rounding: flat wherever they are not a jump

eq, ne, lt, le, gt, ge = (Elementwise(n, getattr(lax, n)) for n in ("eq", "ne", "lt", "le", "gt", "ge"))
floor = Elementwise("floor", lax.floor)
ceil = Elementwise("ceil", lax.ceil)
round_ = Elementwise("round", lambda x, *, rounding_method: lax.round(x, rounding_method))
is_finite = Elementwise("is_finite", lax.is_finite)


def _share_of_ties(chosen: Any) -> Any:
    """The tangent of max and min: whole where x is the result, half where x and y tie."""

    def tangent(t: Any, out: Any, x: Any, y: Any) -> Any:
        mine, other = (x, y) if chosen == 0 else (y, x)
        half = mul(t, 0.5)
        return select_n(eq(mine, out), zeros_like(t), select_n(eq(other, out), t, half))

    return tangent


max_ = Elementwise("max", lax.max, _share_of_ties(0), _share_of_ties(1))
min_ = Elementwise("min", lax.min, _share_of_ties(0), _share_of_ties(1))
rem = Elementwise(
    "rem",
    lax.rem,
    lambda t, out, x, y: t,
    lambda t, out, x, y: mul(neg(t), mul(sign(div(x, y)), floor(abs_(div(x, y))))),
)
nextafter = Elementwise("nextafter", lax.nextafter)


class SelectN(Primitive):
    """Element by element, the case that `which` (booleans, or integers from 0) names. `which` may have no axes."""

    def impl(self, which: Any, *cases: Any) -> Any:
        return lax.select_n(which, *cases)

    def type_rule(self, which: ArrayType, *cases: ArrayType) -> ArrayType:
        for c in cases:
            if c.shape != cases[0].shape or c.dtype != cases[0].dtype:
                raise ArgumentError(f"select_n received cases {', '.join(map(repr, cases))}.", "They must agree.")
        return ArrayType(cases[0].shape, cases[0].dtype, all(c.weak_type for c in cases))

    def jvp(self, primals: tuple, tangents: tuple) -> tuple[Any, Any]:
        which, *cases = primals
        out = self(*primals)
        if all(t is None for t in tangents[1:]):
            return out, None
        return out, self(which, *[instantiate(t, x) for t, x in zip(tangents[1:], cases, strict=True)])

    def transpose(self, ct: Any, which: Any, *cases: Any) -> Any:
        zeros = zeros_like(ct)
        return (
            None,
            *(
                self(which, *[ct if i == j else zeros for j in range(len(cases))]) if is_linear(x) else None
                for i, x in enumerate(cases)
            ),
        )

    def batch(self, axis: Axis, args: tuple, batched: tuple[bool, ...]) -> tuple[Any, Any]:
        which, *cases = args
        cases = all_batched(axis, cases, batched[1:])
        if batched[0] and which.ndim != cases[0].ndim:
            which = broadcast_in_dim(which, shape=cases[0].shape, broadcast_dimensions=(0,))
        elif not batched[0] and which.ndim:
            which = broadcast_in_dim(which, shape=(axis.size, *which.shape), broadcast_dimensions=tuple(range(1, which.ndim + 1)))
        return self(which, *cases), True


select_n = SelectN("select_n")
