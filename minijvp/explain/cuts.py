"""Where the paths from an argument to the result end, on a tape: no tangent goes on there.

A random tangent is sent along the tape, in the elements whose derivative is zero. Where an operation has a derivative
of zero in such an element, a path ends; where its derivatives are not zero and what they give is, paths cancel.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from minijvp.core.types import type_of
from minijvp.explain.tape import Node, Read, Step, Tape, random_like
from minijvp.operations.annotations import or_constant
from minijvp.operations.families import add_tangents

CHOOSING = frozenset(
    [
        *["clamp", "dynamic_slice", "dynamic_update_slice", "gather", "max", "min", "or_constant", "pad"],
        *["reduce_max", "reduce_min", "reduce_window_max", "reduce_window_min", "scatter", "scatter_apply"],
        *["select_n", "slice", "split"],
    ]
)
"""What hands on some elements and leaves out others: these are cut off only if they go nowhere else."""


CONSTANT = 2
"""The operand of `or_constant`, by which a batch keeps the lanes of one branch apart, that is a constant by intent."""


@dataclass(eq=False)
class End:
    """Where a path ends: the operation, or who read the value; the operand, and which elements of it end there."""

    what: Step | Read
    operand: int
    node: Node
    elements: Any
    distance: int
    kind: str
    """"structure": there is no derivative; "value": it is zero here; "sum": paths cancel; "unused": what is computed is
    not used; "read": Python looked at it."""


class Ends:
    """The ends of the paths from one argument, whose derivative is zero where `mask` is true."""

    def __init__(self, tape: Tape, leading: set[Node], dead: dict[Step, list[Any]]):
        self.tape, self.leading, self._dead = tape, leading, dead

    def dead(self, step: Step) -> list[Any]:
        """What `step.dead` gives, which is the same for every argument."""
        if step not in self._dead:
            self._dead[step] = step.dead(self.leading)
        return self._dead[step]

    def of(self, argument: Node, mask: Any, cotangents: dict[Node, Any]) -> list[End]:
        """The ends, those closest to the argument first."""
        kind = type_of(argument.value)
        tangents = {argument: random_like(kind, 0) * np.asarray(mask, kind.dtype)}
        distances = {argument: 0}
        found: list[End] = []
        alive: dict[Node, Any] = {}
        for step in self.tape.steps:
            near = [distances[node] for node in step.inputs if node in distances]
            if near:
                distances.update({node: min(near) + 1 for node in step.outputs if node not in distances})
                if not self.leading.isdisjoint(step.outputs):
                    found += self.ends_in(step, tangents, alive, min(near) + 1)
        for read in self.tape.reads:
            if read.node in tangents:
                elements = np.asarray(tangents[read.node]) != 0
                found.append(End(read, 0, read.node, elements, distances[read.node] + 1, "read"))
        ends = list(remaining(found, alive))
        if not ends:
            ends = [*unused(self.tape, self.leading, argument, distances), *cancelled(self.tape, distances, cotangents)]
        return sorted(ends, key=lambda end: end.distance)

    def ends_in(self, step: Step, tangents: dict[Node, Any], alive: dict[Node, Any], distance: int) -> Iterator[End]:
        """The ends in one operation; its results get their tangents."""
        given = [None if node is None else tangents.get(node) for node in step.inputs]
        if all(t is None for t in given):
            return
        going: dict[int, Any] = {}
        for i, (t, dead) in enumerate(zip(given, self.dead(step), strict=True)):
            node = step.inputs[i]
            if t is None or node is None or (step.primitive is or_constant and i == CONSTANT):
                continue
            there = np.asarray(t) != 0
            ending = there if dead is None else there & dead
            going[i] = there & ~ending
            if ending.any():
                yield End(step, i, node, ending, distance, "structure" if dead is None else "value")
            alive[node] = alive.get(node, False) | going[i]
        some = False
        for node, t in zip(step.outputs, step.push(given), strict=True):
            if t is not None and np.any(np.asarray(t) != 0):
                tangents[node] = add_tangents(tangents.get(node), t)
                some = True
        if not some:
            yield from [
                End(step, i, step.inputs[i], there, distance, "sum")  # type: ignore[arg-type]
                for i, there in going.items()
                if there.any()
            ]


def remaining(ends: list[End], alive: dict[Node, Any]) -> Iterator[End]:
    """The ends without the elements that an operation leaves out and that go on elsewhere."""
    for end in ends:
        if end.kind == "value" and isinstance(end.what, Step) and end.what.primitive.name in CHOOSING:
            end.elements = end.elements & ~np.asarray(alive.get(end.node, False))
        if np.any(end.elements):
            yield end


def unused(tape: Tape, leading: set[Node], argument: Node, distances: dict[Node, int]) -> Iterator[End]:
    """Of an argument on which the result does not depend, the first operation on it."""
    if argument in leading:
        return
    for step in tape.steps:
        if argument in step.inputs:
            place = step.inputs.index(argument)
            yield End(step, place, argument, np.ones(type_of(argument.value).shape, bool), 1, "unused")
            return


def cancelled(tape: Tape, distances: dict[Node, int], cotangents: dict[Node, Any]) -> Iterator[End]:
    """Where the cotangents that come back become zero, though no derivative is."""
    for step in tape.steps:
        for i, node in enumerate(step.inputs):
            ct = None if node is None or node not in distances else cotangents.get(node)
            given = [cotangents[x] for x in step.outputs if x in cotangents]
            if node is not None and ct is not None and not np.any(ct) and any(map(np.any, given)):
                yield End(step, i, node, np.ones(np.shape(ct), bool), distances[node] + 1, "sum")
