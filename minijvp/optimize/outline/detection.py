"""Where a program repeats itself: stretches of equations that stand one after the other and may be equal.

A layer that Python calls again and again leaves its equations from the same lines of user code again and again. So what
is compared here is where equations come from, which is a number for each; whether they are equal is asked of those
alone that this finds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from minijvp.core.jaxpr import Atom, Equation, Var

GRAMS = (8, 1)
"""Of so many equations are the sequences whose distances say what the period may be."""

CANDIDATES = 8
"""So many periods are looked into, those first that most sequences have."""


class Repeat(NamedTuple):
    """Stretches of `period` equations each, by the numbers of their first ones, in order."""

    starts: tuple[int, ...]
    period: int


def tokens(equations: Sequence[Equation]) -> np.ndarray:
    """A number for each equation, equal for those of one primitive that come from the same line."""
    # By the line and not by the instruction: of one instruction, Python tells two numbers, before and after it has
    # specialized it.
    lines: dict[tuple[int, int], tuple[int, int]] = {}
    numbers: dict[tuple[int, tuple[int, int]], int] = {}
    found = []
    for e in equations:
        source = e.source
        line = (0, 0)
        if source is not None:
            instruction = id(source.code), source.instruction
            line = lines.get(instruction) or lines.setdefault(instruction, (id(source.code), source.line))
        found.append(numbers.setdefault((id(e.primitive), line), len(numbers)))
    return np.array(found, np.int64)


def best_repeat(found: np.ndarray, weights: np.ndarray) -> tuple[float, int, int, int] | None:
    """The longest run of one period: the weight of what is repeated in it, its start, the period, and its length."""
    total = np.concatenate([[0.0], np.cumsum(weights)])
    best = None
    for period in periods(found):
        same = np.concatenate([[False], found[:-period] == found[period:], [False]])
        changes = np.flatnonzero(same[1:] != same[:-1])
        starts, ends = changes[::2], changes[1::2]
        counts = (ends - starts) // period
        saved = total[starts + period * (counts + 1)] - total[starts + period]
        if len(saved) == 0:
            continue
        i = int(np.argmax(saved))
        if counts[i] and (best is None or saved[i] > best[0]):
            best = float(saved[i]), int(starts[i]), period, int(ends[i] - starts[i]) + period
    return best


def periods(found: np.ndarray) -> list[int]:
    """The distances at which most sequences of equations come again."""
    result: dict[int, None] = {}
    for size in GRAMS:
        if len(found) < 2 * size:
            continue
        ranks, width = found, 1
        while width < size:
            pairs = ranks[:-width] * (int(ranks.max()) + 1) + ranks[width:]
            ranks, width = np.unique(pairs, return_inverse=True)[1], 2 * width
        order = np.argsort(ranks, kind="stable")
        distances = np.diff(order)[ranks[order][1:] == ranks[order][:-1]]
        counts = np.bincount(distances)
        for period in np.argsort(-counts, kind="stable")[:CANDIDATES]:
            if counts[period]:
                result[int(period)] = None
    return list(result)


def stretches(
    equations: Sequence[Equation], outputs: Sequence[Atom], found: np.ndarray, start: int, period: int, length: int
) -> Repeat:
    """The stretches of a run of one period, and others like them that stand elsewhere."""
    first, count = divided(equations, outputs, start, period, length)
    starts = [first + period * k for k in range(count)]
    pattern = found[first : first + period]
    free = found.copy()
    free[first : first + period * count] = -1
    for i in np.flatnonzero(free[: len(free) - period + 1] == pattern[0]).tolist():
        if np.array_equal(free[i : i + period], pattern):
            starts.append(i)
            free[i : i + period] = -1
    return Repeat(tuple(sorted(starts)), period)


def divided(
    equations: Sequence[Equation], outputs: Sequence[Atom], start: int, period: int, length: int
) -> tuple[int, int]:
    """Where the first of the stretches of a run begins, and how many there are, one after the other.

    They are divided where the fewest bytes go from one to the next.
    """
    end = start + length
    last: dict[Atom, int] = {v: len(equations) for v in outputs if type(v) is Var}
    for i in range(len(equations) - 1, start, -1):
        for v in equations[i].inputs:
            if type(v) is Var:
                last.setdefault(v, i)
    changes = np.zeros(length + 2)
    for i in range(start, end):
        for v in equations[i].outputs:
            changes[i - start + 1] += v.type.bytes
            changes[min(last.get(v, i), end) - start + 1] -= v.type.bytes
    most, rest = divmod(length, period)
    alive = np.cumsum(changes)[period : period * most].reshape(most - 1, period).mean(0)
    offset, other = int(np.argmin(alive[: rest + 1])), int(np.argmin(alive))
    if most > 3 and 2 * alive[other] < alive[offset]:  # worth a stretch less
        offset = other
    return start + offset, (length - offset) // period
