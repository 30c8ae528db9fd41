"""custom_jvp and custom_vjp, the public functions: against those of JAX where JAX can, and beyond."""

from __future__ import annotations

import gc
import inspect
import re
import weakref
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.custom_derivatives import CustomVJPPrimal, SymbolicZero
from jax.tree_util import tree_map

import minijvp
import minijvp.numpy as mnp
from minijvp import ArgumentError, MissingRuleError, grad, jacfwd, jacrev, jit, jvp, linearize, vjp, vmap
from tests.side_by_side import SIDES, both, same
from tests.test_compositions import JAX, OURS, Side, assert_same, point, transformed
from tests.test_compositions import grad as grad_letter
from tests.test_compositions import jit as jit_letter
from tests.test_compositions import jvp as jvp_letter
from tests.test_compositions import vmap as vmap_letter
from tests.xla import QUICKLY_COMPILED

X, V = jnp.array([0.3, -1.2, 2.0]), jnp.array([1.0, 0.5, -2.0])
FLOAT0 = jax.dtypes.float0

WORDS = [
    (jvp_letter,),
    (grad_letter, jit_letter),
    (jvp_letter, grad_letter),
    (grad_letter, jvp_letter),
    (grad_letter, vmap_letter),
    (vmap_letter, grad_letter, grad_letter),
    (jit_letter, jvp_letter, jvp_letter),
    (jit_letter, grad_letter, vmap_letter),
]


def by_tangents(side: Side) -> Callable[..., Any]:
    """Trees, an integer, a default value, a keyword, a static argument; a slope that shows that the rule is used."""
    xp, api = side

    @partial(api.custom_jvp, nondiff_argnums=(0,))
    def fun(function: Any, x: Any, n: Any, scale: Any = 2.0) -> Any:
        return {"out": function(x["a"]) * x["b"] * scale, "n": n + 1}

    @fun.defjvp
    def rule(function: Any, primals: Any, tangents: Any) -> Any:
        (x, n, scale), (t, t_n, t_scale) = primals, tangents
        assert t_n.dtype == FLOAT0
        slope = 3.0 * xp.cos(x["a"]) * t["a"] * x["b"] * scale + function(x["a"]) * t["b"] * scale
        return fun(function, x, n, scale), {"out": slope + t_scale, "n": np.zeros(n.shape, FLOAT0)}

    def program(x: Any, n: Any) -> Any:
        first = fun(xp.sin, {"a": x, "b": x[0] * x}, n)
        return first["out"] * first["n"], fun(xp.sin, {"a": x, "b": x}, n=n, scale=x[0])["out"]

    return program


def by_cotangents(side: Side) -> Callable[..., Any]:
    """The same by a rule for cotangents; JAX, which would need another one in forward mode, is given that."""
    if side is JAX:
        return by_tangents(JAX)

    @partial(minijvp.custom_vjp, nondiff_argnames="function")
    def fun(function: Any, x: Any, n: Any, scale: Any = 2.0) -> Any:
        return {"out": function(x["a"]) * x["b"] * scale, "n": n + 1}

    def bwd(function: Any, residuals: Any, ct: Any) -> Any:
        (a, b, scale), c = residuals, ct["out"]
        assert ct["n"].dtype == FLOAT0
        cts = {"a": 3.0 * mnp.cos(a) * c * b * scale, "b": function(a) * c * scale}
        return cts, None, c if scale.ndim else mnp.sum(c)

    fun.defvjp(lambda function, x, n, scale: (fun(function, x, n, scale), (x["a"], x["b"], scale)), bwd)

    def program(x: Any, n: Any) -> Any:
        first = fun(mnp.sin, {"a": x, "b": x[0] * x}, n)
        return first["out"] * first["n"], fun(mnp.sin, {"a": x, "b": x}, n=n, scale=x[0])["out"]

    return program


def in_loops(side: Side) -> Callable[..., Any]:
    """Inside scan, while and cond, and one rule inside another."""
    xp, api = side
    inner = api.custom_jvp(lambda x: xp.sin(x))
    inner.defjvps(lambda t, out, x: xp.cos(x) * t)
    outer = api.custom_jvp(lambda x, y: inner(x) * y)
    outer.defjvp(lambda p, t: (outer(*p), inner(p[0]) * t[1] + api.jvp(inner, (p[0],), (t[0],))[1] * p[1]))

    def program(x: Any, n: Any) -> Any:
        lax = minijvp.lax if side is OURS else jax.lax
        last, ys = lax.scan(lambda c, row: (outer(c, row), inner(row)), x[0], x)
        steps = lax.fori_loop(0, 2, lambda i, y: outer(y, y), x)
        return last + ys.sum(), steps, lax.cond(n[0] == 1, inner, lambda y: y, x)

    return program


@cache
def expected(program: Callable[..., Any], word: tuple) -> Any:
    return jax.jit(transformed(JAX, program, word), **QUICKLY_COMPILED)(*point(program))


@pytest.mark.parametrize("word", WORDS, ids=lambda word: "-".join(letter.__name__ for letter in word))
@pytest.mark.parametrize("program", [by_tangents, by_cotangents, in_loops])
def test_word(program: Any, word: tuple) -> None:
    found = transformed(OURS, program, word)(*point(program))
    wanted = expected(
        by_tangents if program is by_cotangents else program, tuple(w for w in word if w is not jit_letter)
    )
    tree_map(assert_same, found, wanted)


def test_reverse_mode_of_a_loop_of_unknown_length() -> None:
    def case(fun: Any) -> Any:
        body = lambda state: (state[0] + 1, fun(state[1]) * state[1])
        return lambda x: minijvp.lax.while_loop(lambda state: state[0] < 3, body, (0, x))[1]

    loop, judge = case(sine()), case(mnp.sin)
    for derivative in (grad, jacfwd, lambda f: grad(grad(f)), lambda f: jit(grad(f))):
        same(derivative(loop)(0.7), derivative(judge)(0.7))


def test_a_loop_uses_the_rule_as_often_as_the_same_steps_in_a_row() -> None:
    """To second order JAX does not: reverse mode of its scan runs the function without its rule."""
    fun = minijvp.custom_jvp(mnp.sin)
    fun.defjvps(lambda t, out, x: 2.0 * mnp.cos(x) * t)
    loop = lambda x: minijvp.lax.scan(lambda c, row: (fun(c) * row, None), x[0], x)[0]
    row = lambda x: fun(fun(fun(x[0]) * x[0]) * x[1]) * x[2]
    for outer in (jacfwd, jacrev):
        for inner in (jacfwd, jacrev):
            same(outer(inner(loop))(X), outer(inner(row))(X))


# The call


def test_with_nothing_traced_the_call_is_the_function() -> None:
    seen = []
    fun = minijvp.custom_vjp(lambda x, flag="on": seen.append((type(x), flag)) or x)
    fun.defvjp(lambda *args: 1, lambda *args: 2)
    assert fun(3.0) == 3.0
    assert fun(x=3.0, flag=[1]) == 3.0
    assert seen == [(float, "on"), (float, [1])]
    assert (fun.__name__, repr(fun)) == ("<lambda>", "<custom_vjp <lambda>>")


def test_methods() -> None:
    class Layer:
        def __init__(self, scale: float):
            self.scale = scale

        @partial(minijvp.custom_vjp, nondiff_argnums=(0,))
        def apply(self, x: Any, shift: Any = 1.0) -> Any:
            return mnp.sin(x) * self.scale + shift

        apply.defvjp(
            lambda self, x, shift: (self.apply(x, shift), mnp.cos(x)),
            lambda self, r, ct: (5.0 * r * ct * self.scale, mnp.sum(ct)),
        )

    layer = Layer(2.0)
    same(grad(lambda x: layer.apply(x).sum())(X), 10.0 * jnp.cos(X))
    same(jit(grad(lambda x: layer.apply(x=x, shift=2.0).sum()))(X), 10.0 * jnp.cos(X))
    same(layer.apply(X), jnp.sin(X) * 2.0 + 1.0)


def test_defjvps() -> None:
    def case(api: Any, np: Any) -> Any:
        fun = api.custom_jvp(lambda x, y, z: np.sin(x) * y + z)
        fun.defjvps(lambda t, out, x, y, z: 7.0 * t * np.cos(x) * y + 0.0 * out, None, lambda t, out, x, y, z: t)
        values = X, 2.0 * X, V
        total = lambda *xs: np.sum(fun(*xs) ** 2)
        return api.jvp(fun, values, (V, V, V)), api.grad(total, (0, 1, 2))(*values), api.hessian(total)(*values)

    both(case)


def test_no_tangents_for_results_or_arguments() -> None:
    """None is zero: for one leaf, and for all below it."""
    fun = minijvp.custom_jvp(lambda x, y: (x * y, {"a": x, "b": y}))
    fun.defjvp(lambda p, t: (fun(*p), (t[0], None)))
    same(jvp(fun, (X, X), (V, V))[1], (V, {"a": 0 * X, "b": 0 * X}))
    same(grad(lambda x: sum(map(mnp.sum, (fun(x, x)[0], fun(x, x)[1]["a"]))))(X), jnp.ones(3))
    pulled = minijvp.custom_vjp(lambda p, y: p["a"] * p["b"] * y)
    pulled.defvjp(lambda p, y: (pulled(p, y), None), lambda r, ct: ({"a": ct, "b": None}, None))
    p = {"a": X, "b": X}
    same(vjp(pulled, p, X)[1](V), ({"a": V, "b": 0 * X}, 0 * X))
    same(jvp(pulled, (p, X), (p, X))[1], X)


def test_rules_may_be_replaced_and_are_read_each_time() -> None:
    """A rule that reads a variable is run again outside of jit, as in JAX."""
    strength = [1.0]
    reverse = minijvp.custom_vjp(lambda x: x)
    reverse.defvjp(lambda x: (x, None), lambda r, ct: (-strength[0] * ct,))
    found = []
    for strength[0] in (1.0, 2.0):
        found += [float(grad(reverse)(3.0)), float(vmap(grad(reverse))(X)[0])]
    assert found == [-1.0, -1.0, -2.0, -2.0]
    reverse.defvjp(lambda x: (x, None), lambda r, ct: (5.0 * ct,))
    assert float(grad(reverse)(3.0)) == 5.0


# Zeros that are objects


def test_symbolic_zeros_of_tangents() -> None:
    def case(api: Any, np: Any) -> Any:
        seen = []
        fun = api.custom_jvp(lambda x, y, n: (x * y, x))

        def rule(primals: Any, ts: Any) -> Any:
            x, y, _ = primals
            seen.append([isinstance(t, SymbolicZero) for t in ts])
            t_x, t_y, _ = [0.0 if isinstance(t, SymbolicZero) else t for t in ts]
            return (x * y, x), (3.0 * t_x * y + t_y * x, ts[0])

        fun.defjvp(rule, symbolic_zeros=True)
        by_x = lambda x: fun(x, 2.0, np.asarray(3))[0]
        values = [api.jvp(by_x, (1.5,), (1.0,)), api.grad(by_x)(1.5), api.jit(api.grad(by_x))(1.5)]
        values += [api.grad(lambda y: sum(fun(1.5, y, np.asarray(3))))(2.0), api.vmap(api.grad(by_x))(X)]
        return values, [list(s) for s in sorted(set(map(tuple, seen)))]

    both(case)


def test_symbolic_zeros_of_cotangents() -> None:
    def case(api: Any, np: Any) -> Any:
        perturbed, zero = set(), set()
        fun = api.custom_vjp(lambda x, y: (x * y, np.sin(x)))

        def fwd(x: Any, y: Any) -> Any:
            assert type(x) is CustomVJPPrimal
            perturbed.add((x.perturbed, y.perturbed))
            return (x.value * y.value, np.sin(x.value)), (x.value, y.value)

        def bwd(residuals: Any, cts: Any) -> Any:
            (x, y), (first, second) = residuals, cts
            zero.add((isinstance(first, SymbolicZero), isinstance(second, SymbolicZero)))
            if isinstance(second, SymbolicZero):
                return 3.0 * first * y, first * x
            return np.cos(x) * second, None

        fun.defvjp(fwd, bwd, symbolic_zeros=True)
        values = [api.grad(lambda x: fun(x, 2.0)[0])(1.5), api.grad(lambda y: fun(1.5, y)[0])(2.5)]
        values += [api.grad(lambda x: fun(x, x)[1])(1.5), api.vmap(api.grad(lambda x: fun(x, 2.0)[0]))(X)]
        return values, sorted(perturbed), sorted(zero)

    both(case)


# Both modes


def sine() -> Any:
    fun = minijvp.custom_vjp(mnp.sin)
    fun.defvjp(lambda x: (mnp.sin(x), mnp.cos(x)), lambda c, ct: (c * ct,))
    return fun


def test_one_rule_serves_both_modes() -> None:
    fun = sine()
    same(jvp(fun, (1.0,), (1.0,)), jax.jvp(jnp.sin, (1.0,), (1.0,)))
    same(jacfwd(jacfwd(fun))(1.0), jax.hessian(jnp.sin)(1.0))
    for outer in (jacfwd, jacrev, grad):
        for inner in (jacfwd, jacrev, grad):
            same(vmap(jit(outer(inner(fun))))(X), -jnp.sin(X))
    same(linearize(fun, X)[1](V), jnp.cos(X) * V)


def squash(name: str = "squash") -> Any:
    def squash(x: Any) -> Any:
        return mnp.sin(x)

    def bwd(r: Any, ct: Any) -> Any:
        return (mnp.clip(ct, -1.0, 1.0) * r,)

    squash.__name__ = name
    fun = minijvp.custom_vjp(squash)
    fun.defvjp(lambda x: (mnp.sin(x), mnp.cos(x)), bwd)
    return fun


@pytest.mark.parametrize("push", [lambda f: f, jit, vmap])
def test_forward_mode_refuses_a_rule_that_is_not_linear(push: Any) -> None:
    fun = squash("of_mine")
    for run in (lambda: push(jacfwd(fun))(X), lambda: jvp(push(fun), (X,), (V,)), lambda: linearize(fun, X)[1](V)):
        with pytest.raises(MissingRuleError, match=r"of_mine(.|\n)*test_custom_rules.py(.|\n)*jvp rule as well") as e:
            run()
        assert "mnp.clip(ct, -1.0, 1.0)" in str(e.value)
    same(grad(lambda x: 5.0 * fun(x))(0.3), jnp.cos(0.3))


def test_each_mode_uses_its_own_rule() -> None:
    for first in ("defjvp", "defvjp"):
        fun = squash() if first == "defvjp" else minijvp.custom_jvp(mnp.sin)
        fun.defjvp(lambda p, t: (mnp.sin(p[0]), 7.0 * mnp.cos(p[0]) * t[0]))
        if first == "defjvp":
            fun.defvjp(squash().fwd, squash().bwd)
        same(grad(lambda x: 5.0 * fun(x))(0.3), jnp.cos(0.3))
        same(jit(vmap(grad(lambda x: 5.0 * fun(x))))(X), jnp.cos(X))
        same(jacfwd(fun)(0.3), 7.0 * jnp.cos(0.3))
        same(jvp(jit(vmap(fun)), (X,), (V,))[1], 7.0 * jnp.cos(X) * V)
        same(linearize(fun, X)[1](V), 7.0 * jnp.cos(X) * V)
        same(vmap(linearize(fun, X)[1])(jnp.eye(3)), 7.0 * jnp.diag(jnp.cos(X)))
        same(jacfwd(grad(lambda x: 5.0 * fun(x)))(0.3), -jnp.sin(0.3))
        same(jacfwd(jacfwd(fun))(0.3), -7.0 * jnp.sin(jnp.asarray(0.3)))


# Values that are closed over


def product(kind: str, x: Any) -> Any:
    """y -> sin(x)·y², whose rule closes over x as well; the rule's slope is right."""
    if kind == "jvp":
        fun = minijvp.custom_jvp(lambda y: mnp.sin(x) * y**2)
        fun.defjvp(lambda p, t: (mnp.sin(x) * p[0] ** 2, 2.0 * mnp.sin(x) * p[0] * t[0]))
        return fun
    fun = minijvp.custom_vjp(lambda y: mnp.sin(x) * y**2)
    if kind == "vjp of fwd":
        fun.defvjp(lambda y: (fun(y), (y, mnp.sin(x))), lambda r, ct: (2.0 * r[1] * r[0] * ct,))
    else:
        fun.defvjp(lambda y: (mnp.sin(x) * y**2, y), lambda y, ct: (2.0 * mnp.sin(x) * y * ct,))
    if kind == "both":
        fun.defjvp(lambda p, t: (mnp.sin(x) * p[0] ** 2, 2.0 * mnp.sin(x) * p[0] * t[0]))
    return fun


def scanned(f: Any, y: Any) -> Any:
    return minijvp.lax.scan(lambda c, _: (f(c), f(c)), y, None, length=2)[0]


@pytest.mark.parametrize("kind", ["jvp", "vjp", "vjp of fwd", "both"])
def test_captured_values_get_their_gradient(kind: str) -> None:
    """Alone, together with arguments that depend on them, in scan, mapped, compiled, and to second order."""
    plain = lambda x: lambda y: jnp.sin(x) * y**2
    programs = [
        lambda f, x: f(x)(2.0),
        lambda f, x: f(x)(x * x) * x,
        lambda f, x: f(x)(f(2.0)(x)) + f(x)(f(x)(x)),
    ]
    ours = [lambda x, p=p: p(lambda x: product(kind, x), x) for p in programs]
    theirs = [lambda x, p=p: p(plain, x) for p in programs]
    if kind != "vjp of fwd":
        ours.append(lambda x: scanned(product(kind, x), x))
        theirs.append(lambda x: jax.lax.scan(lambda c, _: (plain(x)(c), None), x, None, length=2)[0])
    for f, g in zip(ours, theirs, strict=True):
        for derivative in ("grad", "jacfwd"):
            d, e = getattr(minijvp, derivative)(f), getattr(jax, derivative)(g)
            same(d(0.7), e(0.7))
            same(vmap(jit(d))(X), jax.vmap(e)(X))
        same(grad(lambda x: vmap(f)(x * X).sum())(0.7), jax.grad(lambda x: jax.vmap(g)(x * X).sum())(0.7))
        same(linearize(f, 0.7)[1](2.0), jax.linearize(g, 0.7)[1](2.0))
        wanted = jax.hessian(g)(0.7)
        for outer, inner in ((grad, grad), (jacfwd, grad), (grad, jacfwd), (jacfwd, jacfwd)):
            same(outer(inner(f))(0.7), wanted)
        same(jit(vmap(grad(grad(f))))(X), jax.vmap(jax.hessian(g))(X))


def test_the_example_of_the_issue() -> None:
    def g(x: Any) -> Any:
        f = minijvp.custom_jvp(lambda y: x * y)
        f.defjvp(lambda p, t: (x * p[0], x * t[0]))
        return f(2.0)

    for h in (g, jit(g)):
        assert float(grad(h)(3.0)) == 2.0 == float(jit(grad(h))(3.0)) == float(jvp(h, (3.0,), (1.0,))[1])


def test_the_rule_is_used_for_arguments_and_the_function_for_captured_values() -> None:
    def g(x: Any, y: Any) -> Any:
        f = minijvp.custom_vjp(lambda y: x * mnp.round(y))
        f.defvjp(lambda y: (x * mnp.round(y), None), lambda r, ct: (ct * x * 100.0,))
        return f(y)

    for h in (g, jit(g)):
        same(grad(h, (0, 1))(3.0, 1.7), (jnp.asarray(2.0), jnp.asarray(300.0)))
        same(jvp(h, (3.0, 1.7), (1.0, 1.0))[1], jnp.asarray(302.0))


def test_captured_values_that_are_not_differentiated_make_no_nan() -> None:
    """Zero times an infinite derivative is not computed."""

    def g(c: Any, y: Any) -> Any:
        f = minijvp.custom_vjp(lambda y: mnp.sqrt(c) + y)
        f.defvjp(lambda y: (mnp.sqrt(c) + y, None), lambda r, ct: (ct + 0.0 * mnp.sqrt(c),))
        return f(y)

    zeros = jnp.zeros(3)
    same(vmap(grad(g, 1))(zeros, X), jnp.ones(3))
    same(vmap(lambda c, y: jvp(lambda y: g(c, y), (y,), (1.0,))[1])(zeros, X), jnp.ones(3))


def by_both(x: Any, z: Any) -> Any:
    fun = minijvp.custom_jvp(lambda y: x * z * y**2)
    fun.defjvp(lambda p, t: (x * z * p[0] ** 2, 2.0 * x * z * p[0] * t[0]))
    return fun


def test_captured_values_of_several_transformations() -> None:
    pairs = [
        (
            lambda x: grad(lambda z: by_both(x, z)(z * x))(x * 2.0),
            lambda x: jax.grad(lambda z: x * z * (z * x) ** 2)(x * 2.0),
        ),
        (lambda x: vmap(lambda z: by_both(x, z)(z * x))(X).sum(), lambda x: (x * X * (X * x) ** 2).sum()),
        (lambda x: vmap(lambda z: by_both(z, x)(x))(x * X).sum(), lambda x: (x * X * x * x**2).sum()),
        (
            lambda x: minijvp.lax.cond(x > 0.0, by_both(x, x), lambda y: y, x),
            lambda x: jax.lax.cond(x > 0.0, lambda y: x**2 * y**2, lambda y: y, x),
        ),
    ]
    for f, g in pairs:
        same(grad(f)(0.7), jax.grad(g)(0.7))
        same(grad(jit(f))(0.7), jax.grad(g)(0.7))
        same(jacfwd(f)(0.7), jax.jacfwd(g)(0.7))
        same(minijvp.hessian(f)(0.7), jax.hessian(g)(0.7))


def test_captured_values_of_loops_and_compiled_functions() -> None:
    """The function itself is differentiated by them, whatever is in it, beside a bwd that is not linear."""

    def g(x: Any) -> Any:
        power = jit(lambda y: minijvp.lax.fori_loop(0, 3, lambda i, c: c * x + y, y))
        fun = minijvp.custom_vjp(power)
        fun.defvjp(lambda y: (power(y), y), lambda y, ct: (mnp.clip(ct, -1.0, 1.0) * (x**3 + x**2 + x + 1.0),))
        return fun(x)

    judge = lambda x: x * (x**3 + x**2 + x + 1.0)
    for h in (g, jit(g)):
        same(grad(h)(0.7), jax.grad(judge)(0.7))
        same(jacfwd(grad(h))(0.7), jax.hessian(judge)(0.7))
        same(vmap(grad(h))(X), jax.vmap(jax.grad(judge))(X))


@pytest.mark.parametrize("kind", ["jvp", "vjp"])
def test_captured_values_do_not_outlive_the_transformation(kind: str) -> None:
    seen = []

    def g(x: Any) -> Any:
        seen.append(weakref.ref(x))
        return product(kind, x)(x)

    gc.collect()
    gc.disable()
    try:
        grad(g)(2.0)
        jit(grad(g))(2.0)
        assert [reference() for reference in seen] == [None, None]
    finally:
        gc.enable()


def test_a_static_function_that_closes_over_traced_values() -> None:
    @partial(minijvp.custom_vjp, nondiff_argnums=(0,))
    def apply(f: Any, y: Any) -> Any:
        return f(y)

    apply.defvjp(lambda f, y: (f(y), y), lambda f, y, ct: (vjp(f, y)[1](ct)[0],))
    g = lambda x: apply(lambda y: mnp.sin(x) * y**2, x)
    same(grad(g)(0.7), jax.grad(lambda x: jnp.sin(x) * x**2)(0.7))
    same(vmap(jit(grad(grad(g))))(X), jax.vmap(jax.hessian(lambda x: jnp.sin(x) * x**2))(X))


class Box:
    __slots__ = ("value",)


def test_hidden_values_are_refused() -> None:
    """Where a rule finds a traced value in a place that nobody looks at."""

    def g(x: Any) -> Any:
        box = Box()
        box.value = x

        def scaled(y: Any) -> Any:
            return y

        f = minijvp.custom_jvp(scaled)
        f.defjvp(lambda p, t: (p[0], box.value * t[0]))
        return f(x)

    scan = lambda x: minijvp.lax.scan(lambda c, _: (g(c), None), x, None, length=2)[0]
    for run in (lambda: grad(g)(3.0), lambda: jit(grad(g))(3.0), lambda: grad(jit(g))(3.0), lambda: grad(scan)(3.0)):
        with pytest.raises(ArgumentError, match=r"rule of scaled closes over(.|\n)*as an argument"):
            run()


def test_a_failing_rule_hurts_when_it_is_needed() -> None:
    def g(x: Any) -> Any:
        f = minijvp.custom_vjp(lambda y: x * y)
        f.defvjp(lambda y: (x * y, None), lambda r, ct: 1 / 0)
        return f(x)

    assert float(jit(g)(3.0)) == 9.0
    with pytest.raises(ZeroDivisionError):
        grad(g)(3.0)


# Linearity


def with_rule(rule: Callable[..., Any]) -> Any:
    def mine(x: Any) -> Any:
        return mnp.sin(x)

    fun = minijvp.custom_jvp(mine)
    fun.defjvp(lambda p, t: (mnp.sin(p[0]), rule(p[0], t[0])))
    return fun


@pytest.mark.parametrize(
    ("rule", "line"),
    [
        (lambda x, t: x * t * t, "x * t * t"),
        (lambda x, t: mnp.cos(x) * t + 1.0, "+ 1.0"),
        (lambda x, t: x - mnp.cos(x) * t, "x - mnp.cos"),
        (lambda x, t: mnp.maximum(t, 0.0), "mnp.maximum"),
        (lambda x, t: mnp.where(t > 0, t, -t), "t > 0"),
        (lambda x, t: jit(lambda t, x: mnp.sin(t) * x)(t, x), "mnp.sin(t)"),
        (lambda x, t: jit(lambda t, x: t + x)(t, x), "t + x"),
        (lambda x, t: x / t, "x / t"),
        (lambda x, t: mnp.cos(x), "mnp.cos(x)"),
        (lambda x, t: jnp.ones(x.shape), "depends on none of them"),
    ],
)
def test_rules_that_are_not_linear_are_reported(rule: Any, line: str) -> None:
    fun = with_rule(rule)
    total = lambda x: mnp.sum(fun(x))
    for run in (
        lambda: grad(total)(X),
        lambda: jit(grad(total))(X),
        lambda: vmap(grad(fun))(X),
        lambda: grad(jit(total))(X),
        lambda: linearize(fun, X)[1](V),
        lambda: vjp(fun, X),
    ):
        with pytest.raises(MissingRuleError, match=r"jvp rule of mine, .* is not linear in its tangents") as e:
            run()
        assert "test_custom_rules.py" in str(e.value)
        assert line in str(e.value)
    jvp(fun, (X,), (V,))  # which takes the rule as it is


@pytest.mark.parametrize(
    "rule",
    [
        lambda x, t: 0.0 + t * mnp.cos(x),
        lambda x, t: mnp.zeros_like(x) + t * mnp.cos(x) - 0.0,
        lambda x, t: mnp.where(x > 10.0, 0.0, t * mnp.cos(x)),
        lambda x, t: jit(lambda x, t: (t + mnp.zeros(3)) * mnp.cos(x))(x, t),
        lambda x, t: sum([t * mnp.cos(x), 0.0 * t]),
        lambda x, t: jnp.zeros(3) + t * mnp.cos(x),
        lambda x, t: minijvp.lax.scan(lambda c, row: (c + row[0], row[0] * mnp.cos(row[1])), t[0], (t, x))[1],
    ],
)
def test_rules_that_are_linear_pass(rule: Any) -> None:
    fun = with_rule(rule)
    same(grad(lambda x: mnp.sum(fun(x)))(X), jnp.cos(X))
    same(jit(grad(lambda x: mnp.sum(fun(x))))(X), jnp.cos(X))


WITH_PROGRAMS_INSIDE = {
    "scan": lambda xp, api, x: api.lax.scan(lambda c, _: (c * xp.sin(x), c), x, None, length=2)[0],
    "while": lambda xp, api, x: api.lax.while_loop(lambda c: c[0] < 2, lambda c: (c[0] + 1, xp.sin(c[1])), (0, x))[1],
    "cond": lambda xp, api, x: api.lax.cond(x[0] > 0, xp.sin, xp.cos, x),
    "checkpoint": lambda xp, api, x: api.checkpoint(xp.cos)(x),
    "integers": lambda xp, api, x: x * api.lax.scan(lambda n, _: (n + (x[0] > 0), None), 1, None, length=2)[0],
    "interp": lambda xp, api, x: xp.interp(x, np.array([-2.0, 0.0, 3.0]), x),
    "choices in a scan": lambda xp, api, x: api.lax.scan(
        lambda c, i: (api.lax.cond(i < 1, lambda c: c * xp.sin(c), lambda c: c, c), None), x, np.arange(2)
    )[0],
    "scans in a choice": lambda xp, api, x: api.lax.cond(
        x[0] > 0,
        lambda x: api.lax.scan(lambda c, _: (api.jit(xp.sin)(c), c), x, None, length=2)[0],
        lambda x: xp.ones_like(x),
        x,
    ),
    "while in a scan": lambda xp, api, x: api.lax.scan(
        lambda c, _: (api.lax.while_loop(lambda c: c[0] < 2, lambda c: (c[0] + 1, xp.sin(c[1])), (0, c))[1], None),
        x,
        None,
        length=1,
    )[0],
    "checkpoint in a scan": lambda xp, api, x: api.lax.scan(
        lambda c, _: (api.checkpoint(lambda c: xp.sin(c) * c)(c), None), x, None, length=2
    )[0],
}


@pytest.mark.parametrize("name", WITH_PROGRAMS_INSIDE)
def test_what_a_rule_computes_beside_its_tangents_may_be_used_as_it_is(name: str) -> None:
    def slope(xp: Any, api: Any) -> Any:
        fun = lambda x: xp.sin(WITH_PROGRAMS_INSIDE[name](xp, api, x))
        with_rule = api.custom_jvp(fun)
        with_rule.defjvp(lambda p, t: api.jvp(fun, p, t))
        return api.grad(lambda x: xp.sum(with_rule(x)))

    judge = slope(jnp, jax)
    if "while" in name:  # which JAX does not reverse
        judge = jax.jacfwd(lambda x: jnp.sum(jnp.sin(jnp.sin(jnp.sin(x)))))
    for ours in (slope(mnp, minijvp), jit(slope(mnp, minijvp))):
        same(ours(X), judge(X))


def test_transposed_functions_that_are_not_linear_are_reported() -> None:
    for fun in (lambda x: x * mnp.sin(x), lambda x: jit(lambda x: mnp.sin(x))(x)):
        with pytest.raises(MissingRuleError, match=r"'(mul|sin)' has no transpose rule(.|\n)*test_custom_rules.py"):
            minijvp.linear_transpose(fun, X)(V)
    for fun in (lambda x: 2.0 * x + 1.0, lambda x: jit(lambda x: X - x)(x)):
        with pytest.raises(MissingRuleError, match=r"linear_transpose(.|\n)*(add|sub)(.|\n)*test_custom_rules.py"):
            minijvp.linear_transpose(fun, X)
    same(minijvp.linear_transpose(lambda x: jnp.zeros(3) + 2.0 * x - 0.0, X)(V)[0], 2.0 * V)


# Bad input


def multiply(kind: str = "vjp", **parts: Any) -> Any:
    def times(x: Any, n: Any) -> Any:
        return x["a"] * n

    fun = getattr(minijvp, f"custom_{kind}")(times)
    if kind == "jvp":
        fun.defjvp(parts["rule"])
    else:
        fwd = parts.get("fwd", lambda x, n: (x["a"] * n, n))
        fun.defvjp(fwd, parts.get("bwd", lambda n, ct: ({"a": ct * n}, None)))
    return lambda x: mnp.sum(fun({"a": x}, 3))


def test_the_base_of_bad_input() -> None:
    same(grad(multiply())(X), jnp.full(3, 3.0))
    same(grad(multiply(bwd=lambda n, ct: ({"a": ct * n}, np.zeros((), FLOAT0))))(X), jnp.full(3, 3.0))
    same(grad(multiply(bwd=lambda n, ct: [None, None]))(X), jnp.zeros(3))


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        (dict(fwd=lambda x, n: x["a"] * n), "fwd of times.*returned .*pair"),
        (dict(fwd=lambda x, n: (1, 2, 3)), "fwd of times.*returned tuple of 3.*pair"),
        (dict(fwd=lambda x, n: ((x["a"], n), n)), "fwd of times.*structure .*times returns"),
        (dict(fwd=lambda x, n: (x["a"][0], n)), r"fwd of times.*f64\[\].*times gives f64\[3\]"),
        (dict(fwd=lambda x, n: (x["a"] * n, {"r": "s"})), r"residuals\['r'\] of fwd of times.*'s' of type str"),
        (dict(bwd=lambda n, ct: ct * n), "bwd of times.*tuple of 2 .*x, n"),
        (dict(bwd=lambda n, ct: ({"a": ct * n},)), "bwd of times.*tuple of 1.*tuple of 2 .*x, n"),
        (dict(bwd=lambda n, ct: ({"b": ct}, None)), "cotangent of x from bwd of times.*structure"),
        (dict(bwd=lambda n, ct: ({"a": ct[0]}, None)), r"cotangent at x\['a'\] from bwd of times.*f64\[\].*f64\[3\]"),
        (dict(bwd=lambda n, ct: ({"a": ct * 1j}, None)), r"x\['a'\] from bwd of times.*c128\[3\].*f64"),
        (dict(bwd=lambda n, ct: ({"a": "s"}, None)), r"x\['a'\] from bwd of times.*type str"),
        (dict(kind="jvp", rule=lambda p, t: t[0]["a"]), "jvp rule of times.*pair"),
        (dict(kind="jvp", rule=lambda p, t: ((1.0, 2.0), 1.0)), "jvp rule of times.*structure"),
        (dict(kind="jvp", rule=lambda p, t: (p[0]["a"], [t[0]["a"]])), "jvp rule of times.*tangent of structure"),
        (dict(kind="jvp", rule=lambda p, t: (p[0]["a"], t[0]["a"][0])), r"tangent .*jvp rule of times.*f64\[3\]"),
        (dict(kind="jvp", rule=lambda p, t: (p[0]["a"], t[0]["a"].astype("float32"))), "jvp rule of times.*f32.*f64"),
        (dict(kind="jvp", rule=lambda p, t: (p[0]["a"].astype("float32"), t[0]["a"])), "jvp rule of times.*f32.*f64"),
    ],
)
def test_rules_that_return_something_else(parts: Any, words: str) -> None:
    fun = multiply(**parts)
    for run in (
        lambda: grad(fun)(X),
        lambda: jit(grad(fun))(X),
        lambda: jvp(fun, (X,), (V,)),
        lambda: vmap(jacfwd(fun))(X[None]),
    ):
        with pytest.raises(ArgumentError) as e:
            run()

        assert re.search(words, str(e.value), re.DOTALL), str(e.value)
        assert "test_custom_rules.py" in str(e.value)


def test_arguments_that_do_not_fit() -> None:
    def scale(n: Any, x: Any, *, flag: bool = True) -> Any:
        return x * n

    def rules(**options: Any) -> Any:
        fun = minijvp.custom_vjp(lambda n, x: x * n, **options)
        fun.defvjp(lambda n, x: (x * n, None), lambda *args: (args[-1],))
        return fun

    static = rules(nondiff_argnums=0)
    cases = [
        (lambda: grad(lambda x: rules()("s", x))(2.0), "n of <lambda> is 's' of type str(.|\n)*nondiff_argnums"),
        (lambda: grad(lambda x: static(1, x, 2))(2.0), "cannot be called so: too many positional"),
        (lambda: rules(nondiff_argnames=("m",)), "no positional parameter 'm'"),
        (lambda: rules(nondiff_argnums="n"), "nondiff_argnums='n'"),
        (lambda: grad(lambda x: rules(nondiff_argnums=7)(1.0, x))(2.0), "nondiff_argnums=7 is out of range"),
        (lambda: minijvp.custom_jvp(3.0), "custom_jvp received 3.0"),
        (lambda: minijvp.custom_jvp(mnp.sin).defjvp(3.0), "defjvp received 3.0"),
        (lambda: minijvp.custom_jvp(mnp.sin)(1.0), "has no rule(.|\n)*defjvp"),
        (lambda: grad(minijvp.custom_vjp(mnp.sin))(1.0), "has no rule(.|\n)*defvjp"),
        (lambda: static.defjvps(None, None), "nondiff_argnums"),
    ]
    named = minijvp.custom_vjp(scale)
    named.defvjp(lambda *a: 1, lambda *a: 1)
    cases.append((lambda: grad(lambda x: named(1.0, x, flag=False))(1.0), "takes flag by name only"))
    counted = minijvp.custom_jvp(lambda x, y: x)
    counted.defjvps(None)
    cases.append((lambda: jvp(counted, (1.0, 1.0), (1.0, 1.0)), "received 1 rules, and a call with 2 arguments"))
    for run, words in cases:
        with pytest.raises(ArgumentError, match=words):
            run()


def test_both_sides_have_the_same_interface() -> None:
    """As of JAX 0.10; its later versions add to it."""
    names = lambda f: set(inspect.signature(f).parameters) - {"generic_batching"}
    for name, methods in (("custom_jvp", ("__init__", "defjvp", "defjvps")), ("custom_vjp", ("__init__", "defvjp"))):
        ours, theirs = [getattr(api, name) for api, _ in SIDES]
        for method in methods:
            assert names(getattr(ours, method)) == names(getattr(theirs, method))


def test_calls_compile_once() -> None:
    """The rules of each call are new, and what is computed without them does not depend on them."""
    compilations = []
    fun = minijvp.custom_jvp(mnp.sin)
    fun.defjvp(lambda p, t: (fun(*p), mnp.cos(p[0]) * t[0]))
    other = minijvp.custom_vjp(lambda x: fun(x) * 2.0)
    other.defvjp(lambda x: (other(x), x), lambda x, ct: (2.0 * mnp.cos(x) * ct,))

    def run() -> Any:
        loop = lambda x: minijvp.lax.scan(lambda c, _: (other(c), minijvp.checkpoint(fun)(c)), x, None, length=2)
        return vmap(other)(X), loop(0.3), jvp(lambda x: other(0.5) * x, (0.7,), (1.0,)), grad(lambda x: loop(x)[0])(0.3)

    with minijvp.config(compile_gradients_after=None):  # one that recurred would be compiled
        first = run()
        jax.monitoring.register_event_duration_secs_listener(lambda event, *_, **__: compilations.append(event))
        try:
            same(run(), first)
        finally:
            jax.monitoring.clear_event_listeners()
    assert not [event for event in compilations if "compile" in event]
