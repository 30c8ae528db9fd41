"""The training scripts: they learn, and a run that was interrupted ends with the numbers of one that was not."""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import minijvp

ROOT = Path(__file__).parents[2]


def start(script: str, out: Path, *options: str) -> subprocess.Popen:
    """A script in a process of its own, with warnings as errors, and what is compiled in its log."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-W", "error", str(ROOT / "examples" / script), "--out", str(out), *options]
    environment = {**os.environ, "PYTHONPATH": path, "JAX_LOG_COMPILES": "1"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finished(process: subprocess.Popen) -> tuple[str, str]:
    """What a script prints, and its log."""
    printed, log = process.communicate()
    assert process.returncode == 0, log
    return printed, log


def checkpoint(out: Path) -> dict[str, np.ndarray]:
    """Everything that is kept: parameters, state of the optimizer, measures, the state of the generator, options."""
    with np.load(out / "checkpoint.npz") as file:
        return {name: file[name] for name in file.files}


SCRIPTS = {
    "train_mlp_optax.py": (signal.SIGKILL, -signal.SIGKILL, ("--epochs", "12", "--width", "64")),
    "train_text.py": (signal.SIGINT, 130, ("--epochs", "8", "--width", "16", "--size", "12000")),
}


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS)
def test_an_interrupted_run_ends_with_the_same_numbers(script: str, tmp_path: Path) -> None:
    sent, status, options = SCRIPTS[script]
    whole = start(script, tmp_path / "whole", *options)
    part = start(script, tmp_path / "part", *options)
    assert part.stdout is not None
    while "epoch   2/" not in (line := part.stdout.readline()):
        assert line, part.stderr and part.stderr.read()
    part.send_signal(sent)
    printed, _ = part.communicate()
    assert part.returncode == status, printed
    done = json.loads(str(checkpoint(tmp_path / "part")["notes"]))["epoch"]
    printed, _ = finished(start(script, tmp_path / "part", *options))
    assert f"goes on after epoch {done}" in printed and f"epoch {done + 1:3}/" in printed
    assert f"epoch {done:3}/" not in printed
    expected, log = finished(whole)
    assert printed.splitlines()[-1] == expected.splitlines()[-1]
    found, wanted = checkpoint(tmp_path / "part"), checkpoint(tmp_path / "whole")
    assert list(found) == list(wanted)
    for name, x in wanted.items():
        assert x.dtype == found[name].dtype and x.tobytes() == found[name].tobytes(), name
    assert (tmp_path / "part" / "curves.png").stat().st_size > 20_000
    assert len(re.findall(r"Finished XLA compilation of jit\(step\)", log)) == 2  # for batches, and for the last one
    history = json.loads(str(wanted["notes"]))["history"]
    if "accuracy" in history:
        assert history["accuracy"][-1] > 0.96
    else:
        assert history["held-out"][-1] < history["held-out"][0] - 0.5


def load_training() -> ModuleType:
    spec = spec_from_file_location("training", ROOT / "examples" / "training.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


training = load_training()
STATE = {"w": np.ones((2, 3), np.float32), "i": np.int32(0)}


def test_batches_have_every_row_once_in_another_order_each_time() -> None:
    data = np.arange(10), 2 * np.arange(10)
    generator = np.random.default_rng(0)
    epochs = [list(training.batches(data, 4, generator)) for _ in range(2)]
    assert [len(x) for x, _ in epochs[0]] == [4, 4, 2]
    orders = [np.concatenate([x for x, _ in epoch]).tolist() for epoch in epochs]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(10)) and orders[0] != orders[1]
    assert all((y == 2 * x).all() for x, y in epochs[0])


def test_a_checkpoint_is_the_old_one_or_the_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "folder" / "checkpoint.npz"
    training.save(path, STATE, {"options": {}})

    def fails(file: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(OSError, match="no space"):
        training.save(path, {**STATE, "w": 2 * STATE["w"]}, {"options": {}})
    state, notes = training.load(path, STATE, {})
    assert notes == {"options": {}} and (state["w"] == 1).all() and state["i"].dtype == np.int32


@pytest.mark.parametrize(
    ("like", "options", "words"),
    [
        (STATE, {"batch": 2}, r"is of \{'batch': 1\}, not of \{'batch': 2\}: --no-resume"),
        ({**STATE, "b": np.zeros(2)}, {"batch": 1}, "of another program, b differ"),
        ({**STATE, "w": np.ones((2, 3))}, {"batch": 1}, "of another program, w differ"),
        ({"w": STATE["w"]}, {"batch": 1}, "of another program, i differ"),
    ],
)
def test_checkpoints_of_others_are_refused(tmp_path: Path, like: Any, options: dict, words: str) -> None:
    training.save(tmp_path / "checkpoint.npz", STATE, {"options": {"batch": 1}})
    with pytest.raises(SystemExit, match=words):
        training.load(tmp_path / "checkpoint.npz", like, options)


def test_training_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """Within an epoch all is lost since the last; a run that is complete does nothing but tell its numbers."""
    calls = []

    def step(state: Any, x: Any, stop: int = 5) -> Any:
        calls.append(x.tolist())
        if len(calls) == stop:
            raise KeyboardInterrupt
        w = state["w"] + minijvp.numpy.sum(x)
        return {"w": w, "i": state["i"] + np.int32(1)}, {"w": w[0, 0]}

    options = argparse.Namespace(epochs=3, batch=2, seed=0, out=tmp_path, resume=True)
    arguments = (np.arange(3.0, dtype=np.float32),), lambda state: {"i": state["i"]}
    with pytest.raises(SystemExit) as left:
        training.train(options, STATE, step, *arguments)
    assert left.value.code == 130
    resumed, history = training.train(options, STATE, step, *arguments)
    assert calls[4] == calls[5] and len(calls) == 3 * 2 + 1  # the third epoch begins again
    again = training.train(options, STATE, step, *arguments)
    assert len(calls) == 7 and again[1] == history and (again[0]["w"] == resumed["w"]).all()
    assert history["i"] == [2, 4, 6] and len(history["w"]) == 6
    calls.clear()
    anew = argparse.Namespace(**{**vars(options), "resume": False})
    expected, _ = training.train(anew, STATE, lambda state, x: step(state, x, 0), *arguments)
    assert (expected["w"] == resumed["w"]).all() and len(calls) == 6


@pytest.mark.parametrize("words", ["--epochs 0", "--rate -1.0", "--batch 2.5", "--rate x"])
def test_options_are_checked(words: str, capsys: pytest.CaptureFixture) -> None:
    parser = training.parser("script.py", "Train.\n\nMore.", epochs=3, batch=2, rate=0.1)
    assert vars(parser.parse_args([]))["out"] == Path("output/script")
    with pytest.raises(SystemExit):
        parser.parse_args(words.split())
    assert re.search(r"argument --\w+: invalid positive (int|float) value: ", capsys.readouterr().err)
