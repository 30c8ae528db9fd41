"""Programs on duals, whose tangents may be many: those in one direction, or Taylor coefficients up to an order."""

from __future__ import annotations

from minijvp.calls.programs import Flags
from minijvp.core.jaxpr import Jaxpr
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
