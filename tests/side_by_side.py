"""One program, written against two libraries: minijvp's answer beside JAX's."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import tree_flatten

import minijvp
import minijvp.numpy as mnp

SIDES = (minijvp, mnp), (jax, jnp)


def same(found: Any, wanted: Any, tolerance: float = 1e-12) -> None:
    """Trees of arrays with equal structures, shapes, dtypes and values; float0 has no values."""
    found, found_tree = tree_flatten(found)
    wanted, wanted_tree = tree_flatten(wanted)
    assert found_tree == wanted_tree
    for a, b in zip(found, wanted, strict=True):
        assert hasattr(a, "dtype") or not hasattr(b, "dtype")  # where JAX has an array, so do we
        assert (np.shape(a), np.asarray(a).dtype) == (np.shape(b), np.asarray(b).dtype)
        if np.asarray(b).dtype != jax.dtypes.float0:
            np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def both(case: Any) -> None:
    """`case(api, np)` gives the same with minijvp as with JAX."""
    ours, theirs = [case(*side) for side in SIDES]
    same(ours, theirs)


def under_words(pairs: Iterable[tuple[Callable[..., Any], tuple]]) -> list[Any]:
    """Programs under words of transformations, as parameters that are named after both."""
    return [
        pytest.param(program, word, id=f"{'-'.join(letter.__name__ for letter in word)}-{program.__name__}")
        for program, word in pairs
    ]
