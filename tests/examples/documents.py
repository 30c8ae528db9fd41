"""The code in documents."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import jax
import numpy as np


def blocks(path: Path, language: str = "python") -> list[str]:
    """The blocks of code in a document."""
    return re.findall(rf"```{language}\n(.*?)```", path.read_text(), re.DOTALL)


def links(text: str) -> list[str]:
    """The files that a text links to, without links to other places and to sections."""
    prose = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)
    found = re.findall(r"\]\(([^)\s#]+)[^)]*\)", prose)
    return [link for link in found if "://" not in link]


NUMBER = r"-?(?:\d+\.?\d*|\.\d+)(?:e-?\d+)?"
SHOWN = re.compile(rf"  # ({NUMBER}|True|False|None|[(\[][^)\]]*[)\]]|'[^']*')(?=[,:;. ]|$)")
"""A comment that begins with a value."""


def shown_value(line: str) -> str | None:
    """The value that the comment behind an expression begins with, as it is written."""
    (statement,) = ast.parse(line).body
    found = SHOWN.search(line.splitlines()[(statement.end_lineno or 0) - 1])
    return found[1] if found and isinstance(statement, ast.Expr) else None


def run_block(code: str, names: dict[str, Any]) -> None:
    """Run a block, statement by statement, and hold values against those that comments behind them begin with.

    A number is held against the first element of an array, or of the leaves of a tree.
    """
    for line in logical_lines(code):
        shown = shown_value(line)
        if shown is None:
            exec(compile(line, "document", "exec", dont_inherit=True), names)
            continue
        value = eval(compile(line.strip(), "document", "eval", dont_inherit=True), names)
        expected = ast.literal_eval(shown)
        if not re.fullmatch(rf"[\[(]?({NUMBER}(, )?)+[\])]?", shown):
            assert value == expected, line
        else:
            flat = np.ravel(value) if np.ndim(expected) else np.ravel(jax.tree.leaves(value)[0])[:1]
            np.testing.assert_allclose(flat, np.ravel(expected), rtol=1e-4, atol=1e-12, err_msg=line)


def logical_lines(code: str) -> list[str]:
    """The statements of a block, each with the comment behind it."""
    lines = code.splitlines()
    tree = ast.parse(code)
    starts = [min([n.lineno, *[d.lineno for d in getattr(n, "decorator_list", [])]]) - 1 for n in tree.body]
    return ["\n".join(lines[a:b]) for a, b in zip(starts, [*starts[1:], len(lines)], strict=True)]
