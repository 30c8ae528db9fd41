"""Into the programs that primitives carry: calls, choices, and loops, turn by turn."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from minijvp.calls.call import ProgramCall
from minijvp.calls.linear_call import LinearCall
from minijvp.calls.programs import groups
from minijvp.control_flow.cond import Cond
from minijvp.control_flow.scan import Scan
from minijvp.control_flow.while_loop import LoopDerivative, While, loop_of
from minijvp.core.jaxpr import Atom, Equation, Jaxpr
from minijvp.explain.loops import Loop, WayBack
from minijvp.explain.marks import marking
from minijvp.explain.runs import KINDS, Found, Results, Run, Target, entrances, search


def deeper(
    run: Run,
    e: Equation,
    jaxpr: Jaxpr,
    inputs: Sequence[Any],
    label: str,
    turns: tuple[int, ...],
    leave: Callable[[Sequence[Target], str], Found],
) -> Run:
    """The run of a program inside of an equation."""
    return Run(jaxpr, inputs, (*run.path, label), turns, run, e, leave, run.is_backward(e))


def targets_of(inner: Run, results: Results, kind: str) -> list[Target]:
    """The outputs of a run that are `kind`, as they were in a compiled program: at the same places, if possible."""
    found: list[Target] = []
    for j, index in results:
        target = inner.jaxpr.outputs[j]
        x, place = inner.array(target), inner.where(target, kind)
        if x is not None and place is not None:
            exact = len(index) == x.ndim and bool(KINDS[kind](x[index]))
            found.append((target, index if exact else place, None))
    return found


def into_program(
    run: Run, e: Equation, jaxpr: Jaxpr, operands: Sequence[Atom], label: str, results: Results, kind: str
) -> Found | None:
    """What is found in a program that runs once, on these operands of the equation."""
    places: dict[Atom, Atom] = dict(zip(jaxpr.inputs, operands, strict=True))

    def leave(given: Sequence[Target], kind: str) -> Found:
        return Found(None, [(places[v], index, reader) for v, index, reader in given])

    values = [run.value(v) for v in operands]
    inner = run.inside(id(e), lambda: deeper(run, e, jaxpr, values, label, run.turns, leave))
    return found_in(inner, results, kind)


def found_in(inner: Run, results: Results, kind: str) -> Found | None:
    """What is found for results of a run, given in terms of the run around it; None if they are not `kind`."""
    targets = targets_of(inner, results, kind)
    if not targets:
        return None
    found = search(inner, targets, kind)
    assert inner.leave is not None
    return found.after(inner.leave(found.given, kind)) if found.given else found


def into_call(run: Run, e: Equation, results: Results, kind: str) -> Found | None:
    """A call: jit, checkpoint, a function with a rule."""
    jaxpr = e.params["jaxpr"]
    return into_program(run, e, jaxpr, e.inputs, labelled(e, jaxpr), results, kind)


def into_linear_call(run: Run, e: Equation, results: Results, kind: str) -> Found | None:
    """A linear map with its transpose, or a linear solve."""
    primitive: Any = e.primitive
    with marking():
        jaxpr = primitive.forward(e.params)
    return into_program(run, e, jaxpr, primitive.read(e.inputs, e.params), labelled(e, jaxpr), results, kind)


def into_branch(run: Run, e: Equation, results: Results, kind: str) -> Found | None:
    """The branch that is taken."""
    branches = e.params["branches"]
    taken = min(max(int(run.value(e.inputs[0])), 0), len(branches) - 1)
    return into_program(run, e, branches[taken], e.inputs[1:], f"cond (branch {taken})", results, kind)


def labelled(e: Equation, jaxpr: Jaxpr) -> str:
    """How a path names a call."""
    return f"{e.primitive.name} {jaxpr.name}".strip()


class Turns:
    """The turns of a loop in a run: what is found for its carries and rows, from turn to turn."""

    def __init__(self, run: Run, e: Equation, loop: Loop, operands: Sequence[Atom]):
        self.run, self.e, self.loop, self.operands = run, e, loop, operands
        self.constants, self.init, self.xs = loop.body.inputs([run.value(v) for v in operands])

    def after(self, turns: int) -> tuple[list[Any], dict[str, np.ndarray], int]:
        """The carries after some turns, since which turn each is nan or inf without a break, and the turns."""
        return self.run.inside((id(self.e), "after", turns), lambda: self.loop.advance(turns, self))

    def turn(self, turn: int) -> Run:
        """A turn, an equation at a time."""
        return self.run.inside((id(self.e), turn), lambda: self.run_turn(turn))

    def run_turn(self, turn: int) -> Run:
        row = self.loop.row(turn)
        carry, _, _ = self.after(turn)
        values = [*self.constants, *carry, *[x[row] for x in self.xs]]
        label = f"{self.e.primitive.name} (turn {row}{self.loop.of_turns})"
        leave = lambda given, kind: self.found(self.came(turn, given), kind)
        return deeper(self.run, self.e, self.loop.body.jaxpr, values, label, (*self.run.turns, row), leave)

    def came(self, turn: int, given: Iterable[Target]) -> list[tuple[int, int, Target]]:
        """Inputs of a turn as what `found` takes."""
        inner = self.turn(turn)
        return [(inner.given[t[0]], turn, t) for t in given]

    def of_results(self, results: Results, kind: str) -> Found | None:
        """What is found for results of the loop."""
        n, n_constants = self.loop.body.n_carry, self.loop.body.n_constants
        carries = [(n_constants + j, self.loop.length, (self.operands[0], i, None)) for j, i in results if j < n]
        rows: dict[int, list[tuple[int, Any]]] = {}
        for j, index in results:
            if j >= n:
                rows.setdefault(self.loop.row(index[0]), []).append((j, index[1:]))
        found = self.found(carries, kind, rows)
        return found if found.origin is not None or found.given or found.constant is not None else None

    def found(
        self,
        inputs: Iterable[tuple[int, int, Target]],
        kind: str,
        wanted: dict[int, list[tuple[int, Any]]] | None = None,
    ) -> Found:
        """What is found for inputs of the body before a turn, and for its results in turns that are `wanted`."""
        body, wanted = self.loop.body, wanted or {}
        found, given = Found(), list[Target]()

        def want(m: int, turn: int, target: Target) -> None:
            _, index, reader = target
            k = m - body.n_constants
            if not 0 <= k < body.n_carry:
                place = index if k < 0 else (self.loop.row(turn), *index)
                given.append((self.operands[m], place, reader))
                return
            _, since, taken = self.after(turn)
            began = int(since[kind][k])
            if taken == 0 or began < 0:
                given.append((self.operands[m], index, reader))
            else:
                wanted.setdefault(began, []).append((k, index if began == taken - 1 else ()))

        for m, turn, target in inputs:
            want(m, turn, target)
        while wanted:
            turn = max(wanted)
            inner = self.turn(turn)
            further = search(inner, targets_of(inner, wanted.pop(turn), kind), kind)
            found = found.after(further)
            for target in further.given:
                want(inner.given[target[0]], turn, target)
        return Found(found.origin, given, found.constant)


def into_scan(run: Run, e: Equation, results: Results, kind: str) -> Found | None:
    """The turns of a scan."""
    return Turns(run, e, Loop.of_scan(e.params), e.inputs).of_results(results, kind)


def into_while(run: Run, e: Equation, results: Results, kind: str) -> Found | None:
    """The turns of a while."""
    n = e.params["n_cond_constants"]
    loop = Loop.of_while(e.params, [run.value(v) for v in e.inputs[:n]])
    return Turns(run, e, loop, e.inputs[n:]).of_results(results, kind)


def into_loop_derivative(run: Run, e: Equation, results: Results, kind: str) -> Found | None:
    """The turns of the way back through a while. Into other derivatives of a while one does not look."""
    if e.primitive.name != "while_cotangents":
        return None
    n = int(run.value(e.inputs[0]))
    inputs, given = groups(e.inputs[1:], len(e.params["wrt"]))
    forward = Turns(run, e, Loop.of_steps(loop_of(e.params), n), inputs)
    with marking():
        way = WayBack.of(e.params)
    cts = [run.value(v) for v in given]
    for turn in reversed(range(n)):
        carry, _, _ = forward.after(turn)
        made = way.step(forward.constants, carry, cts)
        bad = [(i, ()) for i, x in enumerate(made) if KINDS[kind](np.asarray(x)).any()]
        if bad:
            return found_in(step_back(forward, turn, n, way, carry, cts), bad, kind)
        cts = way.carried(made, cts)
    return None


def step_back(forward: Turns, turn: int, n: int, way: WayBack, carry: list[Any], cts: list[Any]) -> Run:
    """A turn of the way back: what comes into it is constant in the loop, or comes from the turns forward."""
    run, e = forward.run, forward.e

    def leave(given: Sequence[Target], kind: str) -> Found:
        numbered = [(inner.given[t[0]], turn, t) for t in given]
        return forward.found([t for t in numbered if t[0] < len(forward.operands)], kind)

    label = f"way back through while (turn {turn} of {n})"
    values = [*forward.constants, *carry, *cts]
    inner = deeper(run, e, way.program, values, label, (*run.turns, turn), leave)
    return inner


entrances.update(
    {
        Scan: into_scan,
        While: into_while,
        Cond: into_branch,
        LoopDerivative: into_loop_derivative,
        ProgramCall: into_call,
        LinearCall: into_linear_call,
    }
)
