"""Linearization: the result now, and the linear map of the tangents as a program for later.

linearize : (a -> b) -> a -> (b, T a -o T b)

It is forward mode over a recorder. `LinearizeTrace` is a `JVPTrace` whose tangents are variables of a
`LinearTrace`; that one records an operation if it touches a tangent and hands every other operation to its
parent. So `fun` runs once, primal values are never boxed more than in a jvp, and what was recorded is a linear
`Jaxpr` whose constants are the residuals.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from typing import Any

from minijvp.core import source
from minijvp.core.config import cached_by_budget
from minijvp.core.jaxpr import Atom, Equation, Jaxpr, Var, evaluate
from minijvp.core.tracing import Trace, current, detached, settled, state
from minijvp.core.types import PYTHON_SCALARS, ArrayType, is_inexact, type_of
from minijvp.errors import EscapedTracerError
from minijvp.operations.families import zeros_like
from minijvp.optimize.eager.steps import Program, hand_on, has_steps, program, program_of, run, step, takes_steps
from minijvp.transforms.jvp import JVPTrace, JVPTracer
from minijvp.transforms.staging import StagingTrace, StagingTracer, stage


class LinearTrace(StagingTrace):
    """Records the operations on its tracers, the tangents; all others are its parent's."""

    __slots__ = ("further",)

    def __init__(self, parent: Trace):
        super().__init__()
        self.parent = parent
        self.further: list[Var] = []

    @property
    def description(self) -> str:
        return "the tangents of a linearization (grad, vjp, linearize)"

    def process(self, primitive: Any, args: tuple, params: dict[str, Any]) -> Any:
        for x in args:
            if type(x) is StagingTracer and x.owner is self:
                return super().process(primitive, args, params)
        return self.parent.process(primitive, args, params)

    def lift(self, value: Any) -> Any:
        return self.parent.lift(value)

    def record(self, linearization: Linearization, primals: tuple, outs: tuple, tangents: Sequence[Any]) -> list[Any]:
        """The tangents of the results of a step. `outs` has the results, and then the residuals that are new values."""
        atoms: list[Atom] = []
        constants = self.constants
        n = len(primals)
        for origin, kind in linearization.residuals:
            x = primals[origin] if origin < n else outs[origin - n]
            if type(x) in PYTHON_SCALARS:
                atoms.append(self.atom(x))
                continue
            known = constants.get(id(x))
            if known is None:
                known = constants[id(x)] = (Var(kind), x)
            atoms.append(known[0])
        for t in tangents:
            if t is not None:
                # A custom rule may give a tangent that is a constant.
                mine = type(t) is StagingTracer and t.owner is self
                atoms.append(t.variable if mine else self.atom(t))
        found = [None if kind is None else StagingTracer(self, Var(kind)) for kind in linearization.out_tangents]
        outputs = tuple([t.variable for t in found if t is not None])
        if outputs:
            line = state.source or source.capture(3)
            self.equations.append(Equation(step, tuple(atoms), linearization.linear.params, outputs, line))
        return found


class LinearizeTrace(JVPTrace):
    """A jvp over a recorder: prefers the rule that separates the primal from the linear part."""

    __slots__ = ("recorder",)

    def __init__(self, recorder: LinearTrace):
        super().__init__(recorder, takes_steps(recorder.parent))
        self.recorder = recorder

    @property
    def description(self) -> str:
        return "a linearization (grad, vjp, linearize)"

    def process(self, primitive: Any, args: tuple, params: dict[str, Any]) -> Any:
        if not (self.eager and has_steps(primitive, params)):
            return super().process(primitive, args, params)
        primals, tangents, active = self.unpack(args)
        below = self.recorder.parent
        if not active:
            return hand_on(below, primitive, primals, params)
        try:
            linearization = linearized(program_of(primitive, primals, params), tangents)
            outs = run(below, linearization.known, primals)
        except EscapedTracerError:
            values = settled(args)
            if values is args:
                raise
            return self.process(primitive, tuple(values), params)
        found = self.recorder.record(linearization, primals, outs, tangents)
        if primitive.returns_tuple is not False:  # it is not known of a step, of which all results are tuples
            return tuple([x if t is None else JVPTracer(self, x, t) for x, t in zip(outs, found)])
        return outs[0] if found[0] is None else JVPTracer(self, outs[0], found[0])

    def apply(self, primitive: Any, primals: tuple, tangents: tuple, params: dict[str, Any]) -> tuple[Any, Any]:
        # One look for the user's line serves all that the rule records.
        outer = state.source
        state.source = outer or source.capture(3)
        try:
            return super().apply(primitive, primals, tangents, params)
        finally:
            state.source = outer

    def rule(self, primitive: Any) -> Callable[..., tuple[Any, Any]]:
        return primitive.linearize

    def further_zero(self, kind: ArrayType) -> JVPTracer:
        """A zero whose tangent is one more input of the linear program, behind those of the arguments."""
        tangent = self.recorder.new_input(kind.strong())
        self.recorder.further.append(tangent.variable)
        return JVPTracer(self, zeros_like(kind), tangent)


class Linearization:
    """A program linearized: what is `known` before the tangents, and the `linear` program of residuals and tangents."""

    __slots__ = ("known", "linear", "out_tangents", "residuals")

    def __init__(self, program_: Program, nonzero: tuple[bool, ...]):
        known, linear, origins, out_nonzero = linearize_jaxpr(program_.jaxpr, nonzero)
        self.known = program(known, program_.name)
        self.linear = program(linear, program_.name)
        tangents = iter(linear.out_types)
        self.out_tangents = tuple([next(tangents) if flag else None for flag in out_nonzero])
        # Where each residual is found in (*primals, *results of `known`), and its type.
        new = iter(range(len(nonzero) + len(out_nonzero), len(nonzero) + len(known.outputs)))
        places = [next(new) if origin is None else origin for origin in origins]
        self.residuals = tuple(zip(places, linear.in_types, strict=False))


def linearized(program: Program, tangents: Sequence[Any]) -> Linearization:
    """The linearization of a program in the inputs that have a tangent."""
    nonzero = tuple([t is not None for t in tangents])
    found = program.linearizations.get(nonzero)
    if found is None:
        with detached():
            found = program.linearizations[nonzero] = Linearization(program, nonzero)
    return found


def linearize_flat(
    fun: Callable[..., Sequence[Any]],
    primals: Sequence[Any],
    differentiated: Sequence[bool] | None = None,
    n_outputs: int | Callable[[], int] | None = None,
) -> tuple[Sequence[Any], Jaxpr, tuple[bool, ...]]:
    """Results, the linear program, and which outputs have a tangent, for a function of flat arguments.

    The program takes a tangent for each primal that is `differentiated` (by default: that is inexact) and gives one
    for each output that has one. Outputs from number `n_outputs` on are auxiliary and get none; a function is asked for
    that number after the run.
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
        if n_outputs is not None:
            out_tangents = out_tangents[: n_outputs if isinstance(n_outputs, int) else n_outputs()]
        inputs = tangents + [StagingTracer(recorder, v) for v in recorder.further]
        linear = recorder.finish(inputs, [t for t in out_tangents if t is not None])
        # Transposed once, right away, dead equations cost less than finding them.
        if not trace.eager:
            linear = linear.without_dead_code()
    return out_primals, linear, tuple([t is not None for t in out_tangents])


Origins = tuple[int | None, ...]
"""Where residuals are: their numbers among inputs and outputs, or None for what is kept besides, in its order."""

LinearizedJaxpr = tuple[Jaxpr, Jaxpr, Origins, tuple[bool, ...]]
"""What `linearize_jaxpr` returns."""


@cached_by_budget(maxsize=4096)
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
        linear, residuals = closed.hoist_constants()
        positions = {id(x): i for i, x in enumerate([*primals, *outs])}
        origins.extend(positions.get(id(r)) for r in residuals)
        return [*outs, *(r for r, origin in zip(residuals, origins, strict=True) if origin is None)]

    known = stage(fun, jaxpr.in_types, jaxpr.name)
    assert linear is not None
    linear.name = f"linear({jaxpr.name})" if jaxpr.name else ""
    return known, linear, tuple(origins), out_nonzero


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
