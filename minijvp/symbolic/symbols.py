"""Trees of symbols and expressions: the names of symbols, and what is in such a tree."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product as indices
from keyword import iskeyword
from typing import Any

import numpy as np
from jax.tree_util import tree_leaves

from minijvp import trees
from minijvp.core.types import ArrayType, type_of
from minijvp.errors import ArgumentError
from minijvp.symbolic.arrays import filled
from minijvp.symbolic.elements import kind_of, sympy


def spread(x: Any, symbols: Any) -> Any:
    """The values of the symbols of a leaf."""
    return np.ravel(x) if np.shape(symbols) else [x]


def shown_name(fun: Any) -> str:
    """How tables, pictures and equations call a function: its name, or f if it has none."""
    name = trees.function_name(fun)
    return name if is_name(name) else "f"


def flat(tree: Any) -> list[Any]:
    """All symbols or expressions of a tree."""
    return [e for leaf in tree_leaves(tree) for e in np.ravel(np.asarray(leaf, object))]


def named(tree: Any) -> list[tuple[str, Any]]:
    """All expressions of a tree, each with its path and index as text."""
    found = []
    for path, leaf in zip(trees.leaf_paths(tree), tree_leaves(tree), strict=True):
        shape = np.shape(leaf)
        places = [f"{path}[{', '.join(map(str, i))}]" if shape else path for i in indices(*map(range, shape))]
        found += zip(places, np.ravel(np.asarray(leaf, object)), strict=True)
    return found


def leaf_names(f: Any, args: tuple[Any, ...], names: Sequence[str] | None, user: str) -> list[str]:
    """The name of each leaf of the arguments: that of the argument, and what its path says."""
    if names is None:
        found = [trees.argument_name(f, i) for i in range(len(args))]
        names = [n if n.isidentifier() else f"x{i}" for i, n in enumerate(found)]
    elif isinstance(names, str) or len(names) != len(args) or not all(map(is_name, names)):
        raise ArgumentError(
            f"{user} received names={names!r} for {len(args)} arguments.",
            "Each argument has one name, which is an identifier of Python.",
            f"Pass a tuple of names, such as {tuple(f'x{i}' for i in range(len(args)))}.",
        )
    return [leaf_name(name, path) for name, x in zip(names, args, strict=True) for path in trees.leaf_paths(x)]


def is_name(name: Any) -> bool:
    """Whether a symbol may be called so."""
    return isinstance(name, str) and name.isidentifier() and not iskeyword(name)


def leaf_name(name: str, path: str) -> str:
    """`p` and `['w'][0]` as p_w_0."""
    words = "".join(c if c.isalnum() else " " for c in path).split()
    return "_".join([name, *words])


def element_names(name: str, shape: tuple[int, ...]) -> list[str]:
    """The names of the elements of a leaf."""
    return ["_".join([name, *map(str, i)]) for i in indices(*map(range, shape))]


def new_symbols(leaves: Sequence[Any], names: Sequence[str]) -> list[Any]:
    """A symbol for each scalar, an array of them for each array."""
    every = [n for x, name in zip(leaves, names, strict=True) for n in element_names(name, np.shape(x))]
    twice = {n for n in every if every.count(n) > 1}
    if twice:
        raise ArgumentError(
            f"two arguments have the symbol {min(twice)}.",
            "Symbols of elements and leaves are named by their arguments and places, and these names coincide.",
            "Give the arguments other names: names=(...).",
        )
    return [symbols_of(type_of(x), name) for x, name in zip(leaves, names, strict=True)]


def require_number(t: ArrayType, what: str) -> None:
    """Raise ArgumentError for random keys."""
    if kind_of(t) == "k":
        raise ArgumentError(
            f"{what} is a {t!r}.",
            "A random key is no number, and has neither symbol nor expression.",
            "Take the key into the function and return numbers: those drawn with it are constants.",
        )


def symbols_of(t: ArrayType, name: str) -> Any:
    """The symbols of a leaf."""
    kind = kind_of(t)
    require_number(t, f"the argument {name}")
    assumptions = {"c": {"complex": True}, "f": {"real": True}, "i": {"integer": True}, "b": {}}[kind]
    made = filled(t.shape, [sympy().Symbol(n, **assumptions) for n in element_names(name, t.shape)])
    return made if t.shape else made[()]
