"""config(explain_compiles=True): what is said of each compilation, and that nothing is said otherwise."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from threading import Thread
from typing import Any

import jax
import jax.numpy as jnp
import pytest

import minijvp
import minijvp.numpy as mnp
from minijvp.calls import compiles
from minijvp.settings import config, other_plans
from tests.side_by_side import same

X = jnp.ones(3)
TIMES = re.compile(r" in [\d.]+ s \((?:tracing [\d.]+, )?lowering [\d.]+(?:, XLA [\d.]+)?\)")


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], list[str]]]:
    """What was said since the last time that it was asked, without times and paths."""

    def read() -> list[str]:
        found = [TIMES.sub("", r.getMessage()) for r in caplog.records if r.name == "minijvp"]
        caplog.clear()
        return [re.sub(r" \(/.*?/test_compiles.py:\d+\)", "", line) for line in found]

    compiles.histories.clear()
    with config(explain_compiles=True):
        yield read
    assert not other_plans


def again(n: int, what: str, name: str = "loss") -> str:
    return f"compiled {name}: again, for it is not as the closest of {n} earlier ones: {what}"


def loss(params: Any, x: Any, power: int = 2) -> Any:
    return mnp.sum((x @ params["w"][0]) ** power)


def test_what_changed_is_named(said: Any) -> None:
    f = minijvp.jit(minijvp.grad(loss), static_argnames="power")
    params = {"w": [jnp.ones((3, 2)), jnp.ones(2)]}
    x = jnp.ones((4, 3))
    for _ in range(2):
        f(params, x)
    assert said() == ["compiled loss: first call"]
    f(params, jnp.ones((5, 3)))
    assert said() == [again(1, "x: f64[4,3] -> f64[5,3]")]
    f({"w": [jnp.ones((3, 2), "float32"), jnp.ones(2)]}, x)
    assert said() == [again(2, "params['w'][0]: f64[3,2] -> f32[3,2]")]
    f({"w": (jnp.ones((3, 2)), jnp.ones(2))}, x)
    (line,) = said()
    assert line.startswith(again(3, "containers of the arguments: ")) and "[*, *]" in line and "(*, *)" in line
    f({"w": params["w"], "b": 1.0}, x)
    (line,) = said()
    assert "params['b']: not given -> f64[] (weak type)" in line
    f(params, x, power=3)
    assert said() == [again(5, "power (static): not given -> 3")]
    f(params, jax.device_put(x, jax.devices()[0]))
    (line,) = said()
    assert line.startswith(again(6, "x lies on: not given -> SingleDeviceSharding("))
    with config(memory_budget=0.5):
        f(params, x)
    (line,) = said()
    assert line.startswith(again(7, "memory_budget, outline and nan_safe: ")) and "0.5" in line
    with jax.default_matmul_precision("float32"):
        f(params, x)
    assert said() == [again(8, "default_matmul_precision: None -> 'float32'")]


def test_weak_types_are_told(said: Any) -> None:
    @minijvp.jit
    def f(x: Any) -> Any:
        return x * 2

    f(1.0)
    f(jnp.float64(1))
    assert (
        said()[1] == "compiled f: again, for it is not as the closest of 1 earlier ones: x: f64[] (weak type) -> f64[]"
    )


def test_what_is_forgotten_or_put_under_jit_anew_is_told(said: Any) -> None:
    for k in range(2):
        minijvp.jit(lambda x, k=k: x + k)(X)
    first, second = said()
    assert first == "compiled <lambda>: first call"
    assert second.startswith("compiled <lambda>: again, for jit was applied anew to a function of this line: keep")

    @minijvp.jit
    def f(x: Any) -> Any:
        return x * 3

    f(X)
    f.clear_cache()
    f(X)
    assert (
        said()[1]
        == "compiled f: again, though the call is an earlier one: that was forgotten, or a setting of JAX changed"
    )


def test_transformations_and_what_is_compiled_ahead(said: Any) -> None:
    @minijvp.jit
    def inner(x: Any) -> Any:
        return mnp.sin(0.8125 * x).sum()  # no other test has compiled an equal program

    @minijvp.jit
    def outer(x: Any) -> Any:
        return inner(x) * 2

    same(outer(X), 2 * jnp.sin(0.8125 * X).sum())
    assert said() == ["compiled outer: first call"]
    same(minijvp.grad(inner)(X), 0.8125 * jnp.cos(0.8125 * X))
    forward, backward = said()
    assert forward == "compiled inner: first call"
    assert re.match(r"compiled jit\(transpose\(linear\(inner\)\)\) in [\d.]+ s: a part of", backward)
    minijvp.vmap(inner)(X)
    assert "asked for by: a linearization (grad, vjp, linearize) -> a vmap of size 3" in said()[0]
    lowered = outer.lower(jnp.ones(4))
    assert said() == [
        "lowered outer: again, for it is not as the closest of 1 earlier ones: "
        "x: f64[3] -> f64[4]; asked for by: a call -> lower"
    ]
    lowered.compile()
    assert re.fullmatch(r"compiled jit\(outer\) in [\d.]+ s: a part of what was lowered or differentiated", said()[0])


def test_gradients_that_recur_are_told(said: Any) -> None:
    def f(x: Any) -> Any:
        return mnp.sum(mnp.sin(x) * x)

    with config(compile_gradients_after=1):
        for n in (3, 3, 3, 4, 4):
            minijvp.grad(f)(jnp.ones(n))
    first, second = said()
    assert first == "compiled f: first call"
    assert second.startswith(again(1, "array 0: f64[3] -> f64[4]", "f"))


def test_each_thread_tells_of_its_own(said: Any) -> None:
    def work(n: int) -> None:
        with config(explain_compiles=True):
            minijvp.jit(lambda x: mnp.cos(x).sum())(jnp.ones(n))

    threads = [Thread(target=work, args=(n,)) for n in (5, 6, 7)]
    for call in (Thread.start, Thread.join):
        for thread in threads:
            call(thread)
    lines = said()
    assert len(lines) == 3 and all(line.startswith("compiled <lambda>: ") for line in lines)


def test_what_takes_long_is_told_meanwhile(said: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiles, "SLOW", 0.02)

    @minijvp.jit
    def slow(x: Any) -> Any:
        time.sleep(0.2)
        return x + 1

    slow(X)
    slow(X)
    assert said() == ["compiling slow: for 0 s up to now", "compiled slow: first call"]


def test_errors_and_results_are_as_without(said: Any) -> None:
    f = minijvp.jit(loss)
    for args in ((1,), ({"w": ["no"]}, X), ({"w": [X]}, jnp.ones(4))):
        errors = []
        for on in (True, False):
            with config(explain_compiles=on), pytest.raises((TypeError, ValueError)) as error:
                f(*args)
            errors.append(str(error.value))
        assert errors[0] == errors[1]
    said()
    with config(check_nans=True):
        same(minijvp.jit(lambda x: mnp.sin(x))(X), jnp.sin(X))
    assert said() == ["compiled <lambda>: first call"]


def test_nothing_is_said_where_it_is_off(said: Any) -> None:
    with config(explain_compiles=False):
        minijvp.jit(lambda x: x - 1)(X)
    assert said() == []
    assert config.explain_compiles
    with pytest.raises(minijvp.ArgumentError, match="explain_compiles=3"):
        config(explain_compiles=3)
