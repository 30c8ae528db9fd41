"""Looking into programs while they run: the names of jax.debug, for every transformation of minijvp."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import jax.debug
from jax.debug import visualize_array_sharding, visualize_sharding
from jax.tree_util import tree_flatten, tree_unflatten

from minijvp import trees
from minijvp.calls import inspection
from minijvp.calls.breakpoints import Stop
from minijvp.calls.callback import debug_callback
from minijvp.calls.host_calls import HostCall
from minijvp.core.tracing import nothing_is_traced
from minijvp.core.types import is_key, type_of
from minijvp.errors import ArgumentError
from minijvp.interop.surface import bridge

__all__ = ["breakpoint", "callback", "inspect", "inspect_array_sharding", "log", "print"]
__all__ += ["visualize_array_sharding", "visualize_sharding"]

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


def breakpoint(*, ordered: bool = False) -> None:
    """Stop in Python's debugger when the program comes here, with values in the variables of the function around.

    Args:
        ordered: keep the order of the stops, and of what is printed in order, in the program; on one device only.

    The debugger is that of Python's `breakpoint()` (`sys.breakpointhook`): `p x` shows a variable, `c` goes on. What
    was traced are arrays of NumPy there: in a derivative the primals; under vmap it stops once for each lane. It cannot
    step on, since the function has run before, and quitting ends the program with an error. Where the debugger is to
    step, write Python's `breakpoint()`, inside of `minijvp.disable_jit()`.

    >>> import jax, minijvp, sys
    >>> def f(x):
    ...     y = x * x
    ...     minijvp.debug.breakpoint()
    ...     return y
    >>> seen, debugger = [], sys.breakpointhook
    >>> sys.breakpointhook = lambda: seen.append(float(sys._getframe(1).f_locals["y"]))
    >>> slope = minijvp.jit(minijvp.grad(f))(3.0)
    >>> jax.effects_barrier()
    >>> sys.breakpointhook = debugger
    >>> seen
    [9.0]
    """
    stop = Stop(sys._getframe(1))
    debug_callback(*stop.arrays, callback=stop, ordered=ordered)


def inspect(x: Any, name: str, *, ordered: bool = False) -> Any:
    """`x`, of which statistics are shown when it is computed, and those of its derivatives when they are.

    inspect : a -> a

    Args:
        x: a pytree of arrays, each of which gets lines of its own, with its path behind the name.
        name: what the lines begin with.
        ordered: keep the order of the lines in the program; on one device only.

    A line has the type, minimum, maximum, mean and norm, and how many numbers are not finite, with the place of the
    first; the other statistics are then of the finite ones. One line is for the primal; in forward mode one for the
    tangent; and in reverse mode one for the cotangent when it arrives: none, if what is differentiated does not depend
    on the value that `inspect` returns. So write x = inspect(x, "x"). A loop shows each turn, and vmap all lanes in one
    line. Of nested derivatives the innermost has no number, and the next one out is derivative 2. What `checkpoint`
    computes again is shown again.

    Raises ArgumentError for what is no array or has no numbers, and for a name that is no string.

    >>> import minijvp, minijvp.numpy as mnp
    >>> f = lambda x: mnp.sum(minijvp.debug.inspect(mnp.sqrt(x), "root"))
    >>> slope = minijvp.grad(f)(mnp.array([0.0, 1.0, 4.0], "float32"))
    root: primal f32[3], min 0, max 2, mean 1, norm 2.236
    root: cotangent f32[3], min 1, max 1, mean 1, norm 1.732
    """
    if not isinstance(name, str):
        raise ArgumentError(
            f"debug.inspect received name={name!r:.200} of type {type(name).__name__}.",
            "The lines that it prints begin with it.",
            'Write x = debug.inspect(x, "x").',
        )
    leaves, tree = tree_flatten(x)
    paths = trees.leaf_paths(x)
    where = lambda i: f"x{paths[i]} of debug.inspect"
    leaves = trees.as_arrays(leaves, where)
    for i, leaf in enumerate(leaves):
        if is_key(leaf.dtype):
            raise ArgumentError(
                f"{where(i)} is {type_of(leaf)!r}, a random key.",
                "Keys are no numbers, and have no statistics.",
                "Look at the numbers behind it: random.key_data(key).",
            )
    leaves = [inspection.inspect(v, f"{name}{path}", ordered) for v, path in zip(leaves, paths, strict=True)]
    return tree_unflatten(tree, leaves)


def __dir__() -> list[str]:
    return sorted(__all__)
