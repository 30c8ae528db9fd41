"""What rules for cotangents may return: prefixes of trees, other dtypes, anything for integers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import tree_map

from tests.side_by_side import SIDES, both, same

X = jnp.array([0.3, -1.2, 2.0])
FLOAT0 = jax.dtypes.float0


def gradients(api: Any, fun: Callable[..., Any], *args: Any) -> list[Any]:
    """The gradient in several ways."""
    total = lambda *args: fun(*args).sum()
    gradient = api.grad(total, tuple(range(len(args))), allow_int=True)
    batch = [tree_map(lambda x: jnp.stack([x, x]), x) for x in args]
    outer = api.grad(lambda x: api.grad(total)(x, *args[1:]).sum()) if len(args) == 2 else lambda x: 0.0
    inexact = lambda tree: [x for x in jax.tree.leaves(tree) if x.dtype != FLOAT0]
    return [
        gradient(*args),
        inexact(api.vmap(gradient)(*batch)),
        api.jit(lambda *a: inexact(gradient(*a)))(*args),
        outer(args[0]),
    ]


@pytest.mark.parametrize("argument", [{"x": X}, (X, X), ({"x": X}, [X, (X, None)])], ids=["one", "two", "nested"])
def test_an_array_stands_for_the_leaves_below(argument: Any) -> None:
    """A cotangent is a prefix of its argument."""

    def case(api: Any, np: Any) -> Any:
        fun = api.custom_vjp(lambda tree: sum(map(np.sin, jax.tree.leaves(tree))))
        fun.defvjp(lambda tree: (fun(tree), None), lambda _, ct: (2 * ct,))
        return gradients(api, fun, argument)

    both(case)


@pytest.mark.parametrize("ct", [None, 0, 1.0, np.zeros(3, int), np.zeros(3, FLOAT0), np.zeros((), FLOAT0), np.ones(3)])
def test_what_is_given_for_integers_is_left_aside(ct: Any) -> None:
    def case(api: Any, np: Any) -> Any:
        fun = api.custom_vjp(lambda x, n: np.sin(x) * n)
        fun.defvjp(lambda x, n: (fun(x, n), (x, n)), lambda kept, c: (np.cos(kept[0]) * kept[1] * c, ct))
        return gradients(api, fun, X, jnp.arange(3))

    both(case)


PAIRS = ["float32 float64", "float64 float32", "bfloat16 float32", "complex64 float32", "float32 int32"]


@pytest.mark.parametrize("types", PAIRS)
def test_cotangents_are_cast(types: str) -> None:
    """A gradient has the dtype of its argument. In JAX it has that which the rule gives, where it meets no other."""
    wanted, given = types.split()

    def case(api: Any, np: Any) -> Any:
        fun = api.custom_vjp(lambda x: np.real(x * x).sum())
        fun.defvjp(lambda x: (fun(x), x), lambda x, ct: ((3 * ct * np.real(x)).astype(given),))
        return gradients(api, fun, jnp.array([1.0, -2.0, 3.0]).astype(wanted))

    found, expected = [jax.tree.leaves(case(*side)[:3]) for side in SIDES]
    same(found, [x.astype(wanted) for x in expected])
