"""What reverse mode of a compiled function saves, and what it computes again: the plan that it follows, to be seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from minijvp import trees
from minijvp.budgets import Budget, checked_budget
from minijvp.calls.call import work_of
from minijvp.calls.jit import jit_primitive
from minijvp.core.jaxpr import Atom, Equation, Jaxpr, Literal, Var
from minijvp.core.types import is_inexact
from minijvp.errors import ArgumentError
from minijvp.optimize.kept_call import kept_call
from minijvp.optimize.planner import as_differentiated, as_written, is_outlining
from minijvp.optimize.rematerialize.budgets import budget_in_force, within
from minijvp.optimize.rematerialize.linearization import Parts, TooSmallError, planned
from minijvp.optimize.rematerialize.planning import SMALL, WORTHWHILE, Plan, PlanningProblem
from minijvp.tracebacks import border
from minijvp.views.draw import fewer_boxes, require_group
from minijvp.views.graph import FATES, Mark, Style, graph_of, span
from minijvp.views.plan_marks import Inside, Marks, Value
from minijvp.views.programs import program_of
from minijvp.views.residuals import merged, type_text
from minijvp.views.svg import Picture, picture
from minijvp.views.tables import Table, byte_text, counted, html_of


@dataclass(frozen=True)
class Stage:
    """A region of the backward pass, which computes again what it needs and then runs its part."""

    equations: int
    """Of the linear program, that are transposed in it."""
    again: int
    """The equations that it computes again before."""
    saved: int
    """The bytes of saved values that are there while it runs: those of the regions that follow, too."""
    computed: int
    """The most bytes of what it computes again that are there at one time; without what the compiler fuses."""
    lines: str
    """The user's lines that it differentiates."""


@dataclass(frozen=True)
class RematPlan:
    """What is saved and what is computed again; `str`, `html()` and Jupyter show it, `picture` is a picture.

    Bytes are those of residuals that are kept for the backward pass alone: arguments and results are there anyway.
    """

    function: str
    budget: Budget
    values: tuple[Value, ...]
    stages: tuple[Stage, ...]
    """The regions, in the order of the backward pass; none if nothing outside of loops and calls is computed again."""
    inside: tuple[Inside, ...]
    bytes_before: int
    """Of what is saved if nothing is computed again."""
    bytes_after: int
    """Of what is saved."""
    peak: int
    """The most bytes that are there at one time, saved or computed again; turns of loops are not looked into."""
    extra_operations: int
    """How many equations more are computed, without those that the forward pass is spared; turns and branches count."""
    extra_time: float
    """The part by which that lengthens forward and backward pass together: a rough guess."""
    note: str
    """Why nothing is computed again, if so."""
    program: Jaxpr
    """The forward program, with the equations that make the residuals, as it is drawn."""
    marks: dict[Atom, Mark]
    input_names: tuple[str, ...]

    @property
    def saved(self) -> tuple[Value, ...]:
        return tuple([v for v in self.values if v.fate == "saved"])

    @property
    def recomputed(self) -> tuple[Value, ...]:
        return tuple([v for v in self.values if v.fate != "saved"])

    @property
    def title(self) -> str:
        cost = "for no more time" if self.extra_time < 5e-4 else f"for some {self.extra_time:.1%} more time"
        done = f"{byte_text(self.bytes_before)} become {byte_text(self.bytes_after)}, {cost}"
        kept = f"{byte_text(self.bytes_after)} are saved, nothing is computed again"
        return f"plan for {self.function}: {done if self.recomputed or self.inside else kept}"

    @property
    def summary(self) -> str:
        """The sentences below the title."""
        if self.note:
            return self.note
        n = self.extra_operations
        more = f"{n:,} more operations" if n > 0 else f"{-n:,} fewer operations" if n else "no more operations"
        saved, again, later = (sum(v.times for v in self.values if v.fate == fate) for fate in FATES)
        counts = [f"{saved} saved", f"{again} computed again", f"{later} computed in the backward pass only"]
        return (
            f"memory_budget={self.budget!r}. Values: {', '.join(counts[: 3 if later else 2])}; {more}. "
            f"At most {byte_text(self.peak)} at one time."
        )

    @property
    def table(self) -> Table:
        """The values: saved ones, and those that are computed again, or later."""
        rows = [
            (v.fate, v.name, type_text(v), byte_text(v.bytes), v.made_by, v.line)
            for v in merged((*self.saved, *self.recomputed), lambda v: (v.fate, v.type, v.made_by, v.line))
        ]
        return Table("values", ("", "name", "type", "bytes", "made by", "line"), tuple(rows))

    @property
    def regions(self) -> Table:
        """The regions of the backward pass, and the loops and calls that compute something again inside."""
        columns = ("region", "computes again", "saved, there", "again, there", "differentiates", "lines")
        rows: list[tuple[str, ...]] = []
        for i, s in enumerate(self.stages, 1):
            there = byte_text(s.saved), byte_text(s.computed)
            rows.append((str(i), counted(s.again, "equation"), *there, counted(s.equations, "equation"), s.lines))
        for p in self.inside:
            turns = f", in each of {p.times:,} {'calls' if kept_call.name in p.name else 'turns'}" * (p.times > 1)
            rows.append((f"in {p.name}", counted(len(p.again), "equation") + turns, *[""] * 4))
        return Table("the backward pass, region by region", columns, tuple(rows))

    @property
    def tables(self) -> list[Table]:
        """The tables that have rows."""
        return [t for t in (self.table, self.regions) if t.rows]

    def __str__(self) -> str:
        return "\n".join([self.title, self.summary, *map(str, self.tables)])

    __repr__ = __str__

    def html(self) -> str:
        """Picture and tables as HTML, in ASCII."""
        return html_of(self.svg, *[t.html() for t in self.tables])

    def _repr_html_(self) -> str:
        return self.html()

    @property
    def picture(self) -> Picture:
        """The forward program with what is saved and what is computed again, as a picture that can be saved."""
        return self.draw()

    @property
    def svg(self) -> str:
        return self.picture.svg

    def draw(self, *, group: str | None = "auto") -> Picture:
        """The picture, with boxes grouped and placed as `minijvp.draw` does; what has marks inside is open.

        Raises ArgumentError for another grouping.
        """
        require_group(group, "draw")

        def unfolds(e: Equation, depth: int) -> bool:
            return any(has_marks(inner, self.marks) for inner in e.programs)

        style = Style(unfolds, None if group == "auto" else group, self.marks)
        if group == "auto":
            style = fewer_boxes(style, [self.program])
        return picture(graph_of(self.program, style, self.title, self.input_names), self.summary)


def has_marks(jaxpr: Jaxpr, marks: dict[Atom, Mark]) -> bool:
    """Whether something in a program, or in those inside, has a mark."""
    made = [v for e in jaxpr for v in e.outputs]
    inner = [program for e in jaxpr for program in e.programs]
    return any(v in marks for v in (*jaxpr.inputs, *made)) or any(has_marks(p, marks) for p in inner)


@border
def remat_plan(
    fun: Callable[..., Any] | Jaxpr, *args: Any, memory_budget: Budget | None = None, **kwargs: Any
) -> RematPlan:
    """A `RematPlan`: what reverse mode of `fun` under `jit` saves and what it computes again, with a memory budget.

    Args:
        fun: takes and returns pytrees of arrays; all floating arguments are differentiated. Or a jaxpr, alone.
        args, kwargs: its arguments, of which only shapes and dtypes matter (jax.ShapeDtypeStruct will do).
        memory_budget: as in `minijvp.config`; by default the one in force.

    The plan is the one that is followed: "auto" leaves a program alone whose residuals are small, or that would gain
    little, and "off" leaves all alone; `note` says so. Loops and jitted functions inside have plans of their own, and
    so has a program that equal parts are calls of (`config(outline=)`): a value of it is one row for all calls.

    Raises ArgumentError for arguments that are not arrays, where no argument is floating, and for a budget that no plan
    keeps within.

    >>> import jax, minijvp, minijvp.numpy as mnp
    >>> x = jax.ShapeDtypeStruct((1000, 1000), 'float32')
    >>> plan = minijvp.remat_plan(lambda x, w: mnp.sum(mnp.tanh(x @ w) ** 2), x, x, memory_budget=0.7)
    >>> plan.bytes_before, plan.bytes_after, [v.made_by for v in plan.saved], [v.made_by for v in plan.recomputed]
    (8000000, 4000000, ['tanh'], ['one_minus_square', 'mul'])
    """
    budget = budget_in_force() if memory_budget is None else checked_budget(memory_budget, "remat_plan")
    with within("off"):
        jaxpr = program_of(fun, args, kwargs, "remat_plan")
    with within(budget):
        opened, constants = as_differentiated(jaxpr).hoist_constants()
    given = dict(zip(opened.inputs, constants, strict=False))
    names: dict[Atom, str] = {}
    if not isinstance(fun, Jaxpr):
        namer = trees.call_namer(fun, args, kwargs)
        names = {v: namer(i) for i, v in enumerate(opened.inputs[len(given) :])}
    while (call := only_call(opened)) is not None:
        e, opened = call
        inner = dict(zip(e.inputs, opened.inputs, strict=True))
        given = {inner[v]: x for v, x in given.items() if v in inner}
        names = {inner[v]: name for v, name in names.items() if v in inner}
    name = jaxpr.name or "a program"
    nonzero = tuple([v not in given and is_inexact(v.type.dtype) for v in opened.inputs])
    try:
        plain, parts, plan = decided(opened, nonzero, budget)
    except TooSmallError:
        if not is_outlining():
            raise
        with as_written():  # as the linearizer goes on
            return remat_plan(fun, *args, memory_budget=memory_budget, **kwargs)
    if not any(parts.result[3]):
        raise ArgumentError(
            f"remat_plan of {name}: no argument is floating, or no result depends on one.",
            "Without a derivative nothing is saved.",
            "Pass floating arguments (1.0 for 1).",
        )
    again = dict(zip(opened.inputs, parts.known.inputs, strict=True))
    marks = Marks(parts, plan, {again[v]: x for v, x in given.items()})
    labels = [names.get(v, "") for v in opened.inputs if v not in given]
    return reported(name, budget, plain, parts, plan, marks, tuple(labels) if any(labels) else ())


def only_call(jaxpr: Jaxpr) -> tuple[Equation, Jaxpr] | None:
    """The call, and the program, of a jitted function that is all of a program; what is looked at then is that."""
    if len(jaxpr.equations) == 1:
        (e,) = jaxpr.equations
        whole = e.outputs == jaxpr.outputs and not any(isinstance(v, Literal) for v in e.inputs)
        if e.primitive is jit_primitive and whole and len(set(e.inputs)) == len(e.inputs):
            return e, e.params["jaxpr"]
    return None


def decided(jaxpr: Jaxpr, nonzero: tuple[bool, ...], budget: Budget) -> tuple[Parts, Parts, Plan | None]:
    """A linearization in which nothing is computed again, the one with this budget, and the plan that this follows."""
    with within("off"):
        plain = Parts(jaxpr, nonzero)
    with within(budget):
        return plain, *planned(jaxpr, nonzero)


def reported(
    name: str, budget: Budget, plain: Parts, parts: Parts, plan: Plan | None, marks: Marks, labels: tuple[str, ...]
) -> RematPlan:
    """The report of a plan; None is that outside of loops and calls nothing is computed again."""
    linearized = parts.linearized
    after = linearized.bytes if plan is None else plan.bytes_after
    again = [(e, 1) for r in (plan.regions if plan else ()) for e in r.again]
    again += [(e, p.times) for p in marks.inside for e in p.again]
    extra = sum([n * operations(e) for e, n in again]) - sum([n * operations(e) for e, n in marks.spared])
    time = sum([n * work_of((e,)) for e, n in again]) - sum([n * work_of((e,)) for e, n in marks.spared])
    whole = work_of(plain.known) + work_of(plain.linear)
    return RematPlan(
        name,
        budget,
        tuple(marks.values),
        tuple(stages(linearized, plan)) if plan else (),
        tuple(marks.inside),
        plain.linearized.bytes,
        after,
        plan.peak if plan else after,
        extra,
        max(0.0, time / max(whole, 1.0)),
        "" if again else reason(budget, linearized),
        marks.program,
        marks.marks,
        labels,
    )


def operations(e: Equation) -> int:
    """How many equations an equation is: a call of a program that equal parts share is those of this program."""
    return sum(map(operations, e.params["jaxpr"])) if e.primitive is kept_call else 1


def reason(budget: Budget, linearized: PlanningProblem) -> str:
    """Why nothing is computed again."""
    if budget == "off":
        return "memory_budget='off': nothing is computed again."
    if budget != "auto":
        return f"memory_budget={budget!r}: all may be saved, and nothing is computed again."
    if linearized.bytes < SMALL:
        return (
            f"memory_budget='auto' leaves residuals of less than {byte_text(SMALL)} alone: nothing is computed again."
        )
    return (
        "memory_budget='auto' leaves this alone: it would take more time, or spare less than "
        f"{1 - WORTHWHILE:.0%} of the bytes. A budget of its own (0.5) has more computed again."
    )


def stages(linearized: PlanningProblem, plan: Plan) -> Iterator[Stage]:
    """The regions in the order of the backward pass."""
    alive: list[set[Var]] = []
    for r in plan.regions:
        alive.append(alive[-1].union(r.saved) if alive else set(r.saved))
    for r, saved in zip(reversed(plan.regions), reversed(alive), strict=True):
        lines = span([e.source for e in linearized.program.equations[r.start : r.end]])
        yield Stage(r.end - r.start, len(r.again), sum([v.type.bytes for v in saved]), r.bytes, lines)
