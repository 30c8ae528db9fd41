"""Samples of minijvp.operations.shape."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from minijvp.operations import shape as ops
from tests.samples import Sample, random


def iota(dtype: Any, shape: tuple[int, ...], dimension: int) -> Sample:
    dtype = jnp.dtype(dtype)
    return Sample(
        ops.iota,
        (),
        lambda: lax.broadcasted_iota(dtype, shape, dimension),
        {"dtype": dtype, "shape": shape, "dimension": dimension},
        label=f"{dtype}-{dimension}",
    )


def transpose(x: Any, *permutation: int) -> Sample:
    return Sample(ops.transpose, (x,), lambda x: lax.transpose(x, permutation), {"permutation": permutation})


def split(x: Any, axis: int, *sizes: int) -> Sample:
    return Sample(ops.split, (x,), lambda x: lax.split(x, sizes, axis), {"sizes": sizes, "axis": axis})


def squeeze(x: Any, *dimensions: int) -> Sample:
    return Sample(ops.squeeze, (x,), lambda x: lax.squeeze(x, dimensions), {"dimensions": dimensions})


def concatenate(dimension: int, *xs: Any) -> Sample:
    return Sample(ops.concatenate, xs, lambda *xs: lax.concatenate(xs, dimension), {"dimension": dimension})


def rev(x: Any, *dimensions: int) -> Sample:
    return Sample(ops.rev, (x,), lambda x: lax.rev(x, dimensions), {"dimensions": dimensions})


SAMPLES = [
    split(random(3, 5), 1, 2, 0, 3),
    split(random(4, dtype=np.complex128), 0, 1, 3),
    split(random(4, 2, dtype=np.int32), 0, 4),
    iota(np.float32, (3,), 0),
    iota(np.int32, (2, 3), 1),
    iota(np.complex64, (2, 3), 0),
    transpose(random(2, 3, 4, dtype=float), 2, 0, 1),
    transpose(random(2, 3, 2, dtype=np.complex64), 1, 2, 0),
    transpose(random(2, 3, dtype=np.int32), 1, 0),
    squeeze(random(1, 3), 0),
    squeeze(random(2, 1, 3, 1, dtype=float), 1, 3),
    squeeze(random(1, dtype=np.complex64), 0),
    squeeze(random(1, 2, dtype=bool), 0),
    concatenate(0, random(2, 3), random(1, 3)),
    concatenate(1, random(2, 3, dtype=float), random(2, 0, dtype=float), random(2, 2, dtype=float)),
    concatenate(0, random(2, dtype=np.complex64), random(3, dtype=np.complex64)),
    concatenate(0, random(2, dtype=np.int32), random(3, dtype=np.int32), random(1, dtype=np.int32)),
    rev(random(2, 3, dtype=float), 0, 1),
    rev(random(2, 3, dtype=np.complex64), 1),
    rev(random(2, 3, dtype=np.int32), 0),
]
