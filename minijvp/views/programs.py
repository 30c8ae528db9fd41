"""What the views look at: the program of a function, and the two programs that its gradient consists of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from minijvp import trees
from minijvp.api.programs import make_jaxpr
from minijvp.core.jaxpr import Atom, Jaxpr, Var
from minijvp.core.types import is_inexact
from minijvp.errors import ArgumentError
from minijvp.optimize.rematerialize.budgets import within
from minijvp.transforms.linearize import linearize_jaxpr, residuals_of
from minijvp.transforms.transpose import transpose_jaxpr


def program_of(fun: Callable[..., Any] | Jaxpr, args: tuple, kwargs: dict[str, Any], user: str) -> Jaxpr:
    """The program of a function for these arguments; a jaxpr (given without arguments) is one already."""
    if isinstance(fun, Jaxpr):
        if args or kwargs:
            raise ArgumentError(
                f"{user} received a jaxpr and {len(args) + len(kwargs)} arguments.",
                "A jaxpr has its types already.",
                "Pass the jaxpr alone, or a function with its arguments.",
            )
        return fun
    trees.require_callable(fun, user)
    return make_jaxpr(fun)(*args, **kwargs)


@dataclass(frozen=True)
class GradientPrograms:
    """Forward and backward program of a function, and the residuals that go from one to the other.

    `forward` gives the results and then the residuals that are new values; `backward` takes all residuals, and then a
    cotangent for each floating result that depends on a floating argument. A residual is the pair of its atom in
    `forward` (an input, a result or a new value) and its variable in `backward`. `differentiated` has the numbers of
    the inputs of the jaxpr that the results of `backward` are the cotangents of; those of other inputs are zero.
    """

    forward: Jaxpr
    backward: Jaxpr
    residuals: tuple[tuple[Atom, Var], ...]
    n_outputs: int
    differentiated: tuple[int, ...]

    @property
    def cotangents(self) -> tuple[Var, ...]:
        """The inputs of `backward` that are cotangents of results."""
        return self.backward.inputs[len(self.residuals) :]


def gradient_programs(jaxpr: Jaxpr) -> GradientPrograms:
    """The two programs of the reverse mode of a jaxpr, in all its floating inputs (its constants are inputs first).

    Nothing is computed again in them.
    """
    opened, constants = jaxpr.hoist_constants()
    n = len(constants)
    nonzero = tuple([i >= n and is_inexact(t.dtype) for i, t in enumerate(opened.in_types)])
    with within("off"):
        known, linear, origins, out_nonzero = linearize_jaxpr(opened, nonzero)
    n_residuals = len(origins)
    flags = (False,) * n_residuals + (True,) * (len(linear.inputs) - n_residuals)
    backward, found = transpose_jaxpr(linear, flags, (True,) * len(linear.outputs))
    n_outputs = len(out_nonzero)
    atoms = residuals_of(origins, known.inputs, known.outputs, n_outputs)
    inputs = [i - n for i, flag in enumerate(nonzero) if flag]
    differentiated = tuple([i for i, flag in zip(inputs, found, strict=True) if flag])
    return GradientPrograms(
        known, backward, tuple(zip(atoms, backward.inputs, strict=False)), n_outputs, differentiated
    )
