"""Floating-point numbers as a fraction times a power of two: apart (frexp) and together (ldexp)."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from minijvp.core.primitive import Axis, Primitive
from minijvp.core.types import Array, ArrayType, ScalarType
from minijvp.errors import ArgumentError
from minijvp.operations.elementwise import neg
from minijvp.operations.families import LinearPrimitive, all_batched

EXPONENT = np.dtype(np.int32)
REAL_FLOATS = ("float16", "bfloat16", "float32", "float64")


class Frexp(Primitive):
    """The fraction, of size 1/2 to 1, and the exponent (int32) of each number. What is 0 or infinite stays itself."""

    def impl(self, x: Array) -> Any:
        return tuple(jnp.frexp(x))

    def type_rule(self, x: ArrayType) -> tuple[ArrayType, ...]:
        require_real(self.name, x)
        return ArrayType(x.shape, x.dtype), ArrayType(x.shape, EXPONENT)

    def jvp(self, primals: tuple, tangents: tuple) -> tuple[Any, Any]:
        out, exponent = self(*primals)
        return (out, exponent), (None if tangents[0] is None else ldexp(tangents[0], neg(exponent)), None)

    def batch(self, axis: Axis, args: tuple, batched: Any) -> tuple[Any, Any]:
        return self(*args), (True, True)


class Ldexp(LinearPrimitive):
    """Each number times 2 to the power of the integer beside it. Linear in the number."""

    def impl(self, x: Array, exponent: Array) -> Array:
        return jnp.ldexp(x, exponent)

    def type_rule(self, x: ArrayType, exponent: ArrayType) -> ArrayType:
        require_real(self.name, x)
        if exponent.dtype.kind not in "iu" or (exponent.shape != x.shape and type(exponent) is not ScalarType):
            raise ArgumentError(
                f"ldexp of {x!r} and {exponent!r}.",
                "The exponent is an integer, of the shape of the number.",
                "Broadcast one to the other.",
            )
        return ArrayType(x.shape, x.dtype)

    def transpose(self, ct: Array, x: ArrayType, exponent: Array) -> Any:
        return self(ct, exponent), None

    def batch(self, axis: Axis, args: tuple, batched: tuple[bool, ...]) -> tuple[Any, Any]:
        return self(*all_batched(axis, args, batched)), True


def require_real(name: str, x: ArrayType) -> None:
    """Raise ArgumentError for a type that is not one of real floats."""
    if str(x.dtype) not in REAL_FLOATS:
        raise ArgumentError(
            f"{name} of {x!r}.", f"It works on {', '.join(REAL_FLOATS)}.", "Convert the operand: x.astype(float)."
        )


frexp = Frexp("frexp")
ldexp = Ldexp("ldexp")
