"""Convolutions in any layout, with strides, dilations and groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import jax
import numpy as np
from jax import lax
from jax.core import Tracer

from minijvp.core.primitive import MULTIPLICATIONS_PER_BYTE, Axis
from minijvp.core.types import Array, ArrayType, Params, type_of
from minijvp.dimensions import countable, decided
from minijvp.errors import ArgumentError
from minijvp.operations.contraction import cast_like
from minijvp.operations.families import BilinearPrimitive, is_linear, reshape, zeros, zeros_like
from minijvp.operations.shape import rev, transpose
from minijvp.operations.splitting import split_as
from minijvp.operations.together import products
from minijvp.operations.windows import dilated, transposed_padding, window_count


@dataclass(frozen=True)
class Convolution:
    """The parameters of a convolution, as one value. Names and meanings are those of lax.conv_general_dilated."""

    window_strides: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    lhs_dilation: tuple[int, ...]
    rhs_dilation: tuple[int, ...]
    dimension_numbers: lax.ConvDimensionNumbers
    feature_group_count: int = 1
    batch_group_count: int = 1
    precision: Any = None
    preferred_element_type: Any = None
    out_sharding: Any = None

    def __call__(self, x: Array, y: Array) -> Array:
        return conv_general_dilated(x, y, **{k: v for k, v in vars(self).items() if k != "out_sharding" or v})

    def backwards(self, t: ArrayType, *others: Any, **changes: Any) -> Convolution:
        """The convolution with other parameters that gives a cotangent of a type, split as that says."""
        how = {} if self.groups > 1 else split_as(t, *others)
        return replace(self, **{"preferred_element_type": None, "out_sharding": None, **how, **changes})

    @property
    def groups(self) -> int:
        # Only one of the two may differ from 1.
        return self.feature_group_count * self.batch_group_count

    def spatial(self, x: Any, y: Any) -> list[tuple]:
        """For each spatial axis: sizes of x and y, stride, padding, dilations of x and y."""
        (_, _, *x_axes), (_, _, *y_axes), _ = self.dimension_numbers
        sizes = [x.shape[d] for d in x_axes], [y.shape[d] for d in y_axes]
        return list(zip(*sizes, self.window_strides, self.padding, self.lhs_dilation, self.rhs_dilation, strict=True))


class ConvGeneralDilated(BilinearPrimitive):
    """The windows of x (dilated by `lhs_dilation`, padded, `window_strides` apart), each contracted with the kernels y.

    `dimension_numbers` names the axes: (batch, feature, *spatial) of x, (out feature, in feature, *spatial) of y,
    (batch, feature, *spatial) of the result. Groups of features, or else of the batch, meet their own kernels only.
    """

    recomputable = "expensive"

    def work(self, inputs: Sequence[ArrayType], outputs: Sequence[ArrayType], params: Params) -> float:
        kernels = inputs[1].shape[params["dimension_numbers"][1][0]]
        return countable(outputs[0].size) * countable(inputs[1].size // kernels) / MULTIPLICATIONS_PER_BYTE

    def impl(self, x: Array, y: Array, **params: Any) -> Array:
        if isinstance(x, Tracer) or isinstance(y, Tracer):
            p = Convolution(**params)
            if p.out_sharding is None and p.dimension_numbers != canonical(x.ndim) and is_fast_if_canonical(x, y, p):
                return in_canonical_form(x, y, p)
        return self.plain_impl(x, y, **params)

    def plain_impl(self, x: Array, y: Array, **params: Any) -> Array:
        """The result, as code that stands alone writes it."""
        return lax.conv_general_dilated(x, y, **params)

    def type_rule(self, x: ArrayType, y: ArrayType, **params: Any) -> ArrayType:
        p = Convolution(**params)
        (x_batch, x_feature, *_), (y_out, y_in, *_), (batch, feature, *spatial) = p.dimension_numbers
        groups, kernels = p.batch_group_count, y.shape[y_out]
        if x.ndim != y.ndim or x.shape[x_feature] != y.shape[y_in] * p.feature_group_count:
            raise _refusal(x, y, p, "The kernels need as many input features as a feature group of the first operand.")
        if kernels % p.groups or x.shape[x_batch] % groups or min(p.feature_group_count, groups) > 1:
            raise _refusal(
                x, y, p, "Groups must divide the kernels and the batch, and be groups of only one of the two."
            )
        shape = [0] * x.ndim
        shape[batch], shape[feature] = x.shape[x_batch] // groups, kernels
        for d, numbers in zip(spatial, p.spatial(x, y), strict=True):
            n, size, *others = numbers
            shape[d] = window_count(n, size, *others)
        dtype = _result_dtype(x.dtype, y.dtype, p.preferred_element_type)
        return ArrayType(tuple(shape), dtype, x.weak_type and y.weak_type)

    def transpose(self, ct: Array, x: Any, y: Any, **params: Any) -> Any:
        if 0 in ct.shape:
            # XLA has no windows of no elements.
            return (zeros_like(x), None) if is_linear(x) else (None, zeros_like(y))
        return super().transpose(ct, x, y, **params)

    def taylor(self, primals: tuple, series: tuple, **params: Any) -> Any:
        return products(self, primals, series, params)

    def transpose_x(self, ct: Array, x: ArrayType, y: Array, **params: Any) -> Array:
        p = Convolution(**params)
        x_axes, y_axes, out_axes = p.dimension_numbers
        backwards = p.backwards(
            x,
            ct,
            y,
            window_strides=p.lhs_dilation,
            padding=tuple([transposed_padding(*numbers) for numbers in p.spatial(x, y)]),
            lhs_dilation=p.window_strides,
            dimension_numbers=lax.ConvDimensionNumbers(out_axes, (y_axes[1], y_axes[0], *y_axes[2:]), x_axes),
            feature_group_count=p.groups,
            batch_group_count=1,
        )
        y = cast_like(_move_groups(y, y_axes[0], y_axes[1], p.groups), ct)
        flipped = tuple([d for d in y_axes[2:] if y.shape[d] > 1])
        out = backwards(ct, rev(y, dimensions=flipped) if flipped else y)
        return cast_like(_move_groups(out, x_axes[1], x_axes[0], p.batch_group_count), x)

    def transpose_y(self, ct: Array, x: Array, y: ArrayType, **params: Any) -> Array:
        p = Convolution(**params)
        x_axes, y_axes, out_axes = ((axes[1], axes[0], *axes[2:]) for axes in p.dimension_numbers)
        backwards = p.backwards(
            y,
            ct,
            x,
            window_strides=p.rhs_dilation,
            padding=tuple([kernel_padding(*numbers) for numbers in p.spatial(x, y)]),
            rhs_dilation=p.window_strides,
            dimension_numbers=lax.ConvDimensionNumbers(x_axes, out_axes, y_axes),
            feature_group_count=p.batch_group_count,
            batch_group_count=p.feature_group_count,
        )
        return cast_like(backwards(cast_like(x, ct), ct), y)

    def batch(self, axis: Axis, args: tuple, batched: tuple[bool, ...], **params: Any) -> tuple[Any, Any]:
        if not axis.size:  # no group, which XLA would not take
            lanes = [t.with_shape(t.shape[b:]) for t, b in zip(map(type_of, args), batched, strict=True)]
            out = self.type_rule(*lanes, **params)
            return zeros(shape=(0, *out.shape), dtype=out.dtype), True
        p = replace(Convolution(**params), out_sharding=None)  # axes of the batch and of the result become one
        (x, y), (x_batched, y_batched) = args, batched
        (x_batch, x_feature, *_), (y_out, *_), (batch, feature, *_) = p.dimension_numbers
        if not y_batched:
            return _unfold(axis, p(_fold(x, x_batch, p.batch_group_count), y), batch, 1), True
        if not x_batched:
            return _unfold(axis, p(x, _fold(y, y_out, p.groups)), feature, p.groups), True
        if p.batch_group_count > 1:
            x, p = _fold(x, x_batch, 1), replace(p, batch_group_count=axis.size * p.batch_group_count)
        else:
            x, p = _fold(x, x_feature, 1), replace(p, feature_group_count=axis.size * p.feature_group_count)
        return _unfold(axis, p(x, _fold(y, y_out, 1)), feature, 1), True


conv_general_dilated = ConvGeneralDilated("conv_general_dilated")


FAST_DTYPES = frozenset(map(np.dtype, ("float16", "bfloat16", "float32", "complex64")))
"""Those that the library for convolutions on CPU computes with."""

FEATURES_OF_A_FAST_GROUP = 16
"""From how many input features on a feature group is faster there than in a plain loop: measured, 4 are not."""


def canonical(ndim: int) -> lax.ConvDimensionNumbers:
    """The axes (batch, spatial, feature) of operand and result, (spatial, in feature, out feature) of the kernels."""
    image, kernels = (0, ndim - 1, *range(1, ndim - 1)), (ndim - 1, ndim - 2, *range(ndim - 2))
    return lax.ConvDimensionNumbers(image, kernels, image)


def is_fast_if_canonical(x: Array, y: Array, p: Convolution) -> bool:
    """Whether XLA computes a convolution several times faster in the canonical form, wherever it stands.

    On CPU it has a library for that form, and brings others to it only at the top level of a program: not in loops, nor
    in branches, nor in calls that it keeps. In three dimensions, where few features meet or windows move by more than
    one, and of small groups, the library may well be slower than XLA's plain loops. For float64 there is none.
    """
    dtypes = {x.dtype, y.dtype, np.dtype(p.preferred_element_type or x.dtype)}
    kernels, features, *spatial = [y.shape[d] for d in p.dimension_numbers.rhs_spec]
    moves_by_one = {1}.issuperset((*p.window_strides, *p.lhs_dilation, *p.rhs_dilation))
    many = max(countable(features), countable(kernels // p.groups)) >= FEATURES_OF_A_FAST_GROUP
    return (
        (len(spatial) in (1, 2) or (len(spatial) == 3 and moves_by_one and many))
        and dtypes <= FAST_DTYPES
        and (p.feature_group_count == 1 or decided(lambda: features >= FEATURES_OF_A_FAST_GROUP))
        and p.batch_group_count in (1, kernels)
        and jax.default_backend() == "cpu"
    )


def in_canonical_form(x: Array, y: Array, p: Convolution) -> Array:
    """The result by the same convolution of transposed operands."""
    numbers = canonical(x.ndim)
    x, y = (lax.transpose(v, moves(*axes)) for v, *axes in zip((x, y), p.dimension_numbers, numbers, strict=False))
    out = lax.conv_general_dilated(x, y, **vars(replace(p, dimension_numbers=numbers)))
    return lax.transpose(out, moves(numbers.out_spec, p.dimension_numbers.out_spec))


def moves(source: Sequence[int], target: Sequence[int]) -> list[int]:
    """The permutation that brings what lies at the axes `source` to the axes `target`."""
    return [d for _, d in sorted(zip(target, source, strict=True))]


def kernel_padding(
    n: int, size: int, stride: int, padding: tuple[int, int], base: int, dilation: int
) -> tuple[int, int]:
    """The padding with which a cotangent, dilated by `stride`, slides over the n elements to `size` places."""
    count = window_count(n, size, stride, padding, base, dilation)
    return padding[0], dilated(count, stride) + dilated(size, dilation) - 1 - dilated(n, base) - padding[0]


def _move_groups(x: Array, source: int, target: int, groups: int) -> Array:
    """x with its axis `source` = (groups, rest) cut to the rest, and its axis `target` grown to (groups, target)."""
    if groups == 1:
        return x
    shape = list(x.shape)
    split = [*shape[:source], groups, shape[source] // groups, *shape[source + 1 :]]
    order = [d for d in range(len(split)) if d != source]
    order.insert(order.index(target + (target > source)), source)
    shape[source] //= groups
    shape[target] *= groups
    return reshape(transpose(reshape(x, new_sizes=tuple(split)), permutation=tuple(order)), new_sizes=tuple(shape))


def _fold(x: Array, d: int, groups: int) -> Array:
    """x with its leading batch axis moved into axis d (counted without it), which becomes (groups, batch, rest)."""
    size, *shape = x.shape
    if groups > 1:
        x = reshape(x, new_sizes=(size, *shape[:d], groups, shape[d] // groups, *shape[d + 1 :]))
    ahead = d + (groups > 1)
    if ahead:
        x = transpose(x, permutation=(*range(1, ahead + 1), 0, *range(ahead + 1, x.ndim)))
    shape[d] *= size
    return reshape(x, new_sizes=tuple(shape))


def _unfold(axis: Axis, x: Array, d: int, groups: int) -> Array:
    """The inverse: the batch axis inside axis d = (groups, batch, rest) made the leading one."""
    shape = list(x.shape)
    shape[d] //= axis.size * groups
    inside = (groups, axis.size) if groups > 1 else (axis.size,)
    x = reshape(x, new_sizes=(*shape[:d], *inside, *shape[d:]))
    shape[d] *= groups
    ahead = d + (groups > 1)
    if ahead:
        x = transpose(x, permutation=(ahead, *range(ahead), *range(ahead + 1, x.ndim)))
    return reshape(x, new_sizes=(axis.size, *shape)) if groups > 1 else x


@lru_cache(maxsize=1024)
def _result_dtype(x: Any, y: Any, preferred: Any) -> Any:
    one = (1, 1, 1)
    operands = jax.ShapeDtypeStruct(one, x), jax.ShapeDtypeStruct(one, y)
    return jax.eval_shape(
        lambda x, y: lax.conv_general_dilated(x, y, (1,), "VALID", preferred_element_type=preferred), *operands
    ).dtype


def _refusal(x: ArrayType, y: ArrayType, p: Convolution, why: str) -> ArgumentError:
    return ArgumentError(
        f"conv_general_dilated received {x!r} and {y!r} with dimension_numbers {p.dimension_numbers}, "
        f"feature_group_count {p.feature_group_count} and batch_group_count {p.batch_group_count}.",
        why,
        "Correct the shapes, the dimension numbers (batch, feature, *spatial) or the groups.",
    )
