"""Functions on an explicit mesh ("d", "m") of (4, 2) devices, written for JAX and for minijvp alike.

Each takes the module (jax or minijvp) and arrays, and is held against itself: value, type and gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

MESH = jax.make_mesh((4, 2), ("d", "m"))
Case = tuple[Callable[..., Any], tuple[Any, ...]]

SHAPES: dict[str, tuple[tuple[int, ...], tuple[Any, ...]]] = {
    "both": ((8, 4), ("d", "m")),
    "rows": ((8, 4), ("d", None)),
    "columns": ((8, 4), (None, "m")),
    "whole": ((8, 4), (None, None)),
    "weights": ((4, 6), (None, "m")),
    "inner": ((4, 6), ("m", None)),
    "split_row": ((4,), ("m",)),
    "row": ((4,), (None,)),
    "column": ((8, 1), ("d", None)),
    "batches": ((8, 4, 6), ("d", None, "m")),
    "long": ((8, 16), ("d", None)),
    "pairs": ((8, 4), (("d", "m"), None)),
}


def array(name: str) -> Any:
    """The array of this name, split as its type says."""
    shape, spec = SHAPES[name]
    n = 1
    for size in shape:
        n *= size
    values = jnp.sin(jnp.arange(float(n)) * 1.7 + len(name)).reshape(shape)
    return jax.reshard(values, P(*spec))


def scanned(m: Any, x: Any, w: Any) -> Any:
    """A loop whose carry is split."""
    return m.lax.scan(lambda c, y: (m.numpy.sin(c) * y, c.sum()), x, w)


def custom_jvp(m: Any, x: Any) -> Any:
    """A function with a rule for tangents."""

    @m.custom_jvp
    def f(x: Any) -> Any:
        return m.numpy.sin(x)

    f.defjvp(lambda ps, ts: (f(*ps), m.numpy.cos(ps[0]) * ts[0] * 2))
    return f(x)


def custom_vjp(m: Any, x: Any) -> Any:
    """A function with rules for cotangents."""

    @m.custom_vjp
    def f(x: Any, y: Any) -> Any:
        return m.numpy.sin(x) * y

    f.defvjp(lambda x, y: (f(x, y), (x, y)), lambda r, ct: (m.numpy.cos(r[0]) * ct * 3, (m.numpy.sin(r[0]) * ct)))
    return f(x, x * 2)


def layer_norm(m: Any, x: Any, scale: Any) -> Any:
    """Rows with mean 0 and variance 1."""
    mean = m.numpy.mean(x, -1, keepdims=True)
    variance = m.numpy.var(x, -1, keepdims=True)
    return (x - mean) * m.lax.rsqrt(variance + 1e-5) * scale


def perceptron(m: Any, x: Any, w: Any, v: Any) -> Any:
    """Two layers, where the sum over devices of the second one is asked for."""
    h = m.nn.gelu(x @ w)
    return m.numpy.einsum("bh,ho->bo", h, v, out_sharding=P("d", None))


OPERATIONS: dict[str, Case] = {
    "add, broadcast": (lambda m, x, y: x + y * m.numpy.sin(x), ("both", "split_row")),
    "add, whole row": (lambda m, x, y: x * y, ("both", "row")),
    "column": (lambda m, x, y: x * y, ("rows", "column")),
    "column whole": (lambda m, x, y: x / (2 + y), ("both", "column")),
    "maximum": (lambda m, x, y: m.numpy.maximum(x, y), ("both", "split_row")),
    "power": (lambda m, x: m.numpy.power(x, 3) + x**2, ("both",)),
    "where": (lambda m, x, y: m.numpy.where(x > 0, x, y * 2), ("both", "split_row")),
    "where scalar": (lambda m, x: m.numpy.where(x > 0, x, 0.0), ("both",)),
    "clip": (lambda m, x: m.numpy.clip(x, -0.5, 0.5), ("both",)),
    "logical": (lambda m, x: x * ((x > 0) & (x < 0.5)), ("both",)),
    "relu": (lambda m, x: m.nn.relu(x), ("both",)),
    "gelu": (lambda m, x: m.nn.gelu(x), ("both",)),
    "silu": (lambda m, x: m.nn.silu(x), ("pairs",)),
    "softplus": (lambda m, x: m.nn.softplus(x), ("both",)),
    "sigmoid": (lambda m, x: m.nn.sigmoid(x), ("rows",)),
    "erf": (lambda m, x: m.lax.erf(x) + m.lax.logistic(x), ("both",)),
    "sum 0": (lambda m, x: x.sum(0), ("both",)),
    "sum 1": (lambda m, x: x.sum(1), ("both",)),
    "sum all": (lambda m, x: x.sum(), ("both",)),
    "sum pairs": (lambda m, x: x.sum(0), ("pairs",)),
    "sum keepdims": (lambda m, x: x.sum(1, keepdims=True), ("both",)),
    "mean 0": (lambda m, x: m.numpy.mean(x, 0), ("rows",)),
    "var": (lambda m, x: m.numpy.var(x, 1), ("both",)),
    "std": (lambda m, x: m.numpy.std(x, 0), ("both",)),
    "max 0": (lambda m, x: x.max(0), ("both",)),
    "max 1": (lambda m, x: x.max(1), ("both",)),
    "min": (lambda m, x: x.min(), ("both",)),
    "prod": (lambda m, x: m.numpy.prod(x, 1), ("both",)),
    "logsumexp": (lambda m, x: m.nn.logsumexp(x, 1), ("both",)),
    "norm": (lambda m, x: m.numpy.linalg.norm(x, axis=1), ("both",)),
    "softmax 0": (lambda m, x: m.nn.softmax(x, 0), ("both",)),
    "softmax 1": (lambda m, x: m.nn.softmax(x, 1), ("both",)),
    "log_softmax": (lambda m, x: m.nn.log_softmax(x), ("rows",)),
    "layer_norm": (layer_norm, ("both", "split_row")),
    "layer_norm, whole": (layer_norm, ("rows", "row")),
    "standardize": (lambda m, x: m.nn.standardize(x), ("rows",)),
    "matmul": (lambda m, x, w: x @ w, ("rows", "weights")),
    "matmul whole": (lambda m, x, w: x @ w, ("rows", "whole_w")),
    "matmul out": (lambda m, x, w: m.numpy.matmul(x, w, out_sharding=P("d", None)), ("both", "inner")),
    "matmul summed": (lambda m, x, w: x @ w, ("both", "inner")),
    "matmul vector": (lambda m, x, y: x @ y, ("rows", "row")),
    "dot out": (lambda m, x, w: m.numpy.dot(x, w, out_sharding=P("d")), ("both", "inner")),
    "einsum": (lambda m, x, w: m.numpy.einsum("bi,io->bo", x, w), ("rows", "weights")),
    "einsum batched": (lambda m, b, w: m.numpy.einsum("bio,bi->bo", b, w), ("batches", "rows")),
    "einsum out": (
        lambda m, x, w: m.numpy.einsum("bi,io->ob", x, w, out_sharding=P(None, "d")),
        ("both", "inner"),
    ),
    "tensordot": (lambda m, x, w: m.numpy.tensordot(x, w, 1, out_sharding=P("d", "m")), ("rows", "weights")),
    "vdot": (lambda m, x, y: m.numpy.vdot(x, y), ("split_row", "split_row")),
    "outer": (lambda m, x, y: m.numpy.outer(x, y), ("row", "split_row")),
    "dot_general": (
        lambda m, x, w: m.lax.dot_general(x, w, (((1,), (0,)), ((), ())), out_sharding=P("d", None)),
        ("both", "inner"),
    ),
    "lax.dot": (lambda m, x, w: m.lax.dot(x, w, out_sharding=P("d", None)), ("both", "inner")),
    "perceptron": (perceptron, ("rows", "weights", "back")),
    "transpose": (lambda m, x: x.T * 2, ("both",)),
    "swapaxes": (lambda m, x: m.numpy.swapaxes(x, 0, 2), ("batches",)),
    "moveaxis": (lambda m, x: m.numpy.moveaxis(x, 0, -1), ("batches",)),
    "reshape": (lambda m, x: x.reshape(8, 2, 2), ("rows",)),
    "reshape out": (lambda m, x: x.reshape(32, out_sharding=P("d")), ("rows",)),
    "numpy reshape": (lambda m, x: m.numpy.reshape(x, (4, 8), out_sharding=P(None, "d")), ("both",)),
    "lax.reshape": (lambda m, x: m.lax.reshape(x, (16, 2), out_sharding=P("d")), ("both",)),
    "reshape refused": (lambda m, x: x.reshape(-1), ("both",)),
    "ravel": (lambda m, x: m.numpy.ravel(x, out_sharding=P("d")), ("rows",)),
    "ravel method": (lambda m, x: x.ravel(out_sharding=P(None)), ("rows",)),
    "flatten": (lambda m, x: x.flatten(out_sharding=P("m")), ("rows",)),
    "expand_dims": (lambda m, x: x[:, None] * 2, ("both",)),
    "squeeze": (lambda m, x: m.numpy.squeeze(x, 1), ("column",)),
    "broadcast_to": (lambda m, x: m.numpy.broadcast_to(x, (8, 4)), ("split_row",)),
    "broadcast_to out": (lambda m, x: m.numpy.broadcast_to(x, (8, 4), out_sharding=P("d", "m")), ("split_row",)),
    "lax.broadcast": (lambda m, x: m.lax.broadcast(x, (8,), out_sharding=P("d", "m")), ("split_row",)),
    "lax.broadcast_in_dim": (
        lambda m, x: m.lax.broadcast_in_dim(x, (8, 4), (1,), out_sharding=P("d", "m")),
        ("split_row",),
    ),
    "repeat": (lambda m, x: m.numpy.repeat(x, 2, 1), ("rows",)),
    "repeat out": (lambda m, x: m.numpy.repeat(x, 2, 0, out_sharding=P("d")), ("rows",)),
    "tile": (lambda m, x: m.numpy.tile(x, (1, 2)), ("rows",)),
    "concatenate 1": (lambda m, x: m.numpy.concatenate([x, x * 2], 1), ("rows",)),
    "concatenate 0": (lambda m, x: m.numpy.concatenate([x, x * 2], 0), ("both",)),
    "stack": (lambda m, x: m.numpy.stack([x, x * 2], 1), ("both",)),
    "split": (lambda m, x: m.numpy.split(x, 2, 1), ("rows",)),
    "split, a piece": (lambda m, x: m.numpy.split(x, [1, 3], 1)[1], ("rows",)),
    "split 0": (lambda m, x: m.numpy.split(x, 2, 0), ("rows",)),
    "pad": (lambda m, x: m.numpy.pad(x, ((0, 0), (1, 2))), ("rows",)),
    "pad split": (lambda m, x: m.numpy.pad(x, ((0, 0), (2, 2))), ("both",)),
    "lax.pad": (lambda m, x: m.lax.pad(x, 0.0, ((0, 0, 0), (0, 4, 0))), ("rows",)),
    "flip": (lambda m, x: m.numpy.flip(x, 1), ("rows",)),
    "flip split": (lambda m, x: m.numpy.flip(x, 0), ("rows",)),
    "roll": (lambda m, x: m.numpy.roll(x, 1, 1), ("rows",)),
    "tril": (lambda m, x: m.numpy.tril(x), ("rows",)),
    "slice": (lambda m, x: x[:, 1:3], ("rows",)),
    "slice split": (lambda m, x: x[:4], ("both",)),
    "slice stride": (lambda m, x: x[:, ::2], ("rows",)),
    "index": (lambda m, x: x[:, 0], ("rows",)),
    "index split": (lambda m, x: x[0], ("both",)),
    "index last": (lambda m, x: x[..., -1], ("batches",)),
    "take": (lambda m, x: m.numpy.take(x, m.numpy.array([0, 2, 1]), 1), ("rows",)),
    "take rows": (lambda m, x: x[m.numpy.array([0, 2, 1, 3])], ("columns",)),
    "take split": (lambda m, x: x[m.numpy.array([0, 2, 1, 3])], ("rows",)),
    "at get": (
        lambda m, x: x.at[m.numpy.array([0, 2, 1, 3])].get(out_sharding=P("d", None)),
        ("columns",),
    ),
    "at get split": (
        lambda m, x: x.at[m.numpy.array([0, 2, 1, 3])].get(out_sharding=P(None, "m")),
        ("both",),
    ),
    "at set": (lambda m, x: x.at[:, 1].set(0.5), ("rows",)),
    "at set out": (lambda m, x, y: x.at[1].set(y, out_sharding=P("d", None)), ("rows", "row")),
    "at add out": (
        lambda m, x, y: x.at[m.numpy.array([0, 2])].add(y, out_sharding=P("d", None)),
        ("rows", "row"),
    ),
    "at add": (lambda m, x, y: x.at[m.numpy.array([0, 2])].add(y), ("columns", "split_row")),
    "take_along_axis": (
        lambda m, x: m.numpy.take_along_axis(x, m.numpy.argsort(x, 1), 1),
        ("rows",),
    ),
    "dynamic_slice": (lambda m, x: m.lax.dynamic_slice(x, (0, 1), (8, 2)), ("rows",)),
    "dynamic_slice split": (lambda m, x: m.lax.dynamic_slice(x, (2, 0), (4, 4)), ("rows",)),
    "dynamic_index": (lambda m, x: m.lax.dynamic_index_in_dim(x, 1, 1, False), ("rows",)),
    "dynamic_update_slice": (
        lambda m, x, y: m.lax.dynamic_update_slice(x, y, (0, 1)),
        ("rows", "column"),
    ),
    "dynamic_update_index": (
        lambda m, x, y: m.lax.dynamic_update_index_in_dim(x, y, 1, 0),
        ("columns", "split_row"),
    ),
    "cumsum": (lambda m, x: m.numpy.cumsum(x, 1), ("rows",)),
    "cumsum split": (lambda m, x: m.numpy.cumsum(x, 0), ("rows",)),
    "cumprod": (lambda m, x: m.numpy.cumprod(x, 1), ("rows",)),
    "cummax": (lambda m, x: m.lax.cummax(x, 1), ("rows",)),
    "sort": (lambda m, x: m.numpy.sort(x, 1), ("rows",)),
    "sort split": (lambda m, x: m.numpy.sort(x, 0), ("rows",)),
    "argsort": (lambda m, x: m.numpy.argsort(x, 1) * x, ("rows",)),
    "top_k": (lambda m, x: m.lax.top_k(x, 2)[0], ("rows",)),
    "argmax": (lambda m, x: m.numpy.argmax(x, 1) * x.sum(1), ("rows",)),
    "argmax split": (lambda m, x: m.numpy.argmax(x, 0) * x.sum(0), ("both",)),
    "one_hot": (lambda m, x: m.nn.one_hot(m.numpy.argmax(x, 1), 4) * x, ("rows",)),
    "diag": (lambda m, x: m.numpy.diag(x), ("row",)),
    "astype": (lambda m, x: x.astype("bfloat16").astype("float32"), ("both",)),
    "stop_gradient": (lambda m, x: x * m.lax.stop_gradient(x), ("both",)),
    "scan": (scanned, ("both", "batch_of_both")),
    "scan split xs": (lambda m, x: m.lax.scan(lambda c, y: (c + y, c * y), x.sum(0), x), ("columns",)),
    "fori_loop": (lambda m, x: m.lax.fori_loop(0, 3, lambda i, c: m.numpy.sin(c) * c, x), ("both",)),
    "while": (
        lambda m, x: (
            m.lax.stop_gradient(m.lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, c[1] * 2), (0, x))[1]) * x
        ),
        ("both",),
    ),
    "cond": (
        lambda m, x: m.lax.cond(x.sum() > 0, lambda x: m.numpy.sin(x), lambda x: x * 2, x),
        ("both",),
    ),
    "switch": (lambda m, x: m.lax.switch(1, [lambda x: x, lambda x: x * x], x), ("both",)),
    "vmap": (lambda m, x: m.vmap(lambda r: m.numpy.sin(r) * r.sum())(x), ("both",)),
    "vmap 1": (lambda m, x: m.vmap(lambda r: m.nn.softmax(r), 1, 1)(x), ("both",)),
    "vmap matmul": (lambda m, x, w: m.vmap(lambda r: r @ w)(x), ("rows", "weights")),
    "vmap out": (
        lambda m, x, w: m.vmap(lambda r: m.numpy.matmul(r, w, out_sharding=P(None)))(x),
        ("both", "inner"),
    ),
    "vmap reshape": (lambda m, b: m.vmap(lambda r: r.reshape(24, out_sharding=P("m")))(b), ("batches",)),
    "jit": (lambda m, x: m.jit(lambda x: m.numpy.sin(x) @ x.T.sum(1))(x), ("rows",)),
    "checkpoint": (lambda m, x: m.checkpoint(lambda x: m.numpy.sin(m.numpy.sin(x)) * x)(x), ("both",)),
    "checkpoint dots": (
        lambda m, x, w: m.checkpoint(
            lambda x, w: m.numpy.sin(x @ w).sum(1), policy=jax.checkpoint_policies.dots_saveable
        )(x, w),
        ("rows", "weights"),
    ),
    "custom_jvp": (custom_jvp, ("both",)),
    "custom_vjp": (custom_vjp, ("both",)),
    "inner gradient": (lambda m, x: m.grad(lambda x: m.numpy.sin(x).sum())(x), ("both",)),
    "reshard": (lambda m, x: m.sharding.reshard(x, P(None, "d")) * 2, ("both",)),
    "reshard away": (lambda m, x: m.sharding.reshard(x, P()) * 2, ("both",)),
    "reshard in": (lambda m, x: m.sharding.reshard(m.numpy.sin(x), P("d", "m")), ("whole",)),
    "auto_axes": (
        lambda m, x: m.sharding.auto_axes(lambda x: m.numpy.sin(x).reshape(-1)[:8] * x.sum(), out_sharding=P("d"))(x),
        ("both",),
    ),
    "auto_axes m": (
        lambda m, x: m.sharding.auto_axes(
            lambda x: m.numpy.sin(x) * m.numpy.cumsum(x, 1), axes="m", out_sharding=P("d", "m")
        )(x),
        ("both",),
    ),
    "with_sharding_constraint": (lambda m, x: m.lax.with_sharding_constraint(x, P("d", "m")) * 2, ("both",)),
    "zeros": (lambda m, x: x * 2 + m.numpy.zeros((8, 4), out_sharding=P("d", "m")), ("both",)),
    "ones": (lambda m, x: x * m.numpy.ones((8, 4), out_sharding=P("d", "m")), ("both",)),
    "full": (lambda m, x: x * m.numpy.full((8, 4), 3.0, out_sharding=P("d")), ("rows",)),
    "lax.full": (lambda m, x: x * m.lax.full((8, 4), 3.0, sharding=NamedSharding(MESH, P("d"))), ("rows",)),
    "zeros_like": (lambda m, x: x + m.numpy.zeros_like(x) + m.numpy.ones_like(x), ("both",)),
    "full_like": (lambda m, x: x + m.numpy.full_like(x, 2.0, out_sharding=P("d", "m")), ("both",)),
    "arange": (lambda m, x: x * m.numpy.arange(8, out_sharding=P("d"))[:, None], ("rows",)),
    "array": (lambda m, x: x * m.numpy.array([1.0, 2.0, 3.0, 4.0], out_sharding=P("m")), ("both",)),
    "asarray": (lambda m, x: m.numpy.asarray(x, out_sharding=P("d", "m")) * 2, ("both",)),
    "iota": (lambda m, x: x * m.lax.broadcasted_iota("float32", (8, 4), 0, out_sharding=P("d", "m")), ("both",)),
    "normal": (
        lambda m, x: x * m.random.normal(m.random.key(0), (8, 4), out_sharding=P("d", "m")),
        ("both",),
    ),
    "uniform": (
        lambda m, x: x * m.random.uniform(m.random.key(0), (8, 4), out_sharding=P("d", None)),
        ("rows",),
    ),
    "attention": (
        lambda m, q: m.numpy.einsum("bst,btd->bsd", m.nn.softmax(m.numpy.einsum("bsd,btd->bst", q, q) / 2.0), q),
        ("tokens",),
    ),
    "cross entropy": (
        lambda m, x: (
            -m.numpy.mean(
                m.numpy.sum(m.nn.log_softmax(x) * m.nn.one_hot(m.numpy.arange(8, out_sharding=P("d")) % 4, 4), -1)
            )
        ),
        ("rows",),
    ),
    "conv": (
        lambda m, x, k: m.lax.conv_general_dilated(x, k, (1,), "SAME"),
        ("signal", "kernel"),
    ),
    "reduce_window": (
        lambda m, x: m.lax.reduce_window(x, 0.0, m.lax.add, (1, 2), (1, 2), "VALID"),
        ("rows",),
    ),
}

SHAPES.update(
    {
        "whole_w": ((4, 6), (None, None)),
        "back": ((6, 4), ("m", None)),
        "batch_of_both": ((3, 8, 4), (None, "d", "m")),
        "tokens": ((8, 5, 6), ("d", None, None)),
        "signal": ((8, 3, 16), ("d", None, None)),
        "kernel": ((4, 3, 3), (None, None, None)),
    }
)
