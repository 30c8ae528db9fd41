"""Which arguments of a call are differentiated, and what a function must return to have the derivative asked for."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
from jax.tree_util import tree_flatten, tree_unflatten

from minijvp import trees
from minijvp.core.types import is_inexact, type_of
from minijvp.errors import ArgumentError
from minijvp.trees import FlatFunction

Argnums = int | str | Sequence[int | str]


class Selection:
    """The arguments of one call that are differentiated: named by `argnums`, as positions, as names, or as both."""

    __slots__ = ("args", "fun", "keys", "kwargs", "leaves", "single", "tree", "values")

    def __init__(self, fun: Callable[..., Any], argnums: Argnums, args: tuple, kwargs: dict[str, Any]):
        self.fun, self.args, self.kwargs = fun, args, kwargs
        if type(argnums) is int and 0 <= argnums < len(args):
            self.single, self.keys = True, [argnums]
        else:
            several = trees.entries_of(argnums)
            self.single = several is None
            self.keys = resolve_all(fun, (argnums,) if several is None else several, args, kwargs)
        self.values = tuple([args[k] if isinstance(k, int) else kwargs[k] for k in self.keys])
        leaves, self.tree = tree_flatten(self.values)
        self.leaves = trees.as_arrays(leaves, self.leaf_name)

    def flat_function(self, has_aux: bool) -> FlatFunction:
        """The function of the selected leaves. Not an attribute, which would keep the selection alive."""
        return FlatFunction(self.call, self.tree, has_aux, trees.function_name(self.fun))

    def call(self, *values: Any) -> Any:
        """The result for these values of the selected arguments."""
        args, kwargs = list(self.args), self.kwargs
        for key, value in zip(self.keys, values):
            if type(key) is int:
                args[key] = value
            else:
                kwargs = {**kwargs, key: value}
        return self.fun(*args, **kwargs)

    def leaf_name(self, i: int) -> str:
        """The argument and the path of a differentiated leaf."""
        for key, value in zip(self.keys, self.values, strict=True):
            paths = trees.leaf_paths(value)
            if i < len(paths):
                return (trees.argument_name(self.fun, key) if isinstance(key, int) else key) + paths[i]
            i -= len(paths)
        raise IndexError(i)

    def unflatten(self, leaves: Sequence[Any]) -> Any:
        """A tree with an entry for each selected argument; no tuple around a single one."""
        values = tree_unflatten(self.tree, leaves)
        return values[0] if self.single else values


def resolve_all(fun: Callable[..., Any], wanted: tuple, args: tuple, kwargs: dict[str, Any]) -> list[int | str]:
    """Where the arguments that argnums names stand in this call."""
    keys = [resolve(fun, key, args, kwargs) for key in wanted]
    if len(set(keys)) != len(keys):
        raise ArgumentError(
            f"argnums={wanted!r} names an argument of {trees.function_name(fun)} twice.",
            "An argument is selected or it is not.",
            "Name each argument once.",
        )
    return keys


def resolve(fun: Callable[..., Any], key: Any, args: tuple, kwargs: dict[str, Any]) -> int | str:
    """Where the argument that `key` names stands in this call."""
    position = None if isinstance(key, str) else trees.as_index(key)
    if not isinstance(key, str) and (position is None or position < len(args) or not kwargs):
        return trees.normalize_indices((key,), len(args), "argnums", fun)[0]
    if key in kwargs:
        return key
    try:
        names = list(inspect.signature(fun).parameters)
    except (TypeError, ValueError):
        names = []
    if position is not None:
        if position < len(names) and names[position] in kwargs:
            return names[position]
        return trees.normalize_indices((key,), len(args), "argnums", fun)[0]
    if key in names and names.index(key) < len(args):
        return names.index(key)
    raise ArgumentError(
        f"argnums={key!r}: this call of {trees.function_name(fun)} has no argument of that name.",
        f"Its parameters are {names}, and it was called with {len(args)} positional arguments and {sorted(kwargs)}.",
        "Pass the argument in the call (a default value cannot be differentiated), or correct the name.",
    )


def require_differentiable(
    selection: Selection, transformation: str, holomorphic: bool, allow_int: bool = False
) -> list[bool]:
    """Which leaves are floating; ArgumentError for an argument that `transformation` cannot differentiate."""
    inexact = [is_inexact(x.dtype) for x in selection.leaves]
    if not holomorphic and all(inexact):
        return inexact
    for i, x in enumerate(selection.leaves):
        kind = type_of(x)
        if holomorphic and not jnp.issubdtype(kind.dtype, jnp.complexfloating):
            raise ArgumentError(
                f"{transformation} with holomorphic=True received {kind!r} for {selection.leaf_name(i)}.",
                "A holomorphic function maps complex numbers to complex numbers.",
                "Convert the argument to a complex dtype, or omit holomorphic.",
            )
        if not is_inexact(kind.dtype) and not allow_int:
            raise ArgumentError(
                f"{transformation} of {trees.function_name(selection.fun)} received {kind!r} for "
                f"{selection.leaf_name(i)}.",
                "Integers and booleans have no derivative: no value lies close to another.",
                "Pass floats (1.0 for 1; x.astype(float)), choose another argument with argnums, or say allow_int=True "
                "for a gradient of dtype float0.",
            )
    return inexact


def require_scalar(flat_fun: FlatFunction, outs: Sequence[Any], holomorphic: bool) -> None:
    """Raise ArgumentError if the result is not one number that has a gradient."""
    if flat_fun.n == 1 and not holomorphic and not outs[0].shape and outs[0].dtype.kind == "f":
        return
    name = flat_fun.name
    types = [type_of(x) for x in outs[: flat_fun.n]]
    if flat_fun.n != 1 or types[0].shape:
        found = ", ".join(map(repr, types)) or "nothing"
        raise ArgumentError(
            f"grad needs a function with one number as its result, but {name} returned {found}"
            f" (tree {flat_fun.out_tree}).",
            "A gradient belongs to a single number; for more, the derivative is a Jacobian.",
            "Reduce the result (.sum(), .mean()), use has_aux=True for further results, or jacrev, jacfwd or vjp.",
        )
    is_complex = jnp.issubdtype(types[0].dtype, jnp.complexfloating)
    if holomorphic != is_complex:
        raise ArgumentError(
            f"grad with holomorphic={holomorphic} needs a {'complex' if holomorphic else 'real'} result, but {name} "
            f"returned {types[0]!r}.",
            "The gradient of a complex function that is not holomorphic has two parts, and grad returns one.",
            "Differentiate mnp.real, mnp.imag or mnp.abs of the result, or say holomorphic=True if it is.",
        )
    if not is_inexact(types[0].dtype):
        raise ArgumentError(
            f"grad needs a real result, but {name} returned {types[0]!r}.",
            "An integer result is piecewise constant: its gradient is zero or does not exist.",
            "Compute the result in floating point.",
        )


def require_real(selection: Selection, transformation: str, holomorphic: bool) -> None:
    """Raise ArgumentError for a complex argument of a function that is not said to be holomorphic."""
    for i, x in enumerate(selection.leaves):
        if x.dtype.kind == "c" and not holomorphic:
            raise ArgumentError(
                f"{transformation} of {trees.function_name(selection.fun)} received {type_of(x)!r} for "
                f"{selection.leaf_name(i)}.",
                "By a complex number there are two derivatives, along the real and the imaginary axis: forward mode "
                "would give the first.",
                "Say holomorphic=True if the function is holomorphic, or differentiate by two real arguments: "
                "lambda x, y: f(x + 1j * y).",
            )


def require_result(selection: Selection, outs: Sequence[Any], transformation: str, wanted: Any) -> None:
    """Raise ArgumentError for results of another sort than `wanted`, an abstract dtype: they have no Jacobian."""
    for x in outs:
        kind = type_of(x)
        if not jnp.issubdtype(kind.dtype, wanted):
            raise ArgumentError(
                f"{transformation} with holomorphic={wanted is jnp.complexfloating} cannot use the result {kind!r} of "
                f"{trees.function_name(selection.fun)}.",
                "Results must be floating; complex ones have one derivative only if the function is holomorphic.",
                "Compute real floating results (has_aux=True for others), or say holomorphic=True.",
            )
