"""Programs whose equations say which operation of the user they are derivatives of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from minijvp.arguments.known_inputs import KnownInputs
from minijvp.core import source
from minijvp.core.jaxpr import Equation, Jaxpr
from minijvp.core.source import Source
from minijvp.core.tracing import Trace, state
from minijvp.core.types import ArrayType, Params
from minijvp.custom_rules.custom_jvp import program
from minijvp.custom_rules.custom_vjp import CustomVJPLinear
from minijvp.custom_rules.deferred import ByZeros, Deferred
from minijvp.errors import ForeignFunctionError
from minijvp.nan_safe.traces import SafeJVPTrace, SafeLinearizeTrace
from minijvp.optimize.planner import plainly
from minijvp.transforms.jvp import JVPTrace, JVPTracer
from minijvp.transforms.linearize import LinearizeTrace
from minijvp.transforms.staging import StagingTrace, StagingTracer, stage
from minijvp.transforms.transpose import transpose_flat
from minijvp.transforms.vmap import BatchTracer

OPERATION, COEFFICIENT, TANGENT, COTANGENT = "operation", "coefficient", "tangent", "cotangent"
"""What an equation is for the rule of an operation: the operation itself, what the derivative needs besides, the linear
part of that, or its transpose."""


class Mark(Source):
    """A user's line, with the operation there whose derivative an equation belongs to."""

    operation: str
    """Its name; "" where it is not known."""
    part: str
    reverse: bool


def mark(line: Source, operation: str, part: str, reverse: bool) -> Mark:
    """A line with the operation that is differentiated there."""
    found = Mark(*line)
    found.operation, found.part, found.reverse = operation, part, reverse
    return found


class marked:
    """Context manager: equations inside are recorded with the mark of an operation. `sort` tells its parts apart."""

    __slots__ = ("equations", "line", "outer", "start")

    def __init__(self, trace: Trace, operation: str, reverse: bool):
        self.outer = state.source
        line = self.outer or source.capture(4)
        if line is not None and type(line) is not Mark:
            line = mark(line, operation, OPERATION, reverse)
        self.line = line
        while (parent := getattr(trace, "parent", None)) is not None:
            trace = parent
        self.equations = trace.equations if isinstance(trace, StagingTrace) else []
        self.start = len(self.equations)

    def __enter__(self) -> marked:
        state.source = self.line
        return self

    def __exit__(self, *exception: object) -> None:
        state.source = self.outer

    def sort(self, out: Any, other: str) -> None:
        """Have what the result does not depend on carry the mark of another part."""
        needed: set[Any] = {variable_of(x) for x in (out if type(out) is tuple else (out,))}
        for e in reversed(self.equations[self.start :]):
            if not needed.isdisjoint(e.outputs):
                needed.update(e.inputs)
            elif e.source is self.line:
                e.source = as_part(e.source, other)


def variable_of(x: Any) -> Any:
    """The variable that a value is in the program that is recorded at the bottom."""
    while isinstance(x, (JVPTracer, BatchTracer)):
        x = x.primal if isinstance(x, JVPTracer) else x.value
    return x.variable if isinstance(x, StagingTracer) else None


class MarkingLinearizeTrace(LinearizeTrace):
    """A linearization whose equations are marked."""

    __slots__ = ()

    def apply(self, primitive: Any, primals: tuple, tangents: tuple, params: Params) -> tuple[Any, Any]:
        recorded = self.recorder.equations
        start = len(recorded)
        with marked(self.parent, primitive.name, True) as parts:
            out, tangent = super().apply(primitive, primals, tangents, params)
        parts.sort(out, COEFFICIENT)
        for e in recorded[start:]:
            e.source = as_part(e.source, TANGENT)
        return out, tangent


class MarkingJVPTrace(JVPTrace):
    """A jvp whose equations are marked."""

    __slots__ = ()

    def apply(self, primitive: Any, primals: tuple, tangents: tuple, params: Params) -> tuple[Any, Any]:
        with marked(self.parent, primitive.name, False) as parts:
            out, tangent = super().apply(primitive, primals, tangents, params)
        parts.sort(out, TANGENT)
        return out, tangent


class MarkingSafeLinearizeTrace(MarkingLinearizeTrace, SafeLinearizeTrace):
    """The same with nan_safe=True."""

    __slots__ = ()


class MarkingSafeJVPTrace(MarkingJVPTrace, SafeJVPTrace):
    """The same with nan_safe=True."""

    __slots__ = ()


def as_part(line: Source | None, part: str) -> Source | None:
    """The mark of another part of the derivative of the same operation."""
    if type(line) is not Mark or line.part in (part, COTANGENT):
        return line
    return mark(line, line.operation, part, line.reverse)


def read_backwards(jaxpr: Jaxpr) -> Jaxpr:
    """A linear program whose equations are marked as those of a backward pass."""

    def backward(e: Equation) -> Source | None:
        if e.source is None or type(e.source) is Mark:
            return as_part(e.source, COTANGENT)
        return mark(e.source, "", COTANGENT, True)  # it was linearized before

    return jaxpr.with_equations([Equation(e.primitive, e.inputs, ruled(e), e.outputs, backward(e)) for e in jaxpr])


def ruled(e: Equation) -> Params:
    """The parameters of an equation; those of a user's rule for cotangents with one whose equations are marked so."""
    if not isinstance(e.primitive, CustomVJPLinear):
        return e.params
    rule = e.params["bwd"]
    if isinstance(rule, ByZeros):

        def make(nonzero: tuple[bool, ...], known: KnownInputs) -> tuple[Jaxpr, tuple[bool, ...]]:
            made, given = rule(nonzero, known)
            return read_backwards(made), given

        reverse = ByZeros(make, rule.taken, rule.given, rule.check, rule.separate, rule.recursive)
    else:
        reverse = Deferred(lambda: read_backwards(program(rule)))
    return {**e.params, "bwd": reverse}


SUBSTITUTES = {
    LinearizeTrace: MarkingLinearizeTrace,
    JVPTrace: MarkingJVPTrace,
    SafeLinearizeTrace: MarkingSafeLinearizeTrace,
    SafeJVPTrace: MarkingSafeJVPTrace,
    transpose_flat: read_backwards,
}


@contextmanager
def marking() -> Iterator[None]:
    """Context manager: programs inside are staged with marks, as they are written: nothing is planned or outlined.

    What is known of a program that was staged in it is not taken from an equal one, whose lines may be others.
    """
    previous, state.substitutes = state.substitutes, SUBSTITUTES
    try:
        with plainly():
            yield
    finally:
        state.substitutes = previous


def staged(fun: Callable[..., Sequence[Any]], types: Sequence[ArrayType], values: Sequence[Any], name: str) -> Jaxpr:
    """The program of a function of flat arguments, with marks. Python may ask for values: those of inputs are known."""
    with marking():
        try:
            return stage(fun, types, name, known=KnownInputs(values))
        except ValueError as error:
            if "__jax_array__" not in str(error):
                raise
            raise ForeignFunctionError(
                f"{name}, called by explain_nan, calls a function of JAX with one of its arguments.",
                "The operations of JAX are not seen one by one.",
                "Call explain_nan(from_jax(f)) for a function f of JAX, or those of minijvp.numpy.",
            ) from error
