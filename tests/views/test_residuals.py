"""residual_report: the bytes that reverse mode keeps, where they come from, and what reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import minijvp
import minijvp.numpy as mnp
from minijvp import lax, residual_report
from tests.views.test_remat_plan import layers

W, X = np.ones((4, 3), np.float32), np.ones((5, 4), np.float32)


def loss(params: Any, x: Any) -> Any:
    for w, b in params:
        hidden = mnp.tanh(x @ w + b)
    p = mnp.exp(hidden) / mnp.sum(mnp.exp(hidden), axis=1, keepdims=True)
    return -mnp.mean(mnp.log(p[:, 0]))


PARAMS = [(W, np.ones(3, np.float32))]


V = np.linspace(0.5, 2.0, 4, dtype=np.float32)
CONSTANT = jnp.ones((5, 4), np.float32)


@minijvp.custom_vjp
def by_vjp(x: Any) -> Any:
    return mnp.sin(x)


by_vjp.defvjp(lambda x: (mnp.sin(x), (x, mnp.cos(x))), lambda kept, ct: (ct * kept[1],))


@minijvp.custom_jvp
def by_jvp(x: Any) -> Any:
    return mnp.tanh(x)


by_jvp.defjvp(lambda primals, tangents: (mnp.tanh(*primals), tangents[0] * (1 - mnp.tanh(*primals) ** 2)))


def lstm(w: Any, xs: Any) -> Any:
    def step(c: Any, x: Any) -> Any:
        gate = mnp.tanh(c @ w + x)
        inner = 1 / (1 + mnp.exp(-gate))
        return c * inner + gate * (1 - inner), gate

    last, gates = lax.scan(step, mnp.zeros(4, np.float32), xs)
    return mnp.sum(last) + mnp.sum(gates**2)


def newton(a: Any) -> Any:
    return mnp.sum(lax.while_loop(lambda c: mnp.sum(abs(c * c - a)) > 1e-3, lambda c: (c + a / c) / 2, a))


def turns(body: Any, start: Any, xs: Any) -> Any:
    return mnp.sum(lax.scan(body, start, xs)[0])


def named(x: Any) -> Any:
    policy = minijvp.checkpoint_policies.save_only_these_names("e")
    inner = lambda y: mnp.sin(minijvp.checkpoint_name(mnp.exp(y), "e"))
    return mnp.sum(minijvp.checkpoint(inner, policy=policy)(x))


SQUARE, TWICE = np.eye(4, dtype=np.float32) * 2, minijvp.jit(lambda y: mnp.tanh(y) * mnp.cos(y))
ONES = np.ones(4, np.float32)
PROGRAMS: dict[str, tuple[Any, ...]] = {
    "network": (loss, PARAMS, X),
    "product": (lambda x: mnp.sum(mnp.sin(x) * x), X),
    "scan": (lstm, SQUARE, X),
    "while": (newton, V),
    "fori": (lambda x: mnp.sum(lax.fori_loop(0, 3, lambda i, c: mnp.sin(c) * x, x)), X),
    "while in scan": (lambda x: turns(lambda c, r: (newton(r) + mnp.sin(c), None), np.float32(0), x), X),
    "scan in jit": (minijvp.jit(lstm), SQUARE, X),
    "jit inside": (lambda x: mnp.sum(minijvp.jit(lambda y: mnp.exp(minijvp.jit(mnp.sin)(y)) * y)(x)), X),
    "jit twice": (lambda x: mnp.sum(TWICE(TWICE(x))), X),
    "custom vjp": (lambda x: mnp.sum(by_vjp(x * 2) * x), X),
    "custom jvp": (lambda x: mnp.sum(by_jvp(x * 2) * x), X),
    "custom in scan": (lambda x: turns(lambda c, r: (by_vjp(by_jvp(c)) * r, None), ONES, x), X),
    "choice": (lambda x: mnp.sum(lax.cond(mnp.sum(x) > 0, lambda x: mnp.sin(x) * x, mnp.exp, x)), X),
    "indices": (lambda x, i: mnp.sum(mnp.sin(x)[i] ** 2), X, np.array([0, 2, 2])),
    "closure": (lambda x: mnp.sum(mnp.sin(x * CONSTANT) @ SQUARE), X),
    "checkpoint": (lambda x: mnp.sum(minijvp.checkpoint(lambda y: mnp.cos(mnp.sin(y)))(x)), X),
    "checkpoint in scan": (lambda x: turns(minijvp.checkpoint(lambda c, r: (mnp.tanh(c * r), None)), ONES, x), X),
    "names": (named, X),
    "batch": (lambda w, x: mnp.sum(minijvp.vmap(lambda r: mnp.tanh(r @ w))(x)), W, X),
    "solve": (lambda w, b: mnp.sum(mnp.linalg.solve(w, b)), SQUARE, V),
    "results": (lambda x: (x, mnp.exp(x), mnp.cos(mnp.sin(x))), X),
    "numbers": (lambda x, y: x * mnp.sin(y) * 2.0, 2.0, 3.0),
    "of JAX": (minijvp.from_jax(lambda x: jnp.sum(jax.nn.gelu(x) * jnp.cumsum(x, axis=0))), X),
    "softmax": (lambda x: -mnp.mean(minijvp.nn.log_softmax(x)[:, 0]), X),
    "gradient inside": (lambda x: mnp.sum(minijvp.grad(lambda y: mnp.sum(mnp.sin(y) * y))(x) ** 2), X),
}


def held(pullback: Any) -> int:
    """The bytes in a pullback."""
    return sum({id(x): x.nbytes for x in jax.tree.leaves(pullback)}.values())


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_total_is_what_the_pullback_holds(name: str) -> None:
    fun, *args = PROGRAMS[name]
    _, pullback = minijvp.vjp(fun, *args)
    assert residual_report(fun, *args).total == held(pullback)


def line_of(text: str) -> str:
    """Where a line of this file is, as reports have it."""
    lines = Path(__file__).read_text().splitlines()
    (number,) = [i for i, line in enumerate(lines, 1) if line.strip() == text]
    return f"test_residuals.py:{number}"


def test_rows() -> None:
    report = residual_report(loss, PARAMS, X)
    first = report.residuals[0]
    assert (first.name, first.type.shape, first.place, first.made_by, first.made_at) == ("x", (5, 4), "input", "", None)
    assert [r.bytes for r in report.residuals] == sorted([r.bytes for r in report.residuals], reverse=True)
    by_tanh = next(r for r in report.residuals if r.made_by == "tanh_slope")
    ((_, wanted_at),) = by_tanh.readers
    assert by_tanh.made_at is not None
    assert wanted_at is not None
    line = "hidden = mnp.tanh(x @ w + b)"
    assert (by_tanh.made_at.text, by_tanh.read_by, wanted_at.text) == (line, ("mul",), line)
    assert sum(report.by_line.values()) == report.total
    assert f"{line_of(line)}: {line}" in report.by_line
    for text in (str(report), report.html()):
        assert f"mul at {line_of(line)}" in text
        assert "residuals of loss:" in text
    assert report.html().isascii()
    for r in report.residuals:
        assert all(source is not None for _, source in r.readers)


def test_values_of_loops_and_calls_have_their_own_lines() -> None:
    for fun, inside in ((lstm, "scan"), (minijvp.jit(lstm), "scan in jit")):
        report = residual_report(fun, SQUARE, X)
        made = {(r.made_by, r.made_at.text) for r in report.residuals if r.made_at is not None}
        assert (f"tanh in {inside}", "gate = mnp.tanh(c @ w + x)") in made
        assert (f"add in {inside}", "return c * inner + gate * (1 - inner), gate") in made  # what is carried
        (w,) = [r for r in report.residuals if r.name == "w"]
        assert w.readers[0][0] == f"dot_general in {inside}"
        assert w.readers[0][1] is not None
        assert w.readers[0][1].text == "gate = mnp.tanh(c @ w + x)"
    (kept,) = [r for r in residual_report(PROGRAMS["choice"][0], X).residuals if r.made_by == "exp in cond"]
    assert kept.read_by == ("mul in cond",)


def test_what_values_are_besides() -> None:
    report = residual_report(lambda x: (mnp.exp(x * CONSTANT), mnp.sin(x) * x), X)
    found = {(r.place, r.made_by or r.name) for r in report.residuals}
    assert found == {("constant", "a"), ("input", "x"), ("result", "exp"), ("value", "cos"), ("value", "sin")}
    assert {"arguments", "constants"} <= set(report.by_line)
    by_letter = residual_report(minijvp.make_jaxpr(lambda x: mnp.sum(x * x))(X))
    assert [(r.name, r.place) for r in by_letter.residuals] == [("a", "input")]


def test_equal_programs_keep_their_own_lines() -> None:
    def first(x: Any) -> Any:
        return mnp.sum(mnp.sin(mnp.cos(x)))

    def second(x: Any) -> Any:
        y = mnp.cos(x)
        return mnp.sum(mnp.sin(y))

    for _ in range(2):
        assert set(residual_report(first, X).by_line) == {
            f"{line_of('return mnp.sum(mnp.sin(mnp.cos(x)))')}: return mnp.sum(mnp.sin(mnp.cos(x)))"
        }
        assert len(residual_report(second, X).by_line) == 2


def test_a_loop_counts_every_turn() -> None:
    def total(n: int) -> int:
        xs = np.ones((n, 3), np.float32)
        step = lambda c, x: (mnp.tanh(c * x), None)
        fun = lambda c, xs: mnp.sum(minijvp.lax.scan(step, c, xs)[0])
        return residual_report(fun, np.ones(3, np.float32), xs).total

    assert total(20) == 2 * total(10)


def test_a_value_of_equal_calls_is_one_row() -> None:
    ws, x = [SQUARE] * 12, X
    report = residual_report(layers, ws, x)
    with minijvp.config(outline="off"):
        plain = residual_report(layers, ws, x)
    assert report.total == plain.total == held(minijvp.vjp(layers, [w + 0 for w in ws], x)[1])
    assert report.by_line == plain.by_line
    assert sum(r.times for r in report.residuals) == len(plain.residuals)
    inside = [r for r in report.residuals if r.made_by.endswith(" in kept_call")]
    assert {r.times for r in inside} == {12} and "f32[5,4] × 12" in str(report.table)
    assert {name for r in inside for name, _ in r.readers} <= {
        "mul in kept_call",
        "div in kept_call",
        "dot_general in kept_call",
    }


def test_the_picture(tmp_path: Path) -> None:
    report = residual_report(loss, PARAMS, X)
    root = ElementTree.fromstring(report.svg)
    frame, alone, besides, *bars = root.iter("{http://www.w3.org/2000/svg}rect")
    lengths: dict[str, dict[str, float]] = {}
    for bar in bars:
        row = lengths.setdefault(bar.attrib["y"], {})
        row[bar.attrib["fill"]] = float(bar.attrib["width"])
        assert float(bar.attrib["x"]) + row[bar.attrib["fill"]] < float(frame.attrib["width"])
    assert len(lengths) == len(report.by_line)
    widths = [sum(row.values()) for row in lengths.values()]
    most = max(report.by_line.values())
    expected = [max(widths) * n / most for n in report.by_line.values()]
    assert widths == pytest.approx(expected, abs=2)
    assert {alone.attrib["fill"], besides.attrib["fill"]} == {c for row in lengths.values() for c in row}
    path = tmp_path / "residuals.svg"
    report.picture.save(path)
    assert path.read_text() == report.svg
    assert report.svg.count("<title>") == 1 + len(report.by_line)


def test_the_picture_of_many_lines() -> None:
    lines = "".join([f"    x = mnp.sin(x)  # {i}\n" for i in range(60)])
    scope: dict[str, Any] = {"mnp": mnp}
    exec(compile(f"def many(x):\n{lines}    return mnp.sum(x)\n", "many_lines.py", "exec"), scope)
    report = residual_report(scope["many"], X)
    assert len(report.by_line) == 60
    assert "21 other lines" in report.svg
    assert report.svg.count("<title>") == 41


def test_bad_input() -> None:
    with pytest.raises(minijvp.ArgumentError, match="no argument is floating"):
        residual_report(lambda n: n * 2, 3)
    with pytest.raises(minijvp.ArgumentError, match="cannot be called"):
        residual_report(3.0)
    with pytest.raises(minijvp.ArgumentError, match="not an array"):
        residual_report(lambda x: x, "x")


def test_values_that_are_alike_are_one_row_of_the_table() -> None:
    def deep(weights: Any, x: Any) -> Any:
        for w in weights:
            x = mnp.tanh(x @ w)
        return x.sum()

    weights = [jnp.ones((4, 4), jnp.float32)] * 6
    report = minijvp.residual_report(deep, weights, jnp.ones((2, 4), jnp.float32))
    rows = [(row[0], row[1], row[2], row[4]) for row in report.table.rows]
    assert rows[:3] == [
        ("weights[0] … weights[5]", "f32[4,4] × 6", "384 bytes", ""),
        ("j … y", "f32[2,4] × 6", "192 bytes", "tanh_slope"),
        ("i … u", "f32[2,4] × 5", "160 bytes", "tanh"),
    ]
    assert len(rows) == 4 and len(report.residuals) == 18
    assert sum(r.bytes for r in report.residuals) == report.total
    plan = minijvp.remat_plan(deep, weights, jnp.ones((2, 4), jnp.float32), memory_budget=0.5)
    assert len(plan.table.rows) < len(plan.values) and "× 6" in str(plan)
