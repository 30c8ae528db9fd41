"""One call of a function with rules of its user: its program, and those of the rules, in flat arguments.

Operands are the values that the function and its rules close over, and then the leaves of the arguments. The rules are
about the arguments; by captured values the function is differentiated as it stands:
`tangent = rule(tangents of the arguments) + derivative of the function by captured values (their tangents)`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from threading import get_ident
from typing import Any

import jax
from jax.core import eval_context
from jax.tree_util import tree_flatten, tree_unflatten

from minijvp import trees
from minijvp.arguments.known_inputs import KnownInputs
from minijvp.calls.programs import chosen, groups, present
from minijvp.core.jaxpr import Jaxpr, Var, evaluate
from minijvp.core.tracer import is_traced
from minijvp.core.tracing import state
from minijvp.core.types import Array, ArrayType, is_inexact, type_of
from minijvp.custom_rules.captures import captured_error, reaches_tracer
from minijvp.custom_rules.custom_jvp import custom_jvp_call
from minijvp.custom_rules.deferred import ByZeros, Flags
from minijvp.custom_rules.staged_rules import CotangentRule, TangentRule
from minijvp.errors import ArgumentError, EscapedTracerError
from minijvp.operations.families import add_tangents, spread
from minijvp.transforms.linearize import linearize_jaxpr, residuals_of
from minijvp.transforms.staging import argument_type, stage


class RuledCall:
    """One call under a trace. When it is made it keeps no traced value, for its rules are kept in programs."""

    def __init__(self, custom: Any, args: tuple):
        self.custom: Any = custom
        self.absorbs: bool = custom.absorbs
        self.fun: Any = custom.fun
        self.name = custom.name
        nondiff = sorted(trees.normalize_indices(custom.nondiff, len(args), "nondiff_argnums", custom.fun))
        self.nondiff = {i: args[i] for i in nondiff}
        self.positions = [i for i in range(len(args)) if i not in self.nondiff]
        leaves, self.tree = tree_flatten(tuple([args[i] for i in self.positions]))
        self.leaves = self.arrays(leaves)
        self.types = tuple(map(argument_type, self.leaves))
        self.are_inexact = tuple([is_inexact(t.dtype) for t in self.types])
        self.axis_sizes = state.axis_sizes
        self.captured: list[Any] | None = None  # while the rules are staged
        self.outer: RuledCall | None = None  # while one of them is: the call whose rule was staged before
        self.rules: list[ByZeros] | None = []
        self.out_tree: Any = None

    def arrays(self, leaves: Sequence[Any]) -> list[Any]:
        """The leaves of the arguments as arrays; ArgumentError names one that is none."""
        try:
            return trees.as_arrays(leaves, lambda i: f"{self.leaf_name(i)} of {self.name}")
        except ArgumentError as error:
            do = "Convert it, or name the argument in nondiff_argnums: it is a Python value for the function then."
            raise ArgumentError(error.what, error.why, do) from None

    def leaf_name(self, i: int) -> str:
        """The argument and the path of a leaf."""
        example = tree_unflatten(self.tree, range(self.tree.num_leaves))
        return trees.call_namer(self.fun, example, {}, self.positions)(i)

    def all_arguments(self, leaves: Sequence[Any]) -> list[Any]:
        """The arguments of the function, for leaves of those that have a derivative."""
        dynamic = iter(tree_unflatten(self.tree, leaves))
        n = len(self.positions) + len(self.nondiff)
        return [self.nondiff[i] if i in self.nondiff else next(dynamic) for i in range(n)]

    def apply(self) -> Any:
        """The result of the call."""
        leaves, self.leaves = self.leaves, []
        known = KnownInputs(leaves, has_rules=True)
        opened, constants = self.staged(self.primal, self.types, known).hoist_constants()
        self.jaxpr = opened
        outer = self.caller()
        self.recursive = outer is not None
        if outer is not None and outer.captured:
            numbers = [outer.number(x) for x in constants]
            captured = list(outer.captured)
            rules = [outer.rule_from_inside(i, len(captured)) for i in range(outer.n_rules)]
        else:
            captured, rules = self.new_rules(constants)
            numbers = list(range(len(constants)))
        given = dict(zip(numbers, opened.inputs, strict=False))
        extended = tuple([given.get(i) or Var(type_of(x)) for i, x in enumerate(captured)])
        inputs = extended + opened.inputs[len(constants) :]
        self.jaxpr = Jaxpr((), inputs, opened.equations, opened.outputs, self.name)
        reverse = {"reverse": rules[1]} if len(rules) == 2 else {}
        outs = custom_jvp_call(*captured, *leaves, jaxpr=self.jaxpr, rule=rules[0], name=self.name, **reverse)
        return tree_unflatten(self.out_tree, outs)

    def caller(self) -> RuledCall | None:
        """The call like this one whose rule, or one that it calls in turn, makes this."""
        outer = self.custom.staging.get(get_ident())
        while outer is not None and not outer.is_like(self):
            outer = outer.outer
        return outer

    def new_rules(self, constants: Sequence[Any]) -> tuple[list[Any], list[ByZeros]]:
        """The captured values, and the rules of this call."""
        custom = self.custom
        self.captured = list(constants)
        functions = (self.fun, custom.jvp, custom.fwd, custom.bwd, *self.nondiff.values())
        # Rules that close over traced values are staged while these are there, unless it is their own that calls.
        self.at_once = not self.recursive and (any(map(is_traced, constants)) or reaches_tracer(functions))
        self.n_rules = (custom.jvp is not None) + (custom.fwd is not None)
        push = None if custom.jvp is None else TangentRule(self)
        pull = None if custom.fwd is None else CotangentRule(self, push)
        captured, self.captured = self.captured, None
        self.n_captured = len(captured)
        rules = [self.over_operands(rule) for rule in (push, pull) if rule is not None]
        assert self.rules is not None
        self.rules += rules
        # Circles would keep traced values alive: with programs staged, the functions are not needed any more.
        self.rules = None
        if self.at_once:
            self.custom = self.fun = None
            self.nondiff = {}
        return captured, rules

    def is_like(self, other: RuledCall) -> bool:
        """Whether another call of the function has arguments of the same types, and the same Python values."""
        same = (self.tree, self.types, self.positions) == (other.tree, other.types, other.positions)
        return same and all(x is y for x, y in zip(self.nondiff.values(), other.nondiff.values(), strict=True))

    def rule_from_inside(self, i: int, n_captured: int) -> ByZeros:
        """Rule number `i` of this call, for one that the rule makes: it knows the first captured values only."""
        rules = self.rules
        assert rules is not None

        def rule() -> ByZeros:
            if n_captured != self.n_captured:
                raise captured_error(self.name, None)
            return rules[i]

        separate = i == 1 or self.custom.jvp is None
        check = lambda nonzero, values: rule().check(nonzero, values)  # type: ignore[misc]
        return ByZeros(
            lambda nonzero, known: rule()(nonzero, known),
            check=check,
            separate=separate,
            recursive=True,
            absorbs=self.absorbs,
        )

    def primal(self, *leaves: Array) -> list[Any]:
        """The function in flat arguments."""
        result = self.fun(*self.all_arguments(leaves))
        outs, self.out_tree = tree_flatten(result)
        return trees.as_arrays(outs, trees.result_namer(result, self.name))

    def staged(
        self, fun: Callable[..., Sequence[Any]], types: Sequence[ArrayType], known: KnownInputs | None = None
    ) -> Jaxpr:
        """The program of a function in flat arguments, with the named axes that there are at the call."""
        outer, state.axis_sizes = state.axis_sizes, self.axis_sizes
        try:
            return stage(fun, types, self.name, known=known)
        finally:
            state.axis_sizes = outer

    def staged_rule(
        self, fun: Callable[..., Sequence[Any]], types: Sequence[ArrayType], known: KnownInputs | None = None
    ) -> tuple[Jaxpr, list[int]]:
        """The program of a rule, its traced constants as leading inputs, and their numbers among the captured."""
        here, staging = get_ident(), self.custom.staging
        self.outer = outer = staging.get(here)
        staging[here] = self
        # A rule that is staged later, maybe in another program of JAX, may use no value of the one that is traced now.
        where = nullcontext() if self.at_once else eval_context()
        try:
            with where:
                closed = self.staged(fun, types, known)
        except (EscapedTracerError, jax.errors.UnexpectedTracerError) as error:
            raise captured_error(self.name, None) from error
        finally:
            self.outer = None
            if outer is None:
                del staging[here]
            else:
                staging[here] = outer
        traced = [(v, x) for v, x in closed.constants if is_traced(x)]
        if traced and self.captured is None:
            raise captured_error(self.name, traced[0][1])
        inputs = tuple([v for v, _ in traced]) + closed.inputs
        untraced = tuple([(v, x) for v, x in closed.constants if not is_traced(x)])
        return Jaxpr(untraced, inputs, closed.equations, closed.outputs, self.name), [self.number(x) for _, x in traced]

    def number(self, x: Any) -> int:
        """The number of a traced value among the captured, to which it is added."""
        assert self.captured is not None
        for i, known in enumerate(self.captured):
            if known is x:
                return i
        self.captured.append(x)
        return len(self.captured) - 1

    def over_operands(self, rule: TangentRule | CotangentRule) -> ByZeros:
        """The rule with captured values among the operands, by which the function is differentiated as it stands."""
        k, n, n_out = self.n_captured, len(self.types), len(self.jaxpr.outputs)

        def make(nonzero: Flags, known: KnownInputs) -> tuple[Jaxpr, Flags]:
            out_nonzero: Flags = ()
            types = self.jaxpr.in_types

            def fun(*xs: Array) -> list[Any]:
                nonlocal out_nonzero
                captured, args, given = groups(xs, k, n)
                ts = spread(given, nonzero)
                outs, found = [], [None] * n_out
                if any(nonzero[k:]):
                    outs, found = rule(captured, args, ts[k:])
                if any(nonzero[:k]):
                    outs, found = self.with_captured(captured, args, ts[:k], outs, found)
                out_nonzero = tuple([t is not None for t in found])
                return [*outs, *present(found)]

            made = self.staged(fun, [*types, *[t.strong() for t in chosen(types, nonzero)]], known)
            return made, out_nonzero

        check = lambda nonzero, values: rule.require_linear(nonzero[k:], values[k:])
        return ByZeros(
            make,
            check=check,
            separate=isinstance(rule, CotangentRule),
            recursive=self.recursive,
            origin=self.origin(type(rule)),
            absorbs=self.absorbs and isinstance(rule, TangentRule),
        )

    def origin(self, kind: type) -> tuple | None:
        """What a rule of this call is made from; None for one that closes over traced values, or calls itself."""
        custom = self.custom
        if self.at_once or self.recursive or self.n_captured:
            return None
        functions = (self.fun, custom.jvp, custom.fwd, custom.bwd)
        return kind, self.tree, tuple(self.types), *map(id, functions), *map(id, self.nondiff.values())

    def with_captured(
        self, captured: Sequence[Any], args: Sequence[Any], ts: Sequence[Any], outs: Sequence[Any], found: Sequence[Any]
    ) -> tuple[Sequence[Any], list[Any]]:
        """Results and tangents, to which the derivative of the function itself by captured values is added."""
        flags = tuple([t is not None for t in ts]) + (False,) * len(args)
        known, linear, origins, out_nonzero = linearize_jaxpr(self.jaxpr, flags)
        results = evaluate(known, *captured, *args)
        n = len(self.jaxpr.outputs)
        residuals = residuals_of(origins, (*captured, *args), results, n)
        more = spread(evaluate(linear, *residuals, *present(ts)), out_nonzero)
        return outs or results[:n], [add_tangents(x, y) for x, y in zip(found, more, strict=True)]

    def at_once_or_later(self, make: Callable[[], Any]) -> Callable[[], Any] | None:
        """What `make` gives, made now if traced values are captured; an error is raised when the rule is needed."""
        if not self.at_once:
            return None
        try:
            made = make()
        except Exception as error:
            failure = error

            def fail() -> Any:
                raise failure

            return fail
        return lambda: made
