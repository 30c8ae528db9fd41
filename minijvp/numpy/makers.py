"""What makes functions of jax.numpy from definitions over primitives, and from elementwise primitives."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, TypeVar

import jax
import numpy as np

from minijvp.core.tracer import Tracer
from minijvp.core.tracing import EVALUATION, state
from minijvp.core.types import ARRAY_CLASSES, PYTHON_SCALARS, Array, ArrayType, is_inexact, type_of, x64_enabled
from minijvp.errors import ArgumentError
from minijvp.interop.docstrings import RESTATED, docstring
from minijvp.numpy.promotion import (
    PLACEMENT,
    Kind,
    array,
    cast,
    converted,
    inexact_kind,
    kind_of,
    letter_of,
    promote_pair,
    refuse,
)
from minijvp.numpy.split_results import is_asked, split_result
from minijvp.operations import elementwise
from minijvp.operations.families import broadcast_in_dim
from minijvp.operations.sharding import sharding_constraint
from minijvp.tracebacks import shorten

Function = TypeVar("Function", bound=Callable[..., Any])


def surface(original: Callable[..., Any]) -> Callable[[Function], Function]:
    """Decorator of a definition over our primitives: with nothing traced, the function of JAX computes at once.

    The signature is that of JAX's function. A definition has the parameters that it honours, and may have other names
    for those that go by position; what else JAX's function takes is refused by name where it is given, but for those
    that say where the result lies.
    """

    def decorate(traced: Function) -> Function:
        module = traced.__module__.removeprefix("minijvp.").partition(".")[0]
        name = public_name(original, module)
        if "<locals>" in traced.__qualname__:
            traced.__qualname__ = name  # which Python says of arguments that do not fit
        signature = inspect.signature(original)
        honoured = keywords_of(traced)

        @wraps(traced)
        def function(*args: Any, **kwargs: Any) -> Any:
            try:
                if state.trace is EVALUATION:
                    try:
                        return original(*args, **kwargs)
                    except (TypeError, ValueError):
                        if not any([isinstance(x, Tracer) for x in (*args, *kwargs.values())]):
                            raise
                if kwargs and is_asked(kwargs):
                    return split_result(original, f"minijvp.{module}.{name}", *args, **kwargs)
                if kwargs and honoured is not None and not kwargs.keys() <= honoured:
                    args, kwargs, device = fitted(original, module, signature, honoured, args, kwargs)
                    return placed(traced(*args, **kwargs), device)
                return traced(*args, **kwargs)
            except Exception as error:
                shorten(error)
                raise

        function.__name__ = function.__qualname__ = name
        function.__doc__ = docstring(original, f"jax.{module}.{name}", RESTATED, traced.__doc__ or "")
        function.__signature__ = signature  # type: ignore[attr-defined]
        return function  # type: ignore[return-value]

    return decorate


def public_name(original: Callable[..., Any], module: str) -> str:
    """What a module of JAX calls a function, which may call itself otherwise."""
    name, public = original.__name__, vars(getattr(jax, module, jax))
    return name if name in public else next((n for n, f in public.items() if f is original), name)


def keywords_of(definition: Callable[..., Any]) -> frozenset[str] | None:
    """The keywords that a definition honours; None for one that takes any, and refuses others itself."""
    code = definition.__code__  # type: ignore[attr-defined]
    if code.co_flags & inspect.CO_VARKEYWORDS:
        return None
    return frozenset(code.co_varnames[code.co_posonlyargcount : code.co_argcount + code.co_kwonlyargcount]) - PLACEMENT


def fitted(
    original: Callable[..., Any],
    module: str,
    signature: inspect.Signature,
    honoured: frozenset[str],
    args: tuple,
    kwargs: dict[str, Any],
) -> tuple[tuple, dict[str, Any], Any]:
    """The arguments of a call of JAX's function for a definition that honours some keywords, and the device.

    Raises ArgumentError for a keyword of JAX that is given and not honoured, TypeError for one that JAX does not have.
    """
    name = original.__name__
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError as error:
        raise TypeError(f"{name}(): {error}") from None
    rest = bound.kwargs
    device = rest.pop("device", None) or rest.pop("sharding", None)
    for k in [k for k in rest if k not in honoured]:
        refuse(name, k, rest.pop(k), signature.parameters[k].default, module)
    return bound.args, rest, device


def placed(out: Any, device: Any) -> Any:
    """The result of a function, held to a sharding. A program runs on one device, whichever is named.

    Raises ArgumentError for what is neither a sharding nor a device.
    """
    if device is None or isinstance(device, jax.Device):
        return out
    if not isinstance(device, jax.sharding.Sharding):
        raise ArgumentError(
            f"a function of minijvp received device={device!r:.200}.",
            "A result lies on a device, or on several by a sharding.",
            "Pass one of jax.devices(), or a jax.sharding.Sharding.",
        )
    first, *others = out if isinstance(out, tuple) else (out,)
    held = sharding_constraint(first, sharding=device)
    return (held, *others) if others else held


def unary(original: Callable[..., Any], primitive: Callable[..., Any]) -> Callable[..., Any]:
    """A function of one array of any dtype."""
    name = original.__name__

    def traced(x: Array, /) -> Array:
        return primitive(array(x, name))

    return surface(original)(traced)


def unary_inexact(
    original: Callable[..., Any], primitive: Callable[..., Any], exact: bool = False
) -> Callable[..., Any]:
    """A function of one array that turns integers into floating numbers first."""
    name = original.__name__

    def traced(x: Array, /) -> Array:
        if type(x) not in ARRAY_CLASSES:
            x = array(x, name)
        return primitive(x if is_inexact(x.dtype) else cast(x, inexact_kind(kind_of(x))))

    return surface(original)(of_its_kind(original, traced) if exact else traced)


def unary_of_fractions(original: Callable[..., Any], function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of one array that returns integers as they are."""
    name = original.__name__

    def traced(x: Array, /) -> Array:
        x = array(x, name)
        return function(x) if is_inexact(x.dtype) else x

    return surface(original)(traced)


def binary(
    original: Callable[..., Any], function: Callable[..., Any], inexact: bool = False, exact: bool = False
) -> Callable[..., Any]:
    """A function of two arrays of a common dtype and shape; with `inexact`, a floating dtype."""
    name = original.__name__

    def traced(x: Array, y: Array, /) -> Array:
        return function(*promote_pair(name, x, y, inexact))

    return surface(original)(of_its_kind(original, traced) if exact else traced)


def of_its_kind(original: Callable[..., Any], function: Callable[..., Any]) -> Callable[..., Any]:
    """A traced function whose result is as weakly typed as that of jax.numpy, where that follows no rule."""

    def exactly(*xs: Array) -> Array:
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

    def function(x: Array, y: Array) -> Array:
        kind = x.dtype if type(x) in ARRAY_CLASSES else y.dtype
        return boolean(x, y) if kind == np.bool_ else number(x, y)

    return function


def constant(value: Array, like: Array) -> Array:
    """`value` in every place of an array of the shape and dtype of `like`."""
    t = type_of(like)
    return broadcast_in_dim(literal(value, (t.dtype, t.weak_type)), shape=t.shape, broadcast_dimensions=())


def pick(condition: Array, x: Array, y: Array) -> Array:
    """Element by element, x where the condition holds and y elsewhere; one of the two may be a Python scalar."""
    x = constant(x, y) if type(x) in PYTHON_SCALARS else x
    y = constant(y, x) if type(y) in PYTHON_SCALARS else y
    return elementwise.select_n(condition, y, x)


def truth(x: Array) -> Array:
    """Where x is not zero."""
    if type(x) in PYTHON_SCALARS:
        return bool(x)
    return x if x.dtype == np.bool_ else elementwise.ne(x, zero_of(x))


def zero_of(x: Array) -> Any:
    """The Python scalar 0 of the sort of x."""
    return {"f": 0.0, "c": 0.0, "b": False}.get(letter_of(x.dtype), 0)


def require_real(x: Array, function: str) -> Array:
    """`x` itself. Raises ArgumentError for complex numbers."""
    if type(x) in ARRAY_CLASSES and elementwise.is_complex(x):
        raise ArgumentError(
            f"minijvp.numpy.{function} received {type_of(x)!r}.",
            "It is not defined for complex numbers.",
            "Apply it to mnp.real(x), mnp.imag(x) or mnp.abs(x).",
        )
    return x


def magnitude(x: Array) -> Array:
    """The absolute value of numbers of every sort."""
    return x if letter_of(x.dtype) in "ub" else elementwise.abs_(x)


def both_arrays(x: Array, y: Array) -> tuple[Any, Any]:
    """Two operands, of which one may be a Python scalar, as arrays."""
    return (constant(x, y) if type(x) in PYTHON_SCALARS else x), (constant(y, x) if type(y) in PYTHON_SCALARS else y)


def with_booleans_as_integers(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` of two arrays, for which booleans count as int32."""

    def of_integers(x: Array, y: Array) -> Array:
        x, y = both_arrays(x, y)
        return function(as_integer(x), as_integer(y))

    return of_integers


def as_integer(x: Array) -> Array:
    """`x`, with booleans as int32."""
    return cast(x, (np.dtype(np.int32), False)) if type_of(x).dtype == np.bool_ else x


def literal(x: Array, kind: Kind) -> Array:
    """A Python scalar as a literal of exactly this dtype: a weak one stays a Python scalar."""
    dtype, weak = kind
    x = complex(x) if weak and letter_of(dtype) == "c" else cast(x, kind)
    return x if weak and type_of(x).dtype == dtype else np.asarray(x).astype(dtype)[()]
