"""Linear maps as values: as pytrees, through jit and loops, and of integers."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import tree_leaves, tree_map

import minijvp
from minijvp import ArgumentError
from tests.side_by_side import both

X, V = jnp.array([0.3, -1.2, 2.0]), jnp.array([1.0, 0.5, -2.0])
N = jnp.arange(3)


def test_maps_are_pytrees() -> None:
    """As arguments and results of jit, of vmap and of loops, and under tree_map."""

    def case(api: Any, np: Any) -> Any:
        fun = lambda x: np.sin(x) * x
        pull = api.vjp(fun, X)[1]
        push = api.linearize(fun, X)[1]
        transposed = api.linear_transpose(lambda x: x * X, X)
        apply = api.jit(lambda f, x: f(x))
        rows, pulls = api.lax.scan(lambda c, x: api.vjp(lambda c, x: np.sin(c) * x, c, x), 1.0, X)
        return [
            *[apply(f, V) for f in (pull, push, transposed)],
            *[api.jit(lambda x, make=make: make(fun, x)[1])(X)(V) for make in (api.vjp, api.linearize)],
            api.jit(lambda x: api.linear_transpose(lambda t: t * x, x))(X)(V),
            tree_map(lambda r: 2.0 * r, transposed)(V),
            api.vmap(apply)(api.vmap(lambda x: api.vjp(fun, x)[1])(X), V),
            rows,
            api.lax.scan(lambda ct, p: p(ct), 1.0, pulls, reverse=True),
        ]

    both(case)
    assert tree_leaves(minijvp.linear_transpose(lambda x: x * X, X))[0] is X


def test_cotangents_of_integers_say_nothing() -> None:
    """They may be of any dtype, of the right shape."""

    def case(api: Any, _: Any) -> Any:
        pull = api.vjp(lambda x: (2.0 * x, x.astype(int)), X)[1]
        return [pull((V, ct)) for ct in (np.zeros(3, jax.dtypes.float0), N, np.ones(3))]

    both(case)
    pull = minijvp.vjp(lambda x: (2.0 * x, x.astype(int)), X)[1]
    for ct in (np.zeros(2, jax.dtypes.float0), 1, 1.0):
        with pytest.raises(ArgumentError, match=r"cotangent\[1\]"):
            pull((V, ct))


def test_linear_functions_of_integers() -> None:
    both(
        lambda api, np: [
            api.linear_transpose(lambda n: n + 2 * n[::-1], N)(N),
            api.jit(api.linear_transpose(lambda n, m: np.cumsum(n) * N + m, N, N))(N),
            api.linear_transpose(lambda n: 2 * n, 3)(5),
        ]
    )
    transposed = minijvp.linear_transpose(lambda n: 2 * n, N)
    for ct in (jnp.ones(3), jnp.arange(2), np.zeros(3, jax.dtypes.float0)):
        with pytest.raises(ArgumentError, match="cotangent"):
            transposed(ct)
    with pytest.raises(ArgumentError, match=r"primals\[0\] is i64\[3\]"):
        minijvp.linear_transpose(lambda n: n * 2.0, N)


def test_anything_with_a_shape_and_a_dtype_is_an_example() -> None:
    class Described:
        shape, dtype = (3,), np.dtype("float32")

    ct = np.ones(3, "float32")
    for x in (Described(), jax.core.ShapedArray((3,), np.dtype("float32")), jax.ShapeDtypeStruct((3,), "float32")):
        both(lambda api, _, x=x: (api.linear_transpose(lambda x: 2 * x, x)(ct), api.eval_shape(lambda x: x, x).shape))
