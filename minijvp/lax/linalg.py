"""The functions of jax.lax.linalg, for every transformation of minijvp."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax.lax.linalg

from minijvp.interop.surface import add_primitives, bridge_all

add_primitives(globals(), jax.lax.linalg)
__all__ = bridge_all(globals(), jax.lax.linalg)

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...
