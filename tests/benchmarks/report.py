"""What was measured: rows, the table of all, and the summary of the groups beside their goals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import geometric_mean, median, quantiles
from typing import Any

CONTENDERS = ("minijvp", "JAX", "autograd", "PyTorch")
OURS, REFERENCE = CONTENDERS[:2]


@dataclass(frozen=True)
class Goal:
    """What the geometric mean of a group should reach, and its worst row."""

    mean: float
    worst: float


EAGER = "eager gradients, first calls"
HOT = "eager gradients, hot"
STAGING = "trace + lower"
FIRST = "time to first compiled result"
CALL = "call of a compiled function"
RUN = "compiled run time"
MEMORY = "temporary memory"
DEPTH = "tracing 1000 / 50 layers"
DEPTH_LOWER = "depth: trace + lower"
DEPTH_COMPILE = "depth: compile"
DEPTH_FIRST = "depth: time to first result"
DEPTH_RUN = "depth: compiled run time"
DEPTH_MEMORY = "depth: temporary memory"
DEVICES_RUN = "devices: compiled run time"
DEVICES_MEMORY = "devices: temporary memory of each"
DEVICES_SENT = "devices: number of collectives"
DEFAULTS_STAGE = "defaults / off: trace + lower"
DEFAULTS_COMPILE = "defaults / off: compile"
DEFAULTS_RUN = "defaults / off: compiled run time"
DEFAULTS_MEMORY = "defaults / off: temporary memory"
OBJECTIVES_EAGER = "objectives: eager, first calls"
OBJECTIVES_HOT = "objectives: eager, hot"
OBJECTIVES_RUN = "objectives: compiled run time"
TRACE, LOWER, COMPILE = "trace", "lower", "compile"
START = "CPU time of a new process"
ALONE = "trace + lower, first in its process"
TINY = "eager gradients, hot, < 20 operations"
GROWTH = "growth of costs"
ORDER = "tracing derivatives of order n"
TAYLOR = "taylor: high order, to first result"
LOOPS = "loops beyond JAX"
PRODUCTS = "products"
BRIDGE = "bridge"
QUATERNION = "quaternion"
REMATERIALISATION = "rematerialisation"
SPARSE = "sparse derivatives"
LIBRARIES_STAGING = "libraries: trace + lower"
LIBRARIES_RUN = "libraries: compiled run time"

GROUPS: dict[str, Goal | None] = {
    EAGER: Goal(0.12, 0.25),
    HOT: Goal(0.03, 0.10),
    STAGING: Goal(0.5, 0.8),
    FIRST: Goal(0.9, 1.0),
    CALL: Goal(1.0, 1.1),
    RUN: Goal(1.0, 1.03),
    MEMORY: Goal(1.0, 1.05),
    DEPTH: Goal(22.0, 22.0),
    DEPTH_LOWER: None,
    DEPTH_COMPILE: None,
    DEPTH_FIRST: None,
    DEPTH_RUN: None,
    DEPTH_MEMORY: None,
    START: Goal(1.0, 1.0),
    DEVICES_RUN: Goal(1.03, 1.03),
    DEVICES_MEMORY: Goal(0.5, 0.5),
    DEVICES_SENT: Goal(1.0, 1.0),
    DEFAULTS_STAGE: Goal(1.02, 1.05),
    DEFAULTS_COMPILE: Goal(1.02, 1.05),
    DEFAULTS_RUN: Goal(1.0, 1.02),
    DEFAULTS_MEMORY: Goal(1.0, 1.0),
    OBJECTIVES_EAGER: Goal(0.12, 0.25),
    OBJECTIVES_HOT: Goal(0.03, 0.10),
    OBJECTIVES_RUN: Goal(1.0, 1.03),
    LIBRARIES_STAGING: Goal(0.9, 1.5),
    LIBRARIES_RUN: Goal(1.03, 1.1),
    TINY: None,
    TRACE: None,
    LOWER: None,
    COMPILE: None,
    ALONE: None,
    GROWTH: None,
    ORDER: None,
    TAYLOR: None,
    LOOPS: None,
    PRODUCTS: None,
    BRIDGE: None,
    QUATERNION: None,
    REMATERIALISATION: None,
    SPARSE: None,
}
"""In the order of the report; rows of a group without a goal may have goals of their own."""

MIXED = (GROWTH, TAYLOR, LOOPS, PRODUCTS, BRIDGE, QUATERNION, REMATERIALISATION, SPARSE)
"""Groups of different figures, which have no mean."""


@dataclass(frozen=True)
class Ratio:
    """A contender beside JAX: the median of paired ratios, their quartiles, and the ratio of the fastest samples."""

    median: float
    quartiles: tuple[float, float] | None = None
    fastest: float | None = None  # what other processes disturb least


@dataclass(frozen=True)
class Row:
    """A line of the table: medians in seconds per call, in factors where `unit` is x, in bytes (B) or as is ("")."""

    name: str
    group: str
    medians: Mapping[str, float] = field(default_factory=dict)
    ratios: Mapping[str, Ratio] = field(default_factory=dict)
    goal: float | None = None
    unit: str = "s"
    rounds: int = 1
    of_value: bool = False
    """The goal is one for our median itself, not for its ratio."""
    error: str = ""

    @property
    def figure(self) -> float:
        """What stands beside the goal; NaN where nothing was measured."""
        if self.of_value:
            return self.medians.get(OURS, math.nan)
        return self.ratios[OURS].median if OURS in self.ratios else math.nan

    @property
    def reached(self) -> bool | None:
        return None if self.goal is None else self.figure <= self.goal

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "reached": self.reached}

    def cells(self, contenders: Sequence[str]) -> tuple[str, ...]:
        values = [show(self.medians[c], self.unit) if c in self.medians else "" for c in contenders]
        ours = self.ratios.get(OURS)
        ratio = "failed" if self.error else "" if ours is None else f"{ours.median:.3f}"
        fastest = "" if ours is None or ours.fastest is None else f"{ours.fastest:.3f}"
        return (
            self.name,
            *values,
            ratio,
            fastest,
            goal_cell(self.goal, self.unit if self.of_value else ""),
            answer(self.reached),
        )


def row(
    name: str,
    group: str,
    series: Mapping[str, Sequence[float]],
    goal: float | None = None,
    unit: str = "s",
    of_value: bool = False,
) -> Row:
    """The row of series that were measured in the same rounds; its goal is that of the group if it has none."""
    ratios = {c: beside(series[c], series[REFERENCE], unit) for c in series if c != REFERENCE and REFERENCE in series}
    medians = {c: median(samples) for c, samples in series.items()}
    rounds = min(map(len, series.values()))
    return Row(name, group, medians, ratios, goal_of(group, goal), unit, rounds, of_value)


def goal_of(group: str, goal: float | None) -> float | None:
    whole = GROUPS[group]
    return whole.worst if goal is None and whole is not None else goal


def beside(ours: Sequence[float], theirs: Sequence[float], unit: str) -> Ratio:
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    spread = None
    if len(ratios) > 1:
        first, _, third = quantiles(ratios, n=4, method="inclusive")
        spread = first, third
    return Ratio(median(ratios), spread, min(ours) / min(theirs) if unit == "s" else None)


def goal_cell(goal: float | None, unit: str = "") -> str:
    return "-" if goal is None else f"<= {show(goal, unit) if unit else f'{goal:.3g}'}"


def answer(reached: bool | None) -> str:
    return "-" if reached is None else "yes" if reached else "no"


def show(x: float, unit: str) -> str:
    if unit == "x":
        return f"x {x:.2f}"
    if unit == "B":
        return f"{x / 2**20:.4g} MiB"
    if not unit:
        return f"{x:.2g}"
    for name, size in (("s", 1.0), ("ms", 1e-3)):
        if x >= size:
            return f"{x / size:.4g} {name}"
    return f"{x / 1e-6:.4g} us"


def grouped(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """The rows by group, in the order of GROUPS."""
    found = {group: [r for r in rows if r.group == group] for group in GROUPS}
    return {group: members for group, members in found.items() if members}


def table(rows: Sequence[Row]) -> str:
    """The rows under the names of their groups."""
    contenders = [c for c in CONTENDERS if any(c in r.medians for r in rows)]
    lines: list[tuple[str, ...]] = [("", *contenders, "ratio", "fastest", "goal", "reached")]
    for group, members in grouped(rows).items():
        lines.append((group,))
        lines += [("  " + name, *rest) for name, *rest in (r.cells(contenders) for r in members)]
    return aligned(lines)


def aligned(lines: Sequence[tuple[str, ...]]) -> str:
    """The lines in columns: names to the left, figures to the right. A line with one cell takes the width it needs."""
    widths = [max(map(len, column)) for column in zip(*[line for line in lines if len(line) > 1])]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(line[1:], widths[1:]))]).rstrip()
        for line in lines
    )


@dataclass(frozen=True)
class Summary:
    """A group: how many rows, the geometric mean of their figures, and the worst of them."""

    group: str
    rows: int
    mean: float
    worst: Row
    others: Mapping[str, float]
    """Geometric means of the ratios of other contenders, over the rows that have one."""
    reached: str

    def cells(self, others: Sequence[str]) -> tuple[str, ...]:
        if self.group in MIXED:
            return self.group, str(self.rows), "-", "-", "-", "-", self.reached, *[""] * len(others), ""
        goal = GROUPS[self.group]
        form = "x {:.3g}".format if self.worst.of_value else "{:.3f}".format
        mean, worst = ("-", "-") if goal is None else (goal_cell(goal.mean), goal_cell(goal.worst))
        means = [f"{self.others[c]:.3f}" if c in self.others else "" for c in others]
        figures = form(self.mean), mean, form(self.worst.figure), worst
        return self.group, str(self.rows), *figures, self.reached, *means, self.worst.name


def summarize(group: str, rows: Sequence[Row]) -> Summary | None:
    """The summary of a group's rows; None where none has a figure."""
    judged = [r for r in rows if not math.isnan(r.figure)]
    if not judged:
        return None
    mean = math.nan if group in MIXED else geometric_mean(r.figure for r in judged)
    worst = max(judged, key=lambda r: r.figure)
    others = {}
    for c in CONTENDERS[2:]:
        ratios = [r.ratios[c].median for r in judged if c in r.ratios]
        if ratios:
            others[c] = geometric_mean(ratios)
    return Summary(group, len(rows), mean, worst, others, verdict(group, mean, worst, rows))


def verdict(group: str, mean: float, worst: Row, rows: Sequence[Row]) -> str:
    """Whether the goals of the group are reached, or how many of the rows' own ones."""
    goal = GROUPS[group]
    if goal is not None:
        failed = any(r.error for r in rows)
        return answer(mean <= goal.mean and worst.figure <= goal.worst and not failed)
    own = [r.reached for r in rows if r.reached is not None]
    return f"{sum(own)} of {len(own)}" if own else "-"


def summary(rows: Sequence[Row]) -> str:
    """A line for each group, with its geometric mean and its worst row beside the goals."""
    found = [s for group, members in grouped(rows).items() if (s := summarize(group, members))]
    others = [c for c in CONTENDERS[2:] if any(c in s.others for s in found if s.group not in MIXED)]
    header = ("group", "rows", "mean", "goal", "worst", "goal", "reached", *others, "the worst is")
    lines = [header, *(s.cells(others) for s in found)]
    texts = aligned([line[:-1] for line in lines]).splitlines()
    width = max(map(len, texts))
    return "\n".join(f"{text.ljust(width)}  {line[-1]}".rstrip() for text, line in zip(texts, lines))
