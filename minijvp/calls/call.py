"""Primitives that call a program: every transformation of a call is a call of the transformed program."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from minijvp.calls.dependence import reached
from minijvp.calls.programs import array_types, chosen, present
from minijvp.calls.taylor import by_call, flags_of
from minijvp.core.hooks import hooks
from minijvp.core.jaxpr import Equation, Jaxpr, evaluate, lower
from minijvp.core.primitive import Axis
from minijvp.core.program_primitive import ProgramPrimitive
from minijvp.core.types import Array, ArrayType
from minijvp.operations.families import is_linear, nonzero, spread
from minijvp.transforms.jvp import jvp_jaxpr
from minijvp.transforms.linearize import LinearizedJaxpr, residuals_of
from minijvp.transforms.taylor import taylor_jaxpr
from minijvp.transforms.transpose import transpose_jaxpr
from minijvp.transforms.vmap import vmap_jaxpr


class ProgramCall(ProgramPrimitive):
    """The outputs of the open jaxpr `jaxpr`; other parameters say how it is transformed."""

    def impl(self, *args: Array, jaxpr: Jaxpr, **options: Any) -> tuple[Any, ...]:
        return tuple(lower(jaxpr, *args))

    def type_rule(self, *types: ArrayType, jaxpr: Jaxpr, **options: Any) -> tuple[ArrayType, ...]:
        return tuple(array_types(jaxpr.out_types))


class Call(ProgramCall):
    """A primitive that is the program it carries: every transformation of a call is a call of the transformed program.

    `call(jaxpr, *args)` gives a tuple of the outputs. A subclass may change what is done with the program, by `impl`,
    and add parameters beside `jaxpr`: what transformations make of a call has the same ones.

    >>> import minijvp, minijvp.numpy as mnp
    >>> from minijvp.extend import Call
    >>> class Quoted(Call):
    ...     def impl(self, *args, jaxpr, line):
    ...         return super().impl(*args, jaxpr=jaxpr)
    >>> quoted = Quoted('quoted')
    >>> jaxpr = minijvp.make_jaxpr(lambda x: mnp.sin(x) * x)(1.0)
    >>> f = lambda x: quoted.call(jaxpr, x, line=7)[0]
    >>> float(minijvp.grad(f)(0.0))
    0.0
    >>> [e.params['line'] for e in minijvp.make_jaxpr(minijvp.grad(f))(1.0) if e.primitive is quoted]
    [7, 7]
    """

    recomputable = "expensive"
    is_call = True
    takes_more = True
    transposed = staticmethod(transpose_jaxpr)

    def linearized(self, jaxpr: Jaxpr, nonzero: tuple[bool, ...]) -> LinearizedJaxpr:
        """The linearization of the program."""
        return hooks.linearizer.program(jaxpr, nonzero)

    def call(self, jaxpr: Jaxpr, *args: Array, **options: Any) -> tuple[Any, ...]:
        """The outputs of a jaxpr; nothing is bound for a program that computes nothing."""
        if self.made_outside:
            jaxpr.require(args)
        opened, constants = jaxpr.hoist_constants()
        if not opened.equations:
            return tuple(evaluate(opened, *constants, *args))
        return self(*constants, *args, jaxpr=opened, **options)

    def jvp(self, primals: tuple, tangents: tuple, *, jaxpr: Jaxpr, **options: Any) -> tuple[Any, Any]:
        jvp, out_nonzero = jvp_jaxpr(jaxpr, nonzero(tangents))
        outs = self.call(jvp, *primals, *present(tangents), **options)
        n = len(jaxpr.outputs)
        return outs[:n], spread(outs[n:], out_nonzero)

    def taylor_to(self, order: int, primals: tuple, series: tuple, *, jaxpr: Jaxpr, **options: Any) -> tuple[Any, Any]:
        taylor, out_flags = taylor_jaxpr(jaxpr, order, flags_of(series, order))
        return by_call(partial(self.call, taylor, **options), primals, series, out_flags)

    def linearize(self, primals: tuple, tangents: tuple, *, jaxpr: Jaxpr, **options: Any) -> tuple[Any, Any]:
        linearization = self.linearized(jaxpr, nonzero(tangents))
        return applied(linearization, partial(self.call, **options) if options else self.call, primals, tangents)

    def transpose(self, ct: tuple, *args: Any, jaxpr: Jaxpr, **options: Any) -> tuple[Any, ...]:
        linear = tuple(map(is_linear, args))
        transposed, ct_nonzero = self.pullback(jaxpr, linear, nonzero(ct), options)
        known = chosen(args, [not flag for flag in linear])
        cts = spread(self.call(transposed, *known, *present(ct), **options), ct_nonzero)
        return spread(cts, linear)

    def pullback(
        self, jaxpr: Jaxpr, linear: tuple[bool, ...], nonzero: tuple[bool, ...], options: dict[str, Any]
    ) -> tuple[Jaxpr, tuple[bool, ...]]:
        """The transposed program, as `transpose_jaxpr` gives it."""
        return self.transposed(jaxpr, linear, nonzero)

    def batch(
        self, axis: Axis, args: tuple, batched: tuple[bool, ...], *, jaxpr: Jaxpr, **options: Any
    ) -> tuple[Any, Any]:
        batch, out_batched = vmap_jaxpr(jaxpr, axis, batched)
        return self.call(batch, *args, **options), out_batched

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
    return found[:n], spread(call(linear, *residuals, *present(tangents)), out_nonzero)


def work_of(equations: Iterable[Equation]) -> float:
    """How long it takes to run some equations, as `Primitive.work` counts it, with the programs inside of them."""
    total = 0.0
    for e in equations:
        inside = sum(map(work_of, e.programs)) * e.primitive.trip_count(e.params)
        total += max(e.primitive.work([v.type for v in e.inputs], [v.type for v in e.outputs], e.params), inside)
    return total
