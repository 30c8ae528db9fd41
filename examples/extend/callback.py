"""A primitive over a callback: Bessel functions of integer order, computed by SciPy on the host.

Run it as `python examples/extend/callback.py`. `impl` is a call out of the compiled program, jax.pure_callback; what
the rules need besides is one identity, J_n' = (J_(n-1) - J_(n+1)) / 2, by which every derivative is a call again.
A compiled function of C++ takes the place of SciPy in the same way, by jax.ffi.ffi_call.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import scipy.special

import minijvp
import minijvp.numpy as mnp
from minijvp.extend import Elementwise, Sample


def on_the_host(x: Any, *, n: int) -> Any:
    """J_n(x) by SciPy."""
    result = jax.ShapeDtypeStruct(x.shape, x.dtype)
    function = lambda x: scipy.special.jv(n, np.asarray(x)).astype(x.dtype)
    return jax.pure_callback(function, result, x, vmap_method="expand_dims")


bessel = Elementwise("bessel", on_the_host, lambda t, out, x, *, n: t * (bessel(x, n=n - 1) - bessel(x, n=n + 1)) / 2)
bessel.recomputable = "expensive"  # a rematerialisation repeats it only if memory is scarce


def main() -> None:
    x = mnp.array([0.5, 1.5, 4.0])
    samples = [Sample(bessel, (x,), params={"n": n}) for n in (0, 3)]
    minijvp.check_primitive(bessel, samples)
    print(f"J_0(0.5) = {bessel(x, n=0)[0]:.6f}")
    j0 = lambda x: bessel(x, n=0)
    # Bessel's equation, x^2 J'' + x J' + x^2 J = 0, in a compiled program of a batch of second derivatives.
    first, second = minijvp.grad(j0), minijvp.grad(minijvp.grad(j0))
    residual = minijvp.jit(minijvp.vmap(lambda x: x**2 * second(x) + x * first(x) + x**2 * j0(x)))(x)
    np.testing.assert_allclose(residual, 0, atol=1e-5)
    print("Bessel's equation holds")


if __name__ == "__main__":
    main()
