"""The linearizer that plans: what a whole function keeps, where a program of it is recorded or is to be staged."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractContextManager, suppress
from functools import partial
from typing import Any

from minijvp.budgets import Budget
from minijvp.core.jaxpr import Jaxpr, Var, evaluate
from minijvp.core.tracing import Trace, state
from minijvp.core.types import is_inexact, type_of
from minijvp.dimensions import countable
from minijvp.operations.sharding import number_of_devices
from minijvp.optimize.outline.rewriting import outlined_body, outlined_whole, with_outlined_bodies
from minijvp.optimize.outline.sums import with_sums_in_calls
from minijvp.optimize.rematerialize.branches import planned_branches
from minijvp.optimize.rematerialize.budgets import budget_in_force, with_budget, within
from minijvp.optimize.rematerialize.forward import Forward, by_results
from minijvp.optimize.rematerialize.linearization import (
    TooSmallError,
    leaves_of,
    linearize_jaxpr_planned,
    planned_equations,
    renamed,
    tied,
)
from minijvp.optimize.rematerialize.planning import NOTICEABLE, SMALL, PlanningProblem
from minijvp.settings import config, optimizing
from minijvp.transforms.jvp import JVPTrace
from minijvp.transforms.linearize import (
    Linearization,
    LinearizedJaxpr,
    Linearizer,
    LinearizeTrace,
    Loop,
    linearize_flat,
    residuals_of,
)
from minijvp.transforms.staging import StagingTrace, StagingTracer, argument_type, stage
from minijvp.transforms.vmap import BatchTrace


class Planner(Linearizer):
    """Linearization by a plan for the memory budget that is in force."""

    def key(self) -> Hashable:
        n = number_of_devices()
        return config.plan if n == 1 else (config.plan, n)

    def function(
        self,
        fun: Callable[..., Sequence[Any]],
        primals: Sequence[Any],
        differentiated: Sequence[bool] | None = None,
        n_outputs: int | Callable[[], int] | None = None,
        budget: Budget | None = None,
    ) -> Linearization:
        """What `linearize_flat` returns; the linear program computes again what is not worth keeping.

        A `budget` holds for this linearization, which is staged for it; without one, that of `config` does where a
        program is staged anyway. "auto" is as the default of `config`: it has nothing staged either.
        """
        if isinstance(budget, str):  # as a setting
            with within(budget):
                return self.function(fun, primals, differentiated, n_outputs)
        staging = computes_for(state.trace)
        staged = isinstance(staging, StagingTrace)
        if staged:
            staging.holds_derivatives = True
        if not optimizing() or (budget is None and (not staged or budget_in_force() == "off")):
            return linearize_flat(fun, primals, differentiated, n_outputs)
        outline = staged and is_outlining()
        if budget is not None or not staged or staging is not state.trace or budget_in_force() != "auto":
            budget = budget or budget_in_force()
            with suppress(*[TooSmallError] * outline):  # as it is written, a program may do with less than a call does
                return linearize_staged(fun, primals, differentiated, n_outputs, budget, outline)
            return linearize_staged(fun, primals, differentiated, n_outputs, budget, False)
        if outline:
            closed = staged_whole(fun, primals, outline)
            fun, n_outputs = partial(evaluate, closed), n_outputs() if callable(n_outputs) else n_outputs
        return linearize_in_place(staging, fun, primals, differentiated, n_outputs)

    def program(self, jaxpr: Jaxpr, nonzero: tuple[bool, ...], loop: Loop | None = None) -> LinearizedJaxpr:
        return linearize_jaxpr_planned(outlined_body(jaxpr) if is_outlining() else jaxpr, nonzero, loop)

    def branches(self, jaxprs: Sequence[Jaxpr], nonzero: tuple[bool, ...]) -> list[LinearizedJaxpr]:
        return planned_branches(tuple(jaxprs), nonzero)

    def in_place(self, jaxpr: Jaxpr) -> bool:
        """Whether what a program keeps that is called now is planned with the whole."""
        parent = getattr(state.trace, "parent", None)
        if type(parent) is not StagingTrace or budget_in_force() == "off":
            return False
        return sum([v.type.bytes for e in jaxpr for v in e.outputs]) >= NOTICEABLE // 16

    def lowered(self, jaxpr: Jaxpr) -> Jaxpr:
        outlining = config.outline == "auto" and number_of_devices() == 1
        return with_sums_in_calls(with_outlined_bodies(jaxpr)) if outlining else jaxpr

    def within(self, budget: Budget) -> AbstractContextManager[None]:
        return within(budget)

    def carried_along(self, jaxpr: Jaxpr) -> Jaxpr:
        return with_budget(jaxpr, budget_in_force())


def is_outlining() -> bool:
    """Whether equal parts of what is differentiated are outlined: not where all is kept, what a compiler fuses too.

    Nor on several devices: a call cannot share what it gathers from them with others, and so all would come once more.
    """
    return config.outline == "auto" and budget_in_force() != "off" and number_of_devices() == 1


def as_differentiated(jaxpr: Jaxpr) -> Jaxpr:
    """A program as it is linearized when it is staged with the budget in force: maybe with calls of equal parts."""
    return outlined_whole(jaxpr) if is_outlining() else jaxpr


def plainly() -> AbstractContextManager[None]:
    """In the context, nothing is planned, outlined or compiled to be faster."""
    return config(optimize=False)


def as_written() -> AbstractContextManager[None]:
    """In the context, nothing is outlined."""
    return config(outline="off")


def is_forward(trace: Trace) -> bool:
    """Whether a trace only maps what the one below it does: a jvp or a vmap."""
    return isinstance(trace, (BatchTrace, JVPTrace)) and not isinstance(trace, LinearizeTrace)


def computes_for(trace: Trace) -> Trace:
    """The trace that does what a trace, and those that it only maps, are asked for."""
    while is_forward(trace):
        trace = trace.parent
    return trace


def staged_whole(fun: Callable[..., Sequence[Any]], primals: Sequence[Any], outline: bool) -> Jaxpr:
    """The program of a function, in which nothing is planned for itself; with `outline`, equal parts are calls of one.

    What is differentiated inside is planned with the whole.
    """
    with within("off"):
        closed = stage(fun, [argument_type(x) for x in primals])
    return outlined_whole(closed) if outline else closed


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
    written = trace.equations[start:]
    forward = by_results(Forward(written, results, results), names.values())
    if "expensive" in [e.primitive.recomputable for e in written]:  # what it fuses whole, a compiler knows better
        trace.equations[start:] = forward.equations
    if sum([v.type.bytes for v in names]) < SMALL * number_of_devices():
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
    outline: bool,
) -> Linearization:
    """The linearization of the program that a function is staged to."""
    closed = staged_whole(fun, primals, outline)
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


def copies() -> int:
    """How often the values of what is traced now are there, one for each element of the axes that are mapped."""
    n, trace = 1, state.trace
    while is_forward(trace):
        n *= countable(trace.axis.size) if isinstance(trace, BatchTrace) else 1
        trace = trace.parent
    return n
