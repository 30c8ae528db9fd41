"""What a program is made of, as data: it is cut down by leaving parts out, and always gives the same program."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import numpy as np


@dataclass(frozen=True)
class InputPlan:
    """An argument: of `kind` real, complex, int, bool or float (Python's own), with the values of a `pattern`."""

    name: str
    kind: str = "real"
    shape: tuple[int, ...] = ()
    seed: int = 0
    pattern: str = "plain"
    """plain: no two are close; ties: few values, repeated; zeros: some are 0."""
    wide: bool = False
    """Whether its numbers are of double precision in a program of single precision too."""


@dataclass(frozen=True)
class StepPlan:
    """An operation of the deck. `seed` chooses its operands and static arguments; `body` is what functions in it do."""

    number: int
    operation: str
    seed: int = 0
    body: tuple[StepPlan, ...] = ()


@dataclass(frozen=True)
class Plan:
    """A program: arguments, and steps from them to results. `keep` names the results; None are all that is loose."""

    inputs: tuple[InputPlan, ...]
    steps: tuple[StepPlan, ...]
    precision: str = "float64"
    keep: tuple[str, ...] | None = None
    form: str = "tuple"
    """Of the results: tuple, dict or nested; and of the arguments: packed has the first two in a dict."""

    def of(self, steps: Sequence[StepPlan]) -> Plan:
        """The plan with these steps."""
        return replace(self, steps=tuple(steps))


FORMS = ("tuple", "dict", "nested", "packed")
KINDS = ("real", "real", "complex", "int", "bool", "float")


def random_inputs(rng: np.random.Generator, precision: str) -> tuple[InputPlan, ...]:
    """Two arrays of real numbers, and up to two arguments of any kind."""
    kinds = ["real", "real", *rng.choice(KINDS, rng.integers(0, 3))]
    return tuple([random_input(rng, f"x{i}", str(kind), precision, i == 0) for i, kind in enumerate(kinds)])


def random_input(rng: np.random.Generator, name: str, kind: str, precision: str, first: bool) -> InputPlan:
    rank = 0 if kind == "float" else int(rng.integers(1, 3) if first else rng.integers(0, 4))
    sizes = [1, 2, 2, 3, 3] if first else [0, 1, 2, 2, 2, 3, 3, 3, 4]
    shape = tuple([int(n) for n in rng.choice(sizes, rank)])
    pattern = str(rng.choice(["plain", "plain", "plain", "ties", "zeros"]))
    wide = precision == "float32" and not first and rng.random() < 0.1
    return InputPlan(name, kind, shape, int(rng.integers(1 << 30)), pattern, wide)


def values(plan: InputPlan, dtype: Any) -> Any:
    """The argument: numbers between -2 and 2, small whole ones for integers."""
    rng = np.random.default_rng(plan.seed)
    if plan.kind == "float":
        return round(float(rng.uniform(0.2, 2)), 3)
    if plan.kind == "int":
        return rng.integers(0, 4, plan.shape).astype(dtype)
    if plan.kind == "bool":
        return np.asarray(rng.integers(0, 2, plan.shape) == 1)
    x = rng.uniform(-2, 2, plan.shape)
    if plan.kind == "complex":
        x = x + 1j * rng.uniform(-2, 2, plan.shape)
    if plan.pattern == "ties":
        x = np.round(x)
    elif plan.pattern == "zeros":
        x = np.where(rng.random(plan.shape) < 0.4, 0, x)
    return np.asarray(x).astype(dtype)


def numbered(steps: Sequence[StepPlan], numbers: Any = None) -> tuple[StepPlan, ...]:
    """The steps, and those of their bodies, with a number each."""
    numbers = numbers or count()
    return tuple([replace(s, number=next(numbers), body=numbered(s.body, numbers)) for s in steps])
