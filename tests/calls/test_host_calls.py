"""pure_callback, io_callback and debug.callback as users call them: results, order, and errors, beside JAX's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.experimental
import jax.numpy as jnp
import numpy as np
import pytest

import minijvp
import minijvp.experimental
from minijvp import ArgumentError, MissingRuleError
from tests.side_by_side import both, same

X = jnp.array([0.3, 0.5, 1.0])
ON_CPU = jax.sharding.SingleDeviceSharding(jax.devices()[0])
WORDS: list[Callable[[Any, Any], Any]] = [
    lambda api, f: f(X),
    lambda api, f: api.jit(f)(X),
    lambda api, f: api.jit(api.vmap(api.vmap(f)))(jnp.stack([X, 2 * X])[None]),
]


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("sharding", [None, ON_CPU])
def test_pure_callback(word: Callable[[Any, Any], Any], sharding: Any) -> None:
    def case(api: Any, _: Any) -> Any:
        def f(x: Any) -> Any:
            kinds = {"a": jax.ShapeDtypeStruct(x.shape, x.dtype), "b": jax.ShapeDtypeStruct((), x.dtype)}
            host = lambda x, scale: {"a": np.sin(x) * scale, "b": np.asarray(x).sum()}
            out = api.pure_callback(host, kinds, x, scale=2.0, sharding=sharding, vmap_method="sequential")
            return 3 * out["a"] + out["b"]

        return word(api, f)

    both(case)


@pytest.mark.parametrize("ordered", [True, False])
def test_io_callback(ordered: bool) -> None:
    seen: list[Any] = []

    def f(x: Any) -> Any:
        minijvp.experimental.io_callback(lambda v: seen.append(("first", float(v))), None, x[0], ordered=ordered)
        add = lambda v: (seen.append(("second", float(v))), np.float64(v) + 1)[1]
        kind = jax.ShapeDtypeStruct((), x.dtype)
        return 2 * minijvp.experimental.io_callback(add, kind, x[1], ordered=ordered, sharding=ON_CPU)

    for fun in (f, minijvp.jit(f)):
        same(fun(X), jnp.asarray(3.0))
        assert seen == [("first", 0.3), ("second", 0.5)] or not ordered
        seen.clear()
    two = jnp.stack([X, X + 1])
    if ordered:
        with pytest.raises(ArgumentError, match="ordered"):
            minijvp.vmap(f)(two)
    else:
        same(minijvp.vmap(f)(two), jnp.array([3.0, 5.0]))
        assert sorted(seen) == [("first", 0.3), ("first", 1.3), ("second", 0.5), ("second", 1.5)]


def test_callbacks_refuse_what_they_cannot_do() -> None:
    kind = jax.ShapeDtypeStruct((), X.dtype)
    call = lambda x, **how: minijvp.pure_callback(lambda x: x, kind, x.sum(), **how)
    with pytest.raises(MissingRuleError, match="custom_jvp"):
        minijvp.grad(call)(X)
    with pytest.raises(MissingRuleError, match="vmap_method"):
        minijvp.vmap(call)(X[None])
    with pytest.raises(ArgumentError, match="'text' of type str"):
        minijvp.jit(lambda x: minijvp.pure_callback(lambda *xs: xs[0], kind, x, "text"))(1.0)
    with pytest.raises(Exception, match=r"returned a result of structure .*, and was to return"):
        jax.block_until_ready(minijvp.jit(lambda x: minijvp.pure_callback(lambda x: (x, x), kind, x))(1.0))


@pytest.mark.parametrize(
    "word",
    [
        lambda f: f(X),
        lambda f: minijvp.jit(minijvp.grad(f))(X),
        lambda f: minijvp.jit(lambda x: minijvp.jvp(f, (x,), (x,)))(X),
    ],
)
def test_debug_functions_see_values_in_their_order(word: Callable[[Any], Any], capsys: Any) -> None:
    seen: list[Any] = []

    def f(x: Any) -> Any:
        minijvp.debug.print("before {} {y}", "text", y=x[0], ordered=True)
        look = lambda *args, **kwargs: seen.append((float(args[0]), args[1], float(kwargs["y"])))
        minijvp.debug.callback(look, x.sum(), "text", y=x[1], ordered=True)
        minijvp.debug.print("after {}", x[2], ordered=True)
        return (x**2).sum()

    jax.block_until_ready(word(f))
    jax.effects_barrier()
    assert capsys.readouterr().out == "before text 0.3\nafter 1.0\n"
    assert seen == [(pytest.approx(1.8), "text", 0.5)]


def test_debug_callback_as_a_decorator_and_under_vmap() -> None:
    seen: list[float] = []

    @minijvp.debug.callback(ordered=False)
    def look(x: Any) -> None:
        seen.append(float(x))

    minijvp.jit(minijvp.vmap(lambda x: (look(x), x)[1]))(X)
    jax.effects_barrier()
    assert sorted(seen) == [0.3, 0.5, 1.0]
    with pytest.raises(ArgumentError, match="partitioned"):
        minijvp.jit(lambda x: (minijvp.debug.callback(print, x, partitioned=True), x)[1])(X)
