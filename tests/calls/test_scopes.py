"""Scopes: names for operations in what XLA shows, values at once while tracing, and functions without their jit."""

from __future__ import annotations

import re
from typing import Any

import jax
import jax.numpy as jnp
import pytest

import minijvp
import minijvp.numpy as mnp
from minijvp import ArgumentError, ConcretizationError


def f(x: Any) -> Any:
    with minijvp.named_scope("outer"):
        y = mnp.sin(x)
        with minijvp.named_scope("inner"):
            y = mnp.tanh(y)
    return minijvp.named_call(mnp.exp, name="called")(y)


@pytest.mark.parametrize("fun", [f, minijvp.grad(f), minijvp.jit(minijvp.vmap(f, axis_size=1, in_axes=None))])
def test_operations_and_their_derivatives_have_names(fun: Any) -> None:
    text = minijvp.jit(fun).lower(1.0).as_text(debug_info=True)
    for name in (r"outer\)*/sin", r"outer\)*/inner/tanh", r"called\)*/exp"):
        assert re.search(name, text)
    assert not re.search(r"outer\)*/called", text)


def test_scopes_are_left_and_refuse_what_is_no_name() -> None:
    scope = minijvp.named_scope("again")
    text = minijvp.jit(lambda x: (scope(mnp.sin)(x), scope(mnp.cos)(x), mnp.tan(x))).lower(1.0).as_text(debug_info=True)
    assert "again/sin" in text
    assert "again/cos" in text
    assert "again/tan" not in text
    with pytest.raises(ArgumentError, match="received 3"):
        minijvp.named_scope(3)  # type: ignore[arg-type]


def test_values_at_once() -> None:
    @minijvp.ensure_compile_time_eval()
    def count() -> int:
        return int(mnp.sum(mnp.arange(4)))

    program = lambda x: x ** count()
    for transformed in (minijvp.jit(program), jax.jit(minijvp.to_jax(program))):
        assert float(transformed(2.0)) == 64.0

    @minijvp.ensure_compile_time_eval()
    def of_traced(x: Any) -> Any:
        return mnp.sin(x)

    for transformed in (minijvp.jit(of_traced), minijvp.grad(lambda x: of_traced(x).sum()), minijvp.vmap(of_traced)):
        with pytest.raises(ConcretizationError, match="ensure_compile_time_eval met a traced"):
            transformed(jnp.ones(1))


def test_functions_without_their_jit() -> None:
    seen: list[Any] = []
    fun = minijvp.jit(lambda x: (seen.append(type(x)), x * x)[1])
    fun(3.0)
    with minijvp.disable_jit():
        assert float(fun(3.0)) == 9.0
        assert seen[-1] is float
        assert float(minijvp.grad(lambda x: fun(x) if x > 0 else x)(3.0)) == 6.0
        assert float(minijvp.grad(minijvp.jit(lambda x: x * x if x > 0 else x))(3.0)) == 6.0
    with pytest.raises(ConcretizationError):
        minijvp.jit(lambda x: x * x if x > 0 else x)(3.0)
