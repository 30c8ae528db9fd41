"""Programs that do not show their values, for what computes again what has been shown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from minijvp.calls.callback import DebugCallback
from minijvp.calls.inspection import Inspected
from minijvp.core.caching import cached
from minijvp.core.jaxpr import Equation, Jaxpr
from minijvp.core.program_primitive import ProgramPrimitive


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
