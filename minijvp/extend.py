"""The door for those who extend minijvp: new primitives, transformations and analyses, from outside of the library.

A primitive is an operation with its rules. `Elementwise`, `LinearPrimitive` and `BilinearPrimitive` are families that
bring most of the rules along; `Primitive` says which there are, and `check_primitive` holds them against each
other and against numerical differences. A `ProgramPrimitive` carries programs: a `Call` is its program, a `LinearCall`
is a linear map with a given transpose. An operation of JAX becomes one of ours by `translates`.

A transformation is an interpreter of primitives. Either it is a `Trace`, which meets the operations of a function while
that runs; or it reads the program of the function, a `Jaxpr`, by `run`, equation by equation. What it computes by
functions of minijvp is transformed in turn: it works under jit, grad and vmap, and they work under it.

docs/extending.md has all of it as running text, and examples/extend/ has whole programs.
"""

from __future__ import annotations

from minijvp.calls.call import Call
from minijvp.calls.linear_call import LinearCall
from minijvp.core.jaxpr import Equation, Jaxpr, Literal, Var, evaluate, lower, run
from minijvp.core.primitive import Axis, Nondifferentiable, Primitive
from minijvp.core.program_primitive import ProgramPrimitive
from minijvp.core.tracer import Tracer
from minijvp.core.tracing import Trace, current, current_trace
from minijvp.core.types import ArrayType, type_of
from minijvp.interop.reading import translates
from minijvp.operations.families import (
    BilinearPrimitive,
    Elementwise,
    LinearPrimitive,
    add_tangents,
    instantiate,
    is_linear,
    leading_axis,
)
from minijvp.tools.rules import check_primitive
from minijvp.tools.samples import Sample
from minijvp.transforms.staging import stage

__all__ = [
    "ArrayType",
    "Axis",
    "BilinearPrimitive",
    "Call",
    "Elementwise",
    "Equation",
    "Jaxpr",
    "LinearCall",
    "LinearPrimitive",
    "Literal",
    "Nondifferentiable",
    "Primitive",
    "ProgramPrimitive",
    "Sample",
    "Trace",
    "Tracer",
    "Var",
    "add_tangents",
    "check_primitive",
    "current",
    "current_trace",
    "evaluate",
    "instantiate",
    "is_linear",
    "leading_axis",
    "lower",
    "run",
    "stage",
    "translates",
    "type_of",
]


def __dir__() -> list[str]:
    return sorted(__all__)
