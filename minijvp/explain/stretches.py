"""Stretches of programs that come again: each is compiled once, and gives all of its values.

In a long program such stretches are looked for. Of another, those between calls and loops are compiled when it is run
for the second time. Operations are kept apart in them, so that the values are those of one at a time.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import lax

from minijvp.core.caching import cached
from minijvp.core.jaxpr import Atom, Equation, Jaxpr, Literal, run
from minijvp.optimize.outline.detection import best_repeat, tokens

LONG = 20_000
"""Of so many equations that repeat themselves, some are worth the time to compile them."""

SIZE = 128
"""So many equations, or a few more, are compiled as one."""

TIMES = 16
"""So often a stretch has to be there."""

FEW, SHORT = 8, 512
"""Equations that come again are compiled if they are not fewer, and more take too long to compile."""


APART = {"xla_disable_hlo_passes": "algsimp,fusion"}
"""How XLA keeps operations apart: it would compute log(exp(x)) as x, and round a product and a sum once."""


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


class Known:
    """How often equations were met that are these besides their operands, and their program, once it was asked for."""

    __slots__ = ("program", "times")

    def __init__(self) -> None:
        self.times = 0
        self.program: Any = None

    def compiled(self, equations: Sequence[Equation], operands: Sequence[Atom]) -> Stretch:
        """The equations as a stretch."""
        if self.program is None:
            jaxpr = whole(equations, operands)
            self.program = jax.jit(lambda *args: run(jaxpr, args, apart), compiler_options=APART)
        return Stretch(equations, self.program, operands)


@cached(maxsize=256)
def known(key: Hashable) -> Known:
    """What is known of equations that are these, as `written` has them."""
    return Known()


def apart(e: Equation, inputs: Sequence[Any]) -> Any:
    """The results of an operation whose operands are for the compiler as if they were arguments."""
    return e.primitive.impl(*lax.optimization_barrier(tuple(inputs)), **e.params)


def parts_of(equations: Sequence[Equation]) -> Sequence[Part]:
    """What runs one after the other: equations, and in place of such as come again, stretches of them."""
    if len(equations) < LONG:
        return met_again(equations) if FEW <= len(equations) <= SHORT else equations
    parts: list[Part] = []
    for start, end, size in repeated(tokens(equations), 0, len(equations)):
        chunks = [equations[i : i + size] for i in range(start, end, size)]
        read = [written(chunk) for chunk in chunks]
        times = Counter([key for key, _ in read])
        for chunk, (key, operands) in zip(chunks, read, strict=True):
            often = key is not None and times[key] >= TIMES
            parts += [known(key).compiled(chunk, operands)] if often else chunk
    return parts


def met_again(equations: Sequence[Equation]) -> Sequence[Part]:
    """The same for a program of which those between calls and loops may have been met before."""
    parts: list[Part] = []
    for plain, group in groupby(equations, is_plain):
        chunk = tuple(group)
        if not plain or len(chunk) < FEW:
            parts += chunk
            continue
        key, operands = written(chunk)
        try:
            found = known(key)
        except TypeError:  # a parameter cannot be hashed, and the operation says so
            return equations
        found.times += 1
        parts += [found.compiled(chunk, operands)] if found.times > 1 else chunk
    return parts


def is_plain(e: Equation) -> bool:
    """Whether an operation only computes, and has no programs inside, into which one looks."""
    return not (e.params and (e.programs or e.has_effects))


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
    """What equations are besides their operands, which come from elsewhere, and these; None if one is not plain."""
    numbers: dict[Atom, int] = {}
    operands: list[Atom] = []
    key: list[Any] = []
    for e in equations:
        if not is_plain(e):
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
