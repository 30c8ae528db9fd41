"""Taylor mode, as users call it: derivatives of high order along a curve.

taylor : (a -> b) -> (a, T a) -> [b]
jet : (a -> b) -> (a, [T a]) -> (b, [T b])
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from jax.tree_util import tree_flatten, tree_unflatten

from minijvp import trees
from minijvp.api.names import JVP, transforming
from minijvp.arguments.tangents import for_user, from_user, leaf_namer, require_same_tree
from minijvp.core.hooks import hooks, other_plans
from minijvp.core.types import type_of
from minijvp.errors import ArgumentError
from minijvp.operations.elementwise import mul
from minijvp.tracebacks import border
from minijvp.transforms.taylor import taylor_flat
from minijvp.trees import FlatFunction


@border
def taylor(fun: Callable[[Any], Any], x: Any, direction: Any, order: int) -> tuple[Any, ...]:
    """The Taylor coefficients of `fun` at `x` in a direction, normalised: those of fun(x + t * direction) in t.

    taylor : (a -> b) -> (a, T a) -> [b]

    Args:
        fun: takes a pytree of arrays and returns one.
        x: the point.
        direction: of the tree, shapes and dtypes of `x`; integers and booleans have dtype float0.
        order: the highest power of t, at least 1.

    Returns `order + 1` pytrees of the form of the result, the first of which is `fun(x)`; number k is the derivative of
    order k, divided by k!. The cost grows with the square of the order, and not exponentially as that of nested
    derivatives does.

    Raises ArgumentError for an order that is no positive integer, and for a direction that does not fit `x`.

    Source: A. Griewank and A. Walther, Evaluating Derivatives, 2nd edition, SIAM 2008, chapter 13.

    >>> import minijvp, minijvp.numpy as mnp
    >>> [round(float(c), 4) for c in minijvp.taylor(mnp.exp, 0.0, 1.0, 4)]
    [1.0, 1.0, 0.5, 0.1667, 0.0417]
    """
    trees.require_callable(fun, "taylor")
    n = trees.as_index(order)
    if n is None or n < 1:
        raise ArgumentError(
            f"the order of taylor is {order!r:.200}.",
            "It is the number of coefficients besides the value, which is known before the function runs.",
            "Pass a positive integer; the value alone is fun(x).",
        )
    leaves, tree = tree_flatten((x,))
    leaves = trees.as_arrays(leaves, leaf_namer(x, "x"))
    given, given_tree = tree_flatten((direction,))
    require_same_tree(given_tree, tree, "direction", "x")
    directions = from_user(given, list(map(type_of, leaves)), "direction", leaf_namer(direction, "direction"))
    series = [None if t is None else [t, *[None] * (n - 1)] for t in directions]
    flat = FlatFunction(fun, tree)
    with transforming(JVP):
        outs, found = taylor_flat(flat.positional, leaves, series, n)
    rows = [outs, *[[for_user(s and s[k], out) for s, out in zip(found, outs, strict=True)] for k in range(n)]]
    result = tuple([tree_unflatten(flat.out_tree, row) for row in rows])
    if other_plans:
        hooks.check(result, partial(taylor, fun, order=order), (x, direction), {})
    return result


@border
def jet(
    fun: Callable[..., Any],
    primals: Sequence[Any],
    series: Sequence[Sequence[Any]],
    factorial_scaled: bool = True,
    **_: Any,
) -> tuple[Any, Any]:
    """The result of `fun` along a curve, with its derivatives: what jax.experimental.jet.jet gives.

    jet : (a -> b) -> (a, [T a]) -> (b, [T b])

    Args:
        fun: takes pytrees of arrays by position and returns one.
        primals: tuple or list of arguments, where the curve begins.
        series: for each argument a tuple or list of its derivatives along the curve, as many for all, from the first
            on; each has the tree, shapes and dtypes of the argument (integers and booleans have dtype float0).
        factorial_scaled: False for Taylor coefficients in the place of derivatives, in `series` and in the result:
            those of order k are divided by k!.

    Returns `(out, out_series)`; `out_series` has the tree of `out`, with a list of derivatives for each leaf.

    Raises ArgumentError if there are no derivatives, or not as many for all arguments, or of another tree, shape or
    dtype than the argument.

    Source: A. Griewank and A. Walther, Evaluating Derivatives, 2nd edition, SIAM 2008, chapter 13.

    >>> import minijvp, minijvp.numpy as mnp
    >>> out, (first, second) = minijvp.jet(mnp.sin, (0.0,), ((1.0, 3.0),))
    >>> float(out), float(first), float(second)
    (0.0, 1.0, 3.0)
    """
    trees.require_callable(fun, "jet")
    order = require_series(primals, series)
    leaves, tree = tree_flatten(tuple(primals))
    leaves = trees.as_arrays(leaves, leaf_namer(tuple(primals), "primals"))
    types = list(map(type_of, leaves))
    by_order = []
    for k in range(order):
        terms, terms_tree = tree_flatten(tuple([s[k] for s in series]))
        require_same_tree(terms_tree, tree, f"number {k} of each of series", "primals")
        name = leaf_namer(tuple([s[k] for s in series]), "")
        by_order.append(from_user(terms, types, "derivative", lambda i, k=k, name=name: place(name(i), k)))
    factors = [math.factorial(k + 1) if factorial_scaled else 1 for k in range(order)]
    coefficients = [[times(c, 1 / f) for c, f in zip(cs, factors, strict=True)] for cs in zip(*by_order, strict=True)]
    flat = FlatFunction(fun, tree)
    with transforming(JVP):
        outs, found = taylor_flat(flat.positional, leaves, coefficients, order)
    lists = [
        [for_user(s and times(s[k], f), out) for k, f in enumerate(factors)] for s, out in zip(found, outs, strict=True)
    ]
    result = tree_unflatten(flat.out_tree, outs), tree_unflatten(flat.out_tree, lists)
    if other_plans:
        hooks.check(result, partial(jet, fun, factorial_scaled=factorial_scaled), (primals, series), {})
    return result


def times(x: Any, factor: float) -> Any:
    """A coefficient times a number."""
    return x if x is None or factor == 1 else mul(x, float(factor))


def place(leaf: str, k: int) -> str:
    """How messages call derivative `k` of a leaf of the arguments, which is called so."""
    argument, _, path = leaf.partition("]")
    return f"series{argument}][{k}]{path}"


def require_series(primals: Any, series: Any) -> int:
    """The number of derivatives of each argument; ArgumentError if there is none, or not the same one for all."""
    for value, name in ((primals, "primals"), (series, "series")):
        if not isinstance(value, (tuple, list)):
            raise ArgumentError(
                f"{name} of jet is of type {type(value).__name__}.",
                "jet takes the positional arguments of the function in a tuple, and a series for each in another.",
                "Write jet(f, (x,), ((x1, x2, x3),)).",
            )
    if len(primals) != len(series):
        raise ArgumentError(
            f"jet received {len(primals)} primals and {len(series)} series.",
            "Each argument of the function moves along a series of its own.",
            "Pass a series for each; that of a constant is of zeros.",
        )
    for i, terms in enumerate(series):
        if not isinstance(terms, (tuple, list)):
            raise ArgumentError(
                f"series[{i}] of jet is of type {type(terms).__name__}.",
                "A series is a tuple or list of derivatives, from the first on, each of which is like its argument.",
                "Write jet(f, (x,), ((x1, x2, x3),)).",
            )
    lengths = [len(terms) for terms in series]
    if len(set(lengths)) != 1 or not lengths[0]:
        raise ArgumentError(
            f"the series of jet have the lengths {lengths}.",
            "Their length is the order of the derivatives that are wanted, the same for all arguments and at least 1.",
            "Fill up shorter series with zeros.",
        )
    return lengths[0]
