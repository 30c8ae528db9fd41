"""What a chapter says: printed while it runs, and kept as HTML for the page that `index.py` makes."""

from __future__ import annotations

import argparse
import base64
import io
import re
import sys
import textwrap
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

import jax
import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from minijvp.views.tables import Table

jax.config.update("jax_enable_x64", True)
sys.path.append(str(Path(__file__).parents[1]))  # the other examples can be imported too

OUTPUT = Path(__file__).parents[1] / "output" / "lecture"
BLUE, RUST, GREEN, INK, PALE = "#1d6fa5", "#b3541e", "#4b7f3f", "#333333", "#999999"


class Notes:
    """The notes of one chapter: each method prints something, and adds it to `html`."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.html: list[str] = []
        self.corrections: list[str] = []

    def heading(self, title: str) -> None:
        """The title of a section."""
        print(f"\n{title}\n{'-' * len(title)}")
        self.html.append(f"<h3>{marked_up(title)}</h3>")

    def text(self, sentences: str) -> None:
        """A paragraph; what stands between backticks is code."""
        print(filled(sentences))
        self.html.append(f"<p>{marked_up(sentences)}</p>")

    def code(self, lines: Any) -> None:
        """Lines as they stand: a program, or what it prints."""
        print(textwrap.indent(str(lines).rstrip(), "    ", lambda _: True))
        self.html.append(f"<pre>{escape(str(lines).rstrip())}</pre>")

    def error(self, error: Exception) -> None:
        """What an error says, with its files by name."""
        lines = str(error).replace(f"{Path(__file__).parent}/", "").splitlines()
        print(
            *[
                textwrap.fill(line, 100, initial_indent="  ! ", subsequent_indent="  ! ")
                if len(line) > 100
                else f"  ! {line}"
                for line in lines
            ],
            sep="\n",
        )
        self.html.append(f'<pre class="error">{escape(chr(10).join(lines))}</pre>')

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """A table; numbers are written with six digits."""
        self.show_table(Table(title, tuple(columns), tuple(tuple(map(cell, row)) for row in rows)))

    def show_table(self, table: Table) -> None:
        """A table that a tool of minijvp made."""
        print(f"\n{textwrap.indent(str(table), '  ')}\n")
        self.html.append(f'<div class="table">{table.html()}</div>')

    def picture(self, name: str, picture: Any, caption: str) -> None:
        """A figure of matplotlib, or a picture of minijvp, which has `.svg`; saved as `name`.svg in the folder."""
        is_figure = isinstance(picture, Figure)
        svg = svg_of(picture, name) if is_figure else picture.svg
        path = self.folder / f"{name}.svg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(svg, encoding="utf-8")
        print(filled(f"picture: {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}"))
        # A graph stays a part of the page, because its nodes have hover text. A figure would clash with others there.
        data = base64.b64encode(svg.encode()).decode()
        shown = f'<img alt="{escape(caption)}" src="data:image/svg+xml;base64,{data}">' if is_figure else inline(svg)
        self.html.append(
            f'<figure id="{name}"><div>{shown}</div><figcaption>{marked_up(caption)}</figcaption></figure>'
        )

    def correction(self, sentences: str) -> None:
        """What a slide has wrong, and what is right."""
        print(filled(f"Corrected: {sentences}", "  | "))
        self.corrections.append(sentences)
        self.html.append(f'<aside class="correction"><b>Corrected.</b> {marked_up(sentences)}</aside>')


def run(chapter: Callable[[Notes], None]) -> None:
    """The main function of a chapter's script."""
    module = sys.modules[chapter.__module__]
    parser = argparse.ArgumentParser(description=module.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=OUTPUT, help="the folder of the pictures (%(default)s)")
    notes = Notes(parser.parse_args().output)
    print((module.__doc__ or "").strip())
    chapter(notes)


def panels(*titles: str, height: float = 3.6) -> tuple[Figure, list[Axes]]:
    """A figure of so many panels beside each other, and their axes."""
    figure = Figure((9.6, height), layout="constrained")
    row = list(figure.subplots(1, len(titles), squeeze=False)[0])
    for axes, title in zip(row, titles, strict=True):
        axes.set_title(title, fontsize=11, color=INK)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(colors="#555555", labelsize=9)
    return figure, row


def svg_of(figure: Figure, name: str) -> str:
    """The figure as SVG, which is the same each time it is made."""
    text = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()


def inline(svg: str) -> str:
    """The SVG without what only a file of its own may begin with."""
    return svg[svg.index("<svg") :]


def marked_up(sentences: str) -> str:
    """The sentences in HTML, with code between backticks."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(sentences, quote=False))


def filled(sentences: str, margin: str = "") -> str:
    """The sentences in lines of a readable length."""
    return textwrap.fill(sentences.replace("`", ""), 100, initial_indent=margin, subsequent_indent=margin)


def cell(value: Any) -> str:
    """The value as a cell of a table."""
    if isinstance(value, (str, int)):
        return str(value)
    number = float(value) + 0.0  # -0.0 is written as 0
    return f"{number:.6g}" if number == 0 or abs(number) >= 1e-3 else f"{number:.1e}"


def magnitude(value: float) -> str:
    """The size of an error, in one digit."""
    return f"{value:.0e}" if value else "0"


def seconds(value: float) -> str:
    """A duration with its unit, two digits."""
    for factor, unit in ((1.0, "s"), (1e3, "ms")):
        if value * factor >= 1:
            return f"{value * factor:.2g} {unit}" if value * factor < 100 else f"{value * factor:.0f} {unit}"
    return f"{value * 1e6:.3g} µs"
