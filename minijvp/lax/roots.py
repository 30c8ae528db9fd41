"""Roots and fixed points with solvers of our own, differentiated by the implicit function theorem.

Source: J. Dennis and R. Schnabel, Numerical Methods for Unconstrained Optimization and Nonlinear Equations, SIAM 1996.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from jax.tree_util import tree_map

import minijvp.numpy as mnp
from minijvp.api.batching import vmap
from minijvp.api.linear_maps import linearize
from minijvp.core.types import Array
from minijvp.lax.linear_solve import custom_linear_solve, implicit_root
from minijvp.lax.vectors import Vectors
from minijvp.lax.while_loops import while_loop
from minijvp.numpy.linalg import solve as solve_dense
from minijvp.scipy.sparse.krylov import gmres, norm
from minijvp.tracebacks import border

DENSE = 128
"""For so many unknowns at most the matrix of a linear equation is made, and factorized."""

RESTART = 40
HALVINGS = 12


class Report(NamedTuple):
    """How a search for a root went: its steps, the length of the last one, and whether that was short enough."""

    steps: Any
    error: Any
    converged: Any


@border
def root(
    f: Callable[[Any], Any],
    x0: Any,
    solve: Callable[..., Any] | None = None,
    tangent_solve: Callable[..., Any] | None = None,
    has_aux: bool = False,
    *,
    tol: float | None = None,
    atol: float = 0.0,
    max_steps: int = 50,
) -> Any:
    """A root x of f(x) = 0, differentiated in what `f` closes over by the implicit function theorem.

    root : (a -> a, a) -> a

    Args:
        f: takes a pytree of floating arrays and returns one of the same types, as many equations as unknowns.
        x0: where the search begins. The root does not depend on it.
        solve: a solver `solve(f, x0)` in place of Newton's method, whose steps are halved until `|f|` decreases.
        tangent_solve: gives the x with g(x) = y for a linear g and y, for each step and for the derivative. By default
            a matrix is factorized for up to 128 unknowns; for more, GMRES asks for products only.
        has_aux: also return the second of the pair that `solve` returns; of Newton's method, a `Report` with `steps`,
            `error` (the length of the last step) and `converged`.
        tol, atol: Newton's method ends when a step is no longer than `tol * |x| + atol`; a `tol` of None is
            eps ** (2/3), 2e-5 for float32 and 4e-11 for float64.
        max_steps: the most steps.

    A root that was not found is NaN, so that it cannot be taken for one; with `has_aux` it is the last x, and
    `converged` is False. Forward mode solves one linear equation and reverse mode the transposed one, and the memory
    that they take does not depend on the number of steps.

    Raises ArgumentError if `f` or a solver returns another tree or other types than those of `x0`.

    >>> import minijvp
    >>> square_root = lambda p: minijvp.root(lambda y: y**2 - p, 1.0)
    >>> float(square_root(4.0)), float(minijvp.grad(square_root)(4.0))
    (2.0, 0.25)
    """
    tangent = solve_linear if tangent_solve is None else tangent_solve
    search, report = chosen_solver(solve, lambda f, x: newton(f, x, tangent, tol, atol, max_steps), has_aux)
    return implicit_root("root", f, ("x0", x0), search, tangent, report)


@border
def fixed_point(
    f: Callable[[Any], Any],
    x0: Any,
    solve: Callable[..., Any] | None = None,
    tangent_solve: Callable[..., Any] | None = None,
    has_aux: bool = False,
    *,
    tol: float | None = None,
    atol: float = 0.0,
    max_steps: int = 1000,
) -> Any:
    """A fixed point x = f(x), differentiated in what `f` closes over by the implicit function theorem.

    fixed_point : (a -> a, a) -> a

    Args:
        f: takes a pytree of floating arrays and returns one of the same types.
        x0: where the search begins. The fixed point does not depend on it.
        solve: a solver `solve(f, x0)` in place of the iteration x0, f(x0), f(f(x0)) ...
        tangent_solve: gives the x with g(x) = y for y and g(t) = df(t) - t; by default as for `root`.
        has_aux, tol, atol: as for `root`.
        max_steps: the most steps.

    The derivative is dx = (1 - df/dx)^-1 (df/dp) dp. What is said of `root` about failure and memory holds here too.

    Raises ArgumentError if `f` or a solver returns another tree or other types than those of `x0`.

    >>> import minijvp, minijvp.numpy as mnp
    >>> kepler = lambda e: minijvp.fixed_point(lambda x: 1.0 + e * mnp.sin(x), 1.0)
    >>> round(float(kepler(0.5)), 4), round(float(minijvp.grad(kepler)(0.5)), 4)
    (1.4987, 1.0347)
    """

    def iterate(f: Callable[[Any], Any], x0: Any) -> tuple[Any, Report]:
        def step(x: Any) -> tuple[Any, Any]:
            new = f(x)
            return new, length(difference(new, x))

        return repeat(step, x0, tol, atol, max_steps)

    search, report = chosen_solver(solve, iterate, has_aux)
    tangent = solve_linear if tangent_solve is None else tangent_solve
    residual = lambda x: difference(f(x), x)
    return implicit_root("fixed_point", f, ("x0", x0), search, tangent, report, residual)


def chosen_solver(
    given: Callable[..., Any] | None, ours: Callable[..., tuple[Any, Report]], has_aux: bool
) -> tuple[Callable[..., Any], bool]:
    """The solver, and whether it returns auxiliary data. Ours gives NaN on failure where no report is asked for."""
    if given is not None:
        return given, has_aux
    return (ours, True) if has_aux else (lambda f, x0: found_or_nan(*ours(f, x0)), False)


def found_or_nan(x: Any, report: Report) -> Any:
    """`x` if it was found, else NaN."""
    return tree_map(lambda leaf: mnp.where(report.converged, leaf, mnp.nan).astype(leaf.dtype), x)


def newton(
    f: Callable[[Any], Any], x0: Any, tangent_solve: Any, tol: float | None, atol: float, max_steps: int
) -> tuple[Any, Report]:
    """A root by Newton's method with halved steps (Dennis and Schnabel, section 6.3), and its report."""

    def step(x: Any) -> tuple[Any, Any]:
        y, g = linearize(f, x)
        dx = tangent_solve(g, y)
        size = length(y)
        moved = lambda t: tree_map(lambda a, b: (a - t * b).astype(a.dtype), x, dx)

        def too_far(t: Array) -> Array:
            return ~(length(f(moved(t))) <= (1 - 1e-4 * t) * size) & (t > 0.5**HALVINGS)

        t = while_loop(too_far, lambda t: t / 2, mnp.ones((), size.dtype))
        return moved(t), length(dx)

    return repeat(step, x0, tol, atol, max_steps)


class Search(NamedTuple):
    """Where a search for a root is: x, the length of the step to it, its own length, and the number of steps."""

    x: Any
    error: Any
    size: Any
    k: Any


def repeat(
    step: Callable[[Any], tuple[Any, Any]], x0: Any, tol: float | None, atol: float, max_steps: int
) -> tuple[Any, Report]:
    """The last x, where `step` gives the next one and the length of the step, and the report."""
    size = length(x0)
    limit = tolerance(size.dtype) if tol is None else tol
    is_done = lambda s: (s.error <= limit * s.size + atol) & (s.size < mnp.inf)

    def goes_on(s: Search) -> Array:
        return ~is_done(s) & (s.k < max_steps) & ~mnp.isnan(s.size)

    def turn(s: Search) -> Search:
        x, error = step(s.x)
        return Search(x, error, length(x), s.k + 1)

    last = while_loop(goes_on, turn, Search(x0, mnp.full_like(size, mnp.inf), size, 0))
    return last.x, Report(last.k, last.error, is_done(last))


def solve_linear(g: Callable[[Any], Any], y: Any) -> Any:
    """The x with g(x) = y for a linear g: by a matrix, or for many unknowns by GMRES, which gives NaN if it fails."""
    space = Vectors(y)
    flat, b = space.flat(g), space.ravel(y)
    if space.size == 1:
        return space.unravel(b / flat(mnp.ones_like(b)))
    if space.size <= DENSE:
        matrix = vmap(flat, out_axes=1)(mnp.eye(space.size, dtype=b.dtype))
        return space.unravel(solve_dense(matrix, b))
    return space.unravel(custom_linear_solve(flat, b, solve_by_products, solve_by_products))


def solve_by_products(A: Callable[[Any], Any], b: Any) -> Any:
    """The solution of A x = b by GMRES, NaN if it is none."""
    tol = tolerance(b.dtype)
    restarts = 10 * b.size // RESTART
    x = gmres(A, b, mnp.zeros_like(b), tol, 0.0, restarts, lambda r: r, restart=RESTART, incremental=True)
    return mnp.where(norm(b - A(x)) <= 10 * tol * norm(b), x, mnp.nan).astype(b.dtype)


def tolerance(dtype: Any) -> float:
    """How exact an iteration should be that is not asked for anything: 2e-5 for float32, 4e-11 for float64."""
    return float(mnp.finfo(dtype).eps) ** (2 / 3)


def length(tree: Any) -> Array:
    """The length of a tree as a vector."""
    return norm(Vectors(tree).ravel(tree))


def difference(x: Any, y: Any) -> Any:
    """x - y, for trees."""
    return tree_map(lambda a, b: (a - b).astype(b.dtype), x, y)
