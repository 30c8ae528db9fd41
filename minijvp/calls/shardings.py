"""The shardings that jit is given, as operations of programs, so that every transformation keeps them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jax.tree_util import tree_flatten, tree_unflatten

from minijvp import trees
from minijvp.operations.sharding import sharding_constraint


def constrained(fun: Callable[..., Any], in_shardings: Any, out_shardings: Any) -> Callable[..., Any]:
    """The function with its arguments and its result held to shardings, where there are any."""
    if in_shardings is None and out_shardings is None:
        return fun

    @trees.wraps(fun)
    def constrained(*args: Any, **kwargs: Any) -> Any:
        if in_shardings is not None:
            args = constrain(args, in_shardings, "in_shardings")
        return constrain(fun(*args, **kwargs), out_shardings, "out_shardings")

    return constrained


def constrain(tree: Any, shardings: Any, what: str) -> Any:
    """The tree with every leaf held to its sharding; a sharding of None leaves the choice to the compiler."""
    if shardings is None:
        return tree
    leaves, structure = tree_flatten(tree)
    entries = trees.flatten_prefix(shardings, tree, what)
    held = [x if s is None else sharding_constraint(x, sharding=s) for x, s in zip(leaves, entries, strict=True)]
    return tree_unflatten(structure, held)
