"""The functions of jax.random: keys, and random numbers made of them, for every transformation of minijvp.

A key that is drawn from under vmap gives each lane numbers of its own; gradients reach the parameters of gamma, beta,
dirichlet and others through what is drawn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax.random

from minijvp.interop.surface import add_primitives, bridge_all

add_primitives(globals(), jax.random)
__all__ = bridge_all(globals(), jax.random)

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...
