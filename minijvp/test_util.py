"""The names of jax.test_util: derivatives held against numerical differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jax.test_util import check_jvp, check_vjp

from minijvp.tools import checking

__all__ = ["check_grads", "check_jvp", "check_vjp"]


def __dir__() -> list[str]:
    return sorted(__all__)


def check_grads(
    f: Callable[..., Any],
    args: Sequence[Any],
    order: int,
    modes: Sequence[str] = ("fwd", "rev"),
    atol: float | None = None,
    rtol: float | None = None,
    eps: float | None = None,
) -> None:
    """Raise DerivativeError, an AssertionError, if a derivative of `f` is not that of its values.

    This is `minijvp.check_grads` as jax.test_util has it. `eps` is accepted: the steps of its differences vary.
    """
    checking.check_grads(f, args, order, modes, atol, rtol)
