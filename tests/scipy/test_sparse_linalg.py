"""cg, bicgstab and gmres against jax.scipy.sparse.linalg, over functions that close over traced values."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import jax.scipy.sparse.linalg as theirs
import numpy as np
import pytest
from jax.experimental import sparse
from jax.flatten_util import ravel_pytree

import minijvp
import minijvp.numpy as mnp
import minijvp.scipy.sparse.linalg as ours
from minijvp import ArgumentError
from tests.side_by_side import same

RNG = np.random.default_rng(0)
N = 12
ENTRIES = RNG.normal(size=(N, N))
POSITIVE = jnp.asarray(ENTRIES @ ENTRIES.T + N * np.eye(N))
GENERAL = jnp.asarray(ENTRIES / 3 + 4 * np.eye(N))
COMPLEX = GENERAL + 1j * jnp.asarray(RNG.normal(size=(N, N))) / 3
B = jnp.asarray(RNG.normal(size=N))
SIDES = (minijvp, mnp, ours), (jax, jnp, theirs)

CASES = {
    "cg": ("cg", POSITIVE, {}),
    "cg M x0": ("cg", POSITIVE, {"M": jnp.diag(1 / jnp.diag(POSITIVE)), "x0": B}),
    "cg atol": ("cg", POSITIVE, {"tol": 0.0, "atol": 1e-9}),
    "cg complex": ("cg", jnp.asarray(POSITIVE + 1j * (ENTRIES - ENTRIES.T)), {}),
    "bicgstab": ("bicgstab", GENERAL, {}),
    "bicgstab M": ("bicgstab", GENERAL, {"M": jnp.diag(1 / jnp.diag(GENERAL))}),
    "bicgstab complex": ("bicgstab", COMPLEX, {}),
    "gmres": ("gmres", GENERAL, {}),
    "gmres M x0": ("gmres", GENERAL, {"M": jnp.diag(1 / jnp.diag(GENERAL)), "x0": B, "restart": 5}),
    "gmres complex": ("gmres", COMPLEX, {}),
    "gmres incremental": ("gmres", GENERAL, {"solve_method": "incremental"}),
    "gmres incremental complex": ("gmres", COMPLEX, {"solve_method": "incremental", "restart": 6}),
}


@pytest.mark.parametrize("case", CASES)
def test_solutions_and_gradients_are_those_of_jax(case: str) -> None:
    name, A, options = CASES[case]
    options = {"tol": 1e-13, **options}

    def loss(side: Any, A: Any, b: Any) -> Any:
        _, xp, module = side
        # The product as a function, which closes over what is differentiated.
        (x, _), (y, _) = (getattr(module, name)(a, b, **options) for a in (A, lambda x: A @ x))
        return xp.sum(xp.abs(x) ** 2 + xp.real(y))

    found, wanted = (api.jit(api.value_and_grad(partial(loss, side), (0, 1))) for side in SIDES for api in side[:1])
    b = B.astype(A.dtype)
    same(found(A, b), wanted(A, b), 1e-8)
    x, code = getattr(ours, name)(A, B, **options)
    np.testing.assert_allclose(A @ x, B, atol=1e-8)
    assert code is None or int(code) == 0


@pytest.mark.parametrize("name", ["cg", "bicgstab", "gmres"])
def test_the_iterates_are_those_of_jax(name: str) -> None:
    """Where both stop early, by the number of steps or by the tolerance, they have the same x."""
    for options in ({"maxiter": 1}, {"maxiter": 3}, {"tol": 1e-2}, {"tol": 1e-2, "x0": B}):
        if name == "gmres":
            options = {"restart": 3, **options}
        found, wanted = (getattr(module, name)(POSITIVE, B, **options)[0] for module in (ours, theirs))
        same(found, wanted, 1e-10)
        assert np.linalg.norm(POSITIVE @ found - B) > 1e-6


def test_both_modes_to_second_order_and_batches() -> None:
    direction = jnp.asarray(RNG.normal(size=N))

    def case(api: Any, xp: Any, module: Any) -> Any:
        def loss(s: Any, name: str = "cg") -> Any:
            A = lambda x: POSITIVE @ x + s**2 * x
            return (getattr(module, name)(A, B * xp.sin(s), tol=1e-13)[0] * direction).sum()

        second = [api.grad(api.grad(loss)), api.jacfwd(api.jacfwd(loss)), api.jacfwd(api.grad(loss))]
        values = [api.jit(f)(0.7) for f in second]
        points = jnp.array([0.3, 0.7, 1.1])
        batches = [api.vmap(api.grad(partial(loss, name=name)))(points) for name in ("cg", "bicgstab", "gmres")]
        return values, batches

    found, wanted = (case(*side) for side in SIDES)
    same(found, wanted, 1e-7)


@pytest.mark.parametrize("name", ["cg", "bicgstab", "gmres"])
def test_derivatives_in_directions_of_any_length(name: str) -> None:
    """Where the tolerance of gmres in JAX is that of the right-hand side, and its small derivatives are 0."""
    a, b = jnp.array([[4.0, 1.0, 0.0], [1.0, 3.0, 1.0], [0.0, 1.0, 5.0]]), jnp.array([1.0, 2.0, 3.0])
    solve = lambda b: getattr(ours, name)(a, b, tol=1e-10)[0]
    for scale in (1.0, 1e-6, 1e-20):
        pushed = minijvp.jvp(solve, (b,), (scale * b[::-1],))[1] / scale
        np.testing.assert_allclose(pushed, jnp.linalg.solve(a, b[::-1]), rtol=1e-8)
        pulled = minijvp.grad(lambda b, scale=scale: scale * solve(b).sum())(b) / scale
        np.testing.assert_allclose(pulled, jnp.linalg.solve(a.T, jnp.ones(3)), rtol=1e-8)


def test_trees() -> None:
    """Against the matrix, since JAX 0.10 cannot differentiate all three in trees."""
    b = {"u": jnp.ones((2, 2)), "v": (jnp.asarray(3.0), jnp.arange(3.0))}
    vector, unravel = ravel_pytree(b)

    def matvec(x: Any, p: Any) -> Any:
        u, (s, v) = x["u"], x["v"]
        return {"u": p * u + 0.1 * s, "v": (4 * s + u.sum() * 0.1, v * p)}

    def total(x: Any) -> Any:
        return x["u"].sum() + x["v"][0] + x["v"][1].sum()

    def wanted(p: Any) -> Any:
        matrix = jax.jacobian(lambda x: ravel_pytree(matvec(unravel(x), p))[0])(vector)
        return total(unravel(jnp.linalg.solve(matrix, vector)))

    for name in ("cg", "bicgstab", "gmres"):
        loss = lambda p, name=name: total(getattr(ours, name)(lambda x: matvec(x, p), b, tol=1e-13)[0])
        same(minijvp.value_and_grad(loss)(2.0), jax.value_and_grad(wanted)(2.0), 1e-10)
    b["v"] = b["v"][0], b["v"][1].astype("float32")  # JAX takes one dtype only
    x, _ = ours.cg(lambda x: x, b)
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), x) == jax.tree.map(lambda v: (v.shape, v.dtype), b)


def test_other_kinds_of_arguments() -> None:
    same(ours.cg(np.asarray(POSITIVE), np.asarray(B))[0], theirs.cg(POSITIVE, B)[0], 1e-12)
    stored = sparse.BCOO.fromdense(POSITIVE)
    same(ours.cg(stored, B)[0], theirs.cg(stored, B)[0], 1e-12)
    gradient = minijvp.grad(lambda b: ours.cg(stored, b, tol=1e-13)[0].sum())(B)
    same(gradient, jnp.linalg.solve(POSITIVE, jnp.ones(N)), 1e-10)
    for name in ("cg", "bicgstab", "gmres"):
        solve = getattr(ours, name)
        same(solve(lambda x: 2 * x, jnp.array([2, 4]))[0], jnp.array([1.0, 2.0]), 1e-6)
        same(solve(lambda x: 2 * x, 3.0)[0], jnp.asarray(1.5), 1e-6)
        same(solve(POSITIVE, 0 * B)[0], 0 * B)
        same(minijvp.grad(lambda tol: solve(POSITIVE, B, tol=tol)[0].sum())(1e-3), jnp.asarray(0.0))


def test_gmres_keeps_its_word() -> None:
    """The residual is within the tolerance, where JAX's incremental method can end above it."""
    for restart in (4, 20):
        for method in ("batched", "incremental"):
            for scale in (1.0, 1e3):
                options = {"restart": restart, "solve_method": method, "M": lambda x, s=scale: s * x}
                x, code = ours.gmres(GENERAL, B, tol=1e-6, **options)
                assert np.linalg.norm(GENERAL @ x - B) <= 1e-6 * np.linalg.norm(B)
                assert int(code) == 0


@pytest.mark.parametrize("method", ["batched", "incremental"])
def test_gmres_in_a_space_that_ends(method: str) -> None:
    """Two different eigenvalues need two products, and the rest of the basis does not exist."""
    A, b = jnp.diag(jnp.array([1.0, 1.0, 1.0, 3.0, 3.0])), jnp.arange(1.0, 6.0)
    x, _ = ours.gmres(A, b, tol=1e-13, solve_method=method)
    same(x, b / jnp.diag(A), 1e-12)
    _, code = ours.gmres(A, b * jnp.nan, solve_method=method)
    assert int(code) == -1


def test_memory_is_that_of_the_solution() -> None:
    """What the backward pass keeps: the matrix, the right-hand side and x; nothing of each step."""
    _, pullback = minijvp.vjp(lambda A: ours.cg(A, B, tol=1e-14)[0].sum(), POSITIVE)
    assert sum(x.nbytes for x in jax.tree.leaves(pullback)) <= 3 * POSITIVE.nbytes + 4 * B.nbytes


BAD = {
    r"(?s)A of cg has the shape \(3, 2\).*A\.T @ A": lambda: ours.cg(jnp.ones((3, 2)), jnp.ones(2)),
    r"A of gmres is 'A' of type str": lambda: ours.gmres("A", B),
    r"M of cg has the shape \(2,\)": lambda: ours.cg(POSITIVE, B, M=jnp.ones(2)),
    r"(?s)x0 of bicgstab is no vector like b.*<- differs": lambda: ours.bicgstab(POSITIVE, B, B[:2]),
    r"(?s)x0 of cg is no vector like b.*<- differs": lambda: ours.cg(POSITIVE, B, (B,)),
    r"matvec of custom_linear_solve.*does not return what it takes": lambda: ours.cg(lambda x: x[:2], B),
    r"solve_method='best'": lambda: ours.gmres(POSITIVE, B, solve_method="best"),
}


@pytest.mark.parametrize("message", BAD, ids=range(len(BAD)))
def test_bad_inputs(message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        BAD[message]()


@pytest.mark.parametrize("name", ["cg", "bicgstab", "gmres"])
def test_a_product_that_is_not_linear(name: str) -> None:
    with pytest.raises(minijvp.MissingRuleError, match=r"is not linear: the primitive 'exp'.*test_sparse_linalg"):
        getattr(ours, name)(lambda x: x + mnp.exp(x), B)
