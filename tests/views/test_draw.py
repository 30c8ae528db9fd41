"""Pictures of programs: what stands in them is the program, boxes keep apart, and files are well-formed."""

from __future__ import annotations

import gc
import re
import sys
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jax
import jax.numpy as jnp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minijvp
import minijvp.numpy as mnp
from minijvp import ArgumentError, lax
from minijvp.core.jaxpr import Equation, Jaxpr, Var
from minijvp.core.primitive import registry
from minijvp.views import layout
from minijvp.views.draw import draw
from minijvp.views.graph import KINDS, kind_of
from minijvp.views.layout import crossings, layered, nearest
from minijvp.views.programs import gradient_programs

ONE, X = jnp.float32(1), jnp.ones((4, 8), jnp.float32)
PARAMS = [(jnp.ones((8, 8), jnp.float32), jnp.zeros(8, jnp.float32)) for _ in range(50)]


def f(x1: Any, x2: Any, x3: Any) -> Any:
    return 6 * (x1 + x2**2 * x3)


@minijvp.custom_jvp
def ruled(x: Any) -> Any:
    return x * mnp.tanh(x)


ruled.defjvps(lambda t, out, x: 2 * t)


def everything(x: Any) -> Any:
    x = minijvp.jit(mnp.sin)(x)
    x = lax.cond(x.sum() > 0, ruled, lambda x: -x, x)
    x, sums = lax.scan(lambda c, a: (mnp.sin(c) * a, c.sum()), x, jnp.ones(7, x.dtype))
    x = lax.while_loop(lambda c: c.sum() < 10, lambda c: c * 2 + 1, x)
    return minijvp.checkpoint(lambda c: mnp.cos(mnp.sin(c)))(x).sum() + sums.sum()


def layer(w: Any, b: Any, x: Any) -> Any:
    before = x @ w + b
    return mnp.tanh(before)


def deep(params: Any, x: Any) -> Any:
    for w, b in params:
        x = layer(w, b, x)
    return mnp.mean(x**2)


def groups(picture: Any) -> list[tuple[str, str, list[str]]]:
    """Kind, hover text and lines of text of every box and arrow."""
    space = "{http://www.w3.org/2000/svg}"
    root = ElementTree.fromstring(picture.svg)
    found = [g for g in root.iter(f"{space}g") if "data-kind" in g.attrib]
    return [(g.attrib["data-kind"], g[0].text or "", [t.text or "" for t in g.findall(f"{space}text")]) for g in found]


def kinds(picture: Any) -> Counter:
    return Counter(kind for kind, _, _ in groups(picture))


def equations(jaxpr: Jaxpr) -> int:
    return sum(1 + sum(map(equations, e.programs)) for e in jaxpr)


def test_the_function_of_the_lecture() -> None:
    picture = draw(f, ONE, ONE, ONE)
    assert kinds(picture) == {"input": 3, "elementwise": 4, "edge": 7, "output": 1}
    labels = [texts for kind, _, texts in groups(picture) if kind != "edge"]
    names = ["x1", "x2", "x3", "square", "mul", "add", "mul(6.0, ·)", "out"]
    assert labels == [[name, "f32[]"] for name in names]
    square = next(title for _, title, texts in groups(picture) if texts[:1] == ["square"])
    assert square.startswith("d:f32[] = square b\nd: f32[], 4 bytes\n")
    assert square.endswith("(f): return 6 * (x1 + x2**2 * x3)") and "test_draw.py:" in square
    assert "b: f32[], 4 bytes" in [title for kind, title, _ in groups(picture) if kind == "edge"]
    # What the program is, is what is drawn: also from the jaxpr alone, whose inputs are letters.
    alone = draw(minijvp.make_jaxpr(f)(ONE, ONE, ONE))
    assert [texts[0] for kind, _, texts in groups(alone) if kind == "input"] == ["a", "b", "c"]
    assert kinds(alone) == kinds(picture)


@pytest.mark.parametrize(
    ("fun", "args"), [(f, (ONE, ONE, ONE)), (everything, (X,)), (deep, (PARAMS[:2], X)), (minijvp.nn.softmax, (X,))]
)
def test_residuals_go_across(fun: Any, args: tuple) -> None:
    programs = gradient_programs(minijvp.make_jaxpr(fun)(*args))
    pairs = [
        (v.type.bytes, e)
        for _, v in programs.residuals
        for e in (*programs.backward, programs.backward.outputs)
        if v in (e.inputs if isinstance(e, Equation) else e)
    ]
    whole = groups(draw(fun, *args, backward=True, group=None))
    drawn = [line for kind, title, _ in whole if kind == "residual" for line in title.split("\n")]
    sizes = sorted(f"{n} bytes" for n, _ in pairs)
    assert sorted(line.split(", ")[-1] for line in drawn[::2]) == sizes
    assert all("test_draw.py:" in line or line == "an argument" for line in drawn[1::2])
    n_cotangents = len(programs.cotangents)
    texts = [texts for _, _, texts in whole]
    assert sum(t[:1] == ["cotangent"] for t in texts) == n_cotangents == 1
    assert sum("gradient" in t[1] for t in texts if len(t) > 1) == len(jax.tree.leaves(args))


def test_gradients_are_named_after_their_arguments() -> None:
    whole = groups(draw(lambda x, y, i: mnp.sin(y["a"]) * i, ONE, {"a": ONE, "b": X}, 3, backward=True))
    assert [texts for kind, _, texts in whole if kind == "output"] == [["out", "f32[]"], ["y['a']", "gradient f32[]"]]


def test_inner_programs_are_folded_and_unfolded() -> None:
    jaxpr = minijvp.make_jaxpr(everything)(X)
    texts = lambda **how: [" ".join(t) for _, _, t in groups(draw(jaxpr, group=None, **how))]
    boxes = lambda **how: sum(n for k, n in kinds(draw(jaxpr, group=None, **how)).items() if k not in NOT_EQUATIONS)
    assert boxes() == len(jaxpr.equations) and boxes(unfold=True) == equations(jaxpr) == boxes(unfold=9)
    deeper = [inner for e in jaxpr for inner in e.programs]
    assert boxes(unfold=1) == len(jaxpr.equations) + sum(len(inner.equations) for inner in deeper) < equations(jaxpr)
    assert boxes(unfold="cond") == len(jaxpr.equations) + 2 and boxes(unfold=0) == boxes(unfold=False) == boxes()
    assert any("scan × 7" in t for t in texts()) and not any("while cond" in t for t in texts())
    for title in ("scan × 7", "while cond", "while body", "cond branch 0", "cond branch 1 ruled", "custom_jvp_call"):
        assert any(title in t for t in texts(unfold=True)), title
    assert kinds(draw(everything, X, unfold=True, backward=True))["residual"] > 0


def test_one_of_equal_calls_is_unfolded() -> None:
    def layers(ws: Any, x: Any) -> Any:
        for w in ws:
            y = x - mnp.mean(x, -1, keepdims=True)
            x = x + mnp.sin(y / mnp.sqrt(mnp.mean(y**2, -1, keepdims=True) + 1e-5) @ w) * mnp.cos(x)
        return mnp.sum(x**2)

    jaxpr = minijvp.make_jaxpr(minijvp.grad(layers))([X[:, :4]] * 12, X[:, :4])
    calls = [e.params["jaxpr"] for e in jaxpr if e.primitive.name == "kept_call"]
    once = {id(program): equations(program) for program in calls}
    assert (len(calls), len(once)) == (24, 4)  # the first layer has no cotangent of its input
    boxes = sum(n for k, n in kinds(draw(jaxpr, group=None, unfold=True)).items() if k not in NOT_EQUATIONS)
    assert boxes == len(jaxpr.equations) + sum(once.values())


NOT_EQUATIONS = {"edge", "residual", "input", "output", "constant"}


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("group", ["line", "function"])
def test_groups_hold_all_equations(group: str, backward: bool) -> None:
    jaxpr = minijvp.make_jaxpr(deep if backward else minijvp.grad(deep))(PARAMS, X)
    picture = draw(jaxpr, group=group, backward=backward)
    boxes = [(kind, texts) for kind, _, texts in groups(picture) if kind not in NOT_EQUATIONS]
    counts = [int(texts[1].split()[0]) if kind == "group" else 1 for kind, texts in boxes]
    whole = draw(jaxpr, group=None, backward=backward)
    assert sum(counts) == sum(n for kind, n in kinds(whole).items() if kind not in NOT_EQUATIONS) > 450
    # A box for each of the 50 calls of the layer, forward and backward; by lines, two.
    assert sum(texts[0] == "layer" for _, texts in boxes) == (0 if group == "line" else 100)
    assert len(boxes) < (215 if group == "line" else 110)


@pytest.mark.parametrize("backward", [False, True])
def test_equal_layers_are_drawn_once(backward: bool) -> None:
    picture = draw(deep, PARAMS, X, backward=backward)
    assert picture.svg.count(">repeat layer × 50<") == 1 + backward
    assert picture.svg.count(">tanh<") == 1 and sum(kinds(picture).values()) < 70
    whole = draw(deep, PARAMS, X, backward=backward, group=None)
    assert whole.svg.count(">tanh<") == 50
    # What is saved in the fold of the one program goes to that of the other.
    assert ("residual" in kinds(picture)) == backward


def test_values_have_the_names_of_the_lines_that_make_them() -> None:
    def named(x: Any) -> Any:
        hidden = mnp.sin(x) * 2
        again = mnp.cos(hidden)
        again = again * again
        pieces = mnp.split(hidden, 2)
        return again.sum() + pieces[0].sum()

    for backward in (False, True):
        boxes = [texts for kind, _, texts in groups(draw(named, X, backward=backward)) if kind == "elementwise"]
        found = [(texts[0], texts[1].partition(",")[0]) for texts in boxes if len(texts) > 1]
        assert ("mul(·, 2.0)", "hidden") in found
        assert not {"again", "pieces"} & {name for _, name in found}


def test_a_gradient_of_500_equations_is_drawn_in_time() -> None:
    gradient, params = minijvp.grad(deep), PARAMS + PARAMS[:5]
    assert len(minijvp.make_jaxpr(gradient)(params, X).equations) > 480
    gc.freeze()  # what other tests left is not looked through
    for how in ({"group": None}, {"group": "auto"}):
        start = time.thread_time()
        draw(gradient, params, X, **how)
        assert time.thread_time() - start < 3
    gc.unfreeze()
    root = ElementTree.fromstring(draw(deep, PARAMS, X, backward=True).svg)
    assert float(root.attrib["width"]) <= 1200


edges_of_graphs = st.integers(1, 14).flatmap(
    lambda n: st.tuples(
        st.lists(st.tuples(st.floats(20, 200), st.sampled_from([26.0, 40.0, 120.0])), min_size=n, max_size=n),
        st.sets(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)).filter(lambda e: e[0] < e[1]), max_size=24),
    )
)


@given(edges_of_graphs, st.booleans())
@settings(max_examples=120, deadline=None)
def test_boxes_keep_apart_and_arrows_go_down_around_them(graph: tuple, short: bool) -> None:
    sizes, edges = graph[0], sorted(graph[1])
    longest = layout.LONG
    try:
        layout.LONG = 2 if short else longest  # so that small graphs have arrows that go around
        found = layered(sizes, edges)
        assert found == layered(sizes, edges)
    finally:
        layout.LONG = longest
    boxes = [(x - w / 2, y - h / 2, x + w / 2, y + h / 2) for (x, y), (w, h) in zip(found.centres, sizes, strict=True)]
    for i, (left, top, right, bottom) in enumerate(boxes):
        assert left > -1e-6 and top > -1e-6 and right < found.width + 1e-6 and bottom < found.height + 1e-6
        for a, b, c, d in boxes[:i]:
            assert right <= a + 1e-6 or c <= left + 1e-6 or bottom <= b + 1e-6 or d <= top + 1e-6
    for (u, v), route in zip(edges, found.routes, strict=True):
        assert len(route) % 3 == 1
        assert boxes[u][3] == pytest.approx(route[0][1]) and boxes[v][1] == pytest.approx(route[-1][1])
        assert boxes[u][0] <= route[0][0] <= boxes[u][2] and boxes[v][0] <= route[-1][0] <= boxes[v][2]
        assert boxes[u][3] < boxes[v][1]
        for x, y in points_on(route):
            assert not any(a + 1 < x < c - 1 and b + 1 < y < d - 1 for a, b, c, d in boxes)


def points_on(route: list[tuple[float, float]]) -> list[tuple[float, float]]:
    found = []
    for i in range(0, len(route) - 1, 3):
        for t in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0):
            weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3)
            curve = list(zip(weights, route[i : i + 4], strict=True))
            found.append((sum(w * p[0] for w, p in curve), sum(w * p[1] for w, p in curve)))
    return found


numbers = st.lists(st.tuples(st.floats(-50, 50), st.floats(1, 20), st.floats(0.1, 5)), min_size=2, max_size=6)


@given(numbers, st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=12))
@settings(max_examples=60, deadline=None)
def test_places_are_the_nearest_and_crossings_are_counted(given: Any, arrows: Any) -> None:
    wanted, gaps, weights = ([row[i] for row in given] for i in range(3))
    found = nearest(wanted, gaps[:-1], weights)
    assert all(b - a >= gap - 1e-9 for (a, b), gap in zip(pairwise(found), gaps, strict=False))
    cost = lambda xs: sum(w * (x - y) ** 2 for w, x, y in zip(weights, xs, wanted, strict=True))
    # The optimum of a convex problem: no move of neighbours together, which keeps the gaps, is better.
    for i in range(len(found)):
        for j in range(i + 1, len(found) + 1):
            for step in (-1e-3, 1e-3):
                moved = [x + step * (i <= k < j) for k, x in enumerate(found)]
                if all(b - a >= gap - 1e-12 for (a, b), gap in zip(pairwise(moved), gaps, strict=False)):
                    assert cost(moved) >= cost(found) - 1e-9
    below = [[] for _ in range(12)]
    for u, v in arrows:
        below[u].append(6 + v)
    pairs = [(p, q) for i, p in enumerate(arrows) for q in arrows[:i]]
    assert crossings([list(range(6)), list(range(6, 12))], below) == sum(
        (p[0] - q[0]) * (p[1] - q[1]) < 0 for p, q in pairs
    )


def test_every_primitive_has_a_kind() -> None:
    kind = lambda name: kind_of(Equation(registry[name], (), {}, (), None))
    assert {kind(name) for name in registry} <= set(KINDS)
    wanted = {
        "elementwise": "sin mul select_n erf".split(),
        "contraction": "dot_general conv_general_dilated cholesky svd fft".split(),
        "reduction": "reduce_sum reduce_max argmax cumsum sort".split(),
        "movement": "reshape broadcast_in_dim slice gather scatter-add transpose concatenate pad".split(),
        "random": "random_bits random_split".split(),
        "call": "pure_callback jit scan while".split(),
    }
    assert {name: kind(name) for names in wanted.values() for name in names} == {
        name: k for k, names in wanted.items() for name in names
    }


def test_files_stand_alone(tmp_path: Path) -> None:
    picture = draw(lambda p: mnp.sin(p["<b>&\"'\x07"]) * jnp.arange(3.0), {"<b>&\"'\x07": jnp.ones(3)})
    for name in ("a.svg", "b.html"):
        picture.save(tmp_path / name)
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert picture.svg in text and picture._repr_svg_() == picture.svg in picture._repr_html_()
        assert not re.search(r"<script|<style|\bid=|href|url\(", text)
    root = ElementTree.fromstring(picture.svg)
    assert root.attrib["role"] == "img" and root.attrib["aria-label"] == "<lambda>, 2 equations" == root[0].text
    assert "constant" in kinds(picture) and "[0., 1., 2.]" in picture.svg
    assert "<picture of" in repr(picture)
    with pytest.raises(ArgumentError, match=r"suffix is '\.bmp'"):
        picture.save(tmp_path / "c.bmp")
    assert not (tmp_path / "c.bmp").exists()


def test_pictures_for_slides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = draw(lambda x: mnp.sin(x) * 2, ONE, backward=True)
    for name, start in (("a.png", b"\x89PNG"), ("a.pdf", b"%PDF")):
        picture.save(tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(start)
    size = [int.from_bytes((tmp_path / "a.png").read_bytes()[i : i + 4], "big") for i in (16, 20)]
    root = ElementTree.fromstring(picture.svg)
    assert size == [2 * int(root.attrib[name]) for name in ("width", "height")]
    minijvp.sparsity(lambda x: mnp.diff(x) ** 2)(mnp.arange(5.0)).draw().save(tmp_path / "b.png")
    minijvp.residual_report(mnp.sin, X).picture.save(tmp_path / "c.pdf")
    minijvp.remat_plan(mnp.sin, X).picture.save(str(tmp_path / "d.png"))
    monkeypatch.setitem(sys.modules, "cairosvg", None)
    with pytest.raises(minijvp.MissingPackageError, match=r"a picture as \.png needs the package 'cairosvg'"):
        picture.save(tmp_path / "e.png")


def test_programs_without_equations_keys_and_several_results() -> None:
    assert kinds(draw(lambda x: (x, 2.0), ONE)) == {"input": 1, "constant": 1, "output": 2, "edge": 2}
    assert kinds(draw(lambda x: x, ONE, backward=True)) == {"input": 2, "output": 2, "edge": 2}
    noise = lambda key, x: minijvp.random.normal(key, (3,)) * x
    assert kinds(draw(noise, jax.random.key(0), ONE, backward=True))["random"] >= 1
    v = Var(minijvp.make_jaxpr(mnp.sin)(ONE).in_types[0])
    assert kinds(draw(Jaxpr((), (v,), (), (v, v)))) == {"input": 1, "output": 2, "edge": 2}


@pytest.mark.parametrize(
    ("args", "how", "message"),
    [
        ((3.0,), {}, "draw received 3.0, which cannot be called"),
        ((minijvp.make_jaxpr(mnp.sin)(1.0), 1.0), {}, "a jaxpr and 1 arguments"),
        ((mnp.sin, "x"), {}, "not an array"),
        ((mnp.sin, 1.0), {"group": "lines"}, "group='lines'"),
        ((mnp.sin, 1.0), {"unfold": -1}, "unfold=-1"),
        ((mnp.sin, 1.0), {"unfold": None}, "unfold=None"),
        ((mnp.sin, 1.0), {"unfold": {"scann"}}, "every name is that of a primitive"),
        ((lambda i: i + 1, 1), {"backward": True}, "no floating result"),
        ((lambda x: mnp.floor(x), 1.0), {"backward": True}, "no floating result"),
    ],
)
def test_bad_input(args: tuple, how: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        draw(*args, **how)
