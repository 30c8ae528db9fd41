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
from minijvp.nn.functions import gelu as gelu
from minijvp.nn.functions import log_sigmoid as log_sigmoid
from minijvp.nn.functions import log_softmax as log_softmax
from minijvp.nn.functions import logsumexp as logsumexp
from minijvp.nn.functions import mish as mish
from minijvp.nn.functions import soft_sign as soft_sign
from minijvp.nn.functions import softmax as softmax
from minijvp.nn.functions import softplus as softplus

__all__ = [*bridge_all(globals(), jax.nn), "initializers"]

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...
