"""Compiled functions: what a call costs, how long programs run, and how much memory they need."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from tests.benchmarks.benchmark import Benchmark
from tests.benchmarks.contenders import BOTH, calls, compiled, plain
from tests.benchmarks.models import (
    DERIVATIVES_OF_LOOPS,
    PROGRAMS,
    Program,
    chain,
    gradient,
    iterate,
    iterate_data,
    mlp_data,
    mlp_loss,
    penalized_loss,
    resnet_data,
    resnet_loss,
)
from tests.benchmarks.report import CALL, MEMORY, RUN, Row, row
from tests.benchmarks.timing import Call, Settings, check_same, interleave, waiting


def sum_of_leaves(library: Any) -> Callable[..., Any]:
    """A program of next to no work, that reads all of its arguments."""
    return lambda *args, **kwargs: sum(jax.tree.leaves((args, kwargs)), 1.0)


def vectors(n: int) -> list[Any]:
    return [jnp.full(4, float(i)) for i in range(n)]


def nested() -> Any:
    """Parameters as libraries of neural networks have them: dictionaries of layers, 24 leaves."""
    layer = lambda: {"kernel": jnp.ones(4), "bias": jnp.ones(4)}
    block = lambda: {"norm": layer(), "attention": {"in": layer(), "out": layer()}, "mlp": layer()}
    return {"blocks": [block() for _ in range(3)]}


def overhead(
    arguments: Callable[[], tuple[tuple, dict[str, Any]]], what: str, name: str, settings: Settings
) -> list[Row]:
    args, kwargs = arguments()
    funs = {side: compiled(sum_of_leaves)(library) for side, library in BOTH.items()}
    check_same(plain(funs["minijvp"](*args, **kwargs)), plain(funs["JAX"](*args, **kwargs)))
    found = {side: Call(partial(fun, **kwargs) if kwargs else fun, args) for side, fun in funs.items()}
    return [row(what, CALL, interleave(found, settings))]


def temporary(fun: Any, *args: Any) -> float:
    """The bytes that a compiled program allocates besides its arguments and results."""
    return float(fun.lower(*args).compile().memory_analysis().temp_size_in_bytes)


def memory(name: str, calls: Mapping[str, Call]) -> Row:
    """The temporary bytes of compiled functions; none count as one, so that there is a ratio."""
    return row(
        name, MEMORY, {side: [max(1.0, temporary(call.fun, *call.args))] for side, call in calls.items()}, unit="B"
    )


def run(program: Program, what: str, name: str, settings: Settings) -> list[Row]:
    found = calls(compiled(program.make), program.data(), tuple(BOTH))
    space = memory(what, found)
    check_same(plain(found["minijvp"]()), plain(found["JAX"]()))
    series = interleave({side: Call(waiting(call.fun), call.args) for side, call in found.items()}, settings)
    return [row(what, RUN, series), space]


def descent(library: Any) -> Callable[[Any, Any], Any]:
    """A step down the gradient."""
    gradient = library.grad(mlp_loss(library))
    return lambda params, x: jax.tree.map(lambda p, g: p - 0.1 * g, params, gradient(params, x))


CALLS: dict[str, Callable[[], tuple[tuple, dict[str, Any]]]] = {
    "1 argument": lambda: (tuple(vectors(1)), {}),
    "10 arguments": lambda: (tuple(vectors(10)), {}),
    "100 arguments": lambda: (tuple(vectors(100)), {}),
    "a list of 100": lambda: ((vectors(100),), {}),
    "nested dictionaries of 24": lambda: ((nested(), *vectors(1)), {}),
    "4 keyword arguments": lambda: ((), dict(zip(("x", "y", "weights", "bias"), vectors(4)))),
}
RUNS: dict[str, Program] = {
    **PROGRAMS,
    "50-layer MLP": Program(gradient(mlp_loss), partial(mlp_data, 50, 128, 64)),
    "grad of grad of an MLP": Program(gradient(penalized_loss), partial(mlp_data, 8, 256, 64)),
    "chain of matrix products": Program(chain, partial(mlp_data, 8, 256, 256)),
    "gradient step, 8-layer MLP of 512": Program(descent, partial(mlp_data, 8, 512, 128)),
    "gradient step, 16-layer MLP of 1024": Program(descent, partial(mlp_data, 16, 1024, 128)),
    "ResNet by scan": Program(gradient(resnet_loss), resnet_data),
    "while loop of 4000 steps": Program(iterate, iterate_data),
    **DERIVATIVES_OF_LOOPS,
}
QUICK = (
    "chain of matrix products",
    "gradient step, 8-layer MLP of 512",
    "hessian of an MLP",
    "while loop of 4000 steps",
)

BENCHMARKS = [
    *[Benchmark(f"call: {what}", (CALL,), partial(overhead, make, what)) for what, make in CALLS.items()],
    *[Benchmark(f"run: {m}", (RUN, MEMORY), partial(run, program, m), m not in QUICK) for m, program in RUNS.items()],
]
