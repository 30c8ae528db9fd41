"""What the rules of while promise: tangents, and lanes that stop by themselves."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import minijvp
from minijvp import JaxprError, MissingRuleError
from minijvp.core.primitive import Axis
from minijvp.core.types import ArrayType
from minijvp.higher_order.while_loop import while_loop
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


def test_reverse_mode_is_refused() -> None:
    with pytest.raises(MissingRuleError, match="reverse mode"):
        minijvp.grad(lambda x: minijvp.lax.while_loop(lambda c: c < 10, lambda c: c * 2, x))(1.0)


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
