"""A part of a program that the compiler keeps together, apart from all else, and does not begin too early."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from minijvp.core.jaxpr import Jaxpr, lower
from minijvp.core.types import is_inexact
from minijvp.transforms.call import Call
from minijvp.transforms.transpose import new_transpose


class Region(Call):
    """The outputs of an open jaxpr, not computed before the last of its floating arguments is there.

    What it computes again is not merged with the first time: XLA sees the branch of a condition that it cannot decide,
    since it does not know that no number is larger than infinity. (It drops optimization barriers on CPU.)
    """

    transposed = staticmethod(new_transpose)

    def impl(self, *args: Any, jaxpr: Jaxpr) -> tuple[Any, ...]:
        floating = [x for x in args if is_inexact(x.dtype) and x.size]
        if not floating:
            return tuple(lower(jaxpr, *args))

        def never(*args: Any) -> tuple[Any, ...]:
            return tuple([jnp.zeros(t.shape, t.dtype) for t in jaxpr.out_types])

        def always(*args: Any) -> tuple[Any, ...]:
            outs = zip(lower(jaxpr, *args), jaxpr.out_types)
            return tuple([lax.convert_element_type(x, t.dtype) for x, t in outs])

        # The last may be a constant, as the first cotangent of a mean is, so that its number alone decides.
        number = first_number(floating[-1]) + first_number(floating[0])
        return tuple(lax.cond(number > np.inf, never, always, *args))


def first_number(x: Any) -> Any:
    """The first number of an array as a float32; the real part, if it is complex."""
    first = lax.squeeze(lax.slice(x, (0,) * x.ndim, (1,) * x.ndim), tuple(range(x.ndim)))
    return lax.convert_element_type(jnp.real(first), np.float32)


region = Region("region")
