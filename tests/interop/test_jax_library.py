"""What JAX's own library and its users build of primitives: solvers, rules inside loops, callbacks, collectives."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.experimental.ode import odeint
from jax.tree_util import tree_map

import minijvp
from tests.interop import models
from tests.interop.models import normal
from tests.side_by_side import same

X = normal(0, 3)
MATRIX = normal(1, 3, 3) @ normal(1, 3, 3).T + 3 * jnp.eye(3)

# Rules that users attach


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def doubled_cotangent(f: Any, x: Any) -> Any:
    return f(x)


doubled_cotangent.defvjp(lambda f, x: (f(x), x), lambda f, x, ct: (2 * ct * jnp.cos(x),))


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def doubled_tangent(f: Any, x: Any) -> Any:
    return f(x)


@doubled_tangent.defjvp
def _(f: Any, primals: Any, tangents: Any) -> Any:
    return f(*primals), 2 * tangents[0] * jnp.cos(primals[0])


@jax.custom_vjp
def tripled_cotangent(x: Any) -> Any:
    return jnp.sin(x)


tripled_cotangent.defvjp(lambda x: (jnp.sin(x), x), lambda x, ct: (3 * ct * jnp.cos(x),), optimize_remat=True)


@jax.custom_batching.custom_vmap
def own_batching(x: Any) -> Any:
    return 2 * jnp.sin(x)


@own_batching.def_vmap
def _(size: int, batched: Any, x: Any) -> Any:
    return 2 * jnp.sin(x), batched[0]


def rules_in_loops(x: Any) -> Any:
    def step(c: Any, row: Any) -> Any:
        return doubled_tangent(jnp.tanh, c * row), doubled_tangent(jnp.sin, c)

    last, rows = lax.scan(step, x, jnp.outer(x, x))
    return last.sum() + rows.sum() + lax.cond(x[0] > 0, jnp.sin, partial(doubled_tangent, jnp.exp), x).sum()


def rules_for_cotangents_in_loops(x: Any) -> Any:
    rows = jax.vmap(lambda row: doubled_cotangent(jnp.sin, row * x))(jnp.outer(x, x))
    last, _ = lax.scan(lambda c, row: (doubled_cotangent(jnp.tanh, c * row), None), x, rows)
    return jax.checkpoint(lambda y: doubled_cotangent(jnp.sin, y) * y)(last).sum()


def optimized_residuals(x: Any) -> Any:
    return (x * tripled_cotangent(x)).sum()


def custom_gradient(x: Any) -> Any:
    return jax.custom_gradient(lambda y: (y**2, lambda ct: (ct * y,)))(x).sum()


# Solvers


def linear_solvers(x: Any) -> Any:
    a = MATRIX + jnp.outer(x, x)
    solution, _ = jax.scipy.sparse.linalg.cg(lambda v: a @ v, 2 * x, tol=1e-14)
    other, _ = jax.scipy.sparse.linalg.bicgstab(a, jnp.sin(x), tol=1e-14)
    return (solution * other).sum()


def root(x: Any) -> Any:
    """The root that bisection finds, whose own derivative is zero: custom_root has the one of the equation."""

    def bisect(f: Any, y: Any) -> Any:
        def halve(_: Any, ends: Any) -> Any:
            middle = (ends[0] + ends[1]) / 2
            return jnp.where(f(middle) < 0, middle, ends[0]), jnp.where(f(middle) < 0, ends[1], middle)

        return lax.fori_loop(0, 60, halve, (y - 5, y + 5))[0]

    return lax.custom_root(lambda y: y**3 + y - x, jnp.zeros(3), bisect, lambda g, y: y / g(jnp.ones(3))).sum()


def differential_equation(x: Any) -> Any:
    times = jnp.linspace(0.0, 1.0, 3)
    return odeint(lambda y, t, rate: -rate * y + jnp.sin(t), x, times, x[0] ** 2, rtol=1e-10, atol=1e-10).sum()


# Structure


def derivatives_inside(x: Any) -> Any:
    slope = jax.linearize(jnp.cos, x)[1](x) + jax.vjp(jnp.tanh, x)[1](x)[0]
    return (
        slope.sum() + jax.linear_transpose(lambda y: y * x, x)(x)[0].sum() + jnp.trace(jax.hessian(custom_gradient)(x))
    )


def collectives_inside(x: Any) -> Any:
    """jax.vmap makes names positions before minijvp sees them."""

    def centered(row: Any) -> Any:
        least, most = lax.pmin(lax.stop_gradient(row), "rows"), lax.pmax(lax.stop_gradient(row), ("rows",))
        return (row - lax.pmean(row, "rows")) * lax.psum(row**2, "rows") / (most - least + 1)

    rows = jax.vmap(centered, axis_name="rows")(jnp.outer(x, jnp.cos(x)))
    shared = jax.vmap(lambda a: jax.vmap(lambda b: lax.psum(a * b, ("a", "b")), axis_name="b")(x), axis_name="a")(x)
    return (rows**3).sum() + shared[0, 0]


def scopes_and_barriers(x: Any) -> Any:
    with jax.named_scope("scope"):
        y = lax.optimization_barrier(jax.named_call(jnp.sin, name="sine")(x))
    callback = jax.pure_callback(
        np.cos, jax.ShapeDtypeStruct((3,), x.dtype), lax.stop_gradient(x), vmap_method="sequential"
    )
    return (y * callback).sum() + lax.stop_gradient(y) @ x


def pieces_and_segments(x: Any) -> Any:
    segments = jnp.array([0, 1, 0])
    parts = [
        jax.ops.segment_sum(jnp.sin(x), segments, 2) ** 2,
        jax.ops.segment_max(x * x, segments, 2),
        jnp.piecewise(x, [x > 0], [jnp.sin, jnp.cos]),
        jnp.vectorize(lambda a, b: a @ b, signature="(n),(n)->()")(jnp.outer(x, x), x),
        lax.associative_scan(lambda a, b: a * b, jnp.sin(x)),
        lax.map(lambda row: (row**3).sum(), jnp.outer(x, x), batch_size=2),
        lax.top_k(x, 2)[0],
        lax.dynamic_update_slice(x, 2 * x[:1], (jnp.argmax(x),)),
    ]
    return sum((part * jnp.arange(1.0, 1 + len(part))).sum() for part in parts)


def batch_norm_of_equinox(x: Any) -> Any:
    norm, state = eqx.nn.make_with_state(eqx.nn.BatchNorm)(3, axis_name="batch", mode="batch", dtype=jnp.float64)
    apply = jax.vmap(norm, axis_name="batch", in_axes=(0, None), out_axes=(0, None))
    return (apply(jnp.outer(x, x) + x, state)[0] ** 3).sum()


PROGRAMS = [
    rules_in_loops,
    rules_for_cotangents_in_loops,
    optimized_residuals,
    custom_gradient,
    linear_solvers,
    root,
    differential_equation,
    derivatives_inside,
    collectives_inside,
    scopes_and_barriers,
    pieces_and_segments,
    batch_norm_of_equinox,
]
NO_SECOND_DERIVATIVE_IN_JAX = differential_equation, rules_for_cotangents_in_loops


@pytest.mark.parametrize("fun", PROGRAMS, ids=lambda f: f.__name__)
def test_derivatives(fun: Callable[..., Any]) -> None:
    xs, v, bridged = jnp.stack([X, 0.9 * X]), normal(2, 3), minijvp.from_jax(fun)
    if fun in NO_SECOND_DERIVATIVE_IN_JAX:
        words = [lambda api, f: api.vmap(api.value_and_grad(f))]
    else:
        words = [lambda api, f: api.vmap(lambda x: api.jvp(api.value_and_grad(f), (x,), (v,)))]
    for word in words:
        same(minijvp.jit(word(minijvp, bridged))(xs), jax.jit(word(jax, fun))(xs), 1e-8)
    same(minijvp.grad(bridged)(X), jax.jit(jax.grad(fun))(X), 1e-8)


def test_reverse_mode_of_a_while_loop() -> None:
    """JAX has forward mode only."""
    program = models.newton()
    fun = lambda x: program.fun(x, *program.rest)
    wanted = jax.jit(jax.jacfwd(fun))(program.x)
    for word in (minijvp.grad, lambda f: minijvp.jit(minijvp.grad(f)), lambda f: minijvp.grad(minijvp.jit(f))):
        same(word(minijvp.from_jax(fun))(program.x), wanted, 1e-10)
    second = jax.jit(jax.jacfwd(jax.jacfwd(fun)))(program.x)
    same(minijvp.jit(minijvp.hessian(minijvp.from_jax(fun)))(program.x), second, 1e-10)
    rows = tree_map(lambda leaf: jnp.stack([leaf, 1.1 * leaf]), program.x)
    found = minijvp.vmap(minijvp.grad(minijvp.from_jax(fun)))(rows)
    same(found, jax.jit(jax.vmap(jax.jacfwd(fun)))(rows), 1e-10)


def test_a_rule_for_batching_is_no_rule_for_derivatives() -> None:
    """JAX has forward mode only through jax.custom_batching.custom_vmap."""
    fun = minijvp.from_jax(lambda x: own_batching(x).sum())
    same(minijvp.grad(fun)(X), 2 * jnp.cos(X), 1e-12)
    same(minijvp.jit(minijvp.vmap(minijvp.hessian(fun)))(X[:, None]), -2 * jnp.sin(X)[:, None, None], 1e-12)


def test_samples_of_a_gamma_distribution_have_first_derivatives() -> None:
    sample = lambda a, key: jax.random.gamma(key, a, (2,)).sum()
    a, key = jnp.array(1.3), jax.random.key(0)
    same(minijvp.grad(minijvp.from_jax(sample))(a, key), jax.grad(sample)(a, key), 1e-9)
