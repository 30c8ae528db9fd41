"""The machine alone, with nothing of minijvp.optimize plugged in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from minijvp.core.hooks import hooks
from minijvp.transforms.linearize import Linearizer


def unplug() -> None:
    """Leave the machine alone from now on."""
    hooks.faster, hooks.linearizer = None, Linearizer()


@contextmanager
def unplugged() -> Iterator[None]:
    """Leave the machine alone inside."""
    before = hooks.faster, hooks.linearizer
    unplug()
    try:
        yield
    finally:
        hooks.faster, hooks.linearizer = before
