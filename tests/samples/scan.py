"""Samples of minijvp.control_flow.scan."""

import jax.numpy as jnp
import numpy as np
from jax import lax

import minijvp.numpy as mnp
from minijvp.control_flow.scan import scan as scan_primitive
from minijvp.core.types import type_of
from minijvp.transforms.staging import stage
from tests.samples import Sample, random


def scan(label, body, n_constants, n_carry, *args, length=3, reverse=False, unroll=1, **options):
    """A loop whose body, of a module such as numpy, gives a function of constants, carries and rows."""
    fixed = n_constants + n_carry
    types = [type_of(jnp.asarray(x)) for x in args]
    types[fixed:] = [t.with_shape(t.shape[1:]) for t in types[fixed:]]
    how = dict(length=length, reverse=reverse, unroll=unroll)
    params = dict(jaxpr=stage(body(mnp), types, label), n_constants=n_constants, n_carry=n_carry, **how)

    def oracle(*xs):
        def step(carry, row):
            outs = body(jnp)(*xs[:n_constants], *carry, *row)
            return outs[:n_carry], outs[n_carry:]

        carry, ys = lax.scan(step, list(xs[n_constants:fixed]), list(xs[fixed:]), **how)
        return (*carry, *ys)

    return Sample(scan_primitive, args, oracle, params, label=label, **options)


def network(np):
    def body(w, h, x):
        h = np.tanh(w @ h + x)
        return [h, h * x]

    return body


def counter(np):
    return lambda n, c, x: [n + 1, c * np.sin(x), n]


def swapped(np):
    return lambda a, b, x: [b, a * x, np.zeros(())]


def invariant(np):
    return lambda w, c: [c * np.sin(w)]


matrix, vector, rows = random(2, 2, dtype=float, seed=1), random(2, dtype=float), random(3, 2, dtype=float)
SAMPLES = [
    scan("network", network, 1, 1, matrix, vector, rows),
    scan("reverse", network, 1, 1, matrix, vector, rows, reverse=True, unroll=2),
    scan("float32", network, 1, 1, random(2, 2), random(2), random(3, 2)),
    scan("counter", counter, 0, 2, np.int32(0), vector, rows),
    scan("swapped", swapped, 0, 2, np.float64(1.5), np.float64(0.5), random(3, dtype=float)),
    scan("invariant", invariant, 1, 1, vector, vector + 3.0),
    scan("empty", network, 1, 1, matrix, vector, np.zeros((0, 2)), length=0),
    scan("rows", lambda np: lambda x: [np.exp(x), x], 0, 0, rows),
]
