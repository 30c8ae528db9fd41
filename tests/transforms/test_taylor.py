"""Taylor mode against nested jax.jvp, against jax.experimental.jet, and against closed forms: every primitive too."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import jet as jax_jet

import minijvp
import minijvp.numpy as mnp
from minijvp import ArgumentError
from minijvp.core.jaxpr import Jaxpr
from minijvp.core.types import is_inexact, type_of
from minijvp.extend import Elementwise
from minijvp.tools.samples import arrays, call, differentiable, oracle, require_close, restricted, tolerance
from tests.samples import Sample, all_samples

ORDER = 4
X = np.array([0.3, -0.7, 0.9])
A = np.array([[2.0, 0.3, 0.1], [0.3, 3.0, 0.2], [0.1, 0.2, 4.0]])


def nested(
    api: Any, fun: Callable[..., Any], primals: Sequence[Any], directions: Sequence[Any], order: int
) -> list[Any]:
    """The result of a function and its derivatives along a line, by nested jvp of a library."""

    def derivatives(k: int, *xs: Any) -> list[Any]:
        if k == 0:
            return [fun(*xs)]
        lower, tangents = api.jvp(partial(derivatives, k - 1), xs, tuple(directions))
        return [*lower, tangents[-1]]

    return derivatives(order, *primals)


def line(directions: Sequence[Any], order: int) -> list[list[Any]]:
    """The series of arguments that move along a line."""
    return [[t, *[np.zeros(t.shape, t.dtype)] * (order - 1)] for t in directions]


# Every primitive


def floats(fun: Callable[..., list[Any]], types: Sequence[Any]) -> Callable[..., list[Any]]:
    """The function without results that have no derivative."""
    return lambda *xs: [x for x, t in zip(fun(*xs), types, strict=True) if is_inexact(t.dtype)]


def judged_by_jax(sample: Sample) -> bool:
    """Whether JAX finds the derivatives of a sample: others are those of rules, which tests of rules judge."""
    return sample.jax_derivative and not sample.primitive.own_derivative


def first_of_each() -> list[Sample]:
    """A sample of each primitive that has derivatives, of double precision if there is one."""
    found: dict[str, Sample] = {}
    for sample in sorted(all_samples(), key=lambda s: (tolerance(s) > 1e-9, not judged_by_jax(s))):
        if differentiable(sample):
            found.setdefault(sample.primitive.name, sample)
    return sorted(found.values(), key=str)


def others() -> list[Sample]:
    """All other samples that have derivatives."""
    first = set(map(str, first_of_each()))
    return [s for s in all_samples() if differentiable(s) and str(s) not in first]


def check(sample: Sample, order: int) -> None:
    """The derivatives of a sample up to an order, of all arguments together, against nested jvp."""
    xs = arrays(sample)
    api, plain = (jax, oracle(sample)) if judged_by_jax(sample) else (minijvp, call(sample))
    types = [type_of(x) for x in call(sample)(*xs)]
    fun, primals, directions = restricted(floats(call(sample), types), xs, differentiable(sample))
    judge = restricted(floats(plain, types), xs, differentiable(sample))[0]
    values, *expected = api.jit(lambda xs, ts: nested(api, judge, xs, ts, order))(primals, directions)
    outs, series = minijvp.jit(lambda xs, ts: minijvp.jet(fun, xs, line(ts, order)))(primals, directions)
    require_close(outs, values, tolerance(sample), f"{sample}: result")
    for k in range(order):
        found = [terms[k] for terms in series]
        require_close(found, expected[k], 20 * tolerance(sample), f"{sample}: derivative {k + 1}")


SLOW = "eig igamma igammac random_gamma while_cotangents while_curvature".split()
"""Primitives whose nested derivatives take long to compile: here they are of a lower order."""


@pytest.mark.parametrize("sample", first_of_each(), ids=str)
def test_every_primitive(sample: Sample) -> None:
    check(sample, ORDER - (sample.primitive.name in SLOW))


@pytest.mark.slow
@pytest.mark.parametrize("sample", others(), ids=str)
def test_every_other_sample(sample: Sample) -> None:
    check(sample, 3)


# Beside JAX's jet, along a curve

SMOOTH = "exp log sin cos tanh sinh cosh sqrt log1p expm1 square reciprocal".split()
JETS: dict[str, Callable[[Any], Callable[[Any], Any]]] = {
    **{name: (lambda xp, name=name: getattr(xp, name)) for name in SMOOTH},
    "a power": lambda xp: lambda x: x**3 + x**-2,
    "a quotient": lambda xp: lambda x: x / (1 + x * x),
    "a product": lambda xp: lambda x: xp.dot(A.astype("float32"), xp.sin(x)) * x,
    "maximum": lambda xp: lambda x: xp.maximum(x, 0.5),
    "a sum": lambda xp: lambda x: xp.sum(xp.cumsum(x)),
    "a choice": lambda xp: lambda x: xp.where(x > 0.5, x * x, x),
}


@pytest.mark.parametrize("name", JETS)
@pytest.mark.parametrize("factorial_scaled", [True, False])
def test_jet_is_that_of_jax(name: str, factorial_scaled: bool) -> None:
    x = np.array([0.3, 0.6, 0.8], np.float32)
    series = ([x * 0.5, x + 1, -x, x * x, np.zeros_like(x)],)
    make = JETS[name]
    found = minijvp.jet(make(mnp), (x,), series, factorial_scaled)
    expected = jax_jet.jet(make(jnp), (jnp.asarray(x),), series, factorial_scaled)
    assert jax.tree_util.tree_structure(found) == jax.tree_util.tree_structure(expected)
    for a, e in zip(jax.tree_util.tree_leaves(found), jax.tree_util.tree_leaves(expected), strict=True):
        assert a.dtype == e.dtype and a.shape == e.shape
        np.testing.assert_allclose(a, e, rtol=2e-4, atol=1e-4 * max(1.0, float(np.max(np.abs(e)))))


def test_jet_of_several_arguments_and_results() -> None:
    def fun(xp: Any) -> Callable[[Any, Any], Any]:
        return lambda x, y: {"a": x * xp.sin(y), "b": (y, xp.zeros(3))}

    series = ([X, -X], [X * X, np.zeros(3)])
    found = minijvp.experimental.jet.jet(fun(mnp), [X, X + 1], series)
    expected = jax_jet.jet(fun(jnp), [X, X + 1], series)
    assert jax.tree_util.tree_structure(found) == jax.tree_util.tree_structure(expected)
    jax.tree_util.tree_map(partial(np.testing.assert_allclose, rtol=1e-12), found, expected)
    assert minijvp.experimental.jet.jet is minijvp.jet


def test_a_curve_is_not_a_line() -> None:
    # x(t) = t + t^2, of which exp(x(t)) is 1 + t + (1 + 1/2) t^2 + (1 + 1/6) t^3 + ...
    _, series = minijvp.jet(mnp.exp, (0.0,), ((1.0, 1.0, 0.0),), factorial_scaled=False)
    np.testing.assert_allclose(series, [1.0, 1.5, 7 / 6])
    _, scaled = minijvp.jet(mnp.exp, (0.0,), ((1.0, 2.0, 0.0),))
    np.testing.assert_allclose(scaled, [1.0, 3.0, 7.0])
    _, still = minijvp.jet(mnp.exp, (0.5,), ((0.0, 0.0),))
    assert [float(x) for x in still] == [0.0, 0.0]


# Closed forms


def test_exponential_of_order_20_in_single_precision() -> None:
    found = minijvp.taylor(mnp.exp, np.float32(0), np.float32(1), 20)
    assert all(c.dtype == np.float32 for c in found)
    np.testing.assert_allclose(found, [1 / math.factorial(k) for k in range(21)], rtol=1e-6)


@pytest.mark.parametrize(
    ("fun", "x", "coefficient"),
    [
        (lambda x: 1 / (1 - x), 0.0, lambda k: 1.0),
        (lambda x: mnp.log1p(x), 0.0, lambda k: (-1) ** (k + 1) / k),
        (lambda x: mnp.arctan(x), 0.0, lambda k: 0.0 if k % 2 == 0 else (-1) ** (k // 2) / k),
        (lambda x: x**2.5, 1.0, lambda k: math.prod(2.5 - j for j in range(k)) / math.factorial(k)),
        (lambda x: mnp.sin(x), 0.0, lambda k: 0.0 if k % 2 == 0 else (-1) ** (k // 2) / math.factorial(k)),
        (lambda x: x**5, 2.0, lambda k: math.comb(5, k) * 2.0 ** (5 - k) if k <= 5 else 0.0),
    ],
)
def test_known_coefficients(fun: Any, x: float, coefficient: Callable[[int], float]) -> None:
    found = minijvp.taylor(fun, x, 1.0, 12)[1:]
    np.testing.assert_allclose(found, [coefficient(k) for k in range(1, 13)], rtol=1e-12, atol=1e-14)


def test_tails_of_sigmoids_do_not_cancel() -> None:
    # tanh(x) is 1 - 2 exp(-2 x) there, and the logistic function 1 - exp(-x), up to the square of that.
    for fun, rate, x in ((mnp.tanh, 2.0, 19.0), (minijvp.nn.sigmoid, 1.0, 40.0)):
        found = minijvp.taylor(fun, x, 1.0, 6)[1:]
        expected = [-rate * (-rate) ** k / math.factorial(k) * math.exp(-rate * x) for k in range(1, 7)]
        np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_powers_at_zero() -> None:
    # Where nested derivatives are finite there are no quotients by zero.
    found = minijvp.taylor(lambda x: x**2.5, 0.0, 1.0, 2)
    assert [float(c) for c in found] == [0.0, 0.0, 0.0]
    found = minijvp.taylor(lambda x: mnp.power(x, mnp.array(2.0)), 0.0, 1.0, 3)
    assert [float(c) for c in found] == [0.0, 0.0, 1.0, 0.0]


# Compositions


def functions(api: Any, xp: Any) -> Iterator[tuple[str, Callable[[Any], Any]]]:
    """Functions of one number with programs inside, in the words of a library."""
    lax = api.lax
    yield "scan", lambda x: lax.scan(lambda c, a: (xp.sin(c) * a + x, c * a), x * x, xp.arange(3.0) * x)[1].sum()
    yield "reversed scan", lambda x: lax.scan(lambda c, a: (c * a, xp.exp(c)), x, xp.ones(3) * x, reverse=True)[0]
    yield "a scan that begins constant", lambda x: lax.scan(lambda c, _: (c * x + 1, c), 1.0, None, 4)[0]
    yield "fori_loop", lambda x: lax.fori_loop(0, 4, lambda i, c: xp.sin(c) * x, x)
    yield "while_loop", lambda x: lax.while_loop(lambda c: c[1] < 5, lambda c: (xp.sin(c[0]) * x, c[1] + 1), (x, 0))[0]
    yield "cond", lambda x: lax.cond(x > 0.2, lambda y: xp.sin(y) * x, lambda y: y, x)
    yield "switch", lambda x: lax.switch(1, [lambda y: y, lambda y: y * y * x, xp.exp], x)
    yield "a cond with a constant branch", lambda x: lax.cond(x > 0.9, lambda y: y * y, lambda y: xp.ones_like(y), x)
    yield "jit", lambda x: api.jit(lambda y, z: xp.sin(y) * z * x)(x**2, 2.0)
    yield "checkpoint", lambda x: api.checkpoint(lambda y: xp.sin(y) * x)(x**2)
    yield "a scan of jit", lambda x: lax.scan(lambda c, _: (api.jit(xp.cos)(c) * x, None), x, None, 3)[0]
    yield "vmap", lambda x: api.vmap(lambda y: xp.sin(y * x))(xp.arange(3.0)).sum()
    yield "grad", lambda x: api.grad(lambda y: xp.sin(y * x) * xp.exp(y))(x)
    yield "grad of a scan", lambda x: api.grad(lambda y: lax.scan(lambda c, a: (xp.sin(c) * a * x, c), y, X)[0])(x)
    yield "jvp", lambda x: api.jvp(lambda y: xp.sin(y * x), (x,), (x * x,))[1]
    yield "solve", lambda x: xp.linalg.solve(A * (1 + x * x), xp.stack([x, x * x, xp.exp(x)])).sum()
    yield (
        "linear solve",
        lambda x: lax.custom_linear_solve(
            lambda v: xp.dot(A * (1 + x * x), v),
            xp.stack([x, xp.sin(x), 1.0]),
            lambda _, b: xp.linalg.solve(A * (1 + x * x), b),
            symmetric=True,
        ).sum(),
    )
    yield (
        "root",
        lambda x: lax.custom_root(
            lambda y: y**3 + y * x - 2.0,
            1.0,
            lambda f, y: lax.fori_loop(0, 30, lambda _, y: y - f(y) / (3 * y * y + 0.3), y),
            lambda g, y: y / g(1.0),
        ),
    )
    yield "softmax", lambda x: api.nn.softmax(xp.stack([2.0, x * x, x]))[1]
    yield "logsumexp", lambda x: api.nn.logsumexp(xp.stack([2.0, x * x, x]))
    yield "cholesky", lambda x: xp.linalg.cholesky(A * (1 + x * x) + x * np.eye(3)).sum()
    yield "eigh", lambda x: xp.linalg.eigh(A + xp.diag(xp.stack([x, x * x, 1.0])))[0][0]
    yield "sort", lambda x: xp.sort(xp.stack([2.0, x * x, x]))[1]


THEIRS = dict(functions(jax, jnp))


@pytest.mark.parametrize("name", THEIRS)
def test_compositions(name: str) -> None:
    """Under jit, differentiated in reverse and batched, too: the next coefficient follows from the last."""
    fun, x = dict(functions(minijvp, mnp))[name], 0.3
    *expected, last = [float(y) for y in jax.jit(lambda x: nested(jax, THEIRS[name], (x,), (1.0,), 4))(x)]
    derivatives = lambda x: [c * math.factorial(k) for k, c in enumerate(minijvp.taylor(fun, x, 1.0, 3))]
    np.testing.assert_allclose(derivatives(x), expected, rtol=1e-9, atol=1e-9)
    third = lambda x: derivatives(x)[3]
    many, slopes = minijvp.jit(lambda xs: (minijvp.vmap(derivatives)(xs), minijvp.vmap(minijvp.grad(third))(xs)))(
        np.array([x, x])
    )
    np.testing.assert_allclose(np.array(many)[:, 1], expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(slopes, [last] * 2, rtol=1e-8, atol=1e-8)


def test_rules_of_users() -> None:
    @minijvp.custom_jvp
    def softplus(x: Any) -> Any:
        return mnp.log1p(mnp.exp(x))

    softplus.defjvp(lambda p, t: (softplus(*p), t[0] * minijvp.nn.sigmoid(p[0])))

    @minijvp.custom_jvp
    def exponential(x: Any) -> Any:
        return mnp.exp(x)

    exponential.defjvp(lambda p, t: (exponential(*p), t[0] * exponential(*p)))

    @minijvp.custom_vjp
    def sine(x: Any) -> Any:
        return mnp.sin(x)

    sine.defvjp(lambda x: (mnp.sin(x), x), lambda x, ct: (ct * mnp.cos(x),))
    for ours, theirs in ((softplus, jax.nn.softplus), (exponential, jnp.exp), (sine, jnp.sin)):
        found = minijvp.taylor(lambda x, f=ours: f(x * x), 0.7, 1.0, 5)
        expected = nested(jax, lambda x, f=theirs: f(x * x), (0.7,), (1.0,), 5)
        np.testing.assert_allclose([c * math.factorial(k) for k, c in enumerate(found)], expected, rtol=1e-9)


def test_a_rule_is_used_and_not_the_function() -> None:
    @minijvp.custom_jvp
    def twice(x: Any) -> Any:
        return x

    twice.defjvp(lambda p, t: (p[0], 2.0 * t[0]))
    assert [float(c) for c in minijvp.taylor(twice, 1.0, 1.0, 2)] == [1.0, 2.0, 0.0]
    assert [float(c) for c in minijvp.taylor(lambda x: twice(x) * x, 1.0, 1.0, 2)] == [1.0, 3.0, 2.0]
    # Beside a tangent of its own, a rule gives the derivative of what it gives, as nested jvp has it.
    found = minijvp.taylor(lambda x: twice(x * x), 3.0, 1.0, 2)
    assert [float(c) for c in found] == [9.0, 12.0, 2.0]


def test_roots_fixed_points_and_functions_of_jax() -> None:
    loop = minijvp.from_jax(lambda x: jax.lax.fori_loop(0, 3, lambda i, c: c * jnp.sin(x), x))
    cases: list[tuple[Any, Any]] = [
        (lambda x: minijvp.root(lambda y: y**2 - x, 1.0), jnp.sqrt),
        (lambda x: minijvp.fixed_point(lambda y: y - 0.3 * (y**2 - x), 1.0, tol=1e-15), jnp.sqrt),
        (loop, lambda x: x * jnp.sin(x) ** 3),
    ]
    for ours, theirs in cases:
        found = minijvp.jit(lambda x, f=ours: minijvp.taylor(f, x, 1.0, 4))(1.3)
        expected = nested(jax, theirs, (1.3,), (1.0,), 4)
        np.testing.assert_allclose([c * math.factorial(k) for k, c in enumerate(found)], expected, rtol=1e-8)


def test_inside_of_loops() -> None:
    second = lambda x: 2 * minijvp.taylor(mnp.sin, x, 1.0, 2)[2]
    assert np.isclose(minijvp.lax.fori_loop(0, 2, lambda i, x: second(x), 0.5), np.sin(np.sin(0.5)))
    found = minijvp.lax.while_loop(lambda c: c[0] < 2, lambda c: (c[0] + 1, second(c[1])), (0, 0.5))
    assert np.isclose(found[1], np.sin(np.sin(0.5)))
    chosen = minijvp.lax.cond(True, second, lambda x: x, 0.5)
    assert np.isclose(chosen, -np.sin(0.5))


def test_nested_taylor() -> None:
    mixed = minijvp.taylor(lambda x: minijvp.taylor(lambda y: mnp.sin(x * y), 0.7, 1.0, 2)[2], 0.3, 1.0, 2)[2]
    by_jax = lambda x: nested(jax, lambda y: jnp.sin(x * y), (0.7,), (1.0,), 2)[2]
    assert np.isclose(mixed * 4, nested(jax, by_jax, (0.3,), (1.0,), 2)[2])


def test_trees_integers_and_complex_results() -> None:
    def fun(p: Any) -> Any:
        return {"y": p["x"] * mnp.exp(1j * p["x"]), "n": p["n"] + 1, "none": None}

    p = {"x": X, "n": np.arange(3)}
    direction = {"x": X + 1, "n": np.zeros(3, jax.dtypes.float0)}
    value, first, second = minijvp.taylor(fun, p, direction, 2)
    expected = nested(jax, lambda x: x * jnp.exp(1j * x), (X,), (X + 1,), 2)
    np.testing.assert_allclose(value["y"], expected[0])
    np.testing.assert_allclose(first["y"], expected[1])
    np.testing.assert_allclose(second["y"], expected[2] / 2)
    assert value["n"].tolist() == [1, 2, 3] and second["n"].dtype == jax.dtypes.float0 and second["none"] is None


def test_hessian_by_taylor() -> None:
    f = lambda x: mnp.sum(mnp.sin(x) * mnp.roll(x, 1))
    g = lambda x: jnp.sum(jnp.sin(x) * jnp.roll(x, 1))
    diagonal = minijvp.vmap(lambda v: 2 * minijvp.taylor(f, X, v, 2)[2])(np.eye(3))
    np.testing.assert_allclose(diagonal, np.diag(jax.hessian(g)(X)), rtol=1e-12)
    third = minijvp.grad(lambda x: 2 * minijvp.taylor(f, x, X, 2)[2])(X)
    expected = jax.grad(lambda x: jnp.vdot(X, jax.hessian(g)(x) @ X))(X)
    np.testing.assert_allclose(third, expected, rtol=1e-12)


@pytest.mark.usefixtures("registry_as_before")
def test_primitives_from_outside() -> None:
    sinc = Elementwise("taylor_sinc", lambda x: jnp.sin(x) / x, lambda t, out, x: t * (mnp.cos(x) - out) / x)
    found = minijvp.taylor(lambda x: sinc(x * x), 0.8, 1.0, 4)
    expected = nested(jax, lambda x: jnp.sin(x * x) / (x * x), (0.8,), (1.0,), 4)
    np.testing.assert_allclose([c * math.factorial(k) for k, c in enumerate(found)], expected, rtol=1e-9)

    class Doubled(Elementwise):
        """A function with a Taylor rule that is its own, and so no other's."""

        def taylor(self, primals: tuple, series: tuple) -> Any:
            (x,) = series
            return self(*primals), lambda k: None if x[k] is None else 7.0 * x[k]

    class Lost(Elementwise):
        """Its coefficients lose the axes of the result."""

        def taylor(self, primals: tuple, series: tuple) -> Any:
            return self(*primals), lambda k: 1.0

    class Alone(Elementwise):
        """It does not give the result."""

        def taylor(self, primals: tuple, series: tuple) -> Any:
            return lambda k: series[0][k]

    for kind, what in ((Lost, r"returned f64\[\]. for a value of type f64\[3\]"), (Alone, "returned <function")):
        wrong = kind(f"taylor_{kind.__name__}", lambda x: 2 * x, lambda t, out, x: 2.0 * t)
        with pytest.raises(ArgumentError, match=f"the taylor rule of the primitive 'taylor_{kind.__name__}' {what}"):
            minijvp.taylor(wrong, X, X, 2)
    doubled = Doubled("taylor_doubled", lambda x: 2 * x, lambda t, out, x: 2.0 * t)
    assert [float(c) for c in minijvp.taylor(doubled, 1.0, 1.0, 2)] == [2.0, 7.0, 0.0]


def equations(jaxpr: Jaxpr) -> int:
    """The number of equations, with those of programs inside."""
    return sum(1 + sum(map(equations, e.programs)) for e in jaxpr)


QUADRATIC: dict[str, Callable[[Any], Any]] = {
    name: getattr(mnp, name) for name in "exp log sin tan tanh sqrt arctan arcsin".split()
} | {
    "erf": minijvp.lax.erf,
    "sigmoid": minijvp.nn.sigmoid,
    "gelu": minijvp.nn.gelu,
    "softmax": minijvp.nn.softmax,
    "logsumexp": minijvp.nn.logsumexp,
    "a quotient": lambda x: x / (1 + x * x),
    "a scan": lambda x: minijvp.lax.scan(lambda c, a: (mnp.sin(c) * a, c), x[0], x)[0],
    "solve": lambda x: mnp.linalg.solve(A + x, x),
    "cholesky": lambda x: mnp.linalg.cholesky(A + x[0] * np.eye(3)),
    "eigh": lambda x: mnp.linalg.eigh(A + x[0] * np.eye(3) * X)[0],
}


@pytest.mark.parametrize("name", QUADRATIC)
def test_costs_grow_quadratically(name: str) -> None:
    fun = lambda x: QUADRATIC[name](mnp.sin(x))
    counts = [equations(minijvp.make_jaxpr(lambda x, n=n: minijvp.taylor(fun, x, X, n)[n])(X)) for n in (8, 16, 32)]
    assert counts[2] - counts[1] <= 4.4 * (counts[1] - counts[0])


# Bad input


@pytest.mark.parametrize("order", [0, -1, 1.0, "2", None, True])
def test_orders_are_positive_integers(order: Any) -> None:
    with pytest.raises(ArgumentError, match="the order of taylor is"):
        minijvp.taylor(mnp.sin, 1.0, 1.0, order)


@pytest.mark.parametrize(
    ("primals", "series", "message"),
    [
        (X, ([X],), "primals of jet is of type ndarray"),
        ((X,), X, "series of jet is of type ndarray"),
        ((X,), ([X], [X]), "received 1 primals and 2 series"),
        ((X,), (X,), r"series\[0\] of jet is of type ndarray"),
        ((X,), ([],), r"the series of jet have the lengths \[0\]"),
        ((), (), r"the series of jet have the lengths \[\]"),
        ((X, X), ([X], [X, X]), r"the series of jet have the lengths \[1, 2\]"),
        ((X,), ([X, X[:2]],), r"the derivative at series\[0\]\[1\] is f64\[2\]"),
        ((X,), ([X, X.astype("float32")],), r"the derivative at series\[0\]\[1\] is f32\[3\]"),
        (({"a": X},), ([{"a": X}, {"a": X[:1]}],), r"the derivative at series\[0\]\[1\]\['a'\] is f64\[1\]"),
        (({"a": X},), ([{"b": X}],), "the tree of number 0 of each of series is"),
        ((np.arange(3),), ([np.arange(3)],), r"the derivative at series\[0\]\[0\] is i64\[3\]"),
        (("x",), ([X],), "primals"),
    ],
)
def test_series_that_do_not_fit(primals: Any, series: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        minijvp.jet(lambda *xs: xs, primals, series)


def test_directions_that_do_not_fit() -> None:
    with pytest.raises(ArgumentError, match="the tree of direction is"):
        minijvp.taylor(mnp.sin, X, [X], 2)
    with pytest.raises(ArgumentError, match=r"the direction at direction is f64\[2\]"):
        minijvp.taylor(mnp.sin, X, X[:2], 2)
    with pytest.raises(ArgumentError, match=r"the direction at direction\['n'\] is i64"):
        minijvp.taylor(lambda p: p["n"] * 1.0, {"n": 3}, {"n": 1}, 2)
    with pytest.raises(ArgumentError, match="cannot be called"):
        minijvp.taylor(X, X, X, 2)
    with pytest.raises(ArgumentError, match="cannot be called"):
        minijvp.jet(X, (X,), ([X],))


def test_values_are_asked_for() -> None:
    with pytest.raises(minijvp.ConcretizationError):
        minijvp.taylor(lambda x: float(x), 1.0, 1.0, 2)
    lifted = minijvp.taylor(lambda x: x * float(mnp.ones(()) * 2.0), 1.0, 1.0, 1)
    assert [float(c) for c in lifted] == [2.0, 2.0]
    found = minijvp.taylor(lambda x: x * x if x > 0 else -x, 1.0, 1.0, 2)
    assert [float(c) for c in found] == [1.0, 2.0, 1.0]
