"""Which values of a program to save for later: a minimum cut between what is at hand and what is needed.

The residuals of a program can be saved, or computed again from others. Saving a value costs its bytes, computing an
equation again costs a price in the same unit, and reading what is at hand anyway costs nothing. The cheapest choice is
a minimum cut of a flow network (every value a node with the capacity of its bytes, every equation an arc of the
capacity of its price), which this module finds by augmenting paths.

Source: T. Chen, B. Xu, C. Zhang and C. Guestrin, Training deep nets with sublinear memory cost, arXiv:1604.06174, 2016,
for the idea; L. R. Ford and D. R. Fulkerson, Maximal flow through a network, Canadian J. Math. 8, 1956, for the method.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

from minijvp.core.jaxpr import Equation, Var

# scipy.sparse.csgraph.maximum_flow takes capacities of 32 bits only, which bytes exceed without an error, and with its
# matrix to build it takes 1.1 to 5 times as long for programs of up to 300 equations (half as long for 1,000 and more).
INFINITE = math.inf


class Numbered:
    """A program, of which cuts are asked for again and again: its values by numbers."""

    def __init__(self, equations: Sequence[Equation]):
        self.variables: list[Var] = []
        self.bytes: list[int] = []
        self.operands: list[Sequence[int]] = []
        """Of each value, those of the equation that gives it, if one does."""
        self.readers: list[int] = []
        """Of each value, the number of equations that read it."""
        self.equations: list[tuple[list[int], set[int]]] = []
        """Results and operands."""
        self.numbers: dict[Var, int] = {}
        for e in equations:
            operands = [self.number(v) for v in e.inputs if type(v) is Var]
            results = [self.number(v) for v in e.outputs]
            self.equations.append((results, set(operands)))
            for i in results:
                self.operands[i] = operands
            for i in self.equations[-1][1]:
                self.readers[i] += 1

    def number(self, v: Var) -> int:
        """The number of a value, which is a new one where no equation has it."""
        i = self.numbers.setdefault(v, len(self.variables))
        if i == len(self.variables):
            self.variables.append(v)
            self.bytes.append(v.type.bytes)
            self.operands.append(())
            self.readers.append(0)
        return i


def minimum_cut(
    program: Numbered, needed: Iterable[Var], at_hand: Callable[[Var], bool], prices: Iterable[float | None]
) -> set[Var]:
    """The variables to save. From these and those `at_hand` the equations give all that is `needed` besides.

    A price is what computing an equation again costs, in bytes; None where it must not be. A variable that no equation
    gives can only be saved or at hand.
    """
    wanted = [program.number(v) for v in dict.fromkeys(needed) if not at_hand(v)]
    plain = Plain(program, wanted, bytearray(map(at_hand, program.variables)), prices)
    network = Network(program, plain)
    for i in wanted:
        if not plain.there[i]:
            network.demand(i)
    return {program.variables[i] for i in plain.saved | network.saved()}


class Plain:
    """What can be told of a program without a cut: the most of it.

    A needed value all of whose operands are at hand is computed again if that costs less than its bytes, and saved if
    not. It is saved too where computing it again costs as much even if only those operands are counted that nothing
    else needs. What has been decided is at hand for the rest: `there`. `prices` has what computing a value again costs,
    without its operands, where that may be better than saving it.
    """

    def __init__(self, program: Numbered, needed: Iterable[int], there: bytearray, prices: Iterable[float | None]):
        self.there = there
        self.prices = [INFINITE] * len(there)
        self.saved: set[int] = set()
        wanted = set(needed)
        bytes, readers = program.bytes, program.readers
        least: list[float] = list(bytes)  # what having a value costs
        for (results, operands), price in zip(program.equations, prices, strict=True):
            if price is None or len(results) != 1:
                for i in results:
                    if price is not None:
                        least[i] = 0.0
                        self.prices[i] = price / len(results)
                    elif i in wanted and not there[i]:
                        self.saved.add(i)
                        there[i] = True
                continue
            (i,) = results
            if there[i]:
                continue
            missing = [u for u in operands if not there[u]]
            again = price + sum([least[u] for u in missing if readers[u] == 1 and u not in wanted])
            size = bytes[i]
            least[i] = min(size, again)
            if again < size:
                self.prices[i] = price
            if i in wanted and (again >= size or not missing):
                there[i] = True
                if again >= size:
                    self.saved.add(i)


class Network:
    """The flow network of a program, explored from the values that are needed, as far as they make it necessary.

    A value is two nodes, `2 * i + 1` where it is read and `2 * i` where it is made, and its bytes are the capacity
    between them. Flow is looked for backwards: from a demand to a value that was there before.
    """

    def __init__(self, program: Numbered, plain: Plain):
        n = len(program.variables)
        self.operands, self.bytes = program.operands, program.bytes
        self.there, self.prices = plain.there, plain.prices
        self.inside = [0.0] * n  # what flows through a value, of its bytes
        self.made = [0.0] * n  # what flows into it from nowhere, of its price
        self.between: dict[int, dict[int, float]] = {}  # what flows from an operand to results
        self.dead = bytearray(2 * n)

    def demand(self, needed: int) -> None:
        """Send as much as possible from nowhere to the reader of a value; what cannot be reached any more is dead."""
        while (path := self.search(2 * needed + 1)) is not None:
            self.augment(path)

    def search(self, start: int) -> list[int] | None:
        """The nodes from `start` back to one that more can flow into from nowhere; None marks what was seen as dead.

        From one node it goes on to those from which more can flow there, or to which less can flow from there.
        """
        dead, inside, made, prices, there = self.dead, self.inside, self.made, self.prices, self.there
        if dead[start]:
            return None
        before = {start: -1}
        stack = [start]
        while stack:
            node = stack.pop()
            i = node >> 1
            if node & 1:
                others = [2 * j for j, flow in self.between[i].items() if flow > 0] if i in self.between else []
                if inside[i] < self.bytes[i]:
                    others.append(node - 1)
            elif made[i] < prices[i]:
                path = []
                while node >= 0:
                    path.append(node)
                    node = before[node]
                return path
            else:
                others = [node + 1] if inside[i] > 0 else []
                if prices[i] < INFINITE:
                    others += [2 * u + 1 for u in self.operands[i] if not there[u]]
            for other in others:
                if other not in before and not dead[other]:
                    before[other] = node
                    stack.append(other)
        for node in before:
            dead[node] = True
        return None

    def augment(self, path: list[int]) -> None:
        """Send along a path, which begins where the flow does, as much as it takes."""
        inside, between = self.inside, self.between
        first = path[0] >> 1
        amount = self.prices[first] - self.made[first]
        for node, following in pairwise(path):
            i, j = node >> 1, following >> 1
            if i == j:
                amount = min(amount, self.bytes[i] - inside[i] if following & 1 else inside[i])
            elif not node & 1:
                amount = min(amount, between[j][i])
        self.made[first] += amount
        for node, following in pairwise(path):
            i, j = node >> 1, following >> 1
            if i == j:
                inside[i] += amount if following & 1 else -amount
            elif node & 1:
                flows = between.setdefault(i, {})
                flows[j] = flows.get(j, 0.0) + amount
            else:
                between[j][i] -= amount

    def saved(self) -> set[int]:
        """The values on whose inside the cut runs."""
        dead = self.dead
        return {i for i in range(len(self.made)) if dead[2 * i + 1] and not dead[2 * i]}
