"""What loops and choices are, to those who ask how long they take and whether they end."""

from __future__ import annotations

from typing import Any

from minijvp.core.program_primitive import ProgramPrimitive

TURNS = 10
"""The trip count of a loop of which nobody knows it, where the time of programs is estimated (`work_of`).

It is a lower bound on a guess: an order of magnitude above one run of the body, so that no plan computes such a loop
again to save what a few operations would give; not more, or a loop would outweigh all that stands beside it.
"""


class ControlFlow(ProgramPrimitive):
    """A primitive that decides which programs run, and how often."""

    recomputable = "dear"

    repeats = True
    """Whether it is a loop."""

    may_not_end = False
    """Whether it is one that may run forever."""

    def trip_count(self, params: dict[str, Any]) -> int:
        return TURNS if self.repeats else 1
