"""jit against jax.jit: options, caches, programs, and its compositions with the other transformations and with JAX."""

from __future__ import annotations

from functools import partial, wraps
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.tree_util import tree_flatten

import minijvp
import minijvp.numpy as mnp
from minijvp import ArgumentError, ConcretizationError, EscapedTracerError
from tests.several_devices import run_on_four_devices

X, V = jnp.array([0.3, -1.2, 2.0]), jnp.array([1.0, 0.5, -2.0])
SIDES = (minijvp, mnp), (jax, jnp)


def same(found: Any, wanted: Any) -> None:
    found, found_tree = tree_flatten(found)
    wanted, wanted_tree = tree_flatten(wanted)
    assert found_tree == wanted_tree
    for a, b in zip(found, wanted, strict=True):
        assert (a.shape, a.dtype, a.weak_type) == (b.shape, b.dtype, b.weak_type)
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


def both(case: Any) -> None:
    """`case(api, np)` gives the same with minijvp as with JAX."""
    ours, theirs = [case(*side) for side in SIDES]
    same(ours, theirs)


class Counted:
    """A function that counts how often it runs."""

    def __init__(self, fun: Any):
        self.fun = fun
        self.runs = 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.runs += 1
        return self.fun(*args, **kwargs)


# Forms


def test_decorators() -> None:
    @minijvp.jit
    def plain(x: Any) -> Any:
        """Doc."""
        return mnp.sin(x)

    @partial(minijvp.jit, static_argnums=1)
    def with_partial(x: Any, n: int) -> Any:
        return sum(x for _ in range(n))

    @minijvp.jit(static_argnames="n")
    def with_options(x: Any, n: int = 2) -> Any:
        return sum(x for _ in range(n))

    same(plain(X), jnp.sin(X))
    assert (plain.__name__, plain.__doc__, plain.__wrapped__(X).shape) == ("plain", "Doc.", (3,))
    same(with_partial(X, 3), X + X + X)
    same(with_options(X), X + X)
    same(with_options(X, n=3), X + X + X)


def test_trees_kwargs_defaults_and_varargs() -> None:
    def fun(p: Any, x: Any = 2.0, *rest: Any, scale: Any = 1.0, **more: Any) -> Any:
        return {"p": [p["a"] * scale, None], "x": (x, sum(rest)), "more": more}

    for args, kwargs in (
        (({"a": X},), {}),
        (({"a": X}, V), {"scale": 3}),
        (({"a": X}, 1, V, X), {"k": X, "n": None}),
        ((), {"p": {"a": X}, "x": V}),
    ):
        both(lambda api, np, args=args, kwargs=kwargs: api.jit(fun)(*args, **kwargs))
        nested = args, kwargs
        both(lambda api, np, nested=nested: api.jit(lambda t: api.jit(fun)(*t[0], **t[1]))(nested))


def test_methods_and_callables() -> None:
    class Model:
        w = 3.0

        @minijvp.jit
        def __call__(self: Any, x: Any) -> Any:
            return x * 2

        @partial(minijvp.jit, static_argnums=0)
        def scaled(self, x: Any) -> Any:
            return self.w * x

    same(minijvp.jit(partial(Model.scaled, Model()))(X), 3 * X)
    same(Model().scaled(X), 3 * X)
    same(minijvp.jit(Counted(mnp.sin))(X), jnp.sin(X))


def test_wrappers_that_take_more_than_what_they_wrap() -> None:
    def fun(x: Any) -> Any:
        return x * 2

    @wraps(fun)
    def shifted(x: Any, shift: Any) -> Any:
        return fun(x) + shift

    same(minijvp.jit(shifted)(X, V), 2 * X + V)
    same(minijvp.jit(minijvp.jit(shifted))(X, V), 2 * X + V)
    same(minijvp.jit(minijvp.vmap(shifted))(X, V), 2 * X + V)


def test_names_of_parameters() -> None:
    both(lambda api, np: api.jit(lambda jitted, state, fun: (jitted, state, fun))(X, 1.0, fun=V))
    both(lambda api, np: api.jit(lambda __x: __x)(X))
    both(lambda api, np: api.jit(lambda x, /: x)(X))
    both(lambda api, np: api.jit(lambda: X)())


def test_wrong_calls() -> None:
    fun = minijvp.jit(lambda x, y: x)
    for args in ((), (X,), (X, X, X)):
        with pytest.raises(TypeError):
            fun(*args)
    with pytest.raises(TypeError):
        fun(X, z=X)
    with pytest.raises(ArgumentError):
        minijvp.jit(3)
    for wrong in ("text", object(), [1, "text"]):
        with pytest.raises(ArgumentError):
            fun(X, wrong)
        with pytest.raises(ArgumentError):
            minijvp.grad(lambda x, wrong=wrong: fun(x, wrong))(1.0)
    with pytest.raises(ArgumentError):
        minijvp.jit(lambda x: "text")(X)


def test_values_are_not_known() -> None:
    with pytest.raises(ConcretizationError):
        minijvp.jit(lambda x: x if x > 0 else -x)(1.0)


# Static arguments


def test_static_arguments() -> None:
    fun = Counted(lambda x, n, mode="sin": getattr(mnp, mode)(x) * n)
    fast = minijvp.jit(fun, static_argnums=(1, 2), static_argnames=("mode",))
    for n, mode in ((2, "sin"), (3, "sin"), (2, "cos"), (2, "sin")):
        same(fast(X, n, mode), getattr(jnp, mode)(X) * n)
    assert fun.runs == 3
    same(fast(X, 2, mode="cos"), jnp.cos(X) * 2)


@pytest.mark.parametrize("options", [{"static_argnums": 1}, {"static_argnames": "k"}, {"static_argnums": [-1]}])
def test_static_types_differ(options: Any) -> None:
    for transformation in (lambda f: f, minijvp.jit, lambda f: minijvp.grad(lambda x: f(x).sum())):
        seen = []

        def fun(x: Any, k: Any) -> Any:
            seen.append(type(k))
            return x * k

        fast = minijvp.jit(fun, **options)
        for k in (1, 1.0, True, 1, 1.0, True):
            transformation(lambda x, k=k, fast=fast: fast(x, k))(X)
        assert seen == [int, float, bool]


@pytest.mark.parametrize("argnums", [-1, -2, (-1,), (-3, -1)])
def test_positions_from_the_end_are_those_of_jax(argnums: Any) -> None:
    # From JAX 0.12 on they are counted from the last parameter, before from the last argument that is given.
    one, several, rest = lambda x, k: x * k, lambda x, k, scale=2.0: x * k * scale, lambda x, *rest: x * sum(rest)
    for fun, args in ((one, (X, 2)), (several, (X, 2)), (several, (X, 2, 3.0)), (rest, (X, 2)), (rest, (X, 2, 3.0))):
        found = []
        for api in (minijvp, jax):
            try:
                found.append(len(jax.tree.leaves(api.jit(fun, static_argnums=argnums).lower(*args).in_avals)))
            except (TypeError, ValueError):  # an array is static, and has no hash; or it is no position
                found.append("refused")
        assert found[0] == found[1], args


def test_static_arguments_are_looked_up_by_hash_and_equality() -> None:
    class Config:
        def __init__(self, k: int):
            self.k = k

        def __hash__(self) -> int:
            return hash(self.k)

        def __eq__(self, other: Any) -> bool:
            return isinstance(other, Config) and self.k == other.k

    fun = Counted(lambda x, config: x * config.k)
    fast = minijvp.jit(fun, static_argnums=1)
    for k in (2, 3, 2, 3):
        same(fast(X, Config(k)), X * k)
        same(minijvp.jvp(lambda x, k=k: fast(x, Config(k)), (X,), (V,))[1], V * k)
    assert fun.runs == 4


def test_static_arguments_must_be_hashable() -> None:
    fast = minijvp.jit(lambda x, names: x, static_argnums=1)
    for call in (lambda x: fast(x, ["a"]), minijvp.grad(lambda x: fast(x, ["a"]))):
        with pytest.raises(ArgumentError, match="names of <lambda> is of type list"):
            call(1.0)


def test_static_by_position_and_by_name() -> None:
    """Each option means what it says where both are given, and implies the other where one is."""
    shaped = lambda mode, n: mnp.ones(n) if mode == "ones" else n
    assert minijvp.jit(shaped, static_argnums=0, static_argnames="n")("ones", n=3).shape == (3,)
    assert minijvp.jit(shaped, static_argnums=(0, 1))(n=3, mode="ones").shape == (3,)
    assert minijvp.jit(shaped, static_argnames=("mode", "n"))("ones", 3).shape == (3,)


# Donation


@pytest.mark.parametrize("options", [{"donate_argnums": 0}, {"donate_argnums": (0,)}, {"donate_argnames": "x"}])
def test_donation(options: Any) -> None:
    for call in (lambda f, x, y: f(x, y), lambda f, x, y: f(x=x, y=y)):
        x, y = jnp.arange(4.0), jnp.ones(4)
        out = call(minijvp.jit(lambda x, y: x + y, **options), x, y)
        assert (x.is_deleted(), y.is_deleted()) == (True, False)
        assert out.tolist() == [1.0, 2.0, 3.0, 4.0]


def test_nothing_is_donated_inside_a_transformation() -> None:
    x = jnp.arange(4.0)
    fast = minijvp.jit(lambda x: x * x, donate_argnums=0)
    minijvp.grad(lambda x: fast(x).sum())(x)
    minijvp.vmap(fast)(x)
    minijvp.jit(fast)(x)
    assert not x.is_deleted()


# Other options


def test_keep_unused() -> None:
    for keep in (False, True):
        compiled = minijvp.jit(lambda x, y: x * 2, keep_unused=keep).lower(X, V).compile()
        expected = jax.jit(lambda x, y: x * 2, keep_unused=keep).lower(X, V).compile()
        found = compiled.memory_analysis().argument_size_in_bytes
        assert found == expected.memory_analysis().argument_size_in_bytes == (48 if keep else 24)


def test_inline() -> None:
    for inline in (False, True):
        jaxpr = minijvp.make_jaxpr(minijvp.jit(lambda x: mnp.sin(x) * 2, inline=inline))(X)
        assert [e.primitive.name for e in jaxpr] == (["sin", "mul"] if inline else ["jit"])
        fast = minijvp.jit(lambda x: mnp.sin(x).sum(), inline=inline)
        same(minijvp.grad(fast)(X), jnp.cos(X))


def test_compiler_options() -> None:
    assert minijvp.jit(mnp.sin, compiler_options=None)(0.0) == 0
    fast = minijvp.jit(lambda x: mnp.sin(x).sum(), compiler_options={"xla_backend_optimization_level": 0})
    same(fast(X), jnp.sin(X).sum())
    same(minijvp.grad(fast)(X), jnp.cos(X))


def test_options_that_do_not_exist() -> None:
    with pytest.raises(TypeError):
        minijvp.jit(mnp.sin, wrong=1)
    with pytest.raises(ArgumentError):
        minijvp.jit(lambda x: x, donate_argnums=3)


# Methods


def test_lower_and_compile() -> None:
    fast = minijvp.jit(lambda m, x: mnp.tanh(m @ x))
    m, x = jnp.ones((64, 64)), jnp.ones(64)
    lowered = fast.lower(m, x)
    assert "stablehlo.dot_general" in lowered.as_text()
    compiled = lowered.compile()
    same(compiled(m, x), jnp.tanh(m @ x))
    assert compiled.cost_analysis()["flops"] >= 2 * 64 * 64
    assert compiled.memory_analysis().output_size_in_bytes == 64 * 8
    assert fast.trace(m, x).lower().compile()(m, x).shape == (64,)
    shapes = [jax.ShapeDtypeStruct(a.shape, a.dtype) for a in (m, x)]
    same(fast.lower(*shapes).compile()(m, x), jnp.tanh(m @ x))


def test_eval_shape() -> None:
    found = minijvp.jit(lambda x: {"a": mnp.sin(x), "b": x.sum()}).eval_shape(X)
    assert {k: (v.shape, v.dtype) for k, v in found.items()} == {"a": ((3,), "float64"), "b": ((), "float64")}


def test_clear_cache() -> None:
    fun = Counted(lambda x: x * 2)
    fast = minijvp.jit(fun)
    for _ in range(2):
        fast(X)
    assert fun.runs == 1
    fast.clear_cache()
    same(fast(X), X * 2)
    assert fun.runs == 2


def test_the_program_is_that_of_jax() -> None:
    """No detour through minijvp is left in what XLA gets."""

    def ops(text: str) -> list[str]:
        return sorted(line.split("=")[1].split()[0] for line in text.splitlines() if " = stablehlo." in line)

    fun = lambda np: lambda x: np.sin(x) * x + np.exp(-x)
    assert ops(minijvp.jit(fun(mnp)).lower(X).as_text()) == ops(jax.jit(fun(jnp)).lower(X).as_text())


# How often a function runs


def test_one_run_per_type() -> None:
    fun = Counted(lambda x: jax.tree_util.tree_map(lambda x: mnp.sin(x) * 2, x))
    fast = minijvp.jit(fun)
    kinds = [X, X[:2], X.astype("float32"), 1.0, 1, True, jnp.asarray(1.0), jnp.float64(1.0), {"a": X}]
    for _ in range(3):
        for x in kinds:
            fast(x)
    assert fun.runs == len(kinds) - 1  # a Python float and an array made of it have the same type


def test_one_run_per_type_under_a_trace() -> None:
    fun = Counted(lambda x: (mnp.sin(x) * 2).sum())
    fast = minijvp.jit(fun)
    for _ in range(3):
        for x in (X, V, X[:2]):
            minijvp.grad(fast)(x)
            minijvp.jvp(fast, (x,), (x,))
            minijvp.vmap(fast)(x[None])
    assert fun.runs == 2
    fast(X)
    assert fun.runs == 3


def compilations(caplog: Any, call: Any) -> int:
    """How many programs XLA compiles during a call."""
    caplog.clear()
    with jax.log_compiles(True), caplog.at_level("WARNING"):
        call()
    return sum("Compiling" in record.getMessage() for record in caplog.records)


def test_equal_programs_share_a_compilation(caplog: Any) -> None:
    def train_step() -> None:
        """Like a training loop that makes a new closure every time."""
        scale = jnp.array([1.0, 2.0, 3.0])
        minijvp.grad(lambda x: minijvp.jit(lambda y: (mnp.tanh(y) * scale * 1.25).sum())(x))(X)

    assert compilations(caplog, train_step) > 0
    assert compilations(caplog, train_step) == 0
    other = lambda: minijvp.grad(lambda x: minijvp.jit(lambda y: (mnp.tanh(y) * 2.25).sum())(x))(X)
    assert compilations(caplog, other) > 0


def test_nothing_compiles_twice(caplog: Any) -> None:
    step = minijvp.jit(minijvp.value_and_grad(lambda x: (mnp.sin(x) * x).sum()))
    assert compilations(caplog, lambda: step(X)) > 0
    assert compilations(caplog, lambda: step(V)) == 0


# Compositions


def test_jit_of_jit() -> None:
    inner = Counted(lambda x: mnp.sin(x) * 2)
    fast = minijvp.jit(inner)
    outer = minijvp.jit(lambda x: fast(x) + fast(fast(x)))
    same(outer(X), jnp.sin(X) * 2 + jnp.sin(jnp.sin(X) * 2) * 2)
    assert inner.runs == 1
    same(minijvp.jit(minijvp.jit(minijvp.jit(mnp.sin)))(X), jnp.sin(X))


@pytest.mark.parametrize("name", ["grad", "jvp", "vmap", "hessian", "vjp", "linearize"])
def test_inside_and_outside(name: str) -> None:
    def transformed(api: Any, fun: Any) -> Any:
        return {
            "grad": api.grad(fun),
            "hessian": api.hessian(fun),
            "vmap": lambda x: api.vmap(fun)(x[:, None] * x),
            "jvp": lambda x: api.jvp(fun, (x,), (x * x,)),
            "vjp": lambda x: api.vjp(fun, x)[1](x[0]),
            "linearize": lambda x: api.linearize(fun, x)[1](x * x),
        }[name]

    def fun(np: Any) -> Any:
        return lambda x: (np.sin(x) * x).sum() ** 2

    expected = jax.jit(transformed(jax, fun(jnp)))(X)
    for composed in (
        transformed(minijvp, minijvp.jit(fun(mnp))),
        minijvp.jit(transformed(minijvp, fun(mnp))),
        minijvp.jit(transformed(minijvp, minijvp.jit(fun(mnp)))),
    ):
        np.testing.assert_allclose(composed(X), expected, rtol=1e-12, atol=1e-12)


def test_closing_over_tracers() -> None:
    def case(api: Any, np: Any) -> Any:
        def fun(x: Any) -> Any:
            inner = api.jit(lambda y: np.sin(y) * x)
            return (inner(x) + inner(2.0 * x)).sum()

        mapped = api.vmap(lambda x: api.jit(lambda y: y @ x)(x))(jnp.outer(X, V))
        return api.grad(fun)(X), api.jit(fun)(X), api.jvp(fun, (X,), (V,)), mapped

    ours, theirs = [case(*side) for side in SIDES]
    for a, b in zip(tree_flatten(ours)[0], tree_flatten(theirs)[0], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


def test_a_function_that_closes_over_tracers_is_not_cached() -> None:
    stored = {}

    @minijvp.jit
    def fast(y: Any) -> Any:
        return y * stored["x"]

    def fun(x: Any) -> Any:
        stored["x"] = x
        return fast(x)

    for x in (2.0, 3.0):
        assert minijvp.grad(fun)(x) == 2 * x
    with pytest.raises(EscapedTracerError):
        minijvp.grad(fast)(1.0)


def test_results_of_several_kinds() -> None:
    fun = lambda np: lambda x, n: (x, n, 3, 2.5, np.sin(x), n + 1, None, x)
    both(lambda api, np: api.jit(fun(np))(X, 2))
    both(lambda api, np: api.jit(lambda x: api.jit(fun(np))(x, 2))(X))
    both(lambda api, np: api.jit(lambda: ())())


@pytest.mark.parametrize("x", [1, 1.0, True, 1j, np.float32(1), np.arange(3), X.astype("float32"), jnp.asarray(1)])
def test_weak_types(x: Any) -> None:
    for fun in (lambda x: x, lambda x: x * 2, lambda x: x + 1.5, lambda x: x * jnp.float32(2), lambda x: (x, 1, 2.0)):
        both(lambda api, np, fun=fun: api.jit(fun)(x))
        both(lambda api, np, fun=fun: api.jit(api.jit(fun))(x))


# Inside JAX's transformations


def test_inside_jax() -> None:
    ours, theirs = minijvp.jit(lambda x: (mnp.sin(x) * x).sum()), lambda x: (jnp.sin(x) * x).sum()
    xs = jnp.stack([X, V])
    same(jax.jit(ours)(X), theirs(X))
    same(jax.grad(ours)(X), jax.grad(theirs)(X))
    same(jax.vmap(ours)(xs), jax.vmap(theirs)(xs))
    same(jax.jvp(ours, (X,), (V,)), jax.jvp(theirs, (X,), (V,)))
    same(jax.jit(jax.vmap(jax.grad(ours)))(xs), jax.vmap(jax.grad(theirs))(xs))
    same(jax.jacfwd(jax.grad(ours))(X), jax.jacfwd(jax.grad(theirs))(X))


def test_our_derivatives_inside_jax() -> None:
    ours = minijvp.jit(minijvp.grad(lambda x: mnp.exp(x).sum() * x[0]))
    theirs = jax.grad(lambda x: jnp.exp(x).sum() * x[0])
    same(jax.jit(lambda x: ours(x) * 2)(X), theirs(X) * 2)
    same(jax.jacrev(ours)(X), jax.jacrev(theirs)(X))
    same(jax.vmap(ours)(jnp.stack([X, V])), jax.vmap(theirs)(jnp.stack([X, V])))


def test_closed_over_jax_tracers() -> None:
    same(jax.grad(lambda x: minijvp.jit(lambda y: mnp.asarray(y) * 2)(x).sum())(X), 2 * jnp.ones(3))


# Random shapes


@settings(derandomize=True, deadline=None, max_examples=25)
@given(st.lists(st.integers(0, 4), max_size=3), st.sampled_from(["float32", "float64", "int32", "complex64"]))
def test_random_shapes(shape: list[int], dtype: str) -> None:
    x = (jnp.arange(int(np.prod(shape))).reshape(shape) / 7).astype(dtype)
    fun = lambda x: (x * x + 1, x.T, x.sum(), x.reshape(-1)[::-1])
    ours, theirs = minijvp.jit(fun)(x), fun(x)
    for a, b in zip(ours, theirs, strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        np.testing.assert_allclose(a, b, rtol=1e-6)


# Several devices

SHARDED = """
import jax, jax.numpy as jnp, numpy as np
import minijvp, minijvp.numpy as mnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P

assert len(jax.devices()) == 4
mesh = Mesh(np.array(jax.devices()), ("i",))
rows, columns, whole = (NamedSharding(mesh, P(*spec)) for spec in (("i",), (None, "i"), ()))
x, w = jnp.arange(32.0).reshape(8, 4) / 32, jnp.arange(16.0).reshape(4, 4) / 16

def check(ours, theirs):
    for a, b in zip(jax.tree_util.tree_leaves(ours), jax.tree_util.tree_leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)
        assert a.sharding.is_equivalent_to(b.sharding, a.ndim), (a.sharding, b.sharding)

def fun(np):
    return lambda x, w: {"out": np.tanh(x @ w), "sum": x.sum(0)}

def loss(np):
    return lambda x, w: (np.tanh(x @ w) ** 2).sum()

for options in (
    {"in_shardings": (rows, whole), "out_shardings": rows},
    {"in_shardings": (rows, whole), "out_shardings": {"out": rows, "sum": whole}},
    {"in_shardings": (rows, None)},
    {"out_shardings": whole},
):
    ours, theirs = minijvp.jit(fun(mnp), **options), jax.jit(fun(jnp), **options)
    check(ours(x, w), theirs(x, w))

options = {"in_shardings": (rows, whole), "out_shardings": whole}
ours, theirs = minijvp.jit(loss(mnp), **options), jax.jit(loss(jnp), **options)
check(ours(x, w), theirs(x, w))
check(minijvp.grad(ours, (0, 1))(x, w), jax.grad(theirs, (0, 1))(x, w))
check(minijvp.jit(minijvp.grad(ours, (0, 1)))(x, w), jax.jit(jax.grad(theirs, (0, 1)))(x, w))
check(minijvp.jvp(ours, (x, w), (x, w)), jax.jvp(theirs, (x, w), (x, w)))

# Arguments that are sharded already, through jit and through eager operations.
xs = jax.device_put(x, rows)
check(minijvp.jit(fun(mnp))(xs, w), jax.jit(fun(jnp))(xs, w))
check(minijvp.jit(minijvp.grad(loss(mnp)))(xs, w), jax.jit(jax.grad(loss(jnp)))(xs, w))
check(mnp.sin(xs) * 2, jnp.sin(xs) * 2)
check(minijvp.grad(loss(mnp))(xs, w), jax.grad(loss(jnp))(xs, w))
assert minijvp.jit(lambda x: x * 2, in_shardings=columns, out_shardings=columns)(x).sharding == columns

# What a vmap maps over lies along the axes of a mesh that it names.
square = Mesh(np.array(jax.devices()).reshape(2, 2), ("i", "j"))
held = lambda x: jax.lax.with_sharding_constraint(jnp.sin(x), NamedSharding(square, P("j")))
for name in ("i", ("i",), None):
    wanted = jax.jit(jax.vmap(held, spmd_axis_name=name))(x)
    mapped = minijvp.vmap(minijvp.from_jax(held), spmd_axis_name=name)
    for run in (mapped, minijvp.jit(mapped), minijvp.vmap(minijvp.jit(minijvp.from_jax(held)), spmd_axis_name=name)):
        check(run(x), wanted)
for name in ("j", "k"):
    try:
        minijvp.vmap(minijvp.from_jax(held), spmd_axis_name=name)(x)
        raise AssertionError(name)
    except minijvp.ArgumentError as error:
        assert repr(name) in error.why

# Results lie where `device` says.
puts = lambda np: lambda x: np.asarray(x, device=rows), lambda np: lambda x: np.astype(x, "int32", device=columns)
for put in puts:
    check(minijvp.jit(put(mnp))(x), jax.jit(put(jnp))(x))
check(minijvp.jit(lambda x: (mnp.zeros((8, 4), device=rows), x)[0])(x), jnp.zeros((8, 4), device=rows))
"""


def test_shardings() -> None:
    run_on_four_devices(SHARDED)


def test_results_without_numbers() -> None:
    fun = lambda x, i: (x * i).sum()
    args = jnp.ones(2), jnp.arange(2)
    for transform in (minijvp.jit, lambda f: minijvp.jit(minijvp.jit(f)), lambda f: minijvp.vmap(minijvp.jit(f))):
        found, none = transform(minijvp.grad(fun, (0, 1), allow_int=True))(*(a[None] for a in args))
        np.testing.assert_array_equal(np.squeeze(found), [0.0, 1.0])
        assert np.asarray(none).dtype == jax.dtypes.float0
        assert np.shape(none)[-1:] == (2,)


def test_what_wraps_a_compiled_function_has_its_attributes_and_not_its_methods() -> None:
    double = minijvp.jit(lambda x: 2 * x)
    double.tag = "mine"
    mesh = jax.make_mesh((1,), ("i",), axis_types=(jax.sharding.AxisType.Auto,))
    whole = jax.sharding.PartitionSpec()
    mapped = lambda fun: minijvp.shard_map(fun, mesh=mesh, in_specs=whole, out_specs=whole)
    ways = [minijvp.grad, minijvp.value_and_grad, minijvp.jacrev, minijvp.jacfwd, minijvp.vmap, minijvp.checkpoint]
    for transformation in (*ways, minijvp.to_jax, minijvp.explain_nan, mapped):
        found = transformation(double)
        assert found.tag == "mine" and not hasattr(found, "lower")
        assert found.__wrapped__ is double


# Nested


def nested(n: int, jit: Any = minijvp.jit, innermost: Any = mnp.sin) -> Any:
    """The innermost function in so many others, each under jit: sin(x) * 1.01^n."""
    f = innermost
    for _ in range(n):
        f = jit(lambda x, g=f: g(x) * 1.01)
    return f


def count_calls(jaxpr: Any) -> int:
    return sum(1 + sum(map(count_calls, e.programs)) for e in jaxpr if e.primitive.name == "jit")


@pytest.mark.parametrize("jit", [minijvp.jit, jax.jit], ids=["ours", "JAX's"])
@pytest.mark.parametrize(
    "transform",
    [
        lambda f: f,
        minijvp.grad,
        lambda f: minijvp.jit(minijvp.grad(f)),
        lambda f: minijvp.grad(minijvp.jit(f)),
        lambda f: minijvp.grad(minijvp.grad(f)),
        lambda f: lambda x: minijvp.vmap(minijvp.grad(f))(x[None])[0],
        lambda f: lambda x: minijvp.jvp(f, (x,), (x,))[1],
    ],
    ids=["value", "grad", "jit of grad", "grad of jit", "second", "vmap", "jvp"],
)
def test_a_hundred_functions_in_one_another(transform: Any, jit: Any) -> None:
    n, x = 100, jnp.float32(0.3)
    f = nested(n) if jit is minijvp.jit else minijvp.from_jax(nested(n, jax.jit, jnp.sin))
    wanted = transform(lambda x: mnp.sin(x) * 1.01**n)(x)
    np.testing.assert_allclose(transform(f)(x), wanted, rtol=2e-6)


def test_functions_in_one_another_that_were_staged_one_by_one() -> None:
    f: Any = mnp.sin
    for n in range(1, 101):
        f = minijvp.jit(lambda x, g=f: g(x) * 1.01)
        if n % 5 == 0:
            minijvp.make_jaxpr(f)(0.3)
    np.testing.assert_allclose(minijvp.jit(minijvp.grad(f))(0.3), np.cos(0.3) * 1.01**100, rtol=2e-6)


def test_a_few_functions_in_one_another_remain_calls() -> None:
    assert count_calls(minijvp.make_jaxpr(nested(6))(0.3)) == 6
    # The deepest ones do: those are called again and again, while what calls them is called once.
    assert 6 <= count_calls(minijvp.make_jaxpr(nested(40))(0.3)) <= 10
