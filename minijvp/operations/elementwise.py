"""The elementwise primitives: name, function, and the tangent for each argument."""

from __future__ import annotations

from typing import Any

from jax import lax

from minijvp.core.primitive import Primitive
from minijvp.core.types import ArrayType
from minijvp.operations.families import Elementwise, LinearElementwise, add, is_linear

__all__ = ["add", "cos", "mul", "neg", "sin", "sub"]


class Multiply(Elementwise):
    """The product. Bilinear."""

    def transpose(self, ct: Any, x: Any, y: Any) -> Any:
        return (mul(ct, y), None) if is_linear(x) else (None, mul(x, ct))


mul = Multiply("mul", lax.mul, lambda t, out, x, y: mul(t, y), lambda t, out, x, y: mul(x, t))
neg = LinearElementwise("neg", lax.neg, derivatives=[lambda t, out, x: neg(t)], transposes=[lambda ct, x: neg(ct)])
sub = LinearElementwise(
    "sub",
    lax.sub,
    derivatives=[lambda t, out, x, y: t, lambda t, out, x, y: neg(t)],
    transposes=[lambda ct, x, y: ct, lambda ct, x, y: neg(ct)],
)
sin = Elementwise("sin", lax.sin, lambda t, out, x: mul(t, cos(x)))
cos = Elementwise("cos", lax.cos, lambda t, out, x: neg(mul(t, sin(x))))
