"""Polynomials that fit data, by our least squares, and products and quotients without leading zeros."""

from __future__ import annotations

from operator import index
from typing import Any

import jax.numpy as jnp
import numpy as np

from minijvp.core.types import Array
from minijvp.errors import ArgumentError
from minijvp.interop.from_jax import from_jax
from minijvp.numpy.contractions import outer
from minijvp.numpy.least_squares import least_squares, lstsq
from minijvp.numpy.linalg import inv
from minijvp.numpy.promotion import promote, shape_values
from minijvp.numpy.reductions import sum as sum_of
from minijvp.numpy.restated import restated
from minijvp.numpy.selection import trim_zeros
from minijvp.numpy.ufuncs import sqrt, square

__all__ = ["polydiv", "polyfit", "polymul"]

vander = from_jax(jnp.vander)
bridged_polymul, bridged_polydiv = from_jax(jnp.polymul), from_jax(jnp.polydiv)


@restated(jnp, "polymul")
def polymul(a1: Array, a2: Array, *, trim_leading_zeros: bool = False) -> Array:
    """The coefficients of the product of two polynomials. Raises ConcretizationError if unknown zeros are to go."""
    a1, a2 = promote("polymul", a1, a2, inexact=True)
    if trim_leading_zeros and max(len(a1), len(a2)) > 1:
        a1, a2 = trim_zeros(a1, "f"), trim_zeros(a2, "f")
    return bridged_polymul(a1, a2)


@restated(jnp, "polydiv")
def polydiv(u: Array, v: Array, *, trim_leading_zeros: bool = False) -> tuple[Any, Any]:
    """The coefficients of the quotient and the rest. Raises ConcretizationError if unknown zeros are to go."""
    quotient, rest = bridged_polydiv(u, v)
    if trim_leading_zeros:
        do = "Omit trim_leading_zeros: the rest has leading zeros then."
        kept = np.flatnonzero(np.abs(shape_values(rest, "polydiv", do)) >= np.sqrt(jnp.finfo(rest.dtype).eps))
        rest = rest[kept[0] :] if len(kept) else rest[:0]
    return quotient, rest


@restated(jnp, "polyfit")
def polyfit(
    x: Array, y: Array, deg: Any, rcond: Any = None, full: bool = False, w: Any = None, cov: bool | str = False
) -> Any:
    """The coefficients, from the highest power down, of the polynomial of degree `deg` that is nearest to points."""
    (x,), (y,), deg = promote("polyfit", x, inexact=True), promote("polyfit", y, inexact=True), index(deg)
    weights = None if w is None else promote("polyfit", w, inexact=True)[0]
    if deg < 0 or x.ndim != 1 or not x.size or y.ndim not in (1, 2) or len(y) != len(x):
        raise ArgumentError(
            f"minijvp.numpy.polyfit received x of shape {x.shape}, y of shape {y.shape} and deg={deg}.",
            "It fits a polynomial of a degree from 0 on to points: x is (M,), not empty, and y is (M,) or (M, K).",
            "Give x and y the same first axis.",
        )
    if weights is not None and weights.shape != x.shape:
        raise ArgumentError(
            f"minijvp.numpy.polyfit received weights of shape {weights.shape} for x of shape {x.shape}.",
            "There is one weight for each point.",
            "Give w the shape of x.",
        )
    columns = vander(x, deg + 1)
    if weights is not None:
        columns, y = columns * weights[:, None], y * (weights if y.ndim == 1 else weights[:, None])
    scale = sqrt(sum_of(square(columns), 0))  # columns of one length are better conditioned
    columns = columns / scale
    if rcond is None:
        rcond = len(x) * float(jnp.finfo(x.dtype).eps)
        columns, y = promote("polyfit", columns, y)
        c, rest, rank, s = least_squares(columns, y, rcond)
    else:
        c, rest, rank, s = lstsq(columns, y, rcond)
    c = (c.T / scale).T
    if full:
        return c, rest, rank, s, jnp.asarray(rcond)
    if not cov:
        return c
    covariance, factor = inv(columns.T @ columns) / outer(scale, scale), jnp.ones(())
    if cov != "unscaled":
        if len(x) <= deg + 1:
            raise ArgumentError(
                f"minijvp.numpy.polyfit received cov={cov!r} and {len(x)} points for {deg + 1} coefficients.",
                "The scale of the covariance is estimated from what the fit leaves, which is nothing.",
                'Give more points, a lower degree, or cov="unscaled".',
            )
        factor = rest / (len(x) - deg - 1)
    return c, covariance * factor if y.ndim == 1 else covariance[:, :, None] * factor
