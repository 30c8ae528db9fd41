"""Primitives that call a program: every transformation of the call is a call of the transformed program."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from minijvp.calls.carrier import Carrier, reached
from minijvp.core.hooks import hooks
from minijvp.core.jaxpr import Equation, Jaxpr, evaluate, inner_jaxprs
from minijvp.core.primitive import Axis
from minijvp.core.types import ArrayType
from minijvp.operations.families import is_linear, nonzero, spread
from minijvp.transforms.jvp import jvp_jaxpr
from minijvp.transforms.linearize import LinearizedJaxpr, residuals_of
from minijvp.transforms.transpose import transpose_jaxpr
from minijvp.transforms.vmap import vmap_jaxpr


class Call(Carrier):
    """The outputs of an open jaxpr."""

    recomputable = "dear"
    transposed = staticmethod(transpose_jaxpr)

    def linearized(self, jaxpr: Jaxpr, nonzero: tuple[bool, ...]) -> LinearizedJaxpr:
        """The linearization of the program."""
        return hooks.linearizer.program(jaxpr, nonzero)

    def call(self, jaxpr: Jaxpr, *args: Any) -> tuple[Any, ...]:
        """The outputs of a jaxpr; nothing is bound for a program that computes nothing."""
        opened, constants = jaxpr.hoist_constants()
        if not opened.equations:
            return tuple(evaluate(opened, *constants, *args))
        return self(*constants, *args, jaxpr=opened)

    def type_rule(self, *types: ArrayType, jaxpr: Jaxpr) -> tuple[ArrayType, ...]:
        return jaxpr.out_types

    def jvp(self, primals: tuple, tangents: tuple, *, jaxpr: Jaxpr) -> tuple[Any, Any]:
        jvp, out_nonzero = jvp_jaxpr(jaxpr, nonzero(tangents))
        outs = self.call(jvp, *primals, *(t for t in tangents if t is not None))
        n = len(jaxpr.outputs)
        return outs[:n], spread(outs[n:], out_nonzero)

    def linearize(self, primals: tuple, tangents: tuple, *, jaxpr: Jaxpr) -> tuple[Any, Any]:
        return applied(self.linearized(jaxpr, nonzero(tangents)), self.call, primals, tangents)

    def transpose(self, ct: tuple, *args: Any, jaxpr: Jaxpr) -> tuple[Any, ...]:
        linear = tuple(map(is_linear, args))
        transposed, ct_nonzero = self.transposed(jaxpr, linear, nonzero(ct))
        known = (x for x, flag in zip(args, linear, strict=True) if not flag)
        cts = iter(spread(self.call(transposed, *known, *(c for c in ct if c is not None)), ct_nonzero))
        return tuple(next(cts) if flag else None for flag in linear)

    def batch(self, axis: Axis, args: tuple, batched: tuple[bool, ...], *, jaxpr: Jaxpr) -> tuple[Any, Any]:
        batch, out_batched = vmap_jaxpr(jaxpr, axis, batched)
        return self.call(batch, *args), out_batched

    def reached(self, equation: Equation, inputs: tuple[bool, ...], differentiable: bool) -> Sequence[bool]:
        return reached(equation.params["jaxpr"], inputs, differentiable)


def applied(
    linearization: LinearizedJaxpr,
    call: Callable[..., Sequence[Any]],
    primals: tuple,
    tangents: tuple,
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Results and tangents, where `call(jaxpr, *args)` runs the two programs of a linearization."""
    known, linear, origins, out_nonzero = linearization
    n = len(out_nonzero)
    found = tuple(call(known, *primals))
    residuals = residuals_of(origins, primals, found, n)
    return found[:n], spread(call(linear, *residuals, *(t for t in tangents if t is not None)), out_nonzero)


def work_of(equations: Iterable[Equation]) -> float:
    """How long it takes to run some equations, as `Primitive.work` counts it, with the programs inside of them."""
    total = 0.0
    for e in equations:
        inside = sum([work_of(jaxpr) for jaxpr in inner_jaxprs(e.params)]) * e.primitive.turns(e.params)
        total += max(e.primitive.work([v.type for v in e.inputs], [v.type for v in e.outputs], e.params), inside)
    return total
