"""The map holds: every measure of the house is within its bound, and docs/architecture.md shows the way as it is."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager

import pytest

import minijvp
import minijvp.numpy as mnp
from tests.house import BOUNDS, DOCUMENT, Bound, import_closure, reading_path, with_tables


@pytest.fixture(scope="module")
def found() -> dict[str, dict]:
    """Measures and tables of a process of their own, with the settings that users have."""
    command = [sys.executable, "-m", "tests.house", "--json"]
    return json.loads(
        subprocess.run(command, check=True, capture_output=True, text=True, cwd=DOCUMENT.parents[1]).stdout
    )


@pytest.mark.parametrize("name", BOUNDS)
def test_a_measure_is_within_its_bound(name: str, found: dict[str, dict]) -> None:
    bound: Bound = BOUNDS[name]
    assert found["measures"][name] <= bound.today
    assert bound.goal is None or bound.goal <= bound.today, "a goal that was reached is the bound"


def test_the_tables_of_the_document_are_true(found: dict[str, dict]) -> None:
    text = DOCUMENT.read_text()
    assert text == with_tables(text, found["tables"]), "run python -m tests.house --write"


def test_a_reading_path_is_what_a_call_enters_under_settings() -> None:
    entered = []

    @contextmanager
    def settings():
        entered.append("settings")
        yield

    x = mnp.array(1.0)
    path = reading_path(lambda: mnp.sin(x), settings, warm=3)
    assert entered == ["settings"]
    assert "numpy/makers.py" in path.files
    assert path.first_of(path.files[0]) == path.entered[0].co_qualname
    assert sum(map(path.of, path.files)) == path.functions
    assert len(path.files) - 1 <= path.switches < len(path.entered)
    assert reading_path(lambda: None).entered == ()
    assert "transforms/jvp.py" in reading_path(lambda: minijvp.jvp(mnp.sin, (x,), (x,))).files


def test_an_import_closure_follows_imports() -> None:
    assert import_closure("minijvp.errors") == ["minijvp.errors"]
    assert {"minijvp.core.types", "minijvp.errors"} <= set(import_closure("minijvp.core.primitive"))


def test_tables_are_written_between_their_markers() -> None:
    marked = "a\n<!-- x: written by python -m tests.house --write -->\nold\n<!-- end -->\nb"
    assert "old" not in with_tables(marked, {"x": "new"})
    assert with_tables(marked, {"x": "new"}).endswith("\n\nnew\n\n<!-- end -->\nb")
    with pytest.raises(AssertionError, match="has no"):
        with_tables(marked, {"y": "new"})
