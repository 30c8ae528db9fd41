"""Explicit meshes: arrays whose types say how they are split, and functions that take out_sharding, as in JAX."""

from __future__ import annotations

import pytest

from tests.several_devices import run_on_devices

PARTS = 5


@pytest.mark.parametrize("part", range(PARTS))
def test_functions_of_split_arrays(part: int) -> None:
    run("operations", part, PARTS)


@pytest.mark.parametrize("name", ["errors", "explicit_regions", "loops", "meshes"])
def test_meshes_and_specs(name: str) -> None:
    run(name)


def run(*part: object) -> None:
    """A part of the checks, in a process of its own."""
    run_on_devices(f"from tests.devices.explicit import main\nmain({part!r})", 8)
