"""Programs that are made when they are first needed.

The rule of a function may call the function itself: as a plain `Jaxpr` it would contain itself without end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from minijvp.arguments.known_inputs import KnownInputs, kept_unless_asked
from minijvp.core.jaxpr import Jaxpr
from minijvp.core.tracing import attributed_to
from minijvp.core.types import ArrayType

Flags = tuple[bool, ...]


class Deferred:
    """An open jaxpr that `make` gives when it is first called. Known by identity, so that it can be a parameter.

    In one that `absorbs`, zeros of tangents do where that is asked for (`minijvp.nan_safe`): what a user's rule
    multiplies is its own.
    """

    __slots__ = ("absorbs", "jaxpr", "make")

    def __init__(self, make: Callable[[], Jaxpr], absorbs: bool = False):
        self.make, self.absorbs = make, absorbs
        self.jaxpr: Jaxpr | None = None

    def __call__(self) -> Jaxpr:
        if self.jaxpr is None:
            self.jaxpr = self.make()
        return self.jaxpr

    def __repr__(self) -> str:
        return f"<{'made' if self.jaxpr is not None else 'deferred'}>"


class ByZeros:
    """A rule with a program for each set of tangents (or cotangents) that are not zero. Known by identity.

    `make(nonzero, known)` gives a program that takes those only, after other arguments, whose values it may ask, and
    which of its results are not zero; a rule for cotangents knows the types of all that it takes and gives.
    `check(nonzero, values)` raises an error for a program that is not linear, where that is promised, for arguments of
    these values. In a `separate` one, inner programs give results or tangents, not both.
    A `recursive` one is of a call that the rule itself makes: where it takes tangents, its function is linear.
    `origin` is what it is made from, if that is known: equal for rules that make equal programs at the same time.
    `absorbs` is what it is of a `Deferred`.
    """

    __slots__ = ("absorbs", "check", "given", "made", "make", "origin", "recursive", "separate", "taken")

    def __init__(
        self,
        make: Callable[[Flags, KnownInputs], tuple[Jaxpr, Flags]],
        taken: tuple[ArrayType, ...] = (),
        given: tuple[ArrayType, ...] = (),
        check: Callable[[Flags, Sequence[Any]], None] | None = None,
        separate: bool = False,
        recursive: bool = False,
        origin: tuple | None = None,
        absorbs: bool = False,
    ):
        self.make, self.taken, self.given, self.check = make, taken, given, check
        self.separate, self.recursive, self.origin, self.absorbs = separate, recursive, origin, absorbs
        self.made: dict[Flags, tuple[Jaxpr, Flags]] = {}

    def __call__(self, nonzero: Flags, known: KnownInputs | None = None) -> tuple[Jaxpr, Flags]:
        """The program, for arguments of values that may be known."""
        given = known or KnownInputs()
        # Its equations carry the lines of the rule, not the one that is being differentiated now.
        with attributed_to(None):
            return kept_unless_asked(self.made, nonzero, given, lambda: self.make(nonzero, given))

    def same(self, other: object) -> bool:
        """Whether another one is of the same function, called with the same types and the same Python values."""
        return self is other or (type(other) is ByZeros and self.origin is not None and self.origin == other.origin)

    def __repr__(self) -> str:
        return f"<{'made' if self.made else 'deferred'}>"
