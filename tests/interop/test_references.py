"""References of JAX, which a program reads and writes: derivatives where JAX has them, and where it has not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from jax.experimental import pallas

import minijvp
from tests.side_by_side import same

X = jnp.array([1.0, 2.0, 3.0])


def by_references(x: Any) -> Any:
    """Reads and writes, in loops, a choice and a compiled function too."""
    ref = jax.new_ref(jnp.zeros(3) * x)
    ref[...] += x
    ref[0] = 2 * x[1]
    jax.lax.fori_loop(0, 3, lambda i, _: ref.__setitem__(i, ref[i] * x[i]), None)

    def step(c: Any, i: Any) -> Any:
        ref[i] = ref[i] + c
        return c * x[0], ref[i]

    c, ys = jax.lax.scan(step, jnp.sin(x[0]), jnp.arange(3))
    jax.lax.cond(x[0] > 0, lambda: ref.__setitem__(0, ref[0] * 2), lambda: None)
    jax.jit(lambda: ref.__setitem__(1, jnp.sin(ref[1])))()
    return ref[...].sum() + c + (ys * x).sum() + jax.freeze(ref).sum()


def by_arrays(x: Any) -> Any:
    """The same without references."""
    a = x.at[0].set(2 * x[1]) * x
    c, ys = jnp.sin(x[0]), []
    for i in range(3):
        a = a.at[i].add(c)
        c = c * x[0]
        ys.append(a[i])
    a = jnp.where(x[0] > 0, a.at[0].multiply(2), a)
    a = a.at[1].set(jnp.sin(a[1]))
    return 2 * a.sum() + c + (jnp.stack(ys) * x).sum()


def test_derivatives() -> None:
    """JAX has the first; it refuses batches of a choice with a reference, and so a Hessian."""
    fun = minijvp.from_jax(by_references)
    for word in (minijvp.grad, lambda f: minijvp.jit(minijvp.grad(f))):
        same(word(fun)(X), jax.jit(jax.grad(by_references))(X))
    same(minijvp.jvp(fun, (X,), (X,)), jax.jvp(by_arrays, (X,), (X,)))
    rows = jnp.stack([X, -X])
    same(minijvp.vmap(minijvp.grad(fun))(rows), jax.jit(jax.vmap(jax.grad(by_arrays)))(rows))
    second = jax.jit(jax.hessian(by_arrays))(X)
    same(minijvp.hessian(fun)(X), second, 1e-11)
    same(minijvp.jit(minijvp.hessian(minijvp.checkpoint(fun)))(X), second, 1e-11)


@pytest.mark.parametrize(
    "index",
    [
        lambda i, j: ...,
        lambda i, j: i,
        lambda i, j: (1, slice(1, 3)),
        lambda i, j: (slice(None), i),
        lambda i, j: (slice(0, 3, 2), i),
        lambda i, j: (slice(0, 3, 2), slice(1, 4, 2)),
        lambda i, j: j,
        lambda i, j: (j, 2),
        lambda i, j: (slice(None), j),
        lambda i, j: (j, slice(1, 3)),
        lambda i, j: (j[:, None], j + 1),
        lambda i, j: (pallas.ds(i, 2), pallas.ds(0, 3)),
        lambda i, j: (i, pallas.ds(i, 2, 2)),
    ],
)
def test_every_index(index: Callable[..., Any]) -> None:
    """What is read, written and added at an index, known or not. jax.ref.swap gives what was there before."""
    array = jnp.arange(12.0).reshape(3, 4)

    def fun(x: Any, i: Any, j: Any) -> Any:
        ref = jax.new_ref(x)
        at = index(i, j)
        first = ref[at]
        ref[at] = jnp.sin(first)
        jax.ref.addupdate(ref, at, first * x[0, 1])
        old = jax.ref.swap(ref, at, 3 * first)
        jax.ref.addupdate(ref, at, jnp.cos(first))
        return first, old, ref[at], jax.freeze(ref)

    args = array, jnp.cos(array), jnp.asarray(1), jnp.array([2, 0])
    pushed = lambda api, f: api.jit(lambda x, t, *rest: api.jvp(lambda x: f(x, *rest), (x,), (t,)))
    same(pushed(minijvp, minijvp.from_jax(fun))(*args), pushed(jax, fun)(*args))


def test_a_loop_that_may_run_forever() -> None:
    """JAX has no derivative of it in reverse mode."""

    def fun(x: Any) -> Any:
        ref, count = jax.new_ref(1.0 * x), jax.new_ref(0)

        def body(c: Any) -> Any:
            ref[...] = jnp.sin(ref[...]) * x
            count[...] += 1
            return c + 1

        jax.lax.while_loop(lambda c: c < x[2], body, 0.0)
        return ref[...].sum() * count[...]

    unrolled = lambda x: 3 * (jnp.sin(jnp.sin(jnp.sin(x) * x) * x) * x).sum()
    for word in ("grad", "hessian"):
        same(minijvp.jit(getattr(minijvp, word)(minijvp.from_jax(fun)))(X), jax.jit(getattr(jax, word)(unrolled))(X))


def test_references_from_outside_are_refused() -> None:
    """What is written there would be lost. The reference keeps its array, and the next call works."""
    ref = jax.new_ref(X)
    fun = minijvp.from_jax(lambda x: (ref[...] * x).sum())
    with pytest.raises(minijvp.ArgumentError, match="in a reference"):
        minijvp.jit(minijvp.grad(fun))(X)
    same(fun(X), (X * X).sum())

    def write(x: Any) -> Any:
        ref[...] = x
        return x.sum()

    with pytest.raises(minijvp.ArgumentError, match="in a reference"):
        minijvp.grad(minijvp.from_jax(write))(2 * X)
    same(ref[...], X)


def test_what_is_not_known_of_references_is_refused() -> None:
    def by_rule(x: Any) -> Any:
        ref = jax.new_ref(x)
        changed = jax.custom_jvp(lambda y: y * ref[...])
        changed.defjvp(lambda primals, tangents: (changed(*primals), tangents[0]))
        return changed(x).sum()

    with pytest.raises(minijvp.MissingRuleError, match="on a reference"):
        minijvp.jit(minijvp.grad(minijvp.from_jax(by_rule)))(X)
