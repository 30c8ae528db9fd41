"""Samples of minijvp.custom_rules.custom_vmap. Here the rule gives what batching the program gives."""

import jax.numpy as jnp

from minijvp.core.types import type_of
from minijvp.custom_rules.custom_vmap import BatchRule, custom_vmap_call
from minijvp.operations import elementwise as ops
from minijvp.transforms.staging import stage
from minijvp.transforms.vmap import vmap_jaxpr
from tests.samples import Sample, random


def by_rule(label, fun, oracle, *args):
    jaxpr = stage(fun, [type_of(jnp.asarray(x)) for x in args], label)
    rule = BatchRule(lambda axis, batched: vmap_jaxpr(jaxpr, axis, batched, (True,) * len(jaxpr.outputs))[0])
    return Sample(custom_vmap_call, args, oracle, dict(jaxpr=jaxpr, rule=rule), label=label)


SAMPLES = [
    by_rule(
        "two",
        lambda x, y: [ops.mul(ops.sin(x), y), ops.exp(y)],
        lambda x, y: (jnp.sin(x) * y, jnp.exp(y)),
        random(3, dtype=float),
        random(3, dtype=float, seed=1),
    ),
    by_rule("one", lambda x, n: [n, ops.neg(x)], lambda x, n: (n, -x), random(2), random(2, dtype="int32")),
]
