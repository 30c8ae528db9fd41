"""The places where `minijvp.optimize` and `minijvp.explain` enter the machine, which runs without them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Hooks:
    """What is plugged in: by default, nothing.

    `faster` gives what to use in the place of a class of traces, or of a function of the library, where values are
    computed at once; without it, the plain one is used. `linearizer` is how programs are linearized: a
    `minijvp.transforms.linearize.Linearizer`. `explainer(fun, args, kwargs)` gives the error that says why results of
    a call are not finite, or None if they are; `check(result, fun, args, kwargs)` raises it, and is None as long as
    nobody has asked for checks.
    """

    __slots__ = ("check", "checker", "explainer", "faster", "linearizer")

    def __init__(self) -> None:
        self.faster: Callable[[Any], Any] | None = None
        self.linearizer: Any = None
        self.explainer: Callable[..., Exception | None] | None = None
        self.checker: Callable[..., None] | None = None
        self.check: Callable[..., None] | None = None


hooks = Hooks()
