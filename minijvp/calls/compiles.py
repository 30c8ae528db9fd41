"""What is compiled, how long that takes, and why again: the messages of config.explain_compiles.

They go to the logger "minijvp", as warnings, which are written to stderr where nothing else is set up. While the
setting is off, nothing of this runs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, wraps
from inspect import unwrap
from threading import Timer, local
from typing import Any
from weakref import ref

import jax
from jax.sharding import get_abstract_mesh
from jax.tree_util import tree_flatten

from minijvp import trees
from minijvp.calls.static_arguments import StaticArguments
from minijvp.core.hooks import hooks
from minijvp.core.tracer import is_traced
from minijvp.core.tracing import EVALUATION, state
from minijvp.core.types import type_of
from minijvp.errors import ArgumentError

SLOW = 2.0
"""After so many seconds it is said what is compiled, while it still is."""
CALLS, FUNCTIONS, LISTED = 64, 4096, 5
"""How many calls of a function are remembered, of how many functions, and how many differences are listed."""

STEPS = {
    "/jax/core/compile/jaxpr_trace_duration": "tracing",
    "/jax/core/compile/jaxpr_to_mlir_module_duration": "lowering",
    "/jax/core/compile/backend_compile_duration": "XLA",
}
SETTINGS = ("enable_x64", "default_matmul_precision", "numpy_dtype_promotion", "default_device", "debug_nans")
SETTINGS += ("debug_infs", "threefry_partitionable", "default_prng_impl")

Signature = Mapping[str, str]
"""What a compiled program depends on: for each argument, with its path, and each setting, what it is."""

Call = tuple[Any, Signature]
"""A call, with a weak reference to what jit made of the function."""

logger = logging.getLogger("minijvp")
histories: dict[Any, list[Call]] = {}
"""For the code of each function its calls that were compiled."""
names: set[str] = set()
"""What these functions are called."""
watching = local()


class Watch:
    """What JAX compiles in a part of a program, in this thread: how long each step of it takes."""

    def __init__(self, title: str):
        self.title = title
        self.seconds: dict[str, float] = {}

    def __str__(self) -> str:
        return (
            f"{sum(self.seconds.values()):.2f} s (" + ", ".join(f"{k} {v:.2f}" for k, v in self.seconds.items()) + ")"
        )


@cache
def listen() -> None:
    """Have JAX tell the watch of the thread how long the steps of a compilation take."""

    def told(event: str, duration_secs: float, **about: Any) -> None:
        seconds, fun_name = duration_secs, about.get("fun_name", "")
        watch, step = getattr(watching, "watch", None), STEPS.get(event)
        if watch is not None and step is not None:
            watch.seconds[step] = max(seconds, watch.seconds.get(step, 0.0))  # what is compiled inside is a part of it
        elif step == "XLA" and fun_name.rstrip(")").rpartition("(")[2] in names and hooks.explains_compiles():
            logger.warning("compiled %s in %.2f s: a part of what was lowered or differentiated", fun_name, seconds)

    jax.monitoring.register_event_duration_secs_listener(told)


@contextmanager
def watched(title: str, is_new: bool) -> Iterator[Watch]:
    """A watch, and a message if it takes long."""
    listen()
    watch, before = Watch(title), getattr(watching, "watch", None)
    timer = Timer(SLOW, lambda: logger.warning("compiling %s: for %.0f s up to now", title, SLOW)) if is_new else None
    watching.watch = watch
    if timer is not None:
        timer.daemon = True
        timer.start()
    try:
        yield watch
    finally:
        watching.watch = before
        if timer is not None:
            timer.cancel()


def explained(fun: Callable[..., Any], static: StaticArguments, run: Callable[..., Any], owner: Any, asker: str) -> Any:
    """`run`, which may compile what the jit `owner` made of `fun`, with a message if it does."""

    @wraps(run)
    def explained(*args: Any, **kwargs: Any) -> Any:
        try:
            by = asker if state.trace is EVALUATION else state.trace.description
            signature = {**signature_of(fun, static, args, kwargs), "asked for by": by}
        except (ArgumentError, TypeError, ValueError):  # `run` says it better
            return run(*args, **kwargs)
        return reported(fun, signature, lambda: run(*args, **kwargs), owner)

    return explained


def reported(fun: Callable[..., Any], signature: Signature, call: Callable[[], Any], owner: Any = None) -> Any:
    """The result of a call of `fun` with such arguments, and a message if something was compiled for it."""
    title = trees.place_of(fun)
    if len(histories) > FUNCTIONS:
        histories.clear()
        names.clear()
    names.add(trees.function_name(fun))
    past = histories.setdefault(getattr(unwrap(fun), "__code__", None) or title, [])
    known = (None if owner is None else ref(owner), signature)
    with watched(title, known not in past) as watch:
        result = call()
    if {"XLA", "lowering"} & watch.seconds.keys():
        done = "compiled" if "XLA" in watch.seconds else "lowered"
        logger.warning("%s %s in %s: %s", done, title, watch, reason(past, known))
        past[:] = [known, *[call for call in past if call != known]][:CALLS]
    return result


def reason(past: Sequence[Call], known: Call) -> str:
    """Why a call was compiled, after those of the past, of which the latest is the first."""
    if not past:
        return "first call"
    owner, signature = known
    if known in past:
        return "again, though the call is an earlier one: that was forgotten, or a setting of JAX changed"
    if any(earlier == signature for _, earlier in past):
        return "again, for jit was applied anew to a function of this line: keep what jit returns, outside of loops"
    of_same = [earlier for other, earlier in past if other == owner] or [earlier for _, earlier in past]
    closest = min((differences(earlier, signature) for earlier in of_same), key=len)
    more = len(closest) - LISTED
    listed = "; ".join(closest[:LISTED]) + (f"; and {more} more" if more > 0 else "")
    return f"again, for it is not as the closest of {len(past)} earlier ones: {listed}"


def differences(before: Signature, after: Signature) -> list[str]:
    """What is not the same in two signatures."""
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return [f"{name}: {before.get(name, 'not given')} -> {after.get(name, 'not given')}" for name in names]


def signature_of(fun: Callable[..., Any], static: StaticArguments, args: tuple, kwargs: dict[str, Any]) -> Signature:
    """What the program of a call depends on."""
    dynamic, dynamic_kwargs, fixed = static.split(args, kwargs)
    leaves, tree = tree_flatten((dynamic, dynamic_kwargs))
    numbers = {key for key, _, _ in fixed}
    name = trees.call_namer(fun, dynamic, dynamic_kwargs, [i for i in range(len(args)) if i not in numbers])
    found = {name(i): described(x) for i, x in enumerate(leaves)}
    placed = [i for i, x in enumerate(leaves) if isinstance(x, jax.Array) and not is_traced(x) and x.committed]
    found |= {f"{name(i)} lies on": str(leaves[i].sharding) for i in placed}
    for key, _, value in fixed:
        where = key if isinstance(key, str) else trees.argument_name(fun, key)
        found[f"{where} (static)"] = f"{value!r:.100}"
    return {**found, **environment(), "containers of the arguments": str(tree)}


def recurring_explained(fun: Callable[..., Any], run: Callable[..., Any], program: Any) -> Callable[..., Any]:
    """`run`, which may compile the program of a gradient of `fun`, with a message if it does and these are wanted."""

    def explained(*args: Any) -> Any:
        found = {f"array {i}": described(x) for i, x in enumerate(args)}
        which = {"asked for by": "a gradient that recurs", "its operations": f"program {id(program)}"}
        signature = {**found, **environment(), **which}
        return reported(fun, signature, lambda: run(*args))

    return explained if hooks.explains_compiles() else run


def environment() -> Signature:
    """The settings that programs depend on."""
    found = {"memory_budget, outline and nan_safe": repr(hooks.linearizer.key())}
    found |= {name: repr(getattr(jax.config, f"jax_{name}")) for name in SETTINGS}
    return {**found, "mesh": str(get_abstract_mesh())}


def described(x: Any) -> str:
    """The type of an argument."""
    t = type_of(x)
    return f"{t!r}".rstrip("*") + (" (weak type)" if getattr(t, "weak_type", True) else "")
