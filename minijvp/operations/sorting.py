"""Sorting: the tangents are permuted as the values are."""

from __future__ import annotations

from typing import Any

import numpy as np
from jax import lax

from minijvp.core.primitive import Axis, Primitive
from minijvp.core.types import Array, ArrayType, is_inexact, type_of
from minijvp.errors import ArgumentError
from minijvp.operations.alike import SplitAlike
from minijvp.operations.families import all_batched
from minijvp.operations.gather import take_along_axis
from minijvp.operations.shape import iota

INDEX = np.dtype(np.int32)


class Sort(SplitAlike):
    """The operands, permuted together along an axis so that the first `num_keys` of them are in lexicographic order."""

    recomputable = "moderate"

    def plain_impl(self, *xs: Array, dimension: int, is_stable: bool, num_keys: int) -> Any:
        return tuple(lax.sort(xs, dimension, is_stable, num_keys))

    def type_rule(self, *types: ArrayType, dimension: int, is_stable: bool, num_keys: int) -> tuple[ArrayType, ...]:
        if any(t.shape != types[0].shape for t in types) or not 0 <= dimension < types[0].ndim:
            raise ArgumentError(
                f"sort of {', '.join(map(repr, types))} along axis {dimension}.",
                "Operands that are sorted together have one shape, which has the axis.",
            )
        if not 1 <= num_keys <= len(types):
            raise ArgumentError(f"sort of {len(types)} operands by num_keys={num_keys} of them.")
        return types

    def jvp(self, primals: tuple, tangents: tuple, **params: Any) -> tuple[Any, Any]:
        if all(t is None for t in tangents):
            return self(*primals, **params), (None,) * len(primals)
        axis = params["dimension"]
        numbers = iota(dtype=INDEX, shape=tuple(type_of(primals[0]).shape), dimension=axis)
        *outs, order = self(*primals, numbers, **params)
        return tuple(outs), tuple([None if t is None else take_along_axis(t, order, axis) for t in tangents])

    def batch(self, axis: Axis, args: tuple, batched: tuple[bool, ...], **params: Any) -> tuple[Any, Any]:
        params = {**params, "dimension": params["dimension"] + 1}
        return self(*all_batched(axis, args, batched), **params), (True,) * len(args)


class TopK(Primitive):
    """The `k` largest elements along an axis, the largest first, and their indices."""

    recomputable = "moderate"

    def impl(self, x: Array, *, k: int, axis: int) -> Any:
        return tuple(lax.top_k(x, k, axis=axis))

    def type_rule(self, x: ArrayType, *, k: int, axis: int) -> tuple[ArrayType, ...]:
        if not 0 <= axis < x.ndim or not 0 <= k <= x.shape[axis] or x.dtype.kind == "c":
            raise ArgumentError(
                f"top_k of {x!r} with k={k} along axis {axis}.",
                "There must be such an axis, with k elements or more, and complex numbers have no order.",
            )
        shape = (*x.shape[:axis], k, *x.shape[axis + 1 :])
        return ArrayType(shape, x.dtype, x.weak_type), ArrayType(shape, INDEX, x.weak_type)

    def jvp(self, primals: tuple, tangents: tuple, *, k: int, axis: int) -> tuple[Any, Any]:
        out, indices = self(*primals, k=k, axis=axis)
        (t,) = tangents
        return (out, indices), (None if t is None else take_along_axis(t, indices, axis), None)

    def batch(self, axis_of_batch: Axis, args: tuple, batched: Any, *, k: int, axis: int) -> tuple[Any, Any]:
        return self(*args, k=k, axis=axis + 1), (True, True)


class ApproxTopK(Primitive):
    """About the `k` largest elements along an axis (the smallest, if not `is_max_k`), and their indices.

    The parameters are those of jax.lax.approx_max_k.
    """

    recomputable = "moderate"

    def impl(self, x: Array, *, k: int, reduction_dimension: int, is_max_k: bool, **params: Any) -> Any:
        function = lax.approx_max_k if is_max_k else lax.approx_min_k
        return tuple(function(x, k, reduction_dimension, **params))

    def type_rule(self, x: ArrayType, *, k: int, reduction_dimension: int, **params: Any) -> tuple[ArrayType, ...]:
        inside = 0 <= reduction_dimension < x.ndim
        if not is_real_float(x) or not inside or not 0 < k <= x.shape[reduction_dimension]:
            raise ArgumentError(
                f"approx_top_k of {x!r} with k={k} along axis {reduction_dimension}.",
                "The operand is of real floats, and there must be such an axis, counted from 0, with k elements or "
                "more, and k is not 0.",
            )
        # How many there are without aggregation, XLA knows.
        value, index = super().type_rule(x, k=k, reduction_dimension=reduction_dimension, **params)
        return ArrayType(value.shape, x.dtype, x.weak_type), ArrayType(index.shape, INDEX, x.weak_type)

    def jvp(self, primals: tuple, tangents: tuple, **params: Any) -> tuple[Any, Any]:
        out, indices = self(*primals, **params)
        (t,) = tangents
        tangent = None if t is None else take_along_axis(t, indices, params["reduction_dimension"])
        return (out, indices), (tangent, None)

    def batch(self, axis: Axis, args: tuple, batched: Any, **params: Any) -> tuple[Any, Any]:
        return self(*args, **{**params, "reduction_dimension": params["reduction_dimension"] + 1}), (True, True)


def is_real_float(x: ArrayType) -> bool:
    """Whether values of this type are real and floating."""
    return is_inexact(x.dtype) and x.dtype.kind != "c"


sort = Sort("sort")
top_k = TopK("top_k")
approx_top_k = ApproxTopK("approx_top_k")
