"""The places where `minijvp.optimize` and `minijvp.nan_safe` enter the machine, which runs without them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Hooks:
    """What is plugged in: by default, nothing.

    `faster` gives what to use in the place of a class of traces, or of a function of the library, where values are
    computed at once; without it, the plain one is used. `linearizer` is how programs are linearized: a
    `minijvp.transforms.linearize.Linearizer`. `nan_safe` gives what to use in the place of a class of traces anywhere,
    or None where its setting is off.
    """

    __slots__ = ("faster", "linearizer", "nan_safe")

    def __init__(self) -> None:
        self.faster: Callable[[Any], Any] | None = None
        self.linearizer: Any = None
        self.nan_safe: Callable[[Any], Any] = lambda plain: None


hooks = Hooks()
