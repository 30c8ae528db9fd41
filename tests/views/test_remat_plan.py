"""remat_plan: what reverse mode saves and what it computes again, against the programs that it makes."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jax
import numpy as np
import pytest

import minijvp
import minijvp.numpy as mnp
from minijvp import lax, remat_plan
from minijvp.core.jaxpr import Jaxpr


def shape(*sizes: int) -> Any:
    return jax.ShapeDtypeStruct(sizes, np.float32)


def matrix(w: Any) -> Any:
    return mnp.concatenate([mnp.concatenate([w, -w], 0), mnp.concatenate([w, w], 0)], 1)


def network(w: Any, x: Any) -> Any:
    for _ in range(2):
        x = mnp.tanh(x @ matrix(w))
    return mnp.sum(x**2)


def looped(ws: Any, x: Any) -> Any:
    return mnp.sum(lax.scan(lambda x, w: (mnp.tanh(x @ matrix(w)), None), x, ws)[0] ** 2)


def nested(xs: Any) -> Any:
    turn = lambda c, x: (mnp.tanh(mnp.sin(c) * x) + mnp.exp(c), None)
    return mnp.sum(lax.scan(lambda c, x: (lax.scan(turn, c, x)[0], None), xs[0, 0], xs)[0])


def lstm(w: Any, xs: Any) -> Any:
    def step(c: Any, x: Any) -> Any:
        gate = mnp.tanh(c @ w + x)
        inner = 1 / (1 + mnp.exp(-gate))
        return c * inner + gate * (1 - inner), gate

    last, gates = lax.scan(step, xs[0], xs)
    return mnp.sum(last) + mnp.sum(gates**2)


def layers(ws: Any, x: Any) -> Any:
    for w in ws:
        centred = x - mnp.mean(x, -1, keepdims=True)
        normalized = centred / mnp.sqrt(mnp.mean(centred**2, -1, keepdims=True) + 1e-5)
        x = x + mnp.sin(normalized @ w) * mnp.cos(x)
    return mnp.sum(x**2)


def layers_in_a_scan(ws: Any, x: Any) -> Any:
    return mnp.sum(lax.scan(lambda x, t: (x * t + layers(ws, x * t), None), x, mnp.ones(3, np.float32))[0])


CONSTANT = np.ones((512, 512), np.float32)
TWICE = minijvp.jit(lambda y: mnp.exp(mnp.sin(y)) * mnp.cos(y))
SQUARE, DEEP = shape(512, 512), shape(4, 5, 256, 256)
CHAIN = (lambda x: mnp.sum(mnp.exp(mnp.sin(mnp.exp(-x * x))) ** 2), shape(1024, 512))
LAYERS = ([shape(128, 128)] * 12, shape(1024, 128))
PROGRAMS: dict[str, tuple[Any, tuple[Any, ...], Any]] = {
    "network": (network, (shape(1024, 1024), shape(32, 2048)), "auto"),
    "network, a part": (network, (shape(256, 256), shape(32, 512)), 0.7),
    "chain": (*CHAIN[:1], CHAIN[1:], "auto"),
    "chain, bytes": (*CHAIN[:1], CHAIN[1:], 2**22),
    "loop": (looped, (shape(8, 256, 256), shape(32, 512)), "auto"),
    "loop, a part": (looped, (shape(8, 256, 256), shape(32, 512)), 0.08),
    "loop in loop": (nested, (DEEP,), 0.3),
    "lstm": (lstm, (shape(256, 256), shape(50, 32, 256)), "auto"),
    "layers": (layers, LAYERS, "auto"),
    "layers, a part": (layers, LAYERS, 0.14),
    "layers, less than calls do with": (layers, LAYERS, 0.128),
    "layers in a scan": (layers_in_a_scan, LAYERS, "auto"),
    "layers in a scan, a part": (layers_in_a_scan, LAYERS, 0.1),
    "calls": (lambda x: mnp.sum(TWICE(TWICE(x))), (SQUARE,), 0.4),
    "jitted": (minijvp.jit(lambda x: mnp.sum(mnp.exp(mnp.sin(CONSTANT * x) * x))), (SQUARE,), 0.5),
    "closure": (lambda x: mnp.sum(mnp.exp(mnp.sin(x * CONSTANT) * x)), (SQUARE,), 0.5),
    "checkpoint": (lambda x: mnp.sum(minijvp.checkpoint(lambda y: mnp.cos(mnp.sin(y)))(x)), (SQUARE,), "auto"),
    "small": (lambda x: mnp.sum(mnp.sin(x)), (shape(8),), "auto"),
    "off": (*CHAIN[:1], CHAIN[1:], "off"),
}


def executed(jaxpr: Jaxpr) -> int:
    """How many equations run; a region or a call is none, and a loop runs its own in every turn."""
    total = 0
    for e in jaxpr:
        inner = e.programs if e.primitive.name in ("kept_call", "scan", "jit", "checkpoint") else ()
        total += sum(map(executed, inner)) * e.params.get("length", 1) + (e.primitive.name not in ("kept_call", "jit"))
    return total


def saved_bytes(fun: Any, args: tuple, budget: Any) -> int:
    """The bytes in the pullback of a function that is staged, without arguments and result."""
    with minijvp.config(memory_budget=budget):
        jaxpr = minijvp.make_jaxpr(lambda *args: minijvp.vjp(fun, *args))(*args)
    others = {*jaxpr.inputs, *[v for v, _ in jaxpr.constants], jaxpr.outputs[0]}
    return sum(v.type.bytes for v in set(jaxpr.outputs) - others)


def gradient(fun: Any, args: tuple, budget: Any) -> Jaxpr:
    """The program of value and gradient in all arguments."""
    with minijvp.config(memory_budget=budget):
        return minijvp.make_jaxpr(minijvp.value_and_grad(fun, argnums=tuple(range(len(args)))))(*args)


@pytest.mark.parametrize("name", PROGRAMS)
def test_what_is_shown_is_what_is_followed(name: str) -> None:
    fun, args, budget = PROGRAMS[name]
    plan = remat_plan(fun, *args, memory_budget=budget)
    followed, plain = gradient(fun, args, budget), gradient(fun, args, "off")
    assert executed(followed) - executed(plain) == plan.extra_operations
    # The bytes by the report of residuals: those that are neither arguments nor results.
    report = minijvp.residual_report(fun, *args)
    assert plan.bytes_before == sum(r.bytes for r in report.residuals if r.place == "value")
    assert plan.bytes_after == sum(v.bytes for v in plan.saved) <= plan.peak
    assert plan.bytes_after == saved_bytes(fun, args, budget)
    assert plan.bytes_after <= plan.bytes_before
    if isinstance(budget, (int, float)):
        assert plan.peak <= (budget * plan.bytes_before if budget < 1 else budget)
    changed = executed(followed) != executed(plain)
    assert bool(plan.recomputed) == bool(plan.stages or plan.inside) == (not plan.note)
    assert plan.recomputed or not changed
    names = [v.name for v in plan.values]
    assert len(set(names)) == len(names)
    assert (plan.extra_time > 0) == (plan.extra_operations > 0)


def drawn(plan: Any, **how: Any) -> list[tuple[str, str, list[str]]]:
    """Kind, hover text and lines of text of every box."""
    space = "{http://www.w3.org/2000/svg}"
    root = ElementTree.fromstring(plan.draw(**how).svg)
    found = [g for g in root.iter(f"{space}g") if g.attrib.get("data-kind", "edge") != "edge"]
    return [(g.attrib["data-kind"], g[0].text or "", [t.text or "" for t in g.findall(f"{space}text")]) for g in found]


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_picture_has_the_marks_of_the_table(name: str) -> None:
    fun, args, budget = PROGRAMS[name]
    plan = remat_plan(fun, *args, memory_budget=budget)
    boxes = drawn(plan, group=None)
    notes = {line.partition(":")[0] for _, _, lines in boxes for line in lines if re.match("saved|again|later", line)}
    by_name = {part for note in notes for part in [note] if ", " not in note}
    wanted = {f"{v.fate} {v.name}" for v in plan.values}
    # A stack that a loop saves is marked inside of it, where its name is that of the stack.
    assert by_name == wanted
    for kind, title, lines in boxes:
        if lines[2:3] and kind in ("saved", "again", "later") and title.count(" = ") == 1:
            [(fate, letter)] = re.findall(r"^(\w+) ([\w.]+):", lines[2])
            assert fate == kind
            # The letter is that of the printed program, also where the box tells it.
            assert kind == "saved" or title.startswith(f"{letter.rpartition('.')[2]}:")


def test_choices_are_opened() -> None:
    fun = lambda x: mnp.sum(lax.cond(mnp.sum(x) > 0, lambda x: mnp.exp(mnp.sin(x) * x), lambda x: mnp.tanh(x) * x, x))
    plan = remat_plan(fun, SQUARE, memory_budget=0.5)
    assert plan.bytes_after <= plan.bytes_before / 2
    made = {(v.name.rpartition(".")[0][-2:], v.made_by) for v in plan.recomputed}
    assert {(".0", "tanh in cond"), (".1", "sin in cond")} <= made
    titles = [title for _, title, _ in drawn(plan)]
    assert sum(" = cos " in title for title in titles) == 1  # which only the backward pass computes
    # A result is saved: it is one of the branches all the same.
    kinds = Counter(kind for kind, _, _ in drawn(plan))
    assert (kinds["output"], kinds["saved"] >= 2) == (3, True)


def test_rows_and_regions() -> None:
    plan = remat_plan(*PROGRAMS["network"][0:1], *PROGRAMS["network"][1])
    made = Counter(v.made_by for v in plan.recomputed)
    assert made["concatenate"] == 6
    assert "dot_general" not in made
    assert {v.made_by for v in plan.saved} <= {"tanh", "dot_general"}
    again = next(v for v in plan.recomputed if v.made_by == "concatenate")
    assert (again.fate, again.line.partition(": ")[2][:9]) == ("again", "return mn")
    assert {v.made_by for v in plan.recomputed if v.fate == "later"} >= {"mul", "one_minus_square"}
    assert plan.peak == max(s.saved + s.computed for s in plan.stages)
    assert [s.saved for s in plan.stages] == sorted([s.saved for s in plan.stages], reverse=True)
    assert all(s.lines.startswith("test_remat_plan.py:") for s in plan.stages)
    text = str(plan)
    assert text.startswith(f"plan for network: {plan.bytes_before / 2**20:.4g} MiB become ")
    assert f"{plan.extra_operations} more operations" in text
    assert "the backward pass, region by region" in text


def test_loops_are_planned_by_themselves() -> None:
    plan = remat_plan(looped, *PROGRAMS["loop"][1])
    (inside,) = plan.inside
    assert (inside.times, len(inside.again), plan.stages) == (8, 4, ())
    assert inside.name.startswith("scan at test_remat_plan.py:")
    assert {v.type.shape[0] for v in plan.values if v.made_by.endswith(" in scan")} == {8}
    assert next(v.made_by for v in plan.saved) == "tanh in scan"
    boxes = drawn(plan)
    assert sum(kind == "again" for kind, _, _ in boxes) == 4
    # What is carried into a turn is saved; the box of that is an input of the body.
    assert any(kind == "saved" and " = " not in title for kind, title, _ in boxes)


def test_a_value_of_equal_calls_is_one_row() -> None:
    plan = remat_plan(layers, *LAYERS)
    (inside,) = plan.inside
    assert inside.times == 12 and f"{len(inside.again)} equations, in each of 12 calls" in str(plan)
    assert {(v.times, v.made_by) for v in plan.saved} == {
        (11, "add in kept_call"),
        (12, "sqrt in kept_call"),
        (1, "mul"),
    }
    assert {v.times for v in plan.recomputed} == {12}
    assert plan.saved[0].bytes == 11 * 2**19 and "f32[1024,128] × 11" in str(plan.table)
    assert {v.line.partition(": ")[2][:9] for v in plan.values} == {"centred =", "normalize", "x = x + m", "return mn"}
    # One layer is open, and the eleven others are boxes that say what of them is saved.
    labels = Counter(lines[0] for _, _, lines in drawn(plan, group=None) if lines)
    assert (labels["kept_call layers"], labels["sqrt"]) == (12, 1)
    with minijvp.config(outline="off"):
        plain = remat_plan(layers, *LAYERS)
    assert {v.times for v in plain.values} == {1} and "kept_call" not in str(plain)
    assert plain.bytes_before == plan.bytes_before


def test_the_budget_in_force_holds() -> None:
    fun, args = PROGRAMS["chain"][:2]
    assert remat_plan(fun, *args).budget == "auto"
    with minijvp.config(memory_budget=0.5):
        plan = remat_plan(fun, *args)
    assert (plan.budget, plan.peak <= plan.bytes_before / 2) == (0.5, True)
    off = remat_plan(fun, *args, memory_budget="off")
    assert off.note == "memory_budget='off': nothing is computed again."
    assert (off.bytes_after, off.recomputed, off.extra_time, off.extra_operations) == (off.bytes_before, (), 0.0, 0)
    small = remat_plan(*[PROGRAMS["small"][0], *PROGRAMS["small"][1]])
    assert "less than 8 MiB" in small.note and small.note in str(small)
    alone = remat_plan(lambda x: mnp.sum(mnp.exp(x) @ x), shape(2048, 2048))
    assert "leaves this alone" in alone.note
    # All floating arguments count, and those of a jaxpr too.
    assert str(remat_plan(minijvp.make_jaxpr(fun)(*args), memory_budget=0.5)) == str(plan)


def test_files_and_notebooks(tmp_path: Path) -> None:
    fun, args, _ = PROGRAMS["network"]
    plan = remat_plan(fun, *args)
    plan.picture.save(tmp_path / "plan.svg")
    assert (tmp_path / "plan.svg").read_text(encoding="utf-8") == plan.svg
    assert plan._repr_html_() == plan.html() and plan.html().isascii()
    root = ElementTree.fromstring(plan.svg)
    assert root.attrib["aria-label"] == plan.title
    legend = {"saved for the backward pass", "computed again in it", "computed in it only"}
    assert legend <= {t.text for t in root.iter("{http://www.w3.org/2000/svg}text")}
    # Grouped by lines, a box says what it saves and what it computes again, in all.
    grouped = drawn(plan, group="line")
    sizes = [line for _, _, lines in grouped for line in lines if line.startswith(("saved", "again", "later"))]
    assert any(line.startswith("again ") and ", " in line for line in sizes)
    assert len(grouped) < len(drawn(plan, group=None))


def test_bad_input() -> None:
    with pytest.raises(minijvp.ArgumentError, match="not an array"):
        remat_plan(lambda x: x, "x")
    with pytest.raises(minijvp.ArgumentError, match="no argument is floating"):
        remat_plan(lambda n: n * 2, 3)
    with pytest.raises(minijvp.ArgumentError, match="remat_plan received memory_budget=-1"):
        remat_plan(mnp.sin, 1.0, memory_budget=-1)
    with pytest.raises(
        minijvp.ArgumentError, match=r"memory_budget=1000 is too small for network.*cannot do with less"
    ):
        remat_plan(network, *PROGRAMS["network"][1], memory_budget=1000)
    with pytest.raises(minijvp.ArgumentError, match="group='lines'"):
        remat_plan(mnp.sin, 1.0).draw(group="lines")
