"""A call of a program that the compiler keeps as one: what it computes is compiled by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
from jax import lax
from jax.experimental.xla_metadata import set_xla_metadata

from minijvp.calls.call import Call, applied
from minijvp.core.caching import cached
from minijvp.core.hooks import hooks
from minijvp.core.jaxpr import Atom, Equation, Jaxpr, Var, lower
from minijvp.operations.families import nonzero
from minijvp.operations.sharding import devices_of
from minijvp.transforms.linearize import Loop


class KeptCall(Call):
    """The outputs of an open jaxpr, one of `repeats` calls of it in a program.

    On CPU, XLA is told not to insert the program where it is called: it sees no more than one copy at a time, and does
    not merge what a program computes again (`again`) with the first time. On several devices it would not combine
    collectives of different calls, so there it may insert what computes nothing again. On other platforms it may
    insert all; what computes something again then waits for its arguments behind a barrier, as in jax.checkpoint.

    Of a program for several devices, a part that computes again is inserted too, since collectives in it would come
    once more. It begins with a gate: a call, which is kept, of a program that only hands on what it is given.
    """

    def impl(self, *args: Any, jaxpr: Jaxpr, repeats: int, again: bool) -> tuple[Any, ...]:
        if repeats == 1 and not again:
            return tuple(lower(jaxpr, *args))
        one = jax.device_count() == 1 and devices_of(args) == 1
        return tuple(lowering(jaxpr, again, keep=again or one)(*args))

    def pullback(
        self, jaxpr: Jaxpr, linear: tuple[bool, ...], nonzero: tuple[bool, ...], options: dict[str, Any]
    ) -> tuple[Jaxpr, tuple[bool, ...]]:
        found, ct_nonzero = super().pullback(jaxpr, linear, nonzero, options)
        return with_late_gate(found, sum(nonzero)), ct_nonzero

    def linearize(self, primals: tuple, tangents: tuple, *, jaxpr: Jaxpr, repeats: int, again: bool) -> tuple[Any, Any]:
        if repeats == 1:
            return super().linearize(primals, tangents, jaxpr=jaxpr, repeats=repeats, again=again)
        n, m = len(jaxpr.inputs), len(jaxpr.outputs)
        turns = Loop(repeats, (False,) * n, (True,) * n, (True,) * m, called=True)
        found = hooks.linearizer.program(jaxpr, nonzero(tangents), turns)
        linear, more = found[1], computes_again(found[1], sum(nonzero(tangents)))

        def call(program: Jaxpr, *args: Any) -> tuple[Any, ...]:
            return self.call(program, *args, repeats=repeats, again=again or (more and program is linear))

        return applied(found, call, primals, tangents)


kept_call = KeptCall("kept_call")


def gate(values: Sequence[Var]) -> Equation:
    """An equation that hands on some values; a compiler does not know that the results are the same."""
    inside = tuple([Var(v.type) for v in values])
    params = {"jaxpr": Jaxpr((), inside, (), inside, "gate"), "repeats": 1, "again": True}
    return Equation(kept_call, tuple(values), params, tuple([Var(v.type) for v in values]), None)


def is_gate(e: Equation) -> bool:
    """Whether an equation only hands on values."""
    return e.primitive is kept_call and not e.params["jaxpr"].equations


@cached(maxsize=4096)
def with_late_gate(jaxpr: Jaxpr, n: int) -> Jaxpr:
    """The program, whose gate, if it has one, the last `n` inputs pass too: what is behind it waits for all of them."""
    first = next(filter(is_gate, jaxpr), None)
    if first is None or not set(first.inputs) <= set(jaxpr.inputs):
        return jaxpr
    cts = [v for v in jaxpr.inputs[len(jaxpr.inputs) - n :] if v not in first.inputs]
    late = gate([*first.inputs, *cts])  # type: ignore[list-item]
    names: dict[Atom, Atom] = dict(zip((*first.outputs, *cts), late.outputs, strict=True))

    def get(atoms: Iterable[Atom]) -> tuple[Any, ...]:
        return tuple([names.get(v, v) for v in atoms])

    equations = [
        e if e is first else Equation(e.primitive, get(e.inputs), e.params, e.outputs, e.source) for e in jaxpr
    ]
    rest = tuple([e for e in equations if e is not first])
    return Jaxpr(jaxpr.constants, jaxpr.inputs, (late, *rest), get(jaxpr.outputs), jaxpr.name)


def is_region(e: Equation) -> bool:
    """Whether an equation is a part of a backward pass that computes again what it needs, and no layer of several."""
    return e.primitive is kept_call and e.params["repeats"] == 1


def equal_calls(equations: Iterable[Equation]) -> dict[int, list[Equation]]:
    """By the id of each equation: those that call the same program; one that is no such call is alone."""
    found: dict[int, list[Equation]] = {}
    for e in equations:
        found.setdefault(id(e.params["jaxpr"] if e.primitive is kept_call else e), []).append(e)
    return {id(e): equal for equal in found.values() for e in equal}


def computes_again(linear: Jaxpr, n: int) -> bool:
    """Whether a linear program of `n` tangents, its last inputs, computes anything that does not depend on these."""
    tangents: set[Any] = set(linear.inputs[len(linear.inputs) - n :])
    for e in linear:
        if tangents.isdisjoint(e.inputs):
            if any([type(v) is Var for v in e.inputs]):
                return True
        else:
            tangents.update(e.outputs)
    return False


@cached(maxsize=4096)
def lowering(jaxpr: Jaxpr, again: bool, keep: bool) -> Callable[..., Any]:
    """A program as a function of JAX, traced once for all calls; on CPU, one whose calls XLA keeps, if `keep`."""

    def body(*args: Any) -> list[Any]:
        with set_xla_metadata(inlineable=None):  # of the call alone, not of what is inside
            return lower(jaxpr, *args)

    body.__name__ = jaxpr.name or "kept"
    inserted = jax.jit(body)

    def kept(*args: Any) -> list[Any]:
        with set_xla_metadata(inlineable="false"):
            return inserted(*args)

    def apart(*args: Any) -> list[Any]:
        return inserted(*lax.optimization_barrier(args))

    def by_platform(*args: Any) -> list[Any]:
        return lax.platform_dependent(*args, cpu=kept, default=apart if again else inserted)

    by_platform.__name__ = body.__name__
    return jax.jit(by_platform) if keep else inserted
