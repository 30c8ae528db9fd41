"""Samples of minijvp.calls.callback."""

import jax
import numpy as np
from jax.experimental import io_callback as io_callback_by_jax

from minijvp.calls.callback import debug_callback, io_callback, pure_callback
from minijvp.core.types import ArrayType
from tests.samples import Sample, random


def two(n, m):
    """A function of NumPy that takes leading axes. Integers: floats would have a derivative."""
    n, m = np.asarray(n), np.asarray(m)
    return n * m[..., :1] + 1, n > m


LONG, BOOL = np.dtype(np.int64), np.dtype(bool)
TYPES = (ArrayType((3,), LONG), ArrayType((3,), BOOL))
STRUCTS = tuple(jax.ShapeDtypeStruct(t.shape, t.dtype) for t in TYPES)
INTEGERS = random(3, dtype=np.int64, high=9), random(1, dtype=np.int64, seed=1, high=9)


def pure(method):
    def oracle(n, m):
        return jax.pure_callback(two, STRUCTS, n, m)

    params = dict(callback=two, result_types=TYPES, vmap_method=method)
    return Sample(pure_callback, INTEGERS, oracle, params, label=method)


def io_oracle(n, m):
    return io_callback_by_jax(two, STRUCTS, n, m)


def look(*xs):
    assert [x.dtype for x in xs] == [float, int, int]


SAMPLES = [
    *map(pure, ("sequential", "expand_dims", "broadcast_all", "legacy_vectorized")),
    Sample(io_callback, INTEGERS, io_oracle, dict(callback=two, result_types=TYPES, ordered=False)),
    Sample(debug_callback, (random(2, dtype=float), *INTEGERS), lambda *xs: (), dict(callback=look, ordered=False)),
]
