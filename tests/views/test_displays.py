"""What programs and linear maps show of themselves, as text, in a browser and in a notebook."""

from __future__ import annotations

import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest

import minijvp
import minijvp.numpy as mnp
from minijvp import lax
from minijvp.views import displays

ONE = jnp.ones((), jnp.float32)
W, X = [jnp.full((8, 8), 0.1 + 0.01 * i, jnp.float32) for i in range(16)], jnp.ones((4, 8), jnp.float32)


def f(x1: Any, x2: Any) -> Any:
    x3 = x1 * mnp.sin(x2)
    return x3 + 1


def deep(weights: Any, x: Any) -> Any:
    for w in weights:
        z = x @ w
        x = x + mnp.tanh(z)
    return mnp.sum(x**2)


class Tags(HTMLParser):
    """Whether tags open and close in order; the text of each kind of tag, and the text outside of a style."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: dict[str, list[str]] = {}
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.setdefault(self.open[-1], []).append(data)


def test_a_program_shows_its_summary_names_and_lines() -> None:
    html = minijvp.make_jaxpr(f)(ONE, ONE)._repr_html_()
    tags, line = Tags(html), f.__code__.co_firstlineno + 1
    assert html.isascii() and len(html) < 1500 and "#fff" not in html
    assert tags.words["summary"] == ["f: 3 equations, 2 inputs (8 bytes), 1 output (4 bytes)"]
    assert tags.words["code"] == [
        "λ a:f32[] b:f32[]",
        "c:f32[] = sin b",
        "x3:f32[] = mul a c",
        "e:f32[] = add x3 1.0",
        "→ e",
    ]
    assert tags.words["td"][1] == f"test_displays.py:{line}: x3 = x1 * mnp.sin(x2)"


def test_text_in_html_is_escaped() -> None:
    program = minijvp.make_jaxpr(lambda x: mnp.where(x < 1, x, 0.0))(X)
    assert "&lt;lambda&gt;" in program._repr_html_() and "x &lt; 1" in program._repr_html_()
    pullback = minijvp.vjp(lambda x: x * x, 1.0)[1]
    assert "pullback of &lt;lambda&gt;" in pullback._repr_html_() and "<lambda>" not in pullback._repr_html_()


def test_programs_inside_open_and_equal_ones_are_shown_once() -> None:
    inner = minijvp.jit(lambda x: mnp.sin(mnp.cos(mnp.sin(mnp.cos(mnp.sin(mnp.cos(mnp.sin(mnp.cos(mnp.sin(x))))))))))
    tags = Tags(
        minijvp.make_jaxpr(lambda x: lax.scan(lambda c, r: (inner(inner(c)) * r, c), 0.5, x))(X[0])._repr_html_()
    )
    assert [s.partition(":")[0] for s in tags.words["summary"]] == ["<lambda>", "jaxpr", "jaxpr"]
    assert [s for s in tags.words["div"] if s.strip()] == [
        "jaxpr: <lambda>: 9 equations, 1 input (4 bytes), 1 output (4 bytes), as for c"
    ]


def test_a_large_program_is_cut_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(displays, "MOST", 2)
    tags = Tags(minijvp.make_jaxpr(f)(ONE, ONE)._repr_html_())
    assert tags.words["code"][-2:] == ["… and 1 more: print() shows them", "→ e"]


def test_layers_are_shown_once() -> None:
    jaxpr = minijvp.make_jaxpr(deep)(W, X)
    text = str(jaxpr)
    assert text.startswith("deep: 50 equations, 17 inputs (4.125 KiB), 1 output (4 bytes)\n{ lambda ; ")
    assert text.count("tanh") == 1 and "length=16] (q, then e) (a … p)" in text
    assert jaxpr.text(fold=False).count("tanh") == 16 and "repeat" not in jaxpr.text(fold=False)
    line = f"# test_displays.py:{deep.__code__.co_firstlineno + 2}\n"
    assert jaxpr.text(source_lines=True).count(line) == 1 and jaxpr.text(source_lines=True).count("# ") == 5
    assert jaxpr.text(source_lines=True, fold=False).count(line) == 16
    words = Tags(jaxpr._repr_html_()).words
    assert any(["z:f32[4,8] = dot_general" in code for code in words["code"]])
    assert words["summary"][1] == "jaxpr: deep: 3 equations, 2 inputs (384 bytes), 1 output (128 bytes)"


def test_linear_maps_say_what_they_are() -> None:
    loss = lambda p, x: mnp.sum(mnp.sin(x @ p["w"]) * p["b"])
    params = {"w": jnp.ones((8, 2), "float32"), "b": jnp.ones(2, "float32")}
    _, pullback = minijvp.vjp(loss, params, X)
    types = "({'b': f32[2], 'w': f32[8,2]}, f32[4,8])"
    assert repr(pullback) == f"<pullback of <lambda>: f32[] -> {types}, keeps 5 arrays, 288 bytes>"
    assert (
        repr(minijvp.linearize(mnp.cos, X)[1]) == "<pushforward of cos: f32[4,8] -> f32[4,8], keeps 1 array, 128 bytes>"
    )
    assert repr(minijvp.vjp(lambda x: x, ONE)[1]) == "<pullback of <lambda>: f32[] -> f32[], keeps nothing>"
    assert "25 arrays" not in repr(pullback) and "-> 17 arrays, 4.125 KiB, keeps" in repr(minijvp.vjp(deep, W, X)[1])
    of_object = minijvp.vjp(jax.tree_util.Partial(mnp.add, X), X)[1]
    assert repr(of_object).startswith("<pullback of a function: f32[4,8] -> f32[4,8], keeps ")
    frozen = minijvp.vjp(loss, params, X, frozen=({"w": True, "b": False}, False))[1]
    assert "f32[] -> " in repr(frozen) and Tags(frozen._repr_html_())
    codes = Tags(minijvp.vjp(mnp.sin, ONE)[1]._repr_html_()).words["code"]
    assert codes == ["λ a:f32[] b:f32[]", "c:f32[] = mul b a", "→ c"]


def test_linear_maps_leave_jit_and_are_printed_inside() -> None:
    seen = []

    def pulled(x: Any) -> Any:
        pullback = minijvp.vjp(mnp.sin, x)[1]
        seen.append(repr(pullback))
        return pullback

    out = minijvp.jit(pulled)(jnp.float32(0.0))
    assert seen == [repr(out)] == ["<pullback of sin: f32[] -> f32[], keeps 1 array, 4 bytes>"]
    assert float(out(2.0)[0]) == 2.0 and type(out) is type(minijvp.vjp(mnp.sin, 1.0)[1])


CELLS = ["""
import minijvp, minijvp.numpy as mnp
def f(x):
    y = mnp.sin(x)
    return y * float(x)
""", """
print(minijvp.make_jaxpr(lambda x: mnp.cos(x))(1.0).text(source_lines=True))
""", """
print(minijvp.reverse_trace(lambda x: mnp.exp(x), 0.0))
try:
    minijvp.jit(f)(1.0)
except minijvp.ConcretizationError as error:
    print(error.what)
print(minijvp.draw(lambda x: mnp.exp(x) * x + x, 0.0, group="line").svg)
"""]  # fmt: skip


def test_lines_of_a_notebook_have_the_number_of_their_cell(tmp_path: Path) -> None:
    program = f"""
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
for cell in {CELLS!r}:
    shell.run_cell(cell, store_history=True).raise_error()
"""
    environment = {**os.environ, "IPYTHONDIR": str(tmp_path)}
    command = [sys.executable, "-c", program]
    text = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
    assert "b:f32[]* = cos a  # Cell In[2], line 1\n" in text
    assert "Cell In[3], line 1: print(minijvp.reverse_trace" in text
    assert "used at Cell In[1], line 4 (f): return y * float(x)" in text
    assert "3 equations, Cell In[3], line 6" in text
    assert "ipython-input" not in text and "/tmp/" not in text
