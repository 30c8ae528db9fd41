"""What the rules of while promise: tangents, and lanes that stop by themselves."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import minijvp
import minijvp.numpy as mnp
from minijvp import JaxprError
from minijvp.control_flow import reverse_loop
from minijvp.control_flow.while_loop import while_loop
from minijvp.core.primitive import Axis
from minijvp.core.types import ArrayType
from minijvp.transforms.staging import stage
from minijvp.transforms.vmap import vmap_flat
from tests.side_by_side import SIDES, both, same

F64, I32 = ArrayType((), np.dtype(float)), ArrayType((), np.dtype("int32"))
X, N = jnp.array([0.3, -1.2, 2.0]), jnp.array([0, 3, 7])


def steps(api: Any, np: Any, n: Any, w: Any, x: Any) -> Any:
    return api.lax.while_loop(lambda c: c[0] < n, lambda c: (c[0] + 1, np.sin(c[1]) * w, c[1]), (0, x, 1.0))


def pushed(api: Any, np: Any, n: Any, w: Any, x: Any) -> Any:
    return api.jvp(lambda w, x: steps(api, np, n, w, x)[1:], (w, x), (1.0, 0.5))[1]


@pytest.mark.parametrize("fun", [steps, pushed])
def test_lanes(fun: Any) -> None:
    for axes in ((0, None, None), (None, None, 0), (None, 0, None), (0, 0, 0)):
        for compiled in (False, True):

            def case(api: Any, np: Any, axes: Any = axes, compiled: Any = compiled) -> Any:
                args = [v if a == 0 else v[1] for v, a in zip((N, X + 1.0, X), axes)]
                mapped = api.vmap(lambda *xs: fun(api, np, *xs), axes)
                return (api.jit(mapped) if compiled else mapped)(*args)

            both(case)


def test_tangents_of_lanes() -> None:
    def case(api: Any, np: Any) -> Any:
        def fun(w: Any, x: Any) -> Any:
            return api.vmap(lambda n, x: steps(api, np, n, w, x)[1])(N, x)

        return api.jacfwd(fun, (0, 1))(1.2, X), api.jvp(api.jacfwd(fun), (1.2, X), (1.0, X))

    both(case)


def test_lanes_of_lanes() -> None:
    def case(api: Any, np: Any) -> Any:
        inner = api.vmap(lambda n, x: steps(api, np, n, 1.2, x), (0, None))
        return api.vmap(inner, (None, 0))(N, X), api.vmap(inner, (0, 0))(jnp.array([N, N + 1, N]), X)

    both(case)


def test_what_does_not_depend_on_the_lane_is_not_batched() -> None:
    body = stage(lambda w, n, a, b: [n + 1, a * w, b + 1.0], [F64, I32, F64, F64])
    condition = stage(lambda n, a, b: [n < 3], [I32, F64, F64])
    params = {"cond_jaxpr": condition, "body_jaxpr": body, "n_cond_constants": 0, "n_body_constants": 1}
    _, batched = vmap_flat(
        lambda w: while_loop(w, np.int32(0), jnp.ones(()), jnp.ones(()), **params), Axis(3), [X], [True]
    )
    assert batched == (False, True, False)


def test_a_loop_in_a_loop_ends_in_lanes_that_are_done() -> None:
    """A lane that is done has a step that would make the inner loop endless."""

    def fun(x: Any, step: Any) -> Any:
        def inner(c: Any) -> Any:
            x, step = c
            grown = minijvp.lax.while_loop(lambda y: y < x + 1.0, lambda y: y + step, x)
            return grown, minijvp.numpy.where(grown > 3.0, 0.0, step)

        return minijvp.lax.while_loop(lambda c: c[1] > 0, inner, (x, step))[0]

    same(minijvp.vmap(fun)(jnp.array([0.0, 3.0]), jnp.array([0.5, 1.0])), jnp.array([4.0, 4.0]))


def test_collectives() -> None:
    def case(api: Any, np: Any) -> Any:
        def fun(x: Any) -> Any:
            return api.lax.while_loop(lambda c: api.lax.pmax(c, "i") < 9.0, lambda c: c + api.lax.psum(c, "i"), x)

        return api.vmap(fun, axis_name="i")(jnp.array([0.5, 1.0, 1.5]))

    both(case)


# Reverse mode


def powers(api: Any, np: Any, n: Any, w: Any, x: Any) -> Any:
    return api.lax.while_loop(lambda c: c[0] < n, lambda c: (c[0] + 1, np.sin(c[1]) * w), (0, x))[1]


def unrolled(n: int, w: Any, x: Any) -> Any:
    return jax.lax.scan(lambda c, _: (jnp.sin(c) * w, None), x, length=n)[0]


def test_gradients_for_any_number_of_steps() -> None:
    compilations: list[int] = []

    def counted(n: Any, w: Any, x: Any) -> Any:
        compilations.append(1)
        return powers(minijvp, mnp, n, w, x)

    gradient = minijvp.jit(minijvp.grad(counted, (1, 2)))
    for n in (0, 1, 7, 1000):
        wanted = jax.grad(lambda w, x, n=n: unrolled(n, w, x), (0, 1))(1.01, 0.7)
        same(gradient(n, 1.01, 0.7), wanted)
        same(minijvp.grad(powers, (3, 4))(minijvp, mnp, n, 1.01, 0.7), wanted) if n < 8 else None
    assert compilations == [1]


def test_memory_does_not_grow() -> None:
    gradient = minijvp.jit(minijvp.grad(lambda x, n: powers(minijvp, mnp, n, 1.1, x).sum()))
    size = gradient.lower(jnp.ones(5000), 1).compile().memory_analysis().temp_size_in_bytes
    assert size < 3 * reverse_loop.FEWEST_SLOTS * 5000 * 8 * 3


def test_a_loop_of_any_length_under_every_derivative() -> None:
    """x = sin(x) x, n times: one compilation each for all n, against the loop written out."""
    traced: list[int] = []

    def fun(x: Any, n: Any) -> Any:
        traced.append(1)
        return minijvp.lax.while_loop(lambda c: c[0] < n, lambda c: (c[0] + 1, mnp.sin(c[1]) * c[1]), (0, x))[1]

    def judge(x: Any, n: int) -> Any:
        return jax.lax.scan(lambda x, _: (jnp.sin(x) * x, None), x, length=n)[0]

    gradient = minijvp.jit(minijvp.grad(fun))
    pushed = minijvp.jit(lambda x, n: minijvp.jvp(lambda x: fun(x, n), (x,), (1.0,)))
    second = minijvp.jit(minijvp.grad(minijvp.grad(fun)))
    for n in (0, 1, 7, 1000):
        wanted = jax.value_and_grad(judge)(2.0, n)
        assert n < 1000 or abs(wanted[1]) > 1e-6
        same(gradient(2.0, n), wanted[1], 1e-11)
        same(pushed(2.0, n), wanted, 1e-11)
        quotient = (gradient(2.0 + 1e-6, n) - gradient(2.0 - 1e-6, n)) / 2e-6
        np.testing.assert_allclose(second(2.0, n), quotient, rtol=1e-6, atol=1e-8)
    assert len(traced) == 3


def test_memory_does_not_depend_on_a_static_number_of_steps() -> None:
    def temporary(n: int) -> int:
        gradient = minijvp.jit(minijvp.grad(lambda x: powers(minijvp, mnp, n, 1.1, x).sum()))
        return gradient.lower(jnp.ones(1000)).compile().memory_analysis().temp_size_in_bytes

    assert temporary(10_000) < 2 * temporary(100)


def test_second_derivatives_are_those_of_differences() -> None:
    gradient = minijvp.jit(minijvp.grad(lambda x, n: powers(minijvp, mnp, n, 1.01, x)))
    second = minijvp.jit(minijvp.grad(gradient))
    for n in (0, 1, 7, 60):
        quotient = (gradient(0.7 + 1e-6, n) - gradient(0.7 - 1e-6, n)) / 2e-6
        np.testing.assert_allclose(second(0.7, n), quotient, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 5, 7, 8, 9, 20])
def test_few_slots_and_levels(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """2 slots on 3 levels: enough for 8 steps; what is longer is computed in parts."""
    monkeypatch.setattr(reverse_loop, "slots", lambda types: (2, 3))
    factor = 1.0 + n / 128  # a program of its own, whatever has been compiled before
    fun = lambda x, n: powers(minijvp, mnp, n, factor, x)
    wanted = jax.grad(lambda x: unrolled(n, factor, x))(0.7)
    same(minijvp.jit(minijvp.grad(lambda x: fun(x, n)))(0.7), wanted)


def test_a_solver_equals_its_implicit_derivative() -> None:
    """Newton's method for x**3 = a, with a tolerance; the start and an integer are carried along."""

    def root(a: Any, start: Any) -> Any:
        def step(c: Any) -> Any:
            x, _, n = c
            new = x - (x**3 - a) / (3 * x**2)
            return new, abs(new - x), n + 1

        x, _, _ = minijvp.lax.while_loop(lambda c: c[1] > 1e-12, step, (start, 1.0, 0))
        return x

    for a in (0.5, 2.0, 27.0):
        value, (slope, of_start) = minijvp.value_and_grad(root, (0, 1))(a, 1.0)
        np.testing.assert_allclose(value, a ** (1 / 3), rtol=1e-12)
        np.testing.assert_allclose(slope, a ** (-2 / 3) / 3, rtol=1e-9)
        np.testing.assert_allclose(of_start, 0.0, atol=1e-9)
    each = minijvp.jit(minijvp.vmap(minijvp.grad(root), (0, None)))(jnp.array([0.5, 2.0, 27.0]), 1.0)
    np.testing.assert_allclose(each, jnp.array([0.5, 2.0, 27.0]) ** (-2 / 3) / 3, rtol=1e-9)


def test_lanes_that_are_done_add_nothing() -> None:
    """The step is singular at the value that a lane stops with: 0 * inf must not reach what all lanes share."""

    def fun(w: Any, x: Any, n: Any) -> Any:
        def step(c: Any) -> Any:
            i, y = c
            return i + 1, mnp.sqrt(y) * w - w

        return minijvp.lax.while_loop(lambda c: c[0] < n, step, (0, x))[1]

    xs, counts = jnp.array([1.0, 4.0, 0.0]), jnp.array([1, 2, 0])
    total = lambda w, x: minijvp.vmap(fun, (None, 0, 0))(w, x, counts).sum()
    each = lambda w, x: minijvp.vmap(minijvp.grad(fun, (0, 1)), (None, 0, 0))(w, x, counts)
    wanted = [jax.grad(lambda w, x, n=int(n): roots(n, w, x), (0, 1))(2.0, x) for x, n in zip(xs, counts)]
    of_w, of_x = (jnp.stack(column) for column in zip(*wanted))
    for result, judge in ((each(2.0, xs), (of_w, of_x)), (minijvp.grad(total, (0, 1))(2.0, xs), (of_w.sum(), of_x))):
        assert all(np.isfinite(g).all() for g in result)
        same(result, judge)


def roots(n: int, w: Any, x: Any) -> Any:
    for _ in range(n):
        x = jnp.sqrt(x) * w - w
    return x


def test_what_nobody_differentiates_is_not_walked_back() -> None:
    """Of a norm that only decides when to stop, the derivative at 0 is a NaN."""

    def fun(x: Any) -> Any:
        def step(c: Any) -> Any:
            y, _ = c
            new = y * 0.5
            return new, mnp.sqrt(((new - y * 0.5) ** 2).sum())

        return minijvp.lax.while_loop(lambda c: c[1] > 0, step, (x, 1.0))[0].sum()

    same(minijvp.grad(fun)(X), jnp.full(3, 0.5))
    counted = minijvp.grad(
        lambda x: x * minijvp.lax.while_loop(lambda c: c[1] < 9, lambda c: (c[0] + 1, c[1] * 2), (0, 1.0))[0]
    )
    same(counted(2.0), jnp.asarray(4.0))


def test_linearize_and_transpose() -> None:
    def fun(x: Any) -> Any:
        return powers(minijvp, mnp, 3, 1.2, x)

    out, pushforward = minijvp.linearize(fun, X)
    same(out, unrolled(3, 1.2, X))
    same(pushforward(X), jax.jvp(lambda x: unrolled(3, 1.2, x), (X,), (X,))[1])
    same(minijvp.vmap(pushforward)(jnp.stack([X, 2 * X])), jnp.stack([pushforward(X), pushforward(2 * X)]))
    same(minijvp.vjp(pushforward, X)[1](X)[0], minijvp.vjp(fun, X)[1](X)[0])
    same(minijvp.linear_transpose(pushforward, X)(X)[0], minijvp.vjp(fun, X)[1](X)[0])


def test_dead_carries_are_dropped() -> None:
    def fun(w: Any, x: Any) -> Any:
        return minijvp.lax.while_loop(
            lambda c: c[0] < 3, lambda c: (c[0] + 1, c[1] + c[2], c[2] * 2.0, mnp.sin(c[3]) * w + c[1]), (0, x, x, x)
        )

    n, y, _, z = fun(1.2, X)
    for i, wanted, n_carry, n_constants in ((0, n, 1, 0), (1, y, 3, 0), (3, z, 4, 1)):
        (loop,) = minijvp.make_jaxpr(lambda w, x, i=i: fun(w, x)[i])(1.2, X)
        assert (len(loop.outputs), loop.params["n_body_constants"]) == (n_carry, n_constants)
        same(minijvp.jit(lambda w, x, i=i: fun(w, x)[i])(1.2, X), wanted)


def test_equal_loops_are_one_program() -> None:
    for _ in range(2):
        minijvp.lax.while_loop(lambda c: c < 30.0, lambda c: c * 3.0, 1.0)
        n = len(while_loop._compiled)
    minijvp.lax.while_loop(lambda c: c < 30.0, lambda c: c * 3.0, 2.0)
    assert len(while_loop._compiled) == n


def test_programs_are_checked() -> None:
    def typed(condition: Any, body: Any, *types: ArrayType) -> Any:
        jaxprs = {"cond_jaxpr": stage(condition, [F64]), "body_jaxpr": stage(body, [F64])}
        return while_loop.type_rule(*types, **jaxprs, n_cond_constants=0, n_body_constants=0)

    assert typed(lambda c: [c > 0], lambda c: [c * 2.0], F64) == (F64,)
    for wrong in (
        lambda: typed(lambda c: [c], lambda c: [c], F64),
        lambda: typed(lambda c: [c > 0], lambda c: [c > 0], F64),
        lambda: typed(lambda c: [c > 0], lambda c: [c, c], F64),
        lambda: typed(lambda c: [c > 0], lambda c: [c], I32),
        lambda: typed(lambda c: [c > 0], lambda c: [c], F64, F64),
    ):
        with pytest.raises(JaxprError):
            wrong()


def test_sides_agree_on_the_step_count() -> None:
    found, wanted = (steps(*side, jnp.int32(5), 1.2, 0.3) for side in SIDES)
    same(found, wanted)
    assert jax.tree_util.tree_structure(found) == jax.tree_util.tree_structure(wanted)


LOOPS: dict[str, Any] = {
    "scan": lambda api, step, x: api.lax.scan(lambda x, _: (step(x), None), x, None, length=9)[0],
    "fori": lambda api, step, x: api.lax.fori_loop(0, 9, lambda _, x: step(x), x),
    "while": lambda api, step, x: api.lax.while_loop(lambda c: c[0] < 9, lambda c: (c[0] + 1, step(c[1])), (0, x))[1],
}
MODES: dict[str, Any] = {
    "forward over forward": lambda api, fun: api.jacfwd(api.jacfwd(fun)),
    "forward over reverse": lambda api, fun: api.jacfwd(api.jacrev(fun)),
    "reverse over forward": lambda api, fun: api.jacrev(api.jacfwd(fun)),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_second_derivatives_of_loops_with_quotients_and_roots(dtype: str, loop: str, mode: str) -> None:
    # Of a while loop JAX has forward mode only; the others are judged by its scan.
    judge = "scan" if loop == "while" and "reverse" in mode else loop

    def case(api: Any, np: Any, loop: str) -> Any:
        def fun(p: Any) -> Any:
            return LOOPS[loop](api, lambda x: p[0] * x / np.sqrt(1 + x * x) + p[1] / (p[2] + x), p[2])

        return api.jit(MODES[mode](api, fun))(jnp.array([0.7, 0.4, 1.3], dtype))

    same(case(minijvp, mnp, loop), case(jax, jnp, judge), 1e-6 if dtype == "float32" else 1e-12)


@pytest.mark.parametrize("inner", ["jacfwd", "grad"])
def test_derivatives_of_a_loop_of_derivatives(inner: str) -> None:
    def case(api: Any, np: Any) -> Any:
        def fun(w: Any) -> Any:
            force = getattr(api, inner)(lambda x: np.sum(1 / np.sqrt(x * x + w)) / np.sum(w))
            goes_on = lambda c: np.sum(c[0]) < 6
            return api.lax.while_loop(goes_on, lambda c: (c[0] + c[1], c[1] - 0.1 * force(c[0])), (w, 0.5 * w))

        return api.jit(api.jacfwd(fun))(jnp.array([0.7, 0.4, 1.3]))

    both(case)
