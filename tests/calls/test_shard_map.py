"""shard_map: what it refuses, and what it keeps; its values on several devices are in tests/devices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AbstractMesh, AxisType
from jax.sharding import PartitionSpec as P

import minijvp
import minijvp.numpy as mnp
from minijvp import ArgumentError, shard_map
from tests.side_by_side import same

MESH = AbstractMesh((4, 2), ("d", "m"), axis_types=(AxisType.Auto,) * 2)
ONE = jax.make_mesh((1,), ("i",), axis_types=(AxisType.Auto,))
X = jnp.arange(24.0).reshape(8, 3)


def on(mesh: Any, fun: Any, in_specs: Any, out_specs: Any, *args: Any, **how: Any) -> Callable[[], Any]:
    return lambda: shard_map(fun, mesh=mesh, in_specs=in_specs, out_specs=out_specs, **how)(*args)


SAME: Callable[[Any], Any] = lambda x: x
MISTAKES: dict[str, tuple[Callable[[], Any], str]] = {
    "no mesh": (lambda: shard_map(SAME, in_specs=P("d"), out_specs=P("d"))(X), "has no mesh"),
    "no function": (lambda: shard_map(3, mesh=MESH, in_specs=P(), out_specs=P()), "cannot be called"),
    "unknown axis": (on(MESH, SAME, P("q"), P("d"), X), r"spec of x, f.*\[8,3\].*'q' is none of the axes"),
    "unknown axis names": (on(MESH, SAME, P("d"), P("d"), X, axis_names={"q"}), "has the axes .* and not q"),
    "axis that is not manual": (on(MESH, SAME, P("m"), P("m"), X, axis_names={"d"}), "'m' is none of the axes"),
    "unreduced": (on(MESH, SAME, P("d", unreduced={"m"}), P("d"), X), "reduced or unreduced"),
    "no spec": (on(MESH, SAME, "d", P("d"), X), "no PartitionSpec"),
    "too many entries": (on(MESH, SAME, P(None, None, "d"), P("d"), X), "has 2 axes"),
    "an axis twice": (on(MESH, SAME, P(("d", "d")), P("d"), X), "splits one at most"),
    "another tree": (on(MESH, SAME, (P(), P()), P("d"), X), "in_specs=.* does not fit"),
    "uneven": (on(MESH, SAME, P(None, "m"), P(None, "m"), X), "axis 1 of size 3 .* by 2 devices"),
    "devices differ": (on(MESH, SAME, P("d"), P(), X), r"varies along \['d'\].*psum"),
    "a number": (on(MESH, lambda x: x.sum(), P("d"), P("d"), X), r"x\[None\]"),
    "tree of results": (on(MESH, lambda x: {"a": x, "b": x}, P("d"), {"a": P("d")}, X), "out_specs=.* does not fit"),
    "unbound": (on(MESH, lambda x: minijvp.lax.psum(x, "z"), P("d"), P("d"), X), r"'z' is not bound.*\['d', 'm'\]"),
    "not manual": (
        on(MESH, lambda x: minijvp.lax.psum(x, "m"), P("d"), P("d"), X, axis_names={"d"}),
        r"known here: \['d'\]. The mesh in force has \['m'\]",
    ),
    "no array": (on(MESH, SAME, P("d"), P("d"), "text"), "x is 'text'"),
    "inside": (on(MESH, lambda x: x @ x, P("d"), P("d"), X), "sizes 3 and 2 to multiply"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes(mistake: str) -> None:
    call, message = MISTAKES[mistake]
    with pytest.raises(ArgumentError, match=f"(?s){message}"):
        call()
    assert float(on(ONE, lambda x: minijvp.lax.psum(x.sum(), "i"), P("i"), P(), X)()) == 276.0


def test_values_that_a_function_closes_over() -> None:
    def loss(w: Any) -> Any:
        return mnp.sum(shard_map(lambda x: mnp.tanh(x @ w), mesh=ONE, in_specs=P("i"), out_specs=P("i"))(X))

    w = jnp.linspace(-1, 1, 3)
    same(minijvp.grad(loss)(w), jax.grad(lambda w: jnp.sum(jnp.tanh(X @ w)))(w))
    same(minijvp.jit(minijvp.grad(loss))(w), minijvp.grad(loss)(w), 1e-6)


def test_a_function_is_traced_once_for_each_set_of_types() -> None:
    traced = []

    @shard_map(mesh=ONE, in_specs=P("i"), out_specs=P("i"))
    def double(x: Any) -> Any:
        traced.append(x.shape)
        return 2 * x

    for x in (X, X, X[:4], X):
        same(double(x), 2 * x)
    assert traced == [(8, 3), (4, 3)]


def test_programs_that_contain_it() -> None:
    total = shard_map(lambda x: minijvp.lax.psum(mnp.sin(x).sum(), "i"), mesh=ONE, in_specs=P("i"), out_specs=P())
    (equation,) = minijvp.make_jaxpr(total)(X)
    assert str(equation.primitive) == "shard_map"
    assert "psum" in str(minijvp.make_jaxpr(total)(X))
    assert [e.primitive.name for body in equation.programs for e in body][-1] == "psum"
    same(minijvp.vmap(total)(jnp.stack([X, 2 * X])), jnp.stack([jnp.sin(X).sum(), jnp.sin(2 * X).sum()]))


def test_lanes_that_devices_share_have_no_collective() -> None:
    mapped = shard_map(lambda x: minijvp.lax.psum(x, "lanes"), mesh=ONE, in_specs=P(), out_specs=P())
    with pytest.raises(ArgumentError, match=r"(?s)'lanes'.*split along \('i',\)"):
        minijvp.vmap(mapped, axis_name="lanes", spmd_axis_name="i")(X)
    np.testing.assert_allclose(minijvp.vmap(mapped, axis_name="lanes")(X), X.sum(0) + 0 * X)


def test_values_of_jax_around_it_are_not_kept() -> None:
    made: dict[str, Any] = {}
    scaled = shard_map(lambda x: x * made["w"], mesh=ONE, in_specs=P("i"), out_specs=P("i"))

    @jax.jit
    def of_jax(w: Any) -> Any:
        made["w"] = w
        return scaled(X)

    same(of_jax(jnp.float64(2)), 2 * X)
    same(of_jax(jnp.ones(3)), X)
    made["w"] = 3.0
    same(scaled(X[:4]), 3 * X[:4])
