"""The check that jvp rules are linear in their tangents, as reverse mode takes them to be."""

from __future__ import annotations

from collections.abc import Iterable

from minijvp.arguments.linearity import first_error, is_call, is_known_zero, zero_constants
from minijvp.core.jaxpr import Atom, Equation, Jaxpr, Var
from minijvp.custom_rules.custom_jvp import is_recursive
from minijvp.errors import MissingRuleError
from minijvp.transforms.linearize import with_tangent
from minijvp.transforms.transpose import transpose_jaxpr


def require_linear(rule: Jaxpr, n_inputs: int, n_outputs: int, role: str) -> None:
    """Raise MissingRuleError if the program of a jvp rule is not linear in its tangents.

    Those are the inputs from number `n_inputs` on, and the outputs from number `n_outputs` on. `role` names the rule.
    """
    linear: set[Atom] = set(rule.inputs[n_inputs:])
    known_zeros = zero_constants(rule)
    error = first_error(rule, linear, known_zeros, transposition_error, moved_outputs, is_plain_call)
    what = error.what if error else ""
    for v in rule.outputs[n_outputs:]:
        if not what and v not in linear and not is_known_zero(v, known_zeros):
            line = next((f", at {e.source}: {e.source.text}" for e in rule if v in e.outputs and e.source), "")
            what = f"it gives a tangent {v.type!r} that depends on none of them{line}."
    if what:
        raise MissingRuleError(
            f"{role} is not linear in its tangents: {what}",
            "grad, vjp and linearize take the rule for a linear map, and would give wrong numbers with another one. "
            "Forward mode (jvp, jacfwd) runs it as it is.",
            "Make the tangent of the result a sum of terms, each with one tangent in it and otherwise values that "
            "depend on none; or give rules for reverse mode as well (defvjp).",
        )


def is_plain_call(e: Equation) -> bool:
    """Whether an equation is linear if its program is: a call, also that of the function itself by its own rule."""
    return is_call(e) or is_recursive(e)


def transposition_error(e: Equation, linear: set[Atom]) -> MissingRuleError | None:
    """What is wrong with an equation without inner programs that cannot be transposed."""
    inputs = tuple(dict.fromkeys([v for v in e.inputs if type(v) is Var]))
    alone = Jaxpr((), inputs, (e,), e.outputs)
    try:
        transpose_jaxpr(alone, tuple([v in linear for v in inputs]), (True,) * len(e.outputs))
    except MissingRuleError as error:
        return error
    return None


def moved_outputs(e: Equation, linear: set[Atom]) -> Iterable[Atom]:
    """The outputs of an equation with inner programs that have a derivative in the linear variables."""
    try:
        return with_tangent(e, linear)
    except MissingRuleError:
        return e.outputs
