"""Names that the user's code gives to values: `y`, where a line says `y = a * b`."""

from __future__ import annotations

import linecache
import re
from collections.abc import Collection, Hashable, Iterable, Sequence
from itertools import groupby
from typing import Any

from minijvp.core.jaxpr import Atom, Equation, Jaxpr
from minijvp.core.source import Source

ASSIGNED = re.compile(r"(?:^|;)\s*(\w+)\s*(?::[^=]*)?=\s*(\(?)$")
ENDED = re.compile(r"\s*(\)?)\s*(?:[;#].*)?$")
"""What stands before, and behind, a value that one name is given to."""

Step = tuple[Source | None, Hashable, Collection[Any], Iterable[Any]]
"""The line of an operation, what it is, what it makes, and what it reads."""


def given_names(steps: Sequence[Step], results: Iterable[Any], taken: Collection[str] = ()) -> dict[Any, str]:
    """The values that the user's lines give names to; none for a name that is taken, or given twice.

    A line may make several values: the last has the name, if nothing else reads the others, and no operation comes
    again, as in a loop. Of those of a derivative, nobody can tell which one it is that the line computes.
    """
    last = {v: i for i, (*_, read) in enumerate(steps) for v in read} | dict.fromkeys(results, len(steps))
    found: dict[str, list[Any]] = {}
    for name, run in groupby(range(len(steps)), key=lambda i: name_at(steps[i][0])):
        *before, end = run
        if name:
            plain = len({steps[i][1] for i in (*before, end)}) == len(before) + 1
            plain &= all([last.get(v, len(steps)) <= end for i in before for v in steps[i][2]])
            (*others, v) = steps[end][2] or (None,)
            found.setdefault(name[0], []).append(v if plain and not others else None)
    return {vs[0]: name for name, vs in found.items() if len(vs) == 1 and vs[0] is not None and name not in taken}


def name_at(source: Source | None) -> tuple[Any, ...]:
    """The name that a line gives, and where it does; empty if it gives none, or for a part of a derivative."""
    name = "" if source is None or is_derived(source) else assigned(source)
    return (name, id(source.code), source.position) if source and name else ()


def assigned(source: Source) -> str:
    """The name that a line gives to what the instruction computes, as `y` in `y = a * b`; empty for others."""
    line, end, column, end_column = source.position
    first, last = (linecache.getline(source.file, i or 0).encode() for i in (line, end))
    start, rest = (part.decode(errors="replace") for part in (first[:column], last[end_column:]))
    before, after = ASSIGNED.search(start), ENDED.match(rest)
    return before[1] if column is not None and before and after and len(before[2]) == len(after[1]) else ""


def is_derived(source: Source | None) -> bool:
    """Whether this is the line of an operation that differentiation made."""
    scope = str(getattr(source, "scope", ""))
    return "jvp(" in scope or "transpose(" in scope


def holds_derivatives(jaxpr: Jaxpr) -> bool:
    """Whether differentiation made a part of a program: in programs inside, lines do not tell which."""
    return any([is_derived(e.source) for e in jaxpr])


def names_of(jaxpr: Jaxpr, taken: Collection[str] = ()) -> dict[Atom, str]:
    """The names of values of a program."""
    return given_names([(e.source, e.primitive.name, e.outputs, e.inputs) for e in jaxpr], jaxpr.outputs, taken)


def names_within(jaxpr: Jaxpr, taken: Collection[str] = ()) -> dict[Atom, str]:
    """The names of values of a program, and of those inside."""
    names = names_of(jaxpr, taken)
    for inner in () if holds_derivatives(jaxpr) else [program for e in jaxpr for program in e.programs]:
        names |= names_within(inner)
    return names


def names_in_forward(forward: Iterable[Equation], jaxpr: Jaxpr, taken: Collection[str] = ()) -> dict[Atom, str]:
    """Those of a program in the forward program of its gradient, which computes residuals at the same lines."""
    names = names_of(jaxpr, taken)
    wanted = {where(e): names[e.outputs[0]] for e in jaxpr if e.outputs and e.outputs[0] in names}
    found: dict[str, list[Atom]] = {}
    for e in forward:
        if (name := wanted.get(where(e))) is not None:
            found.setdefault(name, []).append(e.outputs[0])
    return {vs[0]: name for name, vs in found.items() if len(vs) == 1}


def where(e: Equation) -> tuple[Any, ...]:
    """What an equation has in common with itself in another program."""
    return e.primitive, e.source and (id(e.source.code), e.source.position), tuple([v.type for v in e.outputs])
