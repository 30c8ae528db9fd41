"""Looking into programs while they run: the names of jax.debug, for every transformation of minijvp."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax.debug
from jax.debug import visualize_array_sharding, visualize_sharding

from minijvp import trees
from minijvp.calls.callback import debug_callback
from minijvp.calls.host_calls import HostCall
from minijvp.core.tracing import nothing_is_traced
from minijvp.errors import ArgumentError
from minijvp.interop.surface import bridge

__all__ = ["callback", "inspect_array_sharding", "log", "print", "visualize_array_sharding", "visualize_sharding"]

print = bridge(jax.debug.print, jax.debug, "print")
log = bridge(jax.debug.log, jax.debug, "log")
inspect_array_sharding = bridge(jax.debug.inspect_array_sharding, jax.debug, "inspect_array_sharding")


def callback(
    callback: Callable[..., None] | None = None,
    *args: Any,
    ordered: bool = False,
    partitioned: bool = False,
    **kwargs: Any,
) -> Any:
    """None, but calls a Python function with the values of the arguments whenever the program runs.

    Args:
        callback: what it returns is ignored. Without one, callback is a decorator.
        args, kwargs: pytrees of arrays; other leaves are passed on as they are.
        ordered: keep the order of the calls in the program.
        partitioned: as in jax.debug.callback, where nothing is traced.

    Under vmap it is called once for each lane. Derivatives pass by: the callback sees the values, and no tangents.

    >>> import jax, minijvp
    >>> seen = []
    >>> def f(x):
    ...     minijvp.debug.callback(lambda y: seen.append(float(y)), 2 * x)
    ...     return x**3
    >>> slope = minijvp.jit(minijvp.grad(f))(3.0)
    >>> jax.effects_barrier()
    >>> float(slope), seen
    (27.0, [6.0])
    """
    if callback is None:
        return partial(partial, _callback, ordered=ordered, partitioned=partitioned)
    return _callback(callback, *args, ordered=ordered, partitioned=partitioned, **kwargs)


def _callback(callback: Callable[..., None], *args: Any, ordered: bool, partitioned: bool, **kwargs: Any) -> None:
    trees.require_callable(callback, "debug.callback")
    if nothing_is_traced():
        jax.debug.callback(callback, *args, ordered=ordered, partitioned=partitioned, **kwargs)
        return
    if partitioned:
        raise ArgumentError(
            "debug.callback received partitioned=True under a transformation of minijvp.",
            "It would be called for each part of an array that lies on several devices.",
            "Omit it, or call jax.debug.callback inside of jax.shard_map.",
        )
    call, arrays = HostCall.of(callback, args, kwargs)
    debug_callback(*arrays, callback=call, ordered=ordered)
