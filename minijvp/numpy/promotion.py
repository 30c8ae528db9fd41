"""From what users pass to what primitives take: dtypes promoted and shapes broadcast, as jax.numpy does it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from minijvp.core.tracer import Tracer, is_convertible, is_tracer_of_jax
from minijvp.core.tracing import as_constant
from minijvp.core.types import ARRAY_CLASSES, PYTHON_SCALARS, Array, Axes, is_inexact, type_of, wrapped, x64_enabled
from minijvp.dimensions import broadcast_shapes, is_symbolic
from minijvp.errors import ArgumentError, ConcretizationError, UnsupportedArgumentError
from minijvp.operations.casting import convert_element_type
from minijvp.operations.families import broadcast_in_dim
from minijvp.operations.shape import dim_as_value

Kind = tuple[Any, bool]
"""A dtype, and whether it is weak."""


PLACEMENT = frozenset({"device", "sharding", "out_sharding"})
"""Keywords that say where the result lies, whatever the function."""


def operand(x: Any, function: str) -> Array:
    """`x` as a tracer, a jax array or a Python scalar; what has a method `__jax_array__` is what that returns.

    Raises ArgumentError if it is none of these, nor a NumPy value.
    """
    cls = type(x)
    if cls in ARRAY_CLASSES or cls in PYTHON_SCALARS:
        return x
    try:
        type_of(x)
    except ArgumentError:
        if is_convertible(x):
            return dim_as_value(dim=x) if is_symbolic(x) else operand(x.__jax_array__(), function)
        raise ArgumentError(
            f"minijvp.numpy.{function} received {x!r:.200} of type {cls.__name__}.",
            "It takes arrays and Python scalars, as jax.numpy does: a list would be converted element by element.",
            "Convert it first: mnp.asarray(x).",
        ) from None
    return jnp.asarray(x) if is_tracer_of_jax(x) else as_constant(x)


def array(x: Any, function: str) -> Array:
    """`x` as a tracer or a jax array; Python scalars become weakly typed."""
    x = operand(x, function)
    return as_constant(x) if type(x) in PYTHON_SCALARS else x


def known_values(x: Array) -> np.ndarray | None:
    """The values of an array or of what a tracer stands for, as a NumPy array; None if they are not known."""
    try:
        while isinstance(x, Tracer):
            x = x.known_value("a function whose result has another shape for other values")
    except ConcretizationError:
        return None
    return None if is_tracer_of_jax(x) else np.asarray(x)


def shape_values(x: Any, function: str, do: str) -> np.ndarray:
    """The values of an argument that the shape of the result depends on. Raises ConcretizationError without them."""
    found = known_values(x)
    if found is None:
        raise ConcretizationError(
            f"minijvp.numpy.{function} received a traced {type_of(x)!r} whose values are not known.",
            "The shape of the result depends on them, and must be known while the program is traced.",
            do,
        )
    return found


def kind_of(x: Array) -> Kind:
    """The dtype of a value, and whether it is weak."""
    t = type_of(x)
    return t.dtype, t.weak_type


def join(kinds: Sequence[Kind]) -> Kind:
    """The dtype in which operands of these kinds meet, by the type lattice of JAX."""
    first, *rest = kinds
    for kind in rest:
        if kind != first:
            first = _join(first, kind, x64_enabled())
    return first


@lru_cache(maxsize=4096)
def _join(x: Kind, y: Kind, x64: bool) -> Kind:
    return result_kind(jnp.add, x, y)


def result_kind(function: Callable[..., Any], *kinds: Kind) -> Kind:
    """The kind that a function of jax.numpy gives its result for scalars of these kinds."""
    scalars = [jax.ShapeDtypeStruct((), dtype, weak_type=weak) for dtype, weak in kinds]
    out = jax.eval_shape(function, *scalars)
    return out.dtype, bool(out.weak_type)


@lru_cache(maxsize=4096)
def _inexact(kind: Kind, x64: bool) -> Kind:
    return result_kind(jnp.sin, kind)


def inexact_kind(kind: Kind) -> Kind:
    """The kind itself if it is floating, or the floating kind that integers become in a quotient or a sine."""
    return kind if is_inexact(kind[0]) else _inexact(kind, x64_enabled())


@cache
def letter_of(dtype: Any) -> str:
    """The sort of a dtype: b(ool), i(nteger), u(nsigned), f(loat, of every width and format) or c(omplex)."""
    sorts = {
        "b": jnp.bool_,
        "i": jnp.signedinteger,
        "u": jnp.unsignedinteger,
        "f": jnp.floating,
        "c": jnp.complexfloating,
    }
    return next(letter for letter, sort in sorts.items() if jnp.issubdtype(dtype, sort))


def cast(x: Array, kind: Kind) -> Array:
    """`x` in another kind. A Python scalar becomes one of the right sort, which fits every array.

    What has the dtype stays as weak as it is: operands decide together how weak the result is.
    """
    dtype, weak = kind
    if type(x) in PYTHON_SCALARS:
        return scalar_like(x, dtype)
    if x.dtype == dtype:
        return x
    return convert_element_type(x, new_dtype=dtype, weak_type=weak)


def converted(x: Array, dtype: Any, weak: bool = False) -> Array:
    """`x` in a dtype that was asked for: as weak as that, and not as weak as `x`."""
    t = type_of(x)
    if t.dtype == dtype and t.weak_type == weak and type(x) not in PYTHON_SCALARS:
        return x
    return convert_element_type(x, new_dtype=dtype, weak_type=weak)


def scalar_like(x: Any, dtype: Any) -> Any:
    """The Python scalar of the sort of `dtype`. An integer that does not fit wraps, as in JAX.

    There it is one of the default dtype first: raises OverflowError for one that does not fit into that either. What
    it wraps to may not fit into that; such a one, which is negative, wraps where a primitive gives it the dtype.
    """
    letter = letter_of(dtype)
    if letter in "iu":
        own, default = np.iinfo(dtype), np.iinfo(as_dtype(int))
        if own.min <= x <= own.max:
            return int(x)
        if not default.min <= x <= default.max:
            raise OverflowError(f"the Python integer {x} does not fit into {default.dtype.name}.")
        found = int(wrapped(int(x), dtype))
        return found if found <= default.max else int(x)
    if letter == "b":
        return bool(x)
    return complex(x) if letter == "c" and type(x) is complex else float(x)


def fits(scalar: Any, letter: str) -> bool:
    """Whether an array of a dtype of this sort keeps its dtype when it meets the Python scalar."""
    cls = type(scalar)
    if letter == "f":
        return cls is not complex
    if letter == "c":
        return True
    return cls is bool or (cls is int and letter in "iu")


def promote(function: str, *xs: Array, inexact: bool = False) -> list[Any]:
    """The operands in their common dtype; with `inexact`, a floating one. Beside arrays, scalars stay scalars."""
    xs = tuple([operand(x, function) for x in xs])
    if all([type(x) in PYTHON_SCALARS for x in xs]):
        xs = tuple([as_constant(x) for x in xs])
    kind = join([kind_of(x) for x in xs])
    if inexact:
        kind = inexact_kind(kind)
    return [cast(x, kind) for x in xs]


def of_one_dtype(function: str, *xs: Array) -> tuple[Any, ...]:
    """The operands of a function of minijvp.lax, which promotes nothing: Python scalars have the dtype of their sort.

    Raises ArgumentError if the dtypes differ.
    """
    xs = tuple([operand(x, function) for x in xs])
    dtypes = [(type_of(x) if type(x) in PYTHON_SCALARS else x).dtype for x in xs]
    if any([dtype != dtypes[0] for dtype in dtypes]):
        raise ArgumentError(
            f"minijvp.lax.{function} received operands of dtypes {', '.join([dtype.name for dtype in dtypes])}.",
            f"It promotes nothing, and a Python float is a {np.dtype(as_dtype(float)).name}.",
            "Convert one of them (x.astype(y.dtype), mnp.float32(2.0)), or use the function of minijvp.numpy.",
        )
    return xs


def promote_pair(function: str, x: Array, y: Array, inexact: bool = False) -> tuple[Any, Any]:
    """Two operands in a common dtype and shape."""
    # Most calls are an array with a scalar, or with an array of its own dtype: nothing to look up.
    if type(y) in PYTHON_SCALARS and type(x) in ARRAY_CLASSES:
        letter = letter_of(x.dtype)
        if fits(y, letter) and not (inexact and letter in "iub"):
            return x, scalar_like(y, x.dtype)
    elif type(x) in PYTHON_SCALARS and type(y) in ARRAY_CLASSES:
        letter = letter_of(y.dtype)
        if fits(x, letter) and not (inexact and letter in "iub"):
            return scalar_like(x, y.dtype), y
    elif (
        type(x) in ARRAY_CLASSES
        and type(y) in ARRAY_CLASSES
        and x.dtype == y.dtype
        and not (inexact and letter_of(x.dtype) in "iub")
    ):
        return (x, y) if x.shape == y.shape else same_shape(function, x, y)
    x, y = promote(function, x, y, inexact=inexact)
    return same_shape(function, x, y)


def same_shape(function: str, *xs: Array) -> Any:
    """The operands broadcast against each other. Python scalars stay. Raises ArgumentError if the shapes do not fit."""
    shapes = [x.shape for x in xs if type(x) not in PYTHON_SCALARS]
    if all([s == shapes[0] for s in shapes]):
        return xs
    shape = common_shape(function, *shapes)
    return tuple([x if type(x) in PYTHON_SCALARS else broadcast(x, shape) for x in xs])


def common_shape(function: str, *shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that all broadcast to."""
    try:
        return _common_shape(*shapes)
    except ValueError:
        listed = " and ".join(map(str, shapes))
        raise ArgumentError(
            f"minijvp.numpy.{function} received operands of shapes {listed}, which do not broadcast.",
            "From the last axis backwards, sizes must be equal, or one of them 1.",
            "Reshape one of them (x[:, None] adds an axis), or correct the operands.",
        ) from None


@lru_cache(maxsize=4096)
def _common_shape(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    return broadcast_shapes(*shapes)


def broadcast(x: Array, shape: tuple[int, ...]) -> Array:
    """`x` repeated to `shape`, along new leading axes and axes of size 1."""
    given = type_of(x).shape
    if given == shape:
        return x
    first = len(shape) - len(given)
    return broadcast_in_dim(x, shape=shape, broadcast_dimensions=tuple(range(first, len(shape))))


def as_dtype(dtype: Any) -> Any:
    """A dtype as the user gave it, as it exists with or without 64 bits; None stays None."""
    return None if dtype is None else jax.dtypes.canonicalize_dtype(dtype)


def normalize_axis(axis: Any, ndim: int, function: str) -> int:
    """A non-negative axis. Raises ArgumentError if there is no such axis."""
    try:
        index = axis.__index__()
    except (AttributeError, TypeError):
        index = None
    if index is None or not -ndim <= index < ndim:
        raise ArgumentError(
            f"minijvp.numpy.{function} received axis={axis!r} for an array with {ndim} axes.",
            "Axes are integers, counted from 0, or from the end by negative numbers.",
            "Correct the axis.",
        )
    return index % ndim


def sequence(given: Any) -> tuple:
    """What the user gave as one integer or several of them, as a tuple; arrays of NumPy are sequences too."""
    several = isinstance(given, (tuple, list)) or (isinstance(given, np.ndarray) and given.ndim)
    return tuple(given) if several else (given,)


def normalize_axes(axes: Any, ndim: int, function: str) -> Axes:
    """Non-negative axes for an axis, a sequence of them, or None (all)."""
    if axes is None:
        return tuple(range(ndim))
    found = tuple([normalize_axis(a, ndim, function) for a in sequence(axes)])
    if len(set(found)) != len(found):
        raise ArgumentError(
            f"minijvp.numpy.{function} received axis={axes!r}, which names an axis twice.",
            "An axis is used once.",
            "Name each once.",
        )
    return found


def refuse(function: str, name: str, value: Any, default: Any = None, module: str = "numpy") -> None:
    """Raise ArgumentError for an argument of NumPy or JAX that has no meaning here, if it is not the default."""
    if value is default or (isinstance(value, (str, bool, int)) and value == default):
        return
    placing = name == "out" or name in PLACEMENT
    raise (UnsupportedArgumentError if name == "out" else ArgumentError)(
        f"minijvp.{module}.{function} received {name}, and {name} is not supported.",
        "Results are new arrays; where they lie is decided outside."
        if placing
        else "It asks for something that transformations of minijvp have no counterpart of.",
        f"Omit {name}.",
    )
