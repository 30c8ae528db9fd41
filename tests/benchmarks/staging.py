"""Trace, lower and compile: with a new function each time, and as the first work of a new process."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax

from tests.benchmarks.benchmark import Benchmark
from tests.benchmarks.contenders import BOTH, renewed
from tests.benchmarks.models import PROGRAMS, Program, gradient, mlp_data, mlp_loss
from tests.benchmarks.report import ALONE, COMPILE, FIRST, LOWER, STAGING, TRACE, Row, row
from tests.benchmarks.timing import Settings, in_rounds, waiting

ROOT = Path(__file__).parents[2]
DEEP = Program(gradient(mlp_loss), partial(mlp_data, 1000, 8, 4))
STAGED = {**PROGRAMS, "1000-layer MLP": DEEP}
IN_PROCESSES = ("50-layer MLP", "6-block transformer")


def timed(fun: Callable[..., Any], *args: Any) -> tuple[float, Any]:
    start = time.perf_counter()
    out = fun(*args)
    return time.perf_counter() - start, out


def phases(program: Program, args: tuple, library: Any) -> tuple[float, float]:
    """The seconds of tracing and of lowering a new function."""
    tracing, traced = timed(renewed(program.make, library).trace, *args)
    return tracing, timed(traced.lower)[0]


def trace_and_lower(model: str, name: str, settings: Settings) -> list[Row]:
    program = STAGED[model]
    args = program.data()

    def one_round() -> dict[str, float]:
        found = {}
        for side, library in BOTH.items():
            found["trace", side], found["lower", side] = phases(program, args, library)
        return found

    one_round()
    series = in_rounds(one_round, settings)
    trace, lower = ({side: series[phase, side] for side in BOTH} for phase in ("trace", "lower"))
    both = {side: [a + b for a, b in zip(trace[side], lower[side])] for side in BOTH}
    return [row(model, STAGING, both), row(model, TRACE, trace), row(model, LOWER, lower)]


def first_result(model: str, name: str, settings: Settings) -> list[Row]:
    """Of a new function: its first call, and by subtraction of what another one needs before it, its compilation."""
    program = STAGED[model]
    args = program.data()

    def one_round() -> dict[str, float]:
        found = {}
        for side, library in BOTH.items():
            before = sum(phases(program, args, library))
            whole, _ = timed(waiting(renewed(program.make, library)), *args)
            found["first", side], found["compile", side] = whole, whole - before
        return found

    for library in BOTH.values():
        phases(program, args, library)
    series = in_rounds(one_round, few(settings))
    first, compiling = ({side: series[what, side] for side in BOTH} for what in ("first", "compile"))
    return [row(model, FIRST, first), row(model, COMPILE, compiling)]


def few(settings: Settings) -> Settings:
    """For what takes seconds."""
    return Settings(settings.seconds, (settings.rounds + 1) // 2)


def first_in_process(model: str, name: str, settings: Settings) -> list[Row]:
    """In processes of their own: in one process, what comes second profits from what JAX cached for the first."""
    series = in_rounds(lambda: {side: in_new_process(side, model) for side in BOTH}, few(settings))
    return [row(model, ALONE, series)]


def in_new_process(side: str, model: str) -> float:
    command = [sys.executable, "-m", "tests.benchmarks.staging", side, model]
    return float(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout)


def main(side: str, model: str) -> None:
    program = STAGED[model]
    print(sum(phases(program, jax.block_until_ready(program.data()), BOTH[side])))


SLOW_TO_TRACE = ("1000-layer MLP",)
QUICK_TO_COMPILE = ("hessian of an MLP",)
BENCHMARKS = [
    *[
        Benchmark(f"staging: {m}", (STAGING, TRACE, LOWER), partial(trace_and_lower, m), m in SLOW_TO_TRACE)
        for m in STAGED
    ],
    *[
        Benchmark(f"first result: {m}", (FIRST, COMPILE), partial(first_result, m), m not in QUICK_TO_COMPILE)
        for m in PROGRAMS
    ],
    *[
        Benchmark(f"staging: {m}, first in its process", (ALONE,), partial(first_in_process, m), True)
        for m in IN_PROCESSES
    ],
]

if __name__ == "__main__":
    main(*sys.argv[1:])
