"""Samples of minijvp.operations.sorting."""

import numpy as np
from jax import lax

from minijvp.operations import sorting as ops
from tests.samples import Sample, distinct, random


def sort(label, *xs, dimension=0, is_stable=True, num_keys=1, **options):
    params = dict(dimension=dimension, is_stable=is_stable, num_keys=num_keys)
    return Sample(ops.sort, xs, lambda *xs: lax.sort(xs, **params), params, label=label, **options)


def top_k(label, x, k, axis, **options):
    params = dict(k=k, axis=axis)
    return Sample(ops.top_k, (x,), lambda x: lax.top_k(x, k, axis=axis), params, label=label, **options)


def approx_top_k(label, x, k, axis, is_max_k=True, recall=0.95, size=-1, aggregate=True):
    params = dict(
        k=k,
        reduction_dimension=axis,
        recall_target=recall,
        is_max_k=is_max_k,
        reduction_input_size_override=size,
        aggregate_to_topk=aggregate,
    )
    function = lax.approx_max_k if is_max_k else lax.approx_min_k
    oracle = lambda x: function(x, k, axis, recall, size, aggregate)
    return Sample(ops.approx_top_k, (x,), oracle, params, label=label)


keys = np.asarray([[1.0, 0.0, 1.0, 0.0], [2.0, 1.0, 1.0, 2.0], [0.0, 0.0, 0.0, 0.0]])
SAMPLES = [
    sort("float32", distinct(3, 4), dimension=1),
    sort("float64", distinct(5, dtype=float), is_stable=False),
    sort("int32", random(3, 4, dtype=np.int32)),
    sort("key-and-value", distinct(3, 4, dtype=float), random(3, 4, dtype=float), dimension=1),
    sort("integer-key", distinct(3, 4, dtype=float).argsort(1), random(3, 4, dtype=float), dimension=1),
    sort(
        "two-keys",
        keys,
        distinct(3, 4, dtype=float),
        random(3, 4, dtype=np.complex128),
        dimension=1,
        num_keys=2,
        finite_differences=False,
        why="keys that tie: a kink",
    ),
    sort("empty", np.zeros((2, 0)), np.zeros((2, 0)), dimension=1),
    top_k("float32", distinct(3, 4), 2, 1),
    top_k("float64", distinct(4, 2, dtype=float), 3, 0),
    top_k("int32", random(2, 4, dtype=np.int32), 2, 1),
    top_k("none", distinct(2, 3, dtype=float), 0, 1),
    top_k("empty", np.zeros((0, 3)), 2, 1),
    approx_top_k("float32", distinct(3, 4), 2, 1),
    approx_top_k("smallest", distinct(4, 2, dtype=float), 3, 0, is_max_k=False, recall=0.5),
    approx_top_k("not-aggregated", distinct(2, 6, dtype=float), 2, 1, size=10, aggregate=False),
]
