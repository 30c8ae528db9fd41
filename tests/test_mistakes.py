"""The first mistakes of those who come from JAX, NumPy and optax: each is named, with one remedy."""

from __future__ import annotations

import dataclasses
import linecache
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
BEGIN = ADAM.init(X)


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
    "minijvp.from_jax(unravel)(x)": lambda: grad(lambda x: unravel(x)[0].sum())(X),
    "minijvp.from_jax(ADAM.update)(g, BEGIN, p)": lambda: jit(lambda p, g: ADAM.update(g, BEGIN, p))(X, X),
}


@pytest.mark.parametrize("remedy", OF_JAX)
def test_functions_of_jax(remedy: str) -> None:
    with pytest.raises((ForeignFunctionError, TypeError)) as caught:
        OF_JAX[remedy]()
    text = str(caught.value)
    assert remedy in text and "It does not know minijvp's tracers" in text and len(text.split("\n")) == 3, text
    assert "test_mistakes.py" in text


@jax.jit
def dot(x: Any) -> Any:
    return x @ x


SCHEDULE = optax.warmup_cosine_decay_schedule(0.0, 0.1, 2, 8)
CHAIN = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(SCHEDULE))
STEPS = optax.MultiSteps(optax.sgd(0.1), 2)
DENSE = flax.linen.Dense(2)
TREE = {"b": jnp.ones(2), "w": jnp.ones((3, 2))}
IN_PLACE = [
    ("g(lambda x: {}[0]['w'].sum())(TREE)", "CHAIN.update(x, CHAIN.init(TREE), x)", ""),
    ("g(lambda x: {}[0]['w'].sum())(TREE)", "STEPS.update(x, MANY, x)", ""),
    ("g(lambda x: {}['w'].sum())(TREE)", "jax.tree.map(jnp.add, x, x)", "jax.tree.map(minijvp.numpy.add, x, x)"),
    ("g(lambda x: {}['w'])(PAIR)", "jax.tree.map(dot, x)", "jax.tree.map(minijvp.from_jax(dot), x)"),
    ("g(lambda x: {})(TREE)", "optax.tree.norm(x)", ""),
    ("g(lambda x: {}.sum())(DENSE.init(jax.random.key(0), X))", "DENSE.apply(x, X)", ""),
    ("g(lambda x: {})(X)", "optax.softmax_cross_entropy_with_integer_labels(x, 1)", ""),
    ("g(lambda x: {})(X)", "jnp.dot(X, x)", "minijvp.numpy.dot(X, x)"),
    ("g(lambda x: {})(X)", "X.dot(x)", ""),
    ("g(lambda x: {})(X)", "dot(x)", ""),
    ("g(lambda x: {}.sum())(X)", "power(2.0, x)", "minijvp.numpy.power(2.0, x)"),
    ("g(lambda x: {}.sum())(X)", "jax.vmap(lambda y: y * 2)(x)", "minijvp.vmap(lambda y: y * 2)(x)"),
    ("g(lambda x: {}.real.sum())(X)", "jnp.fft.fft(x)", "minijvp.numpy.fft.fft(x)"),
    ("g(lambda x: {})(X)", "jnp.linalg.norm(x)", "minijvp.numpy.linalg.norm(x)"),
    ("g(lambda x: {}[0].sum())(TREE)", "jax.flatten_util.ravel_pytree(x)", "minijvp.flatten_util.ravel_pytree(x)"),
    ("{}", "g(jax.nn.softplus)(1.0)", "g(minijvp.nn.softplus)(1.0)"),
    ("{}", "g(dot)(X)", "g(minijvp.from_jax(dot))(X)"),
    ("j(lambda x: {})(3)", "SCHEDULE(x)", ""),
    ("j(lambda x: {})(3)", "jax.nn.one_hot(x, 5)", "minijvp.nn.one_hot(x, 5)"),
    ("j(lambda x: {})(3)", "jax.random.fold_in(KEY, x)", "minijvp.random.fold_in(KEY, x)"),
    ("j(lambda x: {})(3)", "jax.random.key(x)", "minijvp.random.key(x)"),
    ("j(lambda x: {})(KEY)", "jax.random.split(x)", "minijvp.random.split(x)"),
    ("j(lambda x: {})(KEY)", "split(x)", "minijvp.random.split(x)"),
    ("j(lambda x: {})(KEY)", "jax.random.bernoulli(x, 0.5)", "minijvp.random.bernoulli(x, 0.5)"),
    ("j(lambda x: {})(KEY)", "DENSE.init(x, X)", ""),
]
"""Programs, calls of JAX in them, and what the message has in their place, if it is no call of from_jax."""

SCOPE = {
    **globals(),
    "KEY": jax.random.key(0),
    "MANY": STEPS.init(TREE),
    "PAIR": {"w": jnp.ones(2)},
    "power": jnp.power,
    "split": jax.random.split,
}


def evaluated(program: str, side: Any) -> Any:
    """What a program of one line gives, under transformations of minijvp or of JAX."""
    linecache.cache["/mistake.py"] = len(program), None, [program], "/mistake.py"
    return eval(compile(program, "/mistake.py", "eval"), {**SCOPE, "g": side.grad, "j": side.jit})


@pytest.mark.parametrize(("program", "call", "instead"), IN_PLACE)
def test_the_end_of_the_message_can_be_pasted(program: str, call: str, instead: str) -> None:
    with pytest.raises((ForeignFunctionError, TypeError)) as caught:
        evaluated(program.format(call), minijvp)
    text = str(caught.value)
    function, _, arguments = call.partition("(")
    instead = instead or f"minijvp.from_jax({function})({arguments}"
    assert text.endswith(f": {instead}") and "/mistake.py:1 (<" in text, text
    found, wanted = evaluated(program.format(instead), minijvp), evaluated(program.format(call), jax)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        assert a.dtype == b.dtype
        if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        np.testing.assert_allclose(a, b, 1e-12)


OTHERS = {
    "in its place: minijvp.numpy.linalg.norm(x)": lambda x: np.linalg.norm(x),
    "in its place: minijvp.numpy.add(...)": lambda x: jnp.add(
        x + x + x + x + x + x + x + x + x + x + x, x * x * x * x * x * x * x * x * x * x * x * x
    ),
    "and for an index: minijvp.numpy.asarray(x)[i]": lambda x: X[(3 * x).astype(int)],
    "is not traced: minijvp.numpy.asarray(x).at[i].set(v)": lambda x: X.at[(0 * x).astype(int)].set(1.0),
}


@pytest.mark.parametrize("ending", OTHERS)
def test_what_cannot_be_said_in_one_call(ending: str) -> None:
    with pytest.raises(ForeignFunctionError) as caught:
        jit(OTHERS[ending])(X)
    assert str(caught.value).endswith(ending)


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
