"""A benchmark: a name, the groups of its rows, and how it is measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.benchmarks.report import Row
from tests.benchmarks.timing import Settings

Measure = Callable[[str, Settings], Sequence[Row]]


@dataclass(frozen=True)
class Benchmark:
    """What `measure(name, settings)` gives: rows of these groups. Slow ones are left out of a quick run."""

    name: str
    groups: tuple[str, ...]
    measure: Measure
    slow: bool = False
