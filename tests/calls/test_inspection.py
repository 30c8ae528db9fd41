"""debug.inspect: what is shown of values and of their derivatives, where, how often, and that nothing changes by it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import minijvp
import minijvp.numpy as mnp
from minijvp import ArgumentError, lax
from minijvp.calls import inspection
from tests.side_by_side import same

X = jnp.array([1.0, 2.0, 4.0], "float32")


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """What was shown since the last time that it was asked."""
    seen: list[str] = []
    monkeypatch.setattr(inspection, "show", seen.append)

    def read() -> list[str]:
        jax.effects_barrier()
        found, seen[:] = list(seen), []
        return found

    return read


def inspect(x: Any, name: str = "x") -> Any:
    return minijvp.debug.inspect(x, name, ordered=True)


def square(x: Any) -> Any:
    x = inspect(x)
    return (x * x).sum()


PRIMAL = "x: primal f32[3], min 1, max 4, mean 2.333, norm 4.583"
COTANGENT = "x: cotangent f32[3], min 2, max 8, mean 4.667, norm 9.165"
TANGENT = "x: tangent f32[3], min 1, max 1, mean 1, norm 1.732"


@pytest.mark.parametrize("compiled", [False, True])
def test_a_line_for_the_value_and_for_what_arrives(lines: Any, compiled: bool) -> None:
    run = minijvp.jit if compiled else lambda f: f
    same(run(square)(X), jnp.float32(21))
    assert lines() == [PRIMAL]
    same(run(minijvp.grad(square))(X), 2 * X)
    assert lines() == [PRIMAL, COTANGENT]
    same(run(lambda x: minijvp.vjp(square, x)[1](1.0)[0])(X), 2 * X)
    assert lines() == [PRIMAL, COTANGENT]
    ones = jnp.ones_like(X)
    for pushed in (
        lambda x: minijvp.jvp(square, (x,), (ones,))[1],
        lambda x: minijvp.linearize(square, x)[1](ones),
    ):
        same(run(pushed)(X), jnp.float32(14))
        assert sorted(lines()) == sorted([PRIMAL, TANGENT])


def test_gradients_that_recur_show_every_time(lines: Any) -> None:
    with minijvp.config(compile_gradients_after=1):
        for _ in range(4):
            minijvp.grad(square)(X)
            assert lines() == [PRIMAL, COTANGENT]


def test_a_value_whose_result_is_not_used_has_no_cotangent(lines: Any) -> None:
    minijvp.grad(lambda x: (inspect(x), x.sum())[1])(X)
    minijvp.grad(lambda x: inspect(mnp.ones(3, "float32")).sum() + x.sum())(X)
    assert [line.split(" f32")[0] for line in lines()] == ["x: primal", "x: primal"]


def test_lanes_are_shown_together(lines: Any) -> None:
    rows = jnp.stack([X, 2 * X])
    wanted = [
        "x: primal f32[3] in 2 lanes, min 1, max 8, mean 3.5, norm 10.25",
        "x: cotangent f32[3] in 2 lanes, min 2, max 16, mean 7, norm 20.49",
    ]
    for mapped in (
        minijvp.vmap(minijvp.grad(square)),
        minijvp.grad(lambda x: minijvp.vmap(square)(x).sum()),
        minijvp.vmap(minijvp.jit(minijvp.grad(square))),
        minijvp.jit(minijvp.vmap(minijvp.grad(square))),
    ):
        same(mapped(rows), 2 * rows)
        assert lines() == wanted
    minijvp.vmap(minijvp.vmap(inspect))(jnp.ones((2, 5), "float32"))
    assert lines() == ["x: primal f32[] in 2 x 5 lanes, min 1, max 1, mean 1, norm 3.162"]
    minijvp.vmap(lambda x: inspect(X) + x)(rows)
    assert lines() == [PRIMAL]


def in_scan(x: Any) -> Any:
    return lax.scan(lambda c, r: (inspect(c) * r, None), x, jnp.array([3.0, 2.0], "float32"))[0]


def in_while(x: Any) -> Any:
    return lax.while_loop(lambda c: c < 7, lambda c: inspect(c) * 2, x)


def in_unrolled(x: Any) -> Any:
    with minijvp.disable_jit():
        return in_while(x)


def in_inner_jit(x: Any) -> Any:
    body = minijvp.jit(lambda c: lax.cond(c < 100, lambda c: inspect(c) * 2, lambda c: c, c))
    return lax.while_loop(lambda c: c < 7, body, x)


WHILE = "primal 1, primal 2, primal 4, cotangent 2, cotangent 4, cotangent 8"
LOOPS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "scan": (in_scan, "primal 1, primal 3, cotangent 2, cotangent 6"),
    "while": (in_while, WHILE),
    "unrolled": (in_unrolled, WHILE),
    "programs inside": (in_inner_jit, WHILE),
    "fori_loop": (
        lambda x: lax.fori_loop(0, 2, lambda i, c: inspect(c) * 2, x),
        "primal 1, primal 2, cotangent 2, cotangent 4",
    ),
    "cond": (lambda x: lax.cond(x > 0, lambda x: inspect(x) * 3, lambda x: inspect(x), x), "primal 1, cotangent 3"),
    "jit": (minijvp.jit(lambda x: inspect(x) * 3), "primal 1, cotangent 3"),
    "checkpoint": (minijvp.checkpoint(lambda x: inspect(x) * 3), "primal 1, primal 1, cotangent 3"),
}


@minijvp.custom_vjp
def with_rule(x: Any) -> Any:
    return 3 * x


with_rule.defvjp(lambda x: (3 * inspect(x), None), lambda _, ct: (inspect(5 * ct, "ct"),))


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("name", LOOPS)
def test_turns_are_shown_once_in_the_order_of_the_two_passes(lines: Any, name: str, compiled: bool) -> None:
    fun, wanted = LOOPS[name]
    gradient = minijvp.grad(fun)
    (minijvp.jit(gradient) if compiled else gradient)(jnp.float32(1))
    assert ", ".join([f"{line.split()[1]} {line.split()[-1]}" for line in lines()]) == wanted


def test_rules_of_users_show_what_stands_in_them(lines: Any) -> None:
    assert float(minijvp.grad(with_rule)(jnp.float32(1))) == 5
    assert lines() == ["x: primal f32[], value 1", "ct: primal f32[], value 5"]
    minijvp.vmap(with_rule)(X)
    assert lines() == []


def test_second_derivatives_are_numbered_from_the_innermost(lines: Any) -> None:
    cube = lambda x: inspect(x) ** 3
    assert float(minijvp.grad(minijvp.grad(cube))(jnp.float32(2))) == 12
    assert lines() == [
        "x: primal f32[], value 2",
        "x: cotangent f32[], value 12",
        "x: cotangent (derivative 2) f32[], value 12",
    ]
    assert float(minijvp.hessian(cube)(jnp.float32(2))) == 12
    assert sorted(lines()) == [
        "x: cotangent f32[] in 1 lane, value 12",
        "x: primal f32[], value 2",
        "x: tangent (derivative 2) f32[] in 1 lane, value 1",
    ]


@pytest.mark.parametrize("transform", [lambda f: f, jax.jit])
def test_derivatives_of_jax_show_the_same(lines: Any, transform: Any) -> None:
    square_shown = minijvp.to_jax(lambda x: (minijvp.debug.inspect(x, "x") ** 2).sum())
    same(transform(jax.grad(square_shown))(X), 2 * X)
    assert sorted(lines()) == sorted([PRIMAL, COTANGENT])


def test_transposes_show_cotangents(lines: Any) -> None:
    (ct,) = minijvp.linear_transpose(lambda x: 3 * inspect(x), X)(X)
    same(ct, 3 * X)
    assert lines() == ["x: cotangent f32[3], min 3, max 12, mean 7, norm 13.75"]


def test_what_is_not_finite_is_counted_and_found(lines: Any) -> None:
    rows = jnp.array([[1.0, 0.0, 4.0], [-1.0, 4.0, 1.0]], "float32")
    minijvp.vmap(minijvp.grad(lambda x: mnp.sqrt(inspect(x)).sum()))(rows)
    inspect(jnp.array([[1.0, jnp.inf], [jnp.nan, -jnp.inf]]), "m")
    inspect(jnp.float32(jnp.nan), "s")
    inspect(jnp.float32(-jnp.inf), "s")
    assert lines()[1:] == [
        "x: cotangent f32[3] in 2 lanes, min 0.25, max 0.5, mean 0.375, norm 0.7906, "
        "2 of 6 not finite (1 nan, 1 inf), the first at lane 0, [1]",
        "m: primal f64[2,2], min 1, max 1, mean 1, norm 1, 3 of 4 not finite (1 nan, 2 inf), the first at [0, 1]",
        "s: primal f32[], 1 of 1 not finite (1 nan)",
        "s: primal f32[], 1 of 1 not finite (1 inf)",
    ]


def test_every_kind_of_number(lines: Any) -> None:
    tree = {
        "bool": jnp.array([True, False]),
        "complex": jnp.array([3 + 4j, 0]),
        "empty": jnp.zeros((0, 2)),
        "half": jnp.full(4, 300.0, "float16"),
        "huge": jnp.full(3, 3e38, "float32"),
        "int": jnp.array([2**53 + 1, -1]),
        "none": None,
        "number": 2.5,
    }
    result = inspect(tree, "p")
    same(result, tree)
    assert lines() == [
        "p['bool']: primal bool[2], min 0, max 1, mean 0.5, norm 1",
        "p['complex']: primal c128[2], min |x| 0, max |x| 5, mean 1.5+2j, norm 5",
        "p['empty']: primal f64[0,2], empty",
        "p['half']: primal f16[4], min 300, max 300, mean 300, norm 600",
        "p['huge']: primal f32[3], min 3e+38, max 3e+38, mean 3e+38, norm 5.196e+38",
        "p['int']: primal i64[2], min -1, max 9007199254740993, mean 4.504e+15, norm 9.007e+15",
        "p['number']: primal f64[], value 2.5",
    ]
    inspect(jnp.full(2, 1e-40, "float32"))  # which XLA may take for 0
    assert lines()[0].endswith("mean 0, norm 0")


@pytest.mark.parametrize("seed", range(5))
def test_statistics_are_those_of_numpy(lines: Any, seed: int) -> None:
    x = np.random.default_rng(seed).normal(size=(7, 5))
    inspect(jnp.asarray(x))
    mean, norm = x.mean(), np.linalg.norm(x)
    assert lines() == [f"x: primal f64[7,5], min {x.min():.4g}, max {x.max():.4g}, mean {mean:.4g}, norm {norm:.4g}"]


def test_values_and_programs_are_as_without(lines: Any) -> None:
    plain = lambda x: (mnp.sin(x) * x).sum()
    shown = lambda x: (inspect(mnp.sin(inspect(x)), "y") * x).sum()
    x = jnp.linspace(-2, 2, 33)
    same(minijvp.jit(minijvp.value_and_grad(shown))(x), minijvp.jit(minijvp.value_and_grad(plain))(x))
    same(minijvp.jit(minijvp.hessian(shown))(x), minijvp.jit(minijvp.hessian(plain))(x))
    lines()


def test_lines_go_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    minijvp.jit(minijvp.grad(square))(X)
    jax.effects_barrier()
    assert capsys.readouterr().out == f"{PRIMAL}\n{COTANGENT}\n"


def test_what_cannot_be_inspected_is_refused(lines: Any) -> None:
    with pytest.raises(ArgumentError, match=r"name=3 of type int(.|\n)*inspect\(x, \"x\"\)"):
        minijvp.debug.inspect(X, 3)
    with pytest.raises(ArgumentError, match=r"x\['a'\] of debug.inspect is 'text' of type str"):
        inspect({"a": "text", "b": 1.0})
    with pytest.raises(ArgumentError, match=r"x of debug.inspect is key<fry>\[\], a random key(.|\n)*key_data"):
        inspect(minijvp.random.key(0))
    assert lines() == []


def test_python_code_shows_the_same(lines: Any) -> None:
    code = minijvp.to_python(minijvp.grad(square))(X)
    lines()
    same(code.compile()(X), 2 * X)
    assert lines() == [PRIMAL, COTANGENT]
