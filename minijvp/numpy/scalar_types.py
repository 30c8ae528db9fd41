"""The dtypes of jax.numpy, which are functions too: float32(x) is x as an array of that dtype, tracers too."""

from __future__ import annotations

from functools import cache
from typing import Any

import jax.numpy as jnp

from minijvp.core.types import Array
from minijvp.numpy.creation import asarray

__all__ = [
    "bfloat16",
    "bool_",
    "complex64",
    "complex128",
    "float16",
    "float32",
    "float64",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
]

ScalarMeta: Any = type(jnp.float32)


class ScalarFunction(ScalarMeta):
    """The class of such a dtype. Each is equal to that of jax.numpy, and hashes alike."""

    def __call__(self, x: Any) -> Array:
        return asarray(x, dtype=self.dtype)


@cache
def scalar_function(original: Any) -> Any:
    """A dtype of jax.numpy that takes tracers: the same one for all its names."""
    attributes = {"dtype": original.dtype, "__doc__": original.__doc__, "__module__": "minijvp.numpy"}
    return ScalarFunction(original.__name__, (object,), attributes)


def replace_scalar_types(namespace: dict[str, Any]) -> None:
    """Put the dtypes that take tracers in the place of those of jax.numpy."""
    for name, value in namespace.items():
        if type(value) is ScalarMeta:
            namespace[name] = scalar_function(value)


bfloat16 = scalar_function(jnp.bfloat16)
bool_ = scalar_function(jnp.bool_)
complex64 = scalar_function(jnp.complex64)
complex128 = scalar_function(jnp.complex128)
float16 = scalar_function(jnp.float16)
float32 = scalar_function(jnp.float32)
float64 = scalar_function(jnp.float64)
int8 = scalar_function(jnp.int8)
int16 = scalar_function(jnp.int16)
int32 = scalar_function(jnp.int32)
int64 = scalar_function(jnp.int64)
uint8 = scalar_function(jnp.uint8)
uint16 = scalar_function(jnp.uint16)
uint32 = scalar_function(jnp.uint32)
uint64 = scalar_function(jnp.uint64)
