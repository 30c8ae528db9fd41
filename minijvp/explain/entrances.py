"""Into the programs that primitives carry: calls, choices, and loops, turn by turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
from minijvp.explain.runs import KINDS, Found, Index, Run, Target, entrances, left, search


def into_program(
    run: Run, e: Equation, jaxpr: Jaxpr, operands: Sequence[Atom], label: str, j: int, index: Index, kind: str
) -> Found | None:
    """What is found in a program that runs once, on these operands of the equation."""

    def make() -> Run:
        places = dict(zip(jaxpr.inputs, operands, strict=True))
        leave = lambda given, kind: Found(None, [(places[v], index, reader) for v, index, reader in given])
        return deeper(run, e, jaxpr, [run.value(v) for v in operands], label, run.turns, leave)

    return found_in(run.inside(id(e), make), j, index, kind)


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


def found_in(inner: Run, j: int, index: Index, kind: str) -> Found | None:
    """What is found for output `j` of a run, in terms of the run around it."""
    target = inner.jaxpr.outputs[j]
    x, place = inner.array(target), inner.where(target, kind)
    if x is None or place is None:
        return None
    exact = len(index) == x.ndim and bool(KINDS[kind](x[index]))
    return left(inner, search(inner, [(target, index if exact else place, None)], kind), kind)


def into_call(run: Run, e: Equation, j: int, index: Index, kind: str) -> Found | None:
    """A call: jit, checkpoint, a function with a rule."""
    jaxpr = e.params["jaxpr"]
    return into_program(run, e, jaxpr, e.inputs, labelled(e, jaxpr), j, index, kind)


def into_linear_call(run: Run, e: Equation, j: int, index: Index, kind: str) -> Found | None:
    """A linear map with its transpose, or a linear solve."""
    primitive: Any = e.primitive
    jaxpr = primitive.forward(e.params)
    return into_program(run, e, jaxpr, primitive.read(e.inputs, e.params), labelled(e, jaxpr), j, index, kind)


def into_branch(run: Run, e: Equation, j: int, index: Index, kind: str) -> Found | None:
    """The branch that is taken."""
    branches = e.params["branches"]
    taken = min(max(int(run.value(e.inputs[0])), 0), len(branches) - 1)
    return into_program(run, e, branches[taken], e.inputs[1:], f"cond (branch {taken})", j, index, kind)


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

    def of_carry(self, k: int, turns: int, index: Index, kind: str) -> Found | None:
        """What is found for a carry that is `kind` after so many turns."""
        _, since, taken = self.after(turns)
        began = int(since[kind][k])
        if taken == 0 or began < 0:
            return Found(None, [(self.operands[self.loop.body.n_constants + k], index, None)])
        return found_in(self.turn(began), k, index if began == taken - 1 else (), kind)

    def turn(self, turn: int) -> Run:
        """A turn, an equation at a time."""
        return self.run.inside((id(self.e), turn), lambda: self.run_turn(turn))

    def run_turn(self, turn: int) -> Run:
        body, row = self.loop.body, self.loop.row(turn)
        carry, _, _ = self.after(turn)
        given = [*self.constants, *carry, *[x[row] for x in self.xs]]
        label = f"{self.e.primitive.name} (turn {row}{self.loop.of_turns})"
        leave = lambda given, kind: self.leave(turn, given, kind)
        return deeper(self.run, self.e, body.jaxpr, given, label, (*self.run.turns, row), leave)

    def leave(self, turn: int, given: Sequence[Target], kind: str) -> Found:
        """What inputs of a turn come from: from constants and rows of the loop, or from the turns before."""
        body, inner = self.loop.body, self.turn(turn)
        result = Found()
        for v, index, reader in given:
            m = inner.given[v]
            if body.n_constants <= m < body.n_constants + body.n_carry:
                found = self.of_carry(m - body.n_constants, turn, index, kind) or Found()
            else:
                place = index if m < body.n_constants else (self.loop.row(turn), *index)
                found = Found(None, [(self.operands[m], place, reader)])
            result = Found(
                result.origin or found.origin, [*result.given, *found.given], result.constant or found.constant
            )
        return result


def into_scan(run: Run, e: Equation, j: int, index: Index, kind: str) -> Found | None:
    """The turns of a scan."""
    turns = Turns(run, e, Loop.of_scan(e.params), e.inputs)
    if j < turns.loop.body.n_carry:
        return turns.of_carry(j, turns.loop.length, index, kind)
    return found_in(turns.turn(turns.loop.row(index[0])), j, index[1:], kind)


def into_while(run: Run, e: Equation, j: int, index: Index, kind: str) -> Found | None:
    """The turns of a while."""
    n = e.params["n_cond_constants"]
    loop = Loop.of_while(e.params, [run.value(v) for v in e.inputs[:n]])
    return Turns(run, e, loop, e.inputs[n:]).of_carry(j, loop.length, index, kind)


def into_loop_derivative(run: Run, e: Equation, j: int, index: Index, kind: str) -> Found | None:
    """The turns of the way back through a while. Into other derivatives of a while one does not look."""
    if e.primitive.name != "while_cotangents":
        return None
    n = int(run.value(e.inputs[0]))
    inputs, given = groups(e.inputs[1:], len(e.params["wrt"]))
    forward, way = Turns(run, e, Loop.of_steps(loop_of(e.params), n), inputs), WayBack.of(e.params)
    cts = [run.value(v) for v in given]
    for turn in reversed(range(n)):
        carry, _, _ = forward.after(turn)
        results = way.step(forward.constants, carry, cts)
        bad = [i for i, x in enumerate(results) if KINDS[kind](np.asarray(x)).any()]
        if bad:
            return found_in(step_back(forward, turn, n, way, carry, cts), bad[0], (), kind)
        cts = way.carried(results, cts)
    return None


def step_back(forward: Turns, turn: int, n: int, way: WayBack, carry: list[Any], cts: list[Any]) -> Run:
    """A turn of the way back: what comes into it is constant in the loop, or comes from the turns forward."""
    run, e, inputs = forward.run, forward.e, forward.turn(turn).jaxpr.inputs

    def leave(given: Sequence[Target], kind: str) -> Found:
        known = [(m, i, r) for v, i, r in given if (m := inner.given[v]) < len(inputs)]
        return forward.leave(turn, [(inputs[m], i, r) for m, i, r in known], kind)

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
