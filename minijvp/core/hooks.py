"""Where `minijvp.optimize`, `nan_safe` and `explain` enter the machine, which runs without them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Hooks:
    """What is plugged in: by default, nothing.

    `faster` gives what to use in the place of a class of traces, or of a function of the library, where values are
    computed at once; without it, the plain one is used. `linearizer` is how programs are linearized: a
    `minijvp.transforms.linearize.Linearizer`. `nan_safe` gives what to use in the place of a class of traces anywhere,
    or None where its setting is off. `explainer(fun, args, kwargs)` gives the error that says why results of a call are
    not finite; `check(result, fun, args, kwargs)` raises it, and is None as long as nobody has asked for checks.
    """

    __slots__ = ("check", "checker", "explainer", "faster", "linearizer", "nan_safe")

    def __init__(self) -> None:
        self.faster: Callable[[Any], Any] | None = None
        self.linearizer: Any = None
        self.nan_safe: Callable[[Any], Any] = lambda plain: None
        self.explainer: Callable[..., Exception | None] | None = None
        self.checker: Callable[..., None] | None = None
        self.check: Callable[..., None] | None = None


hooks = Hooks()
