"""Samples of minijvp.custom_rules.custom_jvp."""

import jax
import jax.numpy as jnp
import numpy as np

from minijvp.core.types import type_of
from minijvp.custom_rules.custom_jvp import custom_jvp_call
from minijvp.operations import elementwise as ops
from minijvp.operations.families import add
from minijvp.transforms.staging import stage
from tests.samples import Sample, random


def custom(label, fun, rule, oracle, *args, **expectations):
    types = [type_of(jnp.asarray(x)) for x in args]
    tangents = [t for t in types if t.dtype.kind in "fc"]
    jaxprs = dict(jaxpr=stage(fun, types, label), rule=stage(rule, [*types, *tangents], label))
    return Sample(custom_jvp_call, args, oracle, dict(jaxprs, name=label), label=label, **expectations)


def wave(x, y, n):
    return [ops.mul(ops.sin(x), y), n, ops.cos(y)]


def wave_rule(x, y, n, t_x, t_y):
    first = add(ops.mul(ops.mul(ops.cos(x), t_x), y), ops.mul(ops.sin(x), t_y))
    return [*wave(x, y, n), first, ops.neg(ops.mul(ops.sin(y), t_y))]


@jax.custom_jvp
def clipped(x):
    return jnp.sqrt(x)


clipped.defjvp(lambda primals, tangents: (jnp.sqrt(*primals), 3.0 * tangents[0] * primals[0]))
other_slope = {"finite_differences": False, "why": "The rule has another slope than the function."}
SAMPLES = [
    custom(
        f"wave-{np.dtype(dtype)}",
        wave,
        wave_rule,
        lambda x, y, n: (jnp.sin(x) * y, n, jnp.cos(y)),
        *(random(2, dtype=dtype), random(2, dtype=dtype, seed=1), np.int32([1, 2])),
    )
    for dtype in (np.float32, np.float64, np.complex128)
] + [
    custom(
        "another-slope",
        lambda x: [ops.sqrt(x)],
        lambda x, t: [ops.sqrt(x), ops.mul(ops.mul(t, x), 3.0)],
        lambda x: (clipped(x),),
        random(3, dtype=float, low=0.5),
        **other_slope,
    )
]
