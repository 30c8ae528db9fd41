"""What a check found, row by row, as a table and as an error."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from typing import Any

import jax.numpy as jnp
import numpy as np

from minijvp.errors import DerivativeError
from minijvp.tools.differences import size
from minijvp.views.tables import Table, Tabular, counted

TOLERANCES = [(1e-15, 1e-6, 1e-5), (1e-6, 3e-4, 5e-3), (2e-3, 5e-2, 5e-2), (1.0, 2e-1, 2e-1)]
"""Up to which precision, the relative difference that two computations may have, and one of differences."""

RIGHT_SLOPE = 1.5
"""A remainder that shrinks as h**2 has the slope 2; one that has a term in h, the slope 1."""


def precision(dtype: Any) -> float:
    """The relative precision of a floating dtype."""
    return float(jnp.finfo(dtype).eps)


@dataclass(frozen=True)
class Row:
    """One comparison: of numbers by their relative difference, or of remainders by their slope."""

    check: str
    leaf: str
    error: float
    tolerance: float
    slope: float | None = None
    found: Any = None
    wanted: Any = None
    uncertain: float = 0.0

    @property
    def passed(self) -> bool:
        return self.error <= self.tolerance


@dataclass(repr=False)
class Report(Tabular):
    """The rows of a check, below a summary: a table with check, leaf, error, tolerance and slope."""

    title: str
    rtol: float | None = None
    atol: float | None = None
    x64: bool = True
    """Whether there were 64-bit types where the check was asked for."""
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return all(row.passed for row in self.rows)

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def compare(
        self,
        check: str,
        leaf: str,
        found: Any,
        wanted: Any,
        scale: float | None = None,
        *,
        eps: float,
        floor: float = 0.0,
        uncertain: float = 0.0,
        by_differences: bool = False,
        lenient: bool = False,
    ) -> None:
        """Add a row for two arrays, judged element by element.

        What an element may differ by is a share of it, and rounding in numbers of the size `scale` (by default, of the
        largest element), `floor`, and an error `uncertain` of the judge, of which a small part of the scale is excused.
        With `lenient` there is no judgement where the judge is not finite.
        """
        found, wanted = np.asarray(found), np.asarray(wanted)
        usual = next(t[1 + by_differences] for t in TOLERANCES if eps <= t[0])
        rtol = usual if self.rtol is None else self.rtol
        scale = size(wanted) if scale is None else scale
        share = 0.1 if by_differences else min(1.0, 1e3 * eps / rtol)
        slack = share * scale + (floor + min(10 * uncertain, 1e-3 * scale) + (self.atol or 1e-300)) / rtol
        with np.errstate(all="ignore"):
            errors = np.abs(found - wanted) / (np.abs(wanted) + slack)
        same = (found == wanted) | (np.isnan(found) & np.isnan(wanted))
        errors = np.where(same, 0.0, np.where(np.isnan(errors) | ~np.isfinite(wanted), np.inf, errors))
        if lenient:
            errors = np.where(np.isfinite(wanted), errors, 0.0)
        if errors.size:
            worst = np.unravel_index(int(np.argmax(errors)), errors.shape)
            place = f"[{', '.join(map(str, worst))}]" if worst else ""
            numbers = errors[worst], found[worst], wanted[worst]
            leaf = leaf.replace(" by ", f"{place} by ", 1) if " by " in leaf else leaf + place
            self.rows.append(Row(check, leaf, float(numbers[0]), rtol, None, *numbers[1:], uncertain))

    def slope(self, check: str, leaf: str, slope: float | None, eps: float) -> None:
        """Add a row for the remainders along a direction; None where all were rounding."""
        shortfall = 0.0 if slope is None else max(0.0, 2.0 - slope)
        # In less than double precision the steps between rounding and the size of a function are too few to judge.
        allowed = 2.0 - RIGHT_SLOPE if eps < 1e-12 else np.inf
        self.rows.append(Row(check, leaf, shortfall, allowed, np.inf if slope is None else slope))

    def required(self) -> Report:
        """The report itself, if every row has passed; DerivativeError for the first that has not."""
        failed = [row for row in self.rows if not row.passed]
        if not failed:
            return self
        first = failed[0]
        what = f"{self.title}: {first.check} of {first.leaf} "
        if first.slope is not None:
            what += f"leaves remainders of slope {first.slope:.2f}, which should be 2."
        else:
            what += f"is {first.found:.8g} and should be {first.wanted:.8g}: "
            what += f"a relative difference of {first.error:.2g}, where {first.tolerance:.1g} is allowed."
        if first.uncertain > 1e-3 * abs(first.wanted if first.wanted is not None else 1.0):
            what += f" (The differences themselves are uncertain by {first.uncertain:.1g}.)"
        raise DerivativeError(
            f"{what}\n{self}",
            "The derivative that was found is not the derivative of the function at this point.",
            "Correct the rule of that leaf. Near a kink or a jump differences have no meaning: choose another point; "
            "where the function is inexact (a solver inside), give rtol or atol.",
        )

    @property
    def summary(self) -> str:
        """How many comparisons there are, and how many differ."""
        failed, n = sum([not row.passed for row in self.rows]), counted(len(self.rows), "comparison")
        return f"{self.title}: {f'{failed} of {n} differ' if failed else f'{n}, none differs'}"

    @property
    def table(self) -> Table:
        """The rows as text."""
        return Table(self.summary, ("check", "leaf", "error", "tolerance", "slope", ""), tuple(map(cells, self.rows)))

    def __str__(self) -> str:
        return "\n".join([str(self.table), *[f"  ({note})" for note in self.notes]])

    def markdown(self) -> str:
        return "\n\n".join([super().markdown(), *[f"({note})" for note in self.notes]])

    def html(self) -> str:
        return "\n".join([super().html(), *[f"<div>({escape(note)})</div>" for note in self.notes]])


def cells(row: Row) -> tuple[str, ...]:
    """A row as text."""
    slope = "" if row.slope is None else ("exact" if row.slope == np.inf else f"{row.slope:.2f}")
    failed = "" if row.passed else "<- differs"
    return row.check, row.leaf, f"{row.error:.1e}", f"{row.tolerance:.0e}", slope, failed
