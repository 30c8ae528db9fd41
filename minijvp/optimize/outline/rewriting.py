"""The program with calls in place of stretches of equations that are equal."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from minijvp.core.jaxpr import Atom, Equation, Jaxpr, Literal, Var
from minijvp.core.types import ArrayType, Params
from minijvp.custom_rules.custom_jvp import same_rule
from minijvp.custom_rules.deferred import ByZeros, Deferred
from minijvp.operations.casting import convert_element_type
from minijvp.operations.families import Elementwise, broadcast_in_dim
from minijvp.optimize.kept_call import kept_call
from minijvp.optimize.outline import cost
from minijvp.optimize.outline.detection import Repeat, best_repeat, divided, tokens

RULES = (Deferred, ByZeros)


def outlined(jaxpr: Jaxpr) -> Jaxpr:
    """The same program, where stretches of equations that are equal are calls of one program."""
    equations: Sequence[Equation] = jaxpr.equations
    weights = cost.weights(equations)
    if weights.sum() < cost.SAVED:
        return jaxpr
    found = tokens(equations)
    taken: list[tuple[Repeat, list[Equation]]] = []
    while True:
        best = best_repeat(found, weights)
        if best is None or best[0] < cost.SAVED:
            break
        _, start, period, length = best
        repeat = divided(equations, jaxpr.outputs, start, period, length)
        if repeat.count >= cost.OFTEN_ENOUGH:
            replaced = Stretches(jaxpr, repeat).replaced()
            if replaced is not None:
                taken.append((repeat, replaced))
        fresh = int(found.max()) + 1  # what was looked at is equal to nothing any more
        found[start : start + length] = np.arange(fresh, fresh + length)
    if not taken:
        return jaxpr
    result: list[Equation] = []
    position = 0
    for repeat, replaced in sorted(taken, key=lambda pair: pair[0].start):
        result += [*equations[position : repeat.start], *replaced]
        position = repeat.start + repeat.period * repeat.count
    result += equations[position:]
    return Jaxpr(jaxpr.constants, jaxpr.inputs, tuple(result), jaxpr.outputs, jaxpr.name)


class Slot(NamedTuple):
    """An input of the program that stretches share."""

    variable: Var
    values: tuple[Atom, ...]
    """What each stretch has in its place."""


class Stretches:
    """The stretches of a repeat, compared with each other."""

    def __init__(self, jaxpr: Jaxpr, repeat: Repeat):
        self.jaxpr = jaxpr
        self.repeat = repeat
        start, period, count = repeat
        self.stretches = [jaxpr.equations[start + period * j : start + period * (j + 1)] for j in range(count)]
        self.hoisted: set[int] = set()
        self.places: list[dict[Atom, tuple[int, int]]] = [{} for _ in range(count)]
        """Of each stretch, which equation gives a value, and which of its results that is."""
        self.forms = self.compared()

    @cached_property
    def readers(self) -> dict[Atom, list[Equation]]:
        """The equations that read each value of the whole program."""
        found: dict[Atom, list[Equation]] = {}
        for e in self.jaxpr:
            for v in e.inputs:
                found.setdefault(v, []).append(e)
        return found

    def compared(self) -> list[tuple[int, ...]]:
        """For each stretch, a number for each equation: equal where they are equal up to the values from outside.

        What differs, and depends on nothing inside, is taken outside.
        """
        numbers: list[list[int]] = [[] for _ in self.stretches]
        for k, column in enumerate(zip(*self.stretches)):
            forms: list[tuple] = []
            reads: list[list[Any]] = []
            found = []
            for e, places in zip(column, self.places):
                form = ([v.type for v in e.inputs], [v.type for v in e.outputs], e.has_effects and id(e), e.params)
                inside = [places.get(v) if type(v) is Var else literal(e, v) for v in e.inputs]
                for i, (other, read) in enumerate(zip(forms, reads)):
                    if inside == read and form[:3] == other[:3] and same_params(e.params, other[3]):
                        found.append(i)
                        break
                else:
                    found.append(len(forms))
                    forms.append(form)
                    reads.append(inside)
            alone = not any([type(x) is tuple for read in reads for x in read])
            if len(forms) > 1 and alone and not any([e.has_effects for e in column]):
                self.hoisted.add(k)
                continue
            for i, (e, places) in enumerate(zip(column, self.places)):
                numbers[i].append(found[i])
                places.update([(v, (k, n)) for n, v in enumerate(e.outputs)])
        return list(map(tuple, numbers))

    def replaced(self) -> list[Equation] | None:
        """The equations with calls for those stretches that are equal to enough others; None if there are none."""
        groups: dict[tuple[int, ...], list[int]] = {}
        for j, form in enumerate(self.forms):
            groups.setdefault(form, []).append(j)
        calls: dict[int, list[Equation]] = {}
        kept = [k for k in range(self.repeat.period) if k not in self.hoisted]
        for members in groups.values():
            equations = [self.stretches[members[0]][k] for k in kept]
            size = sum(map(cost.weight, equations))
            if (
                len(members) < cost.OFTEN_ENOUGH
                or size < cost.LONG_ENOUGH
                or size * (len(members) - 1) < cost.SAVED
                or any([e.has_effects for e in equations])
                or cost.is_chain(equations)
            ):
                continue
            calls |= self.calls(members, kept)
        if not calls:
            return None
        result: list[Equation] = []
        for j, stretch in enumerate(self.stretches):
            result += calls.get(j, stretch)
        return result

    def calls(self, members: Sequence[int], kept: Sequence[int]) -> dict[int, list[Equation]]:
        """For each of these stretches, the equations that take its place: what is hoisted, and the call."""
        stretches = [self.stretches[j] for j in members]
        slots: dict[tuple, Slot] = {}
        names: dict[Atom, Var] = {}
        body: list[Equation] = []
        places = self.places[members[0]]
        for k in kept:
            first, column = stretches[0][k], [s[k] for s in stretches]
            inputs: list[Atom] = []
            for n, v in enumerate(first.inputs):
                values = tuple([e.inputs[n] for e in column])
                if v in places:
                    inputs.append(names[v])
                elif type(v) is Literal and len({repr(x.value) for x in values if type(x) is Literal}) == 1:
                    inputs.append(v)
                elif type(v) is Literal:
                    t = like_operand(first)
                    x = slots.setdefault(values, Slot(Var(ArrayType((), t.dtype, t.weak_type)), values)).variable
                    if t.shape:
                        spread = {"shape": t.shape, "broadcast_dimensions": ()}
                        body.append(Equation(broadcast_in_dim, (x,), spread, (x := Var(t),), first.source))
                    inputs.append(x)
                else:
                    inputs.append(slots.setdefault(values, Slot(Var(v.type), values)).variable)
            for v in first.outputs:
                names[v] = Var(v.type)
            outputs = tuple([names[v] for v in first.outputs])
            body.append(Equation(first.primitive, tuple(inputs), first.params, outputs, first.source))
        needed = self.needed(members, kept)
        outputs = tuple([names[stretches[0][k].outputs[n]] for k, n in needed])
        source = stretches[0][kept[-1]].source
        name = source.function if source is not None and source.function.isidentifier() else ""
        jaxpr = Jaxpr((), tuple([s.variable for s in slots.values()]), tuple(body), outputs, name)
        jaxpr = jaxpr.without_dead_code()
        found = {}
        for i, (j, stretch) in enumerate(zip(members, stretches)):
            equations = [stretch[k] for k in sorted(self.hoisted)]
            operands = []
            for s in slots.values():
                value = s.values[i]
                if type(value) is Literal:
                    t = s.variable.type
                    params = {"new_dtype": t.dtype, "weak_type": t.weak_type}
                    variable = Var(t)
                    equations.append(Equation(convert_element_type, (value,), params, (variable,), None))
                    value = variable
                operands.append(value)
            results = tuple([stretch[k].outputs[n] for k, n in needed])
            params = {"jaxpr": jaxpr, "repeats": len(members)}
            equations.append(Equation(kept_call, tuple(operands), params, results, stretch[kept[-1]].source))
            found[j] = equations
        return found

    def needed(self, members: Sequence[int], kept: Sequence[int]) -> list[tuple[int, int]]:
        """Which results of which equations are read outside of one of these stretches."""
        found: dict[tuple[int, int], None] = {}
        results = set(self.jaxpr.outputs)
        for j in members:
            inside = {id(self.stretches[j][k]) for k in kept}
            for v, place in self.places[j].items():
                if v in results or any([id(e) not in inside for e in self.readers.get(v, ())]):
                    found[place] = None
        return sorted(found)


def same_params(p: Params, q: Params) -> bool:
    """Whether parameters are equal; rules for derivatives are by what they are made from."""
    if p is q or p == q:
        return True
    if p.keys() != q.keys():
        return False
    return all(
        [x == q[k] or (isinstance(x, RULES) and same_rule(x, q[k], p["jaxpr"], p["name"])) for k, x in p.items()]
    )


def literal(e: Equation, v: Literal) -> str:
    """How a literal is compared: elementwise operations can take an array for it."""
    if isinstance(e.primitive, Elementwise) and any([type(x) is Var for x in e.inputs]):
        return repr(v.type)
    return f"{v.value!r} {type(v.value).__name__}"


def like_operand(e: Equation) -> ArrayType:
    """The type of an operand that is an array."""
    types = [v.type for v in e.inputs if type(v) is Var]
    return next((t for t in types if t.dtype != bool), types[0])
