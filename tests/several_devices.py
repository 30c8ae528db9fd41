"""Code that needs several devices, in a process of its own: CPU devices are made when JAX starts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.xla import FLAGS


def environment(devices: int) -> dict[str, str]:
    """The environment of a process where JAX has so many CPU devices, and the tests can be imported."""
    root = str(Path(__file__).parents[1])
    flags = [f"--xla_force_host_platform_device_count={devices}", *FLAGS]
    return {**os.environ, "XLA_FLAGS": " ".join(flags), "JAX_PLATFORMS": "cpu", "PYTHONPATH": root}


def run(command: list[str], devices: int) -> None:
    """Run a command of Python. Fails, with its last words, if it does not end well."""
    done = subprocess.run(
        [sys.executable, *command], env=environment(devices), capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def run_on_devices(code: str, count: int) -> None:
    """Run a script where JAX has so many CPU devices."""
    run(["-c", code], count)


def run_on_four_devices(code: str) -> None:
    """Run a script where JAX has four CPU devices."""
    run(["-c", code], 4)


def run_on_eight_devices(module: str) -> None:
    """Run a module of the tests where JAX has eight CPU devices."""
    run(["-m", module], 8)
