"""Linear operators of derivatives, as matrices of JAX, in solvers of SciPy and in those of minijvp."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse.linalg
from jax.flatten_util import ravel_pytree

import minijvp
import minijvp.numpy as mnp
from minijvp import ArgumentError
from minijvp.scipy.sparse.linalg import bicgstab, cg, gmres
from tests.side_by_side import same

X, V, U = jnp.array([0.3, -1.2, 2.0]), jnp.array([1.0, 0.5, -2.0]), jnp.array([0.2, -0.7])
P = {"w": jnp.arange(6.0).reshape(2, 3) / 3, "b": jnp.array(0.5), "none": None}
FLAT, UNRAVEL = ravel_pytree(P)


def field(np: Any) -> Any:
    return lambda x: np.stack([np.sin(x).sum() * x[0], x.prod()])


def model(np: Any) -> Any:
    return lambda p: (np.tanh(p["w"] @ X), {"v": np.sin(p["b"]) * p["w"][0]})


def well(np: Any) -> Any:
    """A function whose Hessian is positive definite."""
    return lambda x: (np.cosh(x).sum() + x.sum() ** 2 + (x**2).sum()) / 2


def criterion(np: Any) -> Any:
    return lambda out: (out[0] ** 2).sum() + np.exp(out[1]["v"]).sum()


def flat(np: Any, f: Any) -> Any:
    return lambda v: ravel_pytree(f(UNRAVEL(v)))[0]


J = jax.jacfwd(field(jnp))(X)
TREE_J = jax.jacfwd(flat(jnp, model(jnp)))(FLAT)


def test_it_is_a_matrix() -> None:
    A = minijvp.jacobian_operator(field(mnp), X)
    assert A.shape == (2, 3) and A.T.shape == (3, 2) and A.dtype == np.float64
    assert repr(A) == "<2x3 DerivativeOperator of float64>"
    same((A.matvec(V), A @ V, A.dot(V), A(V)), (J @ V,) * 4)
    same((A.rmatvec(U), A.T @ U, A.H @ U, A.adjoint() @ U, A.transpose().matvec(U)), (J.T @ U,) * 5)
    columns = jnp.stack([X, V], axis=1)
    same((A.matmat(columns), A @ columns, A @ V[:, None]), (J @ columns, J @ columns, J @ V[:, None]))
    same(A.rmatmat(jnp.eye(2)), J.T)
    same(A.T.T @ V, J @ V)
    same(A @ jnp.arange(3), J @ jnp.arange(3.0))


def test_of_trees() -> None:
    A = minijvp.jacobian_operator(model(mnp), P)
    v, u = jnp.cos(jnp.arange(7.0)), jnp.sin(jnp.arange(5.0))
    assert A.shape == (5, 7)
    same((A @ v, A.T @ u), (TREE_J @ v, TREE_J.T @ u))
    same(A(UNRAVEL(v)), jax.jvp(model(jnp), (P,), (UNRAVEL(v),))[1])
    same(A.T(A(P)), jax.vjp(model(jnp), P)[1](jax.jvp(model(jnp), (P,), (P,))[1])[0])


def test_hessians_and_gauss_newton_matrices() -> None:
    f = lambda np: lambda p: criterion(np)(model(np)(p))
    v = jnp.cos(jnp.arange(7.0))
    H = jax.hessian(lambda v: f(jnp)(UNRAVEL(v)))(FLAT)
    A = minijvp.hessian_operator(f(mnp), P)
    same((A @ v, A.T @ v), (H @ v, H.T @ v))
    out = model(jnp)(P)
    flat_out, back = ravel_pytree(out)
    inner = jax.hessian(lambda z: criterion(jnp)(back(z)))(flat_out)
    G = minijvp.ggn_operator(criterion(mnp), model(mnp), P)
    same((G @ v, G.T @ v), (TREE_J.T @ inner @ TREE_J @ v,) * 2)
    same(G(UNRAVEL(v)), minijvp.ggnvp(criterion(mnp), model(mnp), (P,), (UNRAVEL(v),)))


def test_dtypes() -> None:
    half = minijvp.jacobian_operator(mnp.sin, X.astype(jnp.float32))
    assert half.dtype == np.float32
    same(half @ V, (jnp.cos(X.astype(jnp.float32)) * V.astype(jnp.float32)))
    mixed = minijvp.jacobian_operator(lambda p: p[0] * p[1].astype(float), (X, V.astype(jnp.float32)))
    assert mixed.dtype == np.float64
    same(mixed @ jnp.ones(6), X + V, 1e-6)


def test_under_other_transformations() -> None:
    product = lambda x, v: minijvp.jacobian_operator(field(mnp), x) @ v
    wanted = lambda x, v: jax.jacfwd(field(jnp))(x) @ v
    xs = jnp.stack([X, V])
    same(minijvp.jit(product)(X, V), wanted(X, V))
    same(minijvp.vmap(product)(xs, xs), jax.vmap(wanted)(xs, xs))
    same(minijvp.jacrev(product, (0, 1))(X, V), jax.jacrev(wanted, (0, 1))(X, V))
    inner = minijvp.jit(lambda x: minijvp.jacobian_operator(field(mnp), x))(
        X
    )  # returned from a program, and handed to one
    runs = []

    @minijvp.jit
    def square(A: Any, v: Any) -> Any:
        runs.append(1)
        return A.T @ (A @ v)

    same(square(inner, V), J.T @ (J @ V))
    runs.clear()
    for x in (X, V):
        matrix = jax.jacfwd(lambda x: jnp.sin(x) * x.sum())(x)
        same(square(minijvp.jacobian_operator(lambda x: mnp.sin(x) * x.sum(), x), V), matrix.T @ (matrix @ V))
    assert len(runs) == 1


def test_solvers_of_scipy_take_it() -> None:
    H, b = np.asarray(jax.hessian(well(jnp))(X)), np.asarray(V)
    A = minijvp.hessian_operator(well(mnp), X)
    assert isinstance(A.matvec(b), np.ndarray) and A.matvec(b).flags.writeable
    wanted = np.linalg.solve(H, b)
    for solver in (scipy.sparse.linalg.cg, scipy.sparse.linalg.gmres, scipy.sparse.linalg.minres):
        found, code = solver(A, b, rtol=1e-12)
        assert code == 0
        np.testing.assert_allclose(found, wanted, rtol=1e-9)
    rectangular = minijvp.jacobian_operator(field(mnp), X)
    for solver in (scipy.sparse.linalg.lsqr, scipy.sparse.linalg.lsmr):
        found = solver(rectangular, np.asarray(U), atol=1e-14, btol=1e-14)[0]
        np.testing.assert_allclose(found, np.linalg.lstsq(np.asarray(J), np.asarray(U), rcond=None)[0], rtol=1e-8)
    operator = scipy.sparse.linalg.aslinearoperator(rectangular)
    np.testing.assert_allclose(operator @ np.eye(3), J)
    np.testing.assert_allclose(operator.T @ np.asarray(U), J.T @ U)
    assert operator.dtype == np.float64
    large = minijvp.jacobian_operator(lambda x: mnp.sin(x) * x.sum(), mnp.linspace(0.0, 1.0, 20))
    matrix = jax.jacfwd(lambda x: jnp.sin(x) * x.sum())(jnp.linspace(0.0, 1.0, 20))
    values = scipy.sparse.linalg.svds(large, k=2, return_singular_vectors=False)
    np.testing.assert_allclose(np.sort(values), np.sort(np.linalg.svd(matrix)[1][:2]), rtol=1e-8)


def test_solvers_of_minijvp_take_it() -> None:
    def solution(api: Any) -> Any:
        def ours(x: Any, b: Any) -> Any:
            return api(minijvp.hessian_operator(well(mnp), x), b, tol=1e-13)[0]

        return ours

    wanted = lambda x, b: jnp.linalg.solve(jax.hessian(well(jnp))(x), b)
    for api in (cg, gmres, bicgstab):
        same(solution(api)(X, V), wanted(X, V), 1e-9)
        same(minijvp.jit(solution(api))(X, V), wanted(X, V), 1e-9)
        same(minijvp.jacrev(solution(api))(X, V), jax.jacrev(wanted)(X, V), 1e-8)
    A = minijvp.ggn_operator(
        lambda y: (y["a"] ** 2).sum() + (y["b"] ** 2).sum(),
        lambda p: {"a": 2 * p["a"], "b": p["b"] * p["a"][0]},
        {"a": X, "b": V},
    )
    tree = {"a": V, "b": X}
    same(A(cg(A, tree, tol=1e-13)[0]), tree, 1e-9)  # trees as vectors


def fails(part: str) -> Any:
    return pytest.raises(ArgumentError, match=part)


def test_bad_inputs() -> None:
    A = minijvp.jacobian_operator(field(mnp), X)
    for wrong in (V[:2], jnp.ones((2, 3)), jnp.array(1.0), V + 1j, jnp.ones((3, 2, 2))):
        with fails(r"@ of an operator of shape \(2, 3\) received"):
            _ = A @ wrong
    with fails("rmatvec of an operator"):
        A.rmatvec(V)
    with fails("matmat of an operator"):
        A.matmat(V)
    with fails("what @ received is"):
        _ = A @ {"a": V}
    with fails("the tree of the tangents"):
        A({"a": V})
    for make in (
        minijvp.jacobian_operator,
        lambda f, x: minijvp.hessian_operator(lambda x: f(x).sum(), x),
        lambda f, x: minijvp.ggn_operator(mnp.sum, f, x),
    ):
        with fails("_operator of .* received c128"):
            make(mnp.sin, X + 0j)
        with fails("Integers and booleans have no derivative"):
            make(mnp.sin, jnp.arange(3))
    with fails("jacobian_operator cannot use the result of <lambda>"):
        minijvp.jacobian_operator(lambda x: 1j * x, X)
    with fails("one number as its result"):
        minijvp.hessian_operator(mnp.sin, X)
    with fails("one number as its result"):
        minijvp.ggn_operator(mnp.sin, mnp.sin, X)
    for call in (
        lambda: minijvp.jacobian_operator(1.0, X),
        lambda: minijvp.hessian_operator(1.0, X),
        lambda: minijvp.ggn_operator(1.0, mnp.sin, X),
        lambda: minijvp.ggn_operator(mnp.sum, 1.0, X),
    ):
        with fails("cannot be called"):
            call()
