"""Functions that bring their own derivative, as a rule for tangents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minijvp.arguments.known_inputs import KnownInputs
from minijvp.calls.call import ProgramCall
from minijvp.calls.jit import jit_primitive
from minijvp.calls.programs import are_inexact, as_array, as_arrays, chosen, instantiate_inexact, present, vmap_all
from minijvp.core.caching import cached, cached_by_linearizer
from minijvp.core.jaxpr import Equation, Jaxpr, evaluate, jaxpr_without_rules
from minijvp.core.primitive import Axis
from minijvp.core.tracing import attributed_to
from minijvp.core.types import ArrayType, type_of
from minijvp.custom_rules.deferred import ByZeros, Deferred
from minijvp.errors import ArgumentError
from minijvp.operations.families import is_linear, nonzero, spread, zeros_like
from minijvp.transforms.transpose import transpose_flat

Rule = Jaxpr | Deferred
"""An open jaxpr, at once or, for a rule that calls its own function, when it is needed."""


class CustomJVPCall(ProgramCall):
    """The outputs of an open jaxpr, whose derivative is `rule`: another one, of arguments and tangents.

    `rule` takes the arguments and then a tangent for each that is inexact, and gives the outputs and then a tangent for
    each that is inexact. It is differentiated in turn for derivatives of higher order. A rule `ByZeros` takes and gives
    the tangents that are not zero. Linearization uses the rule `reverse`, where there is one.
    """

    rules = ("rule", "reverse")
    recomputable = "never"
    own_derivative = True

    def jvp(
        self, primals: tuple, tangents: tuple, *, jaxpr: Jaxpr, rule: Rule | ByZeros, **others: Any
    ) -> tuple[Any, Any]:
        made, ts, out_nonzero = chosen_rule(rule, primals, tangents, jaxpr)
        outs = evaluate(made, *primals, *ts)
        return split(outs, outs[len(jaxpr.outputs) :], jaxpr.out_types, out_nonzero)

    def linearize(
        self, primals: tuple, tangents: tuple, *, jaxpr: Jaxpr, rule: Rule | ByZeros, name: str, reverse: Any = None
    ) -> tuple[Any, Any]:
        rule = reverse or rule
        made, ts, out_nonzero = chosen_rule(rule, primals, tangents, jaxpr)
        if isinstance(rule, ByZeros) and rule.check is not None:
            rule.check(nonzero(tangents), primals)
        if isinstance(rule, ByZeros) and rule.separate:
            return self.jvp(primals, tangents, jaxpr=jaxpr, rule=rule)
        outs, found = linear_in_tangents(made, primals, ts, len(jaxpr.outputs), (jaxpr, name))
        return split(outs, found, jaxpr.out_types, out_nonzero)

    def transpose(self, ct: tuple, *args: Any, jaxpr: Jaxpr, **rules: Any) -> tuple[Any, ...]:
        linear = list(map(is_linear, args))
        return spread(transpose_flat(jaxpr, linear, args, ct), linear)

    def batch(
        self, axis: Axis, args: tuple, batched: tuple[bool, ...], *, jaxpr: Jaxpr, name: str, **rules: Any
    ) -> tuple[Any, Any]:
        # Which outputs the rule makes batched is not known before it is needed, so here and there all are.
        inexact = are_inexact(jaxpr.in_types)
        rules = {k: rule and batched_rule(rule, axis, batched, inexact) for k, rule in rules.items()}
        outs = self(*args, jaxpr=vmap_all(jaxpr, axis, batched), name=name, **rules)
        return outs, (True,) * len(outs)


def program(rule: Rule | ByZeros) -> Jaxpr:
    """The rule as a jaxpr; one for cotangents, none of which is zero."""
    if isinstance(rule, ByZeros):
        return rule((True,) * len(rule.taken))[0]
    if isinstance(rule, Jaxpr):
        return rule
    # Its equations carry the lines of the rule, not the one that is being differentiated now.
    with attributed_to(None):
        return rule()


def chosen_rule(
    rule: Rule | ByZeros, primals: tuple, tangents: tuple, jaxpr: Jaxpr
) -> tuple[Jaxpr, list[Any], tuple[bool, ...]]:
    """The program of a rule, the tangents that it takes, and which outputs get one from it."""
    if isinstance(rule, ByZeros):
        ts = present(tangents)
        made, out_nonzero = rule(nonzero(tangents), KnownInputs((*primals, *ts)))
        return made, ts, out_nonzero
    return program(rule), instantiate_inexact(tangents, map(type_of, primals)), are_inexact(jaxpr.out_types)


@cached_by_linearizer(maxsize=4096)
def batched_rule(
    rule: Rule | ByZeros, axis: Axis, batched: tuple[bool, ...], inexact: tuple[bool, ...]
) -> Deferred | ByZeros:
    """The batched rule, every output of which is batched; a tangent is if its argument is."""
    if not isinstance(rule, ByZeros):
        ts_batched = tuple(chosen(batched, inexact))
        absorbs = isinstance(rule, Deferred) and rule.absorbs
        return Deferred(lambda: vmap_all(program(rule), axis, batched + ts_batched), absorbs)

    def make(nonzero: tuple[bool, ...], known: KnownInputs) -> tuple[Jaxpr, tuple[bool, ...]]:
        made, out_nonzero = rule(nonzero)
        return vmap_all(made, axis, batched + tuple(chosen(batched, nonzero))), out_nonzero

    return ByZeros(make, check=rule.check, separate=rule.separate, recursive=rule.recursive, absorbs=rule.absorbs)


def linear_in_tangents(
    rule: Jaxpr, primals: Sequence[Any], ts: Sequence[Any], n: int, function: tuple[Jaxpr, str] | None = None
) -> tuple[Sequence[Any], Sequence[Any]]:
    """The `n` outputs and their tangents, by the rule for tangents of a function, while it is linearized.

    The function, where the rule may call it, is known by its program and its name.
    """
    if not mixes(rule, len(primals)):
        outs = evaluate(rule, *primals, *ts)
        return outs[:n], outs[n:]
    if function is not None:
        rule = without_own_calls(rule, len(primals), *function)
    # The rule is linear in its tangents, so it is its own derivative in them, and that one comes in two parts.
    zeros = [zeros_like(t) for t in ts]
    outs, found = jit_primitive.linearize((*primals, *zeros), (None,) * len(primals) + tuple(ts), jaxpr=rule)
    return outs[:n], found[n:]


def mixes(rule: Jaxpr, n: int) -> bool:
    """Whether inner programs of a rule receive its inputs from number `n` on, the tangents, and maybe primals too."""
    return any(e.programs for e in depending(rule, n))


@cached(maxsize=4096)
def without_own_calls(rule: Jaxpr, n: int, jaxpr: Jaxpr, name: str) -> Jaxpr:
    """The rule with the program of the function in place of calls of it on tangents.

    In these it is linear, so that its program says it all, where the rule would be needed for itself without end.
    """
    moved = set(map(id, depending(rule, n)))

    def replaced(e: Equation) -> Equation:
        if id(e) not in moved or not is_call_of(e, jaxpr, name):
            return e
        return Equation(jit_primitive, e.inputs, {"jaxpr": e.params["jaxpr"]}, e.outputs, e.source)

    return rule.with_equations(map(replaced, rule.equations))


def depending(jaxpr: Jaxpr, n: int) -> list[Equation]:
    """The equations that depend on the inputs from number `n` on."""
    found, known = [], set(jaxpr.inputs[n:])
    for e in jaxpr.equations:
        if not known.isdisjoint(e.inputs):
            found.append(e)
            known.update(e.outputs)
    return found


def is_call_of(e: Equation, jaxpr: Jaxpr, name: str) -> bool:
    """Whether an equation in the rule of the function of this name and this program calls that function."""
    if e.primitive is not custom_jvp_call or e.params["name"] != name:
        return False
    return is_recursive(e) or jaxpr_without_rules(e.params["jaxpr"]) == jaxpr_without_rules(jaxpr)


def same_rule(x: Any, y: Any, jaxpr: Jaxpr | None, name: str, depth: int = 2) -> bool:
    """Whether two rules are the same: made from the same, or equal as programs.

    They are of the function `jaxpr`, if that is known. A rule that calls its own function has that call's rule in it,
    which has another ...: so many are compared.
    """
    if x is y or isinstance(x, ByZeros):
        return x is y or x.same(y)
    if not isinstance(x, Deferred) or not isinstance(y, Deferred):
        return x == y
    try:
        programs = x(), y()
    except ArgumentError:  # which is raised again where the program is needed
        return False
    own = [[e for e in p if jaxpr is not None and is_call_of(e, jaxpr, name)] for p in programs]
    if without_rules_of(programs[0], own[0]) != without_rules_of(programs[1], own[1]):
        return False
    pairs = zip(*own, strict=True) if depth else ()
    return all([same_rule(a.params["rule"], b.params["rule"], jaxpr, name, depth - 1) for a, b in pairs])


def without_rules_of(jaxpr: Jaxpr, calls: Sequence[Equation]) -> Jaxpr:
    """The program, where some of its calls of functions have no rule."""
    ids = set(map(id, calls))

    def without(e: Equation) -> Equation:
        return Equation(e.primitive, e.inputs, {**e.params, "rule": None}, e.outputs, e.source) if id(e) in ids else e

    return jaxpr.with_equations(map(without, jaxpr))


def is_recursive(e: Equation) -> bool:
    """Whether an equation calls, in the rule of a function, that function."""
    return e.primitive is custom_jvp_call and isinstance(e.params["rule"], ByZeros) and e.params["rule"].recursive


def split(
    outs: Sequence[Any], ts: Sequence[Any], types: Sequence[ArrayType], out_nonzero: Sequence[bool]
) -> tuple[Any, Any]:
    """Outputs of these types, the first of `outs`, and the tangents of those that have one."""
    kinds = [t.strong() for t in chosen(types, out_nonzero)]
    found = [None if t is None else as_array(t, kind) for t, kind in zip(ts, kinds, strict=True)]
    return as_arrays(outs[: len(types)], types), spread(found, out_nonzero)


custom_jvp_call = CustomJVPCall("custom_jvp_call")
