"""Automatic rematerialisation: a staged reverse pass keeps what is worth keeping and computes the rest again.

Linearization makes the residuals explicit: the values of the forward program that the linear one reads. A minimum cut
decides which of them are saved. The linear program then takes these, and what is at hand anyway, and begins with the
equations that give the others; transposed, it is cut into regions, each of which computes again just what it needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

from minijvp.core.config import config
from minijvp.core.jaxpr import Atom, Equation, Jaxpr, Var, evaluate
from minijvp.core.tracing import state
from minijvp.core.types import is_inexact
from minijvp.operations.families import add
from minijvp.transforms.cut import minimum_cut
from minijvp.transforms.linearize import linearize_flat, linearize_jaxpr
from minijvp.transforms.region import region
from minijvp.transforms.staging import StagingTrace, StagingTracer
from minijvp.transforms.transpose import new_transpose, transpose_flat, transpose_jaxpr

SMALL = 1 << 20
"""Residuals of less than so many bytes in total are left alone: they fit in a cache."""

WORTHWHILE = 0.8
"""The part of the bytes that may remain for a plan to be followed."""

REPEATED = 0.1
"""The part of its bytes up to which a value may cost that is computed again in more than one region."""

REGIONS, EQUATIONS_PER_REGION = 16, 12

EXCHANGE = 0.05
"""How many bytes are saved for the time in which one could be moved to or from memory, at least."""

TIME = 0.05
"""The part of the time of the whole by which computing again may lengthen it."""


def work(e: Equation) -> float:
    """How long an equation takes, in bytes moved to or from memory."""
    return e.primitive.work([v.type for v in e.inputs], [v.type for v in e.outputs], e.params)


def price(e: Equation) -> float | None:
    """What computing an equation again costs, in bytes that would be worth the same; None if it is never done."""
    return None if e.primitive.recomputable == "never" or e.has_effects else EXCHANGE * work(e)


def linearize_planned(
    fun: Callable[..., Sequence[Any]],
    primals: Sequence[Any],
    differentiated: Sequence[bool] | None = None,
    n_outputs: int | Callable[[], int] | None = None,
) -> tuple[Sequence[Any], Jaxpr, tuple[bool, ...]]:
    """What `linearize_flat` returns; in a staged program, the linear one computes again what is not worth keeping.

    It then begins with equations in which no tangent takes part.
    """
    trace = state.trace
    if type(trace) is not StagingTrace or config.memory_budget == "off":
        return linearize_flat(fun, primals, differentiated, n_outputs)
    start = len(trace.equations)
    outs, linear, nonzero = linearize_flat(fun, primals, differentiated, n_outputs)

    def variable(x: Any) -> Var | None:
        return x.variable if type(x) is StagingTracer and x.owner is trace else None

    forward = Forward(trace.equations[start:], [v for x in outs if (v := variable(x)) is not None])
    names = {v: u for v, x in linear.constants if (u := variable(x)) is not None}
    program = renamed(linear, names)
    found = plan(forward, reads(program, set(names.values())))
    if found is None:
        return outs, linear, nonzero
    trace.equations[start:] = tied(forward, found)
    others = tuple([(v, x) for v, x in linear.constants if v not in names])
    leaves = leaves_of(found, names.values())
    constants = (*others, *[(v, StagingTracer(trace, v)) for v in leaves])
    equations = (*found.again, *program.equations)
    return outs, Jaxpr(constants, linear.inputs, equations, program.outputs, linear.name), nonzero


Origins = tuple[int | None, ...]


def linearize_jaxpr_planned(
    jaxpr: Jaxpr, nonzero: tuple[bool, ...], loop: Loop | None = None
) -> tuple[Jaxpr, Jaxpr, Origins, tuple[bool, ...]]:
    """What `linearize_jaxpr` returns, with a linear program that computes again what is not worth keeping.

    A `loop` says of the body of one how often it runs, and which of its inputs and outputs are kept anyway.
    """
    if config.memory_budget == "off":
        return linearize_jaxpr(jaxpr, nonzero)
    return _linearize_jaxpr_planned(jaxpr, nonzero, loop)


class Loop(NamedTuple):
    """Of the body of a loop: how often it runs, the inputs that are the same in each turn, and what is kept anyway."""

    length: int
    fixed_inputs: tuple[bool, ...]
    kept_inputs: tuple[bool, ...]
    kept_outputs: tuple[bool, ...]


class Parts(NamedTuple):
    """A linearization, and what a plan for it is made from: the linear program over the variables of the known one."""

    known: Jaxpr
    linear: Jaxpr
    out_nonzero: tuple[bool, ...]
    forward: Forward
    program: Jaxpr
    residuals: tuple[Atom, ...]


def parts_of(jaxpr: Jaxpr, nonzero: tuple[bool, ...], loop: Loop | None = None) -> Parts:
    """The parts of the linearization of an open jaxpr."""
    known, linear, origins, out_nonzero = linearize_jaxpr(jaxpr, nonzero)
    n = len(out_nonzero)
    places: tuple[Atom, ...] = (*known.inputs, *known.outputs[:n])
    new = iter(known.outputs[n:])
    residuals = tuple([next(new) if i is None else places[i] for i in origins])
    forward = Forward(known.equations, [v for v in known.outputs[:n] if type(v) is Var])
    if loop is not None:
        forward = body_of(loop, known, n)
    program = renamed(linear, dict(zip(linear.inputs, residuals, strict=False)))
    return Parts(known, linear, out_nonzero, forward, program, residuals)


@lru_cache(maxsize=4096)
def _linearize_jaxpr_planned(
    jaxpr: Jaxpr, nonzero: tuple[bool, ...], loop: Loop | None
) -> tuple[Jaxpr, Jaxpr, Origins, tuple[bool, ...]]:
    parts = parts_of(jaxpr, nonzero, loop)
    known, out_nonzero = parts.known, parts.out_nonzero
    found = plan(parts.forward, reads(parts.program, set(parts.residuals)), 1 if loop is None else loop.length)
    if found is None:
        return linearize_jaxpr(jaxpr, nonzero)
    leaves = leaves_of(found, parts.residuals)
    outputs = known.outputs[: len(out_nonzero)]
    position = {v: i for i, v in reversed(list(enumerate((*known.inputs, *outputs))))}
    kept = [v for v in leaves if v not in position]
    first = known.equations if loop is not None else tuple(tied(parts.forward, found))
    known = Jaxpr(known.constants, known.inputs, first, (*outputs, *kept), known.name)
    equations = (*found.again, *parts.program.equations)
    tangents = parts.linear.inputs[len(parts.residuals) :]
    linear = Jaxpr((), (*leaves, *tangents), equations, parts.program.outputs, parts.linear.name)
    return known.without_dead_code(), linear, tuple([position.get(v) for v in leaves]), out_nonzero


def body_of(loop: Loop, known: Jaxpr, n: int) -> Forward:
    """The forward program of one turn of a loop, whose inputs from turn to turn are not kept."""
    varies = {v for v, fixed in zip(known.inputs, loop.fixed_inputs, strict=True) if not fixed}
    fixed: list[Var] = []
    for e in known.equations:
        if varies.isdisjoint(e.inputs):
            fixed += e.outputs
        else:
            varies.update(e.outputs)
    kept = [v for v, flag in zip(known.outputs[:n], loop.kept_outputs, strict=True) if flag and type(v) is Var]
    carried = [v for v, flag in zip(known.inputs, loop.kept_inputs, strict=True) if not flag]
    return Forward(known.equations, (*fixed, *kept), carried)


def reads(program: Jaxpr, residuals: set[Atom]) -> list[list[Var]]:
    """The residuals that each region of a linear program reads."""
    borders = region_borders(program.equations, program.outputs)
    return [
        [v for e in program.equations[i:k] for v in e.inputs if type(v) is Var and v in residuals]
        for i, k in pairwise(borders)
    ]


def leaves_of(plan: Plan, residuals: Iterable[Atom]) -> list[Var]:
    """The values that a planned linear program takes: residuals, and those from which others are computed again."""
    made = {v for e in plan.again for v in e.outputs}
    read = dict.fromkeys([*residuals, *[v for e in plan.again for v in e.inputs]])
    return [v for v in read if type(v) is Var and v not in made]


def tied(forward: Forward, plan: Plan) -> list[Equation]:
    """The forward equations, with what is assembled from arguments alone next to the equation that uses it.

    Else a compiler may assemble everything first, and keep it all until it is used.
    """
    again = {id(e) for e in plan.again}
    depends: set[Var] = set()  # on more than arguments
    readers: dict[Var, int] = {}
    for e in forward.equations:
        if id(e) not in again or not depends.isdisjoint(e.inputs):
            depends.update(e.outputs)
        for v in set(e.inputs):
            if type(v) is Var:
                readers[v] = readers.get(v, 0) + 1
    result = []
    for e in forward.equations:
        variables = [v for v in dict.fromkeys(e.inputs) if type(v) is Var]
        parts = [v for v in variables if v in forward.producer and v not in depends and readers[v] == 1]
        data = [v for v in variables if v in depends and is_inexact(v.type.dtype)]
        if not data or not parts or sum(v.type.bytes for v in parts) < SMALL:
            result.append(e)
            continue
        inner = forward.ancestors(parts, set())
        equations = [f for f in forward.equations if not inner.isdisjoint(f.outputs)]
        leaves = dict.fromkeys([v for f in (*equations, e) for v in f.inputs if type(v) is Var and v not in inner])
        inputs = (*[v for v in leaves if v is not data[-1]], data[-1])
        body = Jaxpr((), inputs, (*equations, e), e.outputs)
        result.append(Equation(region, inputs, {"jaxpr": body}, e.outputs, e.source))
    return result


class Forward:
    """The forward program of a linearization: its equations, and which values are there for the reverse pass anyway."""

    def __init__(self, equations: Sequence[Equation], kept: Iterable[Var], carried: Iterable[Var] = ()):
        self.equations = equations
        self.producer = {v: e for e in equations for v in e.outputs}
        self.kept = set(kept)
        self.carried = set(carried) - self.kept

    def at_hand(self, v: Var) -> bool:
        """Whether reading a value in the reverse pass costs nothing."""
        return v in self.kept or (v not in self.producer and v not in self.carried)

    def ancestors(self, wanted: Iterable[Var], saved: set[Var]) -> set[Var]:
        """The values to compute again for those that are wanted, and these, without what is saved or at hand."""
        found: set[Var] = set()
        pending = list(wanted)
        while pending:
            v = pending.pop()
            if v in self.producer and v not in found and v not in saved and not self.at_hand(v):
                found.add(v)
                pending += [u for u in self.producer[v].inputs if type(u) is Var]
        return found


@dataclass(frozen=True)
class Plan:
    """Which residuals are saved (or others in their place), and the equations that give the remaining ones."""

    saved: frozenset[Var]
    again: tuple[Equation, ...]
    bytes_before: int
    bytes_after: int


def plan(forward: Forward, regions: Sequence[Sequence[Var]], length: int = 1) -> Plan | None:
    """The plan for a reverse pass whose regions read these residuals, or None where the default is as good."""
    needed = needed_by(forward, regions)
    if sum(v.type.bytes for v in needed) * length < SMALL:
        return None
    found = cheapest_plan(forward, regions)
    return found if found.again and found.bytes_after <= WORTHWHILE * found.bytes_before else None


def needed_by(forward: Forward, regions: Sequence[Sequence[Var]]) -> list[Var]:
    """The residuals that are kept for nothing but the reverse pass."""
    return list(dict.fromkeys([v for reads in regions for v in reads if not forward.at_hand(v)]))


def cheapest_plan(forward: Forward, regions: Sequence[Sequence[Var]]) -> Plan:
    """The plan for a reverse pass whose regions read these residuals, be it worth following or not."""
    needed = needed_by(forward, regions)
    before = sum(v.type.bytes for v in needed)
    saved, again = choice(forward, regions, needed, set())
    costly = too_slow(forward, regions, saved)
    if costly:
        saved, again = choice(forward, regions, needed, costly)
    after = sum(v.type.bytes for v in saved)
    hidden = saved | forward.kept
    return Plan(frozenset(saved), tuple([without_results(e, hidden) for e in again]), before, after)


def choice(
    forward: Forward, regions: Sequence[Sequence[Var]], needed: Sequence[Var], extra: set[Var]
) -> tuple[set[Var], list[Equation]]:
    """What to save, `extra` at least, and what to compute again.

    What two regions would both compute again, at more than a small price, is saved between them.
    """
    while True:
        inner = Forward(forward.equations, forward.kept | extra, forward.carried)
        saved, again = minimum_cut(forward.equations, needed, inner.at_hand, price)
        crossing = crossings(inner, regions, set(saved))
        if not crossing:
            return {*saved, *extra}, again
        extra = extra | crossing


def too_slow(forward: Forward, regions: Sequence[Sequence[Var]], saved: set[Var]) -> set[Var]:
    """The residuals of the regions that compute too much again for the time that there is, those of least gain first.

    A value that is not saved is neither written nor read: that much time is won.
    """
    time = TIME * 3 * sum([work(e) for e in forward.equations])
    rated = []
    for reads in regions:
        found = forward.ancestors(reads, saved)
        gain = sum(v.type.bytes for v in set(reads) if v in found)
        equations = {id(e): e for e in [forward.producer[v] for v in found]}
        rated.append((sum([work(e) for e in equations.values()]) - 2.0 * gain, gain, reads))
    rated.sort(key=lambda r: r[0] / max(r[1], 1))
    slow: set[Var] = set()
    for cost, _, reads in rated:
        time -= cost
        if time < 0:
            slow.update([v for v in reads if not forward.at_hand(v)])
    return slow


def without_results(e: Equation, variables: set[Var] | frozenset[Var]) -> Equation:
    """The equation with other variables for those of its results that are known otherwise."""
    if variables.isdisjoint(e.outputs):
        return e
    outputs = tuple([Var(v.type) if v in variables else v for v in e.outputs])
    return Equation(e.primitive, e.inputs, e.params, outputs, e.source)


def crossings(forward: Forward, regions: Sequence[Sequence[Var]], saved: set[Var]) -> set[Var]:
    """The values that one region reads and another has computed again already, if that costs more than to save them."""
    first: dict[Var, int] = {}
    times: dict[Var, int] = {}
    computed = []
    for k, reads in enumerate(regions):
        found = forward.ancestors(reads, saved)
        computed.append(found)
        for v in found:
            first.setdefault(v, k)
            times[v] = times.get(v, 0) + 1
    shared: set[Var] = set()
    for k, (reads, found) in enumerate(zip(regions, computed, strict=True)):
        new = [v for v in found if first[v] == k]
        operands = [u for v in new for u in forward.producer[v].inputs if type(u) is Var]
        shared.update([u for u in (*operands, *reads) if first.get(u, k) < k])
    return {v for v in shared if (times[v] - 1) * total_price(forward, v, saved) > REPEATED * v.type.bytes}


def total_price(forward: Forward, v: Var, saved: set[Var]) -> float:
    """What computing a value again costs, with all that it needs."""
    equations = {id(e): e for e in [forward.producer[u] for u in forward.ancestors([v], saved)]}
    return EXCHANGE * sum([work(e) for e in equations.values()])


def transpose_planned(
    jaxpr: Jaxpr, linear: Sequence[bool], args: Sequence[Any], cotangents: Sequence[Any]
) -> list[Any]:
    """What `transpose_flat` returns, by regions if the program computes something again."""
    if type(state.trace) is not StagingTrace or config.memory_budget == "off":
        return transpose_flat(jaxpr, linear, args, cotangents)
    again, equations = divided(jaxpr, linear)
    if sum(v.type.bytes for e in again for v in e.outputs) < SMALL:
        return transpose_flat(jaxpr, linear, args, cotangents)
    values: dict[Atom, Any] = dict(jaxpr.constants)
    values.update([(v, x) for v, x, flag in zip(jaxpr.inputs, args, linear, strict=True) if not flag])
    found = Reverse(equations, again, values).run(jaxpr.outputs, cotangents)
    return [found.get(v) for v, flag in zip(jaxpr.inputs, linear, strict=True) if flag]


def transpose_jaxpr_planned(
    jaxpr: Jaxpr, linear: tuple[bool, ...], nonzero: tuple[bool, ...]
) -> tuple[Jaxpr, tuple[bool, ...]]:
    """What `transpose_jaxpr` returns, by regions if the program computes something again."""
    planned = config.memory_budget != "off"
    return _transpose_jaxpr_planned(jaxpr, linear, nonzero) if planned else transpose_jaxpr(jaxpr, linear, nonzero)


@lru_cache(maxsize=4096)
def _transpose_jaxpr_planned(
    jaxpr: Jaxpr, linear: tuple[bool, ...], nonzero: tuple[bool, ...]
) -> tuple[Jaxpr, tuple[bool, ...]]:
    return new_transpose(jaxpr, linear, nonzero, transpose_planned)


def divided(jaxpr: Jaxpr, linear: Sequence[bool]) -> tuple[list[Equation], list[Equation]]:
    """The equations that no linear input reaches, and the others."""
    reached = {v for v, flag in zip(jaxpr.inputs, linear, strict=True) if flag}
    known, others = [], []
    for e in jaxpr.equations:
        if reached.isdisjoint(e.inputs):
            known.append(e)
        else:
            others.append(e)
            reached.update(e.outputs)
    return known, others


class Reverse:
    """The reverse pass of linear equations, region by region, each with what it computes again."""

    def __init__(self, equations: Sequence[Equation], again: Sequence[Equation], values: dict[Atom, Any]):
        self.equations = equations
        self.values = values  # of what is known without computing again
        self.producer = {v: e for e in again for v in e.outputs}
        self.order = {id(e): i for i, e in enumerate(again)}
        self.received: dict[Atom, Any] = {}

    def run(self, outputs: Sequence[Atom], cotangents: Sequence[Any]) -> dict[Atom, Any]:
        """The cotangents of the linear inputs, for those of the outputs; None is zero."""
        for v, ct in zip(outputs, cotangents, strict=True):
            if ct is not None and type(v) is Var:
                self.receive(v, ct)
        for start, end in reversed(list(pairwise(region_borders(self.equations, outputs)))):
            self.transpose(self.equations[start:end])
        return self.received

    def receive(self, v: Atom, ct: Any) -> None:
        self.received[v] = add(self.received[v], ct) if v in self.received else ct

    def transpose(self, equations: Sequence[Equation]) -> None:
        """Move the cotangents of what some equations give to what they take."""
        made = {v for e in equations for v in e.outputs}
        outputs = tuple([v for v in self.received if v in made])
        if not outputs:
            return
        taken = list(dict.fromkeys([v for e in equations for v in e.inputs if type(v) is Var and v not in made]))
        known = [v for v in taken if v in self.values or v in self.producer]
        linear = [v for v in taken if not (v in self.values or v in self.producer)]
        part = Jaxpr((), (*known, *linear), tuple(equations), outputs)
        flags = (False,) * len(known) + (True,) * len(linear)
        transposed, found = new_transpose(part, flags, (True,) * len(outputs))
        again, leaves = self.ancestors(known)
        incoming = transposed.inputs[len(known) :]
        body = renamed(transposed, dict(zip(transposed.inputs, known)))
        # What rules that are applied here close over.
        closed = tuple([v for v, _ in transposed.constants])
        program = Jaxpr((), (*leaves, *closed, *incoming), (*again, *body.equations), body.outputs)
        constants = [x for _, x in transposed.constants]
        args = [*[self.values[v] for v in leaves], *constants, *[self.received.pop(v) for v in outputs]]
        cts = region(*args, jaxpr=program) if again else evaluate(program, *args)
        rest = iter(cts)
        for v, flag in zip(linear, found, strict=True):
            if flag:
                self.receive(v, next(rest))

    def ancestors(self, wanted: Sequence[Var]) -> tuple[list[Equation], list[Var]]:
        """The equations to compute again for some values, in order, and the values that these begin with."""
        equations: dict[int, Equation] = {}
        leaves: dict[Var, None] = {}
        pending = list(wanted)
        while pending:
            v = pending.pop()
            if v in self.values:
                leaves[v] = None
                continue
            e = self.producer[v]
            if id(e) not in equations:
                equations[id(e)] = e
                pending += [u for u in e.inputs if type(u) is Var]
        return sorted(equations.values(), key=lambda e: self.order[id(e)]), list(leaves)


def renamed(jaxpr: Jaxpr, names: Mapping[Any, Any]) -> Jaxpr:
    """The same program over other variables for its inputs."""
    get = names.get
    equations = tuple(
        [Equation(e.primitive, tuple([get(v, v) for v in e.inputs]), e.params, e.outputs, e.source) for e in jaxpr]
    )
    return Jaxpr((), tuple([get(v, v) for v in jaxpr.inputs]), equations, tuple([get(v, v) for v in jaxpr.outputs]))


def region_borders(equations: Sequence[Equation], outputs: Sequence[Atom]) -> list[int]:
    """Where to divide a linear program: about evenly, and where the least is alive from one part to the next."""
    m = len(equations)
    n = max(1, min(REGIONS, m // EQUATIONS_PER_REGION))
    alive = bytes_alive(equations, outputs)
    borders = [0]
    for k in range(1, n):
        low, high = max(borders[-1] + 1, (2 * k - 1) * m // (2 * n)), min(m - 1, (2 * k + 1) * m // (2 * n))
        if low <= high:
            borders.append(min(range(low, high + 1), key=lambda i: (alive[i], abs(i - k * m // n))))
    return [*borders, m]


def bytes_alive(equations: Sequence[Equation], outputs: Sequence[Atom]) -> list[int]:
    """For each place between two equations, the bytes that are made before and used after."""
    m = len(equations)
    last: dict[Atom, int] = {v: i for i, e in enumerate(equations) for v in e.inputs if type(v) is Var}
    last.update([(v, m) for v in outputs])
    changes = [0] * (m + 2)
    for i, e in enumerate(equations):
        for v in e.outputs:
            changes[i + 1] += v.type.bytes
            changes[last.get(v, i) + 1] -= v.type.bytes
    alive, now = [], 0
    for change in changes[: m + 1]:
        now += change
        alive.append(now)
    return alive
