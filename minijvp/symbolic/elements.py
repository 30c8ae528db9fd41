"""Elementwise primitives in SymPy, a table: name, and the expression of one element of the result.

An entry is the name of a function of SymPy, or a function (sp, *operands, **params) -> expression. The formulas are
those of the functions of jax.lax on real numbers, and of complex ones where they have a meaning there.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
from jax.lax import RoundingMethod

from minijvp.core.jaxpr import Equation
from minijvp.core.types import ArrayType, is_inexact, is_key
from minijvp.packages import package

LARGEST_DENOMINATOR = 1024
"""Of the floats that are read as fractions; the denominator of a float is a power of 2."""


def sympy() -> ModuleType:
    """SymPy; MissingPackageError where it is not installed."""
    return package("sympy", "symbolic", "minijvp.symbolic")


def number(value: Any) -> Any:
    """A number of a program in SymPy, exact where it is an integer or a fraction with a small denominator.

    Other floats are the shortest decimal that their dtype reads as them.

    >>> number(2.0), number(0.375), number(np.float32(0.3))
    (2, 3/8, 0.300000000000000)
    """
    sp = sympy()
    kind = np.asarray(value).dtype.kind
    if kind == "b":
        return sp.true if value else sp.false
    if kind in "iu":
        return sp.Integer(int(value))
    if kind == "c":
        return number(value.real) + sp.I * number(value.imag)
    if not np.isfinite(value):
        return sp.nan if np.isnan(value) else sp.oo * (1 if value > 0 else -1)
    exact = Fraction(float(value))
    if exact.denominator <= LARGEST_DENOMINATOR and abs(exact.numerator) < 2**53:
        return sp.Rational(exact.numerator, exact.denominator)
    return sp.Float(str(value))


@cache
def constant_of() -> Any:
    """The function of SymPy that is its argument, and whose derivative is zero: `stop_gradient`."""
    sp = sympy()

    class stop_gradient(sp.Function):
        @classmethod
        def eval(cls, x: Any) -> Any:
            return None if x.free_symbols else x

        def fdiff(self, argindex: int = 1) -> Any:
            return sp.S.Zero

    return stop_gradient


def _abs(sp: Any, x: Any) -> Any:
    # SymPy takes log(x) for complex and would derive |log(x)| by real and imaginary parts.
    return sp.Abs(x) if x.is_extended_real or x.has(sp.I) else sp.Piecewise((-x, x < 0), (x, True))


def _truncated(sp: Any, x: Any) -> Any:
    return sp.sign(x) * sp.floor(_abs(sp, x))


def _round(sp: Any, x: Any, *, rounding_method: Any) -> Any:
    if rounding_method == RoundingMethod.AWAY_FROM_ZERO:
        return sp.sign(x) * sp.floor(_abs(sp, x) + sp.Rational(1, 2))
    # Half-integers 2k + 1/2, whose quarter is an integer, are rounded down to the even 2k.
    quarter = (2 * x - 1) / 4
    return sp.floor(x + sp.Rational(1, 2)) + sp.ceiling(quarter) - sp.floor(quarter) - 1


def _same(sp: Any, x: Any, **params: Any) -> Any:
    return x


Entry = str | Callable[..., Any]

NUMBERS: dict[str, Entry] = {
    # Arithmetic
    "add": lambda sp, x, y: x + y,
    "sub": lambda sp, x, y: x - y,
    "mul": lambda sp, x, y: x * y,
    "div": lambda sp, x, y: x / y,
    "absorbing_mul": lambda sp, x, y: x * y,
    "neg": lambda sp, x: -x,
    "rem": lambda sp, x, y: x - y * _truncated(sp, x / y),
    "max": "Max",
    "min": "Min",
    # Values that stay what they are
    "copy": _same,
    "reduce_precision": _same,
    "name": _same,
    "captured": _same,
    "sharding_constraint": _same,
    "place": _same,
    "add_zero": lambda sp, x, zero: x,
    "stop_gradient": lambda sp, x: constant_of()(x),
    # Parts and signs of numbers
    "real": "re",
    "imag": "im",
    "complex": lambda sp, x, y: x + sp.I * y,
    "conj": lambda sp, x, *, input_dtype: sp.conjugate(x),
    "abs": _abs,
    "sign": "sign",
    "floor": "floor",
    "ceil": "ceiling",
    "round": _round,
    "is_finite": lambda sp, x: sp.false if x.is_finite is False else sp.true,  # symbols are
    # Powers
    "square": lambda sp, x: x**2,
    "sqrt": "sqrt",
    "rsqrt": lambda sp, x: 1 / sp.sqrt(x),
    "cbrt": lambda sp, x: sp.sign(x) * _abs(sp, x) ** sp.Rational(1, 3),
    "integer_pow": lambda sp, x, *, y: x**y,
    "pow": lambda sp, x, y: x**y,
    "one_minus_square": lambda sp, x: 1 - x**2,
    "times_one_minus": lambda sp, x: x * (1 - x),
    # Exponentials and logarithms
    "exp": "exp",
    "exp2": lambda sp, x: 2**x,
    "expm1": lambda sp, x: sp.exp(x) - 1,
    "log": "log",
    "log1p": lambda sp, x: sp.log(1 + x),
    "logaddexp": lambda sp, x, y: sp.log(sp.exp(x) + sp.exp(y)),
    "share": lambda sp, x, y: 1 / (1 + sp.exp(y - x)),
    "logistic": lambda sp, x: 1 / (1 + sp.exp(-x)),
    "logistic_slope": lambda sp, x, y: y * (1 - y),
    # Circular and hyperbolic functions
    **{name: name for name in ("sin", "cos", "tan", "asin", "acos", "atan", "atan2")},
    **{name: name for name in ("sinh", "cosh", "tanh", "asinh", "acosh", "atanh")},
    "tanh_slope": lambda sp, x, y: 1 - y**2,
    "asinh_slope": lambda sp, x: 1 / sp.sqrt(1 + x**2),
    "atan2_slope": lambda sp, x, y: x / (x**2 + y**2),
    "hypot_slope": lambda sp, x, y: x / sp.sqrt(x**2 + y**2),
    "hypot": lambda sp, x, y: sp.sqrt(x**2 + y**2),
    # Comparisons; those with _to differ from the others for nan and -0 only
    "eq": "Eq",
    "ne": "Ne",
    "lt": "Lt",
    "le": "Le",
    "gt": "Gt",
    "ge": "Ge",
    "eq_to": "Eq",
    "lt_to": "Lt",
    "le_to": "Le",
    # Special functions
    "gaussian": lambda sp, x: sp.exp(-(x**2)),
    "erf": "erf",
    "erfc": "erfc",
    "erf_inv": "erfinv",
    "lgamma": "loggamma",
    "digamma": "digamma",
    "polygamma": "polygamma",
    "zeta": "zeta",
    "igamma": lambda sp, a, x: sp.lowergamma(a, x) / sp.gamma(a),
    "igammac": lambda sp, a, x: sp.uppergamma(a, x) / sp.gamma(a),
    "regularized_incomplete_beta": lambda sp, a, b, x: sp.betainc_regularized(a, b, 0, x),
    "bessel_difference": lambda sp, x: sp.exp(-_abs(sp, x)) * (sp.besseli(0, x) - sp.besseli(1, _abs(sp, x))),
    "bessel_i0e": lambda sp, x: sp.exp(-_abs(sp, x)) * sp.besseli(0, x),
    "bessel_i1e": lambda sp, x: sp.exp(-_abs(sp, x)) * sp.besseli(1, x),
}

ORDERED = ("max", "min", "lt", "le", "gt", "ge", "lt_to", "le_to", "atan2", "rem", "round", "floor", "ceil", "cbrt")

COMPLEX: dict[str, Entry] = {
    **{name: entry for name, entry in NUMBERS.items() if name not in ORDERED},
    "abs": "Abs",
}

INTEGERS: dict[str, Entry] = {
    **NUMBERS,
    "div": lambda sp, x, y: _truncated(sp, x / y),  # towards zero
}

BOOLEANS: dict[str, Entry] = {
    "and": "And",
    "or": "Or",
    "xor": "Xor",
    "not": "Not",
    "eq": "Equivalent",
    "ne": "Xor",
    "copy": _same,
    "stop_gradient": _same,
}


TABLES = {"c": COMPLEX, "f": NUMBERS, "i": INTEGERS, "b": BOOLEANS}
"""By the kind of the operands; of different ones, by the first of these."""


def kind_of(t: ArrayType) -> str:
    """c, f, i or b for complex numbers, floats, integers and booleans; k for random keys."""
    if is_key(t.dtype):
        return "k"
    kind = t.dtype.kind
    return "f" if is_inexact(t.dtype) and kind != "c" else "i" if kind == "u" else kind


def elementwise(e: Equation) -> Callable[..., Any] | None:
    """The function of the operands' elements that an equation applies, or None where the table has none."""
    kinds = {kind_of(v.type) for v in e.inputs}
    table = next((table for kind, table in TABLES.items() if kind in kinds), {})
    entry = table.get(e.primitive.name)
    sp = sympy()
    if isinstance(entry, str):
        return getattr(sp, entry)
    params = {key: value for key, value in e.params.items() if key != "accuracy"}
    return None if entry is None else lambda *operands: entry(sp, *operands, **params)


def convert(x: Any, old: str, new: str) -> Any:
    """An element in a dtype of another kind. Floats are as exact as they were; to integers they are truncated."""
    sp = sympy()
    if old == new:
        return x
    if old == "b":
        return sp.Piecewise((1, x), (0, True))
    if new == "b":
        return sp.Ne(x, 0)
    x = sp.re(x) if old == "c" else x
    return _truncated(sp, x) if new == "i" and old != "i" else x
