"""The two places where `minijvp.optimize` enters the machine. It changes no result, and the machine runs without it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Hooks:
    """What is plugged in: by default, nothing.

    `faster` gives what to use in the place of a class of traces, or of a function of the library, where values are
    computed at once; without it, the plain one is used. `linearizer` is how programs are linearized: a
    `minijvp.transforms.linearize.Linearizer`.
    """

    __slots__ = ("faster", "linearizer")

    def __init__(self) -> None:
        self.faster: Callable[[Any], Any] | None = None
        self.linearizer: Any = None


hooks = Hooks()
