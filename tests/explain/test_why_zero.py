"""why_zero: each operation that cuts a derivative, by its line, in every place where it may stand."""

from __future__ import annotations

import gc
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import minijvp
import minijvp.numpy as mnp
from minijvp import ArgumentError, lax, why_zero
from minijvp.core.primitive import registry
from minijvp.core.tracing import live_traces, state
from minijvp.explain.tape import MOST_TURNS
from minijvp.settings import config

TABLE = jnp.array([1.0, 2.0, 3.0, 4.0])
X = jnp.array([0.5, -1.5, 2.5])


@minijvp.custom_jvp
def ruled(x: Any) -> Any:
    return mnp.sin(x)


ruled.defjvp(lambda primals, tangents: (mnp.sin(*primals), tangents[0] * 0.0))


@minijvp.custom_vjp
def by_vjp(x: Any) -> Any:
    return mnp.sin(x)


by_vjp.defvjp(lambda x: (mnp.sin(x), None), lambda _, ct: (None,))


# Each gives one number of a number; the line that cuts is marked.

CUTS: dict[str, tuple[Callable[[Any], Any], float, str, str, str]] = {
    "stop_gradient": (lambda x: minijvp.stop_gradient(x), 1.5, "structure", "stop_gradient", "hand on no derivative"),
    "to-integer": (lambda x: x.astype(int) * 2.0, 1.5, "structure", "convert_element_type", "integers and booleans"),
    "to-boolean": (lambda x: x.astype(bool) * 2.0, 1.5, "structure", "ne", "comparison"),
    "index": (
        lambda x: mnp.asarray(TABLE)[x.astype(int)],
        1.5,
        "structure",
        "convert_element_type",
        "integers and booleans",
    ),
    "argmax": (lambda x: mnp.argmax(x * TABLE) * 1.0, 1.5, "structure", "argmax", "place of an element"),
    "argsort": (lambda x: mnp.argsort(x * TABLE)[0] * 1.0, 1.5, "structure", "sort", "place of an element"),
    "comparison": (lambda x: mnp.where(x > 1, 2.0, 3.0), 1.5, "structure", "gt", "comparison"),
    "round": (lambda x: mnp.round(x), 1.4, "structure", "round", "between its jumps"),
    "floor": (lambda x: mnp.floor(x), 1.4, "structure", "floor", "between its jumps"),
    "ceil": (lambda x: mnp.ceil(x), 1.4, "structure", "ceil", "between its jumps"),
    "untaken": (lambda x: lax.select(jnp.array(False), x, 2.0 + 0 * TABLE[0]), 1.5, "value", "select_n", "other case"),
    "slice": (lambda x: mnp.stack([x, 3.0])[1], 1.5, "value", "slice", "other elements"),
    "gather": (lambda x: mnp.stack([x, 3.0])[jnp.array([1, 1])].sum(), 1.5, "value", "gather", "other elements"),
    "written-over": (
        lambda x: mnp.stack([x, x]).at[jnp.array([0, 1])].set(3.0).sum(),
        1.5,
        "value",
        "scatter",
        "written over",
    ),
    "times-zero": (lambda x: x * 0.0, 1.5, "value", "mul", "multiplied by zero"),
    "matrix-of-zeros": (lambda x: (x * TABLE) @ mnp.zeros(4), 1.5, "value", "dot_general", "multiplied by zero"),
    "maximum": (lambda x: mnp.maximum(x, 0.0), -1.5, "value", "max", "another operand"),
    "clip": (lambda x: lax.clamp(0.0, x, 1.0), 1.5, "value", "clamp", "outside of the bounds"),
    "relu": (lambda x: minijvp.nn.relu(x), -1.5, "value", "custom_jvp_call", "relu is flat at -1.5"),
    "saturated-tanh": (lambda x: mnp.tanh(x), 400.0, "value", "tanh", "flat at 400"),
    "saturated-exp": (lambda x: mnp.exp(x), -1000.0, "value", "exp", "flat at -1000"),
    "saturated-sigmoid": (lambda x: minijvp.nn.sigmoid(x), -800.0, "value", "logistic", "flat at -800"),
    "stationary": (lambda x: x**2, 0.0, "value", "square", "its derivative is zero at 0"),
    "float": (lambda x: float(x) * mnp.ones(()), 1.5, "structure", "", "does not depend on the argument any more"),
    "item": (lambda x: x.item() * mnp.ones(()), 1.5, "structure", "", "does not depend on the argument any more"),
    "int": (lambda x: int(x) * mnp.ones(()), 1.5, "structure", "", "does not depend on the argument any more"),
    "numpy": (lambda x: mnp.asarray(np.asarray(x)) * 2.0, 1.5, "structure", "", "does not depend on the argument"),
    "bool": (lambda x: mnp.ones(()) if x else mnp.zeros(()), 1.5, "structure", "", "Python decides by it"),
    "rule-of-zeros": (ruled, 1.5, "value", "custom_jvp_call", "ruled is flat at 1.5: its rule gives zero"),
    "rule-of-none": (by_vjp, 1.5, "structure", "custom_jvp_call", "the rule of by_vjp gives no derivative"),
    "cancels": (lambda x: x - x, 1.5, "value", "sub", "adds up to zero"),
    "underflow": (lambda x: (x * 1e-200) * 1e-200, 1.5, "value", "mul", "too small for the dtype"),
}


@pytest.mark.parametrize(("fun", "x", "kind", "primitive", "reason"), CUTS.values(), ids=CUTS)
def test_each_cut_is_found(fun: Any, x: float, kind: str, primitive: str, reason: str) -> None:
    report = why_zero(fun)(x)
    assert report
    (leaf,) = report.leaves
    assert leaf.kind == kind and not report.partly
    assert (leaf.cuts[0].primitive, reason in leaf.cuts[0].reason) == (primitive, True)
    assert leaf.cuts[0].do
    assert all(text in str(report) for text in (leaf.name, leaf.cuts[0].reason, leaf.cuts[0].do))
    if not isinstance(fun, type(ruled)) and fun is not by_vjp:
        assert leaf.cuts[0].source is not None
        assert leaf.cuts[0].source.file == __file__
    if kind == "value" or primitive:
        assert float(jax.grad(lambda x: minijvp.to_jax(fun)(x))(x)) == 0.0


STAGED = {name: case for name, case in CUTS.items() if name not in ("float", "item", "int", "numpy", "bool")}


def in_jit(fun: Any) -> Any:
    return minijvp.jit(fun)


def in_checkpoint(fun: Any) -> Any:
    return minijvp.checkpoint(fun)


def in_scan(fun: Any) -> Any:
    return lambda x: lax.scan(lambda c, k: (c + k * fun(x), fun(x)), 0.0, jnp.arange(3.0))[0]


def in_carry(fun: Any) -> Any:
    return lambda x: lax.scan(lambda c, k: (c, fun(c)), x, None, length=3)[1].sum()


def in_cond(fun: Any) -> Any:
    return lambda x: lax.cond(jnp.array(True), fun, lambda x: 1.0 * x, x)


def in_while(fun: Any) -> Any:
    return lambda x: lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, c[1], fun(c[1])), (0, x, 0.0 * x))[2]


def in_vmap(fun: Any) -> Any:
    return lambda x: minijvp.vmap(fun)(x * mnp.ones(3)).sum()


def in_vmap_of_cond(fun: Any) -> Any:
    where = jnp.array([True, False, True])
    return lambda x: minijvp.vmap(lambda w, x: lax.cond(w, fun, fun, x))(where, x * mnp.ones(3)).sum()


def in_gradient(fun: Any) -> Any:
    return lambda x: minijvp.grad(lambda y: y * fun(x))(2.0)


PLACES = {
    f.__name__: (f, names)
    for f, names in (
        (in_jit, ("jit",)),
        (in_checkpoint, ("checkpoint",)),
        (in_scan, ("scan",)),
        (in_carry, ("scan",)),
        (in_cond, ("branch 1 of cond",)),
        (in_while, ("while",)),
        (in_vmap, ()),
        (in_vmap_of_cond, ()),
        (in_gradient, ()),
    )
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(("fun", "x", "kind", "primitive", "reason"), STAGED.values(), ids=STAGED)
def test_each_cut_is_found_in_each_place(
    fun: Any, x: float, kind: str, primitive: str, reason: str, place: str
) -> None:
    around, names = PLACES[place]
    (leaf,) = why_zero(around(fun))(x).leaves
    found = [cut for cut in leaf.cuts if cut.primitive == primitive and reason.split(" at ")[0] in cut.reason]
    assert found, str(leaf)
    for cut, name in zip(found, names, strict=False):
        assert any(part.startswith(name) for part in cut.path), cut


OF_JAX: dict[str, tuple[Callable[[Any], Any], float, str]] = {
    "stop_gradient": (lambda x: jax.lax.stop_gradient(x), 1.5, "stop_gradient"),
    "index": (lambda x: TABLE[x.astype(int)], 1.5, "convert_element_type"),
    "argmax": (lambda x: jnp.argmax(x * TABLE) * 1.0, 1.5, "argmax"),
    "where": (lambda x: jnp.where(x > 0, x, 0.0), -1.5, "select_n"),
    "round": (lambda x: jnp.round(x), 1.4, "round"),
    "maximum": (lambda x: jnp.maximum(x, 0.0), -1.5, "max"),
    "clip": (lambda x: jnp.clip(x, 0.0, 1.0), 1.5, "min"),
    "relu": (lambda x: jax.nn.relu(x), -1.5, "custom_jvp_call"),
    "tanh": (lambda x: jnp.tanh(x), 400.0, "tanh"),
    "scan": (lambda x: jax.lax.scan(lambda c, _: (jnp.floor(c), None), x, length=3)[0], 1.5, "floor"),
    "cond": (lambda x: jax.lax.cond(x > 1, jnp.round, jnp.sin, x), 1.5, "round"),
    "jit-of-vmap": (lambda x: jax.jit(jax.vmap(jnp.sign))(x * TABLE).sum(), 1.5, "sign"),
}


@pytest.mark.parametrize(("fun", "x", "primitive"), OF_JAX.values(), ids=OF_JAX)
def test_functions_of_jax(fun: Any, x: float, primitive: str) -> None:
    (leaf,) = why_zero(minijvp.from_jax(fun))(x).leaves
    cut = next(cut for cut in leaf.cuts if cut.primitive == primitive)
    assert cut.source is not None and cut.source.file == __file__
    assert float(jax.grad(fun)(x)) == 0.0


# What is zero, and in how many elements, is what JAX finds.


def loop_with_a_mask(x: Any, np: Any = mnp, api: Any = minijvp) -> Any:
    def step(c: Any, row: Any) -> tuple[Any, Any]:
        c = np.where(row > 1.0, c * row, np.maximum(c, row))
        return c, c[:2] * row[1]

    c, ys = api.lax.scan(step, x[0], np.concatenate([x, 2 * x, x * x]), reverse=True)
    return c[1:].sum() + ys[1:].sum()


def nested(x: Any, np: Any = mnp, api: Any = minijvp) -> Any:
    def inner(c: Any) -> Any:
        return api.lax.cond(c[0] < 1, lambda c: np.round(c) + c[1], lambda c: np.sin(c) * c[2], c)

    c = api.lax.fori_loop(0, 3, lambda i, c: inner(c) * np.asarray(TABLE)[i], x[1])
    return (c[0] * api.lax.stop_gradient(x[0, 1]) + c[2]) * x[2, 0]


def lanes(x: Any, np: Any = mnp, api: Any = minijvp) -> Any:
    def lane(row: Any) -> Any:
        return api.lax.cond(row[0] > 0.5, lambda r: r[1] * 2, lambda r: np.floor(r[2]) + r[0], row)

    return api.vmap(lane)(x).sum()


def places(x: Any, np: Any = mnp, api: Any = minijvp) -> Any:
    y = x.at[1, 0].set(3.0).at[0].multiply(np.asarray(X))
    return np.sort(y[:, 0])[0] + y.max() + (np.clip(y, -1, 1)[1:] * np.asarray([0.0, 1.0, 2.0])).sum()


def turns(x: Any, np: Any = mnp, api: Any = minijvp) -> Any:
    length = 3 * MOST_TURNS

    def step(c: Any, k: Any) -> tuple[Any, Any]:
        return np.tanh(c) * x[2] + k, c[1] * np.floor(k)

    c, ys = api.lax.scan(step, x[0], np.linspace(0.0, 1.0, length), reverse=True)
    return c[0] + ys.sum()


PROGRAMS = [loop_with_a_mask, nested, lanes, places, turns]


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("seed", range(4))
def test_the_elements_are_those_that_jax_finds(program: Any, seed: int) -> None:
    x = jnp.asarray(np.random.default_rng(seed).normal(size=(3, 3)))
    gradient = jax.grad(lambda x: program(x, jnp, jax))(x)
    zeros = int((gradient == 0).sum())
    for fun in (program, minijvp.jit(program)):
        report = why_zero(fun)(x)
        found = [leaf.zeros for leaf in (*report.leaves, *report.partly)]
        assert found == [zeros] * (zeros > 0)
        assert bool(report) == (zeros == x.size)
        cut = max([cut.elements for leaf in report.partly for cut in leaf.cuts], default=0)
        assert cut <= max(zeros, 3)
        if report.partly:
            assert report.partly[0].cuts, str(report)


def test_a_loop_of_many_turns_is_looked_at_in_its_first_ones() -> None:
    for n in (MOST_TURNS, MOST_TURNS + 1, 5000):
        (leaf,) = why_zero(lambda x, n=n: lax.scan(lambda c, _: (c, mnp.round(c)), x, None, length=n)[1].sum())(
            1.5
        ).leaves
        first = leaf.cuts[0]
        assert (first.primitive, first.path, first.turns) == ("round", ("scan",), tuple(range(MOST_TURNS)))
        assert "in scan (turns 0, 1, 2 and 61 more)" in str(leaf)
        assert [cut.primitive for cut in leaf.cuts] == ["round"] + ["scan"] * (n > MOST_TURNS)
    down = lambda x: lax.while_loop(lambda c: c[1] < 1000, lambda c: (c[0] * 1.0, c[1] + 1), (x, 0))[0]
    assert not why_zero(down)(1.5)
    (leaf,) = why_zero(lambda x: down(x) * 0.0)(1.5).leaves
    assert [cut.primitive for cut in leaf.cuts] == ["mul"]


# Order, leaves and the report


def test_cuts_are_ordered_by_closeness_to_the_argument() -> None:
    def f(p: Any) -> Any:
        a = mnp.sin(p["x"])
        b = minijvp.stop_gradient(mnp.cos(a) * 2) + mnp.round(a)
        return b + mnp.sign(p["x"])

    (leaf,) = why_zero(f)({"x": 0.7}).leaves
    assert [(cut.primitive, cut.distance) for cut in leaf.cuts] == [("sign", 1), ("round", 2), ("stop_gradient", 4)]
    lines = [cut.source.text for cut in leaf.cuts if cut.source]
    assert lines[0] == 'return b + mnp.sign(p["x"])'
    assert lines[1] == lines[2] == "b = minijvp.stop_gradient(mnp.cos(a) * 2) + mnp.round(a)"
    assert {cut.source.function for cut in leaf.cuts if cut.source} == {"f"}


def test_further_cuts_on_a_path_follow_the_first() -> None:
    cuts = lambda fun, x: [cut.primitive for cut in why_zero(fun)(x).leaves[0].cuts]
    assert cuts(lambda x: mnp.round(mnp.floor(x)) * 0.0, 1.5) == ["floor"]  # behind it there is nothing to cut
    assert cuts(lambda x: mnp.floor(0.0 * x), 1.5) == ["mul", "floor"]
    assert cuts(lambda x: mnp.sin(mnp.maximum(x, 0.0)) * 0.0, -1.5) == ["max", "mul"]
    assert cuts(lambda x: float(0.0 * x) * mnp.ones(()), 1.5) == ["mul", ""]


def test_what_is_cut_by_structure_is_not_told_of_single_elements() -> None:
    (leaf,) = why_zero(lambda x: mnp.round(x * jnp.array([0.0, 1.0])).sum())(X[:2]).leaves
    assert [cut.primitive for cut in leaf.cuts] == ["round"]


def test_what_only_an_index_depends_on_is_no_cut() -> None:
    def f(x: Any, t: Any) -> Any:
        row = t[x.astype(int)]
        by_index = mnp.sum(row * 0.0)
        return by_index + 0.0 * mnp.sin(x)

    report = why_zero(f, argnums=(0, 1))(1.0, jnp.ones((3, 2)))
    texts = [cut.source.text for cut in report["x"].cuts if cut.source]
    assert texts == ["row = t[x.astype(int)]", "return by_index + 0.0 * mnp.sin(x)"]
    assert [cut.primitive for cut in report["t"].cuts] == ["dynamic_slice", "mul"]


def test_leaves_have_the_names_that_errors_have() -> None:
    def f(params: Any, x: Any, *, scale: Any) -> Any:
        return params["w"] * minijvp.stop_gradient(x["t"][1]) + 0.0 * scale + params["n"]

    report = why_zero(f, argnums=(0, 1, "scale"))({"w": 2.0, "n": 3}, {"t": (None, 1.0, 4.0)}, scale=5.0)
    assert (report.n_leaves, report.function) == (5, "f")
    kinds = {leaf.name: leaf.kind for leaf in report.leaves}
    assert kinds == {"params['n']": "structure", "x['t'][1]": "structure", "x['t'][2]": "structure", "scale": "value"}
    assert report["params['n']"].cuts[0].reason == "integers and booleans have no derivative"
    assert report["x['t'][2]"].cuts == ()
    assert "its value is not used" in report["x['t'][2]"].summary
    with pytest.raises(KeyError, match="no leaf named 'y'"):
        report["y"]


UNUSED = "what is computed from it is not used for the result, or written over as a whole"


def test_what_is_computed_and_not_used() -> None:
    def f(x: Any, y: Any) -> Any:
        unused = mnp.sin(x) * 2
        return y * mnp.ones_like(unused)

    (leaf,) = why_zero(f)(1.0, 2.0).leaves
    (cut,) = leaf.cuts
    assert (cut.primitive, cut.reason) == ("sin", UNUSED)
    assert cut.source is not None and cut.source.text == "unused = mnp.sin(x) * 2"


def test_a_value_that_the_function_closes_over() -> None:
    w = jnp.array(2.0)
    (leaf,) = why_zero(lambda p, x: w * x)({"w": w}, 3.0).leaves
    assert not leaf.cuts and "replaced by a value that the function closes over" in leaf.summary


def test_python_that_decides_by_a_value() -> None:
    def f(x: Any) -> Any:
        if x > 1:
            return mnp.asarray(2.0)
        return mnp.asarray(3.0)

    (leaf,) = why_zero(f)(1.5).leaves
    assert [cut.primitive for cut in leaf.cuts] == ["gt"]
    assert leaf.cuts[0].source is not None and leaf.cuts[0].source.text == "if x > 1:"
    (leaf,) = why_zero(lambda x: mnp.ones(int(mnp.floor(x))).sum())(2.5).leaves
    assert [cut.primitive for cut in leaf.cuts] == ["floor"]


def test_a_bias_before_a_normalization() -> None:
    def f(p: Any) -> Any:
        h = p["x"] * 2 + p["b"]
        return (mnp.tanh(h - h.mean(0)) ** 3).sum()

    p = {"x": jnp.arange(8.0).reshape(4, 2) ** 2, "b": jnp.ones(2)}
    report = why_zero(f)(p)
    gradient = jax.grad(lambda b: (jnp.tanh(p["x"] * 2 + b - (p["x"] * 2 + b).mean(0)) ** 3).sum())(p["b"])
    assert np.allclose(gradient, 0, atol=1e-12)
    if report:  # rounding decides whether the sum is zero
        assert all("adds up to zero" in cut.reason for cut in report["p['b']"].cuts)


def test_a_part_of_a_leaf() -> None:
    table = jnp.ones((5, 2))
    report = why_zero(lambda t: mnp.sin(t[jnp.array([1, 3])]).sum())(table)
    assert not report and not report.leaves
    (leaf,) = report.partly
    assert (leaf.kind, leaf.zeros, [cut.primitive for cut in leaf.cuts]) == ("part", 6, ["gather"])
    assert str(leaf.cuts[0]).splitlines()[1] == "6 of 10 elements: other elements are taken"
    assert report.title.endswith("is zero in none of 1 leaf, and in a part of 1")


def test_nothing_is_zero() -> None:
    report = why_zero(lambda p, x: (p["w"] * mnp.tanh(x)).sum(), argnums=(0, 1))({"w": X}, X)
    assert not report and not report.leaves and not report.partly
    assert str(report) == "the derivative of <lambda> is zero in none of 2 leaves"


def test_what_is_not_finite_is_said() -> None:
    report = why_zero(lambda p: mnp.where(p["x"] > 0, mnp.sqrt(p["x"]), 0.0) + 0 * p["y"])({"x": 0.0, "y": 1.0})
    assert report.not_finite == ("p['x']",) and [leaf.name for leaf in report.leaves] == ["p['y']"]
    assert "it is not finite in p['x']" in str(report)


def test_other_dtypes() -> None:
    p = {"c": jnp.array([1 + 2j, 3.0]), "h": jnp.ones(3, jnp.bfloat16), "k": jax.random.key(0), "e": jnp.zeros((0, 2))}
    report = why_zero(lambda p: mnp.real(p["c"][0]) + mnp.round(p["h"]).sum() + p["e"].sum())(p)
    assert {leaf.name: leaf.kind for leaf in report.leaves} == {"p['h']": "structure", "p['k']": "structure"}
    assert [(leaf.name, leaf.zeros) for leaf in report.partly] == [("p['c']", 1)]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_saturation_in_each_precision(dtype: str) -> None:
    (leaf,) = why_zero(lambda x: mnp.tanh(x).sum())(jnp.full(2, 200, dtype)).leaves
    (cut,) = leaf.cuts
    assert (cut.primitive, cut.reason) == ("tanh", "it is flat at 200: its derivative rounds to zero there")


def test_has_aux() -> None:
    (leaf,) = why_zero(lambda x: (0 * x, {"name": x}), has_aux=True)(1.5).leaves
    assert leaf.cuts[0].primitive == "mul"


class Cells(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)


def test_it_shows_itself() -> None:
    report = why_zero(lambda p: mnp.round(p["a"]) + 0 * p["b"])({"a": 1.0, "b": 2.0, "c": 3.0})
    assert repr(report) == str(report)
    assert str(report).splitlines()[0] == "the derivative of <lambda> is zero in 3 of 3 leaves"
    assert "to do: " in str(report) and "test_why_zero.py:" in str(report)
    assert report.markdown().count("\n") == 6
    assert report.markdown().splitlines()[2] == "| leaf | zero by | cut by | since | line | to do |"
    tags = Cells(report._repr_html_()).tags
    assert (tags.count("tr"), tags.count("td")) == (4, 18)
    assert "&lt;lambda&gt;" in report.html()


# State, and bad input


def test_nothing_is_changed() -> None:
    gc.collect()
    before = len(registry), set(live_traces), state.trace, state.source, str(config)
    ran: list[int] = []

    def f(x: Any) -> Any:
        ran.append(1)
        return mnp.round(x)

    assert why_zero(f)(1.5) and ran == [1]
    with pytest.raises(ZeroDivisionError):
        why_zero(lambda x: mnp.sin(x) * (1 // 0))(1.0)
    assert (len(registry), set(live_traces), state.trace, state.source, str(config)) == before
    assert why_zero(f).__name__ == "f"


def test_a_tracer_that_escapes_is_refused() -> None:
    kept: list[Any] = []
    why_zero(lambda x: kept.append(x) or x * 2)(1.5)
    with pytest.raises(minijvp.EscapedTracerError, match="why_zero"):
        float(kept[0])
    with pytest.raises(minijvp.EscapedTracerError, match="why_zero"):
        mnp.sin(kept[0])


REFUSED = {
    "no-function": (lambda: why_zero(3.0), "why_zero received 3.0, which cannot be called"),  # type: ignore[arg-type]
    "vector": (lambda: why_zero(mnp.sin)(X), "grad needs a function with one number as its result"),
    "integer": (lambda: why_zero(mnp.argmax)(X), "grad needs a real result, but argmax returned i64[]"),
    "complex": (lambda: why_zero(lambda x: x * 1j)(1.0), "needs a real result, but <lambda> returned c128[]"),
    "text": (lambda: why_zero(lambda x: 1.0)("a"), "x is 'a' of type str, which is not an array"),
    "argnums": (lambda: why_zero(mnp.sin, argnums=1)(1.0), "argnums=1 is out of range"),
    "in-grad": (
        lambda: minijvp.grad(lambda x: x * bool(why_zero(mnp.sin)(x)))(1.0),
        "why_zero of sin was called inside of another transformation",
    ),
    "in-jit-of-jax": (
        lambda: jax.jit(lambda x: x * bool(why_zero(mnp.sin)(x)))(1.0),
        "why_zero of sin was called inside of another transformation",
    ),
}


@pytest.mark.parametrize(("call", "what"), REFUSED.values(), ids=REFUSED)
def test_bad_input_is_refused(call: Any, what: str) -> None:
    with pytest.raises(ArgumentError) as e:
        call()
    assert what in e.value.what and e.value.why and e.value.do


def test_a_function_of_numpy_is_refused_as_under_grad() -> None:
    with pytest.raises(minijvp.ForeignFunctionError, match=r"numpy\.sin received a traced"):
        why_zero(lambda x: np.sin(x))(1.0)


@pytest.mark.parametrize(
    "fun",
    [
        lambda x: lax.fori_loop(0, 0, lambda i, c: c * x[0], 1.0),
        lambda x: lax.scan(lambda c, _: (c * x[0], None), 1.0, None, length=0)[0],
        lambda x: lax.scan(lambda c, r: (c + r, None), 1.0, x[:0])[0],
        minijvp.jit(lambda x: lax.scan(lambda c, _: (c * x[0], None), 1.0, None, length=0)[0]),
    ],
)
def test_a_loop_without_turns(fun: Any) -> None:
    cut = why_zero(fun)(X)["x"].cuts[-1]
    assert (cut.primitive, cut.reason) == ("scan", "the loop has no turns, so that this is not used")


@pytest.mark.parametrize("take", [lambda x: mnp.imag(x + 0j), lambda x: mnp.real(x * 1j)])
def test_a_part_that_does_not_change(take: Any) -> None:
    (cut,) = why_zero(take)(1.0)["x"].cuts
    assert cut.primitive in ("real", "imag")
    assert cut.reason == "the part that is taken does not change with it"


def test_what_is_written_over_as_a_whole() -> None:
    leaf = why_zero(lambda x: x.at[:].set(0.0).sum())(X)["x"]
    assert not leaf.cuts
    assert "written over as a whole" in leaf.summary
    (cut,) = why_zero(lambda x: (x * 2).at[:].set(0.0).sum())(X)["x"].cuts
    assert (cut.primitive, cut.reason) == ("mul", UNUSED)


def shown(x: Any) -> Any:
    minijvp.debug.print("here {}", x)
    return minijvp.debug.inspect(x, "x") * 1.0


@minijvp.custom_vjp
def with_rule(x: Any) -> Any:
    return mnp.sin(x)


def loud_rule(x: Any, ct: Any) -> Any:
    minijvp.debug.print("there {}", ct)
    return (ct * 0,)


with_rule.defvjp(lambda x: (with_rule(x), x), loud_rule)

LOUD: dict[str, tuple[Any, int]] = {
    "plain": (shown, 2),
    "jit": (minijvp.jit(shown), 2),
    "checkpoint": (minijvp.checkpoint(shown), 2),
    "vmap": (lambda x: minijvp.vmap(shown)(mnp.stack([x, x])).sum(), 3),
    "scan": (lambda x: lax.scan(lambda c, _: (shown(c), None), x, None, length=66)[0], 132),
    "while": (lambda x: lax.while_loop(lambda s: s[0] < 66, lambda s: (s[0] + 1, shown(s[1])), (0, x))[1], 132),
    "rule": (with_rule, 0),
}


@pytest.mark.parametrize("name", LOUD)
def test_only_the_values_themselves_are_shown(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    fun, n = LOUD[name]
    report = why_zero(lambda x: mnp.round(fun(x)))(0.5)
    jax.effects_barrier()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == n
    assert all(line.startswith(("here 0.5", "x: primal ")) for line in lines)
    assert report["x"].cuts[-1].primitive == "round"
