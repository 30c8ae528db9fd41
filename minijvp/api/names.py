"""What profiles call an operation: the scopes of the user, and the transformations that made it.

Nothing that records knows of names: what was recorded in a scope gets its name when the scope is left, and so the
innermost name first. A transformation is such a scope, which wraps the name that follows, as in JAX:
`transpose(jvp(layer))/mul`. Where JAX traces what is computed, it has the scopes itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from jax.extend.source_info_util import NameStack, current_name_stack, set_name_stack

from minijvp.core.jaxpr import Equation, Jaxpr
from minijvp.core.source import ScopedSource, Source, leave, within
from minijvp.core.tracing import EVALUATION, Trace, computes, state, traced_by_jax
from minijvp.transforms.staging import StagingTrace

JVP, TRANSPOSE, VMAP = [NameStack().transform(name) for name in ("jvp", "transpose", "vmap")]


def recorders(trace: Trace) -> Iterator[StagingTrace]:
    """The traces that record, from the current one down."""
    while trace is not EVALUATION:
        if isinstance(trace, StagingTrace):
            yield trace
        if not hasattr(trace, "parent"):
            return
        trace = trace.parent


class naming:
    """Context manager: what is recorded inside has these names around its own."""

    __slots__ = ("by_jax", "names", "starts")

    def __init__(self, names: NameStack):
        self.names = names

    def __enter__(self) -> None:
        self.starts = [(trace, len(trace.equations)) for trace in recorders(state.trace)]
        self.by_jax = set_name_stack(current_name_stack() + self.names)
        self.by_jax.__enter__()

    def __exit__(self, *exception: Any) -> None:
        leave(self.by_jax)
        self.by_jax = None
        for trace, start in self.starts if state.substitutes is None else ():
            name_all(trace.equations[start:], self.names)

    def __del__(self) -> None:
        leave(getattr(self, "by_jax", None))


UNNAMED = nullcontext()


def transforming(names: NameStack) -> AbstractContextManager[None]:
    """The same for a transformation. What is computed at once, and part of no program, needs no names."""
    return UNNAMED if computes(state.trace) and not traced_by_jax() else naming(names)


def name_all(equations: list[Equation], names: NameStack) -> None:
    """Put names around those of equations."""
    plain = around(names, NameStack())
    # What is found has what it was found for beside it, which so keeps its id.
    stacks: dict[int, tuple[NameStack, NameStack]] = {}
    lines: dict[int, tuple[Source | None, Source | None]] = {}
    for e in equations:
        line = e.source
        known = lines.get(id(line))
        if known is None:
            outer = plain
            if type(line) is ScopedSource:
                inner = line.scope
                outer = (stacks.get(id(inner)) or stacks.setdefault(id(inner), (around(names, inner), inner)))[0]
            known = lines[id(line)] = within(line, outer), line
        e.source = known[0]


def around(names: NameStack, inner: NameStack) -> NameStack:
    """Names with others inside. What a rule for cotangents computes was no tangent before, and is named as if."""
    if names is not TRANSPOSE or inner.stack[:1] == JVP.stack:
        return names + inner
    return inner if inner.stack[:1] == TRANSPOSE.stack else TRANSPOSE + JVP + inner


def as_tangents(linear: Jaxpr) -> Jaxpr:
    """The linear program of a linearization; where that is of use, its equations say that they are of one."""
    if state.substitutes is not None or transforming(JVP) is UNNAMED:  # equations that are explained say more
        return linear
    copies = [Equation(e.primitive, e.inputs, e.params, e.outputs, e.source) for e in linear.equations]
    name_all(copies, JVP)
    return linear.with_equations(copies)
