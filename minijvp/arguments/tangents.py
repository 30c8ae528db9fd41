"""Tangents and cotangents at the public border: float0 of integers, arrays of zeros, and none of frozen leaves."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.tree_util import register_pytree_node_class, tree_flatten, tree_structure, tree_unflatten

from minijvp import trees
from minijvp.core.tracer import Tracer
from minijvp.core.tracing import as_constant
from minijvp.core.types import ArrayType, is_arraylike, is_inexact, short_dtype, type_of
from minijvp.errors import ArgumentError
from minijvp.operations.casting import convert_element_type
from minijvp.operations.families import zeros_like

FLOAT0 = jax.dtypes.float0


def for_user(t: Any, x: Any) -> Any:
    """The tangent or cotangent of `x` as the caller sees it: zeros for None, float0 where `x` has no tangent.

    Inside, tangents are strongly typed; here they are as weak as `x`.
    """
    if t is not None:
        if x.weak_type and not type_of(t).weak_type:
            return convert_element_type(t, new_dtype=x.dtype, weak_type=True)
        return t
    kind = x if isinstance(x, ArrayType) else type_of(x)
    if not is_inexact(kind.dtype):
        return np.zeros(kind.shape, FLOAT0)
    zero = zeros_like(kind)
    return convert_element_type(zero, new_dtype=kind.dtype, weak_type=True) if kind.weak_type else zero


def from_user(given: Sequence[Any], types: Sequence[ArrayType], what: str, where: Callable[[int], str]) -> list[Any]:
    """The tangents or cotangents that a caller gave, None for float0; ArgumentError names one of a wrong type."""
    return [_from_user(t, kind, what, i, where) for i, (t, kind) in enumerate(zip(given, types, strict=True))]


def _from_user(t: Any, kind: ArrayType, what: str, i: int, where: Callable[[int], str]) -> Any:
    if isinstance(t, np.ndarray) and t.dtype == FLOAT0:
        found, shape = "float0", t.shape
        if not is_inexact(kind.dtype) and shape == kind.shape:
            return None
    else:
        try:
            given = type_of(t)
        except ArgumentError as error:
            found = f"{t!r:.200} of type {type(t).__name__}, which is not an array."
            raise ArgumentError(f"the {what} at {where(i)} is {found}", error.why, error.do) from None
        # A Python float or complex number has no width of its own.
        fits = is_inexact(kind.dtype) and type(t) is (complex if kind.dtype.kind == "c" else float)
        if fits and not kind.shape:
            return as_constant(t, kind.dtype)
        if given.shape == kind.shape and given.dtype == kind.dtype and is_inexact(kind.dtype):
            return t if isinstance(t, (Tracer, jax.Array)) else as_constant(t)
        found, shape = short_dtype(given.dtype), given.shape
    wanted = short_dtype(kind.dtype) if is_inexact(kind.dtype) else "float0"
    raise ArgumentError(
        f"the {what} at {where(i)} is {found}[{','.join(map(str, shape))}], but the value is {kind!r}.",
        f"A {what} has the shape of its value, and its dtype; integers and booleans have {what}s of dtype float0.",
        f"Pass {wanted}[{','.join(map(str, kind.shape))}]"
        + ("." if wanted != "float0" else ": numpy.zeros(shape, jax.dtypes.float0)."),
    )


def require_same_tree(tree: Any, expected: Any, what: str, of: str) -> None:
    """Raise ArgumentError if two tree structures differ."""
    if tree != expected:
        raise ArgumentError(
            f"the tree of {what} is {tree}, but that of {of} is {expected}.",
            f"Every leaf of {of} goes with one leaf of {what}.",
            f"Give {what} the same containers, keys and None's as {of}.",
        )


def leaf_namer(tree: Any, root: str) -> Callable[[int], str]:
    """A function from the number of a leaf to a name like `params[0]['w']`, which looks at the tree only when asked."""
    return lambda i: root + trees.leaf_paths(tree)[i]


@register_pytree_node_class
class Frozen:
    """A leaf as a part of a tree and not a leaf; a tree that is made of this one's structure has the leaf itself."""

    def __init__(self, value: Any):
        self.value = value

    def tree_flatten(self) -> tuple[tuple, Frozen]:
        return (), self

    @classmethod
    def tree_unflatten(cls, frozen: Frozen, children: Any) -> Any:
        return frozen.value


def freezing(frozen: Any, non_differentiable: str, who: str, allow_int: bool = False) -> Callable[[Any], Any]:
    """From a tree to the one with `Frozen` in place of leaves, and the structure of the derivative."""
    if non_differentiable not in ("error", "none") or (allow_int and non_differentiable == "none"):
        raise ArgumentError(
            f"{who} received non_differentiable={non_differentiable!r}{' and allow_int=True' * allow_int}.",
            "A leaf that is not floating is refused, or it has None as its gradient, or an array of dtype float0.",
            "Say 'error' or 'none', or allow_int=True for the third.",
        )
    chooses = callable(frozen) and jax.tree_util.all_leaves([frozen])  # and is no tree that can be called
    by_path = chooses and takes_path(frozen, who)

    def freeze(value: Any) -> tuple[Any, Any]:
        leaves, tree = tree_flatten(value)
        if by_path:
            flags = list(map(frozen, trees.leaf_paths(value), leaves))
        elif chooses:
            flags = list(map(frozen, leaves))
        else:
            flags = trees.flatten_prefix(frozen is not None and frozen, value, "frozen")
        for i, flag in enumerate(flags):
            if not isinstance(flag, (bool, np.bool_)):
                path = trees.leaf_paths(value)[i]
                raise ArgumentError(
                    f"frozen of {who} says {flag!r:.200} of type {type(flag).__name__} for the leaf '{path}'.",
                    "A leaf is frozen or it is not, and that is known before the function runs.",
                    "Give a bool for each leaf, by a tree of them or by a function of (path, leaf) or (leaf).",
                )
            if non_differentiable == "none" and is_arraylike(leaves[i]):
                flags[i] = flag or not is_inexact(type_of(leaves[i]).dtype)
        kept = tree_unflatten(tree, [Frozen(x) if flag else x for x, flag in zip(leaves, flags, strict=True)])
        return kept, tree_structure(tree_unflatten(tree, [None if flag else 0 for flag in flags]))

    return freeze


def takes_path(predicate: Callable[..., Any], who: str) -> bool:
    """Whether a predicate is one of (path, leaf), and not of the leaf alone; ArgumentError if it is neither."""
    try:
        parameters = list(inspect.signature(predicate).parameters.values())
    except (TypeError, ValueError):
        return False
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    needed = [p.name for p in parameters if p.default is p.empty and "VAR_" not in p.kind.name]
    takes_more = any([p.kind is p.VAR_POSITIONAL for p in parameters])
    if len(needed) > 2 or not set(needed) <= set(names) or not (names or takes_more):
        listed = ", ".join(map(str, parameters)) or "no parameters"
        raise ArgumentError(
            f"frozen of {who} received {trees.function_name(predicate)}, a function of {listed}.",
            "It is asked for each leaf, with the path and the leaf, or with the leaf alone.",
            "Pass a function of (path, leaf) or of (leaf); others of its parameters need defaults.",
        )
    # Of one that is called with either, the names say what it is meant for.
    return len(needed) == 2 or takes_more or (len(names) > 1 and (names[0] == "path" or names[1] == "leaf"))
