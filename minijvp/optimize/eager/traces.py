"""The traces of eager derivatives that take an operation in one step, where the plain ones take its rule's operations.

They stand on XLA or on each other, and do what the traces do whose place they take.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from minijvp.core import source
from minijvp.core.hooks import hooks, other_plans
from minijvp.core.jaxpr import Atom, Equation, Var
from minijvp.core.primitive import Axis
from minijvp.core.tracer import resolved
from minijvp.core.tracing import Trace, detached, state
from minijvp.core.types import PYTHON_SCALARS, Params
from minijvp.errors import EscapedTracerError
from minijvp.operations.sharding import spread_over
from minijvp.optimize.eager.steps import (
    CompiledProgram,
    ComputingTrace,
    Flags,
    delegate,
    program,
    program_of,
    run,
    speaks_along_axes,
    step,
)
from minijvp.transforms.jvp import JVPTrace, JVPTracer, jvp_jaxpr
from minijvp.transforms.linearize import LinearizeTrace, linearize_jaxpr
from minijvp.transforms.staging import StagingTracer
from minijvp.transforms.vmap import BatchTrace, BatchTracer, vmap_jaxpr


class EagerJVPTrace(ComputingTrace, JVPTrace):
    """Result and tangent of an operation by one call."""

    __slots__ = ()

    def process(self, primitive: Any, args: tuple, params: Params) -> Any:
        primals, tangents, active = self.unpack(args)
        if not active:
            return delegate(self.parent, primitive, primals, params)
        if not primitive.has_steps or (state.axis_sizes and speaks_along_axes(primitive, params)):
            return super().process(primitive, args, params)
        program, flags = pushed(program_of(primitive, primals, params), tangents)
        outs = run(self.parent, program, (*primals, *[t for t in tangents if t is not None]))
        if primitive.returns_tuple is False:  # it is not known of a step, of which all results are tuples
            return JVPTracer(self, *outs) if flags[0] else outs[0]
        rest = iter(outs[len(flags) :])
        return tuple([JVPTracer(self, x, next(rest)) if flag else x for x, flag in zip(outs, flags)])


def as_it_is(make: Callable[[], Any]) -> Any:
    """A step, which is not NaN-safe, as these traces are not: whatever is set now."""
    return (hooks.with_nan_safe(make, False, "a step") if other_plans else make)()


def pushed(source: CompiledProgram, tangents: Sequence[Any]) -> tuple[CompiledProgram, Flags]:
    """The jvp of a program in the inputs that have a tangent, and which outputs have one."""
    nonzero = tuple([t is not None for t in tangents])
    found = source.jvps.get(nonzero)
    if found is None:
        with detached(), spread_over(source.devices):
            jaxpr, flags = as_it_is(lambda: jvp_jaxpr(source.jaxpr, nonzero))
            found = source.jvps[nonzero] = program(jaxpr, source.name), flags
    return found


class EagerLinearizeTrace(ComputingTrace, LinearizeTrace):
    """The result of an operation by one call, and its tangents as one equation of the linear program."""

    __slots__ = ()

    def process(self, primitive: Any, args: tuple, params: Params) -> Any:
        if not primitive.has_steps or (state.axis_sizes and speaks_along_axes(primitive, params)):
            return super().process(primitive, args, params)
        primals, tangents, active = self.unpack(args)
        below = self.recorder.parent
        if not active:
            return delegate(below, primitive, primals, params)
        try:
            linearization = linearized(program_of(primitive, primals, params), tangents)
            outs = run(below, linearization.known, primals)
        except EscapedTracerError:
            values = resolved(args)
            if values is args:
                raise
            return self.process(primitive, tuple(values), params)
        found = self.record(linearization, primals, outs, tangents)
        if primitive.returns_tuple is not False:
            return tuple([x if t is None else JVPTracer(self, x, t) for x, t in zip(outs, found)])
        return outs[0] if found[0] is None else JVPTracer(self, outs[0], found[0])

    def record(self, linearization: LinearizedStep, primals: tuple, outs: tuple, tangents: Sequence[Any]) -> list[Any]:
        """The tangents of the results of a step. `outs` has the results, and then the residuals that are new values."""
        atoms: list[Atom] = []
        recorder = self.recorder
        constants = recorder.constants
        n = len(primals)
        for origin, kind in linearization.residuals:
            x = primals[origin] if origin < n else outs[origin - n]
            if type(x) in PYTHON_SCALARS:
                atoms.append(recorder.atom(x))
                continue
            known = constants.get(id(x))
            if known is None:
                known = constants[id(x)] = (Var(kind), x)
            atoms.append(known[0])
        for t in tangents:
            if t is not None:
                # A custom rule may give a tangent that is a constant.
                mine = type(t) is StagingTracer and t.owner is recorder
                atoms.append(t.variable if mine else recorder.atom(t))
        found = [None if kind is None else StagingTracer(recorder, Var(kind)) for kind in linearization.out_tangents]
        outputs = tuple([t.variable for t in found if t is not None])
        if outputs:
            line = state.source or source.capture(3)
            recorder.equations.append(Equation(step, tuple(atoms), linearization.linear.params, outputs, line))
        return found


class LinearizedStep:
    """A program linearized: what is `known` before the tangents, and the `linear` program of residuals and tangents."""

    __slots__ = ("known", "linear", "out_tangents", "residuals")

    def __init__(self, program_: CompiledProgram, nonzero: Flags):
        known, linear, origins, out_nonzero = linearize_jaxpr(program_.jaxpr, nonzero)
        self.known = program(known, program_.name)
        self.linear = program(linear, program_.name)
        tangents = iter(linear.out_types)
        self.out_tangents = tuple([next(tangents) if flag else None for flag in out_nonzero])
        # Where each residual is found in (*primals, *results of `known`), and its type.
        new = iter(range(len(nonzero) + len(out_nonzero), len(nonzero) + len(known.outputs)))
        places = [next(new) if origin is None else origin for origin in origins]
        self.residuals = tuple(zip(places, linear.in_types, strict=False))


def linearized(program: CompiledProgram, tangents: Sequence[Any]) -> LinearizedStep:
    """The linearization of a program in the inputs that have a tangent."""
    nonzero = tuple([t is not None for t in tangents])
    found = program.linearizations.get(nonzero)
    if found is None:
        with detached(), spread_over(program.devices):
            found = program.linearizations[nonzero] = as_it_is(lambda: LinearizedStep(program, nonzero))
    return found


class EagerBatchTrace(ComputingTrace, BatchTrace):
    """Steps stay steps, of programs with a batch axis; all else is the rules' business."""

    __slots__ = ()

    def process(self, primitive: Any, args: tuple, params: Params) -> Any:
        if primitive is not step:
            return super().process(primitive, args, params)
        values, batched = self.unpack(args)
        if not any(batched):
            return run(self.parent, params["program"], values)
        program, flags = mapped(params["program"], self.axis, batched)
        return tuple([BatchTracer(self, x) if b else x for x, b in zip(run(self.parent, program, values), flags)])


def mapped(source: CompiledProgram, axis: Axis, batched: Flags) -> tuple[CompiledProgram, Flags]:
    """A program with a batch axis on some inputs, and which outputs have it."""
    key = axis.size, axis.mesh_axes, batched
    found = source.batches.get(key)
    if found is None:
        with detached(), spread_over(source.devices):
            jaxpr, flags = vmap_jaxpr(source.jaxpr, Axis(axis.size, None, axis.mesh_axes), batched)
            found = source.batches[key] = program(jaxpr, source.name), flags
    return found


TRACES: dict[type[Trace], type[Trace]] = {
    JVPTrace: EagerJVPTrace,
    LinearizeTrace: EagerLinearizeTrace,
    BatchTrace: EagerBatchTrace,
}
"""The traces for values that are computed at once."""
