"""A part of a program that the compiler keeps together, apart from all else, and does not begin too early."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from minijvp.core.jaxpr import Jaxpr, lower
from minijvp.core.types import is_inexact
from minijvp.transforms.call import Call


class Region(Call):
    """The outputs of an open jaxpr, not computed before the last of its floating arguments is there.

    What it computes again is not merged with the first time: XLA sees the branch of a condition that it cannot decide,
    since it does not know that no number is larger than infinity. (It drops optimization barriers on CPU.)
    """

    def impl(self, *args: Any, jaxpr: Jaxpr) -> tuple[Any, ...]:
        last = next((x for x in reversed(args) if is_inexact(x.dtype) and x.size), None)
        if last is None:
            return tuple(lower(jaxpr, *args))

        def never(*args: Any) -> tuple[Any, ...]:
            return tuple([jnp.zeros(t.shape, t.dtype) for t in jaxpr.out_types])

        def always(*args: Any) -> tuple[Any, ...]:
            outs = zip(lower(jaxpr, *args), jaxpr.out_types)
            return tuple([lax.convert_element_type(x, t.dtype) for x, t in outs])

        first = lax.squeeze(lax.slice(last, (0,) * last.ndim, (1,) * last.ndim), tuple(range(last.ndim)))
        return tuple(lax.cond(jnp.real(first) > np.inf, never, always, *args))


region = Region("region")
