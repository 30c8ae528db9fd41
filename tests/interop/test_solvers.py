"""lineax, optimistix and diffrax: linear and nonlinear equations, optimization and differential equations.

They are built on operations of their own, which minijvp takes with the rules that they bring.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import lineax
import optimistix
import pytest

import minijvp
from tests.side_by_side import same

A, B = jnp.array([[3.0, 1.0], [1.0, 2.0]]), jnp.array([1.0, 2.0])
TIGHT = {"rtol": 1e-12, "atol": 1e-12}


def as_jax(fun: Callable[..., Any], *args: Any, tolerance: float = 1e-9, forward: bool = True) -> None:
    """The gradient, that of a batch, and in forward mode the Hessian, all compiled, as JAX has them."""
    bridged = minijvp.from_jax(fun)

    def all_of_it(api: Any, f: Any) -> Any:
        def found(*args: Any) -> Any:
            rows = [api.tree.map(lambda leaf: leaf[None], x) for x in args]
            first = api.value_and_grad(f)(*args), api.vmap(api.grad(f))(*rows)
            return (first, api.jvp(f, args, args), api.hessian(f)(*args)) if forward else first

        return api.jit(found)(*args)

    same(all_of_it(minijvp, bridged), all_of_it(jax, fun), tolerance)
    same(minijvp.grad(bridged)(*args), minijvp.jit(minijvp.grad(bridged))(*args), tolerance)


@pytest.mark.parametrize(
    "solver",
    [lineax.LU(), lineax.QR(), lineax.Cholesky(), lineax.CG(**TIGHT), lineax.GMRES(**TIGHT)],
    ids=lambda solver: type(solver).__name__,
)
def test_linear_equations(solver: Any) -> None:
    tags = lineax.positive_semidefinite_tag if isinstance(solver, (lineax.Cholesky, lineax.CG)) else ()

    def fun(matrix: Any, b: Any) -> Any:
        operator = lineax.MatrixLinearOperator((matrix + matrix.T) / 2 if tags else matrix, tags)
        return jnp.sin(lineax.linear_solve(operator, b, solver).value).sum()

    as_jax(fun, A, B)


def test_roots_and_fixed_points() -> None:
    root = lambda y, a: jnp.cos(a * y) - y
    newton, iteration = optimistix.Newton(**TIGHT), optimistix.FixedPointIteration(**TIGHT)
    start, a = jnp.array(0.5), jnp.array(0.7)
    as_jax(lambda a: optimistix.root_find(root, newton, start, a).value, a)
    step = lambda y, a: jnp.cos(a * y)
    as_jax(lambda a: optimistix.fixed_point(step, iteration, start, a, max_steps=None).value, a)


def test_least_squares_and_minima() -> None:
    a, start = jnp.array(0.7), jnp.array([0.5, 0.5])
    residuals = lambda y, a: y**2 - a * jnp.arange(1.0, 3.0)
    marquardt, bfgs = optimistix.LevenbergMarquardt(**TIGHT), optimistix.BFGS(rtol=1e-10, atol=1e-10)
    as_jax(lambda a: optimistix.least_squares(residuals, marquardt, start, a).value.sum(), a, tolerance=1e-8)
    energy = lambda y, a: ((y - a) ** 2).sum() + (y**4).sum()
    as_jax(lambda a: optimistix.minimise(energy, bfgs, start, a).value.sum(), a, tolerance=1e-8)


@pytest.mark.parametrize(
    ("adjoint", "forward"),
    [
        (diffrax.RecursiveCheckpointAdjoint(), False),
        (diffrax.DirectAdjoint(), True),
        (diffrax.BacksolveAdjoint(), False),
    ],
    ids=lambda x: type(x).__name__,
)
def test_differential_equations(adjoint: Any, forward: bool) -> None:
    """The gradients of each adjoint in the first state and in a parameter."""

    def fun(y: Any, a: Any) -> Any:
        term = diffrax.ODETerm(lambda t, y, a: -a * y + jnp.sin(t))
        control = diffrax.PIDController(rtol=1e-6, atol=1e-6)
        options = dict(args=a, stepsize_controller=control, adjoint=adjoint, max_steps=16)
        return diffrax.diffeqsolve(term, diffrax.Tsit5(), 0.0, 1.0, 0.1, y, **options).ys.sum()

    as_jax(fun, B, jnp.array(0.7), forward=forward)


def test_forward_mode_is_turned_around() -> None:
    """diffrax' adjoint for forward mode is a while loop, of which minijvp has reverse mode too."""

    def fun(y: Any, adjoint: Any) -> Any:
        term = diffrax.ODETerm(lambda t, y, _: -y + jnp.sin(t))
        return diffrax.diffeqsolve(term, diffrax.Heun(), 0.0, 1.0, 0.25, y, adjoint=adjoint, max_steps=16).ys.sum()

    forward = minijvp.from_jax(lambda y: fun(y, diffrax.ForwardMode()))
    wanted = jax.jit(jax.grad(lambda y: fun(y, diffrax.DirectAdjoint())))(B)
    same(minijvp.jit(minijvp.grad(forward))(B), wanted)
