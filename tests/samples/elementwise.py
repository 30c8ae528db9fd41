"""Samples of minijvp.operations.elementwise."""

import jax.numpy as jnp
import numpy as np
from jax import lax

from minijvp.operations import elementwise as ops
from tests.samples import Sample, random

SAMPLES = [
    Sample(primitive, (random(3, 2, dtype=dtype),), getattr(lax, primitive.name))
    for primitive in (ops.sin, ops.cos, ops.neg)
    for dtype in (np.float32, np.float64, np.complex64)
]
SAMPLES += [
    Sample(primitive, (random(3, 2, dtype=dtype), random(3, 2, dtype=dtype, seed=1)), getattr(lax, primitive.name))
    for primitive in (ops.add, ops.mul, ops.sub)
    for dtype in (np.float32, np.float64, np.complex64)
]
SAMPLES += [Sample(ops.mul, (random(3, dtype=np.float32), 2.0), jnp.multiply, label="scalar")]
