"""Equations of a jaxpr as expressions, and the errors that name the ones which are none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from minijvp.api.taps import Tapping
from minijvp.calls.call import ProgramCall
from minijvp.calls.callback import Callback
from minijvp.control_flow.base import ControlFlow
from minijvp.core.jaxpr import Equation, Literal, run
from minijvp.core.types import ArrayType
from minijvp.errors import ArgumentError, MinijvpError, MissingRuleError
from minijvp.symbolic.arrays import ARRAYS, Elements, UnknownOperand, each, elements, is_known, known, linear
from minijvp.symbolic.elements import elementwise

MAX_ELEMENTS = 400
"""Of an array in a program that is written out."""


def apply(e: Equation, inputs: Sequence[Any], user: str) -> Any:
    """The results of an equation for arrays of expressions; an error names what cannot be one."""
    for v in e.outputs:
        require_small(v.type, lambda: f"the result of {described(e)}")
    xs = [elements(x) for x in inputs]
    try:
        outs = rule(e, xs, user)
    except MinijvpError:
        raise
    except UnknownOperand:
        raise without_form(e, user, "It needs the value of an operand that depends on the arguments.") from None
    except (TypeError, ValueError) as error:  # of SymPy, for operands that are never real
        raise without_form(e, user, f"SymPy refuses it: {str(error).rstrip('.')}.") from None
    return tuple(outs) if e.returns_tuple else outs[0]


def rule(e: Equation, xs: Sequence[Elements], user: str) -> Sequence[Elements]:
    """The results, by the first of the tables and families that knows the primitive."""
    primitive = e.primitive
    if isinstance(primitive, ProgramCall):  # a rule of its author's for the derivative is not looked at
        return run(e.params["jaxpr"], xs, lambda e, xs: apply(e, xs, user))
    if isinstance(primitive, Tapping) or primitive.name == "optimization_barrier":
        return xs[: len(e.outputs)]
    function = elementwise(e)
    if function is not None:
        return (each(function, *xs),)
    out = ARRAYS[primitive.name](e, *xs) if primitive.name in ARRAYS else None
    outs = linear(e, xs) if out is None else (out,)
    if outs is not None:
        return outs
    if not all(map(is_known, xs)):
        raise without_form(e, user, reason(e))
    args = [v.value if isinstance(v, Literal) else known(x, v.type) for x, v in zip(xs, e.inputs, strict=True)]
    found = primitive(*args, **e.params)
    return [elements(x) for x in (found if isinstance(found, tuple) else (found,))]


def reason(e: Equation) -> str:
    """Why an equation is no expression."""
    if isinstance(e.primitive, ControlFlow):
        if not e.primitive.repeats:
            return "Which branch it takes depends on values, and an expression has no branches of programs."
        return "It is a loop, and an expression has none."
    if isinstance(e.primitive, Callback):
        return "It calls a function of Python, whose formula is not known."
    if e.programs:
        return "It runs a program in a way that an expression cannot."
    return "It is an algorithm, or an operation on the bits of numbers, for which minijvp knows no formula."


def without_form(e: Equation, user: str, why: str) -> MissingRuleError:
    """The error for an equation that SymPy cannot express."""
    do = {
        "cond": "Choose between values by minijvp.numpy.where, which becomes a Piecewise",
        "scan": "Write a loop of known length as a loop of Python, which is unrolled",
        "while": "If the length is known beforehand, write a loop of Python, which is unrolled",
    }.get(e.primitive.name, "Write it in functions that have a formula")
    return MissingRuleError(
        f"{user} met {described(e)}, which has no closed form.",
        why,
        f"{do}; or differentiate by minijvp.grad, or minijvp.numerical.derivative, which need no formula.",
    )


def described(e: Equation) -> str:
    """An equation and its line, as messages say them."""
    where = "" if e.source is None else f" at {e.source}" + (f", `{e.source.text}`" if e.source.text else "")
    return f"the equation of {e.primitive.name}{where}"


def require_small(t: ArrayType, what: Callable[[], str]) -> None:
    """Raise ArgumentError for an array that is too large to be written out."""
    if t.size > MAX_ELEMENTS:
        raise ArgumentError(
            f"{what()} is {t!r}: {t.size} elements.",
            f"An expression writes out every element, and is not made of more than {MAX_ELEMENTS}.",
            "Take a smaller array; or differentiate by minijvp.grad, which works on arrays of any size.",
        )
