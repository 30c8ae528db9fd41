"""Samples of minijvp.optimize.kept_call."""

import jax.numpy as jnp
import numpy as np

from minijvp.core.types import type_of
from minijvp.operations import elementwise as ops
from minijvp.optimize.kept_call import kept_call
from minijvp.transforms.staging import stage
from tests.samples import Sample, random
from tests.samples.jit import two, two_by_jax


def kept(label, fun, oracle, *args, repeats=2, again=False):
    jaxpr = stage(fun, [type_of(jnp.asarray(x)) for x in args], label)
    return Sample(kept_call, args, oracle, dict(jaxpr=jaxpr, repeats=repeats, again=again), label=label)


SAMPLES = [
    kept("two-float32", two, two_by_jax, random(2, 3), random(2, 3, seed=1)),
    kept("two-complex128", two, two_by_jax, random(2, dtype=np.complex128), random(2, dtype=np.complex128, seed=1)),
    kept("again", two, two_by_jax, random(2, dtype=float), random(2, dtype=float, seed=1), repeats=1, again=True),
    kept("integers", lambda n: [ops.mul(n, n)], lambda n: (n * n,), np.int32([1, 2])),
    kept("empty", lambda x: [ops.sin(x)], lambda x: (jnp.sin(x),), np.zeros((0, 2))),
    kept("linear", lambda x: [ops.mul(x, 2.0)], lambda x: (x * 2,), random(3, dtype=float)),
]
