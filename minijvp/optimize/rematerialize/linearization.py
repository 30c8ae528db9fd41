"""Rematerialisation: a linearization that is staged keeps what is worth keeping, and computes the rest again.

Linearization makes the residuals explicit: the values of the forward program that the linear one reads. By a plan (see
`planning`) some of them are saved. The linear program then takes these, and what is at hand anyway, and each region of
it that needs others is one equation, a call that is kept, which begins with those that give them. Transposed, that is
another such call, so the reverse pass computes again, part by part, just what it needs next.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from minijvp.budgets import Budget, Share
from minijvp.core.caching import cached_by_linearizer
from minijvp.core.jaxpr import Atom, Equation, Jaxpr, Var
from minijvp.core.types import is_inexact
from minijvp.errors import ArgumentError
from minijvp.operations.sharding import number_of_devices
from minijvp.optimize.kept_call import kept_call
from minijvp.optimize.rematerialize.budgets import budget_in_force, within
from minijvp.optimize.rematerialize.forward import Forward, by_results, spreads
from minijvp.optimize.rematerialize.gates import as_gated
from minijvp.optimize.rematerialize.planning import NOTICEABLE, Plan, PlanningProblem
from minijvp.transforms.linearize import (
    LinearizedJaxpr,
    Loop,
    linearize_jaxpr,
    residuals_of,
)

PARTS = (0.5, 0.25, 0.12, 0.06, 0.03, 0.001)
"""What loops, calls and choices inside of a program aim at, one after the other, if its budget is too small else."""


class TooSmallError(ArgumentError):
    """A memory budget is too small."""


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

    Raises TooSmallError for a budget that cannot be kept; not for a part of little, which a scope asks of all programs.
    """
    budget = budget_in_force()
    if budget == "off":
        return Parts(jaxpr, nonzero, loop, n_outputs), None
    if budget == "auto":
        parts = Parts(jaxpr, nonzero, loop, n_outputs)
        return parts, parts.linearized.automatic_plan(copies)
    copies *= max(loop.length, 1) if loop else 1
    devices = number_of_devices()
    with within("off"):
        whole = Parts(jaxpr, nonzero, loop, n_outputs).linearized.bytes
    if isinstance(budget, float):
        share, allowed = float(budget), math.ceil(budget * whole)
        insists = type(budget) is not Share and whole * copies >= NOTICEABLE * devices
    else:
        allowed, insists = int(budget) * devices // copies, True
        share = min(1.0, allowed / max(whole, 1))
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
) -> TooSmallError:
    """The error for a budget that no plan keeps within."""
    devices = number_of_devices()

    def here(n: int) -> str:
        return f"{-(-n * copies // devices):,}"

    largest = sorted(plan.saved, key=lambda v: -v.type.bytes)[:3]
    producer = linearized.forward.producer

    def described(v: Var) -> str:
        e = producer.get(v)
        line = f" of {e.source}: {e.source.text}" if e is not None and e.source else ""
        return f"{v.type!r}, {here(v.type.bytes)} bytes{line}"

    part = math.ceil(100 * plan.peak / max(whole, 1)) / 100
    within = max([r.bytes for r in plan.regions], default=0)
    each = f", on each of {devices} devices" if devices > 1 else ""
    return TooSmallError(
        f"memory_budget={budget!r} is too small for {name or 'this program'}: by default its reverse pass keeps "
        f"{here(whole)} bytes{each}, and it cannot do with less than {here(plan.peak)}.",
        f"At least {here(plan.bytes_after)} bytes are saved and {here(within)} are computed again at one time; the "
        f"largest that are saved: {'; '.join(map(described, largest)) or 'none'}.",
        f"Give at least {here(plan.peak)} (an int, bytes), or {part:.2g} (a float, the part of the default)."
        + (" The int 1 is one byte; the float 1.0 is all." if budget == 1 else ""),
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
    found: list[Equation] = []
    several = number_of_devices() > 1
    for part in plan.regions:
        equations = program.equations[part.start : part.end]
        made = [v for e in equations for v in e.outputs if last.get(v, -1) >= part.end]
        if part.again and part.apart and made and several:
            found.append(as_gated(part.again, equations, made, part.saved | linearized.forward.kept))
        elif part.again and part.apart and made:
            found.append(as_kept((*part.again, *equations), made))
        else:
            found += (*part.again, *equations)
    return tuple(found)


def as_kept(equations: Sequence[Equation], outputs: Sequence[Var]) -> Equation:
    """Equations as one, which a compiler keeps apart from all else.

    What is read last comes first, so that the transposed program gives cotangents in the order in which it computes
    them. XLA on CPU needed less memory so (a transformer of 6 x 256: 73 MiB for 76), or the same.
    """
    made = {v for e in equations for v in e.outputs}
    read = dict.fromkeys([v for e in equations[::-1] for v in e.inputs if type(v) is Var and v not in made])
    params = {"jaxpr": Jaxpr((), tuple(read), tuple(equations), tuple(outputs)), "repeats": 1, "again": True}
    return Equation(kept_call, tuple(read), params, tuple(outputs), equations[-1].source)


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
    if number_of_devices() > 1:
        return list(forward.equations)
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
        result.append(as_kept((*equations, e), e.outputs))
    return result


def renamed(jaxpr: Jaxpr, names: Mapping[Any, Any]) -> Jaxpr:
    """The same open program, where some variables are others."""

    def get(variables: Sequence[Any]) -> tuple[Any, ...]:
        return tuple([names.get(v, v) for v in variables])

    equations = tuple([Equation(e.primitive, get(e.inputs), e.params, get(e.outputs), e.source) for e in jaxpr])
    return Jaxpr((), get(jaxpr.inputs), equations, get(jaxpr.outputs), jaxpr.name)
