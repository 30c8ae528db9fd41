"""all_to_all, reduce_scatter and pbroadcast, against jax.lax under jax.vmap. Rows lie along the leading axis."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import pytest

import minijvp
from minijvp import ArgumentError
from minijvp.operations import collectives as ops
from tests.side_by_side import both, same

X = jnp.sin(jnp.arange(18.0)).reshape(3, 3, 2)
W = jnp.cos(jnp.arange(36.0)).reshape(2, 3, 3, 2)


def all_to_all(api: Any, x: Any, name: str) -> Any:
    if api is jax:
        return jax.lax.all_to_all(x, name, 0, 0)
    return ops.all_to_all(x, axis_name=name, axis_size=3)


def reduce_scatter(api: Any, x: Any, name: str) -> Any:
    if api is jax:
        return jax.lax.psum_scatter(x, name)
    return ops.reduce_scatter(x, axis_name=name, axis_size=3)


def pbroadcast(api: Any, x: Any, name: str) -> Any:
    # JAX's own fails under vmap. It is a sum in which one lane counts.
    if api is jax:
        return jax.lax.psum(jnp.where(jax.lax.axis_index(name) == 2, x, 0.0), name)
    return ops.pbroadcast(x, axis_name=name, source=2)


COLLECTIVES = [all_to_all, reduce_scatter, pbroadcast]
each = pytest.mark.parametrize("collective", COLLECTIVES)


@each
def test_values(collective: Any) -> None:
    both(lambda api, np: api.vmap(lambda x: collective(api, x, "i"), axis_name="i")(X))
    both(lambda api, np: api.vmap(lambda x: collective(api, x, "i"), in_axes=1, out_axes=-1, axis_name="i")(X))
    both(lambda api, np: api.jit(api.vmap(lambda x: collective(api, x, "i"), axis_name="i"))(X))


@each
def test_values_that_are_not_mapped(collective: Any) -> None:
    """JAX's all_to_all gives such a value the wrong shape."""
    found = minijvp.vmap(lambda x: collective(minijvp, X[0], "i") * x[0, 0], axis_name="i")(X)
    mapped = jax.vmap(lambda x, y: collective(jax, y, "i") * x[0, 0], axis_name="i")
    same(found, mapped(X, jnp.broadcast_to(X[0], X.shape)))


@each
def test_integers(collective: Any) -> None:
    if collective is not reduce_scatter:
        n = jnp.arange(9).reshape(3, 3)
        both(lambda api, np: api.vmap(lambda n: collective(api, n, "i").astype(int), axis_name="i")(n))
    same(
        minijvp.vmap(lambda n: reduce_scatter(minijvp, n, "i"), axis_name="i")(jnp.eye(3, dtype=int)), jnp.ones(3, int)
    )


@each
def test_derivatives(collective: Any) -> None:
    def case(api: Any, np: Any) -> Any:
        fun = lambda x: np.cos(x).sum() * collective(api, x * x, "i")
        mapped = api.vmap(fun, axis_name="i")
        inside = api.vmap(api.grad(lambda x: np.sin(fun(x)).sum()), axis_name="i")(X)
        return api.grad(lambda x: np.sin(mapped(x)).sum())(X), inside, api.jvp(mapped, (X,), (X[::-1],))

    both(case)


@each
def test_second_derivatives(collective: Any) -> None:
    def case(api: Any, np: Any) -> Any:
        fun = api.vmap(lambda x: np.sin(collective(api, x * x, "i")), axis_name="i")
        return api.hessian(lambda x: fun(x).sum())(X)

    both(case)


@each
@pytest.mark.parametrize("names", [("i", "j"), ("j", "i"), (None, "i"), ("i", None)])
def test_other_maps(collective: Any, names: Any) -> None:
    """Another axis outside or inside."""

    def case(api: Any, np: Any) -> Any:
        x = W if names[0] != "i" else W.swapaxes(0, 1)
        fun = lambda x: np.sin(collective(api, x * x, "i")).sum() * x
        mapped = api.vmap(api.vmap(fun, axis_name=names[1]), axis_name=names[0])
        return mapped(x), api.grad(lambda x: mapped(x).sum())(x)

    both(case)


def test_pbroadcast_is_the_same_in_every_lane() -> None:
    same(minijvp.vmap(lambda x: pbroadcast(minijvp, x, "i"), out_axes=None, axis_name="i")(X), X[2])


@each
def test_wrong_arguments(collective: Any) -> None:
    with pytest.raises(ArgumentError, match="'i' is not bound"):
        collective(minijvp, X[0], "i")
    with pytest.raises(ArgumentError, match=r"for each lane|no such lane"):
        minijvp.jit(minijvp.vmap(lambda x: collective(minijvp, x, "i"), axis_name="i"))(X[:2])
