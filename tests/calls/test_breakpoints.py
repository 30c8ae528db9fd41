"""debug.breakpoint: where the debugger stops, how often, and with which values in which variables."""

from __future__ import annotations

import os
import re
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
from minijvp import lax

X = jnp.array([1.0, 2.0, 3.0])
CALL = "__breakpoint__"


@pytest.fixture
def stops(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The frames in which the debugger was opened: function, file, line and variables."""
    seen: list[Any] = []

    def hook() -> None:
        frame = sys._getframe(1)
        values = {k: v for k, v in frame.f_locals.items() if k != CALL}
        seen.append((frame.f_code.co_name, Path(frame.f_code.co_filename).name, frame.f_lineno, values))

    monkeypatch.setattr(sys, "breakpointhook", hook)
    return seen


def f(x: Any, scale: float = 2.0) -> Any:
    y, text, tree = mnp.sin(x) * scale, "text", {"a": [x, 1], "b": None}
    minijvp.debug.breakpoint(ordered=True)
    z = (y * y).sum()
    return z, text, tree


LINE = f.__code__.co_firstlineno + 2


def values(stop: Any) -> dict[str, Any]:
    name, file, line, found = stop
    assert (name, file, line) == ("f", "test_breakpoints.py", LINE)
    assert sorted(found) == ["scale", "text", "tree", "x", "y"]
    assert found["text"] == "text"
    np.testing.assert_allclose(found["y"], np.sin(found["x"]) * found["scale"], rtol=1e-12)
    np.testing.assert_array_equal(found["tree"]["a"][0], found["x"])
    assert found["tree"]["a"][1] == 1
    assert found["tree"]["b"] is None
    return found


@pytest.mark.parametrize(
    "transform",
    [
        lambda f: f,
        minijvp.jit,
        minijvp.grad,
        lambda f: minijvp.jit(minijvp.grad(f)),
        lambda f: minijvp.grad(lambda x: minijvp.grad(f)(x).sum()),
        lambda f: lambda x: minijvp.jvp(f, (x,), (x,)),
        lambda f: minijvp.grad(minijvp.jit(f)),
        lambda f: jax.jit(jax.grad(minijvp.to_jax(f))),
    ],
)
def test_the_debugger_stops_once_with_values(stops: list[Any], transform: Any) -> None:
    transform(lambda x: f(x)[0])(X)
    jax.effects_barrier()
    (stop,) = stops
    np.testing.assert_array_equal(values(stop)["x"], X)


def test_what_was_traced_are_arrays_of_numpy(stops: list[Any]) -> None:
    minijvp.jit(lambda x: f(x)[0])(X)
    jax.effects_barrier()
    found = values(stops[0])
    assert {k: type(found[k]) for k in "xy"} == {"x": np.ndarray, "y": np.ndarray}


def test_each_lane_and_each_turn_stops(stops: list[Any]) -> None:
    minijvp.vmap(lambda x: f(x)[0])(X)
    jax.effects_barrier()
    assert [float(values(stop)["x"]) for stop in stops] == [1, 2, 3]
    stops.clear()
    minijvp.grad(lambda x: lax.while_loop(lambda c: c < 5, lambda c: (f(c), 2 * c)[1], x))(1.5)
    jax.effects_barrier()
    assert [float(values(stop)["x"]) for stop in stops] == [1.5, 3]


def test_variables_that_are_no_trees_stay_as_they_are(stops: list[Any]) -> None:
    mixed = {1: "a", "b": 2}  # its keys have no order
    kept: list[Any] = []
    minijvp.grad(lambda x: (kept.append(x), x)[1])(1.0)

    def look(x: Any, mixed: Any, escaped: Any) -> Any:
        minijvp.debug.breakpoint()
        return x

    minijvp.jit(lambda x: look(x, mixed, kept[0]))(2.0)
    jax.effects_barrier()
    found = stops[0][-1]
    assert float(found["x"]) == 2
    assert found["mixed"] is mixed
    assert found["escaped"] is kept[0]


SCRIPT = """
import jax, minijvp, minijvp.numpy as mnp

def loss(x):
    y = mnp.sin(x)
    minijvp.debug.breakpoint()
    return (y * y).sum()

print("slope", minijvp.jit(minijvp.grad(loss))(mnp.array([0.0, 1.0])))
"""


def test_python_s_debugger_in_a_compiled_gradient(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    root = str(Path(minijvp.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "script.py"],
        input="p x, y\nl\nc\n",
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "script.py(6)loss()" in done.stdout
    assert re.search(r"\(array\(\[0\., 1\.\], dtype=float32\), array\(\[0\. *, 0\.8414\d+ *\]", done.stdout)
    assert "6  ->\t    minijvp.debug.breakpoint()" in done.stdout
    assert re.search(r"slope \[0\. *0\.9092\d+\]", done.stdout)
