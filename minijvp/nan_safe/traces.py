"""Forward mode and linearization whose rules run so that zeros of tangents absorb."""

from __future__ import annotations

from typing import Any

from minijvp.core.program_primitive import ProgramPrimitive
from minijvp.core.types import Params, is_inexact, type_of
from minijvp.custom_rules.custom_jvp import custom_jvp_call
from minijvp.custom_rules.deferred import ByZeros
from minijvp.custom_rules.linear_solve import custom_linear_solve
from minijvp.nan_safe.absorbing import AbsorbingTrace
from minijvp.operations.cumulative import cumlogsumexp
from minijvp.operations.elementwise import Transcendental, cbrt, pow_
from minijvp.operations.families import instantiate
from minijvp.operations.softmax import LogSumExp, Softmax
from minijvp.transforms.jvp import JVPTrace
from minijvp.transforms.linearize import LinearizeTrace


class SafeJVPTrace(JVPTrace):
    """Applies the jvp rule of every operation that touches one of its tracers, to tangents whose zeros absorb.

    Programs inside are differentiated in the same way, by themselves; what a user's rule multiplies is its own, and a
    rule of the library, or of JAX, is run like that of an operation.
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
    if primitive is custom_jvp_call:
        rule = params.get("reverse") or params["rule"]
        if not getattr(rule, "absorbs", False):
            return plain(primitive, primals, tangents, params)
        if not isinstance(rule, ByZeros):  # it takes all tangents, and zeros of those that it is not given absorb too
            flags = [is_inexact(type_of(x).dtype) for x in primals]
            tangents = tuple([instantiate(t, x) if f else t for t, x, f in zip(tangents, primals, flags, strict=True)])
    elif primitive is not custom_linear_solve and (not primitive.has_steps or isinstance(primitive, ProgramPrimitive)):
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
    return primitive in (cumlogsumexp, custom_jvp_call) or isinstance(primitive, (Transcendental, Softmax, LogSumExp))


SAFE_TRACES: dict[Any, Any] = {JVPTrace: SafeJVPTrace, LinearizeTrace: SafeLinearizeTrace}
