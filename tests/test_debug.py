"""debug.print and debug.callback under every transformation and in every loop: what is printed, how often, and when."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import pytest

import minijvp
import minijvp.numpy as mnp

X = jnp.float32(2)
LANES = jnp.array([1.5, 2.0], "float32")


def show(api: Any, text: str, *values: Any) -> None:
    api.debug.print(text, *values, ordered=api is not jax)


def programs(api: Any, np: Any) -> dict[str, Callable[[Any], Any]]:
    """Functions that print, of a number."""

    def body(c: Any, r: Any) -> Any:
        show(api, "c={} r={}", c, r)
        return c * r, c

    def turn(c: Any) -> Any:
        show(api, "c={}", c)
        return c * 3

    def branch(text: str, sign: int) -> Any:
        return lambda x: (show(api, text + " {}", x), sign * x)[1]

    rows = np.array([1.0, 2.0, 3.0], "float32")
    return {
        "straight": lambda x: (show(api, "x={} y={:.3f}", x, np.sin(x)), x * x)[1],
        "scan": lambda x: api.lax.scan(body, x, rows)[0],
        "reverse": lambda x: api.lax.scan(body, x, rows, reverse=True)[0],
        "while": lambda x: api.lax.while_loop(lambda c: c < 20, turn, x),
        "fori_loop": lambda x: api.lax.fori_loop(0, 3, lambda i, c: (show(api, "i={} c={}", i, c), c * x)[1], x),
        "cond": lambda x: api.lax.cond(x > 1, branch("above", 2), branch("below", -1), x),
        "switch": lambda x: api.lax.switch(1, [branch("first", 1), branch("second", 2)], x),
        "map": lambda x: api.lax.map(lambda r: turn(r) * x, rows).sum(),
        "jit": api.jit(turn),
        "jit in scan": lambda x: api.lax.scan(lambda c, r: (api.jit(turn)(c), None), x, rows)[0],
    }


OURS, THEIRS = programs(minijvp, mnp), programs(jax, jnp)
TRANSFORMATIONS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "none": lambda api, f, x: f(x),
    "jit": lambda api, f, x: api.jit(f)(x),
    "jvp": lambda api, f, x: api.jvp(f, (x,), (x,)),
    "linearize": lambda api, f, x: api.linearize(f, x)[1](x),
    "grad": lambda api, f, x: api.grad(f)(x),
    "grad, jit": lambda api, f, x: api.jit(api.grad(f))(x),
    "grad of grad": lambda api, f, x: api.grad(api.grad(f))(x),
    "hessian, jit": lambda api, f, x: api.jit(api.hessian(f))(x),
}


def printed(capsys: pytest.CaptureFixture[str], run: Callable[[], Any]) -> list[str]:
    jax.block_until_ready(run())
    jax.effects_barrier()
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("transformation", TRANSFORMATIONS)
@pytest.mark.parametrize("name", OURS)
def test_lines_are_those_of_the_function_once(name: str, transformation: str, capsys: Any) -> None:
    expected = printed(capsys, lambda: jax.jit(THEIRS[name])(X))
    assert expected
    transform = TRANSFORMATIONS[transformation]
    assert printed(capsys, lambda: transform(minijvp, OURS[name], X)) == expected


@pytest.mark.parametrize("transformation", ["none", "jit", "grad", "grad, jit"])
@pytest.mark.parametrize("name", [name for name in OURS if name != "switch"])
def test_lines_are_those_of_each_lane(name: str, transformation: str, capsys: Any) -> None:
    transform = TRANSFORMATIONS[transformation]
    expected = [line for x in LANES for line in printed(capsys, lambda x=x: jax.jit(THEIRS[name])(x))]
    run = lambda: minijvp.vmap(lambda x: transform(minijvp, OURS[name], x))(LANES)
    found = printed(capsys, run)
    # What is the same in all lanes is printed once.
    assert sorted(set(found)) == sorted(set(expected))
    assert len(found) == (len(expected) if name != "map" else len(expected) // 2)


@pytest.mark.parametrize("transformation", TRANSFORMATIONS)
@pytest.mark.parametrize("name", ["straight", "scan", "cond"])
def test_functions_of_jax_print_the_same(name: str, transformation: str, capsys: Any) -> None:
    expected = printed(capsys, lambda: jax.jit(THEIRS[name])(X))
    transform = TRANSFORMATIONS[transformation]
    found = printed(capsys, lambda: transform(minijvp, minijvp.from_jax(THEIRS[name]), X))
    assert sorted(found) == sorted(expected)


ARGUMENTS: dict[str, Callable[[Any, Any], Any]] = {
    "names": lambda show, x: show("a {} b {b:.2f} {{}}", x, b=x * 3),
    "trees": lambda show, x: show("{a[k]} {b[1]}", a={"k": x}, b=(1, "text")),
    "places": lambda show, x: show("{0} {0}", x),
    "too few": lambda show, x: show("{} {}", x),
    "too many": lambda show, x: show("{}", x, 3),
    "no text": lambda show, x: show(3),
    "braces": lambda show, x: show("{", x),
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_arguments_are_those_of_jax(name: str, capsys: Any) -> None:
    def result(api: Any, run: Callable[[Any, Any], Any]) -> Any:
        fun = lambda x: (ARGUMENTS[name](api.debug.print, x), x * x)[1]
        try:
            return printed(capsys, lambda: run(api, fun))
        except Exception as error:
            return type(error)

    for transform in (lambda api, f: f(X), lambda api, f: api.grad(f)(X), lambda api, f: api.jit(api.vmap(f))(LANES)):
        assert result(minijvp, transform) == result(jax, transform)
