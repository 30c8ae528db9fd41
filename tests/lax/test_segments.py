"""The memory option of scan: what it computes is the same, and reverse mode keeps less."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import pytest

import minijvp
import minijvp.numpy as mnp
from minijvp import ArgumentError
from minijvp.lax.segments import segment_size
from tests.side_by_side import same

lax = minijvp.lax
X = jnp.array([0.3, -1.2, 2.0])


def loss(w: Any, x: Any, n: int, reverse: bool, checkpoint: Any) -> Any:
    """Carries of two kinds, rows and no rows, results that are copied and some that are handed on."""
    rows = mnp.cos(jnp.arange(3.0 * n).reshape(n, 3)) * x

    def step(c: Any, row: Any) -> Any:
        return {"h": mnp.sin(c["h"] * w) + row, "n": c["n"] + 1}, (c["h"][0] * row, row, None)

    last, (ys, zs, _) = lax.scan(step, {"h": x, "n": 0}, rows, reverse=reverse, checkpoint=checkpoint)
    return (last["h"] * last["n"]).sum() + (ys**2).sum() + zs.sum()


@pytest.mark.parametrize("n", [0, 1, 7])
@pytest.mark.parametrize("reverse", [False, True])
def test_gradients(n: int, reverse: bool) -> None:
    gradient = minijvp.jit(minijvp.value_and_grad(loss, (0, 1)), static_argnums=(2, 3, 4))
    wanted = gradient(1.1, X, n, reverse, None)
    for checkpoint in (True, 2, 9, "auto"):
        same(gradient(1.1, X, n, reverse, checkpoint), wanted)


TRANSFORMED = [
    lambda f: lambda w: minijvp.vmap(f)(mnp.array([w, 1.2])),
    lambda f: lambda w: minijvp.vmap(minijvp.grad(f))(mnp.array([w, 1.2])),
    lambda f: lambda w: minijvp.jvp(minijvp.grad(f), (w,), (1.0,))[1],
    lambda f: minijvp.grad(minijvp.grad(f)),
    lambda f: minijvp.grad(lambda w: minijvp.jvp(f, (w,), (w,))[1]),
]


@pytest.mark.parametrize("transformed", TRANSFORMED)
def test_transformations(transformed: Any) -> None:
    found, wanted = (minijvp.jit(transformed(lambda w, k=k: loss(w, X * w, 5, False, k)))(1.1) for k in (2, None))
    same(found, wanted, 1e-11)


def test_loops_without_rows_and_in_loops() -> None:
    def fun(w: Any, k: Any) -> Any:
        def outer(c: Any, _: Any) -> Any:
            return lax.scan(lambda c, _: (mnp.sin(c * w), None), c, None, 4, checkpoint=k)[0], None

        return lax.scan(outer, w, length=5, unroll=3, checkpoint=k)[0]

    same(minijvp.grad(lambda w: fun(w, 3))(0.7), minijvp.grad(lambda w: fun(w, None))(0.7))


def temporary(steps: int, checkpoint: Any) -> int:
    def fun(w: Any, x: Any) -> Any:
        return lax.scan(lambda h, _: (mnp.tanh(mnp.sin(h @ w)), None), x, length=steps, checkpoint=checkpoint)[0].sum()

    w, x = jnp.ones((8, 8)), jnp.ones((64, 8))
    return minijvp.jit(minijvp.grad(fun)).lower(w, x).compile().memory_analysis().temp_size_in_bytes


def test_memory() -> None:
    kept = temporary(500, None)
    assert temporary(500, "auto") <= kept / 5
    assert temporary(500, True) <= kept / 2
    assert temporary(2000, "auto") <= 3 * temporary(500, "auto")


def test_sizes() -> None:
    sizes = {1: 1, 4: 2, 7: 3, 100: 10, 500: 20, 509: 23}
    for n, size in sizes.items():
        assert segment_size("auto", n) == size
    assert [segment_size(k, 5) for k in (None, False, True, 2, 9)] == [0, 0, 1, 2, 5]
    assert segment_size(3, 0) == 0


@pytest.mark.parametrize("checkpoint", [0, -1, 2.0, "all", X, (1,)])
def test_options_that_are_none(checkpoint: Any) -> None:
    with pytest.raises(ArgumentError, match="scan received checkpoint="):
        lax.scan(lambda c, x: (c, x), 1.0, X, checkpoint=checkpoint)
    with pytest.raises(ArgumentError, match="scan received checkpoint="):
        lax.scan(lambda c, x: (c, x), 1.0, X[:0], checkpoint=checkpoint)


def test_jaxpr() -> None:
    text = str(minijvp.make_jaxpr(lambda x: lax.scan(lambda c, r: (c * r, c), 0.5, x, checkpoint=2))(X))
    assert text.count("checkpoint[") == 1 + 1  # one segment in a loop would be a loop of one turn
