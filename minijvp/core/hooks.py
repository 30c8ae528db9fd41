"""Where `minijvp.optimize`, `nan_safe` and `explain` enter the machine, which runs without them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Hooks:
    """What is plugged in: by default, nothing.

    `faster` gives what to use in the place of a class of traces, or of a function of the library, where values are
    computed at once; without it, the plain one is used. `linearizer` is how programs are linearized: a
    `minijvp.transforms.linearize.Linearizer`. `nan_safe` gives what to use in the place of a class of traces anywhere,
    one of `safe_traces`, or None where that setting is off; `with_nan_safe` sets it for the calls of a function.
    `explainer(fun, args, kwargs)` gives the error that says why results of a call are not finite, and `check(result,
    fun, args, kwargs)` raises it, where the settings in force ask for that. `clearer(error)` changes the words of a
    TypeError or an AttributeError about tracers. `shown(form, x, **options)` gives the "text" or the "html" of a
    program or of a linear map. `full_tracebacks()` and `explains_compiles()` are settings. `failed()` is told that an
    error leaves a public function, while loops show how far they are.
    """

    def __init__(self) -> None:
        self.faster: Callable[[Any], Any] | None = None
        self.linearizer: Any = None
        self.safe_traces: dict[Any, Any] = {}
        self.nan_safe: Any = None
        self.with_nan_safe: Any = None
        self.explainer: Any = None
        self.check: Any = None
        self.clearer: Callable[[BaseException], None] | None = None
        self.shown: Any = None
        self.explains_compiles: Callable[[], bool] = lambda: False
        self.failed: Callable[[], None] | None = None
        self.full_tracebacks: Callable[[], bool] = lambda: False


hooks = Hooks()

other_plans: dict[int, Any] = {}
"""Weak references to settings that change programs, as long as they may be in force anywhere, in any context."""
