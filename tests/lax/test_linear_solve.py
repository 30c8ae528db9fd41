"""Linear equations and roots that are differentiated implicitly, against jax.lax, with closures over traced values."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from jax.tree_util import tree_map

import minijvp
from minijvp import ArgumentError, MissingRuleError
from tests.side_by_side import both, same
from tests.test_compositions import JAX, OURS, WORDS, Side, assert_same, jit, point, transformed

lax = minijvp.lax
A, B = jnp.array([[3.0, 1.0], [0.5, 2.0]]), jnp.array([0.7, -1.1])


def dense(api: Any, xp: Any) -> Callable[..., Any]:
    """A solver that asks for the matrix, and returns how large it is besides."""

    def solve(matvec: Any, b: Any) -> Any:
        matrix = api.jacobian(lambda v: matvec({"v": v})["v"])(b["v"])
        return {"v": xp.linalg.solve(matrix, b["v"])}, xp.abs(matrix).sum()

    return solve


def equation(side: Side) -> Callable[..., Any]:
    """A matrix-free equation in a tree, with auxiliary data; matrix and right-hand side depend on x."""
    api, xp = side.api, side.xp

    def fun(x: Any, n: Any) -> Any:
        v, scale = x, xp.cos(x[0])

        def matvec(y: Any) -> Any:
            return {"v": y["v"] * (4 + v) + scale * y["v"][::-1]}

        b = {"v": xp.sin(v) * (n + 1)}
        solution, size = api.lax.custom_linear_solve(matvec, b, dense(api, xp), dense(api, xp), has_aux=True)
        return solution["v"] * v + size * 0

    return fun


def symmetric_in_symmetric(side: Side) -> Callable[..., Any]:
    """A symmetric equation whose product solves another one."""
    api, xp = side.api, side.xp

    def fun(x: Any, n: Any) -> Any:
        divide = lambda matvec, b: b / matvec(xp.ones_like(b))
        solve = lambda matvec, b: api.lax.custom_linear_solve(matvec, b, divide, symmetric=True)
        return solve(lambda y: solve(lambda z: z * (2 + x[0] ** 2), y) * x[1], x * (n + 2))

    return fun


def roots(side: Side) -> Callable[..., Any]:
    """Roots of cubic equations by Newton steps in a loop."""
    api, xp = side.api, side.xp

    def solve(f: Any, y: Any) -> Any:
        def step(state: Any) -> Any:
            y, k = state
            value, slope = api.jvp(f, (y,), (xp.ones_like(y),))
            return y - value / slope, k + 1

        return api.lax.while_loop(lambda s: s[1] < 30, step, (y, 0.0))

    def fun(x: Any, n: Any) -> Any:
        scale = xp.exp(x)
        root, _ = api.lax.custom_root(
            lambda y: scale * y**3 + y - x * (n + 1), 0 * x, solve, lambda g, y: y / g(xp.ones_like(y)), has_aux=True
        )
        return root * x

    return fun


PROGRAMS = equation, symmetric_in_symmetric, roots
SHORT = [w for w in WORDS if len(w) < 3] + [w for w in WORDS if len(w) == 3 and jit not in w and len(set(w)) > 1][::5]


@cache
def expected(program: Any, word: tuple) -> Any:
    return jax.jit(transformed(JAX, program, word))(*point(program))


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.__name__)
@pytest.mark.parametrize("word", SHORT, ids=lambda word: "-".join(letter.__name__ for letter in word))
def test_word(program: Any, word: tuple) -> None:
    found = transformed(OURS, program, word)(*point(program))
    tree_map(assert_same, found, expected(program, tuple(letter for letter in word if letter is not jit)))


def scaled(p: Any, **options: Any) -> Any:
    """The solution of p * x = 6."""
    return lax.custom_linear_solve(lambda x: p * x, 6.0, lambda f, b: b / f(1.0), **options)


def test_derivatives_of_a_quotient() -> None:
    x = lambda p: scaled(p, symmetric=True)
    values = [3.0, -1.5, 1.5, -2.25]  # 6 / p and its derivatives at 2
    for derivative in (minijvp.grad, minijvp.jacfwd):
        f = x
        for value in values:
            same(f(2.0), jnp.asarray(value))
            same(minijvp.jit(f)(2.0), jnp.asarray(value))
            f = derivative(f)
    same(minijvp.vmap(minijvp.grad(x))(jnp.array([1.0, 2.0])), jnp.array([-6.0, -1.5]))


def test_the_transposed_product_is_made() -> None:
    def case(api: Any, xp: Any) -> Any:
        seen = []

        def back(vecmat: Any, b: Any) -> Any:
            seen.append(api.jacobian(vecmat)(b))
            return xp.linalg.solve(seen[-1], b)

        def loss(a: Any, b: Any) -> Any:
            solve = lambda matvec, b: xp.linalg.solve(api.jacobian(matvec)(b), b)
            return xp.sin(api.lax.custom_linear_solve(lambda x: a @ x, b, solve, back)).sum()

        return api.grad(loss, (0, 1))(A, B), api.hessian(loss, (0, 1))(A, B)

    both(case)


def test_batches_of_matrices_and_of_right_hand_sides() -> None:
    many, sides = jnp.stack([A, A.T, 2 * A]), jnp.stack([B, 2 * B, B + 1])

    def case(api: Any, xp: Any) -> Any:
        def solution(a: Any, b: Any) -> Any:
            solve = lambda matvec, b: (xp.linalg.solve(api.jacobian(matvec)(b), b), b.sum())
            return api.lax.custom_linear_solve(lambda x: a @ x, b, solve, solve, has_aux=True)

        axes = (0, None), (None, 0), (0, 0)
        args = (many, B), (A, sides), (many, sides)
        loss = lambda a, b: (solution(a, b)[0] ** 2).sum()
        maps = [(api.vmap(solution, k)(*x), api.vmap(api.grad(loss), k)(*x)) for k, x in zip(axes, args, strict=True)]
        return maps, api.vmap(solution, (None, None), axis_size=2)(A, B)[0]

    both(case)


def test_the_solver_is_not_differentiated() -> None:
    """It closes over what is differentiated, and runs a loop whose own derivative is zero."""

    def solution(p: Any) -> Any:
        count = lambda matvec, b: lax.while_loop(lambda x: x * p < b, lambda x: x + 0.5, 0.0)
        return lax.custom_linear_solve(lambda x: x * p, 3.0, count, count)

    assert float(minijvp.grad(solution)(2.0)) == -0.75  # x = 1.5, and the cotangent of the right-hand side is 0.5
    text = str(minijvp.make_jaxpr(minijvp.grad(lambda p: scaled(p, symmetric=True)))(2.0))
    assert text.count("= custom_linear_solve") == 2


def test_forward_mode_needs_no_transpose() -> None:
    same(minijvp.jacfwd(scaled)(2.0), jnp.asarray(-1.5))
    with pytest.raises(MissingRuleError, match=r"(?s)no transpose_solve.*symmetric=True"):
        minijvp.grad(scaled)(2.0)


def identity(f: Any, b: Any) -> Any:
    return b


LINEAR = {
    r"is not linear: the primitive 'mul'.*lambda x: x \* x": (lambda x: x * x, B, identity, identity),
    r"matvec of custom_linear_solve.*does not return what it takes(?s:.*)f64\[3\] .*<- differs": (
        lambda x: jnp.ones((3, 2)) @ x,
        B,
        identity,
    ),
    r"solve of custom_linear_solve, identity.*no solution(?s:.*)<- differs": (
        lambda x: {"a": x["a"]},
        {"a": B},
        lambda f, b: identity(f, b)["a"],
    ),
    r"transpose_solve of custom_linear_solve.*no solution": (lambda x: x, B, identity, lambda f, b: b[:1]),
    r"solve of custom_linear_solve.*cannot be called as it is": (lambda x: x, B, lambda b: b),
    r"matvec of custom_linear_solve is 1\.0, which cannot be called": (1.0, B, identity),
    r"b of custom_linear_solve is 'b' of type str": (lambda x: x, "b", identity),
}


@pytest.mark.parametrize("message", LINEAR, ids=range(len(LINEAR)))
def test_bad_linear_equations(message: str) -> None:
    with pytest.raises((ArgumentError, MissingRuleError), match=message.replace("identity.*", ".*")):
        lax.custom_linear_solve(*LINEAR[message])


def test_bad_auxiliary_data() -> None:
    with pytest.raises(ArgumentError, match=r"(?s)returned StagingTracer where has_aux=True wants a pair"):
        lax.custom_linear_solve(lambda x: x, B, identity, has_aux=True)
    pair, other = lambda f, b: (b, 1), lambda f, b: (b, 1.0)
    with pytest.raises(ArgumentError, match="different auxiliary data"):
        lax.custom_linear_solve(lambda x: x, B, pair, other, has_aux=True)


def test_products_without_a_transpose_may_be_symmetric() -> None:
    """A loop of unknown length has no transpose; that of a symmetric product is the product."""

    def solution(p: Any) -> Any:
        matvec = lambda x: lax.while_loop(lambda s: s[1] < 3, lambda s: (p * s[0], s[1] + 1), (x, 0))[0]
        return lax.custom_linear_solve(matvec, 8.0, lambda f, b: b / f(1.0), symmetric=True)

    same(solution(2.0), jnp.asarray(1.0))
    same(minijvp.grad(solution)(2.0), jnp.asarray(-1.5))


def test_custom_root_to_third_order() -> None:
    def case(api: Any, xp: Any) -> Any:
        def root(p: Any) -> Any:
            def bisect(f: Any, x: Any) -> Any:
                def halve(k: Any, ends: Any) -> Any:
                    low, high = ends
                    middle = (low + high) / 2
                    low_side = f(middle) < 0
                    return xp.where(low_side, middle, low), xp.where(low_side, high, middle)

                return api.lax.fori_loop(0, 60, halve, (0.0, 8.0))[0]

            return api.lax.custom_root(lambda y: y**2 - p, 1.0, bisect, lambda g, y: y / g(1.0))

        f = api.grad(root)
        return root(4.0), f(4.0), api.grad(f)(4.0), api.jacfwd(api.jacrev(api.jacfwd(root)))(4.0), api.jit(f)(4.0)

    both(case)


def test_bad_roots() -> None:
    divide = lambda g, y: y / g(1.0)
    with pytest.raises(ArgumentError, match=r"(?s)f of custom_root.*does not return what it takes.*<- differs"):
        lax.custom_root(lambda y: (y, y), 1.0, identity, divide)
    with pytest.raises(ArgumentError, match=r"(?s)tangent_solve of custom_root.*no solution"):
        lax.custom_root(lambda y: y - 1, 1.0, identity, lambda g, y: (y, y))
    with pytest.raises(ArgumentError, match=r"(?s)initial_guess of custom_root is i64\[2\].*floating-point"):
        lax.custom_root(lambda y: y - 1, jnp.arange(2), identity, divide)
    with pytest.raises(ArgumentError, match=r"solve of custom_root.*returned StagingTracer where has_aux=True"):
        lax.custom_root(lambda y: y - 1, 1.0, identity, divide, has_aux=True)
