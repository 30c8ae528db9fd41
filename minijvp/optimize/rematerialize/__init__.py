"""Which residuals reverse mode keeps, and which it computes again: linearization by a plan."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from minijvp.budgets import Budget
from minijvp.core.jaxpr import Jaxpr
from minijvp.optimize.rematerialize.branches import planned_branches
from minijvp.optimize.rematerialize.budgets import with_budget
from minijvp.optimize.rematerialize.in_force import budget_in_force, within
from minijvp.optimize.rematerialize.linearization import is_part_of_plan, linearize_jaxpr_planned, linearize_planned
from minijvp.transforms.linearize import Linearization, LinearizedJaxpr, Linearizer, Loop


class Planner(Linearizer):
    """Linearization by a plan for the memory budget that is in force."""

    def key(self) -> Hashable:
        return budget_in_force()

    def function(
        self,
        fun: Callable[..., Sequence[Any]],
        primals: Sequence[Any],
        differentiated: Sequence[bool] | None = None,
        n_outputs: int | Callable[[], int] | None = None,
        budget: Budget | None = None,
    ) -> Linearization:
        return linearize_planned(fun, primals, differentiated, n_outputs, budget)

    def program(self, jaxpr: Jaxpr, nonzero: tuple[bool, ...], loop: Loop | None = None) -> LinearizedJaxpr:
        return linearize_jaxpr_planned(jaxpr, nonzero, loop)

    def branches(self, jaxprs: Sequence[Jaxpr], nonzero: tuple[bool, ...]) -> list[LinearizedJaxpr]:
        return planned_branches(tuple(jaxprs), nonzero)

    def in_place(self, jaxpr: Jaxpr) -> bool:
        return is_part_of_plan(jaxpr)

    def within(self, budget: Budget) -> AbstractContextManager[None]:
        return within(budget)

    def carried_along(self, jaxpr: Jaxpr) -> Jaxpr:
        return with_budget(jaxpr, budget_in_force())
