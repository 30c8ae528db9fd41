"""The error against the step: its two regimes, and where the automatic step lies."""

from __future__ import annotations

import math
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import minijvp
import minijvp.numpy as mnp
from minijvp import numerical


def polynomial(x):
    return 2 * x**3 - 6 * x**2 + x + 1


def slope(x, y):
    """The slope of a line through points in log-log axes."""
    return np.polyfit(np.log(x), np.log(y), 1)[0]


def test_error_falls_and_rises():
    curve = numerical.error_curve(polynomial, 2.0)
    assert curve.exact == 1.0
    assert curve.relative
    for method, order in (("forward", 1), ("central", 2)):
        c = curve.curves[method]
        rounding, truncation = c.steps < c.best / 10, (c.steps > c.best * 10) & (c.steps < 0.1)
        assert c.regimes() == sorted(c.regimes())
        assert set(c.regimes()) == {"rounding", "truncation"}
        assert -1.3 < slope(c.steps[rounding], c.typical[rounding]) < -0.7
        assert order - 0.1 < slope(c.steps[truncation], c.errors[truncation]) < order + 0.1
    assert curve.curves["complex-step"].errors[:50].max() < 2e-15  # no rounding regime
    best = [curve.curves[m].best_error for m in ("forward", "central", "richardson", "complex-step")]
    assert best == sorted(best, reverse=True)


FUNCTIONS = {
    "sin": mnp.sin,
    "cos": mnp.cos,
    "exp": mnp.exp,
    "log": mnp.log,
    "sqrt": mnp.sqrt,
    "tanh": mnp.tanh,
    "inverse": lambda x: 1 / x,
    "polynomial": polynomial,
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_automatic_steps_are_close_to_the_best(dtype):
    for f in FUNCTIONS.values():
        for x in (0.3, 1.3, 2.0) if f is mnp.tanh else (0.3, 1.3, 2.0, 5.1, 30.0):
            for c in numerical.error_curve(f, dtype(x), ("forward", "central")).curves.values():
                assert 0.1 < c.automatic / c.best < 10
                assert c.automatic_error < 10 * c.best_error


def test_table_and_picture(tmp_path, monkeypatch):
    for name in [n for n in sys.modules if n.startswith("matplotlib.pyplot")]:
        monkeypatch.delitem(sys.modules, name)  # other tests import it
    curve = numerical.error_curve(lambda x: mnp.abs(x) * x, np.float32(1.5))
    assert "the complex step gives" in curve.refused["complex-step"]
    text = str(curve)
    assert text.startswith("derivative of <lambda> at 1.5 in f32: 3\n")
    assert [line.split()[0] for line in text.splitlines()[2:]] == ["forward", "central", "richardson", "complex-step"]
    assert "| central |" in curve.table.markdown()
    for suffix in ("svg", "png"):
        curve.save(tmp_path / f"curve.{suffix}")
        assert (tmp_path / f"curve.{suffix}").stat().st_size > 10_000
    assert "<svg" in curve.svg
    assert curve._repr_svg_()
    texts = [t.get_text() for t in curve.figure().axes[0].texts]
    assert "rounding decides" in texts
    assert "truncation decides" in texts
    assert "matplotlib.pyplot" not in sys.modules
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(minijvp.MissingPackageError, match=r"minijvp\[pictures\]"):
        curve.figure()
    assert curve._repr_svg_() is None
    assert str(curve) == text


def test_functions_of_jax_and_of_numpy():
    wanted = numerical.error_curve(mnp.sin, 1.0, ("central",)).curves["central"]
    for f, exact in ((jnp.sin, None), (math.sin, math.cos(1.0)), (jax.jit(jnp.sin), None)):
        curve = numerical.error_curve(f, 1.0, ("central",), exact=exact)
        assert abs(curve.exact - math.cos(1.0)) < 1e-15
        assert 0.1 < curve.curves["central"].best_error / wanted.best_error < 10
        assert curve.curves["central"].evaluations == 2 + (f is math.sin)
    flat = numerical.error_curve(mnp.cos, 0.0, ("forward",))
    assert not flat.relative
    assert flat.exact == 0.0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: numerical.error_curve(mnp.sin, mnp.ones(3)), "Pass the function along a line"),
        (lambda: numerical.error_curve(lambda x: mnp.stack([x, x]), 1.0), "Pass the function along a line"),
        (lambda: numerical.error_curve(mnp.sin, 1j), "one real derivative"),
        (lambda: numerical.error_curve(mnp.sin, np.nan), "not finite"),
        (lambda: numerical.error_curve(mnp.sin, 1.0, ("newton",)), "The methods are"),
        (lambda: numerical.error_curve(math.sin, 1.0), r"cannot differentiate sin[\s\S]*exact="),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(minijvp.ArgumentError, match=message):
        call()
