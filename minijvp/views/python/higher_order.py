"""Operations that carry programs, in Python: loops and choices of jax.lax, or the statements of the program itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from minijvp.calls.call import ProgramCall
from minijvp.calls.linear_call import LinearCall
from minijvp.calls.programs import chosen, groups
from minijvp.control_flow.reverse_loop import WayBack, pull_program, slots
from minijvp.control_flow.while_loop import loop_of, while_cotangents, while_curvature, while_loop, while_tangents
from minijvp.core.jaxpr import Atom, Equation, Jaxpr, Literal, Var
from minijvp.core.primitive import Primitive
from minijvp.core.types import type_of
from minijvp.errors import MissingRuleError
from minijvp.operations.families import spread
from minijvp.views.python.literals import dtype_name
from minijvp.views.python.operations import without_negative
from minijvp.views.python.text import (
    Assignment,
    Block,
    Code,
    Function,
    Label,
    Part,
    Target,
    bracketed,
    code,
    listed,
    tupled,
)
from minijvp.views.python.writer import Rule, Writer


def _called(writer: Writer, e: Equation, block: Block) -> Sequence[Atom]:
    """jit, checkpoint, custom rules: the program itself."""
    return writer.program(e.params["jaxpr"], e.inputs, block, e.source)


def _linear(writer: Writer, e: Equation, block: Block) -> Sequence[Atom]:
    """A linear map with a transpose of its own: what it does."""
    primitive: Any = e.primitive
    return writer.program(primitive.forward(e.params), primitive.read(e.inputs, e.params), block, e.source)


def _first_inputs(writer: Writer, e: Equation, block: Block) -> Sequence[Atom]:
    """What hands on its first operands: taps, names, stop_gradient."""
    return e.inputs[: len(e.outputs)]


def _bundle(items: Sequence[Part | Code]) -> Code:
    """A carry: one value as it is, several as a tuple."""
    return code(items[0]) if len(items) == 1 else tupled(items)


def _hint(jaxpr: Jaxpr, default: str) -> str:
    """A name for the function that a program becomes."""
    words = re.findall(r"\w+", jaxpr.name)
    if not words or "lambda" in words:
        return default
    return "_".join([words[-1], *("back" if w == "transpose" else w for w in words[:-1] if w != "linear")])


def _define(
    block: Block, hint: str, parameters: Sequence[Sequence[Var] | Label], results: Any, as_sequence: bool = False
) -> Label:
    """A nested function; `results(inner)` writes its statements and gives the text of its result.

    Each parameter is a sequence of variables, or, unless `as_sequence`, the only one of them.
    """
    inner = Block()
    heads = [p if isinstance(p, Label) else tuple(p) if as_sequence or len(p) != 1 else p[0] for p in parameters]
    f = Function(Label(hint), tuple(heads), inner, ())
    f.result = results(inner)
    block.statements.append(f)
    return f.name


def _like(atoms: Sequence[Atom]) -> list[Var]:
    return [Var(v.type) for v in atoms]


def _scan(writer: Writer, e: Equation, block: Block) -> Sequence[Atom]:
    p = e.params
    jaxpr, n = p["jaxpr"], p["n_carry"]
    constants, init, xs = groups(e.inputs, p["n_constants"], n)
    carry, x = _like(jaxpr.inputs[len(constants) : len(constants) + n]), _like(jaxpr.inputs[len(constants) + n :])

    def step(inner: Block) -> Code:
        found = writer.program(jaxpr, (*constants, *carry, *x), inner, e.source)
        outs = [writer.typed(v, t) for v, t in zip(found, jaxpr.out_types, strict=True)]
        after = _bundle(outs[:n]) if n else ("None",)
        return code(after, ", ", _bundle(outs[n:]) if outs[n:] else "None")

    body = _define(block, _hint(jaxpr, "step"), (carry, x), step)
    how = f", length={p['length']}" if not xs else ""
    how += ", reverse=True" if p["reverse"] else ""
    how += f", unroll={p['unroll']}" if p["unroll"] not in (1, False) else ""
    start = _bundle([writer.typed(v, t.type) for v, t in zip(init, carry, strict=True)]) if n else ("None",)
    over = _bundle([writer.operands.strict(v) for v in xs]) if xs else ("None",)
    text = code("lax.scan(", body, ", ", start, ", ", over, how, ")")
    targets = _target(e.outputs[:n]), _target(e.outputs[n:])
    block.statements.append(Assignment(targets, text, e.source, e.has_effects))
    return e.outputs


def _target(variables: Sequence[Var]) -> Target:
    """What takes a carry."""
    return variables[0] if len(variables) == 1 else tuple(variables)


def _while(writer: Writer, e: Equation, block: Block) -> Sequence[Atom]:
    p = e.params
    cond_constants, constants, init = groups(e.inputs, p["n_cond_constants"], p["n_body_constants"])
    types = p["body_jaxpr"].inputs[len(constants) :]

    def condition(inner: Block) -> Code:
        (out,) = writer.program(p["cond_jaxpr"], (*cond_constants, *seen), inner, e.source)
        return code(writer.operands.strict(out))

    def body(inner: Block) -> Code:
        outs = writer.program(p["body_jaxpr"], (*constants, *carry), inner, e.source)
        return _bundle([writer.typed(v, t.type) for v, t in zip(outs, types, strict=True)])

    seen, carry = _like(types), _like(types)
    goes_on = _define(block, "condition", (seen,), condition)
    step = _define(block, "step", (carry,), body)
    start = _bundle([writer.typed(v, t.type) for v, t in zip(init, types, strict=True)])
    text = code("lax.while_loop(", goes_on, ", ", step, ", ", start, ")")
    block.statements.append(Assignment(e.outputs, text, e.source, e.has_effects))
    return e.outputs


def _cond(writer: Writer, e: Equation, block: Block) -> Sequence[Atom]:
    index, *operands = e.inputs
    branches = e.params["branches"]

    def branch(i: int, hint: str) -> Label:
        def results(inner: Block) -> Code:
            outs = writer.program(branches[i], operands, inner, e.source)
            return _bundle([writer.typed(v, t) for v, t in zip(outs, branches[0].out_types, strict=True)])

        return _define(block, _hint(branches[i], hint), (), results)

    predicate = writer.predicates.get(index) if type(index) is Var else None
    if predicate is not None and len(branches) == 2:
        no, yes = branch(0, "otherwise"), branch(1, "then")
        text = code("lax.cond(", predicate, ", ", yes, ", ", no, ")")
    else:
        chosen_ones = [branch(i, f"case_{i}") for i in range(len(branches))]
        text = code("lax.switch(", writer.operands.strict(index), ", ", bracketed(chosen_ones), ")")
    block.statements.append(Assignment(e.outputs, text, e.source, e.has_effects))
    return e.outputs


def _reduce(writer: Writer, e: Equation, block: Block) -> Sequence[Atom]:
    over = tupled([writer.operands.strict(v) for v in e.inputs[: len(e.outputs)]])
    return _reduced(writer, e, block, "reduce", over, f"{tuple(e.params['dimensions'])}")


def _reduce_windows(writer: Writer, e: Equation, block: Block) -> Sequence[Atom]:
    n, p = len(e.outputs), {k: v for k, v in e.params.items() if k != "jaxpr"}
    over, starts = (
        [writer.operands.strict(v) for v in e.inputs[:n]],
        [
            writer.typed(v, x.type.strong())
            for v, x in zip(e.inputs[n:], _like(e.params["jaxpr"].inputs[:n]), strict=True)
        ],
    )
    if any([m < 0 for pair in p["padding"] for m in pair]):  # XLA wants no negative padding
        config, padding = without_negative(p["padding"], p["base_dilation"])
        over = [code("lax.pad(", x, ", ", start, f", {config})") for x, start in zip(over, starts, strict=True)]
        p |= {"padding": padding, "base_dilation": (1,) * len(config)}
    how = listed(code(f"{k}=", writer.operands.literal(v)) for k, v in p.items())
    return _reduced(writer, e, block, "reduce_window", tupled(over), how)


def _reduced(writer: Writer, e: Equation, block: Block, name: str, over: Code, how: Any) -> Sequence[Atom]:
    """A reduction by a function of two numbers of each operand."""
    n, jaxpr = len(e.outputs), e.params["jaxpr"]
    x, y = _like(jaxpr.inputs[:n]), _like(jaxpr.inputs[n:])

    def combine(inner: Block) -> Code:
        return tupled([writer.typed(v, t.type) for v, t in zip(writer.program(jaxpr, (*x, *y), inner, e.source), x)])

    function = _define(block, _hint(jaxpr, "combine"), (x, y), combine, as_sequence=True)
    starts = tupled([writer.typed(v, t.type) for v, t in zip(e.inputs[n:], x, strict=True)])
    text = code(f"lax.{name}(", over, ", ", starts, ", ", function, ", ", how, ")")
    block.statements.append(Assignment(e.outputs, text, e.source, as_tuple=True))
    return e.outputs


def _scatter_apply(writer: Writer, e: Equation, block: Block) -> Sequence[Atom]:
    jaxpr, params = e.params["jaxpr"], dict(e.params)
    value = _like(jaxpr.inputs)

    def change(inner: Block) -> Code:
        (out,) = writer.program(jaxpr, value, inner, e.source)
        return writer.typed(out, value[0].type)

    function = _define(block, _hint(jaxpr, "change"), (value,), change)
    x, indices = map(writer.operands.strict, e.inputs)
    del params["jaxpr"]
    further = [code(f"{k}=", writer.operands.literal(v)) for k, v in params.items() if v is not False]
    text = code("lax.scatter_apply(", x, ", ", indices, ", ", function, ", ", listed(further), ")")
    block.statements.append(Assignment(e.outputs, text, e.source))
    return e.outputs


def _as_atom(writer: Writer) -> Callable[[Any], Atom]:
    """What stands for a value that a program is given from outside."""

    def added(x: Any) -> Atom:
        if isinstance(x, (Var, Literal)):
            return x
        return Literal(x, type_of(x)) if isinstance(x, np.generic) else writer.constant(x)

    return added


def _tangents_of_loop(writer: Writer, e: Equation, block: Block) -> Sequence[Atom]:
    """The tangents of a loop: a loop of duals."""
    inputs, how = while_tangents.as_while(e.inputs, _as_atom(writer), e.params)
    outs = tuple(map(Var, how["body_jaxpr"].out_types))
    results = _while(writer, Equation(while_loop, tuple(inputs), how, outs, e.source), block)
    return while_tangents.picked(results, e.params)


def _curvature_of_loop(writer: Writer, e: Equation, block: Block) -> Sequence[Atom]:
    inputs, how = while_curvature.as_cotangents(e.inputs, _as_atom(writer), e.params)
    inputs = tuple(map(_as_atom(writer), inputs))
    types = while_cotangents.type_rule(*[v.type for v in inputs], **how)
    results = _cotangents_of_loop(
        writer, Equation(while_cotangents, inputs, how, tuple(map(Var, types)), e.source), block
    )
    return while_curvature.picked(results, e.params)


def _cotangents_of_loop(writer: Writer, e: Equation, block: Block) -> Sequence[Atom]:
    """The way back through a loop, as `pull_loop` goes it."""
    wrt, cts = e.params["wrt"], e.params["cts"]
    body, n_constants, _ = loop = loop_of(e.params)
    (n, *inputs), given = groups(e.inputs, 1 + len(wrt))
    program, _, found, _ = pull_program(loop, wrt, cts)
    constants, init = groups(inputs, n_constants)
    types = body.in_types[n_constants:]
    is_sum = found[:n_constants]
    before, after = _like(body.inputs[n_constants:]), _like(body.inputs[n_constants:])
    sums = [Var(t.strong()) for t in chosen(body.in_types[:n_constants], is_sum)]
    ct = [Var(t.strong()) for t in chosen(types, cts)]

    def forwards(inner: Block) -> Code:
        outs = writer.program(body, (*constants, *before), inner, e.source)
        return bracketed(writer.typed(v, t) for v, t in zip(outs, types, strict=True))

    def backwards(inner: Block) -> Code:
        inner.statements.append(Assignment((tuple(sums), tuple(ct)), (state,)))
        pulled = spread(writer.program(program, (*constants, *after, *ct), inner, e.source), found)
        added = [code(s, " + ", c) for s, c in zip(sums, chosen(pulled[:n_constants], is_sum), strict=True)]
        passed = [writer.zeros_like(v) if c is None else c for c, v in zip(chosen(pulled[n_constants:], cts), ct)]
        return code("(", bracketed(added), ", ", bracketed(map(writer.operands.strict, passed)), ")")

    state = Label("state")
    step = _define(block, "step", (before,), forwards, as_sequence=True)
    step_back = _define(block, "step_back", (after, state), backwards, as_sequence=True)
    size, levels = slots(types)
    walk = f"{writer.inliner.cls(WayBack)}("
    start = bracketed(writer.typed(v, t) for v, t in zip(init, types, strict=True))
    zero = bracketed(writer.zeros_like(v) for v in sums)
    first = code("(", zero, ", ", bracketed([writer.typed(v, v.type) for v in given]), ")")
    text = code(walk, step, ", ", step_back, f", size={size}, levels={levels}).segment(0, ", start, ", ")
    text = code(text, writer.operands.strict(n), ", ", first, ")")
    n_sums = len(sums)
    block.statements.append(Assignment((e.outputs[:n_sums], e.outputs[n_sums:]), text, e.source))
    return e.outputs


def _callback(writer: Writer, e: Equation, block: Block) -> Sequence[Atom]:
    """A call of a Python function on the host, which goes with the code as a constant."""
    p, name = e.params, e.primitive.name
    called = p.get("callback", p.get("forward"))
    function = writer.inliner.keep(called, "callback")
    args = listed([writer.operands.strict(v) for v in e.inputs])
    if name == "debug_callback":
        text = code("jax.debug.callback(", function, ", ", args, f", ordered={p['ordered']})")
    else:
        structs = tupled([f"jax.ShapeDtypeStruct({t.shape}, {dtype_name(t.dtype)})" for t in p["result_types"]])
        outs = code("lambda *xs: tuple(", function, "(*xs)), ", structs, ", ", args)
        if name == "io_callback":
            writer.inliner.imports.add("from jax.experimental import io_callback")
            text = code("io_callback(", outs, f", ordered={p['ordered']})")
        else:
            text = code("jax.pure_callback(", outs, ")")
    block.statements.append(Assignment(e.outputs, text, e.source, e.has_effects, as_tuple=True))
    return e.outputs


def _inspection(writer: Writer, e: Equation, block: Block) -> Sequence[Atom]:
    """What shows statistics, a function that goes with the code; where nothing is shown, its input."""
    if not e.has_effects:
        return e.inputs
    function = writer.inliner.keep(partial(e.primitive.impl, **e.params), "inspect")
    text = code(function, "(", writer.operands.strict(e.inputs[0]), ")")
    block.statements.append(Assignment(e.outputs, text, e.source, has_effects=True, as_tuple=not e.outputs))
    return e.outputs


def _on_a_mesh(writer: Writer, e: Equation, block: Block) -> Sequence[Atom]:
    """A program for devices, which are not named in text."""
    raise MissingRuleError(
        "to_python cannot write shard_map, for its mesh consists of devices of this process.",
        "Code that stands alone runs in others, too.",
        "Write the function under shard_map by to_python, and call the text of that in shard_map.",
    )


RULES: dict[str, Rule] = {
    "shard_map": _on_a_mesh,
    **dict.fromkeys(("tap", "add_zero", "captured", "name", "stop_gradient", "copy", "place"), _first_inputs),
    "scan": _scan,
    "while": _while,
    "cond": _cond,
    "reduce": _reduce,
    "reduce_windows": _reduce_windows,
    "scatter_apply": _scatter_apply,
    "while_tangents": _tangents_of_loop,
    "while_cotangents": _cotangents_of_loop,
    "while_curvature": _curvature_of_loop,
    **dict.fromkeys(("pure_callback", "io_callback", "debug_callback", "callback_linear"), _callback),
    **dict.fromkeys(("watch", "inspected"), _inspection),
}
"""How an equation that carries a program, or a function, is written, by the name of its primitive."""


def rule_of(primitive: Primitive) -> Rule | None:
    """How an equation that carries a program is written; calls and linear maps are what they run."""
    if primitive.name in RULES:
        return RULES[primitive.name]
    if isinstance(primitive, ProgramCall):
        return _called
    return _linear if isinstance(primitive, LinearCall) else None
