"""What the text of a tracer says: its type, what is known of its value, and what is done to it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import minijvp
import minijvp.numpy as mnp
from minijvp import ConcretizationError, lax
from minijvp.extend import Trace, Tracer, current, current_trace, type_of

X = jnp.array([1.0, 2.0, 3.0], "float32")
D, TWICE = ", being differentiated>", ", being differentiated twice>"


def texts(transform: Callable[[Any], Any], *args: Any) -> list[str]:
    """What a function that is transformed sees of its argument and of a product of it."""
    seen: list[str] = []

    def look(x: Any) -> Any:
        seen.extend(map(repr, (x, x * 2)))
        assert [str(x), f"{x}"] == [seen[-2]] * 2
        return mnp.sum(x * x)

    transform(look)(*args)
    return seen


def pushed(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda x: minijvp.jvp(f, (x,), (x,))


grad, vmap = minijvp.grad, minijvp.vmap
CASES: dict[str, tuple[Callable[[Any], Any], Any, list[str]]] = {
    "grad": (grad, X, [f"<f32[3] [1. 2. 3.]{D}", f"<f32[3] [2. 4. 6.]{D}"]),
    "jvp": (pushed, X, [f"<f32[3] [1. 2. 3.]{D}", f"<f32[3] [2. 4. 6.]{D}"]),
    "linearize": (lambda f: lambda x: minijvp.linearize(f, x), X[0], [f"<f32[] 1.0{D}", f"<f32[] 2.0{D}"]),
    "grad of grad": (lambda f: grad(grad(f)), X[1], [f"<f32[] 2.0{TWICE}", f"<f32[] 4.0{TWICE}"]),
    "jvp of grad": (lambda f: pushed(grad(f)), X[1], [f"<f32[] 2.0{TWICE}", f"<f32[] 4.0{TWICE}"]),
    "vmap": (vmap, X, ["<f32[], one of 3 lanes: [1. 2. 3.]>", "<f32[], one of 3 lanes: [2. 4. 6.]>"]),
    "vmap of vmap": (
        lambda f: vmap(vmap(f)),
        X[:2, None],
        [
            "<f32[], one of 2 x 1 lanes: [[1.] [2.]]>",
            "<f32[], one of 2 x 1 lanes: [[2.] [4.]]>",
        ],
    ),
    "vmap of grad": (
        lambda f: vmap(grad(f)),
        X[:2],
        [
            f"<f32[], one of 2 lanes: [1. 2.]{D}",
            f"<f32[], one of 2 lanes: [2. 4.]{D}",
        ],
    ),
    "grad of vmap": (
        lambda f: grad(lambda x: vmap(f)(x).sum()),
        X[:2],
        [
            f"<f32[], one of 2 lanes: [1. 2.]{D}",
            f"<f32[], one of 2 lanes: [2. 4.]{D}",
        ],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_values_that_are_known_are_shown(name: str) -> None:
    transform, x, wanted = CASES[name]
    assert texts(transform, x) == wanted


def test_programs_show_types_and_lines() -> None:
    first, second = texts(minijvp.jit, X)
    assert first == "<f32[3], in the staging of look>"
    assert re.fullmatch(r"<f32\[3\], in the staging of look, made at .*test_tracer_text.py:\d+ \(look\): .*>", second)
    inside = texts(lambda f: lambda x: lax.scan(lambda c, r: (c, f(r)), 0.0, x)[1], X)
    assert inside[0] == "<f32[], in the staging of <lambda>>"


def test_values_of_programs_of_jax_are_not_known() -> None:
    seen = []
    jax.jit(lambda x: pushed(lambda y: (seen.append(repr(y)), y)[1])(x)[0])(X)
    assert seen == ["<f32[3], being differentiated, traced by JAX>"]


def test_gradients_that_recur_show_values() -> None:
    with minijvp.config(compile_gradients_after=1):
        for n in (1.0, 2.0, 3.0):
            assert texts(grad, n * X[0]) == [f"<f32[] {n}{D}", f"<f32[] {2 * n}{D}"]


def test_constants_are_no_more_than_that() -> None:
    seen = []
    vmap(lambda x: (seen.append(repr(mnp.sin(mnp.zeros(2)))), x)[1])(X)
    grad(lambda x: (seen.append(str(mnp.sin(mnp.zeros(2)))), x)[1])(1.0)
    with minijvp.config(compile_gradients_after=None):
        grad(lambda x: (seen.append(repr(mnp.int32(3))), x)[1])(1.0)
    assert seen == ["Array([0., 0.], dtype=float64)", "[0. 0.]", "<i32[] 3>"]


def test_large_arrays_show_their_ends_in_one_line() -> None:
    (text, _) = texts(grad, jnp.arange(100.0).reshape(10, 10))
    assert text.startswith("<f64[10,10] [[0. 1. 2. ... 7. 8. 9.] [10. 11. 12. ... 17. 18. 19.]")
    assert "\n" not in text


def test_what_has_no_numbers_shows_its_type() -> None:
    seen = []
    vmap(lambda k: (seen.append(repr(k)), 1.0)[1])(jax.random.split(jax.random.key(0), 3))
    x = jnp.ones(2) * 2
    minijvp.jvp(lambda y: (x.delete(), seen.append(repr(y)), 1.0)[-1], (x,), (jnp.ones(2),))
    assert seen == ["<key<fry>[], one of 3 lanes>", f"<f64[2]{D}"]


def test_tracers_that_escaped_say_so() -> None:
    kept: list[Any] = []
    grad(lambda x: (kept.append(x), x * x)[1])(2.0)
    vmap(lambda x: (kept.append(x), x)[1])(X)
    assert list(map(repr, kept)) == [
        "<f64[]*, escaped from a linearization (grad, vjp, linearize)>",
        "<f32[], escaped from a vmap of size 3>",
    ]


def test_tracers_of_others_show_their_transformation() -> None:
    class Named(Tracer):
        __slots__ = ("value",)

        def __init__(self, owner: Any, value: Any):
            self.owner, self.value = owner, value

        type = property(lambda self: type_of(self.value))

    class Naming(Trace):
        def __init__(self, parent: Any):
            self.parent = parent

    with current(Naming(current_trace())) as trace:
        assert repr(Named(trace, 1.0)) == "<f64[]*, in Naming>"


def formats(transform: Callable[[Any], Any], *args: Any) -> list[str]:
    seen: list[str] = []

    def look(x: Any) -> Any:
        seen.append(f"{x:.3f}|{x:>8.1e}|{x * 3:+}")
        return x * x

    transform(look)(*args)
    return seen


@pytest.mark.parametrize("transform", [grad, pushed, lambda f: grad(grad(f)), lambda f: f])
def test_known_numbers_take_formats(transform: Any) -> None:
    with minijvp.config(compile_gradients_after=1):
        for x in (jnp.float32(1.5), jnp.float64(-2.25)):
            expected = f"{x:.3f}|{x:>8.1e}|{x * 3:+}"
            for _ in range(3):
                assert formats(transform, x) == [expected]


def test_formats_are_those_of_numpy() -> None:
    seen = []

    def look(x: Any) -> Any:
        seen.extend([f"{x > 1}", f"{mnp.round(x).astype(int):05d}"])
        for y in (X, x * X):
            with pytest.raises(TypeError, match=r"unsupported format string passed to numpy.ndarray.__format__"):
                f"{y:.3f}"
        return x

    grad(look)(2.0)
    assert seen == ["True", "00002"]


@pytest.mark.parametrize(
    "transform",
    [
        minijvp.jit,
        vmap,
        lambda f: minijvp.jit(grad(lambda x: f(x).sum())),
        lambda f: jax.jit(lambda x: pushed(f)(x)[0]),
    ],
)
def test_formats_of_unknown_values_are_refused(transform: Any) -> None:
    message = (
        r"a format of Python's, .* needs the value of a traced f32\[3?\](.|\n)*minijvp.debug.print\(.{x:.3f}., x=x\)"
    )
    with pytest.raises(ConcretizationError, match=message):
        transform(lambda x: (f"{x:.3f}", x)[1])(X)


def test_rules_of_eager_gradients_format_their_values() -> None:
    seen = []

    @minijvp.custom_vjp
    def f(x: Any) -> Any:
        return x * x

    f.defvjp(lambda x: (f(x), (seen.append(f"{x:.2f}"), x)[1]), lambda x, ct: (2 * x * ct,))
    assert [float(grad(f)(x)) for x in (1.0, 3.0)] == [2, 6]
    assert list(dict.fromkeys(seen)) == ["1.00", "3.00"]
    assert np.isfinite(float(f(2.0)))
