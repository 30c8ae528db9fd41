"""Inside of disable_jit choices and loops run in Python: functions receive values; results and gradients as JAX's."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import tree_leaves, tree_map

import minijvp
import minijvp.numpy as mnp
from minijvp import lax
from minijvp.core.types import jit_is_disabled
from minijvp.errors import ArgumentError, ConcretizationError
from tests.side_by_side import both, same


def programs(m, np_):
    """Programs that look at their values, and the list of those."""
    seen = []

    def look(x):
        seen.append(float(m.lax.stop_gradient(x)))
        return x

    return {
        "scan": lambda x: m.lax.scan(lambda c, r: (look(c * r), c + r), x, np_.arange(1.0, 4.0)),
        "reverse": lambda x: m.lax.scan(
            lambda c, r: (look(c * r["a"]), {"y": c + r["a"]}), x, {"a": np_.arange(1.0, 4.0)}, reverse=True
        ),
        "length": lambda x: m.lax.scan(lambda c, _: (look(c * 2), None), x, None, length=3),
        "while_loop": lambda x: m.lax.while_loop(lambda c: look(c) < 50, lambda c: look(c * 3), x),
        "fori_loop": lambda x: m.lax.fori_loop(1, 4, lambda i, c: look(c * i) * 1.0, x),
        "no step": lambda x: m.lax.fori_loop(3, 3, lambda i, c: look(c * i), x),
        "cond": lambda x: m.lax.cond(x > 1, lambda y: look(y * 2), look, x),
        "switch": lambda x: m.lax.switch(np_.int32(7), [lambda y: look(y * 2), lambda y: look(y + 1)], x),
        "map": lambda x: m.lax.map(lambda r: look(r * x), np_.arange(3.0)),
    }, seen


def total(m, np_, f):
    return lambda x: sum(np_.sum(y) for y in tree_leaves(f(x)))


@pytest.mark.parametrize("name", list(programs(minijvp, mnp)[0]))
def test_functions_receive_values(name):
    ours, seen = programs(minijvp, mnp)
    of_jax, seen_by_jax = programs(jax, jnp)
    x = jnp.float32(1.5)
    with jax.disable_jit():
        same(ours[name](x), of_jax[name](x))
        f, g = total(minijvp, mnp, ours[name]), total(jax, jnp, of_jax[name])
        same(minijvp.grad(f)(x), jax.grad(g)(x))
        same(minijvp.jvp(f, (x,), (x,)), jax.jvp(g, (x,), (x,)))
    assert seen == seen_by_jax
    if seen:
        with pytest.raises(ConcretizationError):
            ours[name](x)


def test_values_that_decide_and_are_not_there():
    with minijvp.disable_jit():
        tripled = lambda x: minijvp.lax.while_loop(lambda c: c < 50, lambda c: 3 * c, x)
        same(minijvp.vmap(tripled)(mnp.arange(1.0, 4.0)), np.array([81.0, 54.0, 81.0]))
        chosen = lambda x: minijvp.lax.cond(x > 1, lambda y: 2 * y, lambda y: -y, x)
        same(minijvp.vmap(chosen)(mnp.arange(3.0)), np.array([0.0, -1.0, 4.0]))
        assert float(jax.jit(minijvp.to_jax(chosen))(3.0)) == 6


def test_loops_without_steps_and_with_too_many():
    with minijvp.disable_jit():
        last, rows = minijvp.lax.scan(lambda c, x: (c + x, x * x), 1.0, mnp.zeros((0,)))
        assert (float(last), rows.shape) == (1, (0,))
        tripled = lambda n: minijvp.lax.while_loop(lambda c: c < 50, lambda c: 3 * c, 1.0, max_steps=n)
        assert float(tripled(4)) == 81
        with pytest.raises(ArgumentError, match="not at its end after max_steps=3"):
            tripled(3)


def test_bodies_that_return_something_else():
    with minijvp.disable_jit():
        with pytest.raises(ArgumentError, match="returned ArrayImpl where a pair is wanted"):
            minijvp.lax.scan(lambda c, x: c, 1.0, mnp.arange(3.0))
        with pytest.raises(ArgumentError, match="cannot be called as it is"):
            minijvp.lax.fori_loop(0, 3, lambda i: i, 1.0)


X = jnp.array([0.3, -1.2, 2.0])


def i8(np: Any) -> Any:
    return np.zeros((), "int8")


def plainly(case: Callable[[Any, Any], Any]) -> None:
    def inside(api: Any, np: Any) -> Any:
        with api.disable_jit():
            return tree_map(np.asarray, case(api, np))

    both(inside)


PLAIN_LOOPS: dict[str, Callable[[Any, Any], Any]] = {
    "scan": lambda api, np: api.lax.scan(lambda c, x: (c + x if x > 0 else c, (c, float(x))), 0.5, X),
    "scan_reverse": lambda api, np: api.lax.scan(lambda c, x: (c + x if c > 1 else c - x, c), 0.5, X, reverse=True),
    "scan_of_trees": lambda api, np: api.lax.scan(
        lambda c, x: ({"c": int(c["c"]) + 1}, None), {"c": 0}, None, length=3
    ),
    "while_loop": lambda api, np: api.lax.while_loop(lambda c: bool(c < 9), lambda c: c + int(c) + 1, 1),
    "fori_loop": lambda api, np: api.lax.fori_loop(2, 5, lambda i, c: c * i if int(i) % 2 else c, 1.5),
    "no_steps": lambda api, np: api.lax.fori_loop(5, 2, lambda i, c: c * int(i), 1.5),
    "cond": lambda api, np: [api.lax.cond(p, lambda x: x * float(x), lambda x: -x, 3.0) for p in (True, False, 2)],
    "switch": lambda api, np: [api.lax.switch(i, [np.sin, lambda x: int(x)], 3.5) for i in (-1, 0, 1, 7)],
    "map": lambda api, np: api.lax.map(lambda x: x if x > 0 else -2 * x, X),
    "grad": lambda api, np: api.grad(lambda x: api.lax.fori_loop(0, 3, lambda i, c: c * x if c < 5 else c, 1.0))(2.0),
    "grad_of_cond": lambda api, np: api.grad(lambda x: api.lax.cond(x > 1, lambda x: x * x if x < 3 else x, np.sin, x))(
        2.0
    ),
    "associative_scan": lambda api, np: api.lax.associative_scan(lambda a, b: a * b if (a < 9).all() else a, X),
    "grad_of_associative_scan": lambda api, np: api.grad(
        lambda x: api.lax.associative_scan(lambda a, b: a * b if (a < 9).all() else a, x * X).sum()
    )(2.0),
    "grad_of_fori_loop_to_arrays": lambda api, np: api.grad(
        lambda x: api.lax.fori_loop(np.int32(0), np.int32(3), lambda i, c: c * x if c < 5 else c * int(i), 1.0)
    )(2.0),
    "grad_of_fori_loop_from_one_to_the_other": lambda api, np: api.jacfwd(
        lambda x: api.lax.fori_loop(
            (x > 1).astype("int8"),
            x.astype("int8"),
            lambda i, c: (c[0] * x if c[0] < 5 else c[0] * int(i), i),
            (x, i8(np)),
        )[0]
    )(3.0),
    "vmap": lambda api, np: api.vmap(lambda p, x: api.lax.cond(p > 0, np.sin, np.cos, x))(X, X),
    "vmap_of_switch": lambda api, np: api.vmap(lambda i, x: api.lax.switch(i, [np.sin, np.cos], x))(np.arange(3), X),
    "vmap_of_while": lambda api, np: api.vmap(lambda n: api.lax.while_loop(lambda c: c < n, lambda c: c + 1, 0.0))(X),
    "jit_of_while": lambda api, np: api.jit(lambda n: api.lax.while_loop(lambda c: c < n, lambda c: c + int(n), 0.0))(
        3.0
    ),
    "staged": lambda api, np: api.checkpoint(lambda x: api.lax.while_loop(lambda c: c < x, lambda c: c + 1, 0.0))(3.0),
}


@pytest.mark.parametrize("case", PLAIN_LOOPS.values(), ids=PLAIN_LOOPS)
def test_without_jit_functions_see_values(case: Callable[[Any, Any], Any]) -> None:
    plainly(case)
    assert not jit_is_disabled()


COMPILED: dict[str, Callable[[Any], Any]] = {
    "scan": lambda x: lax.scan(lambda c, r: (mnp.sin(c) * r, c * r), x, X)[1].sum(),
    "checkpointed": lambda x: lax.scan(lambda c, r: (mnp.sin(c) * r, c * r), x, X, checkpoint=2)[0],
    "while_loop": lambda x: lax.while_loop(lambda c: c < 9, lambda c: c * x, x),
    "max_steps": lambda x: lax.while_loop(lambda c: c < 9, lambda c: c * x, x, max_steps=9),
    "fori_loop": lambda x: lax.fori_loop(0, 4, lambda i, c: mnp.cos(c) * i + x, x),
    "fori_loop to an array": lambda x: lax.fori_loop(0, mnp.round(x).astype(int), lambda i, c: mnp.cos(c) * i + x, x),
    "cond": lambda x: lax.cond(x > 2, lambda x: x**3, mnp.sin, x),
    "switch": lambda x: lax.switch(mnp.round(x).astype(int), [mnp.sin, mnp.cos, mnp.tanh, mnp.exp], x),
    "map": lambda x: lax.map(lambda r: mnp.sin(r * x), X).sum(),
    "map of batches": lambda x: lax.map(lambda r: mnp.sin(r * x), X, batch_size=2).sum(),
    "associative_scan": lambda x: lax.associative_scan(mnp.multiply, x * X).sum(),
    "jit": minijvp.jit(lambda x: mnp.sin(x) * x),
    "checkpoint": minijvp.checkpoint(lambda x: mnp.sin(x) * x),
    "nested": minijvp.jit(lambda x: lax.scan(lambda c, r: (lax.cond(r > 0, mnp.sin, mnp.cos, c) * x, None), x, X)[0]),
}


@pytest.mark.parametrize("name", COMPILED)
def test_numbers_are_those_of_the_compiled_program(name: str) -> None:
    fun, x = COMPILED[name], jnp.array(2.25)
    both_ways = lambda f, *args: (f(*args), without_jit(f, *args))
    for transformed in (fun, minijvp.grad(fun), minijvp.grad(minijvp.grad(fun)), minijvp.jacfwd(fun)):
        same(*both_ways(transformed, x))
    for transformed in (fun, minijvp.grad(fun)):
        same(*both_ways(minijvp.vmap(transformed), mnp.array([2.25, 1.75])))


def without_jit(f: Callable[..., Any], *args: Any) -> Any:
    with minijvp.disable_jit():
        return f(*args)


def test_bodies_of_eager_gradients_see_values() -> None:
    seen: list[str] = []

    def step(c: Any, r: Any) -> Any:
        seen.append(f"{c} {c:.1f} {r}")
        return c * r, None

    with minijvp.disable_jit():
        minijvp.grad(lambda x: lax.scan(step, x, jnp.array([3, 4]))[0])(jnp.float32(2))
        minijvp.grad(minijvp.checkpoint(lambda x: step(x, 5)[0]))(jnp.float32(2))
        minijvp.vmap(lambda x: lax.scan(lambda c, r: (seen.append(f"{c}"), (c, c))[1], x, None, length=1)[0])(X)
    assert seen == [
        "<f32[] 2.0, being differentiated> 2.0 3",
        "<f32[] 6.0, being differentiated> 6.0 4",
        "<f32[] 2.0, being differentiated> 2.0 5",
        "<f64[], one of 3 lanes: [0.3 -1.2 2.]>",
    ]
