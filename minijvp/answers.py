"""What tracers answer to Python, NumPy and JAX, which ask for numbers and arrays: a value, or an error with advice."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Sequence
from inspect import ismodule
from typing import Any

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
from jax.core import ShapedArray
from jax.core import Tracer as JaxTracer

from minijvp.errors import ArgumentError, ConcretizationError, EscapedTracerError, ForeignFunctionError

AS_INDEX = "Python's indexing or range()"
AS_TEXT = "a format of Python's, as in f'{x:.3f}',"
INSTEAD_OF_IF = "mnp.where (or mnp.select) in place of `if`"
INSTEAD_OF_FORMAT = 'minijvp.debug.print("{x:.3f}", x=x), which waits for the value, or f"{x}" for the type'
INSTEAD_OF_LOOPS = "lax.fori_loop in place of range(n), mnp.asarray(items)[i] in place of an element of a list"

INSTEAD = {AS_INDEX: INSTEAD_OF_LOOPS, AS_TEXT: INSTEAD_OF_FORMAT}


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
        self.tracers: list[Any] = []
        self.stand_ins: Sequence[Any] = ()

    def __enter__(self) -> Capturing:
        self.previous = here.capturing
        here.capturing = self
        return self

    def __exit__(self, *exception: object) -> None:
        here.capturing = self.previous

    def find(self, tracer: Any) -> Any:
        """What stands for a tracer, or None."""
        for x, stand_in in zip(self.tracers, self.stand_ins, strict=False):
            if x is tracer:
                return stand_in
        if tracer.owner in self.owners:
            self.tracers.append(tracer)
            return None
        return None if self.outside is None else self.outside.find(tracer)


def for_jax(tracer: Any) -> Any:
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


class Answers:
    """A tracer as Python, NumPy and JAX meet it: an array whose value may not be known. `self` is a `Tracer`."""

    __slots__ = ()
    __array_priority__ = 1000
    __class__ = property(lambda self: ArrayTracer)  # type: ignore[assignment]

    def __bool__(self: Any) -> bool:
        return bool(self.known_value("bool() (an `if`, `while`, `and`, `or`, `not` or `assert`)"))

    def __int__(self: Any) -> int:
        return int(self.known_value("int()"))

    def __index__(self: Any) -> int:
        return self.known_value(AS_INDEX).__index__()

    def __float__(self: Any) -> float:
        return float(self.known_value("float()", as_number=True))

    def __complex__(self: Any) -> complex:
        return complex(self.known_value("complex()", as_number=True))

    def item(self: Any, *args: int) -> Any:
        """The value as a Python scalar, where it is known."""
        return self.known_value("item()", as_number=True).item(*args)

    def tolist(self: Any) -> Any:
        """The value as nested Python lists, where it is known."""
        return self.known_value("tolist()", as_number=True).tolist()

    def __len__(self: Any) -> int:
        self.require_axes("len()")
        return self.shape[0]

    def __iter__(self: Any) -> Any:
        self.require_axes("iteration")
        return (self[i] for i in range(self.shape[0]))  # type: ignore[index]

    def require_axes(self: Any, wanted_by: str) -> None:
        """Raise ArgumentError for a value that is a single number."""
        if not self.shape:
            raise ArgumentError(
                f"{wanted_by} received a traced {self.type!r}.",
                "A value without axes is a single number: it has no elements to count or to go through.",
                "Use the value itself, or give it an axis: mnp.atleast_1d(x).",
            )

    def __setitem__(self: Any, index: Any, value: Any) -> None:
        raise ArgumentError(
            f"an element of a traced {self.type!r} was assigned to.",
            "Arrays cannot be changed: a derivative or a compiled program needs the old value and the new one.",
            "Write x = x.at[index].set(value), which makes a new array.",
        )

    def __array__(self: Any, *args: Any, **kwargs: Any) -> Any:
        value = self.concrete()
        if value is self:
            raise self.foreign("a NumPy function or np.asarray")
        return np.asarray(value, *args, **kwargs)

    @property
    def __jax_array__(self: Any) -> Any:
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
    def aval(self: Any) -> Any:
        """The type as JAX's, for functions that only ask for that: jnp.zeros_like."""
        t = self.type
        p = t.placement
        placing = {} if p is None else {"sharding": p.sharding, "manual_axis_type": p.manual}
        return ShapedArray(t.shape, t.dtype, weak_type=t.weak_type, **placing)

    def to_concrete_value(self: Any) -> Any:
        """The value, where there is one to look at: jnp.asarray of JAX 0.12 asks, and gives back what has none."""
        value = self.concrete()
        if value is self and self.owner.finished():
            raise escaped(self, "a function of JAX")
        return None if value is self else value


def used(tracer: Any, line: Any) -> str:
    """Where the value was made and where it is used, if that is known and not the same line."""
    made = tracer.made_at()
    return tracer.origin() + (f", used at {line}: {line.text}" if line and str(line) != str(made) else "")


def not_concrete(tracer: Any, wanted_by: str, line: Any) -> ConcretizationError:
    """The error for Python code that `wanted_by` at a line asks for a value that there is not."""
    return ConcretizationError(
        f"{wanted_by} needs the value of a traced {tracer.type!r}{used(tracer, line)}.",
        f"Under {tracer.owner.description} the program runs once for all values, so there is no value to look at.",
        f"Use {INSTEAD.get(wanted_by, INSTEAD_OF_IF)}, an argument in static_argnums or "
        "static_argnames of jit for values that steer Python, or take this part of the program out of the "
        "transformation.",
    )


def no_number(tracer: Any, wanted_by: str) -> ConcretizationError:
    """The error for a value with a tangent that would become a number, and not only steer Python."""
    return ConcretizationError(
        f"{wanted_by} was asked of a {tracer.type!r} that is being differentiated{tracer.origin()}.",
        "The result would be a plain number without its derivative, and the gradient would be wrong.",
        "Keep the array; where the derivative is not wanted, say so: float(minijvp.stop_gradient(x)).",
    )


def escaped(tracer: Any, used_by: str) -> EscapedTracerError:
    """The error for `tracer`, used by `used_by` after its transformation has ended."""
    return EscapedTracerError(
        f"{used_by} received a {type(tracer).__name__} that escaped from {tracer.owner.description}{tracer.origin()}.",
        "That transformation has ended, and its tracers stand for no value any more. It was probably stored in a "
        "global, a list, an attribute or a cache while the function was being transformed.",
        "Return the value from the transformed function (for values besides the result: has_aux=True).",
    )


def foreign(tracer: Any, function: str, entered: Any, line: Any, own: Any) -> ForeignFunctionError:
    """The error for a function of JAX or NumPy, `entered` by a line, below one of the user's `own` code."""
    what = f"{function} received a traced {tracer.type!r} of {tracer.owner.description}{used(tracer, own or line)}."
    return ForeignFunctionError(
        what, *advice(function if function.startswith("numpy.") else "", entered, entered and entered.f_back, line, own)
    )


def advice(function: str, entered: Any, caller: Any, line: Any, own: Any) -> tuple[str, str]:
    """Why a tracer is refused, and what to write: of a package between JAX and the user, the function is made ours."""
    called, arguments = ("", "") if line is None else (own or line).call
    arguments = arguments if len(arguments) < 80 else "(...)"
    package = own is not None and own != line and not re.search(r"[\\/](numpy|scipy)[\\/]", str(line))
    instead = "" if package else remedy(function, entered, caller, called, arguments) or ("" if called else BY_NAME)
    ending = f", by from_jax; or {instead}" if instead else f": minijvp.from_jax({called or 'f'}){arguments}"
    why = "It does not know minijvp's tracers, and would have to drop the derivative or the batch axis."
    return why, f"Make the function that calls JAX one of minijvp{ending}"


BY_NAME = "use the function of the same name in minijvp.numpy, and for an index: minijvp.numpy.asarray(x)[i]"
MODULES = (jnp, jnp.linalg, jnp.fft, jax.scipy.special, jax.nn, jax.lax, jax.random, jax.debug, jax, jax.flatten_util)


def remedy(function: str, entered: Any, caller: Any, called: str, arguments: str) -> str:
    """What to write in place of a call of NumPy or JAX, or nothing: frames and the line tell which function it was."""
    home = entered.f_globals.get("__name__", "") if entered else ""
    owner, _, name = entered.f_code.co_qualname.rpartition(".") if home.startswith("jax.") else ("", "", "")
    if "IndexUpdate" in owner:
        return f"write, for x.at[i].{name}(v) where x is not traced: minijvp.numpy.asarray(x).at[i].{name}(v)"
    scope = {**caller.f_globals, **caller.f_locals} if caller else {}
    root = lambda path: scope.get(path.partition(".")[0], jax)
    module = lambda x: x.__name__ if ismodule(x) else getattr(x, "__module__", None) or ""
    text, path = called + arguments, re.split(r"[^\w.]", called, maxsplit=1)[0]
    outer = re.search(r"\btree[._](map|reduce)$", path) or module(root(path)).startswith("minijvp")
    inner = re.match(re.escape(path) + r"\((?!lambda\b)([\w.]+)", text) if outer else None
    start, end = inner.span(1) if inner else (0, len(path))
    path, found = text[start:end], root(text[start:end])
    theirs = module(found).startswith(("jax", "numpy", "scipy")) and (ismodule(found) or "." not in path)
    names = "" if ismodule(found) else getattr(found, "__name__", ""), path, "" if owner or inner else name, function
    ours = next(filter(None, [counterpart(n, f"{home}.{module(found)}") for n in names if theirs or n == function]), "")
    ours = ours or (f"minijvp.from_jax({path})" if inner else "")
    return f"write in its place: {text[:start]}{ours}{text[end:]}" if ours else ""


def counterpart(function: str, home: str) -> str:
    """The name in minijvp of a function of NumPy or JAX, from the module that is named with it, or else in `home`."""
    module, _, name = function.rpartition(".")
    ordered = sorted(MODULES, key=lambda m: m.__name__.rpartition(".")[2] not in (module or home).split("."))
    found = next((m.__name__ for m in ordered if name and hasattr(m, name)), "")
    return f"{found.replace('jax', 'minijvp', 1)}.{name}" if found else ""
