"""Functions of NumPy, SciPy and other libraries as functions of minijvp, with rules that are such functions too."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import tree_flatten, tree_structure, tree_unflatten

from minijvp import trees
from minijvp.api.programs import abstract_types
from minijvp.calls.callback import Callback, EachLane, pure_callback, stacked, structs
from minijvp.calls.programs import are_inexact, instantiate_inexact, tangent_types
from minijvp.core.primitive import Axis
from minijvp.core.tracing import state
from minijvp.core.types import ArrayType, Params, is_inexact, type_of
from minijvp.custom_rules.decorators import custom_jvp
from minijvp.errors import ArgumentError, MissingRuleError
from minijvp.operations.families import all_batched, instantiate, is_linear, spread
from minijvp.transforms.staging import argument_type

Types = tuple[ArrayType, ...]
METHODS = ("sequential", "expand_dims", "broadcast_all", "legacy_vectorized")


class CallbackLinear(Callback):
    """A linear function on the host, `forward`, of the arguments from number `n` on; `backward` is its transpose.

    Both take `n` arguments in which they are not linear, and then tangents or cotangents; the results of `forward`
    have `result_types`.
    """

    def goes_forward(self, params: Params) -> bool:
        """Not as well as backward, if that takes a call for each unit vector."""
        forward = params["forward"]
        while isinstance(forward, Lanes):
            forward = forward.callback
        return not isinstance(forward, ByColumns)

    def impl(
        self, *args: Any, forward: HostMap | Lanes, backward: HostMap | Lanes, n: int, result_types: Types
    ) -> tuple[Any, ...]:
        forward.require_real()
        call = lambda *xs: tuple(forward(*xs))
        return tuple(jax.pure_callback(call, structs(result_types), *args, vmap_method="sequential"))

    def type_rule(self, *types: ArrayType, result_types: Types, **params: Any) -> Types:
        return result_types

    def jvp(self, primals: tuple, tangents: tuple, **params: Any) -> tuple[Any, Any]:
        n = params["n"]
        if any(t is not None for t in tangents[:n]):
            line = f", at {state.source}: {state.source.text}" if state.source else ""
            raise MissingRuleError(
                f"the rule of the external function {params['forward'].name} was differentiated{line}.",
                "It is a function of another library, and no derivative was given for it.",
                "Give a rule that can be differentiated: custom_jvp with a rule that calls functions made by "
                "minijvp.external, each with a rule of its own.",
            )
        ts = [instantiate(t, x) for t, x in zip(tangents[n:], primals[n:], strict=True)]
        return self(*primals, **params), self(*primals[:n], *ts, **params)

    def transpose(self, ct: tuple, *args: Any, forward: Any, backward: Any, n: int, result_types: Types) -> Any:
        ts = args[n:]
        types = tuple([ArrayType(t.shape, t.dtype) for t in (x if is_linear(x) else type_of(x) for x in ts)])
        cts = instantiate_inexact(ct, result_types)
        found = self(*args[:n], *cts, forward=backward, backward=forward, n=n, result_types=types)
        return (None,) * n + tuple([c if is_linear(x) else None for c, x in zip(found, ts, strict=True)])

    def batch(self, axis: Axis, args: tuple, batched: tuple[bool, ...], **params: Any) -> tuple[Any, Any]:
        n, result_types = params["n"], params["result_types"]
        ts = all_batched(axis, args[n:], batched[n:])
        lanes = batched[:n] + (True,) * len(ts)
        back = batched[:n] + (True,) * len(result_types)
        outs = self(
            *args[:n],
            *ts,
            forward=Lanes(params["forward"], axis.size, lanes, result_types),
            backward=Lanes(
                params["backward"], axis.size, back, tuple([t.with_shape(t.shape[1:]) for t in map(type_of, ts)])
            ),
            n=n,
            result_types=stacked(axis, result_types),
        )
        return outs, (True,) * len(outs)


callback_linear = CallbackLinear("callback_linear")


class Lanes(EachLane):
    """A function on the host, called once for each lane."""

    callback: HostMap | Lanes

    @property
    def name(self) -> str:
        return self.callback.name

    def require_real(self) -> None:
        self.callback.require_real()


def external(
    fun: Callable[..., Any],
    result_type: Any,
    jvp: Callable[..., Any] | None = None,
    vjp: Callable[..., Any] | None = None,
    differences: bool = False,
    vmap_method: str = "sequential",
) -> Callable[..., Any]:
    """A function of minijvp that calls `fun`, of NumPy or any other library, on the host.

    Args:
        fun: takes pytrees of NumPy arrays by position and returns one. It has no effects: it may be called once, often
            or not at all.
        result_type: the types of its result, a pytree of jax.ShapeDtypeStruct; or a function that returns such from
            the arguments' types.
        jvp: a rule for tangents, `jvp(primals, tangents)`: takes two tuples and returns a tangent of the result.
        vjp: a rule for cotangents, `vjp(primals, ct)`: returns a tuple with a cotangent, or None, for each argument.
        differences: with no rule, differentiate by central differences. Their relative error is about eps ** (2/3),
            where eps is the precision of the arguments' dtype: 4e-11 in float64, 2e-5 in float32.
        vmap_method: how `fun` is called under vmap: "sequential", lane by lane, or, where it takes leading axes, as
            jax.pure_callback has it. Rules are called lane by lane.

    One rule serves both modes: reverse mode by `jvp` (or by differences) calls it for each element of the arguments,
    forward mode by `vjp` for each element of the result; with both rules each mode has its own. Integers have tangents
    of dtype float0. Second derivatives are those of a rule, which has none: write custom_jvp with external functions.

    Raises MissingRuleError for a derivative without a rule, and for one of a rule; ArgumentError for wrong types,
    and for complex numbers in a mode that has no rule of its own.

    >>> import jax, numpy as np, minijvp
    >>> like = lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype)
    >>> sine = minijvp.external(np.sin, like, jvp=lambda primals, tangents: np.cos(*primals) * tangents[0])
    >>> float(minijvp.grad(lambda x: 2 * sine(x))(0.0))
    2.0
    """
    making = external, {**locals()}
    trees.require_callable(fun, "external")
    for rule, what in ((jvp, "jvp"), (vjp, "vjp")):
        if rule is not None:
            trees.require_callable(rule, f"external(..., {what}=...)")
    if vmap_method not in METHODS:
        raise ArgumentError(
            f"external received vmap_method={vmap_method!r}.",
            f"The methods are {', '.join(map(repr, METHODS))}.",
            'Pass one; "sequential" always works.',
        )
    if differences and (jvp is not None or vjp is not None):
        raise ArgumentError(
            f"external of {trees.function_name(fun)} received a rule and differences=True.",
            "Differences are for functions without a rule.",
            "Omit one of them.",
        )
    made = External(fun, result_type, jvp, vjp, vmap_method)
    function = trees.wraps(made.function(), making)(made)
    if jvp is None and vjp is None and not differences:
        return function
    ruled = custom_jvp(function)
    ruled.making = making

    ruled.defjvp(lambda primals, tangents: (ruled(*primals), made.tangent(primals, tangents)))
    return ruled


class External:
    """A function on the host with the types of its result and, maybe, rules."""

    def __init__(self, fun: Any, result_type: Any, jvp: Any, vjp: Any, vmap_method: str):
        self.fun, self.result_type, self.jvp, self.vjp, self.vmap_method = fun, result_type, jvp, vjp, vmap_method
        self.name = trees.function_name(fun)

    def __call__(self, *args: Any) -> Any:
        leaves, signature = self.signature(args)
        call = HostCall(self.fun, self.name, signature)
        params = {"result_types": signature.out_types, "vmap_method": self.vmap_method}
        return tree_unflatten(signature.out_tree, pure_callback(*leaves, callback=call, **params))

    def function(self) -> Callable[..., Any]:
        """A function of arguments by position. Which they are is not known of functions in C."""

        def call(*args: Any) -> Any:
            return self(*args)

        call.__name__, call.__doc__ = self.name, self.fun.__doc__
        try:
            signature = inspect.signature(self.fun)
        except (TypeError, ValueError):
            return call
        if all(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in signature.parameters.values()):
            call.__signature__ = signature  # type: ignore[attr-defined]
        return call

    def signature(self, args: tuple) -> tuple[list[Any], Signature]:
        """The leaves of the arguments, and the trees and types of a call."""
        leaves, in_tree = tree_flatten(args)
        leaves = trees.as_arrays(leaves, trees.call_namer(self.fun, args, {}))
        in_types = tuple(map(argument_type, leaves))
        wanted = self.result_type
        if callable(wanted):
            wanted = wanted(*tree_unflatten(in_tree, structs(in_types)))
        kinds, out_tree = tree_flatten(wanted)
        out_types = abstract_types(kinds, lambda i: f"result_type{trees.leaf_paths(wanted)[i]} of {self.name}")
        return leaves, Signature(in_tree, in_types, out_tree, tuple([ArrayType(t.shape, t.dtype) for t in out_types]))

    def tangent(self, primals: tuple, tangents: tuple) -> Any:
        """The tangent of the result, by a callback that is linear in the tangents."""
        leaves, signature = self.signature(primals)
        inexact = are_inexact(signature.in_types)
        ts = [t for t, flag in zip(tree_flatten(tangents)[0], inexact, strict=True) if flag]
        forward, backward = self.linear_maps(signature)
        types = tangent_types(signature.out_types)
        found = callback_linear(*leaves, *ts, forward=forward, backward=backward, n=len(leaves), result_types=types)
        return tree_unflatten(signature.out_tree, spread(found, are_inexact(signature.out_types)))

    def linear_maps(self, signature: Signature) -> tuple[HostMap, HostMap]:
        """The maps of tangents and of cotangents, one of them maybe by the other."""
        if self.vjp is None:
            forward = Pushed(self.jvp, self.name, signature) if self.jvp else Quotient(self.fun, self.name, signature)
            return forward, ByColumns(forward, self.name, signature, transposed=True)
        backward = Pulled(self.vjp, self.name, signature)
        if self.jvp is None:
            return ByColumns(backward, self.name, signature, transposed=False), backward
        return Pushed(self.jvp, self.name, signature), backward


@dataclass(frozen=True)
class Signature:
    """The trees and types of the arguments and of the result of a call."""

    in_tree: Any
    in_types: Types
    out_tree: Any
    out_types: Types

    def arguments(self, xs: Sequence[Any]) -> tuple:
        """The leaves as the tuple of arguments."""
        return tree_unflatten(self.in_tree, list(map(np.asarray, xs)))


@dataclass(frozen=True, repr=False)
class HostMap:
    """A function of flat arrays on the host. Equal ones, by function and types, share one compiled program."""

    fun: Any
    name: str
    signature: Signature

    def __call__(self, *args: Any) -> list[Any]:
        raise NotImplementedError

    @property
    def callback_func(self) -> Any:
        """What messages call this map."""
        return self.fun

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    def require_real(self) -> None:
        """Raise ArgumentError where the map is made for real numbers, and there are others."""

    def parts(self, args: Sequence[Any]) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """The leaves of the primals, and what follows."""
        n = len(self.signature.in_types)
        return list(map(np.asarray, args[:n])), list(map(np.asarray, args[n:]))


class HostCall(HostMap):
    """The function itself."""

    def __call__(self, *args: Any) -> list[Any]:
        result = self.fun(*self.signature.arguments(args))
        return checked(result, self.signature.out_tree, self.signature.out_types, f"{self.name} returned", exact=False)


class Pushed(HostMap):
    """Tangents of the inexact results, by a rule for tangents."""

    def __call__(self, *args: Any) -> list[Any]:
        primals, ts = self.parts(args)
        rest, types = iter(ts), self.signature.in_types
        tangents = [next(rest) if flag else float0(t) for flag, t in zip(are_inexact(types), types, strict=True)]
        result = self.fun(self.signature.arguments(primals), self.signature.arguments(tangents))
        return inexact_leaves(result, self.signature.out_tree, self.signature.out_types, f"the jvp of {self.name} gave")


class Pulled(HostMap):
    """Cotangents of the inexact arguments, by a rule for cotangents."""

    def __call__(self, *args: Any) -> list[Any]:
        primals, cts = self.parts(args)
        rest, types = iter(cts), self.signature.out_types
        given = [next(rest) if flag else float0(t) for flag, t in zip(are_inexact(types), types, strict=True)]
        result = self.fun(self.signature.arguments(primals), tree_unflatten(self.signature.out_tree, given))
        return inexact_leaves(result, self.signature.in_tree, self.signature.in_types, f"the vjp of {self.name} gave")


class Quotient(HostMap):
    """Tangents of the inexact results, by central differences along the tangents."""

    def require_real(self) -> None:
        refuse_complex(self.name, self.signature)

    def __call__(self, *args: Any) -> list[Any]:
        primals, ts = self.parts(args)
        flags = are_inexact(self.signature.in_types)
        moved = [x for x, flag in zip(primals, flags, strict=True) if flag]
        eps = max(float(jnp.finfo(x.dtype).eps) for x in moved)
        longest = max(float(np.max(np.abs(t), initial=0.0)) for t in ts)
        size = max([1.0] + [float(np.max(np.abs(x), initial=0.0)) for x in moved])
        step = eps ** (1 / 3) * size / (longest or 1.0)
        call, rows = HostCall(self.fun, self.name, self.signature), []
        for sign in (1, -1):
            rest = iter(ts)
            xs = [x + (sign * step * next(rest)).astype(x.dtype) if f else x for x, f in zip(primals, flags)]
            rows.append(call(*xs))
        inexact = are_inexact(self.signature.out_types)
        return [((a - b) / (2 * step)).astype(a.dtype) for a, b, f in zip(*rows, inexact, strict=True) if f]


@dataclass(frozen=True, repr=False)
class ByColumns(HostMap):
    """The transpose of another linear map, `fun`, which is called for each unit vector."""

    transposed: bool

    def require_real(self) -> None:
        refuse_complex(self.name, self.signature)

    def __call__(self, *args: Any) -> list[Any]:
        primals, given = self.parts(args)
        types = tangent_types(self.signature.in_types if self.transposed else self.signature.out_types)
        found = [np.zeros(t.shape, t.dtype) for t in types]
        for out in found:
            for index in np.ndindex(out.shape):
                units = [np.zeros(t.shape, t.dtype) for t in types]
                units[next(k for k, x in enumerate(found) if x is out)][index] = 1
                columns = self.fun(*primals, *units)
                out[index] = sum(np.sum(np.asarray(c) * g) for c, g in zip(columns, given, strict=True))
        return found


def float0(t: ArrayType) -> np.ndarray:
    """The tangent of an integer."""
    return np.zeros(t.shape, jax.dtypes.float0)


def checked(result: Any, tree: Any, types: Types, what: str, exact: bool = True) -> list[np.ndarray]:
    """The leaves of what the host returned, in the dtypes of `types`; ArgumentError if they do not fit."""
    leaves, found = tree_flatten(result)
    if found != tree:
        raise ArgumentError(
            f"{what} the tree {found}, but {tree} was promised.",
            "A program is made for the types that are promised before the function runs.",
            "Correct the function or the promise.",
        )
    arrays = [np.asarray(x, t.dtype) for x, t in zip(leaves, types, strict=True)]
    for x, t, path in zip(arrays, types, trees.leaf_paths(result), strict=True):
        # Called with a batch, the function returns one: JAX holds the leading axes against the arguments'.
        if (x.shape if exact else x.shape[max(x.ndim - t.ndim, 0) :]) != t.shape:
            raise ArgumentError(
                f"{what} an array of shape {x.shape} at {path or 'the whole'}, where {t!r} was promised.",
                "A program is made for the types that are promised before the function runs.",
                "Correct the function or the promise.",
            )
    return arrays


def inexact_leaves(result: Any, tree: Any, types: Types, what: str) -> list[np.ndarray]:
    """The inexact leaves of tangents or cotangents; a None stands for zeros, and for those of an integer."""
    leaves, found = tree_flatten(result, is_leaf=lambda x: x is None)
    if found == tree or found == tree_structure(tree_unflatten(tree, [None] * len(types)), is_leaf=lambda x: x is None):
        zeros = [np.zeros(t.shape, t.dtype) for t in types]
        leaves = [
            z if x is None or not is_inexact(t.dtype) else x for x, z, t in zip(leaves, zeros, types, strict=True)
        ]
        result = tree_unflatten(tree, leaves)
    arrays = checked(result, tree, types, what)
    return [x for x, flag in zip(arrays, are_inexact(types), strict=True) if flag]


def refuse_complex(name: str, signature: Signature) -> None:
    """Raise ArgumentError where a derivative is not given by unit vectors."""
    if any(t.dtype.kind == "c" for t in signature.in_types + signature.out_types):
        raise ArgumentError(
            f"the external function {name} of complex numbers was differentiated without a rule for that mode.",
            "Differences, and one rule in place of the other, are for real numbers.",
            "Give it both rules, jvp and vjp.",
        )
