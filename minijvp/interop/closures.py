"""Traced values that a function of JAX closes over, as arguments of the program that JAX traces of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import CellType, FunctionType
from typing import Any

from jax.tree_util import tree_flatten, tree_unflatten

from minijvp.core.tracing import Tracer
from minijvp.higher_order.captures import DEPTH, is_empty, parts_of


class standing_in:
    """Context manager: inside, variables that functions close over hold other values in place of these tracers.

    Where JAX checks the type of an argument or of a result, it takes nothing but its own arrays: a tracer that says by
    `__jax_array__` what stands for it is refused there.
    """

    def __init__(self, functions: Any, tracers: Sequence[Tracer], stand_ins: Sequence[Any]):
        self.pairs = list(zip(tracers, stand_ins, strict=True))
        self.functions = functions
        self.put: list[tuple[CellType, Any, Any]] = []

    def __enter__(self) -> None:
        for cell in cells_of(self.functions) if self.pairs else ():
            held = cell.cell_contents
            leaves, tree = tree_flatten(held, is_leaf=lambda x: isinstance(x, Tracer))
            found = [self.instead_of(x) for x in leaves]
            if any([x is not y for x, y in zip(leaves, found, strict=True)]):
                cell.cell_contents = other = tree_unflatten(tree, found)
                self.put.append((cell, held, other))

    def __exit__(self, *exception: object) -> None:
        for cell, held, other in self.put:
            if not is_empty(cell) and cell.cell_contents is other:  # the function may have assigned to it
                cell.cell_contents = held

    def instead_of(self, x: Any) -> Any:
        """What stands for a value, or the value."""
        return next((stand_in for tracer, stand_in in self.pairs if tracer is x), x)


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
