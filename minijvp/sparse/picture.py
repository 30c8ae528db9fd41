"""Pictures of patterns: entries as squares, in colours, and as text."""

from __future__ import annotations

from colorsys import hls_to_rgb

import numpy as np

from minijvp.sparse.sets import Matrix
from minijvp.views.svg import FONT, INK, LINE, Picture, safe

SIDE, CELLS, TOP, EDGE = 560.0, 200, 40.0, 12.0
"""The longer side of a pattern in pixels, how many squares it has at most, the room for the title, and around."""

PALETTE = ["#1d4ed8", "#c2410c", "#15803d", "#7e22ce", "#b45309", "#0f766e", "#be185d", "#475569"]

LINES, LETTERS = 16, 40
"""How many lines and letters a pattern takes at most as text."""

DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
"""The bits of the dots of a braille letter."""


def spy(matrix: Matrix, title: str, kinds: np.ndarray | None = None, n_kinds: int = 1) -> Picture:
    """A picture of the entries, each in the colour of its kind; where they are many, of blocks that have some."""
    m, n = matrix.shape
    step = max(1, -(-max(m, n) // CELLS))
    size = min(SIDE / max(-(-max(m, n) // step), 1), 28.0)
    rows = np.repeat(np.arange(m), np.diff(matrix.indptr)) // step
    kinds = np.zeros(len(rows), int) if kinds is None else kinds
    _, places = np.unique(rows * (n + 1) + matrix.indices // step, return_index=True)
    height, width = (-(-m // step) * size, -(-n // step) * size)
    across = max(width + 2 * EDGE, 7.4 * len(title) + 2 * EDGE)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {across:.0f} {height + TOP + EDGE:.0f}" '
        f'width="{across:.0f}" height="{height + TOP + EDGE:.0f}" role="img" font-family="{FONT}" font-size="12">',
        f"<title>{safe(title)}</title>",
        f'<rect width="{across:.0f}" height="{height + TOP + EDGE:.0f}" rx="8" fill="#ffffff"/>',
        f'<text x="{EDGE}" y="24" fill="{INK}">{safe(title)}</text>',
        f'<rect x="{EDGE}" y="{TOP}" width="{width:.1f}" height="{height:.1f}" fill="none" stroke="{LINE}"/>',
    ]
    for kind in range(n_kinds):
        chosen = places[kinds[places] == kind]
        ends = zip(rows[chosen].tolist(), (matrix.indices[chosen] // step).tolist(), strict=True)
        box = f"h{size * 0.9:.2f}v{size * 0.9:.2f}h-{size * 0.9:.2f}z"
        path = "".join([f"M{EDGE + c * size:.1f} {TOP + r * size:.1f}{box}" for r, c in ends])
        parts.append(f'<path fill="{colour(kind)}" d="{path}"/>' if path else "")
    return Picture("\n".join([*parts, "</svg>"]), title)


def colour(kind: int) -> str:
    """One of many colours, the first of which are easily told apart."""
    if kind < len(PALETTE):
        return PALETTE[kind]
    red, green, blue = hls_to_rgb(kind * 0.381966 % 1, 0.45, 0.7)
    return f"#{round(255 * red):02x}{round(255 * green):02x}{round(255 * blue):02x}"


def braille(matrix: Matrix) -> str:
    """The entries as dots of text, eight to a letter; where they are many, of blocks that have some."""
    m, n = matrix.shape
    step = max(1, -(-m // (4 * LINES)), -(-n // (2 * LETTERS)))
    rows = np.repeat(np.arange(m), np.diff(matrix.indptr)) // step
    columns = matrix.indices // step
    letters = np.full((-(-m // (4 * step)), -(-n // (2 * step))), 0x2800)
    np.bitwise_or.at(letters, (rows // 4, columns // 2), DOTS[rows % 4, columns % 2])
    return "\n".join(["".join(map(chr, line)) for line in letters.tolist()])
