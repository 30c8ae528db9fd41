"""Values for Python code that asks for them while a program is staged whose inputs are known.

A function with derivative rules is staged also where every value is there: in an eager gradient. An `if` in it, or
NumPy, may look at them then, as it may outside of any transformation. Nothing is computed unless a value is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

from minijvp.core.jaxpr import Atom, Equation, Literal, Var
from minijvp.core.tracer import Tracer, is_tracer_of_jax
from minijvp.core.tracing import detached

Made = TypeVar("Made")


class KnownInputs:
    """The values of the inputs of a program that is being staged, each None where there is none; () without any.

    They may have tangents if the program `has_rules` for its derivative: what Python does with a number is in those. A
    program that `asked` is one for these values only.
    """

    __slots__ = ("asked", "computed", "has_rules", "places", "values")

    def __init__(self, values: Sequence[Any] = (), has_rules: bool = False):
        self.values = values
        self.has_rules = has_rules
        self.asked = False
        self.places: dict[Atom, int] = {}
        self.computed: dict[Atom, Any] = {}

    def bind(self, inputs: Sequence[Var]) -> None:
        """Take the variables of the program that is staged now, which are as many."""
        self.places = {v: i for i, v in enumerate(inputs)}
        self.computed = {}

    def value_of(
        self, tracer: Any, equations: Sequence[Equation], constants: dict[Any, Any], wanted_by: str, as_number: bool
    ) -> Any:
        """The value of a tracer, by the equations so far; ConcretizationError if it depends on what is not known."""
        needed, computed = needed_for(tracer.variable, equations)
        if any([e.has_effects for e in computed]):
            raise tracer.not_concrete(wanted_by)  # computed once more, they would happen twice
        leaves: dict[Atom, Any] = {}
        for v in needed:
            if v in self.places:
                x, number = self.values[self.places[v]] if self.values else None, as_number and not self.has_rules
            elif v in constants:
                x, number = constants[v], as_number
            else:
                continue
            if x is None or is_tracer_of_jax(x):
                raise tracer.not_concrete(wanted_by)
            leaves[v] = x.known_value(wanted_by, number) if isinstance(x, Tracer) else x
        self.asked = True
        self.computed.update(leaves)
        with detached():
            for e in computed:
                if e.outputs[0] not in self.computed:
                    outs = e.primitive(*map(self.read, e.inputs), **e.params)
                    self.computed.update(zip(e.outputs, outs if type(outs) is tuple else (outs,), strict=True))
        return self.computed[tracer.variable]

    def read(self, atom: Atom) -> Any:
        """The value of an atom that was computed."""
        return atom.value if isinstance(atom, Literal) else self.computed[atom]


def kept_unless_asked(kept: dict[Any, Made], key: Hashable, known: KnownInputs, make: Callable[[], Made]) -> Made:
    """What is kept by that key, or what `make` stages anew: kept too, unless it asked for what is known."""
    found = kept.get(key)
    if found is None:
        found = make()
        if not known.asked:
            kept[key] = found
    return found


def needed_for(variable: Var, equations: Sequence[Equation]) -> tuple[set[Atom], list[Equation]]:
    """The atoms on which a variable depends, itself too, and the equations that compute it, in their order."""
    needed: set[Atom] = {variable}
    found = []
    for e in reversed(equations):
        if not needed.isdisjoint(e.outputs):
            found.append(e)
            needed.update(e.inputs)
    return needed, found[::-1]
