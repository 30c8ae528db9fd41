"""The functions of minijvp.lax: each call as jax.lax answers it, compiled and differentiated."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import minijvp
import minijvp.numpy as mnp
from minijvp import lax as ours
from tests.side_by_side import same

X = np.random.default_rng(0).uniform(0.2, 0.9, (3, 4))
GATHER = lax.GatherDimensionNumbers(offset_dims=(1,), collapsed_slice_dims=(0,), start_index_map=(0,))
SCATTER = lax.ScatterDimensionNumbers(
    update_window_dims=(1,), inserted_window_dims=(0,), scatter_dims_to_operand_dims=(0,)
)
ROWS = np.int32([[2], [0]])
IMAGE = np.random.default_rng(1).normal(size=(1, 5, 6, 2))
KERNEL = np.random.default_rng(2).normal(size=(3, 2, 2, 3))
NHWC = ("NHWC", "HWIO", "NHWC")


def scatters(name: str, **options: Any) -> Any:
    return lambda api, x: getattr(api, name)(x, ROWS, x[:2] * 2, SCATTER, **options)


CASES: dict[str, Any] = {
    "broadcast_in_dim": lambda api, x: api.broadcast_in_dim(x, (2, 3, 4), (1, 2)),
    "broadcast": lambda api, x: api.broadcast(x, (2, 1)),
    "reshape": lambda api, x: api.reshape(x, (2, 6)) + api.reshape(x, [6, 2], (1, 0)).reshape(2, 6),
    "transpose": lambda api, x: api.transpose(x, np.asarray([1, 0])),
    "squeeze": lambda api, x: api.squeeze(x[:, None], (1,)) + api.squeeze(api.expand_dims(x, (0, -1)), [-1, 0]),
    "rev": lambda api, x: api.rev(x, (0, 1)) * x,
    "concatenate": lambda api, x: api.concatenate([x, x * 2], 1),
    "pad": lambda api, x: api.pad(x, 0.5, [(1, 0, 1), (-1, 2, 0)]) + api.pad(x, x[0, 0], [(1, 0, 1), (0, 1, 0)]),
    "iota": lambda api, x: api.iota("float64", 4) * x + api.broadcasted_iota(np.int32, (3, 4), 0),
    "full": lambda api, x: api.full((3, 4), 2.0) * api.full_like(x, 3) + api.full((3, 4), x[0, 0], "float64"),
    "convert": lambda api, x: api.convert_element_type(x, np.float32) * api.convert_element_type(x, "float32"),
    "bitcast": lambda api, x: (
        api.convert_element_type(api.bitcast_convert_type(api.bitcast_convert_type(x, "int64"), float), float) + x
    ),
    "slice": lambda api, x: api.slice(x, (0, 1), (3, 4), (2, 1)) + api.slice(x, [1, 0], [3, 3]),
    "slice_in_dim": lambda api, x: api.slice_in_dim(x, 1, -1, axis=1) + api.slice_in_dim(x, None, None, 2, 1),
    "dynamic_slice": lambda api, x: api.dynamic_slice(x, (x[0, 0].astype(int) + 1, -2), (2, 2)),
    "dynamic_slice-array": lambda api, x: api.dynamic_slice(x, np.asarray([1, 5]), (2, 2)),
    "dynamic_slice_in_dim": lambda api, x: (
        api.dynamic_slice_in_dim(x, -3, 2, 1) * api.dynamic_slice_in_dim(x, 9, 2, -1)
    ),
    "dynamic_index_in_dim": lambda api, x: (
        api.dynamic_index_in_dim(x, 1, 1) + api.dynamic_index_in_dim(x, 1, 0, False)[0]
    ),
    "dynamic_update_slice": lambda api, x: api.dynamic_update_slice(x, x[:2, :2] * 3, (1, -2)),
    "dynamic_update_in_dim": lambda api, x: (
        api.dynamic_update_slice_in_dim(x, x[:1], 2, 0) * api.dynamic_update_index_in_dim(x, x[0] * 2, 1, 0)
    ),
    "gather": lambda api, x: api.gather(x, ROWS, GATHER, (1, 4)),
    "gather-clip": lambda api, x: api.gather(x, ROWS + 2, GATHER, (1, 4), mode="clip"),
    "scatter": scatters("scatter", unique_indices=True),
    "scatter_add": scatters("scatter_add"),
    "scatter_sub": scatters("scatter_sub"),
    "scatter_mul": scatters("scatter_mul", unique_indices=True),
    "scatter_min": scatters("scatter_min"),
    "scatter_max": scatters("scatter_max", mode="drop"),
    "reductions": lambda api, x: (
        api.reduce_sum(x, (0,)) * api.reduce_max(x, (0,)) + api.reduce_min(x, (0, 1)) + api.reduce_prod(x, [0])
    ),
    "logic": lambda api, x: (
        api.reduce_and(x > 0.3, (0,)) * x[0]
        + api.reduce_or(x > 0.8, (0,)) * x[1]
        + api.reduce_xor(x > 0.5, (0,)) * x[2]
    ),
    "argmax": lambda api, x: api.argmax(x, 1, np.int32) * x[:, 0] + api.argmin(x, 1, "int64"),
    "cumulative": lambda api, x: (
        api.cumsum(x) * api.cumprod(x, 1) + api.cummax(x, 1, True) + api.cummin(x) + api.cumlogsumexp(x, 1)
    ),
    "sort": lambda api, x: api.sort(x, 0) + api.sort((x, x * 2), 1)[1] + api.sort_key_val(x, -x, 0)[1],
    "top_k": lambda api, x: api.top_k(x, 2)[0] * api.top_k(x, 2, axis=0)[0].sum() + api.top_k(x, 2)[1],
    "select": lambda api, x: api.select(x > 0.5, x, 2 * x) + api.select_n(np.asarray(True), x, 3 * x),
    "dot_general": lambda api, x: (
        api.dot_general(x, x, (((1,), (1,)), ((), ()))) + api.dot_general(x, x, ([[0], [0]], [[], []]))[0, 0]
    ),
    "dot": lambda api, x: api.dot(x, x.T) + api.dot(x[0], x[1]),
    "batch_matmul": lambda api, x: api.batch_matmul(x[None], x.T[None]),
    "conv-same": lambda api, x: api.conv_general_dilated(
        IMAGE, KERNEL * x[0, 0], (2, 1), "SAME", dimension_numbers=NHWC
    ),
    "conv-valid": lambda api, x: api.conv_general_dilated(
        IMAGE * x[0, 1], KERNEL, (1, 1), "VALID", rhs_dilation=(1, 2), dimension_numbers=NHWC
    ),
    "conv": lambda api, x: api.conv(x[None, None], x[None, None, :2, :2], (1, 1), "SAME"),
    "pool-max": lambda api, x: api.reduce_window(x, -np.inf, api.max, (2, 2), (1, 2), "SAME"),
    "pool-sum": lambda api, x: api.reduce_window(x, 0.0, api.add, (2, 2), None, "VALID"),
    "pool-dilated": lambda api, x: api.reduce_window(x, 0.0, api.add, (2, 1), None, ((1, 0), (0, 0)), (1, 2), (2, 1)),
    "annotations": lambda api, x: api.optimization_barrier((x, x * 2))[1] * api.stop_gradient({"a": x})["a"],
    "elementwise": lambda api, x: (
        api.add(api.mul(x, 2.0), api.sin(x)) - api.max(x, 0.5) * api.rsqrt(x) + api.erf(x) * api.logistic(x)
    ),
    "integer_pow": lambda api, x: api.integer_pow(x, 3) + api.reciprocal(x) + api.round(x * 9) + api.conj(x).real,
    "special": lambda api, x: (
        api.lgamma(x) * api.digamma(x) + api.erf_inv(x) + api.betainc(np.full((3, 4), 1.5), np.full((3, 4), 2.0), x)
    ),
    "rounding": lambda api, x: api.reduce_precision(x, 8, 10) + api.round(x * 9, api.RoundingMethod.TO_NEAREST_EVEN),
    "clamp": lambda api, x: api.clamp(0.4, x, 0.8) + api.clamp(x * 0.5, x, x[0, 0] + 0 * x),
    "scalars": lambda api, x: api.sin(0.5) * x + api.add(1.0, 2.0),
    # Where a default decides.
    "ties": lambda api, x: (
        api.sort((api.round(x), x), 0)[1] * api.sort_key_val(api.round(x * 2), x)[1]
        + api.sort((api.round(x), x * 0, x), num_keys=3)[2]
        + api.top_k(api.round(x), 2)[1].sum()
        + api.argmax(api.round(x), 0, np.int8)
    ),
    "accuracy": lambda api, x: (
        api.exp(x, accuracy=lax.AccuracyMode.DEFAULT) * api.sqrt(x, accuracy=None) + api.tanh(x, accuracy=None)
    ),
    "mul-out_dtype": lambda api, x: api.mul(x, 3 * x, out_dtype="float32") + api.mul(y=2 * x, x=x, out_dtype="float32"),
    "dot-preferred": lambda api, x: api.dot(
        api.convert_element_type(x, "float32"), np.float32(X.T), preferred_element_type="float64"
    ),
    "conv-defaults": lambda api, x: api.conv_general_dilated(x[None, None], x[None, None, :2, :2], (1, 1), "VALID"),
    "pool-defaults": lambda api, x: api.reduce_window(x, -np.inf, api.max, (2, 2)),
    "cumulative-defaults": lambda api, x: api.cumsum(x) + api.cumlogsumexp(x) + api.cumprod(x, reverse=True),
    "iota-dtype": lambda api, x: x * api.broadcasted_iota("float32", (3, 4), 1) + api.full((3, 4), 2),
}


@pytest.mark.parametrize("name", CASES)
def test_like_jax_lax(name: str) -> None:
    case, x = CASES[name], jnp.asarray(X)
    expected = case(lax, x)
    for actual in (minijvp.jit(lambda x: case(ours, x))(x), case(ours, x)):
        assert actual.dtype == expected.dtype
        np.testing.assert_allclose(actual, expected, rtol=1e-6 if expected.dtype == np.float32 else 1e-12)
    if name != "bitcast":  # JAX gives it a derivative only where it is not needed
        gradient = minijvp.grad(lambda x: minijvp.numpy.sum(minijvp.numpy.sin(case(ours, x))))(x)
        oracle = jax.grad(lambda x: jnp.sum(jnp.sin(case(lax, x))))(x)
        np.testing.assert_allclose(gradient, oracle, rtol=1e-5 if expected.dtype == np.float32 else 1e-9, atol=1e-12)


def test_scatter_apply() -> None:
    x, indices = jnp.asarray(X), np.int32([[2], [0], [2], [5]])
    call = lambda api, f, x: api.scatter_apply(x, indices, f, SCATTER, update_shape=(4, 4))
    cube = lambda v: v * v * v
    wanted = call(lax, cube, x)
    np.testing.assert_allclose(wanted, X ** np.array([[3], [1], [9]]), rtol=1e-12)
    fun = lambda x: call(ours, cube, x)
    for found in (fun(x), minijvp.jit(fun)(x), minijvp.jit(minijvp.from_jax(lambda x: call(lax, cube, x)))(x)):
        np.testing.assert_allclose(found, wanted, rtol=1e-12)
    slope = np.array([[3], [1], [9]]) * X ** np.array([[2], [0], [8]])
    for gradient in (minijvp.grad(lambda x: fun(x).sum()), minijvp.jit(minijvp.grad(lambda x: fun(x).sum()))):
        np.testing.assert_allclose(gradient(x), slope, rtol=1e-12)


@pytest.mark.parametrize("name", ["add", "max", "logical_and"])
def test_a_function_of_the_user_is_not_taken_for_another_of_its_name(name: str) -> None:
    def computation(x: Any, y: Any) -> Any:
        return x * y

    computation.__name__ = name
    x = jnp.asarray(X)
    call = lambda lax: lambda x: lax.reduce_window(x, 1.0, computation, (2, 2), (1, 1), "VALID").sum()
    same(minijvp.jit(call(ours))(x), call(lax)(x))
    same(minijvp.grad(call(ours))(x), jax.grad(lambda x: (x[1:, 1:] * x[1:, :-1] * x[:-1, 1:] * x[:-1, :-1]).sum())(x))


@pytest.mark.parametrize("name", ["add", "multiply", "maximum", "minimum", "logical_and", "logical_or"])
def test_windows_by_the_functions_of_numpy(name: str) -> None:
    x = jnp.asarray(X > 0.5) if name.startswith("logical") else jnp.asarray(X)
    start = {"add": 0.0, "multiply": 1.0, "maximum": -np.inf, "minimum": np.inf, "logical_and": True}.get(name, False)
    wanted = lax.reduce_window(x, start, getattr(jnp, name), (2, 2), (1, 1), "VALID")
    for api in (mnp, jnp):
        call = lambda x, api=api: ours.reduce_window(x, start, getattr(api, name), (2, 2), (1, 1), "VALID")
        same(minijvp.jit(call)(x), wanted)


def test_a_window_of_products_has_a_derivative() -> None:
    x = jnp.asarray(X)
    product = lambda x: ours.reduce_window(x, 2.0, ours.mul, (2, 2), (1, 1), "VALID").sum()
    np.testing.assert_allclose(product(x), minijvp.jit(product)(x))
    step = 1e-6
    slope = (product(x.at[1, 1].add(step)) - product(x.at[1, 1].add(-step))) / (2 * step)
    np.testing.assert_allclose(minijvp.grad(product)(x)[1, 1], slope, rtol=1e-6)


WINDOWS: dict[str, Any] = {
    "largest-and-its-place": lambda lax, np_, x: lax.reduce_window(
        (x, np_.arange(12).reshape(3, 4)),
        (-np_.inf, -1),
        lambda a, b: tuple(np_.where(a[0] >= b[0], u, v) for u, v in zip(a, b, strict=True)),
        (2, 2),
    ),
    "mean-and-size": lambda lax, np_, x: lax.reduce_window(
        {"sum": x, "n": np_.ones((3, 4))},
        {"sum": 0.0, "n": 0.0},
        lambda a, b: {k: lax.add(a[k], b[k]) for k in a},
        (2, 3),
        (1, 2),
        "SAME",
        (1, 2),
        (2, 1),
    ),
    "of-one": lambda lax, np_, x: lax.reduce_window(x, 0.0, lambda a, b: a + b + a * b, (2, 1), None, ((1, 0), (0, 2))),
}


@pytest.mark.parametrize("name", WINDOWS)
def test_windows_by_a_function(name: str) -> None:
    """JAX has a derivative forwards, of all operands together; backwards it is the same."""
    slopes = []
    for lax_, np_, api in ((ours, mnp, minijvp), (lax, jnp, jax)):
        fun = lambda x: jax.tree.leaves(WINDOWS[name](lax_, np_, x))
        batch = jnp.stack([X, np.cos(X)])
        slopes.append([fun(jnp.array(X)), api.jit(fun)(X), api.vmap(fun)(batch), api.jit(api.vmap(fun))(batch)])
        if name == "of-one":
            slopes[-1] += [api.jvp(fun, (X,), (np.sin(X),)), api.vmap(lambda t: api.jvp(fun, (X,), (t,)))(batch)]
    same(*slopes)
    weighed = lambda x: mnp.sum(
        mnp.cos(jax.tree.leaves(WINDOWS[name](ours, mnp, x))[-1 if name != "largest-and-its-place" else 0])
    )
    along = lambda t: minijvp.jvp(weighed, (X,), (t,))[1]
    rows = np.eye(12).reshape(12, 3, 4)
    np.testing.assert_allclose(minijvp.grad(weighed)(X), minijvp.vmap(along)(rows).reshape(3, 4), rtol=1e-12)
    step = 1e-6
    found = [(weighed(X + step * row) - weighed(X - step * row)) / (2 * step) for row in rows]
    np.testing.assert_allclose(minijvp.jit(minijvp.grad(weighed))(X), np.reshape(found, (3, 4)), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(
    ("message", "call"),
    [
        ("padding='AROUND'", lambda x: ours.conv(x[None, None], x[None, None], (1, 1), "AROUND")),
        ("axis=2", lambda x: ours.rev(x, (2,))),
        ("operands of types", lambda x: ours.add(x, x[0])),
    ],
)
def test_bad_arguments(message: str, call: Any) -> None:
    with pytest.raises(minijvp.ArgumentError, match=message):
        minijvp.jit(call)(X)


def test_elements_that_tie_for_a_cumulative_extremum_share_its_derivative_equally() -> None:
    x = jnp.array([1.0, 1.0, 2.0, 2.0, 2.0, 0.0, 2.0])
    shares = np.zeros((7, 7))
    for i in range(7):
        ties = np.flatnonzero(x[: i + 1] == x[: i + 1].max())
        shares[i, ties] = 1 / len(ties)
    for jacobian in (minijvp.jacfwd, minijvp.jacrev):
        np.testing.assert_allclose(jacobian(minijvp.lax.cummax)(x), shares, rtol=1e-12)
        np.testing.assert_allclose(jacobian(lambda x: -minijvp.lax.cummin(-x))(x), shares, rtol=1e-12)
        backwards = jacobian(lambda x: minijvp.lax.cummax(x, reverse=True))(x[::-1])
        np.testing.assert_allclose(backwards[::-1, ::-1], shares, rtol=1e-12)


@pytest.mark.parametrize(("name", "start"), [("add", 0.0), ("mul", 1.0), ("max", -np.inf), ("min", np.inf)])
def test_reduce_knows_our_computations(name: str, start: float) -> None:
    """JAX takes a number of Python for the start of one that it knows, whatever the dtype of the operand."""
    x = jnp.array([0.5, 2.0, 3.0], np.float32)
    whole = lambda lax: lambda x: lax.reduce(x, start, getattr(lax, name), (0,))
    windows = lambda lax: lambda x: lax.reduce_window(x, start, computation=getattr(lax, name), window_dimensions=(2,))
    for reduced in (whole, windows) if name != "mul" else (whole,):  # in JAX windows know no product
        same(reduced(ours)(x), reduced(jax.lax)(x))
        same(minijvp.jit(reduced(ours))(x), reduced(jax.lax)(x))
    same(minijvp.jit(minijvp.grad(whole(ours)))(x), jax.grad(whole(jax.lax))(x))


NEUTRAL = {"add": 0, "mul": 1, "max": -np.inf, "min": np.inf, "bitwise_and": -1, "bitwise_or": 0, "bitwise_xor": 0}


@pytest.mark.parametrize("dtype", ["bfloat16", "float32", "float64", "complex64", "int8", "int32", "bool"])
@pytest.mark.parametrize("name", NEUTRAL)
def test_reduce_from_the_neutral_element_is_the_reduction_that_jax_has_for_it(name: str, dtype: str) -> None:
    x = jnp.array([[1, 2, 0], [1, 0, 3]]).astype(dtype)
    start = NEUTRAL[name]
    if np.isinf(start) and not jnp.issubdtype(x.dtype, jnp.inexact):
        start = (start > 0) if dtype == "bool" else getattr(jnp.iinfo(dtype), "max" if start > 0 else "min")
    start = np.asarray(start).astype(x.dtype)

    def program(api: Any, lax: Any) -> Any:
        try:
            return api.make_jaxpr(lambda x: lax.reduce(x, start, getattr(lax, name), (0,)))(x)
        except (TypeError, ValueError):
            return None  # bits of floating numbers, sums of booleans

    found, wanted = program(minijvp, ours), program(jax, jax.lax)
    assert (found is None) == (wanted is None)
    if found is not None:
        assert [e.primitive.name for e in found] == [e.primitive.name for e in wanted.jaxpr.eqns]
        reduced = lambda lax: lambda x: lax.reduce(x, start, getattr(lax, name), (0,))
        same(minijvp.jit(reduced(ours))(x), reduced(jax.lax)(x))


@pytest.mark.parametrize("start", [0.0, np.array(0.0), np.float32(0)])
def test_reduce_is_weak_where_operand_and_start_are(start: Any) -> None:
    reduced = lambda lax: lambda x: lax.reduce(lax.broadcast(x, (3,)), start, lax.add, (0,))
    found, wanted = minijvp.jit(reduced(ours))(1.5), jax.jit(reduced(jax.lax))(1.5)
    same(found, wanted)
    assert found.weak_type == wanted.weak_type


MIXED = {
    "select of scalars": lambda api, x: api.lax.select(x > 0.1, 1.0, 2.0),
    "clamp of a number": lambda api, x: api.lax.clamp(x - 1, 0.5, x + 1),
    "reduce from the end": lambda api, x: api.lax.reduce(x, 1.0, lambda a, b: a + 2 * b, (-1,)),
    "sum from the end": lambda api, x: api.lax.reduce(x, 0.0, api.lax.add, (-1,)),
}
BY_HAND = {
    "select of scalars": lambda x: jnp.where(x > 0.1, 1.0, 2.0),
    "clamp of a number": lambda x: jnp.clip(jnp.full_like(x, 0.5), x - 1, x + 1),
    "reduce from the end": lambda x: 1 + 2 * x.sum(-1),
    "sum from the end": lambda x: x.sum(-1),
}


@pytest.mark.parametrize("name", MIXED)
def test_numbers_and_axes_from_the_end_under_transformations(name: str) -> None:
    """JAX's own vmap reduces another axis than the one that is counted from the end."""
    x = jnp.asarray([[0.3, -1.2, 0.7], [0.0, 2.0, -0.4]])
    fun, wanted = lambda x: MIXED[name](minijvp, x), BY_HAND[name](x)
    np.testing.assert_allclose(minijvp.vmap(fun)(jnp.stack([x, x]))[1], wanted, rtol=1e-6)
    np.testing.assert_allclose(minijvp.jit(minijvp.vmap(fun))(x[None])[0], wanted, rtol=1e-6)
