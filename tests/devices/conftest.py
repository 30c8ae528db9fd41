"""The scripts here need several devices when they are imported: the tests run them, and no doctests are looked for."""

from __future__ import annotations

from pathlib import Path

collect_ignore = [p.name for p in Path(__file__).parent.glob("*.py") if not p.name.startswith("test_")]
