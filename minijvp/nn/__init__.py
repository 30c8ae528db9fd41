"""The functions of jax.nn, for every transformation of minijvp.

>>> import minijvp
>>> minijvp.grad(lambda x: minijvp.nn.gelu(x).sum())(minijvp.numpy.array([0.0])).tolist()
[0.5]
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax.nn

from minijvp.interop.surface import bridge_all
from minijvp.nn import initializers as initializers
from minijvp.nn.functions import *

__all__ = [*bridge_all(globals(), jax.nn), "initializers"]

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...
