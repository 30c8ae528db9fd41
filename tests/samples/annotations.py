"""Samples of minijvp.operations.annotations."""

import numpy as np
from jax import lax
from jax.ad_checkpoint import checkpoint_name

from minijvp.operations import annotations as ops
from tests.samples import Sample, random

constant = {
    "finite_differences": False,
    "why": "Its derivative is zero because it says so, not because it is constant.",
}


def barrier(*xs):
    return Sample(ops.optimization_barrier, xs, lambda *xs: lax.optimization_barrier(xs))


def or_constant(which, x, y):
    return lax.select(which, x, lax.stop_gradient(y))


def chosen(dtype):
    return np.array([True, False, True]), random(3, dtype=dtype), random(3, dtype=dtype)


SAMPLES = [
    *(
        Sample(ops.or_constant, chosen(dtype), or_constant, **constant)
        for dtype in (np.float32, np.float64, np.complex64, np.int32)
    ),
    *(
        Sample(ops.stop_gradient, (random(2, 3, dtype=dtype),), lax.stop_gradient, **constant)
        for dtype in (np.float32, np.float64, np.complex64, np.int32)
    ),
    *(
        Sample(ops.name, (random(2, dtype=dtype),), lambda x: checkpoint_name(x, "activation"), {"name": "activation"})
        for dtype in (np.float32, np.float64, np.complex64, np.int32)
    ),
    barrier(random(2, 3)),
    barrier(random(2, 3, dtype=float), random(2, dtype=float), np.float64(1.5)),
    barrier(random(3, dtype=np.complex64), random(2, dtype=np.int32), random(2, dtype=bool)),
]
