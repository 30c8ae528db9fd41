"""The examples run as a user runs them: in a new process, with warnings as errors."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import jax
import pytest

from minijvp.core.primitive import registry
from tests.examples.documents import blocks, links, logical_lines, run_block, shown_value
from tests.tables import restored

ROOT = Path(__file__).parents[2]


def run(script: str, folder: Path, *arguments: str) -> str:
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-W", "error", str(folder / script), *arguments]
    done = subprocess.run(command, cwd=folder, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_quickstart() -> None:
    out = run("quickstart.py", ROOT / "examples")
    assert "square root of 2: 1.4142" in out
    assert "cos a" in out


def test_three_gradients_are_explained_and_mended() -> None:
    out = run("explain_nan.py", ROOT / "examples")
    lines = (ROOT / "examples" / "explain_nan.py").read_text().splitlines()
    for text, how in (
        (
            "shifted = scores - mnp.max(scores, axis=-1, keepdims=True)",
            "sub, in the forward pass, makes nan of -inf, -inf",
        ),
        ("sigma = mnp.sqrt(1 - kept)", "div, derivative of sqrt, in the backward pass, makes inf of 0.5, 0"),
        ("h = h - 0.1 * outflow * mnp.sqrt(h)", "sqrt, in the forward pass, makes nan of -"),
    ):
        number = next(i for i, line in enumerate(lines, 1) if text in line)
        assert re.search(rf"explain_nan.py:{number} \(\w+\): {re.escape(text)}\n +operation +{re.escape(how)}", out), (
            text
        )
    assert "scan (turn 14 of 40)" in out
    assert out.count("all results are finite") == out.count("\nmended: ") == 3


def test_newtons_method_uses_a_sparse_hessian(tmp_path: Path) -> None:
    (tmp_path / "sparse_newton.py").write_text((ROOT / "examples" / "sparse_newton.py").read_text())
    out = run("sparse_newton.py", tmp_path, "60")
    assert "3600 unknowns: 17760 entries" in out
    assert int(found(r"(\d+) Hessian-vector products", out)[0]) <= 6
    assert float(found(r"closed solution (\S+)", out)[0]) < 3e-4
    assert float(found(r"difference (\S+)", out)[0]) < 1e-12
    assert int(found(r"dense / sparse (\d+) x", out)[0]) >= 2
    assert (tmp_path / "output" / "sparse_newton.svg").stat().st_size > 2_000


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_digits_are_learned_on_several_devices(processes: int) -> None:
    out = run("data_parallel.py", ROOT / "examples", "--processes", str(processes))
    assert f"8 devices, in {processes} process" in out
    losses = re.search(r"300 steps  (\S+)  (\S+)  (\S+)", out)
    assert losses and [round(float(v), 4) for v in losses.groups()] == [0.1571, 0.0901, 0.0594]
    if processes == 1:
        difference = re.search(r"relative difference +(\S+)", out)
        assert difference and float(difference[1]) < 1e-5
    accuracy = re.search(r"unseen digits +([\d.]+)%", out)
    assert accuracy and float(accuracy[1]) > 88
    ours, theirs = re.findall(r"by (?:minijvp|JAX) +(.+)", out)
    assert ours == theirs == "1 all-reduce"


@pytest.mark.slow
def test_digits_are_learned(tmp_path: Path) -> None:
    # A copy, which draws its picture beside itself.
    (tmp_path / "digits.py").write_text((ROOT / "examples" / "digits.py").read_text())
    out = run("digits.py", tmp_path)
    accuracy = re.search(r"test accuracy ([\d.]+)%", out)
    difference = re.search(r"largest relative difference (\S+)", out)
    assert accuracy is not None
    assert difference is not None
    assert float(accuracy[1]) >= 97
    assert float(difference[1]) < 1e-5
    assert "epoch  60/60" in out
    assert (tmp_path / "output" / "digits.png").stat().st_size > 20_000


def run_copy(script: str, folder: Path, steps: int) -> tuple[str, int]:
    """What an example prints that trains for a few steps, and the size of the picture that it draws beside itself."""
    (folder / script).write_text((ROOT / "examples" / script).read_text())
    out = run(script, folder, str(steps))
    return out, (folder / "output" / script).with_suffix(".png").stat().st_size


def found(pattern: str, out: str) -> list[str]:
    """What the pattern finds, at least once."""
    values = re.findall(pattern, out)
    assert values, out
    return values


@pytest.mark.slow
def test_networks_solve_equations(tmp_path: Path) -> None:
    out, size = run_copy("pinn.py", tmp_path, 150)
    membrane, beam = map(float, found(r"closed solution (\S+)", out))
    assert membrane < 1e-2 and beam < 1e-3
    assert size > 20_000


@pytest.mark.slow
def test_predators_and_prey_are_fitted(tmp_path: Path) -> None:
    out, size = run_copy("lotka_volterra.py", tmp_path, 200)
    assert all(float(x) < 1e-6 for x in found(r"largest relative difference (\S+)", out))
    assert float(found(r"step  200/200  loss (\S+)", out)[0]) < 0.012
    assert size > 20_000


@pytest.mark.slow
def test_a_licence_is_learned(tmp_path: Path) -> None:
    out, size = run_copy("text_lstm.py", tmp_path, 10)
    assert float(found(r"MiB, (\S+) x", out)[0]) <= 1 / 5
    assert max(map(float, found(r"largest relative difference (\S+)", out))) < 1e-4
    assert float(found(r"to (\S+) bits", out)[0]) < float(found(r"loss from (\S+) ", out)[0]) - 1
    assert size > 20_000


MACHINE = ROOT / "docs" / "machine.md"  # one program, for test_machine.py
EXTENDING = ROOT / "docs" / "extending.md"  # another, for test_extend.py
DEVICES = ROOT / "docs" / "devices.md"  # a third, for test_pages.py
DOCUMENTS = [ROOT / "README.md", *sorted(set((ROOT / "docs").glob("*.md")) - {MACHINE, EXTENDING, DEVICES})]
BLOCKS = {f"{path.stem}-{i}": code for path in DOCUMENTS for i, code in enumerate(blocks(path))}


@pytest.mark.parametrize("name", BLOCKS)
def test_code_in_documents_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each block by itself, in single precision as users have it; the primitives that it makes are forgotten."""
    monkeypatch.chdir(tmp_path)
    with restored(registry), jax.enable_x64(False):
        run_block(BLOCKS[name], {})


@pytest.mark.parametrize("path", [*DOCUMENTS, MACHINE, DEVICES], ids=lambda path: path.stem)
def test_links_and_commands_in_documents_lead_somewhere(path: Path) -> None:
    text = path.read_text()
    assert [link for link in links(text) if not (path.parent / link).exists()] == []
    commands = "\n".join([*blocks(path, "sh"), *re.findall(r"`([^`\n]+)`", text)])
    assert [m for m in re.findall(r"python -m (tests[\w.]*)", commands) if find_spec(m) is None] == []
    files = re.findall(r"(?<![\w/.-])(?:(?:tests|examples|docs|minijvp)/[\w/.-]+|\.ci/\w+|\.[\w-]+\.yaml)", commands)
    assert [name for name in files if not (ROOT / name).exists()] == []


def test_the_two_commands_of_the_readme_set_up_contributors() -> None:
    readme, contributing = (set(blocks(ROOT / name, "sh")) for name in ("README.md", "docs/contributing.md"))
    assert len(readme) == 2
    assert readme <= contributing


def test_a_budget_takes_memory_from_a_gradient(tmp_path: Path) -> None:
    text = (ROOT / "examples" / "memory.py").read_text()
    sizes = "SEQUENCES, LENGTH, WIDTH, HEADS = 8, 256, 256, 4"
    assert sizes in text
    smaller = text.replace(sizes, "SEQUENCES, LENGTH, WIDTH, HEADS = 4, 128, 128, 4").replace("0.12", "0.13")
    (tmp_path / "memory.py").write_text(smaller)
    out = run("memory.py", tmp_path)
    theirs, off, auto, part, small = (float(mib) for mib in found(r" ([\d.]+) MiB +[\d.]+ ms", out))
    assert off < 1.05 * theirs
    assert max(small, part) < 1.01 * auto < 0.7 * theirs
    assert all(float(error) < 2e-5 for error in found(r"difference (\S+)", out))
    assert (tmp_path / "output" / "memory.svg").stat().st_size > 10_000


def test_values_in_comments_are_compared() -> None:
    for right in ("1 + 1  # 2", "[1.0, 2.0]  # [1, 2], a list", "'a'  # 'a'", "1 > 2  # False", "(1, 'a')  # (1, 'a')"):
        run_block(f"{right}\n\n\nx = 1\n", {})
        assert shown_value(right) is not None
    for wrong in ("1 + 1  # 3", "[1.0, 2.0]  # [1, 3]", "'a'  # 'b'", "2 > 1  # False", "[1, 2]  # [1]"):
        with pytest.raises(AssertionError):
            run_block(f"{wrong}\n\n\n# a comment\nx = 1\n", {})
    lines = [line for code in BLOCKS.values() for line in logical_lines(code)]
    assert sum(shown_value(line) is not None for line in lines) > 70
    begun = re.compile(r"^[^\n#]+  # (?:-?\d|[(\[]|True|False|None|')")
    expressions = [line for line in lines if begun.match(line) and isinstance(ast.parse(line).body[0], ast.Expr)]
    assert [line for line in expressions if shown_value(line) is None] == []


def test_the_page_of_installing_has_every_extra() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    listed = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "install.md").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(extras)
