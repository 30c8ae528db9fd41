"""Forward Laplacians against traces of Hessians, by JAX; and the rule of every primitive against its second jvp."""

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
from tests.samples import Sample, all_samples
from tests.side_by_side import same

X, V = jnp.array([0.3, -1.2, 2.0]), jnp.array([1.0, 0.5, -2.0])
XS = jnp.stack([X, V])
P = {"w": jnp.arange(6.0).reshape(2, 3) / 3, "b": jnp.array(0.5), "none": None}


def trace_of_hessian(f: Any) -> Any:
    """The Laplacian by the whole Hessian, of a function of one vector."""
    return jax.jit(lambda x: jax.tree.map(lambda h: jnp.trace(h, axis1=-2, axis2=-1), jax.hessian(f)(x)))


def fixed(api: Any, np: Any) -> Any:
    """The loop of a fixed number of steps, by the names of both."""
    return lambda x: api.lax.fori_loop(0, 3, lambda i, c: np.sin(c) * x, x)


PROGRAMS = {
    "elementwise": lambda api, np: lambda x: np.sin(x) * x.sum() / (1 + x[::-1] ** 2),
    "powers": lambda api, np: lambda x: np.abs(x) ** x[::-1] + np.hypot(x, x[0]) + np.arctan2(x, 2 + x[::-1]),
    "reductions": lambda api, np: lambda x: x.prod() * np.exp(x).max() + np.cumsum(np.sin(x)).std(),
    "products of matrices": lambda api, np: lambda x: np.tanh(np.outer(x, x) @ x) @ x,
    "shapes": lambda api, np: lambda x: np.concatenate([x[1:] * x[:1], np.sin(x).reshape(3, 1)[:, 0]]),
    "choices": lambda api, np: lambda x: np.where(x > 0, np.sqrt(np.abs(x)), x**3) + np.maximum(x**2, 1.0) + np.sign(x),
    "scan": lambda api, np: lambda x: api.lax.scan(lambda c, y: (np.sin(c) * y + c**2 / 9, c * y), x, x),
    "loop": fixed,
    "cond": lambda api, np: lambda x: api.lax.cond(x[0] > 0, lambda x: np.sin(x) * x[0], lambda x: x, x),
    "jit": lambda api, np: api.jit(lambda x: (api.jit(np.sin)(x) * x, x.sum() ** 3)),
    "checkpoint": lambda api, np: api.checkpoint(lambda x: np.sin(np.sin(x) * x.sum())),
    "softmax": lambda api, np: lambda x: api.nn.softmax(x) * api.nn.gelu(x) + api.nn.logsumexp(x) + api.nn.relu(x),
    "solve": lambda api, np: lambda x: np.linalg.solve(np.outer(x, x) + np.eye(3), np.sin(x)),
    "complex inside": lambda api, np: lambda x: np.abs(np.exp(1j * x) * x.sum() + x) ** 2,
    "trees and constants": lambda api, np: lambda x: {"a": np.sin(x), "b": (np.ones(2), x), "c": x.sum() ** 2},
    "grad inside": lambda api, np: api.grad(lambda x: (np.sin(x) * x.sum() ** 2).sum()),
    "vmap inside": lambda api, np: lambda x: api.vmap(lambda y: np.sin(y * x) * y)(x * x),
    "stop_gradient": lambda api, np: lambda x: api.lax.stop_gradient(x**2) * x**2,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_laplacian(name: str) -> None:
    ours, theirs = PROGRAMS[name](minijvp, mnp), PROGRAMS[name](jax, jnp)
    wanted = trace_of_hessian(theirs)(X)
    same(minijvp.laplacian(ours)(X), wanted, 1e-11)
    same(minijvp.jit(minijvp.laplacian(ours))(X), wanted, 1e-11)


@pytest.mark.parametrize("name", ["elementwise", "products of matrices", "scan", "jit", "solve"])
def test_under_other_transformations(name: str) -> None:
    leaf = lambda f: lambda x: jax.tree.leaves(f(x))[0]
    ours, theirs = leaf(PROGRAMS[name](minijvp, mnp)), leaf(PROGRAMS[name](jax, jnp))
    found, wanted = minijvp.laplacian(ours), trace_of_hessian(theirs)
    same(minijvp.vmap(found)(XS), jax.vmap(wanted)(XS), 1e-9)
    same(minijvp.jit(minijvp.vmap(found))(XS), jax.vmap(wanted)(XS), 1e-9)
    same(minijvp.grad(lambda x: found(x).sum())(X), jax.grad(lambda x: wanted(x).sum())(X), 1e-9)
    same(minijvp.jit(minijvp.jacfwd(found))(X), jax.jacfwd(wanted)(X), 1e-9)
    closed = lambda api, lap, f: api.grad(lambda p: lap(lambda x: f(x * p))(X).sum())(0.7)
    same(closed(minijvp, minijvp.laplacian, ours), closed(jax, trace_of_hessian, theirs), 1e-9)


def one_for_each_primitive() -> list[Sample]:
    """The smallest sample with real arguments and results that has a derivative."""
    found: dict[str, tuple[int, Sample]] = {}
    for sample in all_samples():
        arrays = [x for x in sample.args if isinstance(x, np.ndarray)]
        size = sum([x.size for x in arrays if x.dtype in (np.float32, np.float64)])
        real = not any([x.dtype.kind == "c" for x in arrays])
        least = found.get(sample.primitive.name, (31, sample))[0]
        if sample.differentiable and real and 0 < size < least:
            found[sample.primitive.name] = size, sample
    return [sample for _, sample in found.values()]


@pytest.mark.parametrize("sample", one_for_each_primitive(), ids=str)
def test_rules_of_primitives(sample: Sample) -> None:
    """On a curved surface through the sample, where all arguments move together, against the sum of second jvps.

    Those are held against JAX by other tests.
    """
    args = [jnp.asarray(x) if isinstance(x, np.ndarray) else x for x in sample.args]
    moving = [isinstance(x, jax.Array) and x.dtype in (jnp.float32, jnp.float64) for x in args]
    exact = jnp.float32 not in [x.dtype for x, m in zip(args, moving, strict=True) if m]

    def surface(x: Any, k: int, s: Any) -> Any:
        a, b, c = (mnp.cos(mnp.arange(x.size) * 1.3 + k + j).reshape(x.shape).astype(x.dtype) for j in range(3))
        s = s.astype(x.dtype)
        return x + s[0] * a + s[1] * b + (s[0] ** 2 + s[0] * s[1] + 2 * s[1] ** 2) * c

    def fun(s: Any) -> list[Any]:
        moved = [surface(x, k, s) if m else x for k, (x, m) in enumerate(zip(args, moving, strict=True))]
        out = sample.primitive(*moved, **sample.params)
        outs = out if isinstance(out, (tuple, list)) else [out]
        return [x for x in outs if jnp.issubdtype(x.dtype, jnp.floating)]

    def second(direction: Any) -> list[Any]:
        return minijvp.jvp(lambda s: minijvp.jvp(fun, (s,), (direction,))[1], (jnp.zeros(2),), (direction,))[1]

    along = minijvp.jit(lambda d, e: [x + y for x, y in zip(second(d), second(e), strict=True)])
    wanted = along(jnp.array([1.0, 0.0]), jnp.array([0.0, 1.0]))
    tolerance = 1e-10 if exact else 1e-3
    scale = max([1.0, *[float(abs(w).max()) for w in wanted if np.size(w)]])
    for a, b in zip(minijvp.laplacian(fun)(jnp.zeros(2)), wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * scale)


@pytest.mark.parametrize(
    "name", ["sin", "tanh", "exp", "log1p", "arctan", "cbrt", "reciprocal", "logaddexp", "multiply"]
)
def test_elementwise_operations_of_what_is_curved(name: str) -> None:
    def fun(np: Any) -> Any:
        operation = getattr(np, name)
        binary = name in ("logaddexp", "multiply")
        return lambda x: operation(x**2, x[::-1] * x.sum()) if binary else operation(x**2 * x.sum() + 9)

    same(minijvp.laplacian(fun(mnp))(X), trace_of_hessian(fun(jnp))(X), 1e-11)


def test_of_trees_and_arguments() -> None:
    def fun(np: Any) -> Any:
        return lambda p, x: {"u": np.tanh(p["w"] @ x) * p["b"], "v": np.sin(x).sum()}

    def wanted(*argnums: int) -> Any:
        total = jax.tree.map(jnp.zeros_like, fun(jnp)(P, X))
        args = (P, X)
        for k in argnums:
            flat, unravel = ravel_pytree(args[k])
            f = lambda v, k=k, unravel=unravel: fun(jnp)(*args[:k], unravel(v), *args[k + 1 :])
            total = jax.tree.map(jnp.add, total, trace_of_hessian(f)(flat))
        return total

    same(minijvp.laplacian(fun(mnp))(P, X), wanted(0))
    same(minijvp.laplacian(fun(mnp), 1)(P, X), wanted(1))
    same(minijvp.laplacian(fun(mnp), (0, 1))(P, X), wanted(0, 1))
    same(minijvp.laplacian(fun(mnp), "x")(P, x=X), wanted(1))
    found, aux = minijvp.laplacian(lambda x: ((x**2).sum(), {"x": x, "n": 3}), has_aux=True)(X)
    same((found, aux["x"]), (jnp.array(6.0), X))
    assert aux["n"] == 3
    same(minijvp.laplacian(lambda x: mnp.ones(2))(X), jnp.zeros(2))
    same(minijvp.laplacian(lambda x: x.sum() ** 2)(X[:0]), jnp.array(0.0))
    same(minijvp.laplacian(mnp.sin)(0.5), -jnp.sin(0.5))
    single = X.astype(jnp.float32)
    same(minijvp.laplacian(lambda x: mnp.sin(x) * x)(single), trace_of_hessian(lambda x: jnp.sin(x) * x)(single), 1e-6)


def test_rules_of_users_count() -> None:
    @minijvp.custom_jvp
    def cube(x: Any) -> Any:
        return x**3

    cube.defjvp(lambda primals, tangents: (cube(primals[0]), 5.0 * primals[0] * tangents[0]))
    same(minijvp.laplacian(lambda x: cube(x).sum())(X), jnp.array(15.0))

    @minijvp.custom_vjp
    def sine(x: Any) -> Any:
        return mnp.sin(x)

    sine.defvjp(lambda x: (sine(x), x), lambda x, ct: (7.0 * x * ct,))
    for run in (minijvp.laplacian, lambda f: minijvp.jit(minijvp.laplacian(f))):
        same(run(lambda x: sine(x).sum())(X), jnp.array(21.0))
    twice = minijvp.extend.Elementwise("twice_in_laplacians", lambda x: 2 * x * x, lambda t, out, x: t * mnp.sin(x))
    same(minijvp.laplacian(lambda x: twice(x).sum())(X), jnp.cos(X).sum())


def test_python_steers_by_values() -> None:
    f = lambda x: mnp.sin(x).sum() if x[0] > 0 else x
    same(minijvp.laplacian(f)(X), -jnp.sin(X).sum())
    with pytest.raises(minijvp.ConcretizationError, match="being differentiated"):
        minijvp.laplacian(lambda x: float(x[0]) * x)(X)
    kept = []
    minijvp.laplacian(lambda x: (kept.append(x), x)[1])(X)
    with pytest.raises(minijvp.EscapedTracerError, match="a forward Laplacian"):
        mnp.sin(kept[0])


def test_zeros_absorb_where_that_is_set() -> None:
    f = lambda x: (mnp.sqrt(x) * mnp.array([0.0, 1.0])).sum()
    x = jnp.array([0.0, 4.0])
    assert np.isnan(minijvp.laplacian(f)(x))
    with minijvp.config(nan_safe=True):
        wanted = sum(minijvp.jvp(lambda y, e=e: minijvp.jvp(f, (y,), (e,))[1], (x,), (e,))[1] for e in jnp.eye(2))
        same(minijvp.laplacian(f)(x), wanted)
        assert np.isfinite(wanted)


@pytest.mark.parametrize("name", ["elementwise", "products of matrices", "jit", "scan", "softmax"])
def test_biharmonic(name: str) -> None:
    leaf = lambda f: lambda x: jax.tree.leaves(f(x))[0]
    ours, theirs = leaf(PROGRAMS[name](minijvp, mnp)), leaf(PROGRAMS[name](jax, jnp))
    wanted = trace_of_hessian(trace_of_hessian(theirs))(X)
    same(minijvp.biharmonic(ours)(X), wanted, 1e-9)
    same(minijvp.jit(minijvp.biharmonic(ours))(X), wanted, 1e-9)


def test_biharmonic_of_polynomials() -> None:
    same(minijvp.biharmonic(lambda x: (x**2).sum() ** 2)(X), jnp.array(8.0 * 3 * 5))  # 8 n (n + 2)
    found, aux = minijvp.biharmonic(lambda x, k: ((x**4).sum() * k, k), has_aux=True)(X, 2.0)
    assert (float(found), aux) == (144.0, 2.0)
    same(minijvp.biharmonic(lambda k, x: (x**4).sum() * k, "x")(2.0, x=X), jnp.array(144.0))


def test_memory_is_not_that_of_a_hessian() -> None:
    weights = [jnp.eye(64) / 8] * 4
    data = jnp.ones((32, 64))

    def network(np: Any) -> Any:
        def f(weights: Any, x: Any) -> Any:
            for w in weights:
                x = np.sin(x @ w)
            return x.sum()

        return f

    ours = minijvp.vmap(lambda x, ws: minijvp.laplacian(network(mnp), 1)(ws, x), (0, None))
    theirs = jax.vmap(lambda x, ws: jnp.trace(jax.hessian(network(jnp), 1)(ws, x)), (0, None))
    ours, theirs = minijvp.jit(ours), jax.jit(theirs)
    bytes_of = [f.lower(data, weights).compile().memory_analysis().temp_size_in_bytes for f in (ours, theirs)]
    assert bytes_of[0] <= 0.6 * bytes_of[1]
    same(ours(data, weights), theirs(data, weights), 1e-12)


def test_bad_inputs() -> None:
    for fun in (minijvp.laplacian, minijvp.biharmonic):
        with pytest.raises(ArgumentError, match=rf"{fun.__name__} of .* received c128.*\nBy a complex number"):
            fun(mnp.sin)(X + 0j)
        with pytest.raises(ArgumentError, match="Integers and booleans have no derivative"):
            fun(mnp.sin)(jnp.arange(3))
        with pytest.raises(ArgumentError, match=rf"{fun.__name__} cannot use the result\[0\] of <lambda>.*c128"):
            fun(lambda x: (1j * x, x))(X)
        with pytest.raises(ArgumentError, match=rf"{fun.__name__} cannot use the result of <lambda>.*bool"):
            fun(lambda x: x > 0)(X)
        with pytest.raises(ArgumentError, match="cannot be called"):
            fun(1.0)
        with pytest.raises(ArgumentError, match="argnums"):
            fun(mnp.sin, 3)(X)
        with pytest.raises(ArgumentError, match="has_aux=True wants a pair"):
            fun(mnp.sin, has_aux=True)(X)
