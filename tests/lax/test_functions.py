"""The functions of minijvp.lax: each call as jax.lax answers it, compiled and differentiated."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import minijvp
from minijvp import lax as ours

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
    return lambda l, x: getattr(l, name)(x, ROWS, x[:2] * 2, SCATTER, **options)


CASES: dict[str, Any] = {
    "broadcast_in_dim": lambda l, x: l.broadcast_in_dim(x, (2, 3, 4), (1, 2)),
    "broadcast": lambda l, x: l.broadcast(x, (2, 1)),
    "reshape": lambda l, x: l.reshape(x, (2, 6)) + l.reshape(x, [6, 2], (1, 0)).reshape(2, 6),
    "transpose": lambda l, x: l.transpose(x, np.asarray([1, 0])),
    "squeeze": lambda l, x: l.squeeze(x[:, None], (1,)) + l.squeeze(l.expand_dims(x, (0, -1)), [-1, 0]),
    "rev": lambda l, x: l.rev(x, (0, 1)) * x,
    "concatenate": lambda l, x: l.concatenate([x, x * 2], 1),
    "pad": lambda l, x: l.pad(x, 0.5, [(1, 0, 1), (-1, 2, 0)]) + l.pad(x, x[0, 0], [(1, 0, 1), (0, 1, 0)]),
    "iota": lambda l, x: l.iota("float64", 4) * x + l.broadcasted_iota(np.int32, (3, 4), 0),
    "full": lambda l, x: l.full((3, 4), 2.0) * l.full_like(x, 3) + l.full((3, 4), x[0, 0], "float64"),
    "convert": lambda l, x: l.convert_element_type(x, np.float32) * l.convert_element_type(x, "float32"),
    "bitcast": lambda l, x: (
        l.convert_element_type(l.bitcast_convert_type(l.bitcast_convert_type(x, "int64"), float), float) + x
    ),
    "slice": lambda l, x: l.slice(x, (0, 1), (3, 4), (2, 1)) + l.slice(x, [1, 0], [3, 3]),
    "slice_in_dim": lambda l, x: l.slice_in_dim(x, 1, -1, axis=1) + l.slice_in_dim(x, None, None, 2, 1),
    "dynamic_slice": lambda l, x: l.dynamic_slice(x, (x[0, 0].astype(int) + 1, -2), (2, 2)),
    "dynamic_slice-array": lambda l, x: l.dynamic_slice(x, np.asarray([1, 5]), (2, 2)),
    "dynamic_slice_in_dim": lambda l, x: l.dynamic_slice_in_dim(x, -3, 2, 1) * l.dynamic_slice_in_dim(x, 9, 2, -1),
    "dynamic_index_in_dim": lambda l, x: l.dynamic_index_in_dim(x, 1, 1) + l.dynamic_index_in_dim(x, 1, 0, False)[0],
    "dynamic_update_slice": lambda l, x: l.dynamic_update_slice(x, x[:2, :2] * 3, (1, -2)),
    "dynamic_update_in_dim": lambda l, x: (
        l.dynamic_update_slice_in_dim(x, x[:1], 2, 0) * l.dynamic_update_index_in_dim(x, x[0] * 2, 1, 0)
    ),
    "gather": lambda l, x: l.gather(x, ROWS, GATHER, (1, 4)),
    "gather-clip": lambda l, x: l.gather(x, ROWS + 2, GATHER, (1, 4), mode="clip"),
    "scatter": scatters("scatter", unique_indices=True),
    "scatter_add": scatters("scatter_add"),
    "scatter_sub": scatters("scatter_sub"),
    "scatter_mul": scatters("scatter_mul", unique_indices=True),
    "scatter_min": scatters("scatter_min"),
    "scatter_max": scatters("scatter_max", mode="drop"),
    "reductions": lambda l, x: (
        l.reduce_sum(x, (0,)) * l.reduce_max(x, (0,)) + l.reduce_min(x, (0, 1)) + l.reduce_prod(x, [0])
    ),
    "logic": lambda l, x: (
        l.reduce_and(x > 0.3, (0,)) * x[0] + l.reduce_or(x > 0.8, (0,)) * x[1] + l.reduce_xor(x > 0.5, (0,)) * x[2]
    ),
    "argmax": lambda l, x: l.argmax(x, 1, np.int32) * x[:, 0] + l.argmin(x, 1, "int64"),
    "cumulative": lambda l, x: (
        l.cumsum(x) * l.cumprod(x, 1) + l.cummax(x, 1, True) + l.cummin(x) + l.cumlogsumexp(x, 1)
    ),
    "sort": lambda l, x: l.sort(x, 0) + l.sort((x, x * 2), 1)[1] + l.sort_key_val(x, -x, 0)[1],
    "top_k": lambda l, x: l.top_k(x, 2)[0] * l.top_k(x, 2, axis=0)[0].sum() + l.top_k(x, 2)[1],
    "select": lambda l, x: l.select(x > 0.5, x, 2 * x) + l.select_n(np.asarray(True), x, 3 * x),
    "dot_general": lambda l, x: (
        l.dot_general(x, x, (((1,), (1,)), ((), ()))) + l.dot_general(x, x, ([[0], [0]], [[], []]))[0, 0]
    ),
    "dot": lambda l, x: l.dot(x, x.T) + l.dot(x[0], x[1]),
    "batch_matmul": lambda l, x: l.batch_matmul(x[None], x.T[None]),
    "conv-same": lambda l, x: l.conv_general_dilated(IMAGE, KERNEL * x[0, 0], (2, 1), "SAME", dimension_numbers=NHWC),
    "conv-valid": lambda l, x: l.conv_general_dilated(
        IMAGE * x[0, 1], KERNEL, (1, 1), "VALID", rhs_dilation=(1, 2), dimension_numbers=NHWC
    ),
    "conv": lambda l, x: l.conv(x[None, None], x[None, None, :2, :2], (1, 1), "SAME"),
    "pool-max": lambda l, x: l.reduce_window(x, -np.inf, l.max, (2, 2), (1, 2), "SAME"),
    "pool-sum": lambda l, x: l.reduce_window(x, 0.0, l.add, (2, 2), None, "VALID"),
    "pool-dilated": lambda l, x: l.reduce_window(x, 0.0, l.add, (2, 1), None, ((1, 0), (0, 0)), (1, 2), (2, 1)),
    "annotations": lambda l, x: l.optimization_barrier((x, x * 2))[1] * l.stop_gradient({"a": x})["a"],
    "elementwise": lambda l, x: l.add(l.mul(x, 2.0), l.sin(x)) - l.max(x, 0.5) * l.rsqrt(x) + l.erf(x) * l.logistic(x),
    "integer_pow": lambda l, x: l.integer_pow(x, 3) + l.reciprocal(x) + l.round(x * 9) + l.conj(x).real,
    "special": lambda l, x: (
        l.lgamma(x) * l.digamma(x) + l.erf_inv(x) + l.betainc(np.full((3, 4), 1.5), np.full((3, 4), 2.0), x)
    ),
    "rounding": lambda l, x: l.reduce_precision(x, 8, 10) + l.round(x * 9, l.RoundingMethod.TO_NEAREST_EVEN),
    "clamp": lambda l, x: l.clamp(0.4, x, 0.8) + l.clamp(x * 0.5, x, x[0, 0] + 0 * x),
    "scalars": lambda l, x: l.sin(0.5) * x + l.add(1.0, 2.0),
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


def test_a_generic_window_is_reduced_by_its_name() -> None:
    x = jnp.asarray(X)
    product = lambda x: ours.reduce_window(x, 2.0, ours.mul, (2, 2), (1, 1), "VALID").sum()
    np.testing.assert_allclose(product(x), minijvp.jit(product)(x))
    step = 1e-6
    slope = (product(x.at[1, 1].add(step)) - product(x.at[1, 1].add(-step))) / (2 * step)
    np.testing.assert_allclose(minijvp.grad(product)(x)[1, 1], slope, rtol=1e-6)


@pytest.mark.parametrize(
    ("message", "call"),
    [
        ("padding='AROUND'", lambda x: ours.conv(x[None, None], x[None, None], (1, 1), "AROUND")),
        ("computation", lambda x: ours.reduce_window(x, 0.0, lambda a, b: a - b, (2, 2))),
        ("axis=2", lambda x: ours.rev(x, (2,))),
        ("operands of types", lambda x: ours.add(x, x[0])),
    ],
)
def test_bad_arguments(message: str, call: Any) -> None:
    with pytest.raises(minijvp.ArgumentError, match=message):
        minijvp.jit(call)(X)
