"""Samples of minijvp.operations.gather."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from minijvp.operations import gather as ops
from minijvp.operations.scatter_mul import scatter_mul
from tests.samples import Sample, distinct, random

DROP, CLIP, PROMISE = (
    lax.GatherScatterMode.FILL_OR_DROP,
    lax.GatherScatterMode.CLIP,
    lax.GatherScatterMode.PROMISE_IN_BOUNDS,
)
SCATTERS = {
    ops.scatter: lax.scatter,
    ops.scatter_add: lax.scatter_add,
    ops.scatter_sub: lax.scatter_sub,
    scatter_mul: lax.scatter_mul,
    ops.scatter_min: lax.scatter_min,
    ops.scatter_max: lax.scatter_max,
}


class Place:
    """Dimension numbers, for reading (`gather`) and for writing (`scatter`), and the sizes of the slices."""

    def __init__(self, window: tuple, dropped: tuple, axes: tuple, sizes: tuple, batching: tuple = ((), ())):
        names = ("offset_dims", "collapsed_slice_dims", "start_index_map", "operand_batching_dims")
        last = "start_indices_batching_dims"
        self.gather = lax.GatherDimensionNumbers(
            **dict(zip((*names, last), (window, dropped, axes, *batching), strict=True))
        )
        self.scatter = lax.ScatterDimensionNumbers(window, dropped, axes, *batching)
        self.sizes = sizes


# In the comments, i and j are columns of the indices.
ROW = Place((1,), (0,), (0,), (1, 3))  # x[i] of shape (n, 3)
ELEMENT = Place((), (0,), (0,), (1,))  # x[i] of a vector
PAIR = Place((), (0, 1), (0, 1), (1, 1))  # x[i, j]
CROSSED = Place((), (0, 1), (1, 0), (1, 1))  # x[j, i]
COLUMN = Place((0,), (1,), (1,), (4, 1))  # x[:, i] of shape (4, n)
WINDOW = Place((1,), (), (0,), (2,))  # x[i : i + 2] of a vector
BLOCK = Place((0, 2), (), (0, 1), (2, 2))  # x[i : i + 2, j : j + 2], with the axis of the indices in the middle
ALONG = Place((), (1,), (1,), (1, 1), ((0,), (0,)))  # x[b, i[b, k]]
ALONG_FIRST = Place((1,), (0,), (0,), (1, 1, 2), ((1,), (1,)))  # x[i[k, b], b, :]


def index(*rows: Any, dtype: Any = np.int32) -> np.ndarray:
    """Indices with their last axis: one column, unless the rows are tuples."""
    x = np.array(rows, dtype)
    return x[:, None] if x.ndim == 1 else x


def read(label: str, x: Any, indices: Any, place: Place, mode: Any = DROP, **flags: Any) -> Sample:
    flags = {"indices_are_sorted": False, "unique_indices": False, "fill_value": None, **flags, "mode": mode}
    return Sample(
        ops.gather,
        (x, indices),
        lambda x, i: lax.gather(x, i, place.gather, place.sizes, **flags),
        dict(dimension_numbers=place.gather, slice_sizes=place.sizes, **flags),
        label=label,
    )


def write(
    primitive: Any, label: str, x: Any, indices: Any, updates: Any, place: Place, mode: Any = DROP, **settings: Any
) -> Sample:
    flags = {k: settings.pop(k, False) for k in ("indices_are_sorted", "unique_indices")} | {"mode": mode}
    return Sample(
        primitive,
        (x, indices, updates),
        lambda x, i, u: SCATTERS[primitive](x, i, u, place.scatter, **flags),
        dict(dimension_numbers=place.scatter, **flags),
        label=label,
        **settings,
    )


unique = {"unique_indices": True}
f64 = {"dtype": float}
along = np.array([[[0], [2]], [[1], [0]]], np.int32)
along_first = np.array([[[0], [2]], [[1], [1]], [[2], [0]]], np.int32)

SAMPLES = [
    read("row", random(4, 3), index(2, 0, 2), ROW),
    read("row-dropped", random(4, 3, **f64), index(1, 7, -1), ROW, fill_value=7),
    read("row-filled-with-nan", random(4, 3), index(1, 7, 3), ROW),
    read("row-clipped", random(4, 3, **f64), index(1, 7, -2), ROW, CLIP),
    read(
        "row-promised", random(4, 3, **f64), index(0, 1, 3), ROW, PROMISE, unique_indices=True, indices_are_sorted=True
    ),
    read("row-complex64", random(4, 3, dtype=np.complex64), index(2, 9, 2), ROW, fill_value=0),
    read("weak", jnp.full((3,), 1.5), index(2, 0), ELEMENT),
    read("row-bool", random(4, 3, dtype=bool), index(2, 0, dtype=np.uint8), ROW),
    read("row-bfloat16", jnp.asarray(random(4, 3), jnp.bfloat16), index(2, 0, 2, 2), ROW),
    read("one-row", random(4, 3), np.array([2], np.int64), Place((0,), (0,), (0,), (1, 3))),
    read("no-rows", random(4, 3, **f64), np.zeros((0, 1), np.int32), ROW),
    read("no-rows-of-none", np.zeros((0, 3)), np.zeros((0, 1), np.int32), ROW, CLIP),
    read("pair", random(3, 4, **f64), index((1, 2), (0, 1), (1, 2)), PAIR),
    read("pair-crossed", random(3, 4, **f64), index((2, 1), (0, 1), (2, 3)), CROSSED, CLIP),
    read("column", random(4, 5), index(4, 0, 0), COLUMN),
    read("window", random(5, **f64), index(0, 3, 4), WINDOW, CLIP),
    read("window-dropped", random(5, **f64), index(0, 3, 4), WINDOW, fill_value=0),
    read("block", random(4, 5, **f64), index((0, 1), (2, 3), (1, 1)), BLOCK, PROMISE),
    read("along-axis", random(2, 3, **f64), along, ALONG, PROMISE),
    read("along-axis-dropped", random(2, 3), 2 * along, ALONG, fill_value=-1),
    read("along-first-axis", random(3, 2, 2, **f64), along_first, ALONG_FIRST, CLIP),
]

ALL = (ops.scatter, ops.scatter_add, ops.scatter_sub, ops.scatter_min, ops.scatter_max)
x, u = distinct(4, 3, **f64), 0.9 * distinct(3, 3, seed=1, **f64)
wrong = {
    "jax_derivative": False,
    "why": "JAX 0.10 reads back another place than it wrote: NaN, and tangents that lost.",
}

SAMPLES += [write(primitive, "repeated-rows", x, index(2, 0, 2), u, ROW) for primitive in ALL]
for primitive in (ops.scatter, ops.scatter_add, ops.scatter_max):
    SAMPLES += [
        write(primitive, "dropped-rows", x, index(1, 7, -1), u, ROW),
        write(primitive, "along-axis", distinct(2, 3, **f64), along, 0.9 * distinct(2, 2, **f64), ALONG, PROMISE),
    ]
for primitive in (ops.scatter, ops.scatter_sub, ops.scatter_min):
    settings = wrong if primitive is ops.scatter_min else {}
    SAMPLES.append(write(primitive, "clipped-rows", x, index(7, 0, -2), u, ROW, CLIP, **settings))
for primitive in (ops.scatter, ops.scatter_add):
    SAMPLES.append(write(primitive, "windows", distinct(5, **f64), index(0, 3, 1), 0.9 * distinct(3, 2, **f64), WINDOW))
for primitive in (ops.scatter, scatter_mul):
    SAMPLES += [
        write(primitive, "unique-rows", x, index(2, 0, 9), u, ROW, **unique),
        write(primitive, "unique-columns", random(4, 5), index(2, 0), random(4, 2), COLUMN, PROMISE, **unique),
        write(primitive, "unique-pairs", x, index((2, 1), (0, 1)), u[0, :2], PAIR, CLIP, **unique),
    ]
for primitive in (ops.scatter_add, scatter_mul, ops.scatter_max):
    whole = {"dtype": np.int32}
    SAMPLES.append(write(primitive, "int32", random(4, **whole), index(2, 0, 2), random(3, seed=1, **whole), ELEMENT))

c64 = {"dtype": np.complex64}
ties = np.float32([1, 2, 3]), index(0, 1, 1), np.float32([1, 2, 2]), ELEMENT
SAMPLES += [
    write(ops.scatter, "complex64", random(4, **c64), index(2, 0, 2), random(3, **c64), ELEMENT),
    write(ops.scatter_add, "complex64", random(4, 3, **c64), index(2, 0, 2), random(3, 3, **c64), ROW),
    write(scatter_mul, "complex64", random(4, **c64), index(2, 0), random(2, **c64), ELEMENT, **unique),
    write(scatter_mul, "along-axis", x[:2], along, u[:2, :2], ALONG, **unique),
    write(ops.scatter_add, "blocks", random(4, 5, **f64), index((0, 1), (2, 3)), random(2, 2, 2, **f64), BLOCK),
    write(
        ops.scatter_add, "along-first-axis", x[:3, :2, None] + np.ones(2), along_first, np.ones((3, 2, 2)), ALONG_FIRST
    ),
    write(ops.scatter_add, "no-rows", x, np.zeros((0, 1), np.int32), np.zeros((0, 3)), ROW),
    write(ops.scatter_add, "weak", jnp.full(3, 1.5), index(0, 1, 1), np.ones(3), ELEMENT),
    write(ops.scatter_min, "ties", *ties),
    write(ops.scatter_max, "ties", *ties),
]
