"""Samples of minijvp.operations.casting."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from minijvp.operations import casting as ops
from tests.samples import Sample, random


def convert(x: Any, dtype: Any, **settings: Any) -> Sample:
    dtype = jnp.dtype(dtype)
    label = f"{jnp.asarray(x).dtype}-to-{dtype}"
    return Sample(
        ops.convert_element_type,
        (x,),
        lambda x: lax.convert_element_type(x, dtype),
        {"new_dtype": dtype, "weak_type": False},
        label=label,
        **settings,
    )


def bitcast(x: Any, dtype: Any, **settings: Any) -> Sample:
    dtype = jnp.dtype(dtype)
    return Sample(
        ops.bitcast_convert_type,
        (x,),
        lambda x: lax.bitcast_convert_type(x, dtype),
        {"new_dtype": dtype},
        label=f"{jnp.asarray(x).dtype}-to-{dtype}",
        **settings,
    )


rounded = {"finite_differences": False, "why": "The result is rounded more coarsely than the step of the differences."}
jumps = {"finite_differences": False, "why": "Truncation and bits jump."}
x = random(2, 3)

SAMPLES = [
    convert(x, float),
    convert(x.astype(float), np.float32, tolerance=2e-5, **rounded),
    convert(x, jnp.bfloat16, tolerance=5e-2),
    convert(jnp.asarray(x, jnp.bfloat16), np.float32),
    convert(random(3, dtype=np.int32), np.float32),
    convert(random(3, dtype=bool), float),
    convert(random(3, dtype=np.uint8), np.int32),
    convert(3 * x, np.int32),
    convert(x.astype(float), bool, **jumps),
    convert(x, np.complex64),
    convert(random(3, dtype=np.complex64), np.complex128),
    convert(random(3, dtype=np.int32), np.complex64),
    Sample(
        ops.convert_element_type,
        (random(3, dtype=np.complex128),),
        lambda z: lax.convert_element_type(lax.real(z), np.float64),
        {"new_dtype": np.dtype(np.float64)},
        label="complex128-to-float64",
    ),
    Sample(
        ops.convert_element_type,
        (random(3, dtype=np.complex64),),
        lambda z: lax.convert_element_type(lax.real(z), np.int32),
        {"new_dtype": np.dtype(np.int32)},
        label="complex64-to-int32",
        **jumps,
    ),
    Sample(
        ops.convert_element_type,
        (2.5,),
        lambda x: lax.full((), x, np.float32),
        {"new_dtype": np.dtype(np.float32)},
        label="literal-to-float32",
    ),
    Sample(
        ops.convert_element_type,
        (x,),
        lambda x: lax.convert_element_type_p.bind(x, new_dtype=np.dtype(float), weak_type=True, sharding=None),
        {"new_dtype": np.dtype(float), "weak_type": True},
        label="float32-to-weak-float64",
    ),
    bitcast(x, np.int32),
    bitcast(random(2, 3, dtype=np.int32), np.float32),
    bitcast(random(3, dtype=float), np.float32, **jumps),
    bitcast(random(3, 4, dtype=np.uint8), np.uint32),
]
