"""Tracers: values seen by a trace, which stand for arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import jax
import numpy as np
from jax.core import Tracer as JaxTracer

from minijvp.answers import Answers, escaped, for_jax, foreign, not_concrete
from minijvp.core import source
from minijvp.core.types import ARRAY_CLASSES, ArrayType, register_type_reader
from minijvp.errors import ConcretizationError, MinijvpError


class Owner(Protocol):
    """What a tracer asks of the trace that it belongs to."""

    @property
    def description(self) -> str: ...

    def finished(self) -> bool: ...


class Tracer(Answers):
    """A value seen by one trace. It answers as an array does; its operators are those of `minijvp.numpy`.

    A class of tracers sets `owner`, the trace, and has `type`, an ArrayType, from which shape and dtype follow. Code
    that asks isinstance(x, jax.Array), and jax.core.Tracer where JAX allows it, is told yes.

    >>> import minijvp.numpy as mnp
    >>> from minijvp.extend import Trace, Tracer, current, current_trace, type_of
    >>> class Named(Tracer):
    ...     def __init__(self, owner, value, name):
    ...         self.owner, self.value, self.name = owner, value, name
    ...     type = property(lambda self: type_of(self.value))
    >>> class Naming(Trace):
    ...     def __init__(self, parent):
    ...         self.parent = parent
    ...     def process(self, primitive, args, params):
    ...         values = [x.value if isinstance(x, Named) else x for x in args]
    ...         names = [x.name if isinstance(x, Named) else str(x) for x in args]
    ...         out = self.parent.process(primitive, tuple(values), params)
    ...         return Named(self, out, f"{primitive}({', '.join(names)})")
    >>> with current(Naming(current_trace())) as trace:
    ...     print((mnp.sin(Named(trace, 1.0, 'x')) * 2).name)
    mul(sin(x), 2.0)
    """

    __slots__ = ("__weakref__", "owner")
    __hash__ = None  # type: ignore[assignment]

    owner: Owner

    def __init_subclass__(cls) -> None:
        register_type_reader(cls, lambda x: x.type)
        ARRAY_CLASSES.add(cls)

    @property
    def type(self) -> ArrayType:
        raise NotImplementedError

    @property
    def shape(self) -> tuple[int, ...]:
        return self.type.shape

    @property
    def dtype(self) -> Any:
        return self.type.dtype

    @property
    def weak_type(self) -> bool:
        return self.type.weak_type

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return self.type.size

    def made_at(self) -> source.Source | None:
        """The line of user code that made this value, where it is known."""
        return None

    def origin(self) -> str:
        """For messages: where the value was made, if that is known."""
        line = self.made_at()
        return f", made at {line}: {line.text}" if line else ""

    def known_value(self, wanted_by: str, as_number: bool = False) -> Any:
        """The value at the bottom, or ConcretizationError if there is none to be had.

        `as_number` tells that it will be computed with, and not only steer Python: refused where it has a tangent.
        """
        if self.owner.finished():
            raise escaped(self, wanted_by)
        raise self.not_concrete(wanted_by)

    def resolved(self) -> Any:
        """The value itself, of a tracer that stands for one without a derivative also when its trace has finished."""
        return self

    def concrete(self) -> Any:
        """The value, where there is one to be had and no derivative would be lost; else the tracer."""
        return self.resolved()

    def not_concrete(self, wanted_by: str) -> ConcretizationError:
        return not_concrete(self, wanted_by, source.capture())

    def foreign(self, used_by: str) -> MinijvpError:
        """The error for a library that this was handed to, which does not know tracers."""
        return escaped(self, used_by) if self.owner.finished() else foreign(self, used_by, *source.called())


def typeof(x: Any) -> Any:
    """The type of a value as jax.typeof has it, a jax.core.ShapedArray."""
    return x.aval if isinstance(x, Tracer) else jax.typeof(x)


def is_tracer_of_jax(x: Any) -> bool:
    """Whether JAX is tracing a value. Not by isinstance, to which tracers of minijvp answer yes."""
    return issubclass(type(x), JaxTracer)


def is_traced(x: Any) -> bool:
    """Whether a value is traced, by minijvp or by JAX."""
    return isinstance(x, Tracer) or is_tracer_of_jax(x)


def is_convertible(x: Any) -> bool:
    """Whether a value is no array, and says by a method `__jax_array__` which one it stands for, as JAX has it."""
    return hasattr(type(x), "__jax_array__") and not isinstance(x, (Tracer, jax.Array))


def is_known(x: Any) -> bool:
    """Whether a value is an array with numbers to look at."""
    return isinstance(x, (np.ndarray, np.generic, jax.Array)) and not is_traced(x)


def usable(x: Tracer, used_by: str) -> Any:
    """The tracer, or the value that it is resolved to. Raises EscapedTracerError if its transformation has ended."""
    if not x.owner.finished():
        return x
    value = x.resolved()
    if value is x:
        raise escaped(x, used_by)
    return value


def resolved(values: Sequence[Any]) -> Sequence[Any]:
    """The values, with those that JAX knows in the place of tracers; `values` itself, if there are none."""
    found = [for_jax(x) if isinstance(x, Tracer) else x for x in values]
    return values if all([x is y for x, y in zip(found, values, strict=True)]) else found


def refuse_tracers(args: Sequence[Any], used_by: str) -> None:
    """Raise for the first tracer among `args`, where nothing is left that could process it."""
    for x in args:
        if isinstance(x, Tracer):
            raise escaped(x, used_by) if x.owner.finished() else x.foreign(used_by)
