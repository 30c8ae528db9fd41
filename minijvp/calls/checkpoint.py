"""Rematerialisation: reverse mode computes again what it would have stored."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from minijvp.calls.call import Call
from minijvp.calls.jit import jit_primitive
from minijvp.calls.policies import Within, as_policy, everything_saveable
from minijvp.calls.programs import present
from minijvp.core.caching import cached_by_linearizer
from minijvp.core.hooks import hooks
from minijvp.core.jaxpr import Atom, Equation, Jaxpr, Var, evaluate
from minijvp.core.types import Array
from minijvp.operations.annotations import optimization_barrier
from minijvp.operations.families import nonzero, spread
from minijvp.transforms.linearize import linearize_jaxpr, residuals_of
from minijvp.transforms.staging import stage
from minijvp.transforms.transpose import transpose_jaxpr


class Checkpoint(Call):
    """The outputs of an open jaxpr. Of its linearization the inputs are residuals, and what `policy` keeps.

    All else is computed again; with `prevent_cse` the compiler may not merge that with the first time. A policy is
    asked about each operation, inside inner calls of jit too; loops and choices are one operation.
    """

    recomputable = "never"
    own_derivative = True

    def linearize(self, primals: tuple, tangents: tuple, *, jaxpr: Jaxpr, **options: Any) -> tuple[Any, Any]:
        policy = as_policy(options["policy"])
        budget = policy.budget if isinstance(policy, Within) else "off"
        if policy is everything_saveable or isinstance(policy, Within):
            with hooks.linearizer.within(budget):  # by itself, not with the whole as a call of jit
                return Call.linearize(jit_primitive, primals, tangents, jaxpr=jaxpr)
        saving, pushed, out_nonzero = parts(jaxpr, nonzero(tangents), policy)
        outs = self(*primals, jaxpr=saving, **options)
        n = len(jaxpr.outputs)
        ts = self(*primals, *outs[n:], *present(tangents), jaxpr=pushed, **options)
        return outs[:n], spread(ts, out_nonzero)

    def pullback(
        self, jaxpr: Jaxpr, linear: tuple[bool, ...], nonzero: tuple[bool, ...], options: dict[str, Any]
    ) -> tuple[Jaxpr, tuple[bool, ...]]:
        return (
            late_pullback(jaxpr, linear, nonzero) if options["prevent_cse"] else transpose_jaxpr(jaxpr, linear, nonzero)
        )


@cached_by_linearizer(maxsize=4096)
def parts(jaxpr: Jaxpr, nonzero: tuple[bool, ...], policy: Hashable) -> tuple[Jaxpr, Jaxpr, tuple[bool, ...]]:
    """The program that gives the outputs and what is kept, the one that gives tangents, and which outputs have one.

    The latter takes the inputs, what is kept, and the nonzero tangents.
    """
    known, linear, origins, out_nonzero = linearize_jaxpr(jaxpr, nonzero)
    known, n_out = inlined(known), len(jaxpr.outputs)
    kept, remaining = split_by(known, as_policy(policy))
    residuals = tuple(residuals_of(origins, known.inputs, known.outputs, n_out))
    again = Jaxpr(known.constants, known.inputs, tuple(remaining), residuals).without_dead_code()
    needed = {v for e in again for v in e.inputs} | set(again.outputs)
    kept = tuple([v for v in kept if v in needed])
    again = Jaxpr(again.constants, known.inputs + kept, again.equations, residuals, jaxpr.name)
    n = len(again.inputs)

    def fun(*args: Array) -> list[Any]:
        return evaluate(linear, *evaluate(again, *args[:n]), *args[n:])

    tangents = [t.strong() for t, flag in zip(jaxpr.in_types, nonzero, strict=True) if flag]
    pushed = stage(fun, [*again.in_types, *tangents], jaxpr.name)
    if not kept:
        return jaxpr, pushed, out_nonzero
    saving = Jaxpr(known.constants, known.inputs, known.equations, known.outputs[:n_out] + kept, jaxpr.name)
    return saving.without_dead_code(), pushed, out_nonzero


def split_by(jaxpr: Jaxpr, policy: Any) -> tuple[list[Var], list[Equation]]:
    """The variables that a policy keeps, and the equations without those that give them."""
    kept: list[Var] = []
    remaining = []
    for e in jaxpr:
        if policy(e.primitive, *[v.type for v in e.inputs], **e.params):
            kept += e.outputs
        else:
            remaining.append(e)
    return kept, remaining


def inlined(jaxpr: Jaxpr) -> Jaxpr:
    """The same program with the equations of inner calls of jit in their place."""
    equations: list[Equation] = []
    values: dict[Atom, Atom] = {}

    def add(inner: Jaxpr) -> None:
        for e in inner:
            atoms = tuple([values.get(v, v) for v in e.inputs])
            if e.primitive is jit_primitive:
                called = e.params["jaxpr"]
                values.update(zip(called.inputs, atoms, strict=True))
                add(called)
                found: list[Any] = [values.get(v, v) for v in called.outputs]
                values.update(zip(e.outputs, found, strict=True))
            else:
                outputs = tuple([Var(v.type) for v in e.outputs])
                values.update(zip(e.outputs, outputs, strict=True))
                equations.append(Equation(e.primitive, atoms, e.params, outputs, e.source))

    add(jaxpr)
    return Jaxpr(jaxpr.constants, jaxpr.inputs, tuple(equations), tuple([values.get(v, v) for v in jaxpr.outputs]), "")


@cached_by_linearizer(maxsize=4096)
def late_pullback(jaxpr: Jaxpr, linear: tuple[bool, ...], nonzero: tuple[bool, ...]) -> tuple[Jaxpr, tuple[bool, ...]]:
    """The transposed program, as `transpose_jaxpr` gives it, which begins when the cotangents are there."""
    transposed, ct_nonzero = transpose_jaxpr(jaxpr, linear, nonzero)

    def fun(*args: Array) -> list[Any]:
        return evaluate(transposed, *optimization_barrier(*args))

    return stage(fun, transposed.in_types, transposed.name), ct_nonzero


checkpoint = Checkpoint("checkpoint")
