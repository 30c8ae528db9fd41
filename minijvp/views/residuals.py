"""What reverse mode keeps: the residuals of a gradient, by bytes and by the user's lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import Any

from minijvp.core.jaxpr import Atom, Equation, Jaxpr, Var
from minijvp.core.printing import Names
from minijvp.core.source import Source
from minijvp.core.types import ArrayType
from minijvp.errors import ArgumentError
from minijvp.views.programs import gradient_programs, program_of
from minijvp.views.tables import Table, byte_text
from minijvp.views.traces import source_text

WIDTH, ROW, LABEL = 1000, 26, 560
"""Of the picture, in pixels: its width, the height of a bar, and the room for the line beside it."""


@dataclass(frozen=True)
class Residual:
    """A value that the forward pass keeps for the backward pass."""

    name: str
    type: ArrayType
    place: str
    """What it is besides: "input", "result", or "value" for one that is kept for the backward pass alone."""
    made_by: str
    """The primitive that makes it; empty for an input."""
    made_at: Source | None
    read_by: tuple[str, ...]
    """The primitives of the backward pass that read it."""

    @property
    def bytes(self) -> int:
        return self.type.bytes


@dataclass(frozen=True)
class ResidualReport:
    """The residuals of a gradient, the largest first; `str`, `html()` and Jupyter show them, `svg` is a picture."""

    function: str
    residuals: tuple[Residual, ...]

    @property
    def total(self) -> int:
        """The bytes of all residuals, each counted once; of a loop, those of every turn."""
        return sum(r.bytes for r in self.residuals)

    @property
    def by_line(self) -> dict[str, int]:
        """The bytes that each line of the user's keeps, the most first."""
        found: Counter[str] = Counter()
        for r in self.residuals:
            found[line_text(r)] += r.bytes
        return dict(found.most_common())

    @property
    def table(self) -> Table:
        rows = [
            (r.name, repr(r.type), byte_text(r.bytes), r.place, r.made_by, ", ".join(r.read_by), line_text(r))
            for r in self.residuals
        ]
        title = f"residuals of {self.function}: {byte_text(self.total)} in {len(rows)}"
        return Table(title, ("name", "type", "bytes", "is", "made by", "read by", "line"), tuple(rows))

    @property
    def lines(self) -> Table:
        """The bytes by line, as a table."""
        rows = tuple([(byte_text(n), f"{n / max(self.total, 1):.0%}", line) for line, n in self.by_line.items()])
        return Table(f"residuals of {self.function} by line", ("bytes", "share", "line"), rows)

    def __str__(self) -> str:
        return f"{self.table}\n{self.lines}"

    __repr__ = __str__

    def html(self) -> str:
        """Picture and tables as HTML."""
        return f"{self.svg}\n{self.lines.html()}\n{self.table.html()}"

    def _repr_html_(self) -> str:
        return self.html()

    @property
    def svg(self) -> str:
        """Bars of bytes by line."""
        rows = self.by_line
        height = 44 + ROW * len(rows)
        most = max(rows.values(), default=1)
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
            f'role="img" font-family="ui-monospace, Menlo, Consolas, monospace" font-size="12">',
            f"<title>{escape(self.table.title)}</title>",
            f'<rect width="{WIDTH}" height="{height}" rx="8" fill="#ffffff"/>',
            f'<text x="12" y="24" font-size="13" fill="#222222">{escape(self.table.title)}</text>',
        ]
        for i, (line, n) in enumerate(rows.items()):
            y, width = 40 + ROW * i, max(2.0, (WIDTH - LABEL - 110) * n / most)
            short = line if len(line) <= 74 else line[:73] + "…"
            parts += [
                f'<text x="12" y="{y + 14}" fill="#444444">{escape(short)}<title>{escape(line)}</title></text>',
                f'<rect x="{LABEL}" y="{y}" width="{width:.0f}" height="{ROW - 8}" rx="3" fill="#b45309"/>',
                f'<text x="{LABEL + width + 8:.0f}" y="{y + 14}" fill="#222222">{byte_text(n)}</text>',
            ]
        return "\n".join([*parts, "</svg>"])


def line_text(r: Residual) -> str:
    """The user's line that made a residual."""
    if r.made_at is None:
        return "arguments" if r.place == "input" else "no line of yours"
    return source_text(r.made_at)


def residual_report(fun: Callable[..., Any] | Jaxpr, *args: Any, **kwargs: Any) -> ResidualReport:
    """A `ResidualReport`: what reverse mode of `fun` keeps between its two passes, if nothing is computed again.

    Args:
        fun: takes and returns pytrees of arrays; all floating arguments are differentiated. Or a jaxpr, alone.
        args, kwargs: its arguments, of which only shapes and dtypes matter.

    The total is the number of bytes in the residuals of `vjp`; values that are arguments or results are among them.

    Raises ArgumentError for arguments that are not arrays, and where no argument is floating.

    >>> import minijvp, minijvp.numpy as mnp
    >>> report = minijvp.residual_report(lambda x: mnp.sum(mnp.sin(x) ** 2), mnp.ones(1000, 'float32'))
    >>> report.total, [r.made_by for r in report.residuals]
    (8000, ['cos', 'mul'])
    """
    jaxpr = program_of(fun, args, kwargs, "residual_report")
    programs = gradient_programs(jaxpr)
    if not programs.differentiated:
        raise ArgumentError(
            f"residual_report of {jaxpr.name or 'a jaxpr'}: no argument is floating, or no result depends on one.",
            "Without a derivative there are no residuals.",
            "Pass floating arguments (1.0 for 1).",
        )
    names = Names()
    names.bind(programs.forward.inputs)
    makers: dict[Atom, Equation] = {}
    for e in programs.forward:
        makers.update(dict.fromkeys(e.outputs, e))
        names.bind(e.outputs)
    readers: dict[Atom, list[str]] = {}
    for e in programs.backward:
        for v in e.inputs:
            readers.setdefault(v, []).append(e.primitive.name)
    results = programs.forward.outputs[: programs.n_outputs]
    found: dict[Var, Residual] = {}
    for atom, variable in programs.residuals:
        if type(atom) is not Var or atom in found or variable not in readers:
            continue
        e = makers.get(atom)
        place = "result" if atom in results else "value" if e is not None else "input"
        source, made_by = (None, "") if e is None else (e.source, e.primitive.name)
        read_by = tuple(dict.fromkeys(readers[variable]))
        found[atom] = Residual(names.use(atom), atom.type, place, made_by, source, read_by)
    ordered = sorted(found.values(), key=lambda r: -r.bytes)
    return ResidualReport(jaxpr.name or "a program", tuple(ordered))
