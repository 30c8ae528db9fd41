"""An operation of the deck."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Operation:
    """Something that a step can do. `make` is given a Builder, and returns the text of the result."""

    name: str
    make: Callable[[Any], str]
    bodies: tuple[int, int] = (0, 0)
    """How many steps the functions inside do, together: at least and at most."""
    honest: bool = True
    """Whether its derivative is that of the function, so that differences tell it."""
    only_reverse: bool = False
    """Whether JAX has no forward mode for it."""
    shown: bool = False
    """Whether what it gives is a result of the program in any case."""
    orders: int = 9
    """How often JAX differentiates it, and is right."""
    differentiates: int = 0
    """How often the functions inside are differentiated by it."""
    forward: bool = False
    """Whether it does so in forward mode."""
    single: bool = False
    """Whether it computes in single precision, whatever it is given."""
