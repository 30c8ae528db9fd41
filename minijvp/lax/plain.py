"""Loops and choices inside of disable_jit, by Python's own `for`, `while` and `if`: their functions see the values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from jax.tree_util import tree_map, tree_unflatten

from minijvp import trees
from minijvp.arguments.tangents import leaf_namer
from minijvp.control_flow.progress import Bar, counted
from minijvp.core.types import jit_is_disabled
from minijvp.errors import ConcretizationError
from minijvp.lax.bodies import Tree, pair, run
from minijvp.lax.loops import too_many
from minijvp.numpy.manipulation import stack
from minijvp.numpy.promotion import array

NOT_KNOWN = ConcretizationError, jax.errors.ConcretizationTypeError, jax.errors.TracerIntegerConversionError


def number_of(x: Any, read: Callable[[Any], int] = int) -> int | None:
    """The number of a branch, or whether a loop goes on (by `bool`), inside of disable_jit; None if it is not known.

    Inside of vmap or of a function that is staged it is not known, and the choice stays an operation.
    """
    if not jit_is_disabled():
        return None
    try:
        return read(x)
    except NOT_KNOWN:
        return None


def as_arrays(value: Any, what: str) -> Any:
    """A tree with its leaves as arrays."""
    return trees.with_arrays(value, lambda tree: leaf_namer(tree, what))


def scan_plainly(
    f: Callable[[Any, Any], tuple[Any, Any]],
    carry: Tree,
    rows: Tree,
    length: int,
    reverse: bool,
    progress: Bar | None = None,
) -> tuple[Any, Any]:
    """The last carry and the stacked results, of one step at least: without any, the type of a result is not known."""
    value, results = tree_unflatten(carry.structure, carry.leaves), []
    with counted(progress, length) as step:
        for i in reversed(range(length)) if reverse else range(length):
            row = tree_unflatten(rows.structure, [x[i] for x in rows.leaves])
            value, result = pair(f, run(f, "f of scan", (value, row)))
            results.append(as_arrays(result, "a result of scan"))
            step()
    if reverse:
        results.reverse()
    return as_arrays(value, "the carry of scan"), tree_map(lambda *ys: stack(ys), *results)


def while_plainly(
    cond_fun: Callable[[Any], Any],
    body_fun: Callable[[Any], Any],
    value: Any,
    max_steps: int | None,
    function: str = "while_loop",
    progress: Bar | None = None,
) -> tuple[Any, bool]:
    """The last carry and True; or False, and the carry from which on the condition is not known."""
    value, steps = as_arrays(value, f"init_val of {function}"), 0
    with counted(progress, None) as step:
        while True:
            going_on = number_of(run(cond_fun, f"cond_fun of {function}", (value,)), bool)
            if not going_on:
                return value, going_on is not None
            if steps == max_steps:
                raise too_many(function, steps)
            value = as_arrays(run(body_fun, f"body_fun of {function}", (value,)), f"the carry of {function}")
            steps += 1
            step()


def count_plainly(
    body_fun: Callable[[Any, Any], Any], lower: int, n: int, carry: Tree, progress: Bar | None = None
) -> Any:
    """The carry after `n` steps from `lower`."""
    value = tree_unflatten(carry.structure, carry.leaves)
    with counted(progress, n) as step:
        for i in range(lower, lower + n):
            value = run(body_fun, "body_fun of fori_loop", (array(i, "fori_loop"), value))
            step()
    return as_arrays(value, "the carry of fori_loop")
