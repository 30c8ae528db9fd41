"""Samples of minijvp.higher_order.while_loop."""

import jax.numpy as jnp
import numpy as np
from jax import lax

import minijvp.numpy as mnp
from minijvp.core.types import type_of
from minijvp.higher_order.while_loop import while_loop as while_primitive
from minijvp.transforms.staging import stage
from tests.samples import Sample, random


def loop(label, condition, body, n_cond_constants, n_body_constants, *args, **options):
    """A loop whose condition and body, of a module such as numpy, give functions of constants and carries."""
    k, fixed = n_cond_constants, n_cond_constants + n_body_constants
    types = [type_of(jnp.asarray(x)) for x in args]
    params = dict(
        cond_jaxpr=stage(lambda *xs: [condition(mnp)(*xs)], types[:k] + types[fixed:], label),
        body_jaxpr=stage(body(mnp), types[k:], label),
        n_cond_constants=k,
        n_body_constants=n_body_constants,
    )

    def oracle(*xs):
        return tuple(
            lax.while_loop(
                lambda carry: condition(jnp)(*xs[:k], *carry),
                lambda carry: body(jnp)(*xs[k:fixed], *carry),
                list(xs[fixed:]),
            )
        )

    return Sample(while_primitive, args, oracle, params, label=label, **options)


def counted(np):
    return lambda n, i, c, x: i < n


def body(np):
    return lambda w, i, c, x: [i + 1, x, np.sin(w * c) + x]


x, y, w = random(2, dtype=float), random(2, dtype=float, seed=1), random(2, dtype=float, seed=2)
SAMPLES = [
    loop("integers", lambda np: lambda n: n < 9, lambda np: lambda n: [n * 2 + 1], 0, 0, np.int32(0)),
]
