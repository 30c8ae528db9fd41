"""The deck: every operation that a step can do, by name."""

from __future__ import annotations

from dataclasses import replace

from tests.fuzz.deck.functions import FUNCTIONS
from tests.fuzz.deck.operation import Operation
from tests.fuzz.deck.primitives import primitives
from tests.fuzz.deck.structure import STRUCTURES
from tests.fuzz.deck.surface import surface
from tests.fuzz.differences import ONLY_ONCE, STAIRS


def limited(o: Operation) -> Operation:
    """The operation with what is known of its derivatives."""
    name = o.name.partition(": ")[2].removeprefix("jax.").partition("(")[0]
    return replace(o, orders=1 if name in ONLY_ONCE else o.orders, honest=o.honest and name not in STAIRS)


DECK: dict[str, Operation] = {o.name: limited(o) for o in (*FUNCTIONS, *STRUCTURES, *primitives(), *surface())}
