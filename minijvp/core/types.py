"""The type of a value: shape, dtype, whether the dtype is weak (it came from a Python scalar), and its placement."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, get_abstract_mesh

from minijvp.core import placements
from minijvp.core.placements import NO_MESH, Placement
from minijvp.dimensions import as_size, countable
from minijvp.errors import ArgumentError, UnknownValueError

SHORT_NAMES = {"float": "f", "bfloat": "bf", "int": "i", "uint": "u", "complex": "c", "bool": "bool"}


class ArrayType:
    """Shape, dtype and weakness of an array. Immutable by convention: a frozen dataclass costs three times as much.

    In a transpose rule, an argument that is an `ArrayType` is one whose value is not known: it is linear. `placement`
    is None but for values that are split over the explicit axes of a mesh, or vary along its manual ones.

    >>> import numpy as np
    >>> from minijvp.extend import ArrayType
    >>> ArrayType((2, 3), np.dtype('float32')), ArrayType((), np.dtype('int32'), weak_type=True)
    (f32[2,3], i32[]*)
    """

    __slots__ = ("dtype", "placement", "shape", "weak_type")

    def __init__(self, shape: tuple[int, ...], dtype: Any, weak_type: bool = False, placement: Placement | None = None):
        self.shape = shape
        self.dtype = dtype
        self.weak_type = weak_type
        self.placement = placement

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
        return ArrayType(self.shape, self.dtype, False, self.placement) if self.weak_type else self

    def with_shape(self, shape: tuple[int, ...]) -> ArrayType:
        """The same with another shape, which is not split; it varies along the same axes of devices."""
        return self.placed(shape, (None,) * len(shape))

    def placed(self, shape: tuple[int, ...], spec: tuple[Any, ...]) -> ArrayType:
        """The same with another shape, and with these entries for its axes, if it has a placement."""
        p = self.placement
        return ArrayType(shape, self.dtype, self.weak_type, p and p.with_spec(spec))

    def stacked(self, n: int, split: Placement | None = None) -> ArrayType:
        """The type of so many of these along a leading axis, which is split as that of the placement `split` is."""
        p, shape = self.placement, (n, *self.shape)
        if split is not None and p is None:
            return ArrayType(shape, self.dtype, self.weak_type, split.with_spec((*split.spec[:1], *[None] * self.ndim)))
        return self.placed(shape, (split.spec[0] if split else None, *p.spec) if p else ())

    def row(self) -> ArrayType:
        """The type of what lies along the leading axis."""
        p = self.placement
        return self.placed(self.shape[1:], p.spec[1:] if p else ())

    def __eq__(self, other: object) -> bool:
        return (
            type(other) is type(self)
            and self.shape == other.shape  # type: ignore[attr-defined]
            and self.dtype == other.dtype  # type: ignore[attr-defined]
            and self.weak_type == other.weak_type  # type: ignore[attr-defined]
            and self.placement is other.placement  # type: ignore[attr-defined]
        )

    def __hash__(self) -> int:
        return hash((self.shape, self.dtype, self.weak_type))

    def __repr__(self) -> str:
        entries = self.placement.spec if self.placement else (None,) * len(self.shape)
        axes = [f"{n}" if e is None else f"{n}@{e}" for n, e in zip(self.shape, entries, strict=True)]
        along = f"{{V:{','.join(map(str, sorted(v)))}}}" if (v := placements.varying(self.placement)) else ""
        return f"{short_dtype(self.dtype)}[{','.join(axes)}]{along}{'*' if self.weak_type else ''}"


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


def type_here(value: Any) -> ArrayType:
    """The type of a value inside of the shard_map in force, which may be within the one that made it."""
    t = type_of(value)
    p = t.placement
    if p is None or p.is_split or p.sharding.mesh == (mesh := get_abstract_mesh()) or not mesh.manual_axes:
        return t
    return ArrayType(t.shape, t.dtype, t.weak_type, placements.of(NamedSharding(mesh, p.sharding.spec), p.manual))


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
    if aval.sharding.mesh is NO_MESH:
        return ArrayType(aval.shape, aval.dtype, aval.weak_type)
    return array_type_in_jax(aval)


def array_type_in_jax(aval: Any) -> ArrayType:
    """The type that JAX describes so, as jax.typeof does."""
    return ArrayType(aval.shape, aval.dtype, aval.weak_type, placements.of(aval.sharding, aval.manual_axis_type))


def type_in_jax(t: ArrayType) -> jax.ShapeDtypeStruct:
    """The type as JAX describes it."""
    return jax.ShapeDtypeStruct(t.shape, t.dtype, weak_type=t.weak_type, **placing_in_jax(t))


def placing_in_jax(t: ArrayType) -> Params:
    """How JAX describes where values of a type lie, in arguments of its own types."""
    p = t.placement
    return {} if p is None else {"sharding": p.sharding, "manual_axis_type": p.manual}


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
