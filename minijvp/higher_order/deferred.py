"""Programs that are made when they are first needed.

The rule of a function may call the function itself: as a plain `Jaxpr` it would contain itself without end.
"""

from __future__ import annotations

from collections.abc import Callable

from minijvp.core.jaxpr import Jaxpr


class Deferred:
    """An open jaxpr that `make` gives when it is first called. Known by identity, so that it can be a parameter."""

    __slots__ = ("jaxpr", "make")

    def __init__(self, make: Callable[[], Jaxpr]):
        self.make = make
        self.jaxpr: Jaxpr | None = None

    def __call__(self) -> Jaxpr:
        if self.jaxpr is None:
            self.jaxpr = self.make()
        return self.jaxpr

    def __repr__(self) -> str:
        return f"<{'made' if self.jaxpr is not None else 'deferred'}>"
