"""Samples of minijvp.operations.elementwise."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from minijvp.operations import elementwise as ops
from minijvp.operations import families
from tests.samples import Sample, distinct, random

F32, F64, C64, C128, I32, U8 = np.float32, np.float64, np.complex64, np.complex128, np.int32, np.uint8
REAL, ALL, NUMBERS = (F32, F64), (F32, F64, C64), (F32, F64, C64, I32)
KINK = {"finite_differences": False, "why": "the function has a kink or a jump there"}


def unary(primitive: Any, dtypes: Any = ALL, low: float = -2.0, high: float = 2.0, **more: Any) -> list[Sample]:
    function = more.pop("oracle", None) or getattr(lax, primitive.name)
    return [Sample(primitive, (random(3, 2, dtype=d, low=low, high=high),), function, **more) for d in dtypes]


def binary(primitive: Any, dtypes: Any = ALL, low: float = -2.0, high: float = 2.0, **more: Any) -> list[Sample]:
    function = more.pop("oracle", None) or getattr(lax, primitive.name)
    x, y = ({d: random(3, 2, dtype=d, low=low, high=high, seed=s) for d in dtypes} for s in (0, 1))
    return [Sample(primitive, (x[d], y[d]), function, **more) for d in dtypes]


def spread(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` with Python scalars as full arrays of the shape and dtype of the arrays."""

    def spreading(*xs: Any) -> Any:
        weak = [jnp.asarray(x).weak_type for x in xs]
        array = xs[weak.index(False)]
        return function(*(jnp.full(array.shape, x, array.dtype) if w else x for x, w in zip(xs, weak, strict=True)))

    return spreading


def at(label: str, primitive: Any, *args: Any, **more: Any) -> Sample:
    """A sample at chosen points: lists are float64 arrays, Python scalars stay ones."""
    args = tuple(np.array(x) if isinstance(x, list) else x for x in args)
    oracle = more.pop("oracle", None) or spread(getattr(lax, primitive.name))
    return Sample(primitive, args, oracle, label=label, **more)


def params(primitive: Any, x: Any, function: Callable[..., Any], label: str = "", **params: Any) -> Sample:
    return Sample(primitive, (x,), lambda x: function(x, *params.values()), params, label=label)


def slope(primitive: Any, function: Callable[..., Any], oracle: Callable[..., Any]) -> list[Sample]:
    """Samples of a function of x and of what another one gives for it, by which it has no derivative."""
    why = {"jax_derivative": False, "why": "the second one takes y for a function of x"}
    points = [random(3, 2, dtype=d) for d in (*ALL, C128)]
    return [Sample(primitive, (x, np.asarray(function(x))), lambda x, y: oracle(x) + 0 * y, **why) for x in points]


SAMPLES = [
    # Arithmetic
    *unary(ops.neg, NUMBERS),
    *binary(families.add, (*NUMBERS, C128, jnp.bfloat16)),
    *binary(ops.sub, NUMBERS),
    *binary(ops.absorbing_mul, ALL, oracle=lambda x, y: jnp.where(x == 0, jnp.zeros_like(x), x * y)),
    at(
        "infinite",
        ops.absorbing_mul,
        [0.0, 0.0, 2.0],
        [np.inf, np.nan, 3.0],
        oracle=lambda x, y: jnp.where(x == 0, 0.0, x * y),
        finite_differences=False,
        jax_derivative=False,
        why="infinite beside 0",
    ),
    *binary(ops.mul, (*NUMBERS, U8, jnp.bfloat16)),
    *binary(ops.div, (*ALL, C128)),
    at("int32", ops.div, np.array([7, -7, 5], I32), np.array([2, 2, -3], I32)),
    *(at("scalar-right", p, random(3), 2.5) for p in (families.add, ops.sub, ops.mul, ops.div)),
    *(at("scalar-left", p, 2.5, random(2, 2, dtype=F64)) for p in (ops.sub, ops.div)),
    at("int-literal", ops.mul, random(3, dtype=C64), 2),
    *(Sample(p, (random(dtype=F64), random(dtype=F64, seed=1)), getattr(lax, p.name)) for p in (ops.mul, ops.div)),
    *unary(ops.copy, (F32, C128, bool), oracle=lambda x: x),
    params(ops.reduce_precision, random(3, 2, dtype=F64), lax.reduce_precision, exponent_bits=11, mantissa_bits=52),
    Sample(
        ops.reduce_precision,
        (random(3, 2),),
        lambda x: lax.reduce_precision(x, 5, 10),
        {"exponent_bits": 5, "mantissa_bits": 10},
        tolerance=1e-3,
    ),
    # Parts and signs
    *unary(ops.real, (C64,)),
    *unary(ops.imag, (C128,)),
    *binary(ops.complex_, REAL),
    *(
        params(ops.conj, random(3, dtype=d), lambda x, _: lax.conj(x), input_dtype=np.dtype(d))
        for d in (F32, C64, C128)
    ),
    *unary(ops.abs_, (*ALL, I32)),
    *unary(ops.sign, (F32, F64, I32)),
    *unary(ops.sign, (C64, C128), jax_derivative=False, why="JAX takes the derivative of a complex sign for zero"),
    at("zero", ops.abs_, [0.0, -0.0, 1.0], **KINK),
    at(
        "complex-zero",
        ops.abs_,
        np.zeros(2, C64),
        jax_derivative=False,
        finite_differences=False,
        why="a kink, and JAX gives the infinite second derivative some finite value",
    ),
    at("zero", ops.sign, [0.0, -0.0, 1.0], **KINK),
    at("complex-zero", ops.sign, np.zeros(2, C64), **KINK),
    # Powers
    *unary(ops.square, NUMBERS),
    *unary(ops.one_minus_square, oracle=lambda x: 1 - x * x),
    at("tiny", ops.one_minus_square, [1e-20, -1e-300], oracle=lambda x: 1 - x * x),
    *unary(ops.times_one_minus, oracle=lambda x: x * (1 - x)),
    *unary(ops.sqrt, REAL, low=0.5),
    *unary(ops.sqrt, (C64, C128)),
    *unary(ops.rsqrt, REAL, low=0.5),
    *unary(ops.rsqrt, (C64,)),
    *unary(ops.cbrt, REAL, low=0.5),
    at("negative", ops.cbrt, [-8.0, -0.125, 0.001]),
    *(params(ops.integer_pow, random(3, 2, dtype=d), lax.integer_pow, y=3) for d in NUMBERS),
    *(params(ops.integer_pow, random(3, dtype=F64, low=0.5), lax.integer_pow, label=f"to{y}", y=y) for y in (-1, -3)),
    *(params(ops.integer_pow, np.array([0.0, -1.5]), lax.integer_pow, label=f"zero-to{y}", y=y) for y in (0, 1, 2)),
    *binary(ops.pow_, REAL, low=0.5),
    *binary(ops.pow_, (C64, C128), low=0.5),
    *(
        Sample(ops.pow_, (random(3, 2, dtype=d, low=0.5), random(3, 2, dtype=i, low=0, high=4)), lax.pow)
        for d, i in ((F32, I32), (F64, U8), (C64, I32))
    ),
    at("negative-base", ops.pow_, [-1.5, 0.0, 2.0, 3.0], np.array([2, 3, -1, 0], I32)),
    *(
        at(f"to-{y!r}", ops.pow_, random(3, dtype=F32, low=0.5), y, oracle=lambda x, _, y=y: x**y)
        for y in (0, 3, -2, 0.5)
    ),
    at("scalar-base", ops.pow_, 2.5, [-1.0, 0.5, 2.0]),
    at("scalar-base-integers", ops.pow_, 2.5, np.array([0, 3, -1], I32), oracle=lax.pow),
    *(
        at(f"zero-to-{y!r}", ops.pow_, [0.0, 1.5], y, oracle=lambda x, _, y=y: x ** int(y))
        for y in (0, 1, 0.0, 1.0, 2.0)
    ),
    at(
        "zero-base-integers",
        ops.pow_,
        [0.0, 0.0, 0.0],
        np.array([0, 1, 2], I32),
        oracle=lax.pow,
        jax_derivative=False,
        why="JAX's second derivative is nan",
    ),
    at("zero-base", ops.pow_, [0.0, 0.0], [2.0, 3.0], finite_differences=False, why="negative bases have no powers"),
    at(
        "zero-zero",
        ops.pow_,
        [0.0, 0.0],
        [0.0, 1.0],
        jax_derivative=False,
        finite_differences=False,
        why="JAX is nan at 0**0, where y > 0 ends",
    ),
    # Exponentials and logarithms
    *(s for p in (ops.exp, ops.exp2, ops.expm1, ops.logistic) for s in unary(p)),
    *unary(ops.exp, (C128, jnp.bfloat16)),
    *(s for p in (ops.log, ops.log1p) for s in (*unary(p, REAL, low=0.5), *unary(p, (C64,)))),
    params(ops.exp, random(3), lambda x, accuracy: lax.exp(x, accuracy=accuracy), accuracy=lax.AccuracyMode.HIGHEST),
    *slope(ops.logistic_slope, lax.logistic, lambda x: lax.logistic(x) * lax.logistic(-x)),
    *binary(ops.share, REAL, oracle=lambda x, y: lax.logistic(x - y)),
    *(
        at(f"scalar-{side}", ops.share, *args, oracle=lambda x, y: lax.logistic(x - y))
        for side, args in (("right", ([1.0, -3.0], 0.5)), ("left", (0.5, [1.0, -3.0])))
    ),
    *binary(ops.logaddexp, REAL, oracle=jnp.logaddexp),
    at("ties", ops.logaddexp, [1.0, -3.0, 0.0], [1.0, -3.0, 0.0], oracle=jnp.logaddexp),
    at("scalar", ops.logaddexp, [1.0, -3.0], 1.0, oracle=jnp.logaddexp),
    at(
        "infinite",
        ops.logaddexp,
        [np.inf, -np.inf, 1.0],
        [0.0, 2.0, np.inf],
        oracle=jnp.logaddexp,
        finite_differences=False,
        jax_derivative=False,
        why="no difference of infinities is a number; JAX takes exp(1 - 0) for exp(1 - inf)",
    ),
    at("far", ops.logistic, [-100.0, 100.0, 800.0, -800.0]),
    at("small", ops.log1p, [1e-12, -1e-9, 0.0]),
    at("small", ops.expm1, [1e-12, -1e-9, 0.0]),
    # Circular and hyperbolic functions
    *(s for p in (ops.sin, ops.cos, ops.atan, ops.sinh, ops.cosh, ops.tanh, ops.asinh) for s in unary(p)),
    *unary(ops.tan, ALL, low=-1.2, high=1.2),
    *(s for p in (ops.asin, ops.acos, ops.atanh) for s in unary(p, ALL, low=-0.9, high=0.9)),
    *unary(ops.acosh, ALL, low=1.2, high=3.0),
    *slope(ops.tanh_slope, jnp.tanh, lambda x: 1 / jnp.cosh(x) ** 2),
    *unary(ops.asinh_slope, oracle=lambda x: (1 + x * x) ** -0.5),
    *binary(ops.atan2_slope, ALL, oracle=lambda x, y: x / (x * x + y * y)),
    at("scalar-right", ops.atan2_slope, random(3, dtype=F64), 0.5, oracle=lambda x, y: x / (x * x + y * y)),
    *binary(ops.atan2, ALL),
    *binary(ops.hypot_slope, REAL, oracle=lambda x, y: x / jnp.hypot(x, y)),
    at("scalar-right", ops.hypot_slope, random(3, dtype=F64), 0.5, oracle=lambda x, y: x / jnp.hypot(x, y)),
    *binary(ops.hypot, REAL, oracle=jnp.hypot),
    at("scalar-right", ops.hypot, random(3, dtype=F64), 0.5, oracle=jnp.hypot),
    at("quadrants", ops.atan2, [1.0, 1.0, -1.0, -1.0, 0.0], [1.0, -1.0, 1.0, -1.0, 1.0]),
    at("scalar-right", ops.atan2, random(3, dtype=F64), 0.5),
    at("scalar-left", ops.atan2, 0.5, random(3)),
    # Comparisons and rounding
    *binary(ops.eq, (F32, C64, I32, bool)),
    *binary(ops.ne, (F64, C64)),
    *(s for p in (ops.lt, ops.ge) for s in binary(p, (F64, I32))),
    *(s for p in (ops.le, ops.gt) for s in binary(p, (F32,))),
    at("scalar-right", ops.gt, random(3), 0.0),
    *(
        at(
            "total-order",
            p,
            [-np.nan, -0.0, 0.0, np.nan, 1.0],
            [-1.0, 0.0, -0.0, np.nan, 2.0],
            oracle=getattr(lax, f"{n}_p").bind,
        )
        for p, n in ((ops.eq_to, "eq_to"), (ops.le_to, "le_to"), (ops.lt_to, "lt_to"))
    ),
    *(s for p in (ops.floor, ops.ceil) for s in unary(p, REAL)),
    *(params(ops.round_, random(3, dtype=F32), lax.round, rounding_method=m, label=m.name) for m in lax.RoundingMethod),
    at("edges", ops.is_finite, [1.0, np.inf, -np.inf, np.nan]),
    # Choices
    *binary(ops.max_, (F32, F64, I32)),
    *binary(ops.min_, REAL),
    *(
        sample
        for p in (ops.max_, ops.min_)
        for sample in binary(p, (C64,), jax_derivative=False, why="JAX 0.12 has no derivative of it")
    ),
    *(at("scalar-right", p, random(3, dtype=F64), 0.1) for p in (ops.max_, ops.min_)),
    *(at("ties", p, [1.0, 2.0, -3.0], [1.0, 0.5, -3.0], **KINK) for p in (ops.max_, ops.min_)),
    *(at("scalar-tie", p, [1.0, 2.0, 0.0], 1.0, **KINK) for p in (ops.max_, ops.min_)),
    at("signs", ops.rem, [5.3, -5.3, 5.3, -5.3, 0.4], [2.0, 2.0, -2.0, -2.0, 3.0]),
    at("float32", ops.rem, np.array([7.5, -2.25], F32), np.array([2.0, 0.75001], F32)),
    at("int32", ops.rem, np.array([7, -7, 5], I32), np.array([2, 2, -3], I32)),
    at("scalar-right", ops.rem, [5.3, -1.2], 2.0),
    *binary(ops.nextafter, REAL, jax_derivative=False, why="JAX does not differentiate it"),
]

low, middle, high = np.full((3, 2), -0.8), distinct(3, 2, dtype=F64), np.full((3, 2), 0.7)
no_scalar_tangents = {"jax_derivative": False, "why": "JAX fails for the tangents of bounds without axes"}
SAMPLES += [
    at("float64", ops.clamp, low, middle, high),
    at("float32", ops.clamp, low.astype(F32), middle.astype(F32), high.astype(F32)),
    at("scalar-bounds", ops.clamp, F64(-0.8), middle, F64(0.7), **no_scalar_tangents),
    at(
        "one-scalar-bound",
        ops.clamp,
        low,
        middle,
        F64(0.7),
        oracle=lambda a, x, b: lax.clamp(a, x, b * jnp.ones_like(x)),
    ),
    at("literal-bounds", ops.clamp, -1, middle.astype(F32), 0.7),
    at("no-axes", ops.clamp, F64(-0.8), F64(2.0), F64(0.7)),
    at(
        "crossed",
        ops.clamp,
        [2.0, 2.0, 2.0],
        [0.0, 1.5, 3.0],
        [1.0, 1.0, 1.0],
        jax_derivative=False,
        why="JAX gives zero",
    ),
    at("ties", ops.clamp, [0.0, 0.0], [0.0, 1.0], [1.0, 1.0], **KINK),
    at("int32", ops.clamp, I32(-1), random(3, 2, dtype=I32), I32(1)),
    *(
        Sample(ops.select_n, (random(3, 2, dtype=bool), x, random(3, 2, dtype=x.dtype, seed=1)), lax.select_n)
        for x in (random(3, 2, dtype=d) for d in (F32, F64, C64, I32, bool))
    ),
    Sample(ops.select_n, (random(4, dtype=I32, low=0, high=3), *(random(4, seed=s) for s in range(3))), lax.select_n),
    Sample(ops.select_n, (np.bool_(True), random(3, 2, dtype=F64), random(3, 2, dtype=F64, seed=1)), lax.select_n),
    Sample(ops.select_n, (I32(1), *(random(3, dtype=C128, seed=s) for s in range(3))), lax.select_n),
    Sample(ops.select_n, (np.bool_(False), F64(1.5), F64(-2.0)), lax.select_n),
    Sample(
        ops.select_n, (np.bool_(True), jnp.asarray(1.5), 0.0), lambda b, x, y: jnp.where(b, y, x), label="Python-scalar"
    ),
    Sample(
        ops.clamp,
        (-1.0, jnp.full((3,), 0.5), jnp.full((3,), 0.25)),
        lambda a, x, b: lax.clamp(jnp.full_like(x, a), x, b),
        label="weak",
    ),
]
