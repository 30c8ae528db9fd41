"""explain_nan: the operation, the line, the element and the turn where what is not finite begins."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import minijvp
import minijvp.numpy as mnp
from minijvp import explain_nan, lax
from minijvp.core.primitive import registry
from minijvp.errors import ArgumentError, ForeignFunctionError
from minijvp.explain import advice, reasons
from minijvp.explain.cuts import CHOOSING
from minijvp.explain.report import NanReport
from minijvp.explain.runs import EXTREMA
from tests.nan_programs import PROGRAMS

ZEROS = np.zeros(3, np.float32)


@pytest.fixture(autouse=True)
def single_precision() -> Iterator[None]:
    """The programs overflow in that."""
    with jax.enable_x64(False):
        yield


def line_of(fun: Callable[..., Any], marker: str = "# here") -> int:
    """The number of the line of a function that ends in a marker."""
    lines, first = inspect.getsourcelines(fun)
    return first + next(i for i, line in enumerate(lines) if line.rstrip().endswith(marker))


def in_scan(fun: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda x: lax.scan(lambda total, row: (total + fun(row), None), 0.0, mnp.stack([x, x, x]))[0]


HOW: dict[str, Callable[[Any], Callable[[Any], Any]]] = {
    "plain": lambda program: minijvp.grad(program.fun),
    "jit": lambda program: minijvp.jit(minijvp.grad(program.fun)),
    "grad of jit": lambda program: minijvp.grad(minijvp.jit(program.fun)),
    "scan": lambda program: minijvp.grad(in_scan(program.fun)),
    "vmap": lambda program: lambda x: minijvp.vmap(minijvp.grad(program.fun))(mnp.stack([x, x])),
}


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_from_practice(name: str, how: str) -> None:
    program = PROGRAMS[name]
    report = explain_nan(HOW[how](program))(program.x)
    assert report
    assert report.source is not None
    assert (report.source.line, report.source.file) == (program.line, inspect.getsourcefile(program.fun))
    assert "# here" in report.source.text
    if report.place == "operation":
        assert ("scan" in " ".join(report.path)) == (how == "scan" or "loop" in name)


@pytest.mark.parametrize("name", PROGRAMS)
def test_mended_programs_are_finite(name: str) -> None:
    program = PROGRAMS[name]
    report = explain_nan(minijvp.value_and_grad(program.mended))(program.x)
    assert not report
    assert "all results are finite" in str(report)


def root(x: Any) -> Any:
    y = mnp.sqrt(x)  # here
    return mnp.sum(y * x)  # there


def test_a_report() -> None:
    report = explain_nan(minijvp.grad(root))(np.array([1.0, 0.0, 2.0, 0.0], np.float32))
    assert (report.kind, report.place, report.primitive) == ("inf", "operation", "div")
    assert (report.direction, report.derivative_of) == ("backward", "sqrt")
    assert (report.index, report.count, report.size) == ((1,), 2, 4)
    assert [x.value for x in report.operands] == [0.5, 0.0]
    assert report.source is not None
    assert (report.source.line, report.source.function) == (line_of(root), "root")
    assert report.source.text == "y = mnp.sqrt(x)  # here"
    assert report.becomes is not None
    assert (report.becomes.primitive, report.becomes.direction) == ("mul", "backward")
    assert report.becomes.source is not None
    assert report.becomes.source.line == line_of(root)
    assert report.result == "2 of 4 elements of result are nan"
    assert "sqrt(x + eps)" in report.remedy
    text = str(report)
    assert text.startswith("root: inf arises in the backward pass.\n")
    assert repr(report) == text
    for part in (
        "y = mnp.sqrt(x)  # here",
        "derivative of sqrt",
        "[1], the first of 2 that are inf, of 4",
        "becomes nan",
    ):
        assert part in text
    assert "<caption>root: inf arises in the backward pass.</caption>" in report._repr_html_()


def test_the_kinds() -> None:
    gradient = minijvp.grad(root)
    report = explain_nan(gradient, kinds="nan")(ZEROS)
    assert (report.kind, report.primitive, report.becomes) == ("nan", "mul", None)
    assert [x.value for x in report.operands] == [0.0, np.inf]
    assert explain_nan(gradient, kinds=("inf",))(ZEROS).kind == "inf"
    infinite = minijvp.grad(lambda x: mnp.sum(mnp.sqrt(x)))
    assert explain_nan(infinite)(ZEROS).kind == "inf"
    assert not explain_nan(infinite, kinds=["nan"])(ZEROS)


@pytest.mark.parametrize(
    ("fun", "primitive", "kind"),
    [
        (lambda x: mnp.log(x) * 0, "log", "inf"),
        (lambda x: x / x, "div", "nan"),
        (lambda x: mnp.exp(x + 100), "exp", "inf"),
        (lambda x: mnp.sqrt(x - 1), "sqrt", "nan"),
        (lambda x: mnp.linalg.cholesky(mnp.outer(x, x)), "cholesky", "nan"),
        (lambda x: mnp.dot(mnp.exp(x + 100), x), "exp", "inf"),
        (lambda x: mnp.sum(mnp.where(x > 5, x, -mnp.inf)) * 0, "mul", "nan"),
    ],
)
def test_forward(fun: Any, primitive: str, kind: str) -> None:
    report = explain_nan(fun)(ZEROS)
    assert (report.primitive, report.kind, report.direction, report.derivative_of) == (primitive, kind, "forward", None)


def test_forms_of_the_function() -> None:
    sources = []
    for fun in (
        minijvp.grad(root),
        minijvp.jit(minijvp.value_and_grad(root)),
        lambda x: minijvp.vjp(root, x)[1](1.0),
        lambda x: minijvp.linearize(root, x)[1](x),
        minijvp.hessian(root),
        minijvp.jacrev(root),
        lambda x: minijvp.jacfwd(minijvp.jit(root))(x),
        minijvp.grad(minijvp.checkpoint(root)),
        minijvp.grad(root, memory_budget=0.5),
        minijvp.vjp(root, ZEROS)[1],
    ):
        report = explain_nan(fun)(1.0 if isinstance(fun, type(minijvp.vjp(root, ZEROS)[1])) else ZEROS)
        sources.append(report.source and report.source.line)
    assert sources == [line_of(root)] * len(sources)
    assert explain_nan(minijvp.jacfwd(root))(ZEROS).direction == "tangent"


def scaled_root(k: float, x: Any) -> Any:
    return k * mnp.sqrt(x)


@pytest.mark.parametrize(
    "fun",
    [
        partial(scaled_root, 2.0),
        minijvp.grad(partial(scaled_root, 2.0)),
        minijvp.jit(minijvp.grad(partial(scaled_root, 2.0))),
        partial(minijvp.jit(partial(scaled_root)), 2.0),
        partial(minijvp.grad(scaled_root, 1), 2.0),
    ],
)
def test_the_name_of_a_partial_function(fun: Any) -> None:
    assert explain_nan(fun)(-1.0).title == "scaled_root: nan arises in the forward pass."


def test_the_lane_of_a_vmap() -> None:
    report = explain_nan(minijvp.vmap(minijvp.grad(root)))(np.array([[1.0, 2.0], [3.0, 0.0]], np.float32))
    assert (report.index, report.count, report.size) == ((1, 1), 1, 4)


def test_trees_and_other_arguments() -> None:
    def fun(params: Any, power: int, name: str, *, scale: Any = 1.0) -> Any:
        assert name == "text"
        return {"a": [mnp.ones(power), scale * params["w"]], "b": name, "c": 1.0 / params["w"] ** power}

    report = explain_nan(fun)({"w": mnp.zeros(2), "v": None}, 2, "text", scale=2.0)
    assert report.result == "2 of 2 elements of result['c'] are inf"
    report = explain_nan(fun)({"w": mnp.array([1.0, mnp.nan])}, 2, "text")
    assert (report.place, report.name, report.index) == ("argument", "params['w']", (1,))
    assert "the argument params['w'] is nan" in str(report)
    static = minijvp.jit(lambda x, n, eps: mnp.log(x) * n + eps, static_argnums=(1, 2))
    assert explain_nan(static)(ZEROS, 3, 1e-3).primitive == "log"


def test_python_may_look_at_values() -> None:
    def fun(x: Any) -> Any:
        if x[0] > 0:
            return mnp.sum(x)
        while mnp.sum(x) > -3:
            x = x - 1
        return mnp.sum(mnp.sqrt(x))  # here

    for transformed in (fun, minijvp.grad(fun)):
        report = explain_nan(transformed)(ZEROS)
        assert report.source is not None
        assert report.source.line == line_of(fun)


def lstm(params: Any, xs: Any) -> Any:
    def step(carry: Any, x: Any) -> Any:
        h, c = carry
        gates = mnp.concatenate([x, h]) @ params
        i, f, o, g = mnp.split(gates, 4)
        growing = mnp.exp(i)  # here
        c = mnp.tanh(g) * (growing / (1 + growing)) + c / (1 + mnp.exp(-f))
        h = mnp.tanh(c) / (1 + mnp.exp(-o))
        return (h, c), h

    return mnp.sum(lax.scan(step, (mnp.zeros(2), mnp.zeros(2)), xs)[1] ** 2)


def test_a_gate_that_overflows_in_turn_17() -> None:
    params = np.full((3, 8), 0.1, np.float32)
    xs = np.full((40, 1), 0.3, np.float32)
    xs[17] = 1e5
    for fun in (lstm, minijvp.grad(lstm), minijvp.jit(minijvp.grad(lstm)), minijvp.grad(lstm, argnums=1)):
        report = explain_nan(fun)(params, xs)
        assert (report.primitive, report.kind, report.turn, report.direction) == ("exp", "inf", 17, "forward")
        assert report.path[-1] == "scan (turn 17 of 40)"
        assert report.source is not None
        assert report.source.line == line_of(lstm)
        assert report.becomes is not None
        assert report.becomes.primitive == "div"


def test_a_scan_from_the_last_row_to_the_first() -> None:
    fun = lambda x: lax.scan(lambda c, r: (c + mnp.log(r), c), 0.0, x, reverse=True)
    report = explain_nan(fun)(np.array([1.0, 2.0, 0.0, 3.0], np.float32))
    assert (report.turn, report.primitive) == (2, "log")


def test_what_a_carry_had_in_turns_before() -> None:
    def fun(x: Any) -> Any:
        def step(carry: Any, t: Any) -> Any:
            best, total = carry  # a running maximum begins at -inf, and that is meant
            late = mnp.where(t == 5, mnp.log(x - x), 0.0)  # here
            return (mnp.maximum(best, t), total + late), best - total

        return lax.scan(step, (-mnp.inf, x), mnp.arange(9.0))[0][1] * 0

    report = explain_nan(fun)(np.float32(1.0))
    assert (report.turn, report.primitive, report.kind) == (5, "log", "inf")
    assert report.source is not None
    assert report.source.line == line_of(fun)


def test_loops_in_loops() -> None:
    def fun(x: Any) -> Any:
        inner = lambda c, t: (c + mnp.sqrt(c - t), None)
        outer = lambda c, t: (lax.scan(inner, c, t * mnp.arange(4.0, dtype="float32"))[0], None)
        return lax.scan(outer, x, np.array([0.0, 1.0, 90.0], np.float32))[0]

    report = explain_nan(fun)(np.float32(1.0))
    assert report.path == ("scan (turn 2 of 3)", "scan (turn 1 of 4)")
    assert (report.turn, report.kind, report.primitive) == (1, "nan", "sqrt")


def while_loop(x: Any) -> Any:
    step = lambda s: (s[0] + 1, mnp.where(s[0] == 7, mnp.log(s[1] - s[1]) * 0, s[1] * 1.1))
    return mnp.sum(lax.while_loop(lambda s: s[0] < 12, step, (0, x))[1])


def test_a_while_loop() -> None:
    report = explain_nan(while_loop)(ZEROS + 1)
    assert (report.turn, report.primitive, report.path) == (7, "log", ("while (turn 7)",))


def test_the_way_back_through_a_while_loop() -> None:
    def fun(x: Any) -> Any:
        safe = lambda s: mnp.where(s[0] == 7, mnp.sqrt(mnp.where(s[0] == 7, s[1] - s[1], 1.0)) + s[1], s[1])
        return mnp.sum(lax.while_loop(lambda s: s[0] < 12, lambda s: (s[0] + 1, safe(s)), (0, x))[1])

    report = explain_nan(minijvp.grad(fun))(ZEROS + 1)
    assert (report.turn, report.direction, report.derivative_of) == (7, "backward", "sqrt")


def test_a_choice() -> None:
    fun = lambda x: lax.cond(x[0] < 1, lambda x: mnp.sum(mnp.log(x)), mnp.sum, x)
    report = explain_nan(minijvp.grad(fun))(ZEROS)
    assert report.path[0].startswith("cond (branch")
    assert report.derivative_of == "log"
    assert not explain_nan(minijvp.grad(fun))(ZEROS + 2)


def test_a_rule_of_the_user() -> None:
    @minijvp.custom_vjp
    def fun(x: Any) -> Any:
        return mnp.sin(x)

    def backward(x: Any, ct: Any) -> Any:
        return (ct / x,)  # here

    fun.defvjp(lambda x: (fun(x), x), backward)
    for gradient in (
        minijvp.grad(lambda x: fun(x) * 2),
        minijvp.grad(fun),
        minijvp.grad(lambda x: fun(x) + 1),
        minijvp.grad(minijvp.jit(fun)),
        minijvp.jit(minijvp.grad(fun)),
        minijvp.grad(lambda x: minijvp.vmap(fun)(mnp.stack([x, x])).sum()),
        lambda x: minijvp.vjp(fun, x)[1](1.0),
    ):
        report = explain_nan(gradient)(0.0)
        assert (report.primitive, report.direction, report.kind) == ("div", "backward", "inf")
        assert report.source is not None
        assert report.source.line == line_of(backward)

    @minijvp.custom_jvp
    def other(x: Any) -> Any:
        return mnp.sin(x)

    other.defjvp(lambda primals, tangents: (other(*primals), tangents[0] / primals[0]))
    assert explain_nan(lambda x: minijvp.jvp(other, (x,), (mnp.ones_like(x),)))(ZEROS).primitive == "div"


def first_of_jax(x: Any) -> Any:
    y = jnp.linalg.norm(x)  # here
    return y * 2


def second_of_jax(x: Any) -> Any:
    z = jnp.linalg.norm(x)  # here
    return z * 3


def test_functions_of_jax() -> None:
    # JAX traces what they call once, so that its own lines would be those of the first.
    for fun in (first_of_jax, second_of_jax):
        plain = minijvp.from_jax(fun)
        minijvp.grad(plain)(ZEROS)
        for gradient in (minijvp.grad(plain), minijvp.from_jax(jax.grad(fun)), minijvp.jit(minijvp.grad(plain))):
            report = explain_nan(gradient)(ZEROS)
            assert report.source is not None
            assert report.source.line == line_of(fun)
            assert report.becomes is not None
            assert report.becomes.direction == "backward"


def test_equal_programs_have_lines_of_their_own() -> None:
    def first(x: Any) -> Any:
        step = lambda c, _: (c * mnp.sqrt(c), None)  # here
        return lax.scan(step, x, None, length=2)[0]

    def second(x: Any) -> Any:
        step = lambda c, _: (c * mnp.sqrt(c), None)  # here
        return lax.scan(step, x, None, length=2)[0]

    def third(x: Any) -> Any:
        inner = minijvp.jit(lambda c: c * mnp.sqrt(c))  # here
        return minijvp.checkpoint(inner)(x)

    for fun in (first, second, third):
        minijvp.grad(fun)(0.0)
        for _ in range(2):
            report = explain_nan(minijvp.jit(minijvp.grad(fun)))(0.0)
            assert report.source is not None
            assert report.source.line == line_of(fun)


def test_what_is_hidden_is_not_reported() -> None:
    report = explain_nan(lambda x: mnp.where(x > 0, 1.0, mnp.where(x < 5, mnp.sqrt(x - 1), 0.0)))(ZEROS)
    assert report.primitive == "sqrt"
    assert not explain_nan(lambda x: mnp.where(x < 5, 1.0, mnp.sqrt(x - 1)))(ZEROS)

    def fun(x: Any) -> Any:
        hidden = mnp.where(x < 5, 1.0, mnp.log(x - 1))
        return mnp.sum(hidden) + mnp.sum(x / x)  # here

    report = explain_nan(fun)(ZEROS)
    assert report.source is not None
    assert (report.primitive, report.source.line) == ("div", line_of(fun))


def test_constants() -> None:
    data = np.array([1.0, np.nan], np.float32)
    report = explain_nan(minijvp.grad(lambda w: mnp.sum(w * data)))(np.ones(2, np.float32))
    assert (report.place, report.index) == ("constant", (1,))
    assert "a constant of the program is nan" in str(report)
    assert report.primitive == "mul"


@pytest.mark.parametrize("transformed", [lambda f: f, minijvp.jit, minijvp.grad], ids=["plain", "jit", "grad"])
def test_numbers_of_python_are_arguments(transformed: Any) -> None:
    for kind in ("nan", "inf"):
        report = explain_nan(transformed(lambda x, y: y * x + x))(float(kind), 2.0)
        if transformed is not minijvp.grad:
            assert (report.place, report.name, report.kind) == ("argument", "x", kind)
    report = explain_nan(transformed(lambda x, y: y["a"] * x))(2.0, y={"a": mnp.nan})
    assert (report.place, report.name, report.kind) == ("argument", "y['a']", "nan")
    assert "the argument y['a'] is nan" in str(report)
    report = explain_nan(minijvp.jit(lambda x, order: mnp.log(x) * (order == mnp.inf), static_argnums=1))(
        ZEROS, mnp.inf
    )
    assert report.primitive == "log"
    assert not explain_nan(mnp.linalg.norm)(ZEROS, mnp.inf)


def test_other_dtypes() -> None:
    for dtype in ("bfloat16", "float16", "float64", "complex64"):
        with jax.enable_x64(True):
            report = explain_nan(lambda x: x / x)(jnp.zeros(2, dtype))
        assert (report.primitive, report.count) == ("div", 2), dtype
        assert "div" in str(report)
    assert not explain_nan(lambda x: (x, x > 0, minijvp.random.key(0)))(np.arange(3))


def test_nothing_is_changed() -> None:
    x = jnp.zeros(3)
    before = repr(minijvp.config), jax.config.jax_debug_nans
    gradient = minijvp.jit(minijvp.grad(root))
    texts = [gradient.lower(x).as_text()]
    assert explain_nan(gradient)(x)
    assert explain_nan(gradient)(x).primitive == "div"
    texts.append(minijvp.jit(minijvp.grad(root)).lower(x).as_text())
    texts.append(gradient.lower(x).as_text())
    assert len(set(texts)) == 1
    assert before == (repr(minijvp.config), jax.config.jax_debug_nans)
    with pytest.raises(ZeroDivisionError):
        explain_nan(lambda x: 1 / 0)(x)
    assert minijvp.core.tracing.state.substitutes is None  # type: ignore[attr-defined]
    assert not minijvp.core.tracing.live_traces  # type: ignore[attr-defined]
    np.testing.assert_array_equal(gradient(x + 4), jax.grad(lambda x: jnp.sum(jnp.sqrt(x) * x))(x + 4))
    with jax.debug_nans(True):
        assert explain_nan(gradient)(x).primitive == "div"


EFFECTS: dict[str, tuple[Callable[[Any], Callable[[Any], Any]], int]] = {
    "plain": (lambda f: f, 1),
    "jit": (minijvp.jit, 1),
    "jit in jit": (lambda f: minijvp.jit(lambda x: minijvp.jit(f)(x)), 1),
    "grad of jit": (lambda f: minijvp.grad(minijvp.jit(f)), 1),
    "cond": (lambda f: lambda x: lax.cond(x < 1, f, lambda x: x, x), 1),
    "scan": (lambda f: lambda x: lax.scan(lambda c, t: (f(c), t), x, mnp.arange(3.0)), 3),
    "while": (lambda f: lambda x: lax.while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, f(s[1])), (0, x)), 3),
}


@pytest.mark.parametrize("name", EFFECTS)
def test_effects_happen_once(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    transformed, times = EFFECTS[name]
    seen: list[float] = []

    def fun(x: Any) -> Any:
        minijvp.debug.callback(lambda y: seen.append(float(y)), x)
        minijvp.debug.print("x {}", x)
        return mnp.log(x)

    assert explain_nan(transformed(fun))(0.0).primitive in ("log", "div")
    jax.effects_barrier()
    assert len(seen) == len(capsys.readouterr().out.splitlines()) == times
    assert seen[0] == 0.0


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: explain_nan(3.0), "cannot be called"),
        (lambda: explain_nan(mnp.sin, kinds="zero"), "kinds='zero'"),
        (lambda: explain_nan(mnp.sin, kinds=()), "kinds=()"),
        (lambda: explain_nan(mnp.sin, kinds=None), "kinds=None"),
        (lambda: minijvp.grad(lambda x: explain_nan(mnp.sin)(x))(1.0), "a traced f"),
        (lambda: jax.jit(lambda x: explain_nan(mnp.sin)(x))(1.0), "a traced f"),
    ],
)
def test_bad_inputs(call: Callable[[], Any], words: str) -> None:
    with pytest.raises(ArgumentError) as error:
        call()
    assert words in error.value.what
    assert error.value.why
    assert error.value.do


def test_functions_of_jax_are_to_be_named_as_such() -> None:
    with pytest.raises(ForeignFunctionError, match="from_jax"):
        explain_nan(jnp.log)(ZEROS)
    with pytest.raises(TypeError, match="missing 1 required"):
        explain_nan(root)()


def chain(n: int) -> Callable[[Any], Any]:
    def fun(x: Any) -> Any:
        for i in range(n):
            x = mnp.sin(x) * 1.01
            if i == n // 2:
                x = mnp.log(x - x)
        return mnp.sum(x)

    return fun


def cpu_time(call: Callable[[], Any]) -> tuple[float, Any]:
    began = time.process_time()
    result = jax.block_until_ready(call())
    return time.process_time() - began, result


def test_the_time_it_takes() -> None:
    gradient = minijvp.grad(chain(1000))
    for call in (lambda: gradient(ZEROS), lambda: explain_nan(gradient)(ZEROS).kind):
        call()
    plain = min(cpu_time(lambda: gradient(ZEROS))[0] for _ in range(3))
    explained = min(cpu_time(lambda: explain_nan(gradient)(ZEROS).kind)[0] for _ in range(3))
    assert explained < 6 * plain  # it is some 2 times


def test_a_million_operations() -> None:
    def fun(x: Any) -> Any:
        def turn(c: Any, t: Any) -> Any:
            for _ in range(50):
                c = mnp.sin(c) * 1.01
            return mnp.where(t == 7654, mnp.log(c - c), c), None

        return lax.scan(turn, x, mnp.arange(10_000.0))[0]

    took, report = cpu_time(lambda: explain_nan(fun)(ZEROS))
    assert (report.turn, report.primitive) == (7654, "log")
    assert took < 60  # it is 2, and most of that compiles


def test_long_programs_do_not_recur_too_deep() -> None:
    step = minijvp.jit(lambda x: mnp.sin(x) * 1.01)

    def fun(x: Any) -> Any:
        x = mnp.log(x)
        for _ in range(1500):
            x = step(x)
        return x

    report = explain_nan(fun)(ZEROS)
    assert isinstance(report, NanReport)
    assert (report.primitive, report.path) == ("log", ())
    assert report.becomes is not None
    assert report.becomes.primitive == "sin"


def test_tables_of_advice_name_primitives() -> None:
    named = advice.ROOTS | advice.LOGS | advice.ARCS | advice.QUOTIENTS | advice.EXPONENTIALS | advice.FACTORS
    named |= advice.SUMS | EXTREMA | CHOOSING | reasons.STATIONARY | reasons.PARTS | {*reasons.ALWAYS, *reasons.HERE}
    assert named <= set(registry)


def test_reports_are_tables() -> None:
    report = explain_nan(mnp.log)(0.0)
    assert report.markdown().startswith(f"**{report.title}**") and "| operation |" in report.markdown()
    assert report.html() in report._repr_html_() and "<caption>log: inf arises" in report.html()
    assert explain_nan(mnp.log)(1.0).table.rows == ()
