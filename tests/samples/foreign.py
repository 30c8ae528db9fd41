"""Samples of minijvp.interop.foreign."""

import jax
import jax.numpy as jnp

from minijvp.interop.foreign import ForeignEquation, foreign
from tests.interop.primitives import halves, scaled_sine
from tests.samples import Sample, random


def of_jax(primitive, oracle, *args):
    (equation,) = jax.make_jaxpr(primitive.bind)(*args).eqns
    return Sample(foreign, args, oracle, dict(equation=ForeignEquation(equation)), label=primitive.name)


SAMPLES = [
    of_jax(
        scaled_sine,
        lambda x, y: (jnp.sin(x) * y,),
        random(3, dtype=float),
        random(3, dtype=float, seed=1),
    ),
    of_jax(halves, lambda x: (x * x, jnp.sign(x), jnp.int32(7)), random(3, dtype=float)),
]
