"""Whether a program is linear in some of its inputs, as it promises; what is not is named with its line.

Transposition finds operations that are not linear. It does not find what is added to linear values: the program is
affine then, and its transpose is that of another one. Zeros may be added; here they are told from other values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from minijvp.core.jaxpr import Atom, Equation, Jaxpr, Literal
from minijvp.core.tracer import is_known
from minijvp.core.types import is_inexact
from minijvp.errors import MissingRuleError
from minijvp.operations.casting import convert_element_type
from minijvp.operations.elementwise import absorbing_mul, mul, neg, sub
from minijvp.operations.families import add, broadcast_in_dim, reshape, zeros

KEEPS_ZEROS = {absorbing_mul, broadcast_in_dim, convert_element_type, mul, neg, reshape}

Judge = Callable[[Equation, set[Atom]], MissingRuleError | None]
"""What is wrong with an equation that has no inner programs, for the variables that are linear."""

Moved = Callable[[Equation, set[Atom]], Iterable[Atom]]
"""The outputs of a loop or a choice that depend on the variables that are linear."""

Calls = Callable[[Equation], bool]
"""Whether an equation just calls its program."""


def is_call(e: Equation) -> bool:
    """Whether an equation is its program, also for derivatives."""
    return e.primitive.is_call


def first_error(
    jaxpr: Jaxpr, linear: set[Atom], known_zeros: set[Atom], judge: Judge, moved: Moved, calls: Calls = is_call
) -> MissingRuleError | None:
    """What is wrong with the first equation that is not linear in what depends on the variables `linear`.

    Both sets grow. Programs of `calls` are looked into; of loops and choices `moved` tells which outputs
    depend on linear values, and nothing whether they do so linearly.
    """
    for e in jaxpr:
        if linear.isdisjoint(e.inputs):
            if is_zero(e, known_zeros):
                known_zeros.update(e.outputs)
            continue
        if calls(e):
            error = error_inside(e, linear, known_zeros, judge, moved, calls)
        elif e.programs or not e.outputs:
            error = None
            linear.update(moved(e, linear))
        else:
            error = judge(e, linear) or affine_error(e, linear, known_zeros)
            linear.update(e.outputs)
        if error is not None:
            return error
    return None


def error_inside(
    e: Equation, linear: set[Atom], known_zeros: set[Atom], judge: Judge, moved: Moved, calls: Calls
) -> MissingRuleError | None:
    """What is wrong in a program that is called; the outputs that are linear or zero join the others."""
    (inner,) = e.primitive.bodies(e.params)
    pairs = list(zip(inner.inputs, e.inputs, strict=True))
    inner_linear: set[Atom] = {v for v, x in pairs if x in linear}
    inner_zeros: set[Atom] = {v for v, x in pairs if is_known_zero(x, known_zeros)}
    error = first_error(inner, inner_linear, inner_zeros, judge, moved, calls)
    linear.update([v for v, x in zip(e.outputs, inner.outputs, strict=True) if x in inner_linear])
    known_zeros.update([v for v, x in zip(e.outputs, inner.outputs, strict=True) if is_known_zero(x, inner_zeros)])
    return error


def affine_error(e: Equation, linear: set[Atom], known_zeros: set[Atom]) -> MissingRuleError | None:
    """The error for an equation that adds to a linear value another one."""
    if e.primitive not in (add, sub):
        return None
    added = [v for v in e.inputs if v not in linear and not is_known_zero(v, known_zeros)]
    if not added:
        return None
    line = f", at {e.source}: {e.source.text}" if e.source else ""
    what = repr(added[0].value) if type(added[0]) is Literal else f"a {added[0].type!r}"
    return MissingRuleError(
        f"the operands of {e.primitive.name} are a linear value and {what} that depends on none{line}.",
        "The function is affine: it has a constant part, which a transpose would drop without a word.",
        "Leave the constant part out.",
    )


def zero_constants(jaxpr: Jaxpr) -> set[Atom]:
    """The constants of a program that are known to be zero."""
    return {v for v, x in jaxpr.constants if is_zero_array(x)}


def is_zero_array(x: Any) -> bool:
    """Whether a constant is known to be zero."""
    return is_known(x) and is_inexact(x.dtype) and not np.any(np.asarray(x))


def is_zero(e: Equation, known_zeros: set[Atom]) -> bool:
    """Whether the result of an equation is known to be zero."""
    if e.primitive is zeros:
        return True
    return e.primitive in KEEPS_ZEROS and any(is_known_zero(x, known_zeros) for x in e.inputs)


def is_known_zero(x: Atom, known_zeros: set[Atom]) -> bool:
    """Whether an atom is known to be zero."""
    return x in known_zeros or (type(x) is Literal and x.value == 0)


def zero_outputs(jaxpr: Jaxpr) -> tuple[bool, ...]:
    """Which outputs of a program are known to be zero, whatever goes in."""
    known_zeros = zero_constants(jaxpr)
    for e in jaxpr:
        if is_zero(e, known_zeros):
            known_zeros.update(e.outputs)
    return tuple([is_known_zero(v, known_zeros) for v in jaxpr.outputs])
