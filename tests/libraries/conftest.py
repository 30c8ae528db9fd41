"""These tests need libraries that the others do not: without all of them, none is collected."""

from __future__ import annotations

from tests.libraries.programs import are_installed

if not are_installed():
    collect_ignore_glob = ["*.py"]
