"""How far to go: steps that balance the rounding of the function against the truncation of the difference.

The error of a forward difference is about eps |f| / h + h |f''| / 2, that of a central one about
eps |f| / h + h^2 |f'''| / 6. They are least for h = eps^(1/2) and eps^(1/3), times the length over which the function
changes. Nothing is known of that but the argument: it is about 1 for sin and exp, and about x for log and powers of x.
Their geometric mean is not far from either.

Source: W. H. Press, S. A. Teukolsky, W. T. Vetterling and B. P. Flannery, Numerical Recipes, 3rd edition, Cambridge
2007, section 5.7.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minijvp import trees
from minijvp.errors import ArgumentError
from minijvp.numerical.probe import Probe

POWERS = {
    ("forward", 1): 1 / 2,
    ("central", 1): 1 / 3,
    ("complex-step", 1): 2.0,  # its square is lost beside 1, and nothing is subtracted
    ("forward", 2): 1 / 3,
    ("central", 2): 1 / 4,
    ("complex-step", 2): 1 / 3,  # of the difference; the imaginary step is that of the first derivative
}
"""The power of the precision that is the step, by the method and the order of the derivative."""

METHODS = ("forward", "central", "complex-step", "richardson")

LEAST_LENGTH = 1 / 8
"""The length near 0, where functions seldom change as fast as x does."""

LONGEST = 1 / 4
"""The first step of an extrapolation, which tries smaller ones by itself, as a part of the length."""


def lengths(probe: Probe) -> np.ndarray:
    """The length over which the function is supposed to change, for each element."""
    x = np.abs(probe.x)
    # Of large x the steps must not be lost in the rounding of x itself.
    return np.maximum(np.maximum(np.sqrt(x), LEAST_LENGTH), probe.eps**0.25 * x)


def automatic(probe: Probe, method: str, order: int = 1) -> np.ndarray:
    """The step for each element, from its value and the precision of the computation."""
    if method == "richardson":
        return LONGEST * lengths(probe)
    return probe.eps ** POWERS[method, order] * lengths(probe)


def chosen(probe: Probe, method: str, step: Any, order: int = 1) -> np.ndarray:
    """The step for each element: `step`, a number or a tree that fits the argument's, or the automatic one for None."""
    if step is None:
        return automatic(probe, method, order)
    entries = trees.flatten_prefix(step, probe.argument, "step")
    parts = [np.zeros(0)]
    for i, (entry, shape) in enumerate(zip(entries, probe.shapes, strict=True)):
        try:
            part = np.broadcast_to(np.asarray(entry, np.float64), shape)
        except (TypeError, ValueError):
            part = np.array([np.nan])
        if not np.all(np.isfinite(part) & (part > 0)):
            raise ArgumentError(
                f"{probe.user} received the step {entry!r:.100} for {probe.leaf_name(i)} of shape {shape}.",
                "A step is a distance: a positive finite number for the whole, for a leaf or for each element.",
                f"Pass such a number, as 1e-4, or omit step: it would be {smallest(probe, method, order)}.",
            )
        parts.append(part.ravel())
    flat = np.concatenate(parts)
    if method != "complex-step" or order == 2:
        require_moves(probe, flat, method, order)
    return flat


def require_moves(probe: Probe, step: np.ndarray, method: str, order: int) -> None:
    """Raise ArgumentError for a step that is lost in the rounding of an element."""
    index = np.arange(len(step))
    ahead, behind = probe.moved(index, step), probe.moved(index, -step)
    lost = np.flatnonzero((ahead == 0) | ((behind == 0) & (method != "forward")) | ~np.isfinite(ahead - behind))
    if len(lost):
        i = int(lost[0])
        raise ArgumentError(
            f"the step {step[i]:.3g} of {probe.user} does not change {probe.element(i)} = {probe.x[i]:.9g} in its "
            "dtype.",
            f"The next numbers are about {np.spacing(abs(probe.x[i])) * probe.eps[i] / np.finfo(float).eps:.1g} away.",
            f"Pass a larger step, or omit step: it would be {smallest(probe, method, order)}.",
        )


def smallest(probe: Probe, method: str, order: int) -> str:
    """The automatic steps, for a message."""
    steps = automatic(probe, method, order)
    low, high = (f"{f(steps):.2g}" for f in (np.min, np.max))
    return low if low == high else f"{low} to {high}"


def require_method(method: Any, user: str) -> None:
    """Raise ArgumentError for what is not the name of a method."""
    if method not in METHODS:
        raise ArgumentError(
            f"{user} received method={method!r}.",
            f"The methods are {', '.join(map(repr, METHODS))}.",
            'Pass one of them. "central" serves where nothing else is known of the function.',
        )
