"""Reductions by a function of the user: an associative one, such as the smaller and the larger of pairs."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from jax import lax

from minijvp.core.jaxpr import Jaxpr, evaluate, lower
from minijvp.core.primitive import Axis
from minijvp.core.program_primitive import ProgramPrimitive
from minijvp.core.types import PYTHON_SCALARS, Array, ArrayType, Axes, Params, ScalarType, type_of
from minijvp.errors import ArgumentError
from minijvp.operations.casting import convert_element_type
from minijvp.operations.elementwise import select_n
from minijvp.operations.families import all_batched, broadcast_in_dim, leading_axis, reshape, shifted
from minijvp.operations.reduction import joined, require_axes
from minijvp.operations.shape import concatenate
from minijvp.operations.slicing import slice as static_slice
from minijvp.operations.windows import cropped, window_shape, window_slices, with_batch_axis
from minijvp.transforms.jvp import jvp_flat
from minijvp.transforms.vmap import vmap_jaxpr


class Reduction(ProgramPrimitive):
    """A reduction by a program of two numbers of each operand, which gives one: it is applied to elements."""

    body = ""
    helpers = ("jaxpr",)
    has_steps = True
    recomputable = "moderate"
    own_derivative = True


class Reduce(Reduction):
    """The operands, reduced together over `dimensions` by `jaxpr`, beginning with as many initial values.

    `jaxpr` takes a number of each operand, and then another, and gives one of each; it must be associative. The order
    is that of the compiler, which may use the initial values more than once: they must be neutral.
    """

    # Beside the derivative of JAX, initial values are omitted, and tangents that are zero stop it.

    def impl(self, *args: Array, jaxpr: Jaxpr, dimensions: Axes) -> Any:
        n = len(args) // 2
        starts = tuple([lax.convert_element_type(s, x.dtype) for x, s in zip(args[:n], args[n:], strict=True)])
        return tuple(lax.reduce(args[:n], starts, lambda x, y: tuple(lower(jaxpr, *x, *y)), dimensions))

    def type_rule(self, *types: ArrayType, jaxpr: Jaxpr, dimensions: Axes) -> tuple[ArrayType, ...]:
        operands = require_fitting(self.name, types, jaxpr)
        for x in operands:
            require_axes(self.name, x, dimensions)
        shape = tuple([m for d, m in enumerate(operands[0].shape) if d not in dimensions])
        return tuple([ArrayType(shape, x.dtype) for x in operands])

    def jvp(self, primals: tuple, tangents: tuple, *, jaxpr: Jaxpr, dimensions: Axes) -> tuple[tuple, tuple]:
        if all(t is None for t in tangents):
            return self(*primals, jaxpr=jaxpr, dimensions=dimensions), (None,) * len(jaxpr.outputs)
        outs, ts = jvp_flat(lambda *args: reduce_in_halves(args, jaxpr, dimensions), primals, tangents)
        return tuple(outs), tuple(ts)

    def batch(
        self, axis: Axis, args: tuple, batched: tuple[bool, ...], *, jaxpr: Jaxpr, dimensions: Axes
    ) -> tuple[Any, Any]:
        n = len(args) // 2
        dimensions = shifted(dimensions)
        args = (*all_batched(axis, args[:n], batched[:n]), *args[n:])
        if not any(batched[n:]):
            return self(*args, jaxpr=jaxpr, dimensions=dimensions), (True,) * n
        return tuple(reduce_in_halves(args, jaxpr, dimensions)), (True,) * n


class ReduceWindows(Reduction):
    """The operands, each window over them reduced together by `jaxpr`, beginning with as many initial values.

    `jaxpr` is as that of `reduce`, and initial values are neutral too: they are the elements of the padding.
    """

    # JAX has no derivative backwards, nor for initial values.

    def impl(self, *args: Array, jaxpr: Jaxpr, **params: Any) -> Any:
        n = len(args) // 2
        starts = [lax.convert_element_type(s, x.dtype) for x, s in zip(args[:n], args[n:], strict=True)]
        found = [cropped(x, s, **params) for x, s in zip(args[:n], starts, strict=True)]
        combine = lambda x, y: tuple(lower(jaxpr, *x, *y))
        return lax.reduce_window(tuple([x for x, _ in found]), tuple(starts), combine, **found[0][1])

    def type_rule(self, *types: ArrayType, jaxpr: Jaxpr, **params: Any) -> tuple[ArrayType, ...]:
        operands = require_fitting(self.name, types, jaxpr)
        return tuple([ArrayType(window_shape(x, **params), x.dtype) for x in operands])

    def jvp(self, primals: tuple, tangents: tuple, *, jaxpr: Jaxpr, **params: Any) -> tuple[tuple, tuple]:
        if all(t is None for t in tangents):
            return self(*primals, jaxpr=jaxpr, **params), (None,) * len(jaxpr.outputs)
        outs, ts = jvp_flat(lambda *args: reduce_by_places(args, jaxpr, params), primals, tangents)
        return tuple(outs), tuple(ts)

    def batch(
        self, axis: Axis, args: tuple, batched: tuple[bool, ...], *, jaxpr: Jaxpr, **params: Any
    ) -> tuple[Any, Any]:
        n, params = len(args) // 2, with_batch_axis(params)
        args = (*all_batched(axis, args[:n], batched[:n]), *args[n:])
        if not any(batched[n:]):
            return self(*args, jaxpr=jaxpr, **params), (True,) * n
        return tuple(reduce_by_places(args, jaxpr, params)), (True,) * n


def require_fitting(name: str, types: Sequence[ArrayType], jaxpr: Jaxpr) -> Sequence[ArrayType]:
    """The types of the operands of a reduction. Raises ArgumentError if they, and what goes with them, do not fit."""
    n = len(types) // 2
    operands, starts = types[:n], types[n:]
    fits = [
        x.shape == operands[0].shape and s.shape == () and (type(s) is ScalarType or s.dtype == x.dtype)
        for x, s in zip(operands, starts, strict=False)
    ]
    if len(types) != 2 * n or not n or not all(fits) or len(jaxpr.inputs) != 2 * n or len(jaxpr.outputs) != n:
        raise ArgumentError(
            f"{name} of {', '.join(map(repr, operands))} from {', '.join(map(repr, starts))}, by a function of "
            f"{len(jaxpr.inputs)} numbers with {len(jaxpr.outputs)} results.",
            "Operands have one shape, each has an initial value of its dtype without axes, and the function takes "
            "two numbers of each and gives one.",
        )
    return operands


def reduce_by_places(args: Sequence[Any], jaxpr: Jaxpr, params: Params) -> list[Any]:
    """What `reduce_windows` gives, by elementwise operations: the elements at one place in all windows after another.

    An initial value may have the first of the axes, along which nothing slides.
    """
    n = len(args) // 2
    xs, starts, pieces = args[:n], [], []
    shape = window_shape(type_of(xs[0]), **params)
    for x, start in zip(xs, args[n:], strict=True):
        dtype = type_of(x).dtype
        starts.append(initial(start, dtype, shape))
        if not type_of(start).shape:
            pieces.append(window_slices(x, initial(start, dtype, ()), **params))
            continue
        inside = window_slices(np.ones(type_of(x).shape, bool), np.False_, **params)
        found = window_slices(x, dtype.type(0), **params)
        pieces.append([select_n(known, starts[-1], piece) for known, piece in zip(inside, found, strict=True)])
    outs = starts
    for place in zip(*pieces, strict=True):
        outs = each(jaxpr, [*outs, *place])
    return outs


def reduce_in_halves(args: Sequence[Any], jaxpr: Jaxpr, dimensions: Axes) -> list[Any]:
    """What `reduce` gives, by elementwise operations: one half is combined with the other, until one element is left.

    An initial value may have the first of the axes that remain.
    """
    n = len(args) // 2
    xs = [joined(x, dimensions) for x in args[:n]]
    *kept, size = type_of(xs[0]).shape
    starts = [initial(start, type_of(x).dtype, (*kept, 1)) for x, start in zip(xs, args[n:], strict=True)]
    while size > 1:
        half = size // 2
        pairs = [part(x, 0, half) for x in xs], [part(x, half, 2 * half) for x in xs]
        combined = each(jaxpr, [*pairs[0], *pairs[1]])
        rest = [[part(x, 2 * half, size)] if size % 2 else [] for x in xs]
        xs = [concatenate(x, *r, dimension=len(kept)) if r else x for x, r in zip(combined, rest, strict=True)]
        size -= half
    outs = each(jaxpr, [*starts, *xs]) if size else starts
    return [reshape(x, new_sizes=tuple(kept)) for x in outs]


def initial(start: Array, dtype: Any, shape: tuple[int, ...]) -> Array:
    """An initial value as an array of this dtype and shape; its own axes are the first."""
    if type(start) in PYTHON_SCALARS:
        start = dtype.type(start)
    elif type_of(start) != ArrayType(type_of(start).shape, dtype):
        start = convert_element_type(start, new_dtype=dtype, weak_type=False)
    return broadcast_in_dim(start, shape=shape, broadcast_dimensions=tuple(range(len(type_of(start).shape))))


def part(x: Array, start: int, limit: int) -> Array:
    """The elements of x from `start` to before `limit` along the last axis."""
    shape = type_of(x).shape
    starts = (0,) * (len(shape) - 1) + (start,)
    return static_slice(x, start_indices=starts, limit_indices=(*shape[:-1], limit), strides=None)


def each(jaxpr: Jaxpr, operands: Sequence[Any], shape: tuple[int, ...] | None = None) -> list[Any]:
    """A function of numbers applied to each of the numbers in arrays of one shape; constants may come first."""
    shape = type_of(operands[0]).shape if shape is None else shape
    axis = Axis(prod(shape))
    flags = tuple([type_of(x).shape != t.shape for x, t in zip(operands, jaxpr.in_types, strict=True)])
    program, batched = vmap_jaxpr(jaxpr, axis, flags)
    flat = [reshape(x, new_sizes=(axis.size,)) if flag else x for x, flag in zip(operands, flags, strict=True)]
    outs = evaluate(program, *flat)
    return [reshape(leading_axis(axis, x, b), new_sizes=shape) for x, b in zip(outs, batched, strict=True)]


reduce = Reduce("reduce")
reduce_windows = ReduceWindows("reduce_windows")
