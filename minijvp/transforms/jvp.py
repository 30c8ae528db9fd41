"""Forward mode: primal and tangent travel together.

jvp : (a -> b) -> (a, T a) -> (b, T b)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from minijvp.core.jaxpr import Jaxpr, evaluate
from minijvp.core.source import Source
from minijvp.core.tracing import Trace, Tracer, current, state, tracer_class
from minijvp.core.types import ArrayType, type_of
from minijvp.errors import ConcretizationError
from minijvp.transforms.staging import stage


@tracer_class
class JVPTracer(Tracer):
    """A primal with its tangent. A tangent of None is zero."""

    __slots__ = ("primal", "tangent")

    def __init__(self, trace: JVPTrace, primal: Any, tangent: Any):
        self.trace = trace
        self.primal = primal
        self.tangent = tangent

    @property
    def type(self) -> ArrayType:
        return type_of(self.primal)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.primal.shape

    @property
    def dtype(self) -> Any:
        return self.primal.dtype

    def made_at(self) -> Source | None:
        for x in (self.primal, self.tangent):
            if isinstance(x, Tracer) and (line := x.made_at()) is not None:
                return line
        return None

    def known_value(self, wanted_by: str) -> Any:
        if self.trace.finished():
            raise self.foreign(wanted_by)
        if self.tangent is not None and wanted_by.startswith(("float", "complex", "item", "tolist")):
            raise ConcretizationError(
                f"{wanted_by} was asked of a {self.type!r} that is being differentiated.",
                "The result would be a plain number without its derivative, and the gradient would be wrong.",
                "Keep the array; where the derivative is not wanted, say so: float(minijvp.stop_gradient(x)).",
            )
        return self.primal.known_value(wanted_by) if isinstance(self.primal, Tracer) else self.primal


class JVPTrace(Trace):
    """Applies the jvp rule of every operation that touches one of its tracers."""

    __slots__ = ()

    def __init__(self, parent: Trace):
        self.parent = parent

    @property
    def description(self) -> str:
        return "a jvp"

    def process(self, primitive: Any, args: tuple, params: dict[str, Any]) -> Any:
        primals, tangents, mine = self.unpack(args)
        if not mine:
            return self.parent.process(primitive, args, params)
        previous = state.trace
        state.trace = self.parent
        try:
            out, tangent = self.rule(primitive)(primals, tangents, **params)
        finally:
            state.trace = previous
        if type(out) is tuple:
            return tuple([self.pack(x, t) for x, t in zip(out, tangent, strict=True)])
        return self.pack(out, tangent)

    def unpack(self, args: Sequence[Any]) -> tuple[tuple, tuple, bool]:
        """Primals, tangents, and whether any argument was a tracer of this trace."""
        primals, tangents, mine = [], [], False
        for x in args:
            if type(x) is JVPTracer and x.trace is self:
                primals.append(x.primal)
                tangents.append(x.tangent)
                mine = True
            else:
                primals.append(x)
                tangents.append(None)
        return tuple(primals), tuple(tangents), mine

    def pack(self, primal: Any, tangent: Any) -> Any:
        return primal if tangent is None else JVPTracer(self, primal, tangent)

    def rule(self, primitive: Any) -> Callable[..., tuple[Any, Any]]:
        return primitive.jvp


def jvp_flat(
    fun: Callable[..., Sequence[Any]], primals: Sequence[Any], tangents: Sequence[Any]
) -> tuple[Sequence[Any], Sequence[Any]]:
    """Results and their tangents, for a function of flat arguments that returns a flat list. Tangents may be None."""
    trace = JVPTrace(state.trace)
    args = [trace.pack(x, t) for x, t in zip(primals, tangents, strict=True)]
    with current(trace):
        outs = fun(*args)
    out_primals, out_tangents, _ = trace.unpack(outs)
    return out_primals, out_tangents


def jvp_jaxpr(jaxpr: Jaxpr, nonzero: Sequence[bool]) -> tuple[Jaxpr, tuple[bool, ...]]:
    """The program of primals and tangents for an open jaxpr, and which outputs have a tangent.

    Its inputs are the inputs of `jaxpr`, then a tangent for each that is `nonzero`; its outputs likewise.
    """
    out_nonzero: tuple[bool, ...] = ()

    def fun(*args: Any) -> list[Any]:
        nonlocal out_nonzero
        rest = iter(args[len(jaxpr.inputs) :])
        primals = args[: len(jaxpr.inputs)]
        outs, tangents = jvp_flat(lambda *xs: evaluate(jaxpr, *xs), primals, [next(rest) if n else None for n in nonzero])
        out_nonzero = tuple(t is not None for t in tangents)
        return [*outs, *(t for t in tangents if t is not None)]

    types = [*jaxpr.in_types, *(t.strong() for t, n in zip(jaxpr.in_types, nonzero, strict=True) if n)]
    return stage(fun, types, f"jvp({jaxpr.name})" if jaxpr.name else ""), out_nonzero
