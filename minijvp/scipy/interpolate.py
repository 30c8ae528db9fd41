"""The functions of jax.scipy.interpolate, for every transformation of minijvp."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax.scipy.interpolate

from minijvp.interop.surface import bridge_all

__all__ = bridge_all(globals(), jax.scipy.interpolate, classes={"RegularGridInterpolator"})

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...
