"""Code that asks what a value is, and does something else where it is no array: a tracer is one."""

from __future__ import annotations

from functools import singledispatch
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import minijvp
import minijvp.numpy as mnp
from minijvp.core.tracer import is_known, is_traced, is_tracer_of_jax
from minijvp.core.types import type_of
from tests.side_by_side import same

X = jnp.array([0.5, -1.5, 2.0])


@singledispatch
def doubled(x: Any) -> Any:
    raise TypeError(type(x))


@doubled.register
def _(x: jax.Array) -> Any:
    return 2 * x


GUARDS = {
    "jax.Array": lambda x: x * x if isinstance(x, jax.Array) else 0.0,
    "jnp.ndarray": lambda x: x * x if isinstance(x, jnp.ndarray) else 0.0,
    "mnp.ndarray": lambda x: x * x if isinstance(x, mnp.ndarray) else 0.0,
    "several": lambda x: x * x if isinstance(x, (np.ndarray, jax.Array)) else np.asarray(x) * 0.0,
    "match": lambda x: matched(x),
    "singledispatch": lambda x: x * doubled(x) / 2,
}
if isinstance(minijvp.answers.ArrayTracer, type) and issubclass(minijvp.answers.ArrayTracer, jax.core.Tracer):
    GUARDS["jax.core.Tracer"] = lambda x: x * x if isinstance(x, (jax.core.Tracer, np.ndarray)) else np.asarray(x) ** 2


def matched(x: Any) -> Any:
    match x:
        case jax.Array():
            return x * x
        case _:
            return 0.0


WORDS = {
    "grad": lambda f: minijvp.grad(lambda x: mnp.sum(f(x)))(X),
    "jvp": lambda f: minijvp.jvp(f, (X,), (jnp.ones(3),))[1],
    "vmap": lambda f: 2 * minijvp.vmap(f)(X) / X,
    "jit": lambda f: 2 * minijvp.jit(f)(X) / X,
    "jit-grad": lambda f: minijvp.jit(minijvp.grad(lambda x: mnp.sum(f(x))))(X),
    "scan": lambda f: minijvp.grad(lambda x: mnp.sum(minijvp.lax.scan(lambda c, _: (f(c), None), x, None, 1)[0]))(X),
}


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("guard", GUARDS)
def test_the_guarded_branch_is_the_one_of_arrays(guard: str, word: str) -> None:
    same(WORDS[word](GUARDS[guard]), 2 * X)


def test_gradients_that_recur_are_guarded_alike() -> None:
    with minijvp.config(compile_gradients_after=1):
        for _ in range(3):
            same(WORDS["grad"](GUARDS["jax.Array"]), 2 * X)


def test_tracers_are_told_apart_all_the_same() -> None:
    seen: list[Any] = []
    minijvp.grad(lambda x: seen.append(x) or mnp.sum(x))(X)
    jax.jit(lambda x: seen.append(x) or x)(X)
    ours, theirs = seen
    assert [is_traced(x) for x in (ours, theirs, X, 1.0)] == [True, True, False, False]
    assert [is_tracer_of_jax(x) for x in (ours, theirs, X)] == [False, True, False]
    assert [is_known(x) for x in (ours, theirs, X, np.ones(2), 1.0)] == [False, False, True, True, False]
    assert isinstance(ours, minijvp.Tracer) and not isinstance(theirs, minijvp.Tracer)
    assert ours.aval == jax.typeof(X) and type_of(ours) == type_of(X)
