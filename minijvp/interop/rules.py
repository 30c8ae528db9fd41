"""The rules that authors attached to functions of JAX, as programs.

Only here does minijvp ask JAX for a derivative: that of one call of a jax.custom_jvp or jax.custom_vjp function, which
is the rule that its author wrote. It is traced when it is first needed, because it may call the function itself.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import ShapedArray, eval_jaxpr
from jax.extend import core as jax_core
from jax.interpreters import ad
from jax.sharding import get_abstract_mesh, use_abstract_mesh
from jax.tree_util import tree_flatten, tree_unflatten

from minijvp.calls.programs import are_inexact, chosen, groups
from minijvp.core.jaxpr import Jaxpr, evaluate
from minijvp.core.primitive import Axis, Primitive
from minijvp.core.tracer import is_tracer_of_jax
from minijvp.core.types import ArrayType, is_inexact, placing_in_jax, type_in_jax, type_of
from minijvp.custom_rules.custom_vjp import custom_vjp_linear
from minijvp.custom_rules.custom_vmap import BatchRule
from minijvp.custom_rules.deferred import ByZeros, Deferred, Flags
from minijvp.errors import ArgumentError, ConcretizationError, MissingRuleError
from minijvp.interop.reading import read, type_of_aval
from minijvp.operations.families import spread
from minijvp.tracebacks import user_lines
from minijvp.transforms.staging import stage
from minijvp.trees import replaced

FLOAT0 = jax.dtypes.float0
OF_JAX = os.path.join(os.path.dirname(jax.__file__), "")
"""Where the files of JAX are."""


TRACING_ERRORS = (jax.errors.JAXTypeError, jax.errors.JAXIndexError)


class LostValueError(ArgumentError):
    """A rule needs a value that was traced with the function and is gone."""


class NeedsValueError(ArgumentError, ConcretizationError):
    """Python code of a function, or of a rule, needs a value that JAX does not know while it traces."""


def needs_value(name: str, error: Exception) -> NeedsValueError:
    """The error for a function, or a rule, that JAX cannot trace."""
    lines = user_lines(error)
    line = lines[-1][1] if lines else None
    reason = str(error).strip().split("\n")[0]
    return NeedsValueError(
        f"from_jax cannot trace {name}" + (f", at {line}: {line.text}" if line else ""),
        "Under a transformation of minijvp, JAX traces the function once for all values of its arguments, and here "
        f"it needs a value: {reason}",
        "Use jnp.where or jax.lax.cond in place of `if`; pass a value that steers Python as an int, a bool or a "
        "string (those are static); or write this part with minijvp.numpy, which allows `if` on values.",
    )


class OneEquation:
    """One equation of JAX, as a function of its operands. JAX has the rules by which it is transformed."""

    n_constants = n_captured = 0
    absorbs = False
    """Whether a rule is JAX's own: what a user's rule multiplies is its own, with `nan_safe=True` too."""

    def __init__(self, equation: jax_core.JaxprEqn, name: str):
        inputs: list[Any] = [jax_core.Var(v.aval) for v in equation.invars]
        outputs = [jax_core.Var(v.aval) for v in equation.outvars]
        names = [tuple(f"{kind}{i}" for i in range(len(vs))) for kind, vs in (("x", inputs), ("y", outputs))]
        info = jax_core.DebugInfo("from_jax", name, *names)
        body = equation.replace(invars=inputs, outvars=outputs)
        self.jaxpr = jax_core.Jaxpr([], inputs, outputs, [body], effects=body.effects, debug_info=info)
        self.types = [type_of_aval(v.aval) for v in inputs]
        self.out_types = [type_of_aval(v.aval) for v in outputs]
        self.name = name
        self.mesh = equation.ctx.cur_abstract_mesh

    def of_some(self, operands: Sequence[Any], places: Sequence[int]) -> Callable[..., list[Any]]:
        """The function of the operands at these places, the others fixed."""
        return lambda *some: eval_jaxpr(self.jaxpr, (), *replaced(operands, places, some)[self.n_constants :])

    def differentiated(self, nonzero: Flags) -> list[int]:
        """The places of operands with tangents, without those that are captured."""
        return [i for i in np.flatnonzero(nonzero).tolist() if i >= self.n_captured]

    def trace(self, fun: Callable[..., Any], types: Sequence[ArrayType]) -> Jaxpr:
        """A function of JAX for arguments of these types, read."""
        with nullcontext() if self.mesh in (None, get_abstract_mesh()) else use_abstract_mesh(self.mesh):
            return self.traced(fun, types)

    def traced(self, fun: Callable[..., Any], types: Sequence[ArrayType]) -> Jaxpr:
        """The same on the mesh in force."""
        try:
            closed = jax.make_jaxpr(fun)(*map(type_in_jax, types))
        except jax.errors.UnexpectedTracerError as error:
            raise self.lost() from error
        except TRACING_ERRORS as error:
            raise needs_value(f"the rule of {self.name}", error) from error
        if any(is_tracer_of_jax(x) for x in closed.consts):
            raise self.lost()
        opened, constants = read(closed, self.name)
        n = len(constants)
        known = tuple(zip(opened.inputs[:n], constants, strict=True))
        # The lines of a rule of JAX say nothing: its equations are those of the line that is differentiated.
        equations = [replace(e, source=None) for e in opened.equations] if self.absorbs else opened.equations
        return Jaxpr(known, opened.inputs[n:], tuple(equations), opened.outputs, opened.name)

    def lost(self) -> LostValueError:
        """The error for a rule that closes over a traced value."""
        return LostValueError(
            f"from_jax cannot use the rule of {self.name}: it closes over a value that is traced.",
            "The rule runs after the function, when that value is gone.",
            f"Pass the value to {self.name} as an argument (nondiff_argnums closes over what it names).",
        )


class RuledCallOfJax(OneEquation):
    """One call of a function with a rule, as a function of operands, the first `n_captured` of which it closes over.

    Those are constants of its program, and values of the surrounding one. The rule says nothing about them.
    """

    def __init__(self, equation: jax_core.JaxprEqn, constants: Sequence[Any]):
        super().__init__(equation, name_of(equation))
        self.n_constants = len(constants)
        self.n_captured = len(constants) + equation.params.get("num_consts", 0)
        self.types = [*map(type_of, constants), *self.types]
        self.absorbs = is_of_jax(equation)


def is_of_jax(equation: jax_core.JaxprEqn) -> bool:
    """Whether a function and its rule for tangents are JAX's own, and not those of a user."""
    parts = as_open(equation.params.get("call_jaxpr")), equation.params.get("jvp_jaxpr_fun")
    files = [getattr(getattr(x, "debug_info", None), "func_filename", None) or "" for x in parts]
    return all([file.startswith(OF_JAX) for file in files])


def name_of(equation: jax_core.JaxprEqn) -> str:
    """What the author called the function."""
    if "_prim" in equation.params:
        return type(equation.params["_prim"]).__name__
    info = as_open(equation.params["call_jaxpr" if "call_jaxpr" in equation.params else "call"]).debug_info
    return getattr(info, "func_name", None) or str(info.func_src_info).split(" ")[0]


def as_open(jaxpr: Any) -> Any:
    """A program of JAX without its constants."""
    return getattr(jaxpr, "jaxpr", jaxpr)


def inexact(types: Sequence[ArrayType]) -> list[ArrayType]:
    """The types of the tangents or cotangents that values of these types have."""
    return [t.strong() for t in types if is_inexact(t.dtype)]


def jvp_rule(call: RuledCallOfJax, symbolic_zeros: bool = False) -> Deferred | ByZeros:
    """The rule of a jax.custom_jvp function: operands and tangents to results and tangents.

    One that wants to know which tangents are zero is a program for each set of those that are not.
    """

    def for_tangents(nonzero: Flags) -> Jaxpr:
        def rule(*args: Any) -> list[Any]:
            operands, ts = args[: len(nonzero)], spread(args[len(nonzero) :], nonzero)
            places = call.differentiated(nonzero)
            fun = call.of_some(operands, places)
            outs, out_tangents = jax.jvp(fun, [operands[i] for i in places], [ts[i] for i in places])
            return [*outs, *[t for t in out_tangents if t.dtype != FLOAT0]]

        return call.trace(rule, [*call.types, *inexact(chosen(call.types, nonzero))])

    if symbolic_zeros:
        make = lambda nonzero, _: (for_tangents(nonzero), are_inexact(call.out_types))
        return ByZeros(make, absorbs=call.absorbs)
    return Deferred(lambda: for_tangents(are_inexact(call.types)), call.absorbs)


class VJP:
    """The rules of a jax.custom_vjp function, for operands of which some are differentiated."""

    def __init__(self, call: RuledCallOfJax, nonzero: Flags):
        self.call = call
        self.nonzero = nonzero
        self.places = call.differentiated(nonzero)
        self.pullback_tree: Any = None
        self.fwd = Deferred(lambda: call.trace(self.forward, call.types))

    def forward(self, *operands: Any) -> list[Any]:
        fun = self.call.of_some(operands, self.places)
        outs, pullback = jax.vjp(fun, *[operands[i] for i in self.places])
        residuals, self.pullback_tree = tree_flatten(pullback)
        return [*outs, *residuals]

    @property
    def residual_types(self) -> list[ArrayType]:
        return list(self.fwd().out_types[len(self.call.out_types) :])

    def backward(self, nonzero: Flags) -> Jaxpr:
        """The program from residuals and the cotangents that are not zero to those of the operands, all of them."""
        call, n = self.call, len(self.residual_types)
        given = iter(nonzero)
        taken = tuple([flag and next(given) for flag in are_inexact(call.out_types)])

        def rule(*args: Any) -> list[Any]:
            pullback = tree_unflatten(self.pullback_tree, args[:n])
            cts = spread(args[n:], taken)
            found = dict(
                zip(self.places, pullback([no_cotangent(t) if c is None else c for c, t in zip(cts, call.out_types)]))
            )
            types = chosen(enumerate(call.types), self.nonzero)
            return [found[i] if i in found else jnp.zeros(t.shape, t.dtype) for i, t in types]

        return call.trace(rule, [*self.residual_types, *inexact(chosen(call.out_types, taken))])


def no_cotangent(t: ArrayType) -> Any:
    """A cotangent that is zero, as a symbol."""
    aval = ShapedArray(t.shape, t.dtype, weak_type=t.weak_type, **placing_in_jax(t))
    return ad.Zero(aval) if is_inexact(t.dtype) else np.zeros(t.shape, FLOAT0)


def vjp_rules(call: RuledCallOfJax) -> tuple[Deferred, Deferred]:
    """The rules of a jax.custom_vjp function: operands to results and residuals, and residuals and cotangents back."""
    vjp = VJP(call, are_inexact(call.types))
    return vjp.fwd, Deferred(lambda: vjp.backward((True,) * len(inexact(call.out_types))))


def vjp_rule_by_zeros(call: RuledCallOfJax) -> ByZeros:
    """The rules of a function that wants to know which tangents and cotangents are zero, as a rule for tangents."""

    def make(nonzero: Flags) -> tuple[Jaxpr, Flags]:
        vjp = VJP(call, nonzero)
        n, n_out, out_nonzero = len(call.types), len(call.out_types), are_inexact(call.out_types)
        given = tuple(inexact(chosen(call.types, nonzero)))
        bwd = ByZeros(
            lambda flags, _: (vjp.backward(flags), (True,) * len(given)), tuple(inexact(call.out_types)), given
        )

        def fun(*args: Any) -> list[Any]:
            outs, residuals = groups(evaluate(vjp.fwd(), *args[:n]), n_out)
            how = dict(bwd=bwd, n_residuals=len(residuals), name=call.name)
            return [*outs, *custom_vjp_linear(*residuals, *args[n:], **how)]

        return stage(fun, [*call.types, *given], call.name), out_nonzero

    return ByZeros(lambda nonzero, _: make(nonzero), separate=True)


def batch_rule(call: RuledCallOfJax) -> BatchRule:
    """The rule of a jax.custom_batching.custom_vmap function."""

    def make(axis: Axis, batched: Flags) -> Jaxpr:
        def rule(*args: Any) -> list[Any]:
            axes = [0 if b else None for b in batched]
            return jax.vmap(call.of_some(args, range(len(args))), axes, axis_size=axis.size)(*args)

        places = zip(call.types, batched, strict=True)
        return call.trace(rule, [t.stacked(axis.size, axis.split) if b else t for t, b in places])

    return BatchRule(make)


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
