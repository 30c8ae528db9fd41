"""What minijvp.optimize does changes no result: the plain machine, without it, judges."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import jax
import numpy as np
import pytest

import minijvp
import minijvp.numpy as mnp
from minijvp import lax
from minijvp.core.hooks import hooks
from minijvp.optimize.eager import faster, steps
from minijvp.optimize.eager.traces import TRACES
from minijvp.tools.levels import pull, push
from minijvp.tools.samples import arrays, call, cotangents, differentiable, require_close, restricted, tolerance
from minijvp.transforms.jvp import JVPTrace
from minijvp.transforms.linearize import Linearizer
from tests.plain import unplugged
from tests.samples import Sample, all_samples


def switched_off() -> Any:
    return minijvp.config(optimize=False)


STATES = {"unplugged": unplugged, "switched off": switched_off}


def samples() -> list[Sample]:
    """The first and the last sample of every primitive that has a derivative."""
    found: dict[str, list[Sample]] = {}
    for s in all_samples():
        if s.primitive is not steps.step and differentiable(s):
            found.setdefault(s.primitive.name, []).append(s)
    return [s for group in found.values() for s in {id(s): s for s in (group[0], group[-1])}.values()]


@pytest.mark.parametrize("sample", samples(), ids=str)
def test_both_modes_of_every_primitive(sample: Sample) -> None:
    """Eager derivatives by compiled rules, and an operation of the rule at a time."""
    fun, primals, tangents = restricted(call(sample), arrays(sample), differentiable(sample))

    def derivatives() -> list[Any]:
        outs, pushed = push(fun)(primals, tangents)
        return [*outs, *pushed, *pull(fun)(primals, cotangents(outs))[1]]

    found = derivatives()
    with unplugged():
        require_close(found, derivatives(), tolerance(sample), str(sample))


X, W = np.linspace(-1.0, 1.5, 6), np.cos(np.arange(36.0).reshape(6, 6))


def network(x: Any) -> Any:
    for _ in range(3):
        x = mnp.tanh(W @ x) + mnp.where(x > 0, mnp.exp(-x), x**2)
    return mnp.sum(mnp.log1p(x**2))


def loop(x: Any) -> Any:
    carry, ys = lax.scan(lambda c, w: (mnp.sin(w * c) + x, mnp.sum(c * mnp.exp(-w))), x, W)
    return mnp.sum(carry) + mnp.sum(ys**2)


def unbounded(x: Any) -> Any:
    found = lax.while_loop(lambda s: mnp.sum(s) < 20.0, lambda s: s + mnp.abs(mnp.cos(x)) + 0.1, x)
    return mnp.sum(found**2)


def choice(x: Any) -> Any:
    return lax.cond(mnp.sum(x) > 0, lambda x: network(x) * x[0], lambda x: mnp.sum(x), x)


@minijvp.custom_vjp
def rule(x: Any) -> Any:
    return mnp.sum(mnp.sin(x))


rule.defvjp(lambda x: (mnp.sum(mnp.sin(x)), x), lambda x, ct: (ct * mnp.cos(x) * 3.0,))


PROGRAMS = {
    "network": network,
    "loop": loop,
    "unbounded": unbounded,
    "choice": choice,
    "rule": lambda x: rule(x * 2.0) * x[1],
    "checkpoint": minijvp.checkpoint(network),
    "compiled": minijvp.jit(network),
    "budget": minijvp.checkpoint(loop, memory_budget=0.5),
}

WORDS: dict[str, Callable[[Callable[..., Any]], Callable[..., Any]]] = {
    "grad": minijvp.grad,
    "jit grad": lambda f: minijvp.jit(minijvp.grad(f)),
    "jvp": lambda f: lambda x: minijvp.jvp(f, (x,), (X,)),
    "vmap grad": lambda f: lambda x: minijvp.vmap(minijvp.grad(f))(mnp.stack([x, 2 * x])),
    "grad vmap": lambda f: minijvp.grad(lambda x: mnp.sum(minijvp.vmap(f)(mnp.stack([x, 2 * x])))),
    "hessian": minijvp.hessian,
    "jacrev grad": lambda f: minijvp.jacrev(minijvp.grad(f)),
}


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("program", PROGRAMS)
def test_programs_in_every_state(program: str, word: str) -> None:
    derivative = WORDS[word](PROGRAMS[program])
    expected = jax.tree.leaves(derivative(X))
    for name, state in STATES.items():
        with state():
            found = jax.tree.leaves(WORDS[word](PROGRAMS[program])(X))
        require_close(found, expected, 1e-11, f"{program}, {word}, {name}")


@pytest.mark.parametrize("state", [*STATES.values(), lambda: minijvp.config(memory_budget="off")])
def test_staged_gradients_are_those_without_plans(state: Callable[[], Any]) -> None:
    """Equation for equation."""
    with minijvp.config(memory_budget="off"):
        expected = str(minijvp.make_jaxpr(minijvp.grad(loop))(X))
    with state():
        assert str(minijvp.make_jaxpr(minijvp.grad(loop))(X)) == expected


@pytest.mark.parametrize("state", STATES.values())
def test_no_accelerator_takes_part(state: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("an accelerator")

    for trace in TRACES.values():
        monkeypatch.setattr(trace, "process", never)
    monkeypatch.setattr(steps, "program_of", never)
    with state():
        for _ in range(4):  # as often as makes a gradient recur
            minijvp.grad(network)(X)
        minijvp.hessian(network)(X)
        minijvp.jvp(network, (X,), (X,))
    with pytest.raises(AssertionError, match="an accelerator"):
        minijvp.jvp(network, (X,), (X,))


def test_what_is_plugged_in() -> None:
    assert hooks.faster is faster
    assert faster(JVPTrace) is TRACES[JVPTrace]
    with switched_off():
        assert faster(JVPTrace) is JVPTrace
        assert minijvp.config.compile_gradients_after is None
        assert minijvp.config.memory_budget == "off"
    with unplugged():
        assert hooks.faster is None
        assert type(hooks.linearizer) is Linearizer
    assert hooks.faster is faster


def test_a_compiled_function_is_compiled_for_each_state() -> None:
    """Its program differs, and so it is another one; what was compiled before stays."""
    traced: list[bool] = []

    def fun(x: Any) -> Any:
        traced.append(minijvp.config.optimize)
        return network(x)

    gradient = minijvp.jit(minijvp.grad(fun))
    expected = gradient(X)
    for _ in range(2):
        with switched_off():
            np.testing.assert_allclose(gradient(X), expected, rtol=1e-12)
        with nullcontext():
            gradient(X)
    assert traced == [True, False]


def test_a_switch_is_true_or_false() -> None:
    with pytest.raises(minijvp.ArgumentError, match="optimize='no'"):
        minijvp.config(optimize="no")
