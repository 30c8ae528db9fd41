"""Samples of minijvp.control_flow.scatter_apply."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from minijvp.control_flow.scatter_apply import scatter_apply
from minijvp.core.types import ArrayType
from minijvp.operations import elementwise as ops
from minijvp.transforms.staging import stage
from tests.samples import Sample, random
from tests.samples.gather import ALONG, BLOCK, CLIP, DROP, ELEMENT, PROMISE, ROW, WINDOW, along, index


def of(label: str, function: Any, x: Any, indices: Any, place: Any, shape: tuple, mode: Any = DROP, **flags: Any):
    """`function(api, v)` applied at places; `api` is lax, or our operations of the same names."""
    flags = {"indices_are_sorted": False, "unique_indices": False, "mode": mode, **flags}
    jaxpr = stage(lambda v: [function(ops, v)], [ArrayType((), np.dtype(x.dtype))], "")
    return Sample(
        scatter_apply,
        (x, indices),
        lambda x, i: lax.scatter_apply(x, i, lambda v: function(lax, v), place.scatter, update_shape=shape, **flags),
        {"jaxpr": jaxpr, "dimension_numbers": place.scatter, "update_shape": shape, **flags},
        label=label,
        jax_derivative=False,
        why="JAX does not differentiate it",
    )


def growing(api: Any, v: Any) -> Any:
    return api.exp(api.sin(v))


def doubled(api: Any, v: Any) -> Any:
    return api.mul(v, v.dtype.type(2))


def rooted(api: Any, v: Any) -> Any:
    return api.sqrt(v)


f64 = {"dtype": float}
unique = {"unique_indices": True}
x = random(4, 3, **f64)
# The root of a negative number is nan, and its derivative at 0 infinite: neither may reach the other elements.
edge = np.array([4.0, 9.0, 16.0, 0.0])

SAMPLES = [
    of("repeated-rows", growing, x, index(2, 0, 2, 2), ROW, (4, 3)),
    of("repeated-float32", growing, random(5), index(1, 1, 4), ELEMENT, (3,)),
    of("dropped-rows", growing, x, index(1, 7, -1, 1), ROW, (4, 3)),
    of("dropped-at-an-edge", rooted, edge, index(1, 7, 1, 2), ELEMENT, (4,)),
    of("dropped-unique", rooted, edge, index(1, 7, 2), ELEMENT, (3,), **unique),
    of("all-dropped", growing, random(4, **f64), index(7, 7), ELEMENT, (2,)),
    of("clipped-rows", growing, x, index(7, 0, 3), ROW, (3, 3), CLIP),
    of("promised-rows", growing, x, index(1, 0, 1), ROW, (3, 3), PROMISE),
    of("unique-rows", growing, x, index(2, 0), ROW, (2, 3), PROMISE, **unique),
    of("windows", growing, random(5, **f64), index(0, 1, 3), WINDOW, (3, 2)),
    of("blocks", growing, random(4, 5, **f64), index((0, 1), (2, 3), (1, 1)), BLOCK, (2, 3, 2)),
    of("along-axis", growing, x[:2], along, ALONG, (2, 2)),
    of("complex64", growing, random(4, dtype=np.complex64), index(2, 0, 2), ELEMENT, (3,)),
    of("int32", doubled, random(4, dtype=np.int32), index(2, 0, 2), ELEMENT, (3,)),
    of("weak", growing, jnp.full(3, 1.5), index(0, 1, 1), ELEMENT, (3,)),
    of("no-rows", growing, x, np.zeros((0, 1), np.int32), ROW, (0, 3)),
]
