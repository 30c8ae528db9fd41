"""The table's other half: primitives of JAX that carry programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jax.extend.core import ClosedJaxpr, JaxprEqn

from minijvp.core.jaxpr import Jaxpr, evaluate, inner_jaxprs
from minijvp.higher_order.cond import cond as cond_primitive
from minijvp.higher_order.custom_jvp import custom_jvp_call
from minijvp.higher_order.custom_vjp import custom_vjp_call
from minijvp.higher_order.jit import jit_primitive
from minijvp.higher_order.scan import scan as scan_primitive
from minijvp.higher_order.while_loop import while_loop as while_primitive
from minijvp.interop.reading import in_types, interpret, read_open, read_together, translates
from minijvp.interop.rules import Call, captured, jvp_rule, vjp_rules

INLINED = 24
"""A jitted function of JAX with at most so many equations becomes part of the program that calls it."""


def size(jaxpr: Jaxpr) -> int:
    """The number of equations, those of inner programs included."""
    return sum(1 + sum(map(size, inner_jaxprs(e.params))) for e in jaxpr.equations)


@translates("jit", "pjit", contextual=True)
def jit(equation: JaxprEqn, *inputs: Any) -> Any:
    """A small program's equations; a larger one stays one compiled program."""
    closed = equation.params["jaxpr"]
    jaxpr, constants = read_open(closed, equation.params.get("name", ""))
    if size(jaxpr) <= INLINED:
        return evaluate(jaxpr, *constants, *in_types(inputs, closed.jaxpr.invars))
    return jit_primitive(*constants, *in_types(inputs, closed.jaxpr.invars), jaxpr=jaxpr)


@translates("closed_call", "core_call", "core_closed_call", "call", contextual=True)
def call(equation: JaxprEqn, *inputs: Any) -> Any:
    """The equations of a program that is called, and no more."""
    program = equation.params.get("call_jaxpr") or equation.params["jaxpr"]
    if isinstance(program, ClosedJaxpr):
        return interpret(program.jaxpr, program.consts, inputs)
    return interpret(program, (), inputs)


@translates("custom_jvp_call", contextual=True)
def custom_jvp(equation: JaxprEqn, *inputs: Any) -> Any:
    """A function with a rule for tangents, which is asked for when it is needed."""
    call, jaxpr, operands = with_rule(equation, inputs)
    return custom_jvp_call(*operands, jaxpr=jaxpr, rule=jvp_rule(call), name=call.name)


@translates("custom_vjp_call", contextual=True)
def custom_vjp(equation: JaxprEqn, *inputs: Any) -> Any:
    """A function with rules for cotangents, which are asked for when they are needed."""
    call, jaxpr, operands = with_rule(equation, inputs)
    fwd, bwd = vjp_rules(call)
    return custom_vjp_call(*operands, jaxpr=jaxpr, fwd=fwd, bwd=bwd, name=call.name)


def with_rule(equation: JaxprEqn, inputs: Sequence[Any]) -> tuple[Call, Jaxpr, list[Any]]:
    """The call of a function with a rule, its program, and its operands, which begin with constants."""
    jaxpr, constants = read_open(equation.params["call_jaxpr"])
    call = Call(equation, constants)
    operands = [*constants, *in_types(inputs, equation.invars)]
    for i in range(len(constants), call.n_captured):
        operands[i] = captured(operands[i], function=call.name)
    return call, jaxpr, operands


@translates("cond", contextual=True)
def cond(equation: JaxprEqn, index: Any, *inputs: Any) -> Any:
    """A choice among programs; one whose outcome is known now, as for the platform, is no choice."""
    operands = in_types(inputs, equation.invars[1:])
    if isinstance(index, np.generic):
        branches = equation.params["branches"]
        chosen = branches[int(np.clip(index, 0, len(branches) - 1))]
        return interpret(chosen.jaxpr, chosen.consts, operands)
    jaxprs, constants = read_together(*equation.params["branches"])
    return cond_primitive(index, *constants, *operands, branches=tuple(jaxprs))


@translates("scan", contextual=True)
def scan(equation: JaxprEqn, *inputs: Any) -> Any:
    """A loop over the leading axis of some operands."""
    params = equation.params
    jaxpr, constants = read_open(params["jaxpr"])
    return scan_primitive(
        *constants,
        *in_types(inputs, equation.invars),
        jaxpr=jaxpr,
        n_constants=len(constants) + params["num_consts"],
        n_carry=params["num_carry"],
        length=params["length"],
        reverse=params["reverse"],
        unroll=params["unroll"],
    )


@translates("while", contextual=True)
def while_loop(equation: JaxprEqn, *inputs: Any) -> Any:
    """A loop for as long as a program says so."""
    params, operands = equation.params, in_types(inputs, equation.invars)
    cond_jaxpr, cond_constants = read_open(params["cond_jaxpr"])
    body_jaxpr, body_constants = read_open(params["body_jaxpr"])
    n = params["cond_nconsts"]
    return while_primitive(
        *cond_constants,
        *operands[:n],
        *body_constants,
        *operands[n:],
        cond_jaxpr=cond_jaxpr,
        body_jaxpr=body_jaxpr,
        n_cond_constants=n + len(cond_constants),
        n_body_constants=params["body_nconsts"] + len(body_constants),
    )
