"""Choices and loops as Python runs them, for whoever looks into them: inside of disable_jit.

The functions of the user receive values, so that they can be printed, inspected and stepped through.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from jax.tree_util import tree_map, tree_unflatten

from minijvp.core.tracing import Tracer, is_tracer_of_jax
from minijvp.core.types import jit_is_disabled
from minijvp.errors import ConcretizationError
from minijvp.lax.bodies import Tree, run
from minijvp.numpy.promotion import array
from minijvp.operations import shape as shapes

UNKNOWN = object()
"""What stands for a result if Python cannot tell: a value decides that is not there."""


def known_index(x: Any) -> int | None:
    """The number or the predicate of a choice that Python is to make; None if it is not to, or cannot."""
    if not jit_is_disabled() or is_tracer_of_jax(x):
        return None
    try:
        return int(x.known_value("a choice") if isinstance(x, Tracer) else x)
    except ConcretizationError:
        return None


def loop_over_rows(
    f: Callable[[Any, Any], tuple[Any, Any]], carry: Any, rows: Tree, length: int, reverse: bool
) -> tuple[Any, Any]:
    """The last carry, and the stacked rows of the results, of a loop with one step at least."""
    results = []
    for i in reversed(range(length)) if reverse else range(length):
        row = tree_unflatten(rows.structure, [x[i] for x in rows.leaves])
        carry, y = f(carry, row)
        results.append(y)
    return carry, tree_map(stacked, *(reversed(results) if reverse else results))


def stacked(*rows: Any) -> Any:
    """Arrays of one shape along a new leading axis."""
    return shapes.concatenate(*[shapes.expand_dims(array(x, "a row"), (0,)) for x in rows], dimension=0)


def loop_while(
    cond_fun: Callable[[Any], Any], body_fun: Callable[[Any], Any], carry: Any, max_steps: int | None
) -> Any:
    """The first carry for which the condition is false, or UNKNOWN; also if that takes more than `max_steps`."""
    n = 0
    try:
        while run(cond_fun, "cond_fun of while_loop", (carry,)):
            if n == max_steps:
                return UNKNOWN
            carry = run(body_fun, "body_fun of while_loop", (carry,))
            n += 1
    except (ConcretizationError, jax.errors.ConcretizationTypeError):
        return UNKNOWN
    return carry
