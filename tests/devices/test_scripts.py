"""The scripts of this folder, each in a process of its own with eight devices."""

from __future__ import annotations

import pytest

from tests.several_devices import run_on_eight_devices


@pytest.mark.parametrize("module", ["shard_maps"])
def test_script(module: str) -> None:
    run_on_eight_devices(f"tests.devices.{module}")
