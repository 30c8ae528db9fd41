"""Samples of minijvp.operations.bitwise."""

import numpy as np
from jax import lax

from minijvp.operations import bitwise as ops
from tests.samples import Sample, random

INTEGERS = (np.int32, np.uint8)


def numbers(dtype: type, seed: int = 0, low: float = -100, high: float = 100) -> np.ndarray:
    return random(3, 2, dtype=dtype, seed=seed, low=low, high=high)


SAMPLES = [
    *(
        Sample(primitive, (numbers(dtype), numbers(dtype, 1)), function)
        for primitive, function in (
            (ops.bitwise_and, lax.bitwise_and),
            (ops.bitwise_or, lax.bitwise_or),
            (ops.bitwise_xor, lax.bitwise_xor),
        )
        for dtype in (*INTEGERS, bool)
    ),
    Sample(ops.bitwise_and, (numbers(np.int32), 6), lambda x, y: x & y, label="scalar"),
    *(Sample(ops.bitwise_not, (numbers(dtype),), lax.bitwise_not) for dtype in (*INTEGERS, bool)),
    *(
        Sample(primitive, (numbers(dtype), numbers(dtype, 1, 0, 7)), getattr(lax, primitive.name))
        for primitive in (ops.shift_left, ops.shift_right_arithmetic, ops.shift_right_logical)
        for dtype in INTEGERS
    ),
    Sample(ops.shift_left, (1, numbers(np.int32, 1, 0, 7)), lambda x, y: x << y, label="scalar"),
    *(
        Sample(primitive, (numbers(dtype),), getattr(lax, primitive.name))
        for primitive in (ops.population_count, ops.clz)
        for dtype in INTEGERS
    ),
    *(
        Sample(ops.mulhi, (numbers(d, 0, -(2**30), 2**30), numbers(d, 1, 0, 2**30)), lax.mulhi)
        for d in (np.int32, np.uint32)
    ),
]
