"""Linearization: the result now, and the linear map of the tangents as a program for later.

linearize : (a -> b) -> a -> (b, T a -o T b)

It is forward mode over a recorder. `LinearizeTrace` is a `JVPTrace` whose tangents are variables of a
`LinearTrace`; that one records an operation if it touches a tangent and delegates every other to its
parent. So `fun` runs once, primal values are never boxed more than in a jvp, and what was recorded is a linear
`Jaxpr` whose constants are the residuals.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Hashable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

from minijvp.core import source
from minijvp.core.caching import cached_by_linearizer
from minijvp.core.hooks import hooks, other_plans
from minijvp.core.jaxpr import Atom, Equation, Jaxpr, Var, evaluate
from minijvp.core.tracing import Trace, current, state
from minijvp.core.types import Params, is_inexact, type_of
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

    def process(self, primitive: Any, args: tuple, params: Params) -> Any:
        for x in args:
            if type(x) is StagingTracer and x.owner is self:
                return super().process(primitive, args, params)
        return self.parent.process(primitive, args, params)

    def lift(self, value: Any) -> Any:
        return self.parent.lift(value)


class LinearizeTrace(JVPTrace):
    """A jvp over a recorder: prefers the rule that separates the primal from the linear part."""

    __slots__ = ("recorder",)

    def __init__(self, recorder: LinearTrace):
        self.parent = self.recorder = recorder

    @property
    def description(self) -> str:
        return "a linearization (grad, vjp, linearize)"

    def apply(self, primitive: Any, primals: tuple, tangents: tuple, params: Params) -> tuple[Any, Any]:
        # One look for the user's line serves all that the rule records.
        outer, previous = state.source, state.trace
        state.source, state.trace = outer or source.capture(3), self.parent
        try:
            return primitive.linearize(primals, tangents, **params)
        finally:
            state.source, state.trace = outer, previous


def linearize_flat(
    fun: Callable[..., Sequence[Any]],
    primals: Sequence[Any],
    differentiated: Sequence[bool] | None = None,
    n_outputs: int | Callable[[], int] | None = None,
) -> Linearization:
    """Results, the linear program, and which outputs have a tangent, for a function of flat arguments.

    The program takes a tangent for each primal that is `differentiated` (by default: that is inexact) and gives one
    for each output that has one; it may have dead equations, which cost a transpose nothing. Outputs from number
    `n_outputs` on are auxiliary and get no tangent; a function is asked for that number after the run.
    """
    recorder = LinearTrace(state.trace)
    trace = state.trace.above(LinearizeTrace)(recorder)
    args: list[Any] = []
    for i, x in enumerate(primals):
        t = type_of(x)
        active = is_inexact(t.dtype) if differentiated is None else differentiated[i]
        args.append(trace.pack(x, recorder.new_input(t.strong())) if active else x)
    with current(recorder), current(trace):
        outs = fun(*args)
        out_primals, out_tangents, _ = trace.unpack(outs)
        if n_outputs is not None:
            out_tangents = out_tangents[: n_outputs if isinstance(n_outputs, int) else n_outputs()]
        linear = recorder.finish([t for t in out_tangents if t is not None])
    return out_primals, linear, tuple([t is not None for t in out_tangents])


Linearization = tuple[Sequence[Any], Jaxpr, tuple[bool, ...]]
"""What `linearize_flat` returns."""

Origins = tuple[int | None, ...]
"""Where residuals are: their numbers among inputs and outputs, or None for what is kept besides, in its order."""

LinearizedJaxpr = tuple[Jaxpr, Jaxpr, Origins, tuple[bool, ...]]
"""What `linearize_jaxpr` returns."""


@cached_by_linearizer(maxsize=4096)
def linearize_jaxpr(jaxpr: Jaxpr, nonzero: tuple[bool, ...], n_outputs: int | None = None) -> LinearizedJaxpr:
    """The known and the linear program of an open jaxpr, the origins of residuals, and which outputs have a tangent.

    known: inputs -> (outputs, new residuals). linear: (residuals, nonzero tangents) -> nonzero output tangents.
    A residual's origin is its number among inputs and outputs if it is one of them, or None if it is a new value.
    Outputs from number `n_outputs` on get no tangent.
    """
    linear: Jaxpr | None = None
    origins: list[int | None] = []
    out_nonzero: tuple[bool, ...] = ()

    def fun(*primals: Any) -> list[Any]:
        nonlocal linear, out_nonzero
        outs, closed, out_nonzero = linearize_flat(lambda *xs: evaluate(jaxpr, *xs), primals, nonzero, n_outputs)
        linear, residuals = closed.without_dead_code().hoist_constants()
        positions = {id(x): i for i, x in enumerate([*primals, *outs])}
        origins.extend(positions.get(id(r)) for r in residuals)
        return [*outs, *(r for r, origin in zip(residuals, origins, strict=True) if origin is None)]

    known = stage(fun, jaxpr.in_types, jaxpr.name)
    assert linear is not None
    linear.name = f"linear({jaxpr.name})" if jaxpr.name else ""
    return known, linear, tuple(origins), out_nonzero


class Loop(NamedTuple):
    """Of the body of a loop: how often it runs, the inputs that are the same in each turn, and what is kept anyway."""

    length: int
    fixed_inputs: tuple[bool, ...]
    kept_inputs: tuple[bool, ...]
    kept_outputs: tuple[bool, ...]
    unrolled: bool = False
    """Whether the compiler sees all turns of the forward and of the reverse pass as one sequence."""
    called: bool = False
    """Whether each turn is a call of a program of its own, which writes and reads what is kept."""
    chosen: bool = False
    """Whether it is the branch of a choice, which may stand in a loop."""


def residuals_of(origins: Origins, inputs: Sequence[Any], outputs: Sequence[Any], n: int) -> list[Any]:
    """The residuals, from what the known program of a linearization takes and gives: `n` outputs, and what is kept."""
    places, kept = (*inputs, *outputs[:n]), iter(outputs[n:])
    return [next(kept) if origin is None else places[origin] for origin in origins]


def with_tangent(e: Equation, active: Container[Atom]) -> list[Var]:
    """The results of an equation that have a tangent, where these variables have one."""
    flags = tuple([v in active for v in e.inputs])
    if not any(flags):
        return []
    inputs = tuple([Var(v.type) for v in e.inputs])
    jaxpr = Jaxpr((), inputs, (Equation(e.primitive, inputs, e.params, e.outputs, None),), e.outputs)
    return [v for v, flag in zip(e.outputs, linearize_jaxpr(jaxpr, flags)[3], strict=True) if flag]


class Linearizer:
    """How functions are linearized, and the programs that primitives carry: plainly, and each by itself.

    The one in force is `hooks.linearizer`; that of `minijvp.optimize` plans what is kept between the two passes.
    """

    def key(self) -> Hashable:
        """What results depend on besides the arguments."""
        return bool(other_plans) and hooks.nan_safe(JVPTrace) is not None

    def function(
        self,
        fun: Callable[..., Sequence[Any]],
        primals: Sequence[Any],
        differentiated: Sequence[bool] | None = None,
        n_outputs: int | Callable[[], int] | None = None,
        budget: Any = None,
    ) -> Linearization:
        """What `linearize_flat` returns, for a function that a user has differentiated; a `budget` is for plans."""
        return linearize_flat(fun, primals, differentiated, n_outputs)

    def program(self, jaxpr: Jaxpr, nonzero: tuple[bool, ...], loop: Loop | None = None) -> LinearizedJaxpr:
        """What `linearize_jaxpr` returns, for a program that a primitive carries, maybe the body of a `loop`."""
        return linearize_jaxpr(jaxpr, nonzero)

    def branches(self, jaxprs: Sequence[Jaxpr], nonzero: tuple[bool, ...]) -> list[LinearizedJaxpr]:
        """The same for programs of which one will run."""
        return [linearize_jaxpr(jaxpr, nonzero) for jaxpr in jaxprs]

    def in_place(self, jaxpr: Jaxpr) -> bool:
        """Whether a program that is called is linearized where it is called, as if its equations stood there."""
        return False

    def within(self, budget: Any) -> AbstractContextManager[None]:
        """Context manager: programs inside are linearized by a plan with this budget, if there are plans."""
        return nullcontext()

    def lowered(self, jaxpr: Jaxpr) -> Jaxpr:
        """A program that is not linearized any more, as it is handed to the compiler."""
        return jaxpr

    def carried_along(self, jaxpr: Jaxpr) -> Jaxpr:
        """A program that will be linearized later, and then as it would be now."""
        return jaxpr


hooks.linearizer = Linearizer()
