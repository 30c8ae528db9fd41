"""Linear maps at a point, as users call them: the derivative, and its transpose.

linearize : (a -> b) -> a -> (b, T a -o T b)
vjp : (a -> b) -> a -> (b, CT b -o CT a)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jax.tree_util import Partial, tree_flatten, tree_unflatten

from minijvp import trees
from minijvp.core.config import Budget, optional_budget
from minijvp.core.jaxpr import Jaxpr, evaluate
from minijvp.core.types import is_inexact, type_of
from minijvp.errors import ArgumentError
from minijvp.operations.families import instantiate
from minijvp.transforms.borders import from_border, leaf_namer, require_same_tree, to_border
from minijvp.transforms.manual_axes import require_no_sum
from minijvp.transforms.rematerialize import linearize_planned
from minijvp.transforms.transpose import transpose_flat
from minijvp.trees import FlatFunction


class LinearMap:
    """What a linearization applies to constants and tangents (or cotangents). Hashable: jit can return one."""

    def __init__(
        self, jaxpr: Jaxpr, nonzero: tuple[bool, ...], in_tree: Any, out_tree: Any, in_types: Any, out_types: Any
    ):
        self.jaxpr = jaxpr
        self.nonzero = nonzero
        self.in_tree, self.out_tree = in_tree, out_tree
        self.in_types, self.out_types = tuple(in_types), tuple(out_types)

    def key(self) -> tuple:
        return self.jaxpr, self.nonzero, self.in_tree, self.out_tree, self.in_types, self.out_types

    def __eq__(self, other: object) -> bool:
        return self is other or (type(other) is type(self) and self.key() == other.key())  # type: ignore[attr-defined]

    def __hash__(self) -> int:
        return hash(self.key())


class PushForward(LinearMap):
    """The linear map of tangents at a point, as `linearize` returns it."""

    def __call__(self, constants: Sequence[Any], *tangents: Any) -> Any:
        leaves, tree = tree_flatten(tuple(tangents))
        require_same_tree(tree, self.in_tree, "the tangents", "the primals of linearize")
        given = from_border(leaves, self.in_types, "tangent", leaf_namer(tuple(tangents), "tangents"))
        inexact = [is_inexact(t.dtype) for t in self.in_types]
        flat = [instantiate(t, kind) for t, kind, i in zip(given, self.in_types, inexact, strict=True) if i]
        outs = iter(evaluate(self.jaxpr, *constants, *flat))
        tangents_out = [next(outs) if n else None for n in self.nonzero]
        return tree_unflatten(self.out_tree, list(map(to_border, tangents_out, self.out_types)))


def linearize(
    fun: Callable[..., Any], *primals: Any, has_aux: bool = False, memory_budget: Budget | None = None
) -> tuple[Any, ...]:
    """The result of `fun` and its derivative at `primals` as a function of tangents.

    linearize : (a -> b) -> a -> (b, T a -o T b)

    `fun` runs once; each call of the derivative costs its linear part only.

    Args:
        fun: takes pytrees of arrays by position and returns one; with `has_aux`, a pair of that and auxiliary data.
        primals: the point.
        memory_budget: what the linear map may keep, as in `minijvp.config`; without one, that holds where a program is
            staged. With one, `fun` is staged for it, as by jit, wherever it is called; but for "auto", by which nothing
            is staged that is not without.

    Returns `(out, pushforward)` or `(out, pushforward, aux)`; `pushforward(*tangents)` takes tangents of the trees,
    shapes and dtypes of the primals (float0 for integers) and is a pytree of the residuals.

    Raises ArgumentError for primals that are not arrays, and for tangents that do not fit them.

    >>> import minijvp, minijvp.numpy as mnp
    >>> out, pushforward = minijvp.linearize(mnp.sin, 0.0)
    >>> float(pushforward(3.0))
    3.0
    """
    trees.require_callable(fun, "linearize")
    leaves, tree = tree_flatten(primals)
    leaves = trees.as_arrays(leaves, leaf_namer(primals, "primals"))
    flat_fun = FlatFunction(fun, tree, has_aux)
    budget = optional_budget(memory_budget, "linearize")
    outs, linear, nonzero = linearize_planned(flat_fun.positional, leaves, n_outputs=lambda: flat_fun.n, budget=budget)
    n = flat_fun.n
    opened, constants = linear.hoist_constants()
    in_types, out_types = map(type_of, leaves), map(type_of, outs[:n])
    pushforward = Partial(PushForward(opened, nonzero, tree, flat_fun.out_tree, in_types, out_types), constants)
    out = tree_unflatten(flat_fun.out_tree, outs[:n])
    return (out, pushforward, flat_fun.aux(outs)) if has_aux else (out, pushforward)


class PullBack(LinearMap):
    """The linear map of cotangents at a point, as `vjp` returns it."""

    def __call__(self, constants: Sequence[Any], ct: Any, *others: Any) -> tuple[Any, ...]:
        if others:
            raise ArgumentError(
                f"a pullback received {1 + len(others)} cotangents.",
                "It takes one, of the tree of the result of the function.",
                "Pass the cotangents of several results in their containers, as in pullback((ct_1, ct_2)).",
            )
        leaves, tree = tree_flatten(ct)
        require_same_tree(tree, self.out_tree, "the cotangent", "the result of the function")
        given = from_border(leaves, self.out_types, "cotangent", leaf_namer(ct, "cotangent"))
        cts = self.flat(constants, given)
        return tree_unflatten(self.in_tree, list(map(to_border, cts, self.in_types)))

    def flat(self, constants: Sequence[Any], cts: Sequence[Any]) -> list[Any]:
        """Flat cotangents of the arguments for those of the results; None is zero."""
        inexact = [is_inexact(t.dtype) for t in self.in_types]
        linear = [False] * len(constants) + [True] * sum(inexact)
        args = [*constants, *[None] * sum(inexact)]
        wanted = [ct for ct, n in zip(cts, self.nonzero, strict=True) if n]
        found = iter(transpose_flat(self.jaxpr, linear, args, wanted))
        return [next(found) if i else None for i in inexact]


def vjp(
    fun: Callable[..., Any], *primals: Any, has_aux: bool = False, memory_budget: Budget | None = None
) -> tuple[Any, ...]:
    """The result of `fun` and its pullback: the map from cotangents of the result to those of the arguments.

    vjp : (a -> b) -> a -> (b, CT b -o CT a)

    Args:
        fun: takes pytrees of arrays by position and returns one; with `has_aux`, a pair of that and auxiliary data.
        primals: the point.
        memory_budget: what the linear map may keep, as in `minijvp.config`; without one, that holds where a program is
            staged. With one, `fun` is staged for it, as by jit, wherever it is called; but for "auto", by which nothing
            is staged that is not without.

    Returns `(out, pullback)` or `(out, pullback, aux)`. `pullback(ct)` takes the tree, shapes and dtypes of `out` and
    returns a tuple with a cotangent for each primal; integers have cotangents of dtype float0. It is a pytree of
    the residuals.

    Raises ArgumentError for primals that are not arrays, and for a cotangent that does not fit the result.

    Source: A. Griewank and A. Walther, Evaluating Derivatives, 2nd edition, SIAM 2008, chapter 3.

    >>> import minijvp, minijvp.numpy as mnp
    >>> out, pullback = minijvp.vjp(lambda x, y: x * mnp.sin(y), 3.0, 0.0)
    >>> [float(ct) for ct in pullback(1.0)]
    [0.0, 3.0]
    """
    trees.require_callable(fun, "vjp")
    leaves, tree = tree_flatten(primals)
    leaves = trees.as_arrays(leaves, leaf_namer(primals, "primals"))
    flat_fun = FlatFunction(fun, tree, has_aux)
    outs, pullback, constants = pull_back(flat_fun, leaves, optional_budget(memory_budget, "vjp"))
    out = tree_unflatten(flat_fun.out_tree, outs[: flat_fun.n])
    result = out, Partial(pullback, constants)
    return (*result, flat_fun.aux(outs)) if has_aux else result


def pull_back(
    flat_fun: FlatFunction, leaves: Sequence[Any], budget: Budget | None = None
) -> tuple[Sequence[Any], PullBack, tuple[Any, ...]]:
    """Flat results (auxiliary ones last), the pullback, and its residuals."""
    outs, linear, nonzero = linearize_planned(flat_fun.positional, leaves, n_outputs=lambda: flat_fun.n, budget=budget)
    opened, constants = linear.without_dead_code().hoist_constants()
    require_no_sum("vjp", leaves, outs[: flat_fun.n], lambda i: f"leaf {i} of the arguments")
    in_types, out_types = map(type_of, leaves), map(type_of, outs[: flat_fun.n])
    return outs, PullBack(opened, nonzero, flat_fun.in_tree, flat_fun.out_tree, in_types, out_types), constants
