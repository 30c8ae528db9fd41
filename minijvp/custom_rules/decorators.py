"""Functions with derivative rules of their users: custom_jvp and custom_vjp.

With nothing traced, a call is the function itself. Under a trace it becomes one operation, `custom_jvp_call`, whose
rules are staged when they are needed. Operands are the leaves of the arguments, after the values that the function and
its rules close over. The rules say nothing about the latter: by those the function is differentiated as it stands.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from functools import update_wrapper
from types import MethodType
from typing import Any

from jax.tree_util import tree_map

from minijvp import trees
from minijvp.calls.pickles import Making, name_of, portable, reduced
from minijvp.calls.static_arguments import as_tuple, positional_names
from minijvp.core.tracing import nothing_is_traced
from minijvp.custom_rules.rule_calls import RuledCall
from minijvp.errors import ArgumentError


class CustomRules:
    """A function with rules: one for tangents, or one for cotangents, or both, of which each mode uses its own."""

    def __init__(
        self,
        fun: Callable[..., Any],
        nondiff_argnums: int | Sequence[int] = (),
        nondiff_argnames: str | Sequence[str] = (),
    ):
        kind = type(self).__name__
        trees.require_callable(fun, kind)
        update_wrapper(self, fun)
        self.fun = fun  # after what it may bring: a rule of JAX has a `fun` too
        self.name = trees.function_name(fun)
        self.names = positional_names(fun)
        self.nondiff = (*as_tuple(nondiff_argnums, int, "nondiff_argnums", kind), *self.positions(nondiff_argnames))
        self.jvp: Callable[..., Any] | None = None
        self.fwd: Callable[..., Any] | None = None
        self.bwd: Callable[..., Any] | None = None
        self.symbolic_jvp = self.symbolic_vjp = False
        self.making: Making | None = None
        self.given: list[tuple[str, tuple]] = []  # the rules, by the methods that were told
        self.absorbs = False  # zeros of tangents do in the rule for these, with nan_safe=True
        self.staging: dict[int, RuledCall] = {}  # for each thread, the call whose rule is staged just now

    def positions(self, nondiff_argnames: Any) -> list[int]:
        """The positions of the arguments that are named."""
        wanted = as_tuple(nondiff_argnames, str, "nondiff_argnames", type(self).__name__)
        for name in wanted:
            if name not in self.names:
                raise ArgumentError(
                    f"nondiff_argnames={nondiff_argnames!r}: {self.name} has no positional parameter {name!r}.",
                    f"Its parameters are {self.names}.",
                    "Correct the name.",
                )
        return [self.names.index(name) for name in wanted]

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        """The function as a method: the instance is the first argument."""
        return self if instance is None else MethodType(self, instance)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    def __reduce__(self) -> Any:
        if self.making is None:
            return name_of(self) or (ruled_again, (type(self), portable(self.fun), self.nondiff, self.given))
        return name_of(self) or reduced(*self.making)

    def defjvp(self, jvp: Callable[..., Any], symbolic_zeros: bool = False) -> Callable[..., Any]:
        """Give the rule for tangents, and return it.

        `jvp(*nondiff, primals, tangents)` returns the result and its tangent, and is linear in the tangents. A tangent
        that is zero is an array of zeros, or with `symbolic_zeros` a jax.custom_derivatives.SymbolicZero; integers have
        tangents of dtype float0. In the tangent of the result, None is zero.
        """
        trees.require_callable(jvp, "defjvp")
        self.jvp, self.symbolic_jvp, self.absorbs = jvp, symbolic_zeros, is_of_library(jvp)
        self.given.append(("defjvp", (jvp, symbolic_zeros)))
        return jvp

    def defjvps(self, *jvps: Callable[..., Any] | None) -> None:
        """Give a rule for each argument: `jvps[i](tangent, result, *primals)`, or None where the derivative is zero."""
        for rule in jvps:
            if rule is not None:
                trees.require_callable(rule, "defjvps")
        if self.nondiff:
            raise ArgumentError(
                f"defjvps of {self.name}, which has nondiff_argnums={self.nondiff}.",
                "It takes one rule for each argument, and these have none.",
                "Give one rule with defjvp.",
            )

        def jvp(primals: tuple, tangents: tuple) -> tuple[Any, Any]:
            out = self(*primals)
            if len(jvps) != len(primals):
                raise ArgumentError(
                    f"defjvps of {self.name} received {len(jvps)} rules, and a call with {len(primals)} arguments.",
                    "It takes one rule for each argument.",
                    "Pass None for an argument by which the derivative is zero.",
                )
            terms = [rule(t, out, *primals) for rule, t in zip(jvps, tangents, strict=True) if rule is not None]
            return out, tree_map(lambda _, *ts: sum_of(ts), out, *terms)

        self.defjvp(jvp)
        self.given[-1] = "defjvps", jvps
        self.absorbs = all([is_of_library(rule) for rule in jvps if rule is not None])

    def defvjp(
        self,
        fwd: Callable[..., Any],
        bwd: Callable[..., Any],
        symbolic_zeros: bool = False,
        optimize_remat: bool = False,
    ) -> None:
        """Give the rule for cotangents, in two parts.

        `fwd(*args)` returns the result and residuals, a pytree of arrays. `bwd(*nondiff, residuals, cotangent)` returns
        a tuple with the cotangent of each argument that is differentiated, None for zero, and is linear in
        `cotangent`; if it is not, only reverse mode works. One of another dtype is cast to that of its argument, one
        array stands for all leaves of an argument, and what is given for integers is left aside. With `symbolic_zeros`,
        `fwd` takes each array in a jax.custom_derivatives.CustomVJPPrimal, which says whether it is differentiated, and
        zeros among the cotangents are jax.custom_derivatives.SymbolicZero. `optimize_remat` is accepted: unused
        residuals are never computed.
        """
        for rule in (fwd, bwd):
            trees.require_callable(rule, "defvjp")
        self.fwd, self.bwd, self.symbolic_vjp = fwd, bwd, symbolic_zeros
        self.given.append(("defvjp", (fwd, bwd, symbolic_zeros)))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.jvp is None and self.fwd is None:
            raise ArgumentError(
                f"{self.name}, a {type(self).__name__} function, was called and has no rule.",
                "Its derivative would be none.",
                f"Give it one before the first call: {self.name}.defjvp(rule), or {self.name}.defvjp(fwd, bwd).",
            )
        if nothing_is_traced():
            return self.fun(*args, **kwargs)
        return RuledCall(self, by_position(self, args, kwargs, "with a derivative rule")).apply()


class custom_jvp(CustomRules):
    """A function whose derivative is a rule for tangents, which serves both modes.

    custom_jvp : (a -> b) -> (a -> b)

    Args:
        fun: takes and returns pytrees of arrays.
        nondiff_argnums, nondiff_argnames: arguments that are ordinary Python values, with no derivative; the rule takes
            them first. A traced one is like a value that the function closes over.

    In an eager gradient `fun` and the rule may ask for values (`if x > 0`, float(x), np.asarray(x)), as without one,
    but not under jit, or of what vmap has batched.

    Give the rule with `defjvp` or `defjvps`. The result may also have a rule for cotangents, `defvjp`, which reverse
    mode uses then. What the function and the rules close over may be traced. A rule says nothing about such values:
    the derivative by them is that of the function as it stands.

    Raises ArgumentError if the rule returns other trees, shapes or dtypes than the function does, or if there is no
    rule; MissingRuleError for a rule that is not linear in its tangents under reverse mode.

    >>> import minijvp, minijvp.numpy as mnp
    >>> @minijvp.custom_jvp
    ... def log1pexp(x):
    ...     return mnp.log(1.0 + mnp.exp(x))
    >>> @log1pexp.defjvp
    ... def rule(primals, tangents):
    ...     (x,), (t,) = primals, tangents
    ...     return log1pexp(x), t * (1 - 1 / (1 + mnp.exp(x)))
    >>> float(minijvp.grad(log1pexp)(100.0))
    1.0
    """


class custom_vjp(CustomRules):
    """A function whose derivative is a rule for cotangents, which serves both modes.

    custom_vjp : (a -> b) -> (a -> b)

    Args:
        fun: takes and returns pytrees of arrays.
        nondiff_argnums, nondiff_argnames: arguments that are ordinary Python values, with no derivative; `fwd` takes
            them where they stand, `bwd` takes them first. A traced one is like a value that the function closes over.

    In an eager gradient `fun`, `fwd` and `bwd` may ask for values (`if x > 0`, float(x), np.asarray(x)), as without
    one, but not under jit, or of what vmap has batched.

    Give the rule with `defvjp`. Forward mode (jvp, jacfwd) transposes `bwd`, which must be linear for that; for one
    that is not, give a rule for tangents as well, `defjvp`. What the function and the rules close over may be traced.
    The rule says nothing about such values: the derivative by them is that of the function as it stands.

    Raises ArgumentError if `fwd` or `bwd` return other trees, shapes or dtypes than the function and its arguments
    have, or if there is no rule; MissingRuleError in forward mode for a `bwd`
    that is not linear.

    >>> import minijvp, minijvp.numpy as mnp
    >>> sine = minijvp.custom_vjp(mnp.sin)
    >>> sine.defvjp(lambda x: (mnp.sin(x), mnp.cos(x)), lambda cos_x, ct: (cos_x * ct,))
    >>> float(minijvp.grad(sine)(0.0)), float(minijvp.jvp(sine, (0.0,), (2.0,))[1])
    (1.0, 2.0)
    """


def ruled_again(kind: type[CustomRules], fun: Callable[..., Any], nondiff: tuple, given: list) -> CustomRules:
    """A function with these rules, when it is unpickled."""
    made = kind(fun, nondiff)
    for name, rules in given:
        getattr(made, name)(*rules)
    return made


def is_of_library(rule: Callable[..., Any]) -> bool:
    """Whether a rule is one of minijvp's own."""
    return (getattr(rule, "__module__", None) or "").partition(".")[0] == "minijvp"


def by_position(custom: Any, args: tuple, kwargs: dict[str, Any], kind: str) -> tuple:
    """All arguments of a function with rules by position, default values too: rules take them so."""
    if not kwargs and len(args) == len(custom.names):
        return args
    try:
        signature = inspect.signature(custom.fun)
    except (TypeError, ValueError):
        if not kwargs:
            return args
        raise not_by_position(custom.name, kind, kwargs) from None
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError as error:
        raise ArgumentError(
            f"{custom.name} cannot be called so: {error}.",
            f"Its signature is {custom.name}{signature}.",
            "Correct the call.",
        ) from None
    bound.apply_defaults()
    if bound.kwargs:
        raise not_by_position(custom.name, kind, bound.kwargs)
    return bound.args


def not_by_position(name: str, kind: str, names: Iterable[str]) -> ArgumentError:
    """The error for arguments that a rule cannot take."""
    return ArgumentError(
        f"{name}, a function {kind}, takes {', '.join(names)} by name only.",
        "Its rules take all arguments by position.",
        "Give it parameters that can be passed by position (no `*` before them).",
    )


def sum_of(ts: Sequence[Any]) -> Any:
    """The sum of tangents, None if there are none with numbers."""
    total = None
    for t in ts:
        if t is not None and not trees.is_float0(t):
            total = t if total is None else total + t
    return total
