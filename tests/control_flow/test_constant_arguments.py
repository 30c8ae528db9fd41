"""Rules for tangents of several arguments, of which some are constants: their tangents are zeros."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import pytest

import minijvp
from tests.side_by_side import SIDES, same

A, V = jnp.array([[2.0, 1.0], [0.5, 3.0]]), jnp.array([1.0, -2.0])


class Case(NamedTuple):
    """A function of a and b, its tangent for tangents s and t, and a point."""

    function: Callable[..., Any]
    tangent: Callable[..., Any]
    point: tuple[Any, Any]


CASES = {
    "products": Case(lambda np, a, b: a @ b, lambda np, a, b, s, t: a @ t + s @ b, (A, A + 1)),
    "a difference": Case(lambda np, a, b: a / b, lambda np, a, b, s, t: (s - t * (a / b)) / b, (V, V + 5)),
    "sums": Case(lambda np, a, b: (a * b).sum(), lambda np, a, b, s, t: (a * t).sum() + (s * b).sum(), (V, V + 5)),
    "solutions": Case(
        lambda np, a, b: np.linalg.solve(a, b),
        lambda np, a, b, s, t: np.linalg.solve(a, t) - np.linalg.solve(a, s @ np.linalg.solve(a, b)),
        (A, V),
    ),
    "choices": Case(
        lambda np, a, b: np.where(a > 0, a, 0) * 2 + np.where(b > 0, b, 0),
        lambda np, a, b, s, t: np.where(a > 0, s, 0) * 2 + np.where(b > 0, t, 0),
        (V, V + 5),
    ),
    "elements": Case(lambda np, a, b: a[0] * b[1], lambda np, a, b, s, t: s[0] * b[1] + a[0] * t[1], (V, V + 5)),
    "einsum": Case(
        lambda np, a, b: np.einsum("ij,j->i", a, b),
        lambda np, a, b, s, t: np.einsum("ij,j->i", a, t) + np.einsum("ij,j->i", s, b),
        (A, V),
    ),
}


def scanned(side: Any) -> Case:
    """The tangents in a loop, whose carry starts as one of them."""
    api, _ = side
    body = lambda b: lambda c, row: (c + row * b, None)
    return Case(
        lambda np, a, b: api.lax.scan(body(b), b, a)[0],
        lambda np, a, b, s, t: api.lax.scan(body(b), t, s)[0] + api.lax.scan(body(t), 0 * t, a)[0],
        (A, V),
    )


def results(side: Any, case: Case, argnums: Any) -> list[Any]:
    """The gradient in several ways."""
    api, np = side
    ruled = api.custom_jvp(lambda a, b: case.function(np, a, b))
    ruled.defjvp(lambda primals, tangents: (ruled(*primals), case.tangent(np, *primals, *tangents)))
    gradient = api.grad(lambda *point: np.sin(ruled(*point)).sum(), argnums)
    total = lambda *point: sum(g.sum() for g in jax.tree.leaves(gradient(*point)))
    batch = jnp.stack([case.point[0], case.point[0] + 0.1])
    return [
        gradient(*case.point),
        api.jit(gradient)(*case.point),
        api.grad(total)(*case.point),
        api.vmap(gradient, (0, None))(batch, case.point[1]),
    ]


@pytest.mark.parametrize("name", [*CASES, "a loop"])
@pytest.mark.parametrize("argnums", [0, 1, (0, 1)])
def test_gradients_are_those_of_jax(name: str, argnums: Any) -> None:
    same(*[results(side, CASES.get(name) or scanned(side), argnums) for side in SIDES], 1e-9)


@pytest.mark.parametrize("argnums", [0, 1, (0, 1)])
def test_what_is_added_is_refused_all_the_same(argnums: Any) -> None:
    ruled = minijvp.custom_jvp(lambda a, b: a @ b)
    ruled.defjvp(lambda p, t: (ruled(*p), p[0] @ t[1] + t[0] @ p[1] + 1.0))
    with pytest.raises(minijvp.MissingRuleError, match="is not linear in its tangents"):
        minijvp.grad(lambda *point: ruled(*point).sum(), argnums)(A, A)
