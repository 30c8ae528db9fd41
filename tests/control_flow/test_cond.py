"""What the rules of cond promise: residuals that branches share, and lanes that choose for themselves."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import minijvp
import minijvp.numpy as mnp
from minijvp import JaxprError
from minijvp.control_flow.base import ControlFlow
from minijvp.control_flow.branches import transpose_branches, vmap_branches
from minijvp.control_flow.cond import cond, is_slow, linearize_branches
from minijvp.core.primitive import Axis
from minijvp.core.types import ArrayType
from minijvp.lax import while_loop
from minijvp.transforms.staging import stage
from tests.side_by_side import SIDES, both, same

F64, I32 = ArrayType((), np.dtype(float)), ArrayType((), np.dtype("int32"))
X = jnp.array([0.3, -1.2, 2.0])


def test_residuals_share_their_memory() -> None:
    first = stage(lambda x, y: [mnp.sin(x) * mnp.cos(y), x], [F64] * 2)
    second = stage(lambda x, y: [mnp.exp(x), y], [F64] * 2)
    third = stage(lambda x, y: [x, x * y], [F64] * 2)
    parts = linearize_branches((first, second, third), (True, True))
    # sin, cos and their derivatives; x and the exponential are results, and y is an operand.
    assert [len(b.outputs) for b in parts.known] == [2 + 4] * 3
    assert parts.shared == (1, 2)
    assert parts.out_nonzero == (True, True)


def test_tangents_and_cotangents_of_any_branch_count() -> None:
    branches = stage(lambda x, y: [x, 1.0 * y], [F64] * 2), stage(lambda x, y: [y * 0.0, y], [F64] * 2)
    assert linearize_branches(branches, (True, False)).out_nonzero == (True, False)
    assert transpose_branches(branches, (True, True), (True, False))[2] == (True, True)
    assert transpose_branches(branches, (True, True), (False, True))[2] == (False, True)


def lanes(side: Any, fun: Any) -> Any:
    """Sums over two axes of lanes, differentiated: a choice in a batch of batches."""
    api, np = side
    keys = jnp.array([[0, 1], [2, 1], [0, 0]], "int32")

    def total(x: Any, w: Any) -> Any:
        inner = api.vmap(lambda k, v: fun(api, np, k, v, w), (0, None))
        return api.vmap(inner)(keys, x).sum()

    return total(X, 0.5), api.grad(total, (0, 1))(X, 0.5), api.jit(api.jacfwd(total, (0, 1)))(X, 0.5)


def test_lanes_of_lanes() -> None:
    def cheap(api: Any, np: Any, k: Any, v: Any, w: Any) -> Any:
        return api.lax.switch(k, [lambda v: v * w, lambda v: np.sin(v) + w, np.exp], v)

    def slow(api: Any, np: Any, k: Any, v: Any, w: Any) -> Any:
        def loop(v: Any) -> Any:
            return api.lax.fori_loop(0, 3, lambda i, c: np.sin(c) * w + v * i, v)

        return api.lax.switch(k, [lambda v: v * w, loop, lambda v: np.stack([v, w]) @ np.stack([w, v])], v)

    for fun in (cheap, slow):
        found, wanted = lanes(SIDES[0], fun), lanes(SIDES[1], fun)
        same(found, wanted)


def test_what_is_slow() -> None:
    loop = stage(lambda x: [while_loop(lambda c: c < 0, lambda c: c + 1, x)], [F64])
    assert is_slow(loop)
    assert is_slow(stage(lambda x: [minijvp.jit(lambda x: mnp.ones(2) @ mnp.stack([x, x]))(x)], [F64]))
    assert not is_slow(stage(lambda x: [minijvp.jit(mnp.sin)(x)], [F64]))
    assert not is_slow(stage(lambda x: [minijvp.lax.cond(x > 0, mnp.sin, mnp.cos, x)], [F64]))
    assert isinstance(cond, ControlFlow)
    assert not cond.repeats


def test_a_slow_branch_runs_only_if_a_lane_wants_it() -> None:
    """The loop of the branch does not end for numbers that are not positive."""

    def fun(x: Any) -> Any:
        def count(x: Any) -> Any:
            return while_loop(lambda c: c[1] < 4.0, lambda c: (c[0] + 1, c[1] + x), (0, x))[0]

        return minijvp.lax.cond(x > 0, count, lambda x: -1, x)

    for run in (minijvp.vmap(fun), minijvp.jit(minijvp.vmap(fun))):
        same(run(jnp.array([0.0, -1.0])), jnp.array([-1, -1]))
        same(run(jnp.array([1.0, 0.0, 0.5])), jnp.array([3, -1, 7]))
    same(minijvp.vmap(minijvp.vmap(fun))(jnp.array([[1.0, 0.0], [0.0, 0.0]])), jnp.array([[3, -1], [-1, -1]]))
    same(minijvp.vmap(fun)(jnp.zeros(0)), jnp.zeros(0, int))


def test_collectives_in_a_branch_see_all_lanes() -> None:
    def case(api: Any, np: Any) -> Any:
        def fun(k: Any, x: Any) -> Any:
            return api.lax.switch(k, [lambda x: x, lambda x: api.lax.psum(x, "i") * np.ones(2) @ np.ones(2)], x)

        keys = jnp.array([1, 0, 1], "int32")
        ours = api.vmap(fun, (0, 0), axis_name="i")(keys, X)
        return ours, api.vmap(fun, (None, 0), axis_name="i")(1, X)

    both(case)


def test_what_lanes_share_stays_shared() -> None:
    branches = stage(lambda x, y: [x, y], [F64] * 2), stage(lambda x, y: [x, y * 2.0], [F64] * 2)
    assert vmap_branches(branches, Axis(2), (True, False))[2] == (True, False)


def test_an_index_may_be_a_literal() -> None:
    branches = stage(lambda x: [x], [F64]), stage(lambda x: [x * 2.0], [F64])
    same(cond(1, 3.0, branches=branches)[0], jnp.asarray(6.0, float))
    assert cond.type_rule(I32, F64, branches=branches) == (F64,)


def test_programs_are_checked() -> None:
    same_types = stage(lambda x: [x], [F64]), stage(lambda x: [x * 2.0], [F64])
    for index, operands, branches in (
        (F64, [F64], same_types),
        (I32.with_shape((2,)), [F64], same_types),
        (I32, [I32], same_types),
        (I32, [F64, F64], same_types),
        (I32, [F64], (same_types[0], stage(lambda x: [x > 0], [F64]))),
        (I32, [F64], (same_types[0], stage(lambda x: [x, x], [F64]))),
    ):
        with pytest.raises(JaxprError):
            cond.type_rule(index, *operands, branches=branches)


def test_higher_derivatives() -> None:
    def fun(api: Any, np: Any) -> Any:
        def f(x: Any) -> Any:
            return api.lax.cond(x > 0.5, lambda y: np.sin(y) * x, lambda y: y**3 * x, x * x)

        return f

    for x in (0.3, 0.8):
        for word in (lambda api: lambda f: api.grad(api.grad(api.grad(f))), lambda api: lambda f: api.hessian(f)):
            same(word(minijvp)(fun(minijvp, mnp))(x), word(jax)(fun(jax, jnp))(x), 1e-11)


def test_results_that_nobody_uses_are_not_computed() -> None:
    def fun(x: Any) -> Any:
        return minijvp.lax.cond(x.sum() > 0, lambda x: (mnp.sin(x), mnp.exp(x)), lambda x: (x, mnp.cos(x)), x)[0]

    text = str(minijvp.make_jaxpr(fun)(X))
    assert "sin" in text
    assert "exp" not in text
    assert "cos" not in text
    same(minijvp.jit(fun)(X), fun(X))
