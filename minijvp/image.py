"""The functions of jax.image, for every transformation of minijvp."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax.image

from minijvp.interop.surface import bridge_all

__all__ = bridge_all(globals(), jax.image)

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...
