"""Derivatives with nothing compiled; and gradients that recur, which minijvp compiles by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np

import minijvp
from tests.benchmarks.benchmark import Benchmark
from tests.benchmarks.contenders import Make, batched_gradient, calls, derivative, nth_derivative, plain
from tests.benchmarks.models import mlp_data, mlp_loss, normal
from tests.benchmarks.report import CONTENDERS, EAGER, HOT, TINY, Row, row
from tests.benchmarks.timing import Call, Settings, check_same, interleave

SOME = ("minijvp", "JAX", "PyTorch")
WARM_UP = 8
"""Calls before hot gradients are timed: more than config.compile_gradients_after asks for."""


@dataclass(frozen=True)
class Case:
    """A derivative, its data, and who can compute it; `hot` is the group of its row where it recurs."""

    name: str
    make: Make
    data: Callable[[], tuple]
    contenders: Sequence[str] = CONTENDERS
    hot: str | None = None
    slow: bool = False
    group: str = EAGER


def product(library: Any) -> Callable[[Any], Any]:
    return lambda x: (library.numpy.sin(x) * x).sum()


def tanh(library: Any) -> Callable[[Any], Any]:
    return lambda x: library.numpy.tanh(x)


def sines(library: Any) -> Callable[[Any], Any]:
    """Of 21 operations."""

    def fun(x: Any) -> Any:
        for _ in range(10):
            x = library.numpy.sin(x) * x
        return x.sum()

    return fun


def valley(library: Any) -> Callable[[Any], Any]:
    """The function of Rosenbrock (1960), of 9 operations."""
    xp = library.numpy
    return lambda x: xp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def layers(library: Any) -> Callable[..., Any]:
    """What an MLP of two layers makes of x."""
    xp = library.numpy
    return lambda x, V, W: xp.tanh(xp.tanh(x @ V) @ W)


def layers_data() -> tuple[Any, ...]:
    rng = np.random.default_rng(0)
    return normal(rng, 16), normal(rng, 16, 16, scale=0.25), normal(rng, 16, 16, scale=0.25)


def batch_data() -> tuple[Any, ...]:
    params, x = mlp_data(2, 16, 32)
    return params, x


def numbers(n: int) -> tuple[Any]:
    return (jnp.linspace(0.5, 1.5, n, dtype=jnp.float32),)


NUMBER = partial(lambda: (jnp.float32(0.5),))
CASES = (
    Case("grad, 2 operations on 4 floats", derivative("grad", product), partial(numbers, 4), hot=TINY),
    Case("grad, Rosenbrock's function of 10 floats", derivative("grad", valley), partial(numbers, 10), hot=TINY),
    Case("grad, 21 operations on 4 floats", derivative("grad", sines), partial(numbers, 4), hot=HOT),
    Case("second derivative of tanh", nth_derivative(tanh, 2), NUMBER),
    Case("third derivative of tanh", nth_derivative(tanh, 3), NUMBER),
    Case(
        "value_and_grad, 10-layer MLP", derivative("value_and_grad", mlp_loss), partial(mlp_data, 10, 64, 32), hot=HOT
    ),
    Case(
        "value_and_grad, 50-layer MLP", derivative("value_and_grad", mlp_loss), partial(mlp_data, 50, 64, 32), hot=HOT
    ),
    Case(
        "value_and_grad, 200-layer MLP",
        derivative("value_and_grad", mlp_loss),
        partial(mlp_data, 200, 64, 32),
        hot=HOT,
        slow=True,
    ),
    Case("jacrev, 2 layers of 16", derivative("jacrev", layers), layers_data),
    Case("jacfwd, 2 layers of 16", derivative("jacfwd", layers), layers_data, SOME),
    Case("hessian, Rosenbrock's function of 10 floats", derivative("hessian", valley), partial(numbers, 10)),
    Case("vmap(grad), 32 examples, 2-layer MLP", batched_gradient(mlp_loss, (None, 0)), batch_data, SOME),
)


def cold(call: Call) -> Call:
    """Every call as if it were the first one: gradients that recur do not compile."""
    return replace(call, within=partial(minijvp.config, compile_gradients_after=None))


def recurring(call: Call) -> Call:
    """As a gradient is by default, and called as often as it needs to be compiled."""
    hot = replace(call, within=partial(minijvp.config, compile_gradients_after=3))
    for _ in range(WARM_UP):
        hot()
    return hot


def check(case: Case) -> dict[str, Call]:
    """The calls of a case, which all give the same numbers."""
    found = calls(case.make, case.data(), case.contenders)
    found["minijvp"] = cold(found["minijvp"])
    if case.hot:
        found[case.hot] = recurring(found["minijvp"])
    wanted = plain(found["JAX"]())
    for call in found.values():
        check_same(plain(call()), wanted)
    return found


def measure_case(case: Case, name: str, settings: Settings) -> list[Row]:
    series = interleave(check(case), settings)
    hot = series.pop(case.hot) if case.hot else None
    rows = [row(case.name, case.group, series)]
    if case.hot and hot:
        rows.append(row(case.name, case.hot, {**series, "minijvp": hot}))
    return rows


BENCHMARKS = [
    Benchmark(f"eager: {c.name}", (EAGER, *([c.hot] if c.hot else [])), partial(measure_case, c), c.slow) for c in CASES
]
