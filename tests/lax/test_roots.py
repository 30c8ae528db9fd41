"""Roots and fixed points: known derivatives, unrolled iterations, failure, and the memory of the backward pass."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import minijvp
import minijvp.numpy as mnp
from minijvp import ArgumentError
from tests.side_by_side import same

RNG = np.random.default_rng(0)


def matrix(n: int) -> Any:
    """A matrix that shrinks every vector."""
    return jnp.asarray(0.4 * RNG.normal(size=(n, n)) / np.sqrt(n))


def solver(f: Any, y: Any) -> Any:
    """Newton's method with a fixed number of steps, for numbers."""
    return minijvp.lax.fori_loop(0, 30, lambda _, y: y - f(y) / minijvp.grad(f)(y), y)


SQUARE_ROOTS = {
    "root": lambda p: minijvp.root(lambda y: y**2 - p, 1.0),
    "solve": lambda p: minijvp.root(lambda y: y**2 - p, 1.0, solver),
    "tangent_solve": lambda p: minijvp.root(lambda y: y**2 - p, 1.0, None, lambda g, y: y / g(1.0)),
    "both": lambda p: minijvp.root(lambda y: y**2 - p, 1.0, solver, lambda g, y: y / g(1.0)),
    "custom_root": lambda p: minijvp.lax.custom_root(lambda y: y**2 - p, 1.0, solver, lambda g, y: y / g(1.0)),
    "fixed_point": lambda p: minijvp.fixed_point(lambda y: (y + p / y) / 2, 1.0),
    "of vectors": lambda p: minijvp.root(lambda y: y**2 - p * jnp.ones(2), jnp.ones(2)).mean(),
    "by loops": lambda p: minijvp.lax.while_loop(
        lambda s: s[1] < 1, lambda s: (minijvp.root(lambda y: y**2 - p, s[0]), s[1] + 1), (1.0, 0)
    )[0],
}


@pytest.mark.parametrize("name", SQUARE_ROOTS)
def test_square_root(name: str) -> None:
    """Of y^2 - p at p = 4: gradient 1/4, second derivative -1/32, in all modes."""
    f = SQUARE_ROOTS[name]
    values = [2.0, 1 / 4, -1 / 32, 3 / 256]
    for derivative in (minijvp.grad, minijvp.jacfwd):
        for value, g in zip(values, (f, derivative(f), minijvp.grad(derivative(f)))):
            same(g(4.0), jnp.asarray(value), 1e-10)
        same(minijvp.jit(minijvp.jacfwd(derivative(f)))(4.0), jnp.asarray(values[2]), 1e-10)
    if name != "by loops":
        same(minijvp.jacfwd(minijvp.jit(minijvp.grad(minijvp.grad(f))))(4.0), jnp.asarray(values[3]), 1e-10)
    points = jnp.array([1.0, 4.0, 9.0])
    same(minijvp.vmap(f)(points), jnp.sqrt(points), 1e-10)
    same(minijvp.vmap(minijvp.grad(f))(points), 0.5 / jnp.sqrt(points), 1e-10)
    same(minijvp.jit(minijvp.grad(lambda p: minijvp.vmap(f)(p).sum()))(points), 0.5 / jnp.sqrt(points), 1e-10)


def test_many_square_roots() -> None:
    """By GMRES, within Newton's method and for the derivatives."""
    n = 130
    f = lambda p: minijvp.root(lambda y: y**2 - p * jnp.ones(n), 3 * jnp.ones(n)).mean()
    same(minijvp.value_and_grad(f)(4.0), (jnp.asarray(2.0), jnp.asarray(0.25)), 1e-10)
    same(minijvp.jit(minijvp.jacfwd(minijvp.grad(f)))(4.0), jnp.asarray(-1 / 32), 1e-10)


@pytest.mark.parametrize("n", [4, 150])
def test_a_layer_that_is_a_fixed_point(n: int) -> None:
    """Its gradient is that of many unrolled steps: by a matrix, and by GMRES."""
    weights, bias = matrix(n), jnp.asarray(RNG.normal(size=n))

    def loss(weights: Any, bias: Any) -> Any:
        return (minijvp.fixed_point(lambda x: mnp.tanh(weights @ x + bias), jnp.zeros(n), tol=1e-14) ** 2).sum()

    def unrolled(weights: Any, bias: Any) -> Any:
        step = lambda x, _: (jnp.tanh(weights @ x + bias), None)
        return (jax.lax.scan(step, jnp.zeros(n), None, length=80)[0] ** 2).sum()

    found = minijvp.jit(minijvp.grad(loss, (0, 1)))(weights, bias)
    same(found, jax.jit(jax.grad(unrolled, (0, 1)))(weights, bias), 1e-9)
    direction = jnp.cos(bias)
    slope = minijvp.jit(lambda b: minijvp.jvp(lambda b: loss(weights, b), (b,), (direction,))[1])(bias)
    same(slope, (found[1] * direction).sum(), 1e-9)


def test_trees_and_several_parameters() -> None:
    def system(p: Any, q: Any) -> Any:
        def f(x: Any) -> Any:
            return {"u": x["u"] ** 2 * p - x["v"].sum(), "v": x["v"] - q * x["u"] - 1.0}

        return minijvp.root(f, {"u": 2.0, "v": jnp.ones(2)})

    # u^2 p = 2 (q u + 1) with p = 2, q = 1: the golden ratio
    solution = system(2.0, 1.0)
    golden = (1 + np.sqrt(5)) / 2
    same(solution, {"u": jnp.asarray(golden), "v": jnp.full(2, 1 + golden)}, 1e-12)
    du = -np.array([golden**2, -2 * golden]) / (4 * golden - 2)
    found = minijvp.grad(lambda p, q: system(p, q)["u"], (0, 1))(2.0, 1.0)
    same(found, tuple(map(jnp.asarray, du)), 1e-12)


def test_hessian_of_a_vector_is_that_of_jax() -> None:
    p = jnp.array([0.5, -0.3, 0.8])

    def case(api: Any, xp: Any, find: Any) -> Any:
        equations = lambda p: lambda y: y + 0.3 * xp.sin(y[::-1]) * p - xp.exp(p)
        return api.hessian(lambda p: (find(equations(p), p) ** 3).sum())(p)

    def find(f: Any, x: Any) -> Any:
        step = lambda _, x: x - jnp.linalg.solve(jax.jacobian(f)(x), f(x))
        dense = lambda g, y: jnp.linalg.solve(jax.jacobian(g)(y), y)
        return jax.lax.custom_root(f, x, lambda f, x: jax.lax.fori_loop(0, 20, step, x), dense)

    same(case(minijvp, mnp, minijvp.root), case(jax, jnp, find), 1e-9)


def test_roots_within_roots() -> None:
    def outer(p: Any) -> Any:
        inner = lambda y: minijvp.root(lambda z: z**3 + y * z - p, 1.0)
        return minijvp.root(lambda y: y - inner(y) * p, 1.0)

    # y = z p and z^3 + p z^2 = p: at p = 1/2, z from the cubic equation, and by differences
    eps = 1e-5
    slope = (outer(0.5 + eps) - outer(0.5 - eps)) / (2 * eps)
    for derivative in (minijvp.grad, minijvp.jacfwd):
        np.testing.assert_allclose(derivative(outer)(0.5), slope, rtol=1e-8)
    z = float(outer(0.5)) / 0.5
    assert abs(z**3 + 0.5 * z**2 - 0.5) < 1e-12


def test_complex_roots() -> None:
    root = lambda p: minijvp.root(lambda y: y**2 - p, 1.0 + 1.0j)
    same(root(-4.0 + 0j), jnp.asarray(2j), 1e-10)
    same(minijvp.jvp(root, (-4.0 + 0j,), (1.0 + 0j,))[1], jnp.asarray(-0.25j), 1e-10)


def test_reports() -> None:
    root, report = minijvp.root(lambda y: y**2 - 2.0, 1.0, has_aux=True)
    assert bool(report.converged) and 3 < int(report.steps) < 9 and float(report.error) < 1e-10
    same(root, jnp.sqrt(jnp.asarray(2.0)), 1e-12)
    gradient, report = minijvp.grad(
        lambda p: minijvp.fixed_point(lambda y: 0.5 * y + p, 0.0, has_aux=True), has_aux=True
    )(1.0)
    assert 30 < int(report.steps) < 60
    same(gradient, jnp.asarray(2.0), 1e-12)
    assert minijvp.root(lambda y: y - 1.0, 0.0, lambda f, y: (y + 1.0, "seen"[:0] or 7), has_aux=True)[1] == 7


def test_what_is_not_found_is_nan() -> None:
    none = lambda p: minijvp.root(lambda y: y**2 + p, 1.0)
    grows = lambda p: minijvp.fixed_point(lambda y: 2 * y + p, 1.0)
    slow = lambda p: minijvp.fixed_point(lambda y: 0.99 * y + p, 1.0, max_steps=10)
    for f in (none, grows, slow):
        for g in (f, minijvp.jit(f)):
            assert np.isnan(g(1.0))
        assert np.isnan(minijvp.grad(lambda p, f=f: f(p) ** 2)(1.0))
    x, report = minijvp.fixed_point(lambda y: 0.99 * y + 1.0, 1.0, max_steps=10, has_aux=True)
    assert not report.converged and int(report.steps) == 10 and np.isfinite(x)
    # Newton's method alone jumps away from the root of atan; with halved steps it does not.
    same(minijvp.root(mnp.arctan, 5.0), jnp.asarray(0.0))


def test_precision_of_float32() -> None:
    x = minijvp.root(lambda y: y**3 - jnp.float32(2.0), jnp.float32(1.0))
    assert x.dtype == "float32"
    np.testing.assert_allclose(x, 2 ** (1 / 3), rtol=2e-7)


def test_memory_does_not_depend_on_the_number_of_steps() -> None:
    n = 30
    bias = jnp.ones(n)

    def memory(shrink: float, taken: list[int]) -> tuple[int, list[Any]]:
        def loss(bias: Any) -> Any:
            f = lambda x: shrink * mnp.sin(x) + bias
            x, report = minijvp.fixed_point(f, jnp.zeros(n), max_steps=10**6, has_aux=True)
            return x.sum(), report

        value, pullback, report = minijvp.vjp(loss, bias, has_aux=True)
        taken.append(int(report.steps))
        assert np.isfinite(value)
        program = minijvp.jit(minijvp.grad(lambda b: loss(b)[0])).lower(bias).compile()
        return program.memory_analysis().temp_size_in_bytes, [x.nbytes for x in jax.tree.leaves(pullback)]

    steps: list[int] = []
    assert memory(0.1, steps) == memory(-0.995, steps)
    assert steps[0] < 20
    assert steps[1] > 5 * steps[0]


BAD = {
    r"(?s)f of root.*does not return what it takes.*x0 .*f\(x0\).*square": lambda: minijvp.root(
        lambda x: jnp.ones((3, 2)) @ x, jnp.ones(2)
    ),
    r"(?s)f of fixed_point.*does not return what it takes": lambda: minijvp.fixed_point(lambda x: (x, x), 1.0),
    r"(?s)x0\['n'\] of root is i64\[\].*Begin with floats": lambda: minijvp.root(lambda x: x, {"n": jnp.asarray(1)}),
    r"f of root is 2\.0, which cannot be called": lambda: minijvp.root(2.0, 1.0),
    r"solve of root.*no solution": lambda: minijvp.root(lambda x: x, 1.0, lambda f, x: (x, x)),
    r"tangent_solve of root.*no solution": lambda: minijvp.root(lambda x: x, 1.0, solver, lambda g, y: [y]),
    r"solve of root.*returned StagingTracer where has_aux": lambda: minijvp.root(
        lambda x: x, 1.0, lambda f, x: x, has_aux=True
    ),
}


@pytest.mark.parametrize("message", BAD, ids=range(len(BAD)))
def test_bad_inputs(message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        BAD[message]()
