"""Graphs drawn as SVG: text with fonts that are everywhere, no scripts, no styles, and no ids that could clash."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import groupby
from pathlib import Path
from textwrap import wrap

from minijvp.errors import ArgumentError
from minijvp.packages import package
from minijvp.views.graph import KINDS, Graph, Node
from minijvp.views.layout import Point, bent, layered

FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
COLOURS = {
    "input": ("#dbeafe", "#1d4ed8"),
    "constant": ("#e2e8f0", "#475569"),
    "elementwise": ("#dcfce7", "#15803d"),
    "contraction": ("#ffedd5", "#c2410c"),
    "reduction": ("#f3e8ff", "#7e22ce"),
    "movement": ("#f8fafc", "#94a3b8"),
    "random": ("#fce7f3", "#be185d"),
    "call": ("#fef9c3", "#a16207"),
    "output": ("#ccfbf1", "#0f766e"),
    "group": ("#ffffff", "#475569"),
    "saved": ("#fde68a", "#92400e"),
    "again": ("#f5f3ff", "#7c3aed"),
    "later": ("#ffffff", "#7c3aed"),
    "once": ("#ffffff", "#94a3b8"),
}
"""Of each kind: what a box is filled with, and its border."""

TINTS = {"saved": "#fffbeb", "again": "#f5f3ff", "later": "#ffffff"}
"""What the box of a group is filled with, by the first kind of its notes."""

DASHED = {"again": "6 3", "later": "1.5 2.5"}
"""The borders that are not drawn through."""

INK, FAINT, LINE, RESIDUAL = "#0f172a", "#64748b", "#94a3b8", "#dc2626"
LARGE, SMALL = 7.3, 6.1
"""The width of a letter, of fonts that are 12 and 10 pixels high."""

PADDING, MARGIN, BETWEEN, NOTE = 12.0, 20.0, 90.0, 13.0
"""Inside of boxes around programs; around the picture; between forward and backward; the height of a line of notes."""


SCALE = {".pdf": 1.0, ".png": 2.0}
"""Pixels of a picture that is not SVG, for one of its own."""


@dataclass(frozen=True)
class Picture:
    """A picture: `svg` is its text. Notebooks show it; `save` writes it to a file."""

    svg: str
    title: str

    def _repr_svg_(self) -> str:
        return self.svg

    def _repr_html_(self) -> str:
        return f'<div style="overflow: auto">{self.svg}</div>'

    def __repr__(self) -> str:
        return f"<picture of {self.title}>"

    def save(self, path: str | Path) -> None:
        """Write the picture to a file that ends in .svg, .pdf, .png, or .html for a page; ArgumentError for others.

        For .pdf and .png, MissingPackageError without CairoSVG, which comes with the extra "pictures".
        """
        path = Path(path)
        if path.suffix in SCALE:
            cairo = package("cairosvg", "pictures", f"a picture as {path.suffix}")
            convert = cairo.svg2pdf if path.suffix == ".pdf" else cairo.svg2png
            svg = self.svg.replace(FONT, "monospace").encode()  # it looks for the first font of a list only
            path.write_bytes(convert(bytestring=svg, scale=SCALE[path.suffix]))
            return
        head = f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{safe(self.title)}</title>\n<body>'
        texts = {".svg": self.svg, ".html": f"{head}{self._repr_html_()}</body></html>\n"}
        if path.suffix not in texts:
            raise ArgumentError(
                f"save received {str(path)!r}, whose suffix is {path.suffix!r}.",
                "A picture is written as SVG, PDF or PNG, or as a page with its SVG.",
                "Name a file that ends in .svg, .pdf, .png or .html.",
            )
        path.write_text(texts[path.suffix], encoding="utf-8")


@dataclass
class Panel:
    """A graph that is drawn: its size, its SVG, and the box of each node as centre and size."""

    width: float
    height: float
    arrows: list[str] = field(default_factory=list)
    boxes: list[str] = field(default_factory=list)
    places: dict[Node, tuple[float, float, float, float]] = field(default_factory=dict)

    @property
    def svg(self) -> str:
        return "".join(self.arrows + self.boxes)


def panel_of(graph: Graph, upwards: bool = False, titled: bool = False) -> Panel:
    """A graph, drawn from its top to its bottom, or `upwards`; `titled` leaves room for its title."""
    inner = {node: [panel_of(g) for g in node.inner] for node in graph.nodes}
    sizes = [size_of(node, inner[node]) for node in graph.nodes]
    numbers = {node: i for i, node in enumerate(graph.nodes)}
    layout = layered(sizes, [(numbers[u], numbers[v]) for u, v in graph.edges])
    width = max(layout.width, LARGE * len(graph.title) if titled else 0)
    aside = (width - layout.width) / 2
    turn = lambda points: [(x + aside, layout.height - y if upwards else y) for x, y in points]
    centres, routes = turn(layout.centres), map(turn, layout.routes)
    panel = Panel(width, layout.height)
    for titles, route in zip(graph.edges.values(), routes, strict=True):
        panel.arrows.append(arrow(route, "\n".join(titles)))
    for node, (x, y), (w, h) in zip(graph.nodes, centres, sizes, strict=True):
        panel.places[node] = (x, y, w, h)
        panel.boxes.append(box(node, x - w / 2, y - h / 2, w, h, inner[node]))
    return panel


def size_of(node: Node, inner: Sequence[Panel]) -> Point:
    """The width and height of a box."""
    width = (
        max(LARGE * len(node.label), *[SMALL * len(words) for words in (node.detail, *dict(node.notes).values())]) + 18
    )
    if not inner:
        return max(width, 44), (40.0 if node.detail else 26.0) + NOTE * len(node.notes)
    widths = [max(p.width, SMALL * len(g.title)) for p, g in zip(inner, node.inner, strict=True)]
    if len(inner) == 1:
        return max(width, widths[0] + 2 * PADDING), inner[0].height + 26 + 2 * PADDING
    across = sum(widths) + PADDING * (3 * len(inner) + 1)
    return max(width, across), max(p.height for p in inner) + 46 + 3 * PADDING


def box(node: Node, x: float, y: float, w: float, h: float, inner: Sequence[Panel]) -> str:
    """The SVG of a node; its text appears where the pointer rests."""
    fill, border = COLOURS[node.kind]
    if node.kind == "group" and node.notes:
        fill = TINTS[node.notes[0][0]]
    round_ = 13 if node.kind in ("input", "output", "constant") and h < 50 else 5
    parts = [
        f'<g data-kind="{node.kind}" transform="translate({x:.1f} {y:.1f})"><title>{safe(node.title)}</title>',
        rect(0, 0, w, h, fill if not inner else "#fffef5", border, round_, DASHED.get(node.kind, "")),
    ]
    if len(inner) == 1:
        parts.append(text(PADDING, 17, node.inner[0].title, 12, INK, "start"))
        parts.append(moved(inner[0].svg, (w - inner[0].width) / 2, 26 + PADDING / 2))
    elif inner:
        parts.append(text(PADDING, 17, node.label, 12, INK, "start"))
        left = PADDING
        for graph, panel in zip(node.inner, inner, strict=True):
            wide = max(panel.width, SMALL * len(graph.title)) + 2 * PADDING
            parts.append(rect(left, 26, wide, h - 26 - PADDING, "#ffffff", border, 5, "3 3"))
            parts.append(text(left + wide / 2, 40, graph.title, 10, FAINT))
            parts.append(moved(panel.svg, left + (wide - panel.width) / 2, 46 + PADDING))
            left += wide + PADDING
    else:
        parts.append(text(w / 2, 17, node.label, 12, INK))
        if node.detail:
            parts.append(text(w / 2, 31, node.detail, 10, FAINT))
        for i, (kind, words) in enumerate(node.notes, 1):
            parts.append(text(w / 2, 31 + NOTE * i, words, 10, COLOURS[kind][1]))
        parts += [rect(*stripe, COLOURS[kind][1], "none", 0) for kind, stripe in stripes(node, w, h)]
    return "".join([*parts, "</g>"])


def stripes(node: Node, w: float, h: float) -> list[tuple[str, tuple[float, float, float, float]]]:
    """The kinds in a group, as parts of a bar along its bottom."""
    found, at, each = [], 5.0, (w - 10) / max(len(node.kinds), 1)
    for kind, same in groupby(node.kinds):
        wide = each * len(list(same))
        found.append((kind, (at, h - 4.5, wide, 3.0)))
        at += wide
    return found


def arrow(route: Sequence[Point], title: str, colour: str = LINE, dashed: str = "") -> str:
    """A Bézier curve with a head at its end; `title` appears where the pointer rests."""
    (x, y), (xa, ya) = route[-1], route[-2]
    length = max(((x - xa) ** 2 + (y - ya) ** 2) ** 0.5, 1e-9)
    dx, dy = (x - xa) / length, (y - ya) / length
    curve = " ".join(f"{px:.1f} {py:.1f}" for px, py in [*route[1:-1], (x - 5 * dx, y - 5 * dy)])
    path = f"M{route[0][0]:.1f} {route[0][1]:.1f}C{curve}"
    corners = [(x, y), (x - 7 * dx - 3.5 * dy, y - 7 * dy + 3.5 * dx), (x - 7 * dx + 3.5 * dy, y - 7 * dy - 3.5 * dx)]
    head = " ".join(f"{px:.1f},{py:.1f}" for px, py in corners)
    dash = f' stroke-dasharray="{dashed}"' if dashed else ""
    return (
        f'<g data-kind="{"residual" if dashed else "edge"}"><title>{safe(title)}</title>'
        f'<path d="{path}" fill="none" stroke="#ffffff" stroke-opacity="0" stroke-width="9"/>'
        f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="1.3"{dash}/>'
        f'<polygon points="{head}" fill="{colour}"/></g>'
    )


def safe(words: str) -> str:
    """Text as it may stand in XML."""
    return escape("".join([c if c.isprintable() or c == "\n" else "\ufffd" for c in words]))


def rect(x: float, y: float, w: float, h: float, fill: str, border: str, round_: float, dashed: str = "") -> str:
    """A rectangle with rounded corners."""
    dash = f' stroke-dasharray="{dashed}"' if dashed else ""
    size = f'x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h:.1f}" rx="{round_}"'
    return f'<rect {size} fill="{fill}" stroke="{border}"{dash}/>'


def text(x: float, y: float, words: str, size: int, colour: str, anchor: str = "middle") -> str:
    """A line of text."""
    place = f'x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}"'
    return f'<text {place} fill="{colour}">{safe(words)}</text>'


def moved(svg: str, x: float, y: float) -> str:
    """A part at its place."""
    return f'<g transform="translate({x:.1f} {y:.1f})">{svg}</g>'


def picture(graph: Graph, summary: str = "") -> Picture:
    """The picture of one graph, below a title and a sentence."""
    panel = panel_of(graph)
    return framed(panel.svg, panel.width, panel.height, graph.title, kinds_in([graph]), summary=summary)


def side_by_side(title: str, forward: Graph, backward: Graph, residuals: dict[tuple[Node, Node], list[str]]) -> Picture:
    """Forward, downwards, beside backward, upwards, and what is saved by the one for the other drawn across."""
    left, right = panel_of(forward, titled=True), panel_of(backward, upwards=True, titled=True)
    height = max(left.height, right.height)
    at = left.width + BETWEEN
    shifts = (height - left.height) / 2, (height - right.height) / 2
    lanes: Counter[tuple[float, int]] = Counter()

    def lane(panel: Panel, node: Node, side: int, shift: float) -> tuple[float, float, float]:
        """Where a residual leaves a box (or reaches it, from below), and the height at which it passes other boxes."""
        x, y, _, h = panel.places[node]
        edge = max(cy + ch / 2 for _, cy, _, ch in panel.places.values() if abs(cy - y) < 1) + shift
        lanes[edge, side] += 1
        return x, y + h / 2 + shift, edge + 6 + 5 * (lanes[edge, side] % 5)

    arrows = []
    for (source, target), titles in residuals.items():
        x0, y0, pass0 = lane(left, source, 0, shifts[0])
        x1, y1, pass1 = lane(right, target, 1, shifts[1])
        w0, w1 = left.places[source][2], right.places[target][2]
        x0, x1 = x0 + w0 / 2 - 7, x1 + at - w1 / 2 + 7
        edge0, edge1 = left.width + 8, at - 8
        half = (edge0 + edge1) / 2
        route = bent([(x0, y0), (x0, pass0), (edge0, pass0)])
        route += [(half, pass0), (half, pass1), *bent([(edge1, pass1), (x1, pass1), (x1, y1)])]
        arrows.append(arrow(route, "\n".join(titles), RESIDUAL, "5 3"))
    parts = []
    for panel, x, shift, words in ((left, 0.0, shifts[0], forward.title), (right, at, shifts[1], backward.title)):
        parts.append(text(x + panel.width / 2, 8, words, 12, FAINT))
        parts.append(moved(panel.svg, x, 24 + shift))
    body = "".join(parts) + moved("".join(arrows), 0, 24)
    kinds = kinds_in([forward, backward])
    return framed(body, at + right.width, height + 24, title, kinds, residual=bool(residuals))


def kinds_in(graphs: Sequence[Graph]) -> set[str]:
    """The kinds of all nodes."""
    nodes = [node for graph in graphs for node in graph.nodes]
    deeper = [graph for node in nodes for graph in node.inner]
    return {k for node in nodes for k in (node.kind, *node.kinds)} | (kinds_in(deeper) if deeper else set())


def framed(
    body: str, width: float, height: float, title: str, kinds: set[str], residual: bool = False, summary: str = ""
) -> Picture:
    """The whole picture: the title, sentences, the legend in rows, and the body on white."""
    inner, width = width, max(width, 340.0 if not summary else 640.0, LARGE * 13 / 12 * len(title))
    lines = wrap(summary, int(width / (SMALL * 1.1)))
    legend, x, y = [], 0.0, 30.0 + 15 * len(lines)
    entries = [(words, *COLOURS[kind], DASHED.get(kind, "")) for kind, words in KINDS.items() if kind in kinds]
    for words, fill, border, dashed in [*entries, *[("residual", "none", RESIDUAL, "3 2")] * residual]:
        wide = SMALL * len(words) + 34
        if x and x + wide > width:
            x, y = 0.0, y + 18
        legend.append(rect(x, y, 14, 10, fill, border, 3, dashed))
        legend.append(text(x + 20, y + 9, words, 10, FAINT, "start"))
        x += wide
    sentences = "".join([text(0, 30 + 15 * i, words, 11, FAINT, "start") for i, words in enumerate(lines)])
    total, top = width + 2 * MARGIN, y + 34
    tall = top + height + 2 * MARGIN
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{safe(title)}" width="{total:.0f}" '
        f'height="{tall:.0f}" viewBox="0 0 {total:.1f} {tall:.1f}" font-family="{FONT}"><title>{safe(title)}</title>'
        f'<rect width="100%" height="100%" rx="10" fill="#ffffff"/><g transform="translate({MARGIN} {MARGIN})">'
        f"{text(0, 12, title, 13, INK, 'start')}"
        f"{sentences}{''.join(legend)}"
        f"{moved(body, (width - inner) / 2, top)}</g></svg>"
    )
    return Picture(svg, title)
