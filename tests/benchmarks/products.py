"""Derivatives at scale: Jacobians in chunks, products with matrices of second derivatives, and Laplacians."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp

import minijvp
import minijvp.numpy as mnp
from tests.benchmarks.benchmark import Benchmark
from tests.benchmarks.compiled import temporary
from tests.benchmarks.contenders import plain
from tests.benchmarks.report import PRODUCTS, Row, row
from tests.benchmarks.timing import Call, Settings, check_same, interleave, waiting

RESULTS, ARGUMENTS, POINTS = 20_000, 200, 256

Pair = tuple[Callable[..., Any], Callable[..., Any]]


def random(*shape: int, seed: int = 0) -> Any:
    return jax.random.normal(jax.random.key(seed), shape, jnp.float32)


def field(np: Any) -> Any:
    """A function from 200 numbers to 20,000."""
    return lambda x, w: np.tanh(w @ x) * np.sin(w @ x)


def jacobian(how: dict[str, Any], by: str, name: str, settings: Settings) -> list[Row]:
    """Temporary memory beside jax.jacrev, and time beside jax.jacfwd."""
    args = random(ARGUMENTS), random(RESULTS, ARGUMENTS, seed=1) / 14
    ours, theirs = minijvp.jit(minijvp.jacobian(field(mnp), **how)), jax.jit(getattr(jax, by)(field(jnp)))
    if by == "jacfwd":
        check_same(plain(ours(*args)), plain(theirs(*args)))
        series = interleave({"minijvp": Call(waiting(ours), args), "JAX": Call(waiting(theirs), args)}, settings)
        return [row(name, PRODUCTS, series)]
    bytes_of = {"minijvp": [temporary(ours, *args)], "JAX": [temporary(theirs, *args)]}
    return [row(f"memory, {name}", PRODUCTS, bytes_of, 0.02, "B")]


def network(np: Any, activation: str, sum_up: bool = True) -> Any:
    """A perceptron: the sum of its outputs for each row of x, or all of them."""

    def outputs(weights: Any, x: Any) -> Any:
        for w in weights[:-1]:
            x = getattr(np, activation)(x @ w)
        x = x @ weights[-1]
        return x.sum() if sum_up else x

    return outputs


def layers(*sizes: int) -> list[Any]:
    return [random(a, b, seed=a + b) / a**0.5 for a, b in pairwise(sizes)]


def laplacians(activation: str) -> Pair:
    """For each of many points with 64 numbers."""
    ours = lambda x, ws: minijvp.laplacian(network(mnp, activation), 1)(ws, x)
    theirs = lambda x, ws: jnp.trace(jax.hessian(network(jnp, activation), 1)(ws, x))
    return minijvp.jit(minijvp.vmap(ours, (0, None))), jax.jit(jax.vmap(theirs, (0, None)))


def laplacian(activation: str, sizes: tuple[int, ...], name: str, settings: Settings) -> list[Row]:
    """Time and temporary memory beside the trace of jax.hessian."""
    (ours, theirs), args = laplacians(activation), (random(POINTS, 64), layers(*sizes))
    check_same(plain(ours(*args)), plain(theirs(*args)))
    series = interleave({"minijvp": Call(waiting(ours), args), "JAX": Call(waiting(theirs), args)}, settings)
    bytes_of = {"minijvp": [temporary(ours, *args)], "JAX": [temporary(theirs, *args)]}
    return [row(name, PRODUCTS, series, 0.35), row(f"memory, {name}", PRODUCTS, bytes_of, 0.1, "B")]


def squares(out: Any) -> Any:
    return (out**2).mean()


def hvps(activation: str) -> Pair:
    def ours(ws: Any, ts: Any, x: Any) -> Any:
        return minijvp.hvp(lambda ws: squares(network(mnp, activation, False)(ws, x)), (ws,), (ts,))

    def theirs(ws: Any, ts: Any, x: Any) -> Any:
        return jax.jvp(jax.grad(lambda ws: squares(network(jnp, activation, False)(ws, x))), (ws,), (ts,))[1]

    return minijvp.jit(ours), jax.jit(theirs)


def ggnvps(activation: str) -> Pair:
    def ours(ws: Any, ts: Any, x: Any) -> Any:
        return minijvp.ggnvp(squares, lambda ws: network(mnp, activation, False)(ws, x), (ws,), (ts,))

    def theirs(ws: Any, ts: Any, x: Any) -> Any:
        model = lambda ws: network(jnp, activation, False)(ws, x)
        out, pushed = jax.jvp(model, (ws,), (ts,))
        return jax.vjp(model, ws)[1](jax.jvp(jax.grad(squares), (out,), (pushed,))[1])[0]

    return minijvp.jit(ours), jax.jit(theirs)


def product(make: Callable[[], Pair], name: str, settings: Settings) -> list[Row]:
    """A product for a perceptron of six layers, beside JAX by hand."""
    weights = layers(64, 256, 256, 256, 256, 10)
    args = weights, [w[::-1] for w in weights], random(POINTS, 64)
    ours, theirs = make()
    check_same(plain(ours(*args)), plain(theirs(*args)))
    series = interleave({"minijvp": Call(waiting(ours), args), "JAX": Call(waiting(theirs), args)}, settings)
    return [row(name, PRODUCTS, series, 1.0)]


CASES = {
    "Jacobian 20,000 x 200 beside jacrev": partial(jacobian, {}, "jacrev"),
    'Jacobian 20,000 x 200, chunk_size="auto", beside jacrev': partial(jacobian, {"chunk_size": "auto"}, "jacrev"),
    'Jacobian 20,000 x 200, "rev", "auto", beside jacrev': partial(
        jacobian, {"mode": "rev", "chunk_size": "auto"}, "jacrev"
    ),
    "Jacobian 20,000 x 200 beside jacfwd": partial(jacobian, {}, "jacfwd"),
    'Jacobian 20,000 x 200, chunk_size="auto", beside jacfwd': partial(jacobian, {"chunk_size": "auto"}, "jacfwd"),
    "Laplacian of an MLP 64-64-64-1, tanh": partial(laplacian, "tanh", (64, 64, 64, 1)),
    "Laplacian of an MLP 64-64-64-1, sin": partial(laplacian, "sin", (64, 64, 64, 1)),
    "Laplacian of an MLP 64-128-128-128-1, tanh": partial(laplacian, "tanh", (64, 128, 128, 128, 1)),
    "hvp of an MLP, tanh": partial(product, partial(hvps, "tanh")),
    "hvp of an MLP, sin": partial(product, partial(hvps, "sin")),
    "ggnvp of an MLP, tanh": partial(product, partial(ggnvps, "tanh")),
    "ggnvp of an MLP, sin": partial(product, partial(ggnvps, "sin")),
}
BENCHMARKS = [Benchmark(name, (PRODUCTS,), measure, "Jacobian" in name) for name, measure in CASES.items()]
