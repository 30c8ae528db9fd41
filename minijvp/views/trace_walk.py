"""The walk over a program, node by node, that traces are made of: values forward, and tangents with them or adjoints.

A scope is one run of a program. Its steps keep for each equation how cotangents of the results become those of the
operands, by the rules of the primitive, so that the way back gives every node its adjoint.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax.numpy as jnp

from minijvp.calls.call import ProgramCall
from minijvp.calls.programs import groups
from minijvp.control_flow.cond import cond
from minijvp.control_flow.scan import scan
from minijvp.control_flow.while_loop import while_loop
from minijvp.core.jaxpr import Atom, Equation, Jaxpr, Literal, Var, evaluate
from minijvp.core.primitive import Primitive
from minijvp.core.source import Source
from minijvp.core.types import Params, is_inexact, type_of
from minijvp.operations.families import add_tangents, spread
from minijvp.transforms.jvp import jvp_flat
from minijvp.transforms.linearize import linearize_flat
from minijvp.transforms.transpose import transpose_flat
from minijvp.views.names import holds_derivatives, names_of
from minijvp.views.printing import Names, names_in
from minijvp.views.python.elementwise import Operands
from minijvp.views.python.literals import literal
from minijvp.views.python.operations import TABLE
from minijvp.views.python.text import Code

MOST_TURNS = 64
"""A loop of more turns stays one row."""
FIRST_TURNS, LAST_TURNS = 6, 2
"""The turns that have rows, of a loop of many."""

Pull = Callable[[Sequence[Any]], Sequence[Any]]
"""Takes a cotangent for each result, or None, and gives one for each operand, or None."""


@dataclass(eq=False)
class Row:
    """A node as it is found: its derivative stands in the scope in the end."""

    name: str
    operation: str
    source: Source | None
    depth: int
    value: Any = None
    scope: Scope | None = None
    variable: Atom | None = None

    @property
    def derivative(self) -> Any:
        """The tangent or adjoint; None for zero, and where there is none."""
        if self.scope is None or self.variable is None:
            return None
        return self.scope.derivatives.get(self.variable)

    @property
    def has_derivative(self) -> bool:
        """Whether there is a derivative, which may be zero."""
        known = self.scope is not None and self.scope.differentiated
        return known and self.variable is not None and is_inexact(self.variable.type.dtype)


@dataclass(eq=False)
class Scope:
    """One run of a program: names, values, and tangents or adjoints of its variables."""

    jaxpr: Jaxpr
    prefix: str = ""
    depth: int = 0
    differentiated: bool = True
    named: bool = True
    """Whether the user's lines name values."""
    names: dict[Atom, str] = field(default_factory=dict)
    values: dict[Atom, Any] = field(default_factory=dict)
    derivatives: dict[Atom, Any] = field(default_factory=dict)
    pulls: list[Pull] = field(default_factory=list)

    def name(self, atom: Atom) -> str:
        """How rows call a variable or write a number."""
        return self.names[atom] if type(atom) is Var else Names().use(atom)

    def value(self, atom: Atom) -> Any:
        return atom.value if isinstance(atom, Literal) else self.values[atom]

    def outputs(self) -> list[Any]:
        return [self.value(v) for v in self.jaxpr.outputs]

    def out_derivatives(self) -> list[Any]:
        return [self.derivatives.get(v) for v in self.jaxpr.outputs]

    def receive(self, atom: Atom, ct: Any) -> None:
        """Add to the adjoint of a variable."""
        if type(atom) is Var and ct is not None:
            self.derivatives[atom] = add_tangents(self.derivatives.get(atom), ct)

    def backward(self, cts: Sequence[Any]) -> list[Any]:
        """The way back: cotangents of the results become adjoints of all nodes; gives those of the inputs."""
        for v, ct in zip(self.jaxpr.outputs, cts, strict=True):
            self.receive(v, ct)
        for e, pull in zip(reversed(self.jaxpr.equations), reversed(self.pulls), strict=True):
            given = [self.derivatives.get(v) for v in e.outputs]
            if any(ct is not None for ct in given):
                for v, ct in zip(e.inputs, pull(given), strict=True):
                    self.receive(v, ct)
        return [self.derivatives.get(v) for v in self.jaxpr.inputs]


class Walk:
    """Runs programs and collects the rows of their nodes; `forward` says whether tangents go along."""

    def __init__(self, forward: bool, unfold: bool):
        self.forward, self.unfold = forward, unfold
        self.rows: list[Row] = []

    def row(self, *args: Any, **how: Any) -> Row:
        """A new row, the last for now."""
        self.rows.append(Row(*args, **how))
        return self.rows[-1]

    def run(self, scope: Scope, inputs: Sequence[Any], tangents: Sequence[Any]) -> Scope:
        """Run the program of a scope whose inputs have names."""
        taken = () if scope.prefix else {*scope.names.values()}
        scope.named &= not holds_derivatives(scope.jaxpr)
        names = names_in(scope.jaxpr, names_of(scope.jaxpr, taken) if scope.named else {}, taken)
        for v in names.names:
            scope.names.setdefault(v, scope.prefix + names.use(v))
        for v, x in (*scope.jaxpr.constants, *zip(scope.jaxpr.inputs, inputs, strict=True)):
            scope.values[v] = jnp.asarray(x)
        scope.derivatives.update({v: t for v, t in zip(scope.jaxpr.inputs, tangents, strict=True) if t is not None})
        for e in scope.jaxpr.equations:
            self.step(scope, e)
        return scope

    def step(self, scope: Scope, e: Equation) -> None:
        """One equation: its row, the rows inside, its values, and its tangents or its way back."""
        rows = [
            self.row(scope.names[v], "" if i else operation(scope, e), e.source, scope.depth, scope=scope, variable=v)
            for i, v in enumerate(e.outputs)
        ]
        inputs = [scope.value(v) for v in e.inputs]
        tangents = [scope.derivatives.get(v) for v in e.inputs] if self.forward else [None] * len(inputs)
        inner = unfolding(e.primitive) if self.unfold else None
        found = inner(self, scope, e, inputs, tangents, rows) if inner is not None else None
        outs, out_tangents, pull = found if found is not None else self.by_rule(scope, e, inputs, tangents)
        scope.pulls.append(pull)
        for v, row, x, t in zip(e.outputs, rows, outs, out_tangents, strict=True):
            scope.values[v] = row.value = jnp.asarray(x)
            if t is not None:
                scope.derivatives[v] = t

    def by_rule(self, scope: Scope, e: Equation, inputs: list[Any], tangents: list[Any]) -> tuple[Any, Any, Pull]:
        """Results, tangents and the way back of an equation, by the rules of its primitive."""

        def apply(*args: Any) -> Sequence[Any]:
            out = e.primitive(*args, **e.params)
            return out if type(out) is tuple else (out,)

        if self.forward or not scope.differentiated:
            return *jvp_flat(apply, inputs, tangents), no_pull
        flags = [type(v) is Var and is_inexact(v.type.dtype) for v in e.inputs]
        outs, linear, out_nonzero = linearize_flat(apply, inputs, flags)
        n = sum(flags)

        def pull(cts: Sequence[Any]) -> Sequence[Any]:
            wanted = [ct for ct, flag in zip(cts, out_nonzero, strict=True) if flag]
            if all(ct is None for ct in wanted):
                return [None] * len(flags)
            return spread(transpose_flat(linear, [True] * n, [None] * n, wanted), flags)

        return outs, [None] * len(outs), pull

    def inside(
        self, scope: Scope, jaxpr: Jaxpr, names: Sequence[str], inputs: Any, tangents: Any, label: str, **how: Any
    ) -> Scope:
        """The run of a program inside an equation, whose inputs have the names of what they are outside."""
        inner = Scope(jaxpr, f"{label}.", scope.depth + 1, scope.differentiated, scope.named, **how)
        inner.names.update(zip(jaxpr.inputs, names, strict=True))
        arrays = [jnp.asarray(x, v.type.dtype) for x, v in zip(inputs, jaxpr.inputs, strict=True)]
        return self.run(inner, arrays, tangents)


def no_pull(cts: Sequence[Any]) -> Sequence[Any]:
    """Forward there is no way back."""
    raise AssertionError("no way back")


def operation(scope: Scope, e: Equation) -> str:
    """An equation as a person writes it."""
    rule = TABLE.get(e.primitive.name)
    text = rule(e, Operands({}, lambda value: literal(value, lambda x, hint: hint))) if rule is not None else None
    if text is not None:
        return named_text(scope, text).replace("jnp.", "").replace("lax.", "")
    program = e.params.get("jaxpr")
    operands = list(map(scope.name, e.inputs))
    name = getattr(program, "name", "") or e.primitive.name
    if e.primitive is scan:
        name, operands = "scan", [getattr(program, "name", "") or "step", *operands]
    remark = ", by its rule" if e.primitive.name.startswith("custom_") else ""
    return f"{name}({', '.join(operands)}){remark}"


def named_text(scope: Scope, text: Code) -> str:
    """A piece of text with the names that rows have."""
    return "".join([part if isinstance(part, str) else scope.names[part] for part in text])  # type: ignore[index]


def _call(walk: Walk, scope: Scope, e: Equation, inputs: Any, tangents: Any, rows: Any) -> tuple[Any, Any, Pull]:
    """jit, checkpoint: the nodes of the program."""
    names = list(map(scope.name, e.inputs))
    inner = walk.inside(scope, e.params["jaxpr"], names, inputs, tangents, rows[0].name)
    return inner.outputs(), inner.out_derivatives(), inner.backward


def _ruled(walk: Walk, scope: Scope, e: Equation, inputs: Any, tangents: Any, rows: Any) -> tuple[Any, Any, Pull]:
    """A function with a rule: the values inside; tangents and adjoints are the rule's, and inside there are none."""
    label = rows[0].name
    inner = Scope(e.params["jaxpr"], f"{label}.", scope.depth + 1, False, scope.named)
    inner.names.update(zip(inner.jaxpr.inputs, map(scope.name, e.inputs), strict=True))
    walk.run(inner, [jnp.asarray(x) for x in inputs], [None] * len(inputs))
    return walk.by_rule(scope, e, inputs, tangents)


def _branch(walk: Walk, scope: Scope, e: Equation, inputs: Any, tangents: Any, rows: Any) -> tuple[Any, Any, Pull]:
    """cond: the nodes of the branch that is taken."""
    branches = e.params["branches"]
    taken = min(max(int(inputs[0]), 0), len(branches) - 1)
    rows[0].operation += f" (branch {taken})"
    names = list(map(scope.name, e.inputs[1:]))
    inner = walk.inside(scope, branches[taken], names, inputs[1:], tangents[1:], rows[0].name)
    return inner.outputs(), inner.out_derivatives(), lambda cts: [None, *inner.backward(cts)]


def _turns(walk: Walk, rows: list[Row], turn: Callable[[int, str], bool]) -> None:
    """Run the turns of a loop until there is none; the rows of those in the middle are omitted."""
    ends = [len(walk.rows)]
    while turn(len(ends) - 1, f"{rows[0].name}[{len(ends) - 1}]"):
        ends.append(len(walk.rows))
    hidden = len(ends) - 1 - FIRST_TURNS - LAST_TURNS
    if hidden > 1:
        note = Row("...", f"{hidden} more turns", None, rows[0].depth + 1)
        walk.rows[ends[FIRST_TURNS] : ends[-1 - LAST_TURNS]] = [note]


def _scan(walk: Walk, scope: Scope, e: Equation, inputs: Any, tangents: Any, rows: Any) -> Any:
    """scan: the nodes of each turn."""
    p = e.params
    n_constants, n, length = p["n_constants"], p["n_carry"], p["length"]
    if length > MOST_TURNS:
        rows[0].operation += f" (not unfolded: more than {MOST_TURNS})"
        return None
    order = list(range(length))[:: -1 if p["reverse"] else 1]
    constants, carry, xs = groups(inputs, n_constants, n)
    t_constants, t_carry, t_xs = groups(tangents, n_constants, n)
    names = list(map(scope.name, e.inputs))
    scopes: list[Scope] = []

    def turn(i: int, label: str) -> bool:
        nonlocal carry, t_carry
        if i == length:
            return False
        k = order[i]
        called = [*names[: n_constants + n], *(f"{x}[{k}]" for x in names[n_constants + n :])]
        given = [*constants, *carry, *(x[k] for x in xs)]
        ts = [*t_constants, *t_carry, *(None if t is None else t[k] for t in t_xs)]
        scopes.append(walk.inside(scope, p["jaxpr"], called, given, ts, label))
        carry, t_carry = scopes[-1].outputs()[:n], scopes[-1].out_derivatives()[:n]
        names[n_constants : n_constants + n] = [scopes[-1].name(v) for v in p["jaxpr"].outputs[:n]]
        return True

    _turns(walk, rows, turn)
    by_place = [scopes[i] for i in order]
    types = [v.type for v in e.outputs[n:]]
    ys = [stacked([s.outputs()[n + j] for s in by_place], t) for j, t in enumerate(types)]
    t_ys = [stacked([s.out_derivatives()[n + j] for s in by_place], t) for j, t in enumerate(types)]

    def backward(cts: Sequence[Any]) -> Sequence[Any]:
        pulled, ct = {}, list(cts[:n])
        sums: list[Any] = [None] * n_constants
        for i in reversed(range(length)):
            found = scopes[i].backward([*ct, *(None if c is None else c[order[i]] for c in cts[n:])])
            sums = [add_tangents(s, c) for s, c in zip(sums, found[:n_constants], strict=True)]
            ct, pulled[order[i]] = found[n_constants : n_constants + n], found[n_constants + n :]
        parts = [stacked([pulled[k][j] for k in range(length)], type_of(x)) for j, x in enumerate(xs)]
        return [*sums, *ct, *parts]

    return [*carry, *ys], [*t_carry, *t_ys], backward


def stacked(parts: Sequence[Any], t: Any) -> Any:
    """The parts along a new first axis; None if all are zero."""
    if all(x is None for x in parts):
        return None if parts else jnp.zeros(t.shape, t.dtype)
    like = next(x for x in parts if x is not None)
    return jnp.stack([jnp.zeros_like(like) if x is None else jnp.asarray(x) for x in parts])


def _while(walk: Walk, scope: Scope, e: Equation, inputs: Any, tangents: Any, rows: Any) -> Any:
    """while: the nodes of the body in each turn."""
    p = e.params
    k, n_constants = p["n_cond_constants"], p["n_body_constants"]
    cond_constants, constants, carry = groups(inputs, k, n_constants)
    _, t_constants, t_carry = groups(tangents, k, n_constants)
    names = list(map(scope.name, e.inputs))[k:]
    if turns_of(p, cond_constants, constants, carry) is None:
        rows[0].operation += f" (not unfolded: more than {MOST_TURNS} turns)"
        return None
    scopes: list[Scope] = []

    def turn(i: int, label: str) -> bool:
        nonlocal carry, t_carry
        if not evaluate(p["cond_jaxpr"], *cond_constants, *carry)[0]:
            return False
        scopes.append(walk.inside(scope, p["body_jaxpr"], names, [*constants, *carry], [*t_constants, *t_carry], label))
        carry, t_carry = scopes[-1].outputs(), scopes[-1].out_derivatives()
        names[n_constants:] = [scopes[-1].name(v) for v in p["body_jaxpr"].outputs]
        return True

    _turns(walk, rows, turn)
    rows[0].operation += f" ({len(scopes)} turns)"

    def backward(cts: Sequence[Any]) -> Sequence[Any]:
        sums: list[Any] = [None] * n_constants
        for inner in reversed(scopes):
            found = inner.backward(cts)
            sums = [add_tangents(s, c) for s, c in zip(sums, found[:n_constants], strict=True)]
            cts = found[n_constants:]
        return [*[None] * k, *sums, *cts]

    return carry, t_carry, backward


def turns_of(params: Params, cond_constants: Any, constants: Any, carry: Any) -> int | None:
    """The number of turns of a while loop; None if there are more than `MOST_TURNS`."""
    for i in range(MOST_TURNS + 1):
        if not evaluate(params["cond_jaxpr"], *cond_constants, *carry)[0]:
            return i
        carry = evaluate(params["body_jaxpr"], *constants, *carry)
    return None


def unfolding(primitive: Primitive) -> Callable[..., Any] | None:
    """How an equation with programs inside is unfolded; None if it is not."""
    if isinstance(primitive, ProgramCall):
        return _call if primitive.is_call else _ruled
    return UNFOLDED.get(primitive)


UNFOLDED: dict[Primitive, Callable[..., Any]] = {cond: _branch, scan: _scan, while_loop: _while}
