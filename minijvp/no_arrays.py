"""What can be done about arguments and results that are no arrays."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

FUNCTIONS_APART = (
    " Functions in a module of Equinox are split off by params, static = eqx.partition(module, eqx.is_inexact_array), "
    "and put back inside by eqx.combine(params, static). Of a module of flax, the parameters are an argument, and the "
    "function calls module.apply(params, x)."
)


def advice(x: Any, name: str) -> str:
    """What else can be done about a leaf that is no array."""
    kind = type(x).__name__
    if dataclasses.is_dataclass(x) and not callable(x):
        return f" Or make the class a pytree of its fields: jax.tree_util.register_dataclass({kind})."
    if inspect.iscoroutine(x) or inspect.isgenerator(x) or inspect.isasyncgen(x):
        return f" What is called is no function that returns its result, but makes a {kind}: write it with `return`."
    if name.startswith("self,"):
        return (
            " For a method of an object that does not change: @functools.partial(minijvp.jit, static_argnums=0). For "
            f"one that has arrays: make {kind} a pytree (minijvp.tree_util.register_pytree_node_class)."
        )
    return FUNCTIONS_APART if callable(x) else ""
