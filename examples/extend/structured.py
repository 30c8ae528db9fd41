"""A primitive with rules of its own: the product of two power series, cut off where the operands end.

Run it as `python examples/extend/structured.py`. It is bilinear, so its jvp is that of its family; transposed, it is
itself between two reversals; and a batch is a product along the last axis.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

import minijvp
import minijvp.numpy as mnp
from minijvp.extend import ArrayType, Axis, BilinearPrimitive, leading_axis


class SeriesProduct(BilinearPrimitive):
    """out[k] = sum of x[i] * y[k - i] for i <= k, along the last axis."""

    recomputable = "expensive"

    def impl(self, x: Any, y: Any) -> Any:
        n = x.shape[-1]
        shift = np.arange(n)[:, None] - np.arange(n)
        toeplitz = jnp.where(shift >= 0, y[..., np.maximum(shift, 0)], 0)
        return jnp.einsum("...ki,...i->...k", toeplitz, x)

    def type_rule(self, x: ArrayType, y: ArrayType) -> ArrayType:
        if x.ndim == 0 or x.shape != y.shape or x.dtype != y.dtype:
            raise minijvp.ArgumentError(
                f"series_product received {x!r} and {y!r}.",
                "Both are coefficients along the last axis, of one shape and dtype.",
                "Broadcast and convert the operands before.",
            )
        return ArrayType(x.shape, x.dtype)

    def transpose_x(self, ct: Any, x: ArrayType, y: Any) -> Any:
        return mnp.flip(self(mnp.flip(ct, -1), y), -1)

    def transpose_y(self, ct: Any, x: Any, y: ArrayType) -> Any:
        return self.transpose_x(ct, y, x)  # the product commutes

    def batch(self, axis: Axis, args: tuple, batched: tuple[bool, ...]) -> tuple[Any, bool]:
        return self(*[leading_axis(axis, x, b) for x, b in zip(args, batched, strict=True)]), True


series_product = SeriesProduct("series_product")


def main() -> None:
    x, y = mnp.array([1.0, 2.0, 0.5]), mnp.array([3.0, -1.0, 4.0])
    minijvp.check_primitive(series_product, [(x, y), (mnp.stack([x, y]), mnp.stack([y, y]))])
    print(f"(1 + 2z + z^2/2) (3 - z + 4z^2) = {series_product(x, y)}, up to z^2")

    def residual(inverse: Any) -> Any:
        return mnp.sum((series_product(y, inverse) - mnp.array([1.0, 0.0, 0.0])) ** 2)

    inverse = mnp.zeros(3)
    hessian = minijvp.hessian(residual)(inverse)  # constant, since the residual is quadratic
    inverse = inverse - mnp.linalg.solve(hessian, minijvp.grad(residual)(inverse))
    print(f"one step of Newton inverts the series: {series_product(y, inverse).round(4)}")
    print(f"a batch of products has the shape {minijvp.vmap(series_product, (0, None))(mnp.stack([x, y]), y).shape}")


if __name__ == "__main__":
    main()
