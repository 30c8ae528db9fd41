"""Programs on duals, whose tangents may be many: those in one direction, or Taylor coefficients up to an order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from minijvp.calls.programs import Flags, flat, present
from minijvp.core.jaxpr import Jaxpr
from minijvp.operations.families import nonzero, spread
from minijvp.transforms.jvp import jvp_jaxpr
from minijvp.transforms.taylor import taylor_jaxpr


def pushed(jaxpr: Jaxpr, flags: Flags, order: int | None) -> tuple[Jaxpr, Flags]:
    """The program on duals for an open jaxpr, and which outputs have tangents, where these inputs have some.

    Behind its inputs, and its outputs, are the tangents of each that has one; for an order, so many coefficients.
    """
    if order is None:
        return jvp_jaxpr(jaxpr, flags)
    program, out_nonzero = taylor_jaxpr(jaxpr, order, tuple([(flag,) * order for flag in flags]), filled=True)
    return program, tuple(map(any, out_nonzero))


def flags_of(series: Sequence[Any], order: int) -> tuple[Flags, ...]:
    """Which coefficients of these series are not zero, up to an order."""
    return tuple([(False,) * order if s is None else nonzero(s) for s in series])


def by_call(
    call: Callable[..., Sequence[Any]], primals: Sequence[Any], series: Sequence[Any], out_flags: Sequence[Flags]
) -> tuple[tuple[Any, ...], list[Any]]:
    """Results and their series, where `call` runs the program of `taylor_jaxpr`, and these flags belong to it."""
    outs = tuple(call(*primals, *present(flat(series))))
    n = len(out_flags)
    rest = iter(outs[n:])
    return outs[:n], [spread(rest, flags) if any(flags) else None for flags in out_flags]


def at(k: int, series: Sequence[Any]) -> tuple[Any, ...]:
    """Coefficient `k` of each series, None for constants."""
    return tuple([None if s is None else s[k] for s in series])
