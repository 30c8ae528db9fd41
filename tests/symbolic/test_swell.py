"""Expression swell: counts derived by hand, growth, the picture, and bad input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import minijvp
import minijvp.numpy as mnp
from minijvp import symbolic


def logistic(x: Any) -> Any:
    return 4 * x * (1 - x)


def test_counts_by_hand() -> None:
    """(4x(1-x))' = 4 - 8x and (sin x sin 2x)' = 2 sin x cos 2x + sin 2x cos x."""
    one = symbolic.expression_swell(logistic, 1)
    assert (one.function, one.raw, one.simplified, one.shared) == ((3,), (2,), (2,), (2,))

    def factor(x: Any, i: int) -> Any:
        return mnp.sin(i * x)

    two = symbolic.expression_swell(factor, 2, repeat=symbolic.product)
    # cos x: 1 operation; then 4 sines and cosines, 3 products, 2x twice, a sum; 2x is shared.
    assert two.raw == (1, 10) and two.shared == (1, 9)
    assert two.function == (1, 4)


def test_iterated_logistic_map() -> None:
    swell = symbolic.expression_swell(logistic, 7)
    ratios = [b / a for a, b in zip(swell.raw[2:], swell.raw[3:], strict=False)]
    assert min(ratios) > 2  # exponential
    assert swell.simplified[:5] == (2, 8, 20, 44, 92) and swell.simplified[5:] == (None, None)
    assert len(set(map(int.__sub__, swell.equations[1:], swell.equations[:-1]))) == 1  # linear
    for counts in (swell.function, swell.raw, swell.shared, swell.equations):
        assert list(counts) == sorted(counts)
    assert swell.raw[-1] > 40 * swell.shared[-1] > 40 * swell.equations[-1]


def test_other_repetitions() -> None:
    repeat = lambda f, k: lambda x: sum(f(x / i) for i in range(1, k + 1))
    swell = symbolic.expression_swell(mnp.sin, 3, repeat=repeat)
    assert len(swell.raw) == 3 and swell.name == "sin"
    assert symbolic.nested(lambda x: x + 2, 3)(1) == 7 and symbolic.product(lambda x, i: x * i, 3)(1) == 6
    inside = symbolic.expression_swell(minijvp.jit(logistic), 2)
    assert inside.raw == (2, 21) and inside.equations[1] > 8


def test_table_and_picture(tmp_path: Path) -> None:
    swell = symbolic.expression_swell(logistic, 6)
    lines = str(swell.table).splitlines()
    assert lines[0] == "operations of the derivative of logistic, repeated"
    assert lines[-1].split() == ["6", "158", "2,096", "too", "large", "93", "48"]
    swell.save(tmp_path / "swell.svg")
    swell.save(tmp_path / "swell.png")
    assert (tmp_path / "swell.png").read_bytes().startswith(b"\x89PNG")
    texts = [t.get_text() for t in swell.figure().axes[0].texts]
    assert "symbolic derivative: 2,096" in texts and "automatic: equations of grad: 48" in texts
    assert "simplified, as far as k = 5: 92" in texts
    symbolic.expression_swell(logistic, 1).figure()


def test_bad_input(monkeypatch: pytest.MonkeyPatch) -> None:
    def says(text: str, *args: Any, **kwargs: Any) -> None:
        with pytest.raises(minijvp.ArgumentError, match=text):
            symbolic.expression_swell(*args, **kwargs)

    for n in (0, -1, 2.0, True):
        says("number of repetitions", logistic, n)
    says("cannot be called", 3.0, 2)
    says("functions of one real floating scalar", logistic, 2, x=mnp.ones(3))
    says("functions of one real floating scalar", logistic, 2, x=1)
    says("functions of one real floating scalar", lambda x: (x, x), 1)
    monkeypatch.setattr("minijvp.symbolic.swell.MAX_OPERATIONS", 50)
    says("repeated 3 times, has 82 operations", logistic, 4)
    with pytest.raises(minijvp.MissingRuleError, match="no closed form"):
        symbolic.expression_swell(lambda x: minijvp.lax.fori_loop(0, 3, lambda i, y: y * x, x), 2)
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(minijvp.MissingPackageError, match="pictures"):
        symbolic.expression_swell(logistic, 1).figure()
