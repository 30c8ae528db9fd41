"""Tables of the library that definitions of a test change."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def restored(*tables: dict[Any, Any]) -> Iterator[None]:
    """Context manager: afterwards the tables have what they had before."""
    before = [dict(table) for table in tables]
    try:
        yield
    finally:
        for table, entries in zip(tables, before, strict=True):
            table.clear()
            table.update(entries)
