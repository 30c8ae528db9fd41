"""Plans for the branches of a choice, which keep their residuals in slots that they share."""

from __future__ import annotations

from collections.abc import Sequence

from minijvp.budgets import Share
from minijvp.control_flow.cond import Flags, shared_residuals
from minijvp.core.jaxpr import Jaxpr
from minijvp.core.types import ArrayType
from minijvp.optimize.rematerialize import planning
from minijvp.optimize.rematerialize.budgets import budget_in_force, within
from minijvp.optimize.rematerialize.linearization import linearize_jaxpr_planned
from minijvp.transforms.linearize import LinearizedJaxpr, Loop, linearize_jaxpr

OFTEN = 1024
"""How often a choice may run, where that is not known: it may be in a loop."""

HARDLY_MORE = 1.2
"""So many times the bytes of a plan that is one part may those be of one by regions, which frees them one by one."""


def planned_branches(branches: tuple[Jaxpr, ...], flags: Flags) -> list[LinearizedJaxpr]:
    """The linearizations of branches, by a plan for each where the bytes that all keep together are fewer by it."""
    plain = [linearize_jaxpr(branch, flags, None) for branch in branches]
    budget, types = budget_in_force(), (*branches[0].in_types, *branches[0].out_types)
    plain_size = bytes_kept(plain, types)
    # A branch is a part of a program: it aims at a budget, and does not insist.
    aim = Share(budget) if isinstance(budget, float) else "auto"
    if budget == "off" or (aim == "auto" and plain_size * OFTEN < planning.SMALL):
        return plain
    origins = frozenset([i for _, _, places, _ in plain for i in places if i is not None])
    with within(aim):
        found = [planned_branch(b, flags, origins, bytes_kept([p], types)) for b, p in zip(branches, plain)]
    size = bytes_kept(found, types)
    for i, simple in enumerate(plain):
        other = [*found[:i], simple, *found[i + 1 :]]
        if found[i] is not simple and (without := bytes_kept(other, types)) <= size:
            found, size = other, without
    return found if size < plain_size else plain


def planned_branch(branch: Jaxpr, flags: Flags, origins: frozenset[int], size: int) -> LinearizedJaxpr:
    """The linearization of a branch by a plan; the operands and results that `origins` numbers are there for nothing.

    Without a plan it keeps `size` bytes. What it computes again is one part of it; or goes region by region, if that
    keeps hardly more, or no more than the budget allows.
    """
    n, types = len(branch.inputs), (*branch.in_types, *branch.out_types)
    kept, budget = tuple([i in origins for i in range(len(types))]), budget_in_force()
    whole = linearize_jaxpr_planned(branch, flags, Loop(OFTEN, (False,) * n, kept[:n], kept[n:], chosen=True))
    if budget == "auto" and size < planning.SMALL:
        return whole
    parted = linearize_jaxpr_planned(branch, flags)
    limit = max(HARDLY_MORE * bytes_kept([whole], types), size * budget if isinstance(budget, float) else 0)
    return parted if bytes_kept([parted], types) <= limit else whole


def bytes_kept(made: Sequence[LinearizedJaxpr], types: Sequence[ArrayType]) -> int:
    """The bytes of all residuals of branches, in slots that they share; operands and results are of these types."""
    _, shared, slots = shared_residuals(made)
    return sum([t.bytes for t in (*[types[i] for i in shared], *slots)])
