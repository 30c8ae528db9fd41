"""Programs of libraries built on JAX, where those are installed: under minijvp by from_jax, and under JAX itself."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import jax

import minijvp
from tests.benchmarks.benchmark import Benchmark
from tests.benchmarks.report import LIBRARIES_RUN, LIBRARIES_STAGING, Row, row
from tests.benchmarks.staging import few
from tests.benchmarks.timing import Call, Settings, check_same, in_rounds, interleave, waiting
from tests.libraries.programs import PROGRAMS, Program, are_installed


def compiled(side: str, program: Program) -> Any:
    """The value and the gradient of a new function, which is compiled when it is called."""
    fun = lambda *args: program.fun(*args)
    if side == "JAX":
        return jax.jit(jax.value_and_grad(fun))
    return minijvp.jit(minijvp.value_and_grad(minijvp.from_jax(fun)))


def staging(program: str, name: str, settings: Settings) -> list[Row]:
    """In seconds of the processor: these programs take so long that other processes come in between."""
    found = PROGRAMS[program]()

    def one(side: str) -> float:
        fun, start = compiled(side, found), time.process_time()
        fun.lower(found.x, *found.rest)
        return time.process_time() - start

    sides = "minijvp", "JAX"
    in_rounds(lambda: {side: one(side) for side in sides}, Settings(0.0, 1))
    series = in_rounds(lambda: {side: one(side) for side in sides}, few(settings))
    return [row(program, LIBRARIES_STAGING, series)]


def run(program: str, name: str, settings: Settings) -> list[Row]:
    found = PROGRAMS[program]()
    args = found.x, *found.rest
    ours, theirs = compiled("minijvp", found), compiled("JAX", found)
    check_same(ours(*args), theirs(*args), 1e-2)  # of single precision, through decompositions and solvers
    series = interleave({"minijvp": Call(waiting(ours), args), "JAX": Call(waiting(theirs), args)}, settings)
    return [row(program, LIBRARIES_RUN, series)]


BENCHMARKS = [
    Benchmark(f"{kind}: {program}", (group,), partial(measure, program), True)
    for kind, group, measure in (("library", LIBRARIES_STAGING, staging), ("library run", LIBRARIES_RUN, run))
    for program in (PROGRAMS if are_installed() else ())
]
