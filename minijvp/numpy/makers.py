"""What makes elementwise functions of jax.numpy from primitives, and the parts that they share."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax
import numpy as np

from minijvp.core.types import ARRAY_CLASSES, PYTHON_SCALARS, ArrayType, is_inexact, type_of, x64_enabled
from minijvp.errors import ArgumentError
from minijvp.numpy.promotion import (
    Kind,
    array,
    cast,
    converted,
    inexact_kind,
    kind_of,
    letter_of,
    promote_pair,
    surface,
)
from minijvp.operations import elementwise
from minijvp.operations.families import broadcast_in_dim


def unary(original: Callable[..., Any], primitive: Callable[..., Any]) -> Callable[..., Any]:
    """A function of one array of any dtype."""
    name = original.__name__

    def traced(x: Any, /) -> Any:
        return primitive(array(x, name))

    return surface(original)(traced)


def unary_inexact(
    original: Callable[..., Any], primitive: Callable[..., Any], exact: bool = False
) -> Callable[..., Any]:
    """A function of one array that turns integers into floating numbers first."""
    name = original.__name__

    def traced(x: Any, /) -> Any:
        if type(x) not in ARRAY_CLASSES:
            x = array(x, name)
        return primitive(x if is_inexact(x.dtype) else cast(x, inexact_kind(kind_of(x))))

    return surface(original)(of_its_kind(original, traced) if exact else traced)


def unary_of_fractions(original: Callable[..., Any], function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of one array that returns integers as they are."""
    name = original.__name__

    def traced(x: Any, /) -> Any:
        x = array(x, name)
        return function(x) if is_inexact(x.dtype) else x

    return surface(original)(traced)


def binary(
    original: Callable[..., Any], function: Callable[..., Any], inexact: bool = False, exact: bool = False
) -> Callable[..., Any]:
    """A function of two arrays of a common dtype and shape; with `inexact`, a floating dtype."""
    name = original.__name__

    def traced(x: Any, y: Any, /) -> Any:
        return function(*promote_pair(name, x, y, inexact))

    return surface(original)(of_its_kind(original, traced) if exact else traced)


def of_its_kind(original: Callable[..., Any], function: Callable[..., Any]) -> Callable[..., Any]:
    """A traced function whose result is as weakly typed as that of jax.numpy, where that follows no rule."""

    def exactly(*xs: Any) -> Any:
        out = function(*xs)
        _, weak = kind_of_result(original, x64_enabled(), *map(type_of, xs))
        return converted(out, out.dtype, weak)

    return exactly


@lru_cache(maxsize=4096)
def kind_of_result(original: Callable[..., Any], x64: bool, *types: ArrayType) -> Kind:
    """The kind of the result of a function of jax.numpy, where that follows no rule."""
    arguments = [jax.ShapeDtypeStruct(t.shape, t.dtype, weak_type=t.weak_type) for t in types]
    out = jax.eval_shape(original, *arguments)
    return out.dtype, bool(out.weak_type)


def for_booleans(boolean: Callable[..., Any], number: Callable[..., Any]) -> Callable[..., Any]:
    """One function for booleans, another for numbers."""

    def function(x: Any, y: Any) -> Any:
        kind = x.dtype if type(x) in ARRAY_CLASSES else y.dtype
        return boolean(x, y) if kind == np.bool_ else number(x, y)

    return function


def constant(value: Any, like: Any) -> Any:
    """`value` in every place of an array of the shape and dtype of `like`."""
    t = type_of(like)
    return broadcast_in_dim(literal(value, (t.dtype, t.weak_type)), shape=t.shape, broadcast_dimensions=())


def pick(condition: Any, x: Any, y: Any) -> Any:
    """Element by element, x where the condition holds and y elsewhere; one of the two may be a Python scalar."""
    x = constant(x, y) if type(x) in PYTHON_SCALARS else x
    y = constant(y, x) if type(y) in PYTHON_SCALARS else y
    return elementwise.select_n(condition, y, x)


def truth(x: Any) -> Any:
    """Where x is not zero."""
    if type(x) in PYTHON_SCALARS:
        return bool(x)
    return x if x.dtype == np.bool_ else elementwise.ne(x, zero_of(x))


def zero_of(x: Any) -> Any:
    """The Python scalar 0 of the sort of x."""
    return {"f": 0.0, "c": 0.0, "b": False}.get(letter_of(x.dtype), 0)


def require_real(x: Any, function: str) -> Any:
    """`x` itself. Raises ArgumentError for complex numbers."""
    if type(x) in ARRAY_CLASSES and elementwise.is_complex(x):
        raise ArgumentError(
            f"minijvp.numpy.{function} received {type_of(x)!r}.",
            "It is not defined for complex numbers.",
            "Apply it to mnp.real(x), mnp.imag(x) or mnp.abs(x).",
        )
    return x


def magnitude(x: Any) -> Any:
    """The absolute value of numbers of every sort."""
    return x if letter_of(x.dtype) in "ub" else elementwise.abs_(x)


def both_arrays(x: Any, y: Any) -> tuple[Any, Any]:
    """Two operands, of which one may be a Python scalar, as arrays."""
    return (constant(x, y) if type(x) in PYTHON_SCALARS else x), (constant(y, x) if type(y) in PYTHON_SCALARS else y)


def with_booleans_as_integers(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` of two arrays, for which booleans count as int32."""

    def of_integers(x: Any, y: Any) -> Any:
        x, y = both_arrays(x, y)
        return function(as_integer(x), as_integer(y))

    return of_integers


def as_integer(x: Any) -> Any:
    """`x`, with booleans as int32."""
    return cast(x, (np.dtype(np.int32), False)) if type_of(x).dtype == np.bool_ else x


def literal(x: Any, kind: Kind) -> Any:
    """A Python scalar as a literal of exactly this dtype: a weak one stays a Python scalar."""
    dtype, weak = kind
    x = complex(x) if weak and letter_of(dtype) == "c" else cast(x, kind)
    return x if weak and type_of(x).dtype == dtype else np.asarray(x).astype(dtype)[()]
