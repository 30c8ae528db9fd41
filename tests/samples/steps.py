"""Samples of minijvp.optimize.eager.steps."""

import jax.numpy as jnp

from minijvp.operations import contraction, elementwise
from minijvp.optimize.eager import steps
from minijvp.optimize.eager.traces import linearized
from tests.samples import Sample, random

x, y, t = random(3, dtype=float), random(3, dtype=float, seed=1), random(3, dtype=float, seed=2)


def step(label, primitive, primals, tangents, residuals, oracle, **params):
    """The linear part of `primitive` at `primals`, which stores `residuals`."""
    primals = tuple(map(jnp.asarray, primals))
    linear = linearized(steps.program_of(primitive, primals, params), tangents).linear
    return Sample(steps.step, residuals, oracle, linear.params, label=label)


DOT = {"dimension_numbers": (((0,), (0,)), ((), ())), "precision": None, "preferred_element_type": None}
SAMPLES = [
    step("sin", elementwise.sin, (x,), (t,), (jnp.cos(x), t), lambda r, t: (t * r,)),
    step("mul", elementwise.mul, (x, y), (t, None), (y, t), lambda y, t: (t * y,)),
    step("dot", contraction.dot_general, (x, y), (None, t), (x, t), lambda x, t: (jnp.dot(x, t),), **DOT),
]
