"""The functions of jax.nn.initializers: most of them return a function of a key, a shape and a dtype."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax.nn.initializers

from minijvp.interop.surface import bridge_all, public_names

__all__ = bridge_all(
    globals(), jax.nn.initializers, makers=set(public_names(jax.nn.initializers)) - {"ones", "zeros", "Initializer"}
)

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...
