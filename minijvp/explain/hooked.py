"""Where calls ask for the rest of this package, which is imported when it is first needed."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from minijvp.calls.jit import is_checking
from minijvp.core.hooks import hooks

CHECKING = "minijvp.explain.checking"


def check(result: Any, fun: Callable[..., Any], args: tuple, kwargs: dict[str, Any]) -> None:
    """Raise NonFiniteError if `result`, that of a call, is not finite, where results are checked."""
    if is_checking():
        import_module(CHECKING).check(result, fun, args, kwargs)


def explained(fun: Callable[..., Any], args: tuple, kwargs: dict[str, Any]) -> Any:
    """The error that says why the results of a call are not finite; None if nothing makes them so."""
    return import_module(CHECKING).explained(fun, args, kwargs)


def plug_in() -> None:
    """Have calls ask, where they are to be checked."""
    hooks.explainer, hooks.check = explained, check
