"""Every bad input gets an error of its own: what happened, why it cannot work, what to do. It leaves nothing behind."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import minijvp
import minijvp.numpy as mnp
from minijvp import (
    ArgumentError,
    ConcretizationError,
    EscapedTracerError,
    ForeignFunctionError,
    MinijvpError,
    MissingRuleError,
    UnboundAxisError,
    eval_shape,
    grad,
    hessian,
    jacfwd,
    jacrev,
    jit,
    jvp,
    linear_transpose,
    linearize,
    make_jaxpr,
    value_and_grad,
    vjp,
    vmap,
)
from minijvp.core.tracing import EVALUATION, live_traces, state

FLOAT0 = jax.dtypes.float0
GRADIENTS = [grad, value_and_grad]
JACOBIANS = [jacfwd, jacrev, hessian]


@jit
def increment(x: Any) -> Any:
    return x + 1.0


@pytest.fixture(autouse=True)
def clean_state() -> Iterator[None]:
    """After each error nothing is being traced, and the next transformation works."""
    yield
    assert state.trace is EVALUATION
    assert not live_traces
    assert state.axis_sizes == {}
    assert state.source is None
    assert float(grad(lambda x: x * x)(3.0)) == 6.0
    assert float(increment(1.0)) == 2.0
    assert jit(lambda x: x + 1.0).eval_shape(1.0).shape == ()  # traced anew, and not compiled
    assert vmap(lambda x: x * 2.0)(jnp.arange(2.0)).tolist() == [0.0, 2.0]


def fails(error: type[MinijvpError], *parts: str) -> Any:
    """Context manager: the body raises `error` itself, in three sentences, and the message has all `parts`."""
    return _Fails(error, parts)


class _Fails:
    def __init__(self, error: type[MinijvpError], parts: tuple[str, ...]):
        self.error, self.parts = error, parts

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, raised: Any, traceback: Any) -> bool:
        if kind is None:
            pytest.fail(f"{self.error.__name__} was not raised")
        if not isinstance(raised, MinijvpError):
            return False
        assert kind is self.error, raised
        assert raised.what and raised.why and raised.do, raised
        for part in self.parts:
            assert part in str(raised), (part, str(raised))
        return True


class Thing:
    """No array, and no pytree."""


# --- grad: the result


@pytest.mark.parametrize("transform", GRADIENTS)
@pytest.mark.parametrize(
    ("result", "part"),
    [
        (lambda x: x, "returned f64[3]"),
        (lambda x: (x.sum(), x.sum()), "returned f64[], f64[]"),
        (lambda x: None, "returned nothing"),
        (lambda x: (), "returned nothing"),
        (lambda x: "text", "'text' of type str"),
        (lambda x: {"loss": Thing()}, "result['loss'] of"),
        (lambda x: 3, "i64[]"),
        (lambda x: x.sum() > 0, "bool[]"),
    ],
)
def test_the_result_of_grad_is_one_real_number(transform: Any, result: Any, part: str) -> None:
    with fails(ArgumentError, part):
        transform(result)(jnp.ones(3))


def test_a_message_names_the_function_of_the_user() -> None:
    def my_loss(x: Any) -> Any:
        return x

    for transform in GRADIENTS:
        with fails(ArgumentError, "my_loss"):
            transform(my_loss)(jnp.ones(3))


def test_complex_results_need_holomorphic() -> None:
    with fails(ArgumentError, "c128[]", "holomorphic"):
        grad(lambda x: x.sum() + 1j)(jnp.ones(3))
    with fails(ArgumentError, "c128[2]", "holomorphic"):
        jacrev(lambda x: x * jnp.asarray([1j, 2.0]))(jnp.ones(2))


def test_holomorphic_needs_complex_arguments_and_results() -> None:
    for transform in [*GRADIENTS, *JACOBIANS]:
        with fails(ArgumentError, "holomorphic=True", "f64[]", "for x"):
            transform(lambda x: x * 2.0, holomorphic=True)(1.0)
    with fails(ArgumentError, "complex result", "f64[]"):
        grad(lambda x: mnp.real(x), holomorphic=True)(jnp.asarray(1j))


def test_jacobians_by_rows_need_floating_results() -> None:
    with fails(ArgumentError, "i64[3]"):  # jacfwd makes zeros of them, as JAX does
        jacrev(lambda x: jnp.arange(3))(1.0)


# --- grad: the arguments


@pytest.mark.parametrize("transform", [*GRADIENTS, *JACOBIANS])
def test_integers_and_booleans_are_not_differentiated(transform: Any) -> None:
    def f(params: Any, n: Any = None) -> Any:
        return params["w"] * 2.0

    with fails(ArgumentError, "i64[]", "params['w']", "of f"):
        transform(f)({"w": 1})
    with fails(ArgumentError, "i32[2]", "params['w']"):
        transform(f)({"w": np.ones(2, np.int32), "z": 1.0})
    with fails(ArgumentError, "bool[]", "params['w']"):
        transform(f)({"w": True})
    with fails(ArgumentError, "i64[]", "for n"):
        transform(f, argnums="n")({"w": 1.0}, n=3)
    with fails(ArgumentError, "i64[]", "for n"):
        transform(f, argnums=(0, 1))({"w": 1.0}, 3)


@pytest.mark.parametrize("transform", [*GRADIENTS, *JACOBIANS])
@pytest.mark.parametrize(
    ("argnums", "part"),
    [
        (2, "out of range"),
        (-3, "out of range"),
        ((0, 5), "out of range"),
        ((0, 0), "twice"),
        ((0, -2), "twice"),
        ([1, 1], "twice"),
        (("a", 0), "twice"),
        (("a", "a"), "twice"),
        ("c", "['a', 'b']"),
        ("", "['a', 'b']"),
        (1.5, "1.5 of type float"),
        ((0, 1.0), "1.0 of type float"),
        (None, "None of type NoneType"),
        (True, "True of type bool"),
        (b"a", "of type bytes"),
    ],
)
def test_argnums(transform: Any, argnums: Any, part: str) -> None:
    def f(a: Any, b: Any) -> Any:
        return a * b

    with fails(ArgumentError, "argnums", part):
        transform(f, argnums=argnums)(1.0, 2.0)


def test_argnums_of_an_argument_that_was_not_passed() -> None:
    with fails(ArgumentError, "argnums=0", "0 positional arguments"):
        grad(lambda *xs, y: y)(y=1.0)
    with fails(ArgumentError, "'y'", "default value"):
        grad(lambda x, y=1.0: x * y, argnums="y")(1.0)


def test_argnums_may_be_empty() -> None:
    assert grad(lambda x: x, argnums=())(1.0) == ()
    assert jacrev(lambda x: x, argnums=())(1.0) == ()


# --- tangents and cotangents


def push(primals: tuple, tangents: tuple) -> Any:
    return linearize(lambda *xs: xs, *primals)[1](*tangents)


def pull(primals: tuple, cts: tuple) -> Any:
    return vjp(lambda *xs: xs, *primals)[1](cts)


def transpose(primals: tuple, cts: tuple) -> Any:
    return linear_transpose(lambda *xs: xs, *primals)(cts)


def push_forward(primals: tuple, tangents: tuple) -> Any:
    return jvp(lambda *xs: xs, primals, tangents)


@pytest.mark.parametrize("apply", [push_forward, push, pull, transpose])
def test_tangents_fit_their_values(apply: Callable[[tuple, tuple], Any]) -> None:
    x = jnp.ones(3)
    bad: list[tuple[tuple, tuple, tuple[str, ...]]] = [
        ((1.0, 2.0), (1.0,), ("tree", "(*, *)")),
        (({"a": 1.0},), ({"b": 1.0},), ("tree", "'a'", "'b'")),
        ((x,), (None,), ("tree", "None")),
        ((x,), ([1.0, 1.0, 1.0],), ("tree",)),
        ((x,), (jnp.ones(2),), ("[0]", "f64[2]", "f64[3]")),
        ((x,), (jnp.float64(1.0),), ("[0]", "f64[]", "f64[3]")),
        (({"w": x},), ({"w": jnp.ones(3, np.float32)},), ("[0]['w']", "f32[3]", "f64[3]")),
        ((x,), (jnp.ones(3, int),), ("[0]", "i64[3]", "f64[3]")),
        ((1.0,), (1j,), ("c128[]", "f64[]")),
        ((1.0,), ("t",), ("[0]", "'t' of type str")),
        ((1.0,), (np.zeros((), FLOAT0),), ("float0[]", "f64[]")),
    ]
    for primals, tangents, parts in bad:
        with fails(ArgumentError, *parts):
            apply(primals, tangents)


@pytest.mark.parametrize("apply", [push_forward, push])
def test_integers_have_float0_tangents(apply: Callable[[tuple, tuple], Any]) -> None:
    for tangent in (1, 1.0, jnp.ones(()), np.zeros(2, FLOAT0)):
        with fails(ArgumentError, "[0]", "float0", "i64[]"):
            apply((3,), (tangent,))
    apply((3,), (np.zeros((), FLOAT0),))


def test_jvp_takes_tuples() -> None:
    for primals, tangents, name in [
        (1.0, 1.0, "primals"),
        ((1.0,), 1.0, "tangents"),
        ({"x": 1.0}, {"x": 1.0}, "primals"),
    ]:
        with fails(ArgumentError, name, "jvp(f, (x,), (t,))"):
            jvp(lambda x: x, primals, tangents)  # type: ignore[arg-type]


def test_cotangents_of_another_type_than_the_result() -> None:
    _, pullback = vjp(lambda x: {"y": x.sum()}, jnp.ones(3))
    with fails(ArgumentError, "'y'", "tree"):
        pullback(1.0)
    with fails(ArgumentError, "['y']", "f32[]", "f64[]"):
        pullback({"y": np.float32(1.0)})


def test_linear_transpose_takes_floating_arguments_and_results() -> None:
    with fails(ArgumentError, "primals[1]", "i64[]"):
        linear_transpose(lambda x, n: x * n, 1.0, 3)
    with fails(ArgumentError, "primals[0]['a']", "'s' of type str"):
        linear_transpose(lambda x: x, {"a": "s"})
    with fails(ArgumentError, "result", "bool[]"):
        linear_transpose(lambda x: x > 0, 1.0)


def sine(x: Any) -> Any:
    return mnp.sin(x)  # the sine of the user


def product(x: Any) -> Any:
    return x * x  # the product of the user


def quotient(x: Any) -> Any:
    return 1.0 / x  # the quotient of the user


def scalar_product(x: Any) -> Any:
    return x @ x  # the matmul of the user


@pytest.mark.parametrize(
    ("f", "primitive", "ct"),
    [(sine, "sin", 3), (product, "mul", 3), (quotient, "div", 3), (scalar_product, "dot_general", 0)],
)
def test_transposes_of_functions_that_are_not_linear_name_primitive_and_line(f: Any, primitive: str, ct: int) -> None:
    x, cotangent = jnp.ones(3), jnp.ones((ct,) if ct else ())
    for fun in (f, jit(f)):
        with fails(MissingRuleError, f"'{primitive}'", "linear", "of the user", "test_errors.py"):
            linear_transpose(fun, x)(cotangent)
        with fails(MissingRuleError, f"'{primitive}'", "of the user"):
            jit(linear_transpose(fun, x))(cotangent)


# --- vmap


def two(a: Any, b: Any) -> Any:
    return a * b


def test_mapped_axes_have_one_size() -> None:
    x = jnp.ones(3)
    with fails(ArgumentError, "a: f64[3] has 3 along axis 0", "b: f64[2] has 2", "two"):
        vmap(two)(x, jnp.ones(2))
    with fails(ArgumentError, "a['w'][1]: f64[5,2] has 2 along axis 1", "b: f64[3]"):
        vmap(two, in_axes=({"w": (None, 1)}, 0))({"w": (1.0, jnp.ones((5, 2)))}, x)
    with fails(ArgumentError, "b: f64[2] has 2"):
        vmap(two)(x, b=jnp.ones(2))
    with fails(ArgumentError, "axis_size=5"):
        vmap(two, axis_size=5)(x, x)


@pytest.mark.parametrize("axis", [1, -2, 0.0, "a", True])
def test_mapped_axes_exist(axis: Any) -> None:
    with fails(ArgumentError, "b", "f64[3]", repr(axis), "two"):
        vmap(two, in_axes=(None, axis))(1.0, jnp.ones(3))


def test_scalars_have_no_axis_to_map() -> None:
    with fails(ArgumentError, "axis 0 of b", "f64[]"):
        vmap(two)(jnp.ones(3), 1.0)
    with fails(ArgumentError, "axis 0 of b", "by position"):
        vmap(two)(jnp.ones(3), b=1.0)


def test_in_axes_fits_the_arguments() -> None:
    x = jnp.ones(3)
    with fails(ArgumentError, "1 entry", "2 positional arguments"):
        vmap(two, in_axes=(0,))(x, x)
    with fails(ArgumentError, "3 entries", "2 positional arguments"):
        vmap(two, in_axes=(0, 0, None))(x, x)
    with fails(ArgumentError, "in_axes", "'b'", "'a'"):
        vmap(lambda d: d["a"], in_axes=({"b": 0},))({"a": x})
    with fails(ArgumentError, "in_axes"):
        vmap(lambda d: d["a"], in_axes=({"a": (0, 0)},))({"a": x})


def test_something_is_mapped() -> None:
    for mapped in (vmap(lambda x: x, in_axes=None), vmap(lambda x: x, in_axes=(None,))):
        with fails(ArgumentError, "nothing to map", "axis_size"):
            mapped(jnp.ones(3))
    with fails(ArgumentError, "nothing to map"):
        vmap(lambda: 1.0)()


def test_out_axes() -> None:
    x = jnp.ones(3)
    with fails(ArgumentError, "out_axes is None", "depends on mapped"):
        vmap(lambda x: x, out_axes=None)(x)
    for axis in (1, -2, "a", 0.0):
        with fails(ArgumentError, f"out_axes={axis!r}", "1 axis"):
            vmap(lambda x: x, out_axes=axis)(x)
    for axes in ((0,), (0, 0, 0), {"a": 0}):
        with fails(ArgumentError, "out_axes", "(*, *)"):
            vmap(lambda x: (x, x), out_axes=axes)(x)


def test_names_and_sizes_of_axes() -> None:
    for size in (-1, "3", 2.0, True):
        with fails(ArgumentError, f"axis_size={size!r}"):
            vmap(lambda: 1.0, axis_size=size)()  # type: ignore[arg-type]
    with fails(ArgumentError, "axis_name=['i']"):
        vmap(lambda x: x, axis_name=["i"])(jnp.ones(3))


@pytest.mark.parametrize(
    "collective",
    [
        lambda x: minijvp.lax.psum(x, "rows"),
        lambda x: minijvp.lax.pmax(x, "rows"),
        lambda x: minijvp.lax.pmean(x, "rows"),
        lambda x: minijvp.lax.all_gather(x, "rows"),
        lambda x: minijvp.lax.ppermute(x, "rows", [(0, 1)]),
        lambda x: minijvp.lax.axis_index("rows") + x,
        lambda x: minijvp.lax.axis_size("rows") + x,
    ],
)
def test_collectives_need_a_bound_axis(collective: Any) -> None:
    x = jnp.ones(3)
    for run in (
        lambda: collective(x),
        lambda: jit(collective)(x),
        lambda: vmap(collective)(x),
        lambda: vmap(collective, axis_name="columns")(x),
        lambda: grad(lambda x: collective(x).sum())(x),
        lambda: vmap(jit(lambda x: x), axis_name="rows")(x) + collective(x),
    ):
        with fails(UnboundAxisError, "'rows'", "not bound"):
            run()


# --- arguments and results that are no arrays

NO_ARRAYS = ["text", Thing(), np.asarray(["text"]), np.asarray([Thing()]), {1.0}, float, b"bytes", lambda: 1.0]
APPLY: dict[str, Callable[[Any, Any], Any]] = {
    "grad": lambda f, x: grad(f)(x),
    "jacfwd": lambda f, x: jacfwd(f)(x),
    "jacrev": lambda f, x: jacrev(f)(x),
    "jit": lambda f, x: jit(f)(x),
    "vmap": lambda f, x: vmap(f)(x),
    "make_jaxpr": lambda f, x: make_jaxpr(f)(x),
    "eval_shape": lambda f, x: eval_shape(f, x),
    "jvp": lambda f, x: jvp(f, (x,), (x,)),
    "vjp": lambda f, x: vjp(f, x),
    "linearize": lambda f, x: linearize(f, x),
    "jit of grad": lambda f, x: jit(grad(f))(x),
    "vmap of grad": lambda f, x: vmap(grad(f))(x),
    "grad of jit": lambda f, x: grad(jit(f))(x),
    "grad of vmap": lambda f, x: grad(lambda x: vmap(f)(x).sum())(x),
}


def batch_of(name: str, x: Any) -> Any:
    """`x` as the transformation of this name wants it: with an axis to map, or without."""
    return jnp.stack([x, x]) if "vmap" in name else x


@pytest.mark.parametrize("name", APPLY)
def test_arguments_are_arrays(name: str) -> None:
    for x in NO_ARRAYS:
        with fails(ArgumentError, type(x).__name__):
            APPLY[name](lambda x: x, {"w": [x]})
        with fails(ArgumentError, "['w'][0]"):
            APPLY[name](lambda x: x, {"w": [x]})


@pytest.mark.parametrize("name", [name for name in APPLY if name not in ("jvp", "vjp", "linearize", "grad of vmap")])
def test_messages_name_the_argument(name: str) -> None:
    with fails(ArgumentError, "params['w']"):
        APPLY[name](lambda params: params["w"], {"w": "text"})


def test_arguments_of_jit_under_a_trace_are_arrays() -> None:
    @jit
    def inner(x: Any, options: Any) -> Any:
        return x

    for outer in (grad, lambda f: lambda x: vmap(f)(jnp.ones(2)), lambda f: lambda x: jvp(f, (x,), (x,)), jit):
        with fails(ArgumentError, "options['mode']", "'fast' of type str", "inner"):
            outer(lambda x: inner(x, {"mode": "fast"}))(1.0)
        with fails(ArgumentError, "options"):
            outer(lambda x: inner(x, options="fast"))(1.0)


def test_a_message_counts_static_arguments() -> None:
    @jit
    def outer(x: Any) -> Any:
        return jit(lambda a, b, c: a, static_argnums=1)(x, "fine", "bad")

    with fails(ArgumentError, "c, an argument", "'bad'"):
        jit(lambda a, b, c: a, static_argnums=1)(1.0, "fine", "bad")
    with fails(ArgumentError, "c, an argument", "'bad'"):
        outer(1.0)
    with fails(ArgumentError, "c is 'bad'"):
        make_jaxpr(lambda a, b, c: a, static_argnums=1)(1.0, "fine", "bad")


@pytest.mark.parametrize("name", APPLY)
def test_results_are_arrays(name: str) -> None:
    def my_function(x: Any) -> Any:
        return {"a": x, "b": result}

    for result in NO_ARRAYS:
        with fails(ArgumentError, "result['b'] of my_function", type(result).__name__):
            APPLY[name](my_function, batch_of(name, jnp.asarray(1.0)))


def test_functions_take_no_lists() -> None:
    x = jnp.ones(2)
    for f in (
        lambda x: mnp.sin([1.0, 2.0]) + x,
        lambda x: mnp.add(x, [1.0, 2.0]),
        lambda x: mnp.sum([x, x]),
        lambda x: mnp.add(x, None),
        lambda x: mnp.sin("text") + x,
        lambda x: mnp.multiply(x, Thing()),
    ):
        for run in (lambda: grad(lambda x: f(x).sum())(x), lambda: jit(f)(x), lambda: jvp(f, (x,), (x,))):
            with fails(ArgumentError, "minijvp.numpy.", "of type"):
                run()


@pytest.mark.parametrize("value", [None, "text", [1.0, 2.0], Thing()])
def test_operators_leave_what_is_no_array_to_python(value: Any) -> None:
    for run in (lambda f: jit(f)(jnp.ones(2)), lambda f: grad(f)(1.0), lambda f: vmap(f)(jnp.ones(2))):
        with pytest.raises(TypeError, match="unsupported operand"):
            run(lambda x: x + value)


@pytest.mark.parametrize("value", [3.0, None, "text", jnp.ones(3), [abs]])
def test_transformations_take_functions(value: Any) -> None:
    for transform in (grad, value_and_grad, jacfwd, jacrev, hessian, vmap, make_jaxpr):
        with fails(ArgumentError, f"{transform.__name__} received", "cannot be called"):
            transform(value)
    for transform in (vjp, linearize, eval_shape, linear_transpose):
        with fails(ArgumentError, f"{transform.__name__} received", "cannot be called"):
            transform(value, 1.0)
    with fails(ArgumentError, "jvp received", "cannot be called"):
        jvp(value, (1.0,), (1.0,))
    if value is not None:  # jit(None, ...) is the decorator with options
        with fails(ArgumentError, "jit received", "cannot be called"):
            jit(value)


# --- jit: static arguments


def test_static_arguments_are_hashable() -> None:
    def f(x: Any, sizes: Any) -> Any:
        return x

    for value in ([1], {"a": 1}, np.ones(2), jnp.ones(2)):
        for options in ({"static_argnums": 1}, {"static_argnames": "sizes"}):
            with fails(ArgumentError, "sizes", "of f", type(value).__name__, "hash"):
                jit(f, **options)(1.0, value)
            with fails(ArgumentError, "sizes", "of f", "hash"):
                jit(f, **options)(1.0, sizes=value)
            with fails(ArgumentError, "sizes", "hash"):
                grad(lambda x: jit(f, **options)(x, value))(1.0)
    with fails(ArgumentError, "sizes", "JVPTracer", "hash"):
        grad(lambda x: jit(f, static_argnums=1)(x, x))(1.0)


@pytest.mark.parametrize("argnums", [5, -5, (0, 5)])
def test_static_argnums_are_in_range(argnums: Any) -> None:
    with fails(ArgumentError, "static_argnums", "5", "two", "['a', 'b']"):
        jit(two, static_argnums=argnums)
    with fails(ArgumentError, "donate_argnums", "5", "two"):
        jit(two, donate_argnums=argnums)
    with fails(ArgumentError, "static_argnums=5" if argnums == 5 else "static_argnums", "out of range", "two"):
        make_jaxpr(two, static_argnums=argnums)(1.0, 2.0)


def test_static_arguments_are_named_by_integers_and_strings() -> None:
    for argnums in (1.5, "b", (1.0,), True):
        with fails(ArgumentError, "static_argnums"):
            jit(two, static_argnums=argnums)  # type: ignore[arg-type]
        with fails(ArgumentError, "static_argnums"):
            make_jaxpr(two, static_argnums=argnums)(1.0, 2.0)  # type: ignore[arg-type]
    for argnames in (3, (3,)):
        with fails(ArgumentError, "static_argnames"):
            jit(two, static_argnames=argnames)  # type: ignore[arg-type]
    with fails(ArgumentError, "'c'", "static_argnames"):
        jit(two, static_argnames="c")
    with fails(ArgumentError, "twice"):
        make_jaxpr(two, static_argnums=(1, 1))(1.0, 2.0)


# --- tracers that escaped


@cache
def escape(name: str) -> Any:
    """A tracer whose transformation has ended."""
    box: list[Any] = []

    def f(x: Any) -> Any:
        box.append(x * 2.0)  # the line that made it
        return x.sum()

    APPLY[name](f, batch_of(name, jnp.asarray(1.0)))
    return box[0]


USES: dict[str, Callable[[Any], Any]] = {
    "mnp function": mnp.sin,
    "mnp function of two": lambda x: mnp.add(jnp.ones(3), x),
    "method": lambda x: x.sum(),
    "reshape": lambda x: x.reshape(1),
    "operator": lambda x: x + 1.0,
    "reflected operator": lambda x: 1.0 - x,
    "operator with a jax array": lambda x: jnp.ones(3) * x,
    "operator with a numpy array": lambda x: np.ones(3) * x,
    "comparison": lambda x: x > 0,
    "unary operator": operator.neg,
    "bool": bool,
    "if": lambda x: 1.0 if x > 0 else 2.0,
    "int": int,
    "float": float,
    "complex": complex,
    "item": lambda x: x.item(),
    "tolist": lambda x: x.tolist(),
    "index": operator.index,
    "range": range,
    "argument of jit": lambda x: jit(lambda y: y)(x),
    "keyword of jit": lambda x: jit(lambda y: y)(y=x),
    "closure of jit": lambda x: jit(lambda y: y + x)(1.0),
    "result of jit": lambda x: jit(lambda y: x)(1.0),
    "argument of grad": lambda x: grad(lambda y: y)(x),
    "closure of grad": lambda x: grad(lambda y: y * x)(1.0),
    "result of grad": lambda x: grad(lambda y: x)(1.0),
    "argument of vmap": lambda x: vmap(lambda y: y, in_axes=None, axis_size=2)(x),
    "closure of vmap": lambda x: vmap(lambda y: y * x)(jnp.ones(2)),
    "result of vmap": lambda x: vmap(lambda y: x)(jnp.ones(2)),
    "argument of jvp": lambda x: jvp(lambda y: y, (x,), (1.0,)),
    "closure of jvp": lambda x: jvp(lambda y: y * x, (1.0,), (1.0,)),
    "result of jvp": lambda x: jvp(lambda y: x, (1.0,), (1.0,)),
    "closure of make_jaxpr": lambda x: make_jaxpr(lambda y: y + x)(1.0),
    "jnp function": jnp.sin,
    "jnp function of two": lambda x: jnp.add(jnp.ones(3), x),
    "jnp.asarray": jnp.asarray,
    "np function": np.sin,
    "np.asarray": np.asarray,
    "jax.jit": lambda x: jax.jit(lambda y: y)(x),
    "index of a jax array": lambda x: jnp.arange(3)[x],
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize(
    "name", ["jit", "vmap", "grad", "jvp", "make_jaxpr", "linearize", "jit of grad", "vmap of grad"]
)
def test_tracers_that_escaped(name: str, use: str) -> None:
    tracer = escape(name)
    with fails(EscapedTracerError, "escaped from", "has_aux"):
        USES[use](tracer)


@pytest.mark.parametrize("name", ["jit", "grad", "make_jaxpr", "linearize", "jit of grad"])
def test_messages_name_the_line_that_made_an_escaped_tracer(name: str) -> None:
    for use in (mnp.sin, float, jnp.sin, np.sin):
        with fails(EscapedTracerError, "the line that made it", "test_errors.py"):
            use(escape(name))


def test_an_escaped_tracer_can_be_printed() -> None:
    for name in ("jit", "vmap", "grad", "jvp"):
        assert "f64[]" in repr(escape(name))


# --- values that are not there


def run_under(name: str, use: Callable[[Any], Any], x: Any) -> Any:
    """What `use` makes of `x` inside of the transformation."""
    box: list[Any] = []

    def f(x: Any) -> Any:
        box.append(use(x))
        return x

    APPLY[name](f, batch_of(name, jnp.asarray(x)))
    return box[0]


def loop(x: Any) -> int:
    n = 0
    while x < 10.0:
        x, n = x * 2.0, n + 1
    return n


VALUES: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "if": (lambda x: 1 if x > 0 else 2, 2.0),
    "while": (loop, 2.0),
    "and": (lambda x: x and 1.0, 2.0),
    "not": (operator.not_, 2.0),
    "in": (lambda x: x in [1.0, 2.0], 2.0),
    "max": (lambda x: max(x, 1.0), 2.0),
    "int": (int, 2.0),
    "float": (float, 2.0),
    "complex": (complex, 2.0),
    "item": (lambda x: x.item(), 2.0),
    "tolist": (lambda x: x.tolist(), 2.0),
    "index": (operator.index, 2),
    "range": (range, 2),
    "list": (lambda n: [1, 2, 3][n], 2),
    "slice": (lambda n: [1, 2, 3][:n], 2),
}


HIDING = ["jit", "vmap", "make_jaxpr", "eval_shape", "jit of grad", "vmap of grad"]
# Integers are not differentiated.
HIDDEN = [(name, use) for name in HIDING for use in VALUES if "grad" not in name or isinstance(VALUES[use][1], float)]


@pytest.mark.parametrize(("name", "use"), HIDDEN)
def test_python_cannot_look_at_values_that_are_not_there(name: str, use: str) -> None:
    function, x = VALUES[use]
    advice = "lax.fori_loop" if use in ("index", "range", "list", "slice") else "mnp.where"
    with fails(ConcretizationError, "[]", advice if "grad" not in name else ""):
        run_under(name, function, x)


def test_messages_name_the_line_that_made_a_traced_value() -> None:
    def f(x: Any) -> Any:
        y = mnp.sin(x) * 2.0  # made here
        return x if y else -x

    with fails(ConcretizationError, "the staging of f", "bool()", "f64[]", "made here", "test_errors.py"):
        jit(f)(1.0)
    with fails(ConcretizationError, "the staging of f", "made here"):
        grad(jit(f))(1.0)
    with fails(ConcretizationError, "a vmap of size 2", "f64[]"):
        vmap(f)(jnp.ones(2))


@pytest.mark.parametrize("name", ["grad", "jvp", "vjp", "linearize", "jacrev"])
def test_an_eager_derivative_knows_values(name: str) -> None:
    for use, expected in (("if", 1), ("while", 3), ("int", 2), ("not", False), ("in", True)):
        assert run_under(name, VALUES[use][0], 2.0) == expected
    assert float(grad(lambda x: x * x if x > 0 else -x)(3.0)) == 6.0
    assert float(grad(lambda x: x * x if x > 0 else -x)(-3.0)) == -1.0
    assert float(jvp(lambda x: x * x if x > 0 else -x, (3.0,), (1.0,))[1]) == 6.0
    assert float(grad(grad(lambda x: x**3 if x > 0 else x))(3.0)) == 18.0


@pytest.mark.parametrize("use", ["float", "complex", "item", "tolist"])
@pytest.mark.parametrize("name", ["grad", "jvp", "vjp", "linearize", "jacrev"])
def test_numbers_would_lose_the_derivative(name: str, use: str) -> None:
    with fails(ConcretizationError, f"{use}()", "differentiated", "stop_gradient"):
        run_under(name, VALUES[use][0], 2.0)
    assert run_under(name, lambda x: float(minijvp.stop_gradient(x)), 2.0) == 2.0


FOREIGN: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "np.asarray": (np.asarray, 2.0),
    "np.array": (np.array, 2.0),
    "np.sin": (np.sin, 2.0),
    "np.isfinite": (np.isfinite, 2.0),
    "np.dot": (lambda x: np.dot(x, x), 2.0),
    "np.add to an array": (lambda x: operator.iadd(np.ones(3), x), 2.0),
    "jnp.sin": (jnp.sin, 2.0),
    "jnp.sum": (jnp.sum, 2.0),
    "jnp.add": (lambda x: jnp.add(jnp.ones(3), x), 2.0),
    "jnp.stack": (lambda x: jnp.stack([x, x]), 2.0),
    "jnp.asarray": (lambda x: jnp.asarray(x, jnp.float16), 2.0),
    "jax.jit": (lambda x: jax.jit(lambda y: y)(x), 2.0),
    "closure of jax.jit": (lambda x: jax.jit(lambda y: jnp.sin(x) + y)(1.0), 2.0),
    "jax.grad": (lambda x: jax.grad(lambda y: y)(x), 2.0),
    "jax.vmap": (lambda x: jax.vmap(lambda y: y, in_axes=None, axis_size=2)(x), 2.0),
    "jax.lax.scan": (lambda x: jax.lax.scan(lambda c, _: (c, c), x, None, length=2), 2.0),
    "device_put": (jax.device_put, 2.0),
    "at set": (lambda x: jnp.ones(3).at[0].set(x), 2.0),
    "index of a jax array": (lambda n: jnp.arange(5)[n], 2),
    "one of two indices": (lambda n: jnp.ones((3, 3))[n, 0], 2),
    "index of at": (lambda n: jnp.ones(3).at[n].set(1.0), 2),
}


@pytest.mark.parametrize("use", FOREIGN)
@pytest.mark.parametrize("name", ["jit", "vmap", "grad", "jvp", "make_jaxpr", "jit of grad"])
def test_functions_of_numpy_and_jax_take_no_tracers(name: str, use: str) -> None:
    function, x = FOREIGN[use]
    is_derivative = name in ("grad", "jvp", "jit of grad")
    with fails(ForeignFunctionError, "minijvp." if use.startswith(("jax.", "device_put")) else "minijvp.numpy", "[]"):
        run_under(name, function, float(x) if is_derivative else x)


def test_asarray_of_jax_drops_no_derivative() -> None:
    gradient = minijvp.grad(lambda x: jnp.asarray(x) ** 2)
    if jax.__version_info__ >= (0, 12):
        assert gradient(3.0) == 6.0  # it gives the tracer back
    else:
        with fails(ForeignFunctionError, "minijvp.numpy"):
            gradient(3.0)


FLOATING = ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "lt", "le", "gt", "ge", "eq", "ne"]
INTEGRAL = ["and_", "or_", "xor", "lshift", "rshift"]


@pytest.mark.parametrize("name", [*FLOATING, *INTEGRAL, "matmul"])
def test_operators_with_arrays_of_jax_and_numpy_work(name: str) -> None:
    """An operator asks the array of JAX first, which must leave the tracer to us."""
    apply = getattr(operator, name)
    if name in INTEGRAL:
        arrays, value = (jnp.asarray([2, 3]), np.asarray([2, 3]), np.int64(2)), 1
    else:
        arrays, value = (jnp.asarray([2.0, 3.0]), np.asarray([2.0, 3.0]), np.float64(2.0)), 1.5
    if name == "matmul":
        arrays, value = arrays[:2], np.asarray([1.5, 0.5])
    for array in arrays:
        expected = apply(np.asarray(array), value)
        runs = [
            lambda: jit(lambda x: apply(array, x))(value),
            lambda: vmap(lambda x: apply(array, x))(jnp.stack([value]))[0],
        ]
        if name not in INTEGRAL:
            runs.append(lambda: jvp(lambda x: apply(array, x), (value,), (np.ones_like(value),))[0])
        for run in runs:
            assert np.array_equal(run(), expected)


# --- shapes


def under_each(f: Callable[..., Any], *xs: Any) -> list[Callable[[], Any]]:
    """A call of `f` under each transformation. With nothing traced, the functions of JAX answer, with their errors."""
    return [
        lambda: jit(f)(*xs),
        lambda: grad(lambda *xs: mnp.sum(f(*xs)))(*xs),
        lambda: jvp(f, xs, xs),
        lambda: make_jaxpr(f)(*xs),
        lambda: vmap(f)(*[jnp.stack([x, x]) for x in xs]),
    ]


@pytest.mark.parametrize(
    ("f", "parts"),
    [
        (lambda x, y: mnp.add(x, y), ("add", "(2, 3)", "(4, 5)", "broadcast")),
        (lambda x, y: x * y, ("multiply", "(2, 3)", "(4, 5)", "broadcast")),
        (lambda x, y: mnp.maximum(x, y), ("maximum", "(2, 3)", "(4, 5)")),
        (lambda x, y: mnp.where(x > 0, x, y), ("where", "(2, 3)", "(4, 5)")),
        (lambda x, y: x @ y, ("matmul", "3 and 4", "(2, 3)", "(4, 5)")),
        (lambda x, y: mnp.dot(x, y), ("dot", "3 and 4")),
        (lambda x, y: mnp.einsum("ij,jk->ik", x, y), ("einsum", "3 and 4", "'j'")),
        (lambda x, y: mnp.tensordot(x, y, 1), ("tensordot", "3 and 4")),
        (lambda x, y: mnp.reshape(x, (7,)) + y, ("reshape", "(2, 3)", "(7,)")),
        (lambda x, y: x.reshape(-1, 5) + y, ("reshape", "(2, 3)", "(-1, 5)")),
        (lambda x, y: x.reshape(-1, -1) + y, ("reshape", "(-1, -1)")),
        (lambda x, y: mnp.concatenate([x, y]), ("concatenate", "3]", "5]")),
        (lambda x, y: mnp.concatenate([x, x], axis=2) + y, ("concatenate", "axis=2", "2 axes")),
        (lambda x, y: mnp.sum(x, axis=2) + y, ("sum", "axis=2", "2 axes")),
        (lambda x, y: x.mean(axis=-3) + y, ("mean", "axis=-3", "2 axes")),
        (lambda x, y: mnp.max(x, axis="rows") + y, ("max", "axis='rows'")),
        (lambda x, y: mnp.cumsum(x, axis=4) + y, ("cumsum", "axis=4")),
        (lambda x, y: mnp.sort(x, axis=4) + y, ("sort", "axis=4")),
        (lambda x, y: mnp.expand_dims(x, 5) + y, ("expand_dims", "axis=5")),
        (lambda x, y: mnp.squeeze(x, 0) + y, ("squeeze", "2,3]")),
        (lambda x, y: mnp.swapaxes(x, 0, 5) + y, ("swapaxes", "axis=5")),
        (lambda x, y: mnp.split(x, 5, axis=1)[0] + y, ("split", "size 3", "5")),
        (lambda x, y: mnp.take(x, 0, mode="bogus") + y, ("take", "mode='bogus'")),
        (lambda x, y: x.at[0].set(1.0, mode="bogus") + y, ("mode='bogus'",)),
        (lambda x, y: x.at[0].get(mode="bogus") + y, ("mode='bogus'",)),
        (lambda x, y: x["rows"] + y, ("'rows'", "index")),
        (lambda x, y: x[1.0] + y, ("1.0", "index")),
        (lambda x, y: x[0, 0].sum() + len(x[0, 0]) + y, ("len()",)),
        (lambda x, y: list(x[0, 0]) + y, ("iteration",)),
        (lambda x, y: operator.setitem(x, 0, 1.0), ("x.at[index].set(value)",)),
    ],
)
def test_shapes_axes_and_modes(f: Any, parts: tuple[str, ...]) -> None:
    for run in under_each(f, jnp.ones((2, 3)), jnp.ones((4, 5))):
        with fails(ArgumentError, *parts):
            run()


# --- has_aux


@pytest.mark.parametrize(
    ("result", "part"),
    [
        (lambda x: x, "Tracer"),
        (lambda x: (x,), "tuple"),
        (lambda x: (x, x, x), "tuple"),
        (lambda x: {"value": x, "aux": x}, "dict"),
        (lambda x: "ab", "str"),
        (lambda x: None, "NoneType"),
    ],
)
def test_has_aux_wants_a_pair(result: Any, part: str) -> None:
    for transform in [*GRADIENTS, *JACOBIANS]:
        with fails(ArgumentError, "has_aux=True", "pair", part):
            transform(result, has_aux=True)(1.0)
    for run in (
        lambda: vjp(result, 1.0, has_aux=True),
        lambda: linearize(result, 1.0, has_aux=True),
        lambda: jvp(result, (1.0,), (1.0,), has_aux=True),
    ):
        with fails(ArgumentError, "has_aux=True", "pair", part):
            run()


# --- errors of the user

TRANSFORMS: dict[str, Callable[[Callable[[Any], Any]], Callable[[Any], Any]]] = {
    "grad": lambda f: grad(lambda x: mnp.sum(f(x))),
    "value_and_grad": lambda f: lambda x: value_and_grad(lambda x: mnp.sum(f(x)))(x)[1],
    "jacfwd": jacfwd,
    "jacrev": jacrev,
    "jit": jit,
    "vmap": lambda f: vmap(f, in_axes=None, axis_size=2),
    "jvp": lambda f: lambda x: jvp(f, (x,), (x,))[1],
    "vjp": lambda f: lambda x: vjp(f, x)[0],
    "linearize": lambda f: lambda x: linearize(f, x)[0],
    "make_jaxpr": lambda f: lambda x: (make_jaxpr(f)(x), x)[1],
    "eval_shape": lambda f: lambda x: (eval_shape(f, x), x)[1],
    "linear_transpose": lambda f: lambda x: (linear_transpose(f, x), x)[1],
}


class Mine(Exception):
    """An error of the user, with an argument that it needs."""

    def __init__(self, number: int, *, note: str):
        super().__init__(number)
        self.note = note


def raising(error: BaseException) -> Callable[[Any], Any]:
    def f(x: Any) -> Any:
        y = mnp.sin(x)
        if error is not None:
            raise error
        return y

    return f


@pytest.mark.parametrize(
    "error",
    [
        Mine(3, note="n"),
        TypeError("mine"),
        ValueError("mine"),
        KeyError("mine"),
        StopIteration("mine"),
        KeyboardInterrupt(),
    ],
    ids=lambda e: type(e).__name__,
)
@pytest.mark.parametrize("name", TRANSFORMS)
def test_errors_of_the_user_pass_unchanged(name: str, error: BaseException) -> None:
    with pytest.raises(type(error)) as caught:
        TRANSFORMS[name](raising(error))(jnp.ones(2))
    assert caught.value is error


@pytest.mark.parametrize("outer", TRANSFORMS)
@pytest.mark.parametrize("inner", TRANSFORMS)
def test_errors_of_the_user_pass_two_transformations(outer: str, inner: str) -> None:
    for error in (Mine(3, note="n"), TypeError("mine")):
        with pytest.raises(type(error)) as caught:
            TRANSFORMS[outer](TRANSFORMS[inner](raising(error)))(jnp.ones(2))
        assert caught.value is error


def test_a_function_that_failed_works_the_next_time() -> None:
    broken = [True]

    @jit
    def f(x: Any) -> Any:
        if broken:
            raise Mine(1, note="")
        return x * x

    for run in (lambda: f(2.0), lambda: grad(f)(2.0), lambda: vmap(f)(jnp.ones(2)), lambda: jit(grad(f))(2.0)):
        with pytest.raises(Mine):
            run()
    broken.clear()
    assert float(f(2.0)) == 4.0
    assert float(grad(f)(2.0)) == 4.0
    assert float(jit(grad(f))(2.0)) == 4.0


# --- the messages themselves


def test_messages_have_three_sentences() -> None:
    error = ArgumentError("what", "why", "do")
    assert (error.what, error.why, error.do, str(error)) == ("what", "why", "do", "what\nwhy\ndo")


def test_classes() -> None:
    """Errors about arguments are what Python code catches: TypeError and ValueError."""
    assert issubclass(ArgumentError, TypeError) and issubclass(ArgumentError, ValueError)
    assert issubclass(ConcretizationError, TypeError)
    # JAX raises each of these where a rule is missing.
    assert all(issubclass(MissingRuleError, kind) for kind in (TypeError, ValueError, NotImplementedError))
    # JAX would replace a TypeError about an argument by its own.
    assert not issubclass(ForeignFunctionError, TypeError) and not issubclass(EscapedTracerError, TypeError)
