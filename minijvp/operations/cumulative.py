"""Cumulative operations: element i of the result combines elements 0 to i along one axis (i to the end in `reverse`).

Source of the doubling in the derivatives: W. D. Hillis and G. L. Steele, Data parallel algorithms, CACM 29(12), 1986.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from jax import lax

from minijvp.core.primitive import Axis, Primitive
from minijvp.core.types import Array, ArrayType, type_of
from minijvp.operations.elementwise import (
    complex_,
    div,
    eq,
    exp,
    full_like,
    gt,
    is_complex,
    is_finite,
    log,
    lt,
    max_,
    min_,
    mul,
    ne,
    real,
    select_n,
    sub,
)
from minijvp.operations.families import LinearPrimitive, add, zeros_like
from minijvp.operations.slicing import pad
from minijvp.operations.windows import start_of

Dual = tuple[Any, ...]
"""A value and its tangent, or what that is made of in the end."""


class Cumulative(Primitive):
    """A cumulative operation along `axis`, in order or in `reverse`."""

    recomputable = "moderate"

    def __init__(self, name: str, function: Callable[..., Any]):
        super().__init__(name, f"Cumulative operation: see jax.lax.{name}.")
        self.function = function

    def impl(self, x: Array, *, axis: int, reverse: bool) -> Array:
        return self.function(x, axis, reverse)

    def type_rule(self, x: ArrayType, *, axis: int, reverse: bool) -> ArrayType:
        return x

    def batch(self, axis_of_batch: Axis, args: tuple, batched: Any, *, axis: int, reverse: bool) -> tuple[Any, Any]:
        return self(*args, axis=axis + 1, reverse=reverse), True


class CumulativeSum(Cumulative, LinearPrimitive):
    """The sum of the elements so far."""

    def transpose(self, ct: Array, x: ArrayType, *, axis: int, reverse: bool) -> Array:
        return self(ct, axis=axis, reverse=not reverse)


class CumulativeDual(Cumulative):
    """A cumulative operation whose tangent combines duals: `combine(earlier, later)`, from a neutral `start`."""

    own_derivative = True

    def __init__(self, name: str, function: Callable[..., Any], combine: Callable[[Dual, Dual], Dual], start: str):
        super().__init__(name, function)
        self.combine = combine
        self.start = start

    def jvp(self, primals: tuple, tangents: tuple, *, axis: int, reverse: bool) -> tuple[Any, Any]:
        (x,), (t,) = primals, tangents
        out = self(x, axis=axis, reverse=reverse)
        if t is None:
            return out, None
        shape, dtype = type_of(x).shape, type_of(x).dtype
        dual, step = self.dual(x, t), 1
        while step < shape[axis]:
            config = [(0, 0, 0)] * len(shape)
            config[axis] = (-step, step, 0) if reverse else (step, -step, 0)
            starts = [start_of(self.start, dtype), *[dtype.type(0) for _ in dual[1:]]]
            earlier = tuple([pad(v, start, padding_config=tuple(config)) for v, start in zip(dual, starts)])
            dual = self.combine(earlier, dual)
            step *= 2
        return out, self.tangent(dual)

    def dual(self, x: Array, t: Array) -> Dual:
        return x, t

    def tangent(self, dual: Dual) -> Array:
        return dual[1]


class CumulativeExtremum(CumulativeDual):
    """The largest or smallest element so far. Those that tie for it share the tangent equally, as in a reduction.

    A dual has the sum of their tangents, and how many they are.
    """

    def dual(self, x: Array, t: Array) -> Dual:
        return x, t, full_like(x, 1.0)

    def tangent(self, dual: Dual) -> Array:
        out, total, count = dual
        return div(total, select_n(ne(out, out), count, full_like(count, np.nan)))  # what is nan has no tangent


def dual_of(primitive: Primitive) -> Callable[[Dual, Dual], Dual]:
    """A binary primitive on duals."""
    return lambda earlier, later: primitive.jvp((earlier[0], later[0]), (earlier[1], later[1]))


def extremum_dual(primitive: Primitive, exceeds: Primitive) -> Callable[[Dual, Dual], Dual]:
    """An extremum of duals, where `exceeds` compares values: of those that tie, sums and counts add up."""

    def combine(earlier: Dual, later: Dual) -> Dual:
        (x, *parts), (y, *others) = earlier, later
        tie, first = eq(x, y), exceeds(x, y)
        chosen = [select_n(tie, select_n(first, b, a), add(a, b)) for a, b in zip(parts, others, strict=True)]
        return primitive(x, y), *chosen

    return combine


def logaddexp_dual(earlier: Dual, later: Dual) -> Dual:
    """log(exp x + exp y), whose tangent is the mean of theirs, weighted by exp x and exp y."""
    (x, t_x), (y, t_y) = earlier, later
    shift = max_(*(real(v) if is_complex(v) else v for v in (x, y)))
    # exp(-inf - -inf) would be nan.
    shift = select_n(is_finite(shift), zeros_like(shift), shift)
    shift = complex_(shift, zeros_like(shift)) if is_complex(x) else shift
    w_x, w_y = exp(sub(x, shift)), exp(sub(y, shift))
    total = add(w_x, w_y)
    weighted = add(mul(t_x, w_x), mul(t_y, w_y))
    divisor = select_n(eq(total, 0.0), total, add(total, 1.0))
    return add(log(total), shift), div(weighted, divisor)


cumsum = CumulativeSum("cumsum", lax.cumsum)
cumprod = CumulativeDual("cumprod", lax.cumprod, dual_of(mul), "mul")
cummax = CumulativeExtremum("cummax", lax.cummax, extremum_dual(max_, gt), "max")
cummin = CumulativeExtremum("cummin", lax.cummin, extremum_dual(min_, lt), "min")
cumlogsumexp = CumulativeDual("cumlogsumexp", lax.cumlogsumexp, logaddexp_dual, "max")
