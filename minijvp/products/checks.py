"""What products with derivatives ask of arguments and results: that they are real."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp

from minijvp import trees
from minijvp.core.types import is_inexact, type_of
from minijvp.errors import ArgumentError
from minijvp.trees import FlatFunction, Selection


def require_real_arguments(selection: Selection, who: str) -> None:
    """Raise ArgumentError for an argument that is not a real floating array."""
    for i, x in enumerate(selection.leaves):
        kind = type_of(x)
        if not jnp.issubdtype(kind.dtype, jnp.floating):
            raise ArgumentError(
                f"{who} of {selection.name} received {kind!r} for {selection.leaf_name(i)}.",
                "By a complex number there are two derivatives, along the real and the imaginary axis."
                if is_inexact(kind.dtype)
                else "Integers and booleans have no derivative: no value lies close to another.",
                "Differentiate by two real arguments: lambda x, y: f(x + 1j * y)."
                if is_inexact(kind.dtype)
                else "Pass floats (1.0 for 1; x.astype(float)), or choose another argument with argnums.",
            )


def require_real_results(flat: FlatFunction, outs: Sequence[Any], who: str) -> None:
    """Raise ArgumentError for a result that is not a real floating array."""
    for i, x in enumerate(outs[: flat.n]):
        kind = type_of(x)
        if not jnp.issubdtype(kind.dtype, jnp.floating):
            names = trees.leaf_paths(trees.tree_unflatten(flat.out_tree, outs[: flat.n]))
            raise ArgumentError(
                f"{who} cannot use the result{names[i]} of {flat.name}, which is {kind!r}.",
                "It works with the derivatives of real numbers, and integers have none.",
                "Return floats: real(x) and imag(x) of complex numbers.",
            )
