"""What the notebooks share: tables of numbers, checks of exercises, and the scripts of the lecture to import from."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minijvp import tree
from minijvp.views.tables import Table

EXAMPLES = Path(__file__).parents[1]
sys.path += [str(EXAMPLES), str(EXAMPLES / "lecture")]

WAITING = "Not answered yet: write it in the place of the dots above."


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Table:
    """A table that Jupyter shows; numbers are written with six digits."""
    return Table(title, tuple(columns), tuple(tuple(map(cell, row)) for row in rows))


def cell(value: Any) -> str:
    return value if isinstance(value, str) else f"{np.asarray(value).item():.6g}"


def check(answer: Any, wanted: Any, at: Sequence[Any] = (), transform: Callable = lambda f: f) -> None:
    """Say whether an answer is what is wanted: numbers and words, or a function, which is compared at points.

    A point is one argument, or a tuple of arguments. `transform` makes of the answer what is compared, as `grad` does.
    An answer that is `...`, or returns it, is still to come.
    """
    points = [x if isinstance(x, tuple) else (x,) for x in at]
    if answer is ... or (points and answer(*points[0]) is ...):
        print(WAITING)
        return
    faults = [difference(transform(answer)(*x), wanted(*x)) for x in points] or [difference(answer, wanted)]
    where, fault = next((found for found in enumerate(faults, 1) if found[1]), (0, ""))
    place = f" at point {where} of {len(points)}" if len(points) > 1 else ""
    print(f"Not yet{place}: {fault}." if fault else "Right.")


def difference(found: Any, wanted: Any) -> str:
    """In what a tree of values differs from the one that is wanted, without telling that."""
    (leaves, form), (right, right_form) = tree.flatten(found), tree.flatten(wanted)
    if form != right_form:
        return f"it has the form {form}, and {right_form} is wanted"
    for x, y in zip(map(np.asarray, leaves), map(np.asarray, right), strict=True):
        if x.shape != y.shape:
            return f"it has the shape {x.shape}, and {y.shape} is wanted"
        if x.dtype.kind in "Ub":
            if (x != y).any():
                return f"{x} is wrong"
        elif not np.allclose(x, y, 1e-4, 1e-7):
            return f"it is {np.array2string(x, precision=6, threshold=8)}, which is wrong by {abs(x - y).max():.1g}"
    return ""
