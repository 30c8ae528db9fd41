"""Which residuals reverse mode keeps, and which it computes again: linearization by a plan."""

from __future__ import annotations

from collections.abc import Hashable
from contextlib import AbstractContextManager

from minijvp.budgets import Budget
from minijvp.core.jaxpr import Jaxpr
from minijvp.optimize.rematerialize.branches import planned_branches
from minijvp.optimize.rematerialize.budgets import with_budget
from minijvp.optimize.rematerialize.linearization import is_part_of_plan, linearize_jaxpr_planned, linearize_planned
from minijvp.settings import config
from minijvp.transforms.linearize import LinearizedJaxpr, Linearizer, Loop


class Planner(Linearizer):
    """Linearization by a plan for the memory budget that is in force."""

    function = staticmethod(linearize_planned)
    branches = staticmethod(planned_branches)
    in_place = staticmethod(is_part_of_plan)

    def key(self) -> Hashable:
        return config.memory_budget

    def program(self, jaxpr: Jaxpr, nonzero: tuple[bool, ...], loop: Loop | None = None) -> LinearizedJaxpr:
        return linearize_jaxpr_planned(jaxpr, nonzero, loop)

    def within(self, budget: Budget) -> AbstractContextManager[None]:
        return config(memory_budget=budget)

    def carried_along(self, jaxpr: Jaxpr) -> Jaxpr:
        return with_budget(jaxpr, config.memory_budget)
