"""Functions with a rule for batches of their own, beside JAX's, and in reverse mode."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import minijvp
import minijvp.numpy as mnp
from minijvp import ArgumentError, MissingRuleError
from tests.side_by_side import both, same

N = np.ones(2)
X, Y = jnp.array([0.3, 0.5, 1.0]), jnp.array([2.0, 3.0, 4.0])


def marked(api: Any, np: Any) -> Callable[..., Any]:
    """A function whose batches are another function, so that it is seen which one runs."""

    @api.custom_batching.custom_vmap
    def f(x: Any, y: Any = 1.0) -> Any:
        return np.sin(x) * y

    @f.def_vmap
    def rule(axis_size: int, in_batched: Any, x: Any, y: Any) -> Any:
        assert axis_size == 3
        assert all(type(b) is bool for b in in_batched)
        return 2 * np.cos(x) * y, True

    return f


WORDS: list[Callable[[Any, Any], Any]] = [
    lambda api, f: f(0.3, y=2.0),
    lambda api, f: api.vmap(f)(X, Y),
    lambda api, f: api.jit(api.vmap(f, (0, None)))(X, 2.0),
    lambda api, f: api.vmap(api.jit(f), (None, 0))(0.3, Y),
    lambda api, f: api.vmap(api.vmap(f, (None, 0)), (0, None))(X, Y),
    lambda api, f: api.jit(f)(0.3, 2.0),
    lambda api, f: api.jvp(f, (0.3, 2.0), (1.0, 0.5)),
    lambda api, f: api.jvp(api.vmap(f), (X, Y), (Y, X)),
    lambda api, f: api.vmap(lambda x, y: api.jvp(f, (x, y), (y, x)))(X, Y),
    lambda api, f: api.grad(lambda x: api.vmap(f)(x, Y).sum())(X),
]


@pytest.mark.parametrize("word", WORDS)
def test_word(word: Callable[[Any, Any], Any]) -> None:
    both(lambda api, np: word(api, marked(api, np)))


def test_reverse_mode() -> None:
    """JAX has none: a call alone is differentiated as the function, and one in a batch as what the rule gives."""
    f = marked(minijvp, mnp)
    same(minijvp.grad(f, (0, 1))(0.3, 2.0), jax.grad(lambda x, y: jnp.sin(x) * y, (0, 1))(0.3, 2.0))
    batches = jax.vmap(jax.grad(lambda x, y: 2 * jnp.cos(x) * y, (0, 1)))(X, Y)
    for gradient in (minijvp.grad(f, (0, 1)), minijvp.jit(minijvp.grad(f, (0, 1)))):
        same(minijvp.vmap(gradient)(X, Y), batches)
    for transformed in (jax.vmap(minijvp.jit(f)), jax.vmap(minijvp.to_jax(f))):
        same(transformed(X, Y), 2 * jnp.cos(X) * Y)


def test_results_that_are_not_batched() -> None:
    def case(api: Any, np: Any) -> Any:
        @api.custom_batching.custom_vmap
        def f(x: Any, k: Any) -> Any:
            return {"a": x["v"] * k, "n": k}

        @f.def_vmap
        def rule(axis_size: int, in_batched: Any, x: Any, k: Any) -> Any:
            assert in_batched == [{"v": True}, False]
            return {"a": x["v"] * k, "n": k}, {"a": True, "n": False}

        return api.vmap(f, ({"v": 0}, None))({"v": X}, 2.0)

    both(case)


def test_sequential() -> None:
    seen: list[Any] = []

    def case(api: Any, np: Any) -> Any:
        @api.custom_batching.sequential_vmap
        def f(x: Any, y: Any) -> Any:
            api.debug.callback(lambda x: seen.append(np.shape(x)), x)
            return np.sin(x) * y, {"y": y}

        nested = api.vmap(api.vmap(f, (None, 0)), (0, None))
        return api.vmap(f)(X, Y), api.jit(api.vmap(f, (0, None)))(X, 2.0), nested(X, Y)

    both(case)
    jax.effects_barrier()
    assert set(seen) == {()}
    f = minijvp.custom_batching.sequential_vmap(lambda x, y: mnp.sin(x) * y)
    same(minijvp.vmap(minijvp.grad(f))(X, Y), jnp.cos(X) * Y)


def test_methods_and_eager_derivatives_compile_nothing_new() -> None:
    class Scaled:
        factor = 2.0

        @minijvp.custom_batching.custom_vmap
        def apply(self, x: Any) -> Any:
            return self.factor * x

    jax.tree_util.register_static(Scaled)
    Scaled.apply.def_vmap(lambda n, batched, self, x: (3 * self.factor * x, True))
    assert minijvp.vmap(Scaled().apply)(X).tolist() == (6 * X).tolist()
    f, compiled = marked(minijvp, mnp), minijvp.custom_rules.custom_vmap.custom_vmap_call._compiled
    minijvp.grad(f)(0.3)
    n = len(compiled)
    assert float(minijvp.grad(f)(0.4)) == pytest.approx(np.cos(0.4))
    assert len(compiled) == n


def test_errors() -> None:
    def ruled(rule: Callable[..., Any]) -> Callable[[], Any]:
        f = minijvp.custom_batching.custom_vmap(lambda x: mnp.sin(x))
        f.def_vmap(rule)
        return lambda: minijvp.vmap(f)(X)

    with pytest.raises(ArgumentError, match="has no rule"):
        minijvp.custom_batching.custom_vmap(mnp.sin)(1.0)
    for rule, words in (
        (lambda n, b, x: x, "returned .*pair"),
        (lambda n, b, x: ((x, x), True), "structure"),
        (lambda n, b, x: (x.sum(), True), r"f64\[\], where f64\[3\] is wanted"),
        (lambda n, b, x: (x, False), r"f64\[3\], where f64\[\] is wanted"),
        (lambda n, b, x: (x > 0, True), "bool"),
    ):
        with pytest.raises(ArgumentError, match=rf"(?s){words}"):
            ruled(rule)()

    def closes_over(x: Any) -> Any:
        f = minijvp.custom_batching.custom_vmap(lambda y: x * y)
        f.def_vmap(lambda n, b, y: (y, True))
        return f(2.0)

    with pytest.raises(MissingRuleError, match=r"closes over a f64\[\].*batched"):
        minijvp.vmap(closes_over)(X)
    assert float(minijvp.grad(closes_over)(3.0)) == 2.0


def test_functions_see_arrays_without_a_batch_too() -> None:
    both(lambda api, np: api.custom_batching.sequential_vmap(lambda x, n: (x.astype(int), x * n.shape[0], 1))(2.5, N))
