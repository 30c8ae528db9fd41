"""Derivatives inside of jax.shard_map, where JAX sums over devices; one device will do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AxisType, PartitionSpec

import minijvp
import minijvp.numpy as mnp
from tests.side_by_side import same

MESH = jax.make_mesh((1,), ("i",), axis_types=(AxisType.Auto,))
ALL, SPLIT = PartitionSpec(), PartitionSpec("i")
W, X = jnp.arange(3.0), jnp.linspace(-1.0, 1.0, 12).reshape(4, 3)


def mapped(fun: Callable[..., Any], out: Any, **options: Any) -> Any:
    return jax.jit(jax.shard_map(fun, mesh=MESH, in_specs=(ALL, SPLIT), out_specs=out, **options))(W, X)


def loss(w: Any, x: Any) -> Any:
    return mnp.sum(mnp.sin(x @ w))


def by_jax(w: Any, x: Any) -> Any:
    return jnp.sum(jnp.sin(x @ w))


LOSSES: dict[Any, Callable[..., Any]] = {minijvp: loss, jax: by_jax}
gradient = minijvp.grad(loss)
SUMMED: dict[str, tuple[Callable[[Any], Callable[..., Any]], Any]] = {
    "grad": (lambda api: api.grad(LOSSES[api]), ALL),
    "value_and_grad": (lambda api: lambda w, x: api.value_and_grad(LOSSES[api])(w, x)[1], ALL),
    "vjp": (lambda api: lambda w, x: api.vjp(lambda w: x @ w, w)[1](x @ w)[0], ALL),
    "jacrev": (lambda api: lambda w, x: api.jacrev(lambda w: x @ w)(w), SPLIT),
    "hessian": (lambda api: lambda w, x: api.hessian(LOSSES[api])(w, x), ALL),
    "linear_transpose": (lambda api: lambda w, x: api.linear_transpose(lambda w: x @ w, w)(x @ w)[0], ALL),
    "jit": (lambda api: api.jit(api.grad(LOSSES[api])), ALL),
    "scan": (
        lambda api: lambda w, x: api.lax.scan(lambda c, _: (api.grad(LOSSES[api])(c, x), None), w, None, length=2)[0],
        ALL,
    ),
}


@pytest.mark.parametrize("word", SUMMED)
def test_what_does_not_vary_gets_the_sum(word: str) -> None:
    fun, out = SUMMED[word]
    same(mapped(fun(minijvp), out), mapped(fun(jax), out))
    same(gradient(W, X), jax.grad(by_jax)(W, X))


RIGHT: dict[str, tuple[Callable[..., Any], Any, dict[str, Any]]] = {
    "by JAX": (lambda w, x: jax.grad(minijvp.to_jax(loss))(w, x), ALL, {}),
    "by JAX, with a rule": (lambda w, x: jax.grad(minijvp.to_jax(minijvp.checkpoint(loss)))(w, x), ALL, {}),
    "unchecked": (lambda w, x: jax.lax.psum(gradient(w, x), "i"), ALL, {"check_vma": False}),
    "unchecked, jit": (lambda w, x: jax.lax.psum(minijvp.jit(gradient)(w, x), "i"), ALL, {"check_vma": False}),
    "cast": (lambda w, x: jax.lax.psum(gradient(jax.lax.pcast(w, "i", to="varying"), x), "i"), ALL, {}),
}


@pytest.mark.parametrize("word", RIGHT)
def test_gradients_of_what_does_not_vary(word: str) -> None:
    fun, out, options = RIGHT[word]
    same(mapped(fun, out, **options), jax.grad(by_jax)(W, X))


def test_what_varies_like_the_result_has_a_gradient() -> None:
    wanted = jax.grad(by_jax, argnums=1)(W, X)
    same(mapped(minijvp.grad(loss, argnums=1), SPLIT), wanted)
    same(mapped(lambda w, x: minijvp.jit(minijvp.grad(lambda x: mnp.sum(mnp.sin(x))))(x), SPLIT), jnp.cos(X))
    t = mapped(lambda w, x: minijvp.jvp(lambda w: loss(w, x), (w,), (w,))[1][None], SPLIT)
    same(t[0], jax.jvp(lambda w: by_jax(w, X), (W,), (W,))[1])


def test_what_is_split_in_two_ways_is_refused() -> None:
    mesh = jax.make_mesh((1, 1), ("d", "m"))
    with jax.set_mesh(mesh):
        a, b = (jax.device_put(X, jax.NamedSharding(mesh, PartitionSpec(name))) for name in "dm")
        for fun in (minijvp.jit(lambda a, b: mnp.sin(a) + b), minijvp.grad(lambda a, b: (mnp.sin(a) + b).sum())):
            message = r"(?s)add of f\d\d\[4@d,3\], f\d\d\[4@m,3\].*how the result is to be split.*reshard\(x"
            with pytest.raises(minijvp.ArgumentError, match=message):
                fun(a, b)
        same(minijvp.grad(lambda a, b: (mnp.sin(a) + minijvp.reshard(b, PartitionSpec("d"))).sum())(a, b), jnp.cos(X))
