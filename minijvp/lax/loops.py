"""Loops whose bodies are programs, as applications of the primitives: what is not carried is taken out first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minijvp.calls.jit import call
from minijvp.calls.programs import chosen, groups
from minijvp.control_flow.branches import joined
from minijvp.control_flow.cond import cond as cond_primitive
from minijvp.control_flow.scan import scan as scan_primitive
from minijvp.control_flow.while_loop import while_loop as while_primitive
from minijvp.core.jaxpr import Atom, Jaxpr, Var, evaluate
from minijvp.core.tracer import is_traced, resolved
from minijvp.core.types import Array, is_inexact, type_of
from minijvp.errors import ArgumentError
from minijvp.lax.segments import scan_segments
from minijvp.operations.casting import convert_element_type
from minijvp.transforms.staging import stage

INT32 = np.dtype(np.int32)


def run_scan(
    jaxpr: Jaxpr,
    carry: Sequence[Any],
    rows: Sequence[Any],
    length: int,
    reverse: bool,
    unroll: int,
    size: int = 0,
    **shown: Any,
) -> tuple[list[Any], list[Any]]:
    """The last carries and the stacked results of a loop with the closed body `jaxpr`, in segments of `size` steps.

    With `progress` it shows a bar.

    What the body hands on is not copied: such carries become constants, and such rows are the result.
    """
    body, constants = jaxpr.hoist_constants()
    k, n = len(constants), len(carry)
    kept = [v is not out for v, out in zip(body.inputs[k : k + n], body.outputs[:n], strict=True)]
    handed: dict[Atom, Any] = dict(zip(body.inputs[k + n :], rows, strict=True))
    results = body.outputs[n:]
    copied = [out not in handed for out in results]
    fixed, moving = ([x for x, flag in zip(carry, kept, strict=True) if flag is wanted] for wanted in (False, True))
    body = with_fixed(body, k, kept, [*kept, *copied])
    how: dict[str, Any] = {"length": length, "reverse": reverse, "unroll": unroll, **shown}
    if size:
        outs = scan_segments(body, [*constants, *fixed], moving, rows, size, **how)
    else:
        counts = {"n_constants": k + len(fixed), "n_carry": len(moving)}
        outs = scan_primitive(*constants, *fixed, *moving, *rows, jaxpr=body, **counts, **how)
    last, new = iter(outs[: len(moving)]), iter(outs[len(moving) :])
    final = [next(last) if flag else x for flag, x in zip(kept, carry, strict=True)]
    return final, [next(new) if flag else handed[v] for flag, v in zip(copied, results, strict=True)]


def with_fixed(body: Jaxpr, n_constants: int, kept: Sequence[bool], outputs: Sequence[bool]) -> Jaxpr:
    """The body in which carries that are not `kept` are constants, and with the outputs that are true."""
    if all(kept) and all(outputs):
        return body
    constants, carry, rows = groups(body.inputs, n_constants, len(kept))
    carry = sorted(zip(kept, carry, strict=True), key=lambda pair: pair[0])  # False comes first
    inputs = (*constants, *(v for _, v in carry), *rows)
    return Jaxpr((), inputs, body.equations, tuple(chosen(body.outputs, outputs)), body.name).without_dead_code()


def run_while(cond_jaxpr: Jaxpr, body_jaxpr: Jaxpr, carry: Sequence[Any], **shown: Any) -> list[Any]:
    """The last carries of a loop with closed programs. Carries that the body hands on become constants."""
    condition, cond_constants = cond_jaxpr.hoist_constants()
    body, constants = body_jaxpr.hoist_constants()
    k, k_cond = len(constants), len(cond_constants)
    kept = [v is not out for v, out in zip(body.inputs[k:], body.outputs, strict=True)]
    fixed, moving = ([x for x, flag in zip(carry, kept, strict=True) if flag is wanted] for wanted in (False, True))
    outs = while_primitive(
        *cond_constants,
        *fixed,
        *constants,
        *fixed,
        *moving,
        cond_jaxpr=with_fixed(condition, k_cond, kept, [True]),
        body_jaxpr=with_fixed(body, k, kept, kept),
        n_cond_constants=k_cond + len(fixed),
        n_body_constants=k + len(fixed),
        **shown,
    )
    last = iter(outs)
    return [next(last) if flag else x for flag, x in zip(kept, carry, strict=True)]


def run_bounded(
    cond_jaxpr: Jaxpr, body_jaxpr: Jaxpr, carry: Sequence[Any], max_steps: int, function: str, **shown: Any
) -> list[Any]:
    """The last carries of a while loop, as a scan of `max_steps` steps of which those after the end do nothing."""
    moving = [v is not out for v, out in zip(body_jaxpr.inputs, body_jaxpr.outputs, strict=True)]
    inputs = tuple(Var(v.type) for v in body_jaxpr.inputs)
    nothing = Jaxpr((), inputs, (), tuple(chosen(inputs, moving)))
    branches, constants = joined([nothing, body_jaxpr.without_dead_code(moving)])

    def step(*carry: Any) -> list[Any]:
        (running,) = evaluate(cond_jaxpr, *carry)
        outs = iter(cond_primitive(as_number(running), *constants, *carry, branches=tuple(branches)))
        return [next(outs) if flag else x for x, flag in zip(carry, moving, strict=True)]

    program = stage(step, body_jaxpr.in_types, body_jaxpr.name)
    last, _ = run_scan(program, carry, [], max_steps, False, 1, **shown)
    (running,) = resolved(call(cond_jaxpr, *last))  # a gradient that recurs has values, where they are asked for
    if not is_traced(running):
        if running:
            raise too_many(function, max_steps)
        return last
    # A wrong number must not look like a right one, nor a derivative of it.
    flags = [is_inexact(type_of(x).dtype) for x in last]
    floats = chosen(last, flags)
    types = [type_of(x) for x in floats]
    branches = tuple(stage(lambda *xs, y=y: [x * y if y else x for x in xs], types) for y in (None, math.nan))
    poisoned = iter(cond_primitive(as_number(running), *floats, branches=branches) if floats else ())
    return [next(poisoned) if flag else x for x, flag in zip(last, flags, strict=True)]


def too_many(function: str, max_steps: int) -> ArgumentError:
    """The error of a loop that wants more steps than it may take."""
    return ArgumentError(
        f"the {function} is not at its end after max_steps={max_steps}.",
        "The carries of that step are not what the loop is to compute.",
        "Allow more steps; or omit max_steps, and there may be any number of them.",
    )


def as_number(pred: Array) -> Array:
    """A bool as the index of a branch."""
    return convert_element_type(pred, new_dtype=INT32, weak_type=False)
