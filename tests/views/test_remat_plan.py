"""remat_plan: what would be saved of a gradient, and what computed again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minijvp
import minijvp.numpy as mnp
from minijvp import remat_plan

X = np.ones((6, 8), np.float32)
W = np.ones((4, 4), np.float32)


def layer(w: Any, x: Any) -> Any:
    joined = mnp.concatenate([mnp.concatenate([w, -w], 0), mnp.concatenate([w, w], 0)], 1)
    return mnp.tanh(x @ joined)


def test_a_matrix_is_assembled_again_and_products_are_saved() -> None:
    plan = remat_plan(lambda w, x: mnp.sum(layer(w, layer(w, x)) ** 2), W, X)
    made = [r.made_by for r in plan.recomputed]
    assert made.count("concatenate") == 6
    assert "dot_general" not in made
    assert {r.made_by for r in plan.saved} <= {"tanh", "dot_general"}
    assert plan.bytes_after == sum(r.bytes for r in plan.saved) < plan.bytes_before
    assert 0 < plan.extra_time < 1
    again = next(r for r in plan.recomputed if r.made_by == "concatenate")
    assert again.made_at is not None
    assert again.made_at.text.startswith("joined = ")
    text = str(plan)
    assert text.startswith("plan for <lambda>: ")
    assert "saved" in text
    assert "<table>" in plan._repr_html_()


def test_nothing_to_choose() -> None:
    plan = remat_plan(lambda x: mnp.sum(x @ x), W)
    assert (plan.saved, plan.recomputed, plan.bytes_before, plan.bytes_after) == ((), (), 0, 0)


def test_bad_input() -> None:
    with pytest.raises(minijvp.ArgumentError, match="not an array"):
        remat_plan(lambda x: x, "x")
