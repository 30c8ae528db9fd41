"""Cumulative operations: element i of the result combines elements 0 to i along one axis (i to the end in `reverse`).

Source of the doubling in the derivatives: W. D. Hillis and G. L. Steele, Data parallel algorithms, CACM 29(12), 1986.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jax import lax

from minijvp.core.primitive import Axis, Primitive
from minijvp.core.types import ArrayType, type_of
from minijvp.operations.elementwise import (
    complex_,
    div,
    eq,
    exp,
    is_complex,
    is_finite,
    log,
    max_,
    min_,
    mul,
    real,
    select_n,
    sub,
)
from minijvp.operations.families import LinearPrimitive, add, zeros_like
from minijvp.operations.slicing import pad
from minijvp.operations.windows import start_of

Dual = tuple[Any, Any]


class Cumulative(Primitive):
    """A cumulative operation along `axis`, in order or in `reverse`."""

    recomputable = "fair"

    def __init__(self, name: str, function: Callable[..., Any]):
        super().__init__(name, f"Cumulative operation: see jax.lax.{name}.")
        self.function = function

    def impl(self, x: Any, *, axis: int, reverse: bool) -> Any:
        return self.function(x, axis, reverse)

    def type_rule(self, x: ArrayType, *, axis: int, reverse: bool) -> ArrayType:
        return x

    def batch(self, axis_of_batch: Axis, args: tuple, batched: Any, *, axis: int, reverse: bool) -> tuple[Any, Any]:
        return self(*args, axis=axis + 1, reverse=reverse), True


class CumulativeSum(Cumulative, LinearPrimitive):
    """The sum of the elements so far."""

    def transpose(self, ct: Any, x: ArrayType, *, axis: int, reverse: bool) -> Any:
        return self(ct, axis=axis, reverse=not reverse)


class CumulativeDual(Cumulative):
    """A cumulative operation whose tangent combines duals: `combine(earlier, later)`, from a neutral `start`."""

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
        step = 1
        while step < shape[axis]:
            config = [(0, 0, 0)] * len(shape)
            config[axis] = (-step, step, 0) if reverse else (step, -step, 0)
            earlier = (
                pad(x, start_of(self.start, dtype), padding_config=tuple(config)),
                pad(t, dtype.type(0), padding_config=tuple(config)),
            )
            x, t = self.combine(earlier, (x, t))
            step *= 2
        return out, t


def dual_of(primitive: Primitive) -> Callable[[Dual, Dual], Dual]:
    """A binary primitive on duals."""
    return lambda earlier, later: primitive.jvp((earlier[0], later[0]), (earlier[1], later[1]))


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
cummax = CumulativeDual("cummax", lax.cummax, dual_of(max_), "max")
cummin = CumulativeDual("cummin", lax.cummin, dual_of(min_), "min")
cumlogsumexp = CumulativeDual("cumlogsumexp", lax.cumlogsumexp, logaddexp_dual, "max")
