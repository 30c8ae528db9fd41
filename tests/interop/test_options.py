"""Options of JAX's operations inside of programs that are read: honoured, or refused by their names."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import jax
import jax.experimental
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.experimental.layout import Format, Layout
from jax.extend.core.primitives import scatter_add_p, scatter_p
from jax.sharding import AxisType, NamedSharding, PartitionSpec, SingleDeviceSharding

import minijvp
import minijvp.numpy as mnp

X = jnp.arange(1.0, 5.0)
INDICES = jnp.array([[1], [1], [2]])
ROWS = lax.ScatterDimensionNumbers((), (0,), (0,))
ON_CPU = SingleDeviceSharding(jax.devices()[0])
AUTOMATIC = NamedSharding(jax.make_mesh((1,), ("x",), axis_types=(AxisType.Auto,)), PartitionSpec("x"))


def scattered(primitive: Any, update: Callable[..., Any] | None) -> Callable[[Any], Any]:
    """A scatter of JAX's with a program of its own for an update."""
    jaxpr = update and jax.make_jaxpr(update)(1.0, 1.0).jaxpr
    flags = {"indices_are_sorted": False, "unique_indices": False, "mode": lax.GatherScatterMode.CLIP}

    def fun(x: Any) -> Any:
        return primitive.bind(
            x, INDICES, 10 * x[:3], update_jaxpr=jaxpr, update_consts=(), dimension_numbers=ROWS, **flags
        )

    return fun


REFUSED: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "debug_callback": ("partitioned", lambda x: (jax.debug.callback(print, x, partitioned=True), x)[1]),
    "debug_print": ("partitioned", lambda x: (jax.debug.print("{}", x, partitioned=True), x)[1]),
    "scatter": ("function of its own", scattered(scatter_p, lambda old, new: 2 * old + new)),
    "scatter-add": ("update_jaxpr", scattered(scatter_add_p, lambda old, new: old - new)),
    "device_put": ("device", lambda x: jax.device_put(x, Format(Layout((0,)), ON_CPU))),
    "layout": ("layout", lambda x: jax.jit(jnp.sin, in_shardings=Format(Layout((0,)), ON_CPU))(x)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_change_the_result_is_refused_by_name(name: str) -> None:
    word, fun = REFUSED[name]
    with pytest.raises(minijvp.MissingRuleError, match=word):
        minijvp.make_jaxpr(minijvp.from_jax(fun))(X)


HONOURED: dict[str, Callable[[Any], Any]] = {
    "mul": lambda x: lax.mul(x.astype(np.float32), x.astype(np.float32), out_dtype=np.float64),
    "mul-int": lambda x: lax.mul(x.astype(np.int8) * 40, jnp.full(4, 3, np.int8), out_dtype=np.int32) * x,
    "scatter": scattered(scatter_p, lambda old, new: new),
    "scatter-without-a-program": scattered(scatter_p, None),
    "scatter-add": scattered(scatter_add_p, lambda old, new: new + old),
    "accuracy": lambda x: lax.exp(x, accuracy=lax.AccuracyMode.DEFAULT) + lax.tanh(x, accuracy=None),
    "polyval": lambda x: jnp.polyval(jnp.array([1.0, -2.0, 0.5]), x, unroll=2),
    "sort": lambda x: lax.sort((jnp.sin(x) > 0, x), num_keys=2)[1] * lax.sort((-x, x), is_stable=False)[1],
    "cumulative": lambda x: lax.cumsum(x, reverse=True) * lax.cumlogsumexp(x, reverse=True) + lax.cummax(-x),
    "argmax": lambda x: lax.argmax(x, 0, np.int8) + lax.argmin(x, 0, np.uint16) * x,
    "dot": lambda x: lax.dot_general(
        x.astype(np.float16), x.astype(np.float16), (((0,), (0,)), ((), ())), preferred_element_type=np.float32
    ),
    "convolution": lambda x: lax.conv_general_dilated(
        jnp.tile(x, (2, 2, 1)), jnp.tile(x[:2], (2, 2, 1)), (1,), [(1, 2)], (2,), (1,), batch_group_count=2
    ),
    "split_transpose": lambda x: lax.scan(lambda c, y: (c * y, jnp.sin(c)), 1.0, x, _split_transpose=True)[1],
    "reduce": lambda x: lax.reduce(x, 1.0, lambda a, b: a * b, (0,)) * x,
    "select_and_gather": lambda x: lax.reduce_window(x, -np.inf, lax.max, (2,), (2,), "VALID"),
}


@pytest.mark.parametrize("name", HONOURED)
def test_what_is_honoured(name: str) -> None:
    fun = HONOURED[name]
    ours = minijvp.from_jax(fun)
    wanted, found = jax.jit(fun)(X), minijvp.jit(ours)(X)
    assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)
    np.testing.assert_allclose(found, wanted, rtol=1e-6)
    if name != "scatter":  # JAX differentiates it by identity of the program
        gradient = minijvp.jit(minijvp.grad(lambda x: mnp.sum(mnp.sin(ours(x)))))(X)
        np.testing.assert_allclose(gradient, jax.grad(lambda x: jnp.sum(jnp.sin(fun(x))))(X), rtol=1e-5)


def equations(jaxpr: Any) -> list[Any]:
    """All equations of a program, those of inner ones too."""
    return [f for e in jaxpr for f in (e, *[g for inner in e.programs for g in equations(inner)])]


def params_of(fun: Callable[..., Any], primitive: str, *args: Any) -> list[dict[str, Any]]:
    """The parameters of all equations of a primitive, where a program of JAX is read."""
    found = equations(minijvp.make_jaxpr(minijvp.from_jax(fun))(*args))
    return [e.params for e in found if e.primitive.name == primitive]


def test_callbacks_keep_their_order() -> None:
    for ordered in (False, True):
        for fun in (
            lambda x: jax.debug.callback(lambda x: None, x, ordered=ordered),
            lambda x: jax.debug.print("{}", x, ordered=ordered),
        ):
            (params,) = params_of(lambda x: (fun(x), x)[1], "debug_callback", X)
            assert params["ordered"] is ordered
        (params,) = params_of(lambda x: jax.experimental.io_callback(np.sin, x, x, ordered=ordered), "io_callback", X)
        assert params["ordered"] is ordered


def test_shardings_of_inner_jits_hold() -> None:
    (inside,) = params_of(lambda x: jax.jit(jnp.sin, in_shardings=AUTOMATIC)(x) * 2, "sharding_constraint", X)
    (outside,) = params_of(lambda x: jax.jit(jnp.sin, out_shardings=AUTOMATIC)(x) * 2, "sharding_constraint", X)
    assert inside == outside == {"sharding": AUTOMATIC}


def test_batched_shardings_leave_the_batch_free() -> None:
    held = jax.vmap(lambda x: lax.with_sharding_constraint(x, AUTOMATIC))
    (in_jax,) = jax.make_jaxpr(held)(X[None]).jaxpr.eqns
    assert in_jax.params["unconstrained_dims"] == {0}
    (params,) = params_of(held, "sharding_constraint", X[None])
    rest = in_jax.params["sharding"].spec[1:]
    assert params["sharding"].spec[:2] == (PartitionSpec.UNCONSTRAINED, *rest, None)[:2]


def test_text_goes_where_jax_writes_it(capsys: pytest.CaptureFixture, caplog: pytest.LogCaptureFixture) -> None:
    def fun(x: Any) -> Any:
        with np.printoptions(precision=2):
            jax.debug.print("x = {}, {y}", x[0] / 3, y=x)
        jax.debug.print("no place", x[1], skip_format_check=True)
        return x

    written = []
    for run in (jax.jit(fun), minijvp.jit(minijvp.from_jax(fun))):
        jax.block_until_ready(run(X))
        jax.effects_barrier()
        written.append(sorted(capsys.readouterr().out.splitlines()))
    assert written[0] == written[1]
    with caplog.at_level(logging.INFO):
        jax.block_until_ready(minijvp.jit(minijvp.from_jax(logged))(X))
        jax.effects_barrier()
    assert "to the log: 1.0" in caplog.text


def logged(x: Any) -> Any:
    jax.debug.print("to the log: {}", x[0], _use_logging=True)
    return x
