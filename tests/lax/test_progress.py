"""Bars of loops: the results, derivatives and memory of loops without them, and what is shown of which loop, when."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from threading import Thread
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import minijvp
import minijvp.numpy as mnp
from minijvp import ArgumentError, MissingPackageError, lax, packages
from minijvp.control_flow import progress as bars
from minijvp.control_flow.progress import Bar, Meter, Run
from tests.several_devices import run_on_devices
from tests.side_by_side import same

X = jnp.linspace(0.2, 0.9, 3)
ROWS = jnp.linspace(-1.0, 1.0, 21).reshape(7, 3)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], list[str]]]:
    """What was written since the last time that it was asked, without times: a line for each run that ended."""

    def read() -> list[str]:
        jax.effects_barrier()
        lines = capsys.readouterr().err.splitlines()
        return [
            re.sub(r"\|.*\| | \[.*|, *[\d.?]+it/s.*", "", line).replace("%", "% ").replace("  ", " ") for line in lines
        ]

    yield read
    assert not bars.runs


def scan(x: Any, **how: Any) -> Any:
    def step(c: Any, row: Any) -> Any:
        c = mnp.sin(c * row) + x
        return c, c * row

    c, ys = lax.scan(step, x, ROWS, **how)
    return c.sum() + (ys**2).sum()


def fori(x: Any, **how: Any) -> Any:
    return lax.fori_loop(0, 5, lambda i, c: mnp.cos(c) * i + x, x, **how).sum()


def traced_fori(x: Any, **how: Any) -> Any:
    n = mnp.sum(mnp.zeros_like(x)).astype(int) + 5
    return lax.fori_loop(0, n, lambda i, c: mnp.cos(c) * x, x, **how).sum()


def whiles(x: Any, **how: Any) -> Any:
    return lax.while_loop(lambda s: s[0] < 6, lambda s: (s[0] + 1, mnp.sin(s[1]) * x), (0, x), **how)[1].sum()


def lanes(x: Any, **how: Any) -> Any:
    """A loop that is at its end when the value says so."""
    return lax.while_loop(lambda c: c.sum() < 20, lambda c: c * 1.5 + x, x, **how).sum()


def maps(x: Any, **how: Any) -> Any:
    return lax.map(lambda row: mnp.sin(row * x).sum(), ROWS, **how).sum()


LOOPS: dict[str, Callable[..., Any]] = {
    "scan": scan,
    "reverse": lambda x, **how: scan(x, reverse=True, **how),
    "unroll": lambda x, **how: scan(x, unroll=3, **how),
    "checkpoint": lambda x, **how: scan(x, checkpoint=True, **how),
    "segments": lambda x, **how: scan(x, checkpoint=3, **how),
    "one segment": lambda x, **how: scan(x, checkpoint=7, **how),
    "fori_loop": fori,
    "traced bounds": traced_fori,
    "while_loop": whiles,
    "lanes": lanes,
    "max_steps": lambda x, **how: lanes(x, max_steps=20, **how),
    "map": maps,
    "batches": lambda x, **how: lax.map(lambda row: mnp.sin(row * x).sum(), ROWS, batch_size=2, **how).sum(),
}

grad, jit, vmap = minijvp.grad, minijvp.jit, minijvp.vmap
BATCH = jnp.stack([X, X / 2, 3 * X])
WORDS: dict[str, Callable[[Any], Any]] = {
    "call": lambda f: f(X),
    "jit": lambda f: jit(f)(X),
    "grad": lambda f: grad(f)(X),
    "jit grad": lambda f: jit(minijvp.value_and_grad(f))(X),
    "jvp": lambda f: minijvp.jvp(f, (X,), (X,)),
    "linearize": lambda f: minijvp.linearize(f, X)[1](X),
    "vmap": lambda f: vmap(f)(BATCH),
    "jit vmap grad": lambda f: jit(vmap(grad(f)))(BATCH),
    "grad vmap": lambda f: grad(lambda x: vmap(f)(x).sum())(BATCH),
    "jacfwd": lambda f: minijvp.jacfwd(f)(X),
    "hessian": lambda f: jit(minijvp.hessian(f))(X),
    "grad grad": lambda f: grad(lambda x: grad(f)(x).sum())(X),
    "checkpoint": lambda f: jit(minijvp.value_and_grad(minijvp.checkpoint(f)))(X),
    "a small budget": lambda f: jit(grad(f, memory_budget=0.5))(X),
    "jax.grad": lambda f: jax.grad(f)(X),
    "jax.jit grad": lambda f: jax.jit(jax.grad(f))(X),
    "from_jax": lambda f: jit(grad(minijvp.from_jax(lambda x: jnp.sin(f(x)))))(X),
    "to_jax": lambda f: jax.grad(minijvp.to_jax(f))(X),
}


ALL_WORDS = ("scan", "while_loop")
FEW_WORDS = ("jit grad", "jit vmap grad", "hessian", "jax.grad")


@pytest.mark.parametrize(("loop", "word"), [(k, w) for k in LOOPS for w in (WORDS if k in ALL_WORDS else FEW_WORDS)])
def test_nothing_changes_by_a_bar(shown: Any, loop: str, word: str) -> None:
    f, transformed = LOOPS[loop], WORDS[word]
    wanted = transformed(f)
    assert shown() == []
    same(transformed(lambda x: f(x, progress="training")), wanted)
    for line in shown():
        name, _, counted = line.partition(": ")
        assert re.fullmatch(r"training(, tangents|, backward)*", name)
        if "%" in counted:
            percent, done, total = re.fullmatch(r"(\d+)% (\d+)/(\d+)", counted).groups()
            assert (percent, done) == ("100", total)


SEVEN = ["training: 100% 7/7", "training, backward: 100% 7/7"]


@pytest.mark.parametrize(
    ("loop", "word", "lines"),
    [
        ("scan", "call", SEVEN[:1]),
        ("scan", "jit grad", SEVEN),
        ("reverse", "jit grad", SEVEN),
        ("unroll", "jit grad", SEVEN),
        ("checkpoint", "jit grad", SEVEN),
        ("segments", "jit grad", ["training: 100% 6/6", "training, backward: 100% 6/6"]),
        ("scan", "jvp", SEVEN[:1]),
        ("scan", "linearize", [SEVEN[0], "training, tangents: 100% 7/7"]),
        ("scan", "jit vmap grad", SEVEN),
        ("scan", "jacfwd", SEVEN[:1]),
        ("scan", "checkpoint", [SEVEN[0], *SEVEN]),
        ("scan", "jax.jit grad", SEVEN),
        ("map", "call", SEVEN[:1]),
        ("batches", "call", ["training: 100% 6/6"]),
        ("while_loop", "jit grad", ["training: 6it", "training, backward: 100% 6/6"]),
        ("while_loop", "jvp", ["training: 6it"]),
        ("traced bounds", "jit", ["training: 5it"]),
        ("fori_loop", "jit", ["training: 100% 5/5"]),
        ("max_steps", "jit", ["training: 100% 20/20"]),
    ],
)
def test_there_is_one_bar_for_each_loop(shown: Any, loop: str, word: str, lines: list[str]) -> None:
    WORDS[word](lambda x: LOOPS[loop](x, progress="training"))
    assert shown() == lines


def test_a_compiled_program_shows_it_again_and_the_function_is_as_the_keyword(shown: Any) -> None:
    loop = minijvp.progress(lax.scan, "again")
    f = jit(lambda x: loop(lambda c, row: (c * row, None), x, ROWS)[0])
    for _ in range(2):
        same(f(X), jnp.prod(ROWS, 0) * X)
        assert shown() == ["again: 100% 7/7"]
    for other, args, line in (
        (lax.map, (mnp.sin, X), "again: 100% 3/3"),
        (lax.fori_loop, (0, 4, lambda i, x: x, 1.0), "again: 100% 4/4"),
        (lax.while_loop, (lambda x: x < 3, lambda x: x + 1, 0), "again: 3it"),
        (lax.while_loop, (lambda x: x < 0, lambda x: x + 1, 0), "again: 0it"),
    ):
        same(minijvp.progress(other, "again")(*args), other(*args))
        assert shown() == [line]


@pytest.mark.parametrize("n", [1, 2, 63, 64, 65, 127, 128, 1000, 1009])
def test_loops_of_any_length(shown: Any, n: int) -> None:
    xs = jnp.linspace(0.0, 1.0, n)
    f = lambda x, **how: lax.scan(lambda c, x: (mnp.cos(c) * x, c), x, xs, unroll=4, **how)
    for reverse in (False, True):
        same(f(0.5, progress="n", reverse=reverse), f(0.5, reverse=reverse))
        assert shown() == [f"n: 100% {n}/{n}"]


def test_without_steps_and_without_use_nothing_is_shown(shown: Any) -> None:
    same(lax.scan(lambda c, x: (c, x), X, ROWS[:0], progress="zero"), (X, ROWS[:0]))
    same(lax.fori_loop(3, 3, lambda i, x: x, X, progress="zero"), X)

    @jit
    def dead(x: Any) -> Any:
        scan(x, progress="dead")
        return x

    same(dead(X), X)
    assert shown() == []


def test_rows_may_be_keys(shown: Any) -> None:
    step = lambda key, _: tuple(minijvp.random.split(key))
    found, wanted = (lax.scan(step, minijvp.random.key(0), length=5, **how) for how in ({"progress": "keys"}, {}))
    same(*[jax.tree.map(jax.random.key_data, x) for x in (found, wanted)])
    assert shown() == ["keys: 100% 5/5"]


def test_loops_inside_of_others(shown: Any) -> None:
    outer = lambda x, **how: lax.fori_loop(0, 3, lambda _, x: mnp.sin(x) + fori(x, **how), x, progress="outer").sum()
    same(jit(grad(lambda x: outer(x, progress="inner")))(X), jit(grad(outer))(X))
    assert set(shown()) == {"outer: 100% 3/3", "outer, backward: 100% 3/3"}


def test_the_program_is_the_same_without_a_bar_and_keeps_as_much_with_one() -> None:
    assert "progress" not in str(minijvp.make_jaxpr(lambda x: scan(x, progress=None))(X))
    assert "progress=training" in str(minijvp.make_jaxpr(lambda x: scan(x, progress="training"))(X))
    rows = jnp.ones((1000, 100))
    sizes = []
    for how in ({}, {"progress": "training"}):
        step = lambda c, row, how=how: (mnp.tanh(c * row), mnp.sin(c))
        gradient = jit(grad(lambda x, step=step, how=how: lax.scan(step, x, rows, **how)[1].sum()))
        sizes.append(gradient.lower(rows[0]).compile().memory_analysis().temp_size_in_bytes)
    assert sizes[1] - sizes[0] < 4096 < sizes[0]


@pytest.mark.parametrize("loop", ["scan", "fori_loop", "while_loop", "traced bounds"])
def test_loops_of_python(shown: Any, loop: str) -> None:
    with minijvp.disable_jit():
        same(LOOPS[loop](X, progress="plain"), LOOPS[loop](X))
        counted = {"scan": "100% 7/7", "while_loop": "6it"}.get(loop, "100% 5/5")
        assert shown() == [f"plain: {counted}"]


def fails_at(n: int) -> Callable[[Any], Any]:
    def host(i: Any) -> Any:
        if i == n:
            raise ValueError("no")
        return np.float64(i)

    kind = jax.ShapeDtypeStruct((), "float64")
    step = lambda c, i: (c + minijvp.pure_callback(host, kind, i), None)
    return lambda x: lax.scan(step, x, jnp.arange(10), progress="failing")[0]


@pytest.mark.parametrize("run", [jit, lambda f: f])
def test_an_error_closes_the_bar(shown: Any, monkeypatch: pytest.MonkeyPatch, run: Any) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with pytest.raises(Exception, match="no"):
        jax.block_until_ready(run(fails_at(4))(1.0))
    assert not bars.runs and bars.hooks.failed is None
    assert terminal.getvalue().startswith("\rfailing:   0%") and terminal.getvalue().endswith("\n")
    same(fails_at(99)(1.0), jnp.float64(46))
    assert "10/10" in terminal.getvalue()


def test_an_error_in_a_loop_of_python_closes_the_bar(shown: Any) -> None:
    def step(i: Any, x: Any) -> Any:
        if i == 2:
            raise ZeroDivisionError
        return x

    with minijvp.disable_jit(), pytest.raises(ZeroDivisionError):
        lax.fori_loop(0, 4, step, 1.0, progress="plain")
    assert shown() == ["plain: 50% 2/4"]


def test_loops_in_threads(shown: Any) -> None:
    f = jit(lambda x: scan(x, progress="threads"))
    wanted, found = scan(X), [None] * 4
    threads = [Thread(target=lambda i=i: found.__setitem__(i, f(X))) for i in range(4)]
    for call in (Thread.start, Thread.join):
        for thread in threads:
            call(thread)
    for x in found:
        same(x, wanted)
    assert shown() == ["threads: 100% 7/7"] * 4


class Clock:
    """A loop as the host sees it: steps that take some time each."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.now = 0.0
        self.drawn: list[float] = []
        monkeypatch.setattr(bars, "perf_counter", lambda: self.now)
        monkeypatch.setattr(Run, "_draw", lambda run, elapsed, last: self.drawn.append(elapsed))

    def run(self, meter: Meter, total: int, seconds: float, size: int = 1) -> int:
        """How often the loop calls."""
        self.drawn.clear()
        number, left = meter.answer(0, 0, total, 0)
        done, calls = 0, 1
        while done < total:
            n = min(left * size, total - done)
            done, calls = done + n, calls + 1
            self.now += n * seconds
            number, left = meter.answer(number, done, total, 0)
        return calls


@pytest.mark.parametrize("size", [1, 10])
@pytest.mark.parametrize(("seconds", "total"), [(1e-8, 10**6), (1e-5, 10**6), (1e-3, 10**4), (0.01, 300), (3.0, 20)])
def test_calls_are_some_at_first_and_then_ten_a_second(
    monkeypatch: pytest.MonkeyPatch, seconds: float, total: int, size: int
) -> None:
    clock, meter = Clock(monkeypatch), Meter(Bar("clock"), size)
    for first in (True, False):
        calls = clock.run(meter, total, seconds, size)
        wanted = min(seconds * total / bars.PERIOD, total / size)
        assert calls <= 1.2 * wanted + (12 if first else 3)
        assert len(clock.drawn) <= wanted + 3
        assert max(np.diff([0, *clock.drawn])) <= max(3 * bars.PERIOD, 2 * size * seconds)
    assert not bars.runs


def test_a_terminal_sees_a_bar_and_a_log_few_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    for terminal, at_least in ((Terminal(), 10), (io.StringIO(), 2)):
        monkeypatch.setattr(sys, "stderr", terminal)
        now = [0.0]
        monkeypatch.setattr(bars, "perf_counter", lambda now=now: now[0])
        meter, left, done = Meter(Bar("long")), 1, 0
        number, left = meter.answer(0, 0, 3600, 0)
        while done < 3600:
            done, now[0] = done + left, now[0] + left
            number, left = meter.answer(number, done, 3600, 0)
        text = terminal.getvalue()
        assert text.endswith("\n") and "3600/3600" in text
        parts = text.split("\r" if terminal.isatty() else "\n")
        assert at_least < len(parts)
        if not terminal.isatty():
            assert len(parts) < 20 and "\r" not in text


def test_what_cannot_be_drawn_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    same(jit(grad(lambda x: scan(x, progress="closed")))(X), jit(grad(scan))(X))
    assert not bars.runs


DEVICES = """
import jax, io, sys, minijvp, numpy as np, minijvp.numpy as mnp
from minijvp import lax
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P

def scan(x, total=lambda c: c.sum(), **how):
    def step(c, _):
        c = mnp.tanh(c + 0.1 * total(c))
        return c, 2 * c
    c, ys = lax.scan(step, x, length=70, **how)
    return c + ys.sum(0)

def loop(x, total=lambda c: c.sum(), **how):
    step = lambda s: (s[0] + 1, mnp.tanh(s[1] + 0.1 * total(s[1])))
    return lax.while_loop(lambda s: s[0] < 9, step, (0, x), **how)[1]

def lines(f, x):
    sys.stderr = io.StringIO()
    found = jax.block_until_ready(f(x))
    text, sys.stderr = sys.stderr.getvalue(), sys.__stderr__
    return found, [line.split("|")[0] if "|" in line else line.split(" [")[0] for line in text.splitlines()]

for kind in (AxisType.Auto, AxisType.Explicit):
    mesh = jax.make_mesh((8,), ("d",), axis_types=(kind,))
    x = jax.device_put(np.arange(8.0) / 8, NamedSharding(mesh, P("d")))
    psum = lambda c: lax.psum(c.sum(), "d")
    split = {"mesh": mesh, "in_specs": P("d"), "out_specs": P("d")}
    on_parts = lambda f, **how: minijvp.shard_map(lambda x: f(x, psum, **how), **split)
    with jax.set_mesh(mesh):
        for f, first in ((scan, "d: 100%"), (loop, "d: 9it")):
            cases = {"split": lambda **how: lambda x: f(x, **how).sum()} if kind is AxisType.Auto or f is scan else {}
            if kind is AxisType.Auto:
                cases["parts"] = lambda **how: lambda x: on_parts(f, **how)(x).sum()
            for name, case in cases.items():
                wanted, nothing = lines(minijvp.jit(minijvp.grad(case())), x)
                found, shown = lines(minijvp.jit(minijvp.grad(case(progress="d"))), x)
                np.testing.assert_array_equal(found, wanted)
                assert nothing == [], nothing
                assert shown == [first, "d, backward: 100%"], (kind, f.__name__, name, shown)
"""


def test_on_several_devices_there_is_one_bar() -> None:
    run_on_devices(DEVICES, 8)


# Bad input


@pytest.mark.parametrize("progress", [True, 1, ("a",)])
@pytest.mark.parametrize("loop", ["scan", "map", "fori_loop", "while_loop"])
def test_a_name_is_a_string(loop: str, progress: Any) -> None:
    with pytest.raises(ArgumentError, match=r'received progress=.*\n.*\n.*progress="training"'):
        LOOPS[loop](X, progress=progress)


def test_only_loops_of_minijvp_have_progress() -> None:
    for loop, advice in ((jax.lax.scan, r"minijvp\.lax\.scan"), (scan, r"minijvp\.lax\.scan"), (3, "training")):
        with pytest.raises(ArgumentError, match=advice):
            minijvp.progress(loop, "training")
    for name in (None, 3):
        with pytest.raises(ArgumentError, match="what the bar is called"):
            minijvp.progress(lax.scan, name)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(packages, "import_module", missing)
    with pytest.raises(MissingPackageError, match=r"minijvp\[progress\]"):
        scan(X, progress="training")
    assert import_module("tqdm").tqdm


def test_what_is_exported_has_none() -> None:
    (n,) = jax.export.symbolic_shape("n")
    with pytest.raises(ArgumentError, match="exported"):
        jax.eval_shape(
            lambda xs: lax.scan(lambda c, x: (c, x), 1.0, xs, progress="p"), jax.ShapeDtypeStruct((n,), float)
        )
