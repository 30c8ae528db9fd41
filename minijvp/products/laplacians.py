"""Sums of second derivatives, by the forward Laplacian.

laplacian : (a -> b) -> a -> b
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jax.tree_util import tree_unflatten

from minijvp import trees
from minijvp.core.hooks import hooks, other_plans
from minijvp.core.primitive import Axis
from minijvp.core.tracing import state
from minijvp.core.types import type_of
from minijvp.derivatives.chunks import unit_vectors
from minijvp.operations.families import instantiate
from minijvp.products.checks import require_real_arguments, require_real_results
from minijvp.transforms.laplacian import laplacian_flat
from minijvp.trees import Argnums, Selection


def laplacian(fun: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False) -> Callable[..., Any]:
    """A function that returns the Laplacian of `fun`: the sum of its second derivatives by each element, in one pass.

    laplacian : (a -> b) -> a -> b

    Args:
        fun: takes pytrees of arrays and returns one; with `has_aux`, a pair of that and auxiliary data.
        argnums: the argument(s) by whose elements it is differentiated, as in `grad`.
        has_aux: the result is a pair of the Laplacian and auxiliary data.

    The Laplacian has the tree, shapes and dtypes of the result. It is computed beside the value and its derivatives
    along all unit vectors, with no Hessian and nothing kept: in the time of so many jvps.

    Raises ArgumentError if an argument or a result is not real and floating.

    Source: R. Li et al., A computational framework for neural network-based variational Monte Carlo with Forward
    Laplacian, Nature Machine Intelligence 6, 2024.

    >>> import minijvp, minijvp.numpy as mnp
    >>> float(minijvp.laplacian(lambda x: (x ** 2).sum() * x[0])(mnp.array([1.0, 3.0])))
    8.0
    """
    return through(fun, argnums, has_aux, "laplacian")


def biharmonic(fun: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False) -> Callable[..., Any]:
    """A function that returns the biharmonic operator of `fun`: the Laplacian of its Laplacian.

    biharmonic : (a -> b) -> a -> b

    The arguments, the result and what is raised are those of `laplacian`. The cost is that of n^2 jvps, n the number of
    elements of the argument(s).

    >>> import minijvp, minijvp.numpy as mnp
    >>> float(minijvp.biharmonic(lambda x: (x ** 2).sum() ** 2)(mnp.array([1.0, 3.0])))
    64.0
    """
    trees.require_callable(fun, "biharmonic")
    # Taylor mode to order 4, along all e_i, e_i + e_j and e_i - e_j, gives the same. For networks of 4 to 16 inputs, 64
    # wide, it took 1.6 to 3.7 times as long, and 2.2 to 3.4 times the memory.
    return through(through(fun, argnums, has_aux, "biharmonic"), argnums, has_aux, "biharmonic")


def through(fun: Callable[..., Any], argnums: Argnums, has_aux: bool, who: str) -> Callable[..., Any]:
    """What `laplacian` returns, in messages called `who`."""
    making = through, {**locals()}
    trees.require_callable(fun, who)

    @trees.wraps(fun, making)
    def sums(*args: Any, **kwargs: Any) -> Any:
        selection = Selection(fun, argnums, args, kwargs, has_aux)
        require_real_arguments(selection, who)
        leaves = selection.leaves
        spaces = tuple([(t.shape, t.size, t.dtype) for t in map(type_of, leaves)])
        axis = Axis(sum([size for _, size, _ in spaces]))
        directions = state.trace.above(unit_vectors)(spaces)
        outs, _, found = laplacian_flat(selection.positional, axis, leaves, directions, [None] * len(leaves))
        require_real_results(selection, outs, who)
        found = [instantiate(t, x) for t, x in zip(found[: selection.n], outs, strict=False)]
        result = tree_unflatten(selection.out_tree, found)
        result = (result, selection.aux(outs)) if has_aux else result
        if other_plans:
            hooks.check(result, sums, args, kwargs)
        return result

    return sums
