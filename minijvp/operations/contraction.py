"""Contractions: products of two arrays, summed over the axes that they share.

The rules think in labels, as einsum does: an axis is a number, and axes that are multiplied together have the same one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import jax
import numpy as np
from jax import lax
from jax.sharding import NamedSharding, PartitionSpec

from minijvp.core.primitive import MULTIPLICATIONS_PER_BYTE, Axis, Primitive
from minijvp.core.types import Array, ArrayType, Params
from minijvp.dimensions import countable
from minijvp.errors import ArgumentError
from minijvp.operations.elementwise import convert_element_type, real
from minijvp.operations.families import BilinearPrimitive, all_batched, shifted
from minijvp.operations.shape import transpose
from minijvp.operations.sharding import number_of_devices
from minijvp.operations.splitting import split_as, split_batches
from minijvp.operations.together import products

Labels = tuple[int, ...]
Pairs = tuple[tuple[int, ...], tuple[int, ...]]
DimensionNumbers = tuple[Pairs, Pairs]

BATCH: Labels = (-1,)

HALVES_TO_FLOATS = frozenset({lax.DotAlgorithmPreset.F16_F16_F32, "F16_F16_F32"})
"""The precision by which numbers of 16 bits are multiplied and summed up as numbers of 32 bits."""


class DotGeneral(BilinearPrimitive):
    """The product of two arrays, summed over some common axes and kept along others.

    `dimension_numbers` is ((summed axes of x, of y), (kept axes of x, of y)). The result has the kept axes, then the
    free ones of x, then those of y. `preferred_element_type` is its dtype, by default the operands' common one.
    """

    recomputable = "expensive"

    def work(self, inputs: Sequence[ArrayType], outputs: Sequence[ArrayType], params: Params) -> float:
        (summed, _), _ = params["dimension_numbers"]
        products = outputs[0].size * math.prod([inputs[0].shape[d] for d in summed])
        return countable(products) / MULTIPLICATIONS_PER_BYTE

    def impl(self, x: Array, y: Array, **params: Any) -> Array:
        if params.get("precision") in HALVES_TO_FLOATS and params.get("out_sharding") is None:
            return halves_to_floats(x, y, params["dimension_numbers"], params.get("preferred_element_type"))
        return self.plain_impl(x, y, **params)

    def plain_impl(self, x: Array, y: Array, **params: Any) -> Array:
        return lax.dot_general(x, y, **params)

    def type_rule(
        self,
        x: ArrayType,
        y: ArrayType,
        *,
        dimension_numbers: DimensionNumbers,
        precision: Any = None,
        preferred_element_type: Any = None,
        out_sharding: Any = None,
    ) -> ArrayType:
        x_labels, y_labels, out_labels = labels_of(dimension_numbers, x.ndim, y.ndim)
        sizes = dict(zip(x_labels, x.shape, strict=True))
        for label, n in zip(y_labels, y.shape, strict=True):
            if sizes.setdefault(label, n) != n:
                raise ArgumentError(
                    f"dot_general received {x!r} and {y!r} with dimension_numbers {dimension_numbers}.",
                    f"Axis {label} of the first has size {sizes[label]}, its partner in the second has size {n}.",
                    "Make the sizes of contracted and of kept axes equal.",
                )
        dtype = _result_dtype(x.dtype, y.dtype, precision, preferred_element_type)
        return ArrayType(tuple([sizes[label] for label in out_labels]), dtype, x.weak_type and y.weak_type)

    def taylor(self, primals: tuple, series: tuple, **params: Any) -> Any:
        return products(self, primals, series, params)

    def transpose_x(
        self,
        ct: Array,
        x: ArrayType,
        y: Array,
        *,
        dimension_numbers: DimensionNumbers,
        out_sharding: Any = None,
        **params: Any,
    ) -> Array:
        x_labels, y_labels, out_labels = labels_of(dimension_numbers, x.ndim, y.ndim)
        return cast_like(contract(ct, out_labels, y, y_labels, x_labels, **params, **split_as(x, ct, y)), x)

    def transpose_y(
        self,
        ct: Array,
        x: Array,
        y: ArrayType,
        *,
        dimension_numbers: DimensionNumbers,
        out_sharding: Any = None,
        **params: Any,
    ) -> Array:
        x_labels, y_labels, out_labels = labels_of(dimension_numbers, x.ndim, y.ndim)
        how = split_as(y, ct, x)
        if number_of_devices() > 1:
            precision = params.get("precision")
            params["precision"] = precision[::-1] if type(precision) is tuple else precision
            return cast_like(contract(ct, out_labels, x, x_labels, y_labels, **params, **how), y)
        return cast_like(contract(x, x_labels, ct, out_labels, y_labels, **params, **how), y)

    def batch(
        self,
        axis: Axis,
        args: tuple,
        batched: tuple[bool, ...],
        *,
        dimension_numbers: DimensionNumbers,
        out_sharding: Any = None,
        **params: Any,
    ) -> tuple[Any, Any]:
        (x, y), (x_batched, y_batched) = args, batched
        x_labels, y_labels, out_labels = labels_of(dimension_numbers, x.ndim - x_batched, y.ndim - y_batched)
        x_labels = BATCH + x_labels if x_batched else x_labels
        y_labels = BATCH + y_labels if y_batched else y_labels
        how = split_batches(axis, out_sharding)
        return contract(x, x_labels, y, y_labels, BATCH + out_labels, **params, **how), True


class ScaledDot(Primitive):
    """The product of x times its scales and y times its, which each hold for a block along the summed axes.

    Parameters and the shapes of the scales are those of jax.lax.scaled_dot. It multiplies quantized numbers, whose
    formats have no room for tangents, so it has no derivative: a function that quantizes brings its own.
    """

    recomputable = "expensive"

    def impl(self, x: Array, y: Array, x_scale: Array, y_scale: Array, **params: Any) -> Array:
        return lax.scaled_dot(x, y, lhs_scale=x_scale, rhs_scale=y_scale, **params)

    def type_rule(self, *types: ArrayType, **params: Any) -> ArrayType:
        try:
            return super().type_rule(*types, **params)
        except (TypeError, ValueError) as error:
            raise ArgumentError(
                f"scaled_dot of {', '.join(map(repr, types))} with {params}.",
                f"{error}".rstrip(".") + ".",
                "A scale has the shape of its operand, but along the summed axes one element for each block.",
            ) from None

    def batch(
        self, axis: Axis, args: tuple, batched: tuple[bool, ...], *, dimension_numbers: DimensionNumbers, **params: Any
    ) -> tuple[Any, Any]:
        summed, kept = dimension_numbers
        numbers = (tuple(map(shifted, summed)), tuple([(0, *shifted(axes)) for axes in kept]))
        return self(*all_batched(axis, args, batched), dimension_numbers=numbers, **params), True


dot_general = DotGeneral("dot_general")
scaled_dot = ScaledDot("scaled_dot")


def halves_to_floats(x: Array, y: Array, dimension_numbers: DimensionNumbers, preferred: Any) -> Array:
    """The product by F16_F16_F32, by its meaning on a CPU, where JAX has no such algorithm.

    jax.nn.dot_product_attention asks for it, and looks for the error, which under a transformation comes too late.
    """
    dtype = _result_dtype(x.dtype, y.dtype, lax.DotAlgorithmPreset.F16_F16_F32, preferred)

    def on_cpu(x: Array, y: Array) -> Array:
        x, y = (lax.convert_element_type(v, np.float16) for v in (x, y))
        out = lax.dot_general(x, y, dimension_numbers, None, np.float32)
        return lax.convert_element_type(out, dtype)

    def elsewhere(x: Array, y: Array) -> Array:
        return lax.dot_general(x, y, dimension_numbers, lax.DotAlgorithmPreset.F16_F16_F32, preferred)

    return lax.platform_dependent(x, y, cpu=on_cpu, default=elsewhere)


def contract(
    x: Array,
    x_labels: Labels,
    y: Array,
    y_labels: Labels,
    out_labels: Labels,
    *,
    precision: Any = None,
    preferred_element_type: Any = None,
    out_sharding: Any = None,
) -> Array:
    """The product of x and y with axes as in `out_labels`, summed over the common labels that are not among them.

    Every label of one operand alone must be among `out_labels`. Transposes the result only if neither order of the
    operands gives its axes as wanted. On several devices the order stays as it is, and in transpose rules it is that of
    JAX: where the operands lie differently, XLA has the first decide how the result lies.
    """
    swapped, dimension_numbers, permutation = _plan(x_labels, y_labels, out_labels, number_of_devices() == 1)
    if swapped:
        x, y = y, x
        precision = precision[::-1] if type(precision) is tuple else precision
    how: Params = {"precision": precision, "preferred_element_type": preferred_element_type}
    if out_sharding is not None:
        order = range(len(out_labels)) if permutation is None else np.argsort(permutation)
        spec = (*out_sharding.spec, *[None] * len(out_labels))
        how["out_sharding"] = NamedSharding(out_sharding.mesh, PartitionSpec(*[spec[i] for i in order]))
    out = dot_general(x, y, dimension_numbers=dimension_numbers, **how)
    return out if permutation is None else transpose(out, permutation=permutation)


@lru_cache(maxsize=4096)
def labels_of(dimension_numbers: DimensionNumbers, x_ndim: int, y_ndim: int) -> tuple[Labels, Labels, Labels]:
    """Labels for the axes of x, of y and of the result: x's are 0, 1, 2 ..., y's own ones follow."""
    (x_summed, y_summed), (x_kept, y_kept) = dimension_numbers
    for axes, ndim in (((*x_kept, *x_summed), x_ndim), ((*y_kept, *y_summed), y_ndim)):
        if len(set(axes)) != len(axes) or not all([0 <= d < ndim for d in axes]):
            raise ArgumentError(
                f"dot_general received dimension_numbers {dimension_numbers} for operands of {x_ndim} and {y_ndim} "
                "axes.",
                "They name axes of each operand, counted from 0, and each once at most.",
                "Correct them: ((summed axes of x, of y), (kept axes of x, of y)).",
            )
    y_labels = list(range(x_ndim, x_ndim + y_ndim))
    for x_axis, y_axis in zip((*x_kept, *x_summed), (*y_kept, *y_summed), strict=True):
        y_labels[y_axis] = x_axis
    x_free = [label for label in range(x_ndim) if label not in y_labels]
    y_free = [label for label in y_labels if label >= x_ndim]
    return tuple(range(x_ndim)), tuple(y_labels), (*x_kept, *x_free, *y_free)


@lru_cache(maxsize=4096)
def _plan(
    x_labels: Labels, y_labels: Labels, out_labels: Labels, may_swap: bool
) -> tuple[bool, DimensionNumbers, tuple[int, ...] | None]:
    """How to contract: whether to swap the operands, dimension numbers, and a permutation of the result (or None)."""
    common = [label for label in x_labels if label in y_labels]
    kept = [label for label in out_labels if label in common]
    summed = [label for label in common if label not in out_labels]
    x_free = [label for label in x_labels if label not in common]
    y_free = [label for label in y_labels if label not in common]
    fits = (*kept, *x_free, *y_free) == out_labels
    swapped = may_swap and not fits and (*kept, *y_free, *x_free) == out_labels
    first, second = (y_labels, x_labels) if swapped else (x_labels, y_labels)

    def positions(labels: list[int]) -> Pairs:
        return tuple(map(first.index, labels)), tuple(map(second.index, labels))

    order = (*kept, *y_free, *x_free) if swapped else (*kept, *x_free, *y_free)
    permutation = None if order == out_labels else tuple(map(order.index, out_labels))
    return swapped, (positions(summed), positions(kept)), permutation


@lru_cache(maxsize=1024)
def _result_dtype(x: Any, y: Any, precision: Any, preferred: Any) -> Any:
    scalars = jax.ShapeDtypeStruct((), x), jax.ShapeDtypeStruct((), y)
    return jax.eval_shape(
        lambda x, y: lax.dot_general(x, y, (((), ()), ((), ())), precision, preferred), *scalars
    ).dtype


def cast_like(x: Array, like: Any) -> Array:
    """x in the dtype of `like`; of a complex one the real part, where `like` is real.

    Cotangents need it: those of mixed operands, and of operands narrower than the result.
    """
    if x.dtype == like.dtype:
        return x
    x = real(x) if x.dtype.kind == "c" and like.dtype.kind != "c" else x
    return x if x.dtype == like.dtype else convert_element_type(x, new_dtype=like.dtype, weak_type=False)
