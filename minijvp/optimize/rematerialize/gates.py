"""Regions of a reverse pass on several devices, which may not communicate once more for what they compute again.

What a region computes again a compiler must not merge with the first time, but what it gathers from the devices for
that it should: weights, say, which lie in parts. So nothing of a region is kept apart. It begins with a gate, behind
which are the values that are saved for it; arguments of the program are read as they are, and what is made of them
alone is that of the forward pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from minijvp.core.jaxpr import Atom, Equation, Jaxpr, Var
from minijvp.optimize.kept_call import gate, kept_call


def as_gated(
    again: Sequence[Equation], equations: Sequence[Equation], outputs: Sequence[Var], made_before: Iterable[Var]
) -> Equation:
    """Equations as one, with those before them that compute again what they read, of values `made_before` and inputs.

    The order of inputs is that of `as_kept`.
    """
    made = {v for e in again for v in e.outputs}
    held = set(made_before) - made
    behind: set[Atom] = set(held)
    late = []
    for e in again:
        if not behind.isdisjoint(e.inputs):
            behind.update(e.outputs)
            late.append(e)
    body = (*late, *equations)
    inside = {v for e in body for v in e.outputs}
    read = dict.fromkeys([v for e in body[::-1] for v in e.inputs if type(v) is Var and v not in inside])
    passing = [v for v in read if v in held]
    if passing and late:
        first = gate(passing)
        names: dict[Atom, Any] = dict(zip(passing, first.outputs, strict=True))
        renamed = [
            Equation(e.primitive, tuple([names.get(v, v) for v in e.inputs]), e.params, e.outputs, e.source)
            for e in body
        ]
        body = (first, *renamed)
    params = {"jaxpr": Jaxpr((), tuple(read), body, tuple(outputs)), "repeats": 1, "again": False}
    return Equation(kept_call, tuple(read), params, tuple(outputs), equations[-1].source)
