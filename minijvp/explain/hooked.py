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


def say_clearly(error: BaseException) -> None:
    """Change the words of an error of Python that names the class of a tracer."""
    if "Tracer'" in str(error):
        error.args = (import_module("minijvp.explain.other_words").in_other_words(error),)


def plug_in() -> None:
    """Have calls ask, where they are to be checked, and errors about tracers say so in other words."""
    hooks.explainer, hooks.check, hooks.clearer = explained, check, say_clearly
