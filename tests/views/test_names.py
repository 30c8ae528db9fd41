"""Values have the names that the user's lines give them, where it is plain which value has which."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import minijvp
import minijvp.numpy as mnp
from minijvp.views.names import names_in_forward, names_of
from minijvp.views.programs import gradient_programs

X = jnp.linspace(0.1, 1.0, 6, dtype=jnp.float32)


def plain(x: Any) -> Any:
    product = mnp.sin(x) * x
    total = product.sum(
        axis=0
    )  # fmt: skip
    shifted: Any = product - total; scaled = shifted * 2  # noqa: E702 # fmt: skip
    return mnp.cos(scaled)


def several_equations(x: Any) -> Any:
    mean = mnp.mean(x)
    return mean * 2


def twice(x: Any) -> Any:
    y = mnp.sin(x)
    y = mnp.cos(y)
    return y * 2


def in_a_loop(x: Any) -> Any:
    for _ in range(3):
        inner = mnp.sin(x)
        x = inner
    return x


def several_results(x: Any) -> Any:
    halves = mnp.split(x, 2)
    low, high = halves
    return low * high


def no_assignments(x: Any) -> Any:
    x += mnp.sin(x)
    if (same := mnp.cos(x)) is x:
        return same
    return mnp.where(x == 1, mnp.tanh(same), x)


@pytest.mark.parametrize(
    ("fun", "names"),
    [
        (plain, {"product": "mul", "total": "reduce_sum", "shifted": "sub", "scaled": "mul"}),
        (several_equations, {"mean": "div"}),
        (twice, {}),
        (in_a_loop, {}),
        (several_results, {}),
        (no_assignments, {}),
        (minijvp.grad(lambda x: plain(x).sum()), {}),
        (
            minijvp.vmap(lambda x: plain(mnp.atleast_1d(x))),
            {"product": "mul", "total": "reduce_sum", "shifted": "sub", "scaled": "mul"},
        ),
    ],
)
def test_names(fun: Any, names: dict[str, str]) -> None:
    jaxpr = minijvp.make_jaxpr(fun)(X)
    made_by = {v: e.primitive.name for e in jaxpr for v in e.outputs}
    found = names_of(jaxpr)
    assert {name: made_by[v] for v, name in found.items()} == names
    assert not names_of(jaxpr, list(names))


def test_names_in_the_forward_program_of_a_gradient() -> None:
    def f(x: Any) -> Any:
        y = mnp.tanh(x)
        z = y * y
        return mnp.sum(z)

    jaxpr = minijvp.make_jaxpr(f)(X)
    forward = gradient_programs(jaxpr).forward
    made_by = {v: e.primitive.name for e in forward for v in e.outputs}
    assert {name: made_by[v] for v, name in names_in_forward(forward, jaxpr).items()} == {"y": "tanh", "z": "mul"}


def test_names_in_python() -> None:
    def f(x: Any) -> Any:
        hidden = mnp.sin(x) * 2
        sum = hidden + 1  # taken: Python's own
        return sum * hidden

    code = minijvp.to_python(f)(X)
    assert "    hidden = a * 2.0 " in code.source and "\n    sum = " not in code.source
    assert (code.compile()(X) == f(X)).all()


def test_names_in_python_around_loops() -> None:
    def f(x: Any) -> Any:
        xs = mnp.sin(x)
        return minijvp.lax.scan(lambda c, r: (c + r * xs.sum(), c), 0.0, xs)

    code = minijvp.to_python(f)(X)
    assert "    xs = jnp.sin(x)" in code.source
    for out, wanted in zip(code.compile()(X), f(X), strict=True):
        np.testing.assert_allclose(out, wanted, rtol=1e-6)


def test_letters_that_are_names_of_arguments_are_not_used_again() -> None:
    trace = minijvp.reverse_trace(lambda x, y, d: x * y * d, 1.0, 2.0, 3.0)
    assert [node.name for node in trace.nodes] == ["x", "y", "d", "d_", "e"]

    def f(x: Any) -> Any:
        d = mnp.sin(x)
        return mnp.cos(d) * x + d

    names = [node.name for node in minijvp.reverse_trace(f, 1.0).nodes]
    assert names == ["x", "d", "c", "d_", "e"]


def test_names_inside_of_calls() -> None:
    @minijvp.jit
    def layer(x: Any) -> Any:
        hidden = mnp.sin(x)
        return hidden * 2

    def f(x: Any) -> Any:
        out = layer(x)
        return out + 1

    names = [node.name for node in minijvp.forward_trace(f, (1.0,), (1.0,), unfold=True).nodes]
    assert names == ["x", "out", "out.hidden", "out.c", "c"]
    assert "hidden, f32[]" in minijvp.draw(f, X[0], unfold=True).svg
