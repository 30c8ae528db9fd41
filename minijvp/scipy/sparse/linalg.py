"""The functions of jax.scipy.sparse.linalg: solvers of linear equations by products with a matrix alone.

What the matrix or the function for its products closes over is differentiated, by the equation and not through the
solver; so is the right-hand side.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import jax.scipy.sparse.linalg
import numpy as np
from jax.experimental.sparse import BCOO
from jax.tree_util import tree_leaves, tree_map

import minijvp.numpy as mnp
from minijvp import trees
from minijvp.arguments.tangents import leaf_namer
from minijvp.core.tracer import Tracer
from minijvp.core.types import type_of
from minijvp.errors import ArgumentError
from minijvp.interop.surface import bridge_all
from minijvp.lax.bodies import Tree, require_same
from minijvp.lax.linear_solve import custom_linear_solve
from minijvp.lax.vectors import Vectors
from minijvp.scipy.sparse import krylov

Operator = Callable[[Any], Any]


def cg(
    A: Any, b: Any, x0: Any = None, *, tol: Any = 1e-5, atol: Any = 0.0, maxiter: Any = None, M: Any = None
) -> tuple[Any, None]:
    """The solution x of A x = b for a Hermitian, positive definite A, by conjugate gradients; and None.

    Args:
        A: a square matrix (an array, or a BCOO of jax.experimental.sparse), or a function that gives its product with
            a pytree of arrays like `b`.
        b: the right-hand side.
        x0: where to begin; zeros if it is None.
        tol, atol: the end is reached when norm(b - A x) <= max(tol * norm(b), atol).
        maxiter: the most steps; ten times the size of `b` if it is None. The x of that step is returned then.
        M: a matrix or a function that is close to the inverse of A.

    The derivative is that of the solution: forward and reverse mode solve one equation more, to the same tolerances.

    Raises ArgumentError if the shapes of A, b and x0 do not fit.

    Source: Y. Saad, Iterative Methods for Sparse Linear Systems, 2nd edition, SIAM 2003, section 9.2.

    >>> import minijvp, minijvp.numpy as mnp
    >>> from minijvp.scipy.sparse.linalg import cg
    >>> f = lambda p: cg(lambda x: p * x, mnp.array([2.0, 4.0]))[0].sum()
    >>> float(f(2.0)), float(minijvp.grad(f)(2.0))
    (3.0, -1.5)
    """
    # A real positive definite matrix is symmetric; a complex one is the conjugate of its transpose.
    return solution("cg", krylov.conjugate_gradients, A, b, x0, tol, atol, maxiter, M, symmetric=True), None


def bicgstab(
    A: Any, b: Any, x0: Any = None, *, tol: Any = 1e-5, atol: Any = 0.0, maxiter: Any = None, M: Any = None
) -> tuple[Any, None]:
    """The solution x of A x = b for any A that is not singular, by stabilized biconjugate gradients; and None.

    The arguments and what is raised are those of `cg`. The iteration can break down; then x is what it had.

    Source: H. van der Vorst, Bi-CGSTAB, SIAM J. Sci. Stat. Comput. 13(2), 1992.

    >>> import minijvp.numpy as mnp
    >>> from minijvp.scipy.sparse.linalg import bicgstab
    >>> bicgstab(mnp.array([[2.0, 1.0], [0.0, 2.0]]), mnp.array([4.0, 2.0]))[0].round(4).tolist()
    [1.5, 1.0]
    """
    return solution("bicgstab", krylov.bicgstab, A, b, x0, tol, atol, maxiter, M), None


def gmres(
    A: Any,
    b: Any,
    x0: Any = None,
    *,
    tol: Any = 1e-5,
    atol: Any = 0.0,
    restart: int = 20,
    maxiter: Any = None,
    M: Any = None,
    solve_method: str = "batched",
) -> tuple[Any, Any]:
    """The solution x of A x = b for any A that is not singular, by generalized minimal residuals; and a code.

    Args:
        A, b, x0, tol, atol, M: as for `cg`. Within a restart norm(M(b - A x)) is made small; the end is reached when
            norm(b - A x) is.
        restart: the number of products after which the method starts again from what it has.
        maxiter: the most restarts; ten times the size of `b` if it is None.
        solve_method: "incremental" ends a restart as soon as the tolerance is reached; "batched" looks at the end.

    The code is 0, or -1 where x is not finite. The derivative is that of the solution, as for `cg`.

    Raises ArgumentError as `cg` does, and for an unknown `solve_method`.

    Source: Y. Saad, Iterative Methods for Sparse Linear Systems, 2nd edition, SIAM 2003, section 6.5.

    >>> import minijvp.numpy as mnp
    >>> from minijvp.scipy.sparse.linalg import gmres
    >>> gmres(mnp.array([[2.0, 1.0], [0.0, 2.0]]), mnp.array([4.0, 2.0]))[0].round(4).tolist()
    [1.5, 1.0]
    """
    if solve_method not in ("batched", "incremental"):
        raise ArgumentError(
            f"gmres received solve_method={solve_method!r}.",
            "It says when the least-squares problem of a restart is solved.",
            "Pass 'batched' (once, at the end) or 'incremental' (after every product).",
        )
    size = sum(type_of(x).size for x in tree_leaves(b))
    method = partial(krylov.gmres, restart=min(restart, size), incremental=solve_method == "incremental")
    x = solution("gmres", method, A, b, x0, tol, atol, maxiter, M)
    finite = [mnp.all(mnp.isfinite(leaf)) for leaf in tree_leaves(x)]
    return x, mnp.where(mnp.stack(finite).all() if finite else True, 0, -1)


def solution(
    function: str,
    method: Callable[..., Any],
    A: Any,
    b: Any,
    x0: Any,
    tol: Any,
    atol: Any,
    maxiter: Any,
    M: Any,
    symmetric: bool = False,
) -> Any:
    """The solution by an iteration of `krylov`, as custom_linear_solve differentiates it."""
    given = Tree(b, leaf_namer(b, f"b of {function}"))
    # As a product of arrays would have it: a complex matrix makes the right-hand side complex.
    dtypes = [mnp.result_type(A, x, 0.0) if is_array(A) else mnp.result_type(x, 0.0) for x in given.leaves]
    leaves = [x.astype(dtype) for x, dtype in zip(given.leaves, dtypes, strict=True)]
    b = trees.tree_unflatten(given.structure, leaves)
    start = starting_point(function, b, x0)
    product = as_operator(A, f"A of {function}")
    precondition = as_operator(M, f"M of {function}") if M is not None else lambda x: x
    vectors = Vectors(b)
    steps = 10 * vectors.size if maxiter is None else maxiter

    def solve(A: Operator, b: Any) -> Any:
        flat = method(
            vectors.flat(A), vectors.ravel(b), vectors.ravel(start), tol, atol, steps, vectors.flat(precondition)
        )
        return vectors.unravel(flat)

    symmetric = symmetric and not any(mnp.iscomplexobj(x) for x in leaves)
    return custom_linear_solve(product, b, solve, solve, symmetric)


def starting_point(function: str, b: Any, x0: Any) -> Any:
    """Where an iteration begins: a tree like `b`; ArgumentError if it is none."""
    if x0 is None:
        return tree_map(mnp.zeros_like, b)
    given = Tree(x0, leaf_namer(x0, f"x0 of {function}"))
    wanted = Tree(b, leaf_namer(b, f"b of {function}"))
    if given.structure == wanted.structure and len(given.leaves) == len(wanted.leaves):
        x0 = tree_map(lambda x, y: mnp.asarray(x).astype(mnp.result_type(y)), x0, b)
    require_same(
        f"x0 of {function} is no vector like b",
        ("x0", "b"),
        Tree(x0, leaf_namer(x0, f"x0 of {function}")),
        wanted,
        "It is where the search for a solution begins, and a solution is like b, since A is square.",
        "Pass zeros_like(b), or omit x0.",
    )
    return x0


def is_array(x: Any) -> bool:
    """Whether a value is an array of JAX or of NumPy, or traced."""
    return isinstance(x, (jax.Array, np.ndarray, Tracer))


def as_operator(A: Any, what: str) -> Operator:
    """The function for the products of a square matrix, which may be one already."""
    if callable(A):
        return A
    shape = getattr(A, "shape", None)
    if shape is None or not hasattr(A, "__matmul__"):
        raise ArgumentError(
            f"{what} is {A!r:.200} of type {type(A).__name__}.",
            "It is a matrix, or a function that gives its products with vectors.",
            "Pass an array of shape (n, n), or lambda x: A @ x.",
        )
    if len(shape) != 2 or shape[0] != shape[1]:
        raise ArgumentError(
            f"{what} has the shape {tuple(shape)}.",
            "A linear equation has one solution only if its matrix is square.",
            "Pass an array of shape (n, n). For more equations than unknowns, use A.T @ A and A.T @ b.",
        )
    if isinstance(A, BCOO) and A.n_batch == A.n_dense == 0:
        rows, columns = A.indices[:, 0], A.indices[:, 1]
        return lambda x: mnp.zeros_like(x).at[rows].add((A.data * x[columns].T).T, mode="drop")
    if is_array(A):
        return lambda x: mnp.dot(A, x, precision=jax.lax.Precision.HIGHEST)
    return lambda x: A @ x


__all__ = bridge_all(globals(), jax.scipy.sparse.linalg)

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...
