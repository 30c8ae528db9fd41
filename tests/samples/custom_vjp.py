"""Samples of minijvp.custom_rules.custom_vjp."""

import jax
import jax.numpy as jnp
import numpy as np

from minijvp.core.types import type_of
from minijvp.custom_rules.custom_vjp import custom_vjp_call, custom_vjp_linear
from minijvp.operations import elementwise as ops
from minijvp.operations.families import add
from minijvp.transforms.staging import stage
from tests.samples import Sample, random


def inexact(types):
    return [t for t in types if t.dtype.kind in "fc"]


def custom(label, fun, fwd, bwd, oracle, *args, **expectations):
    types = [type_of(jnp.asarray(x)) for x in args]
    jaxpr, fwd = stage(fun, types, label), stage(fwd, types, label)
    residuals = list(fwd.out_types[len(jaxpr.outputs) :])
    bwd = stage(bwd, [*residuals, *inexact(jaxpr.out_types)], label)
    params = dict(jaxpr=jaxpr, fwd=fwd, bwd=bwd, name=label)
    return Sample(custom_vjp_call, args, oracle, params, label=label, **expectations)


def linear(label, bwd, n_residuals, n_outputs, oracle, *args):
    """`bwd` takes `n_residuals` and `n_outputs` cotangents that are like the first of them."""
    types = [type_of(jnp.asarray(x)) for x in args[:n_residuals]]
    bwd = stage(bwd, [*types, *types[:1] * n_outputs], label)
    params = dict(bwd=bwd, n_residuals=n_residuals, name=label)
    return Sample(custom_vjp_linear, args, oracle, params, label=label)


def wave(x, y, n):
    return [ops.mul(ops.sin(x), y), n, ops.cos(y)]


def wave_bwd(x, y, ct_product, ct_cos):
    ct_y = add(ops.mul(ct_product, ops.sin(x)), ops.neg(ops.mul(ct_cos, ops.sin(y))))
    return [ops.mul(ops.mul(ct_product, y), ops.cos(x)), ct_y]


def wave_by_jax(x, y, n):
    return jnp.sin(x) * y, n, jnp.cos(y)


@jax.custom_jvp
def other_slope(x):
    return jnp.sqrt(x)


other_slope.defjvps(lambda t, out, x: 3.0 * t * x)
SAMPLES = [
    *(
        custom(
            f"wave-{np.dtype(dtype)}",
            wave,
            lambda x, y, n: [*wave(x, y, n), x, y],
            wave_bwd,
            wave_by_jax,
            *(random(2, dtype=dtype), random(2, dtype=dtype, seed=1), np.int32([1, 2])),
        )
        for dtype in (np.float32, np.float64, np.complex128)
    ),
    custom(
        "another-slope",
        lambda x: [ops.sqrt(x)],
        lambda x: [ops.sqrt(x), x],
        lambda x, ct: [ops.mul(ops.mul(ct, x), 3.0)],
        lambda x: (other_slope(x),),
        random(3, dtype=float, low=0.5),
        finite_differences=False,
        why="The rule has another slope than the function.",
    ),
    linear(
        "one-of-two",
        lambda x, y, ct: [ops.mul(ops.sin(x), ct), ops.mul(ct, y)],
        2,
        1,
        lambda x, y, t_x, t_y: (jnp.sin(x) * t_x + t_y * y,),
        *(random(3, dtype=float, seed=i) for i in range(4)),
    ),
    linear(
        "two-of-one",
        lambda x, ct, ct_2: [add(ops.mul(ct, x), ct_2)],
        1,
        2,
        lambda x, t: (x * t, t),
        *(random(3, dtype=np.complex64, seed=i) for i in range(2)),
    ),
    linear("zero", lambda x, ct, ct_2: [ct], 1, 2, lambda x, t: (t, 0 * t), random(2), random(2, seed=1)),
]
