"""Sparse derivatives: what it takes to find a pattern and colours, and what the derivatives take then."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import minijvp
import minijvp.numpy as mnp
from minijvp.sparse import programs
from tests.benchmarks.benchmark import Benchmark
from tests.benchmarks.compiled import temporary
from tests.benchmarks.contenders import JAX, MINIJVP
from tests.benchmarks.report import SPARSE, Row, row
from tests.benchmarks.timing import Call, Settings, check_same, in_rounds, interleave, waiting

UNKNOWNS, VARIABLES = 2_000, 100_000


def tridiagonal(api: Any) -> Callable[[Any], Any]:
    """The residual of Burgers' equation."""
    xp = api.numpy

    def residual(u: Any) -> Any:
        held = xp.pad(u, 1)
        left, right = held[:-2], held[2:]
        return u * (right - left) / 2 - 0.1 * (right - 2 * u + left)

    return residual


def poisson(u: Any) -> Any:
    """The residual of Poisson's equation on a grid, with a source that depends on the solution."""
    p = mnp.pad(u, 1)
    return p[2:, 1:-1] + p[:-2, 1:-1] + p[1:-1, 2:] + p[1:-1, :-2] - 4 * u + mnp.exp(u)


def many_equations(x: Any) -> Any:
    """Of neighbours, in 10,000 equations."""
    for _ in range(1_450):
        x = mnp.concatenate([x[:50] * x[50:], x[50:] + x[:50]])
    return x


FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "arrowhead": lambda x: mnp.sum(mnp.sin(x[0] * x[1:]) ** 2) + mnp.sum(mnp.exp(-x)),
    "tridiagonal": lambda x: mnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2),
    "five diagonals": lambda x: mnp.sum(mnp.exp(x[2:] * x[1:-1]) * mnp.sin(x[:-2])),
}


def jacobian(name: str, settings: Settings) -> list[Row]:
    """Entries of three diagonals, beside JAX's dense matrix; both compiled."""
    x = jnp.linspace(0.0, 1.0, UNKNOWNS, dtype=jnp.float32)
    ours = minijvp.jit(minijvp.sparse_jacobian(tridiagonal(MINIJVP)))
    theirs = jax.jit(jax.jacfwd(tridiagonal(JAX)))
    check_same(np.asarray(ours(x).todense()), np.asarray(theirs(x)))
    series = interleave({"minijvp": Call(waiting(ours), (x,)), "JAX": Call(waiting(theirs), (x,))}, settings)
    return [row(f"tridiagonal Jacobian, n = {UNKNOWNS:,}", SPARSE, series, 0.02)]


def hessian(kind: str, name: str, settings: Settings) -> list[Row]:
    """The entries of a Hessian beside a gradient, in time and bytes."""
    x = jnp.linspace(0.1, 1.0, VARIABLES, dtype=jnp.float32)
    fun = FUNCTIONS[kind]
    sparse, gradient = minijvp.jit(minijvp.sparse_hessian(fun)), minijvp.jit(minijvp.grad(fun))
    found = {"Hessian": Call(waiting(sparse), (x,)), "gradient": Call(waiting(gradient), (x,))}
    series = interleave(found, settings)
    factors = {"minijvp": [a / b for a, b in zip(series["Hessian"], series["gradient"], strict=True)]}
    size = sparse(x).data.nbytes + sparse(x).indices.nbytes + temporary(sparse, x)
    what = f"{kind} Hessian, n = {VARIABLES:,}"
    return [
        row(f"{what}: time / gradient", SPARSE, factors, 10.0, "x", of_value=True),
        row(f"{what}: memory", SPARSE, {"minijvp": [float(size)]}, 1e9, "B", of_value=True),
    ]


def detection(what: str, fun: Callable[[Any], Any], shape: tuple[int, ...], name: str, settings: Settings) -> list[Row]:
    """Seconds of the processor that a new pattern and its colours take, with the trace of the function."""
    x = jnp.ones(shape, jnp.float32)

    def once() -> dict[str, float]:
        new = lambda x: fun(x) * 1.0
        start = time.process_time()
        pattern = minijvp.sparsity(new)(x)
        found = time.process_time()
        programs.patterns.clear()
        pattern.colouring()
        return {"pattern": found - start, "colours": time.process_time() - found}

    once()
    series = in_rounds(once, settings)
    return [
        row(f"pattern: {what}", SPARSE, {"minijvp": series["pattern"]}, 1.0, of_value=True),
        row(
            f"colours: {what}",
            SPARSE,
            {"minijvp": series["colours"]},
            1.0 if shape == (UNKNOWNS,) else None,
            of_value=True,
        ),
    ]


DETECTIONS = {
    f"tridiagonal Jacobian, n = {UNKNOWNS:,}": (tridiagonal(MINIJVP), (UNKNOWNS,)),
    "10,000 equations": (many_equations, (100,)),
    "1,000,000 non-zeros": (poisson, (450, 450)),
}

BENCHMARKS = [
    Benchmark("sparse: tridiagonal Jacobian", (SPARSE,), jacobian),
    *[Benchmark(f"sparse: {kind} Hessian", (SPARSE,), partial(hessian, kind), True) for kind in FUNCTIONS],
    *[
        Benchmark(f"sparse: {what}", (SPARSE,), partial(detection, what, *args), True)
        for what, args in DETECTIONS.items()
    ],
]
