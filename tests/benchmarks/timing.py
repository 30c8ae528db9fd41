"""Interleaved timing: what is measured, how long, and the samples of a round."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import jax
import numpy as np


@dataclass(frozen=True)
class Settings:
    """How long to measure each benchmark: until the seconds are over, and at least so many rounds."""

    seconds: float
    rounds: int


FULL = Settings(seconds=3.0, rounds=5)
QUICK = Settings(seconds=0.25, rounds=3)

# Seconds of a sample of something tiny: less than a time slice, so that most samples escape the other processes.
SAMPLE = 0.001


@dataclass(frozen=True)
class Call:
    """What a contender does in a round, in a context that is entered once a sample."""

    fun: Callable[..., Any]
    args: tuple = ()
    within: Callable[[], AbstractContextManager[Any]] = nullcontext

    def __call__(self) -> Any:
        with self.within():
            return self.fun(*self.args)


def waiting(fun: Callable[..., Any]) -> Callable[..., Any]:
    """Each call waits for its result, so that calls do not overlap."""
    return lambda *args: jax.block_until_ready(fun(*args))


def seconds_per_call(call: Call, calls: int) -> float:
    fun, args = call.fun, call.args
    out = None
    with call.within():
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


def interleave(calls: Mapping[str, Call], settings: Settings) -> dict[str, list[float]]:
    """Seconds per call of each: in every round one sample of each, in turn, until the time is used up."""
    counts = {name: calls_per_sample(call) for name, call in calls.items()}
    return in_rounds(lambda: {name: seconds_per_call(call, counts[name]) for name, call in calls.items()}, settings)


def in_rounds(measure: Callable[[], Mapping[str, float]], settings: Settings) -> dict[str, list[float]]:
    """The series of what one round measures, without interruptions by the collector of garbage."""
    series: dict[str, list[float]] = {}
    rounds = 0
    collected = time.perf_counter()
    end = collected + settings.seconds
    # What exists already is frozen, so that collecting the garbage of a round is cheap.
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        while rounds < settings.rounds or time.perf_counter() < end:
            for name, seconds in measure().items():
                series.setdefault(name, []).append(seconds)
            rounds += 1
            if time.perf_counter() > collected + 0.2:
                gc.collect()
                collected = time.perf_counter()
    finally:
        gc.enable()
        gc.unfreeze()
    return series


def check_same(ours: Any, theirs: Any, tolerance: float = 1e-4) -> None:
    """Equal trees of equal arrays, within a tolerance relative to the largest entry of each array."""
    assert jax.tree.structure(ours) == jax.tree.structure(theirs), "the results have different structures"
    for (path, b), a in zip(jax.tree_util.tree_leaves_with_path(theirs), jax.tree.leaves(ours), strict=True):
        where = jax.tree_util.keystr(path) or "the result"
        a, b = np.asarray(a), np.asarray(b)
        types = (a.shape, a.dtype), (b.shape, b.dtype)
        assert types[0] == types[1], f"{where}: {types[0]}, should be {types[1]}"
        assert np.isfinite(b).all(), f"{where} is not finite"
        error, scale = np.abs(a - b).max(), np.abs(b).max()
        assert error <= tolerance * scale, f"{where} differs by {error}, at most {scale}"
