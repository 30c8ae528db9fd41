"""Tracers: values seen by a trace, which behave like arrays towards Python, NumPy and JAX."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from types import FrameType
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import ShapedArray
from jax.core import Tracer as JaxTracer

from minijvp.core import source
from minijvp.core.types import ARRAY_CLASSES, ArrayType, register_type_reader
from minijvp.errors import (
    ArgumentError,
    ConcretizationError,
    EscapedTracerError,
    ForeignFunctionError,
    MinijvpError,
)


class Owner(Protocol):
    """What a tracer asks of the trace that it belongs to."""

    @property
    def description(self) -> str: ...

    def finished(self) -> bool: ...


class Here(threading.local):
    """What stands for tracers in a function that JAX traces in this thread, if it traces one."""

    capturing: Capturing | None = None


here = Here()


class Capturing:
    """Context manager: JAX traces a function inside, which may use tracers that it closes over.

    What stands for them there are further arguments, `stand_ins`. Those that it lacks are noted in `tracers` when they
    are used: then it is traced once more. A tracer of a transformation inside of the function is none of these.
    """

    __slots__ = ("outside", "owners", "previous", "stand_ins", "tracers")

    def __init__(self, trace: Any) -> None:
        self.outside = here.capturing
        self.owners = [trace]
        while hasattr(self.owners[-1], "parent"):
            self.owners.append(self.owners[-1].parent)
        self.tracers: list[Tracer] = []
        self.stand_ins: Sequence[Any] = ()

    def __enter__(self) -> Capturing:
        self.previous = here.capturing
        here.capturing = self
        return self

    def __exit__(self, *exception: object) -> None:
        here.capturing = self.previous

    def find(self, tracer: Tracer) -> Any:
        """What stands for a tracer, or None."""
        for x, stand_in in zip(self.tracers, self.stand_ins, strict=False):
            if x is tracer:
                return stand_in
        if tracer.owner in self.owners:
            self.tracers.append(tracer)
            return None
        return None if self.outside is None else self.outside.find(tracer)


def for_jax(tracer: Tracer) -> Any:
    """The value of a tracer for JAX: what it is resolved to, or what stands for it in a function that JAX traces.

    The tracer itself, if there is none.
    """
    value = tracer.resolved()
    if value is not tracer or here.capturing is None:
        return value
    found = here.capturing.find(tracer)
    return tracer if found is None else found


try:

    class ArrayTracer(JaxTracer, jax.Array):
        """What a tracer calls itself."""

except TypeError:  # in JAX 0.10 no class can be both
    ArrayTracer = jax.Array  # type: ignore[misc,assignment]


AS_INDEX = "Python's indexing or range()"


INSTEAD_OF_IF = "mnp.where (or mnp.select) in place of `if`"


INSTEAD_OF_LOOPS = "lax.fori_loop in place of range(n), mnp.asarray(items)[i] in place of an element of a list"


class Tracer:
    """A value seen by one trace. Behaves like an array; its operators are those of `minijvp.numpy`.

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
    __array_priority__ = 1000
    __class__ = property(lambda self: ArrayTracer)  # type: ignore[assignment]

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

    def use(self, line: source.Source | None) -> str:
        """For messages: where the value was made and where it is used, if that is known and not the same line."""
        made = self.made_at()
        return self.origin() + (f", used at {line}: {line.text}" if line and str(line) != str(made) else "")

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
        return ConcretizationError(
            f"{wanted_by} needs the value of a traced {self.type!r}{self.use(source.capture())}.",
            f"Under {self.owner.description} the program runs once for all values, so there is no value to look at.",
            f"Use {INSTEAD_OF_LOOPS if wanted_by == AS_INDEX else INSTEAD_OF_IF}, an argument in static_argnums or "
            "static_argnames of jit for values that steer Python, or take this part of the program out of the "
            "transformation.",
        )

    def __bool__(self) -> bool:
        return bool(self.known_value("bool() (an `if`, `while`, `and`, `or`, `not` or `assert`)"))

    def __int__(self) -> int:
        return int(self.known_value("int()"))

    def __index__(self) -> int:
        return self.known_value(AS_INDEX).__index__()

    def __float__(self) -> float:
        return float(self.known_value("float()", as_number=True))

    def __complex__(self) -> complex:
        return complex(self.known_value("complex()", as_number=True))

    def item(self, *args: int) -> Any:
        """The value as a Python scalar, where it is known."""
        return self.known_value("item()", as_number=True).item(*args)

    def tolist(self) -> Any:
        """The value as nested Python lists, where it is known."""
        return self.known_value("tolist()", as_number=True).tolist()

    def __len__(self) -> int:
        self.require_axes("len()")
        return self.shape[0]

    def __iter__(self) -> Any:
        self.require_axes("iteration")
        return (self[i] for i in range(self.shape[0]))  # type: ignore[index]

    def require_axes(self, wanted_by: str) -> None:
        """Raise ArgumentError for a value that is a single number."""
        if not self.shape:
            raise ArgumentError(
                f"{wanted_by} received a traced {self.type!r}.",
                "A value without axes is a single number: it has no elements to count or to go through.",
                "Use the value itself, or give it an axis: mnp.atleast_1d(x).",
            )

    def __setitem__(self, index: Any, value: Any) -> None:
        raise ArgumentError(
            f"an element of a traced {self.type!r} was assigned to.",
            "Arrays cannot be changed: a derivative or a compiled program needs the old value and the new one.",
            "Write x = x.at[index].set(value), which makes a new array.",
        )

    def __repr__(self) -> str:
        value = self.resolved()
        if value is not self:
            return repr(value)
        return f"<{self.owner.description} {self.type!r}>"

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        value = self.concrete()
        if value is self:
            raise self.foreign("a NumPy function or np.asarray")
        return np.asarray(value, *args, **kwargs)

    @property
    def __jax_array__(self) -> Any:
        # A property, since many functions of JAX only ask whether there is such a method. An operator of jax.Array
        # asks too; it leaves the operation to ours if it is given what is no array. Nothing but the name of its frame
        # tells an operator from a function of JAX (tests/test_errors.py tries them all).
        if sys._getframe(1).f_code.co_name.startswith("_operator_"):
            return lambda: None
        value = for_jax(self)
        if value is self:
            value = self.concrete()
        if value is not self:
            return lambda: value
        if self.owner.finished():
            raise escaped(self, "a function of minijvp.numpy or of JAX")
        raise self.foreign("a function or an index of JAX")

    @property
    def aval(self) -> Any:
        """The type as JAX's, for functions that only ask for that: jnp.zeros_like."""
        t = self.type
        return ShapedArray(t.shape, t.dtype, weak_type=t.weak_type)

    def to_concrete_value(self) -> Any:
        """The value, where there is one to look at: jnp.asarray of JAX 0.12 asks, and gives back what has none."""
        value = self.concrete()
        if value is self and self.owner.finished():
            raise escaped(self, "a function of JAX")
        return None if value is self else value

    def foreign(self, function: str) -> MinijvpError:
        if self.owner.finished():
            return escaped(self, function)
        entered, line = source.called()
        return ForeignFunctionError(
            f"{function} received a traced {self.type!r} of {self.owner.description}{self.use(line)}.",
            "It does not know minijvp's tracers, and would have to drop the derivative or the batch axis.",
            f"{remedy(entered)} Or make the function that calls JAX one of minijvp, minijvp.from_jax(f), and pass it "
            "every traced value as an argument.",
        )


def remedy(entered: FrameType | None) -> str:
    """What to write in place of a call of a library, given the frame of the function that was called, if it has one.

    The frame is all there is: a function of JAX does not say its name to what it receives. It steers a text only.
    """
    if entered is not None and entered.f_globals.get("__name__", "").startswith("jax."):
        owner, _, name = entered.f_code.co_qualname.rpartition(".")
        if name == "__getitem__":
            return "Write minijvp.numpy.asarray(x)[i] for x[i], where x is not traced and i is."
        if "IndexUpdate" in owner:
            return f"Write minijvp.numpy.asarray(x).at[i].{name}(v) for x.at[i].{name}(v), where x is not traced."
        for module in (jnp, jax.lax, jax.nn):
            if not owner and hasattr(module, name):
                return f"Write mini{module.__name__.replace('jax', 'jvp', 1)}.{name}, the same function for tracers."
    return (
        "Use the function of the same name in minijvp.numpy; for an index or a method of an array x that is not "
        "traced, write minijvp.numpy.asarray(x)[i]."
    )


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


def escaped(tracer: Tracer, used_by: str) -> EscapedTracerError:
    """The error for `tracer`, used by `used_by` after its transformation has ended."""
    return EscapedTracerError(
        f"{used_by} received a {type(tracer).__name__} that escaped from {tracer.owner.description}{tracer.origin()}.",
        "That transformation has ended, and its tracers stand for no value any more. It was probably stored in a "
        "global, a list, an attribute or a cache while the function was being transformed.",
        "Return the value from the transformed function (for values besides the result: has_aux=True).",
    )


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
