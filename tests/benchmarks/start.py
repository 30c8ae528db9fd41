"""What a new process pays before it has its first gradient: CPU time of the import, and of that with a first call."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from functools import partial

from tests.benchmarks.benchmark import Benchmark
from tests.benchmarks.report import START, Row, row
from tests.benchmarks.staging import ROOT
from tests.benchmarks.timing import Settings

HEADERS = {"minijvp": "import minijvp as api, minijvp.numpy as np", "JAX": "import jax as api, jax.numpy as np"}
PROGRAMS = {
    "import": "",
    "first gradient, elementwise": "api.jit(api.grad(lambda x: np.sin(x) * np.exp(-(x**2))))(1.0)",
    "first gradient, MLP": """
def loss(layers, x, y):
    for w, b in layers:
        x = np.tanh(x @ w + b)
    return np.mean((x - y) ** 2)

x, layers = np.ones((16, 8)), [(np.eye(8), np.zeros(8)) for _ in range(3)]
api.jit(api.grad(loss))(layers, x, x)
""",
}


def cpu_seconds(program: str) -> float:
    """User and system time of a new process that runs a program, with what was compiled to bytecode before."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def starting(program: str, name: str, settings: Settings) -> list[Row]:
    """The sides by turns, after one run of each that counts for nothing."""
    programs = {side: f"{header}\n{PROGRAMS[program]}" for side, header in HEADERS.items()}
    seconds: dict[str, list[float]] = {side: [] for side in programs}
    for turn in range(settings.rounds + 1):
        for side, text in programs.items():
            found = cpu_seconds(text)
            if turn:
                seconds[side].append(found)
    return [row(name, START, seconds)]


BENCHMARKS = [Benchmark(f"start: {name}", (START,), partial(starting, name), True) for name in PROGRAMS]
