"""Threads do not see each other's traces, axis names or errors."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import minijvp
import minijvp.numpy as mnp
from minijvp import ArgumentError, grad, hessian, jit, jvp, linearize, make_jaxpr, vjp, vmap
from minijvp.core.tracing import EVALUATION, live_traces, state

SECONDS = 60.0


def run_together(*functions: Callable[[], Any]) -> list[Any]:
    """The results of functions that run in a thread each, or the first error that one of them raised."""
    results: list[Any] = [None] * len(functions)
    errors: list[BaseException] = []

    def target(i: int) -> None:
        try:
            results[i] = functions[i]()
            assert state.trace is EVALUATION and state.axis_sizes == {} and state.source is None
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=target, args=(i,), daemon=True) for i in range(len(functions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    assert not any(thread.is_alive() for thread in threads), "a thread hangs"
    if errors:
        raise errors[0]
    assert not live_traces
    return results


def test_each_thread_has_its_own_trace() -> None:
    """Both are inside of a transformation at the same time, and meet there."""
    barrier = threading.Barrier(2, timeout=SECONDS)
    seen: dict[str, Any] = {}

    def function(name: str, factor: float) -> Callable[[Any], Any]:
        def f(x: Any) -> Any:
            y = mnp.sin(x)
            barrier.wait()
            seen[name] = state.trace
            y = y * factor
            barrier.wait()
            return y + x

        return f

    first, second = run_together(
        lambda: grad(function("first", 2.0))(1.0),
        lambda: grad(function("second", 3.0))(1.0),
    )
    assert seen["first"] is not seen["second"]
    assert np.allclose(first, 2.0 * np.cos(1.0) + 1.0)
    assert np.allclose(second, 3.0 * np.cos(1.0) + 1.0)


@pytest.mark.parametrize("other", ["vmap", "jit", "make_jaxpr", "jvp", "nothing"])
def test_different_transformations_meet(other: str) -> None:
    barrier = threading.Barrier(2, timeout=SECONDS)

    def f(x: Any) -> Any:
        y = x * x
        barrier.wait()
        y = y * x
        barrier.wait()
        return y

    apply: dict[str, Callable[[], Any]] = {
        "vmap": lambda: vmap(f)(jnp.asarray([2.0, 3.0])).tolist(),
        "jit": lambda: float(jit(f)(2.0)),
        "make_jaxpr": lambda: len(make_jaxpr(f)(2.0).equations),
        "jvp": lambda: tuple(map(float, jvp(f, (2.0,), (1.0,)))),
        "nothing": lambda: float(f(jnp.asarray(2.0))),
    }
    expected = {"vmap": [8.0, 27.0], "jit": 8.0, "make_jaxpr": 2, "jvp": (8.0, 12.0), "nothing": 8.0}
    derivative, result = run_together(lambda: float(grad(f)(5.0)), apply[other])
    assert derivative == 75.0
    assert result == expected[other]


def test_axis_names_belong_to_a_thread() -> None:
    barrier = threading.Barrier(2, timeout=SECONDS)

    def batch(n: int) -> Any:
        def f(x: Any) -> Any:
            barrier.wait()
            total = minijvp.lax.psum(x, "i")
            assert state.axis_sizes == {"i": n}
            assert minijvp.lax.axis_size("i") == n
            barrier.wait()
            return x / total

        return vmap(f, axis_name="i")(jnp.ones(n)).tolist()

    assert run_together(lambda: batch(2), lambda: batch(4)) == [[0.5] * 2, [0.25] * 4]


def test_an_axis_name_is_not_bound_in_another_thread() -> None:
    barrier = threading.Barrier(2, timeout=SECONDS)

    def bound() -> None:
        def f(x: Any) -> Any:
            barrier.wait()
            barrier.wait()
            return minijvp.lax.psum(x, "i")

        vmap(f, axis_name="i")(jnp.ones(2))

    def unbound() -> str:
        barrier.wait()
        try:
            with pytest.raises(ArgumentError) as caught:
                minijvp.lax.psum(jnp.ones(2), "i")
        finally:
            barrier.wait()
        return str(caught.value)

    assert "'i' is not bound" in run_together(bound, unbound)[1]


def test_a_thread_that_traces_does_not_slow_others_into_tracing() -> None:
    """A jitted function called where nothing is traced computes, whatever another thread is doing."""
    barrier = threading.Barrier(2, timeout=SECONDS)
    double = jit(lambda x: x * 2.0)

    def trace() -> Any:
        def f(x: Any) -> Any:
            barrier.wait()
            barrier.wait()
            return double(x)

        return float(grad(f)(3.0))

    def compute() -> Any:
        barrier.wait()
        assert live_traces
        result = double(4.0)
        barrier.wait()
        assert isinstance(result, type(jnp.ones(())))
        return float(result)

    assert run_together(trace, compute) == [2.0, 8.0]


def test_four_threads_call_one_jitted_function() -> None:
    @jit
    def f(x: Any, y: Any) -> Any:
        return mnp.sin(x) * y + x @ x

    derivative = jit(grad(lambda x: mnp.sum(mnp.sin(x) ** 2)))
    barrier = threading.Barrier(4, timeout=SECONDS)

    def work(seed: int) -> Callable[[], None]:
        def run() -> None:
            barrier.wait()
            for k in range(6):
                # Two shapes by turns, so that threads also trace and compile at the same time.
                x = np.linspace(0.0, 1.0 + seed + k, 3 + k % 2)
                assert np.allclose(f(x, 2.0), np.sin(x) * 2.0 + x @ x)
                assert np.allclose(derivative(x), np.sin(2 * x))

        return run

    run_together(*[work(seed) for seed in range(4)])


def test_four_threads_differentiate_and_batch_one_jitted_function() -> None:
    """Staged programs, steps and rules are cached for all threads."""
    f = jit(lambda x: mnp.sum(mnp.tanh(x) * x))
    barrier = threading.Barrier(4, timeout=SECONDS)
    x = np.linspace(-1.0, 1.0, 5)
    gradient = np.tanh(x) + x / np.cosh(x) ** 2

    def check(run: Callable[[], Any], expected: Any) -> Callable[[], None]:
        def repeat() -> None:
            barrier.wait()
            for _ in range(5):
                assert np.allclose(run(), expected)

        return repeat

    run_together(
        check(lambda: grad(f)(x), gradient),
        check(lambda: vmap(grad(f))(np.stack([x, x])), np.stack([gradient, gradient])),
        check(lambda: jvp(f, (x,), (np.ones(5),))[1], gradient.sum()),
        check(lambda: vjp(f, x)[1](2.0)[0], 2.0 * gradient),
    )


def test_eager_derivatives_in_four_threads() -> None:
    def f(x: Any) -> Any:
        return mnp.sum(mnp.exp(x) * mnp.cos(x))

    x = np.linspace(0.0, 1.0, 4)
    gradient = np.exp(x) * (np.cos(x) - np.sin(x))
    barrier = threading.Barrier(4, timeout=SECONDS)

    def run() -> None:
        barrier.wait()
        for _ in range(5):
            assert np.allclose(grad(f)(x), gradient)
            assert np.allclose(linearize(f, x)[1](np.ones(4)), gradient.sum())
            assert np.allclose(hessian(f)(x), np.diag(-2.0 * np.exp(x) * np.sin(x)))

    run_together(*[run] * 4)


@pytest.mark.parametrize("kind", [KeyError, ArgumentError])
def test_an_error_in_one_thread_does_not_disturb_another(kind: type[Exception]) -> None:
    barrier = threading.Barrier(2, timeout=SECONDS)

    def failing() -> str:
        def f(x: Any) -> Any:
            barrier.wait()  # both are inside
            if kind is KeyError:
                raise KeyError("mine")
            return mnp.reshape(mnp.ones(3) * x, (2,))

        for transform in (lambda: grad(lambda x: mnp.sum(f(x)))(1.0),):
            with pytest.raises(kind):
                transform()
        assert state.trace is EVALUATION
        barrier.wait()  # the other one is still inside
        assert float(grad(lambda x: x * x)(2.0)) == 4.0
        barrier.wait()
        return "failed"

    def working() -> float:
        def f(x: Any) -> Any:
            y = mnp.sin(x)
            for _ in range(3):
                barrier.wait()
            assert state.trace is not EVALUATION
            return y * x

        return float(grad(f)(1.0))

    failed, gradient = run_together(failing, working)
    assert failed == "failed"
    assert np.isclose(gradient, np.cos(1.0) + np.sin(1.0))


def test_the_lines_of_a_program_are_those_of_its_thread() -> None:
    barrier = threading.Barrier(2, timeout=SECONDS)

    def first(x: Any) -> Any:
        barrier.wait()
        y = mnp.sin(x)  # the line of the first thread
        barrier.wait()
        return y

    def second(x: Any) -> Any:
        barrier.wait()
        y = mnp.sin(x)  # the line of the second thread
        barrier.wait()
        return y

    one, two = run_together(lambda: make_jaxpr(first)(1.0), lambda: make_jaxpr(second)(1.0))
    assert "the first thread" in one.equations[0].source.text
    assert "the second thread" in two.equations[0].source.text
