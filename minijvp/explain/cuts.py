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
    whole: bool = True
    """Whether it is all that comes to the operand."""


class Ends:
    """The ends of the paths from arguments to what is `leading` to the result, or to a value that was looked at."""

    def __init__(self, tape: Tape, leading: set[Node], cotangents: dict[Node, Any]):
        self.tape, self.leading, self.cotangents = tape, leading, cotangents
        self.steps = [step for step in tape.steps if not leading.isdisjoint(step.outputs)]
        self._dead: dict[Step, list[Any]] = {}

    def dead(self, step: Step) -> list[Any]:
        """What `step.dead` gives, which is the same for every argument."""
        if step not in self._dead:
            self._dead[step] = step.dead(self.leading)
        return self._dead[step]

    def of(self, argument: Node, mask: Any) -> list[End]:
        """The ends of the paths from an argument whose derivative is zero where `mask` is true, the closest first.

        Without a derivative they are those without any, and those where nothing goes on; with one, those from which
        nothing goes on at these values, and those beyond that nothing comes back through.
        """
        distances = self.distances(argument)
        ends = self.by_tangents(argument, mask, distances)
        if argument not in self.cotangents:
            ends = [*self.by_structure({argument}, distances), *[end for end in ends if end.whole]]
        elif np.all(mask):
            ends += self.by_cotangents(argument, distances)
        if not ends:
            ends = [*self.unused(argument), *self.cancelled(distances)]
        distinct: dict[Any, End] = {}
        for end in ends:
            distinct.setdefault((end.what, end.operand), end)
        return sorted(distinct.values(), key=lambda end: end.distance)

    def distances(self, argument: Node) -> dict[Node, int]:
        """The nodes that depend on an argument, with the number of operations between."""
        found = {argument: 0}
        for step in self.tape.steps:
            near = [found[node] for node in step.inputs if node in found]
            if near:
                found.update({node: min(near) + 1 for node in step.outputs if node not in found})
        return found

    def by_tangents(self, argument: Node, mask: Any, distances: dict[Node, int]) -> list[End]:
        """Where the tangent of an argument ends, random where the mask is true."""
        kind = type_of(argument.value)
        tangents = {argument: random_like(kind, 0) * np.asarray(mask, kind.dtype)}
        alive: dict[Node, Any] = {}
        found = [end for step in self.steps for end in self.ends_in(step, tangents, alive, distances)]
        for read in self.tape.reads:
            if read.node in tangents:
                elements = np.asarray(tangents[read.node]) != 0
                found.append(End(read, 0, read.node, elements, distances[read.node] + 1, "read"))
        return list(remaining(found, alive))

    def ends_in(
        self, step: Step, tangents: dict[Node, Any], alive: dict[Node, Any], distances: dict[Node, int]
    ) -> Iterator[End]:
        """The ends in one operation; its results get their tangents."""
        given = [None if node is None else tangents.get(node) for node in step.inputs]
        if all(t is None for t in given):
            return
        going: list[End] = []
        for i, (t, dead) in enumerate(zip(given, self.dead(step), strict=True)):
            node = step.inputs[i]
            if t is None or node is None or is_constant(step, i):
                continue
            there = np.asarray(t) != 0
            ending = there if dead is None else there & dead
            rest = there & ~ending
            alive[node] = alive.get(node, False) | rest
            distance = distances[node] + 1
            if ending.any():
                yield End(step, i, node, ending, distance, "structure" if dead is None else "value", not rest.any())
            if rest.any():
                going.append(End(step, i, node, rest, distance, "sum"))
        some = False
        for node, t in zip(step.outputs, step.push(given), strict=True):
            if t is not None and np.any(np.asarray(t) != 0):
                tangents[node] = add_tangents(tangents.get(node), t)
                some = True
        if not some:
            yield from going

    def by_structure(self, reached: set[Node], distances: dict[Node, int]) -> Iterator[End]:
        """Where there is no derivative, whatever the values are; `reached` gets the nodes that have one."""
        for step in self.steps:
            if reached.isdisjoint(step.inputs):
                continue
            for i, (node, dead) in enumerate(zip(step.inputs, self.dead(step), strict=True)):
                if node is None or node not in reached or is_constant(step, i):
                    continue
                if dead is None:
                    everywhere = np.ones(type_of(node.value).shape, bool)
                    yield End(step, i, node, everywhere, distances[node] + 1, "structure")
                else:
                    reached.update([x for x in step.outputs if x.active])
        for read in self.tape.reads:
            if read.node in reached:
                everywhere = np.ones(type_of(read.node.value).shape, bool)
                yield End(read, 0, read.node, everywhere, distances[read.node] + 1, "read")

    def by_cotangents(self, argument: Node, distances: dict[Node, int]) -> Iterator[End]:
        """Where the cotangents that come back end, since a derivative is zero in all elements."""
        reached = {argument}
        list(self.by_structure(reached, distances))
        for end in self.cancelled(distances):
            dead = self.dead(end.what)[end.operand] if isinstance(end.what, Step) else None
            if dead is not None and dead.all() and end.node in reached:
                end.kind = "value"
                yield end

    def cancelled(self, distances: dict[Node, int]) -> Iterator[End]:
        """Where the cotangents that come back become zero."""
        for step in self.steps:
            given = [self.cotangents[x] for x in step.outputs if x in self.cotangents]
            for i, node in enumerate(step.inputs):
                ct = None if node is None or node not in distances else self.cotangents.get(node)
                if node is not None and ct is not None and not np.any(ct) and any(map(np.any, given)):
                    yield End(step, i, node, np.ones(np.shape(ct), bool), distances[node] + 1, "sum")

    def unused(self, argument: Node) -> Iterator[End]:
        """Of an argument on which the result does not depend, the first operation on it."""
        for step in [] if argument in self.leading else self.tape.steps:
            if argument in step.inputs:
                place = step.inputs.index(argument)
                yield End(step, place, argument, np.ones(type_of(argument.value).shape, bool), 1, "unused")
                return


def is_constant(step: Step, operand: int) -> bool:
    """Whether an operand has no derivative by intent: that by which a batch keeps the lanes of one branch apart."""
    return step.primitive is or_constant and operand == 2


def remaining(ends: list[End], alive: dict[Node, Any]) -> Iterator[End]:
    """The ends without the elements that an operation leaves out and that go on elsewhere."""
    for end in ends:
        if end.kind == "value" and isinstance(end.what, Step) and end.what.primitive.name in CHOOSING:
            end.elements = end.elements & ~np.asarray(alive.get(end.node, False))
        if np.any(end.elements):
            yield end
