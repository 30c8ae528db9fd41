"""Wrong rules, planted to see that they are found. Only in a process that ends: caches remember what rules did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tests.conftest  # noqa: F401  (settings of XLA and JAX come first)

# isort: split
from minijvp.core.primitive import registry
from minijvp.core.types import is_inexact, type_of
from tests.fuzz.building import build
from tests.fuzz.generating import Choice, cases
from tests.fuzz.judging import judge
from tests.fuzz.shrinking import shrunk

WRONG = 1.03


@dataclass(frozen=True)
class Found:
    """A failure: the number of the program that had it, what kind it is of, and the source that is left of it."""

    program: int
    kind: str
    source: str
    word: str


def plant(name: str, rule: str) -> None:
    """Have a rule of a primitive give what it gives times 1.03: a tangent, the cotangents, or the result of a batch."""
    primitive: Any = registry[name]
    right = getattr(primitive, rule)

    def wrong(*args: Any, **params: Any) -> Any:
        found = right(*args, **params)
        if rule == "jvp":
            return found[0], too_large(found[1])
        if rule == "batch":
            return too_large(found[0]), found[1]
        return tuple(map(too_large, found)) if isinstance(found, tuple) else too_large(found)

    setattr(primitive, rule, wrong)


def too_large(x: Any) -> Any:
    return x * WRONG if x is not None and is_inexact(type_of(x).dtype) else x


def hunt(name: str, rule: str, programs: int) -> Found | None:
    """The first failure among so many programs with a wrong rule planted, made small."""
    plant(name, rule)
    for i, several in zip(range(programs), cases(0, Choice())):
        for case in several:
            verdict = judge(case)
            if verdict.failed:
                case, verdict = shrunk(case, verdict, 40)
                return Found(i, verdict.kind, build(case.plan).source, "-".join(map(str, case.word)))
    return None
