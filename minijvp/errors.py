"""Exceptions that say what happened, why it cannot work, and what to do; `error_pages` adds to what they say here."""

from __future__ import annotations

from typing import Any

import jax.errors
from jax.errors import InconclusiveDimensionOperation, JAXIndexError, JaxRuntimeError, JAXTypeError, KeyReuseError

__all__ = [
    "ArgumentError",
    "ConcretizationError",
    "ConcretizationTypeError",
    "DerivativeError",
    "EscapedTracerError",
    "ForeignFunctionError",
    "InconclusiveDimensionOperation",
    "JAXIndexError",
    "JAXTypeError",
    "JaxRuntimeError",
    "JaxprError",
    "JaxprTypeError",
    "KeyReuseError",
    "MinijvpError",
    "MissingPackageError",
    "MissingRuleError",
    "NonConcreteBooleanIndexError",
    "NonFiniteError",
    "RedefinedPrimitiveWarning",
    "RuleError",
    "TracerArrayConversionError",
    "TracerBoolConversionError",
    "TracerIntegerConversionError",
    "UnboundAxisError",
    "UnexpectedTracerError",
    "UnsupportedArgumentError",
    "UnsupportedVersionError",
    "UnusedScopeWarning",
]


def __dir__() -> list[str]:
    return sorted(__all__)


class MinijvpError(Exception):
    """Base class of the errors that minijvp raises itself.

    `what` happened, `why` it cannot work and what to `do` instead are kept apart, so that a tool can show them apart;
    `str` joins them, and a note names the text that says more. A pickled error keeps these, and nothing of the program.
    """

    def __init__(self, what: str, why: str = "", do: str = ""):
        self.what, self.why, self.do = what, why, do
        Exception.__init__(self, "\n".join(part for part in (what, why, do) if part))
        public = next(c for c in type(self).__mro__ if c.__module__ == __name__ and c.__name__ in __all__)
        self.add_note(f"More: help(minijvp.errors.{public.__name__})")

    def add_note(self, note: str) -> None:
        if "JAX_TRACEBACK_FILTERING" not in note:  # of JAX, about frames of its own
            super().add_note(note)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.what, self.why, self.do), {"__notes__": self.__notes__}


class ArgumentError(MinijvpError, TypeError, ValueError):
    """An argument of a public function has the wrong tree, shape, dtype, axis or type."""


class UnknownValueError(ArgumentError):
    """A transpose rule computes with an argument that is linear, of which it has the type and no value."""


class UnsupportedArgumentError(ArgumentError, NotImplementedError):
    """An argument that functions of NumPy have was given, and means nothing here: `out`."""


class ConcretizationError(MinijvpError, jax.errors.TracerBoolConversionError, jax.errors.TracerIntegerConversionError):
    """Python asked a tracer for a concrete value (`if`, `int()`, `float()` ...) that it does not have."""


class NonConcreteBooleanIndexError(ConcretizationError, jax.errors.NonConcreteBooleanIndexError):
    """A traced mask chose the elements of an array: how many those are is not known."""


# The next two are no TypeErrors: JAX replaces a TypeError about an argument by one of its own, or ignores it.


class EscapedTracerError(MinijvpError, RuntimeError):
    """A tracer was used after the transformation that made it had ended."""


class ForeignFunctionError(MinijvpError, RuntimeError):
    """A tracer was handed to a function of NumPy or jax.numpy, which cannot trace it."""


class MissingPackageError(MinijvpError, ImportError):
    """A function needs a package that comes with an extra of minijvp and is not installed."""


class MissingRuleError(MinijvpError, TypeError, ValueError, NotImplementedError):
    """A primitive has no rule for the transformation that met it. JAX raises each of the three."""

    equation: Any = None  # the one that cannot be transposed, if that is what failed
    rule: str = ""  # that is missing, as long as the line that wants it is not known


class UnboundAxisError(ArgumentError, NameError):
    """A collective named an axis that no transformation around it has."""


class JaxprError(MinijvpError, TypeError):
    """A jaxpr breaks its own typing rules: a bug in a rule, never in user code."""


class DerivativeError(MinijvpError, AssertionError):
    """A check found a derivative that is not the derivative of its function."""


class NonFiniteError(MinijvpError, FloatingPointError):
    """A result is nan or inf, where that was to be checked. `report` says where it comes from."""

    report: Any = None
    """What `minijvp.explain_nan` found; left out where the error is pickled."""


class RuleError(MinijvpError, AssertionError):
    """A check found a rule of a primitive that does not fit its other rules, or its function."""


class UnsupportedVersionError(MinijvpError, ImportError):
    """The installed JAX or Python lies outside of the supported range."""


class RedefinedPrimitiveWarning(UserWarning):
    """A primitive was made under the name of another, which it replaces."""


class UnusedScopeWarning(RuntimeWarning):
    """Settings were made for a `with` statement that was never written."""


# By the names of jax.errors, a program written for JAX finds what is raised here in their place.

ConcretizationTypeError = TracerBoolConversionError = TracerIntegerConversionError = ConcretizationError
TracerArrayConversionError = ForeignFunctionError
UnexpectedTracerError = EscapedTracerError
JaxprTypeError = JaxprError
