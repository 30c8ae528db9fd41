"""The two places where `minijvp.optimize` enters the machine. It changes no result, and the machine runs without it."""

from __future__ import annotations

from typing import Any


def as_it_is(plain: Any) -> Any:
    """A trace or a function itself, and no faster one."""
    return plain


class Hooks:
    """What is plugged in: by default, nothing.

    `faster` gives what to use in the place of a class of traces, or of a function of the library, where values are
    computed at once. `linearizer` is how programs are linearized: a `minijvp.transforms.linearize.Linearizer`.
    """

    __slots__ = ("faster", "linearizer")

    def __init__(self) -> None:
        self.faster = as_it_is
        self.linearizer: Any = None


hooks = Hooks()
