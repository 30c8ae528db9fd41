"""Eager derivatives, faster: an operation in one step, and gradients that recur as one compiled program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial, wraps
from typing import Any

import jax
import jax.numpy as jnp

from minijvp.api.gradients import gradient_flat
from minijvp.api.jacobians import Spaces, split_all, unit_vectors
from minijvp.core.hooks import hooks
from minijvp.optimize.eager.recurring import recurring_gradient
from minijvp.optimize.eager.steps import in_one_step
from minijvp.optimize.eager.traces import TRACES
from minijvp.settings import optimizing


@lru_cache(1024)
def compiled_unit_vectors(spaces: Spaces) -> Any:
    """`unit_vectors` by one call of XLA."""
    return jax.jit(partial(unit_vectors, spaces, jnp))


FASTER: dict[Any, Any] = {
    **TRACES,
    gradient_flat: recurring_gradient,
    split_all: in_one_step(split_all),
    unit_vectors: lambda spaces: compiled_unit_vectors(spaces)(),
}
"""What does the same as a plain trace or function, and faster, where values are computed at once."""


def checked_gradient(
    gradient_of: Callable[..., Any],
    fun: Callable[..., Any],
    leaves: Sequence[Any],
    differentiated: Sequence[bool],
    budget: Any = None,
    user_fun: Any = None,
) -> Any:
    """What `gradient_flat` returns, by `gradient_of`; it raises the error of `hooks.check`, if that is not finite."""

    @wraps(user_fun or fun)
    def again(*xs: Any) -> Any:
        outs, cts = gradient_flat(fun, xs, differentiated, budget)
        return {"value": outs, "gradient": cts}

    outs, cts = gradient_of(fun, leaves, differentiated, budget, user_fun)
    if hooks.check is not None:
        hooks.check({"value": outs, "gradient": cts}, again, tuple(leaves), {})
    return outs, cts


def faster(plain: Any) -> Any:
    """What to use in the place of a plain trace or function, where values are computed at once."""
    found = FASTER.get(plain, plain) if optimizing() else plain
    return found if hooks.check is None or plain is not gradient_flat else partial(checked_gradient, found)
