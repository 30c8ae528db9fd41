"""Ways of training on several devices by shard_map, beside JAX's: values, types, and what compiled programs send.

A script: `python -m tests.devices.training`, with eight devices, in one process or in two (see `two_processes`).
"""

from __future__ import annotations

import os
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from tests.devices.layouts import sends_no_more, sent
from tests.side_by_side import SIDES

ROW = [(i, i + 1) for i in range(7)]
RING = [(i, (i + 1) % 8) for i in range(8)]
EIGHT, TWO_BY_FOUR = ((8,), ("d",)), ((2, 4), ("d", "m"))


def drawn(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def network(np: Any, params: Any, x: Any) -> Any:
    return np.tanh(x @ params["w1"] + params["b1"]) @ params["w2"]


PARAMS = {"w1": drawn(16, 32), "b1": drawn(32, seed=1), "w2": drawn(32, 16, seed=2)}
X, Y = drawn(32, 16, seed=3), drawn(32, 16, seed=4)


def data_parallel(api: Any, np: Any) -> Any:
    """The mean over devices, each with a part of the batch."""
    local = lambda p, x, y: api.lax.pmean(np.mean((network(np, p, x) - y) ** 2), "d")
    return local, P()


def fully_sharded(api: Any, np: Any) -> Any:
    """Parameters in parts, gathered where they are used; their gradients are scattered again."""

    def local(p: Any, x: Any, y: Any) -> Any:
        whole = {name: api.lax.all_gather(v, "d", tiled=True) for name, v in p.items()}
        return api.lax.pmean(np.mean((network(np, whole, x) - y) ** 2), "d")

    return local, P("d")


def tensor_parallel(api: Any, np: Any) -> Any:
    """The first product by columns, the second by rows."""

    def local(p: Any, x: Any, y: Any) -> Any:
        return np.mean((api.lax.psum(network(np, p, x), "m") - y) ** 2)

    return local, {"w1": P(None, "m"), "b1": P("m"), "w2": P("m", None)}


def two_dimensional(api: Any, np: Any) -> Any:
    """Both, and the first axis of parameters in parts along the axis of data."""

    def local(p: Any, x: Any, y: Any) -> Any:
        p = {**p, "w1": api.lax.all_gather(p["w1"], "d", tiled=True)}
        return api.lax.pmean(np.mean((api.lax.psum(network(np, p, x), "m") - y) ** 2), "d")

    return local, {"w1": P("d", "m"), "b1": P("m"), "w2": P("m", None)}


def accumulated(api: Any, np: Any) -> Any:
    """A step over four parts of the batch of each device, one after the other."""

    def local(p: Any, x: Any, y: Any) -> Any:
        def part(total: Any, pair: Any) -> Any:
            return total + np.mean((network(np, p, pair[0]) - pair[1]) ** 2), None

        parts = [v.reshape(4, -1, v.shape[-1]) for v in (x, y)]
        # As in JAX, a sum that varies begins with a number that does.
        start = api.lax.pcast(np.zeros((), np.float32), "d", to="varying")
        return api.lax.pmean(api.lax.scan(part, start, tuple(parts))[0] / 4, "d")

    return local, P()


def pipeline(api: Any, np: Any) -> Any:
    """A layer on each device, through which parts of the batch go one after the other."""

    def local(w: Any, x: Any, y: Any) -> Any:
        stage, n = api.lax.axis_index("d"), 8
        parts = x.reshape(4, -1, x.shape[-1])
        here = api.lax.pcast(np.zeros_like(parts[0]), "d", to="varying")
        done = []
        for turn in range(len(parts) + n - 1):
            given = parts[turn] if turn < len(parts) else np.zeros_like(parts[0])
            out = np.tanh(np.where(stage == 0, given, here) @ w[0])
            if turn >= n - 1:
                done.append(out)
            here = api.lax.ppermute(out, "d", ROW)
        last = np.concatenate(done)
        return api.lax.psum(np.where(stage == n - 1, np.mean((last - y) ** 2), 0.0), "d")

    return local, P("d")


def ring_attention(api: Any, np: Any) -> Any:
    """Attention to keys and values that go around, each device with its queries."""

    def local(p: Any, x: Any, y: Any) -> Any:
        q, k, v = (x @ p[name] for name in "qkv")
        high = api.lax.pcast(np.full(q.shape[0], -np.inf, np.float32), "d", to="varying")
        total, mixed = np.zeros_like(q[:, 0]), np.zeros_like(v)
        for turn in range(8):
            scores = q @ k.T / 4
            higher = np.maximum(high, np.max(scores, axis=-1))
            scale, weights = np.exp(high - higher), np.exp(scores - higher[:, None])
            total = total * scale + np.sum(weights, axis=-1)
            mixed = mixed * scale[:, None] + weights @ v
            high = higher
            if turn < 7:
                k, v = (api.lax.ppermute(b, "d", RING) for b in (k, v))
        return api.lax.pmean(np.mean((mixed / total[:, None] - y) ** 2), "d")

    return local, P()


WAYS: dict[str, tuple[Any, Any, Any, tuple[Any, Any]]] = {
    "data parallel": (data_parallel, EIGHT, PARAMS, (P("d"), P("d"))),
    "fully sharded": (fully_sharded, EIGHT, PARAMS, (P("d"), P("d"))),
    "tensor parallel": (tensor_parallel, TWO_BY_FOUR, PARAMS, (P(), P())),
    "two-dimensional": (two_dimensional, TWO_BY_FOUR, PARAMS, (P("d"), P("d"))),
    "accumulated": (accumulated, EIGHT, PARAMS, (P("d"), P("d"))),
    "pipeline": (pipeline, EIGHT, drawn(8, 16, 16) / 4, (P(), P())),
    "ring attention": (
        ring_attention,
        EIGHT,
        {name: drawn(16, 16, seed=i) for i, name in enumerate("qkv")},
        (P("d"), P("d")),
    ),
}
"""How a loss is made, the mesh, parameters, and how the batch is split."""


def placed(mesh: Any, spec: Any, x: np.ndarray) -> Any:
    """An array of which each process gives its devices their parts."""
    return jax.make_array_from_callback(x.shape, NamedSharding(mesh, spec), lambda index: x[index])


def check(name: str) -> str:
    """What differs from JAX, or nothing."""
    make, (shape, names), params, batch_specs = WAYS[name]
    mesh = jax.make_mesh(shape, names, axis_types=(AxisType.Auto,) * len(names))
    found = []
    for api, library in SIDES:
        local, spec = make(api, library)
        loss = api.shard_map(local, mesh=mesh, in_specs=(spec, *batch_specs), out_specs=P())
        specs = spec if isinstance(spec, dict) else jax.tree.map(lambda _: spec, params)
        args = jax.tree.map(lambda s, x: placed(mesh, s, x), specs, params, is_leaf=lambda s: isinstance(s, P))
        batch = [placed(mesh, s, x) for s, x in zip(batch_specs, (X, Y), strict=True)]
        compiled = api.jit(api.value_and_grad(loss)).lower(args, *batch).compile()
        found.append((compiled(args, *batch), sent(compiled.as_text())))
    (ours, we_send), (theirs, they_send) = found
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        if not a.sharding.is_equivalent_to(b.sharding, a.ndim):
            return f"{name}: {a.sharding}, and not {b.sharding}"
        for p, q in zip(a.addressable_shards, b.addressable_shards, strict=True):
            if not np.allclose(p.data, q.data, rtol=1e-5, atol=1e-6):
                return f"{name}: the values differ by {np.max(np.abs(p.data - q.data))}"
    return "" if sends_no_more(we_send, they_send) else f"{name}: sends {we_send}, and JAX {they_send}"


def main() -> None:
    if member := os.environ.get("MEMBER"):
        jax.distributed.initialize(f"127.0.0.1:{os.environ['PORT']}", 2, int(member))
    assert jax.device_count() == 8
    wrong = list(filter(None, map(check, WAYS)))
    raise SystemExit("\n".join(wrong) if wrong else 0)


if __name__ == "__main__":
    main()
