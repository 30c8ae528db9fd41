"""Functions of jax.nn whose derivatives are exact in their tails, where those of JAX cancel."""

from __future__ import annotations

import math
from typing import Any

import jax.nn

import minijvp.numpy as mnp
from minijvp.core.types import Array, is_inexact, type_of
from minijvp.custom_rules.decorators import custom_jvp
from minijvp.interop.from_jax import from_jax
from minijvp.lax.shapes import stop_gradient
from minijvp.numpy.makers import both_arrays
from minijvp.numpy.promotion import array, normalize_axes, promote_pair
from minijvp.numpy.restated import restated, with_derivative
from minijvp.operations import elementwise, special
from minijvp.operations import softmax as operations

__all__ = ["gelu", "log_sigmoid", "log_softmax", "logsumexp", "mish", "soft_sign", "softmax", "softplus"]

BRIDGED = {f: from_jax(f) for f in (jax.nn.softmax, jax.nn.log_softmax, jax.nn.logsumexp, jax.nn.gelu)}
"""These as they are in JAX, for what is not stated anew: masks, complex numbers, axes of scalars."""


def is_plain(x: Array, where: Any) -> bool:
    """Whether it is an array of real floats, all of which count."""
    return where is None and type_of(x).ndim > 0 and is_inexact(x.dtype) and not elementwise.is_complex(x)


def normalized(original: Any, operation: Any) -> Any:
    """softmax or its logarithm along one or more axes, by an operation of ours."""
    name = original.__name__

    def function(x: Array, axis: Any = -1, where: Any = None) -> Array:
        x = array(x, name)
        if not is_plain(x, where):
            return BRIDGED[original](x, axis, where)
        return operation(x, axes=normalize_axes(axis, x.ndim, name))

    return restated(jax.nn, name)(function)


softmax = normalized(jax.nn.softmax, operations.softmax)
log_softmax = normalized(jax.nn.log_softmax, operations.log_softmax)


@restated(jax.nn, "logsumexp")
def logsumexp(
    a: Array, axis: Any = None, b: Any = None, keepdims: bool = False, return_sign: bool = False, where: Any = None
) -> Any:
    """log(sum(b exp(a))) along one or more axes; its derivative in b is right where b is 0, too."""
    x = array(a, "logsumexp")
    if b is not None:
        x, b = both_arrays(*promote_pair("logsumexp", x, b, inexact=True))
    if not is_plain(x, where) or (b is None and return_sign):
        return BRIDGED[jax.nn.logsumexp](a, axis, b, keepdims, return_sign, where)
    if b is None:
        axes = normalize_axes(axis, x.ndim, "logsumexp")
        out = operations.logsumexp(x, axes=axes)
        return mnp.expand_dims(out, axes) if keepdims else out
    # The largest term sets the scale. Those that count for nothing may be infinite by that, and are flat in x.
    counts = mnp.where(b != 0, x, -math.inf)
    shift = stop_gradient(mnp.max(counts, axis, keepdims=True, initial=None if x.size else -math.inf))
    shift = mnp.where(mnp.isfinite(shift), shift, 0)
    x = mnp.where(b != 0, x, stop_gradient(x))
    total = mnp.sum(elementwise.absorbing_mul(b, mnp.exp(x - shift)), axis, keepdims=keepdims)
    out, sign = mnp.log(mnp.abs(total)) + mnp.reshape(shift, mnp.shape(total)), mnp.sign(total)
    return (out, sign) if return_sign else mnp.where(sign < 0, math.nan, out)


@restated(jax.nn, "softplus")
def softplus(x: Array) -> Array:
    """log(1 + exp(x))."""
    return mnp.logaddexp(x, 0)


@restated(jax.nn, "log_sigmoid")
def log_sigmoid(x: Array) -> Array:
    """-log(1 + exp(-x))."""
    return -softplus(-array(x, "log_sigmoid"))


@restated(jax.nn, "mish")
def mish(x: Array) -> Array:
    """x tanh(softplus(x))."""
    x = array(x, "mish")
    return x * mnp.tanh(softplus(x))


def normal_density(x: Array) -> Array:
    """exp(-x**2 / 2) / sqrt(2 pi), of real floats: x / 2 is exact."""
    return special.gaussian(x * 0.5) ** 2 * (1 / math.sqrt(2 * math.pi))


_exact_gelu = custom_jvp(lambda x: BRIDGED[jax.nn.gelu](x, approximate=False))
_exact_gelu.defjvps(lambda t, out, x: t * (special.erfc(x * -math.sqrt(0.5)) * 0.5 + x * normal_density(x)))


@restated(jax.nn, "gelu")
def gelu(x: Array, approximate: bool = True) -> Array:
    """x times the normal distribution function at x, or, approximately, 0.5 x (1 + tanh(...))."""
    x = array(x, "gelu")
    return _exact_gelu(x) if not approximate and is_inexact(x.dtype) else BRIDGED[jax.nn.gelu](x, approximate)


soft_sign = with_derivative(jax.nn, "soft_sign", lambda x: 1 / mnp.square(1 + mnp.abs(x)))
