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
from minijvp.core.tracing import as_constant
from minijvp.core.types import PYTHON_SCALARS, Array, ArrayType, ScalarType, type_of
from minijvp.errors import ArgumentError
from minijvp.operations import accurate
from minijvp.operations.accurate import like
from minijvp.operations.alike import SplitAlike
from minijvp.operations.bitwise import bitwise_and, bitwise_or
from minijvp.operations.casting import convert_element_type
from minijvp.operations.families import (
    Elementwise,
    LinearElementwise,
    add,
    add_tangents,
    broadcast_in_dim,
    convolution,
    differ_in_jax,
    instantiate,
    is_linear,
    leading_axis,
    spread_scalars,
    zeros,
    zeros_like,
)


def is_complex(x: Any) -> bool:
    """Whether a value or a type is complex."""
    return (x if isinstance(x, ArrayType) else type_of(x)).dtype.kind == "c"


def full_like(like: Array, value: Array) -> Array:
    """A scalar as an array of the shape and dtype of `like`. An array of that shape is returned as it is."""
    if type(value) in PYTHON_SCALARS:
        value = like.dtype.type(value)
    elif value.shape == like.shape and not is_scalar(value):
        return value
    elif value.dtype != like.dtype:
        value = convert_element_type(value, new_dtype=like.dtype)
    return broadcast_in_dim(value, shape=like.shape, broadcast_dimensions=())


def is_scalar(x: Array) -> bool:
    """Whether this is a Python scalar, or stands for one in a program that serves all of them."""
    return type(type_of(x)) is ScalarType


# Arithmetic


class Multiply(Elementwise):
    """The product. Bilinear."""

    def taylor(self, primals: tuple, series: tuple) -> tuple[Any, Any]:
        x, y = series
        return squares(self(*primals), x) if x is y and x is not None else convolution(self, primals, series, {})

    def transpose(self, ct: Array, x: Any, y: Any) -> Any:
        return (mul(ct, y), None) if is_linear(x) else (None, mul(x, ct))


def squares(out: Array, x: Any) -> tuple[Any, Any]:
    """The Taylor rule of `out`, the product of x and itself: equal products are computed once."""

    def find(k: int) -> Any:
        found = None
        for j in range((k + 1) // 2):
            if x[j] is not None and x[k - j] is not None:
                found = add_tangents(found, mul(x[j], x[k - j]))
        found = None if found is None else mul(found, 2.0)
        return found if k % 2 or x[k // 2] is None else add_tangents(found, square(x[k // 2]))

    return out, find


def solution(out: Array, b: Any, product: Any, solve: Any) -> tuple[Any, Any]:
    """The Taylor rule of the solution `out` of a x = b: the sum of all a_j x_(k - j) is b_k.

    `product(j, x)` is a_j x, or None; `solve` gives x for a_0 x.
    """
    found = [out]

    def find(k: int) -> Any:
        rest = None if b is None else b[k]
        for j in range(1, k + 1):
            if found[k - j] is not None and (known := product(j, found[k - j])) is not None:
                rest = neg(known) if rest is None else sub(rest, known)
        found.append(None if rest is None else solve(rest))
        return found[k]

    return out, find


class Square(Elementwise):
    """The square."""

    def taylor(self, primals: tuple, series: tuple) -> tuple[Any, Any]:
        return squares(self(*primals), series[0])


class Divide(Elementwise):
    """The quotient. Linear in the first argument."""

    def taylor(self, primals: tuple, series: tuple) -> tuple[Any, Any]:
        x, y = series
        product = lambda j, z: None if y is None or y[j] is None else mul(y[j], z)
        return solution(self(*primals), x, product, lambda change: div(change, primals[1]))

    def jvp(self, primals: tuple, tangents: tuple) -> tuple[Any, Any]:
        (x, y), (t_x, t_y) = primals, tangents
        if t_x is None or t_y is None:
            return super().jvp(primals, tangents)
        # One division serves both, on the way back too.
        out = self(x, y)
        return out, div(sub(t_x, mul(t_y, out)), y)

    def transpose(self, ct: Array, x: Any, y: Array) -> Any:
        return div(ct, y), None


class Transcendental(Elementwise):
    """A function that takes many multiplications."""

    recomputable = "moderate"


class Slope(Transcendental):
    """The derivative of a function at x, where its result is y: one of x alone, which takes less with y at hand.

    In the tails y says little of x. `by_result` gives what it says of the derivative, where x is not worth keeping.
    """

    def __init__(self, name: str, function: Any, derivative: Any, by_result: Elementwise):
        super().__init__(name, function, derivative, None, doc=function.__doc__)
        self.by_result = by_result


class Sigmoid(Transcendental):
    """A function y whose derivative is `slope(x, y)`, which is y - y*y, or 1 - y*y."""

    def __init__(self, name: str, function: Any, slope: Slope):
        super().__init__(name, function, lambda t, out, x: mul(t, slope(x, out)))
        self.slope = slope

    def taylor(self, primals: tuple, series: tuple, **params: Any) -> tuple[Any, Any]:
        out, (x,) = self(*primals, **params), series
        found, slopes, steps = [out], [self.slope(*primals, out)], [None]
        square_of = squares(out, found)[1]

        def find(k: int) -> Any:
            steps.append(None if x[k] is None else mul(x[k], float(k)))
            total = None
            for j in range(1, k + 1):
                if steps[j] is not None and slopes[k - j] is not None:
                    total = add_tangents(total, mul(steps[j], slopes[k - j]))
            total = None if total is None else mul(total, 1 / k)
            found.append(total)
            # The square has no other part than products of coefficients, of which none cancels where y is large.
            part = square_of(k)
            slopes.append(part if part is None else neg(part))
            if total is not None and self.slope.by_result is times_one_minus:
                slopes[k] = add_tangents(total, slopes[k])
            return total

        return out, find


class AbsorbingMultiply(Elementwise):
    """The product in which a zero of x absorbs: 0 times infinity or nan is 0."""

    def taylor(self, primals: tuple, series: tuple) -> tuple[Any, Any]:
        return convolution(self, primals, series, {})

    def transpose(self, ct: Array, x: Any, y: Any) -> Any:
        return (absorbing_mul(ct, y), None) if is_linear(x) else (None, absorbing_mul(x, ct))


mul = Multiply("mul", lax.mul, lambda t, out, x, y: mul(t, y), lambda t, out, x, y: mul(x, t))
# For y, as for sqrt, what is divided is a slope of values alone: tangents may be many.
div = Divide("div", lax.div, lambda t, out, x, y: div(t, y), lambda t, out, x, y: neg(mul(t, mul(out, div(1.0, y)))))
absorbing_mul = AbsorbingMultiply(
    "absorbing_mul",
    lambda x, y: jnp.where(x == 0, jnp.zeros((), x.dtype), x * y),
    lambda t, out, x, y: absorbing_mul(t, y),
    lambda t, out, x, y: absorbing_mul(x, t),
    doc=AbsorbingMultiply.__doc__ or "",
)
neg = LinearElementwise("neg", lax.neg, derivatives=[lambda t, out, x: neg(t)], transposes=[lambda ct, x: neg(ct)])
sub = LinearElementwise(
    "sub",
    lax.sub,
    derivatives=[lambda t, out, x, y: t, lambda t, out, x, y: neg(t)],
    transposes=[lambda ct, x, y: ct, lambda ct, x, y: neg(ct)],
)


copy = LinearElementwise(
    "copy",
    lambda x: lax.copy_p.bind(jnp.asarray(x)),
    derivatives=[lambda t, out, x: copy(t)],
    transposes=[lambda ct, x: copy(ct)],
    doc="The operand in memory of its own.",
)
reduce_precision = LinearElementwise(
    "reduce_precision",
    lambda x, *, exponent_bits, mantissa_bits: lax.reduce_precision(x, exponent_bits, mantissa_bits),
    derivatives=[lambda t, out, x, **bits: reduce_precision(t, **bits)],
    transposes=[lambda ct, x, **bits: reduce_precision(ct, **bits)],
    doc="The operand rounded to a float format with the given bits; tangents and cotangents are rounded too.",
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


def _sign_tangent(t: Array, out: Array, x: Array) -> Any:
    """Zero on the real line; on the complex plane, sign turns with the part of the tangent across x (x / |x|)."""
    if not is_complex(x):
        return None
    zero = eq(x, zeros_like(x))
    size = abs_(select_n(zero, x, full_like(x, 1.0)))
    along = real(mul(conj(out, input_dtype=out.dtype), t))
    across = sub(t, mul(complex_(along, zeros_like(along)), out))
    return select_n(zero, div(across, complex_(size, zeros_like(size))), zeros_like(t))


def _abs_tangent(t: Array, out: Array, x: Array) -> Array:
    """At 0, as in JAX, 1 on the real line and 0 on the complex plane."""
    if is_complex(x):
        return real(mul(t, conj(sign(x), input_dtype=x.dtype)))
    return select_n(ge(x, 0.0), neg(t), t)


abs_ = Elementwise("abs", lax.abs, _abs_tangent)
sign = Elementwise("sign", lax.sign, _sign_tangent)

# Powers

square = Square("square", lax.square, lambda t, out, x: mul(t, mul(x, 2.0)))
sqrt = Elementwise("sqrt", lax.sqrt, lambda t, out, x: mul(t, div(0.5, out)))
rsqrt = Elementwise("rsqrt", lax.rsqrt, lambda t, out, x: mul(t, div(mul(out, -0.5), x)))
cbrt = Transcendental("cbrt", lax.cbrt, lambda t, out, x: div(t, mul(square(out), 3.0)))


def _integer_pow_tangent(t: Array, out: Array, x: Array, *, y: int) -> Any:
    if y in (0, 1):
        return t if y else None
    lower = x if y == 2 else square(x) if y == 3 else integer_pow(x, y=y - 1)
    return mul(t, mul(lower, float(y)))


class IntegerPower(Elementwise):
    """x to the power y, an integer."""

    def restated(self, x: Array, *, y: int) -> Any:
        if y < 0:
            return div(1.0, self.restated(x, y=-y))
        found, power = None, x
        while y:
            if y % 2:
                found = power if found is None else mul(found, power)
            y //= 2
            power = square(power) if y else power
        return full_like(x, 1.0) if found is None else found


integer_pow = IntegerPower("integer_pow", lambda x, *, y: lax.integer_pow(x, y), _integer_pow_tangent)


class Power(Transcendental):
    """x to the power y: y has the dtype of x, or is an integer."""

    def impl(self, x: Array, y: Array) -> Array:
        if not _is_integer(y):
            return lax.pow(*spread_scalars((x, y)))
        x, y = jnp.asarray(x), jnp.asarray(y)
        shape = x.shape if x.ndim >= y.ndim else y.shape
        return lax.pow(*(lax.broadcast(a, shape) if a.ndim < len(shape) else a for a in (x, y)))

    def type_rule(self, x: ArrayType, y: ArrayType) -> ArrayType:
        if y.dtype.kind not in "iu":
            return super().type_rule(x, y)
        if x.dtype.kind in "biu" or (x.shape != y.shape and ScalarType not in (type(x), type(y))):
            raise self.mismatch((x, y))
        return Primitive.type_rule(self, x, y)


def _is_integer(x: Array) -> bool:
    return type_of(x).dtype.kind in "iu"


def _pow_base(t: Array, out: Array, x: Array, y: Array) -> Any:
    if type(y) in PYTHON_SCALARS:
        return None if y == 0 else mul(t, mul(pow_(x, y - 1), y))
    exponent = full_like(zeros(shape=out.shape, dtype=y.dtype) if _is_integer(y) else out, y)
    one = full_like(exponent, 1)
    # 0**0 is flat in its base: the power below, 0**-1, must not make it nan.
    flat = bitwise_and(eq(exponent, zeros_like(exponent)), eq(x, zeros_like(x)))
    lower = pow_(x, select_n(flat, sub(exponent, one), one))
    if out.dtype.kind == "f" and not _is_integer(y):
        # y - 1 is rounded where y < 1/2, and a large logarithm of x makes that visible. Such powers do not overflow.
        divides = bitwise_and(lt(exponent, 0.5), ne(x, 0.0))
        lower = select_n(divides, lower, div(out, select_n(divides, full_like(out, 1.0), x)))
    return mul(t, absorbing_mul(lower, convert_element_type(exponent, new_dtype=out.dtype)))


def _pow_exponent(t: Array, out: Array, x: Array, y: Array) -> Array:
    # Where the power is 0 it is flat in y, and 0**0 is taken to be: an infinite logarithm must not make it nan.
    x, y = full_like(out, x), full_like(out, y)
    flat = bitwise_or(eq(out, 0.0), bitwise_and(eq(x, 0.0), eq(y, 0.0)))
    return mul(t, mul(log(select_n(flat, x, full_like(x, 1.0))), out))


pow_ = Power("pow", lax.pow, _pow_base, _pow_exponent)

# Exponentials and logarithms

exp = Transcendental("exp", lax.exp, lambda t, out, x: mul(t, out))
exp2 = Transcendental("exp2", lax.exp2, lambda t, out, x: mul(t, mul(out, math.log(2))))
expm1 = Transcendental("expm1", lax.expm1, lambda t, out, x: mul(t, exp(x)))  # out + 1 cancels
log = Transcendental("log", lax.log, lambda t, out, x: div(t, x))
log1p = Transcendental("log1p", lax.log1p, lambda t, out, x: div(t, add(x, 1.0)))
share = Transcendental(
    "share",
    accurate.share,
    lambda t, out, x, y: mul(t, mul(out, share(y, x))),
    lambda t, out, x, y: neg(mul(t, mul(out, share(y, x)))),
    doc="Elementwise: exp(x) / (exp(x) + exp(y)).",
)
logaddexp = Transcendental(
    "logaddexp",
    jnp.logaddexp,
    lambda t, out, x, y: mul(t, share(x, y)),
    lambda t, out, x, y: mul(t, share(y, x)),
    doc="Elementwise: log(exp(x) + exp(y)), see jax.numpy.logaddexp.",
)
times_one_minus = Elementwise(
    "times_one_minus",
    lambda x: lax.mul(x, lax.sub(like(x, 1), x)),
    lambda t, out, x: mul(t, sub(1.0, mul(x, 2.0))),
    doc="x * (1 - x)",
)
logistic_slope = Slope(
    "logistic_slope",
    accurate.logistic_slope,
    lambda t, out, x, y: mul(t, mul(out, tanh(mul(x, -0.5)))),
    times_one_minus,
)
logistic = Sigmoid("logistic", lax.logistic, logistic_slope)

# Circular and hyperbolic functions, and their inverses

# Exact close to 1 and -1, and its derivative close to 0, too.
one_minus_square = Elementwise(
    "one_minus_square",
    lambda x: lax.mul(lax.sub(like(x, 1), x), lax.add(x, like(x, 1))),
    lambda t, out, x: mul(t, mul(x, -2.0)),
    doc="1 - x*x",
)
sin = Transcendental("sin", lax.sin, lambda t, out, x: mul(t, cos(x)))
cos = Transcendental("cos", lax.cos, lambda t, out, x: neg(mul(t, sin(x))))
tan = Transcendental("tan", lax.tan, lambda t, out, x: mul(t, add(square(out), 1.0)))
asin = Transcendental("asin", lax.asin, lambda t, out, x: mul(t, rsqrt(one_minus_square(x))))
acos = Transcendental("acos", lax.acos, lambda t, out, x: neg(mul(t, rsqrt(one_minus_square(x)))))
atan = Transcendental("atan", lax.atan, lambda t, out, x: div(t, add(square(x), 1.0)))
sinh = Transcendental("sinh", lax.sinh, lambda t, out, x: mul(t, cosh(x)))
cosh = Transcendental("cosh", lax.cosh, lambda t, out, x: mul(t, sinh(x)))
tanh_slope = Slope(
    "tanh_slope", accurate.tanh_slope, lambda t, out, x, y: mul(t, mul(mul(y, out), -2.0)), one_minus_square
)
tanh = Sigmoid("tanh", lax.tanh, tanh_slope)
asinh_slope = Transcendental(
    "asinh_slope", accurate.asinh_slope, lambda t, out, x: neg(mul(t, mul(mul(x, out), square(out))))
)
asinh = Transcendental("asinh", lax.asinh, lambda t, out, x: mul(t, asinh_slope(x)))
acosh = Transcendental("acosh", lax.acosh, lambda t, out, x: mul(t, mul(rsqrt(sub(x, 1.0)), rsqrt(add(x, 1.0)))))
atanh = Transcendental("atanh", lax.atanh, lambda t, out, x: div(t, one_minus_square(x)))


def _atan2_slope_tangent(t: Array, out: Array, x: Array, y: Array) -> Array:
    """In x; that in y is -2 x y / (x*x + y*y)**2."""
    other = atan2_slope(y, x)
    return mul(t, mul(sub(other, out), add(other, out)))


atan2_slope = Transcendental(
    "atan2_slope",
    accurate.atan2_slope,
    _atan2_slope_tangent,
    lambda t, out, x, y: mul(t, mul(mul(out, atan2_slope(y, x)), -2.0)),
    doc="Elementwise: x / (x*x + y*y).",
)
atan2 = Transcendental(
    "atan2",
    lax.atan2,
    lambda t, out, x, y: mul(t, atan2_slope(y, x)),
    lambda t, out, x, y: neg(mul(t, atan2_slope(x, y))),
)
hypot_slope = Transcendental(
    "hypot_slope",
    accurate.hypot_slope,
    lambda t, out, x, y: mul(t, div(square(hypot_slope(y, x)), hypot(x, y))),
    lambda t, out, x, y: neg(mul(t, div(mul(out, hypot_slope(y, x)), hypot(x, y)))),
    doc="Elementwise: x / hypot(x, y).",
)
hypot = Transcendental(
    "hypot",
    accurate.hypot,
    lambda t, out, x, y: mul(t, hypot_slope(x, y)),
    lambda t, out, x, y: mul(t, hypot_slope(y, x)),
    doc="Elementwise: see jax.numpy.hypot.",
)

# Comparisons, rounding: flat wherever they are not a jump. Those with _to order all floats: -nan, -0 < 0, nan.

eq, ne, lt, le, gt, ge = (Elementwise(n, getattr(lax, n)) for n in ("eq", "ne", "lt", "le", "gt", "ge"))
eq_to, le_to, lt_to = (Elementwise(n, getattr(lax, f"{n}_p").bind) for n in ("eq_to", "le_to", "lt_to"))
floor = Elementwise("floor", lax.floor)
ceil = Elementwise("ceil", lax.ceil)
round_ = Elementwise("round", lambda x, *, rounding_method: lax.round(x, rounding_method))
is_finite = Elementwise("is_finite", lax.is_finite)


def _share_of_ties(position: int, beats: Any) -> Any:
    """The tangent of max and min: none where the other operand beats this one, half where the two tie, else whole.

    So it is where an operand is nan: what comes from one has to show in both modes. The result is not asked: compiled
    programs compute operands again, and may round them otherwise than those that it was chosen from. Only of complex
    numbers, which have an order nowhere else, the result says which one beats the other.
    """

    def tangent(t: Array, out: Array, *operands: Array) -> Array:
        mine, other = operands[position], operands[1 - position]
        beaten = bitwise_and(eq(other, out), ne(mine, out)) if is_complex(out) else beats(other, mine)
        return select_n(beaten, select_n(eq(*operands), t, mul(t, 0.5)), zeros_like(t))

    return tangent


def _rem_divisor(t: Array, out: Array, x: Array, y: Array) -> Array:
    """The remainder is x - n*y; n by rounding, because a quotient close to n may fall to either side of it."""
    times = round_(div(sub(x, out), y), rounding_method=lax.RoundingMethod.TO_NEAREST_EVEN)
    return neg(mul(t, times))


max_ = Elementwise("max", lax.max, _share_of_ties(0, gt), _share_of_ties(1, gt))
min_ = Elementwise("min", lax.min, _share_of_ties(0, lt), _share_of_ties(1, lt))
rem = Elementwise("rem", lax.rem, lambda t, out, x, y: t, _rem_divisor)
nextafter = Elementwise("nextafter", lax.nextafter, lambda t, out, x, y: t, None)

differ_in_jax(max_, min_, absorbing_mul, div, rem, nextafter, pow_, sign, expm1, share, logaddexp, logistic)
differ_in_jax(logistic_slope, one_minus_square, tanh, tanh_slope, asinh, asinh_slope, acosh)
differ_in_jax(atan2, atan2_slope, hypot, hypot_slope)


class Clamp(Primitive):
    """`x` moved into the interval from `lower` to `upper`. Each bound has x's shape, or no axes.

    On a bound, where the derivative jumps, it is zero for all three.
    """

    own_derivative = True

    def impl(self, lower: Array, x: Array, upper: Array) -> Array:
        x = jnp.asarray(x)
        return lax.clamp(_bound(lower, x), x, _bound(upper, x))

    def type_rule(self, lower: ArrayType, x: ArrayType, upper: ArrayType) -> ArrayType:
        for bound in (lower, upper):
            if type(bound) is not ScalarType and (bound.shape not in ((), x.shape) or bound.dtype != x.dtype):
                raise ArgumentError(
                    f"clamp received {x!r} with the bounds {lower!r} and {upper!r}.",
                    "Bounds have the dtype of what they bound, and its shape or none.",
                )
        weak = x.weak_type and all([b.weak_type or type(b) is ScalarType for b in (lower, upper)])
        return ArrayType(x.shape, x.dtype, weak)

    def jvp(self, primals: tuple, tangents: tuple) -> tuple[Any, Any]:
        out = self(*primals)
        lower, x, upper = (full_like(out, p) for p in primals)
        choices = (
            lambda: bitwise_and(gt(lower, x), lt(lower, upper)),
            lambda: bitwise_and(gt(x, lower), lt(x, upper)),
            lambda: gt(max_(x, lower), upper),
        )
        tangent = None
        for t, chosen in zip(tangents, choices, strict=True):
            if t is not None:
                tangent = add_tangents(tangent, select_n(chosen(), zeros_like(out), full_like(out, t)))
        return out, tangent

    def batch(self, axis: Axis, args: tuple, batched: tuple[bool, ...]) -> tuple[Any, Any]:
        x = leading_axis(axis, args[1], batched[1])

        def bound(b: Array, is_batched: bool) -> Array:
            if is_batched:
                return b if b.ndim == x.ndim else broadcast_in_dim(b, shape=x.shape, broadcast_dimensions=(0,))
            return leading_axis(axis, b, False) if type_of(b).ndim else b

        return self(bound(args[0], batched[0]), x, bound(args[2], batched[2])), True


def _bound(bound: Array, x: Array) -> Array:
    """A bound as `lax.clamp` wants it: a Python scalar is cast, and as weak as x."""
    fits = type(bound) not in PYTHON_SCALARS and bound.dtype == x.dtype
    return bound if fits else lax.full_like(x, bound, shape=np.shape(bound))


clamp = Clamp("clamp")


class SelectN(SplitAlike):
    """Element by element, the case that `which` (booleans, or integers from 0) names. `which` may have no axes."""

    def plain_impl(self, which: Array, *cases: Array) -> Array:
        return lax.select_n(which, *cases)

    def type_rule(self, which: ArrayType, *cases: ArrayType) -> ArrayType:
        first = cases[0]
        if which.shape not in ((), first.shape) or any((c.shape, c.dtype) != (first.shape, first.dtype) for c in cases):
            raise ArgumentError(
                f"select_n received {which!r} to choose among {', '.join(map(repr, cases))}.",
                "The cases have one shape and dtype, and the choice has that shape or none.",
            )
        return ArrayType(first.shape, first.dtype, all(c.weak_type for c in cases))

    def jvp(self, primals: tuple, tangents: tuple) -> tuple[Any, Any]:
        which, *cases = primals
        out = self(*primals)
        if all(t is None for t in tangents[1:]):
            return out, None
        return out, self(which, *[instantiate(t, x) for t, x in zip(tangents[1:], cases, strict=True)])

    def transpose(self, ct: Array, which: Array, *cases: Any) -> Any:
        zeros, n = zeros_like(ct), len(cases)
        parts = [[ct if i == j else zeros for j in range(n)] if is_linear(x) else None for i, x in enumerate(cases)]
        return (None, *[None if part is None else self(which, *part) for part in parts])

    def batch(self, axis: Axis, args: tuple, batched: tuple[bool, ...]) -> tuple[Any, Any]:
        which, *cases = args
        cases = [as_constant(x) if type(x) in PYTHON_SCALARS else x for x in cases]
        cases = [leading_axis(axis, x, b) for x, b in zip(cases, batched[1:], strict=True)]
        if not batched[0]:
            which = leading_axis(axis, which, False) if type_of(which).ndim else which
        elif which.ndim != cases[0].ndim:
            which = broadcast_in_dim(which, shape=cases[0].shape, broadcast_dimensions=(0,))
        return self(which, *cases), True


select_n = SelectN("select_n")
