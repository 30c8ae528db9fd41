"""The objective functions of publications: the derivative that is wanted of each, eager and compiled."""

from __future__ import annotations

from functools import partial

import numpy as np

from tests.benchmarks.benchmark import Benchmark
from tests.benchmarks.compiled import memory
from tests.benchmarks.contenders import BOTH, INSTALLED, calls, compiled, library, plain
from tests.benchmarks.eager import Case, measure_case
from tests.benchmarks.objectives import OBJECTIVES, Objective
from tests.benchmarks.report import MEMORY, OBJECTIVES_EAGER, OBJECTIVES_HOT, OBJECTIVES_RUN, Row, row
from tests.benchmarks.timing import QUICK, Call, Settings, check_same, interleave, waiting

IN_TORCH = ("LSTM",)
"""Those that PyTorch's names of functions are enough for."""


def case_of(objective: Objective, size: str = "quick") -> Case:
    """The derivative of an objective, in every library that has what it needs."""
    able = [c for c in INSTALLED if (c != "PyTorch" or objective.name in IN_TORCH) and objective.runs_on(library(c))]
    hot = OBJECTIVES_HOT if objective.needs == ("grad",) else None
    data = partial(objective.data, size, np.float32)
    return Case(objective.name, objective.derivative, data, able, hot, group=OBJECTIVES_EAGER)


def eager(objective: Objective, name: str, settings: Settings) -> list[Row]:
    return measure_case(case_of(objective), name, settings)


def run(objective: Objective, name: str, settings: Settings) -> list[Row]:
    data = objective.data("quick" if settings == QUICK else "full", np.float32)
    found = calls(compiled(objective.derivative), data, tuple(BOTH))
    check_same(plain(found["minijvp"]()), plain(found["JAX"]()), 1e-3)
    series = interleave({side: Call(waiting(call.fun), call.args) for side, call in found.items()}, settings)
    return [row(objective.name, OBJECTIVES_RUN, series), memory(f"objective: {objective.name}", found)]


BENCHMARKS = [
    *[
        Benchmark(f"objectives: eager, {o.name}", (OBJECTIVES_EAGER, OBJECTIVES_HOT), partial(eager, o), True)
        for o in OBJECTIVES.values()
    ],
    *[
        Benchmark(f"objectives: run, {o.name}", (OBJECTIVES_RUN, MEMORY), partial(run, o), True)
        for o in OBJECTIVES.values()
    ],
]
