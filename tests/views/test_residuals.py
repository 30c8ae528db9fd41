"""residual_report: the bytes that reverse mode keeps, where they come from, and what reads them."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import jax
import numpy as np
import pytest

import minijvp
import minijvp.numpy as mnp
from minijvp import residual_report

W, X = np.ones((4, 3), np.float32), np.ones((5, 4), np.float32)


def loss(params: Any, x: Any) -> Any:
    for w, b in params:
        hidden = mnp.tanh(x @ w + b)
    p = mnp.exp(hidden) / mnp.sum(mnp.exp(hidden), axis=1, keepdims=True)
    return -mnp.mean(mnp.log(p[:, 0]))


PARAMS = [(W, np.ones(3, np.float32))]


def bytes_of(pullback: Any) -> int:
    leaves = {id(x): x for x in jax.tree.leaves(pullback)}
    return sum(x.nbytes for x in leaves.values())


@pytest.mark.parametrize(
    ("fun", "args"),
    [
        (loss, (PARAMS, X)),
        (lambda x: mnp.sum(mnp.sin(x) * x), (X,)),
        (lambda x: minijvp.jit(lambda y: mnp.sum(mnp.cos(y) ** 3))(x), (X,)),
        (lambda x: minijvp.checkpoint(lambda y: mnp.sum(mnp.cos(mnp.sin(y))))(x), (X,)),
    ],
)
def test_the_total_is_what_the_pullback_holds(fun: Any, args: Any) -> None:
    _, pullback = minijvp.vjp(fun, *args)
    assert residual_report(fun, *args).total == bytes_of(pullback)


def test_rows() -> None:
    report = residual_report(loss, PARAMS, X)
    first = report.residuals[0]
    assert (first.type.shape, first.place, first.made_by, first.made_at) == ((5, 4), "input", "", None)
    assert [r.bytes for r in report.residuals] == sorted([r.bytes for r in report.residuals], reverse=True)
    by_tanh = next(r for r in report.residuals if r.made_by == "sub")
    assert by_tanh.made_at is not None
    assert by_tanh.made_at.text == "hidden = mnp.tanh(x @ w + b)"
    assert by_tanh.read_by == ("mul",)
    assert sum(report.by_line.values()) == report.total
    assert "hidden = mnp.tanh(x @ w + b)" in str(report)
    assert "residuals of loss:" in report.html()


def test_a_loop_counts_every_turn() -> None:
    def total(n: int) -> int:
        xs = np.ones((n, 3), np.float32)
        step = lambda c, x: (mnp.tanh(c * x), None)
        fun = lambda c, xs: mnp.sum(minijvp.lax.scan(step, c, xs)[0])
        return residual_report(fun, np.ones(3, np.float32), xs).total

    assert total(20) == 2 * total(10)


def test_the_picture() -> None:
    report = residual_report(loss, PARAMS, X)
    root = ElementTree.fromstring(report.svg)
    bars = list(root.iter("{http://www.w3.org/2000/svg}rect"))[1:]
    assert len(bars) == len(report.by_line)
    widths = [float(b.attrib["width"]) for b in bars]
    assert widths == sorted(widths, reverse=True)


def test_bad_input() -> None:
    with pytest.raises(minijvp.ArgumentError, match="no argument is floating"):
        residual_report(lambda n: n * 2, 3)
    with pytest.raises(minijvp.ArgumentError, match="cannot be called"):
        residual_report(3.0)
    with pytest.raises(minijvp.ArgumentError, match="not an array"):
        residual_report(lambda x: x, "x")
