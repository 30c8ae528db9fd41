"""Difference quotients of first and second order, and estimates of their errors.

A column is one derivative: along one element, or mixed, along two. Every quotient is a product of differences in one
element each, so that one formula serves both orders.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product
from typing import NamedTuple

import numpy as np

from minijvp.errors import ArgumentError
from minijvp.numerical.probe import OUTSIDE_OF_DOMAIN, Probe
from minijvp.numerical.steps import automatic, lengths
from minijvp.tools.differences import extrapolated

LEVELS, LADDERS = 8, 4
"""How many steps a ladder of extrapolation has, each half of the one before, and how many ladders are tried."""


class Quotient(NamedTuple):
    """Derivatives of the results, an array of shape (columns, results), and how much rounding may change them."""

    value: np.ndarray
    noise: np.ndarray


class Estimate(NamedTuple):
    """Derivatives of the results, an array of shape (columns, results), and their errors where they were asked for."""

    value: np.ndarray
    error: np.ndarray | None


@dataclass(frozen=True)
class Columns:
    """Derivatives along the elements `index[c]`, one or two (a mixed derivative), in the direction `unit[c]`: 1, i."""

    probe: Probe
    index: np.ndarray
    unit: np.ndarray

    @property
    def order(self) -> int:
        return self.index.shape[1]

    def some(self, chosen: np.ndarray) -> Columns:
        """These columns alone."""
        return replace(self, index=self.index[chosen], unit=self.unit[chosen])

    def quotient(self, step: np.ndarray, ends: tuple[int, int], finite: bool = True) -> Quotient:
        """The product of the differences between x + ends[0] step and x + ends[1] step in each element.

        The steps are as long as those that the elements take after rounding: x + h - x, and not h.
        """
        offsets = np.array(list(product(ends, repeat=self.order)))
        signs = np.prod(np.where(offsets == ends[0], 1, -1), axis=1)
        moves = step[:, None, :] * offsets * self.unit[:, None, None]
        values = self.probe.values(self.index, moves, finite)
        ahead, behind = (self.probe.moved(self.index, step * end * self.unit[:, None]) for end in ends)
        spacing = ((ahead - behind) / self.unit[:, None]).real
        volume = np.prod(spacing, axis=1)[:, None]
        eps, x = self.probe.eps[self.index].max(axis=1), np.abs(self.probe.x[self.index])
        with np.errstate(all="ignore"):  # steps that are lost in rounding are refused, or passed over
            value = np.einsum("p,cpr->cr", signs, values) / volume
            conditioning = (x / spacing).max(axis=1)[:, None] * np.abs(value)
            return Quotient(value, eps[:, None] * (np.abs(values).sum(axis=1) / volume + conditioning))

    def forward(self, step: np.ndarray, finite: bool = True) -> Quotient:
        """(f(x + h) - f(x)) / h."""
        return self.quotient(step, (1, 0), finite)

    def central(self, step: np.ndarray, finite: bool = True) -> Quotient:
        """(f(x + h) - f(x - h)) / 2h."""
        return self.quotient(step, (1, -1), finite)


def forward(columns: Columns, step: np.ndarray, error: bool) -> Estimate:
    """Forward differences; the error, from a second step twice as long, is that of the first order in the step."""
    value, noise = columns.forward(step)
    if not error:
        return Estimate(value, None)
    return Estimate(value, 2 * np.abs(columns.forward(2 * step).value - value) + noise)


def central(columns: Columns, step: np.ndarray, error: bool) -> Estimate:
    """Central differences; doubling the step makes their error four times as large."""
    value, noise = columns.central(step)
    if not error:
        return Estimate(value, None)
    return Estimate(value, np.abs(columns.central(2 * step).value - value) + noise)


def richardson(columns: Columns, step: np.ndarray, error: bool = True) -> Estimate:
    """Differences extrapolated to the step 0; ArgumentError where there are none."""
    values, errors = extrapolations(columns, step)
    bad = np.flatnonzero(~np.isfinite(errors).all(axis=1))
    if len(bad):
        columns.some(bad[:1]).central(step[bad[:1]] * 0.5 ** (LEVELS * LADDERS - LEVELS))  # says where, most likely
        element = columns.probe.element(int(columns.index[bad[0], 0]))
        raise ArgumentError(
            f"{columns.probe.user} found no steps around {element} at which {columns.probe.name} is finite.",
            "Differences are extrapolated from several steps in a row.",
            'Pass another first step, or the method "forward" or "central".',
        )
    return Estimate(values, errors if error else None)


def extrapolations(columns: Columns, step: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Central differences extrapolated to the step 0, from a ladder of steps of which each is half of the one before.

    A function that oscillates between the points can look smooth on such a ladder. So the result is held against the
    difference at a step far below, and where that contradicts it or cannot judge, the next ladder begins there.

    Source: C. J. F. Ridders, Accurate computation of F'(x) and F'(x)F''(x), Adv. Eng. Software 4(2), 1982.
    """
    n, m = len(columns.index), int(columns.probe.out_offsets[-1])
    values, errors, todo = np.zeros((n, m), columns.probe.out_dtype), np.full((n, m), np.inf), np.arange(n)
    for k in range(LADDERS):
        part, first = columns.some(todo), step[todo] * 0.5 ** (LEVELS * k)
        rungs = [part.central(first * 0.5**i, finite=False) for i in range(LEVELS)]
        judge, other = (part.central(first * 0.5**i, finite=False) for i in (LEVELS, LEVELS - 1))
        with np.errstate(all="ignore"):
            best, least = extrapolated(*map(np.stack, zip(*rungs, strict=True)), np.asarray)
            uncertain = np.abs(other.value - judge.value) + judge.noise
            apart = np.abs(best - judge.value)
            clear = (uncertain <= 0.1 * np.abs(judge.value)) | (uncertain <= 10 * judge.noise)
            converged = least <= np.maximum(1e-3 * uncertain, judge.noise)
            settled = clear & converged & (apart <= 10 * (least + uncertain))
            doubt = np.nan_to_num(apart + uncertain, nan=0.0)  # none where the step of the judge is lost in rounding
            error_k = np.where(settled, least, least + doubt)
            better = error_k < errors[todo]
        values[todo] = np.where(better, best, values[todo])
        errors[todo] = np.where(better, error_k, errors[todo])
        todo = todo[~settled.all(axis=1)]
        if not len(todo):
            break
    return values, errors


def complex_step(columns: Columns, step: np.ndarray, error: bool) -> Estimate:
    """Im f(x + ih) / h, in which nothing is subtracted; of second order, a central difference of that.

    It is the derivative only where `fun` is analytic and computes with complex numbers. So it is held against central
    differences, which know nothing of complex numbers, and ArgumentError is raised where they differ.

    Source: W. Squire and G. Trapp, Using complex variables to estimate derivatives of real functions, SIAM Review
    40(1), 1998.
    """
    probe, index = columns.probe, columns.index
    complex_probe = in_complex_numbers(probe)
    along = step if columns.order == 1 else automatic(probe, "complex-step")[index[:, :1]]
    value, noise = imaginary_quotient(complex_probe, index, along[:, 0], step[:, 1:])
    require_same(columns, value)
    if not error:
        return Estimate(value, None)
    if columns.order == 2:
        other = imaginary_quotient(complex_probe, index, along[:, 0], 2 * step[:, 1:]).value
    else:  # the derivative at the next numbers shows what rounding of x does to it
        shift = 4 * probe.eps[index[:, 0]] * np.abs(probe.x[index[:, 0]])
        other = imaginary_quotient(complex_probe, index, along[:, 0], step[:, 1:], shift).value
    return Estimate(value, np.abs(other - value) + noise)


def imaginary_quotient(
    probe: Probe, index: np.ndarray, along: np.ndarray, step: np.ndarray, shift: np.ndarray | float = 0.0
) -> Quotient:
    """The imaginary parts at x + ih, by h; of second order, the central difference of these in the second element."""
    offsets = np.array([(1j, *ends) for ends in product((1, -1), repeat=step.shape[1])])
    moves = np.column_stack([along, step])[:, None, :] * offsets
    moves[:, :, 0] += np.reshape(shift, (-1, 1))
    values, eps = probe.values(index, moves), probe.eps[index].max(axis=1)[:, None]
    parts = np.imag(values) / along[:, None, None]
    length = lengths(probe)[index[:, :1]]
    noise = eps * (4 * np.abs(parts) + np.abs(np.real(values)) / length[:, None]).max(axis=1)
    if step.shape[1] == 0:
        return Quotient(parts[:, 0], noise)
    return Quotient((parts[:, 0] - parts[:, 1]) / (2 * step), noise / step)


def in_complex_numbers(probe: Probe) -> Probe:
    """The same function of complex arguments; ArgumentError if it takes none."""
    if any(d.kind == "c" for d in [*probe.dtypes, *map(np.dtype, probe.out_dtypes)]):
        raise ArgumentError(
            f'{probe.user} with the method "complex-step" received {probe.name}, a function with complex numbers.',
            "The step goes along the imaginary axis, which must be free: a real function of real numbers is continued.",
            'Pass method="central" or "richardson", which step along both axes of complex arguments.',
        )
    try:
        return Probe(probe.fun, probe.argument, probe.user, imaginary=True)
    except (TypeError, AttributeError, *OUTSIDE_OF_DOMAIN) as error:
        raise ArgumentError(
            f'{probe.name} cannot be computed with complex numbers, which the method "complex-step" passes to it.',
            f"It raised {type(error).__name__}: {error}",
            'Pass method="central" or "richardson", or compute the function with operations that have complex forms '
            "(numpy for math; no floor, no rounding, no float()).",
        ) from error


def require_same(columns: Columns, value: np.ndarray) -> None:
    """Raise ArgumentError where central differences contradict the derivative by a complex step."""
    probe, index = columns.probe, columns.index
    checking = automatic(probe, "central", columns.order)[index]
    size = np.abs(probe.x[index])
    checking = np.where(size > 0, np.minimum(checking, size / 4), checking)
    judge, uncertain = central(columns, checking, True)
    assert uncertain is not None
    doubtful = np.flatnonzero(uncertain.max(axis=1, initial=0.0) > 0.1 * np.abs(value).max(axis=1, initial=0.0))
    if len(doubtful):
        judge[doubtful], uncertain[doubtful] = richardson(columns.some(doubtful), 0.25 * np.maximum(size, 1)[doubtful])
    share = probe.eps[index].max(axis=1)[:, None] ** 0.25
    wrong = np.abs(value - judge) > 10 * uncertain + share * np.maximum(np.abs(value), np.abs(judge))
    bad = np.argwhere(wrong | ~np.isfinite(value))
    if len(bad):
        c, r = bad[0]
        raise ArgumentError(
            f"the complex step gives {value[c, r]:.6g} for the derivative of {probe.name} by "
            f"{probe.element(int(index[c, 0]))}, and central differences {judge[c, r]:.6g}.",
            "It is right for analytic functions only: abs, norms, real, imag, conj and round are not, nor are kinks.",
            'Pass method="central" or "richardson"; or write the function without them: sqrt(x**2) for abs(x).',
        )


FORMULAS: dict[str, Callable[[Columns, np.ndarray, bool], Estimate]] = {
    "forward": forward,
    "central": central,
    "complex-step": complex_step,
    "richardson": richardson,
}
