"""Samples of minijvp.control_flow.reduce."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from minijvp.control_flow.reduce import reduce, reduce_windows
from minijvp.core.types import ArrayType
from minijvp.operations import elementwise as ops
from minijvp.operations.families import add
from minijvp.transforms.staging import stage
from tests.samples import Sample, distinct, random
from tests.samples.windows import CROPPED, DILATED, PADDED, PLAIN


def of(label: str, ours: Any, theirs: Any, xs: tuple, starts: tuple, *dimensions: int, **more: Any) -> Sample:
    """A reduction by `ours`, judged by one by `theirs`; both take two lists of numbers."""
    n = len(xs)
    types = [ArrayType((), np.dtype(x.dtype)) for x in xs]
    jaxpr = stage(lambda *v: ours(v[:n], v[n:]), types * 2, "")

    def oracle(*args: Any) -> Any:
        given = tuple(jnp.asarray(s, x.dtype) for x, s in zip(args[:n], args[n:], strict=True))
        return lax.reduce(args[:n], given, theirs, dimensions)

    return Sample(reduce, (*xs, *starts), oracle, {"jaxpr": jaxpr, "dimensions": dimensions}, label=label, **more)


def windows(label: str, ours: Any, theirs: Any, xs: tuple, starts: tuple, params: dict, **more: Any) -> Sample:
    """The same over windows."""
    n = len(xs)
    types = [ArrayType((), np.dtype(x.dtype)) for x in xs]
    jaxpr = stage(lambda *v: ours(v[:n], v[n:]), types * 2, "")

    def oracle(*args: Any) -> Any:
        given = tuple(jnp.asarray(s, x.dtype) for x, s in zip(args[:n], args[n:], strict=True))
        return lax.reduce_window(args[:n], given, theirs, **params)

    why = "JAX has it forwards only"
    return Sample(
        reduce_windows,
        (*xs, *starts),
        oracle,
        dict(params, jaxpr=jaxpr),
        label=label,
        jax_derivative=False,
        why=why,
        **more,
    )


ONE = {"jax_derivative": False, "why": "JAX fails where one operand alone has a tangent"}
STARTS = {"jax_derivative": False, "why": "JAX does not differentiate in initial values"}
plus = (lambda x, y: [add(x[0], ops.mul(y[0], add(x[0], 1.0)))], lambda x, y: (x[0] + y[0] + x[0] * y[0],))
extremes = (
    lambda x, y: [ops.min_(x[0], y[0]), ops.max_(x[1], y[1])],
    lambda x, y: (jnp.minimum(x[0], y[0]), jnp.maximum(x[1], y[1])),
)
x = random(3, 5, dtype=float, low=-0.5, high=0.5)

SAMPLES = [
    of("float64", *plus, (x,), (0.0,), 1),
    of("float32", *plus, (x.astype(np.float32),), (0.0,), 0, 1),
    of("initial-array", *plus, (random(2, 3, 4, dtype=float),), (np.float64(0.25),), 2, 0, **STARTS),
    of("complex64", *plus, (random(4, dtype=np.complex64),), (0,), 0),
    of("int32", *plus, (random(2, 3, dtype=np.int32),), (0,), 1),
    of("empty", *plus, (np.zeros((2, 0)),), (0.0,), 1, jax_derivative=False, why="JAX fails"),
    windows("float64", *plus, (x,), (0.0,), PLAIN),
    windows("padded", *plus, (x.astype(np.float32),), (0.0,), PADDED),
    windows("dilated", *plus, (random(4, 3, dtype=float),), (0.0,), DILATED),
    windows("cropped", *plus, (random(5, dtype=float),), (0.0,), CROPPED),
    windows("initial-array", *plus, (random(2, 3, dtype=float),), (np.float64(0.25),), PLAIN),
    windows("int32", *plus, (random(2, 3, dtype=np.int32),), (0,), PLAIN),
    windows(
        "extremes", *extremes, (distinct(3, 4, dtype=float), distinct(3, 4, dtype=float)), (np.inf, -np.inf), PADDED
    ),
    of("extremes", *extremes, (distinct(3, 4, dtype=float), distinct(3, 4, dtype=float)), (np.inf, -np.inf), 0, **ONE),
]
