"""Scans in segments, of which reverse mode keeps the first carries only and computes the steps again."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from minijvp.calls.checkpoint import checkpoint as checkpoint_primitive
from minijvp.calls.programs import groups
from minijvp.control_flow.progress import Bar
from minijvp.control_flow.scan import scan as scan_primitive
from minijvp.control_flow.scan import stacked
from minijvp.core.jaxpr import Jaxpr
from minijvp.core.types import Array, type_of
from minijvp.errors import ArgumentError
from minijvp.operations import shape as shapes
from minijvp.operations.families import reshape
from minijvp.operations.slicing import slice as slice_primitive
from minijvp.transforms.staging import stage


def segment_size(checkpoint: Any, length: int) -> int:
    """How many steps a segment has, for the option `checkpoint` of a scan; 0 if there are no segments."""
    if checkpoint is None or checkpoint is False:
        return 0
    if checkpoint is True:
        return min(1, length)
    if isinstance(checkpoint, str) and checkpoint == "auto":
        root = math.sqrt(max(length, 1))
        # Without a remainder there is one loop less to compile.
        dividing = [k for k in range(math.ceil(root / 2), int(2 * root) + 1) if length % k == 0]
        return min(length, min(dividing, key=lambda k: abs(math.log(k / root)), default=math.ceil(root)))
    try:
        size = 0 if isinstance(checkpoint, str) else operator.index(checkpoint)
    except TypeError:
        size = 0
    if size < 1:
        raise ArgumentError(
            f"scan received checkpoint={checkpoint!r:.200}.",
            "It is the number of steps between two carries that reverse mode keeps.",
            'Pass a positive integer; True for 1; "auto" for about the square root of the length; None to keep all.',
        )
    return min(size, length)


def scan_segments(
    body: Jaxpr,
    constants: Sequence[Any],
    carry: Sequence[Any],
    rows: Sequence[Any],
    size: int,
    *,
    length: int,
    reverse: bool,
    unroll: int,
    progress: Bar | None = None,
) -> list[Any]:
    """What the scan of an open body gives, by a scan over segments of `size` steps, and one segment for the rest.

    The steps of that scan are shown; where there is one segment only, its own.
    """
    whole = length - length % size
    parts = [(0, whole, size)] + ([(whole, length, length - whole)] if whole < length else [])
    how = {"n_constants": len(constants), "n_carry": len(carry), "reverse": reverse}
    pieces = []
    for start, stop, steps in reversed(parts) if reverse else parts:
        turns = (stop - start) // steps
        within: dict[str, Any] = {} if progress is None or turns > 1 or whole < length else {"progress": progress}
        segment = steps_program(body, steps, unroll, **how, **within)
        lead = (turns,) if turns > 1 else ()
        types = segment.in_types[len(segment.in_types) - len(rows) :]
        xs = [reshape(part(x, start, stop), new_sizes=lead + t.shape) for x, t in zip(rows, types, strict=True)]
        # Two loops are never merged with each other, so that nothing need prevent it.
        remade = {"jaxpr": segment, "prevent_cse": turns == 1, "policy": None}
        if turns > 1:
            turn = stage(lambda *xs, remade=remade: checkpoint_primitive(*xs, **remade), segment.in_types, body.name)
            around = {} if progress is None else {"progress": replace(progress, scale=steps * progress.scale)}
            outs = scan_primitive(*constants, *carry, *xs, jaxpr=turn, length=turns, unroll=1, **how, **around)
        else:
            outs = checkpoint_primitive(*constants, *carry, *xs, **remade)
        carry, ys = groups(outs, len(carry))
        out_types = body.out_types[len(carry) :]
        pieces.append([reshape(y, new_sizes=(stop - start, *t.shape)) for y, t in zip(ys, out_types, strict=True)])
    if reverse:
        pieces.reverse()
    joined = pieces[0] if len(pieces) == 1 else [shapes.concatenate(*ys, dimension=0) for ys in zip(*pieces)]
    return [*carry, *joined]


def steps_program(
    body: Jaxpr, size: int, unroll: int, *, n_constants: int, n_carry: int, reverse: bool, **shown: Any
) -> Jaxpr:
    """The open program of `size` steps, of constants, carries and so many rows of each array; of one row if it is 1."""
    if size == 1:
        return body
    how = {"n_constants": n_constants, "n_carry": n_carry, "reverse": reverse, **shown}
    fixed, rows = groups(body.in_types, n_constants + n_carry)
    return stage(
        lambda *args: scan_primitive(*args, jaxpr=body, length=size, unroll=min(unroll, size), **how),
        [*fixed, *stacked(size, rows)],
        body.name,
    )


def part(x: Array, start: int, stop: int) -> Array:
    """The rows from `start` to before `stop`."""
    shape = type_of(x).shape
    if (start, stop) == (0, shape[0]):
        return x
    limits = (stop, *shape[1:])
    return slice_primitive(x, start_indices=(start, *[0] * (len(shape) - 1)), limit_indices=limits, strides=None)
