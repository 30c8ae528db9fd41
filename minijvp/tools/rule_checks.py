"""The rules of primitives that are made outside of minijvp, held against what they must return.

Rules run while programs are made, and not whenever these run. Those of minijvp's own primitives, tests hold against
JAX; here a wrong number of results, a lost axis or another dtype raises where it would give wrong numbers elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial, wraps
from typing import Any

import numpy as np

from minijvp.core.primitive import Primitive, on_definition_outside
from minijvp.core.types import ArrayType, Params, ScalarType, is_arraylike, is_inexact, is_key, type_of
from minijvp.errors import ArgumentError

COSTS = ("free", "cheap", "moderate", "expensive", "never")


def check_rules(primitive: Primitive) -> None:
    """Have every rule of a primitive checked when it is called."""
    if primitive.recomputable not in COSTS:
        raise ArgumentError(
            f"the primitive {primitive.name!r} has recomputable={primitive.recomputable!r}.",
            "It says what repeating the operation costs a rematerialisation.",
            f"It is one of {', '.join(map(repr, COSTS))}.",
        )
    checks = RuleChecks(primitive)
    for name in ("impl", "type_rule", "jvp", "linearize", "taylor", "transpose", "batch"):
        rule = getattr(primitive, name)
        setattr(primitive, name, wraps(rule)(partial(getattr(checks, name), rule)))


class RuleChecks:
    """What the rules of one primitive must return. Each method takes a rule and its arguments.

    A parameter of the primitive may have any name: `axis`, `rule`.
    """

    def __init__(self, primitive: Primitive):
        self.primitive = primitive
        # The default one asks `impl`.
        self.own_type_rule = None if type(primitive).type_rule is Primitive.type_rule else primitive.type_rule

    def impl(self, rule: Callable[..., Any], /, *args: Any, **params: Any) -> Any:
        out = rule(*args, **params)
        found = self.entries("impl", out, "results")
        for x in found:
            if not is_arraylike(x):
                raise self.wrong("impl", f"{x!r:.99} of type {type(x).__name__}", "Results are arrays.")
        if self.own_type_rule is None:
            return out
        # Compiled code receives a Python scalar as an array without axes and of a weak dtype.
        types = [ScalarType((), t.dtype, True) if t.weak_type and not t.shape else t for t in map(type_of, args)]
        try:
            expected = as_tuple(self.own_type_rule(*types, **params))
        except ArgumentError:
            return out
        self.compare("impl", found, expected, "Its type rule, which may be the wrong one, says")
        return out

    def type_rule(self, rule: Callable[..., Any], /, *types: ArrayType, **params: Any) -> Any:
        out = rule(*types, **params)
        for t in self.entries("type_rule", out, "results"):
            if not isinstance(t, ArrayType) or type(t.shape) is not tuple or not is_dtype(t.dtype):
                raise self.wrong(
                    "type_rule",
                    f"{t!r:.99}",
                    "The type of a result is an ArrayType of a tuple and a NumPy dtype: "
                    "ArrayType((2, 3), numpy.dtype('float32')).",
                )
        several = type(out) is tuple
        if self.primitive.returns_tuple not in (None, several):
            forms = ("one type", "a tuple of types")
            raise self.wrong(
                "type_rule",
                f"{forms[several]}, and {forms[not several]} before",
                "Results are a tuple always (also one alone), or never: cotangents are handed on like them.",
            )
        self.primitive.returns_tuple = several
        return out

    def jvp(self, rule: Callable[..., Any], primals: tuple, tangents: tuple, /, **params: Any) -> Any:
        return self.derivative("jvp", rule(primals, tangents, **params), primals, params)

    def linearize(self, rule: Callable[..., Any], primals: tuple, tangents: tuple, /, **params: Any) -> Any:
        return self.derivative("linearize", rule(primals, tangents, **params), primals, params)

    def derivative(self, name: str, result: Any, primals: tuple, params: Params) -> Any:
        """The result of a jvp or linearize rule."""
        out, tangent = self.pair(name, result, "(result, tangent)")
        expected = as_tuple(self.primitive.type_rule(*map(type_of, primals), **params))
        self.compare(name, self.entries(name, out, "results"), expected, "Its type rule says of the result:")
        found = self.entries(name, tangent, "tangents")
        self.count(name, found, expected, "tangents")
        for t, kind in zip(found, expected, strict=True):
            if t is not None and not is_inexact(kind.dtype):
                raise self.wrong(
                    name, f"a tangent for a result of type {kind!r}", "Such a result has none: it is None."
                )
            self.fit(name, t, kind, "a tangent has the type of its result; None is zero")
        return result

    def taylor(self, rule: Callable[..., Any], primals: tuple, series: tuple, /, **params: Any) -> Any:
        result = rule(primals, series, **params)
        if result is None:
            return None
        if type(result) is not tuple or len(result) != 2 or not (result[1] is None or callable(result[1])):
            raise self.wrong("taylor", f"{result!r:.99}", "It returns a pair, (result, coefficient), or None.")
        out, find = result
        expected = as_tuple(self.primitive.type_rule(*map(type_of, primals), **params))
        self.compare("taylor", self.entries("taylor", out, "results"), expected, "Its type rule says of the result:")

        def checked(k: int) -> Any:
            coefficient = find(k)
            found = self.entries("taylor", coefficient, "coefficients")
            self.count("taylor", found, expected, "coefficients")
            for c, kind in zip(found, expected, strict=True):
                self.fit("taylor", c, kind, "a coefficient has the type of its result; None is zero")
            return coefficient

        return out, find and checked

    def transpose(self, rule: Callable[..., Any], ct: Any, /, *args: Any, **params: Any) -> Any:
        result = rule(ct, *args, **params)
        linear = [isinstance(x, ArrayType) for x in args]
        found = self.entries("transpose", result, "cotangents")
        found = found if type(result) is tuple else (result, *[None] * (len(args) - 1))
        if type(result) is not tuple and any(linear[1:]):
            why = "A bare cotangent belongs to the first argument, and others are linear too: a tuple has one for each."
            raise self.wrong("transpose", "a bare cotangent", why)
        self.count("transpose", found, args, "cotangents")
        for x, kind, flag in zip(found, args, linear, strict=True):
            if flag:
                self.fit("transpose", x, kind, "a cotangent has the type of its argument; None is zero")
        if any(x is not None and not flag for x, flag in zip(found, linear, strict=True)) and not any(
            x is not None for x, flag in zip(found, linear, strict=True) if flag
        ):
            places = ", ".join([str(i) for i, flag in enumerate(linear) if flag])
            why = f"Those are linear whose value is not known: here number {places}, counted from 0."
            raise self.wrong("transpose", "cotangents of arguments that are not linear only", why)
        return result

    def batch(
        self, rule: Callable[..., Any], axis: Any, args: tuple, batched: tuple[bool, ...], /, **params: Any
    ) -> Any:
        result = rule(axis, args, batched, **params)
        out, flags = self.pair("batch", result, "(result, whether it is batched)")
        types = [lane(type_of(x)) if b else type_of(x) for x, b in zip(args, batched, strict=True)]
        expected = as_tuple(self.primitive.type_rule(*types, **params))
        found, flags = self.entries("batch", out, "results"), self.entries("batch", flags, "flags")
        self.count("batch", flags, expected, "flags")
        expected = [t.stacked(axis.size, axis.split) if b else t for t, b in zip(expected, flags, strict=True)]
        self.compare("batch", found, expected, f"For {axis.size} lanes, along a leading axis of what is batched, it is")
        return result

    def entries(self, name: str, result: Any, what: str) -> tuple:
        """What a rule returned, as a tuple."""
        if isinstance(result, (tuple, list)) and type(result) is not tuple:
            raise self.wrong(name, f"a {type(result).__name__}", f"Several {what} are a tuple.")
        return as_tuple(result)

    def pair(self, name: str, result: Any, wanted: str) -> tuple[Any, Any]:
        """The two things that a rule returned."""
        if type(result) is not tuple or len(result) != 2:
            found = f"a tuple of {len(result)}" if type(result) is tuple else f"a {type(result).__name__}"
            raise self.wrong(name, found, f"It returns a pair: {wanted}.")
        several = type(result[0]) is tuple
        if several != (type(result[1]) is tuple):
            found = "a tuple and a single value" if several else "a single value and a tuple"
            raise self.wrong(name, found, f"Both parts of {wanted} are tuples, or neither is.")
        return result

    def count(self, name: str, found: Sequence[Any], expected: Sequence[Any], what: str) -> None:
        """Raise ArgumentError for another number of things than expected."""
        if len(found) != len(expected):
            raise self.wrong(name, f"{len(found)} {what}", f"There should be {len(expected)}.")

    def compare(self, name: str, found: Sequence[Any], expected: Sequence[ArrayType], says: str) -> None:
        """Raise ArgumentError for values of other types than expected."""
        types = tuple(map(type_of, found))
        if [(t.shape, t.dtype) for t in types] != [(t.shape, t.dtype) for t in expected]:
            listed, wanted = (", ".join(map(repr, ts)) or "nothing" for ts in (types, expected))
            raise self.wrong(name, listed, f"{says} {wanted}.")

    def fit(self, name: str, x: Any, kind: ArrayType, why: str) -> None:
        """Raise ArgumentError for a tangent or cotangent of another type than that of its value."""
        if x is None:
            return
        if not is_arraylike(x):
            raise self.wrong(name, f"{x!r:.99} of type {type(x).__name__}", f"Here {why}.")
        t = type_of(x)
        if (t.shape, t.dtype) != (kind.shape, kind.dtype):
            raise self.wrong(name, f"{t!r} for a value of type {kind!r}", f"Here {why}.")

    def wrong(self, name: str, found: str, why: str) -> ArgumentError:
        """The error for what a rule returned."""
        return ArgumentError(
            f"the {name} rule of the primitive {self.primitive.name!r} returned {found}.",
            why,
            f"Correct {type(self.primitive).__name__}.{name}; minijvp.core.primitive.Primitive says what rules return.",
        )


def as_tuple(x: Any) -> tuple:
    """Several things as they are, and one as a tuple of one."""
    return x if type(x) is tuple else (x,)


def lane(t: ArrayType) -> ArrayType:
    """The type of one of many values along a leading axis."""
    return t.with_shape(t.shape[1:])


def is_dtype(dtype: Any) -> bool:
    """Whether this is a dtype, and not a name or a class that stands for one."""
    return isinstance(dtype, np.dtype) or is_key(dtype)


def plug_in() -> None:
    """Have the rules of every primitive checked that is made outside of minijvp from now on."""
    on_definition_outside.append(check_rules)
