"""Samples of minijvp.calls.jit."""

import jax.numpy as jnp
import numpy as np

from minijvp.calls.jit import jit_primitive
from minijvp.core.types import type_of
from minijvp.operations import elementwise as ops
from minijvp.operations.families import reduce_sum
from minijvp.transforms.staging import stage
from tests.samples import Sample, random


def jit(label, fun, oracle, *args):
    jaxpr = stage(fun, [type_of(jnp.asarray(x)) for x in args], label)
    return Sample(jit_primitive, args, oracle, dict(jaxpr=jaxpr), label=label)


def two(x, y):
    product = ops.mul(ops.sin(x), y)
    return [reduce_sum(product, axes=(0,)), ops.tanh(y)]


def two_by_jax(x, y):
    return jnp.sum(jnp.sin(x) * y, 0), jnp.tanh(y)


SAMPLES = [
    jit("two-float32", two, two_by_jax, random(2, 3), random(2, 3, seed=1)),
    jit("two-complex128", two, two_by_jax, random(2, dtype=np.complex128), random(2, dtype=np.complex128, seed=1)),
    jit(
        "handed-on", lambda x, n: [n, ops.neg(x), x], lambda x, n: (n, -x, x), random(2, dtype=float), np.int32([1, 2])
    ),
    jit("linear", lambda x: [ops.mul(x, 2.0)], lambda x: (x * 2,), random(3, dtype=float)),
]
