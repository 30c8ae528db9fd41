"""What the rules of scan promise: where residuals are, which carries have tangents, cotangents and batch axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import minijvp
import minijvp.numpy as mnp
from minijvp import JaxprError, lax
from minijvp.control_flow.bodies import Body, jvp_body, vmap_body
from minijvp.control_flow.scan import linearize_body, scan, transpose_body
from minijvp.core.primitive import Axis
from minijvp.core.types import ArrayType
from minijvp.transforms.staging import stage
from minijvp.transforms.vmap import vmap_flat
from tests.side_by_side import both, same

F64, I32 = ArrayType((), np.dtype(float)), ArrayType((), np.dtype("int32"))
X = jnp.array([0.3, -1.2, 2.0])
HOW = {"length": 3, "reverse": False, "unroll": 1}


def test_where_residuals_are_found() -> None:
    """Only what differs from step to step is stacked, and nothing that exists is copied."""

    def body(w: Any, c: Any, x: Any) -> list[Any]:
        y = c * x
        return [y * mnp.sin(w), mnp.exp(y)]

    parts = linearize_body(Body(stage(body, [F64] * 3), 1, 1), (True,) * 3, 5)
    assert sorted(parts.fixed) == [("invariant", 0), ("invariant", 1)]  # sin(w) and cos(w)
    assert set(parts.moving) == {("stack", 0), ("stack", 1), ("x", 0), ("y", 0)}  # c, c x; x; exp(c x)
    assert len(parts.known.jaxpr.outputs) == 2 + 2
    parts = linearize_body(Body(stage(lambda w, c: [c * w], [F64] * 2), 1, 1), (False, True), 5)
    assert (parts.fixed, parts.moving) == ((("constant", 0),), ())


def test_tangents_reach_the_carries_that_depend_on_them() -> None:
    def body(n: Any, a: Any, b: Any, c: Any, x: Any) -> list[Any]:
        return [n + 1, x, mnp.sin(a), mnp.floor(b) + c, n * c]

    jaxpr = stage(body, [I32, F64, F64, F64, F64])
    _, _, carried, out_nonzero = jvp_body(Body(jaxpr, 0, 4), (False, False, False, False, True))
    assert carried == (False, True, True, False)
    assert out_nonzero == (False, True, True, False, False)
    _, _, carried, _ = jvp_body(Body(jaxpr, 0, 4), (False, False, False, True, False))
    assert carried == (False, False, False, True)
    assert linearize_body(Body(jaxpr, 0, 4), (False, True, False, False, False), 5).carried == (
        False,
        True,
        True,
        False,
    )


def test_cotangents_reach_the_carries_that_they_depend_on() -> None:
    jaxpr = stage(lambda w, a, b, x: [b * 2.0, a + x, b], [F64] * 4)
    parts = transpose_body(Body(jaxpr, 1, 2), (True,) * 4, (False, False, True))
    assert parts.carried == (True, True)
    assert parts.found == (False, True, True, True)
    parts = transpose_body(Body(stage(lambda a, b: [a, b, a], [F64] * 2), 0, 2), (True, True), (False, False, True))
    assert parts.carried == (True, False)


def test_batch_axes_reach_the_carries_that_depend_on_them() -> None:
    jaxpr = stage(lambda a, b, c, x: [a * 2.0, a + x, c + 1.0, b], [F64] * 4)
    assert vmap_body(Body(jaxpr, 0, 3), Axis(2), (False, False, False, True)).carried == (False, True, False)
    params = {"jaxpr": jaxpr, "n_constants": 0, "n_carry": 3, **HOW}
    outs, batched = vmap_flat(lambda x: scan(1.0, 0.0, 2.0, x, **params), Axis(2), [jnp.ones((2, 3))], [True])
    assert batched == (False, True, False, True)
    assert outs[3].shape == (2, 3)
    same(outs[0], jnp.asarray(8.0))


INSIDE: dict[str, Callable[..., Any]] = {
    "jit": lambda step, a, b: minijvp.jit(step)(a, b),
    "checkpoint": lambda step, a, b: minijvp.checkpoint(step)(a, b),
    "cond": lambda step, a, b: lax.cond(mnp.sum(a) > 0, step, lambda a, b: (a, b), a, b),
    "scan": lambda step, a, b: lax.scan(lambda c, _: (step(*c), None), (a, b), None, 2)[0],
    "while": lambda step, a, b: lax.while_loop(lambda c: mnp.sum(c[0]) < 3, lambda c: step(*c), (a, b)),
}


@pytest.mark.parametrize("name", INSIDE)
def test_programs_inside_tell_which_results_depend_on_what(name: str) -> None:
    def body(a: Any, b: Any) -> list[Any]:
        return [*INSIDE[name](lambda a, b: (a * a + 1.0, a * b), a, b)]

    jaxpr = stage(body, [F64, F64])
    flags = False, True
    loop = Body(jaxpr, 0, 2)
    assert jvp_body(loop, flags).carried == linearize_body(loop, flags, 5).carried == flags
    assert vmap_body(loop, Axis(2), flags).carried == flags
    assert jvp_body(loop, (True, False)).carried == vmap_body(loop, Axis(2), (True, False)).carried == (True, True)


def test_collectives_in_the_body() -> None:
    def case(api: Any, np: Any) -> Any:
        def fun(x: Any) -> Any:
            return api.lax.scan(lambda c, r: (c * r / api.lax.psum(r, "i"), api.lax.psum(c, "i")), 1.0, x)

        return api.vmap(fun, axis_name="i")(jnp.array([X, X + 3.0]))

    both(case)
    # The sum over lanes is the same in all of them.
    jaxpr = stage(lambda c: [c * 2.0], [F64])
    assert vmap_body(Body(jaxpr, 0, 1), Axis(2, "i"), (False,)).carried == (False,)


def test_transposing_a_loop_that_counts() -> None:
    """A carry that is known without the linear arguments is computed forward first."""

    def linear(x: Any) -> Any:
        def step(c: Any, row: Any) -> Any:
            n, factor, y = c
            return (n + 1, factor * 0.5, y * factor + row * n), y * 2.0

        (_, _, y), ys = minijvp.lax.scan(step, (0, 3.0, x[0]), x)
        return y, ys

    ct = 1.5, X
    matrix = minijvp.jacfwd(lambda x: mnp.concatenate([linear(x)[0][None], linear(x)[1]]))(X)
    same(minijvp.linear_transpose(linear, X)(ct)[0], jnp.concatenate([jnp.array([1.5]), X]) @ matrix)
    same(minijvp.jit(minijvp.linear_transpose(linear, X))(ct)[0], jnp.concatenate([jnp.array([1.5]), X]) @ matrix)


def test_derivatives_of_derivatives() -> None:
    def fun(api: Any, np: Any) -> Any:
        def loss(w: Any) -> Any:
            last, ys = api.lax.scan(lambda c, x: (np.tanh(c * w) + x, np.sin(c)), w * 0.5, X)
            return last * ys.sum()

        return loss

    for third in (
        lambda api: lambda f: api.grad(api.grad(api.grad(f))),
        lambda api: lambda f: api.jacfwd(api.jacrev(api.jacfwd(f))),
        lambda api: lambda f: api.jit(api.grad(lambda w: api.jvp(api.grad(f), (w,), (1.0,))[1])),
    ):
        same(third(minijvp)(fun(minijvp, mnp))(0.7), jax.jit(third(jax)(fun(jax, jnp)))(0.7), 1e-11)


def test_dead_carries_are_dropped() -> None:
    """Of carries that need one another, and of rows, what no used result needs is gone, with its constants."""

    def fun(w: Any, x: Any) -> Any:
        def step(c: Any, row: Any) -> Any:
            a, b, dead, n = c
            return (a + b, b * row[0], dead * w + n, n + 1), (dead, a)

        (a, _, dead, _), (ys, zs) = minijvp.lax.scan(step, (x[0], x[1], w, 0), mnp.stack([x, x * 2]).T)
        return a, zs, dead, ys

    wanted = fun(0.5, X)
    live = minijvp.make_jaxpr(lambda w, x: fun(w, x)[:2])(0.5, X)
    (loop,) = [e for e in live if e.primitive is scan]
    assert (loop.params["n_constants"], loop.params["n_carry"], len(loop.outputs)) == (0, 2, 3)
    same(minijvp.jit(lambda w, x: fun(w, x)[:2])(0.5, X), wanted[:2])
    dead = minijvp.make_jaxpr(lambda w, x: fun(w, x)[3])(0.5, X)
    (loop,) = [e for e in dead if e.primitive is scan]
    assert (loop.params["n_constants"], loop.params["n_carry"], len(loop.inputs)) == (1, 2, 3)
    same(minijvp.jit(lambda w, x: fun(w, x)[3])(0.5, X), wanted[3])
    gradient = lambda f: minijvp.grad(lambda w, x: sum(y.sum() for y in f(w, x)[:2]), 1)
    same(minijvp.jit(gradient(fun))(0.5, X), gradient(fun)(0.5, X))


def test_equal_bodies_are_one_program() -> None:
    def run() -> Any:
        return minijvp.lax.scan(lambda c, x: (c * x, mnp.cos(c)), 1.0, X)

    run()
    n = len(scan._compiled)
    run()
    assert len(scan._compiled) == n


def test_programs_are_checked() -> None:
    def typed(body: Any, *types: ArrayType, n_carry: int = 1, **changes: Any) -> Any:
        params = {"jaxpr": stage(body, [F64] * 2), "n_constants": 0, "n_carry": n_carry, **HOW, **changes}
        return scan.type_rule(*types, **params)

    rows = F64.with_shape((3,))
    assert typed(lambda c, x: [c, x], F64, rows) == (F64, rows)
    assert typed(lambda c, x: [1.0, x], F64, rows)[0] == ArrayType((), np.dtype(float), weak_type=True)
    for wrong in (
        lambda: typed(lambda c, x: [c > x, x], F64, rows),
        lambda: typed(lambda c, x: [c, x], F64, F64),
        lambda: typed(lambda c, x: [c, x], F64, F64.with_shape((4,))),
        lambda: typed(lambda c, x: [c, x], I32, rows),
        lambda: typed(lambda c, x: [c, x], F64),
        lambda: typed(lambda c, x: [c], F64, F64, n_carry=2),
    ):
        with pytest.raises(JaxprError):
            wrong()


def test_printed() -> None:
    text = str(minijvp.make_jaxpr(lambda x: minijvp.lax.scan(lambda c, r: (c + r, c), 0.0, x))(X))
    assert "scan[jaxpr=" in text
    assert "length=3 n_carry=1 n_constants=0 reverse=False unroll=1] " in text
