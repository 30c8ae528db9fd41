"""The error of a difference as a function of its step: rounding on the left, truncation on the right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Any

import jax
import numpy as np

from minijvp.api.linear_maps import jvp
from minijvp.core.types import short_dtype, x64_enabled
from minijvp.errors import ArgumentError, MinijvpError, MissingPackageError
from minijvp.interop.from_jax import from_jax
from minijvp.numerical.curve import Curve
from minijvp.numerical.derivatives import derivative
from minijvp.numerical.formulas import Columns, Quotient, extrapolations, imaginary_quotient, in_complex_numbers
from minijvp.numerical.pictures import draw
from minijvp.numerical.probe import Probe, count_evaluations
from minijvp.numerical.steps import METHODS, automatic, lengths, require_method
from minijvp.views.tables import Table

PER_DECADE = 8
"""Steps in each power of ten."""

LEAST_NOISE = 1 / 8
"""A difference that is better than this share of its rounding error was lucky, and the step is not."""


@dataclass(frozen=True, eq=False, repr=False)
class ErrorCurve:
    """The errors of differences against their step, method by method; `str` is a table, Jupyter shows the picture.

    Attributes:
        name, dtype, x, exact: the function, in which dtype it computes, the point and the derivative there.
        relative: whether errors are relative to that; where it is zero they are not.
        curves: a `Curve` for each method, by name.
        refused: why a method has none, by name.
    """

    name: str
    dtype: str
    x: float
    exact: float
    relative: bool
    curves: dict[str, Curve]
    refused: dict[str, str]

    @property
    def table(self) -> Table:
        """The best and the automatic step of each method, and their errors."""
        rows = []
        for c in self.curves.values():
            numbers = (c.best, c.best_error, c.automatic, c.automatic_error)
            rows.append((c.method, *[f"{x:.1e}" for x in numbers], str(c.evaluations)))
        rows += [(method, *["–"] * 5) for method in self.refused]
        kind = "relative error" if self.relative else "error"
        columns = ["method", "best ε", kind, "automatic ε", kind, "evaluations"]
        if self.refused:
            columns.append("")
            rows = [(*row, self.refused.get(row[0], "")) for row in rows]
        title = f"derivative of {self.name} at {self.x:.9g} in {self.dtype}: {self.exact:.9g}"
        return Table(title, tuple(columns), tuple(rows))

    def __str__(self) -> str:
        return str(self.table)

    __repr__ = __str__

    def figure(self) -> Any:
        """The picture as a figure of matplotlib, which comes with the extra "pictures"."""
        kind = "relative error" if self.relative else "error"
        title = f"error of the derivative of {self.name} at {self.x:.6g}, in {self.dtype}"
        return draw(self.curves, title, kind)

    def save(self, path: Any) -> None:
        """Write the picture to a file; the suffix names the format, as .svg or .png."""
        self.figure().savefig(path)

    @property
    def svg(self) -> str:
        """The picture as SVG."""
        text = StringIO()
        self.figure().savefig(text, format="svg")
        return text.getvalue()

    def _repr_svg_(self) -> str | None:
        try:
            return self.svg
        except MissingPackageError:
            return None  # Jupyter shows the table


def error_curve(
    f: Callable[..., Any], x: Any, methods: Sequence[str] = METHODS, *, exact: float | None = None
) -> ErrorCurve:
    """An `ErrorCurve`: the errors of the methods of `derivative`, for steps from the last digit of `x` to long ones.

    Args:
        f: takes and returns a real number.
        x: the point.
        methods: which of "forward", "central", "complex-step" and "richardson"; that of the last is its first step.
        exact: the derivative; by default what forward mode computes in float64.

    A method that cannot be used with `f` is omitted, and `refused` says why.

    Raises ArgumentError for an `x` that is not one finite floating number, a result that is not one real number, and an
    `f` that cannot be differentiated, as it is a function of NumPy, without `exact`.

    Source: W. H. Press, S. A. Teukolsky, W. T. Vetterling and B. P. Flannery, Numerical Recipes, 3rd edition, Cambridge
    2007, section 5.7.

    >>> import numpy as np
    >>> from minijvp import numerical
    >>> curve = numerical.error_curve(np.sin, 1.0, exact=np.cos(1.0)).curves["central"]
    >>> bool(1e-6 < curve.best < 1e-4), bool(curve.automatic_error < 10 * curve.best_error)
    (True, True)
    """
    for method in methods:
        require_method(method, "error_curve")
    probe = Probe(f, x, "numerical.error_curve")
    require_line(probe)
    wanted = derivative_by_rules(probe) if exact is None else float(exact)
    scale = abs(wanted) if wanted else 1.0
    length = float(lengths(probe)[0])
    digit = probe.eps[0] * (abs(probe.x[0]) or length)
    exponents = np.arange(np.ceil(np.log10(2 * digit) * PER_DECADE), np.log10(2 * length) * PER_DECADE)
    steps = 10.0 ** (exponents / PER_DECADE)
    curves, refused = {}, {}
    for method in methods:
        try:
            curves[method] = measured(probe, method, steps, wanted, scale)
        except ArgumentError as error:
            refused[method] = error.what
    dtype = short_dtype(probe.out_dtypes[0])
    return ErrorCurve(probe.name, dtype, float(probe.x[0]), wanted, bool(wanted), curves, refused)


def require_line(probe: Probe) -> None:
    """Raise ArgumentError for what is not a real function of a real number."""
    dtypes = [np.dtype(d) for d in [*probe.dtypes, *probe.out_dtypes]]
    if probe.shapes != [()] or probe.out_shapes != [()] or any(d.kind == "c" for d in dtypes):
        raise ArgumentError(
            f"error_curve received {probe.name}, from shapes {probe.shapes} to shapes {probe.out_shapes}.",
            "The curve shows one real derivative: of a number by a number.",
            "Pass the function along a line: lambda t: f(x + t * v), at 0.0, with a number as its result.",
        )


def derivative_by_rules(probe: Probe) -> float:
    """The derivative by forward mode, in float64 if the function computes in that too."""
    refusal = None
    for wide in (True, x64_enabled()):
        for fun in (probe.fun, from_jax(probe.fun)):
            with jax.enable_x64(wide):
                at = probe.x.astype(np.float64 if wide else np.float32)[0]
                try:
                    return float(jvp(fun, (at,), (np.ones_like(at),))[1])
                except (MinijvpError, TypeError, ValueError) as error:
                    refusal = refusal or error
    raise ArgumentError(
        f"error_curve cannot differentiate {probe.name}, which its differences are to be compared with.",
        f"Forward mode says: {refusal}",
        "Write it with minijvp.numpy, or pass the derivative: error_curve(f, x, exact=...).",
    ) from refusal


def measured(probe: Probe, method: str, steps: np.ndarray, wanted: float, scale: float) -> Curve:
    """The curve of one method."""
    with count_evaluations() as evaluations:
        alone = float(derivative(probe.fun, probe.argument, method))
    found = quotients(probe, method, steps)
    finite = np.isfinite(found.value[:, 0])
    errors, noise = (np.abs(x[finite, 0]) / scale for x in (found.value - wanted, found.noise))
    steady = np.maximum(errors, LEAST_NOISE * noise)
    half = PER_DECADE // 2
    typical = np.array([np.median(steady[max(0, i - half) : i + half + 1]) for i in range(len(steady))])
    start = float(automatic(probe, method)[0])
    return Curve(method, steps[finite], errors, typical, start, abs(alone - wanted) / scale, evaluations.total)


def quotients(probe: Probe, method: str, steps: np.ndarray) -> Quotient:
    """The derivative by each step, and its rounding."""
    columns = Columns(probe, np.zeros((len(steps), 1), int), np.ones(len(steps)))
    if method == "forward":
        return columns.forward(steps[:, None], finite=False)
    if method == "central":
        return columns.central(steps[:, None], finite=False)
    if method == "complex-step":
        return imaginary_quotient(in_complex_numbers(probe), columns.index, steps, np.zeros((len(steps), 0)))
    values, errors = extrapolations(columns, steps[:, None])
    return Quotient(np.where(np.isfinite(errors), values, np.nan), probe.eps[0] * np.abs(values))
