"""What tests of transformations share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import minijvp
from minijvp.transforms import planning, rematerialize


@pytest.fixture
def forced(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Plans for programs of any size, followed if they save anything."""
    for module in (planning, rematerialize):
        monkeypatch.setattr(module, "SMALL", 0)
    monkeypatch.setattr(rematerialize, "NOTICEABLE", 0)
    monkeypatch.setattr(planning, "NEGLIGIBLE", 0.0)
    monkeypatch.setattr(planning, "WORTHWHILE", 1.0)
    monkeypatch.setattr(planning, "TIME", 10.0)
    monkeypatch.setattr(planning, "EQUATIONS_PER_REGION", 3)
    rematerialize._linearize_jaxpr_planned.cache_clear()
    with minijvp.config(memory_budget="auto"):
        yield
    rematerialize._linearize_jaxpr_planned.cache_clear()
