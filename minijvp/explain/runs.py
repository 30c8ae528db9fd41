"""Runs of programs with all their values, and the way back from a value that is not finite to where that began."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from heapq import heappop, heappush
from typing import Any

import jax
import numpy as np

from minijvp.calls.silence import Silence
from minijvp.control_flow.base import ControlFlow
from minijvp.core.jaxpr import Atom, Equation, Jaxpr, Literal
from minijvp.core.source import ScopedSource
from minijvp.core.tracing import current, evaluating, state
from minijvp.core.types import is_inexact
from minijvp.explain.marks import COTANGENT, Mark
from minijvp.explain.stretches import Stretch, parts_of
from minijvp.operations.elementwise import select_n
from minijvp.operations.families import Elementwise

Index = tuple[int, ...]

KINDS: dict[str, Callable[[Any], Any]] = {"nan": np.isnan, "inf": np.isinf}
"""What is looked for, and where it is."""

EXTREMA = {f"{form}_{which}" for form in ("reduce", "reduce_window") for which in ("max", "min")}
"""What is infinite of no element."""


@dataclass(eq=False)
class Origin:
    """Where a value that is not finite comes from: an operation on finite ones, an argument, or a constant.

    `equation` is the operation; of an argument or a constant, the first one that takes it, if there is one.
    """

    place: str
    kind: str
    run: Run
    equation: Equation | None
    atom: Atom
    index: Index
    number: int = -1

    def __post_init__(self) -> None:
        self.value = self.run.value(self.atom)
        """The whole value that is not finite."""


@dataclass(eq=False)
class Run:
    """One run of a program, an equation at a time, or a stretch of equations that it has many times over.

    `around` is the run of the program that it is inside of, in the equation `within`; `path` has all calls and loops
    that it is in, and `turns` the turns of these loops. `leave` says what of its inputs that are not finite is found
    around it, in terms of that run.
    """

    jaxpr: Jaxpr
    inputs: Sequence[Any]
    path: tuple[str, ...] = ()
    turns: tuple[int, ...] = ()
    values: dict[Atom, Any] = field(default_factory=dict, init=False)
    around: Run | None = None
    within: Equation | None = None
    leave: Callable[[Sequence[Target], str], Found] | None = None
    backward: bool = False
    """Whether it is inside of a backward pass."""

    def __post_init__(self) -> None:
        self.made: dict[Hashable, Any] = {}
        values = self.values
        values.update(self.jaxpr.constants)
        values.update(zip(self.jaxpr.inputs, self.inputs, strict=True))
        # What is inside of an equation has run before, and shown what it shows.
        with evaluating(), current(state.trace if self.around is None else Silence(state.trace)):
            # Compiled as a whole, what is spread over devices would lie otherwise on them.
            spread = len({d for x in values.values() if isinstance(x, jax.Array) for d in x.devices()}) > 1
            for e in self.jaxpr.equations if spread else parts_of(self.jaxpr.equations):
                if isinstance(e, Stretch):
                    e.run(values)
                    continue
                out = e.primitive(*[v.value if type(v) is Literal else values[v] for v in e.inputs], **e.params)
                if type(out) is tuple:
                    values.update(zip(e.outputs, out, strict=True))
                else:
                    values[e.outputs[0]] = out

    def inside(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """What is found out once: the run of the program in an equation, or of a turn, or where a value is `kind`."""
        if key not in self.made:
            self.made[key] = make()
        return self.made[key]

    @cached_property
    def makers(self) -> dict[Atom, int]:
        """The number of the equation that makes a variable."""
        return {v: k for k, e in enumerate(self.jaxpr.equations) for v in e.outputs}

    @cached_property
    def given(self) -> dict[Atom, int]:
        """The number of the input that a variable is."""
        return {v: i for i, v in enumerate(self.jaxpr.inputs)}

    @cached_property
    def backwards(self) -> set[int]:
        """The numbers of the equations that depend on a cotangent, or that JAX made by transposition."""
        found, reached = set(), set()
        for k, e in enumerate(self.jaxpr.equations):
            marked = type(e.source) is Mark and e.source.part == COTANGENT
            if (
                marked
                or (type(e.source) is ScopedSource and "transpose(" in str(e.source.scope))
                or not reached.isdisjoint(e.inputs)
            ):
                found.add(k)
                reached.update(e.outputs)
        return found

    def is_backward(self, e: Equation) -> bool:
        """Whether an equation belongs to a backward pass."""
        return self.backward or self.makers[e.outputs[0]] in self.backwards

    def value(self, atom: Atom) -> Any:
        return atom.value if isinstance(atom, Literal) else self.values[atom]

    def array(self, atom: Atom) -> np.ndarray | None:
        """A value in NumPy; None if it is of a kind that is always finite."""
        if not is_inexact(atom.type.dtype):
            return None
        return np.asarray(self.value(atom))

    def where(self, atom: Atom, kind: str) -> Index | None:
        """The first place where a value is `kind`."""
        return self.inside((atom, kind), lambda: self.look(atom, kind))

    def look(self, atom: Atom, kind: str) -> Index | None:
        found = self.array(atom)
        if found is None:
            return None
        flags = KINDS[kind](found)
        return tuple(map(int, np.unravel_index(np.argmax(flags), found.shape))) if flags.any() else None

    def operands(self, e: Equation, index: Index, kind: str) -> list[tuple[Atom, Index]]:
        """The operands of an equation that are `kind`, and where: as far as that is known, where they matter."""
        if not isinstance(e.primitive, Elementwise):
            return [(v, i) for v in e.inputs if (i := self.where(v, kind)) is not None]
        found = []
        for v in self.chosen(e, index) if e.primitive is select_n else e.inputs:
            x = self.array(v)
            place = index if x is not None and x.ndim == len(index) else ()
            if x is not None and x.size and KINDS[kind](x[place]):
                found.append((v, place))
        return found

    def chosen(self, e: Equation, index: Index) -> Sequence[Atom]:
        """The operand that a selection takes at an index."""
        which = np.asarray(self.value(e.inputs[0]))
        return (e.inputs[1 + int(which[index if which.ndim else ()])],)


@dataclass(eq=False)
class Reader:
    """An operation that takes a value that is not finite, and its results that are not finite by that."""

    run: Run
    equation: Equation
    results: Results


Target = tuple[Atom, Index, Reader | None]
"""A value, the place of it that is not finite, and the operation by which that came to the result."""

Results = Sequence[tuple[int, Index]]
"""Results of an equation, by their numbers, and the places of them that are not finite."""


@dataclass
class Found:
    """The first operation in a run that made what is not finite; what came into the run so; and a constant that is."""

    origin: Origin | None = None
    given: Sequence[Target] = ()
    constant: Origin | None = None

    def after(self, further: Found) -> Found:
        """With what was found further out, or in turns before, which comes first."""
        return Found(further.origin or self.origin, further.given, further.constant or self.constant)


Entrance = Callable[["Run", Equation, Results, str], Found | None]

entrances: dict[type, Entrance] = {}
"""How the programs of primitives are run to look for the origin of results: what is found, given in terms of the run
that the equation is in; None, if the results are finite where a program runs an equation at a time."""


def search(run: Run, targets: Iterable[Target], kind: str) -> Found:
    """What values that are `kind` come from, in one run: of all operations that lead to one of them, the first.

    A loop that is given what is `kind` is taken to hand it on.
    """
    found = Found()
    given: dict[Atom, Target] = {}
    wanted: dict[int, dict[Atom, Target]] = {}
    order: list[int] = []  # the equations that make what is wanted, the last one first: each is met once

    def want(targets: Iterable[Target]) -> None:
        for target in targets:
            atom = target[0]
            k = run.makers.get(atom)
            if k is None:
                given.setdefault(atom, target)
                continue
            if k not in wanted:
                wanted[k] = {}
                heappush(order, -k)
            wanted[k].setdefault(atom, target)

    want(targets)
    while order:
        k = -heappop(order)
        e = run.jaxpr.equations[k]
        results = [(list[Atom](e.outputs).index(atom), index) for atom, index, _ in wanted.pop(k).values()]
        inner, operands = one_back(run, e, results, kind)
        found = Found(inner.origin or found.origin, (), inner.constant or found.constant)
        want((*inner.given, *operands))
    for target in given.values():
        if target[0] not in run.given:
            found.constant = found.constant or from_the_start(run, target, kind)
    return Found(found.origin, [t for t in given.values() if t[0] in run.given], found.constant)


def one_back(run: Run, e: Equation, results: Results, kind: str) -> tuple[Found, list[Target]]:
    """What is found inside of an equation, or that it is the origin; and the operands that are `kind` before it."""
    reader = Reader(run, e, results)
    operands = {v: (v, place, reader) for _, index in results for v, place in run.operands(e, index, kind)}
    if not (operands and isinstance(e.primitive, ControlFlow)):
        found = looked_into(run, e, results, kind)
        if found is not None:
            return found, []
    if operands:
        return Found(), list(operands.values())
    j, index = results[0]
    if kind == "inf" and is_neutral(e):
        return Found(constant=Origin("constant", kind, run, e, e.outputs[j], index)), []
    return Found(Origin("operation", kind, run, e, e.outputs[j], index)), []


def is_neutral(e: Equation) -> bool:
    """Whether an operation that is infinite for finite operands is so as that of nothing: the maximum of no element."""
    return e.primitive.name in EXTREMA


def looked_into(run: Run, e: Equation, results: Results, kind: str) -> Found | None:
    """What is found inside of an equation; None if there is nothing inside, or nothing found."""
    enter = next((found for base, found in entrances.items() if isinstance(e.primitive, base)), None)
    return None if enter is None else enter(run, e, results, kind)


def from_the_start(run: Run, target: Target, kind: str) -> Origin:
    """The argument or constant that is `kind` from the start, with the first operation that takes it.

    Or an operation, where a loop only seemed to hand it on.
    """
    atom, index, reader = target
    if reader is not None and isinstance(reader.equation.primitive, ControlFlow):
        found = looked_into(reader.run, reader.equation, reader.results, kind)
        if found is not None and found.origin is not None:
            return found.origin
        if found is not None:
            reader = next((t[2] for t in found.given if t[0] is atom and t[2] is not None), reader)
    number = run.given.get(atom, -1)
    origin = Origin("constant" if number < 0 else "argument", kind, run, None, atom, index, number)
    if reader is not None:
        origin.run, origin.equation = reader.run, reader.equation
    return origin


def origin_of(run: Run, targets: Iterable[Target], kind: str) -> Origin | None:
    """Where values that are `kind` come from: the first operation that made them, an argument, or a constant.

    None if no value is. An operation counts for more than what is given if `kind` is inf, which may be meant.
    """
    found = search(run, targets, kind)
    while found.given and run.leave is not None and run.around is not None:
        found, run = found.after(run.leave(found.given, kind)), run.around
        found = found.after(search(run, found.given, kind))
    start = from_the_start(run, found.given[0], kind) if found.given else found.constant
    return found.origin or start if kind == "inf" else start or found.origin
