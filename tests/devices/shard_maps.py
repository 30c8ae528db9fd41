"""shard_map beside JAX's on eight devices: both sides of it, every transformation, collectives, and from_jax.

A script: `python -m tests.devices.shard_maps`, with eight devices.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

import minijvp
from tests.devices.beside import Comparison, uniform

MESH = jax.make_mesh((4, 2), ("d", "m"), axis_types=(AxisType.Auto,) * 2)
BOTH = ("d", "m")
RING = [(i, (i + 1) % 4) for i in range(4)]
W, X, ROWS, FOUR = uniform(6, 4), uniform(8, 6, seed=1), uniform(8, 8, seed=2), uniform(4, 6, seed=3)
SHARED: dict[Any, Any] = {}
"""Functions under jit, by library and name: one for all maps."""

compare = Comparison()


def mapped(api: Any, fun: Any, in_specs: Any, out_specs: Any, **how: Any) -> Any:
    return api.shard_map(fun, mesh=MESH, in_specs=in_specs, out_specs=out_specs, **how)


def mean_loss(api: Any, np: Any, **how: Any) -> Any:
    """A loss of weights that all devices have, and of rows that each has some of."""
    local = lambda w, x: api.lax.pmean(np.mean(np.tanh(x @ w) ** 2), BOTH)
    return mapped(api, local, (P(), P(BOTH)), P(), **how)


def columns_and_rows(api: Any, np: Any, **how: Any) -> Any:
    """Two products, the first divided by columns, the second by rows."""
    local = lambda a, b, x: api.lax.psum(np.tanh(x @ a) @ b, "m")
    product = mapped(api, local, (P(None, "m"), P("m", None), P("d")), P("d"), **how)
    return lambda a, b, x: np.mean(product(a, b, x) ** 2)


def around(api: Any, np: Any, **how: Any) -> Any:
    """Blocks that go around a ring."""

    def local(x: Any) -> Any:
        total = block = x
        for _ in range(3):
            block = api.lax.ppermute(block, "d", RING)
            total = total + np.sin(block) * total
        return total

    return mapped(api, local, P("d"), P("d"), **how)


def scanned(api: Any, np: Any, **how: Any) -> Any:
    """A recurrence in which each device has rows of its own, and all the same weights."""

    def local(w: Any, x: Any) -> Any:
        step = lambda c, row: (np.tanh(c * row + w.sum()), c)
        c, ys = api.lax.scan(step, x[0], x)
        return c[None], ys

    both = mapped(api, local, (P(), P("d")), (P("d"), P("d")), **how)
    return lambda w, x: sum((y**2).sum() for y in both(w, x))


def exchanged(api: Any, np: Any, **how: Any) -> Any:
    """all_gather, psum_scatter, all_to_all and axis_index, one after the other."""

    def local(x: Any) -> Any:
        whole = api.lax.all_gather(x, "d", tiled=True)
        part = api.lax.psum_scatter(np.sin(whole), "d", tiled=True)
        return api.lax.all_to_all(part, "d", 1, 0, tiled=True) * (1 + api.lax.axis_index("d"))

    return lambda x: (mapped(api, local, P("d"), P("d"), **how)(x) ** 2).sum()


def across(api: Any, np: Any, **how: Any) -> Any:
    """Rows that go around along both axes of the mesh, as if these were one."""
    ring = [(i, (i + 3) % 8) for i in range(8)]
    local = lambda x: np.sin(api.lax.ppermute(x, BOTH, ring)) * x
    return lambda x: mapped(api, local, P(BOTH), P(BOTH), **how)(x).sum()


def chosen(api: Any, np: Any, **how: Any) -> Any:
    """A while loop from where a choice of each device begins."""

    def local(w: Any, x: Any) -> Any:
        x = api.lax.cond(x.sum() > 0, np.sin, lambda x: -x, x)
        return api.lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, np.sin(c[1] * w.sum())), (0, x))[1]

    return mapped(api, local, (P(), P("d")), P("d"), **how)


def ours(api: Any, fun: Any) -> Any:
    """A function of JAX for either library."""
    return fun if api is jax else minijvp.from_jax(fun)


def transformations(how: dict[str, Any]) -> None:
    """Every transformation of a loss."""

    def case(name: str, transformed: Any, *args: Any) -> None:
        compare(f"{name} {how}", lambda api, np: transformed(api, mean_loss(api, np, **how)), *args)

    case("value", lambda api, f: f, W, X)
    case("grad", lambda api, f: api.grad(f, argnums=(0, 1)), W, X)
    case("jit grad", lambda api, f: api.jit(api.grad(f, argnums=(0, 1))), W, X)
    case("grad jit", lambda api, f: api.grad(api.jit(f), argnums=(0, 1)), W, X)
    case("jvp", lambda api, f: lambda w, x: api.jvp(f, (w, x), (w, x)), W, X)
    case("vjp", lambda api, f: lambda w, x: api.vjp(f, w, x)[1](jnp.float32(2)), W, X)
    case("linearize", lambda api, f: lambda w, x: api.linearize(f, w, x)[1](w, x), W, X)
    case("hvp", lambda api, f: lambda w, x: api.jvp(api.grad(lambda w: f(w, x)), (w,), (w,)), W, X)
    case("hessian", lambda api, f: api.hessian(f), W, X)
    case("vmap", lambda api, f: api.vmap(f, in_axes=(0, None)), uniform(3, 6, 4), X)
    case("vmap grad", lambda api, f: api.vmap(api.grad(f), in_axes=(0, None)), uniform(3, 6, 4), X)
    case("checkpoint", lambda api, f: api.grad(api.checkpoint(f), argnums=(0, 1)), W, X)
    case("to_jax", lambda api, f: jax.grad(f if api is jax else minijvp.to_jax(f), argnums=(0, 1)), W, X)
    compare(f"from_jax {how}", lambda api, np: api.grad(ours(api, mean_loss(jax, jnp, **how)), argnums=(0, 1)), W, X)


def programs(how: dict[str, Any]) -> None:
    """Gradients of programs that communicate."""

    def case(name: str, make: Any, *args: Any, mode: str = "grad", argnums: Any = 0) -> None:
        transformed = lambda api, np: getattr(api, mode)(make(api, np, **how), argnums=argnums)
        compare(f"{name} {how}", transformed, *args)

    case("two products", columns_and_rows, uniform(6, 8), uniform(8, 4), X, argnums=(0, 1, 2))
    case("ring", lambda api, np, **how: lambda x: (around(api, np, **how)(x) ** 2).sum(), X)
    case("scan", scanned, W, X, argnums=(0, 1))
    case("exchange", exchanged, ROWS)
    case("two axes", across, ROWS)
    case("choice", chosen, W, X, mode="jacfwd")
    case("from_jax ring", lambda api, np, **how: lambda x: (ours(api, around(jax, jnp, **how))(x) ** 2).sum(), X)
    case("from_jax exchange", lambda api, np, **how: ours(api, exchanged(jax, jnp, **how)), ROWS)
    case(
        "closure",
        lambda api, np, **how: lambda w: mapped(api, lambda x: np.tanh(x @ w), P("d"), P("d"), **how)(X).sum(),
        W,
    )
    some = lambda api, np, **how: (
        lambda w, x: (
            mapped(api, lambda w, x: api.lax.psum(np.tanh(x @ w).sum(0), "d"), (P(), P("d")), P(), **how)(w, x) ** 2
        ).sum()
    )
    compare(
        f"some axes {how}",
        lambda api, np: api.jit(api.grad(some(api, np, axis_names={"d"}, **how), argnums=(0, 1))),
        W,
        X,
    )


def alike_on_devices(how: dict[str, Any]) -> None:
    """Outputs that a spec divides and the program does not, and what JAX computes from what a function closes over."""
    for axes in ("d", BOTH):
        copies = lambda api, np, axes=axes: mapped(api, lambda w, x: np.sin(w), (P(), P("d")), P(axes), **how)
        weighed = lambda api, np, copies=copies: (
            lambda w: (lambda y: (y * np.arange(y.size).reshape(y.shape)).sum())(copies(api, np)(w, X))
        )
        compare(f"copies {axes} {how}", lambda api, np, f=weighed: api.grad(f(api, np)), W, tolerance=1e-5)
    numbers = {
        "of an array": lambda: (X * 2)[0],
        "of nothing": lambda: jnp.arange(6.0),
        "of each device": lambda: jnp.arange(6.0) * jax.lax.axis_index("d"),
    }
    for name, make in numbers.items():
        scaled = lambda api, np, make=make: mapped(api, lambda x: np.sin(x) * make(), P("d"), P("d"), **how)
        compare(f"numbers {name} {how}", scaled, X)
        compare(f"numbers {name}, grad {how}", lambda api, np, f=scaled: api.grad(lambda x: f(api, np)(x).sum()), X)
        compare(f"numbers {name}, jit {how}", lambda api, np, f=scaled: api.jit(f(api, np)), X)


def gathered_alike() -> None:
    """all_gather whose result is typed as the same on all devices: transposed, each device takes its part."""
    for names, tiled, axis in (("d", True, 0), (BOTH, False, 1), ("m", True, 1)):
        part = lambda api, np, names=names, tiled=tiled, axis=axis: (
            lambda x: np.sin(api.lax.all_gather(x * x, names, tiled=tiled, axis=axis, to="invarying")) * 2
        )
        square = lambda f: lambda x: (f(x) ** 2).sum()
        whole = lambda api, np, part=part, names=names: mapped(api, part(api, np), P(names), P())
        there = lambda api, np, part=part, names=names: mapped(api, api.grad(square(part(api, np))), P(names), P(names))
        gradient = lambda api, np, whole=whole: api.grad(square(whole(api, np)))
        case = f"alike {names} {tiled} {axis}"
        compare(f"{case}, grad", gradient, X)
        compare(f"{case}, jit", lambda api, np, f=gradient: api.jit(f(api, np)), X)
        compare(f"{case}, inside", there, X)
        compare(f"{case}, from_jax", lambda api, np, f=there: ours(api, f(jax, jnp)), X)
        compare(
            f"{case}, hvp", lambda api, np, f=gradient: lambda x: api.jvp(f(api, np), (x,), (x,)), X, tolerance=1e-5
        )
        compare(f"{case}, vmap", lambda api, np, f=gradient: api.vmap(f(api, np)), uniform(3, 8, 6))
    # Without types it is all_gather, as in JAX from 0.11 on.
    sums = lambda to: lambda x: (minijvp.lax.all_gather(x, "d", tiled=True, to=to) ** 2).sum()
    untyped = lambda to: mapped(minijvp, minijvp.grad(sums(to)), P("d"), P("d"), check_vma=False)
    compare("alike, untyped", lambda api, np: untyped("varying" if api is jax else "invarying"), X)


def alike_before(how: dict[str, Any]) -> None:
    """Collectives of what all devices have. The same functions serve with types and without."""
    for name, spec in (("all_gather", P("d")), ("psum_scatter", P("d")), ("psum", P())):
        local = lambda api, np, name=name: lambda x: np.sin(getattr(api.lax, name)(x, "d"))
        total = lambda api, np, f=local: lambda x: (f(api, np)(x) ** 2).sum()
        around = lambda api, np, f=local, spec=spec: mapped(api, f(api, np), P(), spec, **how)
        inside = lambda api, np, f=total: mapped(api, api.grad(f(api, np)), P(), P(), **how)
        shared = lambda api, np, name=name, f=total: SHARED.setdefault((api, name), api.jit(f(api, np)))
        in_jax = lambda api, np, f=shared: mapped(jax, api.grad(f(api, np)), P(), P(), **how)
        case = f"{name} of alike {how}"
        compare(case, lambda api, np, f=around: api.grad(lambda x: (f(api, np)(x) ** 2).sum()), FOUR)
        compare(f"{case}, inside", inside, FOUR)
        compare(f"{case}, inside of JAX's", in_jax, FOUR)


def refused_loops() -> None:
    """Carries and branches that vary between devices here, and there not: what, why, and what to do."""
    lax, zeros = minijvp.lax, jnp.zeros((2, 6))
    WRONG: dict[str, Any] = {
        "scan": lambda x: lax.scan(lambda c, r: (c + r, c), zeros[0], x)[1],
        "while_loop": lambda x: lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, c[1] + x), (0, zeros))[1],
        "fori_loop": lambda x: lax.fori_loop(0, 3, lambda i, c: c + x, zeros),
        "cond": lambda x: lax.cond(x.sum() > 0, lambda: x, lambda: zeros),
        "switch": lambda x: lax.switch(1, [lambda: x, lambda: zeros]),
    }
    for name, fun in WRONG.items():
        with pytest.raises(minijvp.ArgumentError) as caught:
            mapped(minijvp, fun, P("d"), P("d"))(X)
        for text in (name, "{V:d}", "<- differs", "Along 'd', an axis of devices", "minijvp.lax.pcast(x, 'd', to="):
            assert text in str(caught.value), (name, text, caught.value)
    mended = lambda api, np: (
        lambda x: api.lax.fori_loop(0, 3, lambda i, c: c + x, api.lax.pcast(zeros, "d", to="varying"))
    )
    compare("a carry that is made to vary", lambda api, np: mapped(api, mended(api, np), P("d"), P("d")), X)


def solved(api: Any, np: Any) -> Any:
    """Equations that all devices have, with right-hand sides of each."""
    local = lambda w, x: np.linalg.solve(w @ w.T + np.eye(6), x.T).T
    return lambda w: (mapped(api, local, (P(), P("d")), P("d"))(w, X) ** 2).sum()


def one_in_another() -> None:
    """A program of parts along one axis of the mesh in one along another. JAX has no gradient of that, with types."""

    def nested(api: Any, np: Any) -> Any:
        along = lambda f, name, spec: api.shard_map(f, in_specs=spec, out_specs=spec, axis_names={name})
        inner = lambda y: api.lax.psum(np.sin(y), "m") * y
        outer = lambda x: along(inner, "m", P(None, "m"))(x) * api.lax.psum(x.sum(), "d")
        return along(outer, "d", P("d"))

    with jax.set_mesh(MESH):
        compare("nested", lambda api, np: api.jit(nested(api, np)), X)
        compare("nested vmap", lambda api, np: api.jit(api.vmap(nested(api, np))), uniform(3, 8, 6))
        plain = lambda x: jnp.tile(jnp.sin(x[:, :3]) + jnp.sin(x[:, 3:]), 2) * x * x.sum()
        sides = {jax: plain, minijvp: nested(minijvp, minijvp.numpy)}
        everywhere = jax.NamedSharding(MESH, P())
        gradient = lambda api, np: api.jit(api.grad(lambda x: sides[api](x).sum()), out_shardings=everywhere)
        compare("nested grad", gradient, X, tolerance=1e-5)


def gradients_of_parts() -> None:
    """What is differentiated inside: what does not vary gets the sum over devices, with types; a part, without."""
    part = lambda np, x: lambda w: np.sin(x @ w).sum()
    inside = lambda api, np: lambda w, x: api.grad(part(np, x))(w)
    added = lambda api, np: lambda w, x: api.lax.psum(api.grad(part(np, x))(w), BOTH)
    compare("inside", lambda api, np: mapped(api, inside(api, np), (P(), P(BOTH)), P()), W, X)
    compare("inside, added", lambda api, np: mapped(api, added(api, np), (P(), P(BOTH)), P(), check_vma=False), W, X)
    compare(
        "inside of JAX's",
        lambda api, np: jax.jit(mapped(jax, inside(api, np), (P(), P(BOTH)), P())),
        W,
        X,
    )
    compare("then a plain one", lambda api, np: api.grad(part(np, X)), W)  # nothing is left behind


def maps_over_devices() -> None:
    """jax.pmap, around functions of ours and from JAX."""
    summed = lambda api, np: lambda x: api.lax.psum(np.sin(x) * x, "i")
    total = jax.pmap(summed(jax, jnp), axis_name="i")
    compare("from_jax pmap", lambda api, np: ours(api, total), ROWS)
    compare("from_jax pmap grad", lambda api, np: api.grad(lambda x: ours(api, total)(x).sum()), ROWS)
    gradient = lambda api, np: api.grad(lambda x: summed(api, np)(x).sum())
    compare("inside of pmap", lambda api, np: jax.pmap(gradient(api, np), axis_name="i"), ROWS)


def on_an_explicit_mesh() -> None:
    """Specs that are those of the arguments, whose types name them."""
    mesh = jax.make_mesh((4, 2), BOTH)
    x = jax.device_put(X, jax.NamedSharding(mesh, P("d")))
    w = jax.device_put(W, jax.NamedSharding(mesh, P()))
    with jax.set_mesh(mesh):
        local = lambda api, np: lambda w, x: np.tanh(x @ w)
        product = lambda api, np: api.shard_map(local(api, np), out_specs=P("d"))
        compare("explicit", product, w, x)
        loss = lambda api, np: lambda w, x: (product(api, np)(w, x) ** 2).sum()
        compare("explicit grad", lambda api, np: api.grad(loss(api, np), argnums=(0, 1)), w, x)
        compare("explicit jit", lambda api, np: api.jit(api.grad(loss(api, np), argnums=(0, 1))), w, x)


if __name__ == "__main__":
    for how in ({"check_vma": True}, {"check_vma": False}):
        transformations(how)
        programs(how)
        alike_on_devices(how)
        alike_before(how)
    alike_before({"check_vma": True})
    gathered_alike()
    refused_loops()
    one_in_another()
    compare("solve", lambda api, np: api.grad(solved(api, np)), W, tolerance=1e-4)
    gradients_of_parts()
    maps_over_devices()
    on_an_explicit_mesh()
    compare.finish()
