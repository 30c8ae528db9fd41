"""Functions that from_jax cannot bridge: errors that name the line of the user, and the next call works."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import minijvp
import minijvp.numpy as mnp
from tests.side_by_side import same

X = jnp.array([0.3, -1.2, 2.0])
LEFT: list[Any] = []


def bends(x: Any) -> Any:
    if x[0] > 0:  # the line
        return (x**2).sum()
    return -x.sum()


def asks_for_a_number(x: Any) -> Any:
    return x.sum() * float(x[0])  # the line


def counts_by_a_value(x: Any) -> Any:
    return sum(x[i] for i in range(int(x[2])))  # the line


def asks_for_an_array(x: Any) -> Any:
    return np.sin(np.asarray(x)).sum() + x.sum()  # the line


def selects_by_a_mask(x: Any) -> Any:
    return x[x > 0].sum()  # the line


def indexes_a_list(x: Any) -> Any:
    return [1.0, 2.0, 3.0][x.astype(int)[2]] * x.sum()  # the line


UNTRACEABLE = [bends, asks_for_a_number, counts_by_a_value, asks_for_an_array, selects_by_a_mask, indexes_a_list]
WORDS: dict[str, Callable[..., Any]] = {
    "grad": minijvp.grad,
    "jvp": lambda f: lambda x: minijvp.jvp(f, (x,), (x,)),
    "jit": minijvp.jit,
    "vmap": lambda f: lambda x: minijvp.vmap(f)(x[None]),
}


def next_call_works() -> None:
    same(minijvp.grad(minijvp.from_jax(lambda x: (x**2).sum()))(X), 2 * X)
    same(minijvp.grad(lambda x: (x**2).sum())(X), 2 * X)


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("fun", UNTRACEABLE, ids=lambda f: f.__name__)
def test_a_function_that_needs_values(fun: Callable[..., Any], word: str) -> None:
    bridged = minijvp.from_jax(fun)
    with pytest.raises(minijvp.ArgumentError) as raised:
        WORDS[word](bridged)(X)
    assert fun.__name__ in raised.value.what
    assert "test_bad_inputs.py" in raised.value.what
    assert "# the line" in raised.value.what
    assert "jnp.where" in raised.value.do
    assert bridged(X) is not None  # with nothing traced there are values
    next_call_works()


def test_a_value_that_is_left_behind() -> None:
    """A side effect: what it stores is no number, and using it later is an error of minijvp."""

    def stores(x: Any) -> Any:
        LEFT.append(x * 2)
        return x.sum()

    def uses(x: Any) -> Any:
        return (x * LEFT[-1]).sum()

    LEFT.clear()
    minijvp.grad(minijvp.from_jax(stores))(X)
    assert isinstance(LEFT[0], jax.core.Tracer)
    with pytest.raises(minijvp.EscapedTracerError, match="uses") as raised:
        minijvp.grad(minijvp.from_jax(uses))(X)
    assert "left behind" in raised.value.what
    LEFT.clear()
    next_call_works()


FOREIGN = {
    "a function": lambda x: jnp.sin(x).sum(),
    "a reduction": lambda x: jnp.dot(x, jnp.ones(3)),
    "a library": lambda x: jax.nn.softmax(x)[0],
    "a transformation": lambda x: jax.grad(lambda y: (y**2).sum())(x).sum(),
    "a loop": lambda x: jax.lax.fori_loop(0, 2, lambda i, c: c * 2, x).sum(),
    "an index": lambda x: jnp.ones((3, 3)).at[0].set(x).sum(),
    "NumPy": lambda x: np.sin(x).sum(),
    "a compiled function": lambda x: jax.jit(lambda y: y * 2)(x).sum(),
}
INSTEAD = {
    "a library": "minijvp.nn.softmax",
    "a transformation": "minijvp.grad",
    "a loop": "minijvp.lax.fori_loop",
    "a compiled function": "minijvp.jit",
}


@pytest.mark.parametrize("case", FOREIGN)
def test_a_tracer_in_a_function_of_jax(case: str) -> None:
    for word in ("grad", "jit"):
        with pytest.raises(minijvp.MinijvpError) as raised:
            WORDS[word](FOREIGN[case])(X)
        assert INSTEAD.get(case, "minijvp.numpy") in raised.value.do
    next_call_works()


def test_an_unhashable_leaf() -> None:
    class Options:
        __hash__ = None  # type: ignore[assignment]

    bridged = minijvp.from_jax(lambda x, options: x.sum())
    with pytest.raises(minijvp.ArgumentError, match="has none") as raised:
        minijvp.grad(bridged)(X, {"a": Options()})
    assert "options['a']" in raised.value.what
    next_call_works()


def test_errors_of_the_function_come_through() -> None:
    """What JAX or the function itself has against the arguments is said in their own words."""

    def fails(x: Any, n: int) -> Any:
        if n > 2:
            raise LookupError("no such n")
        return x.reshape(n)

    bridged = minijvp.from_jax(fails)
    with pytest.raises(LookupError, match="no such n"):
        minijvp.grad(bridged)(X, 3)
    with pytest.raises(TypeError, match="reshape"):
        minijvp.grad(bridged)(X, 2)
    next_call_works()


def test_what_is_no_function() -> None:
    with pytest.raises(minijvp.ArgumentError, match="from_jax received 3, which cannot be called"):
        minijvp.from_jax(3)


def test_results_that_are_no_arrays() -> None:
    fun = lambda x: (mnp.sin(x), "text")
    for word, bridged in ((minijvp.jit, minijvp.from_jax(fun)), (jax.jit, minijvp.to_jax(fun))):
        with pytest.raises(minijvp.ArgumentError, match="text"):
            word(bridged)(X)
    next_call_works()
