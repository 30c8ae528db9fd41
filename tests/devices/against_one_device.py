"""Programs of parts that JAX differentiates not at all, or not always: judged by the same function on one device.

A script: `python -m tests.devices.against_one_device`, with eight devices.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import minijvp
import minijvp.numpy as mnp
from tests.devices.beside import Comparison, uniform

EXPLICIT = jax.make_mesh((4, 2), ("d", "m"))
AUTOMATIC = jax.make_mesh((4, 2), ("d", "m"), axis_types=(AxisType.Auto,) * 2)
ONE = jax.make_mesh((1,), ("one",))

compare = Comparison()


def put(x: Any, *spec: Any) -> Any:
    """The array, split over the explicit mesh."""
    return jax.device_put(x, NamedSharding(EXPLICIT, P(*spec)))


def judged(name: str, ours: Callable[..., Any], plain: Callable[..., Any], specs: Any, *args: Any) -> None:
    """Values, eager and compiled, are those of a function on one device; types name the axes in `specs`."""
    with jax.set_mesh(ONE):
        wanted = jax.tree.leaves(plain(*[jnp.asarray(np.asarray(x)) for x in args]))
    for how, fun in (("eager", ours), ("compiled", minijvp.jit(ours))):
        try:
            found = jax.tree.leaves(fun(*args))
        except Exception as error:
            compare.failures.append(f"{name}, {how}: {type(error).__name__}: {error}"[:500])
            continue
        for (x, y), spec in zip(zip(found, wanted, strict=True), specs, strict=False):
            if not np.allclose(x, y, rtol=1e-4, atol=1e-4):
                compare.failures.append(f"{name}, {how}: the values differ by {np.max(np.abs(x - np.asarray(y)))}")
            if jax.typeof(x).sharding.spec != spec:
                compare.failures.append(f"{name}, {how}: {jax.typeof(x)}, and not split as {spec}")


def split_lanes(how: dict[str, Any]) -> None:
    """vmap over an axis that "d" splits, of a map over "m": the lanes stay where they are."""
    x, w = put(uniform(8, 6, 4), "d", "m"), put(uniform(6, 4, seed=1), "m")

    def local(x: Any, w: Any) -> Any:
        y = mnp.tanh(x) * w
        scattered = minijvp.lax.psum_scatter(mnp.sin(x.T), "m", tiled=True)
        y = y * (1.0 + minijvp.lax.axis_index("m"))
        return minijvp.lax.psum(y.sum(0), "m"), y, minijvp.lax.all_gather(x, "m", tiled=True), scattered

    def plain(x: Any, w: Any) -> Any:
        y = jnp.tanh(x) * w * jnp.repeat(jnp.arange(1.0, 3.0), 3)[:, None]
        return y.sum(0), y, jnp.tile(x, (2, 1)), jnp.sin(x.T[:, :3]) + jnp.sin(x.T[:, 3:])

    specs = {"in_specs": (P("m"), P("m")), "out_specs": (P(), P("m"), P("m"), P("m"))}
    parts = minijvp.shard_map(local, axis_names={"m"}, **specs, **how)
    loss = lambda fun: lambda x, w: sum((y**2).sum() for y in fun(x, w))
    lanes = lambda api, fun: api.vmap(fun, in_axes=(0, None))
    both = P("d", "m", None), P("m", None)
    with jax.set_mesh(EXPLICIT):
        wholes = P("d", None), P("d", "m", None), P("d", "m", None), P("d", "m", None)
        judged(f"lanes {how}", lanes(minijvp, parts), lanes(jax, plain), wholes, x, w)
        each = lambda api, fun: lanes(api, api.grad(loss(fun), argnums=(0, 1)))
        judged(f"gradients of lanes {how}", each(minijvp, parts), each(jax, plain), (both[0], both[0]), x, w)
        total = lambda api, fun: api.grad(lambda x, w: (lanes(api, loss(fun))(x, w) ** 2).sum() / 100, argnums=(0, 1))
        judged(f"gradient around lanes {how}", total(minijvp, parts), total(jax, plain), both, x, w)
        pushed = lambda api, fun: lambda x, w: api.jvp(total(api, fun), (x, w), (x * x, w))[1]
        judged(f"second derivative {how}", pushed(minijvp, parts), pushed(jax, plain), both, x, w)


def speaking_lanes() -> None:
    """Lanes that are split, or not, and speak with each other inside of a map over parts."""
    x, w = uniform(8, 6, 4), uniform(6, 4, seed=1)

    def local(x: Any, w: Any) -> Any:
        psum = minijvp.lax.psum
        firsts = psum(minijvp.lax.all_gather(w[0] * x[0], "i").sum(0), "m")
        return psum((mnp.tanh(x) * w).sum(0), "m") + psum(x.sum(), "m") * psum(w.sum(), ("m", "i")) + firsts

    def plain(x: Any, w: Any) -> Any:
        firsts = (w[0] * x[:, 0] + w[3] * x[:, 3]).sum(0)
        return (jnp.tanh(x) * w).sum(1) + x.sum((1, 2))[:, None] * 8 * w.sum() + firsts

    def lanes(x: Any, w: Any) -> Any:
        parts = minijvp.shard_map(local, in_specs=(P("m"), P("m")), out_specs=P(), axis_names={"m"})
        return minijvp.vmap(parts, in_axes=(0, None), axis_name="i")(x, w)

    gradient = lambda api, fun: api.grad(lambda *xs: (fun(*xs) ** 2).sum() / 100, argnums=(0, 1))
    for mesh, args, specs in (
        (EXPLICIT, (put(x, "d", "m"), put(w, "m")), (P("d", None), P("d", "m", None), P("m", None))),
        (AUTOMATIC, (x, w), (P(None, None), P(None, None, None), P(None, None))),
    ):
        with jax.set_mesh(mesh):
            judged("speaking lanes", lanes, plain, specs[:1], *args)
            judged("gradient of speaking lanes", gradient(minijvp, lanes), gradient(jax, plain), specs[1:], *args)


def gradients_between(how: dict[str, Any]) -> None:
    """What is differentiated in a map along one axis of the mesh, and has a map along the other in it."""
    psum, typed = minijvp.lax.psum, how["check_vma"]
    along = lambda f, name, ins, outs: minijvp.shard_map(f, axis_names={name}, in_specs=ins, out_specs=outs, **how)
    rows, columns = P("d"), P(None, "m")
    added = lambda ct: ct if typed else psum(ct, "d")  # what all devices have gets a sum, by its type or by hand
    x, w = uniform(8, 6), uniform(6, seed=1)

    def loss(x: Any, w: Any) -> Any:
        local = lambda y, w: psum((mnp.sin(y) * w).sum(1), "m")[:, None] * mnp.cos(y)
        return (along(local, "m", (columns, P("m")), columns)(x, w) ** 2).sum()

    def closing(x: Any, w: Any) -> Any:
        return along(lambda w: psum((w * mnp.sin(w)).sum(), "m") * mnp.sum(mnp.cos(x)), "m", P("m"), P())(w)

    plain = lambda x, w: (((jnp.sin(x) * w).sum(1)[:, None] * jnp.cos(x)) ** 2).sum()
    plainly_closing = lambda x, w: (w * jnp.sin(w)).sum() * jnp.cos(x).sum()
    each = P(None, None), P(None)

    def outer(fun: Callable[..., Any]) -> Callable[..., Any]:
        def local(x: Any, w: Any) -> Any:
            ct_x, ct_w = minijvp.grad(fun, argnums=(0, 1))(x, w)
            return ct_x, added(ct_w)

        return along(local, "d", (rows, P()), (rows, P()))

    gradient = lambda fun: jax.grad(fun, argnums=(0, 1))
    with jax.set_mesh(AUTOMATIC):
        judged(f"between {how}", outer(loss), gradient(plain), each, x, w)
        judged(f"between, closing {how}", outer(closing), gradient(plainly_closing), each, x, w)
        pushed = lambda x, w: minijvp.jvp(lambda x: minijvp.grad(loss)(x, w), (x,), (x * x,))[1]
        second = lambda x, w: jax.jvp(lambda x: jax.grad(plain)(x, w), (x,), (x * x,))[1]
        judged(f"between, second {how}", along(pushed, "d", (rows, P()), rows), second, each, x, w)
        again = lambda api, fun: lambda x, w: api.grad(lambda x: (fun(x, w)[0] ** 2).sum())(x)
        judged(f"around between {how}", again(minijvp, outer(loss)), again(jax, gradient(plain)), each, x, w)


if __name__ == "__main__":
    for how in ({"check_vma": True}, {"check_vma": False}):
        split_lanes(how)
        gradients_between(how)
    speaking_lanes()
    compare.finish()
