"""Linear maps, as users call them: the derivative at a point, and its transpose.

jvp : (a -> b) -> (a, T a) -> (b, T b)
linearize : (a -> b) -> a -> (b, T a -o T b)
vjp : (a -> b) -> a -> (b, CT b -o CT a)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from jax.tree_util import Partial, register_pytree_node, tree_flatten, tree_unflatten

from minijvp import trees
from minijvp.api.names import JVP, TRANSPOSE, as_tangents, transforming
from minijvp.arguments.tangents import FLOAT0, for_user, freezing, from_user, leaf_namer, require_same_tree
from minijvp.budgets import Budget, optional_budget
from minijvp.core.hooks import hooks, other_plans
from minijvp.core.jaxpr import Jaxpr, evaluate
from minijvp.core.types import ArrayType, is_inexact, type_of
from minijvp.errors import ArgumentError
from minijvp.operations.families import instantiate
from minijvp.tracebacks import border
from minijvp.transforms.jvp import jvp_flat
from minijvp.transforms.transpose import transpose_flat
from minijvp.trees import FlatFunction


@border
def jvp(
    fun: Callable[..., Any],
    primals: Sequence[Any],
    tangents: Sequence[Any],
    has_aux: bool = False,
    *,
    nan_safe: bool | None = None,
) -> tuple[Any, ...]:
    """The result of `fun` and its derivative in the direction of `tangents`.

    jvp : (a -> b) -> (a, T a) -> (b, T b)

    Args:
        fun: takes pytrees of arrays by position and returns one; with `has_aux`, a pair of that and auxiliary data.
        primals: tuple or list of arguments.
        tangents: tuple or list of the same trees, shapes and dtypes; integers and booleans have dtype float0.
        nan_safe: True has zeros of tangents absorb what is not finite, as in `minijvp.config`; None is its setting.

    Returns `(out, out_tangent)`, or `(out, out_tangent, aux)`.

    Raises ArgumentError if the trees, shapes or dtypes of primals and tangents differ.

    Source: R. E. Wengert, A simple automatic derivative evaluation program, CACM 7(8), 1964.

    >>> import minijvp, minijvp.numpy as mnp
    >>> out, tangent = minijvp.jvp(mnp.sin, (0.0,), (2.0,))
    >>> float(out), float(tangent)
    (0.0, 2.0)
    """
    trees.require_callable(fun, "jvp")
    leaves, tree, directions = point_and_direction(primals, tangents, "jvp")
    flat_fun = FlatFunction(fun, tree, has_aux)
    push = jvp_flat if nan_safe is None else hooks.with_nan_safe(jvp_flat, nan_safe, "jvp")
    with transforming(JVP):
        outs, out_tangents = push(flat_fun.positional, leaves, directions)
    result = flat_fun.result(outs, [for_user(t, x) for t, x in zip(out_tangents[: flat_fun.n], outs, strict=False)])
    if other_plans:
        hooks.check(result, partial(jvp, fun, has_aux=has_aux, nan_safe=nan_safe), (primals, tangents), {})
    return result


def point_and_direction(primals: Any, tangents: Any, who: str) -> tuple[list[Any], Any, list[Any]]:
    """The leaves of tuples of arguments and of their tangents, and the tree; ArgumentError if they do not fit."""
    for value, name in ((primals, "primals"), (tangents, "tangents")):
        if not isinstance(value, (tuple, list)):
            raise ArgumentError(
                f"{name} of {who} is of type {type(value).__name__}.",
                f"{who} takes the positional arguments of the function in a tuple, and their tangents in another.",
                f"Write {who}(f, (x,), (t,)).",
            )
    leaves, tree = tree_flatten(tuple(primals))
    tangent_leaves, tangent_tree = tree_flatten(tuple(tangents))
    require_same_tree(tangent_tree, tree, "tangents", "primals")
    leaves = trees.as_arrays(leaves, leaf_namer(tuple(primals), "primals"))
    types = [type_of(x) for x in leaves]
    return leaves, tree, from_user(tangent_leaves, types, "tangent", leaf_namer(tuple(tangents), "tangents"))


class LinearMap:
    """What a linearization applies to constants and tangents (or cotangents). Hashable: jit can return one."""

    def __init__(
        self,
        jaxpr: Jaxpr,
        nonzero: tuple[bool, ...],
        in_tree: Any,
        out_tree: Any,
        in_types: Any,
        out_types: Any,
        name: str = "",
    ):
        self.jaxpr, self.name = jaxpr, name
        self.nonzero = nonzero
        self.in_tree, self.out_tree = in_tree, out_tree
        self.in_types, self.out_types = tuple(in_types), tuple(out_types)

    def key(self) -> tuple:
        return self.jaxpr, self.nonzero, self.in_tree, self.out_tree, self.in_types, self.out_types

    def __eq__(self, other: object) -> bool:
        return self is other or (type(other) is type(self) and self.key() == other.key())  # type: ignore[attr-defined]

    def __hash__(self) -> int:
        return hash(self.key())


class LinearFunction(Partial):
    """A linear map with the values that it keeps, of which it is a pytree. It shows what it is of, and its program."""

    def __repr__(self) -> str:
        return hooks.shown("text", self)

    def _repr_html_(self) -> str:
        return hooks.shown("html", self)


register_pytree_node(LinearFunction, lambda f: (f.args, f.func), lambda func, args: LinearFunction(func, *args))


class PushForward(LinearMap):
    """The linear map of tangents at a point, as `linearize` returns it."""

    __name__ = "pushforward"

    @border
    def __call__(self, constants: Sequence[Any], *tangents: Any) -> Any:
        leaves, tree = tree_flatten(tuple(tangents))
        require_same_tree(tree, self.in_tree, "the tangents", "the primals of linearize")
        given = from_user(leaves, self.in_types, "tangent", leaf_namer(tuple(tangents), "tangents"))
        inexact = [is_inexact(t.dtype) for t in self.in_types]
        flat = [instantiate(t, kind) for t, kind, i in zip(given, self.in_types, inexact, strict=True) if i]
        result = tree_unflatten(self.out_tree, list(map(for_user, self.flat(constants, flat), self.out_types)))
        if other_plans:
            hooks.check(result, self, (constants, *tangents), {})
        return result

    def flat(self, constants: Sequence[Any], tangents: Sequence[Any]) -> list[Any]:
        """Flat tangents of the results for those of the floating arguments; None is zero."""
        outs = iter(evaluate(self.jaxpr, *constants, *tangents))
        return [next(outs) if n else None for n in self.nonzero]


@border
def linearize(
    fun: Callable[..., Any],
    *primals: Any,
    has_aux: bool = False,
    memory_budget: Budget | None = None,
    nan_safe: bool | None = None,
) -> tuple[Any, ...]:
    """The result of `fun` and its derivative at `primals` as a function of tangents.

    linearize : (a -> b) -> a -> (b, T a -o T b)

    `fun` runs once; each call of the derivative costs its linear part only.

    Args:
        fun: takes pytrees of arrays by position and returns one; with `has_aux`, a pair of that and auxiliary data.
        primals: the point.
        memory_budget: what the linear map may keep, as in `grad`.
        nan_safe: True has zeros of tangents absorb what is not finite, as in `minijvp.config`; None is its setting.

    Returns `(out, pushforward)` or `(out, pushforward, aux)`; `pushforward(*tangents)` takes tangents of the trees,
    shapes and dtypes of the primals (float0 for integers) and is a pytree of the residuals.

    Raises ArgumentError for primals that are not arrays, and for tangents that do not fit them.

    >>> import minijvp, minijvp.numpy as mnp
    >>> out, pushforward = minijvp.linearize(mnp.sin, 0.0)
    >>> float(pushforward(3.0))
    3.0
    """
    at = at_primals if nan_safe is None else hooks.with_nan_safe(at_primals, nan_safe, "linearize")
    return at(PushForward, "linearize", fun, primals, has_aux, memory_budget)


class PullBack(LinearMap):
    """The linear map of cotangents at a point, as `vjp` returns it."""

    __name__ = "pullback"

    @border
    def __call__(self, constants: Sequence[Any], ct: Any, *others: Any) -> tuple[Any, ...]:
        if others:
            raise ArgumentError(
                f"a pullback received {1 + len(others)} cotangents.",
                "It takes one, of the tree of the result of the function.",
                "Pass the cotangents of several results in their containers, as in pullback((ct_1, ct_2)).",
            )
        leaves, tree = tree_flatten(ct)
        require_same_tree(tree, self.out_tree, "the cotangent", "the result of the function")
        cts = self.flat(constants, self.given(leaves, leaf_namer(ct, "cotangent")))
        result = tree_unflatten(self.in_tree, list(map(for_user, cts, self.in_types)))
        if other_plans:
            hooks.check(result, self, (constants, ct), {})
        return result

    def given(self, leaves: Sequence[Any], where: Callable[[int], str]) -> list[Any]:
        """The cotangents that a caller gave. Those of integers say nothing, and may be of any dtype, as in JAX."""
        pairs = zip(leaves, self.out_types, strict=True)
        leaves = [empty(t) if not is_inexact(t.dtype) and np.shape(x) == t.shape else x for x, t in pairs]
        return from_user(leaves, self.out_types, "cotangent", where)

    def flat(self, constants: Sequence[Any], cts: Sequence[Any]) -> list[Any]:
        """Flat cotangents of the arguments for those of the results; None is zero."""
        inexact = [is_inexact(t.dtype) for t in self.in_types]
        linear = [False] * len(constants) + [True] * sum(inexact)
        args = [*constants, *[None] * sum(inexact)]
        wanted = [ct for ct, n in zip(cts, self.nonzero, strict=True) if n]
        with transforming(TRANSPOSE):
            found = iter(transpose_flat(self.jaxpr, linear, args, wanted))
        return [next(found) if i else None for i in inexact]


def empty(kind: ArrayType) -> Any:
    """The cotangent of an integer."""
    return np.zeros(kind.shape, FLOAT0)


@border
def vjp(
    fun: Callable[..., Any],
    *primals: Any,
    has_aux: bool = False,
    memory_budget: Budget | None = None,
    nan_safe: bool | None = None,
    frozen: Any = None,
) -> tuple[Any, ...]:
    """The result of `fun` and its pullback: the map from cotangents of the result to those of the arguments.

    vjp : (a -> b) -> a -> (b, CT b -o CT a)

    Args:
        fun: takes pytrees of arrays by position and returns one; with `has_aux`, a pair of that and auxiliary data.
        primals: the point.
        memory_budget: what the linear map may keep, as in `grad`.
        frozen: leaves that get None and no cotangent, as in `grad`: by a prefix of the tuple `primals`, or a function.
        nan_safe: True has zeros of tangents absorb what is not finite, as in `minijvp.config`; None is its setting.

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
    at = at_primals if nan_safe is None else hooks.with_nan_safe(at_primals, nan_safe, "vjp")
    return at(PullBack, "vjp", fun, primals, has_aux, memory_budget, frozen)


def at_primals(
    kind: type[LinearMap],
    who: str,
    fun: Callable[..., Any],
    primals: tuple,
    has_aux: bool,
    budget: Any,
    frozen: Any = None,
) -> tuple[Any, ...]:
    """What `linearize` and `vjp` return: the result, the linear map of that kind, and auxiliary data, if there are."""
    trees.require_callable(fun, who)
    primals, derivative_tree = (primals, None) if frozen is None else freezing(frozen, "error", who)(primals)
    leaves, tree = tree_flatten(primals)
    leaves = trees.as_arrays(leaves, leaf_namer(primals, "primals"))
    flat_fun = FlatFunction(fun, tree, has_aux)
    flat_fun.derivative_tree = derivative_tree
    outs, linear_map, constants = linear_map_at(kind, flat_fun, leaves, optional_budget(budget, who))
    if other_plans:
        hooks.check(outs, fun, primals, {})
    result = tree_unflatten(flat_fun.out_tree, outs[: flat_fun.n]), LinearFunction(linear_map, constants)
    return (*result, flat_fun.aux(outs)) if has_aux else result


def linear_map_at(
    kind: type[LinearMap], flat_fun: FlatFunction, leaves: Sequence[Any], budget: Budget | None = None
) -> tuple[Sequence[Any], Any, tuple[Any, ...]]:
    """Flat results (auxiliary ones last), the linear map of that kind, and its residuals."""
    with transforming(JVP):
        outs, linear, nonzero = hooks.linearizer.function(
            flat_fun.positional, leaves, n_outputs=lambda: flat_fun.n, budget=budget
        )
        linear = as_tangents(linear)
    opened, constants = linear.without_dead_code().hoist_constants()
    results = outs[: flat_fun.n]
    in_types, out_types = map(type_of, leaves), map(type_of, results)
    in_tree = flat_fun.in_tree if flat_fun.derivative_tree is None else flat_fun.derivative_tree
    name = getattr(flat_fun.fun, "__name__", "")
    return outs, kind(opened, nonzero, in_tree, flat_fun.out_tree, in_types, out_types, name), constants
