"""Trees of arrays as vectors, for solvers that are written for vectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jax.tree_util import tree_flatten, tree_unflatten

import minijvp.numpy as mnp
from minijvp.core.types import Array, type_of


class Vectors:
    """The space of the trees that are like `tree`, which holds arrays: `ravel` and `unravel` go to vectors and back."""

    def __init__(self, tree: Any):
        leaves, self.structure = tree_flatten(tree)
        self.types = tuple([type_of(x) for x in leaves])
        self.size = sum(t.size for t in self.types)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vectors) and (self.structure, self.types) == (other.structure, other.types)

    def __hash__(self) -> int:
        return hash((self.structure, self.types))

    def ravel(self, tree: Any) -> Array:
        """The entries of a tree in one vector, in the dtype that holds them all."""
        leaves = [mnp.reshape(x, (-1,)) for x in tree_flatten(tree)[0]]
        return leaves[0] if len(leaves) == 1 else mnp.concatenate(leaves) if leaves else mnp.zeros(0)

    def unravel(self, vector: Array) -> Any:
        """The tree that has these entries."""
        leaves, start = [], 0
        for t in self.types:
            part = mnp.reshape(vector[start : start + t.size] if len(self.types) > 1 else vector, t.shape)
            leaves.append(part if part.dtype == t.dtype else part.astype(t.dtype))
            start += t.size
        return tree_unflatten(self.structure, leaves)

    def flat(self, fun: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """A function of trees as one of vectors."""
        return lambda vector: self.ravel(fun(self.unravel(vector)))
