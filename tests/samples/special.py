"""Samples of minijvp.operations.special."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from minijvp.operations import special as ops
from minijvp.operations.incomplete_gamma import igamma_ratio
from tests.samples import Sample, random

F32, F64 = np.float32, np.float64
SECOND = {"jax_derivative": False, "why": "JAX has no second derivative in a"}
NONE = {"jax_derivative": False, "why": "JAX does not differentiate it"}
LOOP = {"jax_derivative": False, "why": "JAX has no reverse mode for its loop"}


def unary(primitive: Any, low: float = -2.0, high: float = 2.0) -> list[Sample]:
    """A sample in both precisions."""
    function = getattr(lax, primitive.name)
    return [Sample(primitive, (random(3, 2, dtype=d, low=low, high=high),), function) for d in (F32, F64)]


def bessel_difference(x: Any) -> Any:
    return lax.bessel_i0e(x) - lax.bessel_i1e(abs(x))


def of(label: str, primitive: Any, *args: Any, function: Any = None, **more: Any) -> Sample:
    """A sample whose Python scalars the oracle takes for full arrays."""
    function = function or getattr(lax, primitive.name)
    args = tuple(np.array(x) if isinstance(x, list) else x for x in args)

    def oracle(*xs: Any) -> Any:
        last = xs[-1]
        return function(*(jnp.full(last.shape, x, last.dtype) if jnp.asarray(x).weak_type else x for x in xs))

    return Sample(primitive, args, oracle, label=label, **more)


def ratio(order: int) -> Any:
    """What igamma_ratio computes: mpmath judges it in tests/operations/test_accuracy.py."""
    return lambda a, x: igamma_ratio(a, x, order)


positive, other = random(3, 2, dtype=F64, low=0.3, high=3.0), random(3, 2, dtype=F64, low=0.5, high=4.0, seed=1)
fraction = random(3, 2, dtype=F64, low=0.1, high=0.9, seed=2)

SAMPLES = [
    *(
        Sample(ops.gaussian, (random(3, 2, dtype=d),), lambda x: jnp.exp(-x * x))
        for d in (F32, F64, jnp.bfloat16, np.float16)
    ),
    *unary(ops.erf),
    *unary(ops.erfc),
    *unary(ops.erf_inv, -0.9, 0.9),
    of("bfloat16", ops.erf, random(3, dtype=jnp.bfloat16)),
    *unary(ops.lgamma, 0.5, 3.0),
    *unary(ops.digamma, 0.5, 3.0),
    of("negative", ops.lgamma, [-1.5, -0.3, -2.6]),
    of("negative", ops.digamma, [-1.5, -0.3, -16.5], jax_derivative=False, why="JAX's polygamma has no reflection"),
    of("float64", ops.polygamma, 1.0, positive),
    of("float32", ops.polygamma, 2.0, positive.astype(F32)),
    of("float64", ops.zeta, 2.5, positive, **NONE),
    of("float32", ops.zeta, 3.0, positive.astype(F32), **NONE),
    *(
        s
        for p in (ops.igamma, ops.igammac)
        for s in (
            of("both", p, positive, other, **SECOND),
            of("float64", p, 1.5, other),
            of("float32", p, 0.7, other.astype(F32)),
        )
    ),
    of("large", ops.igammac, 20.0, [15.0, 20.0, 30.0]),
    of(
        "exponential-at-zero",
        ops.igamma,
        1.0,
        [0.0, 1.0],
        jax_derivative=False,
        finite_differences=False,
        why="JAX is nan there, and the left side is outside of the domain",
    ),
    of("float64", ops.igamma_grad_a, 1.5, other, **NONE),
    of("float32", ops.igamma_grad_a, 2.5, other.astype(F32), **NONE),
    of("both", ops.igamma_grad_a, positive, other, **NONE),
    *(
        of(f"{np.dtype(d)}-{n}", ops.igamma_ratio, 1.5, np.array(x, d), function=ratio(n), params={"order": n}, **LOOP)
        for n, x, d in ((2, [0.5, 3.0, 20.0], F64), (2, [0.5, 20.0], F32), (3, [1.0], F64))
    ),
    of("float64", ops.random_gamma_grad, 1.5, other, **LOOP),
    of("float32", ops.random_gamma_grad, 2.5, np.array([1.5], F32), **LOOP),
    of("float64", ops.regularized_incomplete_beta, 1.5, 2.5, fraction, function=lax.betainc),
    of("float32", ops.regularized_incomplete_beta, 0.5, 3.0, fraction.astype(F32), function=lax.betainc),
    of(
        "uniform",
        ops.regularized_incomplete_beta,
        1.0,
        1.0,
        [0.0, 0.5, 1.0],
        function=lax.betainc,
        jax_derivative=False,
        finite_differences=False,
        why="JAX is nan at the ends, and beyond lies no domain",
    ),
    *(
        of(f"{np.dtype(d)}", ops.bessel_difference, random(3, 2, dtype=d, low=-9, high=9), function=bessel_difference)
        for d in (F32, F64)
    ),
    *unary(ops.bessel_i0e),
    *unary(ops.bessel_i1e),
    of("zero", ops.bessel_i1e, [0.0, -1e-3], jax_derivative=False, why="JAX's second derivative at the kink is zero"),
    of("small", ops.bessel_i1e, [1e-20, -1e-20], jax_derivative=False, why="JAX takes the second derivative for zero"),
]
