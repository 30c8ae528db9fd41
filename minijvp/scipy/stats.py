"""The functions and distributions of jax.scipy.stats, for every transformation of minijvp.

>>> import minijvp, minijvp.scipy.stats as stats
>>> float(minijvp.grad(stats.norm.logpdf)(2.0))
-2.0
"""

from __future__ import annotations

import sys
from inspect import ismodule
from types import ModuleType
from typing import TYPE_CHECKING, Any

import jax.scipy.stats

from minijvp.interop.surface import bridge_all, public_names

DISTRIBUTIONS = [n for n in public_names(jax.scipy.stats) if ismodule(getattr(jax.scipy.stats, n))]

for _name in DISTRIBUTIONS:
    _module = ModuleType(f"{__name__}.{_name}", f"The functions of jax.scipy.stats.{_name}.")
    globals()[_name] = sys.modules[_module.__name__] = _module
    _module.__dict__["__all__"] = bridge_all(_module.__dict__, getattr(jax.scipy.stats, _name))

__all__ = sorted({*bridge_all(globals(), jax.scipy.stats, classes={"gaussian_kde"}), *DISTRIBUTIONS})

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...
