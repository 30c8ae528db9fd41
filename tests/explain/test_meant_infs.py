"""An inf that the program has as a number is no finding; what else is inf beside it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minijvp
import minijvp.numpy as mnp
from minijvp import explain_nan, lax
from minijvp.errors import NonFiniteError

X = np.array([1.0, 200.0, 0.0], np.float32)

MEANT: dict[str, Callable[[Any], Any]] = {
    "mask": lambda x: mnp.where(x < 2, -mnp.inf, x),
    "array": lambda x: mnp.concatenate([mnp.array([mnp.inf]), x]),
    "sum": lambda x: mnp.sort(x + mnp.inf),
    "full": lambda x: (mnp.full((2,), mnp.inf), x),
    "result": lambda x: (mnp.array(mnp.inf), x),
    "scan": lambda x: lax.scan(lambda c, r: (mnp.maximum(c, r), c), -mnp.inf, x),
    "while": lambda x: lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, c[1] + x[0]), (0, mnp.inf)),
    "cond": lambda x: lax.cond(x[0] > 0, lambda x: mnp.where(x < 2, -mnp.inf, x), lambda x: x, x),
    "empty": lambda x: mnp.max(x[:0], initial=-mnp.inf),
    "window": lambda x: lax.reduce_window(x, -mnp.inf, lax.max, (2,), (3,), ((2, 2),)),
}

MADE: dict[str, tuple[Callable[[Any], Any], str, tuple[int, ...]]] = {
    "mask": (lambda x: mnp.where(x < 2, -mnp.inf, mnp.exp(x)), "exp", (1,)),
    "same sign": (lambda x: mnp.where(x < 2, -mnp.inf, mnp.log(x - 200)), "log", (1,)),
    "scan": (lambda x: lax.scan(lambda c, r: (mnp.maximum(c, r), (c, mnp.exp(r))), -mnp.inf, x), "exp", ()),
    "cond": (
        lambda x: lax.cond(x[0] > 0, lambda x: mnp.where(x < 2, -mnp.inf, mnp.exp(x)), lambda x: x, x),
        "exp",
        (1,),
    ),
}


@pytest.mark.parametrize("transformed", [lambda f: f, minijvp.jit], ids=["plain", "jit"])
@pytest.mark.parametrize("name", MEANT)
def test_an_inf_of_the_program_is_no_finding(name: str, transformed: Any) -> None:
    report = explain_nan(transformed(MEANT[name]))(X)
    assert not report
    assert report.is_meant
    assert "a number that the program has" in str(report)
    with minijvp.config(check_nans=True):
        minijvp.jit(MEANT[name])(X)


@pytest.mark.parametrize("transformed", [lambda f: f, minijvp.jit], ids=["plain", "jit"])
@pytest.mark.parametrize("name", MADE)
def test_what_is_made_beside_it_is(name: str, transformed: Any) -> None:
    fun, primitive, index = MADE[name]
    report = explain_nan(transformed(fun))(X)
    assert (report.kind, report.place, report.primitive, report.index) == ("inf", "operation", primitive, index)
    with minijvp.config(check_nans=True), pytest.raises(NonFiniteError, match=f"{primitive}, in the forward pass"):
        minijvp.jit(fun)(X)


def test_arguments_and_nans_are_findings() -> None:
    report = explain_nan(MEANT["mask"])(np.array([1.0, np.inf], np.float32))
    assert (report.place, report.kind, report.name, report.index) == ("argument", "inf", "x", (1,))
    report = explain_nan(lambda x: mnp.where(x > 2, mnp.nan, mnp.inf))(X)
    assert (report.place, report.kind) == ("constant", "nan")
    report = explain_nan(lambda x: mnp.where(x < 2, -mnp.inf, x) * 0)(X)
    assert (report.place, report.kind, report.primitive) == ("operation", "nan", "mul")
    assert not explain_nan(MEANT["mask"], kinds="nan")(X).is_meant
