"""The products of jax.lax: contractions and convolutions."""

from __future__ import annotations

from typing import Any

from jax import lax

from minijvp.core.types import Array, type_of
from minijvp.errors import ArgumentError
from minijvp.lax.shapes import integers
from minijvp.numpy.makers import surface
from minijvp.numpy.promotion import array, as_dtype
from minijvp.numpy.split_results import split_result
from minijvp.operations import contraction, convolution, windows

__all__ = ["batch_matmul", "conv", "conv_general_dilated", "dot", "dot_general"]


def as_pairs(dimension_numbers: Any) -> Any:
    """Dimension numbers of a contraction, hashable."""
    (x_summed, y_summed), (x_kept, y_kept) = dimension_numbers
    return (integers(x_summed), integers(y_summed)), (integers(x_kept), integers(y_kept))


@surface(lax.dot_general)
def dot_general(
    lhs: Array, rhs: Array, dimension_numbers: Any, precision: Any = None, preferred_element_type: Any = None
) -> Array:
    """The product, summed over some common axes and kept along others."""
    return contraction.dot_general(
        array(lhs, "dot_general"),
        array(rhs, "dot_general"),
        dimension_numbers=as_pairs(dimension_numbers),
        precision=precision,
        preferred_element_type=as_dtype(preferred_element_type),
    )


@surface(lax.dot)
def dot(
    lhs: Array, rhs: Array, *, dimension_numbers: Any = None, precision: Any = None, preferred_element_type: Any = None
) -> Array:
    """The product of vectors and matrices, or by `dimension_numbers` as in dot_general."""
    if dimension_numbers is None:
        dimension_numbers = (((len(type_of(lhs).shape) - 1,), (0,)), ((), ()))
    return dot_general(lhs, rhs, dimension_numbers, precision, preferred_element_type)


@surface(lax.batch_matmul)
def batch_matmul(lhs: Array, rhs: Array, precision: Any = None) -> Array:
    """The products of matrices along leading axes."""
    n = len(type_of(lhs).shape)
    kept = tuple(range(n - 2))
    return dot_general(lhs, rhs, (((n - 1,), (n - 2,)), (kept, kept)), precision)


def require_padding(padding: str, function: str) -> None:
    """Raise ArgumentError for a padding that has no name."""
    if padding.upper() not in ("SAME", "SAME_LOWER", "VALID"):
        raise ArgumentError(
            f"minijvp.lax.{function} received padding={padding!r}.",
            "By name it is SAME, SAME_LOWER or VALID.",
            "Pass one of these, or pairs (before, after) for each axis.",
        )


@surface(lax.conv_general_dilated)
def conv_general_dilated(
    lhs: Array,
    rhs: Array,
    window_strides: Any,
    padding: Any,
    lhs_dilation: Any = None,
    rhs_dilation: Any = None,
    dimension_numbers: Any = None,
    feature_group_count: int = 1,
    batch_group_count: int = 1,
    precision: Any = None,
    preferred_element_type: Any = None,
    out_sharding: Any = None,
) -> Array:
    """The convolution in any layout, with strides, padding, dilations and groups."""
    if out_sharding is not None:  # given by position
        given = lhs, rhs, window_strides, padding, lhs_dilation, rhs_dilation, dimension_numbers, feature_group_count
        more = dict(batch_group_count=batch_group_count, precision=precision, out_sharding=out_sharding)
        function, kind = "minijvp.lax.conv_general_dilated", preferred_element_type
        return split_result(lax.conv_general_dilated, function, *given, preferred_element_type=kind, **more)
    x, y = array(lhs, "conv_general_dilated"), array(rhs, "conv_general_dilated")
    numbers = lax.conv_dimension_numbers(type_of(x).shape, type_of(y).shape, dimension_numbers)
    rank = len(type_of(x).shape) - 2
    ones = (1,) * rank
    dilation = ones if rhs_dilation is None else integers(rhs_dilation)
    if isinstance(padding, str):
        require_padding(padding, "conv_general_dilated")
        sizes = [type_of(x).shape[d] for d in numbers.lhs_spec[2:]]
        kernel = [windows.dilated(type_of(y).shape[d], k) for d, k in zip(numbers.rhs_spec[2:], dilation, strict=True)]
        padding = lax.padtype_to_pads(sizes, kernel, window_strides, padding)
    return convolution.conv_general_dilated(
        x,
        y,
        window_strides=integers(window_strides),
        padding=tuple(map(integers, padding)),
        lhs_dilation=ones if lhs_dilation is None else integers(lhs_dilation),
        rhs_dilation=dilation,
        dimension_numbers=numbers,
        feature_group_count=feature_group_count,
        batch_group_count=batch_group_count,
        precision=precision,
        preferred_element_type=as_dtype(preferred_element_type),
    )


@surface(lax.conv)
def conv(
    lhs: Array, rhs: Array, window_strides: Any, padding: str, precision: Any = None, preferred_element_type: Any = None
) -> Array:
    """The convolution of (batch, feature, ...) with (out feature, in feature, ...)."""
    return conv_general_dilated(
        lhs, rhs, window_strides, padding, precision=precision, preferred_element_type=preferred_element_type
    )
