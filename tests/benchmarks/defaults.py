"""What the defaults cost: gradients planned and outlined, beside those of programs left as they are written."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import numpy as np

import minijvp
from tests.benchmarks import deep
from tests.benchmarks.benchmark import Benchmark
from tests.benchmarks.contenders import MINIJVP, Make, plain, renewed
from tests.benchmarks.depth import residual_blocks_loss, seconds
from tests.benchmarks.models import gradient, lstm_data, lstm_loss, mlp_data, mlp_loss, normal, resnet_data, resnet_loss
from tests.benchmarks.report import (
    DEFAULTS_COMPILE,
    DEFAULTS_MEMORY,
    DEFAULTS_RUN,
    DEFAULTS_STAGE,
    OURS,
    Row,
    beside,
    goal_of,
)
from tests.benchmarks.staging import few
from tests.benchmarks.timing import Call, Settings, calls_per_sample, check_same, in_rounds, waiting

Loss = Callable[..., Any]

SIDES = {"auto": {}, "off": {"memory_budget": "off", "outline": "off"}}


def recurrent_data(width: int, steps: int, batch: int = 1) -> tuple[Any, Any, Any]:
    """A matrix, a state, and an input for each step."""
    rng = np.random.default_rng(0)
    return normal(rng, width, width, scale=width**-0.5), normal(rng, batch, width), normal(rng, steps, batch, width)


def recurrent_loss(library: Any) -> Loss:
    """A recurrent network by scan, with an output of each step."""
    xp = library.numpy

    def loss(w: Any, h: Any, xs: Any) -> Any:
        def step(h: Any, x: Any) -> Any:
            h = xp.tanh(h @ w + x)
            return h, xp.sum(xp.sin(h) * h)

        return xp.mean(library.lax.scan(step, h, xs)[1])

    return loss


def elementwise_loss(library: Any) -> Loss:
    """Elementwise steps alone, by scan."""
    xp = library.numpy

    def loss(w: Any, h: Any, xs: Any) -> Any:
        step = lambda h, x: (h + 0.1 * xp.sin(h * w[0]) * xp.exp(-(x**2)), None)
        return xp.mean(library.lax.scan(step, h, xs)[0] ** 2)

    return loss


def normalized_loss(library: Any) -> Loss:
    """Steps with a layer norm, by scan."""
    xp = library.numpy

    def loss(w: Any, h: Any, xs: Any) -> Any:
        def step(h: Any, x: Any) -> Any:
            centred = h - xp.mean(h, -1, keepdims=True)
            normed = centred / xp.sqrt(xp.mean(centred**2, -1, keepdims=True) + 1e-5)
            return h + 0.1 * xp.tanh(normed @ w + x), None

        return xp.mean(library.lax.scan(step, h, xs)[0] ** 2)

    return loss


BODIES: dict[str, Make] = {
    "recurrent": recurrent_loss,
    "elementwise": elementwise_loss,
    "normalized": normalized_loss,
}
SIZES = ((8, 10), (8, 10_000), (64, 1_000), (256, 100), (256, 10_000), (1024, 100))
"""Widths, and numbers of steps."""

PROGRAMS: dict[str, tuple[Make, Callable[[], tuple]]] = {
    **{f"{b} scan, {w} x {n}": (m, partial(recurrent_data, w, n)) for b, m in BODIES.items() for w, n in SIZES},
    "recurrent scan, 64 x 1000, batch 32": (recurrent_loss, partial(recurrent_data, 64, 1_000, 32)),
    "elementwise chain": (partial(deep.mixed_chain_loss, rounds=2), partial(deep.numbers, 1_000_000)),
    "MLP in cache": (mlp_loss, partial(mlp_data, 4, 64, 32)),
    "50-layer MLP": (mlp_loss, partial(mlp_data, 50, 64, 32)),
    "conv net": (deep.deep_conv_loss, partial(deep.deep_conv_data, 32, 16)),
    "three residual blocks": (residual_blocks_loss, partial(resnet_data, 3)),
    "ResNet by scan": (resnet_loss, resnet_data),
    "LSTM by scan": (lstm_loss, lstm_data),
    "transformer, 6 layers of 64": (deep.deep_transformer_loss, partial(deep.deep_transformer_data, 6, 64, 32)),
}
QUICK = ("recurrent scan, 64 x 1000", "MLP in cache")


def repeated(call: Call, times: int) -> float:
    """Seconds of the processor for a call, of so many."""
    return seconds(lambda: [call() for _ in range(times)])[0] / times


def by_default(model: str, name: str, settings: Settings) -> list[Row]:
    """Rows of the time of the processor for each phase, and of memory: the default beside "off"."""
    loss, data = PROGRAMS[model]
    args = data()
    programs: dict[str, Any] = {}

    def one_round() -> dict[str, float]:
        found = {}
        for side, config in SIDES.items():
            with minijvp.config(**config):
                found[side, "stage"], lowered = seconds(renewed(gradient(loss), MINIJVP).lower, *args)
                found[side, "compile"], programs[side] = seconds(lowered.compile)
        return found

    one_round()
    series = in_rounds(one_round, few(settings))
    check_same(plain(programs["auto"](*args)), plain(programs["off"](*args)))
    calls = {side: Call(waiting(program), args) for side, program in programs.items()}
    times = max(map(calls_per_sample, calls.values()))
    series |= in_rounds(lambda: {(side, "run"): repeated(call, times) for side, call in calls.items()}, settings)
    for side, program in programs.items():
        series[side, "memory"] = [float(max(1, program.memory_analysis().temp_size_in_bytes))]

    def of(what: str, group: str, unit: str = "s") -> Row:
        ours, theirs = series["auto", what], series["off", what]
        ratios = {OURS: beside(ours, theirs, unit)}
        return Row(model, group, {OURS: median(ours)}, ratios, goal_of(group, None), unit, len(ours))

    return [
        of("stage", DEFAULTS_STAGE),
        of("compile", DEFAULTS_COMPILE),
        of("run", DEFAULTS_RUN),
        of("memory", DEFAULTS_MEMORY, "B"),
    ]


GROUPS = (DEFAULTS_STAGE, DEFAULTS_COMPILE, DEFAULTS_RUN, DEFAULTS_MEMORY)
BENCHMARKS = [Benchmark(f"defaults: {m}", GROUPS, partial(by_default, m), m not in QUICK) for m in PROGRAMS]
