"""Tracebacks of errors that leave minijvp: the lines of the user's code, without those of the libraries below."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from types import FrameType
from typing import Any, TypeVar

import jax
import numpy as np
from jax.errors import JaxRuntimeError

from minijvp.answers import advice
from minijvp.core.hooks import hooks
from minijvp.core.source import INSTALLED, PACKAGE, Source, is_internal
from minijvp.errors import MinijvpError

MEANT = (MinijvpError, JaxRuntimeError, TypeError, ValueError)
"""What is raised for a fault of the caller. Another error from a line of minijvp is a fault of that."""

NUMPY = os.path.dirname(np.__file__) + os.sep
OURS = "<class 'minijvp."
"""What JAX says of a tracer that it met where it does not ask it for an array."""

Function = TypeVar("Function", bound=Callable[..., Any])


def border(fun: Function) -> Function:
    """The function as users call it: an error that leaves it has a short traceback, if that is set."""
    return functools.wraps(fun)(nameless_border(fun))  # type: ignore[return-value]


def nameless_border(fun: Function) -> Function:
    """The same without the name, the text and the attributes of the function, which cost time to copy."""

    def bordered(*args: Any, **kwargs: Any) -> Any:
        try:
            return fun(*args, **kwargs)
        except Exception as error:
            shorten(error)
            raise

    return bordered  # type: ignore[return-value]


def shorten(error: BaseException) -> None:
    """Leave the frames of minijvp, JAX and NumPy out of the traceback of an error, and of those that it came from.

    The frame that calls this one goes too, if it raises the error again by `raise` alone.
    """
    if hooks.failed is not None:
        hooks.failed()
    if type(error) is TypeError and OURS in str(error):
        error.args = (about_tracers(error),)
    if type(error) in (TypeError, AttributeError) and hooks.clearer is not None:
        hooks.clearer(error)
    if hooks.full_tracebacks() or jax.config.jax_traceback_filtering == "off":  # type: ignore[attr-defined]
        return
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        _shorten_one(found)
        found = found.__cause__ or (None if found.__suppress_context__ else found.__context__)


def about_tracers(error: BaseException) -> str:
    """What to say in place of an error of JAX, which met a tracer and only knows its class."""
    lines = user_lines(error)
    caller, line = lines[-1] if lines else (None, None)
    own = next((at for _, at in reversed(lines) if not at.file.startswith(INSTALLED)), None)
    seen = own or line
    at, what = f" at {seen}: {seen.text}." if seen else ".", (seen and seen.call[0]) or "a function of JAX"
    return "\n".join((f"{what} received a traced value{at}", *advice("", None, caller, line, own)))


def passed(error: BaseException) -> list[Any]:
    """The tracebacks of the frames that an exception passed through, the innermost last."""
    found: list[Any] = [error.__traceback__]
    while found[-1] is not None:
        found.append(found[-1].tb_next)
    return found[:-1]


def user_lines(error: BaseException) -> list[tuple[FrameType, Source]]:
    """The frames among these that are outside of minijvp and JAX, with their lines."""
    found = [(t.tb_frame, Source(t.tb_frame.f_code, t.tb_lasti)) for t in passed(error)]
    return [(frame, line) for frame, line in found if not is_internal(line.code)]


def _shorten_one(error: BaseException) -> None:
    frames = passed(error)
    if not frames or (not isinstance(error, MEANT) and frames[-1].tb_frame.f_code.co_filename.startswith(PACKAGE)):
        return
    following = None
    for frame in reversed(frames):
        code = frame.tb_frame.f_code
        if not is_internal(code) and not code.co_filename.startswith((NUMPY, "numpy/")):
            frame.tb_next = following
            following = frame
    error.__traceback__ = following
    if notes := getattr(error, "__notes__", None):
        error.__notes__ = [note for note in notes if "JAX_TRACEBACK_FILTERING" not in note]
