"""Samples of minijvp.operations.slicing."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from minijvp.operations import slicing as ops
from tests.samples import Sample, random


def slice_of(x: Any, starts: tuple, limits: tuple, strides: tuple | None = None) -> Sample:
    return Sample(
        ops.slice,
        (x,),
        lambda x: lax.slice(x, starts, limits, strides),
        {"start_indices": starts, "limit_indices": limits, "strides": strides},
        label=f"{np.asarray(x).dtype}-{starts}-{limits}-{strides}".replace(" ", ""),
    )


def pad(label: str, x: Any, value: Any, *config: tuple[int, int, int]) -> Sample:
    def oracle(x: Any, value: Any) -> Any:
        if jnp.issubdtype(x.dtype, jnp.inexact):
            nothing = 0 * jnp.where(jnp.isfinite(value), value, 0)
            x = x + nothing  # JAX 0.10 fails to transpose pad where only the padding value is linear
        return lax.pad(x, value, config)

    return Sample(ops.pad, (x, value), oracle, {"padding_config": config}, label=label)


SAMPLES = [
    slice_of(random(5), (1,), (4,)),
    slice_of(random(5), (0,), (5,), (2,)),
    slice_of(random(4, 7, dtype=float), (1, 1), (4, 7), (2, 3)),
    slice_of(random(3, 4, dtype=float), (1, 2), (1, 4), None),
    slice_of(random(3, 4, dtype=np.complex64), (0, 1), (2, 4), (1, 2)),
    slice_of(random(5, dtype=np.int32), (2,), (5,), (2,)),
    pad("float32", random(3), np.float32(0.5), (1, 2, 0)),
    pad("float64-interior", random(2, 3, dtype=float), np.float64(0.5), (0, 1, 2), (2, 0, 1)),
    pad("negative", random(4, 3, dtype=float), np.float64(-1.5), (-1, -2, 0), (-1, 2, 0)),
    pad("negative-interior", random(4, 3, dtype=float), np.float64(-1.5), (-2, 1, 1), (1, -3, 2)),
    pad("complex64", random(3, dtype=np.complex64), np.complex64(1 + 2j), (1, -1, 1)),
    pad("int32", random(3, dtype=np.int32), np.int32(7), (1, 0, 1)),
    pad("weak", jnp.full((3,), 1.5), jnp.asarray(2.5), (1, 1, 0)),
    pad("bfloat16", jnp.asarray(random(3), jnp.bfloat16), jnp.asarray(0.5, jnp.bfloat16), (1, 1, 1)),
    pad("empty", np.zeros((0, 2)), np.float64(2.0), (1, 1, 3), (0, 0, 0)),
    Sample(
        ops.pad,
        (random(3), 0.5),
        lambda x, v: lax.pad(x, lax.convert_element_type(v, np.float32), ((1, 1, 0),)),
        {"padding_config": ((1, 1, 0),)},
        label="literal",
    ),
]
