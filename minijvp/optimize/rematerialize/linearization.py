"""Rematerialisation: a linearization that is staged keeps what is worth keeping, and computes the rest again.

Linearization makes the residuals explicit: the values of the forward program that the linear one reads. By a plan (see
`planning`) some of them are saved. The linear program then takes these, and what is at hand anyway, and each region of
it that needs others is one equation, a `region`, which begins with those that give them. Transposed, a region is a
region, so the reverse pass computes again, part by part, just what it needs next.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from minijvp.budgets import Budget, Share
from minijvp.core.caching import cached_by_linearizer
from minijvp.core.jaxpr import Atom, Equation, Jaxpr, Var, evaluate
from minijvp.core.tracing import Trace, state
from minijvp.core.types import is_inexact, type_of
from minijvp.errors import ArgumentError
from minijvp.optimize.rematerialize.forward import Forward, by_results, spreads
from minijvp.optimize.rematerialize.in_force import budget_in_force, within
from minijvp.optimize.rematerialize.planning import NOTICEABLE, SMALL, Plan, PlanningProblem
from minijvp.optimize.rematerialize.region import region
from minijvp.settings import optimizing
from minijvp.transforms.jvp import JVPTrace
from minijvp.transforms.linearize import (
    Linearization,
    LinearizedJaxpr,
    LinearizeTrace,
    Loop,
    linearize_flat,
    linearize_jaxpr,
    residuals_of,
)
from minijvp.transforms.staging import StagingTrace, StagingTracer, argument_type, stage
from minijvp.transforms.vmap import BatchTrace

PARTS = (0.5, 0.25, 0.12, 0.06, 0.03, 0.001)
"""What loops, calls and choices inside of a program aim at, one after the other, if its budget is too small else."""


def linearize_planned(
    fun: Callable[..., Sequence[Any]],
    primals: Sequence[Any],
    differentiated: Sequence[bool] | None = None,
    n_outputs: int | Callable[[], int] | None = None,
    budget: Budget | None = None,
) -> Linearization:
    """What `linearize_flat` returns; the linear program computes again what is not worth keeping.

    A `budget` holds for this linearization, which is staged for it; without one, that of `config` does where a program
    is staged anyway. "auto" is as the default of `config`: it has nothing staged either.
    """
    if (budget is None and is_computed(state.trace)) or not optimizing():
        return linearize_flat(fun, primals, differentiated, n_outputs)
    if budget == "auto":
        with within("auto"):
            return linearize_planned(fun, primals, differentiated, n_outputs)
    if budget is None:
        if budget_in_force() == "off":
            return linearize_flat(fun, primals, differentiated, n_outputs)
        budget = budget_in_force()
        if budget == "auto" and type(state.trace) is StagingTrace:
            return linearize_in_place(state.trace, fun, primals, differentiated, n_outputs)
    elif budget == "off":
        with within("off"):
            return linearize_flat(fun, primals, differentiated, n_outputs)
    return linearize_staged(fun, primals, differentiated, n_outputs, budget)


def is_forward(trace: Trace) -> bool:
    """Whether a trace only maps what the one below it does: a jvp or a vmap."""
    return isinstance(trace, (BatchTrace, JVPTrace)) and not isinstance(trace, LinearizeTrace)


def is_computed(trace: Trace) -> bool:
    """Whether what is linearized under a trace is computed at once, or is itself a part of another linearization."""
    while is_forward(trace):
        trace = trace.parent
    return type(trace) is not StagingTrace


def linearize_in_place(
    trace: StagingTrace,
    fun: Callable[..., Sequence[Any]],
    primals: Sequence[Any],
    differentiated: Sequence[bool] | None,
    n_outputs: int | Callable[[], int] | None,
) -> Linearization:
    """The automatic plan, carried out in the program that is being recorded."""
    start = len(trace.equations)
    outs, linear, nonzero = linearize_flat(fun, primals, differentiated, n_outputs)
    linear = linear.without_dead_code()

    def variable(x: Any) -> Var | None:
        return x.variable if type(x) is StagingTracer and x.owner is trace else None

    names = {v: u for v, x in linear.constants if (u := variable(x)) is not None}
    results = [v for x in outs if (v := variable(x)) is not None]
    forward = by_results(Forward(trace.equations[start:], results, results), names.values())
    trace.equations[start:] = forward.equations
    if sum([v.type.bytes for v in names]) < SMALL:
        return outs, linear, nonzero
    linearized = PlanningProblem(forward, renamed(linear, names), names.values())
    plan = linearized.automatic_plan()
    if plan is None:
        return outs, linear, nonzero
    trace.equations[start:] = tied(forward, plan)
    equations = planned_equations(linearized, plan)
    others = tuple([(v, x) for v, x in linear.constants if v not in names])
    leaves = leaves_of(equations, {*linear.inputs, *[v for v, _ in others]}, linear.outputs)
    constants = (*others, *[(v, StagingTracer(trace, v)) for v in leaves])
    return outs, Jaxpr(constants, linear.inputs, equations, linear.outputs, linear.name), nonzero


def linearize_staged(
    fun: Callable[..., Sequence[Any]],
    primals: Sequence[Any],
    differentiated: Sequence[bool] | None,
    n_outputs: int | Callable[[], int] | None,
    budget: Budget,
) -> Linearization:
    """The linearization of the program that a function is staged to."""
    with within("off"):  # what is differentiated inside is planned with the whole
        closed = stage(fun, [argument_type(x) for x in primals])
    n = n_outputs() if callable(n_outputs) else len(closed.outputs) if n_outputs is None else n_outputs
    opened, constants = closed.hoist_constants()
    flags = [is_inexact(type_of(x).dtype) for x in primals] if differentiated is None else differentiated
    nonzero = (*[False] * len(constants), *flags)
    with within(budget):
        known, linear, origins, out_nonzero = linearize_jaxpr_planned(opened, nonzero, n_outputs=n, copies=copies())
    args, n_out = (*constants, *primals), len(closed.outputs)
    outs = evaluate(known, *args)
    given = tuple(zip(linear.inputs, residuals_of(origins, args, outs, n_out)))
    inputs = linear.inputs[len(given) :]
    return outs[:n_out], Jaxpr(given, inputs, linear.equations, linear.outputs, linear.name), out_nonzero


def is_part_of_plan(jaxpr: Jaxpr) -> bool:
    """Whether a program that is called is linearized in place now, since what it keeps is planned with the whole."""
    parent = getattr(state.trace, "parent", None)
    if type(parent) is not StagingTrace or budget_in_force() == "off":
        return False
    return sum([v.type.bytes for e in jaxpr for v in e.outputs]) >= NOTICEABLE // 16


def copies() -> int:
    """How often the values of what is traced now are there, one for each element of the axes that are mapped."""
    n, trace = 1, state.trace
    while is_forward(trace):
        n *= trace.axis.size if isinstance(trace, BatchTrace) else 1
        trace = trace.parent
    return n


def linearize_jaxpr_planned(
    jaxpr: Jaxpr,
    nonzero: tuple[bool, ...],
    loop: Loop | None = None,
    n_outputs: int | None = None,
    copies: int = 1,
) -> LinearizedJaxpr:
    """What `linearize_jaxpr` returns, with a linear program that computes again what is not worth keeping.

    A `loop` says of the body of one how often it runs, and which of its inputs and outputs are kept anyway.
    """
    if budget_in_force() == "off":
        return linearize_jaxpr(jaxpr, nonzero, n_outputs)
    return _linearize_jaxpr_planned(jaxpr, nonzero, loop, n_outputs, copies)


@cached_by_linearizer(maxsize=4096)
def _linearize_jaxpr_planned(
    jaxpr: Jaxpr, nonzero: tuple[bool, ...], loop: Loop | None, n_outputs: int | None, copies: int
) -> LinearizedJaxpr:
    parts, plan = planned(jaxpr, nonzero, loop, n_outputs, copies)
    return parts.followed(plan)


def planned(
    jaxpr: Jaxpr,
    nonzero: tuple[bool, ...],
    loop: Loop | None = None,
    n_outputs: int | None = None,
    copies: int = 1,
) -> tuple[Parts, Plan | None]:
    """The linearization of an open jaxpr with the budget in force, and the plan for it; None keeps everything.

    Raises ArgumentError for a budget that cannot be kept; not for a part of little, which a scope asks of all programs.
    """
    budget = budget_in_force()
    if budget == "off":
        return Parts(jaxpr, nonzero, loop, n_outputs), None
    if budget == "auto":
        parts = Parts(jaxpr, nonzero, loop, n_outputs)
        return parts, parts.linearized.automatic_plan(copies)
    copies *= max(loop.length, 1) if loop else 1
    with within("off"):
        whole = Parts(jaxpr, nonzero, loop, n_outputs).linearized.bytes
    if isinstance(budget, float):
        share, allowed = float(budget), math.ceil(budget * whole)
        insists = type(budget) is not Share and whole * copies >= NOTICEABLE
    else:
        share, allowed, insists = min(1.0, int(budget) / max(whole * copies, 1)), int(budget) // copies, True
    if allowed >= whole:
        return Parts(jaxpr, nonzero, loop, n_outputs), None
    # What is inside aims at the same part, or at less, where the rest of the program cannot do with that.
    for inner in (share, *[part for part in PARTS if part < share and insists]):
        with within(Share(inner)):
            parts = Parts(jaxpr, nonzero, loop, n_outputs)
        plan = parts.linearized.plan_within(allowed)
        if plan.peak <= allowed or parts.linearized.bytes == whole:
            break
    if plan.peak > allowed and insists:
        raise too_small(budget, jaxpr.name, parts.linearized, plan, whole, copies)
    return parts, plan if plan.again else None


class Parts:
    """The parts of the linearization of an open jaxpr, and how it is planned."""

    def __init__(self, jaxpr: Jaxpr, nonzero: tuple[bool, ...], loop: Loop | None = None, n_outputs: int | None = None):
        result: LinearizedJaxpr = linearize_jaxpr(jaxpr, nonzero, n_outputs)
        known, self.linear, origins, self.out_nonzero = result
        self.n_out = n = len(jaxpr.outputs)
        residuals = residuals_of(origins, known.inputs, known.outputs, n)
        forward = Forward.of_program(known, n) if loop is None else Forward.of_loop(loop, known, n)
        if budget_in_force() != "off":
            forward = by_results(forward, residuals)
            known = Jaxpr(known.constants, known.inputs, tuple(forward.equations), known.outputs, known.name)
        self.known = known
        self.result = known, self.linear, origins, self.out_nonzero
        self.tangents = self.linear.inputs[len(residuals) :]
        program = renamed(self.linear, dict(zip(self.linear.inputs, residuals)))
        self.linearized = PlanningProblem(forward, program, residuals, loop)

    def followed(self, plan: Plan | None) -> LinearizedJaxpr:
        """What `linearize_jaxpr` returns, by a plan.

        The body of a loop makes zeros and the like again in any case: from outside of it they would come as arrays.
        """
        known, linearized = self.known, self.linearized
        in_loop = linearized.loop is not None
        equations = linearized.program.equations if plan is None else planned_equations(linearized, plan)
        leaves = leaves_of(equations, set(self.tangents), linearized.program.outputs)
        fillings = [e for e in known.equations if in_loop and is_filling(e) and not set(leaves).isdisjoint(e.outputs)]
        if plan is None and not fillings:
            return self.result
        filled = {v for e in fillings for v in e.outputs}
        leaves = [v for v in leaves if v not in filled]
        outputs = known.outputs[: self.n_out]
        position = {v: i for i, v in reversed(list(enumerate((*known.inputs, *outputs))))}
        kept = [v for v in leaves if v not in position]
        first = known.equations if plan is None or in_loop else tuple(tied(linearized.forward, plan))
        known = Jaxpr(known.constants, known.inputs, first, (*outputs, *kept), known.name)
        inputs, outputs = (*leaves, *self.tangents), linearized.program.outputs
        linear = Jaxpr((), inputs, (*fillings, *equations), outputs, self.linear.name)
        return known.without_dead_code(), linear, tuple([position.get(v) for v in leaves]), self.out_nonzero


def is_filling(e: Equation) -> bool:
    """Whether an equation makes an array from nothing, and at no cost: zeros, or one number everywhere."""
    return e.primitive.recomputable == "free" and not any([type(v) is Var for v in e.inputs])


def too_small(
    budget: Budget, name: str, linearized: PlanningProblem, plan: Plan, whole: int, copies: int
) -> ArgumentError:
    """The error for a budget that no plan keeps within."""
    largest = sorted(plan.saved, key=lambda v: -v.type.bytes)[:3]
    producer = linearized.forward.producer

    def described(v: Var) -> str:
        e = producer.get(v)
        line = f" of {e.source}: {e.source.text}" if e is not None and e.source else ""
        return f"{v.type!r}, {v.type.bytes * copies:,} bytes{line}"

    part = math.ceil(100 * plan.peak / max(whole, 1)) / 100
    within = max([r.bytes for r in plan.regions], default=0) * copies
    return ArgumentError(
        f"memory_budget={budget!r} is too small for {name or 'this program'}: by default its reverse pass keeps "
        f"{whole * copies:,} bytes, and it cannot do with less than {plan.peak * copies:,}.",
        f"At least {plan.bytes_after * copies:,} bytes are saved and {within:,} are computed again at one time; the "
        f"largest that are saved: {'; '.join(map(described, largest)) or 'none'}.",
        f"Give at least {plan.peak * copies:,} (an int, bytes), or {part:.2g} (a float, the part of the default).",
    )


def planned_equations(linearized: PlanningProblem, plan: Plan) -> tuple[Equation, ...]:
    """The equations of the linear program, with what is computed again.

    In the body of a loop they are one sequence: there the compiler sees no first time that it could merge them with.
    """
    program, loop = linearized.program, linearized.loop
    if loop is not None and not loop.unrolled:
        return (*plan.again, *program.equations)
    last: dict[Atom, int] = {v: i for i, e in enumerate(program.equations) for v in e.inputs}
    last.update(dict.fromkeys(program.outputs, len(program.equations)))
    linear: set[Atom] = {v for v in program.inputs if v not in linearized.residuals}
    found: list[Equation] = []
    for part in plan.regions:
        equations = program.equations[part.start : part.end]
        reached = set(linear)
        for e in equations:
            if not linear.isdisjoint(e.inputs):
                linear.update(e.outputs)
        made = [v for e in equations for v in e.outputs if last.get(v, -1) >= part.end]
        if part.again and part.apart and made:
            found.append(as_region((*part.again, *equations), made, reached))
        else:
            found += (*part.again, *equations)
    return tuple(found)


def as_region(equations: Sequence[Equation], outputs: Sequence[Var], last: set[Atom]) -> Equation:
    """Equations as one, whose inputs end in those of `last`."""
    made = {v for e in equations for v in e.outputs}
    read = dict.fromkeys([v for e in equations for v in e.inputs if type(v) is Var and v not in made])
    inputs = (*[v for v in read if v not in last], *[v for v in read if v in last])
    body = Jaxpr((), inputs, tuple(equations), tuple(outputs))
    return Equation(region, inputs, {"jaxpr": body}, tuple(outputs), equations[-1].source)


def leaves_of(equations: Sequence[Equation], given: set[Var], outputs: Sequence[Atom]) -> list[Var]:
    """The values that equations begin with, without what is `given`."""
    made = {v for e in equations for v in e.outputs}
    read = dict.fromkeys([*[v for e in equations for v in e.inputs], *outputs])
    return [v for v in read if type(v) is Var and v not in made and v not in given]


def tied(forward: Forward, plan: Plan) -> list[Equation]:
    """The forward equations, with what is assembled from arguments alone next to the equation that uses it.

    Else a compiler may assemble everything first, and keep it all until it is used. What is but spread out, as a bias
    is over rows, it fuses into the equation by itself.
    """
    again = {v for e in plan.again for v in e.outputs}
    depends: set[Var] = set()  # on more than arguments
    readers: dict[Var, int] = {}
    for e in forward.equations:
        if again.isdisjoint(e.outputs) or not depends.isdisjoint(e.inputs):
            depends.update(e.outputs)
        for v in set(e.inputs):
            if type(v) is Var:
                readers[v] = readers.get(v, 0) + 1
    result = []
    for e in forward.equations:
        variables = [v for v in dict.fromkeys(e.inputs) if type(v) is Var]
        made = [v for v in variables if v in forward.producer and v not in depends and readers[v] == 1]
        parts = [v for v in made if not spreads(forward.producer[v])]
        data = [v for v in variables if v in depends and is_inexact(v.type.dtype)]
        if not data or not parts or sum([v.type.bytes for v in parts]) < NOTICEABLE:
            result.append(e)
            continue
        equations, _ = forward.again(parts, set())
        result.append(as_region((*equations, e), e.outputs, {data[-1]}))
    return result


def renamed(jaxpr: Jaxpr, names: Mapping[Any, Any]) -> Jaxpr:
    """The same open program, where some variables are others."""

    def get(variables: Sequence[Any]) -> tuple[Any, ...]:
        return tuple([names.get(v, v) for v in variables])

    equations = tuple([Equation(e.primitive, get(e.inputs), e.params, get(e.outputs), e.source) for e in jaxpr])
    return Jaxpr((), get(jaxpr.inputs), equations, get(jaxpr.outputs), jaxpr.name)
