"""The first mistakes of those who come from JAX, NumPy and optax: each is named, with one remedy."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.special

import minijvp
from minijvp import ArgumentError, ForeignFunctionError, grad, jit
from minijvp.views.traces import forward_trace

X = jnp.ones(3)
_, unravel = jax.flatten_util.ravel_pytree([X])
ADAM = optax.adam(1e-3)


@dataclasses.dataclass
class Parameters:
    w: Any


class Model:
    weight = 1.0

    @minijvp.jit
    def apply(self, x: Any) -> Any:
        return x * self.weight


async def later(x: Any) -> Any:
    return x


made: list[Any] = []


def coroutine(x: Any) -> Any:
    made.append(later(x))
    return made[-1]


def generator(x: Any) -> Any:
    yield x


OF_JAX: dict[str, Callable[[], Any]] = {
    "minijvp.numpy.sin": lambda: grad(lambda x: jnp.sum(jnp.sin(x)))(X),
    "minijvp.numpy.linalg.norm": lambda: grad(lambda x: jnp.linalg.norm(x))(X),
    "minijvp.nn.relu": lambda: grad(lambda x: jax.nn.relu(x).sum())(X),
    "minijvp.nn.gelu": lambda: jit(lambda x: jax.nn.gelu(x))(X),
    "minijvp.lax.scan": lambda: grad(lambda x: jax.lax.scan(lambda c, y: (c + y, c), 0.0, x)[0])(X),
    "minijvp.lax.cond": lambda: jit(lambda x: jax.lax.cond(True, lambda: x, lambda: x))(X),
    "minijvp.pure_callback": lambda: grad(lambda x: jax.pure_callback(np.sin, x, x).sum())(X),
    "minijvp.debug.print": lambda: jit(lambda x: jax.debug.print("{x}", x=x))(X),
    "minijvp.random.normal": lambda: jit(lambda key: jax.random.normal(key, 3))(jax.random.key(0)),
    "minijvp.grad": lambda: grad(lambda x: jax.grad(lambda y: y * y)(x))(1.0),
    "minijvp.scipy.special.logsumexp": lambda: grad(lambda x: jax.scipy.special.logsumexp(x))(X),
    "minijvp.numpy.cos": lambda: grad(lambda x: np.sum(np.cos(x)))(X),
    "minijvp.scipy.special.erf": lambda: grad(lambda x: scipy.special.erf(x).sum())(X),
    "minijvp.from_jax(unravel)": lambda: grad(lambda x: unravel(x)[0].sum())(X),
    "minijvp.from_jax(ADAM.update)": lambda: jit(lambda p, g: ADAM.update(g, ADAM.init(np.ones(3)), p))(X, X),
}


@pytest.mark.parametrize("remedy", OF_JAX)
def test_functions_of_jax(remedy: str) -> None:
    with pytest.raises((ForeignFunctionError, TypeError)) as caught:
        OF_JAX[remedy]()
    text = str(caught.value)
    assert remedy in text and "It does not know minijvp's tracers" in text and len(text.split("\n")) == 3, text
    assert "test_mistakes.py" in text or "optax" in text


ARGUMENTS: dict[str, tuple[Callable[[], Any], str]] = {
    "a dataclass": (lambda: grad(lambda p: p.w.sum())(Parameters(X)), "jax.tree_util.register_dataclass(Parameters)"),
    "self": (lambda: Model().apply(X), "@functools.partial(minijvp.jit, static_argnums=0)"),
    "a coroutine": (lambda: grad(coroutine)(1.0), "makes a coroutine"),
    "a generator": (lambda: grad(generator)(1.0), "makes a generator"),
    "a module": (lambda: jit(lambda m, x: x)(flax.linen.Dense(3), X), "module.apply(params, x)"),
    "forward_trace": (partial(forward_trace, lambda x, y: x * y, 1.0, 2.0), "reverse_trace(f, x, y)"),
    "one byte": (lambda: jit(grad(lambda x: (x**3).sum(), memory_budget=1))(X), "the float 1.0 is all"),
}


@pytest.mark.filterwarnings("ignore:Python iterable:DeprecationWarning")
@pytest.mark.parametrize("name", ARGUMENTS)
def test_arguments(name: str) -> None:
    call, words = ARGUMENTS[name]
    with pytest.raises(ArgumentError) as caught:
        call()
    while made:
        made.pop().close()  # which was never awaited
    assert words in caught.value.do, caught.value.do
