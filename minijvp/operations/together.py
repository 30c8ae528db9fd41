"""Taylor rules that work on many coefficients in one operation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minijvp.core import placements
from minijvp.core.primitive import Axis, Primitive
from minijvp.core.types import Array, Params
from minijvp.operations.families import convolution, reshape
from minijvp.operations.shape import concatenate, split


def products(primitive: Primitive, primals: tuple, series: tuple, params: Params) -> tuple[Any, Any]:
    """The Taylor rule of a bilinear operation. A constant meets all coefficients that are known in one batch.

    So a matrix is read once for all, and the compiler sees one product.
    """
    moving = tuple([s is not None for s in series])
    if all(moving) or placements.met:
        return convolution(primitive, primals, series, params)
    place = moving.index(True)
    x = series[place]
    found: dict[int, Any] = {}

    def operands(rows: Any) -> tuple[Any, Any]:
        return (rows, primals[1]) if place == 0 else (primals[0], rows)

    def find(k: int) -> Any:
        if k not in found:
            given = [x[j] for j in range(k, x.ready + 1)] if x[k] is not None else [None]
            found.update(enumerate(given, k))
            known = {j: c for j, c in enumerate(given, k) if c is not None}
            if len(known) > 1:
                rows, _ = primitive.batch(Axis(len(known)), operands(stacked(list(known.values()))), moving, **params)
                found.update(zip(known, unstacked(rows, len(known)), strict=True))
            else:
                found.update({j: primitive(*operands(c), **params) for j, c in known.items()})
        return found[k]

    return primitive(*primals, **params), find


def stacked(xs: Sequence[Array]) -> Array:
    """Arrays of one type as the rows of one."""
    return concatenate(*[reshape(x, new_sizes=(1, *x.shape)) for x in xs], dimension=0)


def unstacked(x: Array, n: int) -> list[Array]:
    """The `n` rows of an array."""
    return [reshape(row, new_sizes=x.shape[1:]) for row in split(x, sizes=(1,) * n, axis=0)]
