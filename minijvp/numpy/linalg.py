"""The functions of jax.numpy.linalg, for every transformation of minijvp.

>>> import minijvp, minijvp.numpy as mnp
>>> minijvp.grad(mnp.linalg.det)(mnp.array([[2.0, 1.0], [1.0, 3.0]])).round(4).tolist()
[[3.0, -1.0], [-1.0, 2.0]]
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax.numpy.linalg

from minijvp.interop.surface import bridge_all
from minijvp.numpy.least_squares import lstsq as lstsq

__all__ = bridge_all(globals(), jax.numpy.linalg)

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...
