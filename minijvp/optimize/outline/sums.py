"""Sums over calls of one program, one term in each, as of cotangents of shared weights: the calls add to them."""

from __future__ import annotations

from collections import Counter

from minijvp.core.caching import cached
from minijvp.core.jaxpr import Atom, Equation, Jaxpr, Var
from minijvp.operations.families import add
from minijvp.optimize.kept_call import kept_call
from minijvp.optimize.outline.cost import OFTEN_ENOUGH
from minijvp.optimize.outline.rewriting import with_bodies

Sums = dict[int, Equation]
"""For numbers of results of a call, the additions of these to sums that are there before."""


def with_sums_in_calls(jaxpr: Jaxpr) -> Jaxpr:
    """The same program, where calls take a sum and return it with their term, in the same order.

    A compiler would fuse all additions into one, and so keep the terms of all calls until the last.
    """
    jaxpr = with_bodies(jaxpr, body_with_sums_in_calls)
    found = sums_of_calls(jaxpr)
    kinds = {i: (id(jaxpr.equations[i].params["jaxpr"]), tuple(sums)) for i, sums in found.items()}
    often = Counter(kinds.values())
    found = {i: sums for i, sums in found.items() if often[kinds[i]] >= OFTEN_ENOUGH}
    if not found:
        return jaxpr
    inside = {id(e) for sums in found.values() for e in sums.values()}
    equations = []
    for i, e in enumerate(jaxpr):
        if id(e) in inside:
            continue
        if i in found:
            sums = found[i]
            program = adding(e.params["jaxpr"], tuple(sums))
            outputs = tuple([sums[n].outputs[0] if n in sums else v for n, v in enumerate(e.outputs)])
            inputs = (*e.inputs, *[a.inputs[0] for a in sums.values()])
            e = Equation(kept_call, inputs, {**e.params, "jaxpr": program}, outputs, e.source)
        equations.append(e)
    return jaxpr.with_equations(equations)


@cached(maxsize=1024)
def body_with_sums_in_calls(jaxpr: Jaxpr) -> Jaxpr:
    """The same for a program that an equation carries, which comes again."""
    return with_sums_in_calls(jaxpr)


def sums_of_calls(jaxpr: Jaxpr) -> dict[int, Sums]:
    """For numbers of calls in a program, their results that are read but once, as the second operand of a sum."""
    reads = Counter([v for e in jaxpr for v in e.inputs])
    reads.update(jaxpr.outputs)
    made: dict[Atom, tuple[int, int]] = {}
    found: dict[int, Sums] = {}
    for i, e in enumerate(jaxpr):
        if e.primitive is add and reads[e.inputs[1]] == 1:
            u, v = e.inputs
            call, n = made.get(v, (0, 0))
            if (
                jaxpr.equations[call].primitive is kept_call
                and v in made
                and type(u) is Var
                and made.get(u, (-1, 0))[0] < call
                and u.type == v.type == e.outputs[0].type
            ):
                found.setdefault(call, {})[n] = e
        made.update([(v, (i, n)) for n, v in enumerate(e.outputs)])
    return {i: dict(sorted(sums.items())) for i, sums in found.items()}


@cached(maxsize=1024)
def adding(jaxpr: Jaxpr, positions: tuple[int, ...]) -> Jaxpr:
    """The program with one more input for each of these outputs, to which it is added."""
    outputs, sums, equations = list(jaxpr.outputs), [], []
    for n in positions:
        v, x, out = outputs[n], *map(Var, [outputs[n].type] * 2)
        equations.append(Equation(add, (x, v), {}, (out,), None))
        sums.append(x)
        outputs[n] = out
    inputs = (*jaxpr.inputs, *sums)
    return Jaxpr((), inputs, (*jaxpr.equations, *equations), tuple(outputs), jaxpr.name, jaxpr.holds_derivatives)
