"""Samples of minijvp.interop.traced."""

import jax
import jax.numpy as jnp

from minijvp.interop.traced import Traced, program_of_jax
from tests.samples import Sample, random


def traced(label, fun, *args):
    return Sample(program_of_jax, args, fun, dict(traced=Traced(jax.make_jaxpr(fun)(*args), label)), label=label)


TABLE = jnp.arange(3.0)

SAMPLES = [
    traced("float64", lambda x: (jnp.sin(x) * TABLE, jnp.sum(x)), random(3, dtype=float)),
    traced("float32", lambda x, n: (jnp.tanh(x) * n, n), random(2, 3), random(2, 3, dtype="int32")),
]
