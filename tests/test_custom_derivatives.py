"""The functions of jax.custom_derivatives, beside JAX's, and in the modes that JAX's do not have."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import minijvp
import minijvp.numpy as mnp
from minijvp import ArgumentError
from minijvp.custom_derivatives import linear_call
from tests.side_by_side import both, same

X, Y = jnp.array([0.3, 0.5, 1.0]), jnp.array([2.0, 3.0, 4.0])


def marked(api: Any, np: Any) -> Callable[..., Any]:
    """A function with a gradient that is not its own."""
    return api.custom_gradient(lambda x, y: (np.sin(x) * y, lambda ct: (3 * x * ct, ct * np.cos(y))))


@pytest.mark.parametrize(
    "word",
    [
        lambda api, f: f(0.3, 2.0),
        lambda api, f: api.grad(f, (0, 1))(0.3, 2.0),
        lambda api, f: api.hessian(lambda x: f(x, 2.0))(0.3) if api is minijvp else jax.jacrev(jax.grad(f))(0.3, 2.0),
        lambda api, f: api.jit(api.vmap(api.value_and_grad(f, (0, 1))))(X, Y),
        lambda api, f: api.grad(lambda x: api.vmap(f, (0, None))(x, 2.0).sum())(X),
    ],
)
def test_custom_gradient(word: Callable[[Any, Any], Any]) -> None:
    both(lambda api, np: word(api, marked(api, np)))


def test_custom_gradient_of_trees_and_in_forward_mode() -> None:
    def case(api: Any, np: Any) -> Any:
        @api.custom_gradient
        def f(p: Any) -> Any:
            scale = np.exp(p["a"])
            return {"out": scale * p["b"]}, lambda ct: ({"a": ct["out"] * 2, "b": ct["out"] * scale},)

        @api.custom_gradient
        def one(x: Any) -> Any:
            return x**2, lambda ct: 7 * ct * x

        return api.jit(api.grad(lambda p: f(p)["out"]))({"a": 0.5, "b": 2.0}), api.grad(one)(3.0), one(3.0)

    both(case)
    same(minijvp.jvp(marked(minijvp, mnp), (0.3, 2.0), (1.0, 0.0))[1], jnp.asarray(0.9))
    with pytest.raises(ArgumentError, match=r"(?s)returned .*pair"):
        minijvp.grad(minijvp.custom_gradient(mnp.sin))(1.0)


def test_closure_convert() -> None:
    def case(api: Any, np: Any) -> Any:
        @partial(api.custom_vjp, nondiff_argnums=(0,))
        def twice(f: Any, x: Any, *closed_over: Any) -> Any:
            return f(f(x, *closed_over), *closed_over)

        def fwd(f: Any, x: Any, *closed_over: Any) -> Any:
            return twice(f, x, *closed_over), (x, closed_over)

        def bwd(f: Any, residuals: Any, ct: Any) -> Any:
            x, closed_over = residuals
            _, pull = api.vjp(lambda x, *c: f(f(x, *c), *c), x, *closed_over)
            return tuple(5 * t for t in pull(ct))

        twice.defvjp(fwd, bwd)
        counts = []

        def loss(a: Any, b: Any) -> Any:
            table = np.arange(3.0)
            converted, closed_over = api.closure_convert(lambda x: a * np.sin(x) + b + table.sum(), 2.0)
            counts.append(len(closed_over))
            return twice(converted, 2.0, *closed_over)

        found = api.grad(loss, (0, 1))(0.5, 1.5), api.jit(api.grad(loss))(0.5, 1.5), loss(0.5, 1.5)
        assert counts[0] >= 2
        assert counts[-1] == 0
        return found

    both(case)
    converted, _ = minijvp.closure_convert(mnp.sin, X)
    with pytest.raises(ArgumentError, match=r"f64\[2\], where f64\[3\] is wanted"):
        converted(X[:2])


def halved(api: Any) -> Callable[..., Any]:
    """x / y, with a transpose that is twice as large."""
    call = api.custom_derivatives.linear_call
    return lambda x, y: call(lambda y, x: x / y, lambda y, ct: 2 * ct / y, y, x)


@pytest.mark.parametrize("times", [1, 2, 3])
def test_linear_call_is_transposed_by_its_rule(times: int) -> None:
    def transposed(api: Any) -> Callable[[Any], Any]:
        f = lambda x: halved(api)(x, 4.0)
        for _ in range(times):
            f = lambda x, f=f: api.linear_transpose(f, 3.0)(x)[0]
        return f

    f = transposed(minijvp)
    same(f(3.0), transposed(jax)(3.0))
    for batch in (minijvp.vmap(f), minijvp.jit(minijvp.vmap(f))):
        same(batch(X), X * f(1.0))


def test_linear_call_is_differentiated() -> None:
    """JAX has no derivative by what is not linear; here it is that of the function."""
    f = halved(minijvp)
    same(minijvp.grad(f, (0, 1))(3.0, 4.0), (jnp.asarray(0.5), jnp.asarray(-3 / 16)))
    same(minijvp.vmap(minijvp.grad(f, (0, 1)))(X, Y), (2 / Y, -X / Y**2))
    same(minijvp.jit(minijvp.jvp, static_argnums=0)(f, (3.0, 4.0), (1.0, 2.0))[1], jnp.asarray(0.25 - 6 / 16))
    same(minijvp.grad(minijvp.grad(f, 1), 1)(3.0, 4.0), jnp.asarray(6 / 64))
    same(minijvp.grad(minijvp.grad(f), 1)(3.0, 4.0), jnp.asarray(-2 / 16))
    same(jax.grad(minijvp.jit(f))(3.0, 4.0), jnp.asarray(0.5))

    def closing_over(a: Any) -> Any:
        return linear_call(lambda _, x: a * x, lambda _, ct: 10 * a * ct, (), a)

    same(minijvp.grad(closing_over)(3.0), jnp.asarray(3.0 + 30.0))
    with pytest.raises(ArgumentError, match=r"i64\[\]"):
        linear_call(lambda _, n: n, lambda _, ct: ct, (), 3)
    with pytest.raises(ArgumentError, match="structure"):
        linear_call(lambda _, x: x, lambda _, ct: (ct, ct), (), 3.0)


def test_zeros() -> None:
    tree = {"x": X, "n": jnp.arange(2)}
    both(lambda api, np: api.custom_derivatives.zero_from_primal(tree))
    zeros = minijvp.custom_derivatives.zero_from_primal(tree, symbolic_zeros=True)
    for x in (zeros["x"], zeros["n"]):
        assert type(x) is jax.custom_derivatives.SymbolicZero
    assert zeros["n"].dtype == jax.dtypes.float0
    seen = []

    def case(api: Any, np: Any) -> Any:
        cd = api.custom_derivatives
        f = api.custom_vjp(lambda x, y: x * y)

        def fwd(x: Any, y: Any) -> Any:
            seen.append((x.perturbed, y.perturbed))
            x, y = cd.custom_vjp_primal_tree_values((x, y))
            return x * y, (x, y)

        f.defvjp(fwd, lambda res, ct: (ct * res[1], cd.zero_from_primal(res[1])), symbolic_zeros=True)
        return api.grad(f)(2.0, 3.0), api.vmap(api.grad(f))(X, Y)

    both(case)
    assert set(seen) == {(True, False)}
    assert np.shape(zeros["x"]) == (3,)
