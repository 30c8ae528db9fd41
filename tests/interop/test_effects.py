"""Effects of JAX programs under minijvp: they happen, in the primal pass, inside loops and choices too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import minijvp


def in_scan(seen: list[float]) -> Callable[[Any], Any]:
    def step(c: Any, a: Any) -> Any:
        jax.debug.callback(lambda v: seen.append(float(v)), c)
        return c * a, None

    return lambda x: jax.lax.scan(step, x, jnp.arange(1.0, 4.0))[0]


def in_cond(seen: list[float]) -> Callable[[Any], Any]:
    def positive(x: Any) -> Any:
        jax.debug.callback(lambda v: seen.append(float(v)), x)
        return x * x

    return lambda x: jax.lax.cond(x > 0, positive, lambda x: x, x)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(("program", "expected", "slope"), [(in_scan, [2.0, 2.0, 4.0], 6.0), (in_cond, [2.0], 4.0)])
def test_callbacks_are_seen_once(program: Any, expected: list[float], slope: float, compiled: bool) -> None:
    seen: list[float] = []
    gradient = minijvp.grad(minijvp.from_jax(program(seen)))
    np.testing.assert_allclose((minijvp.jit(gradient) if compiled else gradient)(2.0), slope)
    jax.effects_barrier()
    assert seen == expected


def test_a_line_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    def fun(x: Any) -> Any:
        jax.debug.print("x = {} and {s}", x, s="text")
        return x * x

    assert float(minijvp.grad(minijvp.from_jax(fun))(3.0)) == 6.0
    jax.effects_barrier()
    assert capsys.readouterr().out == "x = 3.0 and text\n"


def test_python_functions_compute() -> None:
    def fun(x: Any) -> Any:
        scale = jax.pure_callback(np.sin, jax.ShapeDtypeStruct((), x.dtype), jax.lax.stop_gradient(x))
        return scale * x

    np.testing.assert_allclose(minijvp.grad(minijvp.from_jax(fun))(2.0), np.sin(2.0), rtol=1e-6)
    with pytest.raises(minijvp.MissingRuleError, match="pure_callback"):
        minijvp.grad(minijvp.from_jax(lambda x: jax.pure_callback(np.sin, jax.ShapeDtypeStruct((), x.dtype), x)))(2.0)
