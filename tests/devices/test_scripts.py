"""The scripts of this folder: each in a process with eight devices, and training in two processes with four each."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from tests.several_devices import environment, run_on_eight_devices


@pytest.mark.parametrize("module", ["against_one_device", "shard_maps", "training"])
def test_script(module: str) -> None:
    run_on_eight_devices(f"tests.devices.{module}")


def test_training_in_two_processes() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tests.devices.training"]
    members = [
        subprocess.Popen(
            command,
            env={**environment(4), "PORT": str(port), "MEMBER": str(i)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for i in range(2)
    ]
    try:
        said = [m.communicate(timeout=600)[0] for m in members]
    finally:
        for m in members:
            m.kill()
    assert [m.returncode for m in members] == [0, 0], said
