"""What reverse mode keeps: the residuals of a gradient, by bytes and by the user's lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from minijvp import trees
from minijvp.core.jaxpr import Atom, Equation, Jaxpr, Var
from minijvp.core.source import Source
from minijvp.core.types import ArrayType, is_inexact
from minijvp.errors import ArgumentError
from minijvp.optimize.kept_call import kept_call
from minijvp.optimize.planner import as_differentiated
from minijvp.optimize.rematerialize.budgets import within
from minijvp.tracebacks import border
from minijvp.transforms.linearize import linearize_jaxpr, residuals_of
from minijvp.views.names import names_in_forward
from minijvp.views.printing import Names, names_in
from minijvp.views.programs import program_of
from minijvp.views.svg import FAINT, FONT, INK, Picture, safe
from minijvp.views.tables import Table, byte_text, html_of
from minijvp.views.traces import source_text

WIDTH, ROW, LABEL = 1100, 26, 560
"""Of the picture, in pixels: its width, the height of a bar, and the room for the line beside it."""

OFTEN = 3
"""So many values that are alike are one row of a table."""

LINES = 40
"""How many bars the picture has at most; the last one is then that of all other lines."""

ALONE, BESIDES = "#b45309", "#94a3b8"
"""The colours of what is kept for the backward pass alone, and of what is an argument or a result besides."""

Reader = tuple[str, Source | None]


@dataclass(frozen=True)
class Residual:
    """A value that the forward pass keeps for the backward pass."""

    name: str
    """That of the argument, or a letter as in the printed program."""
    type: ArrayType
    place: str
    """What it is besides: "input", "constant" (the function closes over it), "result", or "value" for one that is kept
    for the backward pass alone."""
    made_by: str
    """The primitive that makes it, and the loops and calls that this is in: "tanh in scan"; empty for an input."""
    made_at: Source | None
    readers: tuple[Reader, ...] = ()
    """The equations of the linear program that want it: the primitive of each, and the line that made it."""
    times: int = 1
    """How many such values there are, one of each call of a program that equal parts share."""

    @property
    def bytes(self) -> int:
        """Of all of them together."""
        return self.type.bytes * self.times

    @property
    def read_by(self) -> tuple[str, ...]:
        """The primitives of the linear program that want it."""
        return tuple(dict.fromkeys([name for name, _ in self.readers]))


@dataclass(frozen=True)
class ResidualReport:
    """The residuals of a gradient, the largest first; `str`, `html()` and Jupyter show them, `picture` is a picture."""

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
    def title(self) -> str:
        besides = sum(r.bytes for r in self.residuals if r.place != "value")
        counted = f"{byte_text(self.total)} in {sum(r.times for r in self.residuals)} values"
        return f"residuals of {self.function}: {counted}, {byte_text(besides)} of them arguments or results"

    @property
    def table(self) -> Table:
        alike = lambda r: (r.type, r.place, r.made_by, line_text(r), reader_text(r))
        rows = [
            (r.name, type_text(r), byte_text(r.bytes), r.place, r.made_by, line_text(r), reader_text(r))
            for r in sorted(merged(self.residuals, alike), key=lambda r: -r.bytes)
        ]
        return Table(self.title, ("name", "type", "bytes", "is", "made by", "at", "wanted by"), tuple(rows))

    @property
    def lines(self) -> Table:
        """The bytes by line, as a table."""
        rows = tuple([(byte_text(n), f"{n / max(self.total, 1):.0%}", line) for line, n in self.by_line.items()])
        return Table(f"residuals of {self.function} by line", ("bytes", "share", "line"), rows)

    def __str__(self) -> str:
        return f"{self.table}\n{self.lines}"

    __repr__ = __str__

    def html(self) -> str:
        """Picture and tables as HTML, in ASCII."""
        return html_of(self.svg, self.lines.html(), self.table.html())

    def _repr_html_(self) -> str:
        return self.html()

    @property
    def picture(self) -> Picture:
        """Bars of bytes by line, as a picture that can be saved."""
        return Picture(self.svg, self.title)

    @property
    def svg(self) -> str:
        """Bars of bytes by line."""
        rows = bars(self)
        height = 66 + ROW * len(rows)
        most = max([alone + besides for _, alone, besides in rows], default=1)
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
            f'role="img" font-family="{FONT}" font-size="12">',
            f"<title>{safe(self.title)}</title>",
            f'<rect width="{WIDTH}" height="{height}" rx="8" fill="#ffffff"/>',
            f'<text x="12" y="24" font-size="13" fill="{INK}">{safe(self.title)}</text>',
            *legend(),
        ]
        for i, (line, alone, besides) in enumerate(rows):
            y, scale = 58 + ROW * i, (WIDTH - LABEL - 160) / max(most, 1)
            short = line if len(line) <= 74 else line[:73] + "…"
            parts.append(f'<text x="12" y="{y + 14}" fill="{INK}">{safe(short)}<title>{safe(line)}</title></text>')
            x = float(LABEL)
            for n, colour in ((alone, ALONE), (besides, BESIDES)):
                if n:
                    width = max(2.0, scale * n)
                    parts.append(f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{ROW - 8}" fill="{colour}"/>')
                    x += width
            text = f"{byte_text(alone + besides)}, {(alone + besides) / max(self.total, 1):.0%}"
            parts.append(f'<text x="{x + 8:.1f}" y="{y + 14}" fill="{INK}">{text}</text>')
        return "\n".join([*parts, "</svg>"])


def legend() -> Iterator[str]:
    """What the colours mean."""
    for x, colour, text in ((12, ALONE, "kept for the backward pass alone"), (282, BESIDES, "an argument or a result")):
        yield f'<rect x="{x}" y="36" width="12" height="12" fill="{colour}"/>'
        yield f'<text x="{x + 18}" y="46" fill="{FAINT}">{text}</text>'


def bars(report: ResidualReport) -> list[tuple[str, int, int]]:
    """Of each line: what it keeps for the backward pass alone, and what is there besides."""
    parts: dict[str, list[int]] = {line: [0, 0] for line in report.by_line}
    for r in report.residuals:
        parts[line_text(r)][r.place != "value"] += r.bytes
    rows = [(line, alone, besides) for line, (alone, besides) in parts.items()]
    if len(rows) <= LINES:
        return rows
    rest = rows[LINES - 1 :]
    return [*rows[: LINES - 1], (f"{len(rest)} other lines", sum([r[1] for r in rest]), sum([r[2] for r in rest]))]


def merged(values: Sequence[Any], alike: Callable[[Any], Hashable]) -> list[Any]:
    """Values in rows of a table: those that are alike are one row, if they are three or more."""
    groups: dict[Hashable, list[Any]] = {}
    for v in values:
        groups.setdefault(alike(v), []).append(v)
    found = []
    for vs in groups.values():
        name = f"{vs[0].name} … {vs[-1].name}"
        found += [replace(vs[0], name=name, times=sum([v.times for v in vs]))] if len(vs) >= OFTEN else vs
    return found


def type_text(r: Any) -> str:
    """The type of a value, and how many there are if there are several."""
    return f"{r.type!r}" + f" × {r.times}" * (r.times > 1)


def line_text(r: Residual) -> str:
    """The user's line that made a residual."""
    if r.made_at is None:
        return {"input": "arguments", "constant": "constants"}.get(r.place, "no line of yours")
    return source_text(r.made_at)


def reader_text(r: Residual) -> str:
    """The equations that want a residual, by the user's lines."""
    by_line: dict[str, dict[str, None]] = {}
    for name, source in r.readers:
        where = "" if source is None else f" at {source_text(source).partition(': ')[0]}"
        by_line.setdefault(where, {})[name] = None
    texts = [", ".join(names) + where for where, names in by_line.items()]
    return "; ".join(texts if len(texts) <= 3 else [*texts[:2], f"{len(texts) - 2} other lines"])


@border
def residual_report(fun: Callable[..., Any] | Jaxpr, *args: Any, **kwargs: Any) -> ResidualReport:
    """A `ResidualReport`: what reverse mode of `fun` keeps between its two passes, if nothing is computed again.

    Args:
        fun: takes and returns pytrees of arrays; all floating arguments are differentiated. Or a jaxpr, alone.
        args, kwargs: its arguments, of which only shapes and dtypes matter.

    The total is the number of bytes in the residuals of `vjp`; values that are arguments or results are among them. A
    value that is made inside of a loop or a call is reported with its line there. Loops and calls whose programs are
    equal share one linearization, and so the lines of the first of them. Where `jit` makes equal parts calls of one
    program (`config(outline=)`), a value of it is one row with the number of calls, and numbers that differ are arrays.

    Raises ArgumentError for arguments that are not arrays, and where no argument is floating.

    >>> import minijvp, minijvp.numpy as mnp
    >>> report = minijvp.residual_report(lambda x: mnp.sum(mnp.sin(x) ** 2), mnp.ones(1000, 'float32'))
    >>> report.total, [(r.made_by, r.read_by) for r in report.residuals]
    (8000, [('cos', ('mul',)), ('mul', ('mul',))])
    """
    with within("off"):
        jaxpr = program_of(fun, args, kwargs, "residual_report")
    opened, constants = as_differentiated(jaxpr).hoist_constants()
    with within("off"):
        n = len(constants)
        differentiated = tuple([i >= n and is_inexact(t.dtype) for i, t in enumerate(opened.in_types)])
        # Not from the cache: an equal program may have come from other lines.
        known, linear, origins, nonzero = linearize_jaxpr.__wrapped__(opened, differentiated)
    if not any(nonzero):
        raise ArgumentError(
            f"residual_report of {jaxpr.name or 'a jaxpr'}: no argument is floating, or no result depends on one.",
            "Without a derivative there are no residuals.",
            "Pass floating arguments (1.0 for 1).",
        )
    names = named(known, jaxpr, fun, args, kwargs, n)
    makers, readers = Index(known), Index(linear)
    results = known.outputs[: len(nonzero)]
    atoms = residuals_of(origins, known.inputs, known.outputs, len(nonzero))
    kinds: dict[Atom, str] = dict.fromkeys(results, "result")
    kinds.update({v: "constant" if i < n else "input" for i, v in enumerate(known.inputs)})
    equal: dict[tuple[str, Hashable], dict[Var, Var]] = {}
    for v, variable in zip(atoms, linear.inputs, strict=False):
        if type(v) is Var:
            equal.setdefault((kinds.get(v, "value"), makers.place(v)), {}).setdefault(v, variable)
    found = []
    for (kind, _), group in equal.items():
        v, read_by = next(iter(group)), dict.fromkeys([r for w in group.values() for r in readers.readers(w)])
        found.append(Residual(names.use(v), v.type, kind, *makers.maker(v), tuple(read_by), len(group)))
    return ResidualReport(jaxpr.name or "a program", tuple(sorted(found, key=lambda r: -r.bytes)))


def named(known: Jaxpr, jaxpr: Jaxpr, fun: Any, args: tuple, kwargs: dict[str, Any], n: int) -> Names:
    """Names for the values of the forward program of a jaxpr, whose inputs stand behind `n` constants.

    They are those of the arguments, those that the user's lines give, and letters for the others.
    """
    name = None if isinstance(fun, Jaxpr) else trees.call_namer(fun, args, kwargs)
    arguments = {v: name(i) for i, v in enumerate(known.inputs[n:])} if name else {}
    return names_in(known, names_in_forward(known, jaxpr, arguments.values()) | arguments)


class Index:
    """Which equations of a program make a value, and which read it, inside of loops and calls too."""

    def __init__(self, jaxpr: Jaxpr):
        self.jaxpr = jaxpr
        self.producers = {v: (e, i) for e in jaxpr for i, v in enumerate(e.outputs)}
        self.uses: dict[Atom, list[tuple[Equation, int]]] = {}
        for e in jaxpr:
            for i, v in enumerate(e.inputs):
                self.uses.setdefault(v, []).append((e, i))
        self.inner: dict[int, Index] = {}

    def of(self, jaxpr: Jaxpr) -> Index:
        """The index of an inner program."""
        if id(jaxpr) not in self.inner:
            self.inner[id(jaxpr)] = Index(jaxpr)
        return self.inner[id(jaxpr)]

    def maker(self, v: Atom) -> tuple[str, Source | None]:
        """The primitive that makes a value, with the loops and calls that this is in, and the user's line."""
        path = self.path(v)
        return " in ".join([e.primitive.name for e, _ in reversed(path)]), path[-1][0].source if path else None

    def place(self, v: Atom) -> Hashable:
        """What is the same for the values that equal calls make in the same place; a value made elsewhere is alone."""
        path = self.path(v)
        calls = [e.primitive is kept_call for e, _ in path]
        ids = [id(e.params["jaxpr"] if call else e) for call, (e, _) in zip(calls, path, strict=True)]
        return (v.type, path[-1][1], *ids) if any(calls) else v

    def path(self, v: Atom) -> list[tuple[Equation, int]]:
        """The loops and calls in which a value is made, and the equation that makes it, each with the place of it."""
        if v not in self.producers:
            return []
        e, k = self.producers[v]
        for inner in e.primitive.bodies(e.params):
            w, positions = inner.outputs[k], {v: i for i, v in enumerate(inner.inputs)}
            if type(w) is Var and w in positions:
                # What a loop carries into a turn was made in the turn before; other inputs were made outside.
                i = positions[w]
                turn = i - e.params.get("n_constants", 0)
                if not 0 <= turn < e.params.get("n_carry", 0) or inner.outputs[turn] in inner.inputs:
                    return self.path(e.inputs[i + len(e.inputs) - len(inner.inputs)])
                w = inner.outputs[turn]
            path = self.of(inner).path(w)
            if path and path[-1][0].source is not None:
                return [(e, k), *path]
        return [(e, k)]

    def readers(self, v: Atom) -> Iterator[Reader]:
        """The equations that read a value."""
        for e, i in self.uses.get(v, ()):
            inside: list[Reader] = []
            for inner in e.primitive.bodies(e.params):
                k = i - len(e.inputs) + len(inner.inputs)
                inside += self.of(inner).readers(inner.inputs[k]) if k >= 0 else ()
            named = [(f"{name} in {e.primitive.name}", source or e.source) for name, source in inside]
            yield from named or [(e.primitive.name, e.source)]
