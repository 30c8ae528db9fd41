"""Forward mode and linearization whose rules run so that zeros of tangents absorb."""

from __future__ import annotations

from typing import Any

from minijvp.core.program_primitive import ProgramPrimitive
from minijvp.core.types import Params
from minijvp.nan_safe.absorbing import AbsorbingTrace
from minijvp.operations.cumulative import cumlogsumexp
from minijvp.operations.elementwise import Transcendental, cbrt, pow_
from minijvp.operations.softmax import LogSumExp, Softmax
from minijvp.transforms.jvp import JVPTrace
from minijvp.transforms.linearize import LinearizeTrace


class SafeJVPTrace(JVPTrace):
    """Applies the jvp rule of every operation that touches one of its tracers, to tangents whose zeros absorb.

    Programs inside are differentiated in the same way, by themselves; what a user's rule multiplies is its own.
    """

    __slots__ = ()

    def apply(self, primitive: Any, primals: tuple, tangents: tuple, params: Params) -> tuple[Any, Any]:
        return apply(self, super().apply, primitive, primals, tangents, params)


class SafeLinearizeTrace(LinearizeTrace):
    """The same over a recorder."""

    __slots__ = ()

    def apply(self, primitive: Any, primals: tuple, tangents: tuple, params: Params) -> tuple[Any, Any]:
        return apply(self, super().apply, primitive, primals, tangents, params)


def apply(trace: JVPTrace, plain: Any, primitive: Any, primals: tuple, tangents: tuple, params: Params) -> Any:
    """Result and tangent of an operation, by its rule, in which zeros of tangents absorb."""
    if not primitive.has_steps or isinstance(primitive, ProgramPrimitive):
        return plain(primitive, primals, tangents, params)
    parent = trace.parent
    wrapping = trace.parent = AbsorbingTrace(parent, exact=not underflows(primitive))
    try:
        out, t = plain(primitive, primals, wrapping.wrap(tangents), params)
    finally:
        trace.parent = parent
    return wrapping.unwrap(out), wrapping.unwrap(t)


def underflows(primitive: Any) -> bool:
    """Whether the derivative of an operation may be zero where it only rounds to zero."""
    if primitive is pow_ or primitive is cbrt:
        return False
    return primitive is cumlogsumexp or isinstance(primitive, (Transcendental, Softmax, LogSumExp))


SAFE_TRACES: dict[Any, Any] = {JVPTrace: SafeJVPTrace, LinearizeTrace: SafeLinearizeTrace}
