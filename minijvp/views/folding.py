"""Programs that repeat themselves, with the stretch that comes again written once."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, groupby
from typing import Any, NamedTuple

import numpy as np

from minijvp.core.jaxpr import Atom, Equation, Jaxpr
from minijvp.core.program_primitive import ProgramPrimitive
from minijvp.optimize.outline import cost
from minijvp.optimize.outline.detection import Repeat, best_repeat, divided, tokens
from minijvp.optimize.outline.rewriting import Stretches, pass_over, with_replaced

OFTEN, SPARED = 3, 30
"""How often a stretch has to come, and how many equations need not be written then, at least."""


class Repeated(ProgramPrimitive):
    """Calls of a program, one after the other, where a program is shown: it never runs, and is in no registry."""

    def __init__(self) -> None:
        self.name = "repeat"


repeated = Repeated()


class Slots(NamedTuple):
    """How many operands, and results, of `repeated` stand for each input and output of its program.

    One operand is that of all calls, or, where `carried` has the number of an output, of the first one, which hands it
    on to the next; several are one of each call. Of the results, those that are read elsewhere are there.
    """

    operands: tuple[int, ...]
    results: tuple[int, ...]
    carried: tuple[int | None, ...]


def folded(jaxpr: Jaxpr) -> Jaxpr:
    """The program, in which `repeated` stands for equal stretches that follow each other; itself, if there are none."""
    equations = jaxpr.equations
    weights = cost.weights(equations)
    folds: dict[int, tuple[int, list[Equation]]] = {}
    numbers: dict[Any, int] = {}
    pairs = zip(tokens(equations).tolist(), equations, strict=True)
    found = np.array([numbers.setdefault((token, *e.programs), len(numbers)) for token, e in pairs])
    while weights.sum() >= SPARED and (best := best_repeat(found, weights)) is not None and best[0] >= SPARED:
        _, start, period, length = best
        first, count = divided(equations, jaxpr.outputs, start, period, length)
        stretches = Stretches(jaxpr, Repeat(tuple(range(first, first + period * count, period)), period))
        for _, run in groupby(range(count), key=stretches.forms.__getitem__):
            members = list(run)
            spared = weights[first : first + period].sum() * (len(members) - 1)
            if len(members) >= OFTEN and spared >= SPARED and (fold := fold_of(jaxpr, stretches, members)):
                folds[first + period * members[0]] = period * len(members), fold
        pass_over(found, start, length)
    return with_replaced(jaxpr, folds)


def fold_of(jaxpr: Jaxpr, stretches: Stretches, members: Sequence[int]) -> list[Equation]:
    """What stands for these stretches: equations that they take something of, and one of `repeated`; none if it cannot.

    It can where each stretch takes from the others nothing but what the one before it hands on.
    """
    kept = [k for k in range(stretches.repeat.period) if k not in stretches.hoisted]
    found = stretches.calls(members, kept) if kept else {}
    calls, before = [found[j][-1] for j in found], [e for j in found for e in found[j][:-1]]
    made = {v: (i, k) for i, call in enumerate(calls) for k, v in enumerate(call.outputs)}
    columns = list(zip(*[call.inputs for call in calls]))
    slots = [slot for column in columns if (slot := slot_of(column, made)) is not None]
    if not calls or len(slots) < len(columns) or any([v in made for e in before for v in e.inputs]):
        return []
    inside = {id(e) for j in members for e in stretches.stretches[j]}
    read = {v for e in jaxpr if id(e) not in inside for v in e.inputs} | set(jaxpr.outputs)
    results = [[v for v in column if v in read] for column in zip(*[call.outputs for call in calls])]
    operands, carried = [values for values, _ in slots], tuple([output for _, output in slots])
    sizes = Slots(tuple(map(len, operands)), tuple(map(len, results)), carried)
    params = {"jaxpr": folded(calls[0].params["jaxpr"]), "length": len(calls), "slots": sizes}
    return [*before, Equation(repeated, tuple(chain(*operands)), params, tuple(chain(*results)), None)]


def slot_of(column: tuple[Atom, ...], made: dict[Any, tuple[int, int]]) -> tuple[tuple[Atom, ...], int | None] | None:
    """The operands for what each call has in one place, and the output that is handed on there; None if others are."""
    places = [made.get(v) for v in column]
    if places[1:] and places[0] is None and places[1] is not None:
        k = places[1][1]
        return (column[:1], k) if places[1:] == [(i, k) for i in range(len(column) - 1)] else None
    if any(places):
        return None
    return (column[:1] if len(set(column)) == 1 else column), None
