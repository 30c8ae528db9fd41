"""Memory budgets: what reverse mode may keep between its two passes."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

from minijvp.errors import ArgumentError

Budget = str | float | int
"""'auto', 'off', a part (a float below 1.0) or bytes (an int): what differs in meaning is unequal, so they are keys."""


class Share(float):
    """A part that is aimed at, and not insisted on: the budget of the parts of a program that has one.

    It is equal to no float, which would mean something else.
    """

    def __eq__(self, other: object) -> bool:
        return type(other) is Share and float(self) == float(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash((Share, float(self)))


def checked_budget(value: Any, who: str) -> Budget:
    """The memory budget that `who` received, as a string or a Python number; ArgumentError for one that cannot be."""
    kind = type(value)
    if kind is Share:
        return value
    whole = issubclass(kind, Integral) and kind is not bool
    part = issubclass(kind, Real) and not issubclass(kind, Integral)
    if whole and value > 0:
        return int(value)
    if part and 0 < value <= 1:
        # All of the bytes is more than "auto" keeps; and 1.0 == 1, a byte.
        return float(value) if value < 1 else "auto"
    advice = "Pass bytes as an int: 2**30 is a GiB." if part and value > 1 else "Pass one of these."
    if isinstance(value, str) and value in ("auto", "off"):
        return value
    raise ArgumentError(
        f"{who} received memory_budget={value!r:.200}.",
        "A budget is 'auto' (compute again what costs no noticeable time), 'off' (keep every residual), a float f with "
        "0 < f <= 1 (a part of the bytes that 'off' keeps), or a positive int (a number of bytes).",
        advice,
    )


def optional_budget(value: Any, who: str) -> Budget | None:
    """The memory budget that `who` received as an option; None is the one in force."""
    return None if value is None else checked_budget(value, who)
