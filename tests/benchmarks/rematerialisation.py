"""Automatic rematerialisation: memory and time of gradients beside JAX, and what it costs to plan them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import median
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np

import minijvp
from tests.benchmarks import deep
from tests.benchmarks.benchmark import Benchmark
from tests.benchmarks.contenders import JAX, MINIJVP, Make, plain, renewed
from tests.benchmarks.models import gradient, lstm_data, lstm_loss, mlp_data, mlp_loss
from tests.benchmarks.report import OURS, REFERENCE, REMATERIALISATION, Row, beside, row
from tests.benchmarks.staging import few, timed
from tests.benchmarks.timing import Call, Settings, check_same, in_rounds, interleave, waiting

ERROR = 1e-6
"""What a plan may change in a gradient, in float32: the order of some roundings. The order in which a value's numbers
are summed is the compiler's: a value may not be farther from the exact one."""

CHECKPOINTED = SimpleNamespace(
    **{**vars(JAX), "lax": SimpleNamespace(scan=lambda f, *args: jax.lax.scan(jax.checkpoint(f), *args))}
)
"""JAX by hand: each step of a scan is a checkpoint."""


@dataclass(frozen=True)
class Case:
    """A loss, and what its gradient should need beside JAX's: temporary memory, run time, time to compile."""

    name: str
    loss: Make
    data: Callable[[], tuple]
    memory: float | None = None
    time: float | None = None
    compile: float | None = None
    budget: str | float = "auto"
    theirs: Callable[[], Callable[..., Any]] | None = None
    """The loss that JAX differentiates, where it is another one."""
    slow: bool = True


@dataclass(frozen=True)
class Built:
    """A compiled gradient, and the seconds of its compilation."""

    program: Any
    seconds: float

    @property
    def temporary(self) -> float:
        return float(max(1, self.program.memory_analysis().temp_size_in_bytes))


def built(library: Any, loss: Callable[..., Any], args: tuple, budget: str | float = "off") -> Built:
    """The gradient of a loss by a library; the budget is for minijvp."""
    with minijvp.config(memory_budget=budget):
        lowered = library.jit(library.value_and_grad(loss)).lower(*args)
        seconds, program = timed(lowered.compile)
    return Built(program, seconds)


def measure(case: Case, name: str, settings: Settings) -> list[Row]:
    """Rows for memory and time, for compilation where it has a goal, and for what a plan changes in the gradient."""
    args = case.data()
    contenders = {
        OURS: lambda: built(MINIJVP, case.loss(MINIJVP), args, case.budget),
        REFERENCE: lambda: built(JAX, case.theirs() if case.theirs else case.loss(JAX), args),
    }
    found = {side: build() for side, build in contenders.items()}
    ours, theirs = (plain(one.program(*args)) for one in found.values())
    check_same(ours, theirs)
    sizes = {side: [one.temporary] for side, one in found.items()}
    series = interleave({side: Call(waiting(one.program), args) for side, one in found.items()}, settings)
    rows = [
        row(f"{case.name}: memory", REMATERIALISATION, sizes, case.memory, "B"),
        row(f"{case.name}: time", REMATERIALISATION, series, case.time),
    ]
    if case.compile is not None:
        compiling = lambda: {side: build().seconds for side, build in contenders.items()}
        series = in_rounds(compiling, few(settings))
        rows.append(row(f"{case.name}: compile", REMATERIALISATION, series, case.compile))
    if case.theirs is None:
        unplanned = plain(built(MINIJVP, case.loss(MINIJVP), args).program(*args))
        value = farther(ours[0], unplanned[0], exact_value(case.loss(JAX), args))
        error = {OURS: [max(value, difference(ours[1], unplanned[1]))]}
        rows.append(row(f"{case.name}: planned - unplanned", REMATERIALISATION, error, ERROR, "", of_value=True))
    return rows


def difference(a: Any, b: Any) -> float:
    """Of the arrays of two trees, the largest difference, relative to the largest entry of an array of b."""
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return max(float(np.abs(x - y).max() / np.abs(y).max()) for x, y in pairs)


def exact_value(loss: Callable[..., Any], args: tuple) -> np.float64:
    """The value of a loss by JAX in double precision."""
    with jax.enable_x64(True):
        return np.float64(jax.jit(loss)(*jax.tree.map(doubled, plain(args))))


def doubled(x: np.ndarray) -> np.ndarray:
    """An array in double precision, if it has floating numbers."""
    return x.astype(np.float64) if x.dtype == np.float32 else x


def farther(a: Any, b: Any, right: np.float64) -> float:
    """How much more a number differs from the right one than another does, relative to it."""
    return max(0.0, float((abs(a - right) - abs(b - right)) / abs(right)))


def planning(loss: Make, data: Callable[[], tuple], what: str, name: str, settings: Settings) -> list[Row]:
    """What the seconds of tracing with a plan are to those without."""
    args = data()

    def one_round() -> dict[str, float]:
        found = {}
        for budget in ("auto", "off"):
            with minijvp.config(memory_budget=budget):
                found[budget], _ = timed(renewed(gradient(loss), MINIJVP).trace, *args)
        return found

    one_round()
    series = in_rounds(one_round, few(settings))
    seconds, ratio = {OURS: median(series["auto"])}, {OURS: beside(series["auto"], series["off"], "s")}
    title = f"{what}: trace, auto / off"
    return [Row(title, REMATERIALISATION, seconds, ratio, 1.1, rounds=len(series["auto"]))]


batch_32, batch_4096 = [(deep.quaternion_loss, partial(deep.quaternion_data, n)) for n in (32, 4096)]
unrolled = deep.deep_transformer_loss, deep.deep_transformer_data
scanned = deep.scanned_transformer_loss, deep.stacked_transformer_data
mixed, expensive = (deep.mixed_chain_loss, deep.numbers), (deep.dear_chain_loss, deep.numbers)
lstm = lstm_loss, partial(lstm_data, 500, 32, 128, 128)

CASES = (
    Case("quaternion, batch 32", *batch_32, 0.3, 0.8, slow=False),
    Case("quaternion, batch 32 / checkpoint", *batch_32, theirs=partial(deep.quaternion_loss, JAX, "checkpoint")),
    Case("quaternion, batch 4096", *batch_4096, 0.95, 1.05),
    Case("quaternion, batch 4096, budget 0.46", *batch_4096, 0.65, 1.05, budget=0.46),
    Case("transformer", *unrolled, 0.45, 0.8, 0.4),
    Case("transformer, budget 0.1", *unrolled, 0.15, 0.8, budget=0.1),
    Case("transformer by scan", *scanned, 0.45, 1.0),
    Case("transformer by scan / checkpoint", *scanned, theirs=partial(deep.scanned_transformer_loss, CHECKPOINTED)),
    Case("elementwise chain", *mixed, 0.6, 1.05),
    Case("elementwise chain, budget 0.5", *mixed, 0.1, 1.4, budget=0.5),
    Case("chain of tanh(sin(x))", *expensive, 0.6, 1.05),
    Case("chain of tanh(sin(x)), budget 0.11", *expensive, 0.1, 1.4, budget=0.11),
    Case("conv net", deep.deep_conv_loss, deep.deep_conv_data, 0.6, 1.05),
    Case("LSTM by scan", *lstm, 0.65, 1.05),
    Case("LSTM by scan / checkpoint", *lstm, theirs=partial(lstm_loss, CHECKPOINTED)),
    Case("MLP in cache", mlp_loss, partial(mlp_data, 4, 64, 32), 1.0, 1.03, slow=False),
)
"""Beside JAX's default, or beside jax.checkpoint by hand, for each layer or step."""

PLANNED = {
    "transformer": unrolled,
    "chain of 20,000 equations": (partial(deep.mixed_chain_loss, rounds=2500), partial(deep.numbers, 4096)),
}

BENCHMARKS = [
    *[Benchmark(f"rematerialisation: {c.name}", (REMATERIALISATION,), partial(measure, c), c.slow) for c in CASES],
    *[
        Benchmark(f"rematerialisation: planning, {what}", (REMATERIALISATION,), partial(planning, *found, what), True)
        for what, found in PLANNED.items()
    ],
]
