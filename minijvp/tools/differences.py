"""Derivatives along a line from values alone: the judge of those that rules give."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Values = Sequence[np.ndarray]

LEVELS = 30
"""Steps that are tried, each half of the one before."""


def steps(scale: float) -> np.ndarray:
    """The steps for arguments of size `scale`: from a large part of it down to where rounding decides."""
    return max(1.0, scale) / 4 * 0.5 ** np.arange(LEVELS)


def size(x: np.ndarray) -> float:
    """The largest magnitude among the numbers that are finite."""
    return float(np.max(np.abs(x), initial=0.0, where=np.isfinite(x)))


def rounding(value: Callable[[float], Values], scale: float, eps: float) -> list[float]:
    """For each result, how much rounding changes it, by second differences with steps as small as rounding allows."""
    start = value(0.0)
    found = [eps * size(x) for x in start]
    with np.errstate(all="ignore"):
        for h in eps * max(1.0, scale) * 2.0 ** np.arange(3, 8):
            triples = zip(value(h), start, value(-h), strict=True)
            found = [max(n, size(a - 2 * x + b)) for n, (a, x, b) in zip(found, triples, strict=True)]
    return found


def difference_quotients(value: Callable[[float], Values], scale: float, eps: float) -> list[tuple[np.ndarray, float]]:
    """For each result, the derivative at 0 of a function of one number, and an estimate of its error.

    Central differences are extrapolated to the step 0, and the step and the order whose error seems least are taken.
    `scale` is the size of the arguments, and `eps` the relative precision of the computation.

    Source: C. J. F. Ridders, Accurate computation of F'(x) and F'(x)F''(x), Adv. Eng. Software 4(2), 1982.

    >>> (slope, error), = difference_quotients(lambda h: [np.sin(1 + h)], 1.0, 2e-16)
    >>> bool(abs(slope - np.cos(1)) < 1e-10), error < 1e-9
    (True, True)
    """
    hs = steps(scale)
    noise = rounding(value, scale, eps)
    ahead, behind = ([list(map(np.asarray, value(sign * h))) for h in hs] for sign in (1, -1))
    found = []
    with np.errstate(all="ignore"):
        for i, n in enumerate(noise):
            column = np.stack([(a[i] - b[i]) / (2 * h) for a, b, h in zip(ahead, behind, hs, strict=True)])
            inexact = [(n + eps * scale * size(q)) / h for q, h in zip(column, hs, strict=True)]
            best, error = extrapolated(column, np.array(inexact))
            found.append((best, float(error)))
    return found


def extrapolated(
    column: np.ndarray, noise: np.ndarray, measure: Callable[[np.ndarray], Any] = lambda x: np.max(x, initial=0.0)
) -> tuple[np.ndarray, Any]:
    """The best entry of the table of extrapolations of central differences, and its error.

    `column` has a difference for each step, which is half of the one before, and `noise` its rounding. `measure` makes
    one number of the errors of an entry, by default the largest; where it leaves them apart, each has its own best.
    """
    best, least = column[0], np.inf
    for factor in (4.0, 16.0, 64.0):
        following = column[1:] + (column[1:] - column[:-1]) / (factor - 1)
        noise = noise[1:]
        for k, x in enumerate(following):
            error = measure(np.maximum(np.abs(x - column[k + 1]), np.abs(x - column[k]))) + noise[k]
            better = error < least
            best, least = np.where(better, x, best), np.where(better, error, least)
        column = following
    return best, least


def remainder_slopes(
    value: Callable[[float], Values], derivative: Values, scale: float, eps: float
) -> list[float | None]:
    """For each result the slope, in log-log, of |value(h) - value(0) - h derivative|.

    It is 2 where the derivative is right and 1 where it is not; None where all remainders are rounding, as for a
    linear function. It is fitted to the least steps whose remainders are more than that.

    Source: P. E. Farrell, D. A. Ham, S. W. Funke and M. E. Rognes, Automated derivation of the adjoint of high-level
    transient finite element programs, SIAM J. Sci. Comput. 35(4), 2013, section 4.

    >>> sine = lambda h: [np.sin(1 + h)]
    >>> [round(remainder_slopes(sine, [factor * np.cos(1)], 1.0, 2e-16)[0], 1) for factor in (1, 1.03)]
    [2.0, 1.0]
    """
    hs, start, noise = steps(scale)[::-1], value(0.0), rounding(value, scale, eps)
    rows = [value(h) for h in hs]
    found = []
    for i, (x, d, n) in enumerate(zip(start, derivative, noise, strict=True)):
        with np.errstate(all="ignore"):
            remainders = [float(np.max(np.abs(row[i] - x - h * d), initial=0.0)) for h, row in zip(hs, rows)]
        floors = [30 * n + 30 * eps * (size(row[i]) + (scale + h) * size(d)) for h, row in zip(hs, rows)]
        found.append(slope_above(hs, remainders, floors))
    return found


def slope_above(hs: np.ndarray, remainders: Sequence[float], floors: Sequence[float]) -> float | None:
    """The slope through the first points in a row that lie above their floors, or None if there are less than two."""
    points: list[tuple[float, float]] = []
    for h, remainder, floor in zip(hs, remainders, floors, strict=True):
        if np.isfinite(remainder) and remainder > floor:
            points.append((float(np.log(h)), float(np.log(remainder))))
        elif len(points) < 3:
            points.clear()
        if len(points) == 6:
            break
    if len(points) < 2:
        return None
    x, y = np.transpose(points)
    return float(np.polyfit(x, y, 1)[0])
