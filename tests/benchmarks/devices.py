"""The gradient of a transformer on eight devices, forced on one CPU: time, memory of a device, and collectives."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from functools import partial

import jax

from tests.benchmarks.benchmark import Benchmark
from tests.benchmarks.contenders import BOTH, plain
from tests.benchmarks.deep import deep_transformer_loss
from tests.benchmarks.report import DEVICES_MEMORY, DEVICES_RUN, DEVICES_SENT, Row, row
from tests.benchmarks.staging import ROOT
from tests.benchmarks.timing import Call, Settings, check_same, interleave, waiting
from tests.devices.layouts import sent, transformer_on

SIZES = (6, 128, 128, 32)
"""Layers, width, length and batch."""
MODELS = ("DP", "FSDP")
FLAGS = {"XLA_FLAGS": "--xla_force_host_platform_device_count=8", "JAX_PLATFORMS": "cpu"}


def on_devices(layout: str, sizes: Sequence[int], name: str, settings: Settings) -> list[Row]:
    """What a process of its own measures: devices are made when JAX starts."""
    arguments = [layout, *map(str, sizes), str(settings.seconds), str(settings.rounds)]
    command = [sys.executable, "-m", "tests.benchmarks.devices", *arguments]
    environment = {**os.environ, **FLAGS}
    done = subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    found = json.loads(done.stdout)
    model = f"transformer, {layout}"
    return [
        row(model, DEVICES_RUN, found["seconds"]),
        row(model, DEVICES_MEMORY, found["bytes"], unit="B"),
        row(model, DEVICES_SENT, found["collectives"], unit="x"),
    ]


def measured(layout: str, sizes: Sequence[int], settings: Settings) -> dict[str, dict[str, list[float]]]:
    """Seconds, bytes of temporary memory of a device, and the number of collectives, of each library."""
    args = transformer_on(layout, *sizes)
    programs = {
        side: api.jit(api.value_and_grad(deep_transformer_loss(api))).lower(*args).compile()
        for side, api in BOTH.items()
    }
    check_same(*[plain(program(*args)) for program in programs.values()])
    calls = {side: Call(waiting(program), args) for side, program in programs.items()}
    space = {side: [float(p.memory_analysis().temp_size_in_bytes)] for side, p in programs.items()}
    times = {side: [float(sum(n for n, _ in sent(p.as_text()).values()))] for side, p in programs.items()}
    return {"seconds": interleave(calls, settings), "bytes": space, "collectives": times}


GROUPS = (DEVICES_RUN, DEVICES_MEMORY, DEVICES_SENT)
BENCHMARKS = [Benchmark(f"devices: {m}", GROUPS, partial(on_devices, m, SIZES), True) for m in MODELS]

if __name__ == "__main__":
    jax.config.update("jax_enable_compilation_cache", False)
    layout, *sizes, seconds, rounds = sys.argv[1:]
    print(json.dumps(measured(layout, tuple(map(int, sizes)), Settings(float(seconds), int(rounds)))))
