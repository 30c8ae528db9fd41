"""Functions with a rule for tangents, against jax.custom_jvp."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import tree_map

import minijvp
import minijvp.numpy as mnp
from minijvp.core.types import is_inexact
from minijvp.custom_rules.custom_jvp import custom_jvp_call
from minijvp.custom_rules.deferred import Deferred
from minijvp.transforms.staging import argument_type, stage
from tests.side_by_side import same
from tests.test_compositions import JAX, OURS, WORDS, Side, assert_same, jit, point, transformed

X, V = jnp.array([0.3, -1.2, 2.0]), jnp.array([1.0, 0.5, -2.0])


class CustomJVP:
    """What jax.custom_jvp makes, of functions of flat arguments: `fun(*xs) -> list`, `rule(xs, ts) -> (list, list)`.

    `ts` has tangents for the inexact arguments, and the second list for the inexact results.
    """

    def __init__(self, fun: Callable[..., Any], rule: Callable[..., Any], deferred: bool = True):
        self.fun, self.rule, self.deferred = fun, rule, deferred
        self.params = cache(self.params)

    def params(self, types: tuple) -> dict[str, Any]:
        tangent_types = [t.strong() for t in types if is_inexact(t.dtype)]

        def rule(*xs: Any) -> list[Any]:
            outs, ts = self.rule(xs[: len(types)], xs[len(types) :])
            return [*outs, *ts]

        deferred = Deferred(lambda: stage(rule, [*types, *tangent_types], "rule"))
        params = dict(jaxpr=stage(self.fun, types, "fun"), rule=deferred if self.deferred else deferred())
        return dict(params, name="fun")

    def __call__(self, *xs: Any) -> tuple[Any, ...]:
        return custom_jvp_call(*xs, **self.params(tuple(map(argument_type, xs))))


def custom(side: Side, fun: Callable[..., Any], rule: Callable[..., Any]) -> Callable[..., Any]:
    if side is OURS:
        return CustomJVP(fun, rule)
    theirs = jax.custom_jvp(fun)

    @theirs.defjvp
    def jvp(xs: Any, ts: Any) -> Any:
        outs, found = rule(xs, [t for t in ts if t.dtype != jax.dtypes.float0])
        rest = iter(found)
        zeros = [None if is_inexact(x.dtype) else np.zeros(x.shape, jax.dtypes.float0) for x in outs]
        return outs, [next(rest) if z is None else z for z in zeros]

    return theirs


# Programs for the words of transformations: of a side, a function (x, n) -> tree.


def scaled_sine(side: Side) -> Callable[..., Any]:
    """The rule has another slope than the function, so that it is seen which one is used; one result is an integer."""
    xp = side.xp

    def rule(primals: Any, ts: Any) -> Any:
        (x, y, n), (t_x, t_y) = primals, ts
        return [xp.sin(x) * y * n, n + 1], [3.0 * xp.cos(x) * t_x * y * n + t_y * xp.sin(x) * x]

    fun = custom(side, lambda x, y, n: [xp.sin(x) * y * n, n + 1], rule)

    def program(x: Any, n: Any) -> Any:
        out, m = fun(x, x[0] * x, n + 1)
        return fun(x, xp.array([2.0, 3.0]), n)[0] + out * m

    return program


def own_function_in_rule(side: Side, slope: float = 2.0, deferred: bool = True) -> Callable[..., Any]:
    def rule(primals: Any, ts: Any) -> Any:
        (out,) = expo(*primals)
        return [out], [slope * out * ts[0]]

    expo = custom(side, lambda x: [side.xp.exp(x)], rule)
    return lambda x, n: expo(x)[0] * n


def both_programs(side: Side) -> Callable[..., Any]:
    first, second = scaled_sine(side), own_function_in_rule(side)
    return lambda x, n: (first(x, n), second(x, n))


@cache
def expected(program: Callable[..., Any], word: tuple) -> Any:
    return jax.jit(transformed(JAX, program, word))(*point(program))


@pytest.mark.parametrize("word", WORDS, ids=lambda word: "-".join(letter.__name__ for letter in word))
def test_word(word: tuple) -> None:
    found = transformed(OURS, both_programs, word)(*point(both_programs))
    wanted = expected(both_programs, tuple(letter for letter in word if letter is not jit))
    tree_map(assert_same, found, wanted)


@pytest.mark.parametrize("derivative", ["grad", "jacfwd"])
def test_higher_orders_by_a_rule_that_calls_its_function(derivative: str) -> None:
    ours, theirs = [lambda x, side=side: own_function_in_rule(side)(x, 1.0) for side in (OURS, JAX)]
    for order in range(1, 4):
        ours, theirs = getattr(minijvp, derivative)(ours), getattr(jax, derivative)(theirs)
        same(ours(0.5), theirs(0.5))
        same(minijvp.jit(ours)(0.5), theirs(0.5))
        same(minijvp.vmap(ours)(X), jax.vmap(theirs)(X))
        np.testing.assert_allclose(ours(0.5), 2.0**order * np.exp(0.5), rtol=1e-12)


# Rules as plain programs, and what is special about them


def double(slope: Callable[..., Any], fun: Callable[..., Any] = lambda x: [x + x]) -> Callable[..., Any]:
    """x + x, whose tangent is what `slope(x, t)` says; the rule is a jaxpr."""
    made = CustomJVP(fun, lambda xs, ts: (fun(*xs), [slope(*xs, *ts)]), deferred=False)
    return lambda *xs: made(*xs)[0]


def test_no_tangent_no_rule() -> None:
    fun = double(lambda x, t: t * mnp.nan)
    same(fun(X), 2 * X)
    same(minijvp.grad(lambda x: x**2 + fun(3.0))(2.0), jnp.asarray(4.0, float))
    assert "custom_jvp_call" in str(minijvp.make_jaxpr(fun)(X))
    assert "custom_jvp_call" not in str(minijvp.make_jaxpr(minijvp.grad(fun))(1.0))


def test_arguments_without_tangent_get_zeros() -> None:
    seen = []

    def slope(x: Any, y: Any, t_x: Any, t_y: Any) -> Any:
        seen.append((t_x.dtype, t_y.dtype))
        return 2.0 * t_x + t_y * mnp.float32(1)

    fun = double(slope, lambda x, y: [x + x])
    x, y = mnp.float32(1.0), jnp.arange(3.0)
    out, _ = minijvp.jvp(lambda x: fun(x, y).sum(), (x,), (x,))
    assert (float(out), seen) == (2.0, [(jnp.float32, jnp.float64)])


def test_constant_rules() -> None:
    """Results and tangents that are literals, or do not depend on what is batched."""
    fun = double(lambda x, t: 0.0, lambda x: [1.5])
    for x in (0.5, jnp.float32(0.5)):
        out, t = minijvp.jvp(fun, (x,), (x,))
        same((out, t), (jnp.asarray(1.5), jnp.zeros_like(t)))
        assert isinstance(t, jax.Array)
    same(minijvp.vmap(fun)(X), jnp.full(3, 1.5))
    same(minijvp.grad(lambda x: minijvp.vmap(fun)(x).sum())(X), jnp.zeros(3))
    fixed = double(lambda x, y, t_x, t_y: t_y, lambda x, y: [y + 1.0])
    same(minijvp.vmap(fixed, (0, None))(X, 2.0), jnp.full(3, 3.0))
    same(minijvp.grad(lambda y: minijvp.vmap(fixed, (0, None))(X, y).sum())(2.0), jnp.asarray(3.0))


def test_named_axis() -> None:
    fun = double(lambda x, t: 5.0 * minijvp.lax.psum(t, "i"), lambda x: [x - minijvp.lax.pmean(x, "i")])
    mapped = minijvp.vmap(fun, axis_name="i")
    same(mapped(X), X - X.mean())
    same(minijvp.jvp(mapped, (X,), (V,))[1], jnp.full(3, 5 * V.sum()))
    same(minijvp.vmap(lambda y: fun(2.0), axis_name="i")(X), jnp.zeros(3))


def test_rules_with_inner_programs() -> None:
    """The rule hands primals and tangents to one compiled function, and takes both from it."""

    @minijvp.jit
    def cube(x: Any, t: Any) -> Any:
        return x**3, 3.0 * x**2 * t

    for deferred in (False, True):
        made = CustomJVP(lambda x: [x**3], lambda xs, ts: [[y] for y in cube(*xs, *ts)], deferred)
        fun = lambda x, made=made: made(x)[0].sum()
        for order in (minijvp.grad, lambda f: minijvp.grad(lambda x: minijvp.grad(f)(x).sum()), minijvp.hessian):
            wanted = order(lambda x: (x**3).sum())(X)
            same(order(fun)(X), wanted)
            same(minijvp.jit(order(fun))(X), wanted)
            same(order(minijvp.jit(fun))(X), wanted)


def test_linear_functions_are_transposed() -> None:
    fun = double(lambda x, t: 2.0 * t)
    same(minijvp.linear_transpose(fun, X)(V)[0], 2 * V)


def test_rules_with_constants_inside_of_a_jit_of_jax() -> None:
    fun, ones = minijvp.custom_jvp(mnp.sin), jnp.ones(3)
    fun.defjvps(lambda t, out, x: t * mnp.cos(x) * ones)
    same(jax.jit(minijvp.grad(lambda x: fun(x).sum()))(X), jnp.cos(X))


def test_a_rule_for_a_function_of_jax_that_has_one() -> None:
    theirs = jax.custom_jvp(lambda x: jnp.sin(x))
    theirs.defjvps(lambda t, out, x: 0 * t)
    ours = minijvp.custom_jvp(minijvp.from_jax(theirs))
    ours.defjvps(lambda t, out, x: t * mnp.cos(x))
    same(minijvp.grad(lambda x: ours(x).sum())(X), jnp.cos(X))
