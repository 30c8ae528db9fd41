"""Linear equations that are differentiated implicitly, against jax.numpy.linalg.solve and lax.custom_linear_solve."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from jax import lax
from jax.tree_util import tree_map

import minijvp
import minijvp.numpy as mnp
from minijvp import MissingRuleError
from minijvp.custom_rules.linear_solve import PROGRAMS, custom_linear_solve
from minijvp.transforms.staging import argument_type, stage
from tests.side_by_side import same
from tests.test_compositions import JAX, OURS, WORDS, Side, assert_same, jit, point, transformed

A, B = jnp.array([[3.0, 1.0], [0.5, 2.0]]), jnp.array([0.7, -1.1])


def inverse(a: Any, b: Any, transposed: bool = False) -> Any:
    """The solution of two equations, by minors, in which no derivative can pass."""
    a = minijvp.stop_gradient(a.T if transposed else a)
    rows = [a[1, 1] * b[0] - a[0, 1] * b[1], a[0, 0] * b[1] - a[1, 0] * b[0]]
    return mnp.stack(rows) / (a[0, 0] * a[1, 1] - a[0, 1] * a[1, 0])


def solve(a: Any, b: Any, vecmat: bool = True, transpose_solve: bool = True, matvec: Any = mnp.matmul) -> Any:
    """The solution x of a @ x = b, as jax.numpy.linalg.solve gives it."""
    programs = [
        lambda a, x: [matvec(a, x)],
        (lambda a, y: [matvec(a.T, y)]) if vecmat else None,
        lambda a, b: [inverse(a, b)],
        (lambda a, b: [inverse(a, b, transposed=True)]) if transpose_solve else None,
    ]
    types = argument_type(a), argument_type(b)
    jaxprs = [fun and stage(fun, types, name) for fun, name in zip(programs, PROGRAMS, strict=True)]
    lengths = tuple([int(fun is not None) for fun in programs])
    params = dict(zip(PROGRAMS, jaxprs, strict=True), const_lengths=lengths, n_aux=0)
    return custom_linear_solve(*[a] * sum(lengths), b, **params)[0]


def equations(side: Side) -> Callable[..., Any]:
    """Matrix and right-hand side depend on x."""
    first = (lambda a, b: solve(a, b, vecmat=False)) if side is OURS else jnp.linalg.solve
    second = solve if side is OURS else jnp.linalg.solve

    def fun(x: Any, n: Any) -> Any:
        a = side.xp.array([[3.0, 1.0], [0.5, 2.0]]) + x * x[0]
        return first(a, second(a.T, x * (n + 1)))

    return fun


@cache
def expected(word: tuple) -> Any:
    return jax.jit(transformed(JAX, equations, word))(*point(equations))


@pytest.mark.parametrize("word", WORDS, ids=lambda word: "-".join(letter.__name__ for letter in word))
def test_word(word: tuple) -> None:
    found = transformed(OURS, equations, word)(*point(equations))
    tree_map(assert_same, found, expected(tuple(letter for letter in word if letter is not jit)))


def test_both_modes_to_third_order() -> None:
    for vecmat in (True, False):
        ours = lambda a, vecmat=vecmat: solve(a, B, vecmat).sum()
        theirs = lambda a: jnp.linalg.solve(a, B).sum()
        for order in (["jacfwd"] * 3, ["jacrev"] * 3, ["jacfwd", "jacrev", "jacfwd"], ["jacrev", "jacfwd", "jacrev"]):
            f, g = ours, theirs
            for derivative in order:
                f, g = getattr(minijvp, derivative)(f), getattr(jax, derivative)(g)
            same(minijvp.jit(f)(A), jax.jit(g)(A), 1e-11)


def test_batches_of_matrices_and_of_right_hand_sides() -> None:
    many, sides = jnp.stack([A, A.T, 2 * A]), jnp.stack([B, 2 * B, B + 1])
    for axes, args in (((0, None), (many, B)), ((None, 0), (A, sides)), ((0, 0), (many, sides))):
        ours = lambda *xs, axes=axes: (minijvp.vmap(solve, axes)(*xs) ** 2).sum()
        theirs = lambda *xs, axes=axes: (jax.vmap(jnp.linalg.solve, axes)(*xs) ** 2).sum()
        same(ours(*args), theirs(*args))
        same(minijvp.grad(ours, (0, 1))(*args), jax.grad(theirs, (0, 1))(*args))
        same(minijvp.jit(minijvp.hessian(ours))(*args), jax.hessian(theirs)(*args))


def test_the_solver_is_not_differentiated() -> None:
    """One solve forward and one backward, and the solver's own operations are in no derivative."""
    text = str(minijvp.make_jaxpr(minijvp.grad(lambda a: solve(a, B).sum()))(A))
    assert text.count("= custom_linear_solve") == 2
    # A jitted product inside comes apart into what is known and what is linear.
    product = minijvp.jit(mnp.matmul)
    for api in (minijvp.grad, minijvp.jacfwd, minijvp.hessian):
        same(api(lambda a: solve(a, B, matvec=product).sum())(A), api(lambda a: solve(a, B).sum())(A))


def test_it_is_linear_in_the_right_hand_side() -> None:
    transpose = minijvp.linear_transpose(lambda b: solve(A, b), B)
    same(transpose(B)[0], jnp.linalg.solve(A.T, B))
    same(minijvp.linear_transpose(lambda ct: transpose(ct)[0], B)(B)[0], jnp.linalg.solve(A, B))
    with pytest.raises(MissingRuleError, match="custom_linear_solve"):
        minijvp.linear_transpose(lambda a: solve(a, B), A)(B)


def test_without_a_transposed_solver() -> None:
    ours = lambda a: solve(a, B, transpose_solve=False).sum()
    theirs = lambda a: lax.custom_linear_solve(lambda x: a @ x, B, lambda f, b: jnp.linalg.inv(A) @ b).sum()
    same(minijvp.jacfwd(minijvp.jacfwd(ours))(A), jax.jacfwd(jax.jacfwd(theirs))(A))
    with pytest.raises(MissingRuleError, match=r"transpose_solve, at .*test_linear_solve(.|\n)*symmetric=True"):
        minijvp.grad(ours)(A)
