"""The error of one method of differences, as a function of its step."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True, eq=False)
class Curve:
    """The errors of one method.

    Attributes:
        steps: the steps, in increasing order.
        errors: the error at each.
        typical: the same without the luck of single steps, as their neighbours have it.
        automatic: the step that is taken by default, and `automatic_error` what comes of it.
        evaluations: how many that takes.
    """

    method: str
    steps: np.ndarray = field(repr=False)
    errors: np.ndarray = field(repr=False)
    typical: np.ndarray = field(repr=False)
    automatic: float
    automatic_error: float
    evaluations: int

    @property
    def best(self) -> float:
        """The step of the least typical error; the middle one where several are about as good."""
        return float(self.steps[self._best])

    @property
    def best_error(self) -> float:
        """The typical error there."""
        return float(self.typical[self._best])

    @property
    def _best(self) -> int:
        good = np.flatnonzero(self.typical <= 1.2 * np.min(self.typical))
        return int(good[len(good) // 2])

    def regimes(self) -> list[str]:
        """For each step what decides its error: "rounding" below the best one, "truncation" above."""
        return ["rounding" if h < self.best else "truncation" for h in self.steps]
