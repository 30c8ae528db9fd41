"""The functions of jax.numpy.fft, for every transformation of minijvp."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax.numpy.fft

from minijvp.interop.surface import bridge_all

__all__ = bridge_all(globals(), jax.numpy.fft)

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...
