"""What loops and choices are, to those who ask how long they take and whether they end."""

from __future__ import annotations

from typing import Any

from minijvp.core.program_primitive import ProgramPrimitive
from minijvp.core.tracing import traced_by_jax
from minijvp.core.types import Params

UNKNOWN_TRIP_COUNT = 10
"""The trip count of a loop of which it is not known, where the time of programs is estimated (`work_of`).

It bounds nothing, it is a guess: an order of magnitude above a single run, so that to compute such a loop again is
expensive beside the operations around it; and not more, for beside a loop of thousands of turns nothing else would
count.
"""


class ControlFlow(ProgramPrimitive):
    """A primitive that decides which programs run, and how often."""

    recomputable = "expensive"

    repeats = True
    """Whether it is a loop."""

    may_not_end = False
    """Whether it is one that may run forever."""

    def differs_in_jax(self, params: Params) -> bool:
        return self.own_derivative or "progress" in params  # for JAX differentiates no call of the host

    def evaluate(self, args: tuple, params: Params) -> Any:
        if traced_by_jax() and self.differs_in_jax(params):
            return self.evaluate_in_jax(args, params)
        return super().evaluate(args, params)

    def trip_count(self, params: Params) -> int:
        return UNKNOWN_TRIP_COUNT if self.repeats else 1
