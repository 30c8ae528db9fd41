"""Functions of NumPy with rules of NumPy, under every transformation, against the same functions in JAX."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import minijvp
import minijvp.numpy as mnp
from minijvp import ArgumentError, MissingRuleError, check_rule, external, grad, jacfwd, jacrev, jit, jvp, vjp, vmap
from tests.side_by_side import same

X, V = jnp.array([0.3, -1.2, 2.0]), jnp.array([1.0, 0.5, -2.0])
Y = jnp.array([1.5, 0.2, -0.7])


def struct(shape: Any, dtype: Any = float) -> Any:
    return jax.ShapeDtypeStruct(shape, dtype)


def fun(p: Any, n: Any) -> Any:
    return {"y": n * np.sin(p["x"]) * p["y"], "sum": np.sum(p["x"] ** 2), "n": n + 1}


def by_jax(p: Any, n: Any) -> Any:
    return {"y": n * jnp.sin(p["x"]) * p["y"], "sum": jnp.sum(p["x"] ** 2), "n": n + 1}


def types(p: Any, n: Any) -> Any:
    return {"y": struct(p["x"].shape, p["x"].dtype), "sum": struct((), p["x"].dtype), "n": struct((), n.dtype)}


def push(primals: Any, tangents: Any) -> Any:
    (p, n), (t, t_n) = primals, tangents
    assert t_n.dtype == jax.dtypes.float0
    y = n * (np.cos(p["x"]) * t["x"] * p["y"] + np.sin(p["x"]) * t["y"])
    return {"y": y, "sum": 2 * np.sum(p["x"] * t["x"]), "n": None}


def pull(primals: Any, ct: Any) -> Any:
    p, n = primals
    assert ct["n"].dtype == jax.dtypes.float0
    x = n * np.cos(p["x"]) * p["y"] * ct["y"] + 2 * p["x"] * ct["sum"]
    return {"x": x, "y": n * np.sin(p["x"]) * ct["y"]}, None


MADE: dict[str, Callable[..., Any]] = {
    "jvp": external(fun, types, jvp=push),
    "vjp": external(fun, types, vjp=pull),
    "both": external(fun, types, jvp=push, vjp=pull),
    "differences": external(fun, types, differences=True),
}


def loss(f: Any) -> Any:
    def g(x: Any, y: Any, n: Any = 3) -> Any:
        out = f({"x": x * 2, "y": y}, n)
        return (out["y"] ** 2).sum() + out["sum"] * out["n"]

    return g


@pytest.mark.parametrize("name", MADE)
def test_under_each_transformation(name: str) -> None:
    ours, theirs = loss(MADE[name]), loss(by_jax)
    near = 1e-7 if name == "differences" else 1e-12
    same(ours(X, Y), theirs(X, Y), near)
    wanted = jax.grad(theirs, (0, 1))(X, Y)
    for g in (ours, jit(ours)):
        same(grad(g, (0, 1))(X, Y), wanted, near)
        same(jit(grad(g, (0, 1)))(X, Y), wanted, near)
        same(jvp(g, (X, Y), (V, X)), jax.jvp(theirs, (X, Y), (V, X)), near)
    rows, ys = jnp.stack([X, V]), jnp.stack([Y, X])
    for axes in ((0, 0), (0, None), (None, 0)):
        args = [a if axis == 0 else a[0] for a, axis in zip((rows, ys), axes)]
        same(vmap(ours, axes)(*args), jax.vmap(theirs, axes)(*args), near)
        batch = jax.vmap(jax.grad(theirs, (0, 1)), axes)(*args)
        same(vmap(grad(ours, (0, 1)), axes)(*args), batch, near)
        total = lambda api, f, axes=axes: lambda *args: api.vmap(f, axes)(*args).sum()
        same(grad(total(minijvp, ours), (0, 1))(*args), jax.grad(total(jax, theirs), (0, 1))(*args), near)


@pytest.mark.parametrize("name", MADE)
def test_under_transformations_of_jax(name: str) -> None:
    near = 1e-7 if name == "differences" else 1e-12
    ours, theirs = loss(MADE[name]), loss(by_jax)
    xs, ys = jnp.stack([X, V]), jnp.stack([Y, X])
    gradient = grad(ours, (0, 1))
    gradients = [minijvp.to_jax(gradient), jit(gradient), jax.grad(minijvp.to_jax(ours), (0, 1))]
    for axes, args in (((0, 0), (xs, ys)), ((0, None), (xs, Y)), ((None, 0), (X, ys))):
        wanted = jax.vmap(jax.grad(theirs, (0, 1)), axes)(*args)
        for g in gradients:
            same(jax.vmap(g, axes)(*args), wanted, near)
            same(jax.jit(jax.vmap(g, axes))(*args), wanted, near)


@pytest.mark.parametrize("name", MADE)
def test_jacobians_and_loops(name: str) -> None:
    near = 1e-7 if name == "differences" else 1e-12
    outs = lambda f: lambda x: f({"x": x, "y": Y}, 2)["y"]
    wanted = jax.jacobian(outs(by_jax))(X)
    same(jacfwd(outs(MADE[name]))(X), wanted, near)
    same(jacrev(jit(outs(MADE[name])))(X), wanted, near)

    def loop(api: Any, f: Any) -> Any:
        return lambda x: api.lax.scan(lambda c, r: (outs(f)(c) * r, c.sum()), x, Y)[0].sum()

    same(grad(loop(minijvp, MADE[name]))(X), jax.grad(loop(jax, by_jax))(X), near)


def test_rules_are_checked() -> None:
    args = {"x": X, "y": Y}, 3
    for name in ("jvp", "vjp", "both"):
        assert check_rule(MADE[name], *args).passed
    wrong = external(fun, types, vjp=lambda primals, ct: ({**pull(primals, ct)[0], "y": np.zeros(3)}, None))
    with pytest.raises(AssertionError, match=r"p\['y'\]"):
        check_rule(wrong, *args)


def test_float32() -> None:
    x = X.astype(np.float32)
    sine = external(np.sin, lambda x: x, differences=True)
    same(grad(lambda x: sine(x).sum())(x), jnp.cos(x), 2e-3)
    same(grad(lambda x: sine(x).sum())(X), jnp.cos(X), 1e-9)
    same(jvp(sine, (X,), (0 * X,))[1], 0 * X)
    same(grad(lambda x: sine(x).sum())(X * 1e4), jnp.cos(X * 1e4), 2.0)


def test_batches_for_functions_that_take_them() -> None:
    shapes = []

    def norm(x: Any) -> Any:
        shapes.append(x.shape)
        return np.sqrt(np.sum(x * x, -1))

    rule = lambda primals, ct: (ct * primals[0] / np.sqrt(np.sum(primals[0] ** 2)),)
    made = external(norm, struct(()), vjp=rule, vmap_method="expand_dims")
    rows = jnp.stack([X, V])
    same(vmap(made)(rows), jnp.linalg.norm(rows, axis=-1))
    assert (2, 3) in shapes
    same(vmap(grad(made))(rows), jax.vmap(jax.grad(jnp.linalg.norm))(rows))


def test_complex_numbers() -> None:
    z, w = X + 1j * Y, V - 1j * X
    both = external(np.exp, lambda z: z, lambda zs, ts: np.exp(*zs) * ts[0], lambda zs, ct: (np.exp(*zs) * ct,))
    same(jvp(both, (z,), (w,)), jax.jvp(jnp.exp, (z,), (w,)))
    same(vjp(both, z)[1](w), jax.vjp(jnp.exp, z)[1](w))
    forward = external(np.exp, lambda z: z, lambda zs, ts: np.exp(*zs) * ts[0])
    same(jvp(forward, (z,), (w,)), jax.jvp(jnp.exp, (z,), (w,)))
    with pytest.raises(ArgumentError, match=r"complex(.|\n)*both rules"):
        vjp(forward, z)[1](w)
    with pytest.raises(ArgumentError, match=r"complex(.|\n)*both rules"):
        jvp(external(np.exp, lambda z: z, differences=True), (z,), (w,))


def test_what_needs_a_rule() -> None:
    plain = external(np.sin, struct((3,)))
    same(jit(plain)(X), jnp.sin(X))
    same(vmap(external(np.sin, struct(())))(X), jnp.sin(X))
    with pytest.raises(MissingRuleError, match=r"sin was differentiated(.|\n)*rule"):
        grad(lambda x: plain(x).sum())(X)
    for made in (
        external(np.sin, struct(()), lambda xs, ts: np.cos(*xs) * ts[0]),
        external(np.sin, struct(()), differences=True),
    ):
        for second in (lambda made=made: grad(grad(made))(1.0), lambda made=made: jacfwd(jit(grad(made)))(1.0)):
            with pytest.raises(MissingRuleError, match=r"rule of the external function sin(.|\n)*custom_jvp") as raised:
                second()
            assert raised.value.what and raised.value.why and raised.value.do


def test_second_derivatives_by_rules_that_are_differentiable() -> None:
    cosine = external(np.cos, struct(()), lambda xs, ts: -np.sin(*xs) * ts[0])
    sine = minijvp.custom_jvp(external(np.sin, struct(())))
    sine.defjvps(lambda t, out, x: cosine(x) * t)
    same(grad(grad(sine))(1.0), -jnp.sin(jnp.asarray(1.0)))


def test_programs_are_shared() -> None:
    calls = []
    made = external(lambda x: calls.append(1) or np.sin(x), lambda x: x, lambda xs, ts: np.cos(*xs) * ts[0])
    first = [minijvp.make_jaxpr(grad(lambda x: made(x).sum()))(X) for _ in range(2)]
    assert first[0] == first[1] and not calls


@pytest.mark.parametrize(
    ("call", "error", "part"),
    [
        (lambda: external(3, struct(())), ArgumentError, "cannot be called"),
        (lambda: external(np.sin, struct(()), jvp=3), ArgumentError, "jvp"),
        (lambda: external(np.sin, struct(()), np.sin, differences=True), ArgumentError, "differences=True"),
        (lambda: external(np.sin, struct(()), vmap_method="loop"), ArgumentError, "vmap_method='loop'"),
        (lambda: external(np.sin, "f32")(1.0), ArgumentError, "result_type of sin"),
        (lambda: external(np.sin, struct(()))("a"), ArgumentError, "not an array"),
        (lambda: external(np.sin, struct((2,)))(X), Exception, "shape .3,. at the whole, where f64.2. was promised"),
        (lambda: external(lambda x: (x, x), struct(()))(1.0), Exception, "promised"),
        (lambda: grad(external(np.sin, struct(()), vjp=lambda xs, ct: ct))(1.0), Exception, "the vjp of sin gave"),
        (
            lambda: jvp(external(np.sin, struct(()), lambda xs, ts: ts), (1.0,), (1.0,)),
            Exception,
            "the jvp of sin gave",
        ),
    ],
)
def test_bad_input(call: Any, error: Any, part: str) -> None:
    with pytest.raises(error, match=part):
        call()


def test_scipy() -> None:
    special = pytest.importorskip("scipy.special")
    like = lambda m: struct(m.shape, m.dtype)

    def slope(primals: Any, tangents: Any) -> Any:
        (m,), (t,) = primals, tangents
        k, e = special.ellipk(m), special.ellipe(m)
        return t * (e - (1 - m) * k) / (2 * m * (1 - m))

    ellipk = external(special.ellipk, like, jvp=slope)
    m = jnp.array([0.1, 0.5, 0.9])
    assert check_rule(ellipk, m).passed
    same(
        grad(lambda m: mnp.sum(ellipk(m)))(m),
        grad(lambda m: mnp.sum(external(special.ellipk, like, differences=True)(m)))(m),
        1e-8,
    )
