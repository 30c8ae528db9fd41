"""Programs of arrays with symbolic sizes, for minijvp and for JAX: each is given a library `m`, which it uses."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp

import minijvp

OURS = SimpleNamespace(**{k: getattr(minijvp, k) for k in ("grad", "vmap", "jit", "jvp", "checkpoint", "lax", "nn")})
OURS.np, OURS.lib, OURS.of_jax = minijvp.numpy, minijvp, minijvp.from_jax
JAX = SimpleNamespace(**{k: getattr(jax, k) for k in ("grad", "vmap", "jit", "jvp", "checkpoint", "lax", "nn")})
JAX.np, JAX.lib, JAX.of_jax = jnp, jax, lambda f: f

Program = Callable[..., Any]
B = ("b", 16)
PROGRAMS: dict[str, tuple[tuple[Any, ...], Program]] = {}
"""The shapes of the arguments, and a loss of the library and them, which is derived by all of them."""
FUNCTIONS: dict[str, tuple[tuple[Any, ...], Program]] = {}
"""The same for functions that are called as they are."""


def loss(*shapes: Any) -> Callable[[Program], Program]:
    """Decorator: enter a loss."""

    def enter(program: Program) -> Program:
        PROGRAMS[program.__name__] = shapes, program
        return program

    return enter


def function(*shapes: Any) -> Callable[[Program], Program]:
    """Decorator: enter a function."""

    def enter(program: Program) -> Program:
        FUNCTIONS[program.__name__] = shapes, program
        return program

    return enter


@loss(B)
def means(m: Any, x: Any) -> Any:
    return m.np.mean(m.np.sin(x) * x) + m.np.sum(m.np.mean(x, 0) ** 2) + m.np.std(x, 0).sum() + m.np.var(x, 1).sum()


@loss(B)
def reductions(m: Any, x: Any) -> Any:
    return m.np.max(x, 1).sum() + m.np.min(x, 0).sum() + m.np.prod(x, 1).sum() + (m.np.cumsum(x, 0) ** 2).sum()


@loss(B)
def softmaxes(m: Any, x: Any) -> Any:
    return (m.nn.softmax(x) ** 2).sum() + (m.nn.log_softmax(x, 0) ** 2).mean() + m.nn.logsumexp(x, 1).mean()


@loss(B)
def sorted_both_ways(m: Any, x: Any) -> Any:
    return (m.np.sort(x, 0) * m.np.sin(x)).sum() + m.np.median(x, 1).sum() + m.lax.top_k(x, 3)[0].sum()


@loss(B, (16, 3), ("b", 4, 5), ("b", 5, 2))
def products(m: Any, x: Any, w: Any, y: Any, z: Any) -> Any:
    gram = m.np.tanh(x @ x.T).mean() + (m.np.einsum("bi,ij->jb", x, w) ** 2).mean()
    return gram + m.np.tanh(x @ w).sum() + m.np.matmul(y, z).mean() + (m.np.outer(x[:, 0], x[:, 1]) ** 2).sum()


@loss(B, (16,), ("b", 1))
def broadcasts(m: Any, x: Any, v: Any, c: Any) -> Any:
    spread = m.np.broadcast_to(x[:, None, :], (x.shape[0], 3, 16))
    return ((x + v) * (x[:1] - v) * c).mean() + (spread**2).mean() + m.np.where(x > c, x, 0.1 * x).mean()


@loss(B)
def reshapes(m: Any, x: Any) -> Any:
    flat = (m.np.reshape(x, (x.shape[0] * 16,)) ** 3).sum() + (x.ravel() * m.np.arange(1.0 * 16)[0]).sum()
    return flat + (x.reshape(-1, 4, 4)[:, 1] ** 2).mean() + (x.reshape(x.shape[0], -1, 2) ** 3).sum()


@loss(B)
def joined(m: Any, x: Any) -> Any:
    rows = m.np.concatenate([x, x * 2, m.np.ones((3, 16), "float32")], 0)
    return (
        (rows**2).sum() + (m.np.concatenate([x, m.np.ones((x.shape[0], 3))], 1) ** 2).sum() + m.np.stack([x, x]).sum()
    )


@loss(("a", 4), ("b", 4))
def two_sizes(m: Any, x: Any, y: Any) -> Any:
    return (
        (m.np.concatenate([x, y]) ** 2).sum() + (x @ y.T).mean() + sum(a.sum() for a in m.np.meshgrid(x[:, 0], y[:, 1]))
    )


@loss(("2*b", 4))
def of_an_even_size(m: Any, x: Any) -> Any:
    return (x.reshape(-1, 2, 4)[:, 0] * x[: x.shape[0] // 2]).sum()


@loss(B)
def slices(m: Any, x: Any) -> Any:
    ends = (x[0] ** 2).sum() + (x[-1] ** 3).sum() + (x[:3] ** 2).sum() + (x[x.shape[0] - 1] ** 2).sum()
    steps = (x[::2] ** 2).sum() + (x[::-1] * x).sum() + (x[-2:] ** 3).sum() + (x[::-3] ** 2).sum()
    cut = m.lax.slice_in_dim(x, 1, x.shape[0]) ** 2
    return ends + steps + (x[1:] * x[:-1]).sum() + (x[:, ::2] ** 3).sum() + cut.sum()


@loss(B)
def indices(m: Any, x: Any) -> Any:
    rows, last = m.np.array([0, 1, 0]), m.np.array([-1, 0])
    found = (x[rows] ** 2).sum() + (x[last] ** 2).sum() + (x[:, m.np.array([3, 1])] ** 2).sum()
    labels = m.np.arange(x.shape[0]) % 16
    picked = m.nn.log_softmax(x)[m.np.arange(x.shape[0]), labels].mean()
    hot = (x * m.nn.one_hot(labels, 16)).sum()
    taken = m.np.take_along_axis(x, m.np.argmax(x, 1)[:, None], 1).sum() + m.np.take(x, rows, 0).sum()
    return found + picked + hot + taken + (m.lax.dynamic_slice_in_dim(x, 2, 3, axis=1) ** 2).sum()


@loss(B)
def updates(m: Any, x: Any) -> Any:
    written = (x.at[0].set(1.0) ** 2).sum() + (x.at[:, 1].add(x[:, 2]) ** 2).sum() + (x.at[1:].mul(2.0) ** 2).sum()
    return written + (x.at[m.np.array([0, -1])].set(0.5) ** 2).sum()


@loss(B)
def sizes_as_numbers(m: Any, x: Any) -> Any:
    n = x.shape[0]
    c, _ = m.lax.scan(lambda c, _: (c * n / 3.0 + m.np.mean(x), None), x.sum(), None, length=2)
    c = m.lax.cond(c > 0, lambda c: c * n, lambda c: c / n, c)
    return c + (x**2).sum() / x.size + m.np.sqrt(1.0 * n) * x.sum() + (x * (1.0 / n)).sum()


@loss(B)
def made(m: Any, x: Any) -> Any:
    n = x.shape[0]
    parts = m.np.zeros_like(x) + m.np.full(x.shape, 2.0) + m.np.arange(n, dtype="float32")[:, None] + m.np.ones(x.shape)
    return (parts * x).sum() + (m.np.eye(n) @ x).sum() + (m.np.tri(n) @ x).mean() + m.np.pad(x, ((1, 2), (0, 3))).sum()


@loss(B)
def randomly(m: Any, x: Any) -> Any:
    key = m.lib.random.key(0)
    return (x * m.lib.random.normal(key, x.shape)).sum() + x[m.lib.random.permutation(key, 2)].sum()


@loss(B, (16, 8), (8,), (8,), (8, 1))
def mlp(m: Any, x: Any, w: Any, b: Any, g: Any, v: Any) -> Any:
    h = m.jit(lambda x: m.nn.gelu(x @ w + b))(x)
    centre = h.mean(-1, keepdims=True)
    h = (h - centre) * m.lax.rsqrt(h.var(-1, keepdims=True) + 1e-5) * g + b
    return m.np.mean((m.nn.relu(h) @ v) ** 2)


@loss(("b", "t", 16), (16, 16), (16, 16), (16, 16))
def transformer(m: Any, x: Any, q: Any, k: Any, v: Any) -> Any:
    heads = [(x @ w).reshape(x.shape[0], x.shape[1], 4, 4) for w in (q, k, v)]
    s = m.np.einsum("bqhd,bkhd->bhqk", heads[0], heads[1]) / 2.0
    s = m.np.where(m.np.tril(m.np.ones((x.shape[1], x.shape[1]), bool)), s, -1e9)
    out = m.np.einsum("bhqk,bkhd->bqhd", m.nn.softmax(s), heads[2]).reshape(x.shape)
    return ((x + out - (x + out).mean(-1, keepdims=True)) ** 2).mean()


@loss(("b", 5, 3), (3, 8), (8, 8))
def recurrent(m: Any, x: Any, w: Any, r: Any) -> Any:
    def cell(h: Any, row: Any) -> Any:
        h = m.np.tanh(row @ w + h @ r)
        return h, h

    last, hs = m.lax.scan(cell, m.np.zeros((x.shape[0], 8)), m.np.swapaxes(x, 0, 1))
    return (hs**2).mean() + last.sum()


@loss(B, (16,))
def rows_one_by_one(m: Any, x: Any, h: Any) -> Any:
    def step(c: Any, row: Any) -> Any:
        c = m.np.tanh(c + row)
        return c, c * 2

    last, ys = m.lax.scan(step, h, x)
    return last.mean() + ys.sum() + m.lax.map(lambda row: m.np.sin(row).sum(), x).sum()


@loss(B)
def loops(m: Any, x: Any) -> Any:
    powers = m.lax.fori_loop(0, 3, lambda i, c: m.np.sin(c) * x, x)
    chosen = m.lax.cond(x.sum() > 0, m.np.sin, lambda x: x * 2, x)
    return powers.sum() + chosen.sum() + m.lax.switch(1, [m.np.cos, m.np.sin], x).sum()


@loss(B, (16,))
def batched(m: Any, x: Any, w: Any) -> Any:
    def row(r: Any) -> Any:
        c, _ = m.lax.scan(lambda c, a: (m.np.sin(c * a), c), r[0], r)
        return m.np.tanh(r @ w) + m.lax.cond(r[0] > 0, m.np.sin, m.np.cos, c)

    return m.vmap(row)(x).sum()


@loss(B, (16, 16))
def deep(m: Any, x: Any, w: Any) -> Any:
    x = m.checkpoint(lambda x: m.np.tanh(m.np.tanh(x @ w) @ w))(x)
    for _ in range(8):
        x = m.np.tanh(x @ w) + m.np.sin(x)
    return (x**2).mean()


@loss(("b", 8, 8, 3), (3, 3, 3, 4))
def images(m: Any, x: Any, k: Any) -> Any:
    numbers = ("NHWC", "HWIO", "NHWC")
    x = m.lax.conv_general_dilated(x, k, (1, 1), "SAME", dimension_numbers=numbers)
    x = m.lax.reduce_window(x, -m.np.inf, m.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    return (x.reshape(x.shape[0], -1) ** 2).mean()


@loss(("b", 3, 3))
def linear_algebra(m: Any, x: Any) -> Any:
    a = x @ m.np.swapaxes(x, 1, 2) + 3 * m.np.eye(3)
    return m.np.linalg.cholesky(a).sum() + m.np.linalg.solve(a, x).sum() + m.np.linalg.norm(x, axis=1).sum()


@loss(B)
def read_from_jax(m: Any, x: Any) -> Any:
    plain = m.of_jax(lambda x: jnp.mean(jnp.sin(x) * jax.nn.softmax(x)) + (x * jnp.mean(x, 0)).sum())
    loop = m.of_jax(lambda x: jax.lax.scan(lambda c, _: (jnp.sin(c), c.sum()), x, None, length=3)[0].sum())
    return plain(x) + loop(x) + m.of_jax(jax.jit(lambda x: jnp.mean(jnp.sin(x) @ jnp.ones((16, 2)))))(x)


@loss(B)
def with_a_rule(m: Any, x: Any) -> Any:
    f = m.lib.custom_vjp(lambda x: m.np.sin(x))
    f.defvjp(lambda x: (m.np.sin(x), x), lambda x, ct: (ct * 2 * m.np.cos(x),))
    return f(x).mean()


@function(B)
def second_derivatives(m: Any, x: Any) -> Any:
    return m.jvp(m.grad(lambda x: (m.np.sin(x) ** 2).mean()), (x,), (x,))


@function(("b",), ("b", 4))
def jacobians(m: Any, x: Any, y: Any) -> Any:
    own = m.lib.jacrev(lambda x: m.np.tanh(x) * x.sum())(x), m.lib.jacfwd(lambda x: m.np.tanh(x) * x.sum())(x)
    return own, m.lib.hessian(lambda w: m.np.tanh(y @ w).sum())(m.np.ones(4))


@function(("b", 3))
def loops_that_stop(m: Any, x: Any) -> Any:
    grown = m.lax.while_loop(lambda c: c.sum() < 100.0, lambda c: c * c + 1.0, x)
    return grown, m.vmap(lambda r: m.lax.while_loop(lambda c: c.sum() < 100.0, lambda c: c * c + 1.0, r))(x)


@function((16, "b"))
def batched_along_the_last_axis(m: Any, x: Any) -> Any:
    return m.vmap(m.grad(lambda r: m.np.sum(m.np.sin(r) ** 2)), in_axes=1, out_axes=1)(x), m.np.argmax(x, 1)
