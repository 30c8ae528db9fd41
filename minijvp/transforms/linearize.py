"""Linearization: the result now, and the linear map of the tangents as a program for later.

linearize : (a -> b) -> a -> (b, T a -o T b)

It is forward mode over a recorder. `LinearizeTrace` is a `JVPTrace` whose tangents are variables of a
`LinearTrace`; that one records an operation if it touches a tangent and hands every other operation to its
parent. So `fun` runs once, primal values are never boxed more than in a jvp, and what was recorded is a linear
`Jaxpr` whose constants are the residuals.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from minijvp.core.jaxpr import Jaxpr, evaluate
from minijvp.core.tracing import Trace, current, state
from minijvp.core.types import is_inexact, type_of
from minijvp.transforms.jvp import JVPTrace
from minijvp.transforms.staging import StagingTrace, StagingTracer, stage


class LinearTrace(StagingTrace):
    """Records the operations on its tracers, the tangents; all others are its parent's."""

    __slots__ = ()

    def __init__(self, parent: Trace):
        super().__init__()
        self.parent = parent

    @property
    def description(self) -> str:
        return "the tangents of a linearization (grad, vjp, linearize)"

    def process(self, primitive: Any, args: tuple, params: dict[str, Any]) -> Any:
        for x in args:
            if type(x) is StagingTracer and x.trace is self:
                return super().process(primitive, args, params)
        return self.parent.process(primitive, args, params)


class LinearizeTrace(JVPTrace):
    """A jvp over a recorder: prefers the rule that separates the primal from the linear part."""

    __slots__ = ()

    @property
    def description(self) -> str:
        return "a linearization (grad, vjp, linearize)"

    def rule(self, primitive: Any) -> Callable[..., tuple[Any, Any]]:
        return primitive.linearize


def linearize_flat(
    fun: Callable[..., Sequence[Any]], primals: Sequence[Any], differentiated: Sequence[bool] | None = None
) -> tuple[Sequence[Any], Jaxpr, tuple[bool, ...]]:
    """Results, the linear program, and which outputs have a tangent, for a function of flat arguments.

    The program takes a tangent for each primal that is `differentiated` (by default: that is inexact) and gives one
    for each output that has one.
    """
    recorder = LinearTrace(state.trace)
    trace = LinearizeTrace(recorder)
    tangents: list[StagingTracer] = []
    args: list[Any] = []
    for i, x in enumerate(primals):
        t = type_of(x)
        if is_inexact(t.dtype) if differentiated is None else differentiated[i]:
            tangents.append(recorder.new_input(t.strong()))
            args.append(trace.pack(x, tangents[-1]))
        else:
            args.append(x)
    with current(recorder), current(trace):
        outs = fun(*args)
        out_primals, out_tangents, _ = trace.unpack(outs)
        linear = recorder.finish(tangents, [t for t in out_tangents if t is not None])
    return out_primals, linear, tuple(t is not None for t in out_tangents)


def linearize_jaxpr(
    jaxpr: Jaxpr, nonzero: Sequence[bool]
) -> tuple[Jaxpr, Jaxpr, tuple[int | None, ...], tuple[bool, ...]]:
    """The known and the linear program of an open jaxpr, where the residuals come from, and which outputs have a tangent.

    known: inputs -> (outputs, new residuals). linear: (residuals, nonzero tangents) -> nonzero output tangents.
    A residual's origin is the number of the input that it equals, or None if the known program computes it.
    """
    linear: Jaxpr | None = None
    origins: list[int | None] = []
    out_nonzero: tuple[bool, ...] = ()

    def fun(*primals: Any) -> list[Any]:
        nonlocal linear, out_nonzero
        outs, closed, out_nonzero = linearize_flat(lambda *xs: evaluate(jaxpr, *xs), primals, nonzero)
        linear, residuals = closed.hoist_constants()
        positions = {id(x): i for i, x in enumerate(primals)}
        origins.extend(positions.get(id(r)) for r in residuals)
        return [*outs, *(r for r, origin in zip(residuals, origins, strict=True) if origin is None)]

    known = stage(fun, jaxpr.in_types, jaxpr.name)
    assert linear is not None
    linear.name = f"linear({jaxpr.name})" if jaxpr.name else ""
    return known, linear, tuple(origins), out_nonzero


