"""Sparse Jacobians and Hessians: the pattern is found, coloured, and a tangent pushed for each colour.

sparsity : (a -> b) -> a -> Pattern
sparse_jacobian, sparse_hessian : (a -> b) -> a -> BCOO
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.experimental.sparse import BCOO
from jax.tree_util import tree_flatten, tree_unflatten
from scipy.sparse import csr_array

import minijvp.numpy as mnp
from minijvp import trees
from minijvp.api.batching import vmap
from minijvp.api.linear_maps import jvp, vjp
from minijvp.calls.jit import jit
from minijvp.core.jaxpr import Jaxpr, evaluate
from minijvp.core.tracing import detached
from minijvp.errors import ArgumentError
from minijvp.lax import map as loop_map
from minijvp.lax.vectors import Vectors
from minijvp.operations.gather import take_along_axis
from minijvp.sparse.pattern import Colouring, Pattern
from minijvp.sparse.programs import Problem, is_traced, problem_of
from minijvp.tracebacks import border
from minijvp.trees import Argnums

FORMATS = "bcoo", "scipy"

WRITTEN_OUT = 8
"""So many colours are computed one by one: XLA fuses what belongs to each, where a batch of them would be stored."""


@border
def sparsity(
    fun: Callable[..., Any], argnums: Argnums = 0, *, order: int = 1, local: bool = False
) -> Callable[..., Pattern]:
    """A function of the arguments of `fun` that says where its Jacobian may have entries that are not zero.

    Args:
        fun: takes pytrees of arrays, and returns one of real floating numbers. It is staged, as by jit.
        argnums: the arguments to differentiate by: a position, a name, or a sequence of these.
        order: 1 for the Jacobian; 2 for the Hessian, of a `fun` that returns one number.
        local: at these arguments, following their values through branches, selections and products by zero, in place of
            for all arguments of the same types. What Python and the function's own constants decide is known in both.

    Returns a `Pattern`: it has a row for each element of the result, and a column for each of the arguments, leaves one
    after the other. It contains every entry that is not zero. It draws itself, and has colourings.

    Raises ArgumentError for arguments and results that are not real floating numbers, and for `local` inside of another
    transformation.

    >>> import minijvp, minijvp.numpy as mnp
    >>> pattern = minijvp.sparsity(lambda x: x[1:] * x[:-1])(mnp.ones(4))
    >>> pattern.toarray().astype(int).tolist()
    [[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]]
    """
    making = sparsity, {**locals()}
    trees.require_callable(fun, "sparsity")
    if order not in (1, 2):
        raise ArgumentError(
            f"sparsity received order={order!r}.",
            "There are patterns of Jacobians, of order 1, and of Hessians, of order 2.",
            "Say 1 or 2; the pattern of a derivative of higher order is that of the gradient of one.",
        )

    @trees.wraps(fun, making)
    def pattern(*args: Any, **kwargs: Any) -> Pattern:
        problem = problem_of(fun, argnums, args, kwargs, order, "sparsity")
        return problem.pattern_here("sparsity") if local else problem.pattern()

    return pattern


@border
def sparse_jacobian(
    fun: Callable[..., Any],
    argnums: Argnums = 0,
    *,
    mode: str = "auto",
    format: str = "bcoo",
    pattern: Any = None,
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """A function that returns the Jacobian of `fun` as a sparse matrix, with a tangent or cotangent for each colour.

    sparse_jacobian : (a -> b) -> a -> BCOO

    Args:
        fun: takes pytrees of arrays, and returns one of real floating numbers. It is staged, as by jit.
        argnums: the arguments to differentiate by: a position, a name, or a sequence of these.
        mode: "fwd" for columns, "rev" for rows, or "auto" for what has the fewest colours, which may be some of both;
            it is "rev" where a custom rule for cotangents is not linear in them, which has no forward mode.
        format: "bcoo" for `jax.experimental.sparse.BCOO`, "scipy" for `scipy.sparse.csr_array`.
        pattern: where there may be entries, if that is known: a `Pattern`, or a matrix. It must contain them all.
        chunk_size: how many colours are computed at a time; all at once, if it is None.

    The matrix has a row for each element of the result, and a column for each of the arguments, leaves one after the
    other. Its entries are those of the pattern, sorted by rows. Pattern and colours hold for all arguments of the same
    types, and are found once for a program; under jit nothing of it is left but the products. Entries can be
    differentiated and batched further: `.data` is an array like others.

    Raises ArgumentError for arguments and results that are not real floating numbers, for a pattern of another shape,
    and for "scipy" inside of another transformation.

    Source: A. R. Curtis, M. J. D. Powell and J. K. Reid, On the estimation of sparse Jacobian matrices, IMA Journal of
    Applied Mathematics 13(1), 1974.

    >>> import minijvp, minijvp.numpy as mnp
    >>> jacobian = minijvp.sparse_jacobian(lambda x: x[1:] * x[:-1])(mnp.array([1.0, 2.0, 3.0]))
    >>> jacobian.todense().tolist(), jacobian.nse
    ([[2.0, 1.0, 0.0], [0.0, 3.0, 2.0]], 4)
    """
    if mode not in ("auto", "fwd", "rev"):
        raise ArgumentError(
            f"sparse_jacobian received mode={mode!r}.",
            "Columns are computed by forward mode, rows by reverse mode.",
            "Say 'fwd', 'rev', or 'auto' for what has the fewest colours.",
        )
    return sparse(fun, argnums, 1, mode, format, pattern, chunk_size, "sparse_jacobian")


@border
def sparse_hessian(
    fun: Callable[..., Any],
    argnums: Argnums = 0,
    *,
    mode: str = "symmetric",
    format: str = "bcoo",
    pattern: Any = None,
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """A function that returns the Hessian of `fun` as a sparse matrix, by a Hessian-vector product for each colour.

    sparse_hessian : (a -> R) -> a -> BCOO

    Arguments and result are those of `sparse_jacobian`; `fun` returns one real number. Since the matrix is symmetric,
    an entry is read from its column or from that of its row, and a star colouring says from which. Where `fun` calls
    functions with rules that are not their derivatives, its gradient is none, and the matrix need not be symmetric:
    say mode="auto", by which every entry is computed as that of a Jacobian.

    Raises ArgumentError for a function whose result is not one real number, and as `sparse_jacobian`.

    Source: T. F. Coleman and J. J. More, Estimation of sparse Hessian matrices and graph coloring problems,
    Mathematical Programming 28, 1984.

    >>> import minijvp, minijvp.numpy as mnp
    >>> hessian = minijvp.sparse_hessian(lambda x: mnp.sum(x[1:] * x[:-1] ** 2))(mnp.array([1.0, 2.0, 3.0]))
    >>> hessian.todense().tolist()
    [[4.0, 2.0, 0.0], [2.0, 6.0, 4.0], [0.0, 4.0, 0.0]]
    """
    if mode not in ("symmetric", "auto"):
        raise ArgumentError(
            f"sparse_hessian received mode={mode!r}.",
            "Entries are read by symmetry, or each from its own column or row.",
            "Say 'symmetric', or 'auto' to make no use of symmetry.",
        )
    return sparse(fun, argnums, 2, mode, format, pattern, chunk_size, "sparse_hessian")


def sparse(
    fun: Callable[..., Any],
    argnums: Argnums,
    order: int,
    mode: str,
    format: str,
    pattern: Any,
    chunk_size: int | None,
    who: str,
) -> Callable[..., Any]:
    """What the two return."""
    making = sparse, {**locals()}
    trees.require_callable(fun, who)
    if format not in FORMATS:
        raise ArgumentError(
            f"{who} received format={format!r}.",
            f"The formats are {', '.join(map(repr, FORMATS))}.",
            "Name one of these.",
        )
    if chunk_size is not None and (type(chunk_size) is not int or chunk_size < 1):
        raise ArgumentError(
            f"{who} received chunk_size={chunk_size!r}.",
            "It is the number of colours that are computed at a time.",
            "Pass a positive int, or None for all at once.",
        )
    given: Pattern | None = None if pattern is None else Pattern.of(pattern)

    @trees.wraps(fun, making)
    def derivative(*args: Any, **kwargs: Any) -> Any:
        problem = problem_of(fun, argnums, args, kwargs, order, who)
        found = problem.pattern() if given is None else Pattern.of(given, problem.shape)
        chosen = "auto" if mode == "symmetric" and not found.symmetric else mode
        colours = found.colouring("rev" if chosen == "auto" and not problem.goes_forward else chosen)
        data = entries(problem, colours, chunk_size)
        return as_scipy(data, found, who) if format == "scipy" else as_bcoo(data, found)

    return derivative


def as_bcoo(data: Any, pattern: Pattern) -> BCOO:
    """The entries as a matrix of JAX. They may be tracers of ours, which its constructor would ask for arrays."""
    template = bcoo_structure(pattern)
    return tree_unflatten(template[0], [data, template[1]])


@lru_cache(maxsize=256)
def bcoo_structure(pattern: Pattern) -> tuple[Any, Any]:
    """The structure of a matrix with this pattern, and its indices."""
    with detached():
        indices = jnp.asarray(np.stack([pattern.rows, pattern.columns], 1).astype(np.int32))
        whole = BCOO((jnp.zeros(pattern.nnz), indices), shape=pattern.shape, indices_sorted=True, unique_indices=True)
        return tree_flatten(whole)[1], indices


def as_scipy(data: Any, pattern: Pattern, who: str) -> csr_array:
    """The entries as a matrix of SciPy."""
    if is_traced(data):
        raise ArgumentError(
            f"{who} with format='scipy' was called inside of another transformation.",
            "A matrix of SciPy holds numbers, and these are not known yet.",
            "Leave format out for a matrix of JAX, or make that of SciPy outside: "
            "csr_array((J.data, J.indices.T), shape=J.shape).",
        )
    return csr_array((np.asarray(data), pattern.columns, pattern.matrix.indptr), shape=pattern.shape)


def entries(problem: Problem, colours: Colouring, chunk_size: int | None) -> Any:
    """The entries of the derivative, in the order of the pattern."""
    return program_of_entries(problem.jaxpr, len(problem.constants), len(problem.leaves), colours, chunk_size)(
        *problem.args
    )


@lru_cache(maxsize=256)
def program_of_entries(
    jaxpr: Jaxpr, n_constants: int, n_leaves: int, colours: Colouring, chunk_size: int | None
) -> Callable[..., Any]:
    """The function, compiled, from constants, arguments and others to the entries."""
    end = n_constants + n_leaves

    @jit
    def sparse_entries(*args: Any) -> Any:
        leaves = list(args[n_constants:end])
        space = Vectors(leaves)
        fun = lambda *xs: evaluate(jaxpr, *args[:n_constants], *xs, *args[end:])
        lines = []
        if colours.n_columns:
            columns = small(colours.columns)
            push = lambda k: space.ravel(jvp(fun, leaves, space.unravel(columns == k))[1])
            lines.append(along(push, colours.n_columns, chunk_size))
        if colours.n_rows:
            rows, (outs, pull) = small(colours.rows), vjp(fun, *leaves)
            pulled = lambda k: space.ravel(pull(Vectors(outs).unravel(rows == k)))
            lines.append(along(pulled, colours.n_rows, chunk_size))
        if not lines:
            return mnp.zeros(0, leaves[0].dtype if leaves else None)
        return read(lines, colours)

    return sparse_entries


def along(fun: Callable[[Any], Any], n: int, chunk_size: int | None) -> Any:
    """The results of a function of each of n numbers, in one flat array; so many of them at a time."""
    if chunk_size is not None and chunk_size < n:
        return loop_map(fun, mnp.arange(n), batch_size=chunk_size).reshape(-1)
    if n > WRITTEN_OUT:
        return vmap(fun)(mnp.arange(n)).reshape(-1)
    parts = list(map(fun, range(n)))
    return parts[0] if n == 1 else mnp.concatenate(parts)


def small(colours: np.ndarray) -> Any:
    """The colours in as few bytes as will do."""
    return mnp.asarray(colours.astype(np.int16 if colours.max(initial=0) < 2**15 else np.int32))


def read(lines: Sequence[Any], colours: Colouring) -> Any:
    """The entries, from the columns and the rows that were computed, which lie one after the other."""
    numbers, places = colours.places
    m, n = colours.pattern.shape
    columns = colours.n_columns
    at = np.where(numbers < columns, numbers * m + places, columns * m + (numbers - columns) * n + places)
    whole = lines[0] if len(lines) == 1 else mnp.concatenate(lines)
    return take_along_axis(whole, at.astype(np.int32 if whole.size < 2**31 else np.int64), 0)
