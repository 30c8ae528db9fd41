"""What automatic rematerialisation would save of a gradient, and what it would compute again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from minijvp.core.jaxpr import Jaxpr, Var
from minijvp.core.printing import Names
from minijvp.core.types import is_inexact
from minijvp.transforms.planning import DEFAULT
from minijvp.transforms.rematerialize import Parts
from minijvp.views.programs import program_of
from minijvp.views.residuals import Residual, line_text
from minijvp.views.tables import Table, byte_text


@dataclass(frozen=True)
class RematPlan:
    """What is saved and what is computed again; `str` and Jupyter show both as a table."""

    function: str
    saved: tuple[Residual, ...]
    recomputed: tuple[Residual, ...]
    bytes_before: int
    """Of the residuals, without those that are arguments or results, if nothing is computed again."""
    bytes_after: int
    """Of what is saved."""
    extra_time: float
    """The part by which computing again lengthens gradient and function together: a rough guess."""

    @property
    def table(self) -> Table:
        rows = [
            (what, r.name, repr(r.type), byte_text(r.bytes), r.made_by, line_text(r))
            for what, group in (("saved", self.saved), ("again", self.recomputed))
            for r in group
        ]
        title = (
            f"plan for {self.function}: {byte_text(self.bytes_before)} become {byte_text(self.bytes_after)}, "
            f"for some {self.extra_time:.1%} more time"
        )
        return Table(title, ("", "name", "type", "bytes", "made by", "line"), tuple(rows))

    def __str__(self) -> str:
        return str(self.table)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.table.html()


def remat_plan(fun: Callable[..., Any] | Jaxpr, *args: Any, **kwargs: Any) -> RematPlan:
    """A `RematPlan`: the cheapest choice of what the gradient of `fun` saves and what it computes again.

    Args:
        fun: takes and returns pytrees of arrays; all floating arguments are differentiated. Or a jaxpr, alone.
        args, kwargs: its arguments, of which only shapes and dtypes matter.

    Under `minijvp.config(memory_budget="auto")` it is followed in programs whose residuals are large.

    Raises ArgumentError for arguments that are not arrays.

    >>> import minijvp, minijvp.numpy as mnp
    >>> plan = minijvp.remat_plan(lambda x: mnp.sum(mnp.exp(-x * x)), mnp.ones(1000, 'float32'))
    >>> plan.bytes_before, plan.bytes_after
    (8000, 0)
    """
    jaxpr, _ = program_of(fun, args, kwargs, "remat_plan").hoist_constants()
    parts = Parts(jaxpr, tuple([is_inexact(t.dtype) for t in jaxpr.in_types]))
    forward = parts.linearized.forward
    found = parts.linearized.plan(DEFAULT, at_any_time=False)
    names = Names()
    names.bind(parts.known.inputs)
    for e in forward.equations:
        names.bind(e.outputs)

    def row(v: Var) -> Residual:
        e = forward.producer[v]
        return Residual(names.use(v), v.type, "value", e.primitive.name, e.source, ())

    saved = [row(v) for e in forward.equations for v in e.outputs if v in found.saved]
    again = [row(v) for e in found.again for v in e.outputs if v in forward.producer]
    return RematPlan(
        jaxpr.name or "a program", tuple(saved), tuple(again), found.bytes_before, found.bytes_after, found.time
    )
