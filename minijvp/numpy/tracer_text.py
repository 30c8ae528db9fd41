"""Tracers as text: the type, and what is known of the value. `minijvp.numpy` installs it with the operators."""

from __future__ import annotations

from typing import Any

import numpy as np

from minijvp.answers import AS_TEXT
from minijvp.core.tracer import Tracer, is_tracer_of_jax
from minijvp.core.types import is_key, type_of
from minijvp.optimize.eager.recurring import PendingTracer
from minijvp.transforms.jvp import JVPTracer
from minijvp.transforms.vmap import BatchTracer

TIMES = {1: "", 2: " twice"}
MOST, AT_ENDS = 20, 3
"""Of an array with more elements than the first, so many are shown at the ends of each axis."""


def representation(x: Any) -> str:
    """The type of a tracer, its value where there is one, and what is done to it."""
    value = x.resolved()
    if value is not x:
        return repr(value)
    if x.owner.finished():
        return f"<{x.type!r}, escaped from {x.owner.description}>"
    value, lanes, n_derivatives = behind(x)
    numbers, parts = value_text(value), []
    if lanes:
        parts.append(f"one of {' x '.join(map(str, lanes))} lanes" + (numbers and f": {numbers}"))
    if n_derivatives:
        parts.append(f"being differentiated{TIMES.get(n_derivatives, f' {n_derivatives} times')}")
    if isinstance(value, Tracer):
        parts.append(f"in {value.owner.description}{value.origin()}")
    elif is_tracer_of_jax(value):
        parts.append("traced by JAX")
    return f"<{', '.join([f'{x.type!r} {numbers}' if numbers and not lanes else repr(x.type), *parts])}>"


def text(x: Any) -> str:
    """The value of a tracer that stands for one, as it is printed; else its representation."""
    value = x.resolved()
    return representation(x) if value is x else str(value)


def behind(x: Any) -> tuple[Any, list[int], int]:
    """The value that a tracer stands for, as far as it is known, with the sizes of its batch axes.

    And how many times it is being differentiated.
    """
    lanes: list[int] = []
    n = 0
    while True:
        if isinstance(x, JVPTracer):
            n += x.tangent is not None
            x = x.primal
        elif isinstance(x, BatchTracer):
            trace: Any = x.owner
            lanes = [trace.axis.size, *lanes] if x.batched else lanes
            x = x.value
        elif isinstance(x, PendingTracer):
            n += x.owner.depends(x.variable)
            x = x.owner.value(x.variable)
        else:
            return x, lanes, n


def value_text(x: Any) -> str:
    """The numbers of an array in one line, of a large one those at the ends; "" where there are none to be had."""
    if isinstance(x, Tracer) or is_tracer_of_jax(x) or is_key(type_of(x).dtype):
        return ""
    if not getattr(x, "is_fully_addressable", True) or (hasattr(x, "is_deleted") and x.is_deleted()):
        return ""
    x = np.asarray(x)
    if not x.ndim:
        return str(x)
    lines = np.array2string(x, threshold=MOST, edgeitems=AT_ENDS, max_line_width=10**9)
    return " ".join(lines.split()).replace("[ ", "[").replace(" ]", "]")


def formatted(x: Any, specification: str) -> str:
    """A tracer in a format of Python's: by its value, where that is known."""
    if not specification:
        return text(x)
    value = x.known_value(AS_TEXT)
    if is_tracer_of_jax(value):
        raise x.not_concrete(AS_TEXT)
    return format(value, specification)
