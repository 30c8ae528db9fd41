"""A table that is read as text, as Markdown and in a browser."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

STYLE = """<style>
div.minijvp { overflow: auto; font: 12px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace }
div.minijvp table { border-collapse: collapse; margin: 8px 0; font: inherit }
div.minijvp caption { caption-side: top; text-align: left; font-weight: bold; padding: 4px 8px; color: inherit }
div.minijvp :is(th, td) { text-align: left; padding: 3px 8px; vertical-align: top; border-bottom: 1px solid #8884 }
div.minijvp td code { white-space: pre-wrap; background: none; color: inherit; padding: 0; font: inherit }
div.minijvp summary { cursor: pointer }
</style>"""
"""Of what is shown in a browser: colours are those around it, be they dark or light."""


def html_of(*parts: str) -> str:
    """Pieces of HTML as one that can be shown anywhere: with their style, in ASCII."""
    text = "\n".join([f'<div class="minijvp">{STYLE}', *parts]) + "</div>"
    return text.encode("ascii", "xmlcharrefreplace").decode()


@dataclass(frozen=True)
class Table:
    """Rows of cells under named columns.

    `str` aligns them as text, `markdown()` and `html()` give the other forms; Jupyter shows the last.

    >>> print(Table("squares", ("n", "n²"), (("2", "4"), ("12", "144"))))
    squares
      n   n²
      2   4
      12  144
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def __str__(self) -> str:
        lines = [self.columns, *self.rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.columns))]
        text = ["  ".join(cell.ljust(n) for cell, n in zip(line, widths, strict=True)).rstrip() for line in lines]
        return "\n".join([self.title, *["  " + line for line in text]])

    __repr__ = __str__

    def markdown(self) -> str:
        """The table in Markdown, under its title in bold."""
        head = [_markdown_row(self.columns), "|" + " --- |" * len(self.columns)]
        return "\n".join([f"**{self.title}**", "", *head, *map(_markdown_row, self.rows)])

    def html(self) -> str:
        """The table as an HTML element, without a style of its own."""
        head = "".join(f"<th>{escape(cell)}</th>" for cell in self.columns)
        body = "\n".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in self.rows)
        caption = f"<caption>{escape(self.title)}</caption>"
        return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table>"

    def _repr_html_(self) -> str:
        return html_of(self.html())


class Tabular:
    """What is read as a table: `markdown()` and `html()` give that in these forms, and Jupyter shows it."""

    @property
    def table(self) -> Table:
        raise NotImplementedError

    def __str__(self) -> str:
        return str(self.table)

    def __repr__(self) -> str:
        return str(self)

    def markdown(self) -> str:
        """The table in Markdown."""
        return self.table.markdown()

    def html(self) -> str:
        """The table as an HTML element."""
        return self.table.html()

    def _repr_html_(self) -> str:
        return html_of(self.html())


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("\\", "\\\\").replace("|", "\\|") for cell in cells) + " |"


def counted(n: int, what: str) -> str:
    """So many of something."""
    return f"{n:,} {what}{'s' * (n != 1)}"


def byte_text(n: int) -> str:
    """A number of bytes, in the unit that suits it."""
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if n >= size:
            return f"{n / size:.4g} {unit}"
    return f"{n} bytes"
