"""The functions of jax.lax that are not elementwise, with their signatures."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, TypeVar

import jax
import numpy as np
from jax import lax

from minijvp.control_flow.scatter_apply import apply_at, as_program
from minijvp.core.tracing import as_constant, is_traced
from minijvp.core.types import PYTHON_SCALARS, abstract_type, type_of, wrapped
from minijvp.errors import ArgumentError
from minijvp.interop.surface import bridge
from minijvp.lax import elementwise as named
from minijvp.numpy.promotion import (
    array,
    as_dtype,
    cast,
    converted,
    normalize_axis,
    of_one_dtype,
    placed,
    refuse,
    surface,
)
from minijvp.operations import (
    annotations,
    casting,
    contraction,
    convolution,
    cumulative,
    dynamic_slicing,
    elementwise,
    families,
    reduction,
    slicing,
    sorting,
    windows,
)
from minijvp.operations import gather as gathering
from minijvp.operations import scatter_mul as scatter_products
from minijvp.operations import shape as shapes

F = TypeVar("F", bound=Callable[..., Any])
Tree = TypeVar("Tree")
PROMISE = lax.GatherScatterMode.PROMISE_IN_BOUNDS


def integers(numbers: Any) -> tuple[int, ...]:
    """Static integers as a tuple."""
    return tuple([operator.index(n) for n in numbers])


def stop_gradient(x: Tree) -> Tree:
    """`x` (a pytree), as a constant to every derivative.

    >>> import minijvp
    >>> float(minijvp.grad(lambda x: x * minijvp.stop_gradient(x))(3.0))
    3.0
    """

    def leaf(v: Any) -> Any:
        return v if type(v) in PYTHON_SCALARS else annotations.stop_gradient(array(v, "stop_gradient"))

    return jax.tree_util.tree_map(leaf, x)


def optimization_barrier(operand: Tree, /) -> Tree:
    """The operand (a pytree); the compiler moves no computation across."""
    leaves, tree = jax.tree_util.tree_flatten(operand)
    held = annotations.optimization_barrier(*[array(v, "optimization_barrier") for v in leaves])
    return jax.tree_util.tree_unflatten(tree, held)


# Shapes


@surface(lax.broadcast_in_dim)
def broadcast_in_dim(operand: Any, shape: Any, broadcast_dimensions: Any) -> Any:
    """The operand repeated to a shape, its axis i at axis `broadcast_dimensions[i]`."""
    x = array(operand, "broadcast_in_dim")
    return families.broadcast_in_dim(x, shape=integers(shape), broadcast_dimensions=integers(broadcast_dimensions))


@surface(lax.broadcast)
def broadcast(operand: Any, sizes: Any) -> Any:
    """The operand repeated along new leading axes."""
    x = array(operand, "broadcast")
    n, shape = len(sizes), type_of(x).shape
    return broadcast_in_dim(x, (*sizes, *shape), range(n, n + len(shape)))


@surface(lax.reshape)
def reshape(operand: Any, new_sizes: Any, dimensions: Any = None) -> Any:
    """The elements in another shape."""
    x = array(operand, "reshape")
    x = x if dimensions is None else transpose(x, dimensions)
    return families.reshape(x, new_sizes=integers(new_sizes))


@surface(lax.transpose)
def transpose(operand: Any, permutation: Any) -> Any:
    """The axes in another order."""
    return shapes.transpose(array(operand, "transpose"), permutation=integers(permutation))


def axes_of(x: Any, dimensions: Any, function: str) -> tuple[int, ...]:
    """Non-negative axes of x."""
    return tuple([normalize_axis(d, len(type_of(x).shape), function) for d in dimensions])


@surface(lax.squeeze)
def squeeze(array: Any, dimensions: Any) -> Any:
    """The operand without some axes of size 1."""
    return shapes.squeeze(array, dimensions=axes_of(array, dimensions, "squeeze"))


@surface(lax.expand_dims)
def expand_dims(array: Any, dimensions: Any) -> Any:
    """The operand with new axes of size 1 at these places of the result."""
    return shapes.expand_dims(array, integers(dimensions))


@surface(lax.rev)
def rev(operand: Any, dimensions: Any) -> Any:
    """The operand with some axes in reverse order."""
    return shapes.rev(array(operand, "rev"), dimensions=axes_of(operand, dimensions, "rev"))


@surface(lax.concatenate)
def concatenate(operands: Any, dimension: int) -> Any:
    """The operands one after the other along an axis."""
    xs = [array(x, "concatenate") for x in operands]
    return shapes.concatenate(*xs, dimension=operator.index(dimension))


@surface(lax.pad)
def pad(operand: Any, padding_value: Any, padding_config: Any) -> Any:
    """The operand with a value before, after and between its elements: (low, high, interior) for each axis."""
    x = array(operand, "pad")
    x, value = of_one_dtype("pad", x, padding_value)
    return slicing.pad(x, value, padding_config=tuple(map(integers, padding_config)))


@surface(lax.iota)
def iota(dtype: Any, size: int) -> Any:
    """0, 1, 2, ... up to before `size`."""
    return shapes.iota(dtype=as_dtype(dtype), shape=(operator.index(size),), dimension=0)


@surface(lax.broadcasted_iota)
def broadcasted_iota(dtype: Any, shape: Any, dimension: int) -> Any:
    """0, 1, 2, ... along one axis of an array."""
    return shapes.iota(dtype=as_dtype(dtype), shape=integers(shape), dimension=operator.index(dimension))


@surface(lax.full)
def full(shape: Any, fill_value: Any, dtype: Any = None) -> Any:
    """An array of one value."""
    if dtype is None:
        value = array(fill_value, "full")
    elif type(fill_value) in PYTHON_SCALARS:
        value = wrapped(fill_value, as_dtype(dtype))
    else:
        value = converted(array(fill_value, "full"), as_dtype(dtype))
    return families.broadcast_in_dim(value, shape=integers(shape), broadcast_dimensions=())


@surface(lax.full_like)
def full_like(x: Any, fill_value: Any, dtype: Any = None, shape: Any = None, sharding: Any = None) -> Any:
    """An array of one value, of the shape and dtype of another."""
    t = abstract_type(x)
    out = full(t.shape if shape is None else shape, fill_value, t.dtype if dtype is None else dtype)
    out = converted(out, t.dtype, t.weak_type) if dtype is None else out
    return placed(out, sharding)


@surface(lax.convert_element_type)
def convert_element_type(operand: Any, new_dtype: Any) -> Any:
    """The operand in another dtype."""
    dtype = as_dtype(new_dtype)
    if type(operand) in PYTHON_SCALARS:
        return as_constant(wrapped(operand, dtype))
    return converted(array(operand, "convert_element_type"), dtype)


@surface(lax.bitcast_convert_type)
def bitcast_convert_type(operand: Any, new_dtype: Any) -> Any:
    """The bits of the operand, read as another dtype."""
    return casting.bitcast_convert_type(array(operand, "bitcast_convert_type"), new_dtype=as_dtype(new_dtype))


# Slices, gathers and scatters


@surface(lax.slice)
def slice(operand: Any, start_indices: Any, limit_indices: Any, strides: Any = None) -> Any:
    """The elements from `start_indices` to before `limit_indices`, in steps of `strides`."""
    return slicing.slice(
        array(operand, "slice"),
        start_indices=integers(start_indices),
        limit_indices=integers(limit_indices),
        strides=None if strides is None else integers(strides),
    )


@surface(lax.slice_in_dim)
def slice_in_dim(operand: Any, start_index: int | None, limit_index: int | None, stride: int = 1, axis: int = 0) -> Any:
    """The elements from `start_index` to before `limit_index` along one axis."""
    shape = type_of(operand).shape
    axis = normalize_axis(axis, len(shape), "slice_in_dim")
    n = shape[axis]
    start, limit = (0 if start_index is None else start_index), (n if limit_index is None else limit_index)
    starts, limits, strides = [0] * len(shape), list(shape), [1] * len(shape)
    starts[axis], limits[axis], strides[axis] = start + n * (start < 0), limit + n * (limit < 0), stride
    return slice(operand, starts, limits, strides)


def starts_of(x: Any, indices: Any, negative: Any, function: str) -> tuple[list[Any], bool]:
    """The starts of a dynamic slice, and whether the primitive counts negative ones from the end.

    `negative` says that of all axes, or of each. Starts that Python knows are within the axis afterwards.
    """
    shape = type_of(x).shape
    if not isinstance(indices, (tuple, list)):
        indices = list(indices)
    flags = tuple(negative) if isinstance(negative, (tuple, list)) else (negative,) * len(shape)
    starts: list[Any] = [
        known_start(i, n, wraps, function) if type(i) is int or isinstance(i, np.integer) else array(i, function)
        for i, n, wraps in zip(indices, shape, flags, strict=True)
    ]
    traced = [d for d, i in enumerate(starts) if type(i) is not int]
    if len({starts[d].dtype for d in traced}) > 1:
        starts = [i if type(i) is int else cast(i, (as_dtype(int), False)) for i in starts]
    wrapping = [d for d in traced if flags[d]]
    for d in traced:
        if wrapping and not flags[d]:
            starts[d] = elementwise.max_(starts[d], 0)  # which the primitive leaves as it is
    return starts, bool(wrapping)


def known_start(i: Any, n: int, wraps: bool, function: str) -> int:
    """A start along an axis of size n that Python knows, clamped. Raises ArgumentError if it must not be negative."""
    if i < 0 and not wraps:
        raise ArgumentError(
            f"minijvp.lax.{function} received the index {i} and allow_negative_indices=False.",
            "Then no index counts from the end.",
            "Leave allow_negative_indices away, or pass an index that is not negative.",
        )
    return min(max(int(i) + n * int(i < 0), 0), n)


@surface(lax.dynamic_slice)
def dynamic_slice(operand: Any, start_indices: Any, slice_sizes: Any, *, allow_negative_indices: Any = True) -> Any:
    """The part of a given size that begins at computed starts, which are clamped into bounds."""
    x = array(operand, "dynamic_slice")
    starts, wraps = starts_of(x, start_indices, allow_negative_indices, "dynamic_slice")
    sizes = integers(slice_sizes)
    return dynamic_slicing.dynamic_slice(x, *starts, slice_sizes=sizes, allow_negative_indices=wraps)


@surface(lax.dynamic_update_slice)
def dynamic_update_slice(operand: Any, update: Any, start_indices: Any, *, allow_negative_indices: Any = True) -> Any:
    """The operand with `update` over the part that begins at computed starts, which are clamped into bounds."""
    x, y = array(operand, "dynamic_update_slice"), array(update, "dynamic_update_slice")
    starts, wraps = starts_of(x, start_indices, allow_negative_indices, "dynamic_update_slice")
    return dynamic_slicing.dynamic_update_slice(x, y, *starts, allow_negative_indices=wraps)


@surface(lax.dynamic_slice_in_dim)
def dynamic_slice_in_dim(
    operand: Any, start_index: Any, slice_size: int, axis: int = 0, *, allow_negative_indices: bool = True
) -> Any:
    """`slice_size` elements along one axis, from a computed start."""
    shape = type_of(operand).shape
    axis = normalize_axis(axis, len(shape), "dynamic_slice_in_dim")
    starts: list[Any] = [0] * len(shape)
    starts[axis] = start_index
    sizes = (*shape[:axis], slice_size, *shape[axis + 1 :])
    return dynamic_slice(operand, starts, sizes, allow_negative_indices=allow_negative_indices)


@surface(lax.dynamic_index_in_dim)
def dynamic_index_in_dim(
    operand: Any, index: Any, axis: int = 0, keepdims: bool = True, *, allow_negative_indices: bool = True
) -> Any:
    """The element at a computed place along one axis."""
    out = dynamic_slice_in_dim(operand, index, 1, axis, allow_negative_indices=allow_negative_indices)
    return out if keepdims else squeeze(out, (axis,))


@surface(lax.dynamic_update_slice_in_dim)
def dynamic_update_slice_in_dim(
    operand: Any, update: Any, start_index: Any, axis: int, *, allow_negative_indices: bool = True
) -> Any:
    """The operand with `update` over the part that begins at a computed place along one axis."""
    ndim = len(type_of(operand).shape)
    starts: list[Any] = [0] * ndim
    starts[normalize_axis(axis, ndim, "dynamic_update_slice_in_dim")] = start_index
    return dynamic_update_slice(operand, update, starts, allow_negative_indices=allow_negative_indices)


@surface(lax.dynamic_update_index_in_dim)
def dynamic_update_index_in_dim(
    operand: Any, update: Any, index: Any, axis: int, *, allow_negative_indices: bool = True
) -> Any:
    """The operand with `update` at a computed place along one axis."""
    x, y = array(operand, "dynamic_update_index_in_dim"), array(update, "dynamic_update_index_in_dim")
    ndim = len(type_of(x).shape)
    axis = normalize_axis(axis, ndim, "dynamic_update_index_in_dim")
    y = y if len(type_of(y).shape) == ndim else expand_dims(y, (axis,))
    return dynamic_update_slice_in_dim(x, y, index, axis, allow_negative_indices=allow_negative_indices)


@surface(lax.gather)
def gather(
    operand: Any,
    start_indices: Any,
    dimension_numbers: lax.GatherDimensionNumbers,
    slice_sizes: Any,
    *,
    unique_indices: bool = False,
    indices_are_sorted: bool = False,
    mode: Any = None,
    fill_value: Any = None,
) -> Any:
    """Slices of the operand at computed places; without a `mode`, these are promised to be in bounds."""
    return gathering.gather(
        array(operand, "gather"),
        array(start_indices, "gather"),
        dimension_numbers=dimension_numbers,
        slice_sizes=integers(slice_sizes),
        unique_indices=unique_indices,
        indices_are_sorted=indices_are_sorted,
        mode=PROMISE if mode is None else lax.GatherScatterMode.from_any(mode),
        fill_value=fill_value,
    )


def scattering(original: Any, primitive: Any) -> Any:
    """A scatter with the signature of jax.lax."""

    def traced(
        operand: Any,
        scatter_indices: Any,
        updates: Any,
        dimension_numbers: lax.ScatterDimensionNumbers,
        *,
        indices_are_sorted: bool = False,
        unique_indices: bool = False,
        mode: Any = None,
    ) -> Any:
        return primitive(
            *[array(v, original.__name__) for v in (operand, scatter_indices, updates)],
            dimension_numbers=dimension_numbers,
            indices_are_sorted=indices_are_sorted,
            unique_indices=unique_indices,
            mode=lax.GatherScatterMode.from_any(mode),
        )

    return surface(original)(traced)


scatter = scattering(lax.scatter, gathering.scatter)
scatter_add = scattering(lax.scatter_add, gathering.scatter_add)
scatter_sub = scattering(lax.scatter_sub, gathering.scatter_sub)
scatter_mul = scattering(lax.scatter_mul, scatter_products.scatter_mul)
scatter_min = scattering(lax.scatter_min, gathering.scatter_min)
scatter_max = scattering(lax.scatter_max, gathering.scatter_max)


@surface(lax.scatter_apply)
def scatter_apply(
    operand: Any,
    scatter_indices: Any,
    func: Callable[[Any], Any],
    dimension_numbers: lax.ScatterDimensionNumbers,
    *,
    update_shape: Any = (),
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
    mode: Any = None,
) -> Any:
    """The operand with a function of one number applied at computed places, once for each time that one is named.

    It is differentiated too. Raises ArgumentError if `func` does not return one number of the dtype of the operand.
    """
    x, indices = array(operand, "scatter_apply"), array(scatter_indices, "scatter_apply")
    return apply_at(
        x,
        indices,
        *as_program(func, type_of(x)),
        dimension_numbers=dimension_numbers,
        update_shape=integers(update_shape),
        indices_are_sorted=indices_are_sorted,
        unique_indices=unique_indices,
        mode=lax.GatherScatterMode.from_any(mode),
    )


# Reductions, cumulative operations, order


def numeric(operand: Any, function: str) -> Any:
    """The operand as an array. Raises ArgumentError for booleans, which are no numbers to jax.lax."""
    x = array(operand, function)
    if x.dtype == np.bool_:
        raise ArgumentError(
            f"minijvp.lax.{function} received {type_of(x)!r}.",
            "It works with numbers, and promotes nothing.",
            "Convert it (x.astype(int)), or use the function of minijvp.numpy.",
        )
    return x


def reducing(original: Any, primitive: Any, read: Any = array) -> Any:
    """A reduction over axes."""

    def traced(operand: Any, axes: Sequence[int]) -> Any:
        x = read(operand, original.__name__)
        return primitive(x, axes=axes_of(x, axes, original.__name__))

    return surface(original)(traced)


reduce_sum = reducing(lax.reduce_sum, families.reduce_sum, numeric)
reduce_max = reducing(lax.reduce_max, reduction.reduce_max)
reduce_min = reducing(lax.reduce_min, reduction.reduce_min)
reduce_prod = reducing(lax.reduce_prod, reduction.reduce_prod, numeric)
reduce_and = reducing(lax.reduce_and, reduction.reduce_and)
reduce_or = reducing(lax.reduce_or, reduction.reduce_or)
reduce_xor = reducing(lax.reduce_xor, reduction.reduce_xor)


def finding(original: Any, primitive: Any) -> Any:
    """The index of an extremum along one axis."""

    def traced(operand: Any, axis: int, index_dtype: Any) -> Any:
        x = array(operand, original.__name__)
        return primitive(x, axes=axes_of(x, (axis,), original.__name__), index_dtype=as_dtype(index_dtype))

    return surface(original)(traced)


argmax = finding(lax.argmax, reduction.argmax)
argmin = finding(lax.argmin, reduction.argmin)


def accumulating(original: Any, primitive: Any, doc: str | None = None) -> Any:
    """A cumulative operation along one axis."""

    def traced(operand: Any, axis: int = 0, reverse: bool = False) -> Any:
        x = numeric(operand, original.__name__)
        return primitive(x, axis=axes_of(x, (axis,), original.__name__)[0], reverse=reverse)

    traced.__doc__ = doc
    return surface(original)(traced)


cumsum = accumulating(lax.cumsum, cumulative.cumsum)
cumprod = accumulating(lax.cumprod, cumulative.cumprod)
EXTREMA = "The {} element so far along an axis. Elements that tie for it share its derivative equally, in both modes."
cummax = accumulating(lax.cummax, cumulative.cummax, EXTREMA.format("largest"))
cummin = accumulating(lax.cummin, cumulative.cummin, EXTREMA.format("smallest"))
cumlogsumexp = accumulating(lax.cumlogsumexp, cumulative.cumlogsumexp)


@surface(lax.sort)
def sort(operand: Any, dimension: int = -1, is_stable: bool = True, num_keys: int = 1) -> Any:
    """The operand, or several together, in order along an axis."""
    several = isinstance(operand, (tuple, list))
    xs = [array(x, "sort") for x in (operand if several else (operand,))]
    (axis,) = axes_of(xs[0], (dimension,), "sort")
    outs = sorting.sort(*xs, dimension=axis, is_stable=is_stable, num_keys=num_keys)
    return outs if several else outs[0]


@surface(lax.sort_key_val)
def sort_key_val(keys: Any, values: Any, dimension: int = -1, is_stable: bool = True) -> tuple[Any, Any]:
    """Keys in order, and the values in the order of their keys."""
    return sort((keys, values), dimension, is_stable)


@surface(lax.top_k)
def top_k(operand: Any, k: int, *, axis: int = -1, is_stable: bool = True) -> tuple[Any, Any]:
    """The k largest elements along an axis, the largest first, and their indices: of equal ones, always the first."""
    x = array(operand, "top_k")
    return sorting.top_k(x, k=operator.index(k), axis=axes_of(x, (axis,), "top_k")[0])


# Choice


@surface(lax.select)
def select(pred: Any, on_true: Any, on_false: Any) -> Any:
    """Element by element, one or the other."""
    return select_n(pred, on_false, on_true)


@surface(lax.select_n)
def select_n(which: Any, *cases: Any) -> Any:
    """Element by element, the case that `which` names."""
    which, *cases = [array(x, "select_n") for x in (which, *cases)]  # type: ignore[assignment]
    if len({x.shape for x in cases}) > 1:
        raise ArgumentError(
            f"select_n received cases of shapes {', '.join(str(x.shape) for x in cases)}.",
            "One of them is taken element by element, so that they have one shape.",
            "Give them one shape; minijvp.numpy.where broadcasts.",
        )
    shape = next((s for x in (*cases, which) if (s := x.shape)), ())
    return elementwise.select_n(which, *[x if x.shape else filled(x, shape) for x in cases])


def filled(x: Any, shape: tuple[int, ...]) -> Any:
    """A value without axes, repeated to a shape."""
    return families.broadcast_in_dim(x, shape=shape, broadcast_dimensions=()) if shape else x


# Products


def as_pairs(dimension_numbers: Any) -> Any:
    """Dimension numbers of a contraction, hashable."""
    (x_summed, y_summed), (x_kept, y_kept) = dimension_numbers
    return (integers(x_summed), integers(y_summed)), (integers(x_kept), integers(y_kept))


@surface(lax.dot_general)
def dot_general(
    lhs: Any,
    rhs: Any,
    dimension_numbers: Any,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Any:
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
    lhs: Any,
    rhs: Any,
    *,
    dimension_numbers: Any = None,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Any:
    """The product of vectors and matrices, or by `dimension_numbers` as in dot_general."""
    if dimension_numbers is None:
        dimension_numbers = (((len(type_of(lhs).shape) - 1,), (0,)), ((), ()))
    return dot_general(lhs, rhs, dimension_numbers, precision, preferred_element_type)


@surface(lax.batch_matmul)
def batch_matmul(lhs: Any, rhs: Any, precision: Any = None) -> Any:
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
    lhs: Any,
    rhs: Any,
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
) -> Any:
    """The convolution in any layout, with strides, padding, dilations and groups."""
    refuse("conv_general_dilated", "out_sharding", out_sharding, module="lax")
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
    lhs: Any, rhs: Any, window_strides: Any, padding: str, precision: Any = None, preferred_element_type: Any = None
) -> Any:
    """The convolution of (batch, feature, ...) with (out feature, in feature, ...)."""
    return conv_general_dilated(
        lhs, rhs, window_strides, padding, precision=precision, preferred_element_type=preferred_element_type
    )


# Windows

COMPUTATIONS = {
    "add": "add",
    "mul": "mul",
    "multiply": "mul",
    "max": "max",
    "maximum": "max",
    "min": "min",
    "minimum": "min",
    "bitwise_and": "and",
    "logical_and": "and",
    "bitwise_or": "or",
    "logical_or": "or",
    "bitwise_xor": "xor",
    "logical_xor": "xor",
}
SPECIAL = {
    "add": windows.reduce_window_sum,
    "max": windows.reduce_window_max,
    "min": windows.reduce_window_min,
}


def by_computations(function: F) -> F:
    """Decorator: a computation of minijvp.lax is handed on as the one of jax.lax, which is the one that JAX knows."""

    def known(x: Any) -> Any:
        name = getattr(x, "__name__", "") if callable(x) else ""
        return getattr(lax, name) if name and getattr(named, name, None) is x else x

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return function(*map(known, args), **{key: known(x) for key, x in kwargs.items()})

    return call  # type: ignore[return-value]


reduce_by_program = bridge(lax.reduce, lax, "reduce")
MONOIDS = {
    lax.add: ("add", reduce_sum),
    lax.mul: ("mul", reduce_prod),
    lax.max: ("max", reduce_max),
    lax.min: ("min", reduce_min),
    lax.bitwise_and: ("and", reduce_and),
    lax.bitwise_or: ("or", reduce_or),
    lax.bitwise_xor: ("xor", reduce_xor),
}


@by_computations
@wraps(reduce_by_program)
def reduce(operands: Any, init_values: Any, computation: Any, dimensions: Any, **options: Any) -> Any:
    """As jax.lax: the sum, product ... itself, where that is what is asked for; by a program of JAX otherwise."""
    first, *_ = jax.tree_util.tree_leaves(operands) or [operands]
    axes = axes_of(first, dimensions, "reduce")
    if is_traced(operands) and computation in MONOIDS and not options:
        name, reduction = MONOIDS[computation]
        x = type_of(operands)
        if is_neutral(init_values, name) and len(set(axes)) == len(axes):
            out = reduction(operands, axes)
            weak = x.weak_type and type_of(init_values).weak_type
            return casting.convert_element_type(out, new_dtype=x.dtype, weak_type=weak) if weak != x.weak_type else out
    return reduce_by_program(operands, init_values, computation, axes, **options)


def is_neutral(value: Any, name: str) -> bool:
    """Whether a value is known, and a number from which a reduction in its own dtype starts, which is what JAX asks."""
    if is_traced(value) or np.shape(value) != ():
        return False
    dtype = type_of(value).dtype
    return (name not in ("and", "or", "xor") or dtype.kind in "iub") and is_start(value, name, dtype)


windows_by_program = bridge(lax.reduce_window, lax, "reduce_window")


@by_computations
@surface(lax.reduce_window)
def reduce_window(
    operand: Any,
    init_value: Any,
    computation: Any,
    window_dimensions: Any,
    window_strides: Any = None,
    padding: Any = "VALID",
    base_dilation: Any = None,
    window_dilation: Any = None,
) -> Any:
    """Windows of the operand, each reduced by a function of two numbers; or of several, by one of two tuples.

    The function is associative, and the initial values are neutral for it, as jax.lax wants it. Differentiated, a
    function other than add, max and min costs an operation for each place in a window.
    """
    name = COMPUTATIONS.get(getattr(computation, "__name__", ""))
    if name is None or isinstance(operand, (tuple, list, dict)):
        more = (window_dimensions, window_strides, padding, base_dilation, window_dilation)
        return windows_by_program(operand, init_value, computation, *more)
    x = array(operand, "reduce_window")
    ones = (1,) * len(type_of(x).shape)
    size = integers(window_dimensions)
    strides = ones if window_strides is None else integers(window_strides)
    base = ones if base_dilation is None else integers(base_dilation)
    dilation = ones if window_dilation is None else integers(window_dilation)
    if isinstance(padding, str):
        require_padding(padding, "reduce_window")
        sizes = [windows.dilated(n, d) for n, d in zip(type_of(x).shape, base, strict=True)]
        extents = [windows.dilated(n, d) for n, d in zip(size, dilation, strict=True)]
        padding = lax.padtype_to_pads(sizes, extents, strides, padding)
    params = {
        "window_dimensions": size,
        "window_strides": strides,
        "padding": tuple(map(integers, padding)),
        "base_dilation": base,
        "window_dilation": dilation,
    }
    dtype = type_of(x).dtype
    if name in SPECIAL and is_start(init_value, name, dtype):
        return SPECIAL[name](x, **params)
    start = cast(array(init_value, "reduce_window"), (dtype, False))
    return windows.reduce_window(x, start, computation=name, **params)


def is_start(value: Any, name: str, dtype: Any) -> bool:
    """Whether a known value is the one from which a reduction starts."""
    if is_traced(value):
        return False
    return bool(np.asarray(value) == windows.start_of(name, dtype))
