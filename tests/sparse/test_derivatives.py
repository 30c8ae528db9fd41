"""Sparse Jacobians and Hessians against dense ones of JAX, and patterns against what is not zero in them."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import tree_leaves, tree_map
from scipy.sparse import csr_array

import minijvp
import minijvp.numpy as mnp
from minijvp.errors import ArgumentError
from tests.sparse.functions import HESSIANS, JACOBIANS, Case, burgers, rosenbrock, spaced


def dense(case: Case, order: int) -> np.ndarray:
    """The derivative by JAX, as a matrix."""
    x = tree_map(jnp.asarray, case.x)
    leaves, tree = jax.tree_util.tree_flatten(x)
    sizes = np.cumsum([leaf.size for leaf in leaves])[:-1]
    fun = case.make(jax, jnp)

    def flat(v: Any) -> Any:
        parts = [p.reshape(leaf.shape) for p, leaf in zip(jnp.split(v, sizes), leaves, strict=True)]
        return jnp.concatenate([jnp.ravel(out) for out in tree_leaves(fun(tree.unflatten(parts)))])

    v = jnp.concatenate([jnp.ravel(leaf) for leaf in leaves])
    if order == 1:
        # A function with a rule for cotangents has no forward mode in JAX.
        return np.asarray(jax.jacrev(flat)(v) if case.name in REVERSE else jax.jacfwd(flat)(v))
    return np.asarray(jax.hessian(lambda v: flat(v)[0])(v))


REVERSE = {"custom_vjp"}


def agree(found: Any, wanted: np.ndarray) -> None:
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found.todense(), wanted, rtol=2e-4, atol=2e-5 * max(1, np.abs(wanted).max(initial=0)))


@pytest.mark.parametrize("case", JACOBIANS, ids=str)
def test_sparse_jacobians_are_the_dense_ones(case: Case) -> None:
    fun, wanted = case.make(minijvp, mnp), dense(case, 1)
    x = tree_map(mnp.asarray, case.x)
    pattern = minijvp.sparsity(fun)(x)
    assert not (wanted != 0)[~pattern.toarray()].any()
    assert pattern.nnz == case.entries
    assert pattern.colouring().n <= case.colours
    agree(minijvp.sparse_jacobian(fun)(x), wanted)
    here = minijvp.sparsity(fun, local=True)(x)
    assert not (wanted != 0)[~here.toarray()].any()
    assert not (here.toarray() & ~pattern.toarray()).any()


@pytest.mark.parametrize("case", HESSIANS, ids=str)
def test_sparse_hessians_are_the_dense_ones(case: Case) -> None:
    fun, wanted = case.make(minijvp, mnp), dense(case, 2)
    x = tree_map(mnp.asarray, case.x)
    pattern = minijvp.sparsity(fun, order=2)(x)
    assert pattern.symmetric
    assert not (wanted != 0)[~pattern.toarray()].any()
    assert pattern.nnz == case.entries
    assert pattern.colouring("symmetric").n <= case.colours
    agree(minijvp.sparse_hessian(fun)(x), wanted)


def test_under_jit_they_are_the_same() -> None:
    for cases, sparse, order in ((JACOBIANS, minijvp.sparse_jacobian, 1), (HESSIANS, minijvp.sparse_hessian, 2)):
        for case in cases[:2]:
            compiled = minijvp.jit(sparse(case.make(minijvp, mnp)))
            agree(compiled(tree_map(mnp.asarray, case.x)), dense(case, order))


@pytest.mark.parametrize("mode", ["fwd", "rev", "auto"])
@pytest.mark.parametrize("chunk_size", [None, 1, 2])
def test_modes_and_chunks_give_the_same(mode: str, chunk_size: int | None) -> None:
    for name in ("arrowhead", "states by a scan", "poisson"):
        case = next(c for c in JACOBIANS if c.name == name)
        jacobian = minijvp.sparse_jacobian(case.make(minijvp, mnp), mode=mode, chunk_size=chunk_size)
        agree(jacobian(mnp.asarray(case.x)), dense(case, 1))
    case = HESSIANS[0]
    agree(minijvp.sparse_hessian(case.make(minijvp, mnp), chunk_size=chunk_size)(mnp.asarray(case.x)), dense(case, 2))


def test_arguments_are_chosen_and_others_may_change() -> None:
    """Whatever is in arrays that are passed besides counts for the entries, and not for the pattern."""
    calls = []

    def fun(w: Any, x: Any, n: int, *, shift: Any) -> Any:
        calls.append(n)
        return w * x[:3] ** n + shift

    x, w = mnp.asarray(spaced(4)), mnp.asarray(spaced(3))
    for mask in (np.zeros(3, np.float32), np.ones(3, np.float32)):
        found = minijvp.sparse_jacobian(fun, argnums=1)(w * mask, x, 2, shift=mask)
        np.testing.assert_allclose(found.todense()[:, :3], np.diag(2 * w * mask * x[:3]), rtol=1e-6)
        assert found.nse == 3
    both = minijvp.sparse_jacobian(fun, argnums=("shift", 0))(w, x, 2, shift=w)
    np.testing.assert_allclose(both.todense(), np.concatenate([np.eye(3), np.diag(x[:3] ** 2)], 1), rtol=1e-6)
    assert calls == [2] * 3


def test_a_constant_that_changes_is_seen() -> None:
    box = {"mask": np.array([1.0, 0.0, 1.0], np.float32)}
    fun = lambda x: x**2 * box["mask"]
    jacobian, x = minijvp.sparse_jacobian(fun), mnp.ones(3)
    assert jacobian(x).nse == 2
    box["mask"][:] = [0.0, 1.0, 1.0]
    assert np.diag(jacobian(x).todense()).tolist() == [0.0, 2.0, 2.0]
    large = np.zeros(2**19, np.float32)
    whole = minijvp.sparse_jacobian(lambda x: x * large)
    assert whole(mnp.ones(2**19)).nse == 0
    large[5] = 1.0
    assert whole(mnp.ones(2**19)).nse == 1
    box["mask"] = np.ones(3, np.float32)
    assert np.diag(jacobian(x).todense()).tolist() == [2.0, 2.0, 2.0]


def test_entries_are_differentiated_and_batched() -> None:
    fun, x = burgers(minijvp, mnp), mnp.asarray(spaced(6))
    energy = lambda x: (minijvp.sparse_jacobian(fun)(x).data ** 2).sum()
    wanted = minijvp.grad(lambda x: (minijvp.jacfwd(fun)(x) ** 2).sum())(x)
    np.testing.assert_allclose(minijvp.grad(energy)(x), wanted, rtol=1e-5)
    np.testing.assert_allclose(minijvp.jit(minijvp.grad(energy))(x), wanted, rtol=1e-5)
    each = minijvp.vmap(lambda x: minijvp.sparse_jacobian(fun)(x).data)(mnp.stack([x, 2 * x]))
    np.testing.assert_allclose(each[1], minijvp.sparse_jacobian(fun)(2 * x).data, rtol=1e-6)
    scale = lambda a: minijvp.sparse_jacobian(lambda x: a * x**2)(x).data.sum()
    np.testing.assert_allclose(minijvp.grad(scale)(3.0), 2 * x.sum(), rtol=1e-6)


def test_formats() -> None:
    fun, x = rosenbrock(minijvp, mnp), mnp.asarray(spaced(6))
    wanted = jax.hessian(rosenbrock(jax, jnp))(x)
    found = minijvp.sparse_hessian(fun, format="scipy")(x)
    assert isinstance(found, csr_array)
    np.testing.assert_allclose(found.toarray(), wanted, rtol=1e-4)
    products = minijvp.jit(lambda x: minijvp.from_jax(lambda h, x: h @ x)(minijvp.sparse_hessian(fun)(x), x))
    np.testing.assert_allclose(products(x), wanted @ x, rtol=1e-3)


def test_programs_of_jax_have_patterns() -> None:
    def smoothed(x: Any) -> Any:
        return jnp.convolve(x, jnp.array([1.0, 0.0, 2.0], "float32"), "same") * jax.nn.gelu(x)

    x, wanted = mnp.asarray(spaced(6)), jax.jacfwd(smoothed)(spaced(6))
    jacobian = minijvp.sparse_jacobian(minijvp.from_jax(smoothed))
    assert minijvp.sparsity(minijvp.from_jax(smoothed))(x).nnz == 6 + 2 * 5
    np.testing.assert_allclose(jacobian(x).todense(), wanted, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(jax.jit(lambda x: jacobian(x) @ x)(x), wanted @ x, rtol=1e-4)


def test_a_pattern_can_be_given() -> None:
    fun, x = burgers(minijvp, mnp), mnp.asarray(spaced(6))
    pattern = minijvp.sparsity(fun)(x)
    wanted = jax.jacfwd(burgers(jax, jnp))(x)
    entries = minijvp.sparse_jacobian(fun)(x)
    for given in (pattern, pattern.matrix, pattern.toarray(), entries, np.ones((6, 6))):
        found = minijvp.sparse_jacobian(fun, pattern=given)(x)
        np.testing.assert_allclose(found.todense(), wanted, rtol=1e-5)
        assert found.nse == (36 if type(given) is np.ndarray and given.all() else 16)


def test_derivatives_that_are_not_symmetric_are_not_taken_for_it() -> None:
    """A rule of a user may give a gradient that is none."""

    @minijvp.custom_vjp
    def f(x: Any) -> Any:
        return mnp.sum(x)

    f.defvjp(lambda x: (f(x), x), lambda x, ct: (ct * mnp.concatenate([x[1:] ** 2, x[:1] * 0]),))
    x = mnp.asarray(spaced(4))
    np.testing.assert_allclose(minijvp.sparse_hessian(f)(x).todense(), minijvp.hessian(f)(x), rtol=1e-6)

    @minijvp.custom_vjp
    def g(x: Any) -> Any:
        return mnp.sum(x)

    g.defvjp(lambda x: (g(x), x), lambda x, ct: (ct * x * mnp.concatenate([x[1:] ** 3, x[:1]]) * x[0] * x[1] ** 2,))
    wanted = minijvp.hessian(g)(x)[:2, :2]
    assert abs(wanted[0, 1] - wanted[1, 0]) > 0.1
    whole = minijvp.sparse_hessian(g, mode="auto")(x)
    np.testing.assert_allclose(whole.todense(), minijvp.hessian(g)(x), rtol=1e-5, atol=1e-6)


def exported(fun: Any) -> Any:
    """The program for any number of elements."""
    (n,) = jax.export.symbolic_shape("n")
    return minijvp.export.export(minijvp.jit(fun))(jax.ShapeDtypeStruct((n,), np.float32))


BAD = {
    "integers": (lambda: minijvp.sparse_jacobian(lambda x: x)(mnp.arange(3)), "x"),
    "complex argument": (lambda: minijvp.sparsity(lambda z: z)(mnp.ones(3) * 1j), "two real arguments"),
    "complex result": (lambda: minijvp.sparse_jacobian(lambda x: x * 1j)(mnp.ones(3)), "mnp.real"),
    "integer result": (lambda: minijvp.sparse_jacobian(lambda x: x > 0)(mnp.ones(3)), "result bool"),
    "hessian of many": (lambda: minijvp.sparse_hessian(lambda x: x**2)(mnp.ones(3)), "sparse_hessian needs"),
    "hessian of two": (lambda: minijvp.sparsity(lambda x: (x, x), order=2)(1.0), "sparsity needs"),
    "mode": (lambda: minijvp.sparse_jacobian(mnp.sin, mode="sideways"), "'sideways'"),
    "format": (lambda: minijvp.sparse_hessian(mnp.sum, format="csc"), "'csc'"),
    "chunk": (lambda: minijvp.sparse_jacobian(mnp.sin, chunk_size=0), "chunk_size=0"),
    "mode of a Hessian": (lambda: minijvp.sparse_hessian(mnp.sum, mode="fwd"), "'fwd'"),
    "no pattern": (lambda: minijvp.sparse_jacobian(mnp.sin, pattern="dense"), "'dense'"),
    "order": (lambda: minijvp.sparsity(mnp.sin, order=3), "order=3"),
    "no function": (lambda: minijvp.sparse_jacobian(3), "cannot be called"),
    "shape of a pattern": (lambda: minijvp.sparse_jacobian(mnp.sin, pattern=np.eye(2))(mnp.ones(3)), "(2, 2)"),
    "scipy while traced": (lambda: minijvp.jit(minijvp.sparse_jacobian(mnp.sin, format="scipy"))(mnp.ones(3)), "SciPy"),
    "values while traced": (lambda: minijvp.jit(minijvp.sparsity(mnp.sin, local=True))(mnp.ones(3)), "local"),
    "mode of a colouring": (lambda: minijvp.sparsity(mnp.sin)(mnp.ones(3)).colouring("star"), "'star'"),
    "not symmetric": (lambda: minijvp.sparsity(mnp.cumsum)(mnp.ones(3)).colouring("symmetric"), "not symmetric"),
    "symbolic size": (lambda: exported(minijvp.sparse_jacobian(mnp.sin)), "symbolic"),
    "no such argument": (lambda: minijvp.sparse_jacobian(mnp.sin, argnums=4)(mnp.ones(3)), "argnums"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_arguments_are_named(name: str) -> None:
    call, text = BAD[name]
    with pytest.raises(ArgumentError) as caught:
        call()
    assert text in str(caught.value)
    assert caught.value.do
