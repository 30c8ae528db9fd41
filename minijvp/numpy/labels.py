"""Products of two arrays by labels of their axes. Axes that are multiplied together have the same label."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from minijvp.core.types import Array, Params
from minijvp.errors import ArgumentError
from minijvp.numpy.promotion import as_dtype, promote
from minijvp.numpy.reducing import in_dtype
from minijvp.operations import slicing
from minijvp.operations.contraction import contract
from minijvp.operations.elementwise import conj
from minijvp.operations.families import reduce_sum, reshape
from minijvp.operations.reduction import reduce_or
from minijvp.operations.shape import transpose

Labels = tuple[Hashable, ...]


def leading_labels(n: int) -> Labels:
    """Labels for n axes that are broadcast, counted from the end: equal axes of two operands get equal ones."""
    return tuple(range(-n, 0))


def diagonal_of(x: Array, first: int, second: int, offset: int = 0) -> Array:
    """The diagonal of two axes, as the last axis: every n+1-th element of the flattened rows."""
    rest = tuple([d for d in range(x.ndim) if d not in (first, second)])
    n, m = x.shape[first], x.shape[second]
    shape = tuple([x.shape[d] for d in rest])
    length = max(min(n, m - offset) if offset >= 0 else min(n + offset, m), 0)
    start = (offset if offset >= 0 else -offset * m) if length else 0
    if (*rest, first, second) != tuple(range(x.ndim)):
        x = transpose(x, permutation=(*rest, first, second))
    x = reshape(x, new_sizes=(*shape, n * m))
    zeros = (0,) * len(rest)
    limit = start + (length - 1) * (m + 1) + 1 if length else 0
    steps = (*[1 for _ in rest], m + 1)
    return slicing.slice(x, start_indices=(*zeros, start), limit_indices=(*shape, limit), strides=steps)


def squeezed(x: Array, labels: Labels, sizes: dict[Hashable, int]) -> tuple[Any, Labels]:
    """`x` without its axes of size 1 whose label has another size."""
    kept = tuple([name for name, n in zip(labels, x.shape, strict=True) if n == sizes[name]])
    if kept == labels:
        return x, labels
    return reshape(x, new_sizes=tuple([sizes[name] for name in kept])), kept


def product_of_pair(
    function: str,
    a: Array,
    a_labels: Labels,
    b: Array,
    b_labels: Labels,
    out_labels: Labels,
    precision: Any = None,
    preferred: Any = None,
) -> Array:
    """The contraction of two arrays of any dtypes. Axes of size 1 are broadcast if they are in the result."""
    if a.dtype != b.dtype:
        a, b = promote(function, a, b)
    sizes = dict(zip(a_labels, a.shape, strict=True))
    for name, n in zip(b_labels, b.shape, strict=True):
        known = sizes.setdefault(name, n)
        if known != n:
            if name not in out_labels or 1 not in (known, n):
                raise unequal_sizes(function, name, known, n, a.shape, b.shape)
            sizes[name] = n if known == 1 else known
    a, a_labels = squeezed(a, a_labels, sizes)
    b, b_labels = squeezed(b, b_labels, sizes)
    preferred = as_dtype(preferred)
    out = contract(a, a_labels, b, b_labels, out_labels, precision=precision, preferred_element_type=preferred)  # type: ignore[arg-type]
    return out if preferred is None else in_dtype(out, preferred)


def free_product(function: str, a: Array, a_labels: Labels, b: Array, b_labels: Labels, *params: Any) -> Array:
    """The contraction over all common labels."""
    free = [name for name in a_labels if name not in b_labels] + [name for name in b_labels if name not in a_labels]
    return product_of_pair(function, a, a_labels, b, b_labels, tuple(free), *params)


def separate_labels(a: Array, b: Array) -> tuple[Labels, Labels]:
    """Labels for the axes of both, none in common."""
    return tuple(range(a.ndim)), tuple(range(a.ndim, a.ndim + b.ndim))


def contracted(x: Array, x_labels: Labels, y: Array, y_labels: Labels, out_labels: Labels, params: Params) -> Array:
    """The contraction of two operands after each is summed over the labels that are only its own."""
    x, x_labels = lone_summed(x, x_labels, (y_labels, out_labels))
    y, y_labels = lone_summed(y, y_labels, (x_labels, out_labels))
    return contract(x, x_labels, y, y_labels, out_labels, **params)  # type: ignore[arg-type]


def lone_summed(x: Array, labels: Labels, others: Sequence[Labels]) -> tuple[Any, Labels]:
    """`x` summed over the labels that are in none of the others."""
    kept = needed_labels((labels,), others)
    if len(kept) == len(labels):
        return x, labels
    axes = tuple([d for d, name in enumerate(labels) if name not in kept])
    return (reduce_or if x.dtype == np.bool_ else reduce_sum)(x, axes=axes), kept


def needed_labels(terms: Sequence[Labels], others: Sequence[Labels]) -> Labels:
    """The labels of the terms that others have too: common ones first, as a contraction gives them."""
    wanted = {name for term in others for name in term}
    common = [name for name in terms[0] if name in wanted and name in terms[-1]]
    free = [name for term in terms for name in term if name in wanted and name not in common]
    return (*common, *free)


def unequal_sizes(function: str, name: Hashable, n: int, m: int, *shapes: Any) -> ArgumentError:
    """The error for two axes that are multiplied and have different sizes."""
    return ArgumentError(
        f"minijvp.numpy.{function} received axes of sizes {n} and {m} to multiply"
        + (f", of operands of shapes {shapes[0]} and {shapes[1]}." if shapes else f" (label {name!r})."),
        "Axes that are multiplied together have equal sizes.",
        "Correct the operands, their order, or the axes.",
    )


def conjugated(x: Array) -> Array:
    """The conjugate of complex numbers; others as they are."""
    return conj(x, input_dtype=x.dtype) if x.dtype.kind == "c" else x
