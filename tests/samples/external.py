"""Samples of minijvp.tools.external."""

import jax.numpy as jnp
import numpy as np
from jax.tree_util import tree_structure

from minijvp.core.types import ArrayType, type_of
from minijvp.tools.external import ByColumns, Pulled, Pushed, Signature, callback_linear
from tests.samples import Sample, random

X, N, T = random(3, dtype=float), random(2, dtype="int32", high=5), random(3, dtype=float, seed=1)
OUT = ArrayType((2, 3), np.dtype(float))
SIGNATURE = Signature(tree_structure((0, 0)), (type_of(X), type_of(N)), tree_structure(0), (OUT,))
WHY = "Differences and JAX would differentiate by the first arguments too, and the primitive refuses to."


def slope(xp, x, n):
    return n[:, None] * xp.cos(x)


FORWARD = Pushed(lambda primals, tangents: slope(np, *primals) * tangents[0], "fun", SIGNATURE)
BACKWARD = Pulled(lambda primals, ct: (np.sum(slope(np, *primals) * ct, 0), None), "fun", SIGNATURE)


def sample(forward, backward, label):
    params = dict(forward=forward, backward=backward, n=2, result_types=(OUT,))
    oracle = lambda x, n, t: (slope(jnp, x, n) * t,)
    return Sample(callback_linear, (X, N, T), oracle, params, label=label, differentiable=False, why=WHY)


SAMPLES = [
    sample(FORWARD, BACKWARD, "both"),
    sample(FORWARD, ByColumns(FORWARD, "fun", SIGNATURE, transposed=True), "tangents"),
    sample(ByColumns(BACKWARD, "fun", SIGNATURE, transposed=False), BACKWARD, "cotangents"),
]
