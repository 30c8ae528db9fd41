"""How many bytes are there at one time, as plans count them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import accumulate

from minijvp.core.jaxpr import Atom, Equation, Jaxpr, Var
from minijvp.optimize.rematerialize.forward import fuses, spreads

FUSED, FUSED_AT_ONCE = 8, 32
"""A compiler fuses away all but one in so many bytes of what it can, and half of what is more than so many values."""


def written(again: Sequence[Equation], made: set[Var], linear: Sequence[Equation]) -> set[Var]:
    """Of what a region computes again, what a compiler does not fuse into the operations that read it."""
    whole = {v for e in again if not fuses(e) for v in e.outputs}
    whole.update(*[made.intersection(e.inputs) for e in (*again, *linear) if not fuses(e)])
    return whole.difference([v for e in again if spreads(e) for v in e.outputs])


def bytes_within(whole: set[Var], reads: set[Var]) -> int:
    """The bytes that are there at one time of what a region computes again.

    They are what it writes and reads late, one value that it writes on the way, and a part of what may be fused.
    """
    late = sum([v.type.bytes for v in whole & reads])
    on_the_way = max([v.type.bytes for v in whole - reads], default=0)
    fused = sorted([v.type.bytes for v in reads - whole])
    return late + on_the_way + sum(fused[:FUSED_AT_ONCE]) // FUSED + sum(fused[FUSED_AT_ONCE:]) // 2


@lru_cache(maxsize=4096)
def bytes_again(linear: Jaxpr, tangents: tuple[bool, ...]) -> int:
    """The bytes that are there at one time of what a linear program computes again, where some inputs are tangents."""
    reached: set[Atom] = {v for v, flag in zip(linear.inputs, tangents, strict=True) if flag}
    again, rest = [], []
    for e in linear:
        (again if reached.isdisjoint(e.inputs) else rest).append(e)
        reached.update(e.outputs if rest and rest[-1] is e else ())
    made = {v for e in again for v in e.outputs}
    return bytes_within(written(again, made, rest), made.intersection([v for e in rest for v in e.inputs]))


def bytes_alive(equations: Sequence[Equation], outputs: Sequence[Atom]) -> list[int]:
    """For each place between two equations, the bytes that are made before and used after."""
    m = len(equations)
    last: dict[Atom, int] = {v: i for i, e in enumerate(equations) for v in e.inputs if type(v) is Var}
    last.update([(v, m) for v in outputs])
    found = [(i + 1, last.get(v, i) + 1, v.type.bytes) for i, e in enumerate(equations) for v in e.outputs]
    return summed([0] * (m + 1), found)


def summed(start: Sequence[int], intervals: Iterable[tuple[int, int, int]]) -> list[int]:
    """The numbers, with that of each interval (from, to, number) added from a place up to another."""
    changes = [0] * (len(start) + 2)
    for low, high, number in intervals:
        changes[low] += number
        changes[high] -= number
    return [x + total for x, total in zip(start, accumulate(changes))]
