"""The table's other half: primitives of JAX that carry programs."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, JaxprEqn
from jax.tree_util import tree_leaves, tree_unflatten

from minijvp.calls.callback import debug_callback as debug_callback_primitive
from minijvp.calls.callback import io_callback as io_callback_primitive
from minijvp.calls.callback import pure_callback as pure_callback_primitive
from minijvp.calls.checkpoint import checkpoint as checkpoint_primitive
from minijvp.calls.jit import jit_primitive
from minijvp.calls.policies import of_jax
from minijvp.calls.programs import is_too_deep
from minijvp.control_flow.cond import cond as cond_primitive
from minijvp.control_flow.reduce import reduce as reduce_primitive
from minijvp.control_flow.reduce import reduce_windows
from minijvp.control_flow.scan import scan as scan_primitive
from minijvp.control_flow.while_loop import while_loop as while_primitive
from minijvp.core.jaxpr import Jaxpr, evaluate
from minijvp.core.types import Params, type_in_jax, type_of
from minijvp.custom_rules.custom_jvp import custom_jvp_call
from minijvp.custom_rules.custom_vjp import custom_vjp_call
from minijvp.custom_rules.custom_vmap import custom_vmap_call
from minijvp.custom_rules.linear_solve import custom_linear_solve
from minijvp.interop.first_order import (
    COMPUTATIONS,
    computation,
    held,
    refuse_option,
    split_so,
    static,
    without_placement,
)
from minijvp.interop.reading import INLINED, in_types, interpret, read_open, read_together, translates, type_of_aval
from minijvp.interop.rules import RuledCallOfJax, batch_rule, captured, jvp_rule, vjp_rule_by_zeros, vjp_rules
from minijvp.operations import windows
from minijvp.operations.elementwise import select_n
from minijvp.operations.families import broadcast_in_dim
from minijvp.operations.floating import frexp, ldexp
from minijvp.operations.reduction import reduce_or
from minijvp.transforms.staging import stage


def size(jaxpr: Jaxpr) -> int:
    """The number of equations, those of inner programs included."""
    return sum(1 + sum(map(size, e.programs)) for e in jaxpr.equations)


@translates("jit", "pjit", contextual=True)
def jit(equation: JaxprEqn, *inputs: Any) -> Any:
    """A small program's equations; a larger one stays one compiled program.

    Which arguments are donated, kept though unused or inlined changes no value, and the mesh is that of the shardings.
    """
    params = equation.params
    closed = params["jaxpr"]
    jaxpr, constants = read_open(closed, params.get("name", ""))
    for option in ("in_layouts", "out_layouts"):
        refuse_option("jit", option, next((v for v in params[option] if v is not None), None))
    refuse_option("jit", "compiler_options", params["compiler_options_kvs"] or None)
    operands = held(in_types(inputs, closed.jaxpr.invars), params["in_shardings"])
    if size(jaxpr) <= INLINED or is_too_deep(jaxpr):
        outs = evaluate(jaxpr, *constants, *operands)
    else:
        outs = jit_primitive(*constants, *operands, jaxpr=jaxpr)
    return held(outs, params["out_shardings"])


@translates("closed_call", "core_call", "core_closed_call", "call", "eval_jaxpr", contextual=True)
def call(equation: JaxprEqn, *inputs: Any) -> Any:
    """The equations of a program that is called, and no more."""
    program = as_closed(equation.params.get("call_jaxpr") or equation.params["jaxpr"])
    return interpret(program.jaxpr, program.consts, inputs)


@translates("custom_vmap_call", contextual=True)
def custom_vmap(equation: JaxprEqn, *inputs: Any) -> Any:
    """A function with a rule for batches."""
    jaxpr, constants = read_open(as_closed(equation.params["call"]))
    call = RuledCallOfJax(equation, constants)
    operands = [*constants, *in_types(inputs, equation.invars)]
    return custom_vmap_call(*operands, jaxpr=jaxpr, rule=batch_rule(call))


@translates("remat_opt")
def remat_opt(*inputs: Any, fwd_jaxpr: ClosedJaxpr, fun_jaxpr_thunk: Any, num_consts: int, num_res: int) -> Any:
    """The rule of a function with optimize_remat, which computes residuals even where they are not read.

    JAX chooses between it and the function itself, which gives the same results without the residuals.
    """
    program = as_closed(fwd_jaxpr)
    return interpret(program.jaxpr, program.consts, inputs)


def as_closed(jaxpr: Any) -> ClosedJaxpr:
    """A program of JAX with its constants; an open one has none."""
    return jaxpr if isinstance(jaxpr, ClosedJaxpr) else ClosedJaxpr(jaxpr, ())


@translates("custom_jvp_call", contextual=True)
def custom_jvp(equation: JaxprEqn, *inputs: Any) -> Any:
    """A function with a rule for tangents, which is asked for when it is needed."""
    return by_tangents(equation, equation.params["call_jaxpr"], inputs)


@translates("custom_vjp_call", contextual=True)
def custom_vjp(equation: JaxprEqn, *inputs: Any) -> Any:
    """A function with rules for cotangents, which are asked for when they are needed."""
    return by_cotangents(equation, equation.params["call_jaxpr"], inputs)


def by_tangents(equation: JaxprEqn, program: ClosedJaxpr, inputs: Sequence[Any]) -> Any:
    """The results of a program whose derivative is the rule for tangents that the equation has."""
    call, jaxpr, operands = with_rule(equation, program, inputs)
    return custom_jvp_call(*operands, jaxpr=jaxpr, rule=jvp_rule(call, knows_zeros(equation)), name=call.name)


def by_cotangents(equation: JaxprEqn, program: ClosedJaxpr, inputs: Sequence[Any]) -> Any:
    """The results of a program whose derivative is by the rules for cotangents that the equation has."""
    call, jaxpr, operands = with_rule(equation, program, inputs)
    if knows_zeros(equation):
        return custom_jvp_call(*operands, jaxpr=jaxpr, rule=vjp_rule_by_zeros(call), name=call.name)
    fwd, bwd = vjp_rules(call)
    return custom_vjp_call(*operands, jaxpr=jaxpr, fwd=fwd, bwd=bwd, name=call.name)


def knows_zeros(equation: JaxprEqn) -> bool:
    """Whether the rule of a function asked to be told what is zero."""
    primitive = equation.params.get("_prim")
    return bool(
        equation.params.get("symbolic_zeros") or getattr(primitive, "symbolic_zeros", getattr(primitive, "symz", False))
    )


def with_rule(
    equation: JaxprEqn, program: ClosedJaxpr, inputs: Sequence[Any]
) -> tuple[RuledCallOfJax, Jaxpr, list[Any]]:
    """The call of a function with a rule, its program, and its operands, which begin with constants."""
    jaxpr, constants = read_open(program)
    call = RuledCallOfJax(equation, constants)
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
    n_constants, n_carry = constants_and_carry(params)
    return scan_primitive(
        *constants,
        *in_types(inputs, equation.invars),
        jaxpr=jaxpr,
        n_constants=len(constants) + n_constants,
        n_carry=n_carry,
        length=params["length"],
        reverse=params["reverse"],
        unroll=params["unroll"],
    )


def constants_and_carry(params: Params) -> tuple[int, int]:
    """How many constants and how many carries a scan has."""
    if "ft_in" in params:  # JAX 0.12 has the three groups of operands for the numbers of them
        n_constants, n_carry, _ = map(len, params["ft_in"].unpack())
        return n_constants, n_carry
    return params["num_consts"], params["num_carry"]


@translates("while", contextual=True)
def while_loop(equation: JaxprEqn, *inputs: Any) -> Any:
    """A loop for as long as a program says so."""
    params, operands = equation.params, in_types(inputs, equation.invars)
    cond_jaxpr, cond_constants = read_open(params["cond_jaxpr"])
    body_jaxpr, body_constants = read_open(params["body_jaxpr"])
    n = params["cond_nconsts"]
    cond_constants = [*cond_constants, *operands[:n]]
    body_constants = [*body_constants, *operands[n : n + params["body_nconsts"]]]
    carry = operands[n + params["body_nconsts"] :]
    if cond_jaxpr.out_types[0].shape:
        cond_jaxpr, body_jaxpr = until_all_are_done(cond_jaxpr, body_jaxpr, len(cond_constants))
        body_constants = [*cond_constants, *body_constants]
    return while_primitive(
        *cond_constants,
        *body_constants,
        *carry,
        cond_jaxpr=cond_jaxpr,
        body_jaxpr=body_jaxpr,
        n_cond_constants=len(cond_constants),
        n_body_constants=len(body_constants),
    )


def until_all_are_done(cond: Jaxpr, body: Jaxpr, n_constants: int) -> tuple[Jaxpr, Jaxpr]:
    """The programs of a loop whose condition is an array: elements for which it does not hold change no more.

    The second takes the `n_constants` constants of the condition before its own.
    """
    types = cond.in_types[:n_constants]
    n_carry = len(cond.inputs) - n_constants

    def any_goes_on(*args: Any) -> list[Any]:
        (goes_on,) = evaluate(cond, *args)
        return [reduce_or(goes_on, axes=tuple(range(type_of(goes_on).ndim)))]

    def step(*args: Any) -> list[Any]:
        constants, rest = args[:n_constants], args[n_constants:]
        carry = rest[len(rest) - n_carry :]
        (goes_on,) = evaluate(cond, *constants, *carry)
        return [where(goes_on, new, old) for new, old in zip(evaluate(body, *rest), carry, strict=True)]

    return stage(any_goes_on, cond.in_types, cond.name), stage(step, (*types, *body.in_types), body.name)


def where(condition: Any, x: Any, y: Any) -> Any:
    """x or y, as a condition on their leading axes says."""
    shape, leading = type_of(x).shape, tuple(range(type_of(condition).ndim))
    return select_n(broadcast_in_dim(condition, shape=shape, broadcast_dimensions=leading), y, x)


@translates("custom_linear_solve", contextual=True)
def linear_solve(equation: JaxprEqn, *inputs: Any) -> Any:
    """The solution of linear equations, whose derivative follows from the equation."""
    programs, lengths = equation.params["jaxprs"], equation.params["const_lengths"]
    operands = iter(in_types(inputs, equation.invars))
    args: list[Any] = []
    jaxprs: dict[str, Jaxpr | None] = {}
    const_lengths = []
    for name, closed, n in zip(programs._fields, programs, lengths, strict=True):
        jaxpr, constants = (None, ()) if closed is None else read_open(closed)
        jaxprs[name] = jaxpr
        args += [*constants, *(next(operands) for _ in range(n))]
        const_lengths.append(len(constants) + n)
    b = list(operands)
    return custom_linear_solve(
        *args, *b, **jaxprs, const_lengths=tuple(const_lengths), n_aux=len(equation.outvars) - len(b)
    )


@translates("remat2", "remat", "checkpoint", contextual=True)
def checkpoint(equation: JaxprEqn, *inputs: Any) -> Any:
    """A program of which reverse mode stores nothing but the inputs."""
    params = equation.params
    jaxpr, constants = read_open(as_closed(params["jaxpr"]))
    operands = in_types(inputs, equation.invars)
    policy = params["policy"] and of_jax(params["policy"])
    return checkpoint_primitive(*constants, *operands, jaxpr=jaxpr, prevent_cse=params["prevent_cse"], policy=policy)


@translates("pure_callback")
def pure_callback(*inputs: Any, callback: Any, result_avals: Any, vmap_method: Any, sharding: Any = None) -> Any:
    """A call of a Python function without effects."""
    types = tuple(map(type_of_aval, result_avals))
    how = {"vmap_method": vmap_method, **where_called(sharding)}
    return pure_callback_primitive(*inputs, callback=callback, result_types=types, **how)


@translates("io_callback")
def io_callback(*inputs: Any, callback: Any, result_avals: Any, ordered: bool, sharding: Any = None) -> Any:
    """A call of a Python function with effects."""
    types = tuple(map(type_of_aval, result_avals))
    return io_callback_primitive(
        *inputs, callback=callback, result_types=types, ordered=ordered, **where_called(sharding)
    )


def where_called(sharding: Any) -> dict[str, Any]:
    """The parameter that says from which device a callback is called, if one does."""
    return {} if sharding is None else {"sharding": sharding}


@translates("debug_callback")
def debug_callback(*inputs: Any, callback: Any, effect: Any, partitioned: bool = False) -> Any:
    """A call of a Python function that looks at values. The kind of its effect says whether calls keep their order."""
    refuse_option("debug_callback", "partitioned", partitioned or None)
    ordered = type(effect).__name__ == "OrderedDebugEffect"
    return debug_callback_primitive(*inputs, callback=callback, ordered=ordered)


@translates("debug_print", contextual=True)
def debug_print(equation: JaxprEqn, *inputs: Any) -> Any:
    """A line of text with values in it, to where JAX writes it."""
    params = equation.params
    refuse_option("debug_print", "partitioned", params["partitioned"] or None)
    static_args, record = dict(params["static_args"]), params["logging_record"]

    def show(*arrays: Any) -> None:
        rest = iter(arrays)
        n = len(static_args) + len(arrays)
        leaves = [static_args[i] if i in static_args else next(rest) for i in range(n)]
        args, kwargs = tree_unflatten(params["in_tree"], leaves)
        with np.printoptions(**dict(params["np_printoptions"])):
            text = params["fmt"].format(*args, **kwargs) if params["has_placeholders"] else None
        text = " ".join(map(str, (params["fmt"], *args))) if text is None else text
        if record is None:
            print(text)
        else:
            logging.getLogger(record.name).handle(logging.makeLogRecord({**vars(record), "msg": text}))

    return debug_callback_primitive(*inputs, callback=show, ordered=params["ordered"])


@translates("reduce", contextual=True)
def reduce(equation: JaxprEqn, *inputs: Any) -> Any:
    """A reduction by a program of two elements."""
    params = equation.params
    jaxpr, constants = read_open(as_closed(params["jaxpr"]))
    refuse_option("reduce", "a function over arrays", constants or None)
    split_so("reduce", params.get("out_sharding"))
    operands = in_types(inputs, equation.invars)
    return reduce_primitive(*operands, jaxpr=jaxpr, dimensions=static(params["dimensions"]))


@translates("reduce_window", contextual=True)
def reduce_window(equation: JaxprEqn, *inputs: Any) -> Any:
    """Windows reduced by one of the operations that are known by name, or by a program of two elements of each."""
    params = dict(equation.params)
    closed = ClosedJaxpr(params.pop("jaxpr"), params.pop("consts"))
    how = without_placement("reduce_window", params)
    name = computation(closed.jaxpr)
    if len(inputs) == 2 and name in COMPUTATIONS:
        return windows.reduce_window(*inputs, computation=name, **how)
    jaxpr, constants = read_open(closed)
    refuse_option("reduce_window", "a function over arrays", constants or None)
    return reduce_windows(*in_types(inputs, equation.invars), jaxpr=jaxpr, **how)


@translates("call_hi_primitive", contextual=True)
def structured(equation: JaxprEqn, *inputs: Any) -> Any:
    """What JAX writes as an object: one of ours where its expansion has no derivative, else its expansion.

    Some have a rule of their author, which the expansion has lost: for tangents or for cotangents.
    """
    primitive = equation.params["_prim"]
    ours = {"Frexp": frexp, "Ldexp": ldexp}.get(type(primitive).__name__)
    if ours is not None:
        return ours(*inputs)
    operands = in_types(inputs, equation.invars)
    types = [type_in_jax(type_of(x)) for x in operands]
    closed = jax.make_jaxpr(lambda *xs: tree_leaves(primitive.expand(*tree_unflatten(primitive.in_tree, xs))))(*types)
    if type(primitive).__name__ in ("CustomRoot", "CustomJVPTraced"):
        return by_tangents(equation, closed, operands)
    if type(primitive).__name__ in ("OptRemat", "CustomVJPTraced"):
        return by_cotangents(equation, closed, operands)
    return interpret(closed.jaxpr, closed.consts, operands)
