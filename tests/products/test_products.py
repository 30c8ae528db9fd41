"""Products with Hessians and their kin, and diagonals, against what JAX gives by hand and from whole matrices."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import minijvp
import minijvp.numpy as mnp
from minijvp import ArgumentError
from minijvp.sparse import Pattern
from tests.side_by_side import same

X, V = jnp.array([0.3, -1.2, 2.0]), jnp.array([1.0, 0.5, -2.0])
XS = jnp.stack([X, V])
P = {"w": jnp.arange(6.0).reshape(2, 3) / 3, "b": jnp.array(0.5), "none": None}
T = {"w": jnp.cos(jnp.arange(6.0)).reshape(2, 3), "b": jnp.array(-2.0), "none": None}


def loss(np: Any) -> Any:
    return lambda x: (np.sin(x) * x[::-1] ** 2).sum() * x.prod()


def model(np: Any) -> Any:
    return lambda p, x: {"u": np.tanh(p["w"] @ x), "v": np.sin(p["b"]) * x.sum()}


def of_trees(np: Any) -> Any:
    return lambda p, x: (model(np)(p, x)["u"] ** 2).sum() * np.exp(p["b"])


def criterion(np: Any) -> Any:
    return lambda out: np.log(np.exp(out["u"]).sum()) + out["v"] ** 2 * out["u"][0]


def hvp_in_jax(f: Any, primals: Any, tangents: Any) -> Any:
    found = jax.jvp(jax.grad(f, tuple(range(len(primals)))), primals, tangents)[1]
    return found[0] if len(primals) == 1 else found


def ggnvp_in_jax(loss: Any, model: Any, primals: Any, tangents: Any) -> Any:
    out, pushed = jax.jvp(model, primals, tangents)
    found = jax.vjp(model, *primals)[1](jax.jvp(jax.grad(loss), (out,), (pushed,))[1])
    return found[0] if len(primals) == 1 else found


def with_itself(product: Any, f: Any) -> Any:
    """A number that depends on a product with a matrix at a point and on that point."""
    return lambda x: (product(f, (x,), (x**2,)) * V).sum()


def test_hvp() -> None:
    same(minijvp.hvp(loss(mnp), (X,), (V,)), jax.hessian(loss(jnp))(X) @ V)
    same(minijvp.hvp(of_trees(mnp), (P, X), (T, V)), hvp_in_jax(of_trees(jnp), (P, X), (T, V)))
    same(minijvp.hvp(loss(mnp), [X], [V]), hvp_in_jax(loss(jnp), (X,), (V,)))


def test_ggnvp() -> None:
    found = minijvp.ggnvp(criterion(mnp), model(mnp), (P, X), (T, V))
    same(found, ggnvp_in_jax(criterion(jnp), model(jnp), (P, X), (T, V)))
    squares = lambda y: (y**2).sum() / 2
    J = jax.jacfwd(lambda x: jnp.sin(x) * x.sum())(X)
    same(minijvp.ggnvp(squares, lambda x: mnp.sin(x) * x.sum(), (X,), (V,)), J.T @ (J @ V))


def test_fishervp() -> None:
    def likelihoods(np: Any) -> Any:
        return lambda x: {"a": np.sin(x) * x.sum(), "b": np.exp(x[:2]).reshape(1, 2)}

    flat = lambda x: jnp.concatenate([likelihoods(jnp)(x)["a"], likelihoods(jnp)(x)["b"].ravel()])
    g = jax.jacrev(flat)(X)
    same(minijvp.fishervp(likelihoods(mnp), (X,), (V,)), sum(jnp.outer(r, r) for r in g) @ V / 5)


def test_the_information_of_a_softmax_is_its_gauss_newton_matrix() -> None:
    probabilities = jax.nn.softmax(X)
    fisher = sum(
        p * jnp.outer(jnp.eye(3)[i] - probabilities, jnp.eye(3)[i] - probabilities) for i, p in enumerate(probabilities)
    )
    found = minijvp.ggnvp(lambda z: minijvp.nn.logsumexp(z) - z[1], lambda x: x, (X,), (V,))
    same(found, fisher @ V)


PRODUCTS = {
    "hvp": (lambda x, t: minijvp.hvp(loss(mnp), (x,), (t,)), lambda x, t: hvp_in_jax(loss(jnp), (x,), (t,))),
    "ggnvp": (
        lambda x, t: minijvp.ggnvp(criterion(mnp), lambda x: model(mnp)(P, x), (x,), (t,)),
        lambda x, t: ggnvp_in_jax(criterion(jnp), lambda x: model(jnp)(P, x), (x,), (t,)),
    ),
    "fishervp": (
        lambda x, t: minijvp.fishervp(lambda x: mnp.sin(x) * x.sum(), (x,), (t,)),
        lambda x, t: ggnvp_in_jax(lambda z: (z**2).mean() / 2, lambda x: jnp.sin(x) * x.sum(), (x,), (t,)),
    ),
    "elementwise_grad": (
        lambda x, t: minijvp.elementwise_grad(lambda x, t: mnp.sin(x) * x * t)(x, t),
        lambda x, t: (jnp.cos(x) * x + jnp.sin(x)) * t,
    ),
    "divergence": (
        lambda x, t: minijvp.divergence(lambda x: mnp.sin(x) * x.sum() * t, chunk_size=2)(x),
        lambda x, t: jnp.trace(jax.jacfwd(lambda x: jnp.sin(x) * x.sum() * t)(x)),
    ),
    "hessian_diagonal": (
        lambda x, t: minijvp.hessian_diagonal(lambda x: loss(mnp)(x * t), chunk_size=2)(x),
        lambda x, t: jnp.diag(jax.hessian(lambda x: loss(jnp)(x * t))(x)),
    ),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_under_other_transformations(name: str) -> None:
    ours, theirs = PRODUCTS[name]
    same(ours(X, V), theirs(X, V))
    same(minijvp.jit(ours)(X, V), theirs(X, V))
    same(minijvp.vmap(ours)(XS, XS + 1), jax.vmap(theirs)(XS, XS + 1))
    same(minijvp.jit(minijvp.vmap(ours, (0, None)))(XS, V), jax.vmap(theirs, (0, None))(XS, V))
    weigh = lambda f: lambda x, t: (f(x, t) * 1.5).sum()
    found = minijvp.grad(weigh(ours), (0, 1))(X, V)
    same(found, jax.grad(weigh(theirs), (0, 1))(X, V), 1e-11)
    same(minijvp.jit(minijvp.jacfwd(ours))(X, V), jax.jacfwd(theirs)(X, V), 1e-11)
    half = lambda x: x.astype(jnp.float32)
    same(ours(half(X), half(V)), theirs(half(X), half(V)), 1e-4)


@pytest.mark.parametrize("chunk_size", [None, 1, 3, 100, "auto"])
def test_divergence_of_trees(chunk_size: Any) -> None:
    def field(np: Any) -> Any:
        return lambda p: {"w": np.tanh(p["w"]) * p["b"], "b": p["b"] * p["w"].sum(), "none": None}

    flat, unravel = ravel_pytree(P)
    wanted = jnp.trace(jax.jacfwd(lambda v: ravel_pytree(field(jnp)(unravel(v)))[0])(flat))
    same(minijvp.divergence(field(mnp), chunk_size=chunk_size)(P), wanted)
    value, aux = minijvp.divergence(lambda p: (field(mnp)(p), p["b"]), has_aux=True, chunk_size=chunk_size)(P)
    same((value, aux), (wanted, P["b"]))
    rotated = lambda x, y: (y * x, x)
    same(minijvp.divergence(rotated, (0, 1), chunk_size=chunk_size)(X, V), V.sum())
    same(minijvp.divergence(lambda x: mnp.ones(3), chunk_size=chunk_size)(X), jnp.array(0.0))
    same(minijvp.divergence(lambda x: x, chunk_size=chunk_size)(X[:0]), jnp.array(0.0))


@pytest.mark.parametrize("chunk_size", [None, 1, 3, "auto"])
def test_hessian_diagonal_of_trees(chunk_size: Any) -> None:
    flat, unravel = ravel_pytree(P)
    wanted = unravel(jnp.diag(jax.hessian(lambda v: of_trees(jnp)(unravel(v), X))(flat)))
    same(minijvp.hessian_diagonal(of_trees(mnp), chunk_size=chunk_size)(P, X), wanted)
    fun = minijvp.hessian_diagonal(lambda p: (of_trees(mnp)(p, X), "aux"), has_aux=True, chunk_size=chunk_size)
    found, aux = fun(P)
    same(found, wanted)
    assert aux == "aux"


def test_an_estimate_says_that_it_is_one() -> None:
    flat, unravel = ravel_pytree(P)
    wanted = unravel(jnp.diag(jax.hessian(lambda v: of_trees(jnp)(unravel(v), X))(flat)))
    f = minijvp.hessian_diagonal(of_trees(mnp), key=minijvp.random.key(1), samples=4000)
    for run in (f, minijvp.jit(f)):
        found = run(P, X)
        assert type(found).__name__ == "DiagonalEstimate"
        for name in ("w", "b"):
            error = found.standard_error[name]
            assert found.mean[name].shape == error.shape == P[name].shape
            assert (abs(found.mean[name] - wanted[name]) <= 4 * error + 1e-12).all()
            assert (error < 0.1).all() and (error > 0).any()
    # The samples themselves: the mean of z * (H z), and what it varies by.
    key, H = minijvp.random.key(3), jax.hessian(loss(jnp))(X)
    signs = [jax.random.rademacher(jax.random.split(k, 1)[0], (3,), float) for k in jax.random.split(key, 5)]
    entries = np.stack([z * (H @ z) for z in signs])
    found = minijvp.hessian_diagonal(loss(mnp), key=key, samples=5)(X)
    same(found.mean, jnp.array(entries.mean(0)))
    same(found.standard_error, jnp.array(entries.std(0, ddof=1) / np.sqrt(5)))
    same(minijvp.vmap(minijvp.hessian_diagonal(lambda x: (x**3).sum(), key=key, samples=2))(XS).mean, 6 * XS)


def test_elementwise_grad_selects_arguments() -> None:
    f = lambda x, y: {"out": mnp.sin(x) * y}
    same(minijvp.elementwise_grad(f, "y")(X, y=V), {"out": jnp.sin(X)})
    same(minijvp.elementwise_grad(f, -1)(X, V), {"out": jnp.sin(X)})
    same(minijvp.elementwise_grad(lambda x: mnp.ones(3))(X), jnp.zeros(3))
    twice = minijvp.elementwise_grad(minijvp.elementwise_grad(mnp.sin))
    same(twice(XS), -jnp.sin(XS))


def fails(part: str) -> Any:
    return pytest.raises(ArgumentError, match=part)


def test_tangents_must_fit() -> None:
    calls = {
        "hvp": lambda x, t: minijvp.hvp(loss(mnp), x, t),
        "ggnvp": lambda x, t: minijvp.ggnvp(loss(mnp), mnp.sin, x, t),
        "fishervp": lambda x, t: minijvp.fishervp(mnp.sin, x, t),
    }
    for name, call in calls.items():
        with fails(f"primals of {name} is of type"):
            call(X, (V,))
        with fails(f"tangents of {name} is of type"):
            call((X,), V)
        with fails("the tree of tangents"):
            call((X,), (V, V))
        with fails("the tangent at tangents"):
            call((X,), (V[:2],))
        with fails("the tangent at tangents"):
            call((X,), (V.astype("float32"),))
        with fails("Integers and booleans have no derivative|dtype float0"):
            call((jnp.arange(3),), (V,))


def test_what_is_differentiated_must_be_real() -> None:
    with fails("one number as its result"):
        minijvp.hvp(mnp.sin, (X,), (V,))
    with fails("one number as its result"):
        minijvp.ggnvp(mnp.sin, mnp.sin, (X,), (V,))
    with fails("one number as its result"):
        minijvp.hessian_diagonal(mnp.sin)(X)
    with fails("real result"):
        minijvp.hvp(lambda x: (1j * x).sum(), (X,), (V,))
    with fails("no derivative"):
        minijvp.ggnvp(lambda y: y.sum() * 1.0, lambda x: mnp.round(x).astype(int), (X,), (V,))
    for fun in (minijvp.divergence, minijvp.hessian_diagonal, minijvp.elementwise_grad):
        with fails(f"{fun.__name__} of .* received c128"):
            fun(mnp.sin)(X + 0j)
        with fails("Integers and booleans have no derivative"):
            fun(lambda x: x)(jnp.arange(3))
    for result in (lambda x: 1j * x, lambda x: x > 0, lambda x: x.astype(int)):
        with fails("divergence cannot use the result of <lambda>"):
            minijvp.divergence(result)(X)
        with fails("elementwise_grad cannot use the result of <lambda>"):
            minijvp.elementwise_grad(result)(X)
        with fails(r"fishervp cannot use the result\['a'\] of <lambda>"):
            minijvp.fishervp(lambda x, result=result: {"a": result(x)}, (X,), (V,))


def test_shapes_samples_and_functions_must_fit() -> None:
    for field in (lambda x: x[:2], lambda x: (x, x), lambda x: x.sum()):
        with fails("Only a square matrix has a diagonal"):
            minijvp.divergence(field)(X)
        with fails("one real array"):
            minijvp.elementwise_grad(field)(X)
    with fails("one real array"):
        minijvp.elementwise_grad(lambda p: p[0])((X, V))
    key = minijvp.random.key(0)
    for how in ({"samples": 3}, *[{"key": key, "samples": n} for n in (0, 1, -3, True, 2.0, "many")]):
        with fails("hessian_diagonal received samples="):
            minijvp.hessian_diagonal(loss(mnp), **how)
    for size in (0, -1, True, 1.5, "some"):
        for fun in (minijvp.divergence, minijvp.hessian_diagonal):
            with fails(f"{fun.__name__} received chunk_size="):
                fun(loss(mnp), chunk_size=size)
    for call in (
        lambda: minijvp.hvp(1.0, (X,), (V,)),
        lambda: minijvp.ggnvp(1.0, mnp.sin, (X,), (V,)),
        lambda: minijvp.ggnvp(mnp.sum, 1.0, (X,), (V,)),
        lambda: minijvp.fishervp(1.0, (X,), (V,)),
        lambda: minijvp.divergence(1.0),
        lambda: minijvp.hessian_diagonal(1.0),
        lambda: minijvp.elementwise_grad(1.0),
    ):
        with fails("cannot be called"):
            call()


@pytest.mark.parametrize("name", ["chain", "arrow", "trees", "dense"])
def test_diagonals_by_colours(name: str) -> None:
    functions: dict[str, Any] = {
        "chain": lambda x: mnp.sum(mnp.sin(x[1:] * x[:-1])) + mnp.sum(x**4),
        "arrow": lambda x: mnp.sum(mnp.sin(x[0] * x[1:]) * x[1:] ** 2),
        "trees": lambda x: mnp.sum(mnp.exp(x[:3]) * x[3:6]) + mnp.prod(x[6:]),
        "dense": lambda x: mnp.sum(mnp.sin(x)) ** 3,
    }
    f, x = functions[name], jnp.linspace(0.3, 1.2, 9)
    pattern = minijvp.sparsity(f, order=2)(x)
    wanted = jnp.diagonal(minijvp.hessian(f)(x))
    for given in (pattern, Pattern.of(pattern.toarray())):
        np.testing.assert_allclose(minijvp.hessian_diagonal(f, pattern=given)(x), wanted, rtol=1e-10, atol=1e-12)
    by_colours = minijvp.hessian_diagonal(f, pattern=pattern)
    np.testing.assert_allclose(minijvp.jit(by_colours)(x), wanted, rtol=1e-10, atol=1e-12)
    two = jnp.stack([x, 2 * x])
    np.testing.assert_allclose(minijvp.vmap(by_colours)(two)[0], wanted, rtol=1e-10, atol=1e-12)
    g = lambda p: f(mnp.concatenate([p["a"], p["b"]]))
    found = minijvp.hessian_diagonal(g, pattern=pattern)({"a": x[:4], "b": x[4:]})
    np.testing.assert_allclose(jnp.concatenate([found["a"], found["b"]]), wanted, rtol=1e-10, atol=1e-12)


def test_a_diagonal_takes_a_product_for_each_colour() -> None:
    x = jnp.ones(5000)
    for f, n in ((lambda x: mnp.sum(x[1:] * x[:-1]), 2), (lambda x: mnp.sum(x[0] * x[1:]), 2), (mnp.sum, 1)):
        assert minijvp.sparsity(f, order=2)(x).apart.max() + 1 == n


def test_patterns_that_cannot_be() -> None:
    f = lambda x: mnp.sum(x**2)
    with pytest.raises(minijvp.ArgumentError, match="a pattern of 4 columns for arguments of 3 elements"):
        minijvp.hessian_diagonal(f, pattern=Pattern.of(np.eye(4)))(jnp.ones(3))
    with pytest.raises(minijvp.ArgumentError, match="3 x 4 is not square"):
        minijvp.hessian_diagonal(f, pattern=Pattern.of(np.ones((3, 4))))
    with pytest.raises(minijvp.ArgumentError, match="of type ndarray and no key"):
        minijvp.hessian_diagonal(f, pattern=np.eye(3))
    with pytest.raises(minijvp.ArgumentError, match="and a key"):
        minijvp.hessian_diagonal(f, pattern=Pattern.of(np.eye(3)), key=minijvp.random.key(0))
    with pytest.raises(minijvp.ArgumentError, match="a key of type int"):
        minijvp.hessian_diagonal(f, key=0)
