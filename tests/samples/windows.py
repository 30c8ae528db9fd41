"""Samples of minijvp.operations.windows."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from minijvp.operations import windows as ops
from tests.samples import Sample, distinct, random


def windows(
    size: Any, strides: Any = None, padding: Any = None, base: Any = None, dilation: Any = None
) -> dict[str, Any]:
    ones = (1,) * len(size)
    return {
        "window_dimensions": size,
        "window_strides": strides or ones,
        "padding": padding or ((0, 0),) * len(size),
        "base_dilation": base or ones,
        "window_dilation": dilation or ones,
    }


def pool(label: str, primitive: Any, x: Any, params: dict[str, Any], **options: Any) -> Sample:
    """A sample of a reduction, whose oracle is the primitive of jax.lax of the same name."""
    oracle = getattr(lax, f"{primitive.name}_p")
    return Sample(primitive, (x,), lambda x: oracle.bind(x, **params), params, label=label, **options)


def generic(label: str, computation: str, x: Any, start: Any, params: dict[str, Any], **options: Any) -> Sample:
    function = {"add": lax.add, "mul": lax.mul, "max": lax.max, "and": lax.bitwise_and}[computation]

    def oracle(x: Any, start: Any) -> Any:
        start = lax.convert_element_type(start, x.dtype)
        return lax.reduce_window(x, start, lambda a, b: function(a, b), *params.values())

    return Sample(ops.reduce_window, (x, start), oracle, dict(params, computation=computation), label=label, **options)


def select(label: str, primitive: Any, args: Any, select_prim: str, params: dict[str, Any], **options: Any) -> Sample:
    oracle, select = getattr(lax, f"{primitive.name}_p"), {"ge": lax.ge_p, "le": lax.le_p}[select_prim]
    return Sample(
        primitive,
        args,
        lambda *xs: oracle.bind(*xs, select_prim=select, **params),
        dict(params, select_prim=select_prim),
        label=label,
        **options,
    )


PLAIN = windows((2, 2), (2, 1))
PADDED = windows((2, 3), (1, 2), ((1, 0), (2, 1)))
CROPPED = windows((2,), (2,), ((-1, 1),), (2,))
DILATED = windows((2, 2), (1, 2), ((1, 1), (0, 1)), (1, 2), (2, 1))
SCATTERED = {name: PADDED[name] for name in ("window_dimensions", "window_strides", "padding")}
tied = np.asarray([[1.0, 1.0, 0.0, 2.0], [1.0, 0.0, 2.0, 2.0], [0.0, 0.0, 0.0, 0.0]])
TIES = {"finite_differences": False, "why": "windows with ties: a kink"}
JAX_REFUSES = {"jax_derivative": False, "why": "JAX has no transpose of it"}

SAMPLES = [
    pool("float32", ops.reduce_window_sum, random(4, 3), PLAIN),
    pool("padded", ops.reduce_window_sum, random(3, 4, dtype=float), PADDED),
    pool("cropped", ops.reduce_window_sum, random(5, dtype=float), CROPPED),
    Sample(
        ops.reduce_window_sum,
        (random(5, dtype=float),),
        lambda x: x[1:-1],
        windows((1,), padding=((-1, -1),)),
        label="crop-only",
    ),
    pool("dilated", ops.reduce_window_sum, random(4, 3, dtype=np.complex128), DILATED),
    pool("int32", ops.reduce_window_sum, random(4, 3, dtype=np.int32), PLAIN),
    pool("weak", ops.reduce_window_sum, lax.broadcast_in_dim(jnp.asarray(1.5), (3, 2), ()), PLAIN),
    pool("rank0", ops.reduce_window_sum, np.float64(2.0), windows(())),
    pool("none", ops.reduce_window_sum, random(2, dtype=float), windows((3,))),
    pool("float32", ops.reduce_window_max, distinct(4, 3), PLAIN),
    pool("padded", ops.reduce_window_max, distinct(3, 4, dtype=float), PADDED),
    pool("cropped", ops.reduce_window_max, distinct(5, dtype=float), CROPPED, **JAX_REFUSES),
    pool("dilated-base", ops.reduce_window_max, distinct(4, 3, dtype=float), dict(PADDED, base_dilation=(2, 1))),
    pool("dilated", ops.reduce_window_max, distinct(4, 3, dtype=float), DILATED, **JAX_REFUSES),
    pool("ties", ops.reduce_window_max, tied, PLAIN, **TIES),
    pool("uint8", ops.reduce_window_max, random(4, 3, dtype=np.uint8), PADDED),
    pool("float32", ops.reduce_window_min, distinct(4, 3), PADDED),
    pool("float64", ops.reduce_window_min, distinct(4, 3, dtype=float), PLAIN),
    pool("bool", ops.reduce_window_min, random(4, 3, dtype=bool), PADDED),
    generic("mul", "mul", random(3, 4, dtype=float), 1.0, PADDED, **JAX_REFUSES),
    generic("mul-from", "mul", random(4, 3), np.float32(0.5), PLAIN, **JAX_REFUSES),
    generic("max-from", "max", distinct(4, 3, dtype=float), np.float64(0.0), DILATED, **JAX_REFUSES),
    generic("add-from", "add", random(5, dtype=np.complex128), np.complex128(2j), CROPPED, **JAX_REFUSES),
    generic("and", "and", random(4, dtype=np.int32, low=0, high=16), np.int32(-1), windows((2,))),
    select("padded", ops.select_and_gather_add, (random(3, 4, dtype=float), distinct(3, 4, dtype=float)), "ge", PADDED),
    select("float32", ops.select_and_gather_add, (random(4, 3), distinct(4, 3)), "le", PLAIN),
    select(
        "padded", ops.select_and_scatter_add, (random(3, 3, dtype=float), distinct(3, 4, dtype=float)), "ge", SCATTERED
    ),
    select("float32", ops.select_and_scatter_add, (random(3, 3), distinct(3, 4)), "le", SCATTERED),
]
