"""Settings: values, scopes, threads; and that a compiled function follows the memory budget."""

from __future__ import annotations

import asyncio
import contextvars
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from fractions import Fraction
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minijvp
import minijvp.numpy as mnp
from minijvp.budgets import checked_budget
from minijvp.settings import Settings, config, other_plans

DEFAULT = Settings.memory_budget
OTHER = "off" if DEFAULT == "auto" else "auto"
FACTORS = {"auto": 2.0, "off": 3.0, 0.5: 5.0, 1: 7.0, 4096: 11.0}


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    before = config._process
    assert not other_plans
    yield
    assert config._process == before
    assert not other_plans


class Asked:
    """A function whose program depends on the memory budget, and the budgets under which it ran."""

    def __init__(self) -> None:
        self.budgets: list[Any] = []

    def scaled(self, x: Any) -> Any:
        self.budgets.append(config.memory_budget)
        return x * FACTORS[config.memory_budget]

    def scaled_by_keyword(self, *, x: Any = 1.0) -> Any:
        return self.scaled(x)

    def with_static(self, n: int, x: Any) -> Any:
        return self.scaled(x) ** n


FORMS: dict[str, tuple[Callable[[Asked], Any], Callable[[Any, Any], Any]]] = {
    "plain parameters": (lambda asked: minijvp.jit(asked.scaled), lambda f, x: f(x)),
    "keywords": (lambda asked: minijvp.jit(asked.scaled_by_keyword), lambda f, x: f(x=x)),
    "static arguments": (lambda asked: minijvp.jit(asked.with_static, static_argnums=0), lambda f, x: f(1, x)),
    "inside JAX": (lambda asked: minijvp.jit(asked.scaled), lambda f, x: jax.jit(lambda x: f(x))(x)),
    "derivative": (lambda asked: minijvp.jit(asked.scaled), lambda f, x: minijvp.jvp(f, (x,), (x,))[1]),
    "batch": (lambda asked: minijvp.jit(asked.scaled), lambda f, x: minijvp.vmap(f)(mnp.ones(1) * x)[0]),
    "inside": (lambda asked: minijvp.jit(minijvp.jit(asked.scaled)), lambda f, x: f(x)),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_compiled_function_follows_the_budget(form: str) -> None:
    asked = Asked()
    compiled, call = FORMS[form]
    fun = partial(call, compiled(asked))
    for _ in range(3):
        assert float(fun(1.0)) == FACTORS[DEFAULT]
        with minijvp.config(memory_budget=1):
            assert float(fun(1.0)) == FACTORS[1]
            with minijvp.config(memory_budget=1.0):
                assert float(fun(1.0)) == FACTORS["auto"]
                with minijvp.config(compile_gradients_after=7, memory_budget=0.5):
                    assert float(fun(1.0)) == FACTORS[0.5]
                with minijvp.config(compile_gradients_after=7):
                    assert float(fun(1.0)) == FACTORS["auto"]
            minijvp.config.update(memory_budget=4096)
            assert float(fun(1.0)) == FACTORS[1]
        assert float(fun(1.0)) == FACTORS[4096]
        minijvp.config.update(memory_budget=DEFAULT)
    assert len(asked.budgets) == len({DEFAULT, 1, "auto", 0.5, 4096})


def test_the_gradient_that_is_compiled_is_that_of_the_budget() -> None:
    def layers(w: Any, x: Any) -> Any:
        for _ in range(3):
            joined = mnp.concatenate([mnp.concatenate([w, -w], 0), mnp.concatenate([w, w], 0)], 1)
            x = mnp.tanh(x @ joined)
        return mnp.sum(x)

    w, x = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in ((512, 512), (8, 1024))]
    gradient = minijvp.jit(minijvp.grad(layers))
    texts = []
    for budget in ("off", "auto", "off"):
        with minijvp.config(memory_budget=budget):
            texts.append(gradient.lower(w, x).as_text())
    assert texts[0] == texts[2] != texts[1]


def test_methods_of_a_compiled_function() -> None:
    asked = Asked()
    fun = minijvp.jit(asked.scaled)
    for budget in (DEFAULT, OTHER):
        with minijvp.config(memory_budget=budget):
            assert f"{FACTORS[budget]:.6e}" in fun.lower(jnp.ones(3)).as_text()
            assert f"{FACTORS[budget]}" in str(fun.trace(jnp.ones(3)).jaxpr)
            assert fun.eval_shape(jnp.ones(3)).shape == (3,)
            assert float(fun.lower(1.0).compile()(1.0)) == float(fun(1.0)) == FACTORS[budget]
    runs = len(asked.budgets)
    fun.clear_cache()
    fun(1.0)
    with minijvp.config(memory_budget=OTHER):
        fun(1.0)
    assert asked.budgets[runs:] == [DEFAULT, OTHER]


def test_values_that_had_yet_to_be_computed_meet_the_budget() -> None:
    asked = Asked()
    fun = minijvp.jit(asked.scaled)
    kept: list[Any] = []

    def loss(x: Any) -> Any:
        kept.append(mnp.asarray(2.0) * 1.0)
        return fun(kept[0]) * x

    with minijvp.config(memory_budget=0.5, compile_gradients_after=1):
        assert float(minijvp.grad(loss)(1.0)) == 2 * FACTORS[0.5]
        assert float(fun(kept[0])) == 2 * FACTORS[0.5]


def test_scopes_of_threads_do_not_meet() -> None:
    asked = Asked()
    fun = minijvp.jit(asked.scaled)
    barrier = threading.Barrier(4)
    found: dict[Any, list[float]] = {}

    def work(budget: Any) -> None:
        with minijvp.config(memory_budget=budget):
            barrier.wait()
            found[budget] = [float(fun(1.0)) for _ in range(50)]
            barrier.wait()

    threads = [threading.Thread(target=work, args=(budget,)) for budget in (0.5, 1, 4096)]
    for t in threads:
        t.start()
    barrier.wait()
    found[DEFAULT] = [float(fun(1.0)) for _ in range(50)]
    barrier.wait()
    for t in threads:
        t.join()
    assert found == {budget: [FACTORS[budget]] * 50 for budget in (0.5, 1, 4096, DEFAULT)}


def test_a_copy_of_the_context_outlives_the_scope() -> None:
    fun = minijvp.jit(Asked().scaled)
    with minijvp.config(memory_budget=0.5):
        context = contextvars.copy_context()
    found: list[float] = []
    thread = threading.Thread(target=context.run, args=(lambda: found.append(float(fun(1.0))),))
    thread.start()
    thread.join()
    assert [*found, float(fun(1.0))] == [FACTORS[0.5], FACTORS[DEFAULT]]


def test_tasks_have_their_own_scopes() -> None:
    fun = minijvp.jit(Asked().scaled)

    async def work(budget: Any) -> list[float]:
        found = []
        with minijvp.config(memory_budget=budget):
            for _ in range(3):
                found.append(float(fun(1.0)))
                await asyncio.sleep(0)
        return found

    async def all_of_them() -> list[list[float]]:
        return await asyncio.gather(*[work(budget) for budget in FACTORS])

    assert asyncio.run(all_of_them()) == [[factor] * 3 for factor in FACTORS.values()]


def test_a_scope_ends_with_an_exception_and_decorates() -> None:
    with minijvp.config(memory_budget=0.5):
        with pytest.raises(KeyError, match=r"0\.25, 9"), minijvp.config(memory_budget=0.25, compile_gradients_after=9):
            raise KeyError(config.memory_budget, config.compile_gradients_after)
        assert config.memory_budget == 0.5
    assert config.memory_budget == DEFAULT

    @minijvp.config(memory_budget=0.25)
    def inside(n: int) -> list[Any]:
        return [config.memory_budget, *(inside(n - 1) if n else [])]

    assert inside(2) == [0.25] * 3
    assert config.memory_budget == DEFAULT
    assert "memory_budget=" in repr(config)


def test_a_misspelled_setting_is_refused_by_the_call() -> None:
    for run in (
        lambda: minijvp.config(memory_budgt=1),
        lambda: config.update(memory_budgt=1),
        lambda: setattr(config, "memory_budgt", 1),
    ):
        with pytest.raises(minijvp.ArgumentError, match="no setting 'memory_budgt'"):
            run()
    with pytest.raises(minijvp.ArgumentError, match="received memory_budget='of'"):
        minijvp.config(memory_budget="of")
    with pytest.raises(minijvp.ArgumentError, match=r"config\.update\(memory_budget=\.\.\.\)"):
        config.memory_budget = "off"  # type: ignore[misc]


def test_a_scope_that_nobody_enters_warns() -> None:
    with pytest.warns(minijvp.UnusedScopeWarning, match=r"with minijvp\.config\(memory_budget='off'\):") as caught:
        minijvp.config(memory_budget="off")
    assert [w.filename for w in caught] == [__file__]  # and the line is that of the call
    scope = minijvp.config(memory_budget=0.5)
    with pytest.warns(minijvp.UnusedScopeWarning, match=r"minijvp\.config\.update\(memory_budget=0\.5\)"):
        del scope
    assert config.memory_budget == DEFAULT


def test_an_unused_scope_is_loud_where_warnings_are_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    raised: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: raised.append(unraisable.exc_value))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        minijvp.config(memory_budget="off")
    assert list(map(type, raised)) == [minijvp.UnusedScopeWarning]


def test_a_scope_that_is_used_does_not_warn(recwarn: pytest.WarningsRecorder) -> None:
    scope = minijvp.config(memory_budget=0.5)
    for _ in range(2):  # one after the other
        with scope:
            assert config.memory_budget == 0.5
    with ExitStack() as stack:
        stack.enter_context(minijvp.config(memory_budget=1))
        assert config.memory_budget == 1
    minijvp.config(memory_budget=1)(lambda: None)
    for run in (lambda: minijvp.config(memory_budgt=1), lambda: minijvp.config(memory_budget=-1)):
        with pytest.raises(minijvp.ArgumentError):
            run()
    with pytest.raises(KeyError), minijvp.config(memory_budget=1):
        raise KeyError
    del scope, stack
    assert not recwarn.list


def test_a_scope_that_is_misused() -> None:
    scope = minijvp.config(memory_budget=0.5)
    with scope:
        with pytest.raises(minijvp.ArgumentError, match="entered twice at a time"), scope:
            pass
        assert config.memory_budget == 0.5
    assert config.memory_budget == DEFAULT

    async def coroutine() -> None: ...

    def generator() -> Iterator[None]:
        yield

    for fun in (coroutine, generator, 3):
        with pytest.raises(minijvp.ArgumentError, match="to decorate"):
            minijvp.config(memory_budget=0.5)(fun)


def test_a_decorated_function_runs_in_several_threads() -> None:
    barrier = threading.Barrier(2)

    @minijvp.config(memory_budget=0.25)
    def inside(_: int) -> Any:
        barrier.wait()
        return config.memory_budget

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(inside, range(4))) == [0.25] * 4


GOOD = {"auto": "auto", "off": "off", 0.25: 0.25, 1: 1, 2**40: 2**40, np.float32(0.5): 0.5, np.int64(3): 3}
GOOD |= {1.0: "auto", np.float64(1.0): "auto", Fraction(1, 4): 0.25}


@pytest.mark.parametrize("value", [*GOOD, 1.0, 1])
def test_budgets(value: Any) -> None:
    # 1 == 1.0, and they mean different things: that is why they do not stay so.
    wanted = GOOD[value] if value != 1 else ("auto" if isinstance(value, float) else 1)
    found = checked_budget(value, "grad")
    assert (type(found), found) == (type(wanted), wanted)
    with minijvp.config(memory_budget=value):
        assert config.memory_budget == wanted


@given(st.one_of(st.floats(0, 1, exclude_min=True, exclude_max=True), st.integers(1)))
def test_budgets_keep_their_value(value: float | int) -> None:
    found = checked_budget(value, "grad")
    assert (type(found), found) == (type(value), value)


BAD = [0, -1, 0.0, -0.5, 1.5, 1e9, float("inf"), float("nan"), True, False, np.True_, "half", "AUTO", "", None, [], 1j]
BAD += [np.ones(3), jnp.ones(()), np.float32(2), np.int32(0), np.nan]


@pytest.mark.parametrize("value", BAD, ids=repr)
def test_budgets_that_cannot_be(value: Any) -> None:
    for run in (lambda: config.update(memory_budget=value), lambda: minijvp.config(memory_budget=value).__enter__()):
        with pytest.raises(minijvp.ArgumentError, match=r"config received memory_budget=") as caught:
            run()
    with pytest.raises(minijvp.ArgumentError, match="grad received memory_budget="):
        checked_budget(value, "grad")
    text = str(caught.value)
    for form in ("'auto' (", "'off' (", "0 < f <= 1", "positive int"):
        assert form in text
    bytes_as_float = isinstance(value, (float, np.floating)) and value > 1
    assert ("Pass bytes as an int" in text) == bytes_as_float
    assert config.memory_budget == DEFAULT
