"""Trace and lower a compiled gradient: with a new function each time, and as the first work of a new process."""

from __future__ import annotations

import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

import minijvp
import minijvp.numpy as mnp
from tests.benchmarks.models import mlp_data, mlp_loss, transformer_data, transformer_loss
from tests.benchmarks.timing import Row, Settings, check_same, compare, paired

ROOT = Path(__file__).parents[2]
GOAL = 0.6
# The check compiles programs only to run them once.
UNOPTIMIZED = {"compiler_options": {"xla_backend_optimization_level": 0}}
LIBRARIES: dict[str, tuple[Any, Any]] = {"minijvp": (minijvp, mnp), "jax": (jax, jnp)}
MODELS: dict[str, tuple[Any, Any]] = {
    "mlp": (mlp_loss, partial(mlp_data, 50, 64, 32)),
    "transformer": (transformer_loss, transformer_data),
}


def gradient(library: str, model: str, **options: Any) -> Any:
    """A new function, that no cache keyed by functions knows; caches keyed by shapes and parameters stay warm."""
    transforms, xp = LIBRARIES[library]
    loss, _ = MODELS[model]
    return transforms.jit(transforms.value_and_grad(loss(xp)), **options)


def lowering(library: str, model: str) -> Any:
    return lambda *args: gradient(library, model).lower(*args)


def again(model: str, name: str, settings: Settings) -> list[Row]:
    args = MODELS[model][1]()
    check_same(gradient("minijvp", model, **UNOPTIMIZED)(*args), gradient("jax", model, **UNOPTIMIZED)(*args))
    return compare(name, (lowering("minijvp", model), args), (lowering("jax", model), args), GOAL, settings)


def first(model: str, name: str, settings: Settings) -> list[Row]:
    """In processes of their own: in one process, what comes second profits from what JAX cached for the first."""
    ours, theirs = [], []
    end = time.perf_counter() + settings.seconds
    while not ours or time.perf_counter() < end:
        ours.append(in_new_process("minijvp", model))
        theirs.append(in_new_process("jax", model))
    return [paired(name, ours, theirs, None)]


def in_new_process(library: str, model: str) -> float:
    command = [sys.executable, "-m", "tests.benchmarks.staging", library, model]
    return float(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout)


def main(library: str, model: str) -> None:
    args = jax.block_until_ready(MODELS[model][1]())
    lower = lowering(library, model)
    start = time.perf_counter()
    lower(*args)
    print(time.perf_counter() - start)


BENCHMARKS = {
    "staging: 50-layer MLP": partial(again, "mlp"),
    "staging: 6-block transformer": partial(again, "transformer"),
    "staging: 50-layer MLP, first in its process": partial(first, "mlp"),
    "staging: 6-block transformer, first in its process": partial(first, "transformer"),
}

if __name__ == "__main__":
    main(*sys.argv[1:])
