"""What a printed case imports: it runs a source under a word in a mode, and shows the results side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tests.conftest  # noqa: F401  (settings of XLA and JAX come first)

# isort: split
import jax
import numpy as np
from jax.tree_util import tree_flatten_with_path, tree_leaves

from tests.fuzz.building import Program
from tests.fuzz.modes import MODES
from tests.fuzz.sides import JUDGE
from tests.fuzz.words import Letter, transformed

__all__ = ["Letter", "array", "run"]


def array(x: Any, dtype: str, shape: tuple[int, ...] | None = None) -> np.ndarray:
    return np.array(x, dtype).reshape(shape if shape is not None else np.shape(x))


def run(source: str, arguments: tuple, word: Sequence[Letter], mode: str) -> None:
    """Print what both sides give."""
    program = Program(source, arguments)
    wanted = jax.jit(transformed(JUDGE, JUDGE.function(source), word))(*arguments)
    found = MODES[mode](program, tuple(word))
    rows, _ = tree_flatten_with_path(wanted)
    for way in found:
        for (path, y), x in zip(rows, tree_leaves(way), strict=True):
            print(f"{jax.tree_util.keystr(path)}: minijvp {shown(x)}")
            print(f"{' ' * len(jax.tree_util.keystr(path))}  JAX     {shown(y)}")


def shown(x: Any) -> str:
    kind = getattr(x, "aval", None) or f"{type(x).__name__} {getattr(x, 'dtype', '')}{np.shape(x)}"
    return f"{kind} {np.array2string(np.asarray(x), precision=12)}"
