"""Files that can be read in one sitting: none is longer than a bound, but those with a reason to be."""

from __future__ import annotations

from pathlib import Path

import minijvp

ROOT = Path(minijvp.__file__).parent
LINES = 400
LONGER = {
    "operations/elementwise.py": (591, "one table, whose rules refer to each other"),
    "operations/families.py": (508, "families refer to each other"),
    "optimize/eager/recurring.py": (444, "one mechanism"),
}
"""The most lines of files that have more than the others may, and why."""


def test_files_are_short() -> None:
    found = {p.relative_to(ROOT).as_posix(): len(p.read_text().splitlines()) for p in ROOT.rglob("*.py")}
    bounds = {file: LONGER.get(file, (LINES, ""))[0] for file in found}
    assert {file: n for file, n in found.items() if n > bounds[file]} == {}


def test_exceptions_are_needed() -> None:
    assert [file for file in LONGER if len((ROOT / file).read_text().splitlines()) <= LINES] == []
