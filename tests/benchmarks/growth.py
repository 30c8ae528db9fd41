"""How costs grow: with depth, length of a loop and order of derivative; and those of a gradient beside its function."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jax.numpy as jnp

from tests.benchmarks.benchmark import Benchmark
from tests.benchmarks.contenders import BOTH, Make, calls, compiled, nth_derivative, plain, renewed
from tests.benchmarks.eager import cold, tanh
from tests.benchmarks.models import gradient, lstm_data, lstm_loss, mlp_data, mlp_loss
from tests.benchmarks.report import DEPTH, GROWTH, ORDER, Row, row
from tests.benchmarks.timing import Call, Settings, check_same, interleave, waiting

LEVELS = 5
LAYERS = (50, 1000)
STEPS = (100, 1000)


def factors(
    series: Mapping[str, list[float]], low: Any, high: Any, sides: Sequence[str], root: int = 1
) -> dict[str, list[float]]:
    """By which factor each contender's time grows, in each round; its root for one of several levels."""
    paired = {side: zip(series[low, side], series[high, side], strict=True) for side in sides}
    return {side: [(b / a) ** (1 / root) for a, b in pairs] for side, pairs in paired.items()}


def depth(name: str, settings: Settings) -> list[Row]:
    """Tracing the same gradient with 20 times the layers."""
    found = {}
    for layers in LAYERS:
        args = mlp_data(layers, 8, 4)
        for side, api in BOTH.items():
            new = lambda *xs, api=api: renewed(gradient(mlp_loss), api).trace(*xs)
            found[layers, side] = Call(new, args)
    series = interleave(found, settings)
    return [row("jit(value_and_grad) of an MLP", DEPTH, factors(series, *LAYERS, BOTH), unit="x", of_value=True)]


def loop_length(name: str, settings: Settings) -> list[Row]:
    """Running the compiled gradient of a loop of ten times the steps."""
    found = {}
    for steps in STEPS:
        for side, call in calls(compiled(gradient(lstm_loss)), lstm_data(steps), tuple(BOTH)).items():
            found[steps, side] = Call(waiting(call.fun), call.args)
    series = interleave(found, settings)
    return [row("1000 / 100 steps, run time, LSTM by scan", GROWTH, factors(series, *STEPS, BOTH), unit="x")]


def gradient_beside_function(
    loss: Make, data: Callable[[], tuple], what: str, name: str, settings: Settings
) -> list[Row]:
    """The time of value_and_grad over that of the function, eager."""
    found = {}
    for make, kind in ((loss, "function"), (gradient(loss), "gradient")):
        for side, call in calls(make, data()).items():
            found[kind, side] = cold(call) if side == "minijvp" else call
    series = interleave(found, settings)
    sides = [side for kind, side in found if kind == "function"]
    return [row(f"gradient / function, {what}", GROWTH, factors(series, "function", "gradient", sides), unit="x")]


def compiled_beside_function(
    loss: Make, data: Callable[[], tuple], what: str, name: str, settings: Settings
) -> list[Row]:
    """The same, compiled."""
    found = {}
    for make, kind in ((loss, "function"), (gradient(loss), "gradient")):
        for side, call in calls(compiled(make), data(), tuple(BOTH)).items():
            found[kind, side] = Call(waiting(call.fun), call.args)
    series = factors(interleave(found, settings), "function", "gradient", BOTH)
    return [row(f"gradient / function, compiled, {what}", GROWTH, series, unit="x")]


def order(name: str, settings: Settings) -> list[Row]:
    """Tracing the n-th derivative of tanh by nested grad."""
    levels = range(1, LEVELS + 1)
    x = jnp.float32(0.5)
    found: dict[tuple[int, str], Call] = {}
    for n in levels:
        ours, theirs = (nth_derivative(tanh, n)(api)(x) for api in BOTH.values())
        check_same(plain(ours), plain(theirs))
        for side, api in BOTH.items():
            found[n, side] = Call(
                lambda x, n=n, api=api: api.make_jaxpr(partial(nth_derivative(tanh, n)(api)))(x), (x,)
            )
    series = interleave(found, settings)
    rows = [row(f"n = {n}, tanh", ORDER, {side: series[n, side] for side in BOTH}) for n in levels]
    growing = factors(series, 1, LEVELS, BOTH, LEVELS - 1)
    return [*rows, row("per order of derivative, tracing tanh", GROWTH, growing, 1.0, "x")]


BENCHMARKS = [
    Benchmark("growth: tracing 1000 layers / 50 layers", (DEPTH,), depth, True),
    Benchmark("growth: length of a loop", (GROWTH,), loop_length, True),
    Benchmark("growth: order of derivative", (ORDER, GROWTH), order),
    Benchmark(
        "growth: gradient / function, eager",
        (GROWTH,),
        partial(gradient_beside_function, mlp_loss, partial(mlp_data, 50, 64, 32), "50-layer MLP"),
    ),
    Benchmark(
        "growth: gradient / function, compiled MLP",
        (GROWTH,),
        partial(compiled_beside_function, mlp_loss, partial(mlp_data, 8, 512, 128), "8-layer MLP of 512"),
    ),
    Benchmark(
        "growth: gradient / function, compiled LSTM",
        (GROWTH,),
        partial(compiled_beside_function, lstm_loss, lstm_data, "LSTM by scan"),
        True,
    ),
]
