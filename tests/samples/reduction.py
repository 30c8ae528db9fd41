"""Samples of minijvp.operations.reduction."""

import numpy as np
from jax import lax

from minijvp.operations import reduction as ops
from tests.samples import Sample, distinct, random

tied = np.asarray([[1.0, 1.0, 0.5], [0.5, 2.0, 2.0], [3.0, 3.0, 3.0]])
zeros = np.asarray([[1.5, 0.0, -2.0, 0.5], [0.0, 3.0, 0.0, 1.0]])


def reduction(primitive, label, x, axes, **options):
    oracle = getattr(lax, primitive.name)
    return Sample(primitive, (x,), lambda x: oracle(x, axes), dict(axes=axes), label=label, **options)


SAMPLES = [
    reduction(primitive, label, x, axes, **options)
    for primitive in (ops.reduce_max, ops.reduce_min)
    for label, x, axes, options in [
        ("float32", distinct(3, 4), (1,), {}),
        ("float64-two-axes", distinct(2, 3, 2, dtype=float), (2, 0), {}),
        ("all", distinct(5, dtype=float), (0,), {}),
        ("ties", tied, (1,), dict(finite_differences=False, why="ties: a kink")),
        ("int32", random(3, 4, dtype=np.int32), (0,), {}),
        ("bool", random(3, 4, dtype=bool), (0,), {}),
        ("none", distinct(2, 3, dtype=float), (), {}),
        ("scalar", np.float64(2.0), (), {}),
    ]
]
SAMPLES += [
    reduction(ops.reduce_prod, "float32", random(3, 4), (1,)),
    reduction(ops.reduce_prod, "odd-length", random(2, 5, 3, dtype=float), (1,)),
    reduction(ops.reduce_prod, "two-axes", random(2, 3, 2, dtype=float), (0, 2)),
    reduction(ops.reduce_prod, "zeros", zeros, (1,)),
    reduction(ops.reduce_prod, "complex128", random(2, 3, dtype=np.complex128), (1,)),
    reduction(ops.reduce_prod, "int32", random(2, 3, dtype=np.int32), (1,)),
    reduction(ops.reduce_prod, "empty", np.zeros((2, 0)), (1,)),
    reduction(ops.reduce_prod, "scalar", np.float64(2.0), ()),
    reduction(ops.reduce_and, "int32", random(2, 3, dtype=np.int32, low=0, high=99), (1,)),
    reduction(ops.reduce_and, "bool", random(2, 3, dtype=bool), (0, 1)),
    reduction(ops.reduce_or, "uint8", random(2, 3, dtype=np.uint8, high=99), (1,)),
    reduction(ops.reduce_or, "bool", random(2, 3, dtype=bool), (1,)),
    reduction(ops.reduce_xor, "int32", random(2, 3, dtype=np.int32, low=0, high=99), (0,)),
]


def index(primitive, x, axis, dtype=np.int32, **options):
    function, dtype = getattr(lax, primitive.name), np.dtype(dtype)
    params = dict(axes=(axis,), index_dtype=dtype)
    return Sample(primitive, (x,), lambda x: function(x, axis, dtype), params, **options)


SAMPLES += [
    index(primitive, x, axis, dtype)
    for primitive in (ops.argmax, ops.argmin)
    for x, axis, dtype in [
        (distinct(3, 4), 1, np.int32),
        (distinct(3, 4, dtype=float), 0, np.int64),
        (random(5, dtype=np.int32), 0, np.int32),
        (random(2, 3, dtype=bool), 1, np.uint8),
    ]
]
