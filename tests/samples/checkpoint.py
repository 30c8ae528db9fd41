"""Samples of minijvp.calls.checkpoint."""

import jax
import jax.numpy as jnp
import numpy as np

from minijvp.calls.checkpoint import checkpoint
from minijvp.core.types import type_of
from minijvp.operations import elementwise as ops
from minijvp.operations.families import reduce_sum
from minijvp.transforms.staging import stage
from tests.samples import Sample, random


def remat(label, fun, oracle, *args, prevent_cse=True, policy=None):
    jaxpr = stage(fun, [type_of(jnp.asarray(x)) for x in args], label)
    params = dict(jaxpr=jaxpr, prevent_cse=prevent_cse, policy=policy)
    return Sample(checkpoint, args, oracle, params, label=label)


def two(x, y, n):
    product = ops.mul(ops.sin(x), y)
    return [reduce_sum(ops.exp(product), axes=(0,)), n, ops.tanh(y)]


def two_by_jax(x, y, n):
    return jnp.sum(jnp.exp(jnp.sin(x) * y), 0), n, jnp.tanh(y)


def pair(dtype):
    return random(2, 3, dtype=dtype), random(2, 3, dtype=dtype, seed=1), np.int32([1, 2])


SAMPLES = [
    remat("float32", two, two_by_jax, *pair(np.float32)),
    remat("merged", two, two_by_jax, *pair(np.float64), prevent_cse=False),
    remat("saved", two, two_by_jax, *pair(np.float64), policy=jax.checkpoint_policies.everything_saveable),
    remat("complex", two, two_by_jax, *pair(np.complex128), policy=jax.checkpoint_policies.nothing_saveable),
    remat("linear", lambda x: [ops.mul(x, 2.0), x], lambda x: (2 * x, x), random(3, dtype=float)),
]
