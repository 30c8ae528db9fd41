"""Transposition: a linear program read backwards.

linear_transpose : (a -o b) -> b -o a

Equations without a linear input are evaluated forward (this is how recomputation happens too); the others are
transposed in reverse order, and the cotangents of a variable that is used several times add up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minijvp.core.jaxpr import Atom, Equation, Jaxpr, Literal
from minijvp.core.tracing import charged_to, state
from minijvp.operations.elementwise import add
from minijvp.transforms.staging import stage


def transpose_flat(
    jaxpr: Jaxpr, linear: Sequence[bool], args: Sequence[Any], cotangents: Sequence[Any]
) -> list[Any]:
    """The cotangents of the inputs that are `linear`; `args` are the values of the others (ignored for linear ones).

    Cotangents are per output; None is zero, on either side.
    """
    values: dict[Atom, Any] = dict(jaxpr.constants)
    is_linear: set[Atom] = set()
    for v, x, flag in zip(jaxpr.inputs, args, linear, strict=True):
        if flag:
            is_linear.add(v)
        else:
            values[v] = x
    received: dict[Atom, Any] = {}

    def receive(v: Atom, ct: Any) -> None:
        if ct is not None:
            other = received.get(v)
            received[v] = ct if other is None else add(other, ct)

    outer = state.source
    with charged_to(outer):
        pending = _evaluate_known(jaxpr, values, is_linear)
        for v, ct in zip(jaxpr.outputs, cotangents, strict=True):
            if v in is_linear:
                receive(v, ct)
        for e in reversed(pending):
            cts = tuple([received.pop(v, None) for v in e.outputs])
            if all([ct is None for ct in cts]):
                continue
            state.source = e.source or outer
            for v, ct in zip(e.inputs, _transpose_equation(e, cts, values, is_linear), strict=False):
                if ct is not None and v in is_linear:
                    receive(v, ct)
    return [received.get(v) for v, flag in zip(jaxpr.inputs, linear, strict=True) if flag]


def _evaluate_known(jaxpr: Jaxpr, values: dict[Atom, Any], is_linear: set[Atom]) -> list[Equation]:
    """Evaluate what no linear input reaches into `values`; the linear equations are returned, their outputs marked."""
    pending = []
    outer = state.source
    for e in jaxpr.equations:
        if is_linear.isdisjoint(e.inputs):
            state.source = e.source or outer
            out = e.primitive(*[v.value if type(v) is Literal else values[v] for v in e.inputs], **e.params)
            values.update(zip(e.outputs, out if type(out) is tuple else (out,), strict=True))
        else:
            is_linear.update(e.outputs)
            pending.append(e)
    return pending


def _transpose_equation(e: Equation, cts: tuple, values: dict[Atom, Any], is_linear: set[Atom]) -> tuple:
    args = [v.value if type(v) is Literal else v.type if v in is_linear else values[v] for v in e.inputs]
    out = e.primitive.transpose(cts if e.primitive.returns_tuple else cts[0], *args, **e.params)
    return out if type(out) is tuple else (out,)


def transpose_jaxpr(jaxpr: Jaxpr, linear: Sequence[bool], nonzero: Sequence[bool]) -> tuple[Jaxpr, tuple[bool, ...]]:
    """The transposed program of an open jaxpr, and which linear inputs get a cotangent.

    It takes the inputs that are not `linear`, then a cotangent for each output that is `nonzero`.
    """
    types = [t for t, flag in zip(jaxpr.in_types, linear, strict=True) if not flag]
    ct_types = [t.strong() for t, n in zip(jaxpr.out_types, nonzero, strict=True) if n]
    out_nonzero: tuple[bool, ...] = ()

    def fun(*inputs: Any) -> list[Any]:
        nonlocal out_nonzero
        known, incoming = iter(inputs[: len(types)]), iter(inputs[len(types) :])
        args = [None if flag else next(known) for flag in linear]
        cts = transpose_flat(jaxpr, linear, args, [next(incoming) if n else None for n in nonzero])
        out_nonzero = tuple(ct is not None for ct in cts)
        return [ct for ct in cts if ct is not None]

    return stage(fun, types + ct_types, f"transpose({jaxpr.name})" if jaxpr.name else ""), out_nonzero

