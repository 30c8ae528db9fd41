"""Functions with rules may ask for values where there are some, in eager gradients; numbers against JAX."""

import gc
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import minijvp
import minijvp.numpy as mnp
from minijvp.errors import ConcretizationError
from tests.side_by_side import same

NUMBERS = [jnp.float32(x) for x in (1.3, -0.7)]


def steered(m, np_):
    """A function and a rule that choose by the sign of their argument."""

    @m.custom_jvp
    def f(x):
        if x > 0:
            return np_.sin(x) * x
        return np_.cos(x)

    @f.defjvp
    def rule(primals, tangents):
        (x,), (t,) = primals, tangents
        doubled = 2 * x
        if doubled > 0:
            return f(x), 3 * t * x
        return f(x), 5 * t

    return f


def numeric(m, np_):
    """A function and rules that make Python numbers, of values and of cotangents."""

    @m.custom_vjp
    def g(x, y):
        return x * y if float(x) > 0 else y

    def fwd(x, y):
        return g(x, y), (x, y) if float(x) > 0 else (y, y)

    def bwd(residuals, ct):
        if float(residuals[0]) > 2:
            return residuals[1] * ct, ct
        if ct > 1:
            return ct, 7 * ct
        return 2 * ct, 3 * ct * residuals[1]

    g.defvjp(fwd, bwd)
    return g


def by_numpy(m, np_):
    """A function that NumPy computes, and its derivative too."""
    h = m.custom_vjp(lambda x: np_.asarray(np.sin(np.asarray(x))))
    h.defvjp(lambda x: (h(x), np.cos(np.asarray(x))), lambda c, ct: (c * ct,))
    return h


def pair(make):
    return make(minijvp, mnp), make(jax, jnp)


@pytest.mark.parametrize("x", NUMBERS)
def test_if_in_a_function_and_in_its_rule(x):
    f, of_jax = pair(steered)
    same(minijvp.grad(f)(x), jax.grad(of_jax)(x))
    same(minijvp.jvp(f, (x,), (x,)), jax.jvp(of_jax, (x,), (x,)))
    same(minijvp.grad(lambda x: f(x) * f(-x))(x), jax.grad(lambda x: of_jax(x) * of_jax(-x))(x))
    same(minijvp.hessian(f)(x), jax.hessian(of_jax)(x))
    same(minijvp.linearize(f, x)[1](x), jax.linearize(of_jax, x)[1](x))


@pytest.mark.parametrize("x", NUMBERS)
@pytest.mark.parametrize("y", [jnp.float32(0.3), jnp.float32(3.0)])
def test_numbers_in_rules_for_cotangents(x, y):
    g, of_jax = pair(numeric)
    same(minijvp.grad(g, (0, 1))(x, y), jax.grad(of_jax, (0, 1))(x, y))
    _, pullback = minijvp.vjp(g, x, y)
    _, of_jax_pullback = jax.vjp(of_jax, x, y)
    for ct in map(jnp.float32, (0.5, 2.0, 0.5)):  # one program for all of them would be wrong
        same(pullback(ct), of_jax_pullback(ct))


def test_a_gradient_that_recurs_chooses_anew():
    f, of_jax = pair(steered)
    with minijvp.config(compile_gradients_after=1):
        found = [minijvp.grad(f)(x) for x in NUMBERS * 10]
    same(found, [jax.grad(of_jax)(x) for x in NUMBERS * 10])


@pytest.mark.parametrize("x", NUMBERS)
def test_functions_of_numpy_and_of_jax(x):
    h, of_jax = pair(by_numpy)
    same(minijvp.grad(h)(x), jax.grad(of_jax)(x))
    f = minijvp.custom_jvp(lambda x: jnp.sin(jnp.asarray(x)))
    f.defjvp(lambda p, t: (f(*p), t[0] * jnp.cos(jnp.asarray(p[0]))))
    same(minijvp.grad(f)(x), jnp.cos(x))


def test_argument_of_a_vmap_that_is_not_batched():
    f, of_jax = pair(steered)
    x, ys = NUMBERS[0], jnp.arange(3, dtype="float32")
    same(minijvp.vmap(lambda y: f(x) * y)(ys), jax.vmap(lambda y: of_jax(x) * y)(ys))
    g = minijvp.custom_vjp(lambda x, y: x * y if x > 0 else y)
    g.defvjp(lambda x, y: (g(x, y), (x, y)), lambda r, ct: (r[1] * ct, r[0] * ct if r[0] > 0 else ct))
    same(minijvp.vmap(minijvp.grad(g, 1), (None, 0))(x, ys), jnp.full(3, x))


def test_rules_within_rules_ask_for_their_own_values():
    def make(m, np_):
        @m.custom_jvp
        def f(x):
            return x if x > 100 else 2 * f(x * x)

        f.defjvp(lambda p, t: (f(*p), t[0] if p[0] > 100 else m.jvp(lambda x: 2 * f(x * x), p, t)[1]))
        return f

    f, of_jax = pair(make)
    for x in map(jnp.float32, (200.0, 3.0, 1.5)):
        same(minijvp.grad(f)(x), jax.grad(of_jax)(x))


@pytest.mark.parametrize(
    "call",
    [
        lambda f: minijvp.jit(f)(1.0),
        lambda f: minijvp.jit(minijvp.grad(f))(1.0),
        lambda f: minijvp.vmap(f)(mnp.arange(3.0)),
        lambda f: minijvp.make_jaxpr(f)(1.0),
        lambda f: jax.jit(minijvp.to_jax(f))(1.0),
    ],
)
def test_refused_where_there_are_no_values(call):
    with pytest.raises(ConcretizationError, match=r"bool\(\).*needs the value of a traced"):
        call(steered(minijvp, mnp))


def test_a_number_that_would_lose_a_derivative_is_refused():
    g = minijvp.custom_jvp(lambda x: x * x)
    g.defjvp(lambda p, t: (g(*p), 2 * float(p[0]) * t[0]))
    assert float(minijvp.grad(g)(3.0)) == 6
    with pytest.raises(ConcretizationError, match="that is being differentiated"):
        minijvp.grad(minijvp.grad(g))(3.0)

    def captured(y):  # by which the function is differentiated as it stands
        f = minijvp.custom_jvp(lambda x: x * float(x * y))
        f.defjvp(lambda p, t: (f(*p), t[0]))
        return f(2.0 * minijvp.stop_gradient(y))

    with pytest.raises(ConcretizationError, match="that is being differentiated"):
        minijvp.grad(captured)(3.0)


def test_effects_do_not_happen_twice():
    seen = []

    @minijvp.custom_jvp
    def f(x):
        y = minijvp.experimental.io_callback(lambda v: (seen.append(float(v)), v)[1], x, x)
        return x if asking and y > 0 else 2 * x

    f.defjvp(lambda p, t: (f(*p), t[0]))
    asking = False
    assert float(minijvp.grad(f)(jnp.float32(1))) == 1
    once = len(seen)
    asking = True
    with pytest.raises(ConcretizationError):
        minijvp.grad(f)(jnp.float32(1))
    assert len(seen) == once


def test_no_value_is_kept():
    x = jnp.arange(3.0)
    kept = weakref.ref(x)
    f = minijvp.custom_jvp(lambda x: x * 2 if x[0] == 0 else x)
    f.defjvp(lambda p, t: (f(*p), t[0] * 2 if p[0][1] == 1 else t[0]))
    same(minijvp.grad(lambda x: f(x).sum())(x), jnp.full(3, 2.0))
    del x
    gc.collect()
    assert kept() is None
