"""Two hundred programs that are right, wrong rules that are found, and what the deck contains."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from multiprocessing import get_context

import pytest

import minijvp
from minijvp.core.jaxpr import Jaxpr
from minijvp.core.primitive import registry
from tests.fuzz.building import build
from tests.fuzz.coverage import covering
from tests.fuzz.generating import BLOCK, Choice, cases, plans
from tests.fuzz.judging import Case
from tests.fuzz.modes import MODES
from tests.fuzz.planting import hunt
from tests.fuzz.printing import script
from tests.fuzz.running import session
from tests.fuzz.shrinking import shrunk
from tests.fuzz.sides import OURS
from tests.fuzz.words import LETTERS

PRIMITIVES = set(registry)  # before any test has made one
SEED = 0
PROGRAMS = {"float64": 150, "float32": 50}
CHUNK = 10


@pytest.mark.parametrize(
    ("precision", "first"), [(precision, first) for precision, n in PROGRAMS.items() for first in range(0, n, CHUNK)]
)
def test_programs(precision: str, first: int) -> None:
    report = session(SEED, Choice(precision), CHUNK, first=first, alternating=True)
    for case, verdict in report.failures[:1]:
        pytest.fail(script(*shrunk(case, verdict)))
    assert report.programs == CHUNK
    assert report.verdicts["right"] >= 0.8 * report.verdicts.total(), report


def test_all_modes_and_letters_are_among_them() -> None:
    tried: list[Case] = []
    for precision, n in PROGRAMS.items():
        tried += [several[i % 2] for i, several in enumerate(islice(cases(SEED, Choice(precision)), n))]
        assert {case.mode for case in tried[-n:]} == set(MODES)
    assert {letter.name for case in tried for letter in case.word} == set(LETTERS)


@pytest.mark.parametrize(("name", "rule"), [("sin", "jvp"), ("dot_general", "transpose"), ("reduce_sum", "batch")])
def test_a_wrong_rule_is_found_and_made_small(name: str, rule: str) -> None:
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        found = process.submit(hunt, name, rule, 30).result()
    assert found is not None
    assert found.kind in ("value", "differences"), found
    assert len(found.source.splitlines()) <= 6, found.source


def test_the_deck_has_every_primitive() -> None:
    met: set[str] = set()
    with covering() as coverage:  # of collectives only the rules are met
        for plan in islice(plans(SEED, "float64"), 2 * BLOCK):
            program = build(plan)
            jaxpr = minijvp.make_jaxpr(OURS.function(program.source))(*program.arguments)
            met.update(primitives_of(jaxpr))
    missing = sorted(PRIMITIVES.difference(met, *coverage.called.values()))
    assert len(missing) <= 0.05 * len(PRIMITIVES), missing


def primitives_of(jaxpr: Jaxpr) -> Iterator[str]:
    for e in jaxpr:
        yield e.primitive.name
        for inner in e.programs:
            yield from primitives_of(inner)
