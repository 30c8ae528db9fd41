"""Forward mode: primal and tangent travel together.

jvp : (a -> b) -> (a, T a) -> (b, T b)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from minijvp.answers import no_number
from minijvp.core import placements
from minijvp.core.caching import cached_by_linearizer
from minijvp.core.jaxpr import Jaxpr, evaluate
from minijvp.core.source import Source
from minijvp.core.tracer import Tracer
from minijvp.core.tracing import Trace, current, state
from minijvp.core.types import ArrayType, Params, type_of
from minijvp.operations.placing import brought
from minijvp.transforms.staging import stage_as


class PrimalTracer(Tracer):
    """A tracer of a primal, with what a transformation carries beside it: what is known of the primal is known of it.

    It is a number for Python only if it does not move, since a number would have no derivative.
    """

    __slots__ = ("primal",)

    primal: Any
    moves: Any  # whether there is a derivative of it that may not be zero

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
        return self.primal.made_at() if isinstance(self.primal, Tracer) else None

    def known_value(self, wanted_by: str, as_number: bool = False) -> Any:
        if self.owner.finished():
            raise self.foreign(wanted_by)
        if as_number and self.moves:
            raise no_number(self, wanted_by)
        return self.primal.known_value(wanted_by, as_number) if isinstance(self.primal, Tracer) else self.primal


class JVPTracer(PrimalTracer):
    """A primal with its tangent. A tangent of None is zero."""

    __slots__ = ("tangent",)

    def __init__(self, trace: JVPTrace, primal: Any, tangent: Any):
        self.owner = trace
        self.primal = primal
        self.tangent = tangent

    def made_at(self) -> Source | None:
        for x in (self.primal, self.tangent):
            if isinstance(x, Tracer) and (line := x.made_at()) is not None:
                return line
        return None

    @property
    def moves(self) -> bool:
        return self.tangent is not None


class JVPTrace(Trace):
    """Applies the jvp rule of every operation that touches one of its tracers."""

    __slots__ = ()

    def __init__(self, parent: Trace):
        self.parent = parent

    @property
    def description(self) -> str:
        return "a jvp"

    def process(self, primitive: Any, args: tuple, params: Params) -> Any:
        primals, tangents, active = self.unpack(args)
        if not active:
            return self.parent.process(primitive, primals, params)
        out, tangent = self.apply(primitive, primals, tangents, params)
        if placements.met:
            tangent = self.placed(out, tangent)
        if type(out) is tuple:
            return tuple([self.pack(x, t) for x, t in zip(out, tangent, strict=True)])
        return self.pack(out, tangent)

    def lift(self, value: Any) -> Any:
        return value if isinstance(value, Tracer) else JVPTracer(self, value, None)

    def unpack(self, args: Sequence[Any]) -> tuple[tuple, tuple, bool]:
        """Primals, tangents, and whether there is any tangent."""
        primals, tangents, active = [], [], False
        for x in args:
            if type(x) is JVPTracer and x.owner is self:
                primals.append(x.primal)
                tangents.append(x.tangent)
                active = active or x.tangent is not None
            else:
                primals.append(x)
                tangents.append(None)
        return tuple(primals), tuple(tangents), active

    def pack(self, primal: Any, tangent: Any) -> Any:
        return primal if tangent is None else JVPTracer(self, primal, tangent)

    def placed(self, out: Any, tangent: Any) -> Any:
        """The tangents, placed as the values are that they belong to."""
        previous = state.trace
        state.trace = self.parent
        try:
            if type(out) is not tuple:
                return None if tangent is None else brought(tangent, type_of(out))
            return tuple([None if t is None else brought(t, type_of(x)) for x, t in zip(out, tangent, strict=True)])
        finally:
            state.trace = previous

    def apply(self, primitive: Any, primals: tuple, tangents: tuple, params: Params) -> tuple[Any, Any]:
        """Result and tangent of an operation, by its rule, which runs under the parent."""
        previous = state.trace
        state.trace = self.parent
        try:
            return primitive.jvp(primals, tangents, **params)
        finally:
            state.trace = previous


def jvp_flat(
    fun: Callable[..., Sequence[Any]], primals: Sequence[Any], tangents: Sequence[Any]
) -> tuple[Sequence[Any], Sequence[Any]]:
    """Results and their tangents, for a function of flat arguments that returns a flat list. Tangents may be None."""
    trace = state.trace.above(JVPTrace)(state.trace)
    args = [trace.pack(x, t) for x, t in zip(primals, tangents, strict=True)]
    with current(trace):
        outs = fun(*args)
    out_primals, out_tangents, _ = trace.unpack(outs)
    return out_primals, out_tangents


@cached_by_linearizer(maxsize=4096)
def jvp_jaxpr(jaxpr: Jaxpr, nonzero: tuple[bool, ...]) -> tuple[Jaxpr, tuple[bool, ...]]:
    """The program of primals and tangents for an open jaxpr, and which outputs have a tangent.

    Its inputs are the inputs of `jaxpr`, then a tangent for each that is `nonzero`; its outputs likewise.
    """
    out_nonzero: tuple[bool, ...] = ()

    def fun(*args: Any) -> list[Any]:
        nonlocal out_nonzero
        rest = iter(args[len(jaxpr.inputs) :])
        primals = args[: len(jaxpr.inputs)]
        outs, tangents = jvp_flat(partial(evaluate, jaxpr), primals, [next(rest) if n else None for n in nonzero])
        out_nonzero = tuple(t is not None for t in tangents)
        return [*outs, *(t for t in tangents if t is not None)]

    types = [*jaxpr.in_types, *(t.strong() for t, n in zip(jaxpr.in_types, nonzero, strict=True) if n)]
    return stage_as("jvp", jaxpr, fun, types), out_nonzero
