"""Programs that do not show their values, for what computes again what has been shown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from minijvp.calls.callback import DebugCallback
from minijvp.calls.inspection import Inspected, Report
from minijvp.core.caching import cached
from minijvp.core.jaxpr import Equation, Jaxpr
from minijvp.core.primitive import Primitive
from minijvp.core.program_primitive import ProgramPrimitive
from minijvp.core.tracing import Trace
from minijvp.core.types import ArrayType, Params


@cached(maxsize=4096)
def silent(jaxpr: Jaxpr, derivatives: bool = True) -> Jaxpr:
    """The program without what shows values: callbacks of minijvp.debug, here and in the programs that run inside.

    What shows its derivatives, where there will be some, stays, but if these are not to be seen.
    """
    if derivatives and not any([e.has_effects for e in jaxpr]):
        return jaxpr
    equations = tuple(silent_equations(jaxpr.equations, derivatives))
    same = len(equations) == len(jaxpr.equations) and all([a is b for a, b in zip(equations, jaxpr.equations)])
    return jaxpr if same else jaxpr.with_equations(equations)


def silent_equations(equations: Iterable[Equation], derivatives: bool = True) -> Iterator[Equation]:
    """The equations without those that show values."""
    for e in equations:
        if not isinstance(e.primitive, DebugCallback):
            params = silent_params(e.primitive, e.params, derivatives)
            yield e if params is e.params else replace(e, params=params)


def silent_params(primitive: Primitive, params: Params, derivatives: bool) -> Params:
    """The parameters of an operation that shows no value; `params` themselves, if it shows none."""
    if isinstance(primitive, Inspected):
        report = params["report"]
        if not derivatives:
            return {**params, "report": Unseen(report.name)}
        return params if report.what == "primal" else {**params, "report": replace(report, what="primal")}
    if not isinstance(primitive, ProgramPrimitive):
        return params
    made = dict(params)
    for name in (primitive.body, *primitive.helpers):
        value = params.get(name)
        if isinstance(value, Jaxpr):
            made[name] = silent(value, derivatives)
        elif type(value) is tuple:
            made[name] = tuple([silent(x, derivatives) if isinstance(x, Jaxpr) else x for x in value])
    changed = [x is not y for x, y in zip(primitive.programs(params), primitive.programs(made), strict=True)]
    return made if any(changed) else params


@dataclass(frozen=True)
class Unseen(Report):
    """A report that shows nothing, and so do those on derivatives."""

    def __call__(self, type: ArrayType, *found: Any) -> None:
        pass


class Silence(Trace):
    """A trace that leaves out what shows values and derivatives; all else its parent does."""

    __slots__ = ()

    def __init__(self, parent: Trace):
        self.parent = parent

    def process(self, primitive: Primitive, args: tuple, params: Params) -> Any:
        if isinstance(primitive, DebugCallback):
            return ()
        return self.parent.process(primitive, args, silent_params(primitive, params, False))
