"""jit of a function that was under jit before: it traces and compiles nothing again, as in JAX, and keeps nothing."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import pytest

import minijvp
import minijvp.numpy as mnp

SIDES = {"ours": minijvp, "of JAX": jax}


class Counted:
    """A function that counts how often it runs, with a method that does."""

    def __init__(self) -> None:
        self.runs = 0

    def __call__(self, x: Any) -> Any:
        self.runs += 1
        return x * 2

    def method(self, x: Any) -> Any:
        return self(x)

    def runs_of(self, fun: Callable[..., Any], *args: Any) -> int:
        before = self.runs
        fun(*args)
        return self.runs - before


def runs(case: str, api: Any) -> list[int]:
    """How often a function runs in each of several calls."""
    f = Counted()
    g = partial(f)
    kept = [api.jit(f.method)] if "kept" in case else []
    calls: dict[str, list[Callable[[Any], Any]]] = {
        "the same": [api.jit(f), api.jit(f), lambda x: api.jit(f)(x)],
        "a partial": [api.jit(g), api.jit(g)],
        "partials": [api.jit(partial(f)), api.jit(partial(f))],
        "gradients": [lambda x: api.jit(api.grad(f))(x), lambda x: api.jit(api.grad(f))(x)],
        "a method": [lambda x: api.jit(f.method)(x), lambda x: api.jit(f.method)(x)],
        "a method that is kept": [*kept, lambda x: api.jit(f.method)(x)],
        "under a gradient": [lambda x: api.grad(api.jit(f))(x), lambda x: api.grad(api.jit(f))(x)],
        "cleared": [api.jit(f), lambda x: api.jit(f).clear_cache(), lambda x: api.jit(f)(x)],
        "cleared under a gradient": [
            api.grad(api.jit(f)),
            lambda x: api.jit(f).clear_cache(),
            lambda x: api.grad(api.jit(f))(x),
        ],
        "all cleared": [lambda x: api.grad(api.jit(f))(x), lambda x: api.clear_caches(), api.grad(api.jit(f))],
        "other types": [api.jit(f), lambda x: api.jit(f)(jnp.ones(3)), lambda x: api.jit(f)(jnp.zeros(3))],
    }
    return [f.runs_of(call, 1.0) for call in calls[case]]


CASES = {
    "the same": [1, 0, 0],
    "a partial": [1, 0],
    "partials": [1, 1],
    "gradients": [1, 1],
    "a method": [1, 1],
    "a method that is kept": [1, 0],
    "under a gradient": [1, 0],
    "cleared": [1, 0, 1],
    "cleared under a gradient": [1, 0, 1],
    "all cleared": [1, 0, 1],
    "other types": [1, 1, 0],
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("side", SIDES)
def test_how_often_a_function_runs(case: str, side: str) -> None:
    assert runs(case, SIDES[side]) == CASES[case]


def test_options_are_part_of_what_is_the_same() -> None:
    runs = []

    def f(x: Any, n: Any = 2) -> Any:
        runs.append(n)
        return x * n

    options: list[dict[str, Any]] = [
        {"static_argnums": 1},
        {"static_argnames": ["n"]},
        {"inline": True},
        {"out_shardings": jax.sharding.SingleDeviceSharding(jax.devices()[0])},
        {"compiler_options": {"xla_cpu_enable_fast_min_max": True}},
    ]
    for given in options:
        for _ in range(2):
            assert float(minijvp.jit(f, **given)(2.0, 3)) == 6.0
        assert len(runs) == 1, given
        runs.clear()
    with pytest.raises(minijvp.ArgumentError):
        minijvp.jit(f, static_argnums=True)(2.0, 3)  # which is equal to 1


def test_settings_in_force_count() -> None:
    f = Counted()
    assert f.runs_of(minijvp.jit(f), 1.0) == 1
    with jax.enable_x64(not jax.config.jax_enable_x64):
        assert minijvp.jit(f)(1.0).dtype == jnp.asarray(1.0).dtype
    with minijvp.config(memory_budget=1000):
        assert f.runs_of(minijvp.jit(f), 1.0) == 1
        assert f.runs_of(minijvp.jit(f), 1.0) == 0
    assert f.runs_of(minijvp.jit(f), 1.0) == 0


def test_what_cannot_be_looked_up_compiles_anew() -> None:
    class Unhashable(Counted):
        __hash__ = None  # type: ignore[assignment]

    class Referenced:
        __slots__ = ("runs",)
        __call__, runs_of = Counted.__call__, Counted.runs_of

    for kind in (Unhashable, Referenced):
        f = kind()
        f.runs = 0
        fast = minijvp.jit(f)
        assert [f.runs_of(fast, 1.0), f.runs_of(fast, 1.0), f.runs_of(minijvp.jit(f), 1.0)] == [1, 0, 1], kind


def test_equal_functions_are_one_and_outlive_each_other() -> None:
    class Scaled:
        def __init__(self, scale: float):
            self.scale = scale

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Scaled) and self.scale == other.scale

        def __hash__(self) -> int:
            return hash(self.scale)

        def __call__(self, x: Any) -> Any:
            return x * self.scale

    first, second = minijvp.jit(Scaled(2.0)), minijvp.jit(Scaled(2.0))
    assert float(first(1.0)) == 2.0
    del first
    assert second(jnp.ones(3)).tolist() == [2.0] * 3
    assert float(minijvp.jit(Scaled(3.0))(1.0)) == 3.0


USES: dict[str, Callable[[Any], Any]] = {
    "called": lambda f: minijvp.jit(f)(1.0, 2.0),
    "lowered": lambda f: minijvp.jit(f).lower(1.0, 2.0),
    "static": lambda f: minijvp.jit(f, static_argnums=1)(1.0, 2.0),
    "differentiated": lambda f: minijvp.grad(minijvp.jit(f))(1.0, 2.0),
    "a gradient": lambda f: minijvp.jit(minijvp.grad(minijvp.jit(f)))(1.0, 2.0),
    "in a budget": lambda f: minijvp.jit(minijvp.grad(minijvp.jit(f), memory_budget=0.5))(1.0, 2.0),
}


@pytest.mark.parametrize("use", USES)
def test_a_function_goes_with_the_last_reference(use: str) -> None:
    """And so does one that its own default value, its annotation, its attribute and its closure refer to."""

    def run() -> tuple[weakref.ref[Any], weakref.ref[Any]]:
        class Annotation:
            pass

        def f(x: Annotation, k: Any, more: Any = Annotation) -> Any:
            return (f, x * k * constant)[1]

        constant = jnp.ones(()) * 3
        Annotation.fun = f.attribute = f  # type: ignore[attr-defined]
        f.under_jit = minijvp.jit(f)  # type: ignore[attr-defined]
        USES[use](f)
        return weakref.ref(f), weakref.ref(constant)

    found = run()
    gc.collect()
    gc.collect()  # what a function had goes when that is gone
    assert [reference() for reference in found] == [None, None]


def test_a_function_that_is_called_goes_without_the_collector() -> None:
    gc.collect()
    gc.disable()
    try:
        f = lambda x: x * 2
        minijvp.jit(f)(1.0)
        made = minijvp.jit(f)
        found = weakref.ref(f), weakref.ref(made)
        del f, made
        assert [reference() for reference in found] == [None, None]
    finally:
        gc.enable()


def test_methods_outlive_the_function_that_had_them() -> None:
    assert float(minijvp.jit(lambda x: x * 2).lower(1.0).compile()(3.0)) == 6.0
    assert minijvp.jit(lambda x: x * 2).eval_shape(1.0).shape == ()
    trace = minijvp.jit(lambda x: x * 2).trace
    assert float(trace(1.0).lower().compile()(3.0)) == 6.0


def test_all_that_were_made_drop_the_look_at_jax() -> None:
    """The first program without rules of its own says so to what was made before it, and after."""
    f = Counted()
    before, first = minijvp.jit(f), minijvp.jit(f)
    first(1.0)
    after = minijvp.jit(f)
    assert before.__code__ is first.__code__ is after.__code__
    assert minijvp.jit(Counted()).__code__ is not first.__code__
    assert jax.grad(after)(1.0) == jax.grad(before)(1.0) == 2.0


def test_threads_share_what_is_compiled() -> None:
    f, results = Counted(), []
    minijvp.jit(f)(1.0)
    threads = [threading.Thread(target=lambda: results.append(float(minijvp.jit(f)(1.0)))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [2.0] * 8 and f.runs == 1


def test_jax_is_told_where_the_function_stands() -> None:
    def f(x: Any, *, k: Any = 2.0) -> Any:
        return mnp.sin(x) * k

    info = minijvp.jit(f).trace(1.0, k=3.0).jaxpr.jaxpr.debug_info
    assert info.func_src_info == jax.jit(f).trace(1.0, k=3.0).jaxpr.jaxpr.debug_info.func_src_info
    assert info.arg_names == ("x", "k")
