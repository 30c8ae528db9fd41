"""Pytrees as vectors: the names of jax.flatten_util."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from itertools import accumulate
from typing import Any

import numpy as np
from jax.tree_util import tree_flatten, tree_unflatten

from minijvp import numpy as mnp
from minijvp import trees
from minijvp.arguments.tangents import leaf_namer
from minijvp.core.types import type_of
from minijvp.errors import ArgumentError

__all__ = ["ravel_pytree"]


def __dir__() -> list[str]:
    return sorted(__all__)


class Unravel:
    """The function from a vector to the tree that it was. Hashable: equal for trees of one structure and one type."""

    def __init__(self, tree: Any, types: tuple[Any, ...], dtype: Any):
        self.tree, self.types, self.dtype = tree, types, dtype
        self.ends = tuple(accumulate([t.size for t in types]))

    def __eq__(self, other: object) -> bool:
        return type(other) is Unravel and self.key() == other.key()

    def __hash__(self) -> int:
        return hash(self.key())

    def key(self) -> tuple:
        return self.tree, self.types, self.dtype

    def __call__(self, flat: Any) -> Any:
        found = trees.require_array(flat, lambda: "what was given to unravel")
        wanted = (self.ends[-1] if self.ends else 0,)
        if found.shape != wanted or found.dtype != self.dtype:
            raise ArgumentError(
                f"a function from ravel_pytree received {found!r}, and takes {self.dtype.name}[{wanted[0]}].",
                "It gives the tree back from a vector of the length and the dtype that the tree was flattened to.",
                "Pass such a vector.",
            )
        parts = mnp.split(flat, self.ends[:-1]) if self.ends else []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", np.exceptions.ComplexWarning)
            leaves = [x.reshape(t.shape).astype(t.dtype) for x, t in zip(parts, self.types, strict=True)]
        return tree_unflatten(self.tree, leaves)


def ravel_pytree(pytree: Any) -> tuple[Any, Callable[[Any], Any]]:
    """All numbers of a pytree as one vector, of the dtype that its leaves are promoted to; and the way back.

    ravel_pytree : a -> (Vector, Vector -> a)

    The second gives each leaf its shape and its dtype.

    Raises ArgumentError for leaves that are not arrays, and on the way back for vectors of another length or dtype.

    >>> import minijvp.numpy as mnp
    >>> from minijvp.flatten_util import ravel_pytree
    >>> flat, unravel = ravel_pytree({"w": mnp.ones((2, 2)), "b": mnp.zeros(1)})
    >>> flat.tolist(), unravel(2 * flat)["w"].tolist()
    ([0.0, 1.0, 1.0, 1.0, 1.0], [[2.0, 2.0], [2.0, 2.0]])
    """
    leaves, tree = tree_flatten(pytree)
    leaves = trees.as_arrays(leaves, leaf_namer(pytree, "the tree"))
    types = tuple([type_of(x).strong() for x in leaves])
    if not leaves:
        flat = mnp.array([])
        return flat, Unravel(tree, (), flat.dtype)
    dtype = mnp.result_type(*[t.dtype for t in types])
    flat = mnp.concatenate([mnp.ravel(x).astype(dtype) for x in leaves])
    return flat, Unravel(tree, types, np.dtype(dtype))
