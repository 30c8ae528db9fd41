"""vjp, grad, value_and_grad, jacfwd, jacrev and hessian against JAX."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.tree_util import tree_leaves

import minijvp
import minijvp.numpy as mnp
from minijvp import ArgumentError
from tests.side_by_side import both, same

FLOAT0 = jax.dtypes.float0
X, V = jnp.array([0.3, -1.2, 2.0]), jnp.array([1.0, 0.5, -2.0])
Z = jnp.array([1 + 2j, -0.5 + 0.1j])


def zeros(*shape: int) -> Any:
    return np.zeros(shape, FLOAT0)


# vjp


def test_vjp_of_trees_with_none() -> None:
    def fun(p: Any, q: Any) -> Any:
        return {"a": p["x"] * q[0], "b": (None, p["y"][0] + 1.0)}

    def case(api: Any, np: Any) -> Any:
        out, pull = api.vjp(fun, {"x": X, "y": [2.0, None]}, (V, None, X))
        return out, pull({"a": X + 1, "b": (None, jnp.array(0.5))})

    both(case)


def test_vjp_of_integers() -> None:
    def case(api: Any, np: Any) -> Any:
        out, pull = api.vjp(lambda x, n: (x * n, n * 2, x > 0), X, jnp.arange(3))
        return out, pull((V, zeros(3), zeros(3)))

    both(case)


def test_vjp_has_aux() -> None:
    def case(api: Any, np: Any) -> Any:
        out, pull, aux = api.vjp(lambda x: (np.sin(x), {"x": x, "none": None}), X, has_aux=True)
        return out, pull(V), aux

    both(case)


def test_vjp_of_complex() -> None:
    for name in ("exp", "abs", "conj", "real", "imag", "square"):

        def case(api: Any, np: Any, name: str = name) -> Any:
            out, pull = api.vjp(getattr(np, name), Z)
            return out, pull(jnp.ones_like(out) * (1 if name in ("abs", "real", "imag") else 2 - 1j))

        both(case)


def test_pullback_is_used_again() -> None:
    out, pull = minijvp.vjp(lambda x: mnp.sin(x) * x, X)
    expected = jax.vjp(lambda x: jnp.sin(x) * x, X)[1]
    for ct in (V, X, V):
        same(pull(ct), expected(ct))
    assert out.shape == (3,)


def test_pullback_returned_from_jit() -> None:
    def at(api: Any, np: Any) -> Any:
        return lambda x: api.vjp(lambda y: np.sin(y) * x, x * x)

    out, pull = minijvp.jit(at(minijvp, mnp))(X)
    expected, expected_pull = jax.jit(at(jax, jnp))(X)
    same((out, pull(V)), (expected, expected_pull(V)))
    same(minijvp.jit(lambda pull, ct: pull(ct))(pull, V), expected_pull(V))
    assert all(isinstance(leaf, jax.Array) for leaf in tree_leaves(pull))


def test_pullback_handed_to_a_jit_compiles_once() -> None:
    runs = []

    @minijvp.jit
    def apply(pull: Any, ct: Any) -> Any:
        runs.append(1)
        return pull(ct)

    for x in (X, V):
        same(apply(minijvp.vjp(lambda x: mnp.sin(x) * x, x)[1], V), ((jnp.cos(x) * x + jnp.sin(x)) * V,))
    assert len(runs) == 1


def test_pullback_under_vmap_and_jvp() -> None:
    def case(api: Any, np: Any) -> Any:
        _, pull = api.vjp(lambda x: np.sin(x) * x.sum(), X)
        return api.vmap(pull)(jnp.eye(3)), api.jvp(pull, (V,), (X,))

    both(case)


def test_cotangents_must_fit() -> None:
    _, pull = minijvp.vjp(mnp.sin, X)
    for wrong in (V[:2], (V,), V.astype("float32"), {"x": V}, None, 1.0):
        with pytest.raises(ArgumentError):
            pull(wrong)


# grad and value_and_grad


def scalar(np: Any) -> Any:
    def fun(x: Any, y: Any, *, z: Any = 2.0) -> Any:
        return (np.sin(x) * y["a"] * z).sum() + (y["b"] ** 2).sum() * x[0]

    return fun


Y = {"a": V, "b": jnp.array(1.5)}


@pytest.mark.parametrize("argnums", [0, 1, -1, -2, (0,), (1, 0), [0, 1], (0, -1)])
def test_argnums_by_position(argnums: Any) -> None:
    both(lambda api, np: api.grad(scalar(np), argnums)(X, Y))
    both(lambda api, np: api.value_and_grad(scalar(np), argnums)(X, Y, z=X))


@pytest.mark.parametrize(
    ("argnums", "positions"),
    [("x", 0), ("y", 1), ("z", 2), (("x", "z"), (0, 2)), (("z", 0), (2, 0)), (["y"], (1,))],
)
def test_argnums_by_name(argnums: Any, positions: Any) -> None:
    expected = jax.grad(lambda x, y, z: scalar(jnp)(x, y, z=z), positions)(X, Y, V)
    same(minijvp.grad(scalar(mnp), argnums)(X, Y, z=V), expected)


def test_argnums_of_arguments_passed_by_name() -> None:
    found = minijvp.grad(scalar(mnp), ("y", "x"))(y=Y, x=X)
    same(found, jax.grad(scalar(jnp), (1, 0))(X, Y))


@pytest.mark.parametrize("argnums", [2, -3, (0, 0), (0, "x"), "w", "z"])
def test_wrong_argnums(argnums: Any) -> None:
    with pytest.raises(ArgumentError):
        minijvp.grad(scalar(mnp), argnums)(X, Y)


def test_has_aux() -> None:
    def fun(np: Any) -> Any:
        return lambda x: ((x * x).sum(), {"sin": np.sin(x), "n": 3, "none": None})

    both(lambda api, np: api.value_and_grad(fun(np), has_aux=True)(X))
    both(lambda api, np: api.grad(fun(np), has_aux=True)(X))
    both(lambda api, np: api.jit(api.grad(lambda x: fun(np)(x), has_aux=True))(X))
    both(lambda api, np: api.grad(lambda x: api.grad(fun(np), has_aux=True)(x)[1]["sin"].sum())(X))


def test_aux_need_not_be_arrays() -> None:
    gradient, aux = minijvp.grad(lambda x: (x * x, ["text", object]), has_aux=True)(3.0)
    assert (gradient, aux) == (6.0, ["text", object])


def test_holomorphic() -> None:
    both(lambda api, np: api.grad(lambda z: np.sin(z) * z**2, holomorphic=True)(1.0 + 2.0j))
    both(lambda api, np: api.jacfwd(lambda z: np.exp(z) * z[::-1], holomorphic=True)(Z))
    both(lambda api, np: api.jacrev(lambda z: np.exp(z) * z[::-1], holomorphic=True)(Z))
    both(lambda api, np: api.hessian(lambda z: (z**3).sum() * z[0], holomorphic=True)(Z))


def test_real_functions_of_complex_arguments() -> None:
    both(lambda api, np: api.grad(lambda z: np.abs(z) ** 2)(1.0 + 2.0j))
    both(lambda api, np: api.grad(lambda z: np.real(np.sin(z) * z).sum())(Z))
    both(lambda api, np: api.grad(lambda z: np.imag(z * np.conj(z[::-1]) * 1j).sum())(Z))
    both(lambda api, np: api.jacrev(lambda z: np.abs(z) * z.real)(Z))
    same(minijvp.grad(lambda z: mnp.abs(z) ** 2)(1.0 + 2.0j), jnp.array(2.0 - 4.0j))


def test_complex_intermediates() -> None:
    both(lambda api, np: api.grad(lambda x: np.abs(np.exp(1j * x) + x).sum())(X))
    both(lambda api, np: api.grad(api.grad(lambda x: np.real(np.exp(1j * x) * x)))(0.7))


def test_allow_int() -> None:
    both(lambda api, np: api.grad(lambda n, x: (n * x).sum(), (0, 1), allow_int=True)(jnp.arange(3), X))
    p = {"n": jnp.arange(3), "x": X}
    both(lambda api, np: api.value_and_grad(lambda p: (p["n"] * p["x"]).sum(), allow_int=True)(p))
    blocks = minijvp.jacrev(lambda n, x: n * x, (0, 1), allow_int=True)(jnp.arange(3), X)
    same(blocks, (zeros(3, 3), jnp.diag(jnp.arange(3.0))))


def test_integers_are_refused() -> None:
    for transformation in (minijvp.grad, minijvp.value_and_grad, minijvp.jacfwd, minijvp.jacrev, minijvp.hessian):
        with pytest.raises(ArgumentError):
            transformation(lambda n: n * 2.0)(1)


def test_other_arguments_are_passed_as_they_are() -> None:
    def fun(x: Any, power: int, mode: str, table: dict) -> Any:
        assert (type(power), type(mode), type(table["k"])) == (int, str, float)
        return sum(x**k for k in range(power)) * table["k"]

    assert minijvp.grad(fun)(2.0, 3, "mode", {"k": 2.0}) == 10.0


@pytest.mark.parametrize(
    ("fun", "options"),
    [
        (lambda x: x, {}),
        (lambda x: (x.sum(), x), {}),
        (lambda x: x.sum() * 1j, {}),
        (lambda x: x.sum() > 0, {}),
        (lambda x: None, {}),
        (lambda x: x.sum(), {"holomorphic": True}),
        (lambda x: x.sum(), {"has_aux": True}),
        (lambda x: "text", {}),
    ],
)
def test_results_that_have_no_gradient(fun: Any, options: Any) -> None:
    with pytest.raises(ArgumentError):
        minijvp.grad(fun, **options)(X)


def test_gradients_that_are_zero() -> None:
    both(lambda api, np: api.grad(lambda x: 3.0)(X))
    both(lambda api, np: api.grad(lambda x, y: (y * y).sum(), (0, 1))(X, V))
    both(lambda api, np: api.grad(lambda x: np.round(x).sum())(X))


def test_dtypes_of_gradients() -> None:
    for dtype in ("float16", "bfloat16", "float32", "float64"):
        gradient = minijvp.grad(lambda x: (x.astype("float32") * 2).sum())(jnp.ones(2, dtype))
        assert gradient.dtype == dtype
    assert minijvp.grad(lambda x: x * 2)(np.float32(1)).dtype == "float32"


def test_nth_derivatives_of_tanh() -> None:
    ours, theirs = mnp.tanh, jnp.tanh
    for _ in range(5):
        ours, theirs = minijvp.grad(ours), jax.grad(theirs)
        for x in (0.3, -1.1):
            same(ours(x), jax.jit(theirs)(x), 1e-10)


def test_names_and_documentation_survive() -> None:
    def fun(x: Any) -> Any:
        """Doc."""
        return x

    for transformation in (minijvp.grad, minijvp.value_and_grad, minijvp.jacfwd, minijvp.jacrev):
        assert (transformation(fun).__name__, transformation(fun).__doc__) == ("fun", "Doc.")


def test_methods_and_callables() -> None:
    class Model:
        w = 3.0

        def __call__(self, x: Any) -> Any:
            return self.loss(x)

        def loss(self, x: Any) -> Any:
            return self.w * x**2

    assert minijvp.grad(Model())(2.0) == minijvp.grad(Model().loss)(2.0) == 12.0


# Jacobians


@pytest.mark.parametrize("name", ["jacfwd", "jacrev", "jacobian"])
def test_jacobians_of_trees(name: str) -> None:
    def fun(np: Any) -> Any:
        return lambda p, q: {"u": p["w"] @ q, "v": (np.sin(p["b"]) * q.sum(), None)}

    p = {"w": jnp.arange(6.0).reshape(2, 3), "b": jnp.array(0.5)}
    for argnums in (1, (0, 1)):
        expected = getattr(jax, name.replace("jacobian", "jacrev"))(fun(jnp), argnums)(p, X)
        same(getattr(minijvp, name)(fun(mnp), argnums)(p, X), expected)


@pytest.mark.parametrize("name", ["jacfwd", "jacrev"])
def test_jacobians_has_aux_and_kwargs(name: str) -> None:
    def case(api: Any, np: Any) -> Any:
        return getattr(api, name)(lambda x, *, k: (x**2 * k, {"x": x, "k": k}), has_aux=True)(X, k=V)

    both(case)


@pytest.mark.parametrize("name", ["jacfwd", "jacrev"])
def test_constant_and_empty_jacobians(name: str) -> None:
    both(lambda api, np: getattr(api, name)(lambda x: (np.ones((2,)), x[:0], x[0]))(X))


def test_jacfwd_of_complex_results() -> None:
    both(lambda api, np: api.jacfwd(lambda x: np.exp(1j * x))(X))


def test_hessians() -> None:
    def fun(np: Any) -> Any:
        return lambda p, q: {"out": (np.sin(p["w"]) * q).sum() * p["b"]}

    p = {"w": X, "b": jnp.array(0.5)}
    both(lambda api, np: api.hessian(fun(np), (0, 1))(p, V))
    both(lambda api, np: api.hessian(lambda x: (np.sin(x).sum(), x), has_aux=True)(X))


def test_jacobians_agree_under_jit_and_vmap() -> None:
    def case(api: Any, np: Any) -> Any:
        fun = lambda x: np.sin(x) * x[::-1] + x.sum()
        xs = jnp.stack([X, V])
        return api.jit(api.jacfwd(fun))(X), api.vmap(api.jacrev(fun))(xs), api.jacrev(api.jacfwd(fun))(X)

    both(case)


# Properties

vectors = st.lists(st.floats(-2, 2, allow_subnormal=False), min_size=4, max_size=4).map(np.array)


def curve(x: Any) -> Any:
    return mnp.sin(x) * x[::-1] + mnp.cumsum(x * x)


@settings(derandomize=True, deadline=None, max_examples=25)
@given(vectors, vectors, vectors)
def test_dot_products(x: Any, t: Any, ct: Any) -> None:
    """<ct, J t> = <J^T ct, t>."""
    tangent = minijvp.jvp(curve, (x,), (t,))[1]
    (cotangent,) = minijvp.vjp(curve, x)[1](ct)
    np.testing.assert_allclose(np.vdot(ct, tangent), np.vdot(cotangent, t), rtol=1e-9, atol=1e-9)


@settings(derandomize=True, deadline=None, max_examples=25)
@given(vectors)
def test_jacobians_by_both_modes(x: Any) -> None:
    np.testing.assert_allclose(minijvp.jacfwd(curve)(x), minijvp.jacrev(curve)(x), rtol=1e-12, atol=1e-12)


@settings(derandomize=True, deadline=None, max_examples=25)
@given(vectors)
def test_hessians_are_symmetric(x: Any) -> None:
    h = minijvp.hessian(lambda x: (curve(x) ** 2).sum())(x)
    np.testing.assert_allclose(h, h.T, rtol=1e-10, atol=1e-10)


def test_gradients_of_unused_arguments_are_as_weak_as_these() -> None:
    found = minijvp.grad(lambda x, y: x * 1.0, (0, 1))(2.0, 3.0)
    wanted = jax.grad(lambda x, y: x * 1.0, (0, 1))(2.0, 3.0)
    assert [(g.dtype, g.weak_type) for g in found] == [(g.dtype, g.weak_type) for g in wanted]
