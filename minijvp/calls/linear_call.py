"""Linear maps that bring their own transpose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minijvp.calls.jit import jit_primitive
from minijvp.calls.programs import array_types, as_arrays, vmap_all
from minijvp.calls.taylor import at
from minijvp.core.jaxpr import Jaxpr, Var, evaluate, lower
from minijvp.core.primitive import Axis
from minijvp.core.program_primitive import ProgramPrimitive
from minijvp.core.types import Array, ArrayType, Params
from minijvp.operations.families import add_tangents, all_batched, instantiate, is_linear, nonzero


class LinearCall(ProgramPrimitive):
    """A map that is linear in its last operands, and whose transpose is given.

    The operands before are `n` residuals. Here the map is the open jaxpr `forward` and the transpose `backward`: both
    take the residuals, and then the outputs of the other. A subclass whose maps are given otherwise has the first five
    methods of its own. By residuals the map is differentiated as it stands.

    >>> import minijvp, minijvp.numpy as mnp
    >>> from minijvp.extend import LinearCall, stage, type_of
    >>> running = LinearCall('running_sum')
    >>> x = mnp.array([1.0, 2.0, 3.0])
    >>> push = stage(lambda x: [mnp.cumsum(x)], [type_of(x)])
    >>> pull = stage(lambda ct: [mnp.cumsum(ct[::-1])[::-1]], [type_of(x)])
    >>> f = lambda x: running(x, forward=push, backward=pull, n=0)[0]
    >>> print(f(x), minijvp.grad(lambda x: f(x).sum())(x))
    [1. 3. 6.] [3. 2. 1.]
    """

    recomputable = "never"
    own_derivative = True
    body = "forward"
    rules = ("backward",)

    def n_residuals(self, params: Params) -> int:
        """How many operands come before those in which it is linear."""
        return params["n"]

    def forward(self, params: Params) -> Jaxpr:
        """The map, as a program."""
        return params["forward"]

    def read(self, operands: Sequence[Any], params: Params) -> Sequence[Any]:
        """The operands that this program takes: all, if it is to be differentiated by residuals."""
        return operands

    def pulled(self, ct: tuple, residuals: tuple, linear: tuple, params: Params) -> Sequence[Any]:
        """The transpose: a cotangent for each linear operand. Of these some are known, the types are of the others."""
        forward, backward = params["forward"], params["backward"]
        cts = [instantiate(c, t.strong()) for c, t in zip(ct, forward.out_types, strict=True)]
        return self(*residuals, *cts, **{**params, "forward": backward, "backward": forward})

    def batched(self, axis: Axis, residuals: tuple[bool, ...], params: Params) -> dict[str, Any]:
        """The parameters for batches: of the residuals these are batched, and what is linear is."""
        names = "forward", "backward"
        return {**params, **{name: vmap_linear(params[name], axis, residuals) for name in names}}

    def impl(self, *args: Array, **params: Any) -> tuple[Any, ...]:
        return tuple(lower(self.forward(params), *self.read(args, params)))

    def type_rule(self, *types: ArrayType, **params: Any) -> tuple[ArrayType, ...]:
        return tuple(array_types(self.forward(params).out_types))

    def jvp(self, primals: tuple, tangents: tuple, **params: Any) -> tuple[Any, Any]:
        return self.derivative("jvp", primals, tangents, params)

    def linearize(self, primals: tuple, tangents: tuple, **params: Any) -> tuple[Any, Any]:
        return self.derivative("linearize", primals, tangents, params)

    def derivative(self, mode: str, primals: tuple, tangents: tuple, params: Params) -> tuple[Any, Any]:
        """Results and tangents; `mode` is the rule, jvp or linearize, for programs inside."""
        n = self.n_residuals(params)
        if any(nonzero(tangents[:n])):
            return self.moved(mode, primals, tangents, params)
        outs = self(*primals, **params)
        return outs, self.pushed(primals, tangents, params, len(outs))

    def pushed(self, primals: tuple, tangents: tuple, params: Params, n_outputs: int) -> tuple[Any, ...]:
        """The tangents by what is linear, in which it is its own derivative."""
        n = self.n_residuals(params)
        if not any(nonzero(tangents[n:])):
            return (None,) * n_outputs
        return self(*primals[:n], *map(instantiate, tangents[n:], primals[n:]), **params)

    def moved(self, mode: str, primals: tuple, tangents: tuple, params: Params) -> tuple[Any, Any]:
        """Results and tangents where residuals have some: by those the program is differentiated."""
        n, forward = self.n_residuals(params), self.forward(params)
        by_residuals = (*tangents[:n], *[None] * (len(primals) - n))
        outs, ts = getattr(jit_primitive, mode)(primals, by_residuals, jaxpr=forward)
        more = self.pushed(primals, tangents, params, len(outs))
        return as_arrays(outs, array_types(forward.out_types)), tuple(map(add_tangents, ts, more))

    def taylor(self, primals: tuple, series: tuple, **params: Any) -> Any:
        n = self.n_residuals(params)
        if any(nonzero(series[:n])):
            return None
        outs = self(*primals, **params)
        return outs, lambda k: self.pushed(primals, at(k, series), params, len(outs))

    def restated(self, *args: Any, **params: Any) -> Any:
        return tuple(evaluate(self.forward(params), *self.read(args, params)))

    def transpose(self, ct: tuple, *args: Any, **params: Any) -> tuple[Any, ...]:
        n = self.n_residuals(params)
        if any(map(is_linear, args[:n])):
            raise self.missing("transpose")
        if not any(nonzero(ct)):
            return (None,) * len(args)
        cts = self.pulled(ct, args[:n], args[n:], params)
        return (None,) * n + tuple([c if is_linear(x) else None for c, x in zip(cts, args[n:], strict=True)])

    def batch(self, axis: Axis, args: tuple, batched: tuple[bool, ...], **params: Any) -> tuple[Any, Any]:
        n = self.n_residuals(params)
        linear = all_batched(axis, args[n:], batched[n:])
        outs = self(*args[:n], *linear, **self.batched(axis, batched[:n], params))
        return outs, (True,) * len(outs)


linear_call = LinearCall("linear_call")


def goes_forward(jaxpr: Jaxpr) -> bool:
    """Whether a linear program runs forward as well as backward."""
    return all([e.primitive.goes_forward(e.params) for e in jaxpr])


def vmap_linear(jaxpr: Jaxpr, axis: Axis, residuals: tuple[bool, ...]) -> Jaxpr:
    """The batched program, of residuals that are batched or not, and of batched other inputs."""
    return vmap_all(jaxpr, axis, residuals + (True,) * (len(jaxpr.inputs) - len(residuals)))


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
