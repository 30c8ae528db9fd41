"""What is worth a call: bounds that were measured, and how much work equations are to a compiler."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minijvp.core.jaxpr import Atom, Equation, Jaxpr
from minijvp.optimize.rematerialize.forward import fuses

LONG_ENOUGH = 15
"""Equations that a stretch has at least: with 5 to 7, a call costs XLA as much as it saves; with 17 it gains."""

OFTEN_ENOUGH = 3
"""Times that it comes at least: with 2, compilation takes as long as before."""

SAVED = 150
"""Equations that need not be compiled, at least."""


def weight(e: Equation) -> int:
    """How many equations there are to compile: itself, or those inside."""
    return sum([weight_of(jaxpr) for jaxpr in e.primitive.bodies(e.params)]) or 1


def weight_of(jaxpr: Jaxpr) -> int:
    """How many equations there are to compile in a program."""
    return sum(map(weight, jaxpr))


def weights(equations: Sequence[Equation]) -> np.ndarray:
    """The weight of each equation."""
    return np.array([weight(e) if e.programs else 1 for e in equations], np.float64)


def is_worthwhile(equations: Sequence[Equation], times: int) -> bool:
    """Whether so many calls are better than equations that come so many times."""
    size = sum(map(weight, equations))
    return (
        times >= OFTEN_ENOUGH
        and size >= LONG_ENOUGH
        and size * (times - 1) >= SAVED
        and not any([e.has_effects for e in equations])
        and not is_chain(equations)
    )


def is_chain(equations: Sequence[Equation]) -> bool:
    """Whether a compiler does well to fuse it with more of its kind: elementwise, and each value is read once.

    What is read twice it would compute twice, and in the next stretch four times.
    """
    read: set[Atom] = set()
    for e in equations:
        if not fuses(e):
            return False
        for v in set(e.inputs):
            if v in read:
                return False
            read.add(v)
    return True
