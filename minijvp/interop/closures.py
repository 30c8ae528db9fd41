"""Traced values that a function of JAX closes over, as arguments of the program that JAX traces of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import CellType, FunctionType
from typing import Any

from jax.tree_util import tree_flatten, tree_unflatten

from minijvp.core.tracer import Tracer
from minijvp.custom_rules.captures import DEPTH, is_empty, parts_of


@contextmanager
def standing_in(functions: Any, tracers: Sequence[Tracer], stand_ins: Sequence[Any]) -> Iterator[None]:
    """Context manager: inside, variables that functions close over hold other values in place of these tracers.

    A variable that holds a tracer belongs to the trace that runs now, so no other thread reads it meanwhile.

    Where JAX checks the type of an argument or of a result, it takes nothing but its own arrays: a tracer that says by
    `__jax_array__` what stands for it is refused there.
    """
    pairs = list(zip(tracers, stand_ins, strict=True))
    put: list[tuple[CellType, Any, Any]] = []
    try:
        for cell in cells_of(functions) if pairs else ():
            held = cell.cell_contents
            leaves, tree = tree_flatten(held, is_leaf=lambda x: isinstance(x, Tracer))
            found = [instead_of(x, pairs) for x in leaves]
            if any([x is not y for x, y in zip(leaves, found, strict=True)]):
                cell.cell_contents = other = tree_unflatten(tree, found)
                put.append((cell, held, other))
        yield
    finally:
        for cell, held, other in put:
            if not is_empty(cell) and cell.cell_contents is other:  # the function may have assigned to it
                cell.cell_contents = held


def instead_of(x: Any, pairs: Sequence[tuple[Tracer, Any]]) -> Any:
    """What stands for a value, or the value."""
    return next((stand_in for tracer, stand_in in pairs if tracer is x), x)


def cells_of(value: Any, depth: int = DEPTH, seen: set[int] | None = None) -> Iterator[CellType]:
    """The variables that functions close over which are in `value`, each once: it, an element, an attribute of it."""
    seen = set() if seen is None else seen
    if depth == 0 or id(value) in seen or isinstance(value, Tracer):
        return
    seen.add(id(value))
    if isinstance(value, FunctionType):
        for cell in value.__closure__ or ():
            if id(cell) not in seen and not is_empty(cell):
                seen.add(id(cell))
                yield cell
    for part in parts_of(value):
        yield from cells_of(part, depth - 1, seen)
