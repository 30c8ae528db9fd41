"""Tangents and cotangents at the public border, where integers have float0 ones and zeros are arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from minijvp import trees
from minijvp.core.tracer import Tracer
from minijvp.core.tracing import as_constant
from minijvp.core.types import ArrayType, is_inexact, short_dtype, type_of
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
