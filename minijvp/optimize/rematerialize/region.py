"""A part of a program that the compiler keeps apart from all else, and does not begin too early."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from minijvp.calls.call import Call
from minijvp.core.jaxpr import Jaxpr, lower
from minijvp.core.types import is_inexact
from minijvp.transforms.linearize import linearize_jaxpr
from minijvp.transforms.transpose import new_transpose


class Region(Call):
    """The outputs of an open jaxpr, not computed before the last of its floating arguments is there.

    What it computes again is not merged with the first time. Elsewhere a barrier sees to that, as in jax.checkpoint. On
    CPU, XLA drops barriers early; what it cannot see through is the branch of a condition that it cannot decide, since
    it does not know that no number is larger than infinity. Loops are slow in branches: there the arguments pass
    through a choice by that condition.
    """

    own_derivative = True
    linearized = staticmethod(linearize_jaxpr)
    transposed = staticmethod(new_transpose)

    def impl(self, *args: Any, jaxpr: Jaxpr) -> tuple[Any, ...]:
        floating = [x for x in args if is_inexact(x.dtype) and x.size]
        if not floating:
            return tuple(lower(jaxpr, *args))
        if jax.default_backend() != "cpu":
            return tuple(lower(jaxpr, *lax.optimization_barrier(args)))
        # The last may be a constant, as the first cotangent of a mean is: its number alone would be decided.
        never = first_number(floating[-1]) + first_number(floating[0]) > np.inf
        if is_slow_in_branches(jaxpr):
            return tuple(lower(jaxpr, *[zero_where(never, x) if is_inexact(x.dtype) else x for x in args]))
        return in_branch(never, jaxpr, args)


region = Region("region")


def in_branch(never: Any, jaxpr: Jaxpr, args: Sequence[Any]) -> tuple[Any, ...]:
    """The outputs, computed where a condition is false; zeros where it is true."""

    def zeros(*args: Any) -> tuple[Any, ...]:
        return tuple([lax.full(t.shape, 0, t.dtype) for t in jaxpr.out_types])

    def outputs(*args: Any) -> tuple[Any, ...]:
        outs = zip(lower(jaxpr, *args), jaxpr.out_types)
        return tuple([lax.convert_element_type(x, t.dtype) for x, t in outs])

    return tuple(lax.cond(never, zeros, outputs, *args))


def zero_where(condition: Any, x: Any) -> Any:
    """`x`, or zeros where a condition is true."""
    return lax.select(lax.broadcast(condition, x.shape), lax.full_like(x, 0), x)


def first_number(x: Any) -> Any:
    """The first number of an array as a float32; the real part, if it is complex."""
    first = lax.squeeze(lax.slice(x, (0,) * x.ndim, (1,) * x.ndim), tuple(range(x.ndim)))
    return lax.convert_element_type(jnp.real(first), np.float32)


def is_slow_in_branches(jaxpr: Jaxpr) -> bool:
    """Whether a program has anything with programs inside that is more than a call."""
    return any([(e.programs and not e.primitive.is_call) or any(map(is_slow_in_branches, e.programs)) for e in jaxpr])
