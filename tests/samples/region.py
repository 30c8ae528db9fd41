"""Samples of minijvp.optimize.rematerialize.region."""

import jax.numpy as jnp
import numpy as np

from minijvp.core.types import type_of
from minijvp.operations import elementwise as ops
from minijvp.optimize.rematerialize.region import region
from minijvp.transforms.staging import stage
from tests.samples import Sample, random
from tests.samples.jit import two, two_by_jax


def part(label, fun, oracle, *args):
    jaxpr = stage(fun, [type_of(jnp.asarray(x)) for x in args], label)
    return Sample(region, args, oracle, dict(jaxpr=jaxpr), label=label)


SAMPLES = [
    part("two-float32", two, two_by_jax, random(2, 3), random(2, 3, seed=1)),
    part("two-complex128", two, two_by_jax, random(2, dtype=np.complex128), random(2, dtype=np.complex128, seed=1)),
    part("integers", lambda n: [ops.mul(n, n)], lambda n: (n * n,), np.int32([1, 2])),
    part("empty", lambda x: [ops.sin(x)], lambda x: (jnp.sin(x),), np.zeros((0, 2))),
    part("linear", lambda x: [ops.mul(x, 2.0)], lambda x: (x * 2,), random(3, dtype=float)),
]
