"""Calls of Python functions on the host, from programs that run anywhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.experimental import io_callback as io_callback_by_jax

from minijvp import trees
from minijvp.core.primitive import Axis, Primitive
from minijvp.core.types import Array, ArrayType, Params
from minijvp.errors import ArgumentError, MissingRuleError
from minijvp.operations.families import all_batched
from minijvp.operations.shape import expand_dims

Types = tuple[ArrayType, ...]


class Callback(Primitive):
    """A call of a Python function of flat arguments, which returns a sequence of arrays. It has no derivative."""

    recomputable = "never"
    has_steps = False

    def type_rule(self, *types: ArrayType, result_types: Types, **params: Any) -> Types:
        return result_types

    def jvp(self, primals: tuple, tangents: tuple, *, callback: Callable[..., Any], **params: Any) -> tuple[Any, Any]:
        raise MissingRuleError(
            f"{self.name} of {called(callback)} was differentiated.",
            "What a Python function does with its arguments is not recorded, so its derivative is not known.",
            "Give it a rule: put the call in a function with custom_jvp or custom_vjp. Where the derivative is not "
            "wanted, apply stop_gradient to the arguments.",
        )

    def sequential(
        self,
        axis: Axis,
        args: tuple,
        batched: tuple[bool, ...],
        *,
        callback: Callable[..., Any],
        result_types: Types | None = None,
        **params: Any,
    ) -> tuple[Any, Any]:
        """The batch rule by which the function is called once for each lane."""
        each = EachLane(callback, axis.size, batched, result_types or ())
        if result_types is not None:
            params["result_types"] = stacked(axis, result_types)
        outs = self(*args, callback=each, **params)
        return outs, (True,) * len(outs)


class PureCallback(Callback):
    """The results, of `result_types`, of a Python function without effects: it is called once, often, or not at all.

    Under vmap `vmap_method` says what it is called with: "sequential" (or "sequential_unrolled"), with the arguments of
    each lane; "expand_dims" and "broadcast_all", with a leading axis on all arguments, of size 1 or repeated on those
    that are not batched; "legacy_vectorized", with one on those that are batched.
    """

    def impl(
        self,
        *args: Array,
        callback: Callable[..., Any],
        result_types: Types,
        vmap_method: str | None,
        sharding: Any = None,
    ) -> tuple[Any, ...]:
        call = lambda *xs: tuple(callback(*xs))
        how = {"vmap_method": vmap_method, "sharding": sharding}
        return tuple(jax.pure_callback(call, structs(result_types), *args, **how))

    def batch(self, axis: Axis, args: tuple, batched: tuple[bool, ...], **params: Any) -> tuple[Any, Any]:
        method = params["vmap_method"]
        if method in ("sequential", "sequential_unrolled"):
            return self.sequential(axis, args, batched, **params)
        if method == "expand_dims":
            args = tuple([x if b else expand_dims(x, (0,)) for x, b in zip(args, batched, strict=True)])
        elif method == "broadcast_all":
            args = tuple(all_batched(axis, args, batched))
        elif method != "legacy_vectorized":
            raise MissingRuleError(
                f"pure_callback of {called(params['callback'])} has vmap_method={method!r}.",
                "A Python function takes what it was written for, and no vmap_method says how it takes batches.",
                'Give it a vmap_method: "sequential" always works; "expand_dims" and "broadcast_all" do if the '
                "function takes arrays with a leading axis.",
            )
        outs = self(*args, **dict(params, result_types=stacked(axis, params["result_types"])))
        return outs, (True,) * len(outs)


class IOCallback(Callback):
    """The results, of `result_types`, of a Python function that has effects. With `ordered` they keep their order."""

    def has_effects(self, params: Params) -> bool:
        return True

    def impl(
        self, *args: Array, callback: Callable[..., Any], result_types: Types, ordered: bool, sharding: Any = None
    ) -> tuple[Any, ...]:
        call = lambda *xs: tuple(callback(*xs))
        how = {"ordered": ordered, "sharding": sharding}
        return tuple(io_callback_by_jax(call, structs(result_types), *args, **how))

    def batch(self, axis: Axis, args: tuple, batched: tuple[bool, ...], **params: Any) -> tuple[Any, Any]:
        if params["ordered"]:
            raise ArgumentError(
                f"vmap met an ordered io_callback of {called(params['callback'])}.",
                "All lanes run together, so that there is no order among their effects.",
                "Say ordered=False, or loop over the lanes (minijvp.lax.scan or map).",
            )
        return self.sequential(axis, args, batched, **params)


class DebugCallback(Callback):
    """Nothing, but calls a Python function that looks at the arguments. No derivative passes, and none is an error."""

    def has_effects(self, params: Params) -> bool:
        return True

    def impl(self, *args: Array, callback: Callable[..., Any], ordered: bool) -> tuple[()]:
        jax.debug.callback(callback, *args, ordered=ordered)
        return ()

    def evaluate(self, args: tuple, params: Params) -> tuple[()]:
        return self.impl(*args, **params)  # a compiled call for every new function would cost more than the call

    def type_rule(self, *types: ArrayType, **params: Any) -> tuple[()]:
        return ()

    def jvp(self, primals: tuple, tangents: tuple, **params: Any) -> tuple[Any, Any]:
        return self(*primals, **params), ()

    def batch(self, axis: Axis, args: tuple, batched: tuple[bool, ...], **params: Any) -> tuple[Any, Any]:
        return self.sequential(axis, args, batched, **params)


@dataclass(frozen=True)
class EachLane:
    """The function that calls `callback` once for each lane of its batched arguments."""

    callback: Callable[..., Any]
    size: int
    batched: tuple[bool, ...]
    result_types: Types

    def __call__(self, *xs: Array) -> list[Any]:
        # No JAX computation may start here: it could wait for the one that waits for this function.
        xs = tuple([np.asarray(x) if b else x for x, b in zip(xs, self.batched, strict=True)])
        rows = [
            self.callback(*[jax.device_put(x[i]) if b else x for x, b in zip(xs, self.batched, strict=True)])
            for i in range(self.size)
        ]
        empty = [np.zeros((0, *t.shape), t.dtype) for t in self.result_types]
        return [np.stack([np.asarray(row[i]) for row in rows]) if rows else x for i, x in enumerate(empty)]


def called(callback: Any) -> str:
    """How messages call the function behind a callback."""
    while (inner := getattr(callback, "callback", None) or getattr(callback, "callback_func", None)) is not None:
        callback = inner
    return trees.function_name(callback)


def structs(types: Types) -> tuple[Any, ...]:
    """The types of results as JAX writes them."""
    return tuple([jax.ShapeDtypeStruct(t.shape, t.dtype) for t in types])


def stacked(axis: Axis, types: Types) -> Types:
    """The types of values with one row for each lane."""
    return tuple([t.stacked(axis.size, axis.split) for t in types])


pure_callback = PureCallback("pure_callback")
io_callback = IOCallback("io_callback")
debug_callback = DebugCallback("debug_callback")
