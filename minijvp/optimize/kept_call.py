"""A call of a program that the compiler keeps as one: what it computes is compiled by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from jax import lax
from jax.experimental.xla_metadata import set_xla_metadata

from minijvp.calls.call import Call, applied
from minijvp.core.caching import cached
from minijvp.core.hooks import hooks
from minijvp.core.jaxpr import Jaxpr, Var, lower
from minijvp.operations.families import nonzero
from minijvp.transforms.linearize import Loop


class KeptCall(Call):
    """The outputs of an open jaxpr, one of `repeats` calls of it in a program.

    On one CPU, XLA is told not to insert the program where it is called: it sees no more than one copy at a time, and
    does not merge what is computed again with the first time. On several devices it would not combine collectives of
    different calls, so there, and on other platforms, it may insert it; a program that computes something again
    (`again`) then waits for its arguments behind a barrier.
    """

    def impl(self, *args: Any, jaxpr: Jaxpr, repeats: int, again: bool) -> tuple[Any, ...]:
        kept, inserted = lowerings(jaxpr)

        def elsewhere(*args: Any) -> list[Any]:
            return inserted(*(lax.optimization_barrier(args) if again else args))

        if jax.device_count() > 1:
            return tuple(elsewhere(*args))
        return tuple(lax.platform_dependent(*args, cpu=kept, default=elsewhere))

    def linearize(self, primals: tuple, tangents: tuple, *, jaxpr: Jaxpr, repeats: int, again: bool) -> tuple[Any, Any]:
        n, m = len(jaxpr.inputs), len(jaxpr.outputs)
        turns = Loop(repeats, (False,) * n, (True,) * n, (True,) * m, called=True)
        found = hooks.linearizer.program(jaxpr, nonzero(tangents), turns)
        linear, more = found[1], computes_again(found[1], sum(nonzero(tangents)))

        def call(program: Jaxpr, *args: Any) -> tuple[Any, ...]:
            return self.call(program, *args, repeats=repeats, again=again or (more and program is linear))

        return applied(found, call, primals, tangents)


kept_call = KeptCall("kept_call")


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
def lowerings(jaxpr: Jaxpr) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """A program as a function of JAX whose calls XLA keeps, and as one whose calls it may replace."""

    def body(*args: Any) -> list[Any]:
        with set_xla_metadata(inlineable=None):  # of the call alone, not of what is inside
            return lower(jaxpr, *args)

    body.__name__ = jaxpr.name or "kept"
    inserted = jax.jit(body)

    def kept(*args: Any) -> list[Any]:
        with set_xla_metadata(inlineable="false"):
            return inserted(*args)

    return kept, inserted
