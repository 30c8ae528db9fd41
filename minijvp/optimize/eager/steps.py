"""Eager derivatives, an operation at a time: all that a derivative makes of an operation is one compiled call.

Without this, an eager derivative pays one dispatch for every operation that a rule is written with. A step is a program
that was staged once, from the rule of a primitive for given types: its jvp, what a linearization computes, what it
leaves to be applied to tangents, the transpose of that, and each of these with a batch axis. The program of a step has
steps itself, so that derivatives of derivatives still take one call where the first one did. Steps exist between XLA
and the traces that stand directly on it; any other trace sees the equations that a step stands for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import jax

from minijvp.calls.programs import one_equation
from minijvp.core.jaxpr import Equation, Jaxpr, evaluate, lower
from minijvp.core.primitive import Primitive
from minijvp.core.tracer import refuse_tracers, resolved
from minijvp.core.tracing import EVALUATION, Trace, detached, state
from minijvp.core.types import ArrayType, Params, type_of
from minijvp.errors import EscapedTracerError
from minijvp.operations.sharding import number_of_devices, spread_like, spread_over
from minijvp.transforms.staging import stage
from minijvp.transforms.transpose import transpose_jaxpr

Flags = tuple[bool, ...]
Make = Callable[[Any, Sequence[Any], dict[str, Any]], Jaxpr]


def compiled(jaxpr: Jaxpr, shardings: tuple[Any, ...] | None = None) -> Callable[..., tuple[Any, ...]]:
    """What an open jaxpr computes, as one call of XLA, or as none if it only hands on some of its inputs.

    With `shardings`, one for each output, these lie so on devices.
    """
    numbers = {v: i for i, v in enumerate(jaxpr.inputs)}
    if all(v in numbers for v in jaxpr.outputs):
        places = [numbers[v] for v in jaxpr.outputs]  # type: ignore[index]
        return lambda *xs: tuple([xs[i] for i in places])

    def step(*args: Any) -> tuple[Any, ...]:
        return tuple(lower(jaxpr, *args))

    step.__name__ = jaxpr.name or "step"
    return jax.jit(step) if shardings is None else jax.jit(step, out_shardings=shardings)


class CompiledProgram:
    """An open jaxpr that is evaluated by one compiled call, and the programs that were made of it.

    `jvps` and `linearizations` are known by which inputs have a tangent, `batches` by the size of the batch axis and
    which inputs have it, `transposes` by where linear inputs begin and which outputs have a cotangent. All are for as
    many `devices` as it is.
    """

    __slots__ = ("batches", "devices", "jaxpr", "jvps", "linearizations", "name", "params", "run", "transposes")

    def __init__(self, jaxpr: Jaxpr, name: str):
        self.jaxpr = jaxpr
        self.name = name
        self.run = compiled(jaxpr)
        self.devices = number_of_devices()
        self.params = {"program": self}
        self.jvps: dict[Flags, tuple[CompiledProgram, Flags]] = {}
        self.linearizations: dict[Flags, Any] = {}
        self.batches: dict[tuple[int, Any, Flags], tuple[CompiledProgram, Flags]] = {}
        self.transposes: dict[tuple[int, Flags], tuple[CompiledProgram, Flags | None]] = {}

    def __str__(self) -> str:
        return str(self.jaxpr)

    def transposed(self, n: int, nonzero: Flags) -> tuple[CompiledProgram, Flags | None]:
        """The transpose in the inputs from number n on, for the cotangents that are not zero.

        With it, which of those inputs get a cotangent: None if all do.
        """
        found = self.transposes.get((n, nonzero))
        if found is None:
            linear = tuple([i >= n for i in range(len(self.jaxpr.inputs))])
            with spread_over(self.devices):
                jaxpr, flags = transpose_jaxpr(self.jaxpr, linear, nonzero)
                found = self.transposes[n, nonzero] = program(jaxpr, self.name), None if all(flags) else flags
        return found


PROGRAMS = 8192
"""How many are kept; all are forgotten when there would be more."""

_by_jaxpr: dict[tuple[Jaxpr, int], CompiledProgram] = {}
_by_operation: dict[tuple, CompiledProgram] = {}


def program(jaxpr: Jaxpr, name: str) -> CompiledProgram:
    """The compiled form of an open jaxpr, in messages called `name`."""
    devices = number_of_devices()
    found = _by_jaxpr.get((jaxpr, devices))
    if found is None:
        if max(len(_by_jaxpr), len(_by_operation)) >= PROGRAMS:
            _by_jaxpr.clear()
            _by_operation.clear()
        # It serves everywhere, so that the line of its first use would mislead.
        equations = tuple([Equation(e.primitive, e.inputs, e.params, e.outputs, None) for e in jaxpr.equations])
        found = CompiledProgram(Jaxpr(jaxpr.constants, jaxpr.inputs, equations, jaxpr.outputs, jaxpr.name), name)
        _by_jaxpr[found.jaxpr, devices] = found
    return found


def program_of(primitive: Any, args: Sequence[Any], params: Params, make: Make | None = None) -> CompiledProgram:
    """The program that applies one primitive to arguments like `args`; or, with `make`, any function of the library."""
    if primitive is step:
        return params["program"]
    # JAX's own abstract values serve for types in the key: they hash fast.
    try:
        types = tuple([x.aval for x in args])
    except AttributeError:
        types = tuple(map(type_of, args))
    key = (primitive, types, *params.items()) if params else (primitive, types)
    try:
        found = _by_operation.get(key)
    except TypeError:
        primitive.evaluate(tuple(args), params)  # says which parameter cannot be hashed
        raise
    if found is None:
        with detached(), spread_like(args):
            jaxpr = (make or one_equation)(primitive, args, params)
            found = _by_operation[key] = program(jaxpr, primitive.__name__)
    return found


def in_one_step(fun: Callable[..., Sequence[Any]]) -> Callable[..., Sequence[Any]]:
    """A function of the library, of flat arrays and static parameters, as one step."""

    @wraps(fun)
    def stepping(*args: Any, **params: Any) -> Sequence[Any]:
        return run(state.trace, program_of(fun, args, params, staged), args)

    return stepping


def staged(fun: Callable[..., Sequence[Any]], args: Sequence[Any], params: Params) -> Jaxpr:
    """The jaxpr of a function of arguments of the types of `args`."""
    return stage(lambda *xs: fun(*xs, **params), list(map(type_of, args)), fun.__name__)


class ComputingTrace(Trace):
    """A trace on whose parent everything is computed at once, and a step by one call."""

    __slots__ = ()

    def above(self, kind: Any) -> Any:
        return EVALUATION.above(kind)


def takes_steps(trace: Trace) -> bool:
    """Whether what a trace is given is computed at once, and a step by one call."""
    return trace is EVALUATION or isinstance(trace, ComputingTrace)


def speaks_along_axes(primitive: Primitive, params: Params) -> bool:
    """Whether what a rule of a primitive makes depends on named axes here, and not on types and parameters alone."""
    return any([primitive.uses_axis(name, params) for name in state.axis_sizes])


class Step(Primitive):
    """The application of a program, by one compiled call. Traces that do not compute see its equations."""

    knows_placements = True

    def __call__(self, *args: Any, **params: Any) -> tuple[Any, ...]:
        trace, program = state.trace, params["program"]
        return run(trace, program, args) if takes_steps(trace) else tuple(evaluate(program.jaxpr, *args))

    def evaluate(self, args: tuple, params: Params) -> tuple[Any, ...]:
        return params["program"].run(*args)

    def type_rule(self, *types: ArrayType, program: CompiledProgram) -> tuple[ArrayType, ...]:
        return program.jaxpr.out_types

    def transpose(self, ct: tuple, *args: Any, program: CompiledProgram) -> tuple[Any, ...]:
        # Residuals come first; in all tangents together the program is linear, also where one is known.
        n = 0
        while type(args[n]) is not ArrayType:
            n += 1
        pull, flags = program.transposed(n, tuple([c is not None for c in ct]))
        given = (*args[:n], *[c for c in ct if c is not None])
        trace = state.trace
        cts = run(trace, pull, given) if takes_steps(trace) else tuple(evaluate(pull.jaxpr, *given))
        if flags is not None:
            rest = iter(cts)
            cts = tuple([next(rest) if flag else None for flag in flags])
        return (None,) * n + cts


step = Step("step")


def run(trace: Trace, program: CompiledProgram, args: tuple) -> tuple[Any, ...]:
    """The outputs of a program under a trace that takes steps."""
    if trace is not EVALUATION:
        return trace.process(step, args, program.params)
    try:
        return program.run(*args)
    except (TypeError, ValueError, EscapedTracerError):
        values = resolved(args)
        if values is not args:
            return run(trace, program, tuple(values))
        refuse_tracers(args, program.name)
        raise


def delegate(trace: Trace, primitive: Primitive, args: tuple, params: Params) -> Any:
    """The result of an operation that is the business of the trace below."""
    return run(trace, params["program"], args) if primitive is step else trace.process(primitive, args, params)


def n_operations(jaxpr: Jaxpr) -> int:
    """How many operations a program has, with those inside of others."""
    return sum([1 + sum(map(n_operations, e.programs)) for e in jaxpr])


def repetitions(args: Sequence[Any]) -> tuple[int, ...]:
    """For each array the first place where it is among the arguments: one that is there twice is one constant."""
    places = list(map(id, args))
    return tuple([places.index(id(x)) if isinstance(x, jax.Array) else -1 for x in args])
