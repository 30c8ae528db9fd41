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
SHOWN = re.compile(rf"  # ({NUMBER}|True|False|None|[(\[][^)\]]*[)\]]|'[^']*')(?=[,:;. ]|$)[^\n]*$")
"""A comment that begins with a value."""


def run_block(code: str, names: dict[str, Any]) -> int:
    """Run a block, statement by statement; how many values were held against those that comments behind them have.

    A number is held against the first element of an array, or of the leaves of a tree.
    """
    compared = 0
    for line in logical_lines(code):
        (statement,) = ast.parse(line).body
        found = SHOWN.search(line)
        if found is None or not isinstance(statement, ast.Expr):
            exec(compile(line, "document", "exec", dont_inherit=True), names)
            continue
        value = eval(compile(ast.Expression(statement.value), "document", "eval", dont_inherit=True), names)
        shown = ast.literal_eval(found[1])
        if not re.fullmatch(rf"[\[(]?({NUMBER}(, )?)+[\])]?", found[1]):
            assert value == shown, line
        else:
            flat = np.ravel(value) if np.ndim(shown) else np.ravel(jax.tree.leaves(value)[0])[:1]
            np.testing.assert_allclose(flat, np.ravel(shown), rtol=1e-4, atol=1e-12, err_msg=line)
        compared += 1
    return compared


def logical_lines(code: str) -> list[str]:
    """The statements of a block, each with the comment behind it."""
    lines = code.splitlines()
    tree = ast.parse(code)
    starts = [min([n.lineno, *[d.lineno for d in getattr(n, "decorator_list", [])]]) - 1 for n in tree.body]
    return ["\n".join(lines[a:b]) for a, b in zip(starts, [*starts[1:], len(lines)], strict=True)]
