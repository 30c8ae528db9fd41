"""Functions that are stated anew against those of jax.nn: arguments of every kind, values and derivatives."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import minijvp
from minijvp import nn
from minijvp.scipy import special

X = jnp.asarray(np.random.default_rng(0).standard_normal((3, 4)))
MASK = jnp.asarray(np.random.default_rng(1).integers(0, 2, (3, 4)), bool).at[:, 0].set(True)
B = jnp.asarray(np.random.default_rng(2).uniform(0.5, 2, (3, 4)))
CALLS: dict[str, Any] = {
    **{
        f"{name} {how}": (name, options)
        for name in ("softmax", "log_softmax", "logsumexp")
        for how, options in {
            "of the last axis": {},
            "of an axis": {"axis": 0},
            "of axes": {"axis": (0, -1)},
            "of all": {"axis": None},
            "where": {"axis": -1, "where": MASK},
        }.items()
    },
    "logsumexp keepdims": ("logsumexp", {"axis": 0, "keepdims": True}),
    "logsumexp b": ("logsumexp", {"axis": 0, "b": B}),
    "logsumexp b keepdims": ("logsumexp", {"axis": (0, 1), "b": B, "keepdims": True}),
    "logsumexp b number": ("logsumexp", {"b": 2.0}),
    "logsumexp b row": ("logsumexp", {"b": B[0], "axis": 1}),
    "gelu": ("gelu", {}),
    "gelu exact": ("gelu", {"approximate": False}),
    **{name: (name, {}) for name in ("softplus", "log_sigmoid", "mish", "soft_sign")},
}


def same(found: Any, wanted: Any) -> None:
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        tolerance = {"float32": 1e-5, "bfloat16": 5e-2, "float64": 1e-12}.get(str(a.dtype), 1e-6)
        np.testing.assert_allclose(np.asarray(a, complex), np.asarray(b, complex), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, jnp.bfloat16, np.int32])
@pytest.mark.parametrize("name", CALLS)
def test_like_jax(name: str, dtype: Any) -> None:
    function, options = CALLS[name]
    if dtype == np.int32 and function.endswith("softmax"):
        return  # JAX warns of a cast of -inf to integers
    smooth = dtype != np.int32 and not (function == "log_softmax" and "where" in options)  # there it is -inf times 0
    x = X.astype(dtype)

    def gradient(api: Any, f: Any, like: Any) -> Any:
        weights = np.cos(np.arange(like.size)).reshape(like.shape).astype(dtype)
        return api.grad(lambda x: (f(x) * weights).sum())(x)

    ours, theirs = (lambda x, api=api: getattr(api, function)(x, **options) for api in (nn, jax.nn))
    value, wanted = jax.jit(lambda x: (out := theirs(x), gradient(jax, theirs, out) if smooth else None))(x)
    same(ours(x), value)
    same(minijvp.jit(ours)(x), value)
    if smooth:
        same(gradient(minijvp, ours, value), wanted)


def test_numbers_of_other_kinds() -> None:
    z = X + 1j
    for name in ("softmax", "log_softmax", "logsumexp"):
        same(minijvp.jit(getattr(nn, name))(z), getattr(jax.nn, name)(z))
    same(minijvp.jit(nn.logsumexp)(2.0), jax.nn.logsumexp(2.0))
    out, sign = minijvp.jit(lambda x, b: nn.logsumexp(x, b=b, return_sign=True))(X, -B)
    same((out, sign), jax.nn.logsumexp(X, b=-B, return_sign=True))
    same(minijvp.jit(lambda x, b: nn.logsumexp(x, b=b))(X, -B), jax.nn.logsumexp(X, b=-B))


@pytest.mark.parametrize(("shape", "axis"), [((0,), None), ((2, 0), -1), ((0, 2), 0), ((0, 2), 1)])
def test_nothing_to_add(shape: tuple[int, ...], axis: Any) -> None:
    """The logarithm of an empty sum, with and without weights."""
    for weights in (lambda x: None, lambda x: 1.5 + x):
        fun = lambda x, api=nn: api.logsumexp(x, axis, weights(x))
        of_jax = lambda x: jax.nn.logsumexp(x, axis, weights(x))
        x = jnp.zeros(shape)
        same(minijvp.jit(lambda x: (fun(x), minijvp.grad(lambda x: fun(x).sum())(x)))(x), (of_jax(x), x))
        same(minijvp.vmap(fun)(x[None]), of_jax(x)[None])


@pytest.mark.parametrize("name", ["xlogy", "xlog1py"])
def test_products_with_logarithms(name: str) -> None:
    ours, theirs = getattr(special, name), getattr(jax.scipy.special, name)
    x, y = jnp.array([0.0, 0.0, 1.5, 0.0, 2.0]), jnp.array([0.5, 0.0, 2.0, jnp.nan, 3.0])
    for args in ((x, y), (2, y), (x, 3), (x[:, None], y), (0.0, 2)):
        np.testing.assert_allclose(minijvp.jit(ours)(*args), theirs(*args), rtol=1e-12)
    same(minijvp.grad(ours, (0, 1))(x[2], y[2]), jax.grad(theirs, (0, 1))(x[2], y[2]))


def test_other_arguments_of_log_ndtr() -> None:
    x = jnp.array([-30.0, -1.0, 2.0], jnp.float32)
    ours = minijvp.jit(lambda x: special.log_ndtr(x, series_order=5))(x)
    same(ours, jax.scipy.special.log_ndtr(x, series_order=5))
    with pytest.raises(TypeError, match="series_order"):
        minijvp.grad(lambda x: special.log_ndtr(x, 2.5))(1.0)
