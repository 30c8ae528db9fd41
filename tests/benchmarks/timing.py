"""Interleaved timing, and the rows of the table."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import repeat
from statistics import median, quantiles
from typing import Any

import jax
import numpy as np


@dataclass(frozen=True)
class Settings:
    """How long to measure each benchmark: until the seconds are over, and at least so many rounds."""

    seconds: float
    rounds: int


FULL = Settings(seconds=11.0, rounds=5)
QUICK = Settings(seconds=1.5, rounds=3)

# Seconds of a sample of something tiny: less than a time slice, so that most samples escape the other processes.
SAMPLE = 0.001


@dataclass(frozen=True)
class Row:
    """A line of the table. `ours` and `theirs` are seconds per call; factors where `unit` is x, bytes where it is B."""

    name: str
    ours: float = math.nan
    theirs: float = math.nan
    ratio: float = math.nan
    goal: float | None = None
    quartiles: tuple[float, float] | None = None
    fastest: float = math.nan  # ratio of the fastest samples: what other processes disturb least
    rounds: int = 0
    unit: str = "s"
    error: str = ""

    @property
    def reached(self) -> bool | None:
        return None if self.goal is None else self.ratio <= self.goal

    def as_dict(self) -> dict[str, Any]:
        # JSON has no NaN: a row that failed has null there.
        fields = {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in asdict(self).items()}
        return {**fields, "reached": self.reached}

    def cells(self) -> tuple[str, ...]:
        if self.error:
            return self.name, "failed", "", "", goal_cell(self.goal), answer(self.reached)
        values = (show(x, self.unit) for x in (self.ours, self.theirs))
        return self.name, *values, f"{self.ratio:.3f}", goal_cell(self.goal), answer(self.reached)


HEADER = ("name", "minijvp", "JAX", "ratio", "goal", "reached")


def goal_cell(goal: float | None) -> str:
    return "-" if goal is None else f"<= {goal:.3f}"


def answer(reached: bool | None) -> str:
    return "-" if reached is None else "yes" if reached else "no"


def show(x: float, unit: str) -> str:
    if unit == "x":
        return f"x {x:.2f}"
    if unit == "B":
        return f"{x / 2**20:.4g} MiB"
    for name, size in (("s", 1.0), ("ms", 1e-3)):
        if x >= size:
            return f"{x / size:.4g} {name}"
    return f"{x / 1e-6:.4g} us"


def table(rows: Sequence[Row]) -> str:
    """The rows in columns: names to the left, figures to the right."""
    lines = [HEADER, *(row.cells() for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines)]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(line[1:], widths[1:]))])
        for line in lines
    )


Call = tuple[Callable[..., Any], tuple]


def seconds_per_call(call: Call, calls: int) -> float:
    fun, args = call
    out = None
    start = time.perf_counter()
    for _ in repeat(None, calls):
        out = fun(*args)
    jax.block_until_ready(out)
    return (time.perf_counter() - start) / calls


def calls_per_sample(call: Call) -> int:
    """How many calls take as long as a sample should, once the function is warm."""
    seconds_per_call(call, 1)
    count, found = 1, seconds_per_call(call, 1)
    while found * count < SAMPLE:
        # The fastest of a few: an interruption here would make every sample too short.
        count *= 4
        found = min(seconds_per_call(call, count) for _ in range(3))
    return max(1, round(SAMPLE / found))


def interleave(calls: Sequence[Call], settings: Settings) -> list[list[float]]:
    """Seconds per call of each: in every round one sample of each, in turn, until the time is used up."""
    counts = [calls_per_sample(call) for call in calls]
    samples: list[list[float]] = [[] for _ in calls]
    collected = time.perf_counter()
    end = collected + settings.seconds
    # What exists already is frozen, so that collecting the garbage of a round is cheap.
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        while len(samples[0]) < settings.rounds or time.perf_counter() < end:
            for call, count, found in zip(calls, counts, samples, strict=True):
                found.append(seconds_per_call(call, count))
            if time.perf_counter() > collected + 0.2:
                gc.collect()
                collected = time.perf_counter()
    finally:
        gc.enable()
        gc.unfreeze()
    return samples


def paired(name: str, ours: Sequence[float], theirs: Sequence[float], goal: float | None, unit: str = "s") -> Row:
    """The row of two series measured in the same rounds."""
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    spread = None
    if len(ratios) > 1:
        first, _, third = quantiles(ratios, n=4, method="inclusive")
        spread = first, third
    fastest = min(ours) / min(theirs) if unit == "s" else math.nan
    return Row(name, median(ours), median(theirs), median(ratios), goal, spread, fastest, len(ratios), unit)


def compare(name: str, ours: Call, theirs: Call, goal: float | None, settings: Settings) -> list[Row]:
    first, second = interleave([ours, theirs], settings)
    return [paired(name, first, second, goal)]


def check_same(ours: Any, theirs: Any, tolerance: float = 1e-4) -> None:
    """Equal trees of equal arrays, within a tolerance relative to the largest entry of each array."""
    assert jax.tree.structure(ours) == jax.tree.structure(theirs), "the results have different structures"
    for (path, b), a in zip(jax.tree_util.tree_leaves_with_path(theirs), jax.tree.leaves(ours), strict=True):
        types = (a.shape, a.dtype), (b.shape, b.dtype)
        assert types[0] == types[1], f"{jax.tree_util.keystr(path)}: {types[0]}, should be {types[1]}"
        a, b = np.asarray(a), np.asarray(b)
        assert np.isfinite(b).all(), f"{jax.tree_util.keystr(path)} is not finite"
        error, scale = np.abs(a - b).max(), np.abs(b).max()
        assert error <= tolerance * scale, f"{jax.tree_util.keystr(path)} differs by {error}, at most {scale}"
