"""Expression swell: how the derivative of a repeated function grows as an expression, and how as a program."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minijvp import trees
from minijvp.api.gradients import grad
from minijvp.api.programs import make_jaxpr
from minijvp.core.jaxpr import Jaxpr
from minijvp.core.types import is_inexact, type_of
from minijvp.errors import ArgumentError
from minijvp.packages import package
from minijvp.symbolic.derivatives import differentiate
from minijvp.symbolic.elements import sympy
from minijvp.symbolic.expressions import expressions
from minijvp.symbolic.symbols import shown_name
from minijvp.views.tables import Table

SIMPLIFIED_UP_TO = 1_000
"""Operations: larger derivatives are not simplified, which would take minutes."""

MAX_OPERATIONS = 100_000
"""Of a derivative after which none of more repetitions is made."""


def nested(f: Callable[[Any], Any], k: int) -> Callable[[Any], Any]:
    """The function f(f(... f(x))), with f applied k times.

    >>> nested(lambda x: 2 * x, 3)(1)
    8
    """

    def composed(x: Any) -> Any:
        for _ in range(k):
            x = f(x)
        return x

    return composed


def product(f: Callable[[Any, int], Any], k: int) -> Callable[[Any], Any]:
    """The function f(x, 1) * f(x, 2) * ... * f(x, k) of x.

    >>> product(lambda x, i: x + i, 3)(0)
    6
    """

    def multiplied(x: Any) -> Any:
        out = f(x, 1)
        for i in range(2, k + 1):
            out = out * f(x, i)
        return out

    return multiplied


@dataclass(frozen=True)
class Swell:
    """Operations for 1, 2, ... repetitions: of a function, of its derivative as an expression, and as a program.

    `function` and `raw` are those of the expressions as they arise; `simplified` has None where the derivative is too
    large for it; `shared` counts common subexpressions once; `equations` are those of minijvp's gradient.
    """

    name: str
    function: tuple[int, ...]
    raw: tuple[int, ...]
    simplified: tuple[int | None, ...]
    shared: tuple[int, ...]
    equations: tuple[int, ...]

    @property
    def table(self) -> Table:
        """A row for each number of repetitions."""
        counts = (self.function, self.raw, self.simplified, self.shared, self.equations)
        rows = [(str(k), *map(_count, row)) for k, row in enumerate(zip(*counts, strict=True), 1)]
        columns = ("repetitions", "function", "derivative", "simplified", "subexpressions shared", "equations of grad")
        return Table(f"operations of the derivative of {self.name}, repeated", columns, tuple(rows))

    def figure(self) -> Any:
        """The counts as a figure of matplotlib, over the number of repetitions.

        Raises MissingPackageError without matplotlib.
        """
        figure = package("matplotlib.figure", "pictures", "Swell.plot").Figure(figsize=(9.6, 5.4), layout="constrained")
        axes = figure.add_subplot()
        n = len(self.raw)
        axes.set_yscale("log")
        ends = []
        for label, counts, color, style in self._lines():
            points = [(k, c) for k, c in enumerate(counts, 1) if c is not None]
            axes.plot(*zip(*points, strict=True), style, color=color, marker="o", markersize=5, linewidth=2)
            k, count = points[-1]
            if k == n:
                ends.insert(0, (count, f"{label}: {count:,}", color))
            else:
                text = f"{label}, as far as k = {k}: {count:,}"
                axes.annotate(text, (k, count), (0, 10), textcoords="offset points", color=color, ha="center")
        low, high = axes.get_ylim()
        for height, text, color in _apart(ends, (high / low) ** 0.045):
            axes.text(n + 0.03 * n + 0.1, height, text, color=color, va="center")
        axes.set_ylim(low, high * (high / low) ** 0.06)
        axes.set_xlim(1 - 0.04 * n, 1.42 * n + 0.5)
        axes.set_xticks(range(1, n + 1, -(-n // 16)))
        axes.set_xlabel("repetitions k", loc="left")
        title = f"Expression swell: operations in the derivative of {self.name}, repeated k times"
        axes.set_title(title, loc="left", pad=12)
        axes.grid(axis="y", color="#e4e4e4")
        axes.spines[["top", "right"]].set_visible(False)
        return figure

    def _lines(self) -> tuple[tuple[str, tuple[int | None, ...], str, str], ...]:
        return (
            ("symbolic derivative", self.raw, "#b3261e", "-"),
            ("simplified", self.simplified, "#c77700", "--"),
            ("subexpressions shared", self.shared, "#2a6fb0", "-"),
            ("automatic: equations of grad", self.equations, "#1b7f4b", "-"),
        )

    def save(self, path: str | Path) -> None:
        """Write the figure to a file, whose ending says the format (png, svg, pdf)."""
        self.figure().savefig(path, dpi=150)


def _count(n: int | None) -> str:
    return "too large" if n is None else f"{n:,}"


def _apart(ends: list[tuple[float, str, str]], ratio: float) -> list[tuple[float, str, str]]:
    """The labels of lines from below, each at least by `ratio` above the next lower one; of equal ones, the first."""
    placed, height = [], 0.0
    for count, text, color in sorted(ends, key=lambda end: end[0]):
        height = max(count, height * ratio)
        placed.append((height, text, color))
    return placed


def expression_swell(
    f: Callable[..., Any],
    n: int,
    x: float = 0.5,
    *,
    repeat: Callable[[Callable[..., Any], int], Callable[[Any], Any]] = nested,
) -> Swell:
    """The numbers of operations in the derivative of a function that is repeated 1, 2, ... n times.

    Args:
        f: what is repeated: for `nested` a function of a floating scalar to one; for `product` a function (x, i), the
            i-th factor.
        n: the largest number of repetitions.
        x: an example argument, which gives the type.
        repeat: (f, k) -> the function of a scalar in which f is repeated k times: `nested`, `product` or another.

    The raw derivative is what SymPy's `diff` returns, which collects numeric factors and equal powers and simplifies no
    more; `sympy.count_ops` counts. Simplified it is the shortest of `factor_terms`, `expand` and itself. Subexpressions
    are shared by `sympy.cse`. The equations are those of the jaxpr of `minijvp.grad`, without dead code.

    Raises ArgumentError where f is no function of a scalar to one, and where n makes more than 100,000 operations; and
    the errors of `to_sympy`.

    Source: A. G. Baydin, B. A. Pearlmutter, A. A. Radul and J. M. Siskind, Automatic differentiation in machine
    learning: a survey, JMLR 18, 2018, table 1, for the logistic map; S. Laue, On the equivalence of automatic and
    symbolic differentiation, arXiv:1904.02990, 2019, for the role of shared subexpressions.

    >>> swell = expression_swell(lambda x: 4 * x * (1 - x), 3)
    >>> swell.raw, swell.equations
    ((2, 21, 82), (8, 16, 24))
    """
    trees.require_callable(f, "expression_swell")
    trees.require_callable(repeat, "expression_swell")
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise ArgumentError(
            f"expression_swell received n={n!r}.",
            "It is the largest number of repetitions.",
            "Pass an integer from 1, such as 8.",
        )
    name = shown_name(f)
    rows: list[tuple] = []
    for k in range(1, n + 1):
        if rows and rows[-1][1] > MAX_OPERATIONS:
            raise ArgumentError(
                f"the derivative of {name}, repeated {k - 1} times, has {rows[-1][1]:,} operations.",
                f"No derivative is made beyond {MAX_OPERATIONS:,}: this is the swell that the numbers show.",
                f"Pass n={k - 1} or less.",
            )
        rows.append(_row(repeat(f, k), x, name))
    return Swell(name, *zip(*rows, strict=True))


def _row(fun: Callable[[Any], Any], x: Any, name: str) -> tuple:
    """The counts of one function, in the order of the fields of Swell."""
    sp = sympy()
    found = expressions(fun, (x,), None, "expression_swell")
    types = (type_of(x), *found.out_types)
    if any(t.shape or not is_inexact(t.dtype) or t.dtype.kind == "c" for t in types) or len(types) != 2:
        raise ArgumentError(
            f"expression_swell received {name}, from {types[0]!r} to {', '.join(map(repr, types[1:]))}.",
            "The swell is measured for functions of one real floating scalar to one.",
            "Fix the other arguments, and return one number.",
        )
    raw = differentiate(found.outputs, found.symbols[0])
    shorter = [raw, sp.factor_terms(raw), sp.expand(raw)] if sp.count_ops(raw) <= SIMPLIFIED_UP_TO else []
    parts, rest = sp.cse(raw)
    return (
        int(sp.count_ops(found.outputs)),
        int(sp.count_ops(raw)),
        int(min(map(sp.count_ops, shorter))) if shorter else None,
        int(sum(sp.count_ops(e) for e in (*[part for _, part in parts], *rest))),
        n_equations(make_jaxpr(grad(fun))(x)),
    )


def n_equations(jaxpr: Jaxpr) -> int:
    """The equations of a program; a call counts as those of what it calls."""
    return sum(sum(map(n_equations, e.programs)) or 1 for e in jaxpr)
