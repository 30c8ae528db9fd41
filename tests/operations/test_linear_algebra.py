"""Linear algebra: equal eigenvalues and singular values, missing rank, what is read, what is refused."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import minijvp as mj
import minijvp.numpy as mnp
from minijvp.operations import decompositions, linear_algebra, reflections
from tests.samples import random

EIGH = dict(lower=True, sort_eigenvalues=True, subset_by_index=None, algorithm=None)
SVD = dict(full_matrices=False, compute_uv=True, subset_by_index=None, algorithm=None)
QR = dict(pivoting=False, full_matrices=False, use_magma=None)
SOLVE = dict(left_side=True, lower=True, transpose_a=False, conjugate_a=False, unit_diagonal=False)

weights, change = random(5, 5, dtype=float), random(5, 5, dtype=float, seed=1)
rotation, other_rotation = (np.linalg.qr(random(5, 5, dtype=float, seed=s))[0] for s in (2, 3))


def check(function, judge, x, t):
    """The tangent of `function` is the difference quotient of `judge`, a function of NumPy; forward and in reverse."""
    step = 1e-6
    expected = (judge(x + step * t) - judge(x - step * t)) / (2 * step)
    np.testing.assert_allclose(mj.jvp(function, (x,), (t,))[1], expected, rtol=1e-5)
    np.testing.assert_allclose(jnp.sum(mj.grad(function)(x) * t), expected, rtol=1e-5)


def projection(v):
    return v @ v.T


def inner(x):
    return (x * weights[: x.shape[0], : x.shape[1]]).sum()


# Equal values


def with_eigenvalues(*values):
    x = (rotation * np.array(values)) @ rotation.T
    return (x + x.T) / 2


def test_an_eigenvector_whose_eigenvalue_differs_from_equal_others() -> None:
    check(
        lambda x: inner(projection(decompositions.eigh(x, **EIGH)[0][:, 4:])),
        lambda x: inner(projection(np.linalg.eigh(x)[1][:, 4:])),
        with_eigenvalues(1.0, 1.0, 1.0, 2.0, 5.0),
        change + change.T,
    )


def test_eigenvectors_of_equal_eigenvalues_have_no_derivative() -> None:
    def function_of_matrix(x):
        v, w = decompositions.eigh(x, **EIGH)
        return inner((v * mnp.exp(w)) @ v.T)

    # A finite number would be a wrong one: how equal eigenvalues part is more than tangents of v and w can tell.
    x, t = with_eigenvalues(1.0, 1.0, 2.0, 2.0, 5.0), change + change.T
    assert not np.isfinite(mj.jvp(function_of_matrix, (x,), (t,))[1])
    assert not np.isfinite(np.asarray(mj.grad(function_of_matrix)(x))).all()
    assert np.isfinite(np.asarray(mj.grad(function_of_matrix)(with_eigenvalues(1.0, 1.5, 2.0, 3.0, 5.0)))).all()


def test_sum_over_equal_eigenvalues() -> None:
    gradient = mj.grad(lambda x: mnp.sum(mnp.exp(decompositions.eigh(x, **EIGH)[1])))(np.eye(3))
    np.testing.assert_allclose(gradient, np.e * np.eye(3), rtol=1e-12)


def test_equal_eigenvalues_of_a_change_that_turns_no_eigenvector() -> None:
    for x in (np.eye(3), np.zeros((3, 3)), np.eye(3) * 1e30):
        t_v, t_w = mj.jvp(lambda x: decompositions.eigh(x, **EIGH), (x,), (np.diag([1.0, 2.0, 3.0]),))[1]
        np.testing.assert_array_equal(t_v, np.zeros((3, 3)))
        np.testing.assert_array_equal(t_w, [1.0, 2.0, 3.0])


def test_singular_vectors_beside_those_of_equal_singular_values() -> None:
    x = (rotation[:, :3] * np.array([5.0, 1.0, 1.0])) @ np.linalg.qr(other_rotation[:3, :3])[0]

    def dominant(svd):
        def function(x):
            u, s, vt = svd(x)
            return inner((u[:, :1] * s[:1]) @ vt[:1])

        return function

    def ours(x):
        s, u, vt = decompositions.svd(x, **SVD)
        return u, s, vt

    check(dominant(ours), dominant(lambda x: np.linalg.svd(x, full_matrices=False)), x, change[:, :3])
    whole = mj.grad(lambda x: inner((ours(x)[0] * ours(x)[1]) @ ours(x)[2]))
    assert not np.isfinite(np.asarray(whole(x))).all()


def test_singular_values_that_are_zero() -> None:
    x = np.outer([1.0, 2.0, 2.0], [3.0, 4.0])

    def dominant(s, u, vt):
        return inner((u[:, :1] * s[:1]) @ vt[:1])

    def judge(x):
        u, s, vt = np.linalg.svd(x, full_matrices=False)
        return dominant(s, u, vt)

    check(lambda x: dominant(*decompositions.svd(x, **SVD)), judge, x, change[:3, :2])
    values = mj.grad(lambda x: mnp.sum(decompositions.svd(x, **{**SVD, "compute_uv": False})[0]))
    assert bool(jnp.isfinite(values(np.zeros((3, 2)))).all())


@pytest.mark.parametrize("rows", [5, 2])
def test_null_space_by_vectors_that_complete_the_singular_ones(rows: int) -> None:
    x, t = change[:rows, : 7 - rows], weights[:rows, : 7 - rows]

    def null(u, vt):
        return inner(projection(u[:, 2:]) if rows == 5 else projection(vt[2:].T))

    def judge(x):
        u, _, vt = np.linalg.svd(x)
        return null(u, vt)

    check(lambda x: null(*decompositions.svd(x, **{**SVD, "full_matrices": True})[1:]), judge, x, t)


def test_null_space_by_columns_that_complete_q_of_a_triangle() -> None:
    x = np.array([[2.0, 1.0], [0.0, 3.0], [0.0, 0.0], [0.0, 0.0]])
    check(
        lambda x: inner(projection(reflections.qr(x, **{**QR, "full_matrices": True})[0][:, 2:])),
        lambda x: inner(projection(np.linalg.qr(x, mode="complete")[0][:, 2:])),
        x,
        change[:4, :2],
    )


def test_determinant_of_a_singular_matrix_by_lu() -> None:
    x = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [2.0, 4.0, 6.0]])
    gradient = mj.grad(lambda x: mnp.prod(mnp.diagonal(linear_algebra.lu(x)[0])))(x)
    np.testing.assert_allclose(gradient, [[6.0, -12.0, 6.0], [0.0, 0.0, 0.0], [-3.0, 6.0, -3.0]], atol=1e-12)


# What is read, and what is computed


def test_cholesky_and_eigh_read_one_triangle() -> None:
    x = np.array([[2.0, 7.0], [1.0, 3.0]])
    both = np.array([[2.0, 1.0], [1.0, 3.0]])
    np.testing.assert_allclose(linear_algebra.cholesky(x), jnp.linalg.cholesky(both), rtol=1e-12)
    assert mj.grad(lambda x: mnp.sum(linear_algebra.cholesky(x)))(x)[0, 1] == 0
    for lower, unread in ((True, (0, 1)), (False, (1, 0))):
        gradient = mj.grad(lambda x: mnp.sum(decompositions.eigh(x, **{**EIGH, "lower": lower})[0]))(x)
        assert gradient[unread] == 0
        assert gradient[unread[::-1]] != 0


def test_cholesky_of_a_symmetrized_operand_is_that_of_jax() -> None:
    x = random(3, 3, dtype=np.complex128)
    x = x @ x.conj().T + 3 * np.eye(3)
    ours = mj.jacfwd(lambda s: linear_algebra.cholesky((x * s + mnp.conj(mnp.transpose(x * s))) / 2))(1.5)
    theirs = jax.jacfwd(lambda s: jax.lax.linalg.cholesky(x * s))(1.5)
    np.testing.assert_allclose(ours, theirs, rtol=1e-10)


def test_one_triangle_for_a_batch_of_right_sides_is_not_repeated() -> None:
    a, b = jnp.ones((3, 3)), jnp.ones((8, 3, 2))
    for left_side in (True, False):
        rows = b if left_side else jnp.swapaxes(b, 1, 2)
        program = mj.make_jaxpr(
            mj.vmap(lambda a, b: linear_algebra.triangular_solve(a, b, **{**SOLVE, "left_side": left_side}), (None, 0))
        )(a, rows)
        shape = "f64[3,16]" if left_side else "f64[16,3]"
        assert "triangular_solve" in str(program) and shape in str(program)


def test_reflections_make_the_q_of_qr() -> None:
    def by_reflections(x):
        packed, taus = reflections.geqrf(x)
        n = x.shape[1]
        return reflections.householder_product(packed, taus), linear_algebra.upper_triangle(packed[:n])

    x, t = change[:, :3], weights[:, :3]
    for ours, theirs in zip(
        mj.jvp(by_reflections, (x,), (t,)), jax.jvp(lambda x: jax.lax.linalg.qr(x, full_matrices=False), (x,), (t,))
    ):
        for a, e in zip(ours, theirs):
            np.testing.assert_allclose(a, e, rtol=1e-9, atol=1e-9)


def test_second_derivative_of_eigenvalues() -> None:
    x = np.diag([1.0, 2.0, 4.0]) + 0.1 * change[:3, :3]

    def power(x):
        params = dict(compute_left_eigenvectors=False, compute_right_eigenvectors=False)
        return mnp.real(mnp.sum(decompositions.eig(x, **params)[0] ** 3))

    np.testing.assert_allclose(
        mj.hessian(power)(x), jax.hessian(lambda x: jnp.trace(x @ x @ x))(x), rtol=1e-8, atol=1e-8
    )


def test_update_of_a_batch() -> None:
    r, w = np.triu(random(4, 3, 3, dtype=float)) + 3 * np.eye(3), random(4, 3, dtype=float)
    out = mj.vmap(linear_algebra.cholesky_update)(r, w)
    np.testing.assert_allclose(
        jnp.swapaxes(out, 1, 2) @ out, jnp.swapaxes(r, 1, 2) @ r + w[:, :, None] * w[:, None], rtol=1e-12
    )


# What is refused


@pytest.mark.parametrize(
    ("primitive", "shapes", "params"),
    [
        (linear_algebra.cholesky, [(3, 4)], {}),
        (linear_algebra.cholesky, [(3,)], {}),
        (linear_algebra.lu, [(3,)], {}),
        (linear_algebra.triangular_solve, [(3, 3), (4, 2)], SOLVE),
        (linear_algebra.triangular_solve, [(2, 3, 3), (3, 2)], SOLVE),
        (linear_algebra.tridiagonal_solve, [(3,), (3,), (3,), (2, 3)], dict(perturb_singular=False)),
        (linear_algebra.symmetric_product, [(2, 3), (3, 3)], dict(alpha=1.0, beta=0.0)),
        (linear_algebra.cholesky_update, [(3, 3), (2,)], {}),
        (reflections.qr, [(3,)], QR),
        (reflections.geqp3, [(3, 2), (3,)], {}),
        (reflections.householder_product, [(2, 3), (2,)], {}),
        (reflections.ormqr, [(3, 2), (2,), (2, 2)], dict(left=True, transpose=False)),
        (decompositions.eigh, [(2, 3)], EIGH),
        (decompositions.svd, [(2,)], SVD),
        (decompositions.hessenberg, [(0, 0)], {}),
        (decompositions.tridiagonal, [(2, 3)], dict(lower=True)),
    ],
    ids=str,
)
def test_shapes_that_do_not_fit(primitive, shapes, params) -> None:
    with pytest.raises(mj.ArgumentError) as error:
        mj.eval_shape(lambda *xs: primitive(*xs, **params), *[jnp.zeros(s) for s in shapes])
    assert primitive.name in error.value.what and "It takes" in error.value.why and error.value.do


def test_pivots_that_do_not_fit() -> None:
    with pytest.raises(mj.ArgumentError, match="permutation_size=2"):
        mj.eval_shape(lambda p: linear_algebra.lu_pivots_to_permutation(p, permutation_size=2), jnp.zeros(3, jnp.int32))


def test_dtypes_that_do_not_fit() -> None:
    for dtypes in ([jnp.bfloat16], [jnp.int32]):
        with pytest.raises(mj.ArgumentError, match=r"one dtype among complex128, .*\n.*astype"):
            mj.eval_shape(linear_algebra.cholesky, *[jnp.zeros((2, 2), d) for d in dtypes])


@pytest.mark.parametrize(
    ("function", "advice"),
    [
        (
            lambda x: decompositions.eig(x, compute_left_eigenvectors=False, compute_right_eigenvectors=True),
            "enable_eigvec_derivs=True",
        ),
        (lambda x: decompositions.eigh(x, **{**EIGH, "subset_by_index": (0, 2)}), "slice"),
        (lambda x: decompositions.svd(x, **{**SVD, "subset_by_index": (0, 2)}), "slice"),
        (
            lambda x: decompositions.schur(x, compute_schur_vectors=True, sort_eig_vals=False, select_callable=None),
            "eigh",
        ),
        (decompositions.hessenberg, "eig"),
        (lambda x: decompositions.tridiagonal(x, lower=True), "eigh"),
    ],
)
def test_derivatives_that_are_not_known(function, advice) -> None:
    with pytest.raises(mj.MissingRuleError) as error:
        mj.jvp(function, (change,), (change,))
    assert advice in error.value.do


def test_matrices_of_a_system_are_not_linear() -> None:
    with pytest.raises(mj.MissingRuleError, match="transpose"):
        mj.linear_transpose(lambda a: linear_algebra.triangular_solve(a, jnp.ones((3, 1)), **SOLVE), jnp.eye(3))(
            jnp.ones((3, 1))
        )
