"""What a reverse pass saves and what it computes again: plans, made from the linearization of a program.

The forward program makes the residuals, which the linear program reads. The linear program is divided into regions. A
plan says which values are saved, and for each region the equations that give the other residuals again. A minimum cut
decides, in which a value costs its bytes and an equation the time that it takes, in bytes that are worth as much; the
lower that price is set, the less is saved. What one region computes again and another would need too is saved between
them, so that with n regions of a deep program about the nth part of it is there at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

from minijvp.calls.call import work_of
from minijvp.core.jaxpr import Atom, Equation, Jaxpr, Var
from minijvp.operations.families import broadcast_in_dim
from minijvp.operations.sharding import number_of_devices
from minijvp.optimize.kept_call import kept_call
from minijvp.optimize.rematerialize.cut import minimum_cut
from minijvp.optimize.rematerialize.forward import (
    Forward,
    Loop,
    crossings,
    fuses,
    gathers,
    is_cheap,
    without_results,
)
from minijvp.optimize.rematerialize.sizes import bytes_again, bytes_alive, bytes_within, summed, written

SMALL = 1 << 23
"""Residuals of less than so many bytes in total are left alone, if no budget is asked for: they fit in a cache, and to
trace and compile a plan takes time too."""

NOTICEABLE = 1 << 20
"""So many bytes are worth the trouble where a program is planned."""

NEGLIGIBLE = 1e-4
"""The part of all residuals up to which a value is not worth thinking about: it is saved where it is needed."""

WORTHWHILE = 0.9
"""The part of the bytes that may remain for a plan to be followed without a budget that asks for it."""

REPEATED = 0.1
"""The part of its bytes up to which a value may cost that is computed again in more than one region."""

EQUATIONS_PER_REGION = 6
"""Of a linear program, at least."""

TIME = 0.05
"""The part of the time of the whole by which computing again may lengthen it, if no budget is asked for."""


class Terms(NamedTuple):
    """How a plan is made."""

    exchange: float
    """How many bytes are saved for the time in which one could be moved to or from memory, at least."""
    regions: int
    """At most so many."""
    expensive: bool
    """Whether what takes long may be computed again too: products of matrices, loops, and the like."""
    sums: bool = False
    """Whether sums and maxima are computed again with what they are made from, and not saved since they are small."""


DEFAULT = Terms(0.05, 16, expensive=False)
"""Where no budget is asked for."""
CALLED = Terms(0.07, 1, expensive=True, sums=True)
"""Where no budget is asked for, of a program that is called several times. To give the maxima of a softmax besides the
result makes XLA take five times as long to compile a layer of a transformer (JAX 0.10, CPU)."""
REGIONS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
MANY = 1000
"""Of a program, for each so many equations fewer numbers of regions are tried."""
EXCHANGES = (0.05, 0.01, 0.002, 0.0004, 0.0)
"""What is tried for a budget; on several devices, with all before anything is computed again that may communicate."""


@dataclass(frozen=True)
class PlannedRegion:
    """Equations of a linear program, from number `start` to `end`, and those of the forward one that go before."""

    start: int
    end: int
    again: tuple[Equation, ...]
    saved: frozenset[Var]
    """What it reads that is kept for the reverse pass alone."""
    bytes: int
    """Of what it computes again, the most that is there at one time; in the body of a loop, its part for each turn."""
    apart: bool
    """Whether the compiler has to be told to keep it apart: not if it fuses what is computed again by itself."""
    time: float
    """How much longer what it computes again takes, as `Primitive.work` counts it."""


@dataclass(frozen=True)
class Plan:
    """What a reverse pass saves, and what it computes again."""

    saved: frozenset[Var]
    regions: tuple[PlannedRegion, ...]
    bytes_before: int
    """Of the residuals that are kept for nothing else, if nothing is computed again."""
    time: float
    """The part by which computing again lengthens forward and reverse pass together: a rough guess."""

    @cached_property
    def bytes_after(self) -> int:
        """Of what is saved."""
        return sum([v.type.bytes for v in self.saved])

    @cached_property
    def peak(self) -> int:
        """The most that is there at one time, saved or computed again, while the regions go backward."""
        alive: set[Var] = set()
        size = found = 0
        for r in self.regions:
            size += sum([v.type.bytes for v in r.saved - alive])
            alive |= r.saved
            found = max(found, size + r.bytes)
        return found

    @property
    def again(self) -> list[Equation]:
        """The equations that are computed again, each once."""
        return list({id(e): e for r in self.regions for e in r.again}.values())


class PlanningProblem:
    """A linearization as planning sees it: the forward program, and the linear one over its variables."""

    def __init__(self, forward: Forward, program: Jaxpr, residuals: Iterable[Atom], loop: Loop | None = None):
        self.forward = forward
        self.program = program
        self.residuals = set(residuals)
        self.loop = loop
        self.alive = bytes_alive(program.equations, program.outputs)
        every = dict.fromkeys([v for e in program.equations for v in e.inputs])
        self.needed = [v for v in every if type(v) is Var and v in self.residuals and not forward.at_hand(v)]
        self.bytes = sum([v.type.bytes for v in self.needed])
        self.cuts: dict[tuple[Terms, frozenset[Var]], set[Var]] = {}

    def automatic_plan(self, copies: int = 1) -> Plan | None:
        """The plan to follow where no budget is asked for: None if there is little to gain.

        In a loop whose turns compute nothing that takes long, to compute it again would take as long as a turn."""
        if self.bytes * copies * (self.loop.length if self.loop else 1) < SMALL * number_of_devices():
            return None
        turns = self.loop and not (self.loop.chosen or self.loop.called)
        if turns and "expensive" not in self.forward.levels.values():
            return None
        plan = self.by_default_terms()
        return plan if plan.again and plan.peak <= WORTHWHILE * self.peak_by_default(plan) else None

    def by_default_terms(self) -> Plan:
        """The plan that is followed where no budget is asked for, if it gains enough."""
        return self.plan(CALLED) if self.loop and self.loop.called else self.plan(DEFAULT, within_time=True)

    def plan_within(self, budget: int) -> Plan:
        """The plan that takes least time of those that keep within so many bytes; else the one that comes closest."""
        smallest = self.by_default_terms()
        if smallest.peak <= budget:
            return smallest
        # The sizes of regions and what they compute depend on each other, and no formula gives both: so a few numbers
        # of regions are tried, and expensive operations only when cheap ones do not do.
        counts = sorted({min(n, self.most_regions) for n in REGIONS[:: 1 + len(self.program.equations) // MANY]})
        for expensive, exchange in tried():
            plans = [self.plan(Terms(exchange, n, expensive)) for n in counts]
            fitting = [p for p in plans if p.peak <= budget]
            if fitting:
                # Plans of nearly equal time differ by the roughness of the estimate: of these the smallest is better.
                fastest = min([p.time for p in fitting])
                return min([p for p in fitting if p.time <= 1.1 * fastest], key=lambda p: p.peak)
            smallest = min([smallest, *plans], key=lambda p: p.peak)
        return smallest

    def plan(self, terms: Terms, within_time: bool = False) -> Plan:
        """The plan on these terms; `within_time`, those of its regions save all that gain least for their time."""
        forward = self.forward
        borders = self.borders(terms.regions)
        reads = [self.reads(start, end) for start, end in borders]
        # Small values as free ends make the cut stop near them, in place of computing long chains again for nothing.
        negligible = 0 if terms.sums else NEGLIGIBLE * self.bytes
        extra = {v for v in forward.producer if v.type.bytes <= negligible}
        if within_time:
            extra |= self.spread_out
        saved = self.choice(reads, extra, terms)
        if within_time:
            costly = self.too_slow(borders, reads, saved)
            if costly:
                saved = self.choice(reads, extra | costly, terms)
        if self.loop is None:
            saved |= self.saved_at_last(*borders[-1], reads[-1], saved)
        regions = [self.region(start, end, r, saved) for (start, end), r in zip(borders, reads, strict=True)]
        time = sum([r.time for r in regions]) / max(self.work, 1.0)
        return Plan(frozenset().union(*[r.saved for r in regions]), tuple(regions), self.bytes, time)

    def choice(self, reads: Sequence[Sequence[Var]], extra: set[Var], terms: Terms) -> set[Var]:
        """What to save, or to have at hand: `extra` at least, as far as it is needed.

        What two regions would both compute again, at more than a small price, is saved between them.
        """
        while True:
            saved = self.cut(terms, frozenset(extra)) | extra
            crossing = crossings(self.forward, reads, saved, REPEATED / DEFAULT.exchange)
            if not crossing:
                return saved
            extra = extra | crossing

    def cut(self, terms: Terms, extra: frozenset[Var]) -> set[Var]:
        """The cheapest choice of what to save besides `extra`, which does not depend on where regions end."""
        key = terms._replace(regions=0), extra
        found = self.cuts.get(key)
        if found is None:
            prices = self.forward.prices(terms.exchange, terms.expensive, terms.sums).values()
            at_hand = self.forward.at_hand
            found = minimum_cut(self.forward.numbered, self.needed, lambda v: v in extra or at_hand(v), prices)
            self.cuts[key] = found
        return found

    def saved_at_last(self, start: int, end: int, reads: Sequence[Var], saved: set[Var]) -> set[Var]:
        """What the last region, which goes backward first, may as well save: all else that is saved is there then.

        It is what it would compute again and write.
        """
        again, made = self.forward.again(reads, saved)
        return written(again, made, self.program.equations[start:end]).intersection(reads)

    def too_slow(self, borders: Sequence[tuple[int, int]], reads: Sequence[list[Var]], saved: set[Var]) -> set[Var]:
        """The residuals that take longer to compute again than there is time, those of least gain for it first.

        They go by regions, and in the body of a loop, which is one, each by itself. What is not saved is not written
        to memory, nor, where a loop stacks it, read from there: that much time is won. Nothing is where a compiler
        fuses a whole region, since it stores little of it anyway.
        """
        if self.loop is None:
            moved, groups = 1, [r if self.is_mixed(*border) else [] for border, r in zip(borders, reads, strict=True)]
        else:
            moved, groups = 2, [[v] for v in self.needed]
        slow = self.by_default(set(self.needed).difference(*groups))
        rated = []
        for wanted in groups:
            again, made = self.forward.again(wanted, saved)
            gain = moved * sum([v.type.bytes for v in wanted if v in made])
            rated.append((self.forward.work(again) / max(gain, 1), gain, wanted, again))
        rated.sort(key=lambda r: r[0])
        time = TIME * self.work
        done: set[int] = set()
        for _, gain, wanted, again in rated:
            new = [e for e in again if id(e) not in done]
            # What an earlier group computes again in the same turn of a loop is there for this one too.
            cost = self.forward.work(new) - gain
            if cost > time:
                slow |= self.by_default(wanted)
                continue
            time -= cost
            if self.loop is not None:
                done.update(map(id, again))
        return slow

    @cached_property
    def again_in_calls(self) -> list[int]:
        """For each equation of the linear program, the bytes that a call of a layer computes again at one time."""
        reached: set[Atom] = {v for v in self.program.inputs if v not in self.residuals}
        found = []
        for e in self.program.equations:
            flags = tuple([v in reached for v in e.inputs])
            found.append(bytes_again(e.params["jaxpr"], flags) if e.primitive is kept_call and any(flags) else 0)
            if any(flags):
                reached.update(e.outputs)
        return found

    @cached_property
    def spread_out(self) -> set[Var]:
        """The residuals by which elementwise operations multiply a cotangent before it is spread over a larger array.

        A compiler fuses all that, with what gives the residuals: for each number of the larger array it would compute
        them again. So does the gradient of a vector times a matrix, the outer product of two vectors.
        """
        moved: set[Atom] = {v for v in self.program.inputs if v not in self.residuals}
        gathered: set[Atom] = set()
        found: set[Atom] = set()
        for e in self.program.equations:
            linear = moved.intersection(e.inputs)
            if not linear:
                continue
            moved.update(e.outputs)
            if fuses(e) and e.primitive is not broadcast_in_dim and not gathered.isdisjoint(linear):
                found.update(e.inputs)
                gathered.update(e.outputs)
            elif gathers(e, linear):
                gathered.update(e.outputs)
        return {v for v in self.needed if v in found}

    def is_mixed(self, start: int, end: int) -> bool:
        """Whether a part of the linear program has operations that a compiler does not fuse with others."""
        return not all(map(fuses, self.program.equations[start:end]))

    def region(self, start: int, end: int, reads: Sequence[Var], saved: set[Var]) -> PlannedRegion:
        """A region of a plan."""
        forward = self.forward
        again, made = forward.again(reads, saved)
        whole = written(again, made, self.program.equations[start:end])
        size = bytes_within(whole, made.intersection(reads))
        size += max(self.again_in_calls[start:end], default=0)
        size = size + self.alive[start] + self.alive[end] if self.loop is None else size // max(self.loop.length, 1)
        apart = bool(whole) or not all(map(is_cheap, again)) or forward.reads_elsewhere(made, again)
        taken = {v for e in again for v in e.inputs}.union(reads) - made
        hidden = saved | forward.kept
        kept = frozenset([v for v in taken if type(v) is Var and not forward.at_hand(v)])
        equations = tuple([without_results(e, hidden) for e in again])
        return PlannedRegion(start, end, equations, kept, size, apart, forward.work(again))

    @cached_property
    def work(self) -> float:
        """How long forward and reverse pass take, if nothing is computed again."""
        return sum(self.forward.works.values()) + work_of(self.program)

    def by_default(self, needed: Iterable[Var], cheap: bool = False) -> set[Var]:
        """What a compiler keeps for some values, if nothing is planned.

        What only the reverse pass needs, it fuses there into what reads it if it can, and maybe all that is `cheap`.
        """
        forward, first = self.forward, self.forward.needed_for_results
        found: set[Var] = set()
        seen: set[Var] = set()
        pending = list(needed)
        while pending:
            v = pending.pop()
            if v in seen or forward.at_hand(v):
                continue
            seen.add(v)
            e = forward.producer.get(v)
            if e is not None and ((cheap and is_cheap(e)) or (id(e) not in first and fuses(e))):
                pending += [u for u in e.inputs if type(u) is Var]
            else:
                found.add(v)
        return found

    def peak_by_default(self, plan: Plan) -> float:
        """About the most that is there at one time between the regions of a plan, if it is not followed.

        A compiler fuses some of what is cheap.
        """
        kept = [sum([v.type.bytes for v in self.by_default(self.needed, cheap)]) for cheap in (True, False)]
        return sum(kept) / 2 + max([self.alive[r.start] for r in plan.regions]) + max(self.again_in_calls, default=0)

    @property
    def most_regions(self) -> int:
        return 1 if self.loop else max(1, len(self.program.equations) // EQUATIONS_PER_REGION)

    def reads(self, start: int, end: int) -> list[Var]:
        """The residuals that a part of the linear program reads."""
        every = dict.fromkeys([v for e in self.program.equations[start:end] for v in e.inputs])
        return [v for v in every if type(v) is Var and v in self.residuals]

    @cached_property
    def divided(self) -> list[int]:
        """For each place between two equations of the linear program, the bytes that both sides would have in common.

        They are what is alive there, and residuals that one side reads, and the other too or others made from them.
        """
        first: dict[Atom, int] = {}
        last: dict[Atom, int] = {}

        def read(v: Atom, low: int, high: int) -> None:
            first[v] = min(first.get(v, low), low)
            last[v] = max(last.get(v, high), high)

        for i, e in enumerate(self.program.equations):
            for v in e.inputs:
                read(v, i, i)
        for e in reversed(self.forward.equations):
            made = [v for v in e.outputs if v in first]
            if made and e.primitive.recomputable not in ("expensive", "never"):
                low, high = min([first[v] for v in made]), max([last[v] for v in made])
                for v in e.inputs:
                    read(v, low, high)
        return summed(self.alive, [(first[v] + 1, last[v] + 1, v.type.bytes) for v in self.needed])

    def borders(self, n: int) -> list[tuple[int, int]]:
        """About `n` parts of the linear program, divided where least is common to both sides."""
        m, divided = len(self.program.equations), self.divided
        size = m / min(n, self.most_regions)
        borders = [0]
        while m - borders[-1] > 1.5 * size:
            start = borders[-1]
            places = range(start + max(1, round(size / 2)), min(m, start + round(1.5 * size) + 1))
            borders.append(min(places, key=lambda i: (divided[i], abs(i - start - size))))
        return list(pairwise([*borders, m]))


def tried() -> list[tuple[bool, float]]:
    """What is tried for a budget: whether what takes long may be computed again, and the exchange."""
    cheap = EXCHANGES if number_of_devices() > 1 else (DEFAULT.exchange,)
    return [*[(False, x) for x in cheap], *[(True, x) for x in EXCHANGES]]
