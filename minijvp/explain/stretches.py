"""Stretches of a long program that it has many times over: each is compiled once, and gives all of its values."""

from __future__ import annotations

import gc
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from minijvp.core.jaxpr import Atom, Equation, Jaxpr, Literal
from minijvp.explain.loops import compiled_program
from minijvp.optimize.outline.detection import best_repeat, tokens

LONG = 20_000
"""Of so many equations that repeat themselves, some are worth the time to compile them."""

SIZE = 128
"""So many equations, or a few more, are compiled as one."""

TIMES = 16
"""So often a stretch has to be there."""


class Stretch(NamedTuple):
    """Equations that run as one program, for these operands."""

    equations: Sequence[Equation]
    program: Callable[..., list[Any]]
    operands: Sequence[Atom]

    def run(self, values: dict[Atom, Any]) -> None:
        """Compute the values of all variables, and add them to those that are there."""
        found = self.program(*[values[v] for v in self.operands])
        values.update(zip([v for e in self.equations for v in e.outputs], found, strict=True))


Part = Equation | Stretch


def parts_of(equations: Sequence[Equation]) -> Sequence[Part]:
    """What runs one after the other: equations, and in place of such as come again and again, stretches of them."""
    if len(equations) < LONG:
        return equations
    parts: list[Part] = []
    for start, end, size in repeated(tokens(equations), 0, len(equations)):
        chunks = [equations[i : i + size] for i in range(start, end, size)]
        read = [written(chunk) for chunk in chunks]
        groups: dict[Hashable, list[int]] = {}
        for i, (key, _) in enumerate(read):
            groups.setdefault(key, []).append(i)
        programs = {
            key: compiled_program(whole(chunks[members[0]], read[members[0]][1]))
            for key, members in groups.items()
            if key is not None and len(members) >= TIMES
        }
        for chunk, (key, operands) in zip(chunks, read, strict=True):
            parts += [Stretch(chunk, programs[key], operands)] if key in programs else chunk
    return parts


def repeated(found: np.ndarray, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """All equations in order, as runs with a start, an end and the size of stretches in it that may be equal."""
    best = best_repeat(found[start:end], np.ones(end - start)) if end - start >= LONG else None
    if best is None or best[3] < LONG or best[2] * TIMES > best[3]:
        yield start, end, max(end - start, 1)
        return
    _, first, period, length = best
    size = period * -(-SIZE // period)
    first += start
    last = first + length // size * size
    yield from repeated(found, start, first)
    yield first, last, size
    yield from repeated(found, last, end)


def written(equations: Sequence[Equation]) -> tuple[Hashable, list[Atom]]:
    """What equations are besides their operands, which come from elsewhere, and these; None for what is run one by one.

    Those have programs inside, into which one looks, or do something besides computing.
    """
    numbers: dict[Atom, int] = {}
    operands: list[Atom] = []
    key: list[Any] = []
    for e in equations:
        if e.params and (e.programs or e.has_effects):
            return None, []
        for v in e.inputs:
            if type(v) is Literal:
                key.append((repr(v.value), v.type))
                continue
            number = numbers.get(v)
            if number is None:
                number = numbers[v] = len(numbers)
                operands.append(v)
                key.append(v.type)
            key.append(number)
        key.append(e.primitive)
        if e.params:
            key.append(tuple(e.params.items()))
        for v in e.outputs:
            numbers[v] = len(numbers)
    return tuple(key), operands


def whole(equations: Sequence[Equation], operands: Sequence[Any]) -> Jaxpr:
    """The program of some equations, which gives all of their values."""
    return Jaxpr((), tuple(operands), tuple(equations), tuple([v for e in equations for v in e.outputs]))


@contextmanager
def seldom_collected() -> Iterator[None]:
    """Context manager: Python looks for circles of garbage less often, where much is made and all of it kept."""
    before = gc.get_threshold()
    if before[0]:
        gc.set_threshold(max(before[0], 500_000), *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
