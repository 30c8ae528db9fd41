"""Operands that explicit axes of a mesh have to split alike."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from minijvp.core import placements
from minijvp.core.primitive import Primitive
from minijvp.core.types import Array


def alike(*xs: Any) -> tuple[Any, ...]:
    """Values of JAX of one shape, all split over explicit axes as the first is that is split; those of no axes stay."""
    if placements.met:
        found = [jax.typeof(x).sharding for x in xs if np.ndim(x)]
        split = next((s for s in found if any([entry is not None for entry in s.spec])), None)
        if split is not None:
            return tuple(
                [x if not np.ndim(x) or jax.typeof(x).sharding == split else jax.sharding.reshard(x, split) for x in xs]
            )
    return xs


class SplitAlike(Primitive):
    """A primitive whose operands explicit axes of a mesh have to split alike: they are brought to that.

    `plain_impl` is the result for operands that are.
    """

    def impl(self, *xs: Array, **params: Any) -> Any:
        return self.plain_impl(*alike(*xs), **params)

    def plain_impl(self, *xs: Array, **params: Any) -> Any:
        raise self.missing("plain_impl")
