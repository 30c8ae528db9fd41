"""Expressions as numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

import numpy as np
from jax.tree_util import tree_leaves, tree_map

from minijvp import trees
from minijvp.core.types import is_inexact
from minijvp.errors import ArgumentError
from minijvp.symbolic.elements import sympy
from minijvp.symbolic.symbols import element_names, flat, leaf_name


def compiled(symbols: Sequence[Any], outputs: Any) -> Any:
    """A function from numbers for the symbols to the values of a tree of expressions."""
    sp = sympy()
    modules = [{"stop_gradient": lambda x: x}, "scipy", "numpy"]
    function = sp.lambdify(symbols, flat(outputs), modules=modules, cse=True)

    def values(*numbers: Any) -> Any:
        wide = [x.astype(float) if is_inexact(x.dtype) and x.dtype.kind != "c" else x for x in map(np.asarray, numbers)]
        with np.errstate(all="ignore"):  # of the branches that a Piecewise does not take
            found = iter([np.asarray(v) for v in function(*wide)])
        return tree_map(lambda leaf: joined(found, np.shape(leaf)), outputs)

    return values


def joined(values: Iterator[Any], shape: tuple[int, ...]) -> Any:
    """The next values as an array of this shape, with axes behind where the values are arrays."""
    if not shape:
        return next(values)[()]
    if not prod(shape):
        return np.zeros(shape)
    rows = np.broadcast_arrays(*[next(values) for _ in range(prod(shape))])
    return np.stack(rows).reshape(*shape, *rows[0].shape)


def evaluate(tree: Any, /, **values: Any) -> Any:
    """The numbers that expressions have for given values of their symbols, as NumPy arrays in a like tree.

    Args:
        tree: a tree of expressions of SymPy, or of arrays of them.
        values: for each argument of the function that they came from its value, by name: a number, array or tree; or
            the value of a symbol by the name of that. An array for a scalar gives the results at all its elements.

    Raises ArgumentError for a symbol without a value.

    >>> import minijvp.symbolic, minijvp.numpy as mnp
    >>> square = minijvp.symbolic.to_sympy(lambda x: (x * x).sum(), mnp.ones(2)).outputs
    >>> print(square, evaluate(square, x=[3.0, 4.0]))
    x_0**2 + x_1**2 25.0
    """
    sympy()
    symbols = sorted(set().union(*[e.free_symbols for e in flat(tree)]), key=str)
    wanted = {str(s) for s in symbols}
    given: dict[str, Any] = {}
    for name, value in values.items():
        for path, x in zip(trees.leaf_paths(value), tree_leaves(value), strict=True):
            leaf = leaf_name(name, path)
            given[leaf] = np.asarray(x)
            if leaf not in wanted:
                given |= zip(element_names(leaf, np.shape(x)), np.ravel(x), strict=True)
    missing = [name for name in sorted(wanted) if name not in given]
    if missing:
        raise ArgumentError(
            f"evaluate received no value for {', '.join(missing)}.",
            f"The expressions depend on {', '.join(sorted(wanted))}. Values came for {', '.join(values) or 'none'}.",
            "Pass a value for each argument of the function by name, as in evaluate(expression, x=1.0).",
        )
    return compiled(symbols, tree)(*[given[str(s)] for s in symbols])
