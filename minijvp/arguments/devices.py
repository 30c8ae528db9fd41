"""Axes of devices inside of jax.shard_map, which JAX has in the types of values: there a gradient may be a sum.

JAX sums the cotangent of a value that is the same on all devices over those on which it was used. Our types do not tell
such values from others, so reverse mode refuses what would need that sum.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from minijvp.core.tracer import Tracer
from minijvp.core.tracing import state, typed_axes, varying_axes
from minijvp.core.types import is_inexact, type_of
from minijvp.errors import ArgumentError


@contextmanager
def staged_for(leaves: Sequence[Any]) -> Iterator[None]:
    """Context manager: inside, a program of arguments like these is staged, to be a part of one of JAX."""
    before = state.vary_alike
    state.vary_alike = len({varying_axes(x) for x in leaves if is_inexact(type_of(x).dtype)}) <= 1
    try:
        yield
    finally:
        state.vary_alike = before


def require_no_sum(who: str, leaves: Sequence[Any], outs: Sequence[Any], name: Callable[[int], str]) -> None:
    """Raise ArgumentError if the cotangents of some leaves are sums over devices, for these results of a function.

    That may be where JAX traces, and nowhere else.
    """
    if any(isinstance(x, Tracer) for x in (*leaves, *outs)):
        if not state.vary_alike and typed_axes():
            raise refused(
                f"{who} was staged (by jit, to_jax, a loop or a choice), with arguments that vary differently"
            )
        return
    result = frozenset().union(*map(varying_axes, outs))
    for i, x in enumerate(leaves):
        lacking = result - varying_axes(x)
        if lacking and is_inexact(type_of(x).dtype):
            raise refused(
                f"the result varies along {sorted(lacking)}, and {name(i)}, which {who} differentiates, does not"
            )


def refused(what: str) -> ArgumentError:
    """The error for a derivative that would be a part of the right one."""
    return ArgumentError(
        f"inside of jax.shard_map: {what}.",
        "With check_vma=True, JAX sums the gradient of a value that does not vary over the devices; this one would be "
        "the part of a single device.",
        "Let JAX differentiate, by minijvp's rules: jax.grad(minijvp.to_jax(f)); or say check_vma=False, and sum the "
        "gradient yourself: jax.lax.psum(gradient, axis_name).",
    )
