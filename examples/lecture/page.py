"""The page of the lecture: what the chapters said, their code, and a table of contents, in one HTML file."""

from __future__ import annotations

import io
import keyword
import tokenize
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from notes import marked_up

STYLE = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Chapter:
    """A chapter that has run. `subject` and `lead` are the first line and the rest of its docstring."""

    number: int
    script: Path
    subject: str
    lead: str
    html: str
    corrections: tuple[str, ...]
    seconds: float


def page_of(chapters: Sequence[Chapter], versions: str) -> str:
    """The page, which needs no other file."""
    contents = "\n".join(f'<li><a href="#chapter{c.number}">{escape(c.subject)}</a></li>' for c in chapters)
    corrections = [(c.number, text) for c in chapters for text in c.corrections]
    corrected = "\n".join(
        f'<li value="{i}"><a href="#chapter{n}">Chapter {n}</a>: {marked_up(text)}</li>'
        for i, (n, text) in enumerate(corrections, 1)
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Automatic differentiation: the lecture, running</title>
<style>
{STYLE}</style>
</head>
<body>
<nav aria-label="Contents"><ol>
{contents}
<li class="plain"><a href="#corrections">Corrections</a></li>
</ol></nav>
<main>
<header>
<h1>Automatic differentiation: the lecture, running</h1>
<p>Seven chapters on what a gradient is and how a machine finds it. Each number, table and picture on this page was
computed by the script that stands, folded, at the end of its chapter, when the page was made.</p>
<p class="made">{escape(versions)}, in {sum(c.seconds for c in chapters):.0f} seconds.</p>
</header>
{"".join(map(section_of, chapters))}
<section id="corrections">
<h2>Corrections</h2>
<p>Where the slides are wrong, and what was measured here instead.</p>
<ol>
{corrected}
</ol>
</section>
</main>
</body>
</html>
"""


def section_of(chapter: Chapter) -> str:
    """A chapter as a section of the page."""
    code = chapter.script.read_text(encoding="utf-8")
    return f"""<section id="chapter{chapter.number}" class="chapter">
<h2><span>{chapter.number}</span>{escape(chapter.subject)}</h2>
<p class="lead">{marked_up(chapter.lead)}</p>
{chapter.html}
<details class="script"><summary><code>{chapter.script.name}</code>, {len(code.splitlines())} lines,
{chapter.seconds:.1f} s</summary>
<pre>{highlighted(code)}</pre></details>
</section>
"""


def highlighted(code: str) -> str:
    """Python in HTML, with keywords, strings and comments marked."""
    lines = code.splitlines(keepends=True)
    kinds = {tokenize.COMMENT: "c", tokenize.STRING: "s"}
    kinds |= {
        getattr(tokenize, name): "s"
        for name in ("FSTRING_START", "FSTRING_MIDDLE", "FSTRING_END")
        if hasattr(tokenize, name)
    }
    parts: list[str] = []
    row, column = 1, 0

    def copy_until(end: tuple[int, int]) -> str:
        nonlocal row, column
        text = ""
        while row < end[0]:
            text += lines[row - 1][column:]
            row, column = row + 1, 0
        if row <= len(lines):
            text += lines[row - 1][column : end[1]]
        column = end[1]
        return escape(text, quote=False)

    for token in tokenize.generate_tokens(io.StringIO(code).readline):
        parts.append(copy_until(token.start))
        text = copy_until(token.end)
        kind = "k" if token.type == tokenize.NAME and keyword.iskeyword(token.string) else kinds.get(token.type)
        parts.append(f"<i class={kind}>{text}</i>" if kind and text else text)
    return "".join(parts)
