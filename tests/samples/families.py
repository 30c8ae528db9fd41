"""Samples of minijvp.operations.families."""

import numpy as np
from jax import lax

from minijvp.operations import families as ops
from tests.samples import Sample, random

SAMPLES = [
    Sample(ops.zeros, (), lambda: lax.full((2, 3), 0, np.float32), dict(shape=(2, 3), dtype=np.dtype(np.float32))),
]
for dtype in (np.float32, np.float64, np.complex64):
    x = random(2, 3, dtype=dtype)
    SAMPLES += [
        Sample(
            ops.broadcast_in_dim,
            (random(2, 1, dtype=dtype),),
            lambda x: lax.broadcast_in_dim(x, (2, 4, 3), (0, 2)),
            dict(shape=(2, 4, 3), broadcast_dimensions=(0, 2)),
        ),
        Sample(ops.reshape, (x,), lambda x: lax.reshape(x, (3, 2)), dict(new_sizes=(3, 2))),
        Sample(ops.reduce_sum, (x,), lambda x: lax.reduce_sum(x, (1,)), dict(axes=(1,))),
    ]
