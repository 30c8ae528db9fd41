"""minijvp.extend: what the door opens to works from outside, by public names alone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import jax
import jax.extend.core
import jax.numpy as jnp
import numpy as np
import pytest
from jax.interpreters import mlir

import minijvp
import minijvp.numpy as mnp
from minijvp import extend, lax
from minijvp.core.tracing import live_traces
from minijvp.extend import Jaxpr, Trace, Tracer, current, current_trace, evaluate, run, stage, translates, type_of
from minijvp.interop.reading import TABLE
from tests.tables import restored

X = np.array([0.5, 1.5, -2.0])


pytestmark = pytest.mark.usefixtures("registry_as_before")


@pytest.fixture(autouse=True)
def table_as_before() -> Iterator[None]:
    with restored(TABLE):
        yield


def test_every_name_shows_an_example() -> None:
    assert [name for name in extend.__all__ if ">>>" not in (getattr(extend, name).__doc__ or "")] == []


def test_it_is_imported_when_it_is_used() -> None:
    program = "import sys, minijvp; before = 'minijvp.extend' in sys.modules; print(before, minijvp.extend.__name__)"
    found = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert found.split() == ["False", "minijvp.extend"]


def test_jaxprs_are_functions() -> None:
    scale = jnp.array([1.0, 2.0, 3.0])
    jaxpr = minijvp.make_jaxpr(lambda x, y: (x * y + scale, mnp.sum(x)))(X, 2.0)
    for f in (jaxpr, minijvp.jit(lambda *xs: jaxpr(*xs))):
        product, total = f(X, 3.0)
        np.testing.assert_allclose(product, X * 3 + scale)
        np.testing.assert_allclose(total, 0.0)
    np.testing.assert_allclose(minijvp.grad(lambda x: jaxpr(x, 3.0)[0].sum())(X), [3.0] * 3)
    np.testing.assert_allclose(minijvp.vmap(jaxpr, (0, None))(np.stack([X, X]), 3.0)[0], [X * 3 + scale] * 2)
    for wrong in ((X,), (X[:2], 3.0), (X, X), (X, 3j), (X.astype("float32"), 3.0)):
        with pytest.raises(minijvp.ArgumentError, match="the program <lambda> received"):
            jaxpr(*wrong)


def test_a_program_read_by_run() -> None:
    """Intervals: the least and the largest value of every number, as an array of both."""

    def bound(e: Any, values: list[Any]) -> Any:
        pairs = [v if getattr(v, "interval", False) else [v, v] for v in values]
        if e.primitive is lax.mul_p:
            ends = [x * y for x in pairs[0] for y in pairs[1]]
        else:  # those that grow with every operand, or fall
            ends = [e.primitive(*some, **e.params) for some in zip(*pairs, strict=True)]
        return Interval([mnp.min(mnp.stack(ends), 0), mnp.max(mnp.stack(ends), 0)])

    class Interval(list):
        interval = True

    def bounds(f: Any, low: Any, high: Any) -> Any:
        (found,) = run(stage(lambda x: [f(x)], [type_of(low)]), [Interval([low, high])], bound)
        return mnp.stack(found)

    f = lambda x: mnp.exp(-x) * x + 1.0
    low, high = np.array([-1.0, 0.5]), np.array([2.0, 1.0])
    expected = [[1 - np.e, 1 + np.exp(-1) * 0.5], [1 + 2 * np.e, 1 + np.exp(-0.5)]]
    np.testing.assert_allclose(bounds(f, low, high), expected)
    np.testing.assert_allclose(minijvp.jit(lambda low, high: bounds(f, low, high))(low, high), expected)
    slope = minijvp.jacobian(lambda high: bounds(f, low, high)[1])(high)
    np.testing.assert_allclose(np.diag(slope), [np.e, np.exp(-0.5)])


class Counted(Tracer):
    """A value, and how many operations it took."""

    def __init__(self, trace: Trace, value: Any, n: int):
        self.owner, self.value, self.n = trace, value, n

    type = property(lambda self: type_of(self.value))


class CountingTrace(Trace):
    """Counts the operations on the longest way to a value."""

    def __init__(self, parent: Trace):
        self.parent = parent

    def process(self, primitive: Any, args: tuple, params: dict[str, Any]) -> Any:
        mine = [isinstance(x, Counted) and x.owner is self for x in args]
        values = [x.value if m else x for x, m in zip(args, mine, strict=True)]
        with current(self.parent):
            out = primitive(*values, **params)
        if not any(mine):
            return out
        n = 1 + max(x.n for x, m in zip(args, mine, strict=True) if m)
        return tuple(Counted(self, x, n) for x in out) if type(out) is tuple else Counted(self, out, n)


def depth(f: Any, x: Any) -> tuple[Any, int]:
    """The result of `f`, and how many operations follow one another."""
    with current(CountingTrace(current_trace())) as trace:
        out = f(Counted(trace, x, 0))
    return out.value, out.n


def test_a_trace_from_outside() -> None:
    f = lambda x: mnp.sin(x) * x + mnp.sort(x)
    value, n = depth(f, X)
    assert n == 3
    np.testing.assert_allclose(value, np.sin(X) * X + np.sort(X))
    assert depth(lambda x: x.sum() + jnp.ones(3)[0], X)[1] == 2
    assert not live_traces
    compiled = minijvp.jit(lambda x: depth(f, x)[0])
    np.testing.assert_allclose(compiled(X), value)
    np.testing.assert_allclose(minijvp.grad(lambda x: depth(f, x)[0].sum())(X), np.cos(X) * X + np.sin(X) + 1)
    np.testing.assert_allclose(minijvp.vmap(lambda x: depth(f, x)[0])(np.stack([X, X])), [value] * 2)
    assert depth(minijvp.jit(f), X)[1] == 1
    assert depth(minijvp.vmap(f), np.stack([X, X]))[1] == 3
    slope, n = depth(minijvp.grad(lambda x: f(x).sum()), X)
    np.testing.assert_allclose(slope, np.cos(X) * X + np.sin(X) + 1)
    assert n > 2
    assert depth(lambda x: depth(f, x)[0], X)[1] == 3


def test_tracers_of_a_trace_from_outside_escape_with_a_message() -> None:
    kept = []
    depth(lambda x: kept.append(x) or x * 2, X)
    with pytest.raises(minijvp.EscapedTracerError, match="escaped from CountingTrace"):
        mnp.sin(kept[0])


def test_a_trace_stays_live_while_rules_run_under_it() -> None:
    """A context inside of the one that made it live does not end it."""
    with current(CountingTrace(current_trace())) as trace:
        with current(trace):
            pass
        assert not trace.finished()
        with current(current_trace()):
            assert not trace.finished()
    assert trace.finished()
    with current(current_trace()):
        assert not live_traces


def foreign(name: str) -> Any:
    """A primitive of JAX that doubles, without any rule for derivatives."""
    primitive = jax.extend.core.Primitive(name)
    primitive.def_impl(lambda x: x * 2)
    primitive.def_abstract_eval(lambda x: x)
    mlir.register_lowering(primitive, mlir.lower_fun(lambda x: x * 2, multiple_results=False))
    return primitive


@pytest.mark.parametrize("by_name", [False, True])
def test_a_primitive_of_jax_is_translated(by_name: bool) -> None:
    twice = foreign(f"twice_{by_name}")
    inner = jax.jit(lambda x: twice.bind(x) * 3)
    with pytest.raises(minijvp.MissingRuleError, match=f"twice_{by_name}"):
        minijvp.grad(minijvp.from_jax(lambda x: inner(x)))(1.0)

    @translates(twice.name if by_name else twice)
    def rule(x: Any) -> Any:
        return mnp.add(x, x)

    f = minijvp.from_jax(lambda x: inner(x))
    assert float(minijvp.grad(f)(1.0)) == 6.0  # the program inside was read before, without the rule
    np.testing.assert_allclose(minijvp.vmap(minijvp.jit(minijvp.grad(f)))(X), [6.0] * 3)


def test_translations_of_equations_and_of_several_results() -> None:
    halves = jax.extend.core.Primitive("halves")
    halves.multiple_results = True
    halves.def_impl(lambda x, *, n: [x[:n], x[n:]])
    halves.def_abstract_eval(lambda x, *, n: [x.update(shape=(n,)), x.update(shape=(x.shape[0] - n,))])
    seen = []

    @translates(halves, contextual=True)
    def rule(equation: Any, x: Any) -> Any:
        seen.append(equation.primitive.name)
        return x[: equation.params["n"]], x[equation.params["n"] :]

    f = minijvp.from_jax(lambda x: halves.bind(x, n=1)[1].sum())
    assert minijvp.grad(f)(X).tolist() == [0.0, 1.0, 1.0]
    assert set(seen) == {"halves"}


def test_translations_that_are_wrong() -> None:
    narrow = foreign("narrow")
    translates(narrow)(lambda x: mnp.float32(x))
    with pytest.raises(minijvp.JaxprError, match="narrow"):
        minijvp.grad(minijvp.from_jax(lambda x: narrow.bind(x)))(1.0)
    for wrong in ((), (3,), (narrow, mnp)):
        with pytest.raises(minijvp.ArgumentError, match="translates received"):
            translates(*wrong)


def test_programs_are_made_by_hand() -> None:
    from_outside = stage(lambda x: [mnp.sin(x), mnp.cos(x)], [type_of(X)]).check()
    assert isinstance(from_outside, Jaxpr)
    (e, _) = from_outside
    again = Jaxpr((), from_outside.inputs, (e,), e.outputs).check()
    np.testing.assert_allclose(evaluate(again, X)[0], np.sin(X))
    np.testing.assert_allclose(jax.jit(lambda x: extend.lower(again, x))(X)[0], np.sin(X))


def test_jax_uses_the_rules() -> None:
    """Not the derivative that it finds for the function."""
    straight = extend.Elementwise("straight_through", jnp.round, lambda t, out, x: t)
    squared = lambda x: (straight(x) * x).sum()
    for f in (squared, minijvp.to_jax(squared), minijvp.jit(squared), jax.jit(squared)):
        np.testing.assert_allclose(jax.grad(f)(jnp.asarray(X)), np.round(X) + X)
        np.testing.assert_allclose(jax.jvp(f, (jnp.asarray(X),), (jnp.ones(3),))[1], np.sum(np.round(X) + X))
        np.testing.assert_allclose(jax.hessian(f)(jnp.asarray(X)), 2 * np.eye(3))
        np.testing.assert_allclose(jax.vmap(jax.grad(f))(jnp.stack([X, X]))[1], np.round(X) + X)
    np.testing.assert_allclose(minijvp.grad(squared)(X), np.round(X) + X)
    np.testing.assert_allclose(minijvp.hessian(squared)(X), 2 * np.eye(3))


def test_a_missing_derivative_is_not_zero() -> None:
    no_derivative = extend.Elementwise("no_derivative", lambda x: x * x)
    one = extend.Elementwise("one_derivative", lambda x, y: x * y, lambda t, out, x, y: t * y)
    flat = extend.Elementwise("flat", jnp.round, None)
    assert minijvp.grad(flat)(1.2) == 0
    assert minijvp.grad(one)(2.0, 3.0) == 3
    both = lambda x: lax.cond(x > 0, no_derivative, lambda x: x, x)
    for f in (minijvp.grad(no_derivative), minijvp.jit(minijvp.grad(no_derivative)), minijvp.grad(both)):
        with pytest.raises(minijvp.MissingRuleError, match="no derivative for its argument number 0"):
            f(3.0)
    with pytest.raises(minijvp.MissingRuleError, match="number 1, counted from 0"):
        minijvp.grad(one, 1)(2.0, 3.0)


def test_parameters_reach_the_derivative() -> None:
    scaled = extend.Elementwise(
        "scaled_by", lambda x, *, accuracy=1: x * accuracy, lambda t, out, x, *, accuracy=1: t * accuracy
    )
    assert minijvp.grad(lambda x: scaled(x, accuracy=3))(2.0) == 3


def test_what_minijvp_translates_stays() -> None:
    """A function of JAX would have one value and the derivative of another."""
    with pytest.raises(minijvp.ArgumentError, match="'tanh', which minijvp translates itself"):
        translates(jax.lax.tanh_p)(lambda x, **params: x)
    with pytest.raises(minijvp.ArgumentError, match=r"translates received \(cos,\)"):
        translates(lax.cos_p)


def test_a_translation_may_be_a_primitive_and_be_replaced() -> None:
    halve = jax.extend.core.Primitive("halve_twice")
    halve.def_impl(lambda x: x / 2)
    halve.def_abstract_eval(lambda x: x)
    for factor in (0.25, 0.5):
        translates(halve)(extend.Elementwise(f"halved_{factor}", lambda x: x / 2, lambda t, out, x, f=factor: t * f))
        assert minijvp.grad(minijvp.from_jax(lambda x: halve.bind(x)))(1.0) == factor
    with pytest.raises(minijvp.ArgumentError, match="which minijvp translates itself"):
        translates("sin")(extend.Elementwise("not_the_sine", jnp.sin, None))


def test_programs_are_called_with_what_they_were_staged_for() -> None:
    mean = stage(lambda x: [mnp.mean(x)], [type_of(X)])
    call = extend.Call("any_call")
    np.testing.assert_allclose(call.call(mean, X)[0], X.mean())
    for f in (lambda x: mean(x), lambda x: call.call(mean, x)):
        for g, shape in ((f, (6,)), (minijvp.jit(f), (6,)), (minijvp.vmap(f), (2, 6))):
            with pytest.raises(minijvp.ArgumentError, match=r"received f64\[6\], and takes f64\[3\]"):
                g(np.ones(shape))
    for wrong in (lambda: run(mean, [], lambda e, xs: 0), lambda: evaluate(mean), lambda: extend.lower(mean, X, X)):
        with pytest.raises(minijvp.ArgumentError, match="arguments, and takes 1"):
            wrong()


def test_what_cannot_be_staged() -> None:
    with pytest.raises(minijvp.ArgumentError, match=r"(?s)returned one f64\[3\].*\[x\]"):
        stage(lambda x: x * 2, [type_of(X)])
    for types in ([X], [jax.ShapeDtypeStruct((3,), "float32")]):
        with pytest.raises(minijvp.ArgumentError, match="type_of"):
            stage(lambda x: [x], types)
