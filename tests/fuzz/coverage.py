"""Which primitives were met, and which of their rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import pytest

from minijvp.core.primitive import Primitive, registry

RULES = ("impl", "jvp", "linearize", "transpose", "batch")
ROWS = {"run": ("impl",), "differentiated": ("jvp", "linearize"), "transposed": ("transpose",), "batched": ("batch",)}


class Coverage:
    """The names of primitives whose rules were called."""

    def __init__(self) -> None:
        self.called: dict[str, set[str]] = {rule: set() for rule in RULES}

    def part(self, *rules: str) -> float:
        """The share of all primitives for which one of the rules was called."""
        return 1 - len(self.missing(*rules)) / len(registry)

    def missing(self, *rules: str) -> list[str]:
        return sorted(set(registry) - set().union(*[self.called[rule] for rule in rules]))

    def __str__(self) -> str:
        text = [f"{100 * self.part(*rules):.1f} % {name}" for name, rules in ROWS.items()]
        missing = self.missing("impl")
        names = ", ".join(missing) if len(missing) <= 20 else f"{len(missing)} of them"
        return f"of {len(registry)} primitives {', '.join(text)}; never run: {names or 'none'}"


def classes(cls: type = Primitive) -> Iterator[type]:
    yield cls
    for inner in cls.__subclasses__():
        yield from classes(inner)


@contextmanager
def covering() -> Iterator[Coverage]:
    """Listen to the rules of all primitives. What a cache has already is not heard."""
    coverage = Coverage()
    with pytest.MonkeyPatch.context() as patch:
        for cls in set(classes()):
            for rule in RULES:
                if rule in vars(cls):
                    patch.setattr(cls, rule, heard(vars(cls)[rule], coverage.called[rule]))
        yield coverage


def heard(rule: Callable[..., Any], names: set[str]) -> Callable[..., Any]:
    @wraps(rule)
    def listening(self: Primitive, *args: Any, **params: Any) -> Any:
        names.add(self.name)
        return rule(self, *args, **params)

    return listening
