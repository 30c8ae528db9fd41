"""Functions that work element by element: comparisons, logic, bits, tests and choice."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from minijvp.core.types import ARRAY_CLASSES, PYTHON_SCALARS, Array, is_inexact, type_of
from minijvp.errors import ArgumentError
from minijvp.numpy.arithmetic import maximum, minimum
from minijvp.numpy.makers import (
    binary,
    both_arrays,
    constant,
    literal,
    pick,
    require_real,
    surface,
    truth,
    unary,
    with_booleans_as_integers,
)
from minijvp.numpy.promotion import (
    array,
    broadcast,
    cast,
    common_shape,
    converted,
    join,
    kind_of,
    letter_of,
    operand,
    promote,
    promote_pair,
    same_shape,
)
from minijvp.operations import bitwise, elementwise
from minijvp.operations import families as linear
from minijvp.operations.families import zeros

__all__ = [
    "bitwise_and",
    "bitwise_invert",
    "bitwise_left_shift",
    "bitwise_not",
    "bitwise_or",
    "bitwise_right_shift",
    "bitwise_xor",
    "clip",
    "equal",
    "fmax",
    "fmin",
    "greater",
    "greater_equal",
    "invert",
    "isclose",
    "isfinite",
    "isinf",
    "isnan",
    "left_shift",
    "less",
    "less_equal",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "nan_to_num",
    "not_equal",
    "right_shift",
    "select",
]

# Comparisons, logic and bits


def _lexicographic(compare: Callable[..., Any], strictly: Callable[..., Any]) -> Callable[..., Any]:
    """An order of numbers; complex ones are ordered by real parts, equal ones of these by imaginary parts."""

    def function(x: Array, y: Array) -> Array:
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

    def function(x: Array, y: Array) -> Array:
        x, y = both_arrays(x, y)
        return pick(bitwise.bitwise_or(beats(x, y), elementwise.ne(y, y)), x, y)

    return function


fmax = binary(jnp.fmax, _nan_aside(_lexicographic(elementwise.gt, elementwise.gt)))
fmin = binary(jnp.fmin, _nan_aside(_lexicographic(elementwise.lt, elementwise.lt)))


def logical(original: Callable[..., Any], primitive: Callable[..., Any]) -> Callable[..., Any]:
    """A function of truth values."""
    name = original.__name__

    def traced(*xs: Array) -> Array:
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


def _right_shift(x: Array, y: Array) -> Array:
    unsigned = letter_of(x.dtype) == "u"
    return (bitwise.shift_right_logical if unsigned else bitwise.shift_right_arithmetic)(x, y)


right_shift = binary(jnp.right_shift, with_booleans_as_integers(_right_shift))


def _test(test: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A test that no integer passes."""

    def function(x: Array) -> Array:
        return test(x) if is_inexact(x.dtype) else zeros(shape=type_of(x).shape, dtype=np.dtype(bool))

    return function


def _is_infinite(x: Array) -> Array:
    if elementwise.is_complex(x):
        return bitwise.bitwise_or(_is_infinite(elementwise.real(x)), _is_infinite(elementwise.imag(x)))
    return elementwise.eq(elementwise.abs_(x), math.inf)


def _is_finite(x: Array) -> Array:
    if elementwise.is_complex(x):
        return bitwise.bitwise_and(_is_finite(elementwise.real(x)), _is_finite(elementwise.imag(x)))
    return elementwise.is_finite(x) if is_inexact(x.dtype) else constant(True, truth(x))


isnan = unary(jnp.isnan, _test(lambda x: elementwise.ne(x, x)))
isinf = unary(jnp.isinf, _test(_is_infinite))
isfinite = unary(jnp.isfinite, _is_finite)


@surface(jnp.isclose)
def isclose(a: Array, b: Array, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Array:
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


def where(condition: Array, x: Array, y: Array) -> Array:
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


@surface(jnp.select)
def select(condlist: Sequence[Any], choicelist: Sequence[Any], default: Array = 0) -> Array:
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
def clip(arr: Array, /, min: Any = None, max: Any = None) -> Array:
    """The elements, not below `min` and not above `max`."""
    out = array(arr, "clip")
    for x in (out, min, max):
        require_real(x, "clip")
    out = out if min is None else maximum(min, out)
    return out if max is None else minimum(max, out)


@surface(jnp.nan_to_num)
def nan_to_num(x: Array, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Array:
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


bitwise_invert, bitwise_left_shift, bitwise_right_shift = invert, left_shift, right_shift
