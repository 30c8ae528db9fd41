"""The code in documents."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import numpy as np


def blocks(path: Path, language: str = "python") -> list[str]:
    """The blocks of code in a document."""
    return re.findall(rf"```{language}\n(.*?)```", path.read_text(), re.DOTALL)


def links(text: str) -> list[str]:
    """The files that a text links to, without links to other places and to sections."""
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    found = re.findall(r"\]\(([^)\s#]+)[^)]*\)", prose)
    return [link for link in found if "://" not in link]


def run_block(code: str, names: dict[str, Any]) -> None:
    """Run a block, statement by statement, and hold values against the numbers that comments behind them begin with."""
    for line in logical_lines(code):
        found = re.match(r"^( *)(\S.*\))(?:\[.*\])?  # (-?[\d.]+(?:e-?\d+)?)(?=[,:; ]|$)", line)
        exec(compile(line, "document", "exec", dont_inherit=True), names)
        if found is not None and not found[1]:
            value = eval(line.partition("  # ")[0], names)
            np.testing.assert_allclose(np.ravel(value)[0], float(found[3].rstrip(".")), rtol=1e-4, atol=1e-12)


def logical_lines(code: str) -> list[str]:
    """The statements of a block, each with the comment behind it."""
    lines = code.splitlines()
    tree = ast.parse(code)
    starts = [min([n.lineno, *[d.lineno for d in getattr(n, "decorator_list", [])]]) - 1 for n in tree.body]
    return ["\n".join(lines[a:b]) for a, b in zip(starts, [*starts[1:], len(lines)], strict=True)]
