"""The quaternion layer: its matrix, its rule, and the example with layers that are small."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import minijvp
import minijvp.numpy as mnp
from minijvp import check_rule
from tests.side_by_side import same

PATH = Path(__file__).parents[2] / "examples" / "quaternion.py"
SIZES = ["--hidden", "32", "--layers", "3", "--batches", "4", "64", "--seconds", "0.05"]
ROW = np.random.default_rng(0).normal(size=(5, 8))


@pytest.fixture(scope="module")
def example() -> Any:
    spec = importlib.util.spec_from_file_location("quaternion", PATH)
    module = importlib.util.module_from_spec(spec)
    sys.modules["quaternion"] = module  # dataclasses look there
    spec.loader.exec_module(module)
    yield module
    del sys.modules["quaternion"]


def test_the_matrix_is_that_of_the_lecture(example: Any) -> None:
    matrix = example.matrix(np, [np.array([[float(v)]]) for v in (1, 2, 3, 4)])
    # The columns of blocks: [r, -i, -j, -k], [i, r, -k, j], [j, k, r, -i], [k, -j, i, r]
    columns = [[1, -2, -3, -4], [2, 1, -4, 3], [3, 4, 1, -2], [4, -3, 2, 1]]
    np.testing.assert_array_equal(matrix, np.array(columns).T)
    np.testing.assert_array_equal(matrix @ matrix.T, 30 * np.eye(4))  # |q|^2: quaternions have a norm


@pytest.mark.parametrize("way", ["plain", "custom rule", "checkpoint", "automatic"])
def test_gradients_are_those_of_jax(example: Any, way: str) -> None:
    params, x = example.data(8, 3, 5)
    params, x = tuple(p.astype(float) for p in params), jnp.asarray(ROW)
    plain = example.loss_of("plain", jax, jnp)
    loss = example.loss_of(way, minijvp, mnp)
    wanted = jax.grad(plain, (0, 1))(params, x)
    with example.memory_budget(way):
        same(minijvp.grad(loss, (0, 1))(params, x), wanted)
        same(minijvp.jit(minijvp.grad(loss, (0, 1)))(params, x), wanted)
    same(jax.grad(example.loss_of(way, jax, jnp), (0, 1))(params, x), wanted)
    # Forward mode too, of the rule for cotangents, where JAX has none.
    same(minijvp.jvp(loss, (params, x), (params, x))[1], jax.jvp(plain, (params, x), (params, x))[1])


def test_the_rule_is_checked(example: Any) -> None:
    params, _ = example.data(8, 1, 5)
    layer = example.layer_of("custom rule", minijvp, mnp)
    check_rule(layer, tuple(p[0].astype(float) for p in params), jnp.asarray(ROW))


def test_the_rule_keeps_the_blocks_only(example: Any) -> None:
    hidden, layers, batch = 64, 3, 2
    params, x = example.data(hidden, layers, batch)
    blocks, activations = layers * hidden * hidden, layers * batch * hidden * 4
    plain, ruled, checkpoint = (example.measure(way, "minijvp", params, x) for way in example.WAYS)
    assert plain.kept >= 4 * blocks
    for row in (ruled, checkpoint):
        assert row.kept <= blocks + 3 * activations
        assert row.added <= 3 * activations
        assert row.temporary < 0.7 * plain.temporary


def test_the_automatic_way_keeps_what_the_rule_does(example: Any) -> None:
    params, x = example.data(1024, 3, 8)  # large enough for a plan to be worth it
    plain, ruled, automatic = (example.measure(way, "minijvp", params, x) for way in (*example.WAYS[:2], "automatic"))
    same(automatic.gradient, plain.gradient, 1e-5)
    assert (automatic.kept, automatic.added) == (ruled.kept, ruled.added)
    assert automatic.temporary <= ruled.temporary
    # Whatever the setting is where it is called: the plain way is not planned.
    with minijvp.config(memory_budget="auto"):
        again = example.measure("plain", "minijvp", params, x)
    assert (again.kept, again.temporary) == (plain.kept, plain.temporary)
    assert plain.kept > 3 * automatic.kept


def test_the_example_runs(tmp_path: Path) -> None:
    (tmp_path / "quaternion.py").write_text(PATH.read_text())
    path = os.pathsep.join([str(PATH.parents[1]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-W", "error", str(tmp_path / "quaternion.py"), *SIZES],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("gradients agree") == 2
    assert "batch 4: the rule keeps" in done.stdout
    assert "batch 64: by itself, minijvp keeps" in done.stdout
    if importlib.util.find_spec("torch") is None:
        assert "PyTorch is not installed: its lines are skipped." in done.stdout
    assert (tmp_path / "output" / "quaternion.png").stat().st_size > 20_000
