"""Sizes of axes, which are numbers, or symbolic where a program is exported for arrays of any size (jax.export)."""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from jax import lax
from jax.errors import InconclusiveDimensionOperation
from jax.export import is_symbolic_dim

is_symbolic: Callable[[Any], bool] = is_symbolic_dim
"""Whether a size is symbolic: one of jax.export.symbolic_shape, or computed from some."""

LARGEST = 62
"""Sizes that may be 2 to the power of so many have no bound."""


def as_size(n: Any) -> Any:
    """A size as an integer of Python, or as it is if it is symbolic. Raises TypeError for what is none."""
    return n if type(n) is int or is_symbolic(n) else operator.index(n)


def decided(comparison: Any, unknown: bool = False) -> bool:
    """The outcome of a comparison of sizes, `comparison()`; `unknown` where it depends on what symbolic ones are."""
    try:
        return bool(comparison())
    except InconclusiveDimensionOperation:
        return unknown


def countable(n: Any) -> int:
    """A size as a number, for plans: the bound of a symbolic one, or the least that it can be where it has none."""
    return n if isinstance(n, (int, np.integer)) else _bound(n)  # type: ignore[return-value]


@lru_cache(maxsize=1024)
def _bound(n: Any) -> int:
    """The least power of 2 that a symbolic size is known not to exceed, or that it is known to reach."""
    powers = [1 << k for k in range(LARGEST)]
    above = next((k for k in powers if decided(lambda k=k: n <= k)), None)
    return max([k for k in powers if decided(lambda k=k: n >= k)], default=0) if above is None else above


def broadcast_shapes(*shapes: tuple[Any, ...]) -> tuple[Any, ...]:
    """The shape to which all broadcast. Raises ValueError if there is none, or if it is not known of symbolic sizes."""
    try:
        return tuple(np.broadcast_shapes(*shapes))
    except TypeError:
        return tuple(lax.broadcast_shapes(*shapes))
