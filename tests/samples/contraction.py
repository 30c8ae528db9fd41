"""Samples of minijvp.operations.contraction."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from minijvp.operations import contraction as ops
from tests.samples import Sample, random


def dot(label: str, x: Any, y: Any, *dimensions: Any, oracle: Any = None, **params: Any) -> Sample:
    params["dimension_numbers"] = dimensions
    return Sample(
        ops.dot_general, (x, y), oracle or (lambda x, y: lax.dot_general(x, y, **params)), params, label=label
    )


def scaled(label: str, x: Any, y: Any, x_scale: Any, y_scale: Any, dtype: Any, *dimensions: Any) -> Sample:
    params = {"dimension_numbers": dimensions, "preferred_element_type": np.dtype(dtype)}

    def oracle(x: Any, y: Any, x_scale: Any, y_scale: Any) -> Any:
        return lax.scaled_dot(x, y, lhs_scale=x_scale, rhs_scale=y_scale, **params)

    args = x, y, x_scale, y_scale
    return Sample(ops.scaled_dot, args, oracle, params, label=label, differentiable=False, why="quantized")


MATMUL = ((1,), (0,)), ((), ())
BATCHED = ((2,), (1,)), ((0,), (0,))
x, w = random(2, 3), random(3, 4)

SAMPLES = [
    dot("float32", x, w, *MATMUL),
    dot(
        "float64-precision",
        x.astype(float),
        w.astype(float),
        *MATMUL,
        precision=(lax.Precision.HIGHEST, lax.Precision.DEFAULT),
    ),
    dot("complex64", random(2, 3, dtype=np.complex64), random(3, dtype=np.complex64), ((1,), (0,)), ((), ())),
    dot("int32", random(3, dtype=np.int32), random(3, dtype=np.int32), ((0,), (0,)), ((), ())),
    dot("bool", random(3, dtype=bool), random(3, 2, dtype=bool), ((0,), (0,)), ((), ())),
    dot("batched", random(2, 3, 4, dtype=float), random(2, 4, 5, dtype=float), *BATCHED),
    dot(
        "two-and-two", random(2, 3, 4, 2, dtype=float), random(5, 2, 4, 2, dtype=float), ((3, 2), (1, 2)), ((0,), (3,))
    ),
    dot("crossed-batch", random(2, 3, 4, dtype=float), random(3, 2, dtype=float), ((), ()), ((1, 0), (0, 1))),
    dot("outer", random(2, dtype=float), random(3, dtype=float), ((), ()), ((), ())),
    dot("scalars", np.float64(1.5), np.float64(-0.5), ((), ()), ((), ())),
    dot("empty", np.zeros((2, 0)), np.zeros((0, 3)), *MATMUL),
    dot(
        "bfloat16-to-float32",
        jnp.asarray(x, jnp.bfloat16),
        jnp.asarray(w, jnp.bfloat16),
        *MATMUL,
        preferred_element_type=np.dtype(np.float32),
    ),
    dot("float32-by-float64", x, w.astype(float), *MATMUL),
    dot("float32-by-int32", x, random(3, 4, dtype=np.int32), *MATMUL, preferred_element_type=np.dtype(np.float32)),
    dot("complex128-by-float64", random(2, 3, dtype=np.complex128), random(3, 2, dtype=float), *MATMUL),
    dot(
        "int8-to-int32",
        random(2, 3, dtype=np.int8),
        random(3, 2, dtype=np.int8),
        *MATMUL,
        preferred_element_type=np.dtype(np.int32),
    ),
    dot(
        "weak",
        lax.broadcast_in_dim(jnp.asarray(1.5), (3,), ()),
        lax.broadcast_in_dim(jnp.asarray(0.5), (3,), ()),
        ((0,), (0,)),
        ((), ()),
    ),
    scaled(
        "float8",
        jnp.asarray(random(2, 3, 4), jnp.float8_e4m3fn),
        jnp.asarray(random(2, 4, 2), jnp.float8_e4m3fn),
        jnp.asarray(random(2, 3, 2, low=0.1), jnp.float8_e8m0fnu),
        jnp.asarray(random(2, 2, 2, low=0.1), jnp.float8_e8m0fnu),
        np.float32,
        *BATCHED,
    ),
    scaled("float32", random(3, 4), random(4, 2), random(3, 1), random(2, 2), jnp.bfloat16, *MATMUL),
]
