"""Messages for traced values of which something was asked that they do not have."""

from __future__ import annotations

from types import FrameType
from typing import Any

import jax
import jax.numpy as jnp

from minijvp.errors import ConcretizationError, EscapedTracerError, ForeignFunctionError

AS_INDEX = "Python's indexing or range()"
INSTEAD_OF_IF = "mnp.where (or mnp.select) in place of `if`"
INSTEAD_OF_LOOPS = "lax.fori_loop in place of range(n), mnp.asarray(items)[i] in place of an element of a list"


def used(tracer: Any, line: Any) -> str:
    """Where the value was made and where it is used, if that is known and not the same line."""
    made = tracer.made_at()
    return tracer.origin() + (f", used at {line}: {line.text}" if line and str(line) != str(made) else "")


def not_concrete(tracer: Any, wanted_by: str, line: Any) -> ConcretizationError:
    """The error for Python code that `wanted_by` at a line asks for a value that there is not."""
    return ConcretizationError(
        f"{wanted_by} needs the value of a traced {tracer.type!r}{used(tracer, line)}.",
        f"Under {tracer.owner.description} the program runs once for all values, so there is no value to look at.",
        f"Use {INSTEAD_OF_LOOPS if wanted_by == AS_INDEX else INSTEAD_OF_IF}, an argument in static_argnums or "
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


def foreign(tracer: Any, function: str, entered: FrameType | None, line: Any) -> ForeignFunctionError:
    """The error for a function of a library, `entered` by a line of the user's, that does not know tracers."""
    return ForeignFunctionError(
        f"{function} received a traced {tracer.type!r} of {tracer.owner.description}{used(tracer, line)}.",
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
