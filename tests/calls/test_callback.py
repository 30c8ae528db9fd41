"""Calls of Python functions: how often, with what, in which order, and where they have no derivative."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import io_callback as io_callback_by_jax
from jax.tree_util import tree_map

import minijvp
from minijvp import ArgumentError, MissingRuleError
from minijvp.calls.callback import debug_callback, io_callback, pure_callback
from minijvp.core.types import ArrayType, type_of
from tests.calls.test_checkpoint import remat
from tests.custom_rules.test_custom_jvp import custom
from tests.side_by_side import same
from tests.test_compositions import JAX, OURS, WORDS, Side, assert_same, jit, point, transformed

X, V = jnp.array([0.3, -1.2, 2.0]), jnp.array([1.0, 0.5, -2.0])


def elementwise(fun: Callable[..., Any], method: str | None = "expand_dims") -> Callable[..., Any]:
    """A function of arrays whose results NumPy computes, in the type of the first argument."""

    def call(*xs: Any) -> Any:
        t = type_of(xs[0]).strong()
        kind = ArrayType(t.shape, t.dtype)
        return pure_callback(*xs, callback=lambda *xs: [fun(*xs)], result_types=(kind,), vmap_method=method)[0]

    return call


# Callbacks with a rule, under all transformations


def host_sine(side: Side) -> Callable[..., Any]:
    """sin and cos are computed on the host, and each is the derivative of the other."""
    if side is JAX:
        return lambda x, n: jnp.sin(x) * n
    on_host = {fun: elementwise(lambda x, fun=fun: fun(np.asarray(x))) for fun in (np.sin, np.cos)}
    sine = custom(
        side,
        lambda x: [on_host[np.sin](x)],
        lambda xs, ts: (sine(*xs), [cosine(*xs)[0] * ts[0]]),
    )
    cosine = custom(
        side,
        lambda x: [on_host[np.cos](x)],
        lambda xs, ts: (cosine(*xs), [-sine(*xs)[0] * ts[0]]),
    )
    return lambda x, n: sine(x)[0] * n


@cache
def expected(word: tuple) -> Any:
    return jax.jit(transformed(JAX, host_sine, word))(*point(host_sine))


@pytest.mark.parametrize("word", WORDS, ids=lambda word: "-".join(letter.__name__ for letter in word))
def test_word(word: tuple) -> None:
    found = transformed(OURS, host_sine, word)(*point(host_sine))
    tree_map(assert_same, found, expected(tuple(letter for letter in word if letter is not jit)))


# Pure callbacks


@pytest.mark.parametrize(
    "method", ["sequential", "sequential_unrolled", "expand_dims", "broadcast_all", "legacy_vectorized"]
)
def test_vmap_methods(method: str) -> None:
    ours, theirs = [], []
    y = jnp.array(0.5)

    def host(seen: list) -> Any:
        def fun(x: Any, y: Any) -> Any:
            seen.append((np.shape(x), np.shape(y)))
            return np.asarray(x) * np.asarray(y)

        return fun

    def by_jax(x: Any, y: Any) -> Any:
        return jax.pure_callback(host(theirs), jax.ShapeDtypeStruct((), float), x, y, vmap_method=method)

    fun = elementwise(host(ours), method)
    for axes, args in (((0, None), (X, y)), ((0, 0), (X, V))):
        wanted = jax.vmap(by_jax, axes)(*args)
        same(minijvp.vmap(fun, axes)(*args), wanted)
        same(minijvp.jit(minijvp.vmap(fun, axes))(*args), wanted)
        assert ours[: len(ours) // 2] == ours[len(ours) // 2 :] == theirs
        ours.clear()
        theirs.clear()
    if method != "legacy_vectorized":
        nested = lambda api, fun: api.vmap(api.vmap(fun, (0, None)), (None, 0))(X, V)
        same(nested(minijvp, fun), nested(jax, by_jax))
        assert sorted(ours) == sorted(theirs)


def test_no_vmap_method() -> None:
    def host(x: Any) -> Any:
        return [np.asarray(x)]

    def fun(x: Any) -> Any:
        return pure_callback(x, callback=host, result_types=(type_of(x),), vmap_method=None)[0]

    with pytest.raises(MissingRuleError, match=r'of host has vmap_method=None(.|\n)*"sequential" always works'):
        minijvp.vmap(fun)(X)


def test_pure_callbacks_have_no_derivative() -> None:
    def host(x: Any) -> Any:
        return np.asarray(x) ** 2

    def fun(x: Any) -> Any:
        return pure_callback(x, callback=host, result_types=(type_of(X),), vmap_method=None)[0]

    for differentiate in (
        lambda: minijvp.jvp(fun, (X,), (V,)),
        lambda: minijvp.grad(lambda x: fun(x).sum())(X),
        lambda: minijvp.jit(minijvp.grad(lambda x: minijvp.jit(fun)(x).sum()))(X),
    ):
        with pytest.raises(MissingRuleError, match=r"pure_callback of host(.|\n)*custom_jvp"):
            differentiate()
    stopped = minijvp.grad(lambda x: (elementwise(host)(minijvp.stop_gradient(x)) * x).sum())(X)
    same(stopped, X**2)


def test_pure_callbacks_run_where_they_are_needed() -> None:
    calls = []

    def host(x: Any) -> Any:
        calls.append(x)
        return np.asarray(x)

    def fun(x: Any) -> Any:
        elementwise(host)(x)
        return x * 2.0

    same(minijvp.jit(fun)(X), 2 * X)
    assert calls == []
    assert "pure_callback" not in str(minijvp.make_jaxpr(fun)(X))


# Callbacks with effects


class Log:
    """What a callback saw, in order."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def __call__(self, x: Any) -> Any:
        self.seen.append(np.asarray(x).tolist())
        return ()

    def read(self) -> list[Any]:
        jax.effects_barrier()
        seen, self.seen = self.seen, []
        return seen


def observed(log: Log, ordered: bool = True) -> Callable[..., Any]:
    """x**2 + 1, where the square is looked at."""

    def fun(x: Any) -> Any:
        y = x * x
        assert debug_callback(y, callback=log, ordered=ordered) == ()
        return y + 1.0

    return fun


def test_debug_callbacks_see_primals_once() -> None:
    log = Log()
    fun = observed(log)
    for derivative in (
        fun,
        minijvp.grad(fun),
        lambda x: minijvp.jvp(fun, (x,), (x,)),
        lambda x: minijvp.linearize(fun, x)[1](x),
        minijvp.grad(minijvp.grad(fun)),
        minijvp.jacfwd(minijvp.jacrev(fun)),
    ):
        for call in (derivative, minijvp.jit(derivative)):
            call(3.0)
            assert log.read() == [9.0]
    minijvp.grad(minijvp.jit(fun))(3.0)
    assert log.read() == [9.0]


def test_debug_callbacks_see_each_lane() -> None:
    log = Log()
    fun = observed(log)
    for mapped in (minijvp.vmap(fun), minijvp.vmap(minijvp.grad(fun)), minijvp.vmap(minijvp.jit(fun))):
        for call in (mapped, minijvp.jit(mapped)):
            call(jnp.arange(3.0))
            assert log.read() == [0.0, 1.0, 4.0]
    minijvp.vmap(lambda x: fun(2.0) + x)(X)
    assert log.read() == [4.0]
    minijvp.vmap(minijvp.vmap(fun))(jnp.arange(4.0).reshape(2, 2))
    assert log.read() == [0.0, 1.0, 4.0, 9.0]


def test_effects_are_no_dead_code() -> None:
    log = Log()

    def fun(x: Any) -> Any:
        minijvp.jit(observed(log))(x)
        custom(OURS, lambda x: [observed(log)(x)], lambda xs, ts: (xs, ts))(x)
        return x

    same(minijvp.jit(fun)(2.0), jnp.asarray(2.0, float))
    assert log.read() == [4.0, 4.0]
    jaxpr = minijvp.make_jaxpr(fun)(2.0)
    assert [e.has_effects for e in jaxpr] == [True, True]
    assert jaxpr.without_dead_code() is jaxpr
    assert not jaxpr.without_dead_code(effects=False).equations


def test_rematerialisation_repeats_effects() -> None:
    log = Log()
    fun = remat(observed(log))
    minijvp.value_and_grad(fun)(3.0)
    assert log.read() == [9.0, 9.0]


def test_io_callbacks() -> None:
    counter = []

    def host(x: Any) -> Any:
        counter.append(np.asarray(x).tolist())
        return [np.int32(len(counter))]

    def fun(x: Any, ordered: bool = True) -> Any:
        kind = (ArrayType((), np.dtype("int32")),)
        return io_callback(x, callback=host, result_types=kind, ordered=ordered)[0]

    def by_jax(x: Any) -> Any:
        return io_callback_by_jax(lambda x: host(x)[0], jax.ShapeDtypeStruct((), "int32"), x)

    twice = lambda x: (fun(x), fun(x + 1))
    same(twice(5), (jnp.int32(1), jnp.int32(2)))
    same(minijvp.jit(twice)(7), (jnp.int32(3), jnp.int32(4)))
    assert counter == [5, 6, 7, 8]
    same(sorted(minijvp.vmap(lambda n: fun(n, False))(jnp.arange(3)).tolist()), [5, 6, 7])
    same(sorted(jax.vmap(by_jax)(jnp.arange(3)).tolist()), [8, 9, 10])
    with pytest.raises(ArgumentError, match="ordered io_callback of host"):
        minijvp.vmap(fun)(jnp.arange(3))
    with pytest.raises(MissingRuleError, match="io_callback of host"):
        minijvp.grad(lambda x: x * fun(x))(1.0)


def test_no_lanes() -> None:
    kinds = ArrayType((2,), X.dtype), ArrayType((), np.dtype("int32"))
    fun = lambda x: pure_callback(x, callback=lambda x: 1 / 0, result_types=kinds, vmap_method="sequential")
    rows, counts = minijvp.vmap(fun, axis_size=0)(jnp.zeros((0, 3)))
    assert (rows.shape, counts.shape, counts.dtype) == ((0, 2), (0,), jnp.int32)
