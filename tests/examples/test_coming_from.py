"""docs/coming_from.md: both columns of its tables run and have the same numbers, where the other library is there."""

from __future__ import annotations

import re
from importlib import import_module
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import minijvp
import minijvp.numpy as mnp
from tests.examples.test_examples import ROOT
from tests.side_by_side import same

PAGE = ROOT / "docs" / "coming_from.md"
X, V = np.array([1.0, 2.0, 3.0]), np.array([1.0, 0.0, -1.0])
LIBRARIES = {"JAX": "jax", "autograd": "autograd", "PyTorch": "torch"}
REPORTS = {"torch.autograd.gradcheck(f, (x,))", "f(x).grad_fn"}
"""What has no number in the other library."""


def rows(library: str, other: str = "minijvp") -> list[tuple[str, str]]:
    """The lines of the first table under the heading of a library, or of that with another one beside it."""
    section = PAGE.read_text().split(f"\n## From {library}\n")[1].split("\n## ")[0]
    table = section.split(f"| {library if other == 'minijvp' else other} | minijvp |\n|---|---|\n")[1].split("\n\n")[0]
    return [tuple(cell.strip() for cell in line.strip("|").split(" | ")) for line in table.splitlines()]  # type: ignore[misc]


def names(xp: Any, array: Any, **others: Any) -> dict[str, Any]:
    f = lambda x: xp.sum(xp.sin(x) * x)
    return {"f": f, "g": lambda x, y: f(x * y), "h": lambda x: xp.sin(x) * x, "x": array(X), "v": array(V), **others}


def of_minijvp() -> dict[str, Any]:
    return names(mnp, mnp.asarray, minijvp=minijvp, mnp=mnp)


def of_library(library: str) -> dict[str, Any]:
    if library == "JAX":
        return names(jnp, jnp.asarray, jax=jax, jnp=jnp)
    module = import_module(LIBRARIES[library])
    if library == "autograd":
        return names(import_module("autograd.numpy"), np.asarray, autograd=autograd_functions())
    import_module("torch.utils.checkpoint")
    return names(module, lambda a: module.tensor(a, requires_grad=True), torch=module)


def autograd_functions() -> SimpleNamespace:
    """With what lies in `autograd.differential_operators` and `autograd.misc` beside the others, as texts import it."""
    found = [import_module(f"autograd{part}") for part in ("", ".differential_operators", ".misc.tracers")]
    return SimpleNamespace(**{name: getattr(m, name) for m in found for name in dir(m) if not name.startswith("_")})


def run(code: str, scope: dict[str, Any]) -> Any:
    *before, last = code.split("; ")
    for statement in before:
        exec(statement, scope)
    return eval(last, scope)


def arrays(tree: Any) -> list[np.ndarray]:
    return [np.asarray(leaf.detach() if hasattr(leaf, "detach") else leaf) for leaf in jax.tree.leaves(tree)]


@pytest.mark.parametrize("library", [name for name, module in LIBRARIES.items() if find_spec(module)])
def test_both_columns_have_the_same_numbers(library: str) -> None:
    table = rows(library)
    assert len(table) >= 10
    for theirs, ours in table:
        found = run(ours.strip("`"), of_minijvp())
        assert found is not None, ours
        if theirs.strip("`") not in REPORTS:
            same(arrays(found), arrays(run(theirs.strip("`"), of_library(library))), 1e-5)


@pytest.mark.parametrize("library", LIBRARIES)
def test_our_column_runs(library: str) -> None:
    assert all(run(ours.strip("`"), of_minijvp()) is not None for _, ours in rows(library))


def test_what_is_better_runs() -> None:
    table = rows("JAX", "you want")
    assert len(table) > 8
    for _, ours in table:
        for code in re.findall(r"`([^`]+)`", ours):
            assert run(code, of_minijvp()) is not None, code
