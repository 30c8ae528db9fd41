"""An elementwise primitive in one line: Lambert's W, the inverse of w * exp(w).

Run it as `python examples/extend/elementwise.py`.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

import minijvp
import minijvp.numpy as mnp
from minijvp.extend import Elementwise


def halley(x: Array) -> Array:
    """W(x) for x > -1/e, by eight steps of Halley's method from a start that suits both ends."""
    w = jnp.where(x < 3, x / (1 + jnp.abs(x)), jnp.log(jnp.maximum(x, 3)) - jnp.log(jnp.log(jnp.maximum(x, 3))))
    for _ in range(8):
        e = jnp.exp(w)
        f = w * e - x
        w = w - f / (e * (w + 1) - (w + 2) * f / (2 * w + 2))
    return w


# The function, and its derivative in each argument: (t, out, *args) -> tangent. That is all.
lambert_w = Elementwise("lambert_w", halley, lambda t, w, x: t * mnp.exp(-w) / (1 + w))


def main() -> None:
    minijvp.check_primitive(lambert_w, [(mnp.array([-0.2, 0.5, 1.0, 50.0]),)])
    print(f"W(1) = {lambert_w(1.0):.6f}, the number whose exponential is its inverse")
    print(f"W'(0) = {minijvp.grad(lambert_w)(0.0):.6f}, W''(0) = {minijvp.grad(minijvp.grad(lambert_w))(0.0):.6f}")
    slopes = minijvp.jit(minijvp.vmap(minijvp.grad(lambert_w)))(mnp.array([1.0, 2.0]))
    print(f"compiled slopes of a batch: {slopes}")
    print(minijvp.make_jaxpr(minijvp.grad(lambert_w))(1.0))


if __name__ == "__main__":
    main()
