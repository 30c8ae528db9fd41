"""What from_jax does with arguments, results and calls of every kind."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import minijvp
import minijvp.numpy as mnp
from minijvp.core.types import type_of
from tests.interop.models import normal
from tests.side_by_side import both, same

X = jnp.array([0.3, -1.2, 2.0])


class Counted:
    """A function that counts the runs of its body."""

    def __init__(self, fun: Callable[..., Any]):
        self.fun, self.count = fun, 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.count += 1
        return self.fun(*args, **kwargs)


# Traces


def test_one_trace_for_each_set_of_types_and_static_leaves() -> None:
    counted = Counted(lambda x, n, mode: (jnp.sin(x) if mode == "sin" else jnp.cos(x)).sum() * n)
    slope = minijvp.grad(minijvp.from_jax(counted))

    def traces(*args: Any) -> int:
        before = counted.count
        slope(*args)
        return counted.count - before

    assert traces(X, 2.0, "sin") == 1
    assert traces(X + 1, 2.0, "sin") == 0
    assert traces(X, 3.0, "sin") == 0  # a Python float is traced
    assert traces(X, 3, "sin") == 1  # an integer is static
    assert traces(X, 4, "sin") == 1
    assert traces(X, 3, "sin") == 0
    assert traces(X, 2.0, "cos") == 1
    assert traces(X[:2], 2.0, "cos") == 1
    assert traces(X.astype("float32"), 2.0, "cos") == 1
    assert traces(X, jnp.array(2.0, "float64"), "cos") == 1
    assert traces(X, 2.0, "cos") == 0


def test_transformations_share_a_trace() -> None:
    counted = Counted(lambda x: (x**3).sum())
    fun = minijvp.from_jax(counted)
    minijvp.grad(fun)(X)
    for word in (minijvp.jacfwd, minijvp.hessian, lambda f: minijvp.jit(minijvp.grad(f)), minijvp.value_and_grad):
        word(fun)(X)
    minijvp.vmap(minijvp.grad(fun))(X[None])
    assert counted.count == 1
    minijvp.vmap(minijvp.vmap(lambda x: fun(x * jnp.ones(3))))(X[None])
    assert counted.count == 1


def test_concrete_arguments_go_to_the_function_itself() -> None:
    seen = []

    def fun(x: Any) -> Any:
        seen.append(x)
        return x

    bridged = minijvp.from_jax(fun)
    assert bridged("text") == "text"
    assert bridged(X) is X
    minijvp.grad(lambda x: x * bridged(2.0))(1.0)  # nothing that is traced goes in
    assert len(seen) == 3
    assert not any(isinstance(x, (minijvp.Tracer, jax.core.Tracer)) for x in seen)


def test_the_name_and_the_documentation_stay() -> None:
    def softly(x: Any) -> Any:
        """Softly."""
        return x

    bridged = minijvp.from_jax(softly)
    assert (bridged.__name__, bridged.__doc__) == ("softly", "Softly.")
    assert bridged.__wrapped__ is softly


# Python's numbers


WEAK = [
    (lambda x, s: x * s, (X.astype("float32"), 2.0)),
    (lambda x, s: x + s, (X.astype("bfloat16"), 2)),
    (lambda x, s: jnp.where(x > 0, s, x), (X.astype("float32"), 0.5)),
    (lambda x, s: x * s, (jnp.array(1.5, "float32"), jnp.float64(2.0))),
    (lambda x, s: x * s, (1.5, 2)),
    (lambda x, s: x * jnp.sin(s), (X.astype("float16"), 1.0)),
    (lambda x, s: jnp.array([s, 1.0]) * x[0], (X.astype("float32"), 2.0)),
    (lambda x, s: x * s, (X.astype("complex64"), 2j)),
    (lambda x, s: x * s, (X.astype("float32"), np.float64(2.0))),
    (lambda x, s: x * s, (X.astype("float32"), True)),
]


@pytest.mark.parametrize("case", range(len(WEAK)))
def test_python_numbers_are_weakly_typed(case: int) -> None:
    fun, (x, s) = WEAK[case]
    wanted = jnp.asarray(fun(x, s))
    bridged = minijvp.from_jax(fun)
    out, t = minijvp.jvp(lambda x: bridged(x, s), (x,), (jnp.ones_like(x),))
    assert type_of(out) == type_of(wanted)
    assert (t.shape, t.dtype) == (wanted.shape, wanted.dtype)
    assert type_of(minijvp.jit(lambda x: bridged(x, s))(x)) == type_of(jax.jit(lambda x: fun(x, s))(x))


def test_a_float_that_is_differentiated_stays_weak() -> None:
    fun = lambda s: (X.astype("float32") * s).sum()
    found, wanted = minijvp.grad(minijvp.from_jax(fun))(2.0), jax.grad(fun)(2.0)
    assert type_of(found) == type_of(wanted)


def test_slices_are_static() -> None:
    counted = Counted(lambda x, where: (jnp.delete(x, where) ** 2).sum())
    bridged = minijvp.from_jax(counted)
    for where in (slice(0, 2), slice(0, 1), slice(None, None, 2)):
        for slope in (minijvp.grad(bridged), lambda x, w: minijvp.jit(minijvp.grad(lambda x: bridged(x, w)))(x)):
            same(slope(X, where), jax.grad(counted.fun)(X, where))
    before = counted.count
    minijvp.grad(bridged)(X, slice(0, 2))
    assert counted.count == before
    same(minijvp.grad(lambda x: mnp.delete(x, slice(0, 2)).sum())(X), jnp.array([0.0, 0.0, 1.0]))


def test_a_float_whose_value_is_needed_is_static() -> None:
    counted = Counted(lambda x, s: (x**2 if s > 0 else -x).sum())
    slope = minijvp.grad(minijvp.from_jax(counted))
    same(slope(X, 1.0), 2 * X)
    same(slope(X, -1.0), -jnp.ones(3))
    before = counted.count
    same(slope(X, 1.0), 2 * X)
    assert counted.count == before
    with pytest.raises(minijvp.ArgumentError, match="from_jax cannot trace"):
        minijvp.grad(minijvp.from_jax(counted), 1)(X, 1.0)


def test_arrays_whose_values_are_needed_are_known() -> None:
    fun = lambda x, counts: (jnp.repeat(x, counts) ** 2).sum()
    slope = minijvp.grad(minijvp.from_jax(fun))
    for counts in (jnp.array([2, 0, 1]), np.array([1, 1, 3])):
        same(slope(X, counts), jax.grad(fun)(X, counts))


# Leaves


def test_leaves_of_every_kind() -> None:
    def fun(x: Any, options: Any, *more: Any, power: Any = 1, activation: Any = None) -> Any:
        assert isinstance(options["flag"], bool)
        y = options["fn"](x["a"]) if options["flag"] else x["a"]
        y = activation(y) if activation is not None else y
        y = getattr(jnp, options["name"])(y) + (0 if more[0] is None else more[0])
        return (y**power).sum() + x["b"][0]

    x = {"a": X, "b": [jnp.array(1.0)]}
    calls = [
        (({"flag": True, "fn": jnp.sin, "name": "cos"}, None), {"power": 2}),
        (({"flag": False, "fn": jnp.sin, "name": "exp"}, 1.5), {"activation": jnp.tanh}),
        (({"flag": True, "fn": jax.nn.relu, "name": "cos"}, X), {"power": 2.0}),
    ]
    bridged = minijvp.from_jax(fun)
    for args, kwargs in calls:
        same(minijvp.grad(bridged)(x, *args, **kwargs), jax.grad(fun)(x, *args, **kwargs))


def test_keyword_arguments_are_differentiated() -> None:
    fun = lambda *, scale, x: (jnp.exp(x) * scale).sum()
    bridged = minijvp.from_jax(fun)
    same(minijvp.grad(lambda s: bridged(scale=s, x=X))(2.0), jax.grad(lambda s: fun(scale=s, x=X))(2.0))
    same(minijvp.grad(bridged, "x")(scale=2.0, x=X), 2 * jnp.exp(X))


def test_methods_and_partial_functions() -> None:
    class Model:
        def __init__(self, w: Any):
            self.w = w

        def loss(self, x: Any) -> Any:
            return (self.w * x**2).sum()

        @minijvp.from_jax
        @staticmethod
        def plain(x: Any) -> Any:
            return jnp.sin(x).sum()

    same(minijvp.grad(minijvp.from_jax(Model(X).loss))(X), 2 * X * X)
    same(minijvp.grad(Model.plain)(X), jnp.cos(X))
    same(minijvp.grad(minijvp.from_jax(partial(jnp.sum, axis=0)))(X), jnp.ones(3))
    same(minijvp.jacfwd(minijvp.from_jax(jax.jit(jnp.sin, inline=True)))(X), jnp.diag(jnp.cos(X)))


@pytest.mark.parametrize("word", [lambda f: f, minijvp.jit], ids=["eager", "jit"])
def test_results_of_every_kind(word: Any) -> None:
    def fun(x: Any) -> Any:
        return {"y": x * 2, "more": (None, [x.sum(), 3, 2.5, "text"]), "fn": jnp.sin, "same": x}

    bridged = minijvp.from_jax(fun)
    seen = []

    def use(x: Any) -> Any:
        out = bridged(x)
        seen.append(out)
        return out["y"].sum() * out["more"][1][2] + out["same"].sum()

    same(word(minijvp.grad(use))(X), 6 * jnp.ones(3))
    out = seen[0]
    assert out["more"][0] is None
    assert out["more"][1][1:] == [3, 2.5, "text"]
    assert type(out["more"][1][1]) is int
    assert out["fn"] is jnp.sin
    assert isinstance(out["y"], minijvp.Tracer)


def test_a_result_of_none() -> None:
    bridged = minijvp.from_jax(lambda x: None)
    same(minijvp.grad(lambda x: x * (2.0 if bridged(x) is None else 1.0))(3.0), jnp.asarray(2.0))


def test_a_result_that_does_not_depend_on_the_argument() -> None:
    bridged = minijvp.from_jax(lambda x: jnp.arange(3.0))
    same(minijvp.jvp(bridged, (X,), (X,))[1], jnp.zeros(3))
    same(minijvp.vmap(bridged, axis_size=2)(jnp.stack([X, X])), jnp.stack([jnp.arange(3.0)] * 2))


def test_booleans_integers_and_empty_arrays_pass_through() -> None:
    fun = lambda x, n, b: (x[n] * b, n + 1, ~b, x[:0])
    n, b = jnp.array([0, 2]), jnp.array([True, False])
    for word in (
        lambda api, f: api.jit(f),
        lambda api, f: lambda *args: api.vmap(f)(*[jnp.stack([a, a]) for a in args]),
    ):
        same(word(minijvp, minijvp.from_jax(fun))(X, n, b), word(jax, fun)(X, n, b))


# Nesting


def test_bridged_functions_inside_bridged_functions() -> None:
    inner = minijvp.from_jax(lambda x: jnp.sin(x) * x)
    outer = minijvp.from_jax(lambda x: inner(x * 2).sum() + minijvp.to_jax(mnp.exp)(x).sum())
    wanted = lambda x: (jnp.sin(2 * x) * 2 * x).sum() + jnp.exp(x).sum()
    same(minijvp.hessian(outer)(X), jax.hessian(wanted)(X), 1e-10)


def test_derivatives_by_jax_inside_are_differentiated_by_minijvp() -> None:
    fun = lambda x: (
        jax.grad(lambda y: (jnp.sin(y) * y).sum())(x).sum() + jnp.trace(jax.hessian(lambda y: (y**4).sum())(x))
    )
    same(minijvp.grad(minijvp.from_jax(fun))(X), jax.grad(fun)(X), 1e-10)


def test_jit_in_vmap_in_grad() -> None:
    def program(api: Any, bridge: Any) -> Any:
        f = bridge(lambda x, w: jnp.tanh(x @ w) * x)
        return api.grad(lambda w, xs: api.vmap(api.jit(f), (0, None))(xs, w).sum())

    w, xs = normal(0, 3, 3), normal(1, 4, 3)
    found = program(minijvp, minijvp.from_jax)
    wanted = program(jax, lambda f: f)(w, xs)
    same(found(w, xs), wanted, 1e-10)
    same(minijvp.jit(found)(w, xs), wanted, 1e-10)


def test_collectives_inside_vmap() -> None:
    fun = lambda x: jnp.exp(x) / jax.lax.psum(jnp.exp(x), "rows") * jax.lax.axis_index("rows")
    found = minijvp.vmap(minijvp.jacfwd(minijvp.from_jax(fun)), axis_name="rows")(X)
    same(found, jax.vmap(jax.jacfwd(fun), axis_name="rows")(X), 1e-12)


def test_different_precisions_are_different_programs() -> None:
    slope = minijvp.grad(minijvp.from_jax(lambda x: (x * np.float64(2.0)).sum()))
    assert slope(X.astype("float32")).dtype == "float32"
    with jax.enable_x64(False):
        assert slope(jnp.ones(2)).dtype == "float32"


def test_keys_beside_values_that_the_function_looks_at() -> None:
    def fun(x: Any, counts: Any, key: Any) -> Any:
        y = jnp.repeat(x, counts)
        return (y * jax.random.normal(key, y.shape)).sum()

    gradient = minijvp.grad(minijvp.from_jax(fun))
    for counts, seed in (([1, 2, 1], 0), ([1, 2, 1], 1), ([2, 1, 1], 1), ([1, 2, 1], 0)):
        args = jnp.arange(3.0), np.array(counts), jax.random.key(seed)
        np.testing.assert_allclose(gradient(*args), jax.grad(fun)(*args), rtol=1e-12)


def test_tracers_of_jax_beside_values_that_the_function_looks_at() -> None:
    fun = lambda x, counts, z: (jnp.repeat(x, counts) * z).sum()
    gradient, counts = minijvp.grad(minijvp.from_jax(fun)), np.array([1, 2, 1])
    for z in (2.0, 3.0):
        found = jax.jit(lambda x, z: gradient(x, counts, z))(jnp.arange(3.0), z)
        np.testing.assert_allclose(found, z * counts)


def test_a_program_read_inside_of_a_jit_of_jax_serves_outside() -> None:
    table = np.arange(3.0)

    @jax.custom_jvp
    def scaled(x: Any, by: Any) -> Any:
        return x * by

    scaled.defjvps(lambda t, out, x, by: t * by, None)
    gradient = minijvp.grad(minijvp.from_jax(lambda x: scaled(x, table).sum()))
    for compute in (jax.jit(gradient), gradient):
        same(compute(X), table)


def test_shardings_that_say_nothing_are_left_out() -> None:
    fun = jax.custom_vjp(lambda x: jnp.abs(jnp.sin(x) + 0.5j * x) ** 2)
    fun.defvjp(lambda x: jax.vjp(lambda x: jnp.abs(jnp.sin(x) + 0.5j * x) ** 2, x), lambda pull, ct: pull(ct))
    loss = lambda x: fun(x).sum()
    for run in (minijvp.grad(minijvp.from_jax(loss)), minijvp.jit(minijvp.grad(minijvp.from_jax(loss)))):
        same(run(X), jax.grad(loss)(X))
        same(run(X[0]), jax.grad(loss)(X[0]))

    mesh = jax.make_mesh((1,), ("rows",), axis_types=(jax.sharding.AxisType.Auto,))
    where = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("rows"))
    held = lambda x: jnp.linalg.pinv(jnp.outer(jax.lax.with_sharding_constraint(x, where), x))
    same(minijvp.vmap(minijvp.from_jax(held))(jnp.stack([X, X + 1])), jax.vmap(held)(jnp.stack([X, X + 1])), 1e-10)


def test_residuals_of_one_branch_in_a_rule() -> None:
    """JAX's linearization of a choice has placeholders for them in the other branches."""
    choice = lambda x: jax.lax.cond(x[0] > 0, lambda x: jnp.sin(x) * jnp.exp(x), lambda x: 2.0 * x, x).sum()
    chosen = jax.custom_vjp(choice)
    chosen.defvjp(lambda x: jax.vjp(choice, x), lambda pull, ct: pull(ct))
    correlated = lambda x: jnp.cos(jnp.corrcoef(jnp.stack([x, x**2]))[0, 1])
    ruled = jax.custom_vjp(correlated)
    ruled.defvjp(lambda x: jax.vjp(correlated, x), lambda pull, ct: pull(ct))
    for fun, point in ((chosen, X), (chosen, -X), (ruled, X)):
        gradient = minijvp.grad(minijvp.from_jax(fun))
        for compute in (gradient, minijvp.jit(gradient)):
            same(compute(point), jax.grad(fun)(point))


# Traced values that a function closes over


class Layer:
    """An object with an array, which a method uses."""

    def __init__(self, w: Any):
        self.w = w

    def __call__(self, y: Any) -> Any:
        return y * self.w


def library_of(np_: Any) -> Any:
    return minijvp if np_ is mnp else jax


CLOSING: dict[str, Any] = {
    "operator": lambda np_, bridge, x: bridge(lambda y: (jnp.sin(y) * x).sum())(x),
    "function": lambda np_, bridge, x: bridge(lambda y: jnp.sum(x) * y + jnp.dot(x, y))(x),
    "nothing-traced-given": lambda np_, bridge, x: bridge(lambda y: jax.vmap(lambda a: a * jnp.sum(x))(y))(np.ones(3)),
    "attributes": lambda np_, bridge, x: bridge(
        lambda y: (x.T @ y, x.at[0].set(2.0), x[..., 1], np_.where(x > 1, x, y))
    )(x),
    "scan": lambda np_, bridge, x: bridge(
        lambda y: jax.lax.scan(lambda c, i: (c * x[0] + i, c), y[1], jnp.arange(3.0))
    )(x),
    "cond": lambda np_, bridge, x: bridge(lambda y: jax.lax.cond(y[0] > 0, lambda: x, lambda: x * 2))(x),
    "compiled": lambda np_, bridge, x: bridge(jax.jit(lambda y: y * x[0] + jnp.cos(x).sum()))(x),
    "tree": lambda np_, bridge, x: bridge(
        (lambda p: lambda y: jax.lax.fori_loop(0, 2, lambda i, c: c * p["w"], y))({"w": x})
    )(x),
    "attribute": lambda np_, bridge, x: bridge(Layer(x))(jnp.cos(jnp.arange(3.0))),
    "itself": lambda np_, bridge, x: bridge(lambda y: x)(x),
    "bridge-inside": lambda np_, bridge, x: bridge(
        lambda y: library_of(np_).grad(lambda z: bridge(lambda w: jnp.sum(jnp.sin(w) * x * y * z))(z))(y[0])
    )(x),
    "jit-inside": lambda np_, bridge, x: bridge(lambda y: library_of(np_).jit(lambda z: np_.sum(x * z * y))(1.5))(x),
}


@pytest.mark.parametrize("name", CLOSING)
def test_a_function_closes_over_traced_values(name: str) -> None:
    def case(api: Any, np_: Any) -> Any:
        fun = lambda x: CLOSING[name](np_, minijvp.from_jax if np_ is mnp else lambda f: f, x)
        total = lambda x: sum(np_.sum(out * np_.cos(out)) for out in jax.tree.leaves(fun(x)))
        batch = jnp.stack([X, 2 * X])
        found = fun(X), api.jit(fun)(X), api.vmap(fun)(batch), api.grad(total)(X), api.jit(api.grad(total))(X)
        return *found, api.vmap(api.grad(total))(batch), api.jvp(total, (X,), (X,))

    both(case)


def test_a_program_with_values_of_a_trace_is_for_that_trace() -> None:
    held = Layer(1.0)
    bridged = minijvp.from_jax(lambda y: held(y))

    def fun(x: Any) -> Any:
        held.w = x
        return bridged(x)

    same([minijvp.grad(fun)(x) for x in (1.0, 3.0)], [jnp.array(2.0), jnp.array(6.0)])
    assert isinstance(held.w, jax.Array)
    with pytest.raises(minijvp.EscapedTracerError):
        minijvp.jit(bridged)(2.0)


def test_a_variable_holds_the_traced_value_again() -> None:
    seen = []

    def fun(x: Any) -> Any:
        def inner(y: Any) -> Any:
            nonlocal count
            count = count + 1
            return jnp.sum(x) * y

        count, before = 0, x
        out = minijvp.from_jax(inner)(x[0])
        seen.append((before is x, count))
        with pytest.raises(ZeroDivisionError):
            minijvp.from_jax(lambda y: jnp.sum(x) * y / (1 // 0))(x)
        seen.append((before is x, count))
        return out

    same(minijvp.grad(fun)(X), jax.grad(lambda x: jnp.sum(x) * x[0])(X))
    assert seen == [(True, 2), (True, 2)]
