"""Functions of minijvp inside programs of JAX."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import minijvp
import minijvp.numpy as mnp
from tests.interop.models import normal
from tests.side_by_side import same

X = jnp.array([0.3, -1.2, 2.0])
SLOPE = minijvp.to_jax(minijvp.grad(lambda x: (mnp.sin(x) ** 2).sum()))


def wanted(x: Any) -> Any:
    return 2 * jnp.sin(x) * jnp.cos(x)


WORDS = {
    "jit": jax.jit,
    "vmap": lambda f: lambda x: jax.vmap(f)(x[:, None]),
    "jacrev": jax.jacrev,
    "jacfwd": jax.jacfwd,
    "hessian": jax.hessian,
    "jit-vmap-grad": lambda f: jax.jit(jax.vmap(jax.grad(lambda x: f(x).sum()))),
    "checkpoint": lambda f: jax.jacrev(jax.checkpoint(f)),
    "scan": lambda f: lambda x: jax.lax.scan(lambda c, _: (f(c), None), x, length=2)[0],
}


@pytest.mark.parametrize("bridged", [True, False], ids=["to_jax", "plain"])
@pytest.mark.parametrize("word", WORDS)
def test_word(word: str, bridged: bool) -> None:
    fun = SLOPE if bridged else minijvp.grad(lambda x: (mnp.sin(x) ** 2).sum())
    same(WORDS[word](fun)(X), WORDS[word](wanted)(X), 1e-10)


def test_trees_static_arguments_and_control_flow() -> None:
    def fun(params: Any, x: Any, mode: str = "tanh", scale: float = 1.0) -> Any:
        def step(c: Any, row: Any) -> Any:
            return getattr(mnp, mode)(c @ params["w"] + row), None

        last, _ = minijvp.lax.scan(step, x[0], x)
        return {"out": minijvp.lax.cond(last.sum() > 0, lambda y: y * scale, mnp.sin, last), "none": None}

    def same_for_jax(params: Any, x: Any, mode: str = "tanh", scale: float = 1.0) -> Any:
        last, _ = jax.lax.scan(lambda c, row: (getattr(jnp, mode)(c @ params["w"] + row), None), x[0], x)
        return {"out": jax.lax.cond(last.sum() > 0, lambda y: y * scale, jnp.sin, last), "none": None}

    params, x = {"w": normal(0, 3, 3)}, normal(1, 2, 3)
    bridged = minijvp.to_jax(fun)
    for kwargs in ({}, {"mode": "sin", "scale": 2.0}):
        slopes = [jax.jit(jax.jacrev(lambda p, f=f: f(p, x, **kwargs)))(params) for f in (bridged, same_for_jax)]
        same(*slopes, 1e-10)
    same(bridged(params, x), same_for_jax(params, x), 1e-10)


def test_python_may_look_at_values_under_jax_grad() -> None:
    """jax.grad has the values, and so has a function that looks at them."""
    fun = minijvp.to_jax(lambda x: x**2 if x > 0 else -x)
    assert jax.grad(fun)(3.0) == 6.0
    assert jax.grad(fun)(-3.0) == -1.0


def test_a_loss_of_minijvp_in_a_solver_of_optax() -> None:
    """optax.lbfgs, whose line search calls the function inside a while loop of JAX."""
    loss = minijvp.to_jax(lambda x: ((x - mnp.arange(3.0)) ** 2).sum() + mnp.exp(-x).sum())
    solver = optax.lbfgs()

    @jax.jit
    def step(x: Any, state: Any) -> Any:
        value, slope = jax.value_and_grad(loss)(x)
        updates, state = solver.update(slope, state, x, value=value, grad=slope, value_fn=loss)
        return optax.apply_updates(x, updates), state

    x, state = X, solver.init(X)
    for _ in range(6):
        x, state = step(x, state)
    assert jnp.abs(jax.grad(loss)(x)).max() < 1e-4


@pytest.mark.parametrize("name", ["cholesky", "eigh", "eigh-upper", "eigh-complex"])
def test_the_triangle_that_is_not_read_has_no_say_in_derivatives(name: str) -> None:
    half = jnp.tril(normal(0, 3, 3).astype(complex if "complex" in name else float), -1)
    whole = half + half.conj().T + jnp.diag(jnp.array([5.0, 7.0, 9.0]))
    half = whole + 3 * jnp.triu(whole, 1)
    x, whole = (y.T if "upper" in name else y for y in (half, whole))
    ours = minijvp.lax.linalg.cholesky if name == "cholesky" else minijvp.lax.linalg.eigh
    theirs = jax.lax.linalg.cholesky if name == "cholesky" else jax.lax.linalg.eigh
    options: Any = {} if name == "cholesky" else {"lower": "upper" not in name}
    fun = minijvp.to_jax(lambda x: ours(x, symmetrize_input=False, **options))
    judge = lambda x: theirs(x, symmetrize_input=False, **options)
    for transformed in (jax.jit, lambda f: f):
        same(transformed(fun)(x), judge(whole), 1e-10)
        same(jax.jvp(transformed(fun), (x,), (x,)), jax.jvp(judge, (whole,), (whole,)), 1e-10)


@pytest.mark.parametrize("name", ["while", "custom_jvp", "custom_vjp"])
def test_python_numbers_where_a_rule_is_in_force(name: str) -> None:
    def fun(x: Any) -> Any:
        if name == "while":
            return minijvp.lax.while_loop(lambda c: c[0] < 1, lambda c: (c[0] + 1, mnp.sin(c[1])), (0, x))[1]
        sine = getattr(minijvp, name)(mnp.sin)
        if name == "custom_jvp":
            sine.defjvps(lambda t, out, x: t * mnp.cos(x))
        else:
            sine.defvjp(lambda x: (mnp.sin(x), mnp.cos(x)), lambda cos, ct: (cos * ct,))
        return sine(x)

    bridged = minijvp.to_jax(fun)
    judge = jax.jvp(jnp.sin, (0.3,), (2.0,))
    same(jax.jvp(bridged, (0.3,), (2.0,)), judge)
    same(jax.jit(lambda x: jax.jvp(bridged, (x,), (2.0,)))(0.3), judge)
    same(jax.jvp(jax.grad(bridged), (0.3,), (2.0,)), jax.jvp(jnp.cos, (0.3,), (2.0,)))


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp"])
def test_second_derivatives_of_softmax_half_by_jax(name: str) -> None:
    loss = lambda nn: lambda x: (getattr(nn, name)(x) * jnp.array([1.0, 2.0, -1.0])).sum()
    slope = minijvp.to_jax(minijvp.grad(loss(minijvp.nn)))
    for outer in (jax.jacfwd, jax.jacrev):
        same(outer(slope)(X), jax.hessian(loss(jax.nn))(X), 1e-10)


@pytest.mark.parametrize(("name", "start"), [("add", 0.0), ("mul", 1.0), ("max", -np.inf), ("min", np.inf)])
def test_reductions_that_start_from_their_neutral_element_in_a_choice_that_jax_batches(name: str, start: float) -> None:
    def f(api: Any, x: Any) -> Any:
        return api.lax.cond(
            x > 0.5,
            lambda: api.lax.reduce(rows * x, np.array(start), getattr(api.lax, name), (0,)),
            lambda: -rows[0] * x,
        )

    x, rows = jnp.array([0.3, 0.8]), normal(0, 3, 2)
    for word in (lambda g: jax.vmap(g), lambda g: jax.jacfwd(jax.vmap(g)), lambda g: jax.jacrev(jax.vmap(g))):
        same(word(minijvp.to_jax(partial(f, minijvp)))(x), word(partial(f, jax))(x), 1e-10)


def test_reductions_of_several_operands_and_with_initial_values() -> None:
    x, t = normal(0, 3, 2), normal(1, 3, 2)
    largest = minijvp.to_jax(lambda x: minijvp.lax.reduce(x, np.array(0.5), minijvp.lax.max, (0,)))
    same(jax.jvp(largest, (x,), (t,)), jax.jvp(lambda x: jnp.maximum(x.max(0), 0.5), (x,), (t,)), 1e-10)
    plus = lambda a, b: (a[0] + b[0], a[1] + b[1])
    sums = lambda x: minijvp.lax.reduce((x, jnp.ones((3, 2))), (np.array(0.0), np.array(0.0)), plus, (0,))
    same(jax.jvp(minijvp.to_jax(sums), (x,), (t,)), ((x.sum(0), jnp.full(2, 3.0)), (t.sum(0), jnp.zeros(2))), 1e-10)


def test_weak_tangents_stay_weak() -> None:
    weak = {"new_dtype": np.dtype(float), "weak_type": True, "sharding": None}

    def fun(api: Any, np_like: Any) -> Any:
        convert = lambda x: jax.lax.convert_element_type_p.bind(x, **weak)
        return lambda x: (api.nn.relu(x), (convert if api is jax else minijvp.from_jax(convert))(np_like.sin(x)))

    x, t = jnp.float32(0.3), jnp.float32(2.0)
    ours, theirs = minijvp.to_jax(fun(minijvp, mnp)), fun(jax, jnp)
    for word in (lambda f: f, jax.jit):
        for found, expected in zip(
            jax.tree.leaves(word(lambda x, t: jax.jvp(ours, (x,), (t,)))(x, t)),
            jax.tree.leaves(word(lambda x, t: jax.jvp(theirs, (x,), (t,)))(x, t)),
            strict=True,
        ):
            assert found.aval == expected.aval
            same(found, expected, 1e-6)
