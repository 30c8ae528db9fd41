"""The memory budget in force, another one for a part of a program, and programs that take theirs along."""

from __future__ import annotations

from contextlib import AbstractContextManager

from minijvp.budgets import Budget, Share
from minijvp.calls.checkpoint import checkpoint
from minijvp.calls.policies import Within, everything_saveable
from minijvp.calls.programs import array_types
from minijvp.core.caching import cached
from minijvp.core.jaxpr import Equation, Jaxpr, Var
from minijvp.settings import config


def budget_in_force() -> Budget:
    """The memory budget by which programs are planned here."""
    return config.memory_budget


def within(budget: Budget) -> AbstractContextManager[None]:
    """Context manager: programs inside are planned by this budget."""
    return config(memory_budget=budget)


@cached(maxsize=4096)
def with_budget(body: Jaxpr, budget: Budget) -> Jaxpr:
    """The body, whose reverse mode keeps what a memory budget allows, also where another one is in force by then.

    A part is aimed at, and not insisted on: what a step keeps is not what is kept for the reverse pass.
    """
    if budget == "auto":
        return body
    aim = Share(budget) if isinstance(budget, float) else budget
    policy = everything_saveable if aim == "off" else Within(aim)
    outputs = tuple([Var(t) for t in array_types(body.out_types)])
    e = Equation(checkpoint, body.inputs, {"jaxpr": body, "prevent_cse": False, "policy": policy}, outputs, None)
    return Jaxpr((), body.inputs, (e,), outputs, body.name)
