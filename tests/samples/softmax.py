"""Samples of minijvp.operations.softmax."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from minijvp.operations import softmax as ops
from tests.samples import Sample, random

F32, F64 = np.float32, np.float64
LARGE = np.array([[3.0, 50.0, -2.0], [0.5, 0.6, 0.4]])
CASES = [
    ("float32", random(3, 4), (1,)),
    ("float64-two-axes", random(2, 3, 2, dtype=F64), (2, 0)),
    ("all", random(5, dtype=F64), (0,)),
    ("large", LARGE, (1,)),
    ("bfloat16", random(2, 5, dtype=jnp.bfloat16), (1,)),
    ("scalar", F64(2.0), ()),
]


def centered(t, y, axes, adjoint):
    return t - y * t.sum(axes, keepdims=True) if adjoint else t - (y * t).sum(axes, keepdims=True)


SAMPLES = [
    Sample(primitive, (x,), partial(oracle, axis=axes), {"axes": axes}, label)
    for primitive, oracle in (
        (ops.softmax, jax.nn.softmax),
        (ops.tied_softmax, jax.nn.softmax),
        (ops.log_softmax, jax.nn.log_softmax),
        (ops.logsumexp, jax.nn.logsumexp),
    )
    for label, x, axes in CASES
]
SAMPLES += [
    Sample(
        ops.center,
        (random(*x.shape, dtype=x.dtype, seed=7), np.asarray(jax.nn.softmax(x, axes))),
        partial(centered, axes=axes, adjoint=adjoint),
        {"axes": axes, "adjoint": adjoint},
        f"{label}-{adjoint}",
    )
    for label, x, axes in CASES
    for adjoint in (False, True)
]
