"""make_jaxpr, eval_shape, and the programs they make: text, checks, dead code, equality."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import tree_flatten

import minijvp
import minijvp.numpy as mnp
from minijvp import ArgumentError, ConcretizationError, EscapedTracerError, JaxprError
from minijvp.core.jaxpr import Equation, Jaxpr, Literal, Var, evaluate, lower

X = jnp.array([0.3, -1.2, 2.0])


# eval_shape


class Described:
    """What has a shape and a dtype, and is no array."""

    def __init__(self, shape: Any, dtype: Any):
        self.shape, self.dtype = shape, dtype


DESCRIBED = [
    Described((2,), "float32"),
    Described([np.int64(2)], jnp.bfloat16),
    Described((2,), np.dtype("float64")),
    jax.core.ShapedArray((2,), np.dtype("int8")),
    jax.ShapeDtypeStruct((), "float32", weak_type=True),
]


@pytest.mark.parametrize("x", DESCRIBED, ids=lambda x: type(x).__name__)
def test_shapes_and_dtypes_describe_an_argument(x: Any) -> None:
    fun = lambda np: lambda p: (np.sin(p["x"]), np.zeros_like(p["x"]))
    wanted = jax.eval_shape(fun(jnp), {"x": x})
    assert shapes(minijvp.eval_shape(fun(mnp), {"x": x})) == shapes(wanted)
    assert shapes(minijvp.eval_shape(minijvp.jit(fun(mnp)), {"x": x})) == shapes(wanted)
    assert [t.shape for t in minijvp.make_jaxpr(fun(mnp))({"x": x}).out_types] == [x.shape for x in wanted]
    compiled = minijvp.jit(fun(mnp))
    for info in (compiled.lower({"x": x}).out_info, compiled.trace({"x": x}).out_info, compiled.eval_shape({"x": x})):
        assert [(i.shape, i.dtype) for i in info] == [(i.shape, i.dtype) for i in wanted]
    like = lambda np, lax: (np.ones_like(x), np.full_like(x, 3), lax.full_like(x, 2))
    if not isinstance(x.dtype, str) and isinstance(x.dtype, np.dtype):
        for a, b in zip(minijvp.jit(lambda: like(mnp, minijvp.lax))(), like(jnp, jax.lax), strict=True):
            np.testing.assert_array_equal(a, b, strict=True)


def test_what_describes_nothing() -> None:
    for x in (Described((2.5,), "float32"), Described((2,), "nothing"), Described(None, "float32")):
        with pytest.raises(ArgumentError, match=r"x is .* of type Described"):
            minijvp.eval_shape(lambda x: x, x)


def shapes(tree: Any) -> Any:
    leaves, structure = tree_flatten(tree)
    return structure, [(x.shape, x.dtype, x.weak_type) for x in leaves]


def test_eval_shape() -> None:
    def fun(np: Any) -> Any:
        return lambda p, x, *, k: {"u": p["w"] @ x, "v": (np.sin(x) * k, None), "n": np.arange(3), "s": 1.0}

    p = {"w": jax.ShapeDtypeStruct((5, 3), "float32")}
    x = jax.ShapeDtypeStruct((3, 2), "float32")
    found = minijvp.eval_shape(fun(mnp), p, x, k=2)
    assert shapes(found) == shapes(jax.eval_shape(fun(jnp), p, x, k=2))
    assert isinstance(found["u"], jax.ShapeDtypeStruct)


def test_eval_shape_computes_nothing() -> None:
    huge = jax.ShapeDtypeStruct((10**6, 10**6), "float64")
    assert minijvp.eval_shape(lambda x: (x @ x).sum(0), huge).shape == (10**6,)


def test_eval_shape_of_transformations() -> None:
    x = jax.ShapeDtypeStruct((3,), "float64")

    def fun(x: Any) -> Any:
        return (x**3).sum()

    assert minijvp.eval_shape(minijvp.grad(fun), x).shape == (3,)
    assert minijvp.eval_shape(minijvp.hessian(fun), x).shape == (3, 3)
    assert minijvp.eval_shape(minijvp.vmap(minijvp.jit(fun)), jax.ShapeDtypeStruct((4, 3), "float64")).shape == (4,)
    out, pull = minijvp.eval_shape(lambda x: minijvp.vjp(lambda x: mnp.sin(x) * x, x), x)
    assert out.shape == (3,)
    assert all(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in jax.tree_util.tree_leaves(pull))


def test_eval_shape_of_arrays_and_scalars() -> None:
    fun = lambda x, y: x * y
    for args in ((X, 2), (1, 2.0), (True, 1), (np.float32(1), 2.0), (np.ones(2, "int8"), 3)):
        assert shapes(minijvp.eval_shape(fun, *args)) == shapes(jax.eval_shape(fun, *args))


# make_jaxpr


def test_text() -> None:
    jaxpr = minijvp.make_jaxpr(lambda x, n: (mnp.sin(x) * 2.0 + n, x))(X, 1)
    text = str(jaxpr)
    assert text == repr(jaxpr) == jaxpr.text()
    assert text.startswith("{ lambda ; a:f64[3] b:i64[]* . let\n")
    assert "= sin a\n" in text
    assert text.endswith(", a) }")


def test_programs_compute() -> None:
    def fun(p: Any, x: Any) -> Any:
        return [mnp.tanh(p["w"] * x) + 1, x]

    args = {"w": X}, X * 2
    jaxpr = minijvp.make_jaxpr(fun)(*args).check()
    for found in (evaluate(jaxpr, X, X * 2), jax.jit(lambda *xs: lower(jaxpr, *xs))(X, X * 2)):
        np.testing.assert_allclose(np.stack(found), np.stack(fun(*args)), rtol=1e-12)


def test_static_argnums() -> None:
    def fun(x: Any, mode: str, n: int) -> Any:
        assert isinstance(n, int)
        return getattr(mnp, mode)(x) * n

    for static in ((1, 2), (-2, -1), [1, 2]):
        jaxpr = minijvp.make_jaxpr(fun, static_argnums=static)(X, "sin", 3)
        assert len(jaxpr.inputs) == 1
        assert evaluate(jaxpr, X)[0].tolist() == (jnp.sin(X) * 3).tolist()
    assert len(minijvp.make_jaxpr(lambda n, x: x * n, 0)(3, X).inputs) == 1
    with pytest.raises(ArgumentError):
        minijvp.make_jaxpr(fun, static_argnums=3)(X, "sin", 3)


def test_return_shape() -> None:
    jaxpr, out = minijvp.make_jaxpr(lambda x: {"a": x.sum(), "b": None, "c": x > 0}, return_shape=True)(X)
    struct = jax.ShapeDtypeStruct
    assert shapes(out) == shapes({"a": struct((), "float64"), "b": None, "c": struct((3,), bool)})
    assert len(jaxpr.outputs) == 2


def test_keyword_arguments() -> None:
    assert len(minijvp.make_jaxpr(lambda x, *, y: x * y)(1.0, y=2.0).inputs) == 2


def test_constants_are_kept_by_identity() -> None:
    table = jnp.arange(3.0)
    jaxpr = minijvp.make_jaxpr(lambda x: x * table + table)(X)
    ((_, value),) = jaxpr.constants
    assert value is table
    opened, constants = jaxpr.hoist_constants()
    assert opened.constants == ()
    assert evaluate(opened, *constants, X)[0].tolist() == (X * table + table).tolist()


def test_arguments_and_results_must_be_arrays() -> None:
    for call in (lambda: minijvp.make_jaxpr(lambda x: x)("text"), lambda: minijvp.make_jaxpr(lambda x: "text")(X)):
        with pytest.raises(ArgumentError):
            call()


def test_values_are_not_known() -> None:
    with pytest.raises(ConcretizationError):
        minijvp.make_jaxpr(lambda x: x if x > 0 else -x)(1.0)


def test_escaped_tracers() -> None:
    stored = []
    minijvp.make_jaxpr(lambda x: stored.append(x * 2) or x)(X)
    with pytest.raises(EscapedTracerError):
        mnp.sin(stored[0])
    with pytest.raises(EscapedTracerError):
        minijvp.make_jaxpr(lambda x: x + stored[0])(X)


def test_transformations_inside() -> None:
    fun = minijvp.grad(lambda x: minijvp.vmap(lambda y: mnp.sin(y) * x.sum())(x).sum())
    jaxpr = minijvp.make_jaxpr(fun)(X).check()
    assert evaluate(jaxpr, X)[0].shape == (3,)
    expected = jax.grad(lambda x: (jnp.sin(x) * x.sum()).sum())(X)
    np.testing.assert_allclose(evaluate(jaxpr, X)[0], expected, rtol=1e-12)


# Lines of user code


def test_source_lines() -> None:
    def fun(x: Any) -> Any:
        y = mnp.sin(x)
        return mnp.exp(y)

    first = fun.__code__.co_firstlineno
    text = minijvp.make_jaxpr(fun)(X).text(source_lines=True)
    assert f"sin a  # test_staging.py:{first + 1}" in text
    assert f"exp b  # test_staging.py:{first + 2}" in text
    assert "#" not in str(minijvp.make_jaxpr(fun)(X))


def test_source_lines_survive_transformations() -> None:
    def fun(x: Any) -> Any:
        y = mnp.sin(x)
        return mnp.exp(y)

    first = fun.__code__.co_firstlineno
    for transformed in (
        lambda x: minijvp.jvp(fun, (x,), (x,)),
        lambda x: minijvp.vjp(fun, x)[1](x),
        minijvp.vmap(fun),
        minijvp.grad(lambda x: minijvp.jit(fun)(x).sum()),
    ):
        jaxpr = minijvp.make_jaxpr(transformed)(X)
        assert all(e.source is not None and e.source.file == __file__ for e in jaxpr)
        lines = {e.source.line for e in jaxpr if e.source is not None}
        assert {first + 1, first + 2} <= lines or "jit" in [e.primitive.name for e in jaxpr]


# Checks


def program() -> Jaxpr:
    return minijvp.make_jaxpr(lambda x, y: (mnp.sin(x) * y, x))(X, X)


def changed(jaxpr: Jaxpr, **parts: Any) -> Jaxpr:
    kept = {k: getattr(jaxpr, k) for k in ("constants", "inputs", "equations", "outputs")}
    return Jaxpr(**{**kept, **parts})


def test_check_accepts_what_tracing_makes() -> None:
    jaxpr = program()
    assert jaxpr.check() is jaxpr
    minijvp.make_jaxpr(minijvp.jit(minijvp.grad(lambda x: minijvp.jit(mnp.sin)(x).sum())))(X).check()


def test_check_finds_errors() -> None:
    jaxpr = program()
    sine, product = jaxpr.equations
    float32 = Var(minijvp.make_jaxpr(mnp.sin)(jnp.ones(3, "float32")).in_types[0])
    wrong = [
        changed(jaxpr, equations=(product, sine)),
        changed(jaxpr, equations=(sine,)),
        changed(jaxpr, equations=(sine, sine, product)),
        changed(jaxpr, inputs=jaxpr.inputs[:1]),
        changed(jaxpr, inputs=(*jaxpr.inputs, jaxpr.inputs[0])),
        changed(jaxpr, outputs=(float32,)),
        changed(jaxpr, equations=(sine, Equation(product.primitive, product.inputs, {}, (float32,), None)), outputs=()),
    ]
    for broken in wrong:
        with pytest.raises(JaxprError):
            broken.check()


def test_check_looks_inside() -> None:
    jaxpr = minijvp.make_jaxpr(minijvp.jit(lambda x: mnp.sin(mnp.exp(x))))(X)
    (call,) = jaxpr.equations
    inner = call.params["jaxpr"]
    broken = changed(inner, equations=inner.equations[::-1])
    equation = Equation(call.primitive, call.inputs, {"jaxpr": broken}, call.outputs, None)
    with pytest.raises(JaxprError):
        changed(jaxpr, equations=(equation,)).check()


def test_dead_code() -> None:
    def fun(x: Any) -> Any:
        mnp.exp(x)
        return mnp.sin(x), mnp.cos(x) * 2.0

    jaxpr = minijvp.make_jaxpr(fun)(X)
    assert [e.primitive.name for e in jaxpr] == ["sin", "cos", "mul"]
    assert jaxpr.without_dead_code() is jaxpr
    first = jaxpr.without_dead_code([True, False]).check()
    assert [e.primitive.name for e in first] == ["sin"]
    assert len(first.inputs) == 1
    assert jaxpr.without_dead_code([False, False]).equations == ()


def test_dead_constants() -> None:
    table = jnp.arange(3.0)
    jaxpr = minijvp.make_jaxpr(lambda x: (x, x * table))(X)
    assert jaxpr.without_dead_code([True, False]).constants == ()


# Equality


def test_equal_programs() -> None:
    make = lambda fun: minijvp.make_jaxpr(fun)(X, X)
    one = make(lambda x, y: mnp.sin(x) * y + 2.0)
    other = make(lambda a, b: mnp.sin(a) * b + 2.0)
    assert one == other
    assert hash(one) == hash(other)
    assert len({one, other, make(lambda x, y: mnp.sin(y) * x + 2.0)}) == 2


@pytest.mark.parametrize(
    "other",
    [
        lambda x, y: mnp.sin(y) * x + 2.0,
        lambda x, y: mnp.cos(x) * y + 2.0,
        lambda x, y: mnp.sin(x) * y + 3.0,
        lambda x, y: mnp.sin(x) * y + 2,
        lambda x, y: mnp.sin(x) * y,
        lambda x, y: (mnp.sin(x) * y + 2.0, x),
        lambda x, y: y * mnp.sin(x) + 2.0,
    ],
)
def test_different_programs(other: Any) -> None:
    """Two programs are equal exactly if they read the same."""
    one, two = [minijvp.make_jaxpr(fun)(X, X) for fun in (lambda x, y: mnp.sin(x) * y + 2.0, other)]
    assert (one == two) == (str(one) == str(two))


def test_literals_that_compare_equal_differ() -> None:
    programs = [minijvp.make_jaxpr(lambda x, k=k: minijvp.lax.mul(x, k))(X) for k in (0.0, -0.0)]
    assert programs[0] != programs[1]
    assert all(isinstance(p.equations[0].inputs[1], Literal) for p in programs)


def test_types_are_part_of_a_program() -> None:
    make = minijvp.make_jaxpr(lambda x: x * 2)
    points = 1.0, 1, X, X[:2], jnp.ones(3, "float32"), jnp.float64(1), 2.0
    assert len({make(x) for x in points}) == 6


def test_constants_are_part_of_a_program() -> None:
    table, same_values = jnp.arange(3.0), jnp.arange(3.0)
    make = lambda t: minijvp.make_jaxpr(lambda x: x * t)(X)
    assert make(table) == make(table)
    assert make(table) != make(same_values)
    assert make(table).hoist_constants()[0] == make(same_values).hoist_constants()[0]


def test_a_program_is_not_its_text() -> None:
    assert program() != str(program())
    assert len(list(program())) == 2


def test_key_arrays_are_arguments() -> None:
    key = jax.random.key(0)
    draw = lambda key: minijvp.random.normal(key, (2,))
    assert minijvp.eval_shape(draw, jax.ShapeDtypeStruct((), key.dtype)).shape == (2,)
    assert "random_bits" in str(minijvp.make_jaxpr(draw)(key))
    np.testing.assert_array_equal(minijvp.jit(draw)(key), jax.random.normal(key, (2,)))
