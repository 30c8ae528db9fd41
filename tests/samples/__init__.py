"""Sample inputs for every primitive, with the JAX function that judges the result.

A module of this package mirrors a module of minijvp.operations (or is named after a higher-order family) and has a
list `SAMPLES`. `test_rules.py` runs every check on every sample, and fails for a primitive that has none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from minijvp.tools import samples


@dataclass(frozen=True, eq=False)
class Sample(samples.Sample):
    """A sample whose `oracle` is by jax.lax or jax.numpy, so that JAX can be asked for its derivatives."""

    oracle: Callable[..., Any]  # type: ignore[assignment]  # here every sample has one
    jax_derivative: bool = True
    """False where JAX refuses to differentiate (or is wrong). Needs `why`."""

    @property
    def claims(self) -> tuple[bool, ...]:
        return (*super().claims, self.jax_derivative)

    __str__ = samples.Sample.__str__


def random(*shape: int, dtype: Any = np.float32, seed: int = 0, low: float = -2.0, high: float = 2.0) -> np.ndarray:
    """Uniform numbers from [low, high), complex in both parts, integer or bool as `dtype` says."""
    generator = np.random.default_rng([seed, *shape])
    kind = np.dtype(dtype).kind
    if kind == "b":
        return generator.integers(0, 2, shape).astype(bool)
    if kind in "iu":
        return generator.integers(int(max(low, 0)) if kind == "u" else int(low), int(high), shape).astype(dtype)
    x = generator.uniform(low, high, shape)
    return (x + 1j * generator.uniform(low, high, shape)).astype(dtype) if kind == "c" else x.astype(dtype)


def distinct(*shape: int, dtype: Any = np.float32, seed: int = 0) -> np.ndarray:
    """Numbers no two of which are close, in random order: for max, sort and other functions with kinks at ties."""
    n = int(np.prod(shape))
    x = np.random.default_rng([seed, *shape]).permutation(n) - n / 2 + 0.25
    return (x / max(n, 8) * 4).astype(dtype).reshape(shape)


MODULES = sorted(p.stem for p in Path(__file__).parent.glob("[a-z]*.py"))


def all_samples() -> list[Sample]:
    return [s for module in MODULES for s in import_module(f"tests.samples.{module}").SAMPLES]
