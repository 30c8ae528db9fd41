"""The rules that authors attached to functions of JAX, as programs.

Only here does minijvp ask JAX for a derivative: that of one call of a jax.custom_jvp or jax.custom_vjp function, which
is the rule that its author wrote. It is traced when it is first needed, because it may call the function itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import eval_jaxpr
from jax.extend import core as jax_core
from jax.tree_util import tree_flatten, tree_unflatten

from minijvp.core.jaxpr import Jaxpr
from minijvp.core.primitive import Axis, Primitive
from minijvp.core.tracing import is_tracer_of_jax
from minijvp.core.types import ArrayType, is_inexact, type_of
from minijvp.errors import ArgumentError, MissingRuleError
from minijvp.higher_order.deferred import Deferred
from minijvp.interop.reading import read, type_of_aval
from minijvp.transforms.staging import shape_struct

FLOAT0 = jax.dtypes.float0


class LostValueError(ArgumentError):
    """A rule needs a value that was traced with the function and is gone."""


class Call:
    """One call of a function with a rule, as a function of operands, the first `n_captured` of which it closes over.

    Those are constants of its program, and values of the surrounding one. The rule says nothing about them.
    """

    def __init__(self, equation: jax_core.JaxprEqn, constants: Sequence[Any]):
        inputs: list[Any] = [jax_core.Var(v.aval) for v in equation.invars]
        outputs = [jax_core.Var(v.aval) for v in equation.outvars]
        names = [tuple(f"{kind}{i}" for i in range(len(vs))) for kind, vs in (("x", inputs), ("y", outputs))]
        info = jax_core.DebugInfo("from_jax", "a function with a rule", *names)
        body = equation.replace(invars=inputs, outvars=outputs)
        self.jaxpr = jax_core.Jaxpr([], inputs, outputs, [body], effects=body.effects, debug_info=info)
        self.n_constants = len(constants)
        self.n_captured = len(constants) + equation.params.get("num_consts", 0)
        self.types = [*map(type_of, constants), *(type_of_aval(v.aval) for v in inputs)]
        self.out_types = [type_of_aval(v.aval) for v in outputs]
        self.name = name_of(equation)

    def of_arguments(self, captured: Sequence[Any]) -> Callable[..., list[Any]]:
        """The function of the operands that are not captured."""
        return lambda *args: eval_jaxpr(self.jaxpr, (), *captured[self.n_constants :], *args)

    def trace(self, fun: Callable[..., Any], types: Sequence[ArrayType]) -> Jaxpr:
        """A function of JAX for arguments of these types, read."""
        try:
            closed = jax.make_jaxpr(fun)(*map(shape_struct, types))
        except jax.errors.UnexpectedTracerError as error:
            raise self.lost() from error
        if any(is_tracer_of_jax(x) for x in closed.consts):
            raise self.lost()
        opened, constants = read(closed, self.name)
        n = len(constants)
        known = tuple(zip(opened.inputs[:n], constants, strict=True))
        return Jaxpr(known, opened.inputs[n:], opened.equations, opened.outputs, opened.name)

    def lost(self) -> LostValueError:
        """The error for a rule that closes over a traced value."""
        return LostValueError(
            f"from_jax cannot use the rule of {self.name}: it closes over a value that is traced.",
            "The rule runs after the function, when that value is gone.",
            f"Pass the value to {self.name} as an argument (nondiff_argnums closes over what it names).",
        )


def with_float0(types: Sequence[ArrayType], ts: Sequence[Any]) -> list[Any]:
    """Tangents or cotangents for values of these types, where `ts` has those of inexact ones."""
    rest = iter(ts)
    return [next(rest) if is_inexact(t.dtype) else np.zeros(t.shape, FLOAT0) for t in types]


def name_of(equation: jax_core.JaxprEqn) -> str:
    """What the author called the function."""
    if "_prim" in equation.params:
        return type(equation.params["_prim"]).__name__
    info = equation.params["call_jaxpr"].jaxpr.debug_info
    return getattr(info, "func_name", None) or str(info.func_src_info).split(" ")[0]


def inexact(types: Sequence[ArrayType]) -> list[ArrayType]:
    """The types of the tangents or cotangents that values of these types have."""
    return [t.strong() for t in types if is_inexact(t.dtype)]


def jvp_rule(call: Call) -> Deferred:
    """The rule of a jax.custom_jvp function: operands and tangents to results and tangents."""

    def rule(*args: Any) -> list[Any]:
        n = len(call.types)
        tangents = with_float0(call.types, args[n:])[call.n_captured :]
        fun = call.of_arguments(args[: call.n_captured])
        outs, out_tangents = jax.jvp(fun, args[call.n_captured : n], tuple(tangents))
        return [*outs, *[t for t in out_tangents if t.dtype != FLOAT0]]

    return Deferred(lambda: call.trace(rule, call.types + inexact(call.types)))


def vjp_rules(call: Call) -> tuple[Deferred, Deferred]:
    """The rules of a jax.custom_vjp function: operands to results and residuals, and residuals and cotangents back."""
    pullback_tree: Any = None

    def forward(*args: Any) -> list[Any]:
        nonlocal pullback_tree
        outs, pullback = jax.vjp(call.of_arguments(args[: call.n_captured]), *args[call.n_captured :])
        residuals, pullback_tree = tree_flatten(pullback)
        return [*outs, *residuals]

    def backward(*args: Any) -> list[Any]:
        n = len(args) - len(inexact(call.out_types))
        pullback = tree_unflatten(pullback_tree, args[:n])
        found = pullback(with_float0(call.out_types, args[n:]))
        zeros = [jnp.zeros(t.shape, t.dtype) for t in inexact(call.types[: call.n_captured])]
        return [*zeros, *[ct for ct in found if ct.dtype != FLOAT0]]

    fwd = Deferred(lambda: call.trace(forward, call.types))
    residual_types = lambda: list(fwd().out_types[len(call.out_types) :])
    return fwd, Deferred(lambda: call.trace(backward, residual_types() + inexact(call.out_types)))


class Captured(Primitive):
    """The operand, a value that a function with a rule closes over: the rule does not say how it depends on it."""

    recomputable = "free"

    def impl(self, x: Any, *, function: str) -> Any:
        return x

    def type_rule(self, x: ArrayType, *, function: str) -> ArrayType:
        return x

    def jvp(self, primals: tuple, tangents: tuple, *, function: str) -> tuple[Any, Any]:
        raise MissingRuleError(
            f"{function}, a function with a derivative rule of its own, closes over a {type_of(primals[0])!r} that is "
            "differentiated.",
            "The rule covers the arguments of the function only, so the derivative would be wrong.",
            f"Pass the value to {function} as an argument.",
        )

    def batch(self, axis: Axis, args: tuple, batched: tuple[bool, ...], *, function: str) -> tuple[Any, Any]:
        return self(*args, function=function), True


captured = Captured("captured")
