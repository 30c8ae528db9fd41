"""Whether a rule is linear in its tangents, as it promises: the first operation that is not is named with its line."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from minijvp.core.jaxpr import Atom, Equation, Jaxpr, Literal, Var, inner_jaxprs
from minijvp.core.types import is_inexact
from minijvp.errors import MissingRuleError
from minijvp.higher_order.jit import jit_primitive
from minijvp.operations.casting import convert_element_type
from minijvp.operations.elementwise import mul, neg, sub
from minijvp.operations.families import add, broadcast_in_dim, reshape, zeros
from minijvp.transforms.transpose import transpose_jaxpr

KEEPS_ZEROS = {broadcast_in_dim, convert_element_type, mul, neg, reshape}


def require_linear(rule: Jaxpr, n: int, name: str) -> None:
    """Raise MissingRuleError if the program of a jvp rule is not linear in its inputs from number `n` on."""
    known_zeros: set[Atom] = {v for v, x in rule.constants if is_zero_array(x)}
    error = first_error(rule, set(rule.inputs[n:]), known_zeros)
    if error is not None:
        raise MissingRuleError(
            f"the jvp rule of {name} is not linear in its tangents: {error.what}",
            "grad, vjp and linearize take the rule for a linear map, and would give wrong numbers with another one. "
            "Forward mode (jvp, jacfwd) runs it as it is.",
            "Make the tangent of the result a sum of terms, each with one tangent in it and otherwise values that "
            "depend on none; or give rules for reverse mode as well (defvjp).",
        )


def is_zero_array(x: Any) -> bool:
    """Whether a constant of a program is known to be zero."""
    return isinstance(x, (np.ndarray, np.generic, jax.Array)) and is_inexact(x.dtype) and not np.any(x)


def first_error(jaxpr: Jaxpr, linear: set[Atom], known_zeros: set[Atom]) -> MissingRuleError | None:
    """What is wrong with the first equation that is not linear in what depends on the variables `linear`.

    Both sets grow. Inner programs of jit are looked into; what other ones do with a mixture of both cannot be told.
    """
    for e in jaxpr:
        if linear.isdisjoint(e.inputs):
            if is_zero(e, known_zeros):
                known_zeros.update(e.outputs)
            continue
        if e.primitive is jit_primitive:
            error = error_inside(e, linear, known_zeros)
        elif any(inner_jaxprs(e.params)) or not e.outputs:
            error = None
            linear.update(e.outputs)
        else:
            error = error_of(e, linear, known_zeros)
            linear.update(e.outputs)
        if error is not None:
            return error
    return None


def error_inside(e: Equation, linear: set[Atom], known_zeros: set[Atom]) -> MissingRuleError | None:
    """What is wrong in the program of a jit; the outputs that depend on tangents join the others."""
    inner = e.params["jaxpr"]
    pairs = list(zip(inner.inputs, e.inputs, strict=True))
    inner_linear: set[Atom] = {v for v, x in pairs if x in linear}
    inner_zeros: set[Atom] = {v for v, x in pairs if is_known_zero(x, known_zeros)}
    error = first_error(inner, inner_linear, inner_zeros)
    linear.update([v for v, x in zip(e.outputs, inner.outputs, strict=True) if x in inner_linear])
    known_zeros.update([v for v, x in zip(e.outputs, inner.outputs, strict=True) if is_known_zero(x, inner_zeros)])
    return error


def error_of(e: Equation, linear: set[Atom], known_zeros: set[Atom]) -> MissingRuleError | None:
    """What is wrong with an equation that has no inner programs."""
    inputs = tuple(dict.fromkeys([v for v in e.inputs if type(v) is Var]))
    try:
        transpose_jaxpr(
            Jaxpr((), inputs, (e,), e.outputs), tuple([v in linear for v in inputs]), (True,) * len(e.outputs)
        )
    except MissingRuleError as error:
        return error
    added = [v for v in e.inputs if v not in linear and not is_known_zero(v, known_zeros)]
    if e.primitive not in (add, sub) or not added:
        return None
    line = f", at {e.source}: {e.source.text}" if e.source else ""
    what = repr(added[0].value) if type(added[0]) is Literal else f"a {added[0].type!r} that depends on no tangent"
    return MissingRuleError(f"{e.primitive.name} has {what} as an operand beside a tangent{line}.")


def is_zero(e: Equation, known_zeros: set[Atom]) -> bool:
    """Whether the result of an equation is known to be zero."""
    if e.primitive is zeros:
        return True
    return e.primitive in KEEPS_ZEROS and any(is_known_zero(x, known_zeros) for x in e.inputs)


def is_known_zero(x: Atom, known_zeros: set[Atom]) -> bool:
    """Whether an atom is known to be zero."""
    return x in known_zeros or (type(x) is Literal and x.value == 0)
