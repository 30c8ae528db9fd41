"""The Jacobians of softmax, log_softmax and logsumexp against mpmath, where one part is close to 1."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest

import minijvp
from minijvp import nn
from tests.operations.accuracy import BOUND, DIGITS, units

LOGITS = [
    [0.1, -0.3, 0.7, 0.2],
    [1.0, 1.0, 1.0, 1.0],
    [20.0, 0.0, -3.0, 1.5],
    [0.0, 60.0, -10.0, 25.0],
    [-5.0, -80.0, 3.0, -80.0],
    [1e4, 1e4 - 8, 1e4 - 30, 0.0],
]


def parts(x: list[Any]) -> list[Any]:
    total = mp.fsum([mp.exp(v - max(x)) for v in x])
    return [mp.exp(v - max(x)) / total for v in x]


def rest(x: list[Any], i: int) -> Any:
    """1 - softmax(x)[i], as the sum of the others."""
    return mp.fsum([p for j, p in enumerate(parts(x)) if j != i])


def softmax_jacobian(x: list[Any]) -> list[list[Any]]:
    p, n = parts(x), range(len(x))
    return [[p[i] * rest(x, i) if i == j else -p[i] * p[j] for j in n] for i in n]


def log_softmax_jacobian(x: list[Any]) -> list[list[Any]]:
    p, n = parts(x), range(len(x))
    return [[rest(x, i) if i == j else -p[j] for j in n] for i in n]


CASES = {
    "softmax": (nn.softmax, softmax_jacobian),
    "log_softmax": (nn.log_softmax, log_softmax_jacobian),
    "gradient of logsumexp": (minijvp.grad(nn.logsumexp), softmax_jacobian),
}
TRANSFORMS: dict[str, Callable[[Any], Any]] = {
    "jacfwd": minijvp.jacfwd,
    "jacrev": minijvp.jacrev,
    "compiled jacrev": lambda f: minijvp.jit(minijvp.jacrev(f)),
    "batched": lambda f: lambda x: minijvp.vmap(minijvp.jacrev(f))(x[None])[0],
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("how", TRANSFORMS)
def test_jacobians(name: str, how: str, dtype: Any) -> None:
    fun, jacobian = CASES[name]
    compute = TRANSFORMS[how](fun)
    for x in np.array(LOGITS, dtype):
        found = np.asarray(compute(jnp.asarray(x)))
        # The rounding of x - max(x) makes that of its exponential.
        allowed = BOUND + 2 * float(np.max(x) - np.min(x)) if np.max(x) < 100 else 1e5
        with mp.workdps(DIGITS):
            truth = jacobian(list(map(mp.mpf, map(float, x))))
            for f, t in zip(found.ravel(), [v for row in truth for v in row], strict=True):
                assert units(float(f), t, np.finfo(dtype)) <= allowed


@pytest.mark.parametrize("axes", [(0,), (1,), (0, 1)])
def test_axes(axes: Any) -> None:
    x = jnp.array([[20.0, 0.0], [-20.0, 1.0]])
    for fun in (nn.softmax, nn.log_softmax):
        found = minijvp.jacrev(lambda x, fun=fun: fun(x, axes))(x)
        np.testing.assert_allclose(found, minijvp.jacfwd(lambda x, fun=fun: fun(x, axes))(x), rtol=1e-12)
        assert np.all(np.diagonal(found.reshape(4, 4)) > 0)


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        ([math.inf, 0.0], [1, 0]),
        ([math.inf, math.inf, 1.0, 2.0], [0.5, 0.5, 0, 0]),
        ([-math.inf, -math.inf], [0.5, 0.5]),
        ([-math.inf, 0.0], [0, 1]),
    ],
)
def test_infinities_tie(x: list[float], expected: list[float]) -> None:
    for gradient in (minijvp.grad(nn.logsumexp), minijvp.jit(minijvp.grad(nn.logsumexp))):
        np.testing.assert_array_equal(gradient(jnp.array(x)), expected)


def test_terms_that_count_for_nothing() -> None:
    """The derivative in b is there where b is 0, and terms with b = 0 are flat in a, however large they are."""
    a, b = jnp.array([1.0, 2.0, 3.0, 1000.0]), jnp.array([1.0, 0.0, -0.5, 0.0])
    fun = lambda a, b: nn.logsumexp(a, b=b, return_sign=True)[0]
    total = math.exp(1) - 0.5 * math.exp(3)
    expected = np.exp(np.array([1.0, 2.0, 3.0])) / total
    for gradient in (minijvp.grad(fun, (0, 1)), minijvp.jit(minijvp.grad(fun, (0, 1)))):
        in_a, in_b = gradient(a, b)
        np.testing.assert_allclose(in_a, [*(expected * b[:3]), 0], rtol=1e-12)
        np.testing.assert_allclose(in_b[:3], expected, rtol=1e-12)
        assert abs(in_b[3]) == math.inf
    ahead = minijvp.jvp(lambda b: fun(a[:3], b), (b[:3],), (jnp.array([0.0, 1.0, 0.0]),))[1]
    np.testing.assert_allclose(ahead, expected[1], rtol=1e-12)
