"""The devices that a program is for, and their axes inside of jax.shard_map, where a gradient may be a sum.

Over how many devices the arrays of a program are spread is in the types that JAX has for its arguments. How each of
them lies there is not: that is the choice of the compiler.

Inside of jax.shard_map, JAX sums the cotangent of a value that is the same on all devices over those on which it was
used. Our types do not tell such values from others, so reverse mode refuses what would need that sum.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import jax
from jax.sharding import AxisType

from minijvp.core.tracer import Tracer
from minijvp.core.tracing import state, typed_axes, varying_axes
from minijvp.core.types import is_inexact, type_of
from minijvp.errors import ArgumentError

_devices: ContextVar[int] = ContextVar("minijvp.devices", default=1)


def number_of_devices() -> int:
    """Over how many devices the arrays of the program are spread that is staged here; 1 where that is not known."""
    return _devices.get()


def devices_of(values: Iterable[Any]) -> int:
    """The size of the largest mesh among those of arrays and shardings, without axes that jax.shard_map maps over."""
    found = 1
    for x in values:
        mesh = getattr(jax.typeof(x).sharding if isinstance(x, jax.Array) else x, "mesh", None)
        if mesh is not None and not mesh.empty:
            kinds = zip(mesh.axis_sizes, mesh.axis_types, strict=True)
            found = max(found, math.prod([n for n, kind in kinds if kind is not AxisType.Manual]))
    return found


@contextmanager
def spread_like(values: Iterable[Any]) -> Iterator[None]:
    """Context manager: inside, a program is staged that is for the devices of these arrays and shardings at least."""
    token = _devices.set(max(_devices.get(), devices_of(values)))
    try:
        yield
    finally:
        _devices.reset(token)


@contextmanager
def staged_for(leaves: Sequence[Any], shardings: Iterable[Any] = ()) -> Iterator[None]:
    """Context manager: inside, a program of arguments like these is staged, to be a part of one of JAX."""
    before = state.vary_alike
    state.vary_alike = len({varying_axes(x) for x in leaves if is_inexact(type_of(x).dtype)}) <= 1
    try:
        with spread_like([*leaves, *shardings]):
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
