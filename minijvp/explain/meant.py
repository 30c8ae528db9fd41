"""What is infinite since the program has an inf as a number, and what else is: element by element, as far as known."""

from __future__ import annotations

from typing import Any

import numpy as np

from minijvp.core.jaxpr import Atom, Equation
from minijvp.explain.runs import Origin, Results, Run, is_neutral, looked_into
from minijvp.operations.elementwise import select_n
from minijvp.operations.families import Elementwise

Masks = dict[Atom, Any]
"""Where values are infinite, and came to the result so."""


def made_besides(run: Run) -> Origin | None:
    """What made a result of a program infinite, beside the numbers that it has: an operation, or an argument."""
    origin, given = walk(run, infinities(run, run.jaxpr.outputs))
    for v, mask in given.items():
        if origin is None:
            origin = Origin("argument", "inf", run, first_taker(run, v), v, first(mask), run.given[v])
    return origin


def infinities(run: Run, atoms: Any) -> Masks:
    """Where these values are infinite, for those that are."""
    return {v: np.isinf(x) for v in atoms if run.where(v, "inf") is not None and (x := run.array(v)) is not None}


def first(mask: Any) -> tuple[int, ...]:
    """The first place where a mask is true."""
    return tuple(map(int, np.unravel_index(np.argmax(mask), np.shape(mask))))


def first_taker(run: Run, v: Atom) -> Equation | None:
    """The first operation that takes a value."""
    return next((e for e in run.jaxpr.equations if v in e.inputs), None)


def walk(run: Run, masks: Masks) -> tuple[Origin | None, Masks]:
    """The last operation that made one of these elements infinite; without one, the inputs that they came from."""
    for e in reversed(run.jaxpr.equations):
        wanted = {j: masks.pop(v) for j, v in enumerate(e.outputs) if v in masks}
        if not wanted:
            continue
        origin, operands = one_back(run, e, wanted)
        if origin is not None:
            return origin, {}
        for v, mask in operands.items():
            masks[v] = masks.get(v, False) | mask
    return None, {v: mask for v, mask in masks.items() if v in run.given}


def one_back(run: Run, e: Equation, wanted: dict[int, Any]) -> tuple[Origin | None, Masks]:
    """The operation, or one inside of it, if it made elements of its results infinite; or its operands that were so."""
    if isinstance(e.primitive, Elementwise) and len(wanted) == 1:
        return by_elements(run, e, *wanted.popitem())
    results: Results = [(j, first(mask)) for j, mask in wanted.items()]
    found = looked_into(run, e, results, "inf")
    inside = run.made.get(id(e))
    if inside is not None:
        return through(inside, wanted)
    if found is not None:
        return found.origin, infinities(run, [v for v, _, _ in found.given])
    operands = infinities(run, e.inputs)
    if operands or is_neutral(e):
        return None, operands
    j, index = results[0]
    return Origin("operation", "inf", run, e, e.outputs[j], index), {}


def by_elements(run: Run, e: Equation, j: int, mask: Any) -> tuple[Origin | None, Masks]:
    """The same for an operation on elements: each is looked at by itself."""
    made, operands = mask, Masks()
    which = np.asarray(run.value(e.inputs[0])) if e.primitive is select_n else None
    for i, v in enumerate(e.inputs):
        x = run.array(v)
        if x is None:
            continue
        flags = mask & np.isinf(x) & (True if which is None else which == i - 1)
        made = made & ~flags
        if flags.any():
            operands[v] = operands.get(v, False) | (flags if x.shape == np.shape(mask) else np.isinf(x))
    if made.any():
        return Origin("operation", "inf", run, e, e.outputs[j], first(made)), {}
    return None, operands


def through(inner: Run, wanted: dict[int, Any]) -> tuple[Origin | None, Masks]:
    """The same for an operation with a program that runs once."""
    known = infinities(inner, [inner.jaxpr.outputs[j] for j in wanted])
    masks = Masks()
    for j, mask in wanted.items():
        v = inner.jaxpr.outputs[j]
        if v in known:
            masks[v] = masks.get(v, False) | (known[v] & mask)
    origin, given = walk(inner, masks)
    operands = Masks()
    for v, mask in given.items():
        assert inner.leave is not None
        ((outer, _, _),) = inner.leave([(v, (), None)], "inf").given
        operands[outer] = operands.get(outer, False) | mask
    return origin, operands
