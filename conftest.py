"""What pytest finds in the package: the doctests of minijvp, and no examples in the texts of JAX that `help` shows."""

from __future__ import annotations

import pytest

from minijvp.interop.docstrings import EXAMPLES


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what JAX has written."""
    texts = [getattr(getattr(item, "dtest", None), "docstring", None) or "" for item in items]
    items[:] = [item for item, text in zip(items, texts, strict=True) if EXAMPLES not in text]
