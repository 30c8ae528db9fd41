"""Code that needs several devices, in a process of its own: CPU devices are made when JAX starts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def run_on_four_devices(code: str) -> None:
    """Run a script where JAX has four CPU devices. Fails, with its last words, if the script does not end well."""
    run_on_devices(code, 4)


def run_on_devices(code: str, count: int, timeout: int = 300) -> None:
    """The same with so many devices, and seconds."""
    root = str(Path(__file__).parents[1])
    flags = {"XLA_FLAGS": f"--xla_force_host_platform_device_count={count}", "JAX_PLATFORMS": "cpu", "PYTHONPATH": root}
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, env={**os.environ, **flags}, capture_output=True, text=True, timeout=timeout, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
