"""Samples of minijvp.operations.floating."""

import jax.numpy as jnp
import numpy as np

from minijvp.operations import floating as ops
from tests.samples import Sample, random

KINK = {"finite_differences": False, "why": "the fraction jumps at powers of 2"}
x, n = random(3, 2, dtype=float, low=0.3, high=20.0), random(3, 2, dtype=np.int32, low=-3, high=4)

SAMPLES = [
    Sample(ops.frexp, (x,), jnp.frexp, label="float64"),
    Sample(ops.frexp, (-x.astype(np.float32),), jnp.frexp, label="float32"),
    Sample(ops.frexp, (jnp.asarray(x, jnp.bfloat16),), jnp.frexp, label="bfloat16"),
    Sample(ops.frexp, (np.array([0.0, 0.5, 1.0, -8.0]),), jnp.frexp, label="powers", **KINK),
    Sample(ops.ldexp, (x, n), jnp.ldexp, label="float64"),
    Sample(ops.ldexp, (x.astype(np.float32), n.astype(np.int8)), jnp.ldexp, label="float32"),
    Sample(ops.ldexp, (x, 3), lambda x, n: jnp.ldexp(x, jnp.asarray(n)), label="literal"),
]
