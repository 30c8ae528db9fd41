"""The type of a value: shape, dtype, and whether the dtype is weak (it came from a Python scalar)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from minijvp.dimensions import as_size, countable
from minijvp.errors import ArgumentError, UnknownValueError

SHORT_NAMES = {"float": "f", "bfloat": "bf", "int": "i", "uint": "u", "complex": "c", "bool": "bool"}


class ArrayType:
    """Shape, dtype and weakness of an array. Immutable by convention: a frozen dataclass costs three times as much.

    In a transpose rule, an argument that is an `ArrayType` is one whose value is not known: it is linear.

    >>> import numpy as np
    >>> from minijvp.extend import ArrayType
    >>> ArrayType((2, 3), np.dtype('float32')), ArrayType((), np.dtype('int32'), weak_type=True)
    (f32[2,3], i32[]*)
    """

    __slots__ = ("dtype", "shape", "weak_type")

    def __init__(self, shape: tuple[int, ...], dtype: Any, weak_type: bool = False):
        self.shape = shape
        self.dtype = dtype
        self.weak_type = weak_type

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        size = self.size
        return (size if type(size) is int else countable(size)) * self.dtype.itemsize

    def strong(self) -> ArrayType:
        """The same type with a dtype that is not weak."""
        return ArrayType(self.shape, self.dtype) if self.weak_type else self

    def with_shape(self, shape: tuple[int, ...]) -> ArrayType:
        return ArrayType(shape, self.dtype, self.weak_type)

    def __eq__(self, other: object) -> bool:
        return (
            type(other) is type(self)
            and self.shape == other.shape  # type: ignore[attr-defined]
            and self.dtype == other.dtype  # type: ignore[attr-defined]
            and self.weak_type == other.weak_type  # type: ignore[attr-defined]
        )

    def __hash__(self) -> int:
        return hash((self.shape, self.dtype, self.weak_type))

    def __repr__(self) -> str:
        return f"{short_dtype(self.dtype)}[{','.join(map(str, self.shape))}]{'*' if self.weak_type else ''}"


class ScalarType(ArrayType):
    """The type of a Python scalar inside a program. It broadcasts, and is never differentiated."""

    __slots__ = ()


def short_dtype(dtype: Any) -> str:
    """`float32` as `f32`, as types are written in messages and in printed jaxprs."""
    name = getattr(dtype, "name", str(dtype))
    letters = name.rstrip("0123456789")
    return SHORT_NAMES.get(letters, letters) + name[len(letters) :]


Array = Any
"""An array of JAX or NumPy, a tracer for one, or a Python scalar. Type checkers cannot know tracers as `jax.Array`."""
Axes = tuple[int, ...]
"""The numbers of some axes of an array, counted from 0."""
Params = dict[str, Any]
"""The static parameters of an operation, by their names."""

PYTHON_SCALARS: frozenset[type] = frozenset({bool, int, float, complex})

ARRAY_CLASSES: set[type] = set()
"""Classes of jax arrays and tracers that have been met: values that need no conversion."""

_type_readers: dict[type, Callable[[Any], ArrayType]] = {}
_inexact: dict[Any, bool] = {}


def register_type_reader(cls: type, reader: Callable[[Any], ArrayType]) -> None:
    """Teach `type_of` a class of values; subclasses need an entry of their own."""
    _type_readers[cls] = reader


def type_of(value: Any) -> ArrayType:
    """The type of an array, a NumPy array or scalar, a Python scalar or a tracer, as an ArrayType.

    Raises ArgumentError for anything else.

    >>> import numpy as np
    >>> from minijvp.extend import type_of
    >>> type_of(np.zeros((2, 3), 'float32')), type_of(True)
    (f32[2,3], bool[])
    """
    reader = _type_readers.get(type(value))
    return (reader or _new_reader(value))(value)


def abstract_type(value: Any) -> ArrayType:
    """The type of a value, or the one that its `shape` and `dtype` describe, as those of a `jax.ShapeDtypeStruct` do.

    Raises ArgumentError for anything else.
    """
    try:
        return type_of(value)
    except ArgumentError:
        if isinstance(value, (np.ndarray, np.generic)):
            raise  # of objects, or of text
        try:
            shape = tuple([as_size(n) for n in value.shape])
            dtype = jax.dtypes.canonicalize_dtype(value.dtype, allow_extended_dtype=True)
        except (AttributeError, TypeError):
            shape = None
        if shape is None:
            raise
    return ArrayType(shape, dtype, bool(getattr(value, "weak_type", False)))


def is_arraylike(value: Any) -> bool:
    """Whether `type_of(value)` has an answer."""
    try:
        type_of(value)
    except ArgumentError:
        return False
    return True


def x64_enabled() -> bool:
    """Whether there are 64-bit types now. What a dtype becomes depends on it, so caches of dtypes are keyed by it."""
    return jax.config.jax_enable_x64  # type: ignore[attr-defined]


def jit_is_disabled() -> bool:
    """Whether functions under jit run as they stand now, for whoever looks into them: inside of disable_jit."""
    return jax.config.jax_disable_jit  # type: ignore[attr-defined]


def is_inexact(dtype: Any) -> bool:
    """Whether values of `dtype` (float or complex of any width) have tangents."""
    cached = _inexact.get(dtype)
    if cached is None:
        cached = _inexact[dtype] = bool(jnp.issubdtype(dtype, jnp.inexact))
    return cached


def is_key(dtype: Any) -> bool:
    """Whether values of `dtype` are random keys: elements of arrays, but no numbers."""
    return jnp.issubdtype(dtype, jax.dtypes.prng_key)


def _read_jax_array(value: Any) -> ArrayType:
    aval = value.aval
    return ArrayType(aval.shape, aval.dtype, aval.weak_type)


def _read_numpy(value: Any) -> ArrayType:
    if value.dtype.kind not in "biufcV" or (value.dtype.kind == "V" and value.dtype.names is not None):
        raise _not_an_array(value)
    return ArrayType(value.shape, jax.dtypes.canonicalize_dtype(value.dtype))


def _read_python_scalar(value: Any) -> ArrayType:
    return ScalarType((), jax.dtypes.canonicalize_dtype(type(value)), type(value) is not bool)


def _new_reader(value: Any) -> Callable[[Any], ArrayType]:
    """The reader for a class met for the first time."""
    cls = type(value)
    if isinstance(value, jax.Array):
        reader = _read_jax_array
        ARRAY_CLASSES.add(cls)
    elif isinstance(value, (np.ndarray, np.generic)):
        reader = _read_numpy
    else:
        raise _not_an_array(value)
    _type_readers[cls] = reader
    return reader


def _not_an_array(value: Any) -> ArgumentError:
    kind = UnknownValueError if isinstance(value, ArrayType) else ArgumentError
    return kind(
        f"{value!r:.200} of type {type(value).__name__} is not an array.",
        "minijvp computes with numbers: jax and NumPy arrays, Python scalars, and pytrees of them.",
        "Convert it (mnp.asarray), or keep it out of the differentiated and traced arguments "
        "(close over it, or name it in static_argnums of jit).",
    )


_type_readers.update(dict.fromkeys(PYTHON_SCALARS, _read_python_scalar))


def wrapped(x: Array, dtype: Any) -> Array:
    """A Python scalar as one of NumPy; an integer that does not fit wraps."""
    return np.asarray(x).astype(dtype)[()] if type(x) is int else np.asarray(x, dtype)[()]
