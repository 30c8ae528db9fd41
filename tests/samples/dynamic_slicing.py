"""Samples of minijvp.operations.dynamic_slicing."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from minijvp.operations import dynamic_slicing as ops
from tests.samples import Sample, random

int32 = np.int32


def int32s(starts: Any) -> list[Any]:
    """lax wants one dtype, also for Python scalars."""
    return [lax.convert_element_type(s, int32) for s in starts]


def read(label: str, x: Any, sizes: tuple[int, ...], *starts: Any, **how: bool) -> Sample:
    return Sample(
        ops.dynamic_slice,
        (x, *starts),
        lambda x, *starts: lax.dynamic_slice(x, int32s(starts), sizes, **how),
        {"slice_sizes": sizes, **how},
        label=label,
    )


def write(label: str, x: Any, update: Any, *starts: Any, **how: bool) -> Sample:
    return Sample(
        ops.dynamic_update_slice,
        (x, update, *starts),
        lambda x, update, *starts: lax.dynamic_update_slice(x, update, int32s(starts), **how),
        how,
        label=label,
    )


clamped = {"allow_negative_indices": False}


SAMPLES = [
    read("float32", random(5), (2,), int32(1)),
    read("beyond", random(4, 5, dtype=float), (2, 3), int32(3), int32(9)),
    read("negative", random(4, 5, dtype=float), (2, 3), int32(-4), int32(-1)),
    read("far-negative", random(5, dtype=float), (2,), np.int64(-9)),
    read("far-negative-int32", random(4, 5, dtype=float), (2, 3), int32(-6), int32(-7)),
    read("negative-clamped", random(4, 5, dtype=float), (2, 3), int32(-1), int32(1), **clamped),
    read("complex64", random(4, 3, dtype=np.complex64), (2, 3), int32(1), int32(0)),
    read("int32", random(5, dtype=int32), (2,), int32(1)),
    read("uint8-start", random(5), (2,), np.uint8(1)),
    read("literal-start", random(4, 5), (1, 2), int32(2), 1),
    read("no-axes", np.float64(1.5), ()),
    write("float32", random(5), random(2, seed=1), int32(1)),
    write("at-end", random(4, 5, dtype=float), random(2, 3, dtype=float), int32(2), int32(2)),
    write("beyond", random(4, 5, dtype=float), random(2, 3, dtype=float), int32(3), int32(9)),
    write("negative", random(4, 5, dtype=float), random(2, 3, dtype=float), int32(-4), int32(-1)),
    write("far-negative", random(4, 5, dtype=float), random(2, 3, dtype=float), int32(-6), int32(-7)),
    write("negative-clamped", random(4, 5, dtype=float), random(2, 3, dtype=float), int32(-1), int32(1), **clamped),
    write("complex64", random(4, dtype=np.complex64), random(2, dtype=np.complex64), int32(1)),
    write("int32", random(5, dtype=int32), random(2, dtype=int32), int32(1)),
    write("literal-start", jnp.full((3, 4), 1.5), jnp.full((1, 2), 2.5), int32(1), 2),
    write("no-axes", np.float64(1.5), np.float64(0.5)),
]
