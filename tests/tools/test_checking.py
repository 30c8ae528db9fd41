"""check_grads and check_rule: right derivatives pass in every dtype, and wrong ones are named."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import minijvp
import minijvp.numpy as mnp
from minijvp import ArgumentError, DerivativeError, check_grads, check_rule
from minijvp.tools.differences import difference_quotients, remainder_slopes
from minijvp.tools.reports import Report

X = jnp.array([0.3, -1.2, 2.0])
DTYPES = [jnp.bfloat16, np.float16, np.float32, np.float64]


def layer(p: Any, x: Any) -> dict[str, Any]:
    """A few terms, in each argument, whose derivatives are of its own size also where the arguments are large."""
    y = x * mnp.sin(p["w"]) + p["b"] / 3
    return {"y": y, "norm": mnp.sqrt(mnp.sum(y * p["w"]) ** 2 + 1.0)}


def pullback(factors: dict[str, float]) -> Any:
    """The cotangents of `layer`, written out; one term in each argument is off by a factor."""

    def bwd(residuals: Any, ct: Any) -> Any:
        p, x = residuals
        w, out = p["w"], layer(p, x)
        slope = ct["norm"] * mnp.sum(out["y"] * w) / out["norm"]
        ct_y = ct["y"] + slope * w
        ct_w = factors.get("w", 1.0) * ct_y * x * mnp.cos(w) + slope * out["y"]
        ct_b = ct_y / 3 * mnp.ones_like(w).at[1].set(factors.get("b", 1.0))
        return {"w": ct_w, "b": ct_b}, factors.get("x", 1.0) * ct_y * mnp.sin(w)

    return bwd


def by_cotangents(factors: dict[str, float]) -> Any:
    made = minijvp.custom_vjp(layer)
    made.defvjp(lambda p, x: (layer(p, x), (p, x)), pullback(factors))
    return made


def by_tangents(factors: dict[str, float]) -> Any:
    made = minijvp.custom_jvp(layer)

    @made.defjvp
    def rule(primals: Any, tangents: Any) -> Any:
        out = made(*primals)
        return out, minijvp.linear_transpose(lambda ct: pullback(factors)(primals, ct), out)(tangents)[0]

    return made


def point(dtype: Any, scale: float, seed: int) -> Any:
    generator = np.random.default_rng(seed)
    w, b, x = (jnp.asarray(scale * generator.uniform(-1, 1, 3), dtype) for _ in range(3))
    return {"w": w, "b": b}, x


# Rules


@pytest.mark.parametrize("scale", [1.0, 2e4])
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda t: np.dtype(t).name)
def test_right_rules_pass(dtype: Any, scale: float) -> None:
    make = by_cotangents if (dtype in DTYPES[::2]) == (scale == 1.0) else by_tangents
    report = check_rule(make({}), *point(dtype, scale, 0))
    slopes = [row.slope for row in report.rows if row.slope is not None]
    assert len(slopes) == 6
    assert all(s > 1.8 for s in slopes)


@pytest.mark.parametrize("wrong", ["w", "b", "x"])
@pytest.mark.parametrize("scale", [1.0, 2e4])
def test_rules_that_are_wrong_in_one_term_are_named(wrong: str, scale: float) -> None:
    leaf = {"w": r"p\['w'\]", "b": r"p\['b'\]", "x": "x"}[wrong]
    for k, (make, dtype) in enumerate([(by_cotangents, jnp.bfloat16), (by_tangents, np.float64)]):
        with pytest.raises(DerivativeError, match=rf"mode of result\['\w+'\] of layer(\[\d\])? by {leaf}") as raised:
            check_rule(make({wrong: 1.03}), *point(dtype, scale, k), seed=k)
        failed = [line for line in str(raised.value).splitlines() if "<- differs" in line]
        others = {"p['w']", "p['b']", "x"} - {leaf.replace("\\", "")}
        assert failed and not [line for line in failed for name in others if f" by {name} " in line]
        assert any("Taylor" in line for line in failed)


def test_a_rule_that_is_not_linear_is_held_against_reverse_mode() -> None:
    """Forward mode refuses it, and the report says so."""
    for limit in (100.0, 0.1):
        made = minijvp.custom_vjp(lambda x: 2.0 * x)
        made.defvjp(lambda x: (2.0 * x, ()), lambda _, ct, limit=limit: (2.0 * mnp.clip(ct, -limit, limit),))
        if limit > 1:
            report = check_rule(made, 0.5)
            assert report.passed and "refused" in str(report) and "not linear" in str(report)
        else:
            with pytest.raises(DerivativeError, match="reverse mode of result"):
                check_rule(made, jnp.ones(3))


def by_numpy(x: Any) -> Any:
    return jax.pure_callback(np.sin, jax.ShapeDtypeStruct(x.shape, x.dtype), x, vmap_method="expand_dims")


@pytest.mark.parametrize("factor", [1.0, 1.03])
def test_a_function_without_derivative_is_judged_by_differences(factor: float) -> None:
    made = minijvp.custom_jvp(minijvp.from_jax(by_numpy))
    made.defjvps(lambda t, out, x: factor * mnp.cos(x) * t)
    if factor == 1.0:
        assert "judge is differences" in str(check_rule(made, jnp.arange(3.0)))
    else:
        with pytest.raises(DerivativeError, match="forward mode of result"):
            check_rule(made, jnp.arange(3.0))


def test_values_that_a_rule_computes_otherwise() -> None:
    made = minijvp.custom_vjp(lambda x: 2.0 * x)
    made.defvjp(lambda x: (2.001 * x, ()), lambda _, ct: (2.0 * ct,))
    with pytest.raises(DerivativeError, match="value"):
        check_rule(made, 1.0)


def test_where_the_function_has_no_derivative_its_rule_may_have_one() -> None:
    """The derivative of the square root of a square is NaN at 0."""
    made = minijvp.custom_jvp(lambda x: mnp.sqrt(x * x) * x)
    made.defjvps(lambda t, out, x: 2.0 * mnp.abs(x) * t)
    assert check_rule(made, jnp.array([0.0, 1.0])).passed


def test_arguments_that_are_not_varied() -> None:
    @partial(minijvp.custom_jvp, nondiff_argnums=(0,))
    def apply(f: Any, x: Any, n: Any, p: Any = 2.0) -> Any:
        return f(x) * n * p

    apply.defjvp(lambda f, primals, ts: (apply(f, *primals), mnp.cos(primals[0]) * ts[0] * primals[1] * 2.0))
    assert check_rule(apply, mnp.sin, 0.3, 2).passed

    class Model:
        scale = 3.0

        @partial(minijvp.custom_jvp, nondiff_argnums=(0,))
        def apply(self, x: Any) -> Any:
            return x * x * self.scale

        apply.defjvp(lambda self, primals, ts: (self.apply(*primals), 2.0 * primals[0] * ts[0] * self.scale))

    assert check_rule(Model().apply, 0.3).passed


def test_a_function_with_both_rules() -> None:
    made = minijvp.custom_vjp(lambda x: mnp.sin(x))
    made.defvjp(lambda x: (mnp.sin(x), x), lambda x, ct: (mnp.cos(x) * ct,))
    made.defjvp(lambda primals, ts: (mnp.sin(*primals), 1.03 * mnp.cos(*primals) * ts[0]))
    with pytest.raises(DerivativeError, match="forward mode") as raised:
        check_rule(made, 0.3)
    assert not [line for line in str(raised.value).splitlines() if "reverse mode" in line and "differs" in line]


def test_what_has_no_rule() -> None:
    with pytest.raises(ArgumentError, match=r"no rule(.|\n)*check_grads"):
        check_rule(lambda x: x, 1.0)
    with pytest.raises(ArgumentError, match="no floating leaf"):
        check_rule(by_cotangents({}), {"w": 1, "b": 2}, 3)


def test_without_64_bit_types() -> None:
    """The judge has them all the same, unless the function is made for less."""
    with jax.enable_x64(False):
        p, x = point(np.float32, 2e4, 3)
        assert x.dtype == np.float32
        report = check_rule(by_cotangents({}), p, x)
        assert {row.tolerance for row in report.rows if row.check == "reverse mode"} == {1e-6}
        with pytest.raises(DerivativeError, match=r"by p\['b'\]"):
            check_rule(by_cotangents({"b": 1.03}), p, x)
        assert check_grads(layer, (p, x)).passed
        only_single = lambda x: mnp.sin(x).astype(np.float32) if x.dtype == np.float32 else mnp.dot(x, "none")
        report = check_grads(only_single, (x / 2e4,))
        assert {row.tolerance for row in report.rows if row.check == "reverse mode"} == {5e-3}
        assert jnp.ones(2).dtype == np.float32


def test_the_table() -> None:
    text = str(check_rule(by_cotangents({}), *point(np.float32, 1.0, 0)))
    assert text.startswith("check_rule of layer")
    for part in ("check", "leaf", "error", "tolerance", "slope", "2.00", "exact", "batched", "jitted", "float32"):
        assert part in text, part


# Functions


def program(p: Any, n: Any) -> Any:
    return {"a": mnp.tanh(p["x"] @ p["y"]), "b": (mnp.sum(p["x"] ** 3) * n, n + 1)}


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda t: np.dtype(t).name)
def test_gradients_pass(dtype: Any) -> None:
    p = {"x": jnp.asarray([[0.1, -0.4], [0.7, 0.3]], dtype), "y": jnp.asarray([0.5, 1.0], dtype)}
    assert check_grads(program, (p, 3)).passed


def test_second_order() -> None:
    report = check_grads(lambda x: mnp.sin(x) * x, (0.7,), order=2)
    checks = {row.check for row in report.rows}
    assert {
        f"{a}, then {b}" for a in ("forward mode", "reverse mode") for b in ("forward mode", "reverse mode")
    } <= checks
    only = {row.check.split(", ")[0] for row in check_grads(mnp.sin, (0.7,), modes=("rev",)).rows}
    assert only == {"reverse mode"}


def test_complex() -> None:
    z = jnp.array([0.3 + 0.4j, -1.0 + 0.1j])
    for f in (lambda z: mnp.exp(z) * z, lambda z: mnp.abs(z) ** 2, lambda z: mnp.conj(z) * mnp.real(z)):
        assert check_grads(f, (z,)).passed
    assert check_grads(lambda z: mnp.sum(mnp.abs(z)), (z.astype(np.complex64),), order=2).passed


def test_functions_that_change_the_dtype() -> None:
    assert check_grads(lambda x: mnp.sin(x.astype(np.float32)), (X,)).passed
    assert check_grads(lambda x: mnp.exp(-mnp.sum(x * x) * 20), (X.astype(np.float32) * 4,)).passed  # it underflows


def test_wrong_gradients_are_named() -> None:
    wrong = by_cotangents({"b": 1.03})
    with pytest.raises(DerivativeError, match=r"p\['b'\]") as raised:
        check_grads(wrong, point(np.float32, 1.0, 0), modes=("rev",))
    assert "reverse mode" in raised.value.what and "relative difference" in raised.value.what
    assert isinstance(raised.value, AssertionError)
    with pytest.raises(DerivativeError, match=r"forward mode of result.* by p\['b'\]"):
        check_grads(wrong, point(jnp.bfloat16, 1.0, 0), modes=("fwd",))
    assert check_grads(wrong, point(np.float32, 1.0, 0), rtol=0.2).passed
    second = jax.custom_jvp(jnp.sin)
    second.defjvps(lambda t, out, x: jax.lax.stop_gradient(jnp.cos(x)) * t)
    assert check_grads(minijvp.from_jax(second), (0.5,)).passed
    with pytest.raises(DerivativeError, match="forward mode, then forward mode of the tangent of result"):
        check_grads(minijvp.from_jax(second), (0.5,), order=2, modes=("fwd",))


def test_kinks_and_ends_of_the_domain() -> None:
    assert check_grads(mnp.abs, (jnp.array([0.2, -1e-3]),)).passed
    assert check_grads(mnp.log, (jnp.array([1e-5, 2e4]),)).passed
    with pytest.raises(DerivativeError, match="kink"):
        check_grads(mnp.abs, (0.0,), modes=("rev",))


@pytest.mark.parametrize(
    ("call", "part"),
    [
        (lambda: check_grads(mnp.sin, 1.0), "in a tuple"),
        (lambda: check_grads(mnp.sin, (1.0,), order=0), "order=0"),
        (lambda: check_grads(mnp.sin, (1.0,), modes="fwd"), "modes='fwd'"),
        (lambda: check_grads(mnp.sin, (1.0,), modes=("forward",)), "forward"),
        (lambda: check_grads(mnp.sin, (1,)), "no floating leaf"),
        (lambda: check_grads(mnp.sin, ("a",)), "not an array"),
        (lambda: check_grads(1.0, (1.0,)), "cannot be called"),
    ],
)
def test_bad_input(call: Any, part: str) -> None:
    with pytest.raises(ArgumentError, match=part) as raised:
        call()
    assert raised.value.what and raised.value.why and raised.value.do


# Differences


@pytest.mark.parametrize(
    ("f", "slope", "x"),
    [
        (np.sin, np.cos, 2e4),
        (np.exp, np.exp, 3.0),
        (np.log, lambda x: 1 / x, 1e-4),
        (lambda x: 1e8 + np.sin(x), np.cos, 1.0),
        (lambda x: np.maximum(x, 0.0), lambda x: 1.0, 1e-3),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value")
def test_difference_quotients(f: Any, slope: Any, x: float) -> None:
    ((found, error),) = difference_quotients(lambda h: [f(np.asarray(x + h))], x, 2.2e-16)
    wanted = slope(x)
    assert abs(found - wanted) < 1e-5 * max(1.0, abs(wanted))
    assert error < 1e-3


@pytest.mark.filterwarnings("ignore:invalid value")
def test_remainders() -> None:
    value = lambda h: [np.log(2e4 + h), np.asarray(3 * (2e4 + h))]
    right, linear = remainder_slopes(value, [np.asarray(1 / 2e4), np.asarray(3.0)], 2e4, 2.2e-16)
    assert 1.9 < (right or 0) < 2.1 and linear is None
    wrong, also_wrong = remainder_slopes(value, [np.asarray(1.03 / 2e4), np.asarray(3.09)], 2e4, 2.2e-16)
    assert 0.9 < (wrong or 0) < 1.1 and 0.9 < (also_wrong or 0) < 1.1


def test_infinities_and_nans() -> None:
    report = Report("title")
    nan, inf = np.nan, np.inf
    report.compare("same", "x", [nan, inf, 1.0], [nan, inf, 1.0], eps=1e-16)
    assert report.passed
    report.compare("judge without answer", "x", [1.0, 2.0], [nan, 2.0], eps=1e-16, lenient=True)
    assert report.passed
    for found, wanted in ([1.0, nan], [nan, 1.0], [inf, 1.0], [inf, -inf]):
        report = Report("title")
        report.compare("differs", "x", found, wanted, eps=1e-16)
        with pytest.raises(DerivativeError):
            report.required()
