"""Samples of minijvp.calls.linear_call. Here the rule gives what transposing the program gives."""

import jax.numpy as jnp

from minijvp.calls.linear_call import linear_call
from minijvp.core.types import type_of
from minijvp.operations import elementwise as ops
from minijvp.operations.families import add
from minijvp.transforms.staging import stage
from tests.samples import Sample, random


def quotient(dtype):
    y, x = random(3, dtype=dtype, low=1.0), random(3, dtype=dtype, seed=1)
    types = [type_of(jnp.asarray(v)) for v in (y, x)]
    program = stage(lambda y, x: [ops.div(x, y)], types, "quotient")
    params = dict(forward=program, backward=program, n=1)
    return Sample(linear_call, (y, x), lambda y, x: (x / y,), params, label=f"quotient-{jnp.dtype(dtype)}")


def sums():
    """Two of each, one argument of which is read by one result only."""
    args = [random(2, dtype=float, seed=i) for i in range(3)]
    types = [type_of(jnp.asarray(v)) for v in args]
    params = dict(
        forward=stage(lambda a, x, y: [add(ops.mul(a, x), y), y], types, "sums"),
        backward=stage(lambda a, s, t: [ops.mul(a, s), add(s, t)], types, "sums"),
        n=1,
    )
    return Sample(linear_call, tuple(args), lambda a, x, y: (a * x + y, y), params, label="sums")


SAMPLES = [quotient(float), quotient(complex), sums()]
