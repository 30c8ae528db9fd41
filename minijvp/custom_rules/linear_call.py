"""Linear functions that bring their own transpose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minijvp.calls.carrier import Carrier
from minijvp.calls.jit import jit_primitive
from minijvp.calls.programs import array_types
from minijvp.core.jaxpr import Jaxpr, Var, lower
from minijvp.core.primitive import Axis
from minijvp.core.types import ArrayType
from minijvp.custom_rules.custom_jvp import as_arrays, only_program, vmap_all
from minijvp.operations.families import add_tangents, all_batched, instantiate, is_linear


class LinearCall(Carrier):
    """The outputs of the open jaxpr `forward`, linear in its inputs from number `n` on; `backward` is its transpose.

    Both take `n` residuals, in which they are not linear, and then the outputs of the other. By residuals `forward` is
    differentiated as it stands.
    """

    recomputable = "never"
    own_derivative = True

    def for_evaluation(self, params: dict[str, Any]) -> dict[str, Any]:
        return only_program(params, "backward")

    def impl(self, *args: Any, forward: Jaxpr, **others: Any) -> tuple[Any, ...]:
        return tuple(lower(forward, *args))

    def type_rule(self, *types: ArrayType, forward: Jaxpr, **others: Any) -> tuple[ArrayType, ...]:
        return tuple(array_types(forward.out_types))

    def jvp(self, primals: tuple, tangents: tuple, *, n: int, **programs: Any) -> tuple[Any, Any]:
        return self.pushed(jit_primitive.jvp, primals, tangents, n, programs)

    def linearize(self, primals: tuple, tangents: tuple, *, n: int, **programs: Any) -> tuple[Any, Any]:
        return self.pushed(jit_primitive.linearize, primals, tangents, n, programs)

    def pushed(self, derivative: Any, primals: tuple, tangents: tuple, n: int, programs: Any) -> tuple[Any, Any]:
        """The outputs, and their tangents: those by residuals, by a derivative of the program, and the linear ones."""
        forward, linear = programs["forward"], tangents[n:]
        if any(t is not None for t in tangents[:n]):
            outs, ts = derivative(primals, (*tangents[:n], *[None] * len(linear)), jaxpr=forward)
        else:
            outs = self(*primals, n=n, **programs)
            ts = (None,) * len(outs)
        if any(t is not None for t in linear):
            given = [instantiate(t, x) for t, x in zip(linear, primals[n:], strict=True)]
            ts = tuple(map(add_tangents, ts, self(*primals[:n], *given, n=n, **programs)))
        return as_arrays(outs, array_types(forward.out_types)), ts

    def transpose(self, ct: tuple, *args: Any, forward: Jaxpr, backward: Jaxpr, n: int) -> tuple[Any, ...]:
        cts = [instantiate(c, t.strong()) for c, t in zip(ct, forward.out_types, strict=True)]
        found = self(*args[:n], *cts, forward=backward, backward=forward, n=n)
        return (None,) * n + tuple([c if is_linear(x) else None for c, x in zip(found, args[n:], strict=True)])

    def batch(
        self, axis: Axis, args: tuple, batched: tuple[bool, ...], *, forward: Jaxpr, backward: Jaxpr, n: int
    ) -> tuple[Any, Any]:
        fixed = batched[:n]
        linear = all_batched(axis, args[n:], batched[n:])
        forward, backward = (
            vmap_all(jaxpr, axis, fixed + (True,) * (len(jaxpr.inputs) - n)) for jaxpr in (forward, backward)
        )
        outs = self(*args[:n], *linear, forward=forward, backward=backward, n=n)
        return outs, (True,) * len(outs)


linear_call = LinearCall("linear_call")


def call_linear(forward: Jaxpr, backward: Jaxpr, residuals: Sequence[Any], linear: Sequence[Any]) -> tuple[Any, ...]:
    """The outputs of a linear function with its transpose, two closed jaxprs of residuals and what is linear."""
    (push, known), (pull, others) = forward.hoist_constants(), backward.hoist_constants()
    k, j, n = len(known), len(others), len(known) + len(others) + len(residuals)
    pushing, pulling = push.inputs[:k], pull.inputs[:j]
    push = Jaxpr((), (*pushing, *unread(pulling), *push.inputs[k:]), push.equations, push.outputs, push.name)
    pull = Jaxpr((), (*unread(pushing), *pulling, *pull.inputs[j:]), pull.equations, pull.outputs, pull.name)
    return linear_call(*known, *others, *residuals, *linear, forward=push, backward=pull, n=n)


def unread(variables: Sequence[Var]) -> list[Var]:
    """Other variables of the same types."""
    return [Var(v.type) for v in variables]
