"""Loops whose number of steps is not in the program: while_loop, and fori_loop, which may be a scan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from jax.tree_util import tree_structure, tree_unflatten

from minijvp.arguments.tangents import leaf_namer
from minijvp.calls.programs import Extension
from minijvp.control_flow.progress import bar_of
from minijvp.core.jaxpr import Jaxpr, Literal
from minijvp.core.tracer import Tracer, is_traced
from minijvp.core.types import Array, is_inexact, jit_is_disabled, type_of
from minijvp.errors import ArgumentError, ConcretizationError
from minijvp.lax.bodies import Tree, require_functions, run, staged
from minijvp.lax.control_flow import Carry, require_unroll, scalar, stage_loop
from minijvp.lax.loops import run_bounded, run_scan, run_while, too_many
from minijvp.lax.plain import count_plainly, while_plainly
from minijvp.numpy.promotion import array, kind_of
from minijvp.operations.casting import convert_element_type
from minijvp.operations.elementwise import lt
from minijvp.tracebacks import border
from minijvp.transforms.staging import stage
from minijvp.trees import place_of

__all__ = ["fori_loop", "while_loop"]


@border
def while_loop(
    cond_fun: Callable[[Any], Any],
    body_fun: Callable[[Any], Any],
    init_val: Carry,
    *,
    max_steps: int | None = None,
    progress: str | None = None,
) -> Carry:
    """The first of `x`, `body_fun(x)`, `body_fun(body_fun(x))` ... for which `cond_fun` is false.

    while_loop : (a -> Bool, a -> a) -> a -> a

    Args:
        cond_fun: takes a carry and returns a bool without axes.
        body_fun: takes a carry and returns the next one, of the same types.
        init_val: the first carry `x`, a pytree of arrays.
        max_steps: how many steps there are at most. Reverse mode then keeps what each of them needs, and computes
            none again; and every call goes through so many turns, of which those after the end do nothing.
        progress: the name of a bar that counts the steps while they are made (see minijvp.progress).

    Under vmap the loop runs as long as a lane wants to; lanes that are done keep their values. It is differentiated in
    reverse mode too: the way back computes the steps again, from a number of kept carries that does not depend on
    how many steps there were (see minijvp.control_flow.reverse_loop).

    A loop that is not at its end after `max_steps` raises ArgumentError; where that is not known before the program
    runs (under jit or vmap), all floats of the result are NaN, and so are their derivatives.

    Raises ArgumentError if `cond_fun` returns something else, or if the carry changes its types.

    >>> import minijvp
    >>> double = lambda x: minijvp.lax.while_loop(lambda x: x < 100, lambda x: 2 * x, x)
    >>> float(double(3.0)), float(minijvp.grad(double)(3.0))
    (192.0, 64.0)
    """
    require_functions("while_loop", [("cond_fun", cond_fun), ("body_fun", body_fun)])
    max_steps = require_steps(max_steps, "while_loop")
    shown = bar_of(progress, "while_loop")
    if jit_is_disabled():
        init_val, ended = while_plainly(cond_fun, body_fun, init_val, max_steps, **shown)
        if ended:
            return init_val
    carry = Tree(init_val, leaf_namer(init_val, "init_val of while_loop"))
    jaxpr, carry, _ = stage_loop(
        "while_loop", body_fun, "body_fun", carry, lambda c: staged(body_fun, "body_fun of while_loop", [c.signature])
    )
    condition, (wanted,) = staged(cond_fun, "cond_fun of while_loop", [carry.signature])
    require_predicate(cond_fun, wanted)
    if max_steps is None:
        return tree_unflatten(carry.structure, run_while(condition, jaxpr, carry.leaves, **shown))
    last = run_bounded(condition, jaxpr, carry.leaves, max_steps, "while_loop", **shown)
    return tree_unflatten(carry.structure, last)


def require_steps(max_steps: Any, function: str) -> int | None:
    """How many steps a loop may take, or None; ArgumentError if it is no such number."""
    if max_steps is None:
        return None
    if isinstance(max_steps, (int, np.integer)) and type(max_steps) is not bool and max_steps >= 0:
        return int(max_steps)
    if isinstance(max_steps, Tracer):
        raise ConcretizationError(
            f"max_steps of {function} is a traced {max_steps.type!r}{max_steps.origin()}.",
            "Reverse mode keeps arrays of that size, and sizes are not traced.",
            "Omit it: without it there may be any number of steps. Or make it a static argument of jit.",
        )
    raise ArgumentError(
        f"max_steps of {function} is {max_steps!r:.200} of type {type(max_steps).__name__}.",
        "It is a number of steps.",
        "Pass an integer that is not negative, or None for a loop that may take any number of steps.",
    )


def require_predicate(cond_fun: Callable[..., Any], result: Tree) -> None:
    """Raise ArgumentError unless the condition of a while loop returned one bool."""
    if len(result.leaves) == 1 and result.structure.num_nodes == 1:
        (t,) = result.types
        if not t.shape and t.dtype == bool:
            return
        found = repr(t)
    else:
        found = str(result.structure)
    raise ArgumentError(
        f"cond_fun of while_loop, {place_of(cond_fun)}, returned {found}.",
        "It decides whether the loop goes on: its result is a bool without axes.",
        "Compare (x > 0), or reduce (mnp.any, mnp.all).",
    )


@border
def fori_loop(
    lower: Array,
    upper: Array,
    body_fun: Callable[[Any, Any], Any],
    init_val: Carry,
    *,
    unroll: int | bool | None = None,
    max_steps: int | None = None,
    progress: str | None = None,
) -> Carry:
    """The carry after `x = body_fun(i, x)` for i from `lower` to before `upper`.

    With bounds that are known while tracing it is a scan, else a while_loop.

    Args:
        lower, upper: integers without axes, of one dtype. Floats too: those that are known while tracing count as
            integers, towards zero; between others the number is a float.
        body_fun: takes a number and a carry, and returns the next carry, of the same types.
        init_val: the first carry, a pytree of arrays.
        unroll: how many steps make a turn of the compiled loop, if the bounds are known.
        max_steps: how many steps there are at most if the bounds are traced, as for while_loop.
        progress: the name of a bar that shows how far the loop is, while it runs (see minijvp.progress).

    Raises ArgumentError for bounds that are no such numbers, and if the carry changes its types.

    >>> import minijvp
    >>> int(minijvp.lax.fori_loop(1, 5, lambda i, x: x * i, 1))
    24
    """
    require_functions("fori_loop", [("body_fun", body_fun)])
    if is_bool(lower) is not is_bool(upper):
        raise ArgumentError(
            f"the bounds of fori_loop are {lower!r:.99} and {upper!r:.99}.",
            "The counter goes from one to the other and has one dtype.",
            "Pass integers.",
        )
    lower, upper = (bound(x, f"{k} of fori_loop") for k, x in (("lower", lower), ("upper", upper)))
    max_steps = require_steps(max_steps, "fori_loop")
    shown = bar_of(progress, "fori_loop")
    static = not any(is_traced(x) for x in (lower, upper))
    if not static or is_inexact(type_of(lower).dtype) != is_inexact(type_of(upper).dtype):
        lower, upper = same_dtype(lower, upper)
    n = max(int(upper) - int(lower), 0) if static else 0
    if max_steps is not None and n > max_steps:
        raise too_many("fori_loop", max_steps)
    if jit_is_disabled() and not static and unroll in (None, False, 1):
        step = lambda state: (state[0] + 1, run(body_fun, "body_fun of fori_loop", state))
        goes_on = lambda state: state[0] < upper
        (lower, init_val), ended = while_plainly(goes_on, step, (lower, init_val), max_steps, "fori_loop", **shown)
        if ended:
            return init_val
    carry = Tree(init_val, leaf_namer(init_val, "init_val of fori_loop"))
    if jit_is_disabled() and static:
        return count_plainly(body_fun, int(lower), n, carry, **shown)
    lower = array(int(lower) if static else lower, "fori_loop")
    counter = tree_structure(0), [type_of(lower)]
    jaxpr, carry, _ = stage_loop(
        "fori_loop",
        body_fun,
        "body_fun",
        carry,
        lambda c: staged(body_fun, "body_fun of fori_loop", [counter, c.signature]),
    )
    program = counting(jaxpr)
    if static:
        turn = require_unroll(False if unroll is None else unroll, n, "fori_loop")
        last, _ = run_scan(program, [lower, *carry.leaves], [], n, False, turn, **shown)
    elif unroll in (None, False, 1):
        condition = stage(lambda i, *rest: [lt(i, upper)], [type_of(lower), *carry.types])
        first = [lower, *carry.leaves]
        if max_steps is None:
            last = run_while(condition, program, first, **shown)
        else:
            last = run_bounded(condition, program, first, max_steps, "fori_loop", **shown)
    else:
        raise ArgumentError(
            f"fori_loop received unroll={unroll!r}, and bounds that are traced.",
            "How many steps there will be is not known, so a turn of the loop has one.",
            "Omit unroll, or make the bounds static.",
        )
    return tree_unflatten(carry.structure, last[1:])


def counting(jaxpr: Jaxpr) -> Jaxpr:
    """A body that takes a number and carries and gives the next carries, as one that gives the next number too."""
    body = Extension(jaxpr)
    counter = jaxpr.inputs[0]
    one = 1.0 if is_inexact(counter.type.dtype) else 1
    number = body.sum(counter, Literal(one, type_of(one)))
    return replace(body.finish(jaxpr.inputs, [number, *jaxpr.outputs]), constants=jaxpr.constants)


def bound(x: Any, what: str) -> Array:
    """A bound of a counting loop; a bool that Python knows is a number."""
    return int(x) if is_bool(x) else scalar(x, what, "iuf", "a number")


def is_bool(x: Any) -> bool:
    """Whether a value is a bool that Python knows."""
    return type(x) is bool or type(x) is np.bool_


def same_dtype(lower: Array, upper: Array) -> tuple[Any, Any]:
    """The bounds of a loop in one dtype; ArgumentError if they have two and none of them is weak."""
    (first, first_weak), (second, second_weak) = kind_of(lower), kind_of(upper)
    if first == second:
        return lower, upper
    if first_weak is second_weak or not first.kind == second.kind or first.kind not in "if":
        raise ArgumentError(
            f"the bounds of fori_loop are {type_of(lower)!r} and {type_of(upper)!r}.",
            "The counter goes from one to the other and has one dtype.",
            "Convert one: lower.astype(upper.dtype).",
        )
    dtype = second if first_weak else first
    return tuple(convert_element_type(x, new_dtype=dtype, weak_type=False) for x in (lower, upper))  # type: ignore[return-value]
