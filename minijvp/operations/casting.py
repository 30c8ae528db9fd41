"""Changes of dtype."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import lax

from minijvp.core.primitive import Axis, Nondifferentiable
from minijvp.core.types import Array, ArrayType, is_inexact
from minijvp.operations.families import LinearPrimitive


class ConvertElementType(LinearPrimitive):
    """The operand in another dtype. From and to floating dtypes it is linear; integers have no tangent.

    Of complex numbers converted to others the real part remains.
    """

    recomputable = "free"

    def impl(self, x: Array, *, new_dtype: Any, weak_type: bool = False) -> Array:
        if jnp.iscomplexobj(x) and not jnp.issubdtype(new_dtype, jnp.complexfloating):
            x = lax.real(x)  # lax does the same, with a warning that cotangents of complex results do not deserve
        if weak_type:
            return lax.convert_element_type_p.bind(jnp.asarray(x), new_dtype=new_dtype, weak_type=True, sharding=None)
        return lax.convert_element_type(x, new_dtype)

    def type_rule(self, x: ArrayType, *, new_dtype: Any, weak_type: bool = False) -> ArrayType:
        return ArrayType(x.shape, new_dtype, weak_type)

    def jvp(self, primals: tuple, tangents: tuple, **params: Any) -> tuple[Any, Any]:
        if not is_inexact(params["new_dtype"]):
            return self(*primals, **params), None
        return super().jvp(primals, tangents, **params)

    def transpose(self, ct: Array, x: ArrayType, **params: Any) -> Array:
        return self(ct, new_dtype=x.dtype, weak_type=False)

    def batch(self, axis: Axis, args: tuple, batched: Any, **params: Any) -> tuple[Any, Any]:
        return self(*args, **params), True


class BitcastConvertType(Nondifferentiable):
    """The bits of the operand read as another dtype of the same or another width."""

    recomputable = "free"

    def impl(self, x: Array, *, new_dtype: Any) -> Array:
        return lax.bitcast_convert_type(x, new_dtype)

    def batch(self, axis: Axis, args: tuple, batched: Any, **params: Any) -> tuple[Any, Any]:
        return self(*args, **params), True


convert_element_type = ConvertElementType("convert_element_type")
bitcast_convert_type = BitcastConvertType("bitcast_convert_type")
