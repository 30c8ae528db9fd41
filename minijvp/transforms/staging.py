"""Staging: running a function on tracers that record what it does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minijvp.answers import escaped
from minijvp.arguments.known_inputs import KnownInputs
from minijvp.core import placements, source
from minijvp.core.jaxpr import Atom, Equation, Jaxpr, Literal, Var
from minijvp.core.tracer import Tracer
from minijvp.core.tracing import Trace, current, state
from minijvp.core.types import ARRAY_CLASSES, PYTHON_SCALARS, ArrayType, Params, ScalarType, type_here, type_of
from minijvp.errors import ArgumentError, ConcretizationError


class StagingTracer(Tracer):
    """A value that will be known when the program runs; now it is a variable."""

    __slots__ = ("type", "variable")

    type: ArrayType

    def __init__(self, trace: StagingTrace, variable: Var):
        self.owner = trace
        self.variable = variable
        self.type = variable.type

    owner: StagingTrace

    def made_at(self) -> source.Source | None:
        for e in self.owner.equations:
            if self.variable in e.outputs:
                return e.source
        return None

    def known_value(self, wanted_by: str, as_number: bool = False) -> Any:
        trace, known = self.owner, self.owner.known
        if known is None or trace.finished():
            return super().known_value(wanted_by, as_number)
        return known.value_of(self, trace.equations, dict(trace.constants.values()), wanted_by, as_number)

    def concrete(self) -> Any:
        if self.owner.known is None or self.owner.finished():
            return self
        try:
            return self.known_value("a function of NumPy or JAX", as_number=True)
        except ConcretizationError:
            return self


class StagingTrace(Trace):
    """Records every operation as an equation; values that are not its tracers become constants.

    A program that is `lowered` is handed to XLA as it stands, and not transformed before. What its tracers stand for
    can be asked where the values of its inputs are `known`.
    """

    __slots__ = ("constants", "equations", "holds_derivatives", "inputs", "known", "lowered", "name")

    def __init__(self, name: str = "", lowered: bool = False, known: KnownInputs | None = None):
        self.name = name
        self.lowered = lowered
        self.known = known
        self.holds_derivatives = False
        self.inputs: list[Var] = []
        self.equations: list[Equation] = []
        self.constants: dict[int, tuple[Var, Any]] = {}

    @property
    def description(self) -> str:
        return f"the staging of {self.name}" if self.name else "a staging (jit, make_jaxpr)"

    def new_input(self, type: ArrayType) -> StagingTracer:
        """One more input of the program, behind those that it has."""
        variable = Var(type)
        self.inputs.append(variable)
        return StagingTracer(self, variable)

    def process(self, primitive: Any, args: tuple, params: Params) -> Any:
        atoms = tuple([x.variable if type(x) is StagingTracer and x.owner is self else self.atom(x) for x in args])
        types = primitive.type_for([v.type for v in atoms], params)
        line = state.source or source.capture()
        if type(types) is tuple:
            outputs = tuple([Var(t) for t in types])
            self.equations.append(Equation(primitive, atoms, params, outputs, line))
            return tuple([StagingTracer(self, v) for v in outputs])
        out = Var(types)
        self.equations.append(Equation(primitive, atoms, params, (out,), line))
        return StagingTracer(self, out)

    def lift(self, value: Any) -> Any:
        atom = self.atom(value)
        return StagingTracer(self, atom) if isinstance(atom, Var) else value

    def atom(self, x: Any) -> Atom:
        """What stands for `x` in an equation: its variable, a literal, or a new constant."""
        if type(x) is StagingTracer and x.owner is self:
            return x.variable
        if type(x) in PYTHON_SCALARS or isinstance(x, np.generic):
            return Literal(x, type_of(x))
        known = self.constants.get(id(x))
        if known is None:
            if isinstance(x, Tracer) and x.owner.finished():
                value = x.resolved()
                if value is x:
                    raise escaped(x, self.description)
                x = value
            known = self.constants[id(x)] = (Var(type_here(x) if placements.met else type_of(x)), x)
        return known[0]

    def finish(self, outputs: Sequence[Any]) -> Jaxpr:
        """The program recorded so far, from its inputs to `outputs`."""
        atoms = tuple([self.atom(x) for x in outputs])
        parts = tuple(self.constants.values()), tuple(self.inputs), tuple(self.equations), atoms
        return Jaxpr(*parts, self.name, self.holds_derivatives)


def stage(
    fun: Callable[..., Sequence[Any]],
    types: Sequence[ArrayType],
    name: str = "",
    lowered: bool = False,
    known: KnownInputs | None = None,
) -> Jaxpr:
    """The program of a function of flat arguments that returns a flat list.

    Args:
        fun: takes arrays by position and returns a sequence of arrays.
        types: an ArrayType for each argument.
        name: what the program is called where it is printed.
        lowered, known: for programs that are compiled as they stand, and for inputs whose values can be asked for.

    Raises ArgumentError for types that are none, and for a function that returns an array and not a sequence of them.

    >>> import minijvp, numpy as np
    >>> from minijvp.extend import ArrayType, stage
    >>> stage(lambda x: [minijvp.numpy.sin(x)], [ArrayType((3,), np.dtype('float32'))])
    { lambda ; a:f32[3] . let
        b:f32[3] = sin a
      in (b,) }
    """
    if not all([isinstance(t, ArrayType) for t in types]):
        raise ArgumentError(
            f"stage received the types {types!r:.200}.",
            "The inputs of a program have types, and no values.",
            "Pass an ArrayType for each argument: type_of(x) is that of a value.",
        )
    trace = StagingTrace(name, lowered, known)
    inputs = [trace.new_input(t) for t in types]
    if known is not None:
        known.bind(trace.inputs)
    with current(trace):
        outputs = fun(*inputs)
        if type(outputs) in ARRAY_CLASSES:
            raise ArgumentError(
                f"the function that stage received returned one {type_of(outputs)!r}.",
                "A program has a sequence of outputs, and the elements of an array would be taken for these.",
                "Return a list: [x].",
            )
        return trace.finish(outputs).without_dead_code()


def stage_as(what: str, jaxpr: Jaxpr, fun: Callable[..., Sequence[Any]], types: Sequence[ArrayType]) -> Jaxpr:
    """The program of a function that is a transformation of a jaxpr, which it is named after: what(name)."""
    found = stage(fun, types, f"{what}({jaxpr.name})" if jaxpr.name else "")
    found.holds_derivatives |= jaxpr.holds_derivatives
    return found


def argument_type(x: Any) -> ArrayType:
    """The type that an argument has inside the program: Python scalars become weakly typed arrays."""
    t = type_of(x)
    return ArrayType(t.shape, t.dtype, t.weak_type, t.placement) if type(t) is ScalarType else t
