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
def silent(jaxpr: Jaxpr) -> Jaxpr:
    """The program without what shows values: callbacks of minijvp.debug, here and in the programs that run inside.

    What shows cotangents, where there will be some, stays.
    """
    if not any([e.has_effects for e in jaxpr]):
        return jaxpr
    return jaxpr.with_equations(silent_equations(jaxpr))


def silent_equations(equations: Iterable[Equation]) -> Iterator[Equation]:
    """The equations without those that show values."""
    for e in equations:
        if isinstance(e.primitive, DebugCallback):
            continue
        params = e.params
        if e.has_effects and isinstance(e.primitive, ProgramPrimitive):
            names = [name for name in (e.primitive.body, *e.primitive.helpers) if name in params]
            params = {**params, **{name: silenced(params[name]) for name in names}}
        elif e.has_effects and isinstance(e.primitive, Inspected):
            params = {**params, "report": replace(params["report"], what="primal")}
        yield e if params is e.params else Equation(e.primitive, e.inputs, params, e.outputs, e.source)


def silenced(value: Any) -> Any:
    """A parameter with the programs in it made silent."""
    if isinstance(value, Jaxpr):
        return silent(value)
    return tuple(map(silent, value)) if type(value) is tuple else value


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
        return self.parent.process(primitive, args, muted_params(primitive, params))


@cached(maxsize=4096)
def muted(jaxpr: Jaxpr) -> Jaxpr:
    """The program without what shows values, and without what shows its derivatives."""
    found = [(e, muted_params(e.primitive, e.params)) for e in jaxpr if not isinstance(e.primitive, DebugCallback)]
    if len(found) == len(jaxpr.equations) and all([params is e.params for e, params in found]):
        return jaxpr
    return jaxpr.with_equations([replace(e, params=params) for e, params in found])


def muted_params(primitive: Primitive, params: Params) -> Params:
    """The parameters of an operation that shows nothing."""
    if isinstance(primitive, Inspected):
        return {**params, "report": Unseen(params["report"].name)}
    if not isinstance(primitive, ProgramPrimitive):
        return params
    made = dict(params)
    for name in (primitive.body, *primitive.helpers):
        value = params.get(name)
        if isinstance(value, Jaxpr):
            made[name] = muted(value)
        elif type(value) is tuple:
            made[name] = tuple([muted(x) if isinstance(x, Jaxpr) else x for x in value])
    changed = [x is not y for x, y in zip(primitive.programs(params), primitive.programs(made), strict=True)]
    return made if any(changed) else params
