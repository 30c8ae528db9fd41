"""Sample inputs for every primitive, with the JAX function that judges the result.

A module of this package mirrors a module of minijvp.operations (or is named after a higher-order family) and has a
list `SAMPLES`. `test_rules.py` runs every check on every sample, and fails for a primitive that has none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from minijvp.core.primitive import Primitive


@dataclass(frozen=True, eq=False)
class Sample:
    """A call `primitive(*args, **params)`, and `oracle(*args)`, the same by jax.lax or jax.numpy."""

    primitive: Primitive
    args: tuple[Any, ...]
    oracle: Callable[..., Any]
    params: dict[str, Any] = field(default_factory=dict)
    label: str = ""
    tolerance: float | None = None
    """Relative and absolute; by default it follows from the dtypes."""
    finite_differences: bool = True
    """False where the function has a kink or a jump close to the sample. Needs `why`."""
    jax_derivative: bool = True
    """False where JAX refuses to differentiate (or is wrong). Needs `why`."""
    batch: bool = True
    """False for samples whose batches would only repeat another sample's. Needs `why`."""
    differentiable: bool = True
    """False where the primitive refuses to be differentiated. Needs `why`."""
    why: str = ""

    def __post_init__(self) -> None:
        claims = self.finite_differences, self.jax_derivative, self.batch, self.differentiable
        assert self.why or all(claims), "say why"

    def __str__(self) -> str:
        label = self.label or "-".join(f"{np.asarray(x).dtype}{list(np.shape(x))}" for x in self.args)
        return f"{self.primitive.name}-{label}".replace(" ", "")


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
