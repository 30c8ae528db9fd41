"""Plans of a size that tests can afford."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

import minijvp
from minijvp.optimize import planner
from minijvp.optimize.rematerialize import linearization, planning


@contextmanager
def forced_plans() -> Iterator[None]:
    """Context manager: programs of any size are planned, and plans followed if they save anything."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (planning, planner):
            patch.setattr(module, "SMALL", 0)
        for module in (linearization, planner):
            patch.setattr(module, "NOTICEABLE", 0)
        patch.setattr(planning, "NEGLIGIBLE", 0.0)
        patch.setattr(planning, "WORTHWHILE", 1.0)
        patch.setattr(planning, "TIME", 10.0)
        patch.setattr(planning, "EQUATIONS_PER_REGION", 3)
        linearization._linearize_jaxpr_planned.cache_clear()
        try:
            with minijvp.config(memory_budget="auto"):
                yield
        finally:
            linearization._linearize_jaxpr_planned.cache_clear()
