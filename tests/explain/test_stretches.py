"""Long programs that repeat themselves: the stretches that are compiled, and the same reports as one at a time."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minijvp
import minijvp.numpy as mnp
from minijvp.core.jaxpr import Equation, evaluate
from minijvp.explain import stretches
from minijvp.explain.runs import Run
from minijvp.explain.stretches import FEW, Stretch, known, parts_of, seldom_collected
from tests.several_devices import run_on_four_devices


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs of some dozen equations count as long."""
    monkeypatch.setattr(stretches, "LONG", 40)
    monkeypatch.setattr(stretches, "SIZE", 8)
    monkeypatch.setattr(stretches, "TIMES", 3)


def growth(x: Any) -> Any:
    for _ in range(60):
        x = x + 0.3 * mnp.exp(x)
    return x


def with_numbers(x: Any) -> Any:
    for i in range(60):
        x = mnp.sin(x) * (1.0 if i % 20 else 0.5) + x[::-1]
    return mnp.sum(mnp.log(x - x))


def two_loops(x: Any) -> Any:
    y = x
    for _ in range(40):
        y = mnp.cos(y) * x
    for _ in range(40):
        x = mnp.tanh(x) + y
    return mnp.log(x - x) * x


def with_calls(x: Any) -> Any:
    for _ in range(40):
        x = minijvp.jit(lambda x: mnp.sin(x) * 2)(x) - 1
    return mnp.sum(mnp.where(x > -5, 1 / (x - x), x))


PROGRAMS = [growth, minijvp.grad(lambda x: mnp.sum(growth(x))), with_numbers, minijvp.grad(with_numbers), two_loops]
PROGRAMS += [minijvp.jit(two_loops), minijvp.vmap(two_loops), with_calls, minijvp.grad(with_calls)]


@pytest.mark.parametrize("fun", PROGRAMS)
def test_reports_are_those_of_one_operation_at_a_time(fun: Callable[..., Any], short: None) -> None:
    x = np.float32([0.5, 1.0, 1.5])
    found = str(minijvp.explain_nan(fun)(x))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stretches, "LONG", 10**9)
        assert found == str(minijvp.explain_nan(fun)(x))
    assert "nan" in found or "inf" in found


@pytest.mark.parametrize("fun", [growth, with_numbers, two_loops])
def test_all_values_are_there(fun: Callable[..., Any], short: None) -> None:
    x = np.float32([-0.5, -1.0, -1.5])
    jaxpr = minijvp.make_jaxpr(fun)(x)
    assert sum([type(part) is Stretch for part in parts_of(jaxpr.equations)]) >= 3
    run = Run(jaxpr, [x])
    assert run.values.keys() == {*jaxpr.inputs, *dict(jaxpr.constants), *[v for e in jaxpr for v in e.outputs]}
    np.testing.assert_allclose(run.value(jaxpr.outputs[0]), evaluate(jaxpr, x)[0], rtol=2e-5)


def test_equations_are_the_same_in_parts(short: None) -> None:
    for fun in (growth, with_numbers, two_loops):
        equations = minijvp.make_jaxpr(fun)(np.ones(3, np.float32)).equations
        found = [e for part in parts_of(equations) for e in (part.equations if type(part) is Stretch else (part,))]
        assert all(x is y for x, y in zip(found, equations, strict=True))


def test_what_has_effects_happens_once(short: None, capsys: pytest.CaptureFixture[str]) -> None:
    def fun(x: Any) -> Any:
        for i in range(30):
            x = mnp.exp(x) - x
            minijvp.debug.print("turn {} {}", i, x, ordered=True)
        return x

    assert minijvp.explain_nan(fun)(1.0)
    assert capsys.readouterr().out.count("turn") == 30


def attention(x: Any) -> Any:
    scores = mnp.where(mnp.tri(3) > 0, x @ x.T / 2.0, -mnp.inf)
    return mnp.sum(minijvp.nn.softmax(scores) @ mnp.log(x))


MET_AGAIN = [attention, minijvp.grad(attention), minijvp.jit(minijvp.grad(attention)), minijvp.vmap(with_numbers)]


@pytest.mark.parametrize("fun", MET_AGAIN)
def test_reports_on_what_was_met_before_are_the_same(fun: Callable[..., Any]) -> None:
    known.cache_clear()
    x = np.eye(3, dtype=np.float32)
    first, *others = [str(minijvp.explain_nan(fun)(x)) for _ in range(4)]
    assert others == [first] * 3 and "arises" in first
    assert known.cache_info().hits >= 3


def test_values_of_what_was_met_before_are_those_of_one_operation_at_a_time() -> None:
    def fun(x: Any) -> Any:
        y = mnp.log(mnp.exp(x)) ** 0.5 + x / 1e-39
        z = 1.1 * x * x - 1.1 * x * x + (x * x + 0.1) * mnp.sin(x)
        return y, z, mnp.arange(3) * 2, x.astype("int32") + 1

    x = np.float32([200.0, 0.0, -mnp.inf])
    jaxpr = minijvp.make_jaxpr(fun)(x)
    known.cache_clear()
    first, second = Run(jaxpr, [x]), Run(jaxpr, [x])
    assert [type(part) for part in parts_of(jaxpr.equations)] == [Stretch]
    for v in (v for e in jaxpr for v in e.outputs):
        np.testing.assert_array_equal(second.value(v), first.value(v), strict=True)
    assert not np.isfinite(np.asarray(first.value(jaxpr.outputs[0]))).any()


def test_what_lies_on_several_devices_is_run_an_operation_at_a_time() -> None:
    run_on_four_devices("""
import jax, minijvp, minijvp.numpy as mnp, numpy as np
from minijvp.explain.stretches import known
x, y = [jax.device_put(np.ones(3, np.float32), d) for d in jax.devices()[:2]]
fun = lambda x, y: (mnp.sum(mnp.sin(mnp.cos(x) * 2) + 1), mnp.sum(mnp.log(mnp.cos(y) * 0) - 1) * 0)
assert [minijvp.explain_nan(fun)(x, y).primitive for _ in range(3)] == ["log"] * 3
assert known.cache_info().currsize == 0
assert [minijvp.explain_nan(fun)(x, x).primitive for _ in range(3)] == ["log"] * 3
assert known.cache_info().hits == 2
""")


def test_calls_and_what_is_short_are_not_compiled() -> None:
    def fun(x: Any) -> Any:
        for _ in range(2):
            for _ in range(FEW):
                x = mnp.sin(x) + 1
            x = minijvp.jit(mnp.cos)(x)
        return x

    known.cache_clear()
    equations = minijvp.make_jaxpr(fun)(1.0).equations
    assert list(parts_of(equations)) != list(parts_of(equations))
    assert [type(part) for part in parts_of(equations)] == [Stretch, Equation] * 2
    assert list(parts_of(equations[:3])) == list(parts_of(equations[:3])) == list(equations[:3])


def test_a_program_of_many_operations_has_few_parts() -> None:
    def fun(x: Any) -> Any:
        for _ in range(10_000):
            x = mnp.sin(x) + 0.5
        return mnp.log(x - x)

    equations = minijvp.make_jaxpr(fun)(1.0).equations
    assert len(equations) >= 20_000 and len(parts_of(equations)) < 500
    report = minijvp.explain_nan(fun)(1.0)
    assert report.primitive == "log" and report.source.text == "return mnp.log(x - x)"


def test_a_program_that_does_not_repeat_itself_is_run_as_it_is(short: None) -> None:
    def fun(x: Any) -> Any:
        for i in range(1, 30):
            x = mnp.concatenate([x[:1] * i, x])
        return x

    equations = minijvp.make_jaxpr(fun)(np.ones(1, np.float32)).equations
    assert list(parts_of(equations)) == list(equations)


def test_the_collection_of_garbage_is_as_before() -> None:
    before = gc.get_threshold()
    with seldom_collected():
        assert gc.get_threshold()[0] >= before[0]
    assert gc.get_threshold() == before
