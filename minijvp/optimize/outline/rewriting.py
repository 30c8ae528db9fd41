"""The program with calls in place of stretches of equations that are equal."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from minijvp.core.caching import cached
from minijvp.core.jaxpr import Atom, Equation, Jaxpr, Literal, Var
from minijvp.core.program_primitive import ProgramPrimitive
from minijvp.core.types import ArrayType, Params, is_inexact
from minijvp.custom_rules.custom_jvp import same_rule
from minijvp.custom_rules.deferred import ByZeros, Deferred
from minijvp.operations.casting import convert_element_type
from minijvp.operations.families import Elementwise, broadcast_in_dim
from minijvp.optimize.kept_call import kept_call
from minijvp.optimize.outline import cost
from minijvp.optimize.outline.detection import Repeat, best_repeat, stretches, tokens

RULES = (Deferred, ByZeros)


def outlined(jaxpr: Jaxpr) -> Jaxpr:
    """The same program, where stretches of equations that are equal are calls of one program."""
    equations: Sequence[Equation] = jaxpr.equations
    weights = cost.weights(equations)
    if weights.sum() < cost.SAVED:
        return jaxpr
    found = tokens(equations)
    replaced: dict[int, tuple[int, list[Equation]]] = {}
    while True:
        best = best_repeat(found, weights)
        if best is None or best[0] < cost.SAVED:
            break
        _, start, period, length = best
        looked_at = [(start, length)]
        if weights[start : start + period].sum() >= cost.LONG_ENOUGH:
            repeat = stretches(equations, jaxpr.outputs, found, start, period, length)
            replaced |= Stretches(jaxpr, repeat).replaced()
            looked_at += [(s, period) for s in repeat.starts]
        for first, size in looked_at:
            pass_over(found, first, size)
    return with_replaced(jaxpr, replaced)


def pass_over(found: np.ndarray, start: int, size: int) -> None:
    """Give tokens of their own to equations that were looked at, so that they are equal to nothing any more."""
    fresh = int(found.max()) + 1
    found[start : start + size] = np.arange(fresh, fresh + size)


def with_replaced(jaxpr: Jaxpr, replaced: Mapping[int, tuple[int, Sequence[Equation]]]) -> Jaxpr:
    """The program with other equations in the place of some: by the first one, how many, and what stands for them."""
    if not replaced:
        return jaxpr
    result: list[Equation] = []
    position = 0
    for start in sorted(replaced):
        size, others = replaced[start]
        result += [*jaxpr.equations[position:start], *others]
        position = start + size
    return jaxpr.with_equations([*result, *jaxpr.equations[position:]])


@cached(maxsize=1024)
def outlined_body(jaxpr: Jaxpr) -> Jaxpr:
    """The same for a program that an equation carries, which comes again; with those that its equations carry."""
    return with_outlined_bodies(jaxpr)


def with_outlined_bodies(jaxpr: Jaxpr) -> Jaxpr:
    """The same with the bodies of loops, choices and calls inside, for a program that is not differentiated any more.

    What was differentiated was outlined before. Its two passes have stretches that are equal too, but calls of these
    would keep what a compiler would not.
    """
    if jaxpr.holds_derivatives:
        return jaxpr
    return outlined_whole(jaxpr)


def outlined_whole(jaxpr: Jaxpr) -> Jaxpr:
    """The same for a program that is differentiated next, though it may hold derivatives of lower order."""
    return outlined(with_bodies(jaxpr, outlined_body))


def with_bodies(jaxpr: Jaxpr, change: Callable[[Jaxpr], Jaxpr]) -> Jaxpr:
    """The same program with other bodies of loops, choices and calls, where there is enough in them."""
    equations = []
    for e in jaxpr:
        primitive = e.primitive
        if isinstance(primitive, ProgramPrimitive) and primitive is not kept_call and cost.weight(e) >= cost.SAVED:
            params = primitive.with_bodies(e.params, list(map(change, primitive.bodies(e.params))))
            e = Equation(primitive, e.inputs, params, e.outputs, e.source)
        equations.append(e)
    return jaxpr.with_equations(equations)


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
        self.stretches = [jaxpr.equations[start : start + repeat.period] for start in repeat.starts]
        self.hoisted: set[int] = set()
        self.places: list[dict[Atom, tuple[int, int]]] = [{} for _ in repeat.starts]
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
                inside = [places.get(v) if type(v) is Var else compared_literal(e, v) for v in e.inputs]
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

    def replaced(self) -> dict[int, tuple[int, list[Equation]]]:
        """For those stretches that are equal to enough others, by where they begin: their length, and their calls."""
        groups: dict[tuple[int, ...], list[int]] = {}
        for j, form in enumerate(self.forms):
            groups.setdefault(form, []).append(j)
        found: dict[int, tuple[int, list[Equation]]] = {}
        kept = [k for k in range(self.repeat.period) if k not in self.hoisted]
        for members in groups.values():
            equations = [self.stretches[members[0]][k] for k in kept]
            if cost.is_worthwhile(equations, len(members)):
                calls = self.calls(members, kept)
                found |= {self.repeat.starts[j]: (self.repeat.period, calls[j]) for j in members}
        return found

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
                elif type(v) is Literal and len({written(x) for x in values}) == 1:
                    inputs.append(v)
                elif type(v) is Literal:
                    t = next(x.type for x in first.inputs if type(x) is Var)
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
            params = {"jaxpr": jaxpr, "repeats": len(members), "again": False}
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
    jaxpr, name = p.get("jaxpr"), p.get("name", "")
    return all([x == q[k] or (isinstance(x, RULES) and same_rule(x, q[k], jaxpr, name)) for k, x in p.items()])


def compared_literal(e: Equation, v: Literal) -> str:
    """How a literal is compared: by its value, but where an array in its place would be one of the other operands."""
    dtypes = {x.type.dtype for x in e.inputs if type(x) is Var}
    if not isinstance(e.primitive, Elementwise) or len(dtypes) != 1:
        return written(v)
    (dtype,) = dtypes
    kinds = {float: is_inexact(dtype), int: np.issubdtype(dtype, np.integer)}
    return repr(v.type) if kinds.get(type(v.value), v.type.dtype == dtype) else written(v)


def written(v: Any) -> str:
    """A literal as Python writes it: 0.0, -0.0, 0 and False are equal, and not the same."""
    return f"{v.value!r} {type(v.value).__name__}"
