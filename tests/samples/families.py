"""Samples of minijvp.operations.families."""

import numpy as np
from jax import lax

from minijvp.operations import families as ops
from tests.samples import Sample, random

SAMPLES = [
    Sample(ops.zeros, (), lambda: lax.full((2, 3), 0, np.float32), {"shape": (2, 3), "dtype": np.dtype(np.float32)}),
    Sample(
        ops.broadcast_in_dim,
        (2.5,),
        lambda x: lax.broadcast_in_dim(x, (2, 3), ()),
        {"shape": (2, 3), "broadcast_dimensions": ()},
        label="literal",
    ),
    Sample(
        ops.broadcast_in_dim,
        (random(1, dtype=float),),
        lambda x: lax.broadcast_in_dim(x, (1, 2), (0,)),
        {"shape": (1, 2), "broadcast_dimensions": (0,)},
        label="size-1-stays",
    ),
    Sample(ops.reshape, (np.float64(1.5),), lambda x: lax.reshape(x, (1, 1)), {"new_sizes": (1, 1)}),
    Sample(ops.reshape, (np.zeros((2, 0)),), lambda x: lax.reshape(x, (0, 3)), {"new_sizes": (0, 3)}),
    Sample(ops.reduce_sum, (random(2, 3),), lambda x: lax.reduce_sum(x, (0, 1)), {"axes": (0, 1)}),
    Sample(ops.reduce_sum, (np.zeros((2, 0)),), lambda x: lax.reduce_sum(x, (1,)), {"axes": (1,)}, label="empty"),
    Sample(ops.add, (random(3), 2), lambda x, y: lax.add(x, lax.convert_element_type(y, np.float32)), label="literal"),
]
for dtype in (np.float64, np.complex64, np.int32):
    x = random(2, 3, dtype=dtype)
    SAMPLES += [
        Sample(
            ops.broadcast_in_dim,
            (random(2, 1, dtype=dtype),),
            lambda x: lax.broadcast_in_dim(x, (2, 4, 3), (0, 2)),
            {"shape": (2, 4, 3), "broadcast_dimensions": (0, 2)},
        ),
        Sample(ops.reshape, (x,), lambda x: lax.reshape(x, (3, 2)), {"new_sizes": (3, 2)}),
        Sample(ops.reduce_sum, (x,), lambda x: lax.reduce_sum(x, (1,)), {"axes": (1,)}),
        Sample(ops.add, (x, random(2, 3, dtype=dtype, seed=1)), lax.add),
    ]
