"""Samples of minijvp.control_flow.cond."""

import jax.numpy as jnp
import numpy as np
from jax import lax

import minijvp.numpy as mnp
from minijvp.control_flow.cond import cond as cond_primitive
from minijvp.core.types import type_of
from minijvp.transforms.staging import stage
from tests.samples import Sample, random


def cond(label, branches, index, *operands, **options):
    """A choice among functions that `branches`, of a module such as numpy, gives."""
    types = [type_of(jnp.asarray(x)) for x in operands]
    jaxprs = tuple(stage(fun, types, label) for fun in branches(mnp))

    def oracle(index, *xs):
        return lax.switch(index, branches(jnp), *xs)

    return Sample(cond_primitive, (index, *operands), oracle, {"branches": jaxprs}, label=label, **options)


def unlike(np):
    """Residuals of different numbers and types; a result that only one branch differentiates."""
    return [
        lambda x, y: [np.sin(x) * y, y],
        lambda x, y: [x * np.sum(x), np.ones(2, y.dtype)],
        lambda x, y: [np.exp(x @ y) * np.tanh(x), x],
    ]


def integers(np):
    return [lambda n, x: [n, x * n], lambda n, x: [n * n, x]]


def closed(np):
    """Branches that close over arrays, and one that has only a constant to give."""
    table = np.asarray([2.0, -1.0])
    return [lambda x: [x * table], lambda x: [table]]


def roots(np):
    """The derivatives of a branch that was not chosen must not be seen: 0 * inf is a NaN."""
    return [lambda x, w: [np.zeros(2) + w], lambda x, w: [np.sqrt(x - 1.0) * w]]


x, y = random(2, dtype=float), random(2, dtype=float, seed=1)
SAMPLES = [cond(f"unlike-{k}", unlike, np.int32(k), x, y) for k in (0, 1, 2)]
SAMPLES += [
    cond("clamped-above", unlike, np.int32(7), random(2), random(2, seed=1)),
    cond("clamped-below", unlike, np.int32(-7), x, y),
    cond("integers", integers, np.int32(1), np.int32([1, 2]), x),
    cond("closed", closed, np.int32(0), x),
    cond("roots", roots, np.int32(1), np.array([1.5, 2.5]), np.float64(2.0)),
    cond("one", lambda np: [lambda x: [np.sin(x)]], np.int32(3), x),
]
