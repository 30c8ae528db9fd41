"""Steps: what they compute is what their equations compute, at one call an operation, in every composition."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import minijvp
import minijvp.numpy as mnp
from minijvp.core.jaxpr import evaluate
from minijvp.core.primitive import Axis, Primitive
from minijvp.core.types import PYTHON_SCALARS as NUMBERS
from minijvp.core.types import type_of
from minijvp.errors import ArgumentError, EscapedTracerError
from minijvp.operations import elementwise
from minijvp.optimize.eager import steps, traces
from minijvp.tools.samples import arrays, call, differentiable, direction, fix, require_close, tolerance
from minijvp.transforms.jvp import jvp_flat
from minijvp.transforms.linearize import linearize_flat
from minijvp.transforms.staging import stage
from minijvp.transforms.transpose import transpose_flat
from minijvp.transforms.vmap import vmap_flat, vmap_jaxpr
from tests.samples import Sample, all_samples


@pytest.fixture(autouse=True)
def nothing_compiles_itself() -> Iterator[None]:
    with minijvp.config(compile_gradients_after=None):
        yield


def first_samples() -> list[Sample]:
    """A sample of every primitive that has steps and a derivative."""
    found: dict[str, Sample] = {}
    for s in all_samples():
        if s.primitive.has_steps and s.batch and s.primitive is not steps.step and differentiable(s):
            found.setdefault(s.primitive.name, s)
    return list(found.values())


@pytest.mark.parametrize("sample", first_samples()[::8], ids=str)
def test_a_batch_of_derivatives(sample: Sample) -> None:
    """Tangents and cotangents of one operation, two side by side, by steps and by the equations of rules."""
    xs, positions = arrays(sample), differentiable(sample)
    fun, primals = fix(call(sample), xs, positions), [xs[i] for i in positions]
    ts = [jnp.stack([direction(x, i), direction(x, i + 9)]) for i, x in enumerate(primals)]
    n = len(primals)

    def derivatives(*args: Any) -> list[Any]:
        outs, pushed = jvp_flat(fun, args[:n], args[n:])
        outs, linear, nonzero = linearize_flat(fun, args[:n])
        cts = [x for x, flag in zip(outs, nonzero, strict=True) if flag]
        pulled = transpose_flat(linear, [True] * n, [None] * n, cts)
        return [x for x in [*pushed, *pulled] if x is not None]

    def batch(*args: Any) -> Sequence[Any]:
        return vmap_flat(derivatives, Axis(2), args, [False] * n + [True] * n)[0]

    inputs = [*primals, *ts]
    by_equations = evaluate(stage(batch, list(map(type_of, inputs))), *inputs)
    require_close(batch(*inputs), by_equations, tolerance(sample), "a batch")


WITH_NUMBERS = [
    s for s in all_samples() if s.batch and s.primitive is not steps.step and any(type(x) in NUMBERS for x in s.args)
]


@pytest.mark.parametrize("sample", WITH_NUMBERS, ids=str)
def test_a_batch_of_a_program_that_takes_a_number(sample: Sample) -> None:
    """A program is made for all Python numbers; in a batch, what is an argument of it has no lanes."""
    xs = arrays(sample)
    program = steps.program_of(sample.primitive, xs, sample.params)
    batched = tuple([type(x) not in NUMBERS for x in xs])
    if not any(batched):
        return
    jaxpr, flags = vmap_jaxpr(program.jaxpr, Axis(3), batched)
    wanted = [t.with_shape((3, *t.shape)) for t in program.jaxpr.out_types]
    assert [(t.shape, t.dtype) for t in jaxpr.out_types] == [(t.shape, t.dtype) for t in wanted] and all(flags)


def chain(api: Any, n: int = 4) -> Callable[[Any], Any]:
    """2 n operations."""

    def fun(x: Any) -> Any:
        for _ in range(n):
            x = api.sin(x) * x
        return x

    return fun


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of what is computed from now on: steps and single operations."""
    names: list[str] = []
    run, single = steps.run, Primitive.evaluate

    def counted(trace: Any, program: Any, args: tuple) -> Any:
        names.extend([program.name] if trace is steps.EVALUATION else [])
        return run(trace, program, args)

    for module in (steps, traces):
        monkeypatch.setattr(module, "run", counted)
    monkeypatch.setattr(Primitive, "evaluate", lambda p, *args: names.append(p.name) or single(p, *args))
    return names


def total(api: Any, fun: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x: api.sum(fun(x))


def words(api: Any, xp: Any, n: int) -> dict[str, Callable[[Any], Any]]:
    f = chain(xp, n)
    s = total(xp, f)
    return {
        "jvp": lambda x: api.jvp(f, (x,), (x,))[1],
        "jacfwd": api.jacfwd(f),
        "jacrev": api.jacrev(f),
        "vmap(grad)": lambda x: api.vmap(api.grad(s))(xp.stack([x, x])),
        "vmap(jacfwd)": lambda x: api.vmap(api.jacfwd(f))(xp.stack([x, x])),
        "jvp(grad)": lambda x: api.jvp(api.grad(s), (x,), (x,))[1],
        "hessian": api.hessian(s),
        "grad(grad)": api.grad(total(xp, api.grad(s))),
        "jacfwd(jacfwd)": api.jacfwd(api.jacfwd(f)),
        "jacrev(vmap(grad))": api.jacrev(lambda x: api.vmap(api.grad(s))(xp.stack([x, 2 * x]))),
        "jvp(jacrev(jvp))": lambda x: api.jvp(api.jacrev(lambda y: api.jvp(f, (y,), (x,))[1]), (x,), (x,))[1],
    }


AN_OPERATION = {
    "jvp": 1,
    "jacfwd": 1,
    "jacrev": 2.5,
    "vmap(grad)": 2.5,
    "vmap(jacfwd)": 1,
    "jvp(grad)": 2.5,
    "hessian": 2.5,
    "grad(grad)": 6.5,
}
"""Calls for every operation; where a sum of cotangents belongs to every second operation, half a call more."""


@pytest.mark.parametrize("word", AN_OPERATION)
def test_calls_an_operation(word: str, calls: list[str]) -> None:
    x = jnp.linspace(0.5, 1.5, 3)
    counts = []
    for n in (4, 8):
        fun = words(minijvp, mnp, n)[word]
        fun(x)
        calls.clear()
        fun(x)
        counts.append(len(calls))
    assert (counts[1] - counts[0]) / 8 <= AN_OPERATION[word]


@pytest.mark.parametrize("word", words(minijvp, mnp, 1))
def test_the_derivatives_are_those_of_jax(word: str) -> None:
    x = jnp.linspace(0.5, 1.5, 3)
    found, wanted = words(minijvp, mnp, 2)[word](x), words(jax, jnp, 2)[word](x)
    np.testing.assert_allclose(found, wanted, rtol=1e-12)


def test_python_steers_a_jacobian() -> None:
    def fun(x: Any) -> Any:
        while x[0] < 3.0:
            x = x * x + 1.0
        return x * (2.0 if bool(x.sum() > 1.0) else 3.0), {"aux": x}

    x = jnp.array([0.5, 1.5])
    for name in ("jacfwd", "jacrev"):
        found, wanted = (getattr(api, name)(fun, has_aux=True)(x) for api in (minijvp, jax))
        np.testing.assert_allclose(found[0], wanted[0])
        np.testing.assert_allclose(found[1]["aux"], wanted[1]["aux"])


def test_an_axis_with_a_name() -> None:
    """Rules of collectives depend on an axis that is not among the types: they take no steps."""

    def fun(api: Any, xp: Any) -> Callable[[Any], Any]:
        f = lambda x: xp.sin(x) * api.lax.psum(x * x, "i")
        return api.vmap(lambda x: api.jvp(f, (x,), (x,))[1] + api.grad(f)(x), axis_name="i")

    for x in (jnp.arange(3.0), jnp.arange(5.0)):
        np.testing.assert_allclose(fun(minijvp, mnp)(x), fun(jax, jnp)(x), rtol=1e-12)


def test_values_that_escaped() -> None:
    box: list[Any] = []
    minijvp.grad(lambda x: box.append(x * 2.0) or x)(1.0)
    for fun in (minijvp.jacfwd, minijvp.jacrev):
        with pytest.raises(EscapedTracerError, match="mul received a JVPTracer that escaped"):
            fun(lambda x: x * box[0])(1.0)
    with pytest.raises(EscapedTracerError, match="mul received a JVPTracer that escaped"):
        minijvp.vmap(minijvp.grad(lambda x: x * box[0]))(jnp.ones(2))


def test_a_parameter_that_cannot_be_hashed() -> None:
    fun = lambda x: mnp.sum(elementwise.exp(x, accuracy=[1]))
    for transformed in (minijvp.grad(fun), minijvp.jacfwd(fun), minijvp.vmap(minijvp.grad(fun))):
        with pytest.raises(ArgumentError, match="exp received a parameter that cannot be hashed"):
            transformed(jnp.ones((2, 2)))


def test_equations_take_the_line_of_their_step() -> None:
    x = jnp.ones(2)
    minijvp.linearize(mnp.sin, x)  # another line, which must not be remembered
    pushforward = minijvp.linearize(lambda x: mnp.sin(x), x)[1]  # this one
    (e,) = minijvp.make_jaxpr(pushforward)(x).equations
    assert e.source is not None and "this one" in e.source.text


def test_few_programs_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "PROGRAMS", 8)
    for n in range(1, 4):
        x = jnp.ones(n)
        np.testing.assert_allclose(minijvp.hessian(lambda x: mnp.sum(x**3))(x), 6 * np.eye(n))
        assert len(steps._by_jaxpr) <= 8 and len(steps._by_operation) <= 8 + 1
