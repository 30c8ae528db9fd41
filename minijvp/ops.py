"""The functions of jax.ops: reductions over segments, for every transformation of minijvp."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax.ops

from minijvp.interop.surface import bridge_all

__all__ = bridge_all(globals(), jax.ops)

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...
