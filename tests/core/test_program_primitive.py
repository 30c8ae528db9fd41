"""Primitives that carry programs: what they declare is all that evaluation, taps, pictures and code ask them for."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import minijvp
import minijvp.numpy as mnp
from minijvp.calls.call import Call, ProgramCall
from minijvp.calls.callback import debug_callback
from minijvp.calls.linear_call import LinearCall
from minijvp.calls.programs import chosen, present
from minijvp.control_flow.base import ControlFlow
from minijvp.core.jaxpr import Jaxpr, jaxpr_without_rules, lower
from minijvp.core.primitive import Primitive, registry
from minijvp.core.types import ArrayType, type_of
from minijvp.operations.collectives import psum
from minijvp.operations.families import is_linear, nonzero, spread
from minijvp.transforms.jvp import jvp_jaxpr
from minijvp.transforms.linearize import linearize_jaxpr, residuals_of
from minijvp.transforms.staging import stage
from minijvp.transforms.transpose import transpose_jaxpr
from minijvp.views.residuals import residual_report
from minijvp.views.traces import reverse_trace
from tests.side_by_side import same

F64 = ArrayType((), np.dtype(float))
X = jnp.array([0.5, -1.0, 2.0])
numbers = count()


pytestmark = pytest.mark.usefixtures("registry_as_before")


def made(cls: Callable[[str], Any], **flags: Any) -> Any:
    """A primitive of a name of its own."""
    return type(cls.__name__, (cls,), flags)(f"program_{next(numbers)}")


def program(fun: Callable[..., Any], n: int = 1, t: ArrayType = F64) -> Jaxpr:
    return stage(lambda *xs: [fun(*xs)], [t] * n, "inner").hoist_constants()[0]


def inner(x: Any) -> Any:
    return mnp.sin(minijvp.tap(x * x, "square")) * x


def on(primitive: Any, x: Any) -> Any:
    """A call of `inner` by a primitive that calls."""
    return primitive(x, jaxpr=program(inner, t=type_of(x)))[0]


def by_jax(x: Any) -> Any:
    return jnp.sin(x * x) * x


def test_a_call_is_its_program() -> None:
    """A new one has nothing but its class."""
    call = made(Call)
    fun = lambda x: on(call, x)
    same(minijvp.jit(fun)(X), by_jax(X))
    same(minijvp.grad(fun)(0.7), jax.grad(by_jax)(0.7))
    same(minijvp.grad(minijvp.grad(fun))(0.7), jax.grad(jax.grad(by_jax))(0.7))
    same(minijvp.vmap(minijvp.value_and_grad(fun))(X), jax.vmap(jax.value_and_grad(by_jax))(X))
    same(jax.jit(jax.grad(minijvp.jit(fun)))(0.7), jax.grad(by_jax)(0.7))


def test_a_call_is_looked_into() -> None:
    call = made(Call)
    fun = lambda x: on(call, x) + 1.0
    _, taps = minijvp.grad(fun, taps=True)(0.7)
    same(taps["square"], jax.grad(lambda y: jnp.sin(y) * 0.7)(0.49))
    assert "sin" in minijvp.draw(fun, 0.7, unfold=True).svg and "sin" not in minijvp.draw(fun, 0.7).svg
    same(minijvp.to_python(fun)(0.7).compile()(0.7), by_jax(0.7) + 1.0)
    assert any(node.depth and node.operation.startswith("sin") for node in reverse_trace(fun, 0.7, unfold=True).nodes)
    report = residual_report(lambda x: mnp.sin(on(call, x)), X)
    assert f"sin in {call.name}" in [r.made_by for r in report.residuals]


class Halves(ControlFlow):
    """One of two programs for each half of the numbers: what a choice declares is where its branches are."""

    body = "parts"
    repeats = False
    takes_more = True

    def impl(self, index: Any, *args: Any, parts: Any) -> tuple[Any, ...]:
        return tuple(jax.lax.switch(index, [lambda *xs, p=p: tuple(lower(p, *xs)) for p in parts], *args))

    def type_rule(self, index: ArrayType, *types: ArrayType, parts: Any) -> tuple[ArrayType, ...]:
        return parts[0].out_types

    def linearize(self, primals: tuple, tangents: tuple, *, parts: Any) -> tuple[Any, Any]:
        index, *args = primals
        flags = nonzero(tangents[1:])
        # Of both all residuals are kept: what they are is of the same types here.
        pairs = [linearize_jaxpr(p, flags) for p in parts]
        outs = self(index, *args, parts=tuple([known for known, *_ in pairs]))
        n, origins = len(parts[0].outputs), pairs[0][2]
        residuals = residuals_of(origins, args, outs, n)
        ts = self(index, *residuals, *present(tangents[1:]), parts=tuple([linear for _, linear, *_ in pairs]))
        return outs[:n], spread(ts, pairs[0][3])

    def transpose(self, ct: tuple, index: Any, *args: Any, parts: Any) -> tuple[Any, ...]:
        linear = tuple(map(is_linear, args))
        pulled = [transpose_jaxpr(p, linear, nonzero(ct)) for p in parts]
        known = chosen(args, [not flag for flag in linear])
        cts = self(index, *known, *present(ct), parts=tuple([p for p, _ in pulled]))
        return (None, *spread(cts, linear))


@pytest.mark.parametrize("index", [0, 1])
def test_taps_are_read_in_any_choice(index: int) -> None:
    """Each branch gets the zeros of both: those of equal taps are one."""
    halves = made(Halves)
    first = program(lambda x: minijvp.tap(x, "x") * 2.0)
    second = program(lambda x: minijvp.tap(x, "x") * 3.0)
    fun = lambda x: halves(np.int32(index), x, parts=(first, second))[0] * x
    gradient, taps = minijvp.grad(fun, taps=True)(0.7)
    same(gradient, jnp.asarray((4.0, 6.0)[index] * 0.7))
    same(taps["x"], jnp.asarray((2.0, 3.0)[index] * 0.7))


class Ruled(ProgramCall):
    """A call with a rule, which is no part of its result."""

    rules = ("rule",)
    own_derivative = True

    def jvp(self, primals: tuple, tangents: tuple, *, jaxpr: Jaxpr, rule: Jaxpr | None) -> tuple[Any, Any]:
        pushed, _ = jvp_jaxpr(rule, (True,))
        outs = lower(pushed, *primals, *tangents)
        return tuple(outs[:1]), tuple(outs[1:])


def shown(x: Any) -> Any:
    debug_callback(x, callback=print, ordered=False)
    return x


def test_rules_do_not_run() -> None:
    ruled = made(Ruled)
    plain, loud = program(mnp.sin), program(shown)
    equation = lambda jaxpr, rule: stage(lambda x: ruled(x, jaxpr=jaxpr, rule=rule), [F64]).equations[0]
    assert not equation(plain, loud).has_effects
    assert equation(loud, plain).has_effects
    assert list(equation(plain, loud).programs) == [plain, loud]
    assert ruled.for_evaluation({"jaxpr": plain, "rule": loud}) == {"jaxpr": plain, "rule": None}
    params = {"jaxpr": plain, "rule": None}
    assert ruled.for_evaluation(params) is params


def test_rules_inside_are_left_out_where_a_program_is_evaluated() -> None:
    ruled, choice = made(Ruled), made(Halves)
    nested = program(lambda x: ruled(x, jaxpr=program(mnp.sin), rule=program(mnp.cos))[0])
    outer = program(lambda x: choice(np.int32(0), x, parts=(nested, program(mnp.sin)))[0])
    (e,) = jaxpr_without_rules(outer).equations
    assert e.params["parts"][0].equations[0].params["rule"] is None
    assert e.params["parts"][1] is outer.equations[0].params["parts"][1]


def test_axes_are_used_by_programs_and_rules() -> None:
    axis = minijvp.vmap
    total = lambda x: minijvp.lax.psum(x, "lanes")
    found: list[Jaxpr] = []

    def staged(x: Any) -> Any:
        found.append(stage(lambda y: [total(y)], [F64], "total"))
        return x

    axis(staged, axis_name="lanes")(X)
    ruled, plain = made(Ruled), program(mnp.sin)
    assert any(e.primitive.name == psum.name for e in found[0])
    assert ruled.uses_axis("lanes", {"jaxpr": found[0], "rule": None})
    assert ruled.uses_axis("lanes", {"jaxpr": plain, "rule": found[0]})
    assert not ruled.uses_axis("other", {"jaxpr": found[0], "rule": found[0]})
    assert not ruled.uses_axis("lanes", {"jaxpr": plain, "rule": None})


class Scaled(LinearCall):
    """What a linear map declares: where its program is, and its transpose, which is 10 times too large."""

    body = "map"
    rules = ()

    def n_residuals(self, params: dict[str, Any]) -> int:
        return 1

    def forward(self, params: dict[str, Any]) -> Jaxpr:
        return params["map"]

    def pulled(self, ct: tuple, residuals: tuple, linear: tuple, params: dict[str, Any]) -> Any:
        return [c * residuals[0] * 10.0 for c in ct]

    def batched(self, axis: Any, residuals: tuple[bool, ...], params: dict[str, Any]) -> dict[str, Any]:
        return params


def test_a_linear_map_is_its_own_derivative_and_has_the_transpose_it_says() -> None:
    scaled = made(Scaled)
    product = program(lambda a, x: a * x, 2)
    fun = lambda a, x: scaled(a, x, map=product)[0]
    same(minijvp.jvp(fun, (2.0, 3.0), (0.0, 1.0)), (jnp.asarray(6.0), jnp.asarray(2.0)))
    same(minijvp.grad(fun, argnums=1)(2.0, 3.0), jnp.asarray(20.0))
    # By the residual it is differentiated as it stands.
    same(minijvp.grad(fun)(2.0, 3.0), jnp.asarray(3.0))
    same(jnp.asarray(minijvp.to_python(fun)(2.0, 3.0).compile()(2.0, 3.0)), jnp.asarray(6.0))
    with pytest.raises(minijvp.MissingRuleError, match="no transpose rule"):
        scaled.transpose((1.0,), F64, 3.0, map=product)


def test_primitives_without_programs_have_none() -> None:
    sin: Primitive = registry["sin"]
    assert (tuple(sin.programs({})), tuple(sin.bodies({})), sin.trip_count({}), sin.is_call) == ((), (), 1, False)
