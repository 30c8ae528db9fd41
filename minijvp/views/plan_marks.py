"""A plan on the forward program: which values are saved and which are computed again, inside of loops and calls too.

The linear program tells what is computed again inside: the equations of its loops and calls that no tangent reaches.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

from minijvp.core.jaxpr import Atom, Equation, Jaxpr, Literal, Var
from minijvp.core.program_primitive import ProgramPrimitive
from minijvp.core.source import Source
from minijvp.core.types import ArrayType
from minijvp.optimize.kept_call import equal_calls, is_region
from minijvp.optimize.rematerialize.linearization import Parts, renamed
from minijvp.optimize.rematerialize.planning import Plan
from minijvp.views.graph import Mark
from minijvp.views.printing import names_in
from minijvp.views.residuals import Index
from minijvp.views.traces import source_text


@dataclass(frozen=True)
class Value:
    """A value that is saved, or computed again; in a loop or a call, those of all turns and of all equal calls."""

    name: str
    """A letter as in the printed program; inside of a loop or a call, behind that of its first result: "f.c"."""
    type: ArrayType
    fate: str
    """"saved"; "again": the forward pass computes it too; "later": the backward pass alone does."""
    made_by: str
    """The primitive that makes it, and the loops and calls that this is in: "tanh in scan"."""
    made_at: Source | None
    times: int = 1
    """How many there are, one of each of several equal calls."""

    @property
    def bytes(self) -> int:
        return self.type.bytes * self.times

    @property
    def line(self) -> str:
        """The user's line that made it."""
        return source_text(self.made_at) if self.made_at else "no line of yours"


@dataclass(frozen=True)
class Inside:
    """What a loop or a call of the linear program computes again."""

    name: str
    times: int
    """How often it runs."""
    again: tuple[Equation, ...]
    """The equations of one turn."""
    given: frozenset[Atom]
    """The values of the forward program that they begin with."""


class Place(NamedTuple):
    """Where a program is: what its names begin with, what it is in, the turns of each loop, and how many are equal."""

    prefix: str = ""
    where: str = ""
    lengths: tuple[int, ...] = ()
    times: int = 1


class Marks:
    """The forward program of a linearization as it is drawn, the marks of its variables, and the values with one.

    `spared` has the equations, and how often each, that the forward pass no longer computes.
    """

    def __init__(self, parts: Parts, plan: Plan | None, constants: Mapping[Atom, Any]):
        self.inside = list(inside(parts.linear, set(parts.tangents)))
        self.values: list[Value] = []
        self.marks: dict[Atom, Mark] = {}
        self.spared: list[tuple[Equation, int]] = []
        known, outputs = parts.known, parts.known.outputs[: parts.n_out]
        closed = tuple([(v, constants[v]) for v in known.inputs if v in constants])
        inputs = tuple([v for v in known.inputs if v not in constants])
        kept = parts.linearized.needed if plan is None else plan.saved
        again = {v for e in plan.again for v in e.outputs} if plan else set()
        left = Jaxpr((), known.inputs, known.equations, (*outputs, *kept)).without_dead_code()
        made = {v for e in left for v in e.outputs}
        self.spared += [(e, 1) for e in known if made.isdisjoint(e.outputs)]
        program = Jaxpr(closed, inputs, known.equations, outputs, known.name)
        names, makers = names_in(program).names, Index(known)
        firsts: dict[Any, Atom] = {}
        places = {v: makers.place(v) for e in known for v in e.outputs if v in kept}
        saved: dict[Atom, str] = {v: names[firsts.setdefault(place, v)] for v, place in places.items()}
        times = Counter(places.values())
        self.values += [Value(saved[v], v.type, "saved", *makers.maker(v), times[x]) for x, v in firsts.items()]
        fates = {v: "again" if v in made else "later" for v in again}
        self.program = self.marked(program, saved, fates, Place())

    def marked(self, jaxpr: Jaxpr, saved: Mapping[Atom, str], fates: Mapping[Atom, str], at: Place) -> Jaxpr:
        """A program of which some values are saved, under these names, and some have the fate to be computed again."""
        self.marks.update({v: Mark("saved", saved[v]) for v in jaxpr.inputs if v in saved})
        names, equations = names_in(jaxpr).names, []
        read = {*jaxpr.outputs, *[v for e in jaxpr for v in e.inputs]}
        equal = equal_calls(jaxpr)
        for e in jaxpr:
            for k, v in enumerate(e.outputs):
                if v in saved:
                    self.marks[v] = Mark("saved", saved[v])
                elif v in fates:
                    same = [w for f in equal[id(e)] if fates.get(w := f.outputs[k]) == fates[v]]
                    name, t = at.prefix + names[same[0]], ArrayType((*at.lengths, *v.type.shape), v.type.dtype)
                    self.marks[v] = Mark(fates[v], name)
                    if v is same[0]:
                        made_by, times = e.primitive.name + at.where, at.times * len(same)
                        self.values.append(Value(name, t, fates[v], made_by, e.source, times))
            first = at.prefix + names[e.outputs[0]] + "." if e.outputs else ""
            inner = Place(first, f" in {e.primitive.name}{at.where}", at.lengths, at.times * len(equal[id(e)]))
            equations.append(self.opened(equal[id(e)], saved, read, inner) if e is equal[id(e)][0] else e)
        return jaxpr.with_equations(equations)

    def opened(self, equal: Sequence[Equation], saved: Mapping[Atom, str], read: set[Atom], at: Place) -> Equation:
        """The first of equal equations, its inner programs with their marks and without stacks that nothing reads."""
        e = equal[0]
        programs = opened(e)
        if "length" in e.params:
            at = at._replace(lengths=(*at.lengths, e.params["length"]))
        found = []
        for i, inner in enumerate(programs):
            results = list(zip(inner.outputs, zip(*[f.outputs for f in equal], strict=True), strict=True))
            names = {w: saved[v] for w, made in results for v in made[::-1] if v in saved}
            n = e.params.get("n_carry", 0)
            left = [k < n or any([v in read or v not in saved for v in made]) for k, (_, made) in enumerate(results)]
            outputs = tuple([w for w, flag in zip(inner.outputs, left, strict=True) if flag])
            branch = at._replace(prefix=f"{at.prefix}{i}.") if len(programs) > 1 else at
            found.append(self.inner(inner, outputs, names, branch))
        if all([program is None for program in found]):
            return e
        whole = [program or inner for program, inner in zip(found, programs, strict=True)]
        primitive: Any = e.primitive
        return Equation(primitive, e.inputs, primitive.with_bodies(e.params, whole), e.outputs, e.source)

    def inner(self, jaxpr: Jaxpr, outputs: tuple[Atom, ...], names: Mapping[Atom, str], at: Place) -> Jaxpr | None:
        """An inner program with marks, and with what the forward pass is spared of it; None if it has no marks."""
        values = {*jaxpr.inputs, *[v for e in jaxpr for v in e.outputs]}
        parts = [p.again for p in self.inside if not p.given.isdisjoint(values)]
        again = list({id(e): e for part in parts for e in part}.values())
        if not again and values.isdisjoint(names):
            return None
        more = [e for e in again if values.isdisjoint(e.outputs)]
        self.spared += [(e, prod(at.lengths) * at.times) for e in more]
        whole = Jaxpr((), jaxpr.inputs, (*jaxpr.equations, *more), outputs, jaxpr.name)
        # Equal programs are shared: the variables of each are its own here.
        own: dict[Atom, Var] = {v: Var(v.type) for v in (*whole.inputs, *[v for e in whole for v in e.outputs])}
        saved: dict[Atom, str] = {own[v]: name for v, name in names.items() if v in own}
        fates: dict[Atom, str] = {
            own[v]: "again" if v in values else "later" for e in again for v in e.outputs if v in own
        }
        return self.marked(renamed(whole, own), saved, fates, at)


def inside(jaxpr: Jaxpr, linear: set[Atom], name: str = "", times: int = 1) -> Iterator[Inside]:
    """What the loops and calls of a linear program, in which these values are linear, compute again."""
    equal = equal_calls(jaxpr)
    for e in jaxpr:
        flags = [v in linear for v in e.inputs]
        if not any(flags):
            continue
        linear.update(e.outputs)
        if e is not equal[id(e)][0]:
            continue
        primitive, n = e.primitive.name, e.primitive.trip_count(e.params) * len(equal[id(e)])
        for inner in opened(e):
            first = e.params.get("n_constants", 0)
            given: set[Atom] = {v for v, flag in zip(inner.inputs[::-1], flags[::-1]) if flag}
            given.update(inner.inputs[first : first + e.params.get("n_carry", 0)])
            part = f"{primitive} at {source_text(e.source).partition(': ')[0]}" if e.source else primitive
            words = name if is_region(e) else f"{part} in {name}" if name else part
            again = untouched(inner, given)
            if again:
                starts = {v for f in again for v in f.inputs if type(v) is Var}
                yield Inside(words, times * n, tuple(again), frozenset(starts.union(inner.inputs)))
            yield from inside(inner, given, words, times * n)


def opened(e: Equation) -> Sequence[Jaxpr]:
    """The programs of an equation that follow plans. What checkpoint computes again, it does in any case."""
    primitive = e.primitive
    plans = isinstance(primitive, ProgramPrimitive) and primitive.takes_more and primitive.recomputable != "never"
    return primitive.bodies(e.params) if plans else ()


def untouched(jaxpr: Jaxpr, linear: set[Atom]) -> list[Equation]:
    """The equations that no linear value reaches, and that are more than a constant."""
    reached, fixed, found = set(linear), set[Atom](), []
    for e in jaxpr:
        if not reached.isdisjoint(e.inputs):
            reached.update(e.outputs)
        elif all([v in fixed or isinstance(v, Literal) for v in e.inputs]):
            fixed.update(e.outputs)
        else:
            found.append(e)
    return found
