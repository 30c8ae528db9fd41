"""The memory budget in force, and another one for a part of a program."""

from __future__ import annotations

from contextlib import AbstractContextManager

from minijvp.budgets import Budget
from minijvp.settings import config


def budget_in_force() -> Budget:
    """The memory budget by which programs are planned here."""
    return config.memory_budget


def within(budget: Budget) -> AbstractContextManager[None]:
    """Context manager: programs inside are planned by this budget."""
    return config(memory_budget=budget)
