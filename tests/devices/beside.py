"""Programs on several devices, written against two libraries: minijvp's values and types beside JAX's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.tree_util import tree_leaves

from tests.side_by_side import SIDES

Case = Callable[[Any, Any], Callable[..., Any]]
"""For a library and its numpy, a function of arrays."""


class Comparison:
    """Runs cases, and says in the end which of them differ."""

    def __init__(self) -> None:
        self.failures: list[str] = []

    def __call__(self, name: str, case: Case, *args: Any, tolerance: float = 2e-6) -> None:
        """Both libraries give the same values, of the same types: shapes, dtypes, and how they lie on devices."""
        try:
            ours, theirs = [tree_leaves(case(*side)(*args)) for side in SIDES]
        except Exception as error:
            self.failures.append(f"{name}: {type(error).__name__}: {error}"[:500])
            return
        for found, wanted in zip(ours, theirs, strict=True):
            types = str(jax.typeof(found)), str(jax.typeof(wanted))
            if types[0] != types[1] or not found.sharding.is_equivalent_to(wanted.sharding, found.ndim):
                self.failures.append(f"{name}: {types[0]} {found.sharding}, and not {types[1]} {wanted.sharding}")
            elif not np.allclose(found, wanted, rtol=tolerance, atol=tolerance):
                self.failures.append(f"{name}: the values differ by {np.max(np.abs(found - wanted))}")

    def finish(self) -> None:
        """End the process, badly if anything failed."""
        raise SystemExit("\n".join(self.failures) if self.failures else 0)


def uniform(*shape: int, seed: int = 0) -> Any:
    """Numbers between -1 and 1 as an array of JAX, on one device."""
    return jax.numpy.asarray(np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32))
