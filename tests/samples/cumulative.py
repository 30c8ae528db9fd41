"""Samples of minijvp.operations.cumulative."""

import numpy as np
from jax import lax

from minijvp.operations import cumulative as ops
from tests.samples import Sample, distinct, random

ENDLESS = np.asarray([-np.inf, -np.inf, 0.5, -np.inf, 2.0, 1.0])


def cumulative(primitive, label, x, axis=0, reverse=False, **options):
    oracle = getattr(lax, primitive.name)
    params = dict(axis=axis, reverse=reverse)
    return Sample(primitive, (x,), lambda x: oracle(x, axis, reverse), params, label=label, **options)


SAMPLES = [
    cumulative(primitive, label, x, axis, reverse)
    for primitive in (ops.cumsum, ops.cumprod, ops.cummax, ops.cummin, ops.cumlogsumexp)
    for label, x, axis, reverse in [
        ("float32", distinct(3, 4), 1, False),
        ("float64-reverse", distinct(5, 2, dtype=float), 0, True),
        ("one", distinct(1, dtype=float), 0, False),
        ("empty", np.zeros((2, 0)), 1, True),
    ]
]
SAMPLES += [
    cumulative(primitive, label, x, 1)
    for primitive in (ops.cumsum, ops.cumprod)
    for label, x in [("complex128", random(2, 3, dtype=np.complex128)), ("int32", random(2, 3, dtype=np.int32))]
]
SAMPLES += [
    cumulative(ops.cumprod, "zeros", np.asarray([1.5, 0.0, 2.0, 0.0, -1.0, 3.0])),
    *(
        cumulative(
            p,
            "ties",
            np.asarray([1.0, 1.0, 2.0, 2.0, 2.0, 0.0, 2.0]),
            jax_derivative=False,
            finite_differences=False,
            why="ties, where JAX's shares depend on the order in which it combines",
        )
        for p in (ops.cummax, ops.cummin)
    ),
    cumulative(ops.cummax, "int32", random(2, 3, dtype=np.int32), 1),
    cumulative(ops.cummin, "uint8", random(2, 3, dtype=np.uint8), 1, True),
    cumulative(
        ops.cumlogsumexp,
        "minus-infinity",
        ENDLESS,
        finite_differences=False,
        jax_derivative=False,
        why="differences of infinities; JAX's derivative is nan there",
    ),
    cumulative(ops.cumlogsumexp, "large", 1e3 * distinct(5, dtype=float)),
]
