"""Every primitive, every check, every sample."""

from __future__ import annotations

import pytest

from minijvp.core.primitive import registry
from tests.checks import CHECKS
from tests.samples import Sample, all_samples

SAMPLES = all_samples()


@pytest.mark.parametrize("check", CHECKS, ids=lambda c: c.__name__.removeprefix("check_"))
@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_rule(sample: Sample, check) -> None:
    check(sample)


def test_every_primitive_has_a_sample() -> None:
    assert {s.primitive.name for s in SAMPLES} >= set(registry)
