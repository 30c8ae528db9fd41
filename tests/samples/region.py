"""Samples of minijvp.calls.region, on no mesh."""

import jax.numpy as jnp
from jax.sharding import get_abstract_mesh

from minijvp.calls.region import region
from minijvp.core.types import type_of
from minijvp.operations import elementwise as ops
from minijvp.transforms.staging import stage
from tests.samples import Sample, random


def part(label, fun, oracle, *args):
    jaxpr = stage(fun, [type_of(jnp.asarray(x)) for x in args], label)
    mesh = get_abstract_mesh()
    return Sample(region, args, oracle, dict(jaxpr=jaxpr, mesh=mesh, outer=mesh), label=label)


SAMPLES = [
    part(
        "pair",
        lambda x, y: [ops.mul(ops.sin(x), y), ops.exp(x)],
        lambda x, y: (jnp.sin(x) * y, jnp.exp(x)),
        random(2, 3, dtype=float),
        random(2, 3, dtype=float, seed=1),
    ),
]
