"""Every primitive, every check, every sample."""

from __future__ import annotations

import pytest

import minijvp  # noqa: F401  (registers every primitive)
from minijvp.calls.tap import TapTangents
from minijvp.core.primitive import registry
from minijvp.operations.collectives import Collective
from minijvp.operations.placing import SumOverDevices
from minijvp.operations.shape import DimensionAsValue
from tests.checks import CHECKS
from tests.samples import Sample, all_samples

SAMPLES = all_samples()


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_rule(sample: Sample, check: str) -> None:
    CHECKS[check](sample)


def test_every_primitive_has_a_sample() -> None:
    # Collectives mean nothing without a named axis: tests/lax/test_collectives.py judges them.
    # So do sums over devices (tests/devices), and sizes that are known when an export is called (tests/calls).
    # Tangents of edited taps are only transposed, never evaluated: tests/calls/test_tap.py.
    kinds = Collective, DimensionAsValue, SumOverDevices, TapTangents
    wanted = {name for name, primitive in registry.items() if not isinstance(primitive, kinds)}
    wanted -= {name for name, primitive in registry.items() if primitive.made_outside}  # by other tests
    assert {s.primitive.name for s in SAMPLES} == wanted


def test_samples_have_names_of_their_own() -> None:
    assert len(set(map(str, SAMPLES))) == len(SAMPLES)
