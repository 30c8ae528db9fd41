"""The checks of functions on an explicit mesh: value, type and gradient are those of JAX. In a process of 8 devices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import minijvp
import minijvp.numpy as mnp
import minijvp.sharding
from tests.devices.explicit_cases import MESH, OPERATIONS, array

REFUSED = {"matmul summed", "vdot", "slice split", "index split", "index last", "take split"}
REFUSED |= {"cumsum split", "sort split"}
"""What JAX itself does not do: it asks for out_sharding, or for operands that are not split so."""

WITHOUT_GRADIENT = {"prod", "sort", "argsort", "take_along_axis"}
"""Those whose gradient JAX 0.10 refuses, where minijvp has one."""


def same(ours: Any, theirs: Any) -> None:
    """Fails unless values and types are equal, which name the axes that are split."""
    assert jax.tree.map(lambda x: str(jax.typeof(x)), ours) == jax.tree.map(lambda x: str(jax.typeof(x)), theirs)
    for x, y in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(np.asarray(x), np.asarray(y), rtol=2e-5, atol=1e-5)


def total(module: Any, fun: Callable[..., Any]) -> Callable[..., Any]:
    """A number that depends on all of the results."""
    return lambda *xs: sum(1.3 * module.numpy.sum(module.numpy.sin(y)) for y in jax.tree.leaves(fun(module, *xs)))


def refuses(fun: Callable[..., Any], *xs: Any) -> bool:
    """Whether a function fails, in whatever way."""
    try:
        fun(*xs)
    except Exception:
        return True
    return False


def check(name: str) -> None:
    """One function: called and compiled, and its gradient, eager and compiled, and of JAX's function as it is read."""
    fun, names = OPERATIONS[name]
    xs = [array(n) for n in names]
    ours, theirs = (lambda *xs: fun(minijvp, *xs)), (lambda *xs: fun(jax, *xs))
    if name in REFUSED:
        assert refuses(theirs, *xs)
        return
    wanted = jax.jit(theirs)(*xs)
    same(minijvp.jit(ours)(*xs), wanted)
    same(minijvp.jit(minijvp.from_jax(theirs))(*xs), wanted)
    numbers = tuple(range(len(xs)))
    if name in WITHOUT_GRADIENT and refuses(jax.grad(total(jax, fun), numbers), *xs):
        if name == "prod":  # whose halves would not be a multiple of the devices
            return
        minijvp.grad(total(minijvp, fun), numbers)(*xs)
        return
    gradient = jax.jit(jax.grad(total(jax, fun), numbers))(*xs)
    same(minijvp.grad(total(minijvp, fun), numbers)(*xs), gradient)
    same(minijvp.jit(minijvp.grad(minijvp.from_jax(total(jax, fun)), numbers))(*xs), gradient)


def operations(part: int, parts: int) -> None:
    """One part of all functions."""
    jax.set_mesh(MESH)
    failed = []
    for name in list(OPERATIONS)[part::parts]:
        try:
            check(name)
        except Exception as error:
            failed.append(f"{name}: {type(error).__name__}: {str(error)[:600]}")
    assert not failed, "\n".join(failed)


def errors() -> None:
    """Specs that mean nothing are told."""
    x = jnp.arange(32.0).reshape(8, 4)
    spread = minijvp.jit(lambda x: mnp.broadcast_to(x, (2, 8, 4), out_sharding=P(None, "d")))
    with pytest.raises(minijvp.ArgumentError, match=r"(?s)and there is no mesh.*jax.set_mesh"):
        spread(x)
    jax.set_mesh(MESH)
    WRONG: dict[str, Any] = {
        "'k' is no explicit axis of the mesh": P("k"),
        "It names for each axis": "d",
        "(?s)cannot split its result by.*JAX says": P(None, None, None, None, "d"),
    }
    for message, spec in WRONG.items():
        for fun in (
            lambda x, spec=spec: x.reshape(32, out_sharding=spec),
            lambda x, spec=spec: mnp.matmul(x, x.T, out_sharding=spec),
            lambda x, spec=spec: x.at[mnp.array([0, 1])].get(out_sharding=spec),
        ):
            with pytest.raises(minijvp.ArgumentError, match=message):
                minijvp.grad(lambda x, fun=fun: mnp.sum(fun(x)))(x)
    automatic = jax.make_mesh((4, 2), ("d", "m"), axis_types=(AxisType.Auto,) * 2)
    with pytest.raises(minijvp.ArgumentError, match=r"(?s)'d' is no explicit axis.*with_sharding_constraint"):
        minijvp.jit(lambda x: x.reshape(32, out_sharding=NamedSharding(automatic, P("d"))))(x)


def explicit_regions() -> None:
    """jax.sharding.explicit_axes on a mesh whose axes are automatic elsewhere."""
    jax.set_mesh(jax.make_mesh((4, 2), ("d", "m"), axis_types=(AxisType.Auto,) * 2))
    x = jnp.sin(jnp.arange(32.0)).reshape(8, 4)

    def fun(module: Any, x: Any) -> Any:
        inner = lambda x: module.numpy.sin(x) * module.numpy.ones((8, 4), out_sharding=P("d", "m")).sum(1)[:, None]
        return module.sharding.explicit_axes(inner, in_sharding=P("d", None))(x * 2) + 1

    theirs = lambda x: fun(jax, x)
    same(minijvp.jit(lambda x: fun(minijvp, x))(x), jax.jit(theirs)(x))
    wanted = jax.jit(jax.grad(total(jax, fun)))(x)
    same(minijvp.jit(minijvp.grad(total(minijvp, fun)))(x), wanted)
    same(minijvp.jit(minijvp.grad(minijvp.from_jax(total(jax, fun))))(x), wanted)


def loops() -> None:
    """Reverse mode of loops that are as long as they want to be, for what is carried and for what is read."""
    jax.set_mesh(MESH)
    x, w = array("both"), array("split_row")
    step = lambda m, w, c: m.numpy.sin(c * w) + c

    def repeated(m: Any, x: Any, w: Any) -> Any:
        return m.lax.scan(lambda c, _: (step(m, w, c), None), x, None, length=3)[0]

    def conditional(x: Any, w: Any, **how: Any) -> Any:
        goes_on, turn = lambda c: c[0] < 3, lambda c: (c[0] + 1, step(minijvp, w, c[1]))
        return minijvp.lax.while_loop(goes_on, turn, (0, x), **how)[1]

    def counted(x: Any, w: Any) -> Any:
        return minijvp.lax.fori_loop(0, mnp.array(3), lambda _, c: step(minijvp, w, c), x)

    wanted = jax.grad(lambda x, w: jnp.sum(jnp.sin(repeated(jax, x, w))), (0, 1))(x, w)
    for fun in (conditional, counted, lambda x, w: conditional(x, w, max_steps=4)):
        gradient = minijvp.grad(lambda x, w, fun=fun: mnp.sum(mnp.sin(fun(x, w))), (0, 1))
        same(gradient(x, w), wanted)
        same(minijvp.jit(gradient)(x, w), wanted)


def meshes() -> None:
    """What says which mesh is in force, and programs for one after another."""
    x = jnp.arange(32.0).reshape(8, 4)
    fun = minijvp.jit(minijvp.grad(lambda x: mnp.sum(mnp.sin(minijvp.sharding.reshard(x, P("a"))) ** 2)))
    wanted = jax.grad(lambda x: jnp.sum(jnp.sin(x) ** 2))(x)
    for shape in ((8,), (4,), (2,)):
        with minijvp.set_mesh(jax.make_mesh(shape, ("a",))):
            assert minijvp.sharding.get_abstract_mesh() == jax.sharding.get_abstract_mesh()
            assert minijvp.sharding.get_mesh() == jax.sharding.get_mesh()
            same(fun(x), wanted)
    jax.set_mesh(MESH)
    y = jax.reshard(x, P("d", "m"))
    structs = [api.eval_shape(lambda x: x.T, y) for api in (minijvp, jax)]
    assert structs[0].sharding == structs[1].sharding
    held = lambda api: api.jit(lambda x: api.numpy.sin(x), in_shardings=P("d", "m"), out_shardings=P("d", "m"))
    same(held(minijvp)(y), held(jax)(y))
    same(minijvp.jit(minijvp.from_jax(lambda y: held(jax)(y) * 2))(y), held(jax)(y) * 2)


def main(part: Sequence[Any]) -> None:
    """One of the above, by its name and its arguments."""
    name, *args = part
    globals()[name](*args)
