"""Derivatives in which zeros absorb: the values that are meant, in every mode, and nan where there is no derivative."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import minijvp
import minijvp.numpy as mnp
from minijvp import lax
from minijvp.errors import ArgumentError
from tests.nan_programs import PROGRAMS, NanProgram

ALL = pytest.mark.parametrize("program", PROGRAMS.values(), ids=list(PROGRAMS))

Gradient = Callable[[Callable[[Any], Any], Any], Any]


def twice_in_a_scan(fun: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Half the sum of two turns: the function itself."""
    return lambda x: lax.scan(lambda total, _: (total + 0.5 * fun(x), None), 0.0, None, length=2)[0]


def in_a_loop(fun: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """One turn of a loop whose length nobody knows."""
    return lambda x: lax.while_loop(lambda c: c[0] < 1, lambda c: (c[0] + 1, fun(x)), (0, 0.0))[1]


def in_a_branch(fun: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda x: lax.cond(x.ravel()[0] > -5, fun, lambda x: 2 * fun(x), x)


def by_pullback(fun: Callable[[Any], Any], x: Any) -> Any:
    return minijvp.vjp(fun, x, nan_safe=True)[1](1.0)[0]


def by_directions(fun: Callable[[Any], Any], x: Any) -> Any:
    directions = mnp.eye(x.size, dtype=x.dtype).reshape(x.size, *x.shape)
    push = lambda t: minijvp.jvp(fun, (x,), (t,), nan_safe=True)[1]
    return minijvp.vmap(push)(directions).reshape(x.shape)


def by_linearize(fun: Callable[[Any], Any], x: Any) -> Any:
    _, push = minijvp.linearize(fun, x, nan_safe=True)
    directions = np.eye(x.size, dtype=x.dtype).reshape(x.size, *x.shape)
    return np.array([push(t) for t in directions]).reshape(x.shape)


def by_setting(fun: Callable[[Any], Any], x: Any) -> Any:
    with minijvp.config(nan_safe=True):
        return minijvp.jit(minijvp.grad(fun))(x)


def each_lane(fun: Callable[[Any], Any], x: Any) -> Any:
    found = minijvp.vmap(minijvp.grad(fun, nan_safe=True))(np.stack([x, x]))
    np.testing.assert_array_equal(found[0], found[1])
    return found[0]


WAYS: dict[str, Gradient] = {
    "grad": lambda fun, x: minijvp.grad(fun, nan_safe=True)(x),
    "jit outside": lambda fun, x: minijvp.jit(minijvp.grad(fun, nan_safe=True))(x),
    "jit inside": lambda fun, x: minijvp.grad(minijvp.jit(fun), nan_safe=True)(x),
    "scan": lambda fun, x: minijvp.grad(twice_in_a_scan(fun), nan_safe=True)(x),
    "while": lambda fun, x: minijvp.grad(in_a_loop(fun), nan_safe=True)(x),
    "cond": lambda fun, x: minijvp.grad(in_a_branch(fun), nan_safe=True)(x),
    "checkpoint": lambda fun, x: minijvp.jit(minijvp.grad(minijvp.checkpoint(fun), nan_safe=True))(x),
    "vmap": each_lane,
    "vjp": by_pullback,
    "setting": by_setting,
    "linearize": by_linearize,
    "jvp": by_directions,
    "value_and_grad": lambda fun, x: minijvp.value_and_grad(fun, nan_safe=True)(x)[1],
}


FEW = [PROGRAMS[name] for name in ("norm behind a mask", "missing data", "gates that overflow in step 15 of a loop")]
NEAR = "jit outside", "vjp", "value_and_grad", "linearize"
"""Ways that are close to others."""


@pytest.mark.parametrize("way", [WAYS[name] for name in NEAR], ids=NEAR)
@pytest.mark.parametrize("program", FEW, ids=lambda program: program.fun.__name__)
def test_gradients_by_ways_that_are_close_to_others(program: NanProgram, way: Gradient) -> None:
    np.testing.assert_allclose(way(program.fun, program.x), program.gradient, rtol=2e-5, atol=1e-6)


@ALL
@pytest.mark.parametrize("name", [name for name in WAYS if name not in NEAR])
def test_gradients_are_what_is_meant(program: NanProgram, name: str) -> None:
    np.testing.assert_allclose(WAYS[name](program.fun, program.x), program.gradient, rtol=2e-5, atol=1e-6)


@ALL
def test_programs_are_nan_without_and_mended_by_hand(program: NanProgram) -> None:
    assert not np.isfinite(minijvp.grad(program.fun)(program.x)).all()
    np.testing.assert_allclose(minijvp.grad(program.mended)(program.x), program.gradient, rtol=2e-5, atol=1e-6)


@ALL
def test_jax_is_nan_too(program: NanProgram) -> None:
    assert not np.isfinite(jax.grad(minijvp.to_jax(program.fun))(program.x)).all()


@pytest.mark.parametrize("name", ["sqrt behind a mask", "log behind a mask", "1/x behind a mask", "missing data"])
def test_second_derivatives(name: str) -> None:
    program = PROGRAMS[name]
    with minijvp.config(nan_safe=True):
        found = minijvp.hessian(program.fun)(program.x)
        reverse = minijvp.jit(minijvp.jacrev(minijvp.grad(program.fun)))(program.x)
    meant = minijvp.hessian(program.mended)(program.x)
    np.testing.assert_allclose(found, meant, rtol=1e-5)
    np.testing.assert_allclose(reverse, meant, rtol=1e-5)


INF = np.inf
special = minijvp.scipy.special
UNUSED: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "prod": (mnp.prod, [INF, 1.0, 2.0]),
    "cumprod": (mnp.cumprod, [INF, 1.0, 2.0]),
    "einsum": (lambda x: mnp.einsum("i,j->ij", x, x), [INF, np.nan]),
    "interp": (lambda x: mnp.interp(x, x, x), [INF, 1.0]),
    "fft": (lambda x: mnp.abs(mnp.fft.fft(x)), [INF, 1.0]),
    "QR": (lambda x: mnp.linalg.qr(x)[1], [[0.0, 0.0], [0.0, 0.0]]),
    "determinant": (mnp.linalg.det, [[1.0, INF], [1.0, 1.0]]),
    "softmax": (minijvp.nn.softmax, [INF, 1.0]),
    "log_softmax": (minijvp.nn.log_softmax, [-INF, -INF]),
    "cumlogsumexp": (lax.cumlogsumexp, [-INF, -INF]),
    "variance": (mnp.var, [INF, 1.0]),
    "integer power": (lambda x: x**-3, [0.0, 1.0]),
    "rsqrt": (lax.rsqrt, [0.0, 1.0]),
    "gammaln": (minijvp.scipy.special.gammaln, [0.0, -1.0]),
    "erfinv": (minijvp.scipy.special.erfinv, [1.0, -1.0]),
    "arctan2": (lambda x: mnp.arctan2(x, x), [0.0, 1.0]),
    "complex": (lambda x: mnp.abs(mnp.sqrt(x + 0j)), [0.0, 1.0]),
    "ragged": (lambda x: lax.ragged_dot(x, x.reshape(2, 2, 1), mnp.array([1, 1])), [[INF, 1.0], [1.0, 1.0]]),
    "attention": (lambda x: minijvp.nn.dot_product_attention(*[x[None, :, None]] * 3), [[INF, 1.0], [1.0, 1.0]]),
    "scatter": (lambda x: x.at[mnp.array([0, 0, 1])].multiply(x), [0.0, np.nan, 2.0]),
    "window": (lambda x: lax.reduce_window(x, 1.0, lax.mul, (2,), (1,), "VALID"), [INF, 1.0, 2.0]),
    "x log x": (special.entr, [0.0, 1.0]),
    "relative entropy": (lambda x: special.rel_entr(x, mnp.array([1.0, 0.0])), [0.0, 1.0]),
    "logit": (special.logit, [0.0, 1.0]),
    "i0": (special.i0, [INF, 1.0]),
    "i1": (special.i1, [INF, 1.0]),
    "spence": (special.spence, [0.0, INF]),
    "exp1": (special.exp1, [0.0, 1.0]),
    "expi": (special.expi, [0.0, 1.0]),
    "log_ndtr": (special.log_ndtr, [-INF, 1.0]),
    "hyp1f1": (lambda x: special.hyp1f1(x, x, x), [np.nan]),
    "poch": (lambda x: special.poch(x, x), [0.0]),
    "soft_sign": (minijvp.nn.soft_sign, [np.nan, 1.0]),
    "gelu": (lambda x: minijvp.nn.gelu(x, approximate=False), [INF, 1.0]),
    "least squares": (lambda x: mnp.linalg.lstsq(x, x[0])[0], np.full((2, 2), np.nan)),
    "inverse": (mnp.linalg.inv, np.ones((2, 2))),
    "solve": (lambda x: mnp.linalg.solve(x, x[0]), np.ones((2, 2))),
    "logarithm of a determinant": (lambda x: mnp.linalg.slogdet(x)[1], np.ones((3, 3))),
    "a loop as a solver": (
        lambda x: lax.custom_linear_solve(
            lambda y: x * y, x, lambda f, b: lax.fori_loop(0, 2, lambda i, y: b / x, b), symmetric=True
        ),
        [0.0, 0.0],
    ),
    "root": (
        lambda x: lax.custom_root(
            lambda y: y**2 - x, 0 * x, lambda f, y: mnp.sqrt(x), lambda g, y: y / g(mnp.ones_like(y))
        ),
        [0.0, 1.0],
    ),
    "of JAX": (minijvp.from_jax(lambda x: jnp.linalg.norm(x) + jax.nn.logsumexp(x)), [-INF, -INF]),
}
"""Functions, with arguments where their derivative is not finite."""


@pytest.mark.parametrize(("fun", "x"), UNUSED.values(), ids=list(UNUSED))
def test_what_is_not_used_has_a_gradient_of_zeros(fun: Any, x: Any) -> None:
    x = np.array(x, np.float32)
    unused = lambda x: mnp.sum(mnp.where(mnp.array(False), fun(x), 0.0))
    np.testing.assert_array_equal(minijvp.grad(unused, nan_safe=True)(x), np.zeros_like(x))
    np.testing.assert_array_equal(minijvp.jit(minijvp.grad(unused, nan_safe=True))(x), np.zeros_like(x))


def test_a_softmax_that_is_used_stays_nan() -> None:
    gradient = minijvp.grad(lambda x: minijvp.nn.softmax(x)[1], nan_safe=True)
    assert np.isnan(gradient(np.float32([-INF, -INF]))).all()
    x = np.float32([[1.0, 2.0], [-INF, -INF]])
    first = minijvp.grad(lambda x: minijvp.nn.softmax(x)[0, 0], nan_safe=True)(x)
    np.testing.assert_array_equal(first, minijvp.grad(lambda x: minijvp.nn.softmax(x[:1])[0, 0])(x))


def test_nan_where_there_is_no_derivative() -> None:
    grad = lambda fun: minijvp.grad(fun, nan_safe=True)(0.0)
    assert np.isnan(grad(lambda x: mnp.arctan2(x, x)))
    assert np.isnan(grad(lambda x: mnp.arctan2(x**2, x**2)))  # nan says that there is none: no zero absorbs it
    assert np.isnan(grad(lambda x: mnp.log(mnp.exp(x - 1000))))  # it is 1: no zero that an exponential leaves absorbs
    losses = lambda x: -mnp.log(minijvp.nn.softmax(x)[0]), lambda x: -mnp.log(minijvp.nn.sigmoid(x[0]))
    assert all(np.isnan(minijvp.grad(f, nan_safe=True)(np.float32([-200, 0]))).any() for f in losses)
    assert grad(mnp.sqrt) == np.inf
    assert grad(lambda x: 1 / x) == -np.inf


def test_sums_keep_terms_that_do_not_vanish() -> None:
    data = mnp.array([[1.0, mnp.inf], [mnp.nan, 2.0]])
    gradient = minijvp.grad(lambda w: (data @ w)[1], nan_safe=True)(mnp.ones(2))
    np.testing.assert_array_equal(gradient, [np.nan, 2.0])
    gradient = minijvp.grad(lambda w: (data @ w)[0], nan_safe=True)(mnp.ones(2))
    np.testing.assert_array_equal(gradient, [1.0, np.inf])


@pytest.mark.parametrize("fun", [mnp.sin, lambda x: x @ x.T, lambda x: mnp.linalg.norm(x) / (1 + x**2)])
def test_finite_derivatives_are_the_plain_ones_to_the_bit(fun: Any) -> None:
    x = np.random.default_rng(0).normal(size=(3, 3)).astype(np.float32)
    total = lambda x: mnp.sum(fun(x))
    plain = minijvp.config(compile_gradients_after=None)(minijvp.grad(total))(x)
    np.testing.assert_array_equal(minijvp.grad(total, nan_safe=True)(x), plain)


def test_programs_are_the_same_without() -> None:
    fun = lambda x: mnp.where(x > 0, mnp.sqrt(x), 0.0)
    before = str(minijvp.make_jaxpr(minijvp.grad(fun))(1.0))
    safe = str(minijvp.make_jaxpr(minijvp.grad(fun, nan_safe=True))(1.0))
    assert "safe_" in safe and "safe_" not in before
    assert str(minijvp.make_jaxpr(minijvp.grad(fun))(1.0)) == before
    with minijvp.config(nan_safe=True):
        assert str(minijvp.make_jaxpr(minijvp.grad(fun))(1.0)) == safe
        assert str(minijvp.make_jaxpr(minijvp.grad(fun, nan_safe=False))(1.0)) == before


def test_what_was_compiled_without_is_not_used() -> None:
    fun = minijvp.jit(lambda x: mnp.where(x > 0, mnp.sqrt(x), 0.0))
    gradient = minijvp.jit(minijvp.grad(fun))
    assert np.isnan(gradient(0.0))
    with minijvp.config(nan_safe=True):
        assert gradient(0.0) == 0
    assert np.isnan(gradient(0.0))


def test_users_rules_multiply_as_they_say() -> None:
    @minijvp.custom_jvp
    def root(x: Any) -> Any:
        return mnp.sqrt(x)

    @root.defjvp
    def rule(primals: Any, tangents: Any) -> Any:
        (x,), (t,) = primals, tangents
        return root(x), t * (0.5 / mnp.sqrt(x))

    gradient = minijvp.grad(lambda x: mnp.where(x > 0, root(x), 0.0), nan_safe=True)
    assert np.isnan(gradient(0.0))
    assert gradient(4.0) == 0.25


def test_a_zero_may_hide_a_limit() -> None:
    """What docs/debugging.md says of it: the derivative is 1, or 2, and nan without."""
    for fun in (lambda x: mnp.exp(mnp.log(x)), lambda x: mnp.sqrt(x) ** 2, lambda x: mnp.cbrt(x**3)):
        assert np.isnan(minijvp.grad(fun)(0.0)) and minijvp.grad(fun, nan_safe=True)(0.0) == 0
    square = lambda x: mnp.linalg.norm(x) ** 2
    assert np.isnan(minijvp.hessian(square)(np.zeros(2))).any()
    with minijvp.config(nan_safe=True):
        np.testing.assert_array_equal(minijvp.hessian(square)(np.zeros(2)), np.zeros((2, 2)))


def test_numbers_are_those_of_the_dtype() -> None:
    scaled = lambda x: mnp.where(x > 0, x * 1e6, 0.0)  # 1e6 is infinite there
    assert minijvp.grad(scaled, nan_safe=True)(np.float16(-1)) == 0


def test_programs_of_jax() -> None:
    fun = minijvp.from_jax(lambda x: jnp.where(x > 0, jnp.log(x) * x, 0.0).sum())
    np.testing.assert_array_equal(minijvp.grad(fun, nan_safe=True)(np.float32([0.0, 1.0])), [0.0, 1.0])
    for outside in (minijvp.grad, jax.grad):
        total = minijvp.to_jax(lambda x: minijvp.grad(mnp.sin, nan_safe=True)(x) ** 2)
        np.testing.assert_allclose(outside(total)(1.0), -np.sin(2.0), rtol=1e-6)


def test_complex_numbers() -> None:
    fun = lambda z: mnp.real(mnp.where(mnp.abs(z) > 0, z / mnp.abs(z), 0.0))
    x = np.complex64(3 + 4j)
    np.testing.assert_allclose(minijvp.grad(fun, nan_safe=True)(x), minijvp.grad(fun)(x), rtol=1e-6)
    assert minijvp.grad(fun, nan_safe=True)(np.complex64(0)) == 0


def test_compiled_programs_hold_the_choice() -> None:
    fun = lambda x: mnp.sum(mnp.where(x > 0, mnp.sqrt(x), 0.0))

    def selections(nan_safe: bool) -> int:
        lowered = minijvp.jit(minijvp.grad(fun, nan_safe=nan_safe)).lower(np.ones(4, np.float32))
        return (lowered.compile().as_text() or "").count("select(")

    assert selections(True) > selections(False) > 0


def test_a_solution_that_is_used_stays_nan() -> None:
    singular = np.ones((2, 2), np.float32)
    for fun in (lambda a: mnp.linalg.inv(a).sum(), lambda a: mnp.linalg.solve(a, a[0]).sum()):
        assert np.isnan(minijvp.grad(fun, nan_safe=True)(singular)).all()
        value, _ = minijvp.value_and_grad(lambda a: fun(0 * a), nan_safe=True)(singular)
        assert np.isnan(value)  # the solution itself is what it is, for a right side of zeros too


@pytest.mark.parametrize("solver", [mnp.linalg.solve, minijvp.from_jax(jnp.linalg.solve)])
def test_regular_systems_beside_singular_ones(solver: Any) -> None:
    a = np.array([[[1, 1], [1, 1]], [[2, 1], [1, 3]], [[np.nan, 0], [0, 1]]], np.float32)
    b = np.array([[1, 2], [3, 4], [5, 6]], np.float32)
    total = lambda a, b, ok: mnp.sum(mnp.where(ok[..., None], solver(a, b[..., None])[..., 0], 0.0) ** 2)
    ok = np.array([False, True, False])
    regular = minijvp.grad(total, (0, 1))(a[1], b[1], ok[1])
    for found in (
        minijvp.grad(total, (0, 1), nan_safe=True)(a, b, ok),
        minijvp.vmap(minijvp.grad(total, (0, 1), nan_safe=True))(a, b, ok),
    ):
        for x, y in zip(found, regular, strict=True):
            np.testing.assert_allclose(x[1], y, rtol=1e-6)
            np.testing.assert_array_equal(np.abs(x[::2]), np.zeros_like(x[::2]))
    with minijvp.config(nan_safe=True):
        second = minijvp.vmap(minijvp.hessian(total))(a, b, ok)
    np.testing.assert_allclose(second[1], minijvp.hessian(total)(a[1], b[1], ok[1]), rtol=1e-5)
    assert not np.any(second[::2])


@pytest.mark.parametrize(("fun", "x"), [(special.entr, 0.0), (mnp.linalg.inv, np.ones((2, 2), np.float32))])
def test_second_derivatives_by_rules_and_solvers(fun: Any, x: Any) -> None:
    unused = lambda x: mnp.sum(mnp.where(mnp.array(False), fun(x), x**2))
    with minijvp.config(nan_safe=True):
        found = minijvp.jit(minijvp.hessian(unused))(x)
    np.testing.assert_array_equal(found, minijvp.hessian(lambda x: mnp.sum(x**2))(x))


def test_rules_that_were_made_under_the_setting_are_not_used_without() -> None:
    a = np.float32([[2, 1], [1, 3]])
    for fun in (lambda a: mnp.linalg.lstsq(a, a[0])[0].sum(), mnp.linalg.det, lambda a: mnp.linalg.inv(a).sum()):
        before = str(minijvp.make_jaxpr(minijvp.grad(minijvp.jit(lambda a, f=fun: f(a))))(a))
        called = minijvp.jit(fun)
        assert "safe_" in str(minijvp.make_jaxpr(minijvp.grad(called, nan_safe=True))(a))
        assert str(minijvp.make_jaxpr(minijvp.grad(called))(a)) == before


def test_users_rules_in_jax_multiply_as_they_say() -> None:
    root = jax.custom_jvp(lambda x: jnp.sqrt(x))
    root.defjvps(lambda t, out, x: t * (0.5 / jnp.sqrt(x)))
    gradient = minijvp.grad(minijvp.from_jax(lambda x: jnp.where(x > 0, root(x), 0.0)), nan_safe=True)
    assert np.isnan(gradient(0.0))
    assert gradient(4.0) == 0.25


def test_where_it_does_not_hold() -> None:
    """What docs/debugging.md says of JAX, and of threads."""
    unused = lambda fun: lambda x: mnp.sum(mnp.where(mnp.array(False), fun(x), 0.0))
    with minijvp.config(nan_safe=True), ThreadPoolExecutor() as pool:
        assert np.isnan(jax.grad(minijvp.to_jax(unused(mnp.sqrt)))(0.0))
        assert np.isnan(pool.submit(minijvp.grad(unused(mnp.sqrt)), 0.0).result())


@pytest.mark.parametrize("value", [1, "yes", np.True_])
def test_other_values_are_refused(value: Any) -> None:
    for call in (
        lambda: minijvp.grad(mnp.sin, nan_safe=value),
        lambda: minijvp.vjp(mnp.sin, 1.0, nan_safe=value),
        lambda: minijvp.jvp(mnp.sin, (1.0,), (1.0,), nan_safe=value),
        lambda: minijvp.linearize(mnp.sin, 1.0, nan_safe=value),
        lambda: minijvp.config(nan_safe=value),
    ):
        with pytest.raises(ArgumentError, match=r"(?s)nan_safe=.*True or False"):
            call()


def test_derivatives_outside_are_as_if_there_were_none_inside() -> None:
    inner = lambda x: mnp.where(x > 0, mnp.sqrt(mnp.cosh(x) - 1), 0.0)
    assert np.isfinite(minijvp.vmap(minijvp.grad(inner, nan_safe=True))(np.zeros(2))).all()
    outer = lambda x: minijvp.grad(inner, nan_safe=True)(x) + mnp.where(x > 0, mnp.sqrt(mnp.cosh(x) - 1), 0.0)
    assert np.isnan(minijvp.grad(outer)(0.0))
    assert np.isnan(minijvp.grad(inner)(0.0))
