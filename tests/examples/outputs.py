"""What the programs in a document print: python -m tests.examples.outputs FILE prints a list, as JSON.

A block of Python is a program of its own, `block.py`, if a block of text stands under it: what it prints. With
`--together` behind the file, each goes on where the one before ended.
"""

from __future__ import annotations

import io
import json
import linecache
import re
import sys
from contextlib import redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jax


def examples(text: str) -> list[tuple[str, str]]:
    """The programs in a document, with what they are said to print."""
    return re.findall(r"```python\n((?:(?!```).)*)```\n\n```text\n(.*?)```", text, re.DOTALL)


def output(code: str, names: dict[str, Any]) -> str:
    """What a program prints, where lines are in `block.py`."""
    printed = io.StringIO()
    with TemporaryDirectory() as folder:
        path = Path(folder) / "block.py"
        path.write_text(code)
        linecache.clearcache()
        with redirect_stdout(printed):
            exec(compile(code, str(path), "exec", dont_inherit=True), names)
            jax.effects_barrier()
    return printed.getvalue().replace(f"{folder}/", "")


def main(file: str, together: str = "") -> None:
    names: dict[str, Any] = {"__name__": "__main__"}
    found = [output(code, names if together else {**names}) for code, _ in examples(Path(file).read_text())]
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
