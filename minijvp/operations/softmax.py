"""The softmax of real numbers along axes, its logarithm, and the logarithm of the sum of exponentials.

Their derivatives are made of differences t - sum(y t), where y is the softmax. Where one y is close to 1 these cancel;
`center` takes the differences from the tangent of that one instead, and 1 - y as the sum of the others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax import lax

from minijvp.core.primitive import Axis, Primitive
from minijvp.core.types import Array, ArrayType, Axes, type_of
from minijvp.errors import ArgumentError
from minijvp.operations.elementwise import exp, mul, neg
from minijvp.operations.families import (
    LinearPrimitive,
    add_tangents,
    all_batched,
    broadcast_in_dim,
    reduce_sum,
    shifted,
)
from minijvp.operations.reduction import Reduction, require_axes


def require_real(name: str, x: ArrayType, axes: Axes) -> None:
    """Raise ArgumentError unless these are axes of an array of real floats."""
    require_axes(name, x, axes)
    if x.dtype.kind != "f" and x.dtype.name != "bfloat16":
        raise ArgumentError(f"{name} of {x!r}.", "It works on real floats.", "Convert the operand: x.astype(float).")


class Center(LinearPrimitive):
    """t - sum(y t) along `axes`, linear in t, where the y are not negative and add up to 1. Adjoint: t - y sum(t)."""

    recomputable = "moderate"
    own_derivative = True  # JAX's, of a reduction of several operands, stops at the first tangent that is zero

    def impl(self, t: Array, y: Array, *, axes: Axes, adjoint: bool) -> Array:
        dtype = t.dtype
        if dtype.itemsize < 4:
            t, y = lax.convert_element_type(t, np.float32), lax.convert_element_type(y, np.float32)
        zero, zeros = t.dtype.type(0), lax.full_like(t, 0)
        large = lax.gt(y, y.dtype.type(0.5))
        rest = lax.select(large, zeros, y)
        parts = (t, lax.select(large, zeros, t)) if adjoint else (lax.select(large, t, zeros), lax.mul(rest, t))
        # One pass over the operands, for three reductions.
        plus = lambda sums, terms: tuple([lax.add(a, b) for a, b in zip(sums, terms)])
        sums = lax.reduce((*parts, rest), (zero,) * 3, plus, axes)
        first, second, complement = [lax.broadcast_in_dim(s, t.shape, _kept(t.ndim, axes)) for s in sums]
        if adjoint:
            at_large = lax.sub(lax.mul(complement, t), lax.mul(y, second))
            out = lax.select(large, at_large, lax.sub(t, lax.mul(y, first)))
        else:
            out = lax.sub(lax.sub(t, first), lax.sub(second, lax.mul(first, complement)))
        return lax.convert_element_type(out, dtype)

    def type_rule(self, t: ArrayType, y: ArrayType, *, axes: Axes, adjoint: bool) -> ArrayType:
        require_real(self.name, t, axes)
        if (t.shape, t.dtype) != (y.shape, y.dtype):
            raise ArgumentError(f"center of {t!r} by {y!r}.", "Both have the same shape and dtype.")
        return ArrayType(t.shape, t.dtype)

    def jvp(self, primals: tuple, tangents: tuple, *, axes: Axes, adjoint: bool) -> tuple[Any, Any]:
        (t, y), (t_t, t_y) = primals, tangents
        out = self(t, y, axes=axes, adjoint=adjoint)
        tangent = None if t_t is None else self(t_t, y, axes=axes, adjoint=adjoint)
        if t_y is not None:
            by_y = mul(t_y, _sum(t, axes)) if adjoint else _sum(mul(t_y, t), axes)
            tangent = add_tangents(tangent, neg(by_y))
        return out, tangent

    def taylor(self, primals: tuple, series: tuple, *, axes: Axes, adjoint: bool) -> tuple[Any, Any]:
        (t, y), (s_t, s_y) = primals, series

        def find(k: int) -> Any:
            found = None if s_t is None or s_t[k] is None else self(s_t[k], y, axes=axes, adjoint=adjoint)
            by_y = None
            for j in range(k):
                part = None if s_y is None else s_y[k - j]
                other = s_t[j] if s_t is not None else t if j == 0 else None
                if part is not None and other is not None:
                    by_y = add_tangents(by_y, mul(part, _sum(other, axes) if adjoint else other))
            if by_y is None:
                return found
            return add_tangents(found, neg(by_y if adjoint else _sum(by_y, axes)))

        return self(t, y, axes=axes, adjoint=adjoint), find

    def transpose(self, ct: Array, t: Any, y: Array, *, axes: Axes, adjoint: bool) -> Any:
        return self(ct, y, axes=axes, adjoint=not adjoint), None

    def batch(self, axis: Axis, args: tuple, batched: tuple[bool, ...], *, axes: Axes, adjoint: bool) -> Any:
        return self(*all_batched(axis, args, batched), axes=shifted(axes), adjoint=adjoint), True


def _kept(ndim: int, axes: Axes) -> Axes:
    return tuple([d for d in range(ndim) if d not in axes])


def _sum(x: Array, axes: Axes) -> Array:
    """The sums along axes, in the shape of x."""
    shape = type_of(x).shape
    return broadcast_in_dim(reduce_sum(x, axes=axes), shape=shape, broadcast_dimensions=_kept(len(shape), axes))


class Softmax(Primitive):
    """exp(x) / sum(exp(x)) along `axes`."""

    own_derivative = True
    recomputable = "moderate"

    def __init__(self, name: str, function: Callable[..., Any], doc: str | None = None):
        super().__init__(name, doc)
        self.function = function

    def impl(self, x: Array, *, axes: Axes) -> Array:
        return self.function(x, axes)

    def type_rule(self, x: ArrayType, *, axes: Axes) -> ArrayType:
        require_real(self.name, x, axes)
        return ArrayType(x.shape, x.dtype)

    def jvp(self, primals: tuple, tangents: tuple, *, axes: Axes) -> tuple[Any, Any]:
        out = self(*primals, axes=axes)
        return out, None if tangents[0] is None else mul(out, center(tangents[0], out, axes=axes, adjoint=False))

    def batch(self, axis: Axis, args: tuple, batched: tuple[bool, ...], *, axes: Axes) -> tuple[Any, Any]:
        return self(*args, axes=shifted(axes)), True


class LogSoftmax(Softmax):
    """The logarithm of the softmax along `axes`."""

    def jvp(self, primals: tuple, tangents: tuple, *, axes: Axes) -> tuple[Any, Any]:
        out = self(*primals, axes=axes)
        return out, None if tangents[0] is None else center(tangents[0], exp(out), axes=axes, adjoint=False)


class LogSumExp(Reduction):
    """The logarithm of the sum of the exponentials along `axes`, which disappear."""

    own_derivative = True

    def type_rule(self, x: ArrayType, *, axes: Axes) -> ArrayType:
        require_real(self.name, x, axes)
        return super().type_rule(ArrayType(x.shape, x.dtype), axes=axes)

    def jvp(self, primals: tuple, tangents: tuple, *, axes: Axes) -> tuple[Any, Any]:
        out, (x,), (t,) = self(*primals, axes=axes), primals, tangents
        return out, None if t is None else reduce_sum(mul(tied_softmax(x, axes=axes), t), axes=axes)


def _exponentials(x: Array, axes: Axes) -> tuple[Any, Any, Any]:
    """The largest elements, the exponentials of what the others differ by, and their sums; infinities can tie."""
    x = lax.convert_element_type(x, x.dtype)  # the results are strongly typed
    largest = lax.reduce_max(x, axes)
    spread = lax.broadcast_in_dim(largest, x.shape, _kept(x.ndim, axes))
    terms = lax.exp(lax.select(lax.eq(x, spread), lax.full_like(x, 0), lax.sub(x, spread)))
    return largest, terms, lax.reduce_sum(terms, axes)


def _tied_softmax(x: Array, axes: Axes) -> Array:
    _, terms, total = _exponentials(x, axes)
    return lax.div(terms, lax.broadcast_in_dim(total, x.shape, _kept(x.ndim, axes)))


def _logsumexp(x: Array, axes: Axes) -> Array:
    largest, _, total = _exponentials(x, axes)
    return lax.add(lax.log(total), largest)


center = Center("center")
softmax = Softmax("softmax", jax.nn.softmax)
tied_softmax = Softmax("tied_softmax", _tied_softmax, "The softmax, in which infinities that tie have equal parts.")
log_softmax = LogSoftmax("log_softmax", jax.nn.log_softmax)
logsumexp = LogSumExp("logsumexp", _logsumexp)
