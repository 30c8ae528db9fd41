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

from minijvp.core.jaxpr import Atom, Equation, Var

# scipy.sparse.csgraph.maximum_flow takes capacities of 32 bits only, which bytes exceed without an error, and with its
# matrix to build it takes 1.1 to 5 times as long for programs of up to 300 equations (half as long for 1,000 and more).
Price = Callable[[Equation], float | None]
"""What computing an equation again costs, in bytes; None where it must not be."""


def minimum_cut(
    equations: Sequence[Equation], needed: Iterable[Var], at_hand: Callable[[Var], bool], price: Price
) -> set[Var]:
    """The variables to save. From these and those `at_hand` the equations give all that is `needed` besides.

    A variable that no equation gives can only be saved or at hand.
    """
    needed = [v for v in dict.fromkeys(needed) if not at_hand(v)]
    plain = Plain(equations, needed, at_hand, price)
    network = Network(plain)
    for v in needed:
        if v not in plain.there:
            network.demand(v)
    return plain.saved | network.saved()


INFINITE = math.inf


class Plain:
    """What can be told of a program without a cut: the most of it.

    A needed value all of whose operands are at hand is computed again if that costs less than its bytes, and saved if
    not. It is saved too where computing it again costs as much even if only those operands are counted that nothing
    else needs. What has been decided is at hand for the rest: `there`. `prices` has what computing a value again costs,
    without its operands, where that may be better than saving it.
    """

    def __init__(
        self, equations: Sequence[Equation], needed: Sequence[Var], at_hand: Callable[[Var], bool], price: Price
    ):
        self.producer = {v: e for e in equations for v in e.outputs}
        self.bytes = {v: v.type.bytes for e in equations for v in (*e.inputs, *e.outputs)}
        self.bytes.update({v: v.type.bytes for v in needed})
        self.prices: dict[Var, float] = {}
        self.saved: set[Var] = set()
        self.there = {v for e in equations for v in e.inputs if type(v) is Var and at_hand(v)}
        self.there.update([v for v in self.producer if at_hand(v)])
        wanted = set(needed)
        readers: dict[Atom, int] = {}
        for e in equations:
            for v in set(e.inputs):
                readers[v] = readers.get(v, 0) + 1
        there, prices = self.there, self.prices
        least: dict[Atom, float] = {}  # what having a value costs
        for e in equations:
            found = price(e)
            if found is None or len(e.outputs) != 1:
                for v in e.outputs:
                    least[v] = self.bytes[v] if found is None else 0.0
                    if found is not None:
                        prices[v] = found / len(e.outputs)
                    elif v in wanted and v not in there:
                        self.saved.add(v)
                        there.add(v)
                continue
            v = e.outputs[0]
            if v in there:
                continue
            missing = [u for u in e.inputs if type(u) is Var and u not in there]
            alone = {u for u in missing if readers[u] == 1 and u not in wanted}
            again = found + sum([least.get(u, self.bytes[u]) for u in alone])
            size = self.bytes[v]
            least[v] = min(size, again)
            if again < size:
                prices[v] = found
            if v in wanted and (again >= size or not missing):
                there.add(v)
                if again >= size:
                    self.saved.add(v)


class Network:
    """The flow network of a program, explored from the values that are needed, as far as they make it necessary.

    A value is two nodes, `(v, True)` where it is read and `(v, False)` where it is made, and its bytes are the
    capacity between them. Flow is looked for backwards: from a demand to a value that was there before.
    """

    def __init__(self, plain: Plain):
        self.producer = plain.producer
        self.there = plain.there
        self.bytes: dict[Atom, int] = plain.bytes
        self.prices = plain.prices
        self.inside: dict[Var, float] = {}  # what flows through a value, of its bytes
        self.made: dict[Var, float] = {}  # what flows into it from nowhere, of its price
        self.between: dict[tuple[Var, Var], float] = {}  # what flows from an operand to a result
        self.readers: dict[Var, list[Var]] = {}  # where some flows to
        self.dead: set[tuple[Var, bool]] = set()

    def demand(self, needed: Var) -> None:
        """Send as much as possible from nowhere to the reader of a value; what cannot be reached any more is dead."""
        while (path := self.search((needed, True))) is not None:
            self.augment(path)

    def search(self, start: tuple[Var, bool]) -> list[tuple[Var, bool]] | None:
        """The nodes from `start` back to one that more can flow into from nowhere; None marks what was seen as dead."""
        if start in self.dead:
            return None
        before: dict[tuple[Var, bool], tuple[Var, bool] | None] = {start: None}
        stack = [start]
        while stack:
            node = stack.pop()
            v, read = node
            if not read and self.made.get(v, 0.0) < self.prices.get(v, INFINITE):
                path = []
                found: tuple[Var, bool] | None = node
                while found is not None:
                    path.append(found)
                    found = before[found]
                return path
            for other in self.sources(v, read):
                if other not in before and other not in self.dead:
                    before[other] = node
                    stack.append(other)
        self.dead.update(before)
        return None

    def sources(self, v: Var, read: bool) -> list[tuple[Var, bool]]:
        """The nodes from which more can flow to this one, or to which less can flow from it."""
        if read:
            found = [(w, False) for w in self.readers.get(v, ()) if self.between[v, w] > 0]
            if self.inside.get(v, 0.0) < self.bytes[v]:
                found.append((v, False))
            return found
        found = [(v, True)] if self.inside.get(v, 0.0) > 0 else []
        if self.prices.get(v, INFINITE) < INFINITE:
            found += [(u, True) for u in self.producer[v].inputs if type(u) is Var and u not in self.there]
        return found

    def augment(self, path: list[tuple[Var, bool]]) -> None:
        """Send along a path, which begins where the flow does, as much as it takes."""
        first = path[0][0]
        amount = self.prices.get(first, INFINITE) - self.made.get(first, 0.0)
        for (v, read), (w, read_next) in pairwise(path):
            if v is w:
                amount = min(amount, self.bytes[v] - self.inside.get(v, 0.0) if read_next else self.inside[v])
            elif not read:
                amount = min(amount, self.between[w, v])
        if first in self.made or amount:
            self.made[first] = self.made.get(first, 0.0) + amount
        for (v, read), (w, read_next) in pairwise(path):
            if v is w:
                self.inside[v] = self.inside.get(v, 0.0) + (amount if read_next else -amount)
            elif read:
                if (v, w) not in self.between:
                    self.readers.setdefault(v, []).append(w)
                self.between[v, w] = self.between.get((v, w), 0.0) + amount
            else:
                self.between[w, v] -= amount

    def saved(self) -> set[Var]:
        """The values on whose inside the cut runs."""
        return {v for v, read in self.dead if read and (v, False) not in self.dead}
