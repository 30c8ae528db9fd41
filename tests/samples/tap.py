"""Samples of minijvp.calls.tap."""

from jax.tree_util import tree_structure

from minijvp.calls.tap import add_zero, tap_primitive
from minijvp.core.types import type_of
from minijvp.transforms.staging import stage
from tests.samples import Sample, random

X, Y, N = random(3, dtype=float), random(2, 3, dtype="complex64", seed=1), random(2, dtype="int32", seed=2)
EDIT = stage(lambda factor, ct: [ct * factor], [type_of(X), type_of(X)], "edit")


def tap(*args, name="x", bwd=None, **options):
    n = len(args) - (bwd is not None)
    params = dict(name=name, tree=tree_structure((0,) * n), bwd=bwd)
    return Sample(tap_primitive, args, lambda *xs: xs[:n], params, **options)


SAMPLES = [
    tap(X),
    tap(X, Y, N),
    tap(X, 2 * X, bwd=EDIT, label="edited", differentiable=False, why="Forward mode refuses edits; see test_tap.py."),
    Sample(add_zero, (X, 0 * X), lambda x, zero: x + zero),
    Sample(add_zero, (Y, 0 * Y), lambda x, zero: x + zero, label="complex"),
]
