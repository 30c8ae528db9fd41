"""Elementwise functions: dtypes and weak types for pairs of kinds, values and derivatives, as jax.numpy has them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import minijvp
import minijvp.numpy as mnp
from minijvp.core.types import PYTHON_SCALARS
from tests.side_by_side import same

UNARY = """sin cos tan arcsin arccos arctan sinh cosh tanh arcsinh arccosh arctanh exp exp2 expm1 log log1p log2 log10
sqrt cbrt reciprocal deg2rad rad2deg sinc negative positive abs fabs sign square real imag conj floor ceil trunc rint
round angle logical_not invert isnan isinf isfinite nan_to_num""".split()
ARITHMETIC = """add subtract multiply divide floor_divide remainder fmod power float_power arctan2 logaddexp logaddexp2
hypot copysign heaviside maximum minimum fmax fmin""".split()
BINARY = [
    *ARITHMETIC,
    *"""equal not_equal less less_equal greater greater_equal logical_and logical_or logical_xor bitwise_and bitwise_or
    bitwise_xor left_shift right_shift nextafter isclose""".split(),
]

ARRAYS = {
    "f32": np.float32([0.5, 0.25]),
    "f64": np.float64([0.25, 0.75]),
    "bf16": jnp.asarray([0.5, 2.0], jnp.bfloat16),
    "c64": np.complex64([0.5 + 1j, 0.25]),
    "i32": np.int32([1, 2]),
    "u8": np.uint8([3, 1]),
    "bool": np.asarray([True, True]),
}
SCALARS = {"int": 2, "float": 0.5, "True": True, "weak": jnp.asarray(2.0)}
OPERANDS = ARRAYS | SCALARS


def traced(fun: Any, args: tuple) -> tuple[Any, tuple]:
    """`fun` of the arrays among the arguments, Python scalars fixed; and these arrays."""
    arrays = [x for x in args if type(x) not in PYTHON_SCALARS]

    def call(*xs: Any) -> Any:
        rest = iter(xs)
        return fun(*[x if type(x) in PYTHON_SCALARS else next(rest) for x in args])

    return call, tuple(map(jnp.asarray, arrays))


def kind_or_error(api: Any, fun: Any, args: tuple) -> Any:
    call, arrays = traced(fun, args)
    try:
        out = api.eval_shape(call, *arrays)
    except (TypeError, ValueError, OverflowError):
        return "refused"
    # The weakness of a bool has no effect.
    return out.shape, out.dtype, out.weak_type and out.dtype != np.bool_


QUIRKS = {("power", "int", "True"), ("left_shift", "bool", "True"), ("right_shift", "bool", "True")}


@pytest.mark.parametrize("name", UNARY)
def test_kinds_of_one_operand(name: str) -> None:
    for label, x in OPERANDS.items():
        if name == "round" and label in ("bool", "True"):
            continue  # jnp.round refuses booleans, and NumPy does not
        expected = kind_or_error(jax, getattr(jnp, name), (x,))
        assert kind_or_error(minijvp, getattr(mnp, name), (x,)) == expected, label


@pytest.mark.parametrize("name", BINARY)
def test_kinds_of_two_operands(name: str) -> None:
    for (a, x), (b, y) in product(OPERANDS.items(), repeat=2):
        if (type(x) in PYTHON_SCALARS and type(y) in PYTHON_SCALARS) or (name, a, b) in QUIRKS:
            continue
        expected = kind_or_error(jax, getattr(jnp, name), (x, y))
        assert kind_or_error(minijvp, getattr(mnp, name), (x, y)) == expected, (a, b)


POINTS = np.asarray([0.3, 0.7, 0.15, 0.9, 0.55])
OTHERS = np.asarray([0.4, -0.6, 0.8, 0.35, -0.9])
AWAY = {"arccosh": POINTS + 1.1, "round": POINTS * 3, "sign": OTHERS}


def check(name: str, *xs: Any, smooth: bool = True) -> None:
    """Values, and derivatives in each operand, at each point."""
    ours, theirs = getattr(mnp, name), getattr(jnp, name)

    def slopes(api: Any, xp: Any, fun: Any) -> Any:
        return api.vmap(api.grad(lambda *v: xp.sin(fun(*v)), tuple(range(len(xs)))))

    @jax.jit
    def judged(*xs: Any) -> tuple[Any, Any]:
        value = theirs(*xs)
        return value, slopes(jax, jnp, theirs)(*xs) if smooth and jnp.issubdtype(value.dtype, np.floating) else ()

    value, wanted = judged(*xs)
    np.testing.assert_allclose(minijvp.jit(ours)(*xs), value, rtol=1e-12)
    if wanted:
        for actual, expected in zip(slopes(minijvp, mnp, ours)(*xs), wanted, strict=True):
            np.testing.assert_allclose(actual, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", [n for n in UNARY if n not in ("logical_not", "invert")])
def test_value_and_derivatives_of_one_operand(name: str) -> None:
    check(name, AWAY.get(name, POINTS))


@pytest.mark.parametrize("name", BINARY)
def test_value_and_derivatives_of_two_operands(name: str) -> None:
    whole = name in ("bitwise_and", "bitwise_or", "bitwise_xor", "left_shift", "right_shift")
    x, y = (np.asarray([5, 3, 9]), np.asarray([1, 2, 3])) if whole else (POINTS, OTHERS)
    y = np.abs(y) if name in ("power", "float_power") else y
    check(name, x, y, smooth=name not in ("nextafter", "copysign"))  # copysign of JAX has no derivative


@pytest.mark.parametrize(
    ("name", "x", "y"),
    [
        ("floor_divide", [7.0, -7.0, 1.0], [2.0, 2.0, 0.0]),
        ("remainder", [7.0, -7.0, 7.0], [2.0, 2.0, -2.0]),
        ("floor_divide", [7, -7, 7], [2, 2, -2]),
        ("remainder", [7, -7, 3], [2, 2, 0]),
        ("power", [2, 3, 7], [10, 0, 3]),
        ("power", [-2.0, 0.0, 3.0], [3.0, 0.0, -1.0]),
        ("logaddexp", [-np.inf, np.inf, 0.0], [-np.inf, np.inf, 800.0]),
        ("hypot", [0.0, 3e200, 3.0], [0.0, 4e200, 4.0]),
        ("hypot", [np.inf, np.nan, -np.inf, np.nan], [np.nan, -np.inf, np.inf, 1.0]),
        ("copysign", [1.0, 2.0, -3.0], [-0.0, 0.0, 5.0]),
        ("heaviside", [0.0, -1.0, np.nan], [0.5, 0.5, 0.5]),
        ("fmax", [np.nan, 1.0, 2.0], [1.0, np.nan, 1.0]),
        ("fmin", [np.nan, 1.0, 2.0], [1.0, np.nan, 1.0]),
        ("fmin", [1 + 1j, 1 - 1j], [1 - 2j, 1 + 0j]),
        ("maximum", [np.nan, 1.0, 2.0], [1.0, np.nan, 1.0]),
    ],
)
def test_edges(name: str, x: Any, y: Any) -> None:
    x, y = np.asarray(x), np.asarray(y)
    np.testing.assert_allclose(minijvp.jit(getattr(mnp, name))(x, y), getattr(jnp, name)(x, y), rtol=1e-14)


KINKS = np.asarray([0.0, -0.0, 0.5, -0.5, 1.0, -1.0, 2.0, -3.0])
ANOTHER_MEAN = {"hypot": "at 0, 0 minijvp has 0 in both, as for abs of 0j"}


@pytest.mark.parametrize("name", [n for n in ARITHMETIC if n != "copysign"])
def test_derivatives_at_ties_and_zeros(name: str) -> None:
    """Of all pairs of some numbers, wherever those of JAX are finite, in both modes."""
    x, y = (v.ravel() for v in np.meshgrid(KINKS, KINKS))
    if name in ANOTHER_MEAN:
        x, y = x[(x != 0) | (y != 0)], y[(x != 0) | (y != 0)]

    def derivatives(api: Any, fun: Any) -> list[Any]:
        value, pull = api.vjp(fun, x, y)
        return [*api.jvp(fun, (x, y), (1.25 + 0 * x, 2.25 + 0 * y)), *pull(1 + 0 * value)]

    wanted = jax.jit(lambda: derivatives(jax, getattr(jnp, name)))()
    for actual, expected in zip(derivatives(minijvp, getattr(mnp, name)), wanted, strict=True):
        finite = np.isfinite(expected)
        np.testing.assert_allclose(np.where(finite, actual, 0), np.where(finite, expected, 0), rtol=1e-12, atol=1e-15)


def test_derivatives_stay_finite_where_mathematics_does() -> None:
    assert minijvp.grad(mnp.logaddexp)(-np.inf, 0.0) == 0.0
    assert minijvp.grad(mnp.sinc)(0.0) == 0.0
    assert minijvp.grad(minijvp.grad(mnp.sinc))(0.0) == pytest.approx(-(np.pi**2) / 3)
    assert minijvp.grad(lambda x: x**2.0)(0.0) == 0.0
    assert minijvp.grad(lambda x: x**0)(0.0) == 0.0
    assert minijvp.grad(lambda x: mnp.where(x > 0, mnp.sqrt(mnp.where(x > 0, x, 1.0)), 0.0))(-1.0) == 0.0


WRAPPING: list[Callable[[Any, Any], Any]] = [
    lambda np_, x: x + 300,
    lambda np_, x: np_.maximum(x, -1),
    lambda np_, x: np_.where(x > 0, x, -1),
    lambda np_, x: x < -1,
    lambda np_, x: x // -1,
    lambda np_, x: x & -1,
    lambda np_, x: np_.clip(x, -1, 5),
    lambda np_, x: np_.pad(x, 1, constant_values=-1),
    lambda np_, x: x.at[0].set(-1),
    lambda np_, x: np_.full_like(x, -1),
    lambda np_, x: np_.full(2, -1, x.dtype),
    lambda np_, x: np_.sum(x, initial=-1),
]


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint32"])
@pytest.mark.parametrize("function", WRAPPING)
def test_integers_out_of_range_wrap(function: Callable[[Any, Any], Any], dtype: str) -> None:
    """As in JAX, which makes integers of the default dtype of them first."""
    x = jnp.asarray([3, 100], dtype)
    same(minijvp.jit(lambda x: function(mnp, x))(x), jax.jit(lambda x: function(jnp, x))(x))
    same(minijvp.vmap(lambda x: function(mnp, x))(x[None]), jax.vmap(lambda x: function(jnp, x))(x[None]))


def test_integers_out_of_the_default_range_are_refused() -> None:
    with pytest.raises(OverflowError, match=f"{2**70} does not fit into int64"):
        minijvp.jit(lambda x: x + 2**70)(np.uint8([1]))


@pytest.mark.parametrize("exponent", [0, 1, 2, 3, -1, -2, 0.5, 2.0])
def test_known_exponents(exponent: Any) -> None:
    for x in (0.7, np.float32(1.3)):
        ours = minijvp.grad(minijvp.grad(lambda v: v**exponent))(x)
        np.testing.assert_allclose(ours, jax.grad(jax.grad(lambda v: v**exponent))(x), rtol=1e-6)


def test_negative_powers_of_integers_are_refused() -> None:
    with pytest.raises(minijvp.ArgumentError, match="negative powers"):
        minijvp.jit(lambda x: x**-1)(np.arange(1, 3))


def test_choice() -> None:
    x = np.asarray([0.5, -1.5, 3.0])

    def program(np_: Any, x: Any) -> Any:
        chosen = np_.select([x > 1, x > 0], [x**2, np_.sin(x)], default=0.5)
        clipped = np_.clip(x, -1.0, 1.0) + np_.where(x > 0, 2.0, x) + np_.where(np_.asarray(True), x, 1)
        return np_.sum(chosen * clipped + np_.nan_to_num(x, posinf=1.0))

    np.testing.assert_allclose(minijvp.grad(lambda v: program(mnp, v))(x), jax.grad(lambda v: program(jnp, v))(x))
    for scalars in [(1.0, 2), (1, 2), (True, 2.5)]:
        ours = minijvp.eval_shape(lambda c: mnp.where(c, *scalars), np.asarray([True]))
        theirs = jax.eval_shape(lambda c: jnp.where(c, *scalars), np.asarray([True]))
        assert (ours.dtype, ours.weak_type) == (theirs.dtype, theirs.weak_type)
    with pytest.raises(minijvp.ConcretizationError, match="both alternatives"):
        minijvp.jit(lambda x: mnp.where(x > 0))(x)
