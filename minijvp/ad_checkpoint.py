"""The names of jax.ad_checkpoint: what reverse mode keeps between its two passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minijvp.calls import policies as checkpoint_policies
from minijvp.calls.remat import checkpoint_name
from minijvp.views.residuals import residual_report

__all__ = ["checkpoint_name", "checkpoint_policies", "print_saved_residuals"]


def __dir__() -> list[str]:
    return sorted(__all__)


def print_saved_residuals(f: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    """Print what reverse mode of `f` keeps between its two passes, as `minijvp.residual_report` gives it."""
    print(residual_report(f, *args, **kwargs))
