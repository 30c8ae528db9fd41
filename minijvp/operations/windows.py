"""Operations on windows that slide over an array: pooling, and what its derivatives need.

Every operation here takes `window_dimensions`, `window_strides` and `padding` (pairs), most of them `base_dilation`
and `window_dilation` too, all with one entry per axis of the operand.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
from jax import lax

from minijvp.core.primitive import Axis, Primitive, registry
from minijvp.core.types import PYTHON_SCALARS, Array, ArrayType, Params, is_inexact, wrapped
from minijvp.errors import ArgumentError
from minijvp.operations import elementwise
from minijvp.operations.families import (
    LinearPrimitive,
    add_tangents,
    all_batched,
    broadcast_in_dim,
    leading_axis,
    zeros_like,
)
from minijvp.operations.slicing import pad
from minijvp.operations.slicing import slice as strided_slice

Sizes = tuple[int, ...]
Padding = tuple[tuple[int, int], ...]
LARGEST, SMALLEST = "ge", "le"


def dilated(n: int, dilation: int) -> int:
    """The extent of n elements that are `dilation` apart."""
    return (n - 1) * dilation + 1 if n else 0


def window_count(n: int, size: int, stride: int, padding: tuple[int, int], base: int = 1, dilation: int = 1) -> int:
    """The number of windows of `size` elements along an axis of n elements."""
    extent = dilated(n, base) + sum(padding)
    window = dilated(size, dilation)
    return 0 if extent < max(window, 0) else (extent - window) // stride + 1


def transposed_padding(
    n: int, size: int, stride: int, padding: tuple[int, int], base: int, dilation: int
) -> tuple[int, int]:
    """The padding with which windows over the cotangent, dilated by `stride`, lead back to the n elements."""
    window = dilated(size, dilation)
    count = window_count(n, size, stride, padding, base, dilation)
    before = window - 1 - padding[0]
    return before, dilated(n, base) + window - 1 - dilated(count, stride) - before


class WindowPrimitive(Primitive):
    """A primitive whose operands are an array and arrays that go with it, and whose parameters describe windows."""

    recomputable = "moderate"

    def type_rule(self, x: ArrayType, *others: ArrayType, **params: Any) -> ArrayType:
        return ArrayType(window_shape(x, **params), x.dtype, x.weak_type)

    def batch(self, axis: Axis, args: tuple, batched: tuple[bool, ...], **params: Any) -> tuple[Any, Any]:
        return self(*all_batched(axis, args, batched), **with_batch_axis(params)), True


def window_shape(
    x: ArrayType,
    *,
    window_dimensions: Sizes,
    window_strides: Sizes,
    padding: Padding,
    base_dilation: Sizes = (),
    window_dilation: Sizes = (),
    **others: Any,
) -> Sizes:
    """The shape of an array with one element for every window over an `x`."""
    ones = (1,) * x.ndim
    base_dilation, window_dilation = base_dilation or ones, window_dilation or ones
    lists = (window_dimensions, window_strides, padding, base_dilation, window_dilation)
    if any(len(numbers) != x.ndim for numbers in lists):
        raise ArgumentError(
            f"windows {window_dimensions} with strides {window_strides}, padding {padding}, base_dilation "
            f"{base_dilation} and window_dilation {window_dilation} cannot slide over {x!r}.",
            f"Each of them needs an entry for each of the {x.ndim} axes.",
            "Use size 1, stride 1 and padding (0, 0) along axes without windows.",
        )
    return tuple([window_count(*numbers) for numbers in zip(x.shape, *lists, strict=True)])


def with_batch_axis(params: Params) -> dict[str, Any]:
    """The parameters for operands with a leading batch axis, along which nothing slides."""
    leading = {
        "window_dimensions": (1,),
        "window_strides": (1,),
        "padding": ((0, 0),),
        "base_dilation": (1,),
        "window_dilation": (1,),
    }
    return {name: leading.get(name, ()) + value if name in leading else value for name, value in params.items()}


class ReduceWindowSum(WindowPrimitive, LinearPrimitive):
    """The sum of each window."""

    def impl(self, x: Array, **params: Any) -> Array:
        zero = start_of("add", x.dtype)
        x, params = cropped(x, zero, **params)
        return lax.reduce_window(x, zero, lax.add, **params)

    def transpose(
        self,
        ct: Array,
        x: ArrayType,
        *,
        window_dimensions: Sizes,
        window_strides: Sizes,
        padding: Padding,
        base_dilation: Sizes,
        window_dilation: Sizes,
    ) -> Array:
        lists = (window_dimensions, window_strides, padding, base_dilation, window_dilation)
        around = [transposed_padding(*numbers) for numbers in zip(x.shape, *lists, strict=True)]
        spread = tuple([(*p, s - 1) for p, s in zip(around, window_strides, strict=True)])
        ones = (1,) * x.ndim
        return self(
            pad(ct, start_of("add", ct.dtype), padding_config=spread) if any(map(any, spread)) else ct,
            window_dimensions=window_dimensions,
            window_strides=base_dilation,
            padding=((0, 0),) * x.ndim,
            base_dilation=ones,
            window_dilation=window_dilation,
        )


class ReduceWindowExtremum(WindowPrimitive):
    """The largest or the smallest element of each window. The derivative belongs to the first such element."""

    own_derivative = True

    def __init__(self, name: str, function: Callable[..., Any], select_prim: str):
        super().__init__(name)
        self.function = function
        self.select_prim = select_prim

    def impl(self, x: Array, **params: Any) -> Array:
        start = start_of(self.select_prim, x.dtype)
        x, params = cropped(x, start, **params)
        return lax.reduce_window(x, start, self.function, **params)

    def jvp(self, primals: tuple, tangents: tuple, **params: Any) -> tuple[Any, Any]:
        ((x,), (t,)) = primals, tangents
        out = self(x, **params)
        return out, None if t is None else select_and_gather_add(t, x, select_prim=self.select_prim, **params)


class ReduceWindow(WindowPrimitive):
    """Each window reduced from `init_value` by a binary function: add, mul, max, min, and, or, xor.

    Elements of the padding are omitted.
    """

    own_derivative = True

    def impl(self, x: Array, init_value: Array, *, computation: str, **params: Any) -> Array:
        init_value = lax.convert_element_type(init_value, x.dtype)
        x, params = cropped(x, start_of(computation, x.dtype), **params)
        function = registry[computation].impl

        # A function of our own: JAX takes the known ones for reductions that start at their identity.
        def reduce(x: Array, y: Array) -> Array:
            return function(x, y)

        return lax.reduce_window(x, init_value, reduce, **params)

    def type_rule(self, x: ArrayType, *others: ArrayType, **params: Any) -> ArrayType:
        return super().type_rule(x, *others, **params).strong()

    def jvp(self, primals: tuple, tangents: tuple, *, computation: str, **params: Any) -> tuple[Any, Any]:
        (x, init_value), (t, t_init) = primals, tangents
        out = self(x, init_value, computation=computation, **params)
        if (t is None and t_init is None) or not is_inexact(out.dtype):
            return out, None
        so_far, tangent = (None if v is None else _repeated(v, out) for v in (init_value, t_init))
        pieces = window_slices(x, start_of(computation, x.dtype), **params)
        t_pieces = [None] * len(pieces) if t is None else window_slices(t, start_of("add", x.dtype), **params)
        for piece, t_piece in zip(pieces, t_pieces, strict=True):
            so_far, tangent = registry[computation].jvp((so_far, piece), (tangent, t_piece))
        return out, tangent

    def batch(
        self, axis: Axis, args: tuple, batched: tuple[bool, ...], *, computation: str, **params: Any
    ) -> tuple[Any, Any]:
        (x, init_value), (x_batched, init_batched) = args, batched
        params = dict(with_batch_axis(params), computation=computation)
        x = leading_axis(axis, x, x_batched)
        if not init_batched:
            return self(x, init_value, **params), True
        out = self(x, start_of(computation, x.dtype), **params)
        start = broadcast_in_dim(init_value, shape=out.shape, broadcast_dimensions=(0,))
        return registry[computation](start, out), True


class SelectAndGatherAdd(WindowPrimitive, LinearPrimitive):
    """The element of `tangents` at the place where `operand` is largest ("ge") or smallest ("le") in each window."""

    def impl(self, t: Array, x: Array, *, select_prim: str, **params: Any) -> Array:
        t, _ = cropped(t, start_of("add", t.dtype), **params)
        x, params = cropped(x, start_of(select_prim, x.dtype), **params)
        return lax.select_and_gather_add_p.bind(t, x, select_prim=SELECT[select_prim], **params)

    def transpose(
        self,
        ct: Array,
        t: ArrayType,
        x: Array,
        *,
        select_prim: str,
        padding: Padding,
        base_dilation: Sizes,
        window_dilation: Sizes,
        **params: Any,
    ) -> Any:
        if any(d != 1 for d in window_dilation):
            params |= {"padding": padding, "base_dilation": base_dilation, "window_dilation": window_dilation}
            return _scatter_by_slices(ct, x, select_prim, params), None
        # Scattering knows neither dilation nor negative padding, so both are done beforehand and undone afterwards.
        crop = tuple([(min(before, 0), min(after, 0)) for before, after in padding])
        config = tuple([(*c, d - 1) for c, d in zip(crop, base_dilation, strict=True)])
        if any(map(any, config)):
            x = pad(x, start_of(select_prim, x.dtype), padding_config=config)
        padding = tuple([(max(before, 0), max(after, 0)) for before, after in padding])
        ct = select_and_scatter_add(ct, x, select_prim=select_prim, padding=padding, **params)
        if any(map(any, crop)):
            back = tuple([(-before, -after, 0) for before, after in crop])
            ct = pad(ct, start_of("add", ct.dtype), padding_config=back)
        return _without_dilation(ct, base_dilation), None


class SelectAndScatterAdd(WindowPrimitive, LinearPrimitive):
    """The elements of `source`, each added where `operand` is largest ("ge") or smallest ("le") in its window."""

    def impl(self, source: Array, x: Array, *, select_prim: str, **params: Any) -> Array:
        return lax.select_and_scatter_add_p.bind(source, x, select_prim=SELECT[select_prim], **params)

    def type_rule(self, source: ArrayType, x: ArrayType, **params: Any) -> ArrayType:  # type: ignore[override]
        if source.shape != window_shape(x, **params):
            raise ArgumentError(
                f"select_and_scatter_add received a source of type {source!r} for windows over {x!r}.",
                f"The source needs an element for each window: its shape should be {window_shape(x, **params)}.",
                "Correct the source or the windows.",
            )
        return ArrayType(x.shape, x.dtype, source.weak_type and x.weak_type)

    def transpose(self, ct: Array, source: ArrayType, x: Array, **params: Any) -> Any:
        ones = (1,) * x.ndim
        return select_and_gather_add(ct, x, base_dilation=ones, window_dilation=ones, **params), None


def cropped(
    x: Array, fill: Array, *, padding: Padding, base_dilation: Sizes, **params: Any
) -> tuple[Any, dict[str, Any]]:
    """In an impl: x without the elements that negative padding takes away, and parameters without negative padding.

    XLA mistakes windows of one element with negative padding for no windows at all, and ends the process.
    """
    if any(p < 0 for pair in padding for p in pair):
        config = [
            (min(before, 0), min(after, 0), d - 1) for (before, after), d in zip(padding, base_dilation, strict=True)
        ]
        x = lax.pad(x, lax.full_like(x, fill, shape=()), config)
        padding = tuple([(max(before, 0), max(after, 0)) for before, after in padding])
        base_dilation = (1,) * x.ndim
    return x, {"padding": padding, "base_dilation": base_dilation, **params}


def window_slices(
    x: Array,
    fill: Array,
    *,
    window_dimensions: Sizes,
    window_strides: Sizes,
    padding: Padding,
    base_dilation: Sizes,
    window_dilation: Sizes,
) -> list[Any]:
    """For each place in a window, the elements that all windows have there; `fill` where that is padding."""
    config = tuple([(*p, d - 1) for p, d in zip(padding, base_dilation, strict=True)])
    counts = [
        window_count(*numbers)
        for numbers in zip(
            x.shape, window_dimensions, window_strides, padding, base_dilation, window_dilation, strict=True
        )
    ]
    x = pad(x, fill, padding_config=config) if any(map(any, config)) else x
    pieces = []
    for place in product(*map(range, window_dimensions)):
        starts = tuple([i * d for i, d in zip(place, window_dilation, strict=True)])
        limits = tuple([start + dilated(n, s) for start, n, s in zip(starts, counts, window_strides, strict=True)])
        pieces.append(strided_slice(x, start_indices=starts, limit_indices=limits, strides=window_strides))
    return pieces


def _scatter_by_slices(ct: Array, x: Array, select_prim: str, params: Params) -> Array:
    """What select_and_scatter_add would give if it knew dilated windows."""
    pieces = window_slices(x, start_of(select_prim, x.dtype), **params)
    best, chosen = pieces[0], _repeated(np.int32(0), ct)
    for i, piece in enumerate(pieces[1:], 1):
        keep = registry[select_prim](best, piece)
        best = elementwise.select_n(keep, piece, best)
        chosen = elementwise.select_n(keep, _repeated(np.int32(i), ct), chosen)
    zero = start_of("add", ct.dtype)
    total = None
    lists = (x.shape, ct.shape, *(params[name] for name in ("window_strides", "padding", "base_dilation")))
    for i, place in enumerate(product(*map(range, params["window_dimensions"]))):
        config = []
        for k, d, n, count, stride, (before, _), base in zip(place, params["window_dilation"], *lists, strict=True):
            start = k * d - before
            config.append((start, dilated(n, base) - start - dilated(count, stride), stride - 1))
        mine = elementwise.select_n(elementwise.eq(chosen, i), zeros_like(ct), ct)
        total = add_tangents(total, pad(mine, zero, padding_config=tuple(config)))
    return _without_dilation(total, params["base_dilation"])


def _without_dilation(x: Array, dilation: Sizes) -> Array:
    """Every `dilation`-th element of x along each axis."""
    if all(d == 1 for d in dilation):
        return x
    return strided_slice(x, start_indices=(0,) * len(dilation), limit_indices=tuple(x.shape), strides=dilation)


def _repeated(value: Array, like: Array) -> Array:
    """A scalar as an array of the shape of `like`; a Python scalar gets its dtype too."""
    value = wrapped(value, like.dtype) if type(value) in PYTHON_SCALARS else value
    return broadcast_in_dim(value, shape=tuple(like.shape), broadcast_dimensions=())


def start_of(computation: str, dtype: Any) -> Array:
    """The NumPy scalar from which a reduction starts; "ge" and "le" are the selections of max and min."""
    if computation in ("max", LARGEST, "min", SMALLEST):
        largest = computation in ("max", LARGEST)
        if is_inexact(dtype):
            value = -np.inf if largest else np.inf
        elif dtype == np.bool_:
            value = not largest
        else:
            value = np.iinfo(dtype).min if largest else np.iinfo(dtype).max
    else:
        value = {"add": 0, "mul": 1, "and": -1, "or": 0, "xor": 0}[computation]
    return np.asarray(value).astype(dtype)[()]


SELECT: dict[str, Any] = {LARGEST: lax.ge_p, SMALLEST: lax.le_p}

reduce_window_sum = ReduceWindowSum("reduce_window_sum")
reduce_window_max = ReduceWindowExtremum("reduce_window_max", lax.max, LARGEST)
reduce_window_min = ReduceWindowExtremum("reduce_window_min", lax.min, SMALLEST)
reduce_window = ReduceWindow("reduce_window")
select_and_gather_add = SelectAndGatherAdd("select_and_gather_add")
select_and_scatter_add = SelectAndScatterAdd("select_and_scatter_add")
