"""Traced values that functions close over, and the error for one that a rule cannot have."""

from __future__ import annotations

from functools import partial
from types import FunctionType, MethodType
from typing import Any

from minijvp.core.tracer import Tracer, is_traced
from minijvp.errors import ArgumentError

DEPTH = 6


def reaches_tracer(value: Any, depth: int = DEPTH, seen: set[int] | None = None) -> bool:
    """Whether a traced value is in `value`: it, an element of it, or what a function in it closes over."""
    seen = set() if seen is None else seen
    if is_traced(value):
        return True
    if depth == 0 or id(value) in seen:
        return False
    parts = parts_of(value)
    if parts:
        seen.add(id(value))
    return any(reaches_tracer(part, depth - 1, seen) for part in parts)


def parts_of(value: Any) -> list[Any]:
    """What a container holds, or a function has by itself."""
    if isinstance(value, (tuple, list)):
        return list(value)
    if isinstance(value, dict):
        return list(value.values())
    if isinstance(value, partial):
        return [value.func, value.args, value.keywords]
    if isinstance(value, MethodType):
        return [value.__self__, value.__func__]
    if isinstance(value, FunctionType):
        cells = [cell.cell_contents for cell in value.__closure__ or () if not is_empty(cell)]
        return [*cells, value.__defaults__ or (), value.__kwdefaults__ or {}]
    # Attributes of objects of the user: modules of a library, functions with rules, data classes.
    return list(getattr(value, "__dict__", {}).values()) if not isinstance(value, type) and is_plain(value) else []


def is_empty(cell: Any) -> bool:
    """Whether a variable that a function closes over has no value yet."""
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return True
    return False


def is_plain(value: Any) -> bool:
    """Whether the attributes of an object are worth a look: not those of modules and builtins."""
    return type(value).__module__ not in ("builtins", "jax", "numpy") and not hasattr(value, "dtype")


def captured_error(name: str, x: Any, what: str = "rule") -> ArgumentError:
    """The error for a traced value that a rule of the function `name` closes over and cannot have any more."""
    kind = f"a traced {x.type!r} of {x.owner.description}{x.origin()}" if isinstance(x, Tracer) else "a traced value"
    return ArgumentError(
        f"the {what} of {name} closes over {kind}.",
        "The rule runs after the function, maybe when that value is gone, and says nothing about its derivative.",
        f"Pass the value to {name} as an argument.",
    )
