"""What tests of transformations share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.plans import forced_plans


@pytest.fixture
def forced() -> Iterator[None]:
    """Plans for programs of any size, followed if they save anything."""
    with forced_plans():
        yield
