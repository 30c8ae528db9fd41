"""A run of a function on values, written down operation by operation with the derivative of each.

Calls, branches and loops are written down by what runs in them. Python may look at every value, and who did is noted.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import jax.numpy as jnp
import numpy as np

import minijvp.numpy as mnp
from minijvp.calls.call import ProgramCall
from minijvp.calls.programs import as_arrays, chosen, groups
from minijvp.calls.silence import Silence
from minijvp.control_flow.cond import cond
from minijvp.control_flow.scan import scan
from minijvp.control_flow.while_loop import while_loop
from minijvp.core import source
from minijvp.core.jaxpr import Equation, Jaxpr, evaluate, run
from minijvp.core.primitive import Primitive
from minijvp.core.source import Source
from minijvp.core.tracer import Tracer
from minijvp.core.tracing import Trace, current, state
from minijvp.core.types import ArrayType, Params, is_inexact, type_of
from minijvp.errors import MissingRuleError
from minijvp.operations.families import add_tangents, spread
from minijvp.transforms.linearize import linearize_flat
from minijvp.transforms.transpose import transpose_flat

MOST_TURNS, MOST_STEPS = 64, 5_000
"""So many turns of a loop are written down one by one, as long as the tape has fewer operations than that; what is left
of the loop is one operation."""


@dataclass(eq=False, slots=True)
class Node:
    """A value that depends on an argument; it is active if it can have a tangent."""

    value: Any
    active: bool


class TapeTracer(Tracer):
    """A value that depends on an argument, as the function sees it: known, and watched."""

    __slots__ = ("node",)

    owner: Tape

    def __init__(self, tape: Tape, node: Node | None, value: Any = None):
        self.owner = tape
        self.node = node or Node(value, False)

    @property
    def type(self) -> ArrayType:
        return type_of(self.node.value)

    def known_value(self, wanted_by: str, as_number: bool = False) -> Any:
        if self.owner.finished():
            return super().known_value(wanted_by, as_number)
        self.owner.read(self.node, wanted_by.partition(" (")[0], as_number)
        return self.node.value

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        if self.owner.finished():
            return super().__array__(*args, **kwargs)
        self.owner.read(self.node, "NumPy", True)
        return np.asarray(self.node.value, *args, **kwargs)


Place = tuple[str, ...]
"""The calls, branches and loops around an operation, the outermost first."""


@dataclass(eq=False)
class Read:
    """A value that Python, or the choice of a branch, looked at; `as_number` is refused under a derivative."""

    node: Node
    by: str
    as_number: bool
    source: Source | None
    place: Place
    turn: int | None


@dataclass(eq=False)
class Step:
    """One operation of a run, and its derivative as a linear program of the tangents of its active operands."""

    primitive: Primitive
    params: Params
    operands: tuple[Any, ...]
    inputs: tuple[Node | None, ...]
    outputs: tuple[Node, ...]
    linear: Jaxpr | None
    source: Source | None
    place: Place
    turn: int | None

    @cached_property
    def flags(self) -> tuple[bool, ...]:
        """Which operands are active."""
        return tuple([node is not None and node.active for node in self.inputs])

    def pull(self, cts: Sequence[Any]) -> list[Any]:
        """The cotangent of each operand, None for zero by structure, from those of the results."""
        wanted = [ct for ct, node in zip(cts, self.outputs, strict=True) if node.active]
        if self.linear is None or all(ct is None for ct in wanted):
            return [None] * len(self.inputs)
        n = sum(self.flags)
        with current(Silence(state.trace)):
            found = transpose_flat(self.linear, [True] * n, [None] * n, wanted)
        return list(spread(found, self.flags))

    def push(self, ts: Sequence[Any]) -> list[Any]:
        """The tangent of each result, None for zero by structure, from those of the operands."""
        if self.linear is None:
            return [None] * len(self.outputs)
        given = [
            jnp.zeros(v.type.shape, v.type.dtype) if t is None else t
            for t, v in zip(chosen(ts, self.flags), self.linear.inputs, strict=True)
        ]
        try:
            with current(Silence(state.trace)):
                found = evaluate(self.linear, *given)
        except MissingRuleError:  # the rule is one for cotangents only
            found = [random_like(v.type, i) for i, v in enumerate(self.linear.outputs)]
        return list(spread(found, [node.active for node in self.outputs]))

    def dead(self, useful: Container[Node]) -> list[Any]:
        """For each operand: where the derivative of every useful result in it is zero; None for everywhere."""
        cts = [
            random_like(type_of(x.value), i) if x.active and x in useful else None for i, x in enumerate(self.outputs)
        ]
        return [None if ct is None else np.asarray(ct) == 0 for ct in self.pull(cts)]


def random_like(t: ArrayType, seed: int) -> Any:
    """Numbers of the size of 1, none of which is zero: sums of their multiples are zero if all multiples are."""
    random = np.random.default_rng(seed)
    return jnp.asarray(random.uniform(0.5, 1.5, t.shape) * random.choice([-1.0, 1.0], t.shape), t.dtype)


@dataclass(eq=False)
class Tape(Trace):
    """The trace that writes a run down."""

    parent: Trace
    steps: list[Step] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)
    place: Place = ()
    turn: int | None = None

    @property
    def description(self) -> str:
        return "why_zero"

    def argument(self, x: Any) -> TapeTracer:
        """A tracer for an argument."""
        return TapeTracer(self, Node(x, is_inexact(x.dtype)))

    def lift(self, value: Any) -> Any:
        return value if isinstance(value, Tracer) else TapeTracer(self, None, value)

    def node(self, x: Any) -> Node | None:
        """The node of a value that depends on an argument."""
        return x.node if type(x) is TapeTracer and x.owner is self else None

    def value(self, x: Any) -> Any:
        return x.node.value if type(x) is TapeTracer and x.owner is self else x

    def read(self, node: Node, by: str, as_number: bool = False) -> None:
        self.reads.append(Read(node, by, as_number, state.source or source.capture(), self.place, self.turn))

    def process(self, primitive: Primitive, args: tuple, params: Params) -> Any:
        if all(self.node(x) is None for x in args):
            with current(self.parent):
                return primitive(*map(self.value, args), **params)
        outer = state.source
        state.source = outer or source.capture()
        try:
            unfold = unfolding(primitive)
            found = None if unfold is None else unfold(self, args, params)
            return self.apply(primitive, args, params) if found is None else tuple(found)
        finally:
            state.source = outer

    def apply(self, primitive: Primitive, args: Sequence[Any], params: Params) -> Any:
        """The result of an operation that is written down as one."""
        return self.step(primitive, params, tuple(map(self.value, args)), tuple(map(self.node, args)))

    def step(self, primitive: Primitive, params: Params, values: tuple, nodes: tuple[Node | None, ...]) -> Any:
        """Write down one operation, by its rules."""
        several = False

        def apply(*args: Any) -> Sequence[Any]:
            nonlocal several
            out = primitive(*args, **params)
            several = type(out) is tuple
            return out if several else (out,)

        flags = [node is not None and node.active for node in nodes]
        with current(self.parent):
            if any(flags):
                outs, linear, active = linearize_flat(apply, values, flags)
            else:
                outs, linear = apply(*values), None
                active = (False,) * len(outs)
        outputs = tuple([Node(x, flag) for x, flag in zip(outs, active, strict=True)])
        where = state.source, self.place, self.turn
        self.steps.append(Step(primitive, params, values, nodes, outputs, linear if any(active) else None, *where))
        tracers = tuple([TapeTracer(self, node) for node in outputs])
        return tracers if several else tracers[0]

    def inside(self, jaxpr: Jaxpr, args: Sequence[Any], label: str, turn: int | None = None) -> list[Any]:
        """The results of a program, whose operations are written down."""

        def apply(e: Equation, values: list[Any]) -> Any:
            state.source = e.source or outer
            return self.process(e.primitive, tuple(values), e.params)

        outer, before = state.source, (self.place, self.turn)
        self.place = (*self.place, label)
        self.turn = self.turn if turn is None else turn
        try:
            with current(self):
                outs = run(jaxpr, as_arrays(args, jaxpr.in_types), apply)
                state.source = outer
                return list(as_arrays(outs, jaxpr.out_types))
        finally:
            state.source = outer
            self.place, self.turn = before

    def cotangents(self, result: Node | None) -> dict[Node, Any]:
        """The way back: the derivative of the result in each node; what has none is not among them."""
        found: dict[Node, Any] = {}
        if result is not None and result.active:
            found[result] = jnp.ones((), result.value.dtype)
        for step in reversed(self.steps):
            given = [found.get(node) for node in step.outputs]
            if any(ct is not None for ct in given):
                for node, ct in zip(step.inputs, step.pull(given), strict=True):
                    if node is not None and ct is not None:
                        found[node] = add_tangents(found.get(node), ct)
        return found

    def leading(self, result: Node | None) -> set[Node]:
        """The nodes on which the result depends, or a value that somebody looked at."""
        found = {read.node for read in self.reads} | ({result} if result is not None else set())
        for step in reversed(self.steps):
            if not found.isdisjoint(step.outputs):
                found.update([node for node in step.inputs if node is not None])
        return found


def _call(tape: Tape, args: Sequence[Any], params: Params, label: str) -> list[Any]:
    jaxpr = params["jaxpr"]
    return tape.inside(jaxpr, args, f"{label} {jaxpr.name}" if jaxpr.name else label)


def _branch(tape: Tape, args: Sequence[Any], params: Params) -> list[Any]:
    index, *operands = args
    branches = params["branches"]
    node = tape.node(index)
    if node is not None:
        tape.read(node, "cond")
    taken = min(max(int(tape.value(index)), 0), len(branches) - 1)
    return tape.inside(branches[taken], operands, f"branch {taken} of cond")


def _scan(tape: Tape, args: Sequence[Any], params: Params) -> list[Any] | None:
    jaxpr, n, length, reverse = params["jaxpr"], params["n_carry"], params["length"], params["reverse"]
    if not length:
        return None
    constants, carry, xs = groups(args, params["n_constants"], n)
    rows: list[list[Any]] = []
    with current(tape):
        xs = list(map(mnp.asarray, xs))
        for i in range(length)[:: -1 if reverse else 1]:
            if not has_room(tape, len(rows)):
                break
            outs = tape.inside(jaxpr, [*constants, *carry, *[x[i] for x in xs]], "scan", i)
            carry = outs[:n]
            rows.append(outs[n:])
        parts = [[mnp.stack(ys[::-1] if reverse else ys)] for ys in zip(*rows, strict=True)]
        left = length - len(rows)
        if left:
            rest = [x[:left] if reverse else x[-left:] for x in xs]
            outs = tape.apply(scan, [*constants, *carry, *rest], {**params, "length": left})
            carry = outs[:n]
            for part, ys in zip(parts, outs[n:], strict=True):
                part.insert(0 if reverse else 1, ys)
        return [*carry, *[part[0] if len(part) == 1 else mnp.concatenate(part) for part in parts]]


def _while(tape: Tape, args: Sequence[Any], params: Params) -> list[Any]:
    condition, body = params["cond_jaxpr"], params["body_jaxpr"]
    for_condition, constants, carry = groups(args, params["n_cond_constants"], params["n_body_constants"])
    turn = 0
    while has_room(tape, turn):
        (going,) = tape.inside(condition, [*for_condition, *carry], "while", turn)
        node = tape.node(going)
        if node is not None:
            tape.read(node, "while")
        if not tape.value(going):
            return carry
        carry = tape.inside(body, [*constants, *carry], "while", turn)
        turn += 1
    return list(tape.apply(while_loop, [*for_condition, *constants, *carry], params))


def has_room(tape: Tape, turn: int) -> bool:
    """Whether a turn more of a loop is written down."""
    return turn < MOST_TURNS and len(tape.steps) < MOST_STEPS


def unfolding(primitive: Primitive) -> Callable[[Tape, tuple, Params], list[Any] | None] | None:
    """How what runs inside of an operation is written down; None for what has no program inside, or a rule instead."""
    if isinstance(primitive, ProgramCall) and primitive.is_call:
        return lambda tape, args, params: _call(tape, args, params, primitive.name)
    return UNFOLDED.get(primitive)


UNFOLDED: dict[Primitive, Any] = {cond: _branch, scan: _scan, while_loop: _while}
