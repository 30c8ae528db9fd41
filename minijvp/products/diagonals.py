"""Diagonals of matrices of derivatives, and their sums: exact by unit vectors, or estimated by random ones.

divergence : (a -> a) -> a -> R
hessian_diagonal : (a -> R) -> a -> CT a
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

import minijvp.lax as lax
import minijvp.numpy as mnp
from minijvp import random, trees
from minijvp.api.gradients import grad
from minijvp.api.linear_maps import PullBack, PushForward, linear_map_at
from minijvp.core.hooks import hooks, other_plans
from minijvp.core.types import Array, is_arraylike, is_key, type_of
from minijvp.derivatives.chunks import ChunkSize, automatic_size, checked_chunk_size, over_basis
from minijvp.errors import ArgumentError
from minijvp.lax.vectors import Vectors
from minijvp.operations.families import instantiate
from minijvp.products.checks import require_real_arguments, require_real_results
from minijvp.trees import Argnums, Selection


def divergence(
    fun: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False, *, chunk_size: ChunkSize = "auto"
) -> Callable[..., Any]:
    """A function that returns the divergence of a vector field: the trace of its Jacobian.

    divergence : (a -> a) -> a -> R

    Args:
        fun: takes a pytree of arrays, and maybe others, and returns a tree of the same shapes; with `has_aux`, a pair
            of that and auxiliary data.
        argnums: the argument(s) to differentiate, as in `grad`; of several, the result is a tuple that goes with them.
        chunk_size: how many unit vectors go through the linear program at once, as in `jacobian`.

    Returns a number, or with `has_aux` a pair of that and the auxiliary data. The function runs once, its linear part
    as often as the argument has elements.

    Raises ArgumentError if the result has other shapes than the argument, and if either is not real and floating.

    >>> import minijvp, minijvp.numpy as mnp
    >>> float(minijvp.divergence(lambda x: x ** 2 + x[0])(mnp.array([1.0, 3.0])))
    9.0
    """
    making = divergence, {**locals()}
    trees.require_callable(fun, "divergence")
    chunk_size = checked_chunk_size(chunk_size, "divergence")

    @trees.wraps(fun, making)
    def of(*args: Any, **kwargs: Any) -> Any:
        selection = Selection(fun, argnums, args, kwargs, has_aux)
        outs, diagonal = diagonal_of(selection, chunk_size, "divergence")
        result = (diagonal.sum(), selection.aux(outs)) if has_aux else diagonal.sum()
        if other_plans:
            hooks.check(result, of, args, kwargs)
        return result

    return of


class DiagonalEstimate(NamedTuple):
    """What random vectors say of a diagonal: the mean over all samples, and the standard error of each element."""

    mean: Any
    standard_error: Any


def hessian_diagonal(
    fun: Callable[..., Any],
    argnums: Argnums = 0,
    has_aux: bool = False,
    *,
    key: Any = None,
    samples: int | None = None,
    pattern: Any = None,
    chunk_size: ChunkSize = "auto",
) -> Callable[..., Any]:
    """A function that returns the diagonal of the Hessian of `fun`: exact, or with a `key` an estimate.

    hessian_diagonal : (a -> R) -> a -> CT a

    Args:
        fun, argnums, has_aux: as for `grad`.
        key: a random key, of minijvp.random. Without one the diagonal is exact, for one product with the Hessian for
            each element of the argument. With one it is an estimate by Hutchinson's method, for one product for each
            sample, and the result says so: it is a `DiagonalEstimate` of two trees, `mean` and `standard_error`.
        samples: the number of random vectors; 100, if there is a key.
        pattern: where the Hessian may have entries, as `minijvp.sparsity(fun, order=2)(x)` finds it: then the exact
            diagonal takes one product for each of a few colours. An entry that it misses makes the diagonal wrong.
        chunk_size: how many unit vectors go through the linear program at once, as in `jacobian`.

    The diagonal has the tree, shapes and dtypes of the argument. With `has_aux` it is the first of a pair.

    Raises ArgumentError as `grad` does, for samples without a key, and for a pattern of another type
    or size, or beside a key.

    Source: C. Bekas, E. Kokiopoulou and Y. Saad, An estimator for the diagonal of a matrix, Applied Numerical
    Mathematics 57, 2007.

    >>> import minijvp, minijvp.numpy as mnp
    >>> minijvp.hessian_diagonal(lambda x: x[0] ** 2 * x[1] ** 3)(mnp.array([1.0, 2.0])).tolist()
    [16.0, 12.0]
    >>> f = lambda x: (x ** 4).sum()
    >>> found = minijvp.hessian_diagonal(f, key=minijvp.random.key(0), samples=2)(mnp.array([1.0, 2.0]))
    >>> found.mean.tolist(), found.standard_error.tolist()
    ([12.0, 48.0], [0.0, 0.0])
    >>> chain, x = lambda x: (x[1:] * x[:-1]).sum() + (x**2).sum(), mnp.ones(1000)
    >>> minijvp.hessian_diagonal(chain, pattern=minijvp.sparsity(chain, order=2)(x))(x)[:2].tolist()  # two products
    [2.0, 2.0]
    """
    making, who = (hessian_diagonal, {**locals()}), "hessian_diagonal"
    trees.require_callable(fun, who)
    chunk_size = checked_chunk_size(chunk_size, who)
    number = checked_samples(samples, key)
    colours = None if pattern is None else colours_of(pattern, key)
    gradient = grad(fun, argnums, has_aux)

    @trees.wraps(fun, making)
    def diagonal(*args: Any, **kwargs: Any) -> Any:
        selection = Selection(gradient, argnums, args, kwargs, has_aux)
        if key is not None:
            outs, *both = estimated(selection, key, number)
            found = DiagonalEstimate(*map(selection.unflatten, both))
        elif colours is not None:
            outs, entries = by_colours(selection, colours)
            found = selection.unflatten(entries)
        else:
            outs, entries = diagonal_of(selection, chunk_size, who)
            found = selection.unflatten(Vectors(list(selection.leaves)).unravel(entries))
        result = (found, selection.aux(outs)) if has_aux else found
        if other_plans:
            hooks.check(result, diagonal, args, kwargs)
        return result

    return diagonal


def is_random_key(key: Any) -> bool:
    """Whether this is a random key: one of its own dtype, or of two integers as in former times."""
    t = type_of(key) if is_arraylike(key) else None
    return t is not None and (is_key(t.dtype) if not t.shape else (t.shape, t.dtype) == ((2,), np.uint32))


def checked_samples(samples: Any, key: Any) -> int:
    """The number of random vectors; ArgumentError for one that cannot be."""
    if key is None and samples is None:
        return 0
    number = 100 if samples is None else trees.as_index(samples)
    if key is not None and not is_random_key(key):
        raise ArgumentError(
            f"hessian_diagonal received a key of type {type(key).__name__}.",
            "Its random vectors come from a key, as all random numbers do.",
            "Pass key=minijvp.random.key(seed), or none for the exact diagonal.",
        )
    if key is None or number is None or number < 2:
        raise ArgumentError(
            f"hessian_diagonal received samples={samples!r:.200} and {'no' if key is None else 'a'} key.",
            "An estimate is made of random vectors, for which a key is needed, and two of them at least for its error.",
            "Pass key=minijvp.random.key(seed) and an integer from 2 on, or neither for the exact diagonal.",
        )
    return number


def diagonal_of(selection: Selection, chunk_size: ChunkSize, who: str) -> tuple[Sequence[Any], Array]:
    """The flat results of a function, and the diagonal of its Jacobian in one vector."""
    require_real_arguments(selection, who)
    leaves = selection.leaves
    outs, pullback, constants = linear_map_at(PullBack, selection, leaves, "off")
    require_real_results(selection, outs, who)
    taken, given = ([type_of(x).shape for x in xs] for xs in (leaves, outs[: selection.n]))
    if taken != given:
        raise ArgumentError(
            f"{who} of {selection.name} received arrays of the shapes {taken}, and the function returned {given}.",
            "Only a square matrix has a diagonal: for each element of the argument there is one of the result.",
            "Return a tree of the shapes of the argument.",
        )
    size = chunk_size if isinstance(chunk_size, int) else None
    if chunk_size == "auto":
        size = automatic_size(pullback.jaxpr, len(constants), 0)
    push = PushForward(*pullback.key()).flat

    def entry(*tangents: Any) -> list[Any]:
        pairs = zip(tangents, push(constants, tangents), strict=True)
        products = [(t * image).sum() for t, image in pairs if image is not None]
        return [sum(products[1:], products[0]) if products else mnp.zeros((), leaves[0].dtype)]

    return outs, over_basis(entry, leaves, size)[0] if leaves else mnp.zeros(0)


def estimated(selection: Selection, key: Any, number: int) -> tuple[Sequence[Any], list[Any], list[Any]]:
    """The flat results of a gradient; means of z * (H z) over random signs z, for each leaf, and their errors."""
    require_real_arguments(selection, "hessian_diagonal")
    leaves = selection.leaves
    outs, pullback, constants = linear_map_at(PullBack, selection, leaves, "off")
    push = PushForward(*pullback.key()).flat

    def sample(sums: Any, given: Any) -> Any:
        means, squares = sums
        key, count = given
        keys = random.split(key, len(leaves))
        signs = [random.rademacher(k, x.shape, x.dtype) for k, x in zip(keys, leaves, strict=True)]
        entries = [z * instantiate(image, z) for z, image in zip(signs, push(constants, signs), strict=True)]
        # B. P. Welford, Note on a method for calculating corrected sums of squares and products, Technometrics 4, 1962.
        moved = [m + (x - m) / count.astype(m.dtype) for m, x in zip(means, entries, strict=True)]
        squares = [s + (x - m) * (x - n) for s, x, m, n in zip(squares, entries, means, moved, strict=True)]
        return (moved, squares), None

    zeros = list(map(mnp.zeros_like, leaves))
    keys, counts = random.split(key, number), mnp.arange(1, number + 1)
    (means, squares), _ = lax.scan(sample, (zeros, zeros), (keys, counts))
    return outs, means, [mnp.sqrt(s / (number * (number - 1))) for s in squares]


def colours_of(pattern: Any, key: Any) -> np.ndarray:
    """A colour for each variable, such that no entry of the pattern joins two of one colour."""
    colours = getattr(pattern, "apart", None)
    if colours is None or key is not None:
        raise ArgumentError(
            f"hessian_diagonal received a pattern of type {type(pattern).__name__} and {'no' if key is None else 'a'} "
            "key.",
            "A pattern is for the exact diagonal, for which no key is needed.",
            "Pass pattern=minijvp.sparsity(fun, order=2)(x), or minijvp.sparse.Pattern.of(matrix); or a key.",
        )
    return colours


def by_colours(selection: Selection, colours: np.ndarray) -> tuple[Sequence[Any], list[Any]]:
    """The flat results of a gradient, and the diagonal of its Jacobian, which joins no two arguments of one colour.

    Times the vector that is 1 for these and 0 for others, the matrix gives the diagonal there.
    """
    require_real_arguments(selection, "hessian_diagonal")
    leaves = selection.leaves
    total = sum([x.size for x in leaves])
    if len(colours) != total:
        raise ArgumentError(
            f"hessian_diagonal received a pattern of {len(colours)} columns for arguments of {total} elements.",
            "There is a column for each element of the arguments, one leaf after the other.",
            "Find the pattern for arguments of these shapes.",
        )
    outs, pullback, constants = linear_map_at(PullBack, selection, leaves, "off")
    push = PushForward(*pullback.key()).flat
    space, given = Vectors(list(leaves)), mnp.asarray(colours)

    def add(sums: Any, colour: Any) -> Any:
        seeds = space.unravel(given == colour)
        images = push(constants, seeds)
        return [s + z * instantiate(image, z) for s, z, image in zip(sums, seeds, images, strict=True)], None

    return outs, lax.scan(add, list(map(mnp.zeros_like, leaves)), mnp.arange(int(colours.max(initial=-1)) + 1))[0]
