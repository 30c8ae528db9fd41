"""Pytrees at the public border: arguments and results as flat lists, and messages that name a leaf by its path."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.tree_util import keystr, tree_flatten, tree_flatten_with_path, tree_structure, tree_unflatten

from minijvp.core.types import PYTHON_SCALARS, ArrayType, type_of
from minijvp.errors import ArgumentError

__all__ = [
    "argument_name",
    "as_arrays",
    "flatten_prefix",
    "function_name",
    "leaf_paths",
    "normalize_indices",
    "tree_flatten",
    "tree_structure",
    "tree_unflatten",
]


def function_name(fun: Any) -> str:
    """How messages call a function."""
    return getattr(fun, "__name__", None) or getattr(getattr(fun, "func", None), "__name__", None) or repr(fun)


def leaf_paths(tree: Any) -> list[str]:
    """The path of each leaf, as in `[0]['w']`."""
    return [keystr(path) or "" for path, _ in tree_flatten_with_path(tree)[0]]


def argument_name(fun: Any, index: int) -> str:
    """The name of a positional parameter of `fun`, or its number."""
    try:
        names = [
            p.name
            for p in inspect.signature(fun).parameters.values()
            if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]
    except (TypeError, ValueError):
        names = []
    return names[index] if index < len(names) else f"argument {index}"


def as_arrays(leaves: Sequence[Any], where: Callable[[int], str]) -> list[Any]:
    """The leaves with Python and NumPy scalars and arrays made jax arrays; ArgumentError names the leaf that is no array."""
    arrays = []
    for i, x in enumerate(leaves):
        try:
            type_of(x)
        except ArgumentError as error:
            raise ArgumentError(f"{where(i)} is not an array: {error.what}", error.why, error.do) from None
        arrays.append(jnp.asarray(x) if needs_conversion(x) else x)
    return arrays


def needs_conversion(x: Any) -> bool:
    """Whether a value with a type is neither a jax array nor a tracer."""
    return type(x) in PYTHON_SCALARS or type(x).__module__ == "numpy"


def normalize_indices(indices: Sequence[int], n: int, what: str, fun: Any) -> tuple[int, ...]:
    """Non-negative positions among `n` arguments; ArgumentError if one is out of range or repeated."""
    positions = []
    for i in indices:
        if not -n <= i < n:
            raise ArgumentError(
                f"{what}={i} is out of range: {function_name(fun)} was called with {n} positional argument{'s' * (n != 1)}.",
                f"{what} counts positional arguments from 0.",
                "Correct it, or name the argument: grad and value_and_grad take argnums='name' too.",
            )
        positions.append(i % n)
    if len(set(positions)) != len(positions):
        raise ArgumentError(f"{what}={tuple(indices)} names an argument twice.", "", "Name each argument once.")
    return tuple(positions)


def flatten_prefix(prefix: Any, tree: Any, what: str) -> list[Any]:
    """One entry of `prefix` for each leaf of `tree`, where a leaf of `prefix` (None is one) stands for a whole subtree."""
    entries: list[Any] = []

    def is_none(x: Any) -> bool:
        return x is None

    def add(entry: Any, subtree: Any) -> None:
        entries.extend([entry] * tree_structure(subtree).num_leaves)

    try:
        jax.tree_util.tree_map(add, prefix, tree, is_leaf=is_none)
    except (ValueError, TypeError) as error:
        raise ArgumentError(
            f"{what}={prefix!r} does not fit the value that it describes, of structure {tree_structure(tree)}.",
            f"It must be an entry for the whole, or a tree that is a prefix of it. ({error})",
            f"Give {what} the same containers as the value, down to where one entry serves all that is below.",
        ) from None
    return entries


def type_string(types: Sequence[ArrayType]) -> str:
    return ", ".join(map(repr, types))
