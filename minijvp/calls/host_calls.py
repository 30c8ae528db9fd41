"""Calls of Python functions as users write them: with pytrees, and with results whose types they say.

pure_callback and io_callback : (a -> b, type of b, a) -> b
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
from jax.experimental import io_callback as io_callback_by_jax
from jax.tree_util import tree_flatten, tree_leaves, tree_unflatten

from minijvp import trees
from minijvp.api.programs import abstract_types
from minijvp.calls.callback import io_callback as io_callback_primitive
from minijvp.calls.callback import pure_callback as pure_callback_primitive
from minijvp.core.tracing import nothing_is_traced
from minijvp.core.types import Array, is_arraylike
from minijvp.errors import ArgumentError
from minijvp.tracebacks import border


@dataclass(frozen=True)
class HostCall:
    """A Python function as one of the arrays among its arguments. Calls with equal ones share a program."""

    callback: Callable[..., Any]
    tree: Any
    others: tuple[tuple[int, Any], ...]
    """The leaves that are no arrays, with their numbers."""

    @classmethod
    def of(cls, callback: Callable[..., Any], args: tuple, kwargs: dict[str, Any]) -> tuple[HostCall, list[Any]]:
        """The call with these arguments, and the arrays among them."""
        leaves, tree = tree_flatten((args, kwargs))
        others = tuple([(i, x) for i, x in enumerate(leaves) if not is_arraylike(x)])
        numbers = {i for i, _ in others}
        arrays = [x for i, x in enumerate(leaves) if i not in numbers]
        return cls(callback, tree, others), trees.as_arrays(arrays, lambda i: f"array {i} of a callback")

    def __call__(self, *arrays: Array) -> Any:
        rest, others = iter(arrays), dict(self.others)
        leaves = [others[i] if i in others else next(rest) for i in range(len(arrays) + len(others))]
        args, kwargs = tree_unflatten(self.tree, leaves)
        return self.callback(*args, **kwargs)


@dataclass(frozen=True)
class ResultCall(HostCall):
    """One whose results are flat, and held against their structure when they come."""

    out_tree: Any = None

    def __call__(self, *arrays: Array) -> list[Any]:
        result = super().__call__(*arrays)
        name = trees.function_name(self.callback)
        outs, found = tree_flatten(result)
        if found != self.out_tree:
            raise ArgumentError(
                f"{name}, a callback, returned a result of structure {found}, and was to return {self.out_tree}.",
                "The program was made for the structure of result_shape_dtypes.",
                "Return the same containers.",
            )
        return outs


@border
def pure_callback(
    callback: Callable[..., Any],
    result_shape_dtypes: Any,
    *args: Any,
    sharding: Any = None,
    vmap_method: str | None = None,
    **kwargs: Any,
) -> Any:
    """The result of a Python function without effects, called on the host whenever the program runs.

    Args:
        callback: takes pytrees of arrays and returns one. It may be called once, often, or not at all.
        result_shape_dtypes: the types of its result, a pytree of jax.ShapeDtypeStruct, or of arrays.
        args, kwargs: its arguments.
        sharding: the device from which it is called.
        vmap_method: what it is called with under vmap: "sequential", with the arguments of each lane; "expand_dims" and
            "broadcast_all", with a leading axis on all arguments, of size 1 or repeated on those that are not batched.

    It has no derivative: give one with custom_jvp or custom_vjp, or use minijvp.external.

    Raises MissingRuleError for a derivative, and for vmap without a vmap_method; ArgumentError for other types.

    >>> import jax, numpy as np, minijvp
    >>> kind = jax.ShapeDtypeStruct((), "float32")
    >>> float(minijvp.jit(lambda x: minijvp.pure_callback(lambda x: np.float32(2 * x), kind, x))(3.0))
    6.0
    """
    trees.require_callable(callback, "pure_callback")
    how = {"vmap_method": vmap_method, "sharding": sharding}
    if nothing_is_traced():
        return jax.pure_callback(callback, result_shape_dtypes, *args, **how, **kwargs)
    return called(pure_callback_primitive, callback, result_shape_dtypes, args, kwargs, how)


def io_callback(
    callback: Callable[..., Any],
    result_shape_dtypes: Any,
    *args: Any,
    sharding: Any = None,
    ordered: bool = False,
    **kwargs: Any,
) -> Any:
    """The result of a Python function that has effects, called on the host once whenever the program runs.

    Args:
        callback: takes pytrees of arrays and returns one.
        result_shape_dtypes: the types of its result, a pytree of jax.ShapeDtypeStruct, or of arrays; None for nothing.
        args, kwargs: its arguments.
        sharding: the device from which it is called.
        ordered: keep the order of the calls in the program. vmap refuses that, and calls once for each lane otherwise.

    Raises MissingRuleError for a derivative; ArgumentError for other types, and for an ordered one under vmap.
    """
    trees.require_callable(callback, "io_callback")
    how = {"ordered": ordered, "sharding": sharding}
    if nothing_is_traced():
        return io_callback_by_jax(callback, result_shape_dtypes, *args, **how, **kwargs)
    return called(io_callback_primitive, callback, result_shape_dtypes, args, kwargs, how)


def called(
    primitive: Any, callback: Any, result_shape_dtypes: Any, args: tuple, kwargs: dict[str, Any], how: dict[str, Any]
) -> Any:
    """The result of a callback, as an operation of the program."""
    leaves, out_tree = tree_flatten(result_shape_dtypes)
    types = tuple([t.strong() for t in abstract_types(leaves, trees.result_namer(result_shape_dtypes, primitive.name))])
    trees.as_arrays(tree_leaves((args, kwargs)), trees.call_namer(callback, args, kwargs))
    call, arrays = HostCall.of(callback, args, kwargs)
    returning = ResultCall(call.callback, call.tree, call.others, out_tree)
    if how["sharding"] is None:
        del how["sharding"]
    return tree_unflatten(out_tree, primitive(*arrays, callback=returning, result_types=types, **how))
