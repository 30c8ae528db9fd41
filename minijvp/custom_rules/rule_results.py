"""What rules of users return, held against what they must return, in flat lists where None is zero."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jax.custom_derivatives import SymbolicZero
from jax.tree_util import tree_flatten, tree_map, tree_structure, tree_unflatten

from minijvp import trees
from minijvp.arguments.tangents import FLOAT0, from_user
from minijvp.calls.programs import fits
from minijvp.core.types import ArrayType, is_inexact, type_of
from minijvp.errors import ArgumentError
from minijvp.operations.casting import convert_element_type


class Leaf:
    """A leaf of a structure, where nothing else is."""


def entries_of(given: Any, structure: Any, prefix: bool = False) -> list[Any] | None:
    """The entries of a tree at the leaves of `structure`; None, for a leaf or all below it, is zero. None: no fit.

    Of a `prefix` any entry may stand for all leaves below it.
    """
    found: list[Any] = []
    fit = True

    def add(entry: Any, part: Any) -> None:
        nonlocal fit
        if prefix or entry is None or isinstance(part, Leaf):
            zero = isinstance(entry, SymbolicZero)
            found.extend([None if zero else entry] * tree_structure(part).num_leaves)
        else:
            fit = False

    example = tree_unflatten(structure, [Leaf() for _ in range(structure.num_leaves)])
    try:
        tree_map(add, given, example, is_leaf=lambda x: x is None)
    except (TypeError, ValueError):
        return None
    return found if fit else None


def pair(result: Any, role: str, wanted: str) -> tuple[Any, Any]:
    """The two things that a rule returned; ArgumentError if it returned something else."""
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        found = f"{type(result).__name__}" + (f" of {len(result)}" if isinstance(result, (tuple, list)) else "")
        raise ArgumentError(f"{role} returned {found}.", f"It returns a pair: {wanted}.", "Return such a pair.")
    return result[0], result[1]


def leaves_of(out: Any, role: str, name: str, tree: Any) -> list[Any]:
    """The leaves of the result that a rule returned, as arrays; ArgumentError if the function returns another tree."""
    leaves, found = tree_flatten(out)
    if found != tree:
        raise ArgumentError(
            f"{role} returned a result of structure {found}, but {name} returns {tree}.",
            "The first thing that it returns is the result of the function.",
            "Return the same containers from both.",
        )
    return trees.as_arrays(leaves, trees.result_namer(out, role))


def outputs_of(out: Any, role: str, name: str, tree: Any, types: Sequence[ArrayType]) -> list[Any]:
    """The leaves of the result that a rule returned, of the structure and the types that the function gives."""
    leaves, where = leaves_of(out, role, name, tree), trees.result_namer(out, role)
    for i, (x, kind) in enumerate(zip(leaves, types, strict=True)):
        if not fits(type_of(x), kind):
            raise ArgumentError(
                f"{where(i)} is {type_of(x)!r}, but {name} gives {kind!r} there.",
                "The first thing that it returns is the result of the function.",
                "Compute the same in both, in the same dtype.",
            )
    return leaves


def tangents_of(result: Any, role: str, name: str, tree: Any, types: Sequence[ArrayType]) -> tuple[list[Any], Any]:
    """The results and their tangents, from what a jvp rule returned."""
    out, tangent = pair(result, role, "the result, and its tangent")
    outs = outputs_of(out, role, name, tree, types)
    entries = entries_of(tangent, tree)
    if entries is None:
        raise ArgumentError(
            f"{role} returned a tangent of structure {tree_structure(tangent)} for a result of structure {tree}.",
            "Every leaf of the result has a tangent.",
            "Return the same containers for both; None stands for zero.",
        )
    paths = trees.leaf_paths(out)
    return outs, checked(entries, types, "tangent", lambda i: f"result{paths[i]} of {role}")


def forward_results_of(
    result: Any, role: str, name: str, tree: Any, types: Sequence[ArrayType]
) -> tuple[list[Any], list[Any], Any]:
    """The results, the leaves of the residuals and their structure, from what `fwd` returned."""
    out, residuals = pair(result, role, "the result, and the residuals that bwd needs")
    outs = outputs_of(out, role, name, tree, types)
    leaves, residual_tree = tree_flatten(residuals)
    paths = trees.leaf_paths(residuals)
    return outs, trees.as_arrays(leaves, lambda i: f"residuals{paths[i]} of {role}"), residual_tree


def cotangents_of(
    result: Any, role: str, names: Sequence[str], tree: Any, types: Sequence[ArrayType], leaf_name: Callable[[int], str]
) -> list[Any]:
    """The cotangents of the leaves of the arguments, from what `bwd` returned."""
    n = len(names)
    if not isinstance(result, (tuple, list)) or len(result) != n:
        found = type(result).__name__ + (f" of {len(result)}" if isinstance(result, (tuple, list)) else "")
        raise ArgumentError(
            f"{role} returned {found}, where a tuple of {n} is wanted: the cotangent{'s' * (n != 1)} of "
            f"{', '.join(names)}.",
            "It returns one for each argument that is not in nondiff_argnums, in their order.",
            "Return such a tuple, (ct,) for one argument; None stands for zero.",
        )
    entries: list[Any] = []
    for ct, part, argument in zip(result, tree.children(), names, strict=True):
        found = entries_of(ct, part, prefix=True)
        if found is None:
            raise ArgumentError(
                f"the cotangent of {argument} from {role} has the structure {tree_structure(ct)}, but the argument "
                f"has {part}.",
                "Every leaf of an argument has a cotangent.",
                "Return the same containers; an array stands for all leaves below it, and None there for zero.",
            )
        entries += found
    entries = [cotangent_as(x, kind) for x, kind in zip(entries, types, strict=True)]
    return checked(entries, types, "cotangent", lambda i: f"{leaf_name(i)} from {role}")


def cotangent_as(x: Any, kind: ArrayType) -> Any:
    """A cotangent in the dtype of its value; None for an integer, to which whatever is given says nothing.

    What is no array of that shape, or would lose its imaginary part, stays as it is.
    """
    if not is_inexact(kind.dtype):
        return None
    try:
        given = type_of(x)
    except ArgumentError:
        return x
    loses = given.dtype.kind == "c" and kind.dtype.kind != "c"
    if given.dtype == kind.dtype or given.shape != kind.shape or loses or given.dtype == FLOAT0:
        return x
    return convert_element_type(x, new_dtype=kind.dtype, weak_type=False)


def checked(entries: Sequence[Any], types: Sequence[ArrayType], what: str, where: Callable[[int], str]) -> list[Any]:
    """The tangents or cotangents, None for those without numbers; ArgumentError names one of a wrong type."""
    for i, (x, kind) in enumerate(zip(entries, types, strict=True)):
        if x is not None and not is_inexact(kind.dtype) and not trees.is_float0(x):
            raise ArgumentError(
                f"the {what} of {where(i)} is {trees.require_array(x, lambda i=i: where(i))!r}, but the value is "
                f"{kind!r}.",
                f"Integers and booleans have no {what}s.",
                "Return None for it.",
            )
    given = [i for i, x in enumerate(entries) if x is not None]
    found = from_user([entries[i] for i in given], [types[i] for i in given], what, lambda k: where(given[k]))
    results: list[Any] = [None] * len(entries)
    for i, x in zip(given, found, strict=True):
        results[i] = x
    return results
