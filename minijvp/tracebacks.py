"""Tracebacks of errors that leave minijvp: the lines of the user's code, without those of the libraries below."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from types import CodeType, TracebackType
from typing import Any, TypeVar

import jax
import numpy as np
from jax.errors import JaxRuntimeError

from minijvp.answers import about_tracers
from minijvp.core.hooks import hooks
from minijvp.core.source import PACKAGE, is_internal, raised_at
from minijvp.errors import MinijvpError

MEANT = (MinijvpError, JaxRuntimeError, TypeError, ValueError)
"""What is raised for a fault of the caller. Another error from a line of minijvp is a fault of that."""

NUMPY = str(Path(np.__file__).parent) + os.sep
ABOUT_FRAMES = "JAX_TRACEBACK_FILTERING"
"""What a note of JAX's about frames that it left out names."""

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


_BORDER = nameless_border(lambda: None).__code__  # type: ignore[attr-defined]


def within_border(fun: Any) -> Any:
    """The function that a border was put around; another one as it is."""
    return fun.__closure__[0].cell_contents if getattr(fun, "__code__", None) is _BORDER else fun


def shorten(error: BaseException) -> None:
    """Leave the frames of minijvp, JAX and NumPy out of the traceback of an error, and of those that it came from.

    The frame that calls this one goes too, if it raises the error again by `raise` alone.
    """
    if type(error) is TypeError and OURS in str(error):
        error.args = (about_tracers(raised_at(error)),)
    if hooks.full_tracebacks() or jax.config.jax_traceback_filtering == "off":  # type: ignore[attr-defined]
        return
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        _shorten_one(found)
        found = found.__cause__ or (None if found.__suppress_context__ else found.__context__)


def is_below(code: CodeType) -> bool:
    """Whether code belongs to minijvp or to what it stands on."""
    return is_internal(code) or code.co_filename.startswith(NUMPY)


def _shorten_one(error: BaseException) -> None:
    frames: list[TracebackType] = []
    traceback = error.__traceback__
    while traceback is not None:
        frames.append(traceback)
        traceback = traceback.tb_next
    if not frames or (not isinstance(error, MEANT) and frames[-1].tb_frame.f_code.co_filename.startswith(PACKAGE)):
        return
    following = None
    for frame in reversed(frames):
        if not is_below(frame.tb_frame.f_code):
            frame.tb_next = following
            following = frame
    error.__traceback__ = following
    notes = getattr(error, "__notes__", None)
    if notes:
        error.__notes__ = [note for note in notes if ABOUT_FRAMES not in note]
