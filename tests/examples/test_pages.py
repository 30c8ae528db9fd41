"""Pages where under each program stands what it prints, in a new process, as a user has it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.examples.outputs import examples

ROOT = Path(__file__).parents[2]
ELSEWHERE = {"extending.md", "machine.md"}
"""Each is one program, with a test of its own."""
WITH_OUTPUT = [page.name for page in sorted((ROOT / "docs").glob("*.md")) if "```text" in page.read_text()]
HOW = {"devices.md": ["--together"], "progress.md": ["--errors"]}
PAGES = {page: HOW.get(page, []) for page in WITH_OUTPUT if page not in ELSEWHERE}
MEASURED = re.compile(r"[\d:]+<[\d:]+, +[\d.?]+it/s|\d+\.\d\d")
"""Times and rates, on the page about what tells them."""


@pytest.mark.parametrize("page", PAGES)
def test_programs_print_what_stands_under_them(page: str) -> None:
    path = ROOT / "docs" / page
    command = [sys.executable, "-m", "tests.examples.outputs", str(path), *PAGES[page]]
    as_users = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    done = subprocess.run(command, cwd=ROOT, env=as_users, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    expected = [text for _, text in examples(path.read_text())]
    assert len(expected) == path.read_text().count("```text")
    found = json.loads(done.stdout)
    if page == "progress.md":
        found, expected = ([MEASURED.sub("...", text) for text in texts] for texts in (found, expected))
    assert found == expected
