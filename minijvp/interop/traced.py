"""Programs that JAX has traced, as operations: read where minijvp transforms them, and otherwise left as they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import jax
from jax.core import eval_jaxpr
from jax.extend.core import ClosedJaxpr

from minijvp.calls.programs import typed
from minijvp.core.jaxpr import Jaxpr, evaluate
from minijvp.core.primitive import Primitive
from minijvp.core.tracer import is_tracer_of_jax
from minijvp.core.tracing import Trace, state
from minijvp.core.types import ArrayType, Params
from minijvp.interop.reading import INLINED, read, type_of_aval
from minijvp.transforms.staging import StagingTrace


class Traced:
    """A program of JAX, and as one of ours an open jaxpr with the constants that are its leading inputs."""

    def __init__(self, closed: ClosedJaxpr, name: str, jitted: Callable[..., Sequence[Any]] | None = None):
        self.closed = closed
        self.name = name
        self.jitted = jitted
        self.in_types = [type_of_aval(t) for t in closed.in_avals]
        self.out_types = tuple([type_of_aval(t) for t in closed.out_avals])

    @classmethod
    def by_jit(cls, fun: Callable[..., Sequence[Any]], types: Sequence[Any], name: str) -> Traced:
        """What jax.jit traces, and would call if it met the function in another program: it traces it only once."""
        jitted = jax.jit(fun)
        return cls(jitted.trace(*types).jaxpr, name, jitted)

    @property
    def read(self) -> tuple[Jaxpr, tuple[Any, ...]]:
        return self.read_before if state.substitutes is None else read(self.closed, self.name)

    @cached_property
    def read_before(self) -> tuple[Jaxpr, tuple[Any, ...]]:
        return read(self.closed, self.name)

    @property
    def jaxpr(self) -> Jaxpr:
        return self.read[0]

    @property
    def closes_over_tracers(self) -> bool:
        """Whether it belongs to a program that JAX is tracing, and is of no use after that."""
        return any(is_tracer_of_jax(x) for x in self.closed.consts)

    def lower(self, *args: Any) -> Sequence[Any]:
        """The outputs, for JAX. What is small becomes part of the program around it."""
        exact = [typed(x, t) for x, t in zip(args, self.in_types, strict=True)]
        if self.jitted is None or len(self.closed.jaxpr.eqns) <= INLINED:
            return eval_jaxpr(self.closed.jaxpr, self.closed.consts, *exact)
        return self.jitted(*exact)


class ProgramOfJax(Primitive):
    """The outputs of a program that JAX has traced. A trace that transforms it sees the equations it is read as."""

    recomputable = "expensive"
    has_steps = False

    def __call__(self, *args: Any, **params: Any) -> tuple[Any, ...]:
        if is_lowered(state.trace):
            return super().__call__(*args, **params)
        jaxpr, constants = params["traced"].read
        return tuple(evaluate(jaxpr, *constants, *args))

    def has_effects(self, params: Params) -> bool:
        return bool(params["traced"].closed.effects)

    def impl(self, *args: Any, traced: Traced) -> tuple[Any, ...]:
        return tuple(traced.lower(*args))

    def type_rule(self, *types: ArrayType, traced: Traced) -> tuple[ArrayType, ...]:
        return traced.out_types


program_of_jax = ProgramOfJax("program_of_jax")


def is_lowered(trace: Trace) -> bool:
    """Whether a program is recorded now that is handed to XLA as it stands."""
    return type(trace) is StagingTrace and trace.lowered
