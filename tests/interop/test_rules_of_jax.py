"""Rules that authors attached to functions of JAX: for batches, and those that ask what is zero."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.custom_derivatives import SymbolicZero

import minijvp
from tests.side_by_side import same

X, T = jnp.array([0.5, -1.5, 2.0]), jnp.array([1.0, 0.3, -2.0])

# Batches. A function whose batches are, wrongly, twice what it gives: whoever uses the rule gets twice the derivative.


@jax.custom_batching.custom_vmap
def doubled(x: Any, y: Any) -> Any:
    return jnp.sin(x) * y


@doubled.def_vmap
def _(axis_size: int, in_batched: Any, x: Any, y: Any) -> Any:
    return 2 * jnp.sin(x) * y, True


def by_rule(x: Any, y: Any) -> Any:
    return doubled(x, y) * y


def times(k: float) -> Callable[..., Any]:
    return lambda x, y: k * jnp.sin(x) * y * y


WORDS: dict[str, Callable[[Any, Callable[..., Any]], Any]] = {
    "vmap": lambda api, f: api.vmap(f)(X, T),
    "vmap of one": lambda api, f: api.vmap(f, (0, None))(X, 2.0),
    "vmap-grad": lambda api, f: api.vmap(api.grad(f, (0, 1)))(X, T),
    "vmap-grad of one": lambda api, f: api.vmap(api.grad(f, (0, 1)), (None, 0))(1.0, X),
    "vmap-jvp": lambda api, f: api.vmap(lambda x, t: api.jvp(lambda x: f(x, 2.0), (x,), (t,))[1])(X, T),
    "vmap-hessian": lambda api, f: api.vmap(api.hessian(f), (0, None))(X, 2.0),
    "grad-vmap": lambda api, f: api.grad(lambda x: api.vmap(f, (0, None))(x, 2.0).sum())(X),
    "jvp-vmap": lambda api, f: api.jvp(api.vmap(lambda x: f(x, 2.0)), (X,), (T,)),
    "vmap-vmap-grad": lambda api, f: api.vmap(api.vmap(api.grad(f), (0, None)), (0, None))(X[None], 2.0),
    "vmap-scan": lambda api, f: api.vmap(lambda x: api.lax.scan(lambda c, _: (f(c, x), c), x, None, 3))(X),
}


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("word", WORDS)
def test_batches_are_by_the_rule(word: str, compiled: bool) -> None:
    run = lambda api, f: (api.jit if compiled else lambda g: g)(lambda: WORDS[word](api, f))()
    same(run(minijvp, minijvp.from_jax(by_rule)), run(jax, times(2.0)), 1e-12)


def test_what_is_no_batch_is_not() -> None:
    fun = minijvp.from_jax(by_rule)
    for api in (lambda f: f, minijvp.jit):
        same([api(fun)(1.0, 2.0), api(minijvp.grad(fun))(1.0, 2.0)], [times(1.0)(1.0, 2.0), 4 * jnp.cos(1.0)], 1e-12)


def test_jax_batches_by_the_rule_too() -> None:
    fun = minijvp.to_jax(minijvp.from_jax(by_rule))
    for word in ("vmap", "vmap-grad", "grad-vmap", "vmap-hessian"):
        same(WORDS[word](jax, fun), WORDS[word](jax, times(2.0)), 1e-12)


def test_a_rule_that_goes_from_lane_to_lane() -> None:
    fun = jax.custom_batching.sequential_vmap(lambda x: jnp.sin(x) * x)
    same(minijvp.vmap(minijvp.grad(minijvp.from_jax(fun)))(X), jnp.cos(X) * X + jnp.sin(X), 1e-12)


# Zeros


def is_zero(t: Any) -> bool:
    return isinstance(t, SymbolicZero)


def product_with_tangents(seen: list[Any]) -> Callable[..., Any]:
    @jax.custom_jvp
    def product(x: Any, y: Any, n: Any) -> Any:
        return x * y * n, x

    def rule(primals: Any, tangents: Any) -> Any:
        x, y, n = primals
        t_x, t_y, _ = tangents
        seen.append([*map(is_zero, tangents)])
        t = (0 if is_zero(t_x) else t_x * y * n) + (0 if is_zero(t_y) else t_y * x * n)
        return product(x, y, n), (t, t_x if not is_zero(t_x) else jnp.zeros_like(x))

    product.defjvp(rule, symbolic_zeros=True)
    return product


def product_with_cotangents(seen: list[Any]) -> Callable[..., Any]:
    @jax.custom_vjp
    def product(x: Any, y: Any, n: Any) -> Any:
        return x * y * n, x

    def fwd(x: Any, y: Any, n: Any) -> Any:
        seen.append([x.perturbed, y.perturbed, n.perturbed])
        return product(x.value, y.value, n.value), (x.value, y.value, n.value)

    def bwd(residuals: Any, cts: Any) -> Any:
        x, y, n = residuals
        seen.append([*map(is_zero, cts)])
        ct, ct_x = (0.0 if is_zero(c) else c for c in cts)
        return ct * y * n + ct_x, ct * x * n, None

    product.defvjp(fwd, bwd, symbolic_zeros=True)
    return product


CALLS: dict[str, Callable[[Any, Callable[..., Any]], Any]] = {
    "x": lambda api, f: api.grad(lambda x: f(x, 2.0, 3)[0])(1.5),
    "y": lambda api, f: api.grad(lambda y: f(2.0, y, 3)[0])(1.5),
    "both": lambda api, f: api.grad(lambda x, y: f(x, y, 3)[0], (0, 1))(1.5, 2.5),
    "both results": lambda api, f: api.grad(lambda x: sum(f(x, x, 3)))(1.5),
    "the second result": lambda api, f: api.grad(lambda x: f(x, 2.0, 3)[1])(1.5),
    "in a batch": lambda api, f: api.vmap(api.grad(lambda x: f(x, 2.0, 3)[0]))(X),
    "compiled": lambda api, f: api.jit(api.grad(lambda x: f(x, 2.0, 3)[0]))(1.5),
    "in a loop": lambda api, f: api.grad(lambda x: api.lax.scan(lambda c, _: (f(c, 2.0, 3)[0], None), x, None, 2)[0])(
        0.5
    ),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("product", [product_with_tangents, product_with_cotangents])
def test_rules_are_told_what_is_zero(product: Callable[[list[Any]], Any], call: str) -> None:
    seen: list[list[Any]] = [[], []]
    apis = (minijvp, minijvp.from_jax(product(seen[0]))), (jax, product(seen[1]))
    same(*[CALLS[call](*side) for side in apis], 1e-12)
    known = [tuple(flags) for flags in seen[1] if True in flags]
    assert known and set(known) <= {tuple(flags) for flags in seen[0]}


def test_forward_mode_is_told_too() -> None:
    seen: list[Any] = []
    fun = minijvp.from_jax(product_with_tangents(seen))
    same(minijvp.jvp(lambda x: fun(x, 2.0, 3)[0], (1.5,), (1.0,)), (9.0, 6.0), 1e-12)
    assert [False, True, True] in seen


# Rules that cannot be made


def test_a_rule_that_fails_is_of_no_matter_where_nothing_wants_it() -> None:
    """The rule of JAX's xlogy fails for integers."""
    fun = minijvp.from_jax(lambda x: jax.scipy.special.xlogy(2, x))
    assert float(minijvp.jit(fun)(3.0)) == float(minijvp.vmap(fun)(jnp.array([3.0]))[0]) == 2 * np.log(3.0)
    with pytest.raises(TypeError, match="float0"):
        minijvp.grad(fun)(3.0)
    pdf = jax.scipy.stats.gumbel_l.pdf  # which calls it with constants
    same(minijvp.grad(minijvp.from_jax(pdf))(0.3), jax.grad(pdf)(0.3), 1e-14)


def test_a_rule_that_needs_a_value_says_so() -> None:
    @jax.custom_jvp
    def square(x: Any) -> Any:
        return x * x

    @square.defjvp
    def _(primals: Any, tangents: Any) -> Any:
        return square(*primals), tangents[0] * 2 * float(primals[0])

    fun = minijvp.from_jax(square)
    assert minijvp.vmap(fun)(jnp.array([3.0])) == 9.0
    with pytest.raises(minijvp.ArgumentError, match=r"cannot trace the rule of square, at .*float\(primals"):
        minijvp.grad(fun)(3.0)
