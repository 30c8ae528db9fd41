"""docs/debugging.md: under each program stands what it prints, in a new process, as a user has it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.examples.outputs import examples

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "debugging.md"


def test_programs_print_what_stands_under_them() -> None:
    command = [sys.executable, "-m", "tests.examples.outputs", str(PAGE)]
    as_users = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    done = subprocess.run(command, cwd=ROOT, env=as_users, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    expected = [text for _, text in examples(PAGE.read_text())]
    assert len(expected) == PAGE.read_text().count("```text")
    assert json.loads(done.stdout) == expected
