"""Samples of minijvp.operations.ragged."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from minijvp.operations import ragged as ops
from tests.samples import Sample, random

NOT_IN_JAX = {"jax_derivative": False, "why": "JAX transposes the free sort only"}


def ragged(label: str, x: Any, y: Any, sizes: Any, numbers: Any, precision: Any = None, dtype: Any = None, **more: Any):
    dimensions = lax.RaggedDotDimensionNumbers(*numbers)
    params = {
        "ragged_dot_dimension_numbers": dimensions,
        "precision": precision,
        "preferred_element_type": None if dtype is None else np.dtype(dtype),
    }

    def oracle(x: Any, y: Any, sizes: Any) -> Any:
        return lax.ragged_dot_general(x, y, sizes, dimensions, precision, params["preferred_element_type"])

    sizes = np.asarray(sizes, np.int32)
    return Sample(ops.ragged_dot_general, (x, y, sizes), oracle, params, label=label, **more)


BASIC = (((1,), (1,)), ((), ())), (0,), (0,)
SUMMED = (((0,), (0,)), ((), ())), (0,), ()
x, w = random(5, 2, dtype=float), random(3, 2, 2, dtype=float)

SAMPLES = [
    ragged("free", x, w, [2, 0, 3], BASIC),
    ragged("free-rest", x.astype(np.float32), w.astype(np.float32), [1, 2, 1], BASIC),
    ragged(
        "free-bfloat16", jnp.asarray(x, jnp.bfloat16), jnp.asarray(w, jnp.bfloat16), [2, 1, 2], BASIC, None, "float32"
    ),
    ragged("free-complex64", x.astype(np.complex64), w.astype(np.complex64), [2, 0, 3], BASIC),
    ragged("free-int32", random(5, 2, dtype=np.int32), random(3, 2, 2, dtype=np.int32), [2, 0, 3], BASIC),
    ragged(
        "free-batched",
        random(2, 4, 2, dtype=float),
        random(2, 3, 2, 3, dtype=float),
        [2, 0, 2],
        ((((2,), (2,)), ((0,), (0,))), (1,), (1,)),
        lax.Precision.HIGHEST,
    ),
    ragged(
        "free-own-sizes",
        random(2, 2, 3, 4, dtype=float),
        random(2, 2, 4, 2, dtype=float),
        random(2, 2, 2, dtype=np.int32, low=0),
        ((((3,), (2,)), ((0,), (1,))), (2,), (0,)),
    ),
    ragged(
        "free-two-sums",
        random(2, 3, 4, dtype=float),
        random(4, 2, 2, 2, dtype=float),
        [2, 1],
        ((((2, 0), (0, 3)), ((), ())), (1,), (1,)),
    ),
    ragged("summed", random(5, 2, dtype=float), random(5, 3, dtype=float), [2, 0, 3], SUMMED, **NOT_IN_JAX),
    ragged("summed-rest", random(5, 2), random(5, 3), [2, 1, 1], SUMMED, **NOT_IN_JAX),
    ragged(
        "summed-batched",
        random(2, 4, 2, 3, dtype=float),
        random(3, 2, 4, 2, dtype=float),
        [1, 3],
        ((((1, 3), (2, 0)), ((0,), (1,))), (1,), ()),
        **NOT_IN_JAX,
    ),
    ragged(
        "summed-own-sizes",
        random(2, 4, 2, 3, dtype=float),
        random(4, 2, 3, 2, dtype=float),
        random(2, 3, 2, dtype=np.int32, low=0, high=3),
        ((((3, 1), (2, 0)), ((0,), (1,))), (1,), ()),
        **NOT_IN_JAX,
    ),
    ragged(
        "kept",
        random(4, 2, 3, dtype=float),
        random(4, 3, 2, dtype=float),
        [1, 3],
        ((((2,), (1,)), ((0,), (0,))), (0,), ()),
        **NOT_IN_JAX,
    ),
]
