"""Eager linearization, an operation at a time: its result and its residuals come from one compiled call.

Without this, an eager gradient pays one dispatch for every operation that a jvp rule is written with. A step is the
rule of one primitive for given types, staged once: `known` gives the results and the residuals, `linear` is what
remains to be applied to the tangents, and backward is one compiled call too. Steps exist between XLA and the
linearization that runs directly on it; any other trace sees the equations that a step stands for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from minijvp.core.jaxpr import Jaxpr, evaluate, lower
from minijvp.core.primitive import Primitive
from minijvp.core.tracing import EVALUATION, state
from minijvp.core.types import ArrayType
from minijvp.operations.families import is_linear
from minijvp.transforms.transpose import transpose_flat, transpose_jaxpr


def compiled(jaxpr: Jaxpr) -> Callable[..., tuple[Any, ...]]:
    """What an open jaxpr computes, as one call of XLA, or as none if it only hands on some of its inputs."""
    numbers = {v: i for i, v in enumerate(jaxpr.inputs)}
    if all(v in numbers for v in jaxpr.outputs):
        places = [numbers[v] for v in jaxpr.outputs]  # type: ignore[index]
        return lambda *xs: tuple([xs[i] for i in places])
    return jax.jit(lambda *xs: tuple(lower(jaxpr, *xs)))


class Step:
    """One primitive linearized for given types, parameters and arguments that have a tangent."""

    __slots__ = (
        "known",
        "linear",
        "n_outputs",
        "n_residuals",
        "no_cotangents",
        "out_tangents",
        "params",
        "pulls",
        "push",
        "residuals",
    )

    def __init__(
        self,
        known: Jaxpr,
        linear: Jaxpr,
        origins: tuple[int | None, ...],
        out_nonzero: tuple[bool, ...],
        n_inputs: int,
    ):
        self.known = compiled(known)
        self.push = compiled(linear)
        self.linear = linear
        self.n_outputs = len(out_nonzero)
        tangents = iter(linear.out_types)
        self.out_tangents = tuple(next(tangents) if flag else None for flag in out_nonzero)
        # Where each residual is found in (*primals, *results of `known`), and its type.
        new = iter(range(n_inputs + self.n_outputs, n_inputs + len(known.outputs)))
        places = [next(new) if origin is None else origin for origin in origins]
        self.residuals = tuple(zip(places, linear.in_types, strict=False))
        self.params = {"step": self}
        self.n_residuals = len(self.residuals)
        self.no_cotangents = (None,) * self.n_residuals
        self.pulls: dict[tuple[bool, ...], Any] = {}

    def __str__(self) -> str:
        return str(self.linear)

    def transposed(self, nonzero: tuple[bool, ...]) -> tuple[Callable[..., Any], tuple[bool, ...]]:
        """The compiled transpose for the cotangents that are not zero, and which tangents get a cotangent from it."""
        found = self.pulls.get(nonzero)
        if found is None:
            n = self.n_residuals
            linear = (False,) * n + (True,) * (len(self.linear.inputs) - n)
            jaxpr, ct_nonzero = transpose_jaxpr(self.linear, linear, nonzero)
            found = self.pulls[nonzero] = compiled(jaxpr), ct_nonzero
        return found


class LinearStep(Primitive):
    """The linear part of a step, applied to residuals and tangents. Other traces than EvalTrace see its equations."""

    returns_tuple = True

    def __call__(self, *args: Any, step: Step) -> tuple[Any, ...]:
        if state.trace is EVALUATION:
            return step.push(*args)
        return tuple(evaluate(step.linear, *args))

    def type_rule(self, *types: ArrayType, step: Step) -> tuple[ArrayType, ...]:
        return step.linear.out_types

    def transpose(self, ct: tuple, *args: Any, step: Step) -> tuple[Any, ...]:
        n = step.n_residuals
        if state.trace is not EVALUATION:
            return step.no_cotangents + tuple(transpose_flat(step.linear, list(map(is_linear, args)), args, ct))
        pull, found = step.transposed(tuple([c is not None for c in ct]))
        cts = pull(*args[:n], *[c for c in ct if c is not None])
        if len(cts) < len(found):
            rest = iter(cts)
            cts = tuple([next(rest) if flag else None for flag in found])
        return step.no_cotangents + cts


linear_step = LinearStep("linear_step")
