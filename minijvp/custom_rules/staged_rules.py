"""The rules of one call of a function with rules of its user, as programs in flat arguments.

They are staged when they are needed, for the tangents or cotangents that are not zero; at once, if they close over
traced values. `call` is the `RuledCall` of rule_calls, which makes them, that they belong to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.core import ShapedArray
from jax.custom_derivatives import CustomVJPPrimal, SymbolicZero
from jax.tree_util import tree_unflatten

from minijvp import trees
from minijvp.arguments.known_inputs import KnownInputs, kept_unless_asked
from minijvp.calls.programs import are_inexact, array_types, chosen, groups, present, tangent_types
from minijvp.core.jaxpr import Jaxpr, evaluate
from minijvp.core.types import Array, ArrayType, Params, is_inexact, type_of
from minijvp.custom_rules.custom_vjp import custom_vjp_linear
from minijvp.custom_rules.deferred import ByZeros, Deferred, Flags
from minijvp.custom_rules.linear_rules import require_linear
from minijvp.custom_rules.rule_results import cotangents_of, forward_results_of, tangents_of
from minijvp.errors import MissingRuleError
from minijvp.operations.families import instantiate, nonzero, spread, zeros_like

FLOAT0 = jax.dtypes.float0


class TangentRule:
    """The jvp rule of one call."""

    def __init__(self, call: Any):
        self.call = call
        self.role = f"the jvp rule of {call.name}, {trees.place_of(call.custom.jvp)},"
        self.made: dict[Flags, Any] = {}
        self.full = call.at_once_or_later(lambda: self.program(call.are_inexact))

    def program(self, nonzero: Flags, known: KnownInputs | None = None) -> tuple[Jaxpr, list[int], Flags]:
        """The program for the tangents that are not zero, the captured values that it takes, and nonzero results."""
        call = self.call
        custom = call.custom
        out_nonzero: Flags = ()

        def fun(*xs: Array) -> list[Any]:
            nonlocal out_nonzero
            args, given = groups(xs, len(call.types))
            zeros = symbolic_zero if custom.symbolic_jvp else array_of_zeros
            ts = [zeros(x) if t is None else t for x, t in zip(args, spread(given, nonzero), strict=True)]
            primals, tangents = (tree_unflatten(call.tree, values) for values in (args, ts))
            result = custom.jvp(*call.nondiff.values(), primals, tangents)
            outs, found = tangents_of(result, self.role, call.name, call.out_tree, call.jaxpr.out_types)
            out_nonzero = tuple([t is not None for t in found])
            return [*outs, *present(found)]

        jaxpr, numbers = call.staged_rule(fun, [*call.types, *tangent_types(chosen(call.types, nonzero))], known)
        return jaxpr, numbers, out_nonzero

    def for_tangents(
        self, nonzero: Flags, args: Sequence[Any] = (), ts: Sequence[Any] = ()
    ) -> tuple[Jaxpr, list[int], Flags, Flags]:
        """The program for these tangents, the captured values and the tangents that it takes, and those it gives.

        The rule may ask for the values of arguments and tangents, where they are given.
        """
        if self.full is not None:
            jaxpr, numbers, out_nonzero = self.full()
            return jaxpr, numbers, self.call.are_inexact, out_nonzero
        known = KnownInputs((*args, *ts))
        made = kept_unless_asked(self.made, nonzero, known, lambda: self.program(nonzero, known))
        jaxpr, numbers, out_nonzero = made
        return jaxpr, numbers, nonzero, out_nonzero

    def __call__(self, captured: Sequence[Any], args: Sequence[Any], ts: Sequence[Any]) -> tuple[Any, Any]:
        jaxpr, numbers, taken, out_nonzero = self.for_tangents(nonzero(ts), args, present(ts))
        given = [instantiate(t, kind) for t, kind in chosen(zip(ts, self.call.types, strict=True), taken)]
        outs = evaluate(jaxpr, *[captured[i] for i in numbers], *args, *given)
        n = len(self.call.jaxpr.outputs)
        return outs[:n], spread(outs[n:], out_nonzero)

    def require_linear(self, nonzero: Flags, values: Sequence[Any]) -> None:
        """Raise MissingRuleError if the rule is not linear in these tangents, for arguments of these values."""
        if not any(nonzero):
            return
        jaxpr, numbers, taken, _ = self.for_tangents(nonzero, values, [None] * sum(nonzero))
        n_inputs = len(numbers) + len(self.call.types)
        try:
            require_linear(jaxpr, n_inputs, len(self.call.jaxpr.outputs), self.role)
        except MissingRuleError:
            if taken == self.call.are_inexact:
                raise
            # The others are zeros here, of which the check loses sight; linear in all is linear in some.
            self.require_linear(self.call.are_inexact, values)


class CotangentRule:
    """The rule for cotangents of one call, in two parts; `push` is the jvp rule, where there is one too."""

    def __init__(self, call: Any, push: TangentRule | None):
        self.call, self.push = call, push
        self.made: dict[Flags, Any] = {}
        self.full = call.at_once_or_later(self.both)

    def both(self) -> tuple[Any, Any]:
        """The programs of `fwd` and of `bwd`, where nothing is zero."""
        fwd = self.forward(self.call.are_inexact)
        return fwd, self.backward(fwd, (True,) * sum(are_inexact(self.call.jaxpr.out_types)))

    def forward(self, nonzero: Flags, known: KnownInputs | None = None) -> tuple[Jaxpr, list[int], Any]:
        """The program of `fwd`, the captured values that it takes, and the structure of the residuals."""
        call = self.call
        custom = call.custom
        residual_tree: Any = None
        role = f"fwd of {call.name}, {trees.place_of(custom.fwd)},"

        def fun(*xs: Array) -> list[Any]:
            nonlocal residual_tree
            leaves = [CustomVJPPrimal(x, n) for x, n in zip(xs, nonzero, strict=True)] if custom.symbolic_vjp else xs
            result = custom.fwd(*call.all_arguments(leaves))
            outs, residuals, residual_tree = forward_results_of(
                result, role, call.name, call.out_tree, call.jaxpr.out_types
            )
            return [*outs, *residuals]

        return *call.staged_rule(fun, call.types, known), residual_tree

    def backward(
        self, fwd: tuple[Jaxpr, list[int], Any], nonzero: Flags, known: KnownInputs | None = None
    ) -> tuple[Jaxpr, list[int], Flags]:
        """The program of `bwd` for cotangents that are not zero, the captured values it takes, and nonzero results."""
        call = self.call
        custom = call.custom
        out_types = call.jaxpr.out_types
        residual_types = array_types(fwd[0].out_types[len(out_types) :])
        role = f"bwd of {call.name}, {trees.place_of(custom.bwd)},"
        names = [trees.argument_name(call.fun, i) for i in call.positions]
        ct_nonzero: Flags = ()
        flags = iter(nonzero)
        given_flags = tuple([i and next(flags) for i in are_inexact(out_types)])

        def fun(*xs: Array) -> list[Any]:
            nonlocal ct_nonzero
            residuals, given = groups(xs, len(residual_types))
            zeros = symbolic_zero if custom.symbolic_vjp else array_of_zeros
            cts = [zeros(t) if c is None else c for t, c in zip(out_types, spread(given, given_flags), strict=True)]
            arguments = tree_unflatten(fwd[2], residuals), tree_unflatten(call.out_tree, cts)
            result = custom.bwd(*call.nondiff.values(), *arguments)
            found = cotangents_of(result, role, names, call.tree, call.types, call.leaf_name)
            found = chosen(found, call.are_inexact)
            ct_nonzero = tuple([c is not None for c in found])
            return present(found)

        types = [*residual_types, *[t.strong() for t in chosen(out_types, given_flags)]]
        return *call.staged_rule(fun, types, known), ct_nonzero

    def programs(self, nonzero: Flags, args: Sequence[Any]) -> tuple[tuple[Jaxpr, list[int], Any], list[int]]:
        """The program of `fwd` with its captured values and tree of residuals, and the captured values for `bwd`."""
        if self.full is not None:
            fwd, (_, numbers, _) = self.full()
            return fwd, numbers
        key = nonzero if self.call.custom.symbolic_vjp else ()
        known = KnownInputs(args)
        return kept_unless_asked(self.made, key, known, lambda: self.forward(nonzero, known)), []

    def __call__(self, captured: Sequence[Any], args: Sequence[Any], ts: Sequence[Any]) -> tuple[Any, Any]:
        call, push = self.call, self.push
        fwd, numbers = self.programs(nonzero(ts), args)
        outs = evaluate(fwd[0], *[captured[i] for i in fwd[1]], *args)
        n = len(call.jaxpr.outputs)
        residuals = [*[captured[i] for i in numbers], *outs[n:]]
        k = len(residuals)
        params: Params = {}
        if push is not None:
            residuals += [*[captured[i] for i in (push.full()[1] if push.full else ())], *args]
            params["push"] = Deferred(lambda: self.pushed(types, k))
        types = list(map(type_of, residuals))
        given = [instantiate(t, kind) for t, kind in chosen(zip(ts, call.types, strict=True), call.are_inexact)]
        out_inexact = are_inexact(call.jaxpr.out_types)
        taken, given_types = tangent_types(call.jaxpr.out_types), tangent_types(call.types)
        bwd = ByZeros(lambda flags, known: self.pulled(fwd, types, k, flags, known), taken, given_types)
        params |= dict(bwd=bwd, n_residuals=len(types), name=call.name)
        return outs[:n], spread(custom_vjp_linear(*residuals, *given, **params), out_inexact)

    def pulled(
        self,
        fwd: tuple[Jaxpr, list[int], Any],
        types: Sequence[ArrayType],
        k: int,
        nonzero: Flags,
        known: KnownInputs,
    ) -> tuple[Jaxpr, Flags]:
        """The program of `bwd` for residuals, of which it reads the first `k`, and cotangents that are not zero."""
        taken = nonzero if self.full is None else (True,) * len(nonzero)
        read = KnownInputs((*known.values[:k], *known.values[len(types) :]))
        jaxpr, _, ct_nonzero = self.backward(fwd, nonzero, read) if self.full is None else self.full()[1]
        known.asked |= read.asked
        if k == len(types) and taken == nonzero:
            return jaxpr, ct_nonzero
        ct_types = tangent_types(self.call.jaxpr.out_types)

        def fun(*xs: Array) -> list[Any]:
            residuals, _, given = groups(xs, k, len(types) - k)
            cts = chosen(zip(spread(given, nonzero), ct_types, strict=True), taken)
            return evaluate(jaxpr, *residuals, *[instantiate(c, t) for c, t in cts])

        return self.call.staged(fun, [*types, *chosen(ct_types, nonzero)]), ct_nonzero

    def pushed(self, types: Sequence[ArrayType], k: int) -> Jaxpr:
        """The jvp rule for residuals, of which it reads those from number `k` on, and tangents."""
        call = self.call
        assert self.push is not None
        jaxpr, _, _, out_nonzero = self.push.for_tangents(call.are_inexact)
        out_types = call.jaxpr.out_types

        def fun(*xs: Array) -> list[Any]:
            found = spread(evaluate(jaxpr, *xs[k:])[len(out_types) :], out_nonzero)
            return [instantiate(t, x.strong()) for t, x in zip(found, out_types, strict=True) if is_inexact(x.dtype)]

        return call.staged(fun, [*types, *tangent_types(call.types)])

    def require_linear(self, nonzero: Flags, values: Sequence[Any]) -> None:
        """Nothing: reverse mode takes rules that are not linear, and forward mode finds out by itself."""


def array_of_zeros(x: Any) -> Array:
    """The tangent of a value or type, or its cotangent, where that is zero; integers have no numbers there."""
    t = x if isinstance(x, ArrayType) else type_of(x)
    return zeros_like(t) if is_inexact(t.dtype) else np.zeros(t.shape, FLOAT0)


def symbolic_zero(x: Any) -> SymbolicZero:
    """The same as an object that tells that it is zero."""
    t = x if isinstance(x, ArrayType) else type_of(x)
    return SymbolicZero(ShapedArray(t.shape, t.dtype if is_inexact(t.dtype) else FLOAT0))
